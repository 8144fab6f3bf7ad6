//! Event loops in the small made-up world: whose call it is that a callback sends.
use super::world::{Conn, OK, World, attribute, find, get};
use crate::capture::event::Thread;
use crate::causality::class::Habit;
use crate::causality::manner::Manner;
use crate::enrich::span::SpanKind;

const CURL: Thread = Thread { pid: 10, tid: 1 };
const SHOP: Thread = Thread { pid: 20, tid: 1 };
const STOCK: Thread = Thread { pid: 30, tid: 1 };

/// The shop's loop, and which callback of it runs.
struct Loop {
    world: World,
    callback: u8,
}

impl Loop {
    fn new(manner: Manner) -> Self {
        let mut world = World::new();
        world.habit(SHOP.pid, Habit::Migrating);
        world.adapt(SHOP.pid, manner);
        Self { world, callback: 0 }
    }

    /// Another callback begins.
    fn next(&mut self) {
        self.callback = self.callback.wrapping_add(1);
        self.world.calls_back(SHOP, self.callback);
    }

    /// A customer.
    fn customer(&mut self) -> Conn {
        self.world.connect(CURL, 80)
    }

    /// A connection to the stock.
    fn connection(&mut self) -> Conn {
        self.world.connect(SHOP, 81)
    }

    /// A callback reads a request.
    fn asked(&mut self, customer: Conn, path: &str) {
        self.next();
        self.world.ask(CURL, customer, &get(path));
        self.world.take(SHOP, customer);
    }

    /// The callback sends a call.
    fn call(&mut self, connection: Conn, path: &str) {
        self.world.ask(SHOP, connection, &get(path));
        self.world.take(STOCK, connection);
    }

    /// A callback reads the answer to a call.
    fn answered(&mut self, connection: Conn) {
        self.next();
        self.world.answer(STOCK, connection, OK);
        self.world.receive(SHOP, connection);
    }

    /// The callback sends a response.
    fn respond(&mut self, customer: Conn) {
        self.world.answer(SHOP, customer, OK);
        self.world.receive(CURL, customer);
    }

    /// How the calls are linked: the path of each one's parent, or why it has none.
    fn links<const N: usize>(mut self, calls: [&str; N]) -> [String; N] {
        self.world.pass(300_000_000);
        let spans = self.world.end();
        calls.map(|call| {
            let span = find(&spans, SpanKind::Client, call);
            let above = span.parent.and_then(|parent| spans.iter().find(|other| other.span_id == parent.id));
            let path = above.and_then(|above| attribute(above, "url.path"));
            path.or_else(|| attribute(span, "wirespan.link.reason")).unwrap_or_default()
        })
    }
}

/// Two customers and two connections to the stock.
fn two(manner: Manner) -> (Loop, [Conn; 2], [Conn; 2]) {
    let mut shop = Loop::new(manner);
    let customers = [shop.customer(), shop.customer()];
    let connections = [shop.connection(), shop.connection()];
    (shop, customers, connections)
}

#[test]
fn a_call_belongs_to_the_request_that_its_callback_read_and_whose_response_its_answers_callback_sends() {
    let (mut shop, [a, b], [one, other]) = two(Manner::Rounds);
    shop.asked(a, "/a");
    shop.call(one, "/for-a");
    shop.asked(b, "/b");
    shop.call(other, "/for-b");
    shop.answered(other);
    shop.respond(b);
    shop.answered(one);
    shop.respond(a);
    assert_eq!(shop.links(["/for-a", "/for-b"]), ["/a", "/b"]);
}

#[test]
fn after_a_timer_the_response_tells_whatever_was_read_last() {
    let (mut shop, [a, b], [one, _]) = two(Manner::Rounds);
    shop.asked(a, "/a");
    shop.asked(b, "/b");
    // The timer.
    shop.next();
    shop.call(one, "/for-a");
    shop.answered(one);
    shop.respond(a);
    shop.next();
    shop.respond(b);
    assert_eq!(shop.links(["/for-a"]), ["/a"]);
}

#[test]
fn a_connection_that_is_handed_on_sends_the_call_of_another() {
    let (mut shop, [a, b], [only, _]) = two(Manner::Rounds);
    shop.asked(a, "/a");
    shop.call(only, "/for-a");
    // Its call waits for the connection.
    shop.asked(b, "/b");
    shop.answered(only);
    shop.call(only, "/for-b");
    shop.respond(a);
    shop.answered(only);
    shop.respond(b);
    assert_eq!(shop.links(["/for-a", "/for-b"]), ["/a", "/b"]);
}

#[test]
fn of_calls_one_after_the_other_the_middle_one_is_reached_from_both_ends() {
    let (mut shop, [a, b], [one, _]) = two(Manner::Rounds);
    shop.asked(a, "/a");
    shop.call(one, "/first");
    shop.asked(b, "/b");
    shop.answered(one);
    shop.call(one, "/second");
    shop.answered(one);
    shop.call(one, "/third");
    shop.answered(one);
    shop.respond(a);
    assert_eq!(shop.links(["/first", "/second", "/third"]), ["/a", "/a", "/a"]);
}

#[test]
fn where_a_request_flushes_the_calls_of_others_the_two_ends_differ_and_there_is_no_link() {
    let (mut shop, [a, b], [one, other]) = two(Manner::Rounds);
    shop.asked(a, "/a");
    shop.asked(b, "/b");
    shop.call(one, "/for-a");
    shop.call(other, "/for-b");
    shop.answered(one);
    shop.respond(a);
    shop.answered(other);
    shop.respond(b);
    assert_eq!(shop.links(["/for-a", "/for-b"]), ["conflict", "/b"]);
}

