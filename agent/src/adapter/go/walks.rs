//! The walks: which goroutine reads or writes, and who waits for it.
use super::layout::{
    BUF, CAPACITY, FIRST_FRAME, HEADERS, Layout, M, QCOUNT, REQUESTS, RESPONSE_STATE, STACK_HI, STREAM, STREAM_ID, SUDOG_G,
};
use crate::adapter::assembler::{Assembler, Cell, Place};
use crate::capture::kernel::Walks;
use crate::causality::manner::word;
use wirespan_abi::walk::{Walk, cell, op};

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
/// The thread, as the runtime knows it.
const THREAD: Cell = cell::FREE + 6;
/// Where in a stack.
const AT: Cell = cell::FREE + 7;
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
    /// Goroutines that work on one request of HTTP/2, all of the same form.
    pub handlers: Vec<Start>,
    /// The same, with where they keep the response.
    pub responses: Vec<Start>,
    /// Goroutines that read such requests.
    pub readers: Vec<Start>,
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
        self.tell_parent(&mut walk, G);
        walk.add(WAITER, G, 0).jump(scan);
        walk.here(answer);
        // The request whose answer is to be read next lies in a channel of one place, and with it the channel for its answer.
        walk.load(CHANNEL, ANY, REQUESTS).load(ANY, CHANNEL, QCOUNT).if_equal(ANY, 0, end);
        walk.load(ANY, CHANNEL, BUF).load(CHANNEL, ANY, self.layout.answer);
        walk.here(wait);
        self.tell_waiter(&mut walk, end);
        walk.here(scan);
        walk.load(START, WAITER, self.layout.startpc).load(AT, WAITER, STACK_HI);
        self.tell_request(&mut walk, end);
        if answered {
            self.tell_waiters_of_worker(&mut walk, end);
        }
        walk.here(end);
        walk.end();
        walk.finish()
    }

    /// Tells which request of HTTP/2 a goroutine works on, if it was begun for that. It has the connection, and the response, which
    /// leads to the stream.
    fn tell_request(&self, walk: &mut Assembler, end: Place) {
        let (Some(connection), Some(response)) = (self.handlers.first(), self.responses.first()) else { return };
        let (it, other) = (walk.place(), walk.place());
        for start in &self.handlers {
            walk.if_equal(START, start.entry, it);
        }
        walk.jump(other);
        walk.here(it);
        walk.load(CHANNEL, AT, -connection.argument)
            .load(ANY, AT, -response.argument)
            .load(ANY, ANY, RESPONSE_STATE)
            .load(ANY, ANY, STREAM);
        walk.step(op::LOAD_4, ANY, ANY, STREAM_ID, 0);
        tell(walk, word::CONNECTION, CHANNEL);
        tell(walk, word::REQUEST, ANY);
        walk.jump(end);
        walk.here(other);
    }

    /// Tells who waits at a channel that a goroutine has in its first frame, alone and where at most one thing is kept: a worker sends its
    /// result there.
    fn tell_waiters_of_worker(&self, walk: &mut Assembler, end: Place) {
        let Layout { recvq, goid, sudog_c, .. } = self.layout;
        for start in &self.servers {
            walk.if_equal(START, start.entry, end);
        }
        let (again, next, alone, it) = (walk.place(), walk.place(), walk.place(), walk.place());
        walk.add(LAST, AT, -(FIRST_FRAME + 8 * (WORDS + 1))).add(AT, AT, -(FIRST_FRAME + 8));
        walk.here(again);
        walk.load(CHANNEL, AT, 0).load(ANY, CHANNEL, recvq).if_equal(ANY, 0, next);
        walk.load(ID, CHANNEL, recvq + 8).jump_step(op::IF_SAME, ID, ANY, 0, alone).jump(next);
        walk.here(alone);
        walk.load(ID, ANY, SUDOG_G).load(ID, ID, goid).load(ANY, ANY, sudog_c).jump_step(op::IF_SAME, ANY, CHANNEL, 0, it).jump(next);
        walk.here(it);
        let many = walk.place();
        walk.load(ANY, CHANNEL, CAPACITY).jump_step(op::IF_BELOW, ANY, 0, 2, many).jump(next);
        walk.here(many);
        tell(walk, word::CHANNEL, ID);
        walk.here(next);
        walk.jump_step(op::LOOP, AT, LAST, (-8_i64).cast_unsigned(), again);
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
    fn tell_parent(&self, walk: &mut Assembler, goroutine: Cell) {
        let Some(parent) = self.layout.parent else { return };
        walk.load(ID, goroutine, parent);
        tell(walk, word::PARENT, ID);
        walk.load(ID, goroutine, self.layout.gopc);
        tell(walk, word::PLACE, ID);
    }
}

/// Puts out what a number is, and the number, which is lost from its cell.
fn tell(walk: &mut Assembler, kind: u64, number: Cell) {
    walk.add(number, number, (kind << word::SHIFT).cast_signed()).emit(number);
}
