//! What a header decides: each case that `LINKS.md` draws, on traffic of the small made-up world.
use super::world::{Conn, OK, World, attribute, find, get, get_with, thread};
use crate::causality::class::Habit;
use crate::causality::link::{Cross, SpanLink};
use crate::causality::policy::{BaggageKey, Policy, Sdk};
use crate::enrich::span::{Span, SpanKind};
use crate::protocol::context::Format;
use std::collections::BTreeMap;

const CURL: u32 = 10;
const API: u32 = 20;
const STOCK: u32 = 30;

const NEAR: [u8; 4] = [10, 0, 0, 9];
const FAR: [u8; 4] = [203, 0, 113, 7];

/// `traceparent` of a trace and a span whose ids are these numbers.
fn traceparent(trace: u8, span: u8) -> String {
    format!("traceparent: 00-{trace:032x}-{span:016x}-01")
}

fn trace(number: u8) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

fn span_id(number: u8) -> [u8; 8] {
    u64::from(number).to_be_bytes()
}

/// Trace, parent, and why.
type Place = ([u8; 16], Option<[u8; 8]>, String);

fn place(span: &Span) -> Place {
    let why = ["wirespan.link", "wirespan.link.reason", "wirespan.link.provisional"].map(|key| attribute(span, key));
    (span.trace_id, span.parent.map(|parent| parent.id), why.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn at(trace_id: [u8; 16], parent: [u8; 8], why: &str) -> Place {
    (trace_id, Some(parent), why.to_owned())
}

fn below(parent: &Span, why: &str) -> Place {
    at(parent.trace_id, parent.span_id, why)
}

/// Links with the numbers of the trace and the span that they lead to.
fn links(span: &Span) -> Vec<(Cross, [u8; 16], [u8; 8])> {
    span.links.iter().map(|SpanLink { cross, trace_id, span_id, .. }| (*cross, *trace_id, *span_id)).collect()
}

fn server<'a>(spans: &'a [Span], path: &str) -> &'a Span {
    find(spans, SpanKind::Server, path)
}

fn client<'a>(spans: &'a [Span], path: &str) -> &'a Span {
    find(spans, SpanKind::Client, path)
}

/// The API asks the stock for `/stock`, with these headers.
fn ask_stock(world: &mut World, headers: &[&str]) {
    let call = world.connect(thread(API, 1), 81);
    world.serve_request(call, &get_with("/stock", headers), thread(STOCK, 1), |_| ());
}

/// The API's SDK exports its spans to a collector elsewhere.
fn export(world: &mut World) {
    let export = world.connect(thread(API, 9), 4318);
    world.ask(thread(API, 9), export, "POST /v1/traces HTTP/1.1\r\nHost: collector\r\nContent-Length: 1\r\n\r\nx");
    world.answer(thread(STOCK, 9), export, OK);
    world.receive(thread(API, 9), export);
}

fn join() -> World {
    World::obeying(Policy { sdk: Sdk::Join, ..Policy::default() })
}

fn trusting(networks: &[&str]) -> World {
    let trusted = networks.iter().map(|network| network.parse().expect("a network")).collect();
    World::obeying(Policy { trusted, ..Policy::default() })
}

/// A request from another node that carries these headers, and what the API does for it.
fn arrives(world: &mut World, from: [u8; 4], headers: &[&str], work: impl FnOnce(&mut World)) -> Conn {
    let conn = world.arrive(from, 80);
    world.serve_request(conn, &get_with("/a", headers), thread(API, 1), work);
    conn
}

#[test]
fn a_server_hangs_under_the_client_that_is_seen_here_and_that_under_the_header() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    world.serve_request(conn, &get_with("/a", &[&traceparent(1, 2)]), thread(API, 1), |_| ());
    let spans = world.end();
    assert_eq!(place(client(&spans, "/a")), at(trace(1), span_id(2), "header:tracecontext"));
    assert_eq!(place(server(&spans, "/a")), below(client(&spans, "/a"), "wire"));
}

#[test]
fn a_server_whose_client_is_elsewhere_hangs_under_the_span_of_the_header() {
    for (header, why) in [
        (traceparent(1, 2), "header:tracecontext"),
        (format!("b3: {:032x}-{:016x}-1", 1, 2), "header:b3"),
        ("uber-trace-id: 1:2:0:1".to_owned(), "header:jaeger"),
    ] {
        let mut world = World::new();
        arrives(&mut world, FAR, &[&header], |_| ());
        let spans = world.end();
        assert_eq!(spans.iter().map(place).collect::<Vec<_>>(), [at(trace(1), span_id(2), why)]);
    }
}

