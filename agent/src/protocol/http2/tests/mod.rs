//! Connections, their streams, and what can be said about each.
mod calls;
mod generated;
mod wire;

use super::*;
use crate::protocol::attribute::Value;
use crate::protocol::context::testing::carried;
use crate::protocol::testing::{self, Message, SERVER, Said};
use crate::protocol::{Kind, Request};
use wire::{block, call, data, frame, get, greeting, headers, ok, reset};

use Side::{Client as C, Server as S};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Decodes pieces, whole and byte by byte, which must make no difference.
fn decode(joined: bool, pieces: &[(Side, Vec<u8>)]) -> (testing::Transcript, Vec<Said>) {
    let whole: Vec<(Side, &[u8])> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let bytewise: Vec<(Side, &[u8])> = whole.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))).collect();
    let found = testing::run_with_more(Http2.decoder(SERVER, joined).as_mut(), &whole);
    assert_eq!(found, testing::run_with_more(Http2.decoder(SERVER, joined).as_mut(), &bytewise));
    found
}

/// Text of an attribute.
fn text(attributes: &[Attribute], key: &str) -> Option<String> {
    attributes.iter().find(|attribute| attribute.key == key).map(|attribute| match &attribute.value {
        Value::Text(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

/// A response in words: status, errors of the client and the server, a new name, counts of messages.
fn outcome(response: &Response) -> String {
    let mut words = Vec::new();
    for key in [semconv::HTTP_RESPONSE_STATUS_CODE, semconv::RPC_RESPONSE_STATUS_CODE] {
        words.extend(text(&response.attributes, key));
    }
    words.extend(response.client_error.iter().map(|error| format!("!{error}")));
    words.extend(response.server_error.iter().map(|error| format!("!!{error}")));
    words.extend(response.name.iter().map(|name| format!("={name}")));
    for (key, mark) in [(semconv::WIRESPAN_RPC_REQUEST_MESSAGES, '>'), (semconv::WIRESPAN_RPC_RESPONSE_MESSAGES, '<')] {
        words.extend(text(&response.attributes, key).map(|count| format!("{mark}{count}")));
    }
    if response.interim {
        words.push("~".to_owned());
    }
    words.join(" ")
}

/// What was said, a line each: the stream, then the request's name and path or the response in words; `…` if the message has no end.
fn story(joined: bool, pieces: &[(Side, Vec<u8>)]) -> Vec<String> {
    let (transcript, more) = decode(joined, pieces);
    assert_eq!(transcript.left, None);
    let line = |Message { end, head, .. }: &Message| {
        let (stream, words) = match head.as_ref().expect("a head") {
            Head::Request(request) => {
                let path = text(&request.attributes, semconv::URL_PATH).unwrap_or_default();
                let incomplete = text(&request.attributes, semconv::WIRESPAN_INCOMPLETE).unwrap_or_default();
                (request.correlation, [&request.name, &*path, &incomplete].join(" "))
            }
            Head::Response(response) => (response.correlation, outcome(response)),
        };
        let line = format!("{} {}", stream.unwrap_or_default(), words.trim());
        line.trim_end().to_owned() + if end.is_some() { "" } else { "…" }
    };
    let mut lines: Vec<String> = transcript.messages.iter().map(line).collect();
    lines.extend(more.iter().map(|(side, more)| match more {
        More::Trailer(response) => format!("{} end {}", response.correlation.unwrap_or_default(), outcome(response)).trim_end().to_owned(),
        More::Content(stream) => format!("{} content", stream.unwrap_or_default()),
        More::Abort(abort) => {
            let late = abort.late.iter().map(|(limit, response)| format!(" or after {limit} {}", outcome(response)));
            format!(
                "{} {side:?} gives up {}{}",
                abort.outcome.correlation.unwrap_or_default(),
                outcome(&abort.outcome),
                late.collect::<String>()
            )
        }
    }));
    if transcript.invalid > 0 {
        lines.push(format!("{} invalid", transcript.invalid));
    }
    lines
}

/// A conversation after the greeting.
fn after_greeting(pieces: Vec<(Side, Vec<u8>)>) -> Vec<String> {
    story(false, &[greeting(), pieces].concat())
}

#[test]
fn streams_end_in_any_order_and_each_has_its_own_response() {
    let lines = after_greeting(vec![
        (C, [get(1, "/a"), get(3, "/b"), get(5, "/c")].concat()),
        (
            S,
            [ok(5), data(5, false, b"c"), ok(1), data(5, true, b"c"), headers(3, true, &[(":status", "404")]), data(1, true, b"a")]
                .concat(),
        ),
    ]);
    assert_eq!(lines, ["1 GET /a", "3 GET /b", "5 GET /c", "5 200", "1 200", "3 404 !404"]);
}

#[test]
fn a_message_lies_where_its_frames_are() {
    let mut pieces = greeting();
    let [client, server] = [0, 1].map(|side: usize| pieces[side].1.len() as u64);
    let (first, second, content) = (get(1, "/a"), call(3, "/p.S/M", &[]), data(3, true, &wire::message(b"x")));
    let (answer, body) = (ok(1), data(1, true, b"hello"));
    let request = client + first.len() as u64;
    let places = [
        (C, client, Some(request)),
        (C, request, Some(request + (second.len() + content.len()) as u64)),
        (S, server, Some(server + (answer.len() + body.len()) as u64)),
    ];
    pieces.push((C, [first, second, content].concat()));
    pieces.push((S, [answer, body].concat()));
    let (transcript, _) = decode(false, &pieces);
    assert_eq!(transcript.messages.iter().map(|message| (message.side, message.start, message.end)).collect::<Vec<_>>(), places);
}

#[test]
fn a_request_says_what_the_conventions_ask_for() {
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "shop.example"),
        (":path", "/a%20b?q=1&token=abc"),
        ("user-agent", "curl/8"),
        ("authorization", "Bearer CANARY"),
        ("cookie", "CANARY"),
        ("x-forwarded-for", "203.0.113.7, 10.0.0.1"),
        ("traceparent", TRACEPARENT),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
    ];
    let expected = Request {
        attributes: vec![
            Attribute::both(semconv::HTTP_REQUEST_METHOD, "GET"),
            Attribute::client(semconv::URL_FULL, "https://shop.example/a%20b?q=1&token=REDACTED".to_owned()),
            Attribute::server(semconv::URL_PATH, "/a%20b".to_owned()),
            Attribute::server(semconv::URL_QUERY, "q=1&token=REDACTED".to_owned()),
            Attribute::server(semconv::URL_SCHEME, "https".to_owned()),
            Attribute::both(semconv::SERVER_ADDRESS, "shop.example".to_owned()),
            Attribute::both(semconv::SERVER_PORT, 443),
            Attribute::server(semconv::USER_AGENT_ORIGINAL, "curl/8".to_owned()),
            Attribute::server(semconv::CLIENT_ADDRESS, "203.0.113.7".to_owned()),
            Attribute::both(semconv::NETWORK_PROTOCOL_VERSION, "2"),
        ],
        carried: carried(&[("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]),
        correlation: Some(1),
        ..Request::new(Kind::Service, "GET")
    };
    assert!(expected.carried.is_some());
    let (transcript, _) = decode(false, &[greeting(), vec![(C, headers(1, true, &fields))]].concat());
    assert_eq!(transcript.messages.into_iter().filter_map(|message| message.head).collect::<Vec<_>>(), [Head::Request(expected)]);
}

#[test]
fn a_block_may_be_padded_prioritised_and_in_pieces() {
    let block = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/a"), (":authority", "shop")]);
    let (first, rest) = block.split_at(20);
    let (second, third) = rest.split_at(7);
    let payload = [&[3][..], &[0x80, 0, 0, 0, 9], first, &[0; 3]].concat();
    let pieces = [
        frame(kind::HEADERS, flag::PADDED | flag::PRIORITY | flag::END_STREAM, 1, &payload),
        frame(kind::CONTINUATION, 0, 1, second),
        frame(kind::CONTINUATION, 0, 1, &[]),
        frame(kind::CONTINUATION, flag::END_HEADERS, 1, third),
    ];
    assert_eq!(after_greeting(vec![(C, pieces.concat())]), ["1 GET /a"]);
    // Nothing may come between, and no more pieces than anybody needs.
    let between = [&pieces[0][..], &frame(kind::PING, 0, 0, &[0; 8]), &pieces[3]].concat();
    assert_eq!(after_greeting(vec![(C, between)]), ["1 invalid"]);
    let flood = [&pieces[..1], &vec![pieces[2].clone(); 70]].concat().concat();
    assert_eq!(after_greeting(vec![(C, flood)]), ["1 invalid"]);
}

#[test]
fn interim_responses_trailers_and_unknown_frames_are_passed_over() {
    let lines = after_greeting(vec![
        (C, [get(1, "/a"), frame(0x10, 0, 0, b"u=3, i"), frame(0xbe, 0xff, 77, b"?")].concat()),
        (S, headers(1, false, &[(":status", "103"), ("link", "</x>")])),
        (S, [ok(1), frame(kind::DATA, flag::PADDED, 1, b"\x02hi00"), headers(1, true, &[("x-sum", "7")])].concat()),
    ]);
    assert_eq!(lines, ["1 GET /a", "1 ~", "1 200"]);
}

#[test]
fn a_reset_is_the_error_that_its_code_says_to_whom_it_still_concerns() {
    let lines = after_greeting(vec![
        (C, [get(1, "/a"), get(3, "/b"), get(5, "/c"), get(7, "/d")].concat()),
        (S, [ok(1), data(1, true, b""), reset(1, 0), reset(3, 7), ok(5)].concat()),
        (C, [reset(5, 8), reset(7, 99), reset(9, 8)].concat()),
    ]);
    assert_eq!(
        lines,
        [
            "1 GET /a",
            "3 GET /b",
            "5 GET /c",
            "7 GET /d",
            "1 200",
            "5 200…",
            "3 Server gives up !REFUSED_STREAM !!REFUSED_STREAM",
            "5 Client gives up !CANCEL !!CANCEL",
            "7 Client gives up !_OTHER !!_OTHER",
        ]
    );
}

#[test]
fn what_is_pushed_answers_nobody_and_its_headers_are_still_learnt() {
    let promise = [&[0, 0, 0, 2][..], &block(&[("+:status", "418")])].concat();
    let lines = after_greeting(vec![
        (C, [get(1, "/a"), get(3, "/b")].concat()),
        (S, [frame(kind::PUSH_PROMISE, flag::END_HEADERS, 1, &promise), ok(2), data(2, true, b"pushed")].concat()),
        (S, frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3, &[0xbe])),
    ]);
    assert_eq!(lines, ["1 GET /a…", "3 GET /b", "3 418 !418"].map(|line| line.replace('…', "")));
}

#[test]
fn on_an_older_connection_unknown_fields_are_unknown_until_they_are_named_again() {
    // Indices: 2 is `:method: GET`, 6 `:scheme: http`, 8 `:status: 200`; from 62 on the dynamic table.
    let indexed = |stream, indices: &[u8]| {
        frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &indices.iter().map(|index| 0x80 | index).collect::<Vec<_>>())
    };
    let lines = story(
        true,
        &[
            (C, indexed(101, &[2, 6, 63, 62])),
            (S, indexed(101, &[8])),
            (C, indexed(103, &[70, 6, 63, 62])),
            (S, indexed(103, &[8])),
            (C, headers(105, true, &[(":method", "GET"), ("+:authority", "shop"), ("+:path", "/new")])),
            (S, indexed(105, &[90])),
            (C, indexed(107, &[2, 6, 62, 63])),
            (S, indexed(107, &[8])),
            (C, indexed(109, &[2, 6, 64, 63])),
        ],
    );
    assert_eq!(
        lines,
        ["101 GET  header_table", "101 200", "103 200", "105 GET /new", "105", "107 GET /new", "107 200", "109 GET  header_table"]
    );
}

#[test]
fn after_a_loss_the_next_frame_is_found_and_the_header_table_begins_anew() {
    let mut decoder = Connection::new(SERVER);
    let mut take = |side, bytes: &[u8]| match decoder.decode(side, bytes, false) {
        Step::Take(take) => (take.used, take.stream, take.head.map(|head| *head)),
        other => panic!("{other:?}"),
    };
    take(C, PREFACE);
    let named = headers(1, true, &[(":method", "GET"), ("+:path", "/a"), (":authority", "shop")]);
    assert_eq!(take(C, &named).1, 1);
    decoder.lost(C);
    assert!(decoder.finds_boundaries());
    let mut take = |side, bytes: &[u8]| match decoder.decode(side, bytes, false) {
        Step::Take(take) => (take.used, take.stream, take.head.map(|head| *head)),
        other => panic!("{other:?}"),
    };
    let again = frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 5, &[0x82, 0xbe]);
    // The end of a body that looks like nothing, or like a frame of a stream that cannot be.
    let lost = [&[0; 40][..], b"some text", &data(90_001, true, b"")].concat();
    let bytes = [&lost[..], &again].concat();
    assert_eq!(take(C, &bytes), (lost.len() as u64, 0, None));
    let (used, stream, head) = take(C, &again);
    let Some(Head::Request(request)) = head else { panic!("a request") };
    assert_eq!((used, stream), (again.len() as u64, 5));
    assert_eq!(
        (text(&request.attributes, semconv::URL_PATH), text(&request.attributes, semconv::WIRESPAN_INCOMPLETE)),
        (None, Some("header_table".to_owned()))
    );
}

#[test]
fn a_header_table_outlives_a_loss_that_proves_to_have_held_no_header_block() {
    /// Feeds frames and gives the last head.
    fn feed(decoder: &mut Connection, side: Side, bytes: &[u8]) -> Option<Head> {
        let (mut rest, mut head) = (bytes, None);
        while !rest.is_empty() {
            let Step::Take(take) = decoder.decode(side, rest, false) else { panic!("a step") };
            rest = rest.get(take.used as usize..).unwrap_or_default();
            head = take.head.map(|head| *head).or(head);
        }
        head
    }
    let indexed = |stream| frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &[0x82, 0xbe]);
    for (next, known) in [(3, true), (5, false)] {
        let mut decoder = Connection::new(SERVER);
        feed(&mut decoder, C, &[PREFACE, &headers(1, true, &[(":method", "GET"), ("+:path", "/a")])].concat());
        decoder.lost(C);
        let Some(Head::Request(request)) = feed(&mut decoder, C, &indexed(next)) else { panic!("a request") };
        assert_eq!(text(&request.attributes, semconv::URL_PATH).is_some(), known, "{next}");
    }
    let indexed = |stream| frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &[0xbe]);
    for (requests, next, known) in [
        // The response that was going on goes on.
        (vec![get(3, "/b")], vec![data(3, true, b"x")], true),
        // It may have ended, or another response have begun.
        (vec![get(3, "/b")], vec![], false),
        (vec![get(3, "/b"), get(5, "/c")], vec![data(3, true, b"x")], false),
    ] {
        let mut decoder = Connection::new(SERVER);
        feed(&mut decoder, C, &[PREFACE, &get(1, "/a"), &requests.concat()].concat());
        feed(&mut decoder, S, &[headers(1, true, &[("+:status", "418")]), ok(3)].concat());
        decoder.lost(S);
        feed(&mut decoder, S, &next.concat());
        feed(&mut decoder, C, &get(7, "/d"));
        let Some(Head::Response(response)) = feed(&mut decoder, S, &indexed(7)) else { panic!("a response") };
        assert_eq!(outcome(&response) == "418 !418", known, "{requests:?} {next:?}");
    }
}

