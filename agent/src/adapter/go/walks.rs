//! The walks: which goroutine reads or writes, and who waits for it.
use super::layout::{BUF, HEADERS, Layout, M, QCOUNT, REQUESTS, STACK_HI, SUDOG_G};
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
}

impl Program {
    /// What to read at each moment; `None` if it does not fit.
    #[must_use]
    pub fn walks(&self) -> Option<Walks> {
        Some([Some(self.request()?), Some(self.response()?), Some(self.call()?), Some(self.call()?)])
    }

    /// When a request is read: which numbers goroutines get that are created for it.
    fn request(&self) -> Option<Box<Walk>> {
        let mut walk = self.begin();
        if let Some(numbers) = self.numbers {
            walk.set(ANY, numbers).load(ANY, ANY, 0);
            tell(&mut walk, word::COUNT, ANY);
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

    /// When a call is sent, or its answer read: by whom, and who waits for it.
    fn call(&self) -> Option<Box<Walk>> {
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
        self.tell_parent(&mut walk, G);
        walk.end();
        walk.here(answer);
        // The request whose answer is to be read next lies in a channel of one place, and with it the channel for its answer.
        walk.load(CHANNEL, ANY, REQUESTS).load(ANY, CHANNEL, QCOUNT).if_equal(ANY, 0, end);
        walk.load(ANY, CHANNEL, BUF).load(CHANNEL, ANY, self.layout.answer);
        walk.here(wait);
        self.tell_waiter(&mut walk, end);
        walk.here(end);
        walk.end();
        walk.finish()
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
        walk.load(ANY, ANY, goidcache);
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
