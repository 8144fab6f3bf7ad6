//! Conversations as a specification: what each side says, and the messages that become of it.
use super::ZooKeeper;
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Kind, Protocol, Side};
use proptest::prelude::*;

const C: Side = Side::Client;
const S: Side = Side::Server;
/// What no output may contain.
const CANARY: &str = "c4n4ry";

fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&u32::try_from(body.len()).expect("short").to_be_bytes()[..], &body].concat()
}

fn buffer(bytes: &[u8]) -> Vec<u8> {
    framed(&[bytes])
}

fn connect(session: i64) -> Vec<u8> {
    let password = format!("{CANARY}{:0>10}", 7);
    framed(&[&[0; 4], &[0; 8], &30_000i32.to_be_bytes(), &session.to_be_bytes(), &buffer(password.as_bytes()), &[0]])
}

fn connected(session: i64) -> Vec<u8> {
    let password = format!("{CANARY}{:0>10}", 7);
    framed(&[&[0; 4], &30_000i32.to_be_bytes(), &session.to_be_bytes(), &buffer(password.as_bytes()), &[0]])
}

fn ask(number: i32, op: i32, parts: &[&[u8]]) -> Vec<u8> {
    framed(&[&number.to_be_bytes(), &op.to_be_bytes(), &parts.concat()])
}

fn reply(number: i32, error: i32, body: &[u8]) -> Vec<u8> {
    framed(&[&number.to_be_bytes(), &77i64.to_be_bytes(), &error.to_be_bytes(), body])
}

/// Who may do what: one entry.
fn acl() -> Vec<u8> {
    [&1i32.to_be_bytes()[..], &31i32.to_be_bytes(), &buffer(b"digest"), &buffer(CANARY.as_bytes())].concat()
}

fn create(path: &str) -> Vec<u8> {
    [buffer(path.as_bytes()), buffer(CANARY.as_bytes()), acl(), vec![0; 4]].concat()
}

/// The head of an operation, or of a result, of several.
fn part(op: i32, error: i32) -> Vec<u8> {
    [&op.to_be_bytes()[..], &[u8::from(op == -1 && error == -1)], &error.to_be_bytes()].concat()
}

fn talk(pieces: &[(Side, Vec<u8>)]) -> Transcript {
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    testing::run(ZooKeeper.decoder(SERVER, false).as_mut(), &pieces)
}

/// Messages in a line each; `-` for what yields nothing.
fn told(transcript: &Transcript) -> Vec<String> {
    let value = |attributes: &[Attribute], key: &str| {
        attributes.iter().find(|attribute| attribute.key == key).map_or_else(String::new, |attribute| match &attribute.value {
            Value::Text(text) => text.to_string(),
            other => format!("{other:?}"),
        })
    };
    let tell = |head: &Option<Head>| match head {
        None => "-".to_owned(),
        Some(Head::Request(request)) => {
            assert_eq!((request.kind, value(&request.attributes, "db.system.name").as_str()), (Kind::Database, "zookeeper"));
            assert_eq!(value(&request.attributes, "db.operation.name"), request.name);
            let (text, count) = (value(&request.attributes, "db.query.text"), value(&request.attributes, "db.operation.batch.size"));
            format!("> {} #{}: {text} {count}", request.name, request.correlation.expect("a number")).trim_end().to_owned()
        }
        Some(Head::Response(response)) => {
            assert_eq!(response.client_error, response.server_error);
            let code = value(&response.attributes, "db.response.status_code");
            let error = response.client_error.as_deref().map(|error| format!(" !{error}")).unwrap_or_default();
            format!("< #{} {code}{error}", response.correlation.expect("a number")).trim_end().to_owned()
        }
    };
    transcript.messages.iter().map(|message| tell(&message.head)).collect()
}

fn conversation() -> Vec<(Side, Vec<u8>)> {
    let path = |path: &str| buffer(path.as_bytes());
    vec![
        (C, connect(0)),
        (S, connected(5)),
        (C, ask(-4, 100, &[&[0; 4], &buffer(b"digest"), &buffer(CANARY.as_bytes())])),
        (S, reply(-4, 0, &[])),
        (C, [ask(1, 1, &[&create("/shop")]), ask(2, 3, &[&path("/shop/none"), &[1]])].concat()),
        (S, [reply(1, -110, &[]), reply(2, -101, &[])].concat()),
        (C, ask(3, 4, &[&path("/shop"), &[1]])),
        (S, reply(3, 0, &[buffer(CANARY.as_bytes()), vec![0; 68]].concat())),
        (C, ask(-2, 11, &[])),
        (S, reply(-2, 0, &[])),
        (S, framed(&[&[0xff; 12], &[0; 4], &3i32.to_be_bytes(), &3i32.to_be_bytes(), &path("/shop")])),
        (C, ask(4, -11, &[])),
        (S, reply(4, 0, &[])),
    ]
}

#[test]
fn each_operation_is_told_with_its_path_and_neither_pings_nor_watches_are() {
    let transcript = talk(&conversation());
    assert_eq!(
        told(&transcript),
        [
            "> createSession #0:",
            "< #0",
            "> auth #4294967292:",
            "< #4294967292",
            "> create #1: create /shop",
            "> exists #2: exists /shop/none",
            "< #1 NODEEXISTS !NODEEXISTS",
            "< #2 NONODE",
            "> getData #3: getData /shop",
            "< #3",
            "-",
            "-",
            "-",
            "> closeSession #4:",
            "< #4",
        ]
    );
    assert_eq!(transcript.invalid, 0);
    assert!(!format!("{transcript:?}").contains(CANARY));
}

