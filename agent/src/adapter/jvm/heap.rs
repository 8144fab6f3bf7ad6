//! How a JVM writes references to objects and classes.
use super::super::assembler::{Assembler, Cell, Place};
use super::super::process::Memory;
use super::tables::Tables;
use std::ops::Range;
use wirespan_abi::walk::op;

/// Flags looked at: there are about 1300.
const MAX_FLAGS: u32 = 8192;
/// Longest name of a flag that matters.
const LONGEST_FLAG: usize = 64;

/// Where the class of an object is said: eight bytes after its beginning.
pub(super) const CLASS: i32 = 8;

/// The heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heap {
    /// Where objects are.
    pub(super) range: Range<u64>,
    /// References in objects are four bytes, to be multiplied and added to this.
    narrow: Option<(u64, u32)>,
    /// The same of classes.
    narrow_class: Option<(u64, u32)>,
}

impl Heap {
    /// What the tables and the flags say; a text that says what is not known about it otherwise.
    pub(super) fn read(memory: &dyn Memory, tables: &Tables) -> Result<Self, &'static str> {
        let flags = Flags::read(memory, tables).ok_or("its flags are not where they were")?;
        // It keeps bits of its own in every reference.
        if flags.zgc {
            return Err("references of its garbage collector (ZGC) are not plain addresses");
        }
        if flags.compact_headers {
            return Err("its objects have compact headers");
        }
        let read = || {
            let word = |names: &[&str]| memory.word(tables.address(names)?);
            let shift = |names: &[&str]| memory.half(tables.address(names)?).filter(|shift| *shift < 64);
            let narrow = (
                word(&["CompressedOops._base", "CompressedOops._narrow_oop._base"])?,
                shift(&["CompressedOops._shift", "CompressedOops._narrow_oop._shift"])?,
            );
            let narrow_class = (
                word(&["CompressedKlassPointers._base", "CompressedKlassPointers._narrow_klass._base"])?,
                shift(&["CompressedKlassPointers._shift", "CompressedKlassPointers._narrow_klass._shift"])?,
            );
            let reserved = word(&["Universe._collectedHeap"])?.checked_add_signed(tables.offset(&["CollectedHeap._reserved"])?.into())?;
            let start = memory.word(reserved.checked_add_signed(tables.offset(&["MemRegion._start"])?.into())?)?;
            let words = memory.word(reserved.checked_add_signed(tables.offset(&["MemRegion._word_size"])?.into())?)?;
            let range = start..start.checked_add(words.checked_mul(8)?)?;
            let narrow = flags.narrow.then_some(narrow);
            Some(Self { range, narrow, narrow_class: flags.narrow_classes.then_some(narrow_class) })
        };
        read().ok_or("its heap is not where it was")
    }
}

impl Heap {
    /// Steps that put the reference at `object + field` into `to`, or go to `none` if it is null.
    pub(super) fn load(&self, walk: &mut Assembler, to: Cell, object: Cell, field: i32, none: Place) {
        let Some((base, shift)) = self.narrow else {
            walk.load(to, object, field).if_equal(to, 0, none);
            return;
        };
        walk.step(op::LOAD_4, to, object, field, 0).if_equal(to, 0, none);
        if shift != 0 {
            walk.step(op::SHL, to, to, 0, shift.into());
        }
        if base != 0 {
            walk.add(to, to, base.cast_signed());
        }
    }

    /// The four bytes at [`CLASS`] in objects of the class that is described at `class`.
    pub(super) fn class(&self, class: u64) -> Option<u32> {
        let Some((base, shift)) = self.narrow_class else { return Some(class as u32) };
        u32::try_from(class.checked_sub(base)? >> shift).ok()
    }
}

/// Flags that a JVM was started with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a set of independent flags")]
struct Flags {
    narrow: bool,
    narrow_classes: bool,
    compact_headers: bool,
    zgc: bool,
}

impl Flags {
    fn read(memory: &dyn Memory, tables: &Tables) -> Option<Self> {
        let first = memory.word(tables.address(&["JVMFlag.flags"])?)?;
        let count = memory.half(tables.address(&["JVMFlag.numFlags"])?)?;
        let size = tables.size("JVMFlag")?;
        let (name, address) = (tables.offset(&["JVMFlag._name"])?, tables.offset(&["JVMFlag._addr"])?);
        let mut flags = Self::default();
        for flag in (0..count.min(MAX_FLAGS)).filter_map(|index| first.checked_add(u64::from(index).checked_mul(size)?)) {
            let name = memory.word(flag.checked_add_signed(name.into())?)?;
            // Most names are not looked at further than to their first letters; the last entry has none.
            if name == 0 || !matches!(memory.half(name).map(u32::to_le_bytes), Some([b'U', b's', b'e', _])) {
                continue;
            }
            let name = memory.text(name, LONGEST_FLAG);
            let is_set = || Some(memory.bytes(memory.word(flag.checked_add_signed(address.into())?)?, 1)? != [0]);
            match name.as_deref() {
                Some("UseCompressedOops") => flags.narrow = is_set()?,
                Some("UseCompressedClassPointers") => flags.narrow_classes = is_set()?,
                Some("UseCompactObjectHeaders") => flags.compact_headers = is_set()?,
                Some("UseZGC") => flags.zgc = is_set()?,
                _ => {}
            }
        }
        Some(flags)
    }
}
