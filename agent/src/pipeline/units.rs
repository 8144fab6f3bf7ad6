//! Tasks, goroutines and the like in the small made-up world: whose call it is when many share one thread.
use super::world::{Conn, OK, World, attribute, find, get, thread};
use crate::capture::event::Thread;
use crate::causality::class::Habit;
use crate::causality::manner::{Manner, Unit, word};
use crate::enrich::span::{Span, SpanKind};

const CURL: Thread = Thread { pid: 10, tid: 1 };
const SHOP: Thread = Thread { pid: 20, tid: 1 };
const STOCK: Thread = Thread { pid: 30, tid: 1 };

/// A world in which the shop runs tasks on one thread.
fn tasks() -> World {
    let mut world = World::new();
    world.habit(SHOP.pid, Habit::Migrating);
    world.adapt(SHOP.pid, Manner::Units(Unit::Task));
    world
}

/// How a call of the shop is linked: the path of its parent, and why.
fn links(world: World, calls: &[&str]) -> Vec<(Option<String>, String)> {
    let spans = world.end();
    let server = |span: &&Span| span.kind == SpanKind::Server;
    let of = |call: &&str| {
        let span = find(&spans, SpanKind::Client, call);
        let parent = spans.iter().filter(server).find(|server| Some(server.span_id) == span.parent.map(|parent| parent.id));
        let why = attribute(span, "wirespan.link.reason").or_else(|| attribute(span, "wirespan.link")).unwrap_or_default();
        (parent.and_then(|parent| attribute(parent, "url.path")), why)
    };
    calls.iter().map(of).collect()
}

fn parent(path: &str, why: &str) -> (Option<String>, String) {
    (Some(path.to_owned()), why.to_owned())
}

fn orphan(why: &str) -> (Option<String>, String) {
    (None, why.to_owned())
}

#[test]
fn a_call_belongs_to_the_request_that_its_task_answers_whoever_was_read_last() {
    let mut world = tasks();
    let conns = [1, 2].map(|_| (world.connect(CURL, 80), world.connect(SHOP, 81)));
    for ((conn, _), path) in conns.iter().zip(["/a", "/b"]) {
        world.ask(CURL, *conn, &get(path));
        world.take(SHOP, *conn);
    }
    for ((_, call), (unit, path)) in conns.iter().zip([(1, "/for-a"), (2, "/for-b")]) {
        world.at(SHOP, &[unit]);
        world.ask(SHOP, *call, &get(path));
        world.take(STOCK, *call);
    }
    for ((_, call), _) in conns.iter().zip([1, 2]).rev() {
        world.answer(STOCK, *call, OK);
        world.at(SHOP, &[]);
        world.receive(SHOP, *call);
    }
    for ((conn, _), unit) in conns.iter().zip([1, 2]).rev() {
        world.at(SHOP, &[unit]);
        world.answer(SHOP, *conn, OK);
    }
    assert_eq!(links(world, &["/for-a", "/for-b"]), [parent("/a", "task"), parent("/b", "task")]);
}

#[test]
fn a_call_of_a_task_of_its_own_belongs_to_the_request_of_the_task_that_waits_for_it() {
    let mut world = tasks();
    let (conn, call) = (world.connect(CURL, 80), world.connect(SHOP, 81));
    world.serve(conn, "/a", SHOP, |world| {
        world.at(SHOP, &[7]);
        world.ask(SHOP, call, &get("/spawned"));
        world.take(STOCK, call);
        world.answer(STOCK, call, OK);
        // Who waits is seen when the answer is read.
        world.at(SHOP, &[8, 7, 1]);
        world.receive(SHOP, call);
        world.at(SHOP, &[1]);
    });
    assert_eq!(links(world, &["/spawned"]), [parent("/a", "task")]);
}

