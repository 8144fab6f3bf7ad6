//! Conversations as a specification: what a web server and an application say, and what becomes of it.
use super::*;
use crate::protocol::attribute::Attribute;
use crate::protocol::context::testing::carried;
use crate::protocol::testing::{self, SERVER, Said, Transcript};
use crate::protocol::{Head, More, Response};
use crate::semconv;
use proptest::prelude::*;

use Side::{Client as C, Server as S};

/// What no output may contain.
const CANARY: &str = "c4n4ry";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn record(kind: u8, id: u8, content: &[u8], padding: u8) -> Vec<u8> {
    let length = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, id, length[0], length[1], padding, 0], content, &vec![0; padding.into()]].concat()
}

fn begin(id: u8) -> Vec<u8> {
    record(1, id, &[0, 1, 1, 0, 0, 0, 0, 0], 0)
}

fn pair(name: &str, value: &str) -> Vec<u8> {
    [&[name.len() as u8], &(value.len() as u32 | 1 << 31).to_be_bytes()[..], name.as_bytes(), value.as_bytes()].concat()
}

fn params(path: &str) -> Vec<u8> {
    [
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_URI", path),
        ("SCRIPT_NAME", "/index.php"),
        ("HTTP_HOST", "shop:81"),
        ("SERVER_PROTOCOL", "HTTP/2.0"),
    ]
    .into_iter()
    .flat_map(|(name, value)| pair(name, value))
    .collect()
}

/// A whole request: its parameters in two pieces, and a body.
fn ask(id: u8, path: &str) -> Vec<u8> {
    let params = params(path);
    let (first, second) = params.split_at(9);
    [begin(id), record(4, id, first, 3), record(4, id, second, 0), record(4, id, b"", 0), record(5, id, b"a=1", 5), record(5, id, b"", 0)]
        .concat()
}

fn end(id: u8, exit: u8, refusal: u8) -> Vec<u8> {
    record(3, id, &[0, 0, 0, exit, refusal, 0, 0, 0], 0)
}

fn answer(id: u8, text: &str) -> Vec<u8> {
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    [record(6, id, first, 0), record(6, id, second, 7), record(6, id, b"", 0), end(id, 0, 0)].concat()
}

/// Decodes pieces, whole and byte by byte, which must make no difference.
fn run(pieces: &[(Side, Vec<u8>)]) -> (Transcript, Vec<Said>) {
    let whole: Vec<(Side, &[u8])> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let bytewise: Vec<(Side, &[u8])> = whole.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))).collect();
    let found = testing::run_with_more(FastCgi.decoder(SERVER, false).as_mut(), &whole);
    assert_eq!(testing::run_with_more(FastCgi.decoder(SERVER, false).as_mut(), &bytewise), found);
    found
}

fn outcome(response: &Response) -> String {
    let value = |key: &str| {
        response
            .attributes
            .iter()
            .find(|attribute| attribute.key == key)
            .map_or_else(String::new, |attribute| format!(" {:?}", attribute.value))
    };
    let keys = [semconv::HTTP_RESPONSE_STATUS_CODE, semconv::WIRESPAN_FASTCGI_EXIT_STATUS, semconv::WIRESPAN_FASTCGI_STDERR];
    let errors = [&response.client_error, &response.server_error]
        .map(|error| error.as_deref().map_or_else(String::new, |error| format!(" !{error}")));
    keys.map(value).concat() + &errors.concat()
}

/// Messages in a line each, and what was said behind them.
fn told(pieces: &[(Side, Vec<u8>)]) -> Vec<String> {
    let (transcript, more) = run(pieces);
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
    let head = |message: &testing::Message| match message.head.as_ref().expect("a head") {
        Head::Request(request) => format!("{} > {}", request.correlation.unwrap_or_default(), request.name),
        Head::Response(response) => format!("{} <{}", response.correlation.unwrap_or_default(), outcome(response)),
    };
    let said = |(_, more): &Said| match more {
        More::Trailer(response) => format!("{} end{}", response.correlation.unwrap_or_default(), outcome(response)),
        other => format!("{other:?}"),
    };
    transcript.messages.iter().map(head).chain(more.iter().map(said)).collect()
}

