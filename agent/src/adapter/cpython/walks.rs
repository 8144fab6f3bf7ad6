//! Writes the walks: which task runs in this thread, or on whose behalf it works, and who waits for that task.
//!
//! A unit is a task: its address and the last digits of the number in its name, because addresses are used again. Names are numbers until
//! somebody asks for them (from 3.12 on), so both forms give the same unit.
use super::super::assembler::{Assembler, Cell, Place};
use super::layout::{AsyncioTable, Layout};
use super::objects::{ITEMS, KEYS, Shapes, TYPE};
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
/// Never written.
const ZERO: Cell = 15;

/// `fut_loop`, `fut_callback0` and `fut_callbacks` of a task or future: the same in all versions.
const CALLBACK_0: i32 = 24;
const CALLBACKS: i32 = 40;
/// `m_self` of a builtin, `im_self` of a method, `args` of a partial.
const SELF: i32 = 24;
/// `ob_ref` of a cell.
const REF: i32 = 16;
/// Where a list keeps its items, a tuple has the first of its own.
const ITEM: i32 = ITEMS as i32;
const KIND: i32 = TYPE as i32;
const SIZE: i32 = 16;
/// Cells of a closure that are looked at, from the last on.
const CELLS: u64 = 4;
/// Attributes in the order in which the constructor sets them: `TaskGroup._parent_task`, `_WorkItem.future`,
/// `concurrent.futures.Future._done_callbacks`, and anyio's `TaskGroup.cancel_scope`.
const PARENT_TASK: i32 = 4;
const WORK_FUTURE: i32 = 0;
const DONE_CALLBACKS: i32 = 5;
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
/// Numbers of tasks are taken modulo this.
const MODULO: u64 = 10_000;
/// Below, a number does not count: its text does not fill the four last characters.
const FEW: u64 = 1000;
/// `Task-` and four digits.
const NAME: u64 = 9;
/// n / [`MODULO`] = n * this >> 45, for n of 30 bits.
const RECIPROCAL: u64 = (1 << 45) / MODULO + 1;
/// Bits of an address.
const ADDRESS: u64 = 48;

