//! The stages together, on traffic of a small made-up world: which spans come out, and how they are linked.
use super::world::{OK, World, attribute, find, get, thread};
use crate::capture::event::End;
use crate::causality::class::Habit;
use crate::enrich::span::{Span, SpanKind, Status};

const CURL: u32 = 10;
const API: u32 = 20;
const STOCK: u32 = 30;

fn link(span: &Span) -> String {
    let texts = ["wirespan.link", "wirespan.link.reason", "wirespan.link.provisional"].map(|key| attribute(span, key));
    texts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn parent(span: &Span) -> Option<[u8; 8]> {
    span.parent.map(|parent| parent.id)
}

#[test]
fn both_ends_of_a_request_are_one_trace() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    world.serve(conn, "/a", thread(API, 1), |_| ());
    let spans = world.end();
    assert_eq!(spans.len(), 2);
    let (client, server) = (find(&spans, SpanKind::Client, "/a"), find(&spans, SpanKind::Server, "/a"));
    assert_eq!((link(client), link(server)), ("none root".to_owned(), "wire".to_owned()));
    assert_eq!((parent(client), parent(server)), (None, Some(client.span_id)));
    assert_eq!(client.trace_id, server.trace_id);
    let wait: u64 = (client.end - client.start) - (server.end - server.start);
    assert_eq!(attribute(client, "wirespan.network_ns"), Some(wait.to_string()));
}

#[test]
fn a_call_in_between_belongs_to_the_request() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    let api = thread(API, 1);
    world.serve(conn, "/a", api, |world| {
        for path in ["/b", "/c"] {
            let call = world.connect(api, 81);
            world.serve(call, path, thread(STOCK, 1), |_| ());
        }
    });
    let spans = world.end();
    let request = find(&spans, SpanKind::Server, "/a");
    for path in ["/b", "/c"] {
        let call = find(&spans, SpanKind::Client, path);
        assert_eq!((link(call), parent(call)), ("thread true".to_owned(), Some(request.span_id)), "{path}");
        assert_eq!((call.trace_id, find(&spans, SpanKind::Server, path).trace_id), (request.trace_id, request.trace_id));
    }
    assert_eq!(spans.len(), 6);
}

#[test]
fn a_call_of_another_thread_is_an_orphan_that_was_handed_over() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    world.serve(conn, "/before", thread(API, 1), |_| ());
    world.serve(conn, "/a", thread(API, 1), |world| {
        let call = world.connect(thread(API, 2), 81);
        world.serve(call, "/b", thread(STOCK, 1), |_| ());
    });
    let spans = world.end();
    let call = find(&spans, SpanKind::Client, "/b");
    assert_eq!((link(call), parent(call)), ("none handoff".to_owned(), None));
    assert_ne!(call.trace_id, find(&spans, SpanKind::Server, "/a").trace_id);
}

#[test]
fn a_thread_that_works_on_two_requests_gives_orphans() {
    let mut world = World::new();
    let (one, two) = (world.connect(thread(CURL, 1), 80), world.connect(thread(CURL, 2), 80));
    let api = thread(API, 1);
    world.serve(one, "/one", api, |world| {
        world.serve(two, "/two", api, |world| {
            let call = world.connect(api, 81);
            world.serve(call, "/call", thread(STOCK, 1), |_| ());
        });
    });
    let spans = world.end();
    assert_eq!(link(find(&spans, SpanKind::Client, "/call")), "none no_adapter");
}

#[test]
fn a_call_after_the_response_is_no_child() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    let api = thread(API, 1);
    world.serve(conn, "/a", api, |_| ());
    let call = world.connect(api, 81);
    world.serve(call, "/late", thread(STOCK, 1), |_| ());
    let spans = world.end();
    assert_eq!(link(find(&spans, SpanKind::Client, "/late")), "none root");
}

#[test]
fn a_runtime_without_an_adapter_gives_orphans() {
    let mut world = World::new();
    world.habit(API, Habit::Migrating);
    let conn = world.connect(thread(CURL, 1), 80);
    let api = thread(API, 1);
    world.serve(conn, "/a", api, |world| {
        let call = world.connect(api, 81);
        world.serve(call, "/b", thread(STOCK, 1), |_| ());
    });
    let spans = world.end();
    assert_eq!(link(find(&spans, SpanKind::Client, "/b")), "none no_adapter");
}