#[test]
fn a_request_says_what_http_would_have_said() {
    let more = [("HTTP_TRACEPARENT", TRACEPARENT), ("HTTP_USER_AGENT", "curl/8"), ("REMOTE_ADDR", "198.18.0.9"), ("HTTPS", "on")];
    let all = [params("/orders/7?token=x&q=1"), more.into_iter().flat_map(|(name, value)| pair(name, value)).collect()].concat();
    let (transcript, _) = run(&[(C, [begin(1), record(4, 1, &all, 0), record(4, 1, b"", 0)].concat())]);
    let Some(Head::Request(request)) = transcript.messages.into_iter().next().and_then(|message| message.head) else { panic!("a request") };
    let expected = vec![
        Attribute::both(semconv::HTTP_REQUEST_METHOD, "POST"),
        Attribute::client(semconv::URL_FULL, "https://shop:81/orders/7?token=REDACTED&q=1".to_owned()),
        Attribute::server(semconv::URL_PATH, "/orders/7".to_owned()),
        Attribute::server(semconv::URL_QUERY, "token=REDACTED&q=1".to_owned()),
        Attribute::server(semconv::URL_SCHEME, "https"),
        Attribute::both(semconv::SERVER_ADDRESS, "shop".to_owned()),
        Attribute::both(semconv::SERVER_PORT, 81),
        Attribute::server(semconv::USER_AGENT_ORIGINAL, "curl/8".to_owned()),
        Attribute::both(semconv::NETWORK_PROTOCOL_VERSION, "2"),
        Attribute::server(semconv::CLIENT_ADDRESS, "198.18.0.9".to_owned()),
        Attribute::both(semconv::WIRESPAN_FASTCGI_SCRIPT, "/index.php".to_owned()),
    ];
    assert_eq!(request.attributes, expected);
    assert_eq!(request.carried, carried(&[("traceparent", TRACEPARENT)]));
}

#[test]
fn the_status_is_what_the_application_says_and_how_it_ended() {
    for (text, exit, refusal, expected) in [
        ("Status: 404 Not Found\r\nContent-Type: text/html\r\n\r\nno", 0, 0, &["1 end Int(404) !404"][..]),
        ("Content-Type: text/html\n\nStatus: 500", 0, 0, &["1 end Int(200)"]),
        ("X: 1\r\nLocation: /there\r\n\r\n", 0, 0, &["1 end Int(302)"]),
        ("Status: 500\r\n\r\n", 255, 0, &["1 end Int(500) !500 !500", "1 end Int(255)"]),
        ("X: 1\r\n\r\n", 1, 0, &["1 end Int(200)", "1 end Int(1) !exit_status !exit_status"]),
        ("no headers", 0, 0, &[]),
        ("", 0, 2, &["1 end !FCGI_OVERLOADED !FCGI_OVERLOADED"]),
    ] {
        let said = [record(6, 1, text.as_bytes(), 1), end(1, exit, refusal)].concat();
        assert_eq!(told(&[(C, ask(1, "/")), (S, said)]), [&["1 > POST", "1 <"], expected].concat(), "{text}");
    }
    assert_eq!(told(&[(C, ask(1, "/")), (S, end(1, 0, 3))]), ["1 > POST", "1 < !FCGI_UNKNOWN_ROLE !FCGI_UNKNOWN_ROLE"]);
    let log = [record(7, 1, b"PHP Warning", 0), answer(1, "Status: 200\r\n\r\n")].concat();
    assert_eq!(told(&[(C, ask(1, "/")), (S, log)]), ["1 > POST", "1 <", "1 end Int(200)", "1 end Bool(true)"]);
}

