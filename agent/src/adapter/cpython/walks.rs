//! Writes the walks: which task runs in this thread, or on whose behalf it works, and who waits for that task.
//!
//! A unit is a task: its address and the number in its name, because addresses are used again. From 3.12 on names are numbers until
//! somebody asks for them, and both forms give the same unit.
use super::super::assembler::{Assembler, Cell, Place};
use super::layout::{AsyncioTable, Layout};
use super::objects::{DIGIT, ITEMS, KEYS, Shapes, TYPE};
use wirespan_abi::walk::{Walk, cell, op};

/// The state of the thread.
const THREAD: Cell = 4;
/// The task, or the future, that is looked at.
const TASK: Cell = 5;
/// Its callback.
const CALLBACK: Cell = 6;
/// The task whose further callbacks were not looked at yet.
const FURTHER: Cell = 7;
/// What is looked at meanwhile.
const A: Cell = 8;
const B: Cell = 9;
const C: Cell = 10;
const D: Cell = 11;
/// Never written.
const ZERO: Cell = 15;

/// `fut_loop`, `fut_callback0` and `fut_callbacks` of a task or future: the same in all versions.
const CALLBACK_0: i32 = 24;
const CALLBACKS: i32 = 40;
/// `im_self` of a method, `args` of a partial.
const SELF: i32 = 24;
/// `ob_ref` of a cell.
const REF: i32 = 16;
/// `ob_item` of a list.
const LIST: i32 = 24;
const KIND: i32 = TYPE as i32;
const SIZE: i32 = 16;
/// Attributes in the order in which the constructor sets them, from 3.14 on in that of their names: `TaskGroup._parent_task`,
/// `_WorkItem.future`, `concurrent.futures.Future._done_callbacks`, and anyio's `TaskGroup.cancel_scope`.
const PARENT_TASK: i32 = 4;
const WORK_FUTURE: i32 = 0;
const DONE_CALLBACKS: i32 = 5;
const DONE_CALLBACKS_3_14: i32 = 1;
const CANCEL_SCOPE: i32 = 0;
/// Local variables of `WorkerThread.run` in anyio and of `concurrent.futures.thread._worker`: what the result goes to, and what is done.
const FUTURE: i32 = 5;
const WORK: i32 = 5;
const WORK_3_14: i32 = 4;
/// In a piece of a thread's stack of frames: where the first frame begins, after three words of its own and one that is left free.
const FIRST_FRAME: i32 = 32;
/// In a frame up to 3.10: who called it, and its code.
const BACK: i32 = 24;
const CODE: i32 = 32;
/// `Task-`, and how many digits may follow.
const PREFIX: u64 = 5;
const DIGITS: u64 = 7;
/// Spreads the four characters of a number over the bits above an address; odd.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bits of an address.
const ADDRESS: u64 = 48;

/// How the current task is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Current {
    /// Up to 3.13: in a dictionary, under the loop that runs in the thread.
    Dictionary { tasks: u64, running: Running },
    /// From 3.14 on: in the thread's state.
    Thread(AsyncioTable),
}

/// How the loop that runs in a thread is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Up to 3.12: in the thread's dictionary, under `key`, usually as the entry `index`, and perhaps as `none`.
    Named { key: u64, index: u64, none: u64 },
    /// In 3.13: in the thread's state.
    Word,
}

/// The callback of `gather`, and which of its cells holds what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Its code.
    pub code: u64,
    /// The cell.
    pub outer: i32,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub layout: Layout,
    pub shapes: Shapes,
    /// How far behind its thread pointer a thread has the address of its state.
    pub specific: i32,
    pub current: Current,
    /// Types.
    pub task: u64,
    pub future: u64,
    pub gathering: u64,
    pub builtin: u64,
    /// Where a wake-up, a builtin, has its task.
    pub woken: i32,
    pub function: u64,
    pub method: u64,
    pub integer: u64,
    pub partial: Option<u64>,
    pub group: Option<u64>,
    pub gather: Option<Gather>,
    /// Where anyio's scope has its task.
    pub host_task: i32,
    /// The code in which every thread begins.
    pub bootstrap: Option<u64>,
    /// Bytes of the two outermost frames of a thread, and of the third.
    pub frames: [Option<i32>; 2],
}

/// The walks at the send of a call and of a response.
#[must_use]
pub fn assemble(facts: &Facts) -> Option<(Box<Walk>, Box<Walk>)> {
    Some((Writer::new(facts).call()?, Writer::new(facts).response()?))
}

