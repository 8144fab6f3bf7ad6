//! Nodes that see one end of a connection each, and what they tell and ask each other, without a store in between.
use super::world::{OK, World, attribute, find, get, get_with, thread};
use crate::causality::ids::WireKey;
use crate::causality::meeting::{Answer, Letter, Place};
use crate::enrich::span::{Span, SpanKind};
use crate::exchange::ExchangeId;

const CURL: u32 = 10;
const API: u32 = 20;
const MS: u64 = 1_000_000;
const WAIT: u64 = 1500 * MS;

/// A node that asks others.
fn node() -> World {
    let mut world = World::new();
    world.meet(WAIT);
    world
}

fn link(span: &Span) -> String {
    ["wirespan.link", "wirespan.link.reason"].into_iter().filter_map(|key| attribute(span, key)).collect::<Vec<_>>().join(" ")
}

fn parent(span: &Span) -> Option<[u8; 8]> {
    span.parent.map(|parent| parent.id)
}

/// The only letter, which tells of a call.
fn told(world: &mut World) -> (WireKey, Option<Place>) {
    match <[Letter; 1]>::try_from(world.letters()) {
        Ok([Letter::Tell { key, place }]) => (key, place),
        other => panic!("{other:?}"),
    }
}

/// The only letter, which asks for a request.
fn asked(world: &mut World) -> (ExchangeId, WireKey) {
    match <[Letter; 1]>::try_from(world.letters()) {
        Ok([Letter::Ask { id, key }]) => (id, key),
        other => panic!("{other:?}"),
    }
}

/// A node to which a request without a header has come, whose client is elsewhere, and what it asks.
fn served() -> (World, ExchangeId) {
    let mut world = node();
    let conn = world.arrive([10, 0, 0, 1], 80);
    world.serve(conn, "/a", thread(API, 1), |_| ());
    world.pass(20 * MS);
    let (id, _) = asked(&mut world);
    (world, id)
}

fn remark(world: &World, name: &str) -> u64 {
    world.remarks().0.get(name).copied().unwrap_or_default()
}

#[test]
fn a_chain_across_three_nodes_is_one_trace() {
    let [mut one, mut two, mut three] = [node(), node(), node()];
    // The first node's call is a root: its place is known at once.
    let first = one.depart(thread(CURL, 1), 80);
    let at_two = two.arrive_from(&one, first, 80);
    one.ask(thread(CURL, 1), first, &get("/one"));
    one.pass(20 * MS);
    let (key, place) = told(&mut one);
    // The second node's call waits for its request to be over, and that for its answer.
    let api = thread(API, 1);
    two.ask(thread(0, 0), at_two, &get("/one"));
    two.take(api, at_two);
    let second = two.depart(api, 81);
    let at_three = three.arrive_from(&two, second, 81);
    two.ask(api, second, &get("/two"));
    three.serve_request(at_three, &get("/two"), thread(API, 1), |_| ());
    two.pass(20 * MS);
    let letters = two.letters();
    let [Letter::Ask { id: question, key: at }, Letter::Tell { key: announced, place: None }] = letters[..] else { panic!("{letters:?}") };
    assert_eq!(at, key);
    three.pass(20 * MS);
    let (last, at) = asked(&mut three);
    assert_eq!(at, announced);
    three.hear(last, Answer::Announced);
    two.answer(thread(0, 0), second, OK);
    two.receive(api, second);
    two.answer(api, at_two, OK);
    two.pass(400 * MS);
    assert_eq!(two.letters(), []);
    two.hear(question, Answer::Placed(place.expect("the place of a root")));
    let (key, place) = told(&mut two);
    assert_eq!(key, announced);
    three.pass(900 * MS);
    three.hear(last, Answer::Placed(place.expect("a place")));
    let counted = [&two, &three].map(|world| remark(world, "links.met"));
    let [one, two, three] = [one.end(), two.end(), three.end()];
    let chain = [
        find(&one, SpanKind::Client, "/one"),
        find(&two, SpanKind::Server, "/one"),
        find(&two, SpanKind::Client, "/two"),
        find(&three, SpanKind::Server, "/two"),
    ];
    assert_eq!(chain.map(link), ["none root", "rendezvous", "thread", "rendezvous"]);
    assert_eq!(chain.map(parent), [None, Some(chain[0].span_id), Some(chain[1].span_id), Some(chain[2].span_id)]);
    assert!(chain.iter().all(|span| span.trace_id == chain[0].trace_id));
    assert_eq!(counted, [1, 1]);
}

#[test]
fn a_place_carries_the_decision_and_the_state_of_its_trace() {
    let (mut world, id) = served();
    world.hear(id, Answer::Placed(Place { trace_id: [7; 16], flags: 0, state: Some("vendor=1".into()) }));
    let spans = world.end();
    let span = find(&spans, SpanKind::Server, "/a");
    assert_eq!((span.trace_id, span.flags, span.trace_state.as_deref()), ([7; 16], 0, Some("vendor=1")));
}

#[test]
fn a_request_of_which_nobody_tells_begins_a_trace_after_a_third_of_the_bound() {
    let (mut world, id) = served();
    world.hear(id, Answer::Nobody);
    world.pass(450 * MS);
    assert_eq!(world.spans, []);
    world.pass(100 * MS);
    assert_eq!(world.spans.iter().map(link).collect::<Vec<_>>(), ["none root"]);
    assert_eq!(remark(&world, "links.nobody"), 1);
    // It is told: what comes now is too late.
    world.hear(id, Answer::Placed(Place { trace_id: [7; 16], flags: 1, state: None }));
    assert_eq!(world.end().len(), 1);
}

#[test]
fn what_is_announced_or_not_answered_is_waited_for_all_the_bound() {
    for (answer, counter) in [(Some(Answer::Announced), "links.late"), (None, "links.unanswered")] {
        let (mut world, id) = served();
        if let Some(answer) = answer {
            world.hear(id, answer);
        }
        world.pass(510 * MS);
        world.pass(950 * MS);
        assert_eq!(world.spans, [], "{counter}");
        world.pass(100 * MS);
        assert_eq!(world.spans.iter().map(link).collect::<Vec<_>>(), ["none timeout"]);
        assert_eq!(remark(&world, counter), 1, "{counter}");
    }
}

#[test]
fn a_conflict_is_no_link() {
    let (mut world, id) = served();
    world.pass(200 * MS);
    world.hear(id, Answer::Conflict);
    assert_eq!(world.spans.iter().map(link).collect::<Vec<_>>(), ["none conflict"]);
    assert_eq!(remark(&world, "links.conflict"), 1);
}

#[test]
fn nothing_is_sent_for_requests_with_a_header_within_a_node_or_without_a_store() {
    let header = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut world = node();
    let conn = world.arrive([10, 0, 0, 1], 80);
    world.serve_request(conn, &get_with("/a", &[header]), thread(API, 1), |_| ());
    let conn = world.depart(thread(CURL, 1), 80);
    world.ask(thread(CURL, 1), conn, &get_with("/b", &[header]));
    let conn = world.connect(thread(CURL, 1), 80);
    world.serve(conn, "/c", thread(API, 1), |_| ());
    world.pass(100 * MS);
    assert_eq!(world.letters(), []);
    let mut world = World::new();
    let conn = world.arrive([10, 0, 0, 1], 80);
    world.serve(conn, "/d", thread(API, 1), |_| ());
    world.pass(300 * MS);
    assert_eq!((world.letters(), world.spans.len()), (vec![], 1));
}