#[test]
fn a_header_that_a_proxy_hands_on_leaves_the_place_to_the_proxy() {
    let mut world = World::new();
    world.habit(API, Habit::IoLoop);
    let header = traceparent(1, 2);
    arrives(&mut world, FAR, &[&header], |world| ask_stock(world, &[&header]));
    let spans = world.end();
    assert_eq!(place(server(&spans, "/a")), at(trace(1), span_id(2), "header:tracecontext"));
    assert_eq!(place(client(&spans, "/stock")), below(server(&spans, "/a"), "connect"));
    assert_eq!(place(server(&spans, "/stock")), below(client(&spans, "/stock"), "wire"));
}

#[test]
fn a_header_that_is_handed_on_decides_where_nothing_proves_by_whom() {
    let mut world = World::new();
    world.habit(API, Habit::Migrating);
    let header = traceparent(1, 2);
    arrives(&mut world, FAR, &[&header], |world| ask_stock(world, &[&header]));
    let spans = world.end();
    assert_eq!(place(client(&spans, "/stock")), at(trace(1), span_id(2), "header:tracecontext"));
}

#[test]
fn a_call_hangs_under_the_span_that_an_sdk_made_for_it() {
    let mut world = join();
    export(&mut world);
    arrives(&mut world, FAR, &[&traceparent(1, 2)], |world| ask_stock(world, &[&traceparent(1, 3)]));
    let spans = world.end();
    assert_eq!(place(server(&spans, "/a")), at(trace(1), span_id(2), "header:tracecontext"));
    assert_eq!(place(client(&spans, "/stock")), at(trace(1), span_id(3), "header:tracecontext"));
    assert_eq!(place(server(&spans, "/stock")), below(client(&spans, "/stock"), "wire"));
    assert!(spans.iter().all(|span| span.links.is_empty()));
}

