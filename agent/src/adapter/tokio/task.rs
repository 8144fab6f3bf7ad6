//! tokio's task as memory: recognised by its shape alone, so that no symbol and no debug information is needed.
//!
//! A task begins with its header: state, link, address of its type's table, owner. The table holds seven functions, then the distances
//! from the header to the trailer, the scheduler and the task's number (the same from 1.24 to 1.54). A waker is a table of four
//! functions and, beside it, the task's header.
use super::ground::{Ground, words};
use crate::adapter::process::Memory;
use rustc_hash::FxHashMap;

/// Distance of the address of its type's table in a task's header.
pub const TABLE: i32 = 16;
/// Distance of the trailer's distance in a type's table.
pub const TRAILER: i32 = 56;
/// Distance of the number's distance in a type's table.
pub const NUMBER: i32 = 72;
/// Distance in the trailer of the waker of whoever joins the task: a list's two links come before it.
pub const JOINER: u64 = 16;
/// The bit of the state that says that the joiner's waker is set.
pub const HAS_JOINER: u64 = 16;
/// The state's bits below its count of references.
const FLAGS: u32 = 6;
/// Functions in a type's table.
const FUNCTIONS: usize = 7;
/// Largest task that is believed, bytes.
const LARGEST_TASK: u64 = 16 << 20;
/// Farthest that a task's number is from its header: only the scheduler's handle is between.
const FARTHEST_NUMBER: u64 = 512;
/// Tables remembered: a program has as many as types of futures that it spawns.
const MAX_TABLES: usize = 4096;

/// A task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Address of its header.
    pub header: u64,
    /// Address of its type's table.
    pub table: u64,
    /// Its number, never used again.
    pub id: u64,
    /// Distance of its trailer; what it runs comes before.
    pub trailer: u64,
    /// Flags and references.
    pub state: u64,
}

/// A waker, as two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waker {
    pub table: u64,
    pub data: u64,
}

/// Which word of a waker comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    TableFirst,
    DataFirst,
}

impl Order {
    /// The waker in two words.
    pub fn waker(self, first: u64, second: u64) -> Waker {
        match self {
            Self::TableFirst => Waker { table: first, data: second },
            Self::DataFirst => Waker { table: second, data: first },
        }
    }

    /// Distances of the table's and of the data's address in a waker at `at`.
    pub fn places(self, at: i32) -> (i32, i32) {
        match self {
            Self::TableFirst => (at, at + 8),
            Self::DataFirst => (at + 8, at),
        }
    }
}

/// Tells tasks and wakers from other memory, and remembers the tables that it has seen.
pub struct Shapes<'a> {
    pub memory: &'a dyn Memory,
    pub ground: &'a Ground,
    /// Distances of trailer and number, for tables of tasks.
    tasks: FxHashMap<u64, Option<(u64, u64)>>,
    wakers: FxHashMap<u64, bool>,
}

impl<'a> Shapes<'a> {
    pub fn new(memory: &'a dyn Memory, ground: &'a Ground) -> Self {
        Self { memory, ground, tasks: FxHashMap::default(), wakers: FxHashMap::default() }
    }

    /// The task whose header is at an address, if there is one.
    pub fn task(&mut self, header: u64) -> Option<Task> {
        if !self.ground.is_allocated(header) {
            return None;
        }
        let bytes = self.memory.bytes(header, 32)?;
        let mut fields = words(&bytes);
        let (state, _, table) = (fields.next()?, fields.next()?, fields.next()?);
        let (trailer, number) = self.table(table).filter(|_| state >> FLAGS > 0 && state >> 32 == 0)?;
        let id = self.memory.word(header.checked_add(number)?).filter(|id| *id != 0)?;
        Some(Task { header, table, id, trailer, state })
    }