#[test]
fn neither_a_callback_of_several_responses_nor_one_of_none_tells_whose_a_call_was() {
    let (mut shop, [a, b], [one, other]) = two(Manner::Rounds);
    shop.asked(a, "/a");
    shop.asked(b, "/b");
    shop.next();
    shop.call(one, "/for-both");
    shop.call(other, "/in-the-background");
    shop.answered(one);
    shop.respond(a);
    shop.respond(b);
    shop.answered(other);
    assert_eq!(shop.links(["/for-both", "/in-the-background"]), ["handoff", "handoff"]);
}

/// Two calls that a later callback sends together on one connection, and whose answers come together.
fn collected(answered_in_order: bool) -> [String; 2] {
    let (mut shop, [a, b], [one, _]) = two(Manner::Rounds);
    shop.asked(a, "/a");
    shop.asked(b, "/b");
    shop.next();
    shop.call(one, "/first");
    shop.call(one, "/second");
    shop.next();
    shop.world.answer(STOCK, one, OK);
    shop.world.answer(STOCK, one, OK);
    shop.world.receive(SHOP, one);
    for customer in if answered_in_order { [a, b] } else { [b, a] } {
        shop.respond(customer);
    }
    shop.links(["/first", "/second"])
}

#[test]
fn calls_that_are_collected_belong_to_the_requests_in_turn_if_the_responses_come_in_turn_too() {
    assert_eq!(collected(true), ["/a", "/b"]);
    assert_eq!(collected(false), ["handoff", "handoff"]);
}

#[test]
fn what_is_sent_after_the_response_is_not_made_for_its_request() {
    let (mut shop, [a, _], [one, _]) = two(Manner::Rounds);
    shop.asked(a, "/a");
    shop.respond(a);
    shop.world.pass(1_000_000);
    shop.call(one, "/late");
    shop.answered(one);
    assert_eq!(shop.links(["/late"]), ["root"]);
}

#[test]
fn a_pool_that_hands_connections_on_refutes_its_chains() {
    let (mut shop, [a, b], [only, _]) = two(Manner::Rounds);
    for _ in 0..3 {
        shop.asked(a, "/a");
        shop.call(only, "/x");
        shop.asked(b, "/b");
        shop.answered(only);
        shop.call(only, "/y");
        shop.respond(a);
        shop.answered(only);
        shop.respond(b);
    }
    // Both ends of what comes in between lead to the first request.
    shop.asked(a, "/c");
    shop.call(only, "/first-for-c");
    shop.asked(b, "/d");
    shop.answered(only);
    shop.call(only, "/for-d");
    shop.answered(only);
    shop.call(only, "/second-for-c");
    shop.answered(only);
    shop.respond(a);
    shop.respond(b);
    assert_eq!(shop.links(["/x", "/y", "/first-for-c", "/for-d"]), ["/a", "/b", "/c", "audit"]);
}

#[test]
fn a_body_that_is_read_later_belongs_to_the_same_request() {
    let (mut shop, [a, b], [one, other]) = two(Manner::Rounds);
    shop.next();
    shop.world.ask(CURL, a, "POST /a HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbo");
    shop.world.take(SHOP, a);
    shop.asked(b, "/b");
    shop.next();
    shop.world.ask(CURL, a, "dy");
    shop.world.take(SHOP, a);
    shop.call(one, "/for-a");
    // The answer, too, comes in two parts.
    shop.world.answer(STOCK, one, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    shop.next();
    shop.world.receive(SHOP, one);
    shop.call(other, "/meanwhile");
    shop.world.answer(STOCK, one, "ok");
    shop.next();
    shop.world.receive(SHOP, one);
    shop.respond(a);
    assert_eq!(shop.links(["/for-a"]), ["/a"]);
}

/// Requests whose calls others flush: forward and backward evidence differ.
fn conflicts(shop: &mut Loop, [a, b]: [Conn; 2], [one, other]: [Conn; 2]) {
    for _ in 0..3 {
        shop.asked(a, "/x");
        shop.asked(b, "/y");
        shop.call(one, "/for-x");
        shop.call(other, "/for-y");
        shop.answered(one);
        shop.respond(a);
        shop.answered(other);
        shop.respond(b);
    }
}

/// A call whose answer nothing follows from.
fn forgotten(shop: &mut Loop, customer: Conn, connection: Conn) {
    shop.asked(customer, "/a");
    shop.call(connection, "/forgotten");
    shop.answered(connection);
    shop.next();
    shop.respond(customer);
}

#[test]
fn forward_evidence_alone_decides_until_it_was_wrong_and_backward_evidence_ever_after() {
    let (mut shop, customers, connections) = two(Manner::Rounds);
    forgotten(&mut shop, customers[0], connections[0]);
    assert_eq!(shop.links(["/forgotten"]), ["/a"]);
    let (mut shop, customers, connections) = two(Manner::Rounds);
    conflicts(&mut shop, customers, connections);
    forgotten(&mut shop, customers[0], connections[0]);
    shop.asked(customers[0], "/c");
    shop.asked(customers[1], "/d");
    shop.call(connections[0], "/for-c");
    shop.answered(connections[0]);
    shop.respond(customers[0]);
    assert_eq!(shop.links(["/forgotten", "/for-c"]), ["audit", "/c"]);
}

#[test]
fn what_the_stack_does_not_reach_is_no_callback() {
    let (mut shop, [a, _], [one, _]) = two(Manner::Rounds);
    shop.asked(a, "/a");
    // The stack pointer is above the part that was copied.
    shop.world.at(SHOP, &[0x7010, 0x7000]);
    shop.call(one, "/elsewhere");
    shop.answered(one);
    shop.next();
    shop.respond(a);
    assert_eq!(shop.links(["/elsewhere"]), ["handoff"]);
}
