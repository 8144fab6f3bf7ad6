//! Messages in the small made-up world: whose span the consumer's belongs to, and which one gave what was fetched.
use super::world::{Conn, World, attribute};
use crate::capture::event::Thread;
use crate::enrich::span::{Span, SpanKind};

const SHOP: Thread = Thread { pid: 20, tid: 1 };
const BILLING: Thread = Thread { pid: 30, tid: 1 };
const NATS: Thread = Thread { pid: 40, tid: 1 };
const PORT: u16 = 4222;
const INFO: &str = "INFO {\"server_id\":\"NA\",\"version\":\"2.10.0\",\"headers\":true,\"max_payload\":1048576} \r\n";

/// A broker with a connection of the shop, which gives messages, and one of the billing service, which gets them.
struct Broker {
    world: World,
    shop: Conn,
    billing: Conn,
}

impl Broker {
    fn new() -> Self {
        let mut world = World::new();
        let [shop, billing] = [SHOP, BILLING].map(|by| {
            let conn = world.connect(by, PORT);
            world.answer(NATS, conn, INFO);
            world.receive(by, conn);
            world.ask(by, conn, "CONNECT {\"verbose\":false}\r\nPING\r\n");
            world.take(NATS, conn);
            world.answer(NATS, conn, "PONG\r\n");
            world.receive(by, conn);
            conn
        });
        world.ask(BILLING, billing, "SUB orders.* 7\r\n");
        world.take(NATS, billing);
        Self { world, shop, billing }
    }

    fn publish(&mut self, text: &str) {
        self.world.ask(SHOP, self.shop, text);
        self.world.take(NATS, self.shop);
    }

    fn deliver(&mut self, text: &str) {
        self.world.answer(NATS, self.billing, text);
        self.world.receive(BILLING, self.billing);
    }

    /// The spans of messages, those of the connections' set-up left out.
    fn end(self) -> Vec<Span> {
        let mut spans = self.world.end();
        spans.retain(|span| matches!(span.kind, SpanKind::Producer | SpanKind::Consumer));
        spans
    }
}

fn only(spans: &[Span], kind: SpanKind) -> &Span {
    let mut found = spans.iter().filter(|span| span.kind == kind);
    let span = found.next().unwrap_or_else(|| panic!("no {kind:?} in {spans:#?}"));
    assert!(found.next().is_none(), "more than one {kind:?} in {spans:#?}");
    span
}

#[test]
fn what_is_pushed_is_a_child_of_the_span_that_the_message_names() {
    let mut broker = Broker::new();
    let headers = "NATS/1.0\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
    let sizes = format!("{} {}", headers.len(), headers.len() + 2);
    broker.publish(&format!("HPUB orders.new {sizes}\r\n{headers}ok\r\n"));
    broker.deliver(&format!("HMSG orders.new 7 {sizes}\r\n{headers}ok\r\n"));
    let spans = broker.end();
    let (given, got) = (only(&spans, SpanKind::Producer), only(&spans, SpanKind::Consumer));
    assert_eq!(got.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
    assert_eq!(got.trace_id, given.trace_id);
    assert_eq!(got.parent.map(|parent| parent.id), Some(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()));
    assert_eq!(attribute(got, "wirespan.link").as_deref(), Some("header:tracecontext"));
}

#[test]
fn what_is_pushed_without_a_header_is_a_child_of_the_span_that_gave_it() {
    let mut broker = Broker::new();
    broker.publish("PUB orders.new _INBOX.a.1 2\r\nok\r\n");
    // The broker answers the shop before or after it hands the message on.
    let stored = "MSG _INBOX.a.1 1 30\r\n{\"stream\":\"ORDERS\", \"seq\":4711}\r\n";
    let (shop, billing) = (broker.shop, "MSG orders.new 7 $JS.ACK.ORDERS.c.1.4711.1.1700000000000000000.0 2\r\nok\r\n");
    broker.deliver(billing);
    broker.world.answer(NATS, shop, stored);
    broker.world.receive(SHOP, shop);
    broker.world.ask(BILLING, broker.billing, "PUB $JS.ACK.ORDERS.c.1.4711.1.1700000000000000000.0 4\r\n+ACK\r\n");
    broker.world.pass(1_000_000_000);
    let spans = broker.end();
    let (given, got) = (only(&spans, SpanKind::Producer), only(&spans, SpanKind::Consumer));
    assert_eq!((got.trace_id, got.parent.map(|parent| parent.id)), (given.trace_id, Some(given.span_id)));
    assert_eq!(attribute(got, "wirespan.link").as_deref(), Some("message"));
}

#[test]
fn a_message_that_nobody_was_seen_to_give_begins_a_trace() {
    let mut broker = Broker::new();
    broker.deliver("MSG orders.new 7 $JS.ACK.ORDERS.c.1.4711.1.1700000000000000000.0 2\r\nok\r\n");
    broker.world.pass(1_000_000_000);
    let spans = broker.end();
    let got = only(&spans, SpanKind::Consumer);
    assert_eq!((got.parent, attribute(got, "wirespan.link.reason").as_deref()), (None, Some("root")));
}
