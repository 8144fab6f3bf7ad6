//! The table of functions that every Go program carries, stripped or not: names, addresses, sizes of frames.
//!
//! Its parts are found through `runtime.firstmoduledata`; their form is that of Go 1.18 and later (package `internal/abi`,
//! `runtime/symtab.go`). All of it is bytes of a program that may lie: what does not fit is left out.
use crate::adapter::process::Memory;

/// Functions that are looked at: kubelet has some 120,000.
const MAX_FUNCTIONS: usize = 1 << 20;
/// Longest code of a function that is read, bytes.
const MAX_CODE: usize = 64 << 10;
/// Changes of the stack pointer within a function that are looked at.
const MAX_CHANGES: usize = 4096;
/// Largest frame that is believed, bytes.
const MAX_FRAME: i64 = 1 << 20;

/// The parts of the table, and where the code is.
#[derive(Debug, Default)]
pub struct Table {
    /// `moduledata.funcnametab`.
    pub names: Vec<u8>,
    /// `moduledata.pctab`.
    pub changes: Vec<u8>,
    /// `moduledata.pclntable`, which begins with `ftab`.
    pub functions: Vec<u8>,
    /// Entries of `ftab`.
    pub count: usize,
    /// `moduledata.text`.
    pub text: u64,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its first instruction.
    pub entry: u64,
    /// Where the next one begins.
    pub end: u64,
    /// Where its changes of the stack pointer are.
    changes: u32,
}

impl Table {
    /// Every function with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Function)> {
        (0..self.count.saturating_sub(1).min(MAX_FUNCTIONS)).filter_map(|index| self.function(index))
    }

    fn function(&self, index: usize) -> Option<(&[u8], Function)> {
        let at = index.checked_mul(8)?;
        let [entry, end] = [at, at.checked_add(8)?].map(|at| half(&self.functions, at).map(|from| self.text.wrapping_add(from.into())));
        let about = half(&self.functions, at.checked_add(4)?)? as usize;
        let name = self.names.get(half(&self.functions, about.checked_add(4)?)? as usize..)?;
        let name = name.get(..memchr::memchr(0, name)?)?;
        Some((name, Function { entry: entry?, end: end?, changes: half(&self.functions, about.checked_add(16)?)? }))
    }

    /// How far below where it was at the function's entry the stack pointer is at `pc`, in bytes.
    #[must_use]
    pub fn depth(&self, function: &Function, pc: u64) -> Option<i64> {
        let mut bytes = self.changes.get(function.changes as usize..)?.iter().copied();
        let (mut depth, mut at) = (-1_i64, function.entry);
        for _ in 0..MAX_CHANGES {
            let change = varint(&mut bytes)?;
            depth += i64::from(change >> 1) ^ -i64::from(change & 1);
            at = at.checked_add(varint(&mut bytes)?.into())?;
            if pc < at {
                return (0..MAX_FRAME).contains(&depth).then_some(depth);
            }
        }
        None
    }
}

impl Function {
    /// Its instructions, as far as they are read.
    pub fn code(&self, memory: &dyn Memory) -> Option<Vec<u8>> {
        let length = usize::try_from(self.end.checked_sub(self.entry)?).ok()?;
        memory.bytes(self.entry, length.min(MAX_CODE))
    }
}

/// The four bytes at `at`.
fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn varint(bytes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        let byte = bytes.next()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