#[test]
fn a_call_after_the_response_is_an_orphan_though_its_task_answers_the_next_request() {
    let mut world = tasks();
    let (conn, call) = (world.connect(CURL, 80), world.connect(SHOP, 81));
    world.at(SHOP, &[1]);
    world.serve(conn, "/a", SHOP, |_| ());
    world.ask(SHOP, call, &get("/late"));
    world.take(STOCK, call);
    world.answer(STOCK, call, OK);
    world.receive(SHOP, call);
    world.serve(conn, "/b", SHOP, |_| ());
    world.pass(1_000_000_000);
    assert_eq!(links(world, &["/late"]), [orphan("root")]);
}

#[test]
fn a_call_that_no_task_of_a_request_waits_for_is_an_orphan_as_soon_as_all_requests_are_answered() {
    let mut world = tasks();
    let (conn, call) = (world.connect(CURL, 80), world.connect(SHOP, 81));
    world.serve(conn, "/a", SHOP, |world| {
        world.at(SHOP, &[9]);
        world.ask(SHOP, call, &get("/detached"));
        world.take(STOCK, call);
        world.answer(STOCK, call, OK);
        world.receive(SHOP, call);
        world.at(SHOP, &[1]);
    });
    world.pass(100_000_000);
    let told = world
        .spans
        .iter()
        .filter(|span| span.kind == SpanKind::Client && attribute(span, "url.full").is_some_and(|url| url.ends_with("/detached")));
    assert_eq!(told.count(), 1, "nothing more is waited for");
    assert_eq!(links(world, &["/detached"]), [orphan("handoff")]);
}

#[test]
fn what_works_on_two_requests_at_once_is_no_unit_and_links_nothing() {
    let mut world = tasks();
    let conns = [1, 2].map(|_| world.connect(CURL, 80));
    let call = world.connect(SHOP, 81);
    // A word that never changes, as a wrong offset would give.
    world.at(SHOP, &[5]);
    for round in 0..10 {
        for conn in conns {
            world.ask(CURL, conn, &get("/x"));
            world.take(SHOP, conn);
        }
        world.ask(SHOP, call, &get(&format!("/call{round}")));
        world.take(STOCK, call);
        world.answer(STOCK, call, OK);
        world.receive(SHOP, call);
        for conn in conns {
            world.answer(SHOP, conn, OK);
            world.receive(CURL, conn);
        }
        world.pass(1_000_000);
    }
    assert_eq!(links(world, &["/call5", "/call9"]), [orphan("audit"), orphan("audit")]);
}

#[test]
fn where_a_write_was_not_told_the_call_is_an_orphan() {
    let mut world = tasks();
    let (conn, call) = (world.connect(CURL, 80), world.connect(SHOP, 81));
    world.serve(conn, "/a", SHOP, |world| {
        world.ask(SHOP, call, &get("/unseen"));
        world.take(STOCK, call);
        world.answer(STOCK, call, OK);
        world.receive(SHOP, call);
        world.at(SHOP, &[1]);
    });
    world.pass(1_000_000_000);
    assert_eq!(links(world, &["/unseen"]), [orphan("gap")]);
}

#[test]
fn a_thread_of_another_process_is_not_affected() {
    let mut world = tasks();
    let (conn, call) = (world.connect(CURL, 82), world.connect(thread(40, 1), 81));
    world.serve(conn, "/threads", thread(40, 1), |world| {
        world.ask(thread(40, 1), call, &get("/plain"));
        world.take(STOCK, call);
        world.answer(STOCK, call, OK);
        world.receive(thread(40, 1), call);
    });
    assert_eq!(links(world, &["/plain"]), [parent("/threads", "thread")]);
}

/// A world in which the shop runs goroutines on one thread.
fn goroutines() -> World {
    let mut world = tasks();
    world.adapt(SHOP.pid, Manner::Units(Unit::Goroutine));
    world
}

/// What a walk says of the numbers of goroutines: of a batch from 18 on, or one of the next, this one is given next.
fn numbers(next: u64) -> [u64; 2] {
    [(word::END << word::SHIFT) | (next.next_multiple_of(16) + 2), (word::NEXT << word::SHIFT) | next]
}

