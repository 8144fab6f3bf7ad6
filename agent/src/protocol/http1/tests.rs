//! Conversations, their messages, and what can be said about each.
use super::super::attribute::{Attribute, Value};
use super::super::context::testing::carried;
use super::super::testing::{self, Message, SERVER, Transcript};
use super::super::{Kind, Request, Response};
use super::*;
use proptest::prelude::*;
use std::borrow::Cow;

use Side::{Client as C, Server as S};

/// A message on the wire and what it shall be seen as; the end of one marked `…` is never found.
type Scene<'a> = (Side, &'a str, &'a str);

fn decode(pieces: &[(Side, &[u8])]) -> Transcript {
    testing::run(Http1.decoder(SERVER, false).as_mut(), pieces)
}

/// A message in a word: the method's name, the status, `~` before what is interim.
fn label(message: &Message) -> String {
    let status = |response: &Response| match response.attributes.first() {
        Some(Attribute { key: semconv::HTTP_RESPONSE_STATUS_CODE, value: Value::Int(status), .. }) => status.to_string(),
        _ => String::new(),
    };
    let text = match &message.head {
        Some(Head::Request(request)) => request.name.to_string(),
        Some(Head::Response(response)) if response.interim => "~".to_owned(),
        Some(Head::Response(response)) => status(response),
        None => "?".to_owned(),
    };
    if message.end.is_some() { text } else { text + "…" }
}

fn summary(transcript: &Transcript) -> Vec<(Side, u64, Option<u64>, String)> {
    transcript.messages.iter().map(|message| (message.side, message.start, message.end, label(message))).collect()
}

