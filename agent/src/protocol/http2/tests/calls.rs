//! gRPC: calls of every kind, and all the ways in which they end.
use super::wire::{call, data, headers, message, ok, reset};
use super::*;

fn end(stream: u32, status: &str) -> Vec<u8> {
    headers(stream, true, &[("grpc-status", status), ("grpc-message", "CANARY")])
}

#[test]
fn a_call_says_what_the_conventions_ask_for() {
    let pieces = [greeting(), vec![(C, call(1, "/shop.v1.Orders/Get", &[("traceparent", TRACEPARENT)]))]].concat();
    let expected = Request {
        attributes: vec![
            Attribute::both(semconv::WIRESPAN_PROTOCOL, "grpc"),
            Attribute::both(semconv::RPC_SYSTEM_NAME, "grpc"),
            Attribute::both(semconv::RPC_METHOD, "shop.v1.Orders/Get".to_owned()),
            Attribute::both(semconv::SERVER_ADDRESS, "shop".to_owned()),
            Attribute::both(semconv::SERVER_PORT, 81),
            Attribute::both(semconv::NETWORK_PROTOCOL_VERSION, "2"),
        ],
        carried: carried(&[("traceparent", TRACEPARENT)]),
        correlation: Some(1),
        ..Request::new(Kind::Service, "shop.v1.Orders/Get")
    };
    let heads = decode(false, &pieces).0.messages.into_iter().filter_map(|message| message.head);
    assert_eq!(heads.collect::<Vec<_>>(), [Head::Request(expected)]);
}

#[test]
fn all_four_kinds_of_call_are_one_span_with_their_messages_counted() {
    let long = message(&[0; 300]);
    let (a, b) = long.split_at(3);
    let (b, c) = b.split_at(100);
    let lines = after_greeting(vec![
        (C, [call(1, "/p.S/Unary", &[]), data(1, true, &message(b"x"))].concat()),
        (S, [ok(1), data(1, false, &message(b"")), end(1, "0")].concat()),
        (C, [call(3, "/p.S/Down", &[]), data(3, true, &message(b"x"))].concat()),
        (S, [ok(3), data(3, false, &[message(b"1"), message(b"22")].concat()), data(3, false, a), data(3, false, b)].concat()),
        (S, [data(3, false, c), end(3, "0")].concat()),
        (C, [call(5, "/p.S/Up", &[]), data(5, false, &message(b"x")), data(5, false, &message(b"y")), data(5, true, b"")].concat()),
        (S, [ok(5), data(5, false, &message(b"1")), end(5, "0")].concat()),
        (C, [call(7, "/p.S/Both", &[]), data(7, false, &message(b"x"))].concat()),
        (S, [ok(7), data(7, false, &message(b"1"))].concat()),
        (C, data(7, true, &message(b"y"))),
        (S, [data(7, false, &message(b"2")), end(7, "0")].concat()),
    ]);
    let ends = ["1 end OK >1 <1", "3 end OK >1 <3", "5 end OK >2 <1", "7 end OK >2 <2"];
    assert_eq!(lines[8..], ends);
    assert_eq!(lines[..8], ["1 p.S/Unary", "1", "3 p.S/Down", "3", "5 p.S/Up", "5", "7 p.S/Both", "7"]);
}

#[test]
fn a_status_is_an_error_to_whom_the_conventions_say() {
    for (status, expected) in [
        ("0", "OK"),
        ("5", "NOT_FOUND !NOT_FOUND"),
        ("13", "INTERNAL !INTERNAL !!INTERNAL"),
        ("16", "UNAUTHENTICATED !UNAUTHENTICATED"),
        ("99", "UNKNOWN !UNKNOWN !!UNKNOWN"),
    ] {
        let lines = after_greeting(vec![
            (C, [call(1, "/p.S/M", &[]), data(1, true, &message(b"x")), call(3, "/p.S/M", &[]), data(3, true, &message(b"x"))].concat()),
            (S, [ok(1), data(1, false, &message(b"x")), end(1, status)].concat()),
            // All that there is may be trailers.
            (S, headers(3, true, &[(":status", "200"), ("grpc-status", status)])),
        ]);
        assert_eq!(lines[2..], ["1".to_owned(), format!("3 {expected}"), format!("1 end {expected} >1 <1")]);
    }
}

#[test]
fn a_method_that_nobody_has_names_no_span() {
    let lines = after_greeting(vec![
        (C, [call(1, "/p.S/Guess7", &[]), call(3, "/not a method", &[]), call(5, "/p.S/M", &[])].concat()),
        (S, [headers(1, true, &[(":status", "200"), ("grpc-status", "12")]), headers(5, true, &[(":status", "404")])].concat()),
    ]);
    let unknown = "UNIMPLEMENTED !UNIMPLEMENTED !!UNIMPLEMENTED =grpc";
    assert_eq!(lines, ["1 p.S/Guess7…", "3 grpc…", "5 p.S/M…", &format!("1 {unknown}"), &format!("5 {unknown}")]);
}

