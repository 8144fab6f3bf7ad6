//! Programs that hand bytes on, in the small made-up world: which requests join by their content, and which never do.
use super::world::{Conn, OK, World, attribute, find, get, thread};
use crate::capture::event::Thread;
use crate::causality::class::Habit;
use crate::enrich::span::{Span, SpanKind};
use std::collections::{BTreeMap, BTreeSet};

const CURL: u32 = 10;
const FORWARDER: u32 = 20;
const STOCK: u32 = 30;

fn loop_of(pid: u32) -> Thread {
    thread(pid, 1)
}

/// A connection through the forwarder: to it, and from it.
#[derive(Clone, Copy)]
struct Through {
    near: Conn,
    far: Conn,
}

/// A client connects, and the forwarder connects on.
fn through(world: &mut World, client: u32, forwarder: Thread) -> Through {
    let near = world.connect(thread(CURL, client), 80);
    Through { near, far: world.connect(forwarder, 81) }
}

/// These requests come in and are read one after the other; then all are handed on, then all answers come, then all are handed back.
fn at_once(world: &mut World, requests: &[(Through, Thread, &str)]) {
    for (through, forwarder, request) in requests {
        world.ask(thread(CURL, 1), through.near, request);
        world.take(*forwarder, through.near);
    }
    for (through, forwarder, request) in requests {
        world.ask(*forwarder, through.far, request);
        world.take(loop_of(STOCK), through.far);
    }
    for (through, forwarder, _) in requests {
        world.answer(loop_of(STOCK), through.far, OK);
        world.receive(*forwarder, through.far);
    }
    for (through, forwarder, _) in requests {
        world.answer(*forwarder, through.near, OK);
        world.receive(thread(CURL, 1), through.near);
    }
}

