//! The walks: which goroutine reads or writes, and who waits for it.
use super::layout::{BUF, CAPACITY, FIRST_FRAME, HEADERS, Layout, M, QCOUNT, REQUESTS, STACK_HI, SUDOG_G};
use super::rpc::Rpc;
use crate::adapter::assembler::{Assembler, Cell, Place};
use crate::capture::kernel::Walks;
use crate::causality::manner::word;
use wirespan_abi::walk::{Walk, cell, op};

/// The goroutine.
pub(super) const G: Cell = cell::FREE;
/// Its number.
pub(super) const ID: Cell = cell::FREE + 1;
/// Where it began.
pub(super) const START: Cell = cell::FREE + 2;
/// A channel.
pub(super) const CHANNEL: Cell = cell::FREE + 3;
/// Whatever is on the way.
pub(super) const ANY: Cell = cell::FREE + 4;
/// The goroutine that waits.
pub(super) const WAITER: Cell = cell::FREE + 5;
/// The thread, as the runtime knows it.
const THREAD: Cell = cell::FREE + 6;
/// Where in a stack, at first its end.
pub(super) const STACK: Cell = cell::FREE + 7;
/// And where to stop.
const LAST: Cell = cell::FREE + 8;

/// Words of a worker's first frame that are looked at: each takes up to four steps of a walk, or twelve where it is a channel.
const WORDS: i64 = 20;

/// A function that goroutines begin with, and where they keep the first argument of what it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its first instruction.
    pub entry: u64,
    /// How far below the end of the stack the argument is.
    pub argument: i32,
}

/// Goroutines of one form that are begun for one request each: they have its connection, and something that leads to its number there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handlers {
    /// Where they begin.
    pub entries: Vec<u64>,
    /// How far below the end of the stack the connection is.
    pub connection: i32,
    /// The same of what leads to the number.
    pub request: i32,
    /// Distances on the way to what has the number.
    pub way: Vec<i32>,
    /// Where the number is in that.
    pub number: i32,
}

/// What is known of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its version's layout.
    pub layout: Layout,
    /// Where a thread keeps its goroutine, from the thread pointer.
    pub goroutine: i32,
    /// Where it counts the numbers of goroutines that were given to processors.
    pub numbers: Option<u64>,
    /// Goroutines that write requests for others on a connection of HTTP/1, and those that read their answers.
    pub connections: Vec<Start>,
    /// Goroutines that write one request of HTTP/2, for another that waits for its answer.
    pub streams: Vec<Start>,
    /// Goroutines that serve a connection, and work for nobody else.
    pub servers: Vec<Start>,
    /// Goroutines that work on one request of HTTP/2.
    pub handlers: Vec<Handlers>,
    /// Goroutines that read such requests.
    pub readers: Vec<Start>,
    /// What is known of its gRPC.
    pub rpc: Option<Rpc>,
}

impl Program {
    /// What to read at each moment; `None` if it does not fit.
    #[must_use]
    pub fn walks(&self) -> Option<Walks> {
        Some([Some(self.request()?), Some(self.response()?), Some(self.call(false)?), Some(self.call(true)?)])
    }

    /// When a request is read: which numbers goroutines get that are created for it.
    fn request(&self) -> Option<Box<Walk>> {
        let mut walk = self.begin();
        if let Some(numbers) = self.numbers {
            walk.set(ANY, numbers).load(ANY, ANY, 0);
            tell(&mut walk, word::COUNT, ANY);
        }
        walk.load(START, G, self.layout.startpc).load(ANY, G, STACK_HI);
        for start in &self.readers {
            let next = walk.place();
            walk.if_unequal(START, start.entry, next).load(CHANNEL, ANY, -start.argument);
            tell(&mut walk, word::CONNECTION, CHANNEL);
            walk.here(next);
        }
        walk.end();
        walk.finish()
    }

    /// When a response is sent: by whom.
    fn response(&self) -> Option<Box<Walk>> {
        let mut walk = self.begin();
        walk.end();
        walk.finish()
    }

    /// When a call is sent, or its answer read: by whom, and who waits for it. When the answer is read, whoever waits for the one who
    /// waits for it does wait; before, it may not have begun.
    fn call(&self, answered: bool) -> Option<Box<Walk>> {
        let mut walk = self.begin();
        walk.load(START, G, self.layout.startpc).load(ANY, G, STACK_HI);
        let (end, answer, wait) = (walk.place(), walk.place(), walk.place());
        for start in &self.connections {
            let next = walk.place();
            walk.if_unequal(START, start.entry, next).load(ANY, ANY, -start.argument).jump(answer);
            walk.here(next);
        }
        for start in &self.streams {
            let next = walk.place();
            walk.if_unequal(START, start.entry, next).load(ANY, ANY, -start.argument).load(CHANNEL, ANY, HEADERS);
            // Whoever created it waits for it, in the function that did so.
            if let Some(parent) = self.layout.parent {
                walk.load(ID, G, parent).emit(ID);
            }
            walk.jump(wait);
            walk.here(next);
        }
        let scan = walk.place();
        self.tell_streams(&mut walk, answered, end);
        self.tell_parent(&mut walk, G);
        walk.add(WAITER, G, 0).jump(scan);
        walk.here(answer);
        // The request whose answer is to be read next lies in a channel of one place, and with it the channel for its answer.
        walk.load(CHANNEL, ANY, REQUESTS).load(ANY, CHANNEL, QCOUNT).if_equal(ANY, 0, end);
        walk.load(ANY, CHANNEL, BUF).load(CHANNEL, ANY, self.layout.answer);
        walk.here(wait);
        self.tell_waiter(&mut walk, end);
        walk.here(scan);
        let other = walk.place();
        walk.load(START, WAITER, self.layout.startpc);
        self.tell_request(&mut walk, WAITER, end, other);
        walk.here(other);
        if answered {
            self.tell_waiters_of_worker(&mut walk, end);
        }
        walk.here(end);
        walk.end();
        walk.finish()
    }