#[test]
fn a_call_without_a_status_is_what_clients_make_of_it() {
    let lines = after_greeting(vec![
        (C, [call(1, "/p.S/M", &[]), call(3, "/p.S/M", &[]), call(5, "/p.S/M", &[])].concat()),
        (S, [headers(1, false, &[(":status", "503")]), data(1, true, b"busy"), ok(3), data(3, true, b"")].concat()),
        (S, [ok(5), headers(5, true, &[("x", "y")])].concat()),
    ]);
    let unknown = "UNKNOWN !UNKNOWN !!UNKNOWN >0 <0";
    let expected =
        ["1 UNAVAILABLE !UNAVAILABLE !!UNAVAILABLE", "3", "5", "1 end >0", &format!("3 end {unknown}"), &format!("5 end {unknown}")];
    assert_eq!(lines[3..], expected);
}

#[test]
fn the_status_of_a_call_is_told_also_where_its_beginning_was_not_seen() {
    let unseen = frame(kind::HEADERS, flag::END_HEADERS, 7, &[0x83, 0xc6]);
    let lines = story(true, &[(C, unseen), (S, ok(7)), (S, end(7, "13"))]);
    assert_eq!(lines, ["7 POST  header_table…", "7 200", "7 end INTERNAL !INTERNAL !!INTERNAL"]);
}

#[test]
fn a_call_that_is_given_up_is_cancelled_or_out_of_time() {
    let lines = after_greeting(vec![
        (C, [call(1, "/p.S/M", &[]), call(3, "/p.S/M", &[("grpc-timeout", "160m")]), call(5, "/p.S/M", &[])].concat()),
        (C, [reset(1, 8), reset(3, 8)].concat()),
        (S, reset(5, 11)),
    ]);
    let expected = [
        "1 Client gives up CANCELLED !CANCELLED",
        "3 Client gives up CANCELLED !CANCELLED or after 150000000 DEADLINE_EXCEEDED !DEADLINE_EXCEEDED !!DEADLINE_EXCEEDED",
        "5 Server gives up RESOURCE_EXHAUSTED !RESOURCE_EXHAUSTED",
    ];
    assert_eq!(lines[3..], expected);
}

#[test]
fn the_trailers_of_grpc_web_are_in_the_body() {
    let web =
        |stream, kind| headers(stream, true, &[(":method", "POST"), (":path", "/p.S/M"), (":authority", "shop"), ("content-type", kind)]);
    let trailers = b"Grpc-Status: 5\r\ngrpc-message:CANARY\r\n";
    let body = [&message(b"hello")[..], &[0x80, 0, 0, 0, trailers.len() as u8], trailers].concat();
    // Each write of a server's is padded: an empty message, and `grpc-status:0`.
    let text = [&b"AAAAAA"[..], b"A=gAAAAA1ncnBjLXN0YXR1czow"];
    let lines = after_greeting(vec![
        (C, [web(1, "application/grpc-web+proto"), web(3, "application/grpc-web-text")].concat()),
        (
            S,
            [ok(1), data(1, false, &body[..9]), data(1, true, &body[9..]), ok(3), data(3, false, text[0]), data(3, true, text[1])].concat(),
        ),
    ]);
    assert_eq!(lines, ["1 p.S/M", "3 p.S/M", "1", "3", "1 end NOT_FOUND !NOT_FOUND >0 <1", "3 end OK >0 <1"]);
}

#[test]
fn content_that_was_not_captured_is_stepped_over_and_not_counted() {
    let mut decoder = Connection::new(SERVER);
    let mut step = |side, bytes: &[u8]| decoder.decode(side, bytes, false);
    step(C, PREFACE);
    step(C, &call(1, "/p.S/M", &[]));
    step(S, &ok(1));
    let Step::Take(begun) = step(S, &data(1, false, &[0; 100])) else { panic!("a step") };
    assert_eq!((begun.used, begun.stream, begun.end), (9, 1, false));
    let rest = decoder.unseen(S).expect("a way over it");
    assert_eq!((rest.used, rest.stream, rest.end), (100, 1, false));
    let Step::Take(Take { more: Some(more), end: true, .. }) = decoder.decode(S, &end(1, "0"), false) else { panic!("an end") };
    let More::Trailer(response) = *more else { panic!("trailers") };
    assert_eq!(outcome(&response), "OK >0");
    assert_eq!(decoder.unseen(S), None);
}

#[test]
fn grpc_web_over_http_1_is_a_call_and_its_status_is_known_where_it_has_no_messages() {
    let ask = "POST /p.S/M HTTP/1.1\r\nHost: shop\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0";
    let answers = ["Grpc-Status: 7\r\nContent-Length: 0\r\n\r\n", "Content-Length: 5\r\n\r\n\u{0}\0\0\0\0"];
    let answers = answers.map(|answer| format!("HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\n{answer}"));
    let pieces = [(C, ask.as_bytes()), (S, answers[0].as_bytes()), (C, ask.as_bytes()), (S, answers[1].as_bytes())];
    let transcript = testing::run(crate::protocol::http1::Http1.decoder(SERVER, false).as_mut(), &pieces);
    let told = transcript.messages.iter().map(|message| match message.head.as_ref().expect("a head") {
        Head::Request(request) => format!("{} {}", request.name, text(&request.attributes, semconv::RPC_METHOD).unwrap_or_default()),
        Head::Response(response) => outcome(response),
    });
    assert_eq!(told.collect::<Vec<_>>(), ["p.S/M p.S/M", "PERMISSION_DENIED !PERMISSION_DENIED", "p.S/M p.S/M", ""]);
}
