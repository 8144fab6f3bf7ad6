//! The threads of a JVM: where a thread finds its own structure, and how that leads to the number of the Java thread that it runs.
use super::super::assembler::{Assembler, Cell, Place};
use super::super::process::Memory;
use super::tables::Tables;
use wirespan_abi::walk::cell;

/// Threads that have to agree on where they find their structure.
const WITNESSES: usize = 16;
/// Threads looked at.
const MAX_THREADS: u32 = 4096;
/// Distance of the pointer to a thread's table of thread-local blocks, on glibc and musl alike.
const BLOCKS: i32 = 8;
/// How far that table is searched: a program has a few libraries with thread-local data.
const FURTHEST_BLOCK: i32 = 1024;
/// How far a block is searched: libjvm's have some 80 bytes.
const LONGEST_BLOCK: i32 = 512;

/// Where things are in a thread's structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Threads {
    list: u64,
    length: i32,
    elements: i32,
    system: i32,
    pthread: i32,
    /// A handle of the Java thread that runs: a virtual one, where there are such and one is mounted.
    java: i32,
}

/// Where a thread finds its structure: in this thread-local block, at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    block: i32,
    at: i32,
}

impl Threads {
    /// What the tables say; `None` if this version describes threads in another way.
    pub(super) fn new(tables: &Tables) -> Option<Self> {
        Some(Self {
            list: tables.address(&["ThreadsSMRSupport._java_thread_list"])?,
            length: tables.offset(&["ThreadsList._length"])?,
            elements: tables.offset(&["ThreadsList._threads"])?,
            system: tables.offset(&["Thread._osthread", "JavaThread._osthread"])?,
            pthread: tables.offset(&["OSThread._pthread_id"])?,
            java: tables.offset(&["JavaThread._vthread", "JavaThread._threadObj"])?,
        })
    }

    /// The threads now: their thread pointers, which `pthread_t` is, and their structures.
    pub(super) fn all(&self, memory: &dyn Memory) -> Vec<(u64, u64)> {
        let at = |address: u64, offset: i32| memory.word(address.checked_add_signed(offset.into())?);
        let list = memory.word(self.list).unwrap_or(0);
        let count = list.checked_add_signed(self.length.into()).and_then(|at| memory.half(at)).unwrap_or(0);
        let elements = at(list, self.elements).unwrap_or(0);
        let thread = |index: u32| {
            let thread = memory.word(elements.checked_add(u64::from(index) * 8)?)?;
            Some((at(at(thread, self.system)?, self.pthread).filter(|pointer| *pointer != 0)?, thread))
        };
        (0..count.min(MAX_THREADS)).filter_map(thread).collect()
    }

    /// The Java thread that a thread runs.
    pub(super) fn java(&self, memory: &dyn Memory, thread: u64) -> Option<u64> {
        memory.word(memory.word(thread.checked_add_signed(self.java.into())?)?)
    }

    /// Where the threads find their structures, if there is a place where all of several do.
    pub(super) fn slot(&self, memory: &dyn Memory) -> Option<Slot> {
        let mut threads = self.all(memory).into_iter().take(WITNESSES);
        let first = threads.next()?;
        let mut slots = slots(memory, first);
        let others: Vec<(u64, u64)> = threads.collect();
        slots.retain(|slot| others.iter().all(|(pointer, thread)| slot.read(memory, *pointer) == Some(*thread)));
        slots.first().copied().filter(|_| !others.is_empty())
    }

    /// Steps that put the running thread's structure into `thread`, or go to `stranger` if it is none of the machine's.
    pub(super) fn load(&self, walk: &mut Assembler, slot: Slot, thread: Cell, spare: Cell, stranger: Place) {
        let own = walk.place();
        walk.load(thread, cell::THREAD_POINTER, BLOCKS).load(thread, thread, slot.block).load(thread, thread, slot.at);
        walk.load(spare, thread, self.system).load(spare, spare, self.pthread);
        walk.if_same(spare, cell::THREAD_POINTER, own).jump(stranger);
        walk.here(own);
    }

    /// Steps that put the Java thread that `thread` runs into `java`, which may be the same cell.
    pub(super) fn load_java(&self, walk: &mut Assembler, java: Cell, thread: Cell) {
        walk.load(java, thread, self.java).load(java, java, 0);
    }
}

impl Slot {
    fn read(self, memory: &dyn Memory, pointer: u64) -> Option<u64> {
        let at = |address: u64, offset: i32| memory.word(address.checked_add_signed(offset.into())?);
        at(at(at(pointer, BLOCKS)?, self.block)?, self.at)
    }
}

/// Every place reachable from a thread's pointer where its structure is named.
fn slots(memory: &dyn Memory, (pointer, thread): (u64, u64)) -> Vec<Slot> {
    let Some(table) = pointer.checked_add_signed(BLOCKS.into()).and_then(|at| memory.word(at)) else { return Vec::new() };
    let block = |block: i32| {
        let address = memory.word(table.checked_add_signed(block.into())?)?;
        // Word by word, since it may end where its mapping does.
        let words = (0..LONGEST_BLOCK).step_by(8).map_while(|at| Some((at, memory.word(address.checked_add_signed(at.into())?)?)));
        Some(words.filter(|(_, word)| *word == thread).map(|(at, _)| Slot { block, at }).collect::<Vec<_>>())
    };
    (8..=FURTHEST_BLOCK).step_by(8).filter_map(block).flatten().collect()
}