    /// Tells which request of HTTP/2 a goroutine that began at [`START`] works on, if it was begun for that, and goes to `end` then, else to
    /// `other`.
    pub(super) fn tell_request(&self, walk: &mut Assembler, goroutine: Cell, end: Place, other: Place) {
        let forms: Vec<Place> = self.handlers.iter().map(|_| walk.place()).collect();
        for (handlers, it) in self.handlers.iter().zip(&forms) {
            for entry in &handlers.entries {
                walk.if_equal(START, *entry, *it);
            }
        }
        walk.jump(other);
        for (Handlers { connection, request, way, number, .. }, it) in self.handlers.iter().zip(forms) {
            walk.here(it);
            walk.load(STACK, goroutine, STACK_HI).load(CHANNEL, STACK, -connection).load(ANY, STACK, -request);
            for at in way {
                walk.load(ANY, ANY, *at);
            }
            walk.step(op::LOAD_4, ANY, ANY, *number, 0);
            tell(walk, word::CONNECTION, CHANNEL);
            tell(walk, word::REQUEST, ANY);
            walk.jump(end);
        }
    }

    /// Tells who waits at a channel that a goroutine has in its first frame, alone and where at most one thing is kept: a worker sends its
    /// result there.
    fn tell_waiters_of_worker(&self, walk: &mut Assembler, end: Place) {
        let Layout { recvq, goid, sudog_c, .. } = self.layout;
        for start in &self.servers {
            walk.if_equal(START, start.entry, end);
        }
        let (again, next, alone, it) = (walk.place(), walk.place(), walk.place(), walk.place());
        walk.load(STACK, WAITER, STACK_HI).add(LAST, STACK, -(FIRST_FRAME + 8 * (WORDS + 1))).add(STACK, STACK, -(FIRST_FRAME + 8));
        walk.here(again);
        walk.load(CHANNEL, STACK, 0).load(ANY, CHANNEL, recvq).if_equal(ANY, 0, next);
        walk.load(ID, CHANNEL, recvq + 8).jump_step(op::IF_SAME, ID, ANY, 0, alone).jump(next);
        walk.here(alone);
        walk.load(ID, ANY, SUDOG_G).load(ID, ID, goid).load(ANY, ANY, sudog_c).jump_step(op::IF_SAME, ANY, CHANNEL, 0, it).jump(next);
        walk.here(it);
        let many = walk.place();
        walk.load(ANY, CHANNEL, CAPACITY).jump_step(op::IF_BELOW, ANY, 0, 2, many).jump(next);
        walk.here(many);
        tell(walk, word::CHANNEL, ID);
        walk.here(next);
        walk.jump_step(op::LOOP, STACK, LAST, (-8_i64).cast_unsigned(), again);
    }

    /// Tells the current goroutine, also where C code runs on its behalf, and the number of the goroutine that its processor creates next.
    fn begin(&self) -> Assembler {
        let Layout { goid, curg, p, oldp, goidcache, .. } = self.layout;
        let mut walk = Assembler::new(0);
        let (known, held) = (walk.place(), walk.place());
        walk.load(G, cell::THREAD_POINTER, self.goroutine).load(THREAD, G, M).load(ID, G, goid).if_unequal(ID, 0, known);
        walk.load(G, THREAD, curg).load(ID, G, goid).if_unequal(ID, 0, known).drop_note();
        walk.here(known);
        // In a system call the processor may be another's already.
        walk.emit(ID).load(ANY, THREAD, p).if_unequal(ANY, 0, held).load(ANY, THREAD, oldp);
        walk.here(held);
        walk.load(START, ANY, goidcache + 8).load(ANY, ANY, goidcache);
        tell(&mut walk, word::END, START);
        tell(&mut walk, word::NEXT, ANY);
        walk
    }

    /// Tells who waits first at a channel, and who created it.
    fn tell_waiter(&self, walk: &mut Assembler, end: Place) {
        let waits = walk.place();
        walk.load(ANY, CHANNEL, self.layout.recvq).load(WAITER, ANY, SUDOG_G).load(ID, WAITER, self.layout.goid);
        // Looked at last, since it may have stopped waiting meanwhile.
        walk.load(ANY, ANY, self.layout.sudog_c).jump_step(op::IF_SAME, ANY, CHANNEL, 0, waits).jump(end);
        walk.here(waits);
        walk.emit(ID);
        self.tell_parent(walk, WAITER);
    }

    /// Tells who created a goroutine, and where.
    pub(super) fn tell_parent(&self, walk: &mut Assembler, goroutine: Cell) {
        let Some(parent) = self.layout.parent else { return };
        walk.load(ID, goroutine, parent);
        tell(walk, word::PARENT, ID);
        walk.load(ID, goroutine, self.layout.gopc);
        tell(walk, word::PLACE, ID);
    }
}

/// Puts out what a number is, and the number.
pub(super) fn tell(walk: &mut Assembler, kind: u64, number: Cell) {
    walk.emit_sum(number, kind << word::SHIFT);
}
