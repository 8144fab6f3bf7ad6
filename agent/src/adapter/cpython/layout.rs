//! Where the fields of CPython's structures are, by version.
//!
//! From 3.13 on an interpreter says most of it itself: `_PyRuntime` begins with a table of offsets for debuggers, from 3.14 on
//! `_asyncio` has one too. What they leave out, and the older versions, are in a table here, measured on real builds.
use super::super::process::Memory;

/// What `_PyRuntime` begins with where it has a table of offsets.
const COOKIE: u64 = u64::from_le_bytes(*b"xdebugpy");
/// Words of the table that are read.
const WORDS: usize = 48;
/// No structure is larger; an offset beyond is none.
const MAX_OFFSET: u64 = 1 << 20;

/// Where the parts of a version's structures are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The version: 3.`minor`.
    pub minor: u32,
    /// In a thread's state: its dictionary, up to 3.13.
    pub thread_dict: i32,
    /// In a thread's state: its number, which is its thread pointer.
    pub thread_id: i32,
    /// In a thread's state: the newest piece of its stack of frames, or up to 3.10 its innermost frame.
    pub frames: i32,
    /// In a frame: the local variables.
    pub locals: i32,
    /// In a function: its code.
    pub code: i32,
    /// In a function: its closure.
    pub closure: i32,
    /// In a task: its name.
    pub task_name: i32,
    /// In a code object: the constants, and its name.
    pub consts: u64,
    /// See `consts`.
    pub code_name: u64,
}

/// 3.9 to 3.15; zero where the interpreter says it.
const LAYOUTS: [Layout; 7] = [
    layout(9, [152, 176, 24, 360], [16, 48], 160, [56, 112]),
    layout(10, [152, 176, 24, 352], [48, 72], 168, [56, 112]),
    layout(11, [128, 152, 296, 72], [48, 72], 144, [24, 120]),
    layout(12, [112, 136, 232, 72], [48, 72], 144, [24, 120]),
    layout(13, [128, 0, 0, 0], [48, 72], 128, [24, 120]),
    layout(14, [0, 0, 0, 0], [48, 72], 0, [24, 120]),
    layout(15, [0, 0, 0, 0], [48, 72], 0, [24, 120]),
];

const fn layout(minor: u32, thread: [i32; 4], function: [i32; 2], task_name: i32, code: [u64; 2]) -> Layout {
    Layout {
        minor,
        thread_dict: thread[0],
        thread_id: thread[1],
        frames: thread[2],
        locals: thread[3],
        code: function[0],
        closure: function[1],
        task_name,
        consts: code[0],
        code_name: code[1],
    }
}

/// What an interpreter says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its version, as `sys.hexversion`.
    pub version: u32,
    /// It was built without the global lock: its objects look different.
    pub free_threaded: bool,
    /// In `_PyRuntime`: the first interpreter.
    pub interpreters: u64,
    /// In an interpreter: the first thread's state.
    pub threads: u64,
    /// In an interpreter: `sys.modules`.
    pub modules: u64,
    /// In a thread's state: the next one.
    pub next: u64,
    thread_id: u64,
    chunk: u64,
    locals: u64,
}

impl Table {
    /// Reads the table at `_PyRuntime`; `None` if there is none, or if it is one of a version that is not known.
    pub fn read(memory: &dyn Memory, runtime: u64) -> Option<Self> {
        let bytes = memory.bytes(runtime, WORDS * 8)?;
        let words: Vec<u64> = bytes.chunks_exact(8).filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?))).collect();
        let word = |at: usize| words.get(at).copied();
        let version = u32::try_from(word(1)?).ok()?;
        // Which word of the table (`pycore_debug_offsets.h`) says what.
        let [modules, next, thread_id, chunk, locals] = match (word(0)? == COOKIE, minor(version)) {
            (true, 13) => [11, 21, 24, 26, 32],
            (true, 14) => [12, 24, 27, 29, 35],
            (true, 15) => [12, 24, 30, 32, 43],
            _ => return None,
        };
        let offset = |at: usize| word(at).filter(|offset| *offset < MAX_OFFSET);
        Some(Self {
            version,
            free_threaded: word(2)? != 0,
            interpreters: offset(5)?,
            threads: offset(9)?,
            modules: offset(modules)?,
            next: offset(next)?,
            thread_id: offset(thread_id)?,
            chunk: offset(chunk)?,
            locals: offset(locals)?,
        })
    }
}

/// The second number of a version, if the first is 3; else zero.
#[must_use]
pub fn minor(version: u32) -> u32 {
    if version >> 24 == 3 { (version >> 16) & 0xff } else { 0 }
}

impl Layout {
    /// That of a version, completed by what the interpreter says.
    #[must_use]
    pub fn of(minor: u32, table: Option<&Table>) -> Option<Self> {
        let mut layout = LAYOUTS.into_iter().find(|layout| layout.minor == minor)?;
        if let Some(table) = table {
            layout.thread_id = i32::try_from(table.thread_id).ok()?;
            layout.frames = i32::try_from(table.chunk).ok()?;
            layout.locals = i32::try_from(table.locals).ok()?;
        }
        (layout.thread_id != 0).then_some(layout)
    }

    /// Words that a frame of this code takes on a thread's stack of frames, from 3.11 on.
    pub fn frame_bytes(&self, memory: &dyn Memory, code: u64) -> Option<i32> {
        let half = |at: u64| memory.half(code.checked_add(at)?);
        let words = if self.minor == 11 { half(76)?.checked_add(half(68)?)?.checked_add(9)? } else { half(76)? };
        (words < 4096).then_some(words as i32 * 8)
    }
}

/// What `_asyncio` says of itself from 3.14 on (`.AsyncioDebug`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncioTable {
    /// In a task: its name.
    pub task_name: i32,
    /// In a task or future: who awaits it.
    pub awaited_by: i32,
    /// In a task or future: a byte that says whether the former is a set.
    pub awaited_by_set: i32,
    /// In a thread's state: the loop that runs.
    pub running_loop: i32,
    /// In a thread's state: the task that runs.
    pub running_task: i32,
}

impl AsyncioTable {
    /// Reads the table.
    pub fn read(memory: &dyn Memory, at: u64) -> Option<Self> {
        let offset = |index: u64| {
            let offset = memory.word(at.checked_add(8 * index)?)?;
            i32::try_from(offset).ok().filter(|_| offset < MAX_OFFSET && offset != 0)
        };
        Some(Self {
            task_name: offset(1)?,
            awaited_by: offset(2)?,
            awaited_by_set: offset(4)?,
            running_loop: offset(10)?,
            running_task: offset(11)?,
        })
    }
}