/// A walk that is being written, and the places that it has.
struct Writer<'a> {
    facts: &'a Facts,
    walk: Assembler,
    /// The thread runs no loop.
    worker: Place,
    /// [`TASK`] is a task, or nothing.
    unit: Place,
    /// [`TASK`] is a task or a future, and was emitted if it was to be.
    awaiter: Place,
    /// [`CALLBACK`] is a callback of [`FURTHER`], or of something else.
    callback: Place,
    /// That callback says nothing.
    next: Place,
    end: Place,
}

impl<'a> Writer<'a> {
    fn new(facts: &'a Facts) -> Self {
        let mut walk = Assembler::new(0);
        let [worker, unit, awaiter, callback, next, end] = std::array::from_fn(|_| walk.place());
        Self { facts, walk, worker, unit, awaiter, callback, next, end }
    }

    fn response(mut self) -> Option<Box<Walk>> {
        self.current_task();
        self.unit();
        self.walk.here(self.awaiter);
        self.walk.here(self.worker);
        self.walk.here(self.end);
        self.walk.end();
        self.walk.finish()
    }

    fn call(mut self) -> Option<Box<Walk>> {
        self.current_task();
        self.unit();
        self.awaiter();
        self.worker();
        self.walk.here(self.end);
        self.walk.end();
        self.walk.finish()
    }

    /// The task that runs in this thread.
    fn current_task(&mut self) {
        let (worker, end) = (self.worker, self.end);
        self.walk.load(THREAD, cell::THREAD_POINTER, self.facts.specific);
        let (tasks, running) = match self.facts.current {
            Current::Thread(table) => {
                self.walk.load(TASK, THREAD, table.running_task).if_unequal(TASK, 0, self.unit);
                self.walk.load(A, THREAD, table.running_loop).if_equal(A, 0, worker).jump(end);
                return;
            }
            Current::Dictionary { tasks, running } => (tasks, running),
        };
        match running {
            Running::Word => drop(self.walk.load(A, THREAD, self.facts.layout.running).if_equal(A, 0, worker)),
            Running::Named { key, index, none } => self.named_loop(key, index, none),
        }
        // The entry of this loop is the last or the one before it.
        let [count, entries] = self.facts.shapes.keys();
        let mine = self.walk.place();
        self.walk.set(B, tasks).load(B, B, KEYS as i32);
        self.keys(C, B);
        self.walk.load(B, B, count).step(op::MUL, B, B, 0, 24).step(op::SUM, C, B, 0, 0);
        self.walk.load(B, C, entries - 16).jump_step(op::IF_SAME, B, A, 0, mine);
        self.walk.add(C, C, -24).load(B, C, entries - 16).jump_step(op::IF_SAME, B, A, 0, mine).jump(end);
        self.walk.here(mine);
        self.walk.load(TASK, C, entries - 8);
    }

    /// A = the loop that runs in this thread, by its dictionary.
    fn named_loop(&mut self, key: u64, index: u64, none: u64) {
        let [found, other] = std::array::from_fn(|_| self.walk.place());
        let [_, entries] = self.facts.shapes.keys();
        // Entries of dictionaries that have only texts for keys are shorter from 3.11 on.
        let (size, name) = if self.facts.shapes.new_dicts { (16, 0) } else { (24, 8) };
        self.walk.load(A, THREAD, self.facts.layout.running).load(A, A, KEYS as i32);
        self.keys(B, A);
        if let Some(index) = i32::try_from(index).ok().filter(|index| (1..1000).contains(index)) {
            self.walk.load(A, B, entries + size * index + name).if_unequal(A, key, other);
            self.walk.add(B, B, (size * index).into()).jump(found);
        }
        self.walk.here(other);
        self.walk.load(A, B, entries + name).if_unequal(A, key, self.worker);
        self.walk.here(found);
        self.walk.load(A, B, entries + name + 8);
        if self.facts.layout.minor < 12 {
            // What is kept there is an object that keeps the loop.
            self.walk.load(A, A, 16);
        }
        self.walk.if_equal(A, none, self.worker);
    }

    /// a = the keys at b and their indices: the entries follow at a distance of [`Self::entries`].
    fn keys(&mut self, a: Cell, b: Cell) {
        if self.facts.shapes.new_dicts {
            self.walk.step(op::LOAD_1, a, b, 9, 0).step(op::POWER, a, a, 0, 1);
        } else {
            self.walk.load(a, b, 8);
        }
        self.walk.step(op::SUM, a, b, 0, 0);
    }