/// nginx connects upstream for one request, then reads another before the connection is there.
#[test]
fn an_io_loop_inherits_the_request_of_its_connect() {
    let mut world = World::new();
    world.habit(API, Habit::IoLoop);
    let nginx = thread(API, 1);
    let (one, two) = (world.connect(thread(CURL, 1), 80), world.connect(thread(CURL, 2), 80));
    world.ask(thread(CURL, 1), one, &get("/one"));
    world.take(nginx, one);
    let upstream = world.connect(nginx, 81);
    world.ask(thread(CURL, 2), two, &get("/two"));
    world.take(nginx, two);
    world.ask(nginx, upstream, &get("/upstream-one"));
    world.take(thread(STOCK, 1), upstream);
    world.answer(thread(STOCK, 1), upstream, OK);
    world.receive(nginx, upstream);
    world.answer(nginx, one, OK);
    // The kept connection now serves the second request.
    world.take(nginx, two);
    world.ask(nginx, upstream, &get("/upstream-two"));
    world.take(thread(STOCK, 1), upstream);
    world.answer(thread(STOCK, 1), upstream, OK);
    world.receive(nginx, upstream);
    world.answer(nginx, two, OK);
    let spans = world.end();
    let [one, two] = ["/one", "/two"].map(|path| find(&spans, SpanKind::Server, path).span_id);
    let [first, second] = ["/upstream-one", "/upstream-two"].map(|path| find(&spans, SpanKind::Client, path));
    assert_eq!((link(first), parent(first)), ("connect".to_owned(), Some(one)));
    assert_eq!((link(second), parent(second)), ("loop".to_owned(), Some(two)));
}

#[test]
fn a_proven_class_links_at_once_and_without_backward_evidence() {
    let mut world = World::new();
    let conns = [1, 2].map(|tid| (world.connect(thread(CURL, tid), 80), thread(API, tid)));
    for _ in 0..40 {
        let [(one, first), (two, second)] = conns;
        world.serve(one, "/warm", first, |world| world.serve(two, "/up", second, |_| ()));
    }
    let call = world.connect(thread(API, 1), 81);
    let (conn, api) = conns[0];
    world.ask(thread(CURL, 1), conn, &get("/a"));
    world.take(api, conn);
    world.ask(api, call, &get("/forgotten"));
    // The answer to the call comes after the response: it takes no part in it.
    world.answer(api, conn, OK);
    world.receive(thread(CURL, 1), conn);
    world.take(thread(STOCK, 1), call);
    world.answer(thread(STOCK, 1), call, OK);
    world.receive(api, call);
    let spans = world.end();
    let call = find(&spans, SpanKind::Client, "/forgotten");
    assert_eq!((link(call), parent(call)), ("thread".to_owned(), Some(find(&spans, SpanKind::Server, "/a").span_id)));
}

#[test]
fn a_doubtful_runtime_is_linked_only_when_its_class_is_proven() {
    let mut world = World::new();
    world.habit(API, Habit::Doubtful);
    let conns = [1, 2].map(|tid| (world.connect(thread(CURL, tid), 80), thread(API, tid)));
    for (round, path) in [(0, "/early"), (40, "/late")] {
        for _ in 0..round {
            let [(one, first), (two, second)] = conns;
            world.serve(one, "/warm", first, |world| world.serve(two, "/up", second, |_| ()));
        }
        let (conn, api) = conns[0];
        world.serve(conn, "/a", api, |world| {
            let call = world.connect(api, 81);
            world.serve(call, path, thread(STOCK, 1), |_| ());
        });
    }
    let spans = world.end();
    let links = ["/early", "/late"].map(|path| link(find(&spans, SpanKind::Client, path)));
    assert_eq!(links, ["none no_adapter", "thread"]);
}

#[test]
fn a_header_is_a_fact_and_the_client_span_stands_between() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    let header = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    world.ask(thread(CURL, 1), conn, &format!("GET /a HTTP/1.1\r\nHost: test\r\n{header}\r\n"));
    world.take(thread(API, 1), conn);
    world.answer(thread(API, 1), conn, OK);
    world.receive(thread(CURL, 1), conn);
    let spans = world.end();
    let (client, server) = (find(&spans, SpanKind::Client, "/a"), find(&spans, SpanKind::Server, "/a"));
    assert_eq!(link(client), "header:tracecontext");
    assert_eq!(parent(client), Some([0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]));
    assert_eq!((link(server), parent(server), server.trace_id), ("wire".to_owned(), Some(client.span_id), client.trace_id));
}

