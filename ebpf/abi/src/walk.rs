//! What the agent asks the kernel side to read of a process whenever it reads from or writes to a socket: a walk, a short program
//! of [`Step`]s over [`CELLS`] numbers. The kernel side runs it and knows no runtime; it only reads, a bounded number of words.

/// Numbers that a walk works on. The kernel side fills the first ones, see [`cell`]; what the walk leaves in all of them is what a
/// [`super::Note`] says.
pub const CELLS: usize = 32;

/// Steps of a walk.
pub const STEPS: usize = 256;

/// Steps that are taken at most, jumps back included: some 30 microseconds.
pub const MAX_TAKEN: usize = 2048;

/// Longest copy of memory that a note may carry besides its cells, in bytes.
pub const LARGEST_WINDOW: usize = 8192;

/// Copy of memory that fits the smaller of the two sizes of notes with one, in bytes.
pub const WINDOW: usize = 1024;

/// What the kernel side puts into the first cells before the first step. The rest are zero.
pub mod cell {
    /// The thread pointer (`fs` base on x86-64).
    pub const THREAD_POINTER: u8 = 0;
    /// User stack pointer at the system call.
    pub const STACK_POINTER: u8 = 1;
    /// Address of the kernel's `struct sock`.
    pub const SOCKET: u8 = 2;
    /// Number of the thread.
    pub const TID: u8 = 3;
    /// The first cell that is free.
    pub const FREE: u8 = 4;
}

/// When a walk runs: the index of a process's walks.
pub mod moment {
    /// A thread has read a request from a connection that its process accepted.
    pub const READ_REQUEST: u32 = 0;
    /// A thread has sent on a connection that its process accepted.
    pub const SEND_RESPONSE: u32 = 1;
    /// A thread has sent on a connection that its process made.
    pub const SEND_CALL: u32 = 2;
    /// A thread has read from a connection that its process made.
    pub const READ_ANSWER: u32 = 3;
    /// Number of moments.
    pub const COUNT: u32 = 4;
}

/// What a step does. `a`, `b` are indices of cells, taken modulo [`CELLS`]; `at` is a signed distance in
/// bytes; `value` a number. Memory that cannot be read is zero, and so is everything at addresses below [`LOWEST`].
pub mod op {
    /// Ends the walk: the note is told.
    pub const END: u8 = 0;
    /// Ends the walk: nothing is told.
    pub const DROP: u8 = 1;
    /// a = value.
    pub const SET: u8 = 2;
    /// a = b + value.
    pub const ADD: u8 = 3;
    /// a = a + b.
    pub const SUM: u8 = 4;
    /// a = b & value.
    pub const AND: u8 = 5;
    /// a = b << (value & 63).
    pub const SHL: u8 = 6;
    /// a = b >> (value & 63).
    pub const SHR: u8 = 7;
    /// a = value << (b & 63).
    pub const POWER: u8 = 8;
    /// a = b * value.
    pub const MUL: u8 = 9;
    /// a = the eight bytes of the process at b + at.
    pub const LOAD: u8 = 10;
    /// a = the four bytes of the process at b + at.
    pub const LOAD_4: u8 = 11;
    /// a = the byte of the process at b + at.
    pub const LOAD_1: u8 = 12;
    /// a = the eight bytes of the kernel at b + at.
    pub const LOAD_KERNEL: u8 = 13;
    /// Goes on `at` steps after the next one (before, if negative) if a = value.
    pub const IF_EQUAL: u8 = 14;
    /// The same if a != value.
    pub const IF_UNEQUAL: u8 = 15;
    /// The same if a < value, both without sign.
    pub const IF_BELOW: u8 = 16;
    /// The same if cells a and b are equal.
    pub const IF_SAME: u8 = 17;
    /// Goes on `at` steps after the next one (before, if negative).
    pub const JUMP: u8 = 18;
    /// Puts a + value into the next free cell of the output, which begins at [`OUTPUT`], or when those are full behind the note, where
    /// there is room for [`super::MORE`] unless memory is copied.
    pub const EMIT: u8 = 19;
    /// Copies `value` bytes of the process at a + at behind the note: once per walk, at most the room of the walk.
    pub const COPY: u8 = 20;
    /// a = a + value; goes on `at` steps after the next one (before, if negative) if a != b then: a loop's end.
    pub const LOOP: u8 = 21;
    /// Looks through the [`super::SCANNED`] words of the process below a, from above, for one that is at least b and below the cell after
    /// b, both below 2^63; a is where it lies, or the lowest of them. If `at` bytes behind what it points to the four bytes equal either
    /// half of `value`, it goes into the cell after a. Else that is zero, and the step is taken again unless a has come to the second cell
    /// after a, or below.
    pub const SCAN: u8 = 22;
}

/// Words that one taken step of [`op::SCAN`] looks at.
pub const SCANNED: usize = 8;

/// Addresses below are never read: null with a distance.
pub const LOWEST: u64 = 4096;

/// Numbers that are put out at most beyond those that the cells have room for.
pub const MORE: usize = 256;

/// First cell of the output of [`op::EMIT`].
pub const OUTPUT: usize = 20;

/// One step of a walk.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// One of [`op`].
    pub op: u8,
    /// A cell.
    pub a: u8,
    /// A cell.
    pub b: u8,
    /// Always zero.
    pub reserved: u8,
    /// A distance in bytes, or in steps.
    pub at: i32,
    /// A number.
    pub value: u64,
}

/// What to read at one moment.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Steps that are set; zero means that nothing is noted at this moment.
    pub len: u32,
    /// Room for a copy of memory: 0, [`WINDOW`] or [`LARGEST_WINDOW`].
    pub room: u32,
    /// The steps.
    pub steps: [Step; STEPS],
}

/// Key of a process's walk in the kernel side's table.
#[must_use]
pub const fn key(pid: u32, moment: u32) -> u64 {
    ((pid as u64) << 8) | moment as u64
}

/// Entries of the table, indexed by the last bits of its number, that says whether a process is walked: a power of two. Of two
/// processes with the same last bits one stays without.
pub const WALKED: usize = 65536;
/// Processes that may be walked at once: at up to 16 KiB each, more than serve requests on a node.
pub const MAX_WALKED: usize = 1024;

const _: () = assert!(size_of::<Step>() == 16);
const _: () = assert!(size_of::<Walk>() == 8 + STEPS * 16);
const _: () =
    assert!(STEPS.is_power_of_two() && MORE.is_power_of_two() && CELLS.is_power_of_two() && OUTPUT < CELLS && WALKED.is_power_of_two());