    /// Emits the task, if it is one: its address, and with it what its name ends with, which is another one for each task.
    fn unit(&mut self) {
        self.walk.here(self.unit);
        self.walk.load(A, TASK, KIND).if_unequal(A, self.facts.task, self.end);
        self.walk.load(A, TASK, self.task_name());
        let text = self.facts.shapes.text as i32;
        if self.facts.layout.minor < 12 {
            self.walk.load(B, A, SIZE).step(op::SUM, A, B, 0, 0).step(op::LOAD_4, A, A, text - 4, 0);
            self.walk.step(op::MUL, A, A, 0, SPREAD).step(op::AND, A, A, 0, !0 << ADDRESS).step(op::SUM, A, TASK, 0, 0).emit(A);
            return;
        }
        let [named, plain, number, digit, emit] = std::array::from_fn(|_| self.walk.place());
        self.walk.load(B, A, KIND).if_unequal(B, self.facts.integer, named).step(op::LOAD_4, A, A, DIGIT as i32, 0).jump(emit);
        self.walk.here(named);
        self.walk.load(B, A, SIZE).jump_step(op::IF_BELOW, B, 0, PREFIX + 1, plain);
        self.walk.jump_step(op::IF_BELOW, B, 0, PREFIX + DIGITS + 1, number);
        self.walk.here(plain);
        self.walk.set(A, 0).jump(emit);
        self.walk.here(number);
        self.walk.add(B, B, -PREFIX.cast_signed()).set(C, 0);
        self.walk.here(digit);
        self.walk.step(op::LOAD_1, D, A, text + PREFIX as i32, 0).add(D, D, -i64::from(b'0')).step(op::MUL, C, C, 0, 10);
        self.walk.step(op::SUM, C, D, 0, 0).add(A, A, 1).jump_step(op::LOOP, B, ZERO, u64::MAX, digit);
        self.walk.add(A, C, 0);
        self.walk.here(emit);
        self.walk.step(op::SHL, A, A, 0, ADDRESS).step(op::SUM, A, TASK, 0, 0).emit(A);
    }

    fn task_name(&self) -> i32 {
        match self.facts.current {
            Current::Thread(table) => table.task_name,
            Current::Dictionary { .. } => self.facts.layout.task_name,
        }
    }

    /// Who waits for the task or future: another task, or a future that its callback completes.
    fn awaiter(&mut self) {
        let Self { unit, awaiter, callback, next, end, .. } = *self;
        let item = self.item();
        let [callbacks, other, function, method, partial, scan, cells] = std::array::from_fn(|_| self.walk.place());
        self.walk.here(awaiter);
        if let Current::Thread(table) = self.facts.current {
            self.walk.load(A, TASK, table.awaited_by).if_equal(A, 0, callbacks);
            self.walk.step(op::LOAD_1, B, TASK, table.awaited_by_set, 0).if_unequal(B, 0, callbacks);
            self.walk.add(TASK, A, 0).load(A, TASK, KIND).if_equal(A, self.facts.task, unit).jump(awaiter);
        }
        self.walk.here(callbacks);
        self.walk.load(CALLBACK, TASK, CALLBACK_0).add(FURTHER, TASK, 0);
        self.walk.here(callback);
        // A task that waits has given its own wake-up.
        self.walk.load(A, CALLBACK, KIND).if_unequal(A, self.facts.builtin, other);
        self.walk.load(A, CALLBACK, self.facts.woken).load(B, A, KIND).if_unequal(B, self.facts.task, next);
        self.walk.add(TASK, A, 0).jump(unit);

        self.walk.here(other);
        self.walk.if_equal(A, self.facts.function, function);
        if self.facts.group.is_some() {
            self.walk.if_equal(A, self.facts.method, method);
        }
        if let Some(kind) = self.facts.partial {
            self.walk.if_equal(A, kind, partial);
        }
        self.walk.jump(next);

        // The inner functions of gather, wait, shield and many others hold the future that they complete.
        self.walk.here(function);
        if let Some(gather) = self.facts.gather {
            self.walk.load(A, CALLBACK, self.facts.layout.code).if_unequal(A, gather.code, scan);
            self.walk.load(A, CALLBACK, self.facts.layout.closure).load(A, A, item + 8 * gather.outer).load(TASK, A, REF).jump(awaiter);
        }
        self.walk.here(scan);
        self.walk.load(A, CALLBACK, self.facts.layout.closure).load(B, A, SIZE).if_equal(B, 0, next);
        self.walk.step(op::SHL, C, B, 0, 3).step(op::SUM, A, C, 0, 0);
        self.walk.here(cells);
        self.walk.load(TASK, A, item - 8).load(TASK, TASK, REF).load(C, TASK, KIND);
        self.walk.if_equal(C, self.facts.future, awaiter).if_equal(C, self.facts.gathering, awaiter);
        self.walk.add(A, A, -8).jump_step(op::LOOP, B, ZERO, u64::MAX, cells);
        // Or the group of anyio that the task belongs to, whose scope knows the task that waits at its end.
        self.walk.load(A, CALLBACK, self.facts.layout.closure).load(A, A, item).load(A, A, REF);
        self.attribute(A, A, CANCEL_SCOPE);
        self.walk.load(TASK, A, self.facts.host_task).load(B, TASK, KIND).if_equal(B, self.facts.task, unit);
        self.walk.here(next);
        self.walk.if_equal(FURTHER, 0, end).load(A, FURTHER, CALLBACKS).set(FURTHER, 0);
        self.walk.load(A, A, LIST).load(A, A, 0).load(CALLBACK, A, item).jump(callback);

        self.walk.here(method);
        if let Some(kind) = self.facts.group {
            self.walk.load(A, CALLBACK, SELF).load(B, A, KIND).if_unequal(B, kind, next);
            self.attribute(TASK, A, PARENT_TASK);
            self.walk.jump(unit);
        }
        self.walk.here(partial);
        if self.facts.partial.is_some() {
            self.walk.load(A, CALLBACK, SELF).load(TASK, A, item).jump(awaiter);
        }
    }