#[test]
fn a_session_that_has_expired_is_an_error() {
    assert_eq!(told(&talk(&[(C, connect(5)), (S, connected(0))]))[1], "< #0 SESSIONEXPIRED !SESSIONEXPIRED");
}

#[test]
fn operations_sent_as_one_are_one_and_fail_with_the_error_of_the_first_that_did() {
    let end = part(-1, -1);
    let check = [part(13, -1), buffer(b"/b"), vec![0; 4]].concat();
    let asked = ask(7, 14, &[&part(1, -1), &create("/a"), &check, &end]);
    let error = |code: i32| [part(-1, code).as_slice(), &code.to_be_bytes()].concat();
    let failed = reply(7, 0, &[error(0), error(-103), error(-2), end.clone()].concat());
    let lines = told(&talk(&[(C, asked.clone()), (S, failed)]));
    assert_eq!(lines, ["> multi #7: create /a; check /b Int(2)", "< #7 BADVERSION !BADVERSION"]);
    let done = reply(7, 0, &[part(1, 0), buffer(b"/a"), part(13, 0), end].concat());
    assert_eq!(told(&talk(&[(C, asked), (S, done)]))[1], "< #7");
}

#[test]
fn of_a_large_message_the_beginning_is_enough() {
    let mut large = create("/shop");
    large.splice(9..13, framed(&[&b"x".repeat(90_000)]));
    let asked = ask(1, 1, &[&large]);
    assert_eq!(told(&talk(&[(C, asked.clone()), (S, reply(1, 0, &[]))])), ["> create #1: create /shop", "< #1"]);
    let mut decoder = ZooKeeper.decoder(SERVER, false);
    assert_eq!(decoder.decode(C, &asked[..100], false), crate::protocol::Step::More);
    let take = decoder.unseen(C).expect("its length is known");
    assert_eq!((take.used, take.head.is_some()), (asked.len() as u64, true));
}

#[test]
fn replies_to_what_nobody_saw_are_stepped_over() {
    let transcript =
        talk(&[(S, [reply(90, 0, &[1; 30]), reply(91, -101, &[])].concat()), (C, ask(92, 9, &[&buffer(b"/")])), (S, reply(92, 0, &[]))]);
    assert_eq!((told(&transcript).join(", ").as_str(), transcript.invalid), ("-, -, > sync #92: sync /, < #92", 0));
}

#[test]
fn each_side_is_recognised_by_its_first_message_and_by_ordinary_ones() {
    for (side, bytes, expected) in [
        (C, connect(0), Guess::Yes),
        (S, connected(0x1_0000_0000), Guess::Yes),
        (C, ask(-2, 11, &[]), Guess::Yes),
        (S, reply(-2, 0, &[]), Guess::Yes),
        (C, ask(12, 4, &[&buffer(b"/shop"), &[0]]), Guess::Yes),
        (C, ask(12, -11, &[]), Guess::Yes),
        (C, ask(12, 14, &[&part(-1, -1)]), Guess::Likely),
        (S, reply(12, -101, &[]), Guess::Likely),
        (S, reply(12, 5, &[]), Guess::No),
        (C, ask(12, 4, &[&buffer(b"shop"), &[0]]), Guess::No),
        (C, ask(0, 4, &[&buffer(b"/shop"), &[0]]), Guess::No),
        (C, ask(1, 200, &[]), Guess::No),
        // Kafka, PostgreSQL, HTTP, four letters.
        (C, [&[0, 0, 0, 19, 0, 18, 0, 4, 0, 0, 0, 4, 0, 4][..], b"shop\0\x01\x01\0\0"].concat(), Guess::No),
        (C, [&[0, 0, 0, 0x54, 0, 3, 0, 0][..], b"user\0postgres\0"].concat(), Guess::No),
        (C, b"GET / HTTP/1.1\r\n\r\n".to_vec(), Guess::No),
        (C, b"ruok".to_vec(), Guess::No),
    ] {
        assert_eq!(ZooKeeper.detect(side, &bytes), expected, "{side:?} {bytes:?}");
    }
    for (side, whole) in [(C, connect(0)), (S, connected(9)), (C, ask(3, 4, &[&buffer(b"/shop"), &[1]])), (S, reply(3, 0, &[]))] {
        for length in 1..whole.len() {
            assert!(ZooKeeper.detect(side, &whole[..length]) >= Guess::Maybe, "{side:?} {length}");
        }
    }
}

proptest! {
    #[test]
    fn cuts_and_damage_change_nothing_but_what_they_damage(cuts in prop::collection::vec(1usize..40, 1..30), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5)) {
        let mut turns = conversation();
        for (place, byte) in damage {
            let index = place.index(turns.len());
            let at = place.index(turns[index].1.len());
            turns[index].1[at] = byte;
        }
        let mut sizes = cuts.iter().cycle();
        let mut pieces = Vec::new();
        for (side, bytes) in &turns {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(sizes.next().map_or(1, |size| *size).min(rest.len()));
                pieces.push((*side, piece.to_vec()));
                rest = tail;
            }
        }
        prop_assert_eq!(talk(&pieces), talk(&turns));
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..600), op in -12i32..108) {
        testing::fuzz(&ZooKeeper, &bytes);
        let pieces = [(C, ask(1, op, &[&bytes])), (S, reply(1, 0, &bytes)), (C, ask(2, 14, &[&part(op, -1), &bytes])), (S, reply(2, 0, &[part(-1, 0), bytes.clone()].concat()))];
        talk(&pieces);
    }
}