#[test]
fn a_request_of_http_1_may_be_answered_on_the_first_stream() {
    let ask = "GET /a HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let agree = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let [(_, client), (_, server)] = &greeting()[..] else { panic!("two sides") };
    let pieces = [
        (C, ask.as_bytes()),
        (S, agree.as_bytes()),
        (S, server),
        (C, client),
        (C, &get(3, "/b")),
        (S, &[ok(3), data(3, true, b""), ok(1), data(1, true, b"")].concat()),
    ];
    let transcript = testing::run(super::super::http1::Http1.decoder(SERVER, false).as_mut(), &pieces);
    let heads: Vec<(Option<u64>, bool, String)> = transcript
        .messages
        .iter()
        .map(|message| match message.head.as_ref().expect("a head") {
            Head::Request(request) => {
                (request.correlation, message.end.is_some(), text(&request.attributes, semconv::URL_PATH).unwrap_or_default())
            }
            Head::Response(response) => (response.correlation, message.end.is_some(), outcome(response)),
        })
        .collect();
    let expected = [(Some(1), "/a"), (None, "~"), (Some(3), "/b"), (Some(3), "200"), (Some(1), "200")];
    assert_eq!(heads, expected.map(|(stream, what)| (stream, true, what.to_owned())));
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
}

#[test]
fn detection_asks_for_the_preface_or_for_a_block_that_says_who_sends_it() {
    use Guess::{Maybe, No, Yes};
    let settings = frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let indexed = frame(kind::HEADERS, flag::END_HEADERS, 1, &[0xbe]);
    let answer = [settings.clone(), ok(1)].concat();
    let requests = [frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]), get(77, "/")].concat();
    for (side, bytes, expected) in [
        (C, &b""[..], Maybe),
        (C, b"PRI * HT", Maybe),
        (C, PREFACE, Yes),
        (S, PREFACE, No),
        (C, b"PRI * HTTP/1.1\r\n\r\n", No),
        (S, &settings, Maybe),
        (C, &settings, Maybe),
        (S, &answer, Yes),
        (C, &answer, No),
        (C, &requests, Yes),
        (S, &requests, No),
        (C, &requests[..20], Maybe),
        (C, &indexed, Maybe),
        (C, b"GET / HTTP/1.1\r\n\r\n", No),
        (S, b"HTTP/1.1 200 OK\r\n\r\n", No),
        (C, b"*1\r\n$4\r\nPING\r\n", No),
        (C, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", No),
        // Kafka, MySQL, PostgreSQL and MongoDB.
        (C, b"\0\0\0\x14\0\x12\0\x03\0\0\0\x01\0\x07", No),
        (S, b"\x4a\0\0\0\x0a8.0.36\0", No),
        (C, b"\0\0\0\x08\x04\xd2\x16\x2f", Maybe),
        (C, b"\0\0\0\x4e\0\x03\0\0user\0", No),
        (C, b"\x3a\0\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0", No),
        (C, &[0; 64], No),
        (S, &[0; 8], Maybe),
    ] {
        assert_eq!(Http2.detect(side, bytes), expected, "{side:?} {}", bytes.escape_ascii());
    }
}