#[test]
fn requests_on_one_connection_are_told_apart_also_when_their_records_alternate() {
    let params = |id, path| [record(4, id, &params(path), 0), record(4, id, b"", 0)];
    let ([a, a_end], [b, b_end]) = (params(1, "/a"), params(2, "/b"));
    let asked = [begin(1), begin(2), a, b, b_end, a_end].concat();
    let said = [
        record(6, 2, b"Status: 201\r\n", 0),
        record(6, 1, b"Status: 503\r\n\r\n", 0),
        record(6, 2, b"\r\n", 0),
        end(2, 0, 0),
        end(1, 0, 0),
    ];
    let next = [(C, ask(1, "/again")), (S, answer(1, "Status: 200\r\n\r\nhello"))];
    let all = [&[(C, asked), (S, said.concat())], &next[..]].concat();
    let expected =
        ["2 > POST", "1 > POST", "2 <", "1 <", "3 > POST", "3 <", "1 end Int(503) !503 !503", "2 end Int(201)", "3 end Int(200)"];
    assert_eq!(told(&all), expected);
}

#[test]
fn after_a_loss_nothing_is_paired_with_what_came_before() {
    let mut decoder = FastCgi.decoder(SERVER, false);
    assert!(matches!(decoder.decode(C, &ask(1, "/a"), false), crate::protocol::Step::Take(_)));
    decoder.lost(S);
    let crate::protocol::Step::Take(take) = decoder.decode(S, &end(1, 0, 0), false) else { panic!("a step") };
    assert_eq!((take.start, take.head, take.more, take.end), (false, None, None, false));
}

#[test]
fn secrets_are_nowhere() {
    let secret: Vec<u8> = ["HTTP_COOKIE", "HTTP_AUTHORIZATION", "PHP_AUTH_PW", "REMOTE_USER", "HTTP_X_TOKEN", "SCRIPT_FILENAME", CANARY]
        .into_iter()
        .flat_map(|name| pair(name, CANARY))
        .collect();
    let all = [params(&format!("/login?password={CANARY}")), secret].concat();
    let asked = [begin(1), record(4, 1, &all, 0), record(4, 1, b"", 0), record(5, 1, CANARY.as_bytes(), 0)].concat();
    let said =
        [record(7, 1, CANARY.as_bytes(), 0), answer(1, &format!("Set-Cookie: {CANARY}\r\nStatus: 500 {CANARY}\r\n\r\n{CANARY}"))].concat();
    let found = format!("{:?}", run(&[(C, asked), (S, said)]));
    assert!(found.contains("password=REDACTED") && !found.contains(CANARY), "{found}");
}

#[test]
fn detection_asks_for_a_whole_beginning() {
    use Guess::{Likely, Maybe, No, Yes};
    for (side, bytes, expected) in [
        (C, begin(1), Yes),
        (C, begin(1)[..15].to_vec(), Maybe),
        (C, begin(0), No),
        (C, record(1, 1, &[0, 9, 1, 0, 0, 0, 0, 0], 0), No),
        (C, record(4, 1, b"", 0), No),
        (C, record(9, 0, b"", 0), Likely),
        (C, b"GET / HTTP/1.1\r\n".to_vec(), No),
        (S, record(6, 1, b"x", 0), Likely),
        (S, record(6, 0, b"x", 0), No),
        (S, vec![1, 6, 0], Maybe),
        (S, vec![2, 6, 0], No),
    ] {
        assert_eq!(FastCgi.detect(side, &bytes), expected, "{side:?} {bytes:?}");
    }
}

proptest! {
    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..300), kinds in prop::collection::vec((1..12u8, 0..3u8, 0..20u8), 0..12)) {
        testing::fuzz(&FastCgi, &bytes);
        let records: Vec<u8> = kinds.iter().flat_map(|(kind, id, length)| record(*kind, *id, &vec![*length; (*length).into()], 1)).collect();
        testing::fuzz(&FastCgi, &records);
    }

    #[test]
    fn damaged_conversations_do_not_depend_on_cuts(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut asked = ask(1, "/orders");
        let mut said = [record(7, 1, b"log", 0), answer(1, "Status: 404\r\n\r\nhello")].concat();
        let at = place.index(asked.len() + said.len());
        *asked.iter_mut().chain(&mut said).nth(at).expect("a byte") = byte;
        run(&[(C, asked), (S, said)]);
    }
}
