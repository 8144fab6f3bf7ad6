//! Conversations as a specification: what each side says, and the messages that become of it.
use super::Dubbo;
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Kind, Protocol, Side};
use proptest::prelude::*;

const C: Side = Side::Client;
const S: Side = Side::Server;
/// What no output may contain.
const CANARY: &str = "c4n4ry";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TWO_WAY_HESSIAN: u8 = 0xc2;

fn framed(flags: u8, status: u8, number: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[0xda, 0xbb, flags, status][..], &number.to_be_bytes(), &length, body].concat()
}

fn string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short");
    if length < 32 {
        [&[text.len() as u8][..], text.as_bytes()].concat()
    } else {
        [&b"S"[..], &length.to_be_bytes(), text.as_bytes()].concat()
    }
}

fn map(pairs: &[(&str, &str)]) -> Vec<u8> {
    let inner: Vec<u8> = pairs.iter().flat_map(|(key, value)| [string(key), string(value)].concat()).collect();
    [&b"H"[..], &inner, b"Z"].concat()
}

/// A call of `shop.Orders` with a text, an object of two fields and an array of numbers.
fn call(flags: u8, number: u64, version: &str, attachments: &[(&str, &str)]) -> Vec<u8> {
    let head = ["2.0.2", "shop.Orders", version, "place", "Ljava/lang/String;Lshop/Item;[I"].map(string).concat();
    let object =
        [&b"C"[..], &string("shop.Item"), b"\x92", &string("name"), &string("price"), b"\x60", &string(CANARY), b"\xc8\x01"].concat();
    let array = [&b"\x72"[..], &string("[int"), b"\x90\x91"].concat();
    framed(flags, 0, number, &[head, string(CANARY), object, array, map(attachments)].concat())
}

fn answer(number: u64, body: &[u8]) -> Vec<u8> {
    framed(0x02, 20, number, body)
}

fn talk(pieces: &[(Side, Vec<u8>)]) -> Transcript {
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    testing::run(Dubbo.decoder(SERVER, false).as_mut(), &pieces)
}

/// Messages in a line each; `-` for what yields nothing.
fn told(transcript: &Transcript) -> Vec<String> {
    let attributes = |all: &[Attribute]| {
        let texts = all.iter().map(|attribute| match &attribute.value {
            Value::Text(text) => format!(" {}={text}", attribute.key),
            other => panic!("{other:?}"),
        });
        texts.collect::<String>()
    };
    let tell = |head: &Option<Head>| match head {
        None => "-".to_owned(),
        Some(Head::Request(request)) => {
            assert_eq!(request.kind, Kind::Service);
            let trace = request
                .carried
                .as_ref()
                .and_then(|carried| carried.contexts().next())
                .map(|context| format!(" trace {:02x}", context.trace_id[0]));
            let unanswered = if request.answered { "" } else { " unanswered" };
            format!(
                "> #{} {}{unanswered}:{}{}",
                request.correlation.expect("a number"),
                request.name,
                attributes(&request.attributes),
                trace.unwrap_or_default()
            )
        }
        Some(Head::Response(response)) => {
            let error = |error: &Option<std::borrow::Cow<'static, str>>| error.as_deref().unwrap_or("-").to_owned();
            let (client, server) = (error(&response.client_error), error(&response.server_error));
            format!("< #{} {client} {server}:{}", response.correlation.expect("a number"), attributes(&response.attributes))
        }
    };
    transcript.messages.iter().map(|message| tell(&message.head)).collect()
}

fn conversation() -> Vec<(Side, Vec<u8>)> {
    let exception =
        [&b"\x93C"[..], &string("shop.OutOfStock"), b"\x91", &string("detailMessage"), b"\x60", &string(CANARY), &map(&[])].concat();
    let carrying = [("path", "shop.Orders"), ("token", CANARY), ("traceparent", TRACEPARENT)];
    vec![
        (C, [call(TWO_WAY_HESSIAN, 1, "1.2.0", &carrying), call(TWO_WAY_HESSIAN, 2, "0.0.0", &[])].concat()),
        (S, [answer(2, &[&b"\x94"[..], &string(CANARY), &map(&[("a", CANARY)])].concat()), answer(1, &exception)].concat()),
        (C, framed(0xe2, 0, 3, b"N")),
        (S, framed(0x22, 20, 3, b"N")),
        (S, framed(0xe2, 0, 9, b"N")),
        (C, framed(0x22, 20, 9, b"N")),
        (C, call(0x82, 4, "", &[])),
        (C, call(TWO_WAY_HESSIAN, 5, "", &[])),
        (S, framed(0x02, 100, 5, &string(CANARY))),
        (C, call(0xc6, 6, "", &[])),
        (S, framed(0x06, 60, 6, &string(CANARY))),
    ]
}