#[test]
fn a_process_that_traces_itself_is_skipped_and_its_callee_hangs_under_its_sdks_span() {
    let mut world = World::new();
    export(&mut world);
    let conn = world.connect(thread(CURL, 1), 80);
    world.serve_request(conn, &get_with("/a", &[&traceparent(1, 2)]), thread(API, 1), |world| ask_stock(world, &[&traceparent(1, 3)]));
    world.pass(500_000_000);
    // The export's client, the request's server, the call's client.
    assert_eq!(world.remarks(), (BTreeMap::new(), 3));
    let links = [("header:tracecontext", 2), ("none:sdk", 1)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(world.links(), BTreeMap::from(links));
    let spans = world.end();
    assert_eq!(place(client(&spans, "/a")), at(trace(1), span_id(2), "header:tracecontext"));
    assert_eq!(place(server(&spans, "/stock")), at(trace(1), span_id(3), "header:tracecontext"));
    assert_eq!(place(server(&spans, "/v1/traces")).2, "none sdk");
    assert_eq!(spans.len(), 3);
}

#[test]
fn a_call_that_a_skipped_process_does_not_trace_is_an_orphan_at_its_server() {
    let mut world = World::new();
    export(&mut world);
    arrives(&mut world, FAR, &[&traceparent(1, 2)], |world| ask_stock(world, &[]));
    let spans = world.end();
    assert_eq!(place(server(&spans, "/stock")).2, "none sdk");
    assert_eq!(spans.len(), 2);
}

#[test]
fn a_span_that_others_hang_under_is_made_even_if_its_process_then_turns_out_to_trace_itself() {
    let mut world = World::new();
    world.habit(API, Habit::IoLoop);
    arrives(&mut world, FAR, &[], |world| {
        ask_stock(world, &[]);
        // Long enough for the links to be made.
        world.pass(300_000_000);
        export(world);
    });
    let spans = world.end();
    assert_eq!(place(client(&spans, "/stock")), below(server(&spans, "/a"), "connect"));
    assert_eq!(place(server(&spans, "/stock")), below(client(&spans, "/stock"), "wire"));
}

#[test]
fn a_header_from_elsewhere_starts_a_new_trace_with_a_link_to_it() {
    let mut world = trusting(&["10.0.0.0/8"]);
    world.habit(API, Habit::IoLoop);
    let header = traceparent(1, 2);
    arrives(&mut world, FAR, &[&header], |world| ask_stock(world, &[&header]));
    assert_eq!(world.remarks().0, BTreeMap::from([("causality.context_untrusted", 3)]));
    let spans = world.end();
    let request = server(&spans, "/a");
    assert_eq!((request.parent, place(request).2.as_str()), (None, "none untrusted"));
    assert_ne!(request.trace_id, trace(1));
    assert_eq!(links(request), [(Cross::Untrusted, trace(1), span_id(2))]);
    // What a proxy does for it is part of the new trace, though the header goes on.
    assert_eq!(place(client(&spans, "/stock")), below(request, "connect"));
    assert_eq!(place(server(&spans, "/stock")), below(client(&spans, "/stock"), "wire"));
}

#[test]
fn a_header_from_a_trusted_network_and_from_this_node_is_believed() {
    let mut world = trusting(&["10.0.0.0/8"]);
    arrives(&mut world, NEAR, &[&traceparent(1, 2)], |_| ());
    let conn = world.connect(thread(CURL, 1), 80);
    world.serve_request(conn, &get_with("/b", &[&traceparent(3, 4)]), thread(API, 1), |_| ());
    let spans = world.end();
    assert_eq!(place(server(&spans, "/a")), at(trace(1), span_id(2), "header:tracecontext"));
    assert_eq!(place(client(&spans, "/b")), at(trace(3), span_id(4), "header:tracecontext"));
    assert_eq!(place(server(&spans, "/b")), below(client(&spans, "/b"), "wire"));
}

#[test]
fn a_header_that_is_not_believed_does_not_come_in_through_a_proxy_that_hands_it_on() {
    let mut world = trusting(&["10.0.0.0/8"]);
    world.habit(API, Habit::Migrating);
    let header = traceparent(1, 2);
    arrives(&mut world, FAR, &[&header], |world| ask_stock(world, &[&header]));
    let spans = world.end();
    let call = client(&spans, "/stock");
    assert_eq!((call.parent, place(call).2.as_str()), (None, "none untrusted"));
    assert_eq!(links(call), [(Cross::Untrusted, trace(1), span_id(2))]);
    assert!(spans.iter().all(|span| span.trace_id != trace(1)));
}

#[test]
fn two_traces_that_meet_in_a_call_become_a_link() {
    let mut world = join();
    world.habit(API, Habit::IoLoop);
    arrives(&mut world, FAR, &[&traceparent(1, 2)], |world| ask_stock(world, &[&traceparent(3, 4)]));
    let spans = world.end();
    let (request, call) = (server(&spans, "/a"), client(&spans, "/stock"));
    assert_eq!(place(request), at(trace(1), span_id(2), "header:tracecontext"));
    assert_eq!(place(call), at(trace(3), span_id(4), "header:tracecontext"));
    assert_eq!(links(call), [(Cross::Met, trace(1), request.span_id)]);
    assert_eq!((links(request), links(server(&spans, "/stock"))), (vec![], vec![]));
}

#[test]
fn a_trace_that_an_sdk_starts_for_a_request_without_header_is_linked_to_the_requests() {
    let mut world = join();
    world.habit(API, Habit::IoLoop);
    let conn = world.connect(thread(CURL, 1), 80);
    world.serve_request(conn, &get("/a"), thread(API, 1), |world| ask_stock(world, &[&traceparent(3, 4)]));
    let spans = world.end();
    let request = server(&spans, "/a");
    assert_eq!(place(request), below(client(&spans, "/a"), "wire"));
    assert_eq!(place(client(&spans, "/stock")), at(trace(3), span_id(4), "header:tracecontext"));
    assert_eq!(links(client(&spans, "/stock")), [(Cross::Met, request.trace_id, request.span_id)]);
}

#[test]
fn formats_that_agree_are_one_context_named_by_the_first_in_order() {
    let headers = [
        &*traceparent(1, 2),
        "b3: 00000000000000000000000000000001-0000000000000002-1",
        "x-cloud-trace-context: 00000000000000000000000000000001",
    ];
    for (formats, why) in
        [(Format::ALL.to_vec(), "header:tracecontext"), (vec![Format::Gcp, Format::B3], "header:gcp"), (vec![Format::B3], "header:b3")]
    {
        let mut world = World::obeying(Policy { formats, ..Policy::default() });
        arrives(&mut world, FAR, &headers, |_| ());
        assert_eq!(world.remarks().0, BTreeMap::new());
        let spans = world.end();
        let span = server(&spans, "/a");
        assert_eq!(place(span), at(trace(1), span_id(2), why));
        assert_eq!((links(span), attribute(span, "wirespan.context.conflict")), (vec![], None));
    }
}

#[test]
fn of_formats_that_disagree_the_configured_order_decides_and_the_fact_is_told() {
    let headers = [
        &*traceparent(1, 2),
        "b3: 00000000000000000000000000000003-0000000000000004-1",
        "uber-trace-id: 1:5:0:1",
        "x-amzn-trace-id: Root=1-00000000-000000000000000000000003",
    ];
    for (formats, expected, others, crossed) in [
        (
            Format::ALL.to_vec(),
            at(trace(1), span_id(2), "header:tracecontext"),
            "b3,jaeger,xray",
            vec![(Cross::Conflict, trace(3), span_id(4))],
        ),
        (
            vec![Format::B3, Format::TraceContext, Format::XRay],
            at(trace(3), span_id(4), "header:b3"),
            "tracecontext",
            vec![(Cross::Conflict, trace(1), span_id(2))],
        ),
    ] {
        let mut world = World::obeying(Policy { formats, ..Policy::default() });
        arrives(&mut world, FAR, &headers, |_| ());
        assert_eq!(world.remarks().0, BTreeMap::from([("causality.context_conflict", 1)]));
        let spans = world.end();
        let span = server(&spans, "/a");
        assert_eq!(place(span), expected);
        assert_eq!(attribute(span, "wirespan.context.conflict").as_deref(), Some(others));
        assert_eq!(links(span), crossed);
    }
}

#[test]
fn a_header_that_names_a_trace_alone_gives_a_root_in_it() {
    let mut world = World::new();
    arrives(&mut world, FAR, &["X-Amzn-Trace-Id: Root=1-00000000-000000000000000000000001"], |_| ());
    let spans = world.end();
    assert_eq!(place(server(&spans, "/a")), (trace(1), None, "none trace_only".to_owned()));
}

#[test]
fn without_propagators_no_header_decides_anything() {
    let mut world = World::obeying(Policy { formats: Vec::new(), ..Policy::default() });
    arrives(&mut world, FAR, &[&traceparent(1, 2)], |_| ());
    let spans = world.end();
    assert_eq!(place(server(&spans, "/a")).2, "none root");
    assert_ne!(server(&spans, "/a").trace_id, trace(1));
}

#[test]
fn of_baggage_only_what_is_allowed_is_recorded() {
    let key = BaggageKey { key: "tenant".to_owned(), attribute: "baggage.tenant" };
    for (baggage, expected) in [(vec![key], Some("blue moon".to_owned())), (vec![], None)] {
        let mut world = World::obeying(Policy { baggage, ..Policy::default() });
        let conn = world.connect(thread(CURL, 1), 80);
        world.serve_request(conn, &get_with("/a", &["baggage: user=alice,tenant=blue%20moon;ttl=3"]), thread(API, 1), |_| ());
        let spans = world.end();
        for span in [client(&spans, "/a"), server(&spans, "/a")] {
            assert_eq!(attribute(span, "baggage.tenant"), expected);
            assert!(span.attributes.iter().all(|attribute| !format!("{:?}", attribute.value).contains("alice")));
        }
    }
}

/// Every test that `LINKS.md` names is one.
#[test]
fn every_case_that_is_drawn_is_held_by_a_test() {
    let sources = [
        include_str!("cases.rs"),
        include_str!("meetings.rs"),
        include_str!("tests.rs"),
        include_str!("tunnels.rs"),
        include_str!("../../../tests/tests/sdk.rs"),
        include_str!("../../../tests/tests/tunnels.rs"),
    ]
    .concat();
    let named: Vec<&str> =
        include_str!("../../../LINKS.md").lines().filter_map(|line| line.strip_prefix("Test: `")?.strip_suffix('`')).collect();
    assert!(named.len() >= 12, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !sources.contains(&format!("fn {name}()"))).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}