#[test]
fn a_database_is_told_by_its_client_with_the_servers_times() {
    let mut world = World::new();
    let conn = world.connect(thread(API, 1), 6379);
    world.ask(thread(API, 1), conn, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    world.take(thread(STOCK, 1), conn);
    world.answer(thread(STOCK, 1), conn, "$-1\r\n");
    world.receive(thread(API, 1), conn);
    let spans = world.end();
    assert_eq!(spans.iter().map(|span| (span.kind, span.name.as_ref())).collect::<Vec<_>>(), [(SpanKind::Client, "GET")]);
    for key in ["wirespan.queue_ns", "wirespan.app_ns", "wirespan.network_ns", "wirespan.read_delay_ns"] {
        assert!(attribute(&spans[0], key).is_some(), "{key}");
    }
}

#[test]
fn a_server_that_repeats_what_looks_like_a_request_gives_no_span() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    for _ in 0..2 {
        world.ask(thread(CURL, 1), conn, &get("/a"));
        world.take(thread(API, 1), conn);
        world.answer(thread(API, 1), conn, &get("/a"));
        world.receive(thread(CURL, 1), conn);
    }
    world.close(conn, End::Finished);
    assert_eq!(world.end(), []);
}

#[test]
fn a_reset_is_the_error_of_the_request_it_hurt() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    world.ask(thread(CURL, 1), conn, &get("/a"));
    world.close(conn, End::ResetByPeer);
    let spans = world.end();
    for span in [find(&spans, SpanKind::Client, "/a"), find(&spans, SpanKind::Server, "/a")] {
        assert_eq!(span.status, Status::Error("".into()));
        assert_eq!(attribute(span, "error.type").as_deref(), Some("connection_reset"));
    }
}

#[test]
fn spans_do_not_wait_for_the_end_of_the_input() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    world.serve(conn, "/a", thread(API, 1), |_| ());
    world.pass(500_000_000);
    assert_eq!(world.spans.len(), 2);
}