/// How the current task is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Current {
    /// Up to 3.13: a dictionary of all loops, and each thread's own dictionary has its loop under `key`, usually at `index`.
    Dictionary { tasks: u64, key: u64, index: u64, none: u64 },
    /// From 3.14 on: in the thread's state.
    Thread(AsyncioTable),
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
        let (tasks, key, index, none) = match self.facts.current {
            Current::Thread(table) => {
                self.walk.load(TASK, THREAD, table.running_task).if_unequal(TASK, 0, self.unit);
                self.walk.load(A, THREAD, table.running_loop).if_equal(A, 0, worker).jump(end);
                return;
            }
            Current::Dictionary { tasks, key, index, none } => (tasks, key, index, none),
        };
        let [found, other, same, mine] = std::array::from_fn(|_| self.walk.place());
        let entries = self.entries();
        // Entries of dictionaries that have only texts for keys are shorter from 3.11 on.
        let (size, name) = if self.facts.shapes.new_dicts { (16, 0) } else { (24, 8) };
        self.walk.load(A, THREAD, self.facts.layout.thread_dict).load(A, A, KEYS as i32);
        self.keys(B, A);
        if index > 0 {
            self.walk.load(A, B, entries + size * index as i32 + name).if_unequal(A, key, other);
            self.walk.add(B, B, i64::from(size) * index.cast_signed()).jump(found);
        }
        self.walk.here(other);
        self.walk.load(A, B, entries + name).if_unequal(A, key, worker);
        self.walk.here(found);
        self.walk.load(A, B, entries + name + 8).load(A, A, 16).if_equal(A, none, worker);
        // The entry of this loop in the dictionary of all is the last or the one before it.
        self.walk.set(B, tasks).load(B, B, KEYS as i32);
        self.keys(C, B);
        let [count, _] = self.facts.shapes.keys();
        self.walk.load(B, B, count).step(op::MUL, B, B, 0, 24).step(op::SUM, C, B, 0, 0);
        self.walk.load(B, C, entries - 16).jump_step(op::IF_SAME, B, A, 0, mine);
        self.walk.add(C, C, -24).load(B, C, entries - 16).jump_step(op::IF_SAME, B, A, 0, same).jump(end);
        self.walk.here(mine);
        self.walk.here(same);
        self.walk.load(TASK, C, entries - 8);
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

    fn entries(&self) -> i32 {
        self.facts.shapes.keys()[1]
    }

    /// Emits the task, if it is one: its address, and above it the last digits of its number.
    fn unit(&mut self) {
        self.walk.here(self.unit);
        let [text, emit, plain] = std::array::from_fn(|_| self.walk.place());
        self.walk.load(A, TASK, KIND).if_unequal(A, self.facts.task, self.end);
        self.walk.load(A, TASK, self.task_name());
        if self.facts.layout.minor >= 12 {
            self.walk.load(B, A, KIND).if_unequal(B, self.facts.integer, text);
            self.walk.step(op::LOAD_4, A, A, 24, 0).jump_step(op::IF_BELOW, A, 0, FEW, plain);
            self.walk.step(op::MUL, B, A, 0, RECIPROCAL).step(op::SHR, B, B, 0, 45);
            self.walk.step(op::MUL, B, B, 0, MODULO.wrapping_neg()).step(op::SUM, A, B, 0, 0).jump(emit);
        }
        self.walk.here(text);
        self.walk.load(B, A, SIZE).jump_step(op::IF_BELOW, B, 0, NAME, plain);
        // The last four characters, all digits: two and two, then all of them.
        self.walk.step(op::SUM, A, B, 0, 0).step(op::LOAD_4, A, A, self.facts.shapes.text as i32 - 4, 0);
        self.walk.add(A, A, -0x3030_3030).step(op::MUL, B, A, 0, 10).step(op::SHR, A, A, 0, 8);
        self.walk.step(op::SUM, A, B, 0, 0).step(op::AND, A, A, 0, 0x00ff_00ff);
        self.walk.step(op::MUL, B, A, 0, 100).step(op::SHR, A, A, 0, 16);
        self.walk.step(op::SUM, A, B, 0, 0).step(op::AND, A, A, 0, 0xffff).jump(emit);
        self.walk.here(plain);
        self.walk.set(A, 0);
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
        let [callbacks, other, function, method, partial, scan, found, cells] = std::array::from_fn(|_| self.walk.place());
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
        self.walk.load(A, CALLBACK, SELF).load(B, A, KIND).if_unequal(B, self.facts.task, next);
        self.walk.add(TASK, A, 0).jump(unit);
        self.walk.here(next);
        self.walk.if_equal(FURTHER, 0, end).load(A, FURTHER, CALLBACKS).set(FURTHER, 0);
        self.walk.load(A, A, ITEM).load(A, A, 0).load(CALLBACK, A, ITEM).jump(callback);

        self.walk.here(other);
        self.walk.if_equal(A, self.facts.function, function);
        if self.facts.group.is_some() {
            self.walk.if_equal(A, self.facts.method, method);
        }
        if let Some(kind) = self.facts.partial {
            self.walk.if_equal(A, kind, partial);
        }
        self.walk.if_unequal(A, 0, next).jump(end);

        // The inner functions of gather, wait, shield and many others hold the future that they complete.
        self.walk.here(function);
        if let Some(gather) = self.facts.gather {
            self.walk.load(A, CALLBACK, self.facts.layout.code).if_unequal(A, gather.code, scan);
            self.walk.load(A, CALLBACK, self.facts.layout.closure).load(A, A, ITEM + 8 * gather.outer).load(TASK, A, REF).jump(awaiter);
        }
        self.walk.here(scan);
        self.walk.load(A, CALLBACK, self.facts.layout.closure).load(B, A, SIZE).step(op::SHL, B, B, 0, 3).step(op::SUM, A, B, 0, 0);
        self.walk.set(B, CELLS);
        self.walk.here(cells);
        self.walk.load(TASK, A, ITEM - 8).load(TASK, TASK, REF).load(C, TASK, KIND);
        self.walk.if_equal(C, self.facts.future, found).if_equal(C, self.facts.gathering, found);
        self.walk.add(A, A, -8).jump_step(op::LOOP, B, ZERO, u64::MAX, cells);
        // Or the group of anyio that the task belongs to, whose scope knows the task that waits at its end.
        self.walk.load(A, CALLBACK, self.facts.layout.closure).load(A, A, ITEM).load(A, A, REF);
        self.attribute(A, CANCEL_SCOPE);
        self.walk.load(TASK, A, self.facts.host_task).jump(unit);
        self.walk.here(found);
        self.walk.jump(awaiter);

        self.walk.here(method);
        if let Some(kind) = self.facts.group {
            self.walk.load(A, CALLBACK, SELF).load(B, A, KIND).if_unequal(B, kind, next);
            self.attribute(A, PARENT_TASK);
            self.walk.add(TASK, A, 0).jump(unit);
        }
        self.walk.here(partial);
        if self.facts.partial.is_some() {
            self.walk.load(A, CALLBACK, SELF).load(TASK, A, ITEM).jump(awaiter);
        }
    }

    /// a = the attribute of the object at a that its constructor sets after `index` others.
    fn attribute(&mut self, a: Cell, index: i32) {
        match self.facts.layout.minor {
            ..11 => self.walk.load(a, a, 16).load(a, a, 40).load(a, a, 8 * index),
            11 => self.walk.load(a, a, -32).load(a, a, 8 * index),
            // An address less one.
            12 => self.walk.load(a, a, -24).load(a, a, 8 * index + 1),
            _ => self.walk.load(a, a, 24 + 8 * index),
        };
    }

    /// The task that waits for what a worker thread does: that thread's third frame is anyio's, or its fourth that of an executor.
    fn worker(&mut self) {
        self.walk.here(self.worker);
        let [again, outermost, inner] = std::array::from_fn(|_| self.walk.place());
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
            self.walk.load(B, A, 0).if_equal(B, 0, outermost).add(A, B, 0).jump(again);
            self.walk.here(outermost);
            self.walk.add(B, A, i64::from(FIRST_FRAME + outer)).add(C, B, third.into());
            self.walk.load(TASK, B, locals + 8 * FUTURE);
        }
        self.untagged(TASK);
        self.walk.load(A, TASK, KIND).if_unequal(A, self.facts.future, inner).jump(self.awaiter);
        self.walk.here(inner);
        self.walk.load(A, C, locals + 8 * if minor < 14 { WORK } else { WORK_3_14 });
        self.untagged(A);
        self.attribute(A, WORK_FUTURE);
        self.attribute(A, DONE_CALLBACKS);
        self.walk.load(A, A, ITEM).load(CALLBACK, A, 0).jump(self.callback);
    }

    /// From 3.14 on the last bits of a variable say how it is counted.
    fn untagged(&mut self, a: Cell) {
        if self.facts.layout.minor >= 14 {
            self.walk.step(op::AND, a, a, 0, !7);
        }
    }
}
