//! What a process has mapped becomes the ground that a study stands on: where its code and its constants are, and where its threads
//! keep their variables.
use crate::adapter::process::{Mapping, Memory};
use std::ops::Range;

/// Most of one mapping that is searched for thread pointers, bytes: a small one whole, of a large one both ends. A thread's is at the
/// end of its stack, the first thread's in a few pages of their own.
const SEARCHED: u64 = 64 << 10;
/// Mappings that are searched.
const MAX_SEARCHED: usize = 1024;
/// Threads whose variables are looked at: more than a runtime has workers.
pub const MAX_THREADS: usize = 128;
/// Largest block of thread-local variables that is believed, bytes.
const LARGEST_BLOCK: u64 = 16 << 10;
/// Entries of a table of segments that are looked at.
const SEGMENTS: u64 = 64;
/// `PT_TLS` (ELF).
const THREAD_LOCAL: u32 = 7;

/// Sorted ranges of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges(Vec<Range<u64>>);

impl Ranges {
    fn has(&self, address: u64) -> bool {
        let after = self.0.partition_point(|range| range.start <= address);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|range| range.contains(&address))
    }
}

/// Where a process has what does not move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    code: Ranges,
    constants: Ranges,
    /// The thread pointers (`fs` base) of its threads.
    pub threads: Vec<u64>,
    /// Bytes below a thread pointer that hold the executable's thread-local variables.
    pub block: u64,
}

impl Ground {
    /// Looks at what is mapped, in the order of addresses.
    pub fn survey(memory: &dyn Memory, maps: &[Mapping]) -> Self {
        let ranges = |is: fn(&Mapping) -> bool| {
            Ranges(maps.iter().filter(|mapping| mapping.inode != 0 && is(mapping)).map(|mapping| mapping.range.clone()).collect())
        };
        let code = ranges(|mapping| mapping.executable);
        // Tables of functions lie between code and variables; where they need relocation, the loader has closed them to writes again.
        let constants = ranges(|mapping| mapping.readable && !mapping.executable);
        let executable = maps.iter().find(|mapping| mapping.inode != 0 && mapping.offset == 0);
        let block = executable.and_then(|mapping| thread_block(memory, mapping.range.start)).unwrap_or_default();
        Self { code, constants, threads: thread_pointers(memory, maps), block }
    }

    /// Whether a process with this ground is the same as one with the other: threads come and go.
    pub fn is_of_same(&self, other: &Self) -> bool {
        self.code == other.code && self.block == other.block
    }

    /// Whether there is code at an address.
    pub fn is_code(&self, address: u64) -> bool {
        self.code.has(address)
    }

    /// Whether an address lies in a file's constants or variables.
    pub fn is_constant(&self, address: u64) -> bool {
        self.constants.has(address)
    }

    /// Whether a number may be the address of something allocated.
    pub fn is_allocated(&self, address: u64) -> bool {
        address.is_multiple_of(8) && (0x1_0000..1 << 47).contains(&address) && !self.code.has(address)
    }
}

/// Size of the block of thread-local variables of the executable at `start`: its `PT_TLS`, rounded up to its alignment. It ends at the
/// thread pointer (ELF Handling For Thread-Local Storage, variant II).
fn thread_block(memory: &dyn Memory, start: u64) -> Option<u64> {
    let header = memory.bytes(start, 64)?;
    let at = |bytes: &[u8], from: usize| Some(u64::from_le_bytes(bytes.get(from..from + 8)?.try_into().ok()?));
    (header.get(..5)? == b"\x7fELF\x02").then_some(())?;
    let (table, count) = (at(&header, 32)?, u64::from(u16::from_le_bytes([*header.get(56)?, *header.get(57)?])));
    for index in 0..count.min(SEGMENTS) {
        let segment = memory.bytes(start.checked_add(table)?.checked_add(index * 56)?, 56)?;
        if segment.get(..4)? == THREAD_LOCAL.to_le_bytes() {
            let (size, align) = (at(&segment, 40)?, at(&segment, 48)?.max(8));
            return (size <= LARGEST_BLOCK && align <= LARGEST_BLOCK).then(|| size.next_multiple_of(align));
        }
    }
    None
}

/// Thread pointers, recognised by what every C library has there: the address itself, and in glibc once more behind it; in musl, whose
/// threads are in a ring, the previous thread's next one.
fn thread_pointers(memory: &dyn Memory, maps: &[Mapping]) -> Vec<u64> {
    let mut found = Vec::new();
    for mapping in maps.iter().filter(|mapping| mapping.readable && mapping.writable).take(MAX_SEARCHED) {
        let Range { start, end } = mapping.range;
        let middle = end.saturating_sub(SEARCHED).max(start);
        for piece in [start..middle.min(start + SEARCHED), middle..end] {
            let bytes = memory.bytes(piece.start, piece.end.saturating_sub(piece.start) as usize).unwrap_or_default();
            for (address, word) in (piece.start..).step_by(8).zip(words(&bytes)) {
                let is_musl = |before| memory.word(before).and_then(|before| memory.word(before.checked_add(24)?)) == Some(address);
                if word == address
                    && memory.word(address + 16).is_some_and(|third| third == address || is_musl(address + 16))
                    && found.len() < MAX_THREADS
                {
                    found.push(address);
                }
            }
        }
    }
    found
}

/// The eight-byte words of some bytes.
pub fn words(bytes: &[u8]) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator {
    bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes))
}