/// Goroutine 1 answers; a goroutine that it created makes a call. `next` is the number after it. Both happen between two others.
fn call_of_child(world: &mut World, call: Conn, path: &str, child: u64, next: u64) {
    let created = [word::PARENT << word::SHIFT | 1, word::PLACE << word::SHIFT | 0x40_1000];
    world.at(SHOP, &[&[99][..], &numbers(next), &[child], &created].concat());
    world.ask(SHOP, call, &get(path));
    world.take(STOCK, call);
    world.answer(STOCK, call, OK);
    world.receive(SHOP, call);
    world.at(SHOP, &[&[1][..], &numbers(next)].concat());
}

#[test]
fn a_call_of_a_goroutine_belongs_to_the_request_that_its_creator_was_working_on() {
    let mut world = goroutines();
    let (conn, call) = (world.connect(CURL, 80), world.connect(SHOP, 81));
    world.at(SHOP, &[&[1][..], &numbers(20)].concat());
    world.serve(conn, "/a", SHOP, |world| {
        call_of_child(world, call, "/of-a", 20, 21);
    });
    world.serve(conn, "/b", SHOP, |world| {
        // Created before the first request: it may work for anybody.
        call_of_child(world, call, "/older", 19, 21);
        call_of_child(world, call, "/of-b", 22, 23);
    });
    world.pass(100_000_000);
    assert_eq!(links(world, &["/of-a", "/older", "/of-b"]), [parent("/a", "goroutine"), orphan("handoff"), parent("/b", "goroutine")]);
}

#[test]
fn a_call_after_the_response_is_linked_where_each_request_creates_a_goroutine_for_it_until_one_works_for_several() {
    let mut world = goroutines();
    let (conn, call) = (world.connect(CURL, 80), world.connect(SHOP, 81));
    let mut next = 20;
    for round in 0..10 {
        world.at(SHOP, &[&[1][..], &numbers(next)].concat());
        world.serve(conn, &format!("/{round}"), SHOP, |world| world.at(SHOP, &[&[1][..], &numbers(next + 1)].concat()));
        call_of_child(&mut world, call, &format!("/after{round}"), next, next + 1);
        next += 1;
    }
    world.serve(conn, "/next", SHOP, |_| ());
    call_of_child(&mut world, call, "/again", next - 1, next);
    world.pass(1_000_000_000);
    let expected = [orphan("root"), parent("/9", "goroutine"), orphan("root")];
    assert_eq!(links(world, &["/after3", "/after9", "/again"]), expected);
}

#[test]
fn a_workers_call_belongs_to_the_only_request_whose_goroutine_waits_for_its_result() {
    let mut world = goroutines();
    let call = world.connect(SHOP, 81);
    let conns = [(1, "/a"), (2, "/b")].map(|(unit, path)| (unit, path, world.connect(CURL, 80)));
    for (unit, path, conn) in conns {
        world.at(SHOP, &[unit]);
        world.ask(CURL, conn, &get(path));
        world.take(SHOP, conn);
    }
    let waits = |unit: u64| word::CHANNEL << word::SHIFT | unit;
    // Units 7 and 8 are at no request.
    for (path, waiting) in [("/for-b", &[waits(7), waits(2)][..]), ("/for-either", &[waits(1), waits(2)]), ("/for-nobody", &[waits(8)])] {
        world.at(SHOP, &[9]);
        world.ask(SHOP, call, &get(path));
        world.take(STOCK, call);
        world.answer(STOCK, call, OK);
        world.at(SHOP, &[&[9], waiting].concat());
        world.receive(SHOP, call);
    }
    for (unit, _, conn) in conns {
        world.at(SHOP, &[unit]);
        world.answer(SHOP, conn, OK);
    }
    let expected = [parent("/b", "goroutine"), orphan("handoff"), orphan("handoff")];
    assert_eq!(links(world, &["/for-b", "/for-either", "/for-nobody"]), expected);
}
