//! What becomes of questions in datagrams, from events to spans.
use super::world::{World, attribute, get, thread};
use crate::capture::event::Thread;
use crate::enrich::span::{Span, SpanKind};

const SECOND: u64 = 1_000_000_000;
const CLIENT: Thread = Thread { pid: 10, tid: 10 };
const RESOLVER: Thread = Thread { pid: 20, tid: 20 };

/// A question for an address of `a.test`, by its number and type.
fn question(id: u8, kind: u8) -> Vec<u8> {
    [&[7, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x01a\x04test\0", &[0, kind, 0, 1]].concat()
}

/// Its answer: this code, no records.
fn answer(id: u8, kind: u8, code: u8) -> Vec<u8> {
    let mut bytes = question(id, kind);
    bytes[2] = 0x81;
    bytes[3] = 0x80 | code;
    bytes
}

fn line(span: &Span) -> String {
    let value = |key| attribute(span, key).unwrap_or_else(|| "-".to_owned());
    let (error, again) = (value("error.type"), value("wirespan.retransmits"));
    format!("{:?} {} {} {error} again {again} {} ms", span.kind, span.name, value("dns.question.name"), (span.end - span.start) / 1_000_000)
}

fn lines(mut spans: Vec<Span>) -> Vec<String> {
    spans.sort_by_key(|span| (span.start, span.name.clone()));
    spans.iter().map(line).collect()
}

#[test]
fn questions_of_one_socket_are_spans_of_their_own_and_the_server_tells_only_those_of_strangers() {
    let mut world = World::new();
    for (id, kind) in [(1, 1), (2, 28)] {
        world.datagram(Some(CLIENT), true, 40_000, &question(id, kind));
        world.datagram(None, false, 40_000, &question(id, kind));
    }
    for (id, kind, code) in [(2, 28, 3), (1, 1, 0)] {
        world.datagram(Some(RESOLVER), false, 40_000, &answer(id, kind, code));
        world.datagram(None, true, 40_000, &answer(id, kind, code));
    }
    world.datagram(None, false, 40_001, &question(3, 1));
    world.datagram(Some(RESOLVER), false, 40_001, &answer(3, 1, 2));
    let spans = world.end();
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| (span.trace_id, span.span_id)).collect();
    assert_eq!(ids.len(), 3);
    let expected =
        ["Client DNS A a.test - again 0 0 ms", "Client DNS AAAA a.test nxdomain again 0 0 ms", "Server DNS A a.test servfail again 0 0 ms"];
    assert_eq!(lines(spans), expected);
}

#[test]
fn a_question_that_is_sent_again_is_one_span_and_one_without_an_answer_ends_when_nobody_waits() {
    let mut world = World::new();
    for _ in 0..3 {
        world.datagram(Some(CLIENT), true, 40_000, &question(1, 1));
        world.pass(SECOND);
    }
    world.datagram(None, true, 40_000, &answer(1, 1, 0));
    // A second answer is nobody's.
    world.datagram(None, true, 40_000, &answer(1, 1, 3));
    for _ in 0..2 {
        world.datagram(Some(CLIENT), true, 40_000, &question(2, 1));
        world.pass(SECOND);
    }
    for _ in 0..8 {
        world.pass(SECOND);
    }
    assert_eq!(world.spans.len(), 2, "both are told without waiting for the end");
    assert_eq!(lines(world.end()), ["Client DNS A a.test - again 2 3000 ms", "Client DNS A a.test timeout again 1 6000 ms"]);
}

#[test]
fn a_question_asked_while_a_request_is_answered_belongs_to_it() {
    let mut world = World::new();
    let server = thread(30, 30);
    // It serves one connection after the other: its class is never proven.
    for number in 0..8_u16 {
        let conn = world.connect(CLIENT, 80);
        world.serve(conn, &format!("/{number}"), server, |world| {
            for (id, kind) in [(1, 1), (2, 28)] {
                world.datagram(Some(server), true, 41_000 + number, &question(id, kind));
            }
            for (id, kind) in [(1, 1), (2, 28)] {
                world.datagram(None, true, 41_000 + number, &answer(id, kind, 0));
            }
        });
        world.pass(SECOND);
    }
    let conn = world.connect(CLIENT, 80);
    world.ask(CLIENT, conn, &get("/unanswered"));
    let spans = world.end();
    let requests: Vec<_> = spans.iter().filter(|span| span.kind == SpanKind::Server).map(|span| Some(span.span_id)).collect();
    let lookups: Vec<_> = spans.iter().filter(|span| span.name.starts_with("DNS")).collect();
    assert_eq!(lookups.len(), 16);
    for lookup in lookups {
        assert!(requests.contains(&lookup.parent.map(|parent| parent.id)), "{lookup:#?}");
    }
}