#[test]
fn over_loopback_what_leaves_one_end_has_arrived_at_the_other() {
    let told = |mut world: World| {
        let conn = world.connect(thread(CURL, 1), 80);
        for path in ["/a", "/b", "/c"] {
            world.serve(conn, path, thread(API, 1), |_| ());
        }
        world.ask(thread(CURL, 1), conn, "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        world.take(thread(API, 1), conn);
        world.answer(thread(API, 1), conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x02");
        world.receive(thread(CURL, 1), conn);
        let untold = world.untold;
        let mut spans: Vec<_> = world.end().iter().map(|span| (span.kind as u8, span.span_id, parent(span), link(span))).collect();
        spans.sort();
        (spans, untold)
    };
    let (apart, all) = told(World::new());
    let (together, untold) = told(World::on_loopback());
    assert_eq!((apart.len(), all, &together), (8, 0, &apart));
    // With the second request the connection has proven to last; from then on all that arrives is what left.
    assert_eq!(untold, 5);
}

#[test]
fn connections_with_equal_addresses_in_two_network_namespaces_are_not_mixed_up() {
    let mut world = World::on_loopback();
    let conns = world.connect_in_two_namespaces([thread(CURL, 1), thread(CURL + 1, 1)], 80);
    for path in ["/a", "/b", "/c"] {
        world.serve(conns[0], &format!("{path}1"), thread(API, 1), |_| ());
        world.serve(conns[1], &format!("{path}2"), thread(STOCK, 1), |_| ());
    }
    let spans = world.end();
    assert_eq!(spans.len(), 12);
    for path in ["/a1", "/a2", "/b1", "/b2", "/c1", "/c2"] {
        assert_eq!(parent(find(&spans, SpanKind::Server, path)), Some(find(&spans, SpanKind::Client, path).span_id), "{path}");
    }
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request for a path of one letter: `:method: GET`, `:scheme: http`, and the path written out.
fn ask(stream: u32, path: u8) -> Vec<u8> {
    frame(1, 5, stream, &[0x82, 0x86, 0x04, 2, b'/', path])
}

/// The beginning of a response.
fn ok(stream: u32) -> Vec<u8> {
    frame(1, 4, stream, &[0x88])
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[test]
fn streams_of_one_connection_are_spans_of_their_own_with_their_own_times() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    world.ask(thread(CURL, 1), conn, &[PREFACE, &ask(1, b'a'), &ask(3, b'b')].concat());
    world.take(thread(API, 1), conn);
    world.ask(thread(CURL, 1), conn, &ask(5, b'c'));
    world.answer(thread(API, 1), conn, &[ok(3), frame(0, 1, 3, b"b")].concat());
    world.answer(thread(API, 1), conn, &[ok(1), frame(0, 0, 1, b"a")].concat());
    // The client gives one up and the server another.
    world.ask(thread(CURL, 1), conn, &frame(3, 0, 5, &[0, 0, 0, 8]));
    world.answer(thread(API, 1), conn, &frame(3, 0, 1, &[0, 0, 0, 2]));
    world.receive(thread(CURL, 1), conn);
    world.close(conn, End::Finished);
    let spans = world.end();
    let told = |path: &str| {
        let (client, server) = (find(&spans, SpanKind::Client, path), find(&spans, SpanKind::Server, path));
        assert_eq!((parent(server), link(server), server.trace_id), (Some(client.span_id), "wire".to_owned(), client.trace_id));
        (attribute(client, "http.response.status_code"), attribute(client, "error.type"), (client.end - client.start) / 1000)
    };
    let status = || Some("200".to_owned());
    let error = |name: &str| Some(name.to_owned());
    // Every segment passes two sockets, a microsecond apart; a read takes one too.
    assert_eq!(told("/b"), (status(), None, 6));
    assert_eq!(told("/a"), (status(), error("INTERNAL_ERROR"), 12));
    assert_eq!(told("/c"), (None, error("CANCEL"), 6));
    assert_eq!(spans.len(), 6);
}

#[test]
fn a_response_whose_end_was_lost_is_told_and_does_not_hold_up_the_next_one() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    world.ask(thread(CURL, 1), conn, &[PREFACE, &ask(1, b'a')].concat());
    world.answer_partly_seen(thread(API, 1), conn, &[ok(1), frame(0, 0, 1, b"aaaa")].concat(), 100_000);
    world.ask(thread(CURL, 1), conn, &ask(3, b'b'));
    // It begins with the end of what was lost.
    world.answer(thread(API, 1), conn, &[&b"aaaaaaaaaaaa"[..], &ok(3), &frame(0, 1, 3, b"b")].concat());
    world.pass(500_000_000);
    assert_eq!(world.spans.len(), 2);
    world.pass(1_500_000_000);
    let spans = world.end();
    let told = |path: &str| {
        let span = find(&spans, SpanKind::Client, path);
        ["http.response.status_code", "error.type", "wirespan.truncated"].map(|key| attribute(span, key).unwrap_or_default())
    };
    assert_eq!(told("/a"), ["200", "", "true"]);
    assert_eq!(told("/b"), ["200", "", ""]);
    assert_eq!(spans.len(), 4);
}

#[test]
fn a_call_among_others_on_one_connection_has_no_proof_of_its_caller() {
    let mut world = World::new();
    let (one, two) = (world.connect(thread(CURL, 1), 80), world.connect(thread(CURL, 2), 80));
    let [first, second] = [1, 2].map(|tid| thread(API, tid));
    let upstream = world.connect(first, 81);
    world.serve(one, "/warm", first, |world| world.serve(two, "/up", second, |_| ()));
    world.serve(one, "/one", first, |world| {
        world.ask(first, upstream, &[PREFACE, &ask(1, b'a')].concat());
        world.serve(two, "/two", second, |world| {
            world.ask(second, upstream, &ask(3, b'b'));
            world.take(thread(STOCK, 1), upstream);
            world.answer(thread(STOCK, 1), upstream, &[ok(3), frame(0, 1, 3, b"b"), ok(1), frame(0, 1, 1, b"a")].concat());
            // One thread reads for both.
            world.receive(first, upstream);
        });
    });
    let spans = world.end();
    assert_eq!(link(find(&spans, SpanKind::Client, "/b")), "none concurrent");
}