fn why(span: &Span) -> String {
    let texts = ["wirespan.link", "wirespan.link.reason", "wirespan.link.provisional"].map(|key| attribute(span, key));
    texts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn peer_port(span: &Span) -> String {
    attribute(span, "network.peer.port").expect("a port")
}

/// The requests to the forwarder on the connection that brought `path`.
fn requests_beside(spans: &[Span], path: &str) -> BTreeSet<[u8; 8]> {
    let wanted = |span: &&Span| span.kind == SpanKind::Client && why(span) == "none root";
    let root = spans.iter().filter(wanted).find(|span| attribute(span, "url.full").is_some_and(|url| url.ends_with(path))).expect("curl");
    let brought = spans.iter().find(|span| span.parent.is_some_and(|parent| parent.id == root.span_id)).expect("the request");
    let here = |span: &&Span| span.kind == SpanKind::Server && peer_port(span) == peer_port(brought);
    spans.iter().filter(here).map(|span| span.span_id).collect()
}

/// How the forwarder's call of `path` is linked, and whether its parent is a request of that path; an orphan's is nobody.
fn call(spans: &[Span], path: &str) -> (String, bool) {
    let calls: Vec<Span> = spans.iter().filter(|span| peer_port(span) == "81").cloned().collect();
    let call = find(&calls, SpanKind::Client, path);
    let parent = spans.iter().find(|span| call.parent.is_some_and(|parent| parent.id == span.span_id));
    (why(call), parent.is_some_and(|parent| attribute(parent, "url.path").is_some_and(|told| told == path)))
}

/// How the forwarder's calls are linked, and how many times so; and the parents that they have.
fn calls(spans: &[Span]) -> (BTreeMap<String, usize>, BTreeSet<[u8; 8]>) {
    let (mut words, mut parents) = (BTreeMap::new(), BTreeSet::new());
    for span in spans.iter().filter(|span| peer_port(span) == "81") {
        *words.entry(why(span)).or_default() += 1;
        parents.extend(span.parent.map(|parent| parent.id));
    }
    (words, parents)
}

#[test]
fn what_a_forwarder_sends_belongs_to_the_request_with_its_content_whatever_was_read_since() {
    let mut world = World::new();
    let forwarder = loop_of(FORWARDER);
    let first = through(&mut world, 1, forwarder);
    at_once(&mut world, &[(first, forwarder, &get("/alone"))]);
    let [a, b, c] = [1, 2, 3].map(|client| through(&mut world, client, forwarder));
    at_once(&mut world, &[(a, forwarder, &get("/a")), (b, forwarder, &get("/b")), (c, forwarder, &get("/c"))]);
    let spans = world.end();
    for path in ["/alone", "/a", "/b", "/c"] {
        assert_eq!(call(&spans, path), ("tunnel".to_owned(), true), "{path}");
    }
}

#[test]
fn equal_requests_at_once_are_orphans_and_joined_where_their_connections_are_known() {
    let mut world = World::new();
    let forwarder = loop_of(FORWARDER);
    let [a, b, c] = [1, 2, 3].map(|client| through(&mut world, client, forwarder));
    at_once(&mut world, &[(a, forwarder, &get("/alone"))]);
    // That b and c belong to the clients' second and third connections, nobody has seen.
    at_once(&mut world, &[(a, forwarder, &get("/same")), (b, forwarder, &get("/same")), (c, forwarder, &get("/same"))]);
    let spans = world.end();
    let (words, parents) = calls(&spans);
    assert_eq!(words, BTreeMap::from([("none concurrent".to_owned(), 2), ("tunnel".to_owned(), 2)]));
    assert_eq!(parents, requests_beside(&spans, "/alone"));
}

#[test]
fn equal_requests_at_once_in_processes_of_their_own_belong_to_these() {
    let mut world = World::new();
    let forwarders = [40, 41, 42].map(loop_of);
    let requests: Vec<_> = forwarders.iter().map(|forwarder| (through(&mut world, 1, *forwarder), *forwarder)).collect();
    let same = get("/same");
    let requests: Vec<_> = requests.into_iter().map(|(through, forwarder)| (through, forwarder, same.as_str())).collect();
    at_once(&mut world, &requests);
    let spans = world.end();
    let (words, parents) = calls(&spans);
    assert_eq!((words, parents.len()), (BTreeMap::from([("tunnel".to_owned(), 3)]), 3));
}

#[test]
fn a_rule_that_names_another_request_than_the_content_does_gives_an_orphan() {
    let mut world = World::new();
    world.habit(FORWARDER, Habit::IoLoop);
    let forwarder = loop_of(FORWARDER);
    let [a, b] = [1, 2].map(|client| through(&mut world, client, forwarder));
    at_once(&mut world, &[(a, forwarder, &get("/first"))]);
    at_once(&mut world, &[(b, forwarder, &get("/second"))]);
    // The loop's last read was /b when it sent both.
    at_once(&mut world, &[(a, forwarder, &get("/a")), (b, forwarder, &get("/b"))]);
    let spans = world.end();
    assert_eq!(call(&spans, "/first"), ("tunnel".to_owned(), true));
    assert_eq!(call(&spans, "/a"), ("none conflict".to_owned(), false));
    assert_eq!(call(&spans, "/b"), ("loop".to_owned(), true));
}

#[test]
fn a_command_that_is_handed_on_hangs_under_the_clients_span_which_tells_of_both_ends() {
    let mut world = World::new();
    let forwarder = loop_of(FORWARDER);
    let redis = Through { near: world.connect(thread(CURL, 1), 6379), far: world.connect(forwarder, 6380) };
    let command = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    world.ask(thread(CURL, 1), redis.near, command);
    world.take(forwarder, redis.near);
    world.ask(forwarder, redis.far, command);
    world.take(loop_of(STOCK), redis.far);
    world.answer(loop_of(STOCK), redis.far, "$-1\r\n");
    world.receive(forwarder, redis.far);
    world.answer(forwarder, redis.near, "$-1\r\n");
    world.receive(thread(CURL, 1), redis.near);
    let spans = world.end();
    let [call, client] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!((why(client), why(call)), ("none root".to_owned(), "tunnel".to_owned()));
    assert_eq!(call.parent.map(|parent| (parent.id, parent.remote)), Some((client.span_id, true)));
}

/// Plain HTTP through a proxy that was asked to `CONNECT`.
#[test]
fn what_is_said_in_a_tunnel_is_told_at_every_end() {
    let mut world = World::new();
    let (curl, proxy) = (thread(CURL, 1), loop_of(FORWARDER));
    let near = world.connect(curl, 80);
    world.ask(curl, near, "CONNECT stock:81 HTTP/1.1\r\nHost: stock:81\r\n\r\n");
    world.take(proxy, near);
    let tunnel = Through { near, far: world.connect(proxy, 81) };
    world.answer(proxy, near, "HTTP/1.1 200 Connection established\r\n\r\n");
    world.receive(curl, near);
    for path in ["/one", "/two"] {
        at_once(&mut world, &[(tunnel, proxy, &get(path))]);
    }
    assert_eq!(world.remarks().0, BTreeMap::from([("tunnel", 2)]));
    let spans = world.end();
    let told: Vec<_> = spans.iter().filter(|span| span.name == "CONNECT").map(|span| (span.kind, why(span))).collect();
    assert_eq!(told, [(SpanKind::Server, "wire".to_owned()), (SpanKind::Client, "none root".to_owned())]);
    for path in ["/one", "/two"] {
        assert_eq!(call(&spans, path), ("tunnel".to_owned(), true), "{path}");
    }
    assert_eq!(spans.len(), 2 + 2 * 4);
}

#[test]
fn tls_in_a_tunnel_is_left_alone() {
    let mut world = World::new();
    let (curl, proxy) = (thread(CURL, 1), loop_of(FORWARDER));
    let conn = world.connect(curl, 80);
    world.ask(curl, conn, "CONNECT stock:443 HTTP/1.1\r\nHost: stock:443\r\n\r\n");
    world.take(proxy, conn);
    world.answer(proxy, conn, "HTTP/1.1 200 OK\r\n\r\n");
    world.receive(curl, conn);
    world.ask(curl, conn, "\u{16}\u{3}\u{1}\0\u{16}hello, this is a hello");
    world.answer(proxy, conn, "\u{16}\u{3}\u{3}\0\u{16}hello, this is a hello");
    assert_eq!(world.remarks().0, BTreeMap::from([("flow.connections_unrecognised", 2), ("tunnel", 2)]));
    assert_eq!(world.end().len(), 2);
}

#[test]
fn a_handshake_in_a_tunnel_is_told() {
    let mut world = World::new();
    let (curl, proxy) = (thread(CURL, 1), loop_of(FORWARDER));
    let conn = world.connect(curl, 80);
    world.ask(curl, conn, "CONNECT stock:443 HTTP/1.1\r\nHost: stock:443\r\n\r\n");
    world.take(proxy, conn);
    world.answer(proxy, conn, "HTTP/1.1 200 OK\r\n\r\n");
    world.receive(curl, conn);
    let random = [7; 32];
    let hello = [b"\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x03".as_slice(), &random, b"\0\0\x02\x13\x01\x01\0"].concat();
    let answer = [b"\x16\x03\x03\0\x2a\x02\0\0\x26\x03\x03".as_slice(), &random, b"\0\x13\x01\0\x14\x03\x03\0\x01\x01"].concat();
    world.ask(curl, conn, &hello);
    world.answer(proxy, conn, &answer);
    world.receive(curl, conn);
    world.ask(curl, conn, "\u{17}\u{3}\u{3}\0\u{5}hello");
    assert_eq!(world.remarks().0, BTreeMap::from([("encrypted", 2), ("tunnel", 2)]));
    let spans = world.end();
    let told: Vec<_> = spans.iter().map(|span| (span.kind, span.name.as_ref(), attribute(span, "tls.protocol.version"))).collect();
    let version = Some("1.2".to_owned());
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.contains(&(SpanKind::Client, "TLS handshake", version)), "{told:?}");
}

#[test]
fn tunnels_within_tunnels_end_somewhere() {
    let mut world = World::new();
    let conn = world.connect(thread(CURL, 1), 80);
    world.ask(thread(CURL, 1), conn, &"CONNECT a:1 HTTP/1.1\r\n\r\n".repeat(2000));
    world.answer(loop_of(FORWARDER), conn, &"HTTP/1.1 200 OK\r\n\r\n".repeat(2000));
    assert_eq!(world.remarks().0, BTreeMap::from([("tunnel", 10)]));
}