    /// Where a tuple has its first item: from 3.14 on behind its hash.
    fn item(&self) -> i32 {
        if self.facts.layout.minor < 14 { ITEMS as i32 } else { ITEMS as i32 + 8 }
    }

    /// a = the attribute of the object at b that is kept after `index` others.
    fn attribute(&mut self, a: Cell, b: Cell, index: i32) {
        match self.facts.layout.minor {
            ..11 => self.walk.load(a, b, 16).load(a, a, 40).load(a, a, 8 * index),
            11 => self.walk.load(a, b, -32).load(a, a, 8 * index),
            // An address less one.
            12 => self.walk.load(a, b, -24).load(a, a, 8 * index + 1),
            _ => self.walk.load(a, b, 24 + 8 * index),
        };
    }

    /// The task that waits for what a worker thread does: that thread's third frame is anyio's, or its fourth that of an executor.
    fn worker(&mut self) {
        self.walk.here(self.worker);
        let [again, outermost] = std::array::from_fn(|_| self.walk.place());
        let Layout { minor, frames, locals, .. } = self.facts.layout;
        let [Some(outer), Some(third)] = self.facts.frames.map(|bytes| bytes.or((minor < 11).then_some(0))) else { return };
        self.walk.load(A, THREAD, frames);
        self.walk.here(again);
        if minor < 11 {
            // From the innermost frame to the one in which all threads begin: A, then those that it called: B, C.
            let Some(bootstrap) = self.facts.bootstrap else { return };
            self.walk.load(TASK, A, CODE).if_equal(TASK, bootstrap, outermost);
            self.walk.add(C, B, 0).add(B, A, 0).load(A, A, BACK).if_unequal(A, 0, again).jump(self.end);
            self.walk.here(outermost);
            self.walk.load(TASK, B, locals + 8 * FUTURE);
        } else {
            self.walk.add(B, A, 0).load(A, A, 0).if_unequal(A, 0, again);
            self.walk.add(B, B, i64::from(FIRST_FRAME + outer)).add(C, B, third.into());
            self.walk.load(TASK, B, locals + 8 * FUTURE);
        }
        self.untagged(TASK);
        self.walk.load(A, TASK, KIND).if_equal(A, self.facts.future, self.awaiter);
        let (work, callbacks) = if minor < 14 { (WORK, DONE_CALLBACKS) } else { (WORK_3_14, DONE_CALLBACKS_3_14) };
        self.walk.load(A, C, locals + 8 * work);
        self.untagged(A);
        self.attribute(A, A, WORK_FUTURE);
        self.attribute(A, A, callbacks);
        self.walk.load(A, A, LIST).load(CALLBACK, A, 0).jump(self.callback);
    }

    /// From 3.14 on the last bits of a variable say how it is counted.
    fn untagged(&mut self, a: Cell) {
        if self.facts.layout.minor >= 14 {
            self.walk.step(op::AND, a, a, 0, !7);
        }
    }
}