/// Every scene is one message, however the bytes are cut, and the connection becomes `left`.
fn plays(scenes: &[Scene<'_>], left: Option<&'static str>) {
    let mut expected = Vec::new();
    let mut at = [0, 0];
    for (side, text, label) in scenes {
        let start = at[*side as usize];
        let end = start + text.len() as u64;
        at[*side as usize] = end;
        expected.push((*side, start, (!label.ends_with('…')).then_some(end), (*label).to_owned()));
    }
    let whole: Vec<(Side, &[u8])> = scenes.iter().map(|(side, text, _)| (*side, text.as_bytes())).collect();
    let bytewise: Vec<(Side, &[u8])> = whole.iter().flat_map(|(side, text)| text.chunks(1).map(|byte| (*side, byte))).collect();
    for pieces in [whole, bytewise] {
        let transcript = decode(&pieces);
        assert_eq!((summary(&transcript), transcript.left, transcript.invalid), (expected.clone(), left, 0));
    }
}

#[test]
fn keep_alive_requests_are_messages_of_their_own() {
    plays(
        &[
            (C, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET"),
            (S, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200"),
            (C, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST"),
            (S, "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", "404"),
            (C, "BREW /pot HTTP/1.0\n\n", "HTTP"),
            (S, "HTTP/1.0 418 I'm a teapot\n\nshort and stout", "418"),
        ],
        None,
    );
}

#[test]
fn pipelined_responses_find_their_requests_in_order() {
    plays(
        &[
            (C, "HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD"),
            (C, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", "GET"),
            (C, "HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD"),
            (S, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200"),
            (S, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200"),
            (S, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200"),
        ],
        None,
    );
}

#[test]
fn chunks_have_extensions_and_trailers() {
    plays(
        &[
            (C, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b;c\"\r\nhello\r\n00\r\nX-Sum: 1\r\n folded\r\n\r\n", "POST"),
            (S, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nA \r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n", "200"),
            (C, "GET / HTTP/1.1\r\n\r\n", "GET"),
            (S, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\nx\n0\n\n", "200"),
        ],
        None,
    );
}

#[test]
fn responses_without_a_body_end_at_their_head() {
    plays(
        &[
            (C, "GET / HTTP/1.1\r\n\r\n", "GET"),
            (S, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", "304"),
            (C, "DELETE / HTTP/1.1\r\n\r\n", "DELETE"),
            (S, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "204"),
            (C, "HEAD / HTTP/1.1\r\n\r\n", "HEAD"),
            (S, "HTTP/1.1 500 Oops\r\n\r\n", "500"),
        ],
        None,
    );
}

#[test]
fn interim_responses_come_before_the_final_one() {
    plays(
        &[
            (C, "HEAD / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "HEAD"),
            (S, "HTTP/1.1 100 Continue\r\n\r\n", "~"),
            (S, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "~"),
            (S, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "200"),
            (C, "GET / HTTP/1.1\r\n\r\n", "GET"),
        ],
        None,
    );
}

#[test]
fn a_body_without_length_lasts_until_the_connection_ends() {
    plays(&[(C, "GET / HTTP/1.0\r\n\r\n", "GET"), (S, "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "200")], None);
    plays(&[(C, "GET / HTTP/1.0\r\n\r\n", "GET"), (S, "HTTP/1.1 200 OK\r\n\r\n", "200")], None);
}

#[test]
fn an_unfinished_message_never_ends() {
    plays(&[(C, "GET / HTTP/1.1\r\n\r\n", "GET"), (S, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "200…")], None);
    plays(&[(C, "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n", "PUT…")], None);
    assert_eq!(decode(&[(C, b"GET / HTTP/1.1\r\nHost: a\r\n")]), Transcript::default());
}

#[test]
fn a_response_may_come_before_the_request_has_ended() {
    let (start, rest) = ("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", "defghi");
    let response = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    let next = "GET / HTTP/1.1\r\n\r\n";
    let transcript = decode(&[(C, start.as_bytes()), (S, response.as_bytes()), (C, rest.as_bytes()), (C, next.as_bytes())]);
    let request = (start.len() + rest.len()) as u64;
    let expected = vec![
        (C, 0, Some(request), "POST".to_owned()),
        (S, 0, Some(response.len() as u64), "413".to_owned()),
        (C, request, Some(request + next.len() as u64), "GET".to_owned()),
    ];
    assert_eq!((summary(&transcript), transcript.invalid), (expected, 0));
}

#[test]
fn upgrades_and_tunnels_leave_http() {
    let upgrade = "GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (value, name) in [("WebSocket", "websocket"), ("h2c", "h2c"), ("SPDY/3.1", "spdy"), ("x-own", "upgrade")] {
        let switch = format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: {value}\r\nContent-Length: 5\r\n\r\n");
        plays_with_more(&[(C, upgrade, "GET"), (S, &switch, "101")], (S, "\u{1}\u{2}"), name);
        plays_with_more(&[(C, upgrade, "GET"), (S, &switch, "101")], (C, "GET / HTTP/1.1\r\n\r\n"), name);
    }
    let connect = "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n";
    let open = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    plays_with_more(&[(C, connect, "CONNECT"), (S, open, "200")], (C, "\u{16}\u{3}"), "tunnel");
    let refusals =
        [(C, connect, "CONNECT"), (S, "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", "407"), (C, "GET / HTTP/1.1\r\n\r\n", "GET")];
    plays(&refusals, None);
    // Bytes for the tunnel may come before the answer.
    let early = decode(&[(C, connect.as_bytes()), (C, b"\x16\x03\x01"), (S, open.as_bytes()), (C, b"\x02")]);
    assert_eq!((early.messages.len(), early.left, early.invalid), (2, Some("tunnel"), 0));
}

fn plays_with_more(scenes: &[Scene<'_>], (side, more): (Side, &str), left: &'static str) {
    let mut pieces: Vec<(Side, &[u8])> = scenes.iter().map(|(side, text, _)| (*side, text.as_bytes())).collect();
    let expected = summary(&decode(&pieces));
    assert_eq!(
        expected.iter().map(|(.., label)| label.as_str()).collect::<Vec<_>>(),
        scenes.iter().map(|scene| scene.2).collect::<Vec<_>>()
    );
    pieces.push((side, more.as_bytes()));
    let transcript = decode(&pieces);
    assert_eq!((summary(&transcript), transcript.left, transcript.invalid), (expected, Some(left), 0));
}

#[test]
fn bodies_are_stepped_over_without_being_there() {
    let mut decoder = Http1.decoder(SERVER, true);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n";
    let Step::Take(take) = decoder.decode(S, head, false) else { panic!("no step") };
    assert_eq!((take.used, take.start, take.end), (head.len() as u64 + (1 << 40), true, true));
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(matches!(decoder.decode(S, chunked, false), Step::Take(Take { end: false, .. })));
    assert_eq!(decoder.decode(S, b"10000000\r\n", false), Step::Take(Take { used: 10 + 0x1000_0000, ..Take::default() }));
}

#[test]
fn responses_without_a_request_are_messages() {
    plays(
        &[
            (S, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200"),
            (S, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", "408"),
        ],
        None,
    );
}

#[test]
fn a_loss_of_responses_forgets_what_was_asked() {
    let mut decoder = Http1.decoder(SERVER, false);
    let heads = b"HEAD / HTTP/1.1\r\n\r\n";
    for side in [C, S] {
        assert!(matches!(decoder.decode(C, heads, false), Step::Take(Take { end: true, .. })));
        decoder.lost(side);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
        let Step::Take(take) = decoder.decode(S, head, false) else { panic!("no step") };
        assert_eq!(take.used, head.len() as u64 + if side == S { 7 } else { 0 });
    }
}

#[test]
fn a_request_that_is_refused_awaits_no_response() {
    let mut decoder = Http1.decoder(SERVER, false);
    assert_eq!(decoder.decode(C, b"HEAD / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", false), Step::Invalid);
    decoder.lost(C);
    assert!(matches!(decoder.decode(C, b"GET / HTTP/1.1\r\n\r\n", false), Step::Take(Take { end: true, .. })));
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
    assert!(matches!(decoder.decode(S, response, false), Step::Take(Take { used, .. }) if used == response.len() as u64 + 7));
}

#[test]
fn unanswered_requests_are_bounded() {
    let mut decoder = Http1.decoder(SERVER, false);
    let mut ask = || decoder.decode(C, b"GET / HTTP/1.1\r\n\r\n", false);
    assert!((0..MOST_PIPELINED).all(|_| matches!(ask(), Step::Take(Take { end: true, .. }))));
    assert_eq!(ask(), Step::Invalid);
}

#[test]
fn nonsense_is_dropped_until_the_next_turn() {
    let transcript = decode(&[
        (C, b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n"),
        (C, b"GET / HTTP/1.1\r\n\r\n"),
        (S, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        (C, b"GET / HTTP/1.1\r\n\r\n"),
        (S, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]);
    let expected = vec![(C, 39, Some(57), "GET".to_owned()), (S, 57, Some(95), "200".to_owned())];
    assert_eq!((summary(&transcript), transcript.invalid), (expected, 2));
}

#[test]
fn heads_past_16_kib_are_whole_and_past_48_kib_are_truncated() {
    let padding = |length: usize| format!("Cookie: {}\r\n", "c".repeat(length));
    let cookies = |count| padding(4000).repeat(count);
    let request = |extra: &str| format!("POST /p HTTP/1.1\r\nHost: a\r\n{extra}traceparent: {TRACEPARENT}\r\nContent-Length: 3\r\n\r\nabc");
    let next = "GET / HTTP/1.1\r\n\r\n";
    for (extra, truncated) in [(cookies(6), false), (padding(40_000), false), (cookies(14), true), (padding(200_000), true)] {
        let text = request(&extra);
        plays(&[(C, &text, "POST"), (C, next, "GET")], None);
        let mut messages = decode(&[(C, text.as_bytes())]).messages;
        let Some(Head::Request(request)) = messages.pop().and_then(|message| message.head) else { panic!("no request") };
        let mark = Attribute::both(semconv::WIRESPAN_TRUNCATED, true);
        assert_eq!((request.attributes.contains(&mark), request.carried.is_none()), (truncated, truncated), "{}", extra.len());
    }
    let response = format!("HTTP/1.1 503 Busy\r\n{}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", padding(60_000));
    plays(&[(C, next, "GET"), (S, &response, "503")], None);
    // A start line as long is nothing that a server would answer.
    let transcript = decode(&[(C, format!("GET /{} HTTP/1.1\r\n\r\n", "u".repeat(head::ENOUGH)).as_bytes())]);
    assert_eq!((transcript.messages.len(), transcript.invalid), (0, 1));
}

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The attributes of the only request in `text`.
fn request(text: &str) -> Request {
    let mut messages = decode(&[(C, text.as_bytes())]).messages;
    match messages.pop().and_then(|message| message.head) {
        Some(Head::Request(request)) if messages.is_empty() => request,
        other => panic!("{text:?} is {other:?}"),
    }
}

#[test]
fn a_request_says_what_the_conventions_ask_for() {
    let text = format!(
        "GET /a%20b?q=1&token=abc HTTP/1.1\r\nhost: shop.example:8080\r\nUser-Agent: curl/8\r\nAuthorization: Bearer CANARY\r\nCookie: CANARY\r\n\
         X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\nTraceParent: {TRACEPARENT}\r\ntracestate: a=1\r\nTraceState: b=2\r\n\r\n"
    );
    let expected = Request {
        attributes: vec![
            Attribute::both(semconv::HTTP_REQUEST_METHOD, "GET"),
            Attribute::client(semconv::URL_FULL, "http://shop.example:8080/a%20b?q=1&token=REDACTED".to_owned()),
            Attribute::server(semconv::URL_PATH, "/a%20b".to_owned()),
            Attribute::server(semconv::URL_QUERY, "q=1&token=REDACTED".to_owned()),
            Attribute::server(semconv::URL_SCHEME, "http".to_owned()),
            Attribute::both(semconv::SERVER_ADDRESS, "shop.example".to_owned()),
            Attribute::both(semconv::SERVER_PORT, 8080),
            Attribute::server(semconv::USER_AGENT_ORIGINAL, "curl/8".to_owned()),
            Attribute::server(semconv::CLIENT_ADDRESS, "203.0.113.7".to_owned()),
            Attribute::both(semconv::NETWORK_PROTOCOL_VERSION, "1.1"),
        ],
        carried: carried(&[("traceparent", TRACEPARENT), ("tracestate", "a=1,b=2")]),
        ..Request::new(Kind::Service, "GET")
    };
    assert!(expected.carried.is_some());
    assert_eq!(request(&text), expected);
}

#[test]
fn targets_of_every_form_say_where_they_lead() {
    let row = |full: &str, path: &str, query: Option<&str>, scheme: &str, server: Option<(&str, i64)>| {
        let mut row = vec![Attribute::client(semconv::URL_FULL, full.to_owned()), Attribute::server(semconv::URL_PATH, path.to_owned())];
        row.extend(query.map(|query| Attribute::server(semconv::URL_QUERY, query.to_owned())));
        row.push(Attribute::server(semconv::URL_SCHEME, scheme.to_owned()));
        if let Some((address, port)) = server {
            row.push(Attribute::both(semconv::SERVER_ADDRESS, address.to_owned()));
            row.push(Attribute::both(semconv::SERVER_PORT, port));
        }
        row
    };
    let shop = Some(("shop", 80));
    for (line, host, expected) in [
        ("GET / HTTP/1.1", "Host: shop\r\n", row("http://shop/", "/", None, "http", shop)),
        ("GET /?a=1#f HTTP/1.1", "Host: [::1]:81\r\n", row("http://[::1]:81/?a=1", "/", Some("a=1"), "http", Some(("::1", 81)))),
        ("GET / HTTP/1.0", "", row("http://198.18.0.2:8080/", "/", None, "http", None)),
        ("GET / HTTP/1.1", "Host: a b\r\n", row("http://198.18.0.2:8080/", "/", None, "http", None)),
        ("GET //x?? HTTP/1.1", "Host: shop\r\n", row("http://shop//x??", "//x", Some("?"), "http", shop)),
        ("OPTIONS * HTTP/1.1", "Host: shop\r\n", row("http://shop", "*", None, "http", shop)),
        ("CONNECT db:5432 HTTP/1.1", "Host: db\r\n", row("db:5432", "", None, "http", Some(("db", 5432)))),
        ("GET http://other HTTP/1.1", "Host: shop\r\n", row("http://other", "/", None, "http", Some(("other", 80)))),
        (
            "GET HTTPS://other/p?sig=x HTTP/1.1",
            "",
            row("https://other/p?sig=REDACTED", "/p", Some("sig=REDACTED"), "https", Some(("other", 443))),
        ),
        ("GET http://me:CANARY@other:8/ HTTP/1.1", "", row("http://REDACTED:REDACTED@other:8/", "/", None, "http", Some(("other", 8)))),
    ] {
        let found = request(&format!("{line}\r\n{host}\r\n")).attributes;
        assert_eq!(found[1..found.len() - 1], expected, "{line} {host}");
    }
    let long = request(&format!("GET /{} HTTP/1.1\r\n\r\n", "\u{e9}".repeat(10_000))).attributes;
    assert!(long.iter().all(|attribute| !matches!(&attribute.value, Value::Text(text) if text.len() > 8 * 1024)));
}

#[test]
fn methods_are_known_by_their_exact_name() {
    for (method, name, original) in [("PATCH", "PATCH", None), ("get", "HTTP", Some("get")), ("PROPFIND", "HTTP", Some("PROPFIND"))] {
        let request = request(&format!("{method} / HTTP/1.1\r\n\r\n"));
        let mut expected = vec![Attribute::both(semconv::HTTP_REQUEST_METHOD, if original.is_some() { "_OTHER" } else { name })];
        expected.extend(original.map(|original| Attribute::both(semconv::HTTP_REQUEST_METHOD_ORIGINAL, original.to_owned())));
        assert_eq!((&*request.name, &request.attributes[..expected.len()]), (name, &expected[..]));
    }
}

#[test]
fn a_status_is_an_error_to_whom_the_conventions_say() {
    for (status, client, server) in [(200, None, None), (399, None, None), (404, Some("404"), None), (503, Some("503"), Some("503"))] {
        let mut messages = decode(&[(S, format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n").as_bytes())]).messages;
        let expected = Response {
            attributes: vec![Attribute::both(semconv::HTTP_RESPONSE_STATUS_CODE, status)],
            client_error: client.map(Cow::Borrowed),
            server_error: server.map(Cow::Borrowed),
            ..Response::default()
        };
        assert_eq!(messages.pop().and_then(|message| message.head), Some(Head::Response(expected)));
    }
    let interim = decode(&[(S, b"HTTP/1.1 100 Continue\r\n\r\n")]).messages.pop().and_then(|message| message.head);
    assert_eq!(interim, Some(Head::Response(Response { interim: true, ..Response::default() })));
}

#[test]
fn detection_asks_for_a_whole_line_and_sees_through_look_alikes() {
    use Guess::{Likely, Maybe, No, Yes};
    let long = format!("GET /{}", "u".repeat(head::ENOUGH));
    for (side, bytes, expected) in [
        (C, "", Maybe),
        (C, "G", Maybe),
        (C, "GET /index.html?x", Maybe),
        (C, "GET / HTTP/1.1\r", Maybe),
        (C, "GET / HTTP/1.1\r\n", Likely),
        (C, "GET / HTTP/1.1\r\nHos", Likely),
        (C, "GET / HTTP/1.1\r\nHost: a\r\n", Yes),
        (C, "GET / HTTP/1.0\n\n", Yes),
        (C, "M-SEARCH * HTTP/1.1\r\n\r\n", Yes),
        (C, "CONNECT a:1 HTTP/1.1\r\n\r\n", Yes),
        (C, "GET / HTTP/1.1\r\nno header\r\n", No),
        (C, "GET / HTTP/1.1\r\n\u{0}", No),
        (C, "GET \u{0}\u{1}", No),
        (C, "GET key\r\n", No),
        (C, "GET key HTTP/1.1\r\n", No),
        (C, "GET / HTTP/1.\r\n", No),
        (C, "GET / HTTP/1.1 x", No),
        (C, "GET /  HTTP/1.1\r\n\r\n", No),
        (C, " GET / HTTP/1.1\r\n\r\n", No),
        (C, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", No),
        (C, "PRI * HTTP/2", No),
        (C, "OPTIONS rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n", No),
        (C, "INVITE sip:bob@b SIP/2.0\r\nVia: x\r\n", No),
        (C, "*1\r\n$4\r\nPING\r\n", No),
        (C, "PING\r\n", No),
        (C, "SSH-2.0-x\r\n", No),
        (C, "\u{16}\u{3}\u{1}", No),
        (C, "HTTP/1.1 200 OK\r\n", No),
        (C, &long, No),
        (S, "HTTP", Maybe),
        (S, "HTTP/1.1 20", Maybe),
        (S, "HTTP/1.1 200 O", Maybe),
        (S, "HTTP/1.1 200 OK\r\n", Likely),
        (S, "HTTP/1.1 200\r\nA: b\r\n", Yes),
        (S, "HTTP/1.1 999 \n\n", Yes),
        (S, "HTTP/1.1\r\n", No),
        (S, "HTTP/1.1 2000 OK\r\n", No),
        (S, "HTTP/1.1 099 x\r\n", No),
        (S, "HTTP/1.1 OK\r\n", No),
        (S, "HTTP/2.0 200", No),
        (S, "RTSP/1.0 200 OK\r\n", No),
        (S, "GET / HTTP/1.1\r\n", No),
        (S, "+PONG\r\n", No),
    ] {
        assert_eq!(Http1.detect(side, bytes.as_bytes()), expected, "{side:?} {bytes:.60?}");
    }
}

mod generated {
    //! Conversations from a model that knows their messages, cut anywhere, damaged anywhere, and heads that httparse reads too.
    use super::*;

    /// Pieces in the order of the wire, and the messages in them.
    type Play = (Vec<(Side, Vec<u8>)>, Vec<(Side, u64, Option<u64>, String)>);

    fn chunked() -> impl Strategy<Value = String> {
        prop::collection::vec(("[a-z\r\n0]{1,20}", "(;[a-z]{1,4}(=[a-z]{1,3})?)?"), 0..4).prop_flat_map(|chunks| {
            let body: Vec<String> = chunks.iter().map(|(data, extension)| format!("{:x}{extension}\r\n{data}\r\n", data.len())).collect();
            let body = body.concat();
            "(X-[a-z]{1,3}: [a-z]{0,5}\r\n){0,2}".prop_map(move |trailers| format!("{body}0\r\n{trailers}\r\n"))
        })
    }

    /// Headers that announce a body, and the body.
    fn content() -> impl Strategy<Value = (String, String)> {
        prop_oneof![
            Just((String::new(), String::new())),
            "[a-zGET /HTP1.\r\n]{0,60}".prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body)),
            chunked().prop_map(|body| ("transfer-encoding: chunked\r\n".to_owned(), body)),
        ]
    }

    /// A request, its interim responses and its response; the flag says that the rest of the request comes last.
    fn exchange() -> impl Strategy<Value = (String, String, String, Vec<String>, String, String)> {
        let method = prop::sample::select(vec!["GET", "POST", "HEAD", "OPTIONS"]);
        let headers = "(Via: [ -9;-~]{0,30}\r\n){0,3}";
        let interim = prop::collection::vec(Just("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".to_owned()), 0..3);
        let status = prop::sample::select(vec!["200", "204", "304", "404", "500"]);
        (method, "/[a-z0-9/?&=]{0,20}", headers, content(), interim, status, content()).prop_map(
            |(method, target, headers, (announced, body), interim, status, (announced_back, answer))| {
                let request = format!("{method} {target} HTTP/1.1\r\n{headers}{announced}\r\n");
                let bodiless = method == "HEAD" || status == "204" || status == "304";
                let length = if announced_back.is_empty() { "Content-Length: 0\r\n" } else { &announced_back };
                let response = format!("HTTP/1.1 {status} Any Reason\r\n{length}\r\n{}", if bodiless { "" } else { &answer });
                (method.to_owned(), request, body, interim, status.to_owned(), response)
            },
        )
    }

    /// Batches of pipelined exchanges; of a batch of one, the request's body may end after the response.
    fn play() -> impl Strategy<Value = Play> {
        prop::collection::vec((prop::collection::vec(exchange(), 1..4), any::<bool>()), 1..4).prop_map(|batches| {
            let mut play: Play = (Vec::new(), Vec::new());
            let mut at = [0, 0];
            let mut message = |messages: &mut Vec<_>, side: Side, length: usize, label: &str| {
                let start = at[side as usize];
                at[side as usize] += length as u64;
                messages.push((side, start, Some(at[side as usize]), label.to_owned()));
            };
            for (batch, late) in batches {
                let late = late && batch.len() == 1;
                let mut late_body = Vec::new();
                for (method, request, body, ..) in &batch {
                    play.0.push((C, request.clone().into_bytes()));
                    if late { &mut late_body } else { &mut play.0 }.push((C, body.clone().into_bytes()));
                    message(&mut play.1, C, request.len() + body.len(), method);
                }
                for (.., interim, status, response) in &batch {
                    for text in interim {
                        play.0.push((S, text.clone().into_bytes()));
                        message(&mut play.1, S, text.len(), "~");
                    }
                    play.0.push((S, response.clone().into_bytes()));
                    message(&mut play.1, S, response.len(), status);
                }
                play.0.append(&mut late_body);
            }
            play
        })
    }

    /// Cuts every piece at places that follow from `seeds`.
    fn cut<'a>(pieces: &'a [(Side, Vec<u8>)], seeds: &[u8]) -> Vec<(Side, &'a [u8])> {
        let mut seeds = seeds.iter().cycle();
        let mut cut = Vec::new();
        for (side, bytes) in pieces {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(rest.len().min(1 + usize::from(*seeds.next().unwrap_or(&0))));
                cut.push((*side, piece));
                rest = tail;
            }
        }
        cut
    }

    proptest! {
        #[test]
        fn every_message_is_found_where_it_is_however_it_is_cut((pieces, expected) in play(), seeds in prop::collection::vec(0..60u8, 1..20)) {
            let transcript = decode(&cut(&pieces, &seeds));
            prop_assert_eq!(summary(&transcript), expected);
            prop_assert_eq!((transcript.left, transcript.invalid), (None, 0));
            prop_assert_eq!(transcript, decode(&cut(&pieces, &[255])));
        }

        #[test]
        fn damaged_conversations_do_not_depend_on_cuts_either(
            (mut pieces, _) in play(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 1..6),
            seeds in prop::collection::vec(0..60u8, 1..20),
        ) {
            for (piece, place, how, byte) in damage {
                let bytes = &mut piece.get(&pieces).1.clone();
                let at = place.index(bytes.len() + 1);
                match how {
                    0 => bytes.insert(at, byte),
                    1 => bytes.truncate(at),
                    2 => bytes.splice(at..at, b"\r\n\r\n".iter().copied()).for_each(drop),
                    _ => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = byte),
                }
                let index = piece.index(pieces.len());
                pieces[index].1.clone_from(bytes);
            }
            prop_assert_eq!(decode(&cut(&pieces, &seeds)), decode(&cut(&pieces, &[255])));
        }

        #[test]
        fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "(\\PC|\r\n|HTTP/1.1 |GET |: |chunked){0,60}") {
            testing::fuzz(&Http1, &bytes);
            testing::fuzz(&Http1, text.as_bytes());
        }

        #[test]
        fn detection_never_takes_back_a_judgement((pieces, _) in play(), byte in any::<u8>(), place in any::<prop::sample::Index>()) {
            let (side, mut bytes) = pieces[0].clone();
            bytes[place.index(pieces[0].1.len())] = byte;
            let guesses: Vec<Guess> = (0..=bytes.len()).map(|end| Http1.detect(side, &bytes[..end])).collect();
            prop_assert!(guesses.windows(2).all(|pair| pair[0] == Guess::No && pair[1] == Guess::No || pair[0] != Guess::No && (pair[1] >= pair[0] || pair[1] == Guess::No && pair[0] != Guess::Yes)));
        }

        #[test]
        fn httparse_reads_the_same_heads(
            method in "[A-Z]{1,8}", target in "/[!-~]{0,20}", headers in prop::collection::vec(("[A-Za-z-]{1,12}", "[ -~]{0,20}"), 0..8),
            damage in any::<Option<(prop::sample::Index, u8)>>(), crlf in any::<bool>(),
        ) {
            let mut text: String = format!("{method} {target} HTTP/1.1\r\n");
            text.extend(headers.iter().flat_map(|(name, value)| [name, ":", value, "\r\n"]));
            let mut bytes = (if crlf { text + "\r\n" } else { text.replace("\r\n", "\n") + "\n" }).into_bytes();
            if let Some((place, byte)) = damage {
                let at = place.index(bytes.len());
                bytes[at] = byte;
            }
            let mut slots = [httparse::EMPTY_HEADER; 32];
            let mut oracle = httparse::Request::new(&mut slots);
            if let Ok(httparse::Status::Complete(length)) = oracle.parse(&bytes)
                && !bytes.starts_with(b"\r") && !bytes.starts_with(b"\n")
            {
                prop_assert_eq!(Scan::default().search(&bytes), Found::End(length));
                let mut lines = head::lines(&bytes[..length]);
                let start = lines.next().unwrap_or_default();
                let path = oracle.path.unwrap_or_default();
                if path.starts_with('/') {
                    let expected = format!("{} {path} HTTP/1.{}", oracle.method.unwrap_or_default(), oracle.version.unwrap_or_default());
                    prop_assert_eq!(start, expected.as_bytes());
                    prop_assert!(Line::read(start).is_some());
                }
                let fields: Vec<_> = lines.map(head::header).collect();
                let expected: Vec<_> = oracle.headers.iter().map(|header| Some((header.name.as_bytes(), header.value.trim_ascii()))).collect();
                prop_assert_eq!(fields, expected);
            } else {
                prop_assert!(damage.is_some(), "httparse refuses {}", bytes.escape_ascii());
            }
        }
    }
}
