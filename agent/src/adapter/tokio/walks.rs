//! A learnt layout becomes walks.
//!
//! At a send on an accepted connection: the number of the current task, which works on the request. On a connection that the process
//! made, at sends and reads: the number of the current task, then, as far as everything on the way proves true, of the task that waits
//! for the answer, of the one that joins that, and so on.
use super::kernel::Polling;
use super::layout::{Layout, Root};
use super::task::{HAS_JOINER, JOINER, NUMBER, Oneshot, TABLE, TRAILER};
use crate::adapter::assembler::{Assembler, Cell, Place};
use wirespan_abi::walk::{Walk, cell, op};

/// Tasks above the first one that a walk goes up: what is spawned within what is spawned, three deep, with something between.
const HEIGHT: u64 = 6;
/// Ways to callers that fit a walk.
const MAX_PATHS: usize = 4;
/// Foreign wakers that fit a walk.
const MAX_FOREIGN: usize = 4;

/// The header of the task that the walk is at.
const TASK: Cell = cell::FREE;
/// The table of its type.
const KIND: Cell = cell::FREE + 1;
/// Number of the current task.
const CURRENT: Cell = cell::FREE + 2;
/// A waker.
const WAKER: Cell = cell::FREE + 3;
const DATA: Cell = cell::FREE + 4;
/// Levels that are left.
const LEFT: Cell = cell::FREE + 5;
const SCRATCH: Cell = cell::FREE + 6;
const OTHER: Cell = cell::FREE + 7;

/// The walk for answers that the process sends.
pub fn response(layout: &Layout) -> Option<Box<Walk>> {
    let mut walk = Assembler::new(0);
    current(&mut walk, layout)?;
    walk.end();
    walk.finish()
}

/// The walk for calls that the process makes, and for their answers.
pub fn call(layout: &Layout, kernel: Polling) -> Option<Box<Walk>> {
    let mut walk = Assembler::new(0);
    let end = walk.place();
    current(&mut walk, layout)?;
    reader(&mut walk, layout, kernel, end);
    walk.set(LEFT, HEIGHT);
    let again = walk.place();
    walk.here(again);
    waits_for_answer(&mut walk, layout, end);
    up(&mut walk, layout, end);
    walk.add(LEFT, LEFT, -1).if_unequal(LEFT, 0, again);
    walk.here(end);
    walk.end();
    walk.finish()
}

/// Puts out the number of the current task; without one there is nothing to tell.
fn current(walk: &mut Assembler, layout: &Layout) -> Option<()> {
    let (none, some) = (walk.place(), walk.place());
    walk.load(CURRENT, cell::THREAD_POINTER, -i32::try_from(layout.current).ok()?);
    walk.if_equal(CURRENT, 0, none).emit(CURRENT).jump(some);
    walk.here(none);
    walk.drop_note();
    walk.here(some);
    Some(())
}

/// Finds the task that polls the socket. It must be the current one: that proves all the distances on the way.
fn reader(walk: &mut Assembler, layout: &Layout, kernel: Polling, end: Place) {
    let (polled, same) = (walk.place(), walk.place());
    walk.step(op::LOAD_KERNEL, SCRATCH, cell::SOCKET, kernel.queue, 0);
    walk.add(SCRATCH, SCRATCH, kernel.head.into());
    walk.step(op::LOAD_KERNEL, OTHER, SCRATCH, kernel.first, 0);
    walk.step(op::LOAD_KERNEL, WAKER, OTHER, kernel.back, 0);
    // Only epoll's entries say which queue they are in.
    walk.jump_step(op::IF_SAME, WAKER, SCRATCH, 0, polled).jump(end);
    walk.here(polled);
    walk.step(op::LOAD_KERNEL, OTHER, OTHER, kernel.item, 0);
    walk.step(op::LOAD_KERNEL, OTHER, OTHER, kernel.number, 0);
    walk.load(TASK, OTHER, layout.reader.data);
    number(walk);
    walk.jump_step(op::IF_SAME, SCRATCH, CURRENT, 0, same).jump(end);
    walk.here(same);
}

/// Loads the table of the task's type and the task's number.
fn number(walk: &mut Assembler) {
    walk.load(KIND, TASK, TABLE).load(SCRATCH, KIND, NUMBER);
    walk.step(op::SUM, SCRATCH, TASK, 0, 0).load(SCRATCH, SCRATCH, 0);
}

/// Loads the waker of whoever waits for the task: of its answer, if it is a connection's, else of its end.
fn waits_for_answer(walk: &mut Assembler, layout: &Layout, end: Place) {
    let found = walk.place();
    let (table, data) = layout.order.places(0);
    for (kind, path) in layout.paths.iter().take(MAX_PATHS) {
        let (next, own) = (walk.place(), walk.place());
        walk.if_unequal(KIND, kind.table, next);
        if let Some((at, table)) = kind.boxed {
            walk.load(SCRATCH, TASK, at + 8).if_unequal(SCRATCH, table, next);
        }
        match path.root {
            Root::Inline => walk.load(SCRATCH, TASK, path.at),
            Root::Boxed(at) => walk.load(SCRATCH, TASK, at).load(SCRATCH, SCRATCH, path.at),
        };
        let oneshot = path.oneshot;
        if path.own {
            walk.load(OTHER, SCRATCH, oneshot.sender + data);
            walk.jump_step(op::IF_SAME, OTHER, TASK, 0, own).jump(end);
        } else {
            walk.load(OTHER, SCRATCH, 0).if_unequal(OTHER, Oneshot::HOLDERS.0, end);
            walk.load(OTHER, SCRATCH, 8).if_unequal(OTHER, Oneshot::HOLDERS.1, end);
        }
        walk.here(own);
        walk.load(OTHER, SCRATCH, oneshot.state).step(op::AND, OTHER, OTHER, 0, Oneshot::BITS).if_unequal(OTHER, Oneshot::WAITS, end);
        walk.load(WAKER, SCRATCH, oneshot.receiver + table).load(DATA, SCRATCH, oneshot.receiver + data).jump(found);
        walk.here(next);
    }
    walk.load(SCRATCH, TASK, 0).step(op::AND, SCRATCH, SCRATCH, 0, HAS_JOINER).if_equal(SCRATCH, 0, end);
    walk.load(SCRATCH, KIND, TRAILER).step(op::SUM, SCRATCH, TASK, 0, 0);
    let joiner = JOINER as i32;
    walk.load(WAKER, SCRATCH, joiner + table).load(DATA, SCRATCH, joiner + data);
    walk.here(found);
}

/// Goes to the task that the waker wakes, and puts out its number.
fn up(walk: &mut Assembler, layout: &Layout, end: Place) {
    let (task, real) = (walk.place(), walk.place());
    let (table, data) = layout.order.places(0);
    walk.if_equal(WAKER, layout.reader.table, task);
    for (kind, foreign) in layout.foreign.iter().take(MAX_FOREIGN) {
        let next = walk.place();
        walk.if_unequal(WAKER, *kind, next).load(SCRATCH, DATA, foreign.holder);
        walk.load(WAKER, SCRATCH, foreign.waker + table).load(DATA, SCRATCH, foreign.waker + data).jump(real);
        walk.here(next);
    }
    walk.jump(end);
    // Before the first wait and after a wake-up there is none, and what is in its place may be another task's.
    walk.here(real);
    walk.if_unequal(WAKER, layout.reader.table, end);
    walk.here(task);
    walk.add(TASK, DATA, 0);
    number(walk);
    walk.if_equal(SCRATCH, 0, end).emit(SCRATCH);
}