#[test]
fn calls_are_told_with_service_method_version_and_context_and_heartbeats_are_not() {
    let transcript = talk(&conversation());
    let called = "rpc.system.name=dubbo rpc.method=shop.Orders/place";
    assert_eq!(
        told(&transcript),
        [
            &format!("> #1 shop.Orders/place: {called} wirespan.rpc.service_version=1.2.0 trace 4b"),
            &format!("> #2 shop.Orders/place: {called}"),
            "< #2 - -: rpc.response.status_code=OK",
            "< #1 shop.OutOfStock shop.OutOfStock: rpc.response.status_code=OK",
            "-",
            "-",
            "-",
            "-",
            &format!("> #4 shop.Orders/place unanswered: {called}"),
            &format!("> #5 shop.Orders/place: {called}"),
            "< #5 SERVER_THREADPOOL_EXHAUSTED_ERROR SERVER_THREADPOOL_EXHAUSTED_ERROR: rpc.response.status_code=SERVER_THREADPOOL_EXHAUSTED_ERROR",
            "> #6 dubbo: rpc.system.name=dubbo",
            "< #6 SERVICE_NOT_FOUND -: rpc.response.status_code=SERVICE_NOT_FOUND",
        ]
    );
    assert_eq!(transcript.invalid, 0);
    assert!(!format!("{transcript:?}").contains(CANARY));
}

#[test]
fn of_a_large_call_the_beginning_is_enough() {
    let head = ["2.0.2", "shop.Orders", "", "place", "[B"].map(string).concat();
    let large = framed(TWO_WAY_HESSIAN, 0, 1, &[head, [&b"A\xff\xff"[..], &b"x".repeat(0xffff), b"\x20"].concat(), map(&[])].concat());
    assert_eq!(told(&talk(&[(C, large.clone())])), ["> #1 shop.Orders/place: rpc.system.name=dubbo rpc.method=shop.Orders/place"]);
    let mut decoder = Dubbo.decoder(SERVER, false);
    assert_eq!(decoder.decode(C, &large[..100], false), crate::protocol::Step::More);
    let take = decoder.unseen(C).expect("its length is known");
    assert_eq!((take.used, take.head.is_some()), (large.len() as u64, true));
}

#[test]
fn a_message_is_recognised_by_its_beginning() {
    for (side, bytes, expected) in [
        (C, call(TWO_WAY_HESSIAN, 1, "", &[]), Guess::Yes),
        (S, answer(1, b"\x94"), Guess::Yes),
        (S, framed(0xe2, 0, 9, b"N"), Guess::Likely),
        (C, framed(0x22, 20, 9, b"N"), Guess::Likely),
        (C, vec![0xda], Guess::Maybe),
        (C, framed(0xc0, 0, 1, &[]), Guess::No),
        (S, framed(0x02, 21, 1, &[]), Guess::No),
        (C, b"GET / HTTP/1.1\r\n\r\n".to_vec(), Guess::No),
        (C, vec![0xda, 0xba], Guess::No),
    ] {
        assert_eq!(Dubbo.detect(side, &bytes), expected, "{side:?} {bytes:?}");
    }
}

proptest! {
    #[test]
    fn cuts_and_damage_change_nothing_but_what_they_damage(cuts in prop::collection::vec(1usize..60, 1..30), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5)) {
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
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        testing::fuzz(&Dubbo, &bytes);
        let head = ["2.0.2", "shop.Orders", "", "place", "II"].map(string).concat();
        talk(&[(C, framed(TWO_WAY_HESSIAN, 0, 1, &[head, bytes.clone()].concat())), (S, answer(1, &[b"\x93C".to_vec(), bytes].concat()))]);
    }
}
