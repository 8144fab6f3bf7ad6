//! The walks: which goroutine reads or writes, and who waits for it.
use super::layout::{BUF, HEADERS, Layout, M, QCOUNT, REQUESTS, STACK_HI, SUDOG_G};
use crate::adapter::assembler::{Assembler, Cell, Place};
use crate::capture::kernel::Walks;
use wirespan_abi::walk::{Walk, cell};

/// The goroutine.
const G: Cell = cell::FREE;
/// Its number.
const ID: Cell = cell::FREE + 1;
/// Where it began.
const START: Cell = cell::FREE + 2;
/// A channel.
const CHANNEL: Cell = cell::FREE + 3;
/// Whatever is on the way.
const ANY: Cell = cell::FREE + 4;
/// The goroutine that waits.
const WAITER: Cell = cell::FREE + 5;

/// A function that goroutines begin with, and where they keep the first argument of what it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its first instruction.
    pub entry: u64,
    /// How far below the end of the stack the argument is.
    pub argument: i32,
}

/// What is known of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its version's layout.
    pub layout: Layout,
    /// Where a thread keeps its goroutine, from the thread pointer.
    pub goroutine: i32,
    /// Goroutines that write requests for others on a connection of HTTP/1, and those that read their answers.
    pub connections: Vec<Start>,
    /// Goroutines that write one request of HTTP/2, for another that waits for its answer.
    pub streams: Vec<Start>,
}

impl Program {
    /// What to read at each moment; `None` if it does not fit.
    #[must_use]
    pub fn walks(&self) -> Option<Walks> {
        Some([None, Some(self.goroutine_walk()?), Some(self.call_walk()?), Some(self.call_walk()?)])
    }

    /// The goroutine that acts.
    fn goroutine_walk(&self) -> Option<Box<Walk>> {
        let mut walk = Assembler::new(0);
        self.act(&mut walk);
        walk.end();
        walk.finish()
    }

    /// The goroutine that acts, and who waits for it.
    fn call_walk(&self) -> Option<Box<Walk>> {
        let mut walk = Assembler::new(0);
        self.act(&mut walk);
        walk.load(START, G, self.layout.startpc).load(ANY, G, STACK_HI);
        let (end, answer, wait) = (walk.place(), walk.place(), walk.place());
        for start in &self.connections {
            let next = walk.place();
            walk.if_unequal(START, start.entry, next).load(ANY, ANY, -start.argument).jump(answer);
            walk.here(next);
        }
        for start in &self.streams {
            let next = walk.place();
            walk.if_unequal(START, start.entry, next).load(ANY, ANY, -start.argument).load(CHANNEL, ANY, HEADERS).jump(wait);
            walk.here(next);
        }
        walk.end();
        walk.here(answer);
        // The request whose answer is to be read next lies in a channel of one place, and with it the channel for its answer.
        walk.load(CHANNEL, ANY, REQUESTS).load(ANY, CHANNEL, QCOUNT).if_equal(ANY, 0, end);
        walk.load(ANY, CHANNEL, BUF).load(CHANNEL, ANY, self.layout.answer);
        walk.here(wait);
        self.waiter(&mut walk, end);
        walk.here(end);
        walk.end();
        walk.finish()
    }

    /// Finds the current goroutine, also where C code runs on its behalf.
    fn act(&self, walk: &mut Assembler) {
        let known = walk.place();
        walk.load(G, cell::THREAD_POINTER, self.goroutine).load(ID, G, self.layout.goid).if_unequal(ID, 0, known);
        let found = walk.place();
        walk.load(G, G, M).load(G, G, self.layout.curg).load(ID, G, self.layout.goid).if_unequal(ID, 0, found).drop_note();
        walk.here(known);
        walk.here(found);
        walk.emit(ID);
    }

    /// Who waits first at a channel.
    fn waiter(&self, walk: &mut Assembler, end: Place) {
        let waits = walk.place();
        walk.load(ANY, CHANNEL, self.layout.recvq).load(WAITER, ANY, SUDOG_G).load(ID, WAITER, self.layout.goid);
        // Looked at last, since it may have stopped waiting meanwhile.
        walk.load(ANY, ANY, self.layout.sudog_c);
        walk.jump_step(wirespan_abi::walk::op::IF_SAME, ANY, CHANNEL, 0, waits).jump(end);
        walk.here(waits);
        walk.emit(ID);
    }
}