    /// The table of a type of tasks: distances of trailer and number.
    fn table(&mut self, table: u64) -> Option<(u64, u64)> {
        if !table.is_multiple_of(8) || !self.ground.is_constant(table) {
            return None;
        }
        if let Some(known) = self.tasks.get(&table) {
            return *known;
        }
        let read = || {
            let bytes = self.memory.bytes(table, 80)?;
            let mut fields = words(&bytes);
            let functions = fields.by_ref().take(FUNCTIONS).all(|function| self.ground.is_code(function));
            let (trailer, scheduler, number) = (fields.next()?, fields.next()?, fields.next()?);
            let is_task = functions
                && (24..=number).contains(&scheduler)
                && (scheduler..FARTHEST_NUMBER).contains(&number)
                && (number + 8..LARGEST_TASK).contains(&trailer);
            is_task.then_some((trailer, number))
        };
        let found = read();
        if self.tasks.len() < MAX_TABLES {
            self.tasks.insert(table, found);
        }
        found
    }

    /// Whether a waker's table is at an address: four functions.
    pub fn is_waker(&mut self, table: u64) -> bool {
        if !table.is_multiple_of(8) || !self.ground.is_constant(table) {
            return false;
        }
        if let Some(known) = self.wakers.get(&table) {
            return *known;
        }
        let bytes = self.memory.bytes(table, 32);
        let found = bytes.is_some_and(|bytes| words(&bytes).all(|function| self.ground.is_code(function)));
        if self.wakers.len() < MAX_TABLES {
            self.wakers.insert(table, found);
        }
        found
    }

    /// Size of what a fat pointer's table says it points to, if it is one: a function or nothing, size, alignment.
    pub fn boxed(&self, pointer: u64, table: u64) -> Option<usize> {
        if !self.ground.is_allocated(pointer) || self.ground.is_constant(pointer) || !self.ground.is_constant(table) {
            return None;
        }
        let bytes = self.memory.bytes(table, 24)?;
        let mut fields = words(&bytes);
        let (drop, size, align) = (fields.next()?, fields.next()?, fields.next()?);
        let is_one =
            (drop == 0 || self.ground.is_code(drop)) && align.is_power_of_two() && align <= 4096 && (8..LARGEST_TASK).contains(&size);
        is_one.then_some(size as usize)
    }
}

/// A oneshot as it is allocated: two counts, the wakers of both sides, a state, then the answer; the compiler may order them otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oneshot {
    /// Distance of the waker of whoever is to answer.
    pub sender: i32,
    /// Distance of the waker of whoever waits.
    pub receiver: i32,
    /// Distance of the state.
    pub state: i32,
}

impl Oneshot {
    /// The orders that are known to occur, or might.
    pub const ORDERS: [Self; 4] = [
        Self { sender: 16, receiver: 32, state: 48 },
        Self { sender: 32, receiver: 16, state: 48 },
        Self { sender: 24, receiver: 40, state: 16 },
        Self { sender: 40, receiver: 24, state: 16 },
    ];
    /// Bytes of all of them.
    pub const SIZE: usize = 56;
    /// Counts of references: one of each side, and that of the allocation itself.
    pub const HOLDERS: (u64, u64) = (2, 1);
    /// Bits of the state that say: the receiver's waker is set, there is an answer, the receiver has gone.
    pub const BITS: u64 = 7;
    /// Of these, those of a oneshot that somebody waits for. A waker that is not set may be that of another oneshot, freed before.
    pub const WAITS: u64 = 1;

    /// The wakers of sender and receiver in the bytes of a oneshot that somebody waits for.
    pub fn wakers(self, bytes: &[u8], order: Order) -> Option<(Waker, Waker)> {
        let waker = |at| Some(order.waker(word(bytes, at)?, word(bytes, at + 8)?));
        let waits = self.bits(bytes)? == Self::WAITS;
        waits.then_some((waker(self.sender)?, waker(self.receiver)?))
    }

    /// Whether the bytes are of a oneshot that has no answer yet, as far as one can see.
    pub fn is_open(self, bytes: &[u8]) -> bool {
        self.bits(bytes).is_some_and(|bits| bits == 0 || bits == Self::WAITS)
    }

    fn bits(self, bytes: &[u8]) -> Option<u64> {
        ((word(bytes, 0)?, word(bytes, 8)?) == Self::HOLDERS).then_some(word(bytes, self.state)? & Self::BITS)
    }
}

fn word(bytes: &[u8], at: i32) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
