//! The tables in which libjvm describes its own structures to debuggers: names of types and fields with their offsets and addresses.
//!
//! They are exported symbols (`gHotSpotVMStructs` and its companions, `src/hotspot/share/runtime/vmStructs.hpp` of the JDK) of every
//! build, stripped or not, and are read from the process's memory.
use super::super::process::Memory;
use rustc_hash::FxHashMap;

/// Entries of one table: JDK 17 to 25 have fewer than a thousand.
const MAX_ENTRIES: u64 = 8192;
/// Longest name of a type or a field that matters.
const LONGEST_NAME: usize = 160;

/// A field of one of the virtual machine's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    /// Where it is in its structure, bytes.
    offset: u64,
    /// Where it is, if there is only one.
    address: Option<u64>,
}

/// What a libjvm says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    fields: FxHashMap<String, Field>,
    sizes: FxHashMap<String, u64>,
}

impl Tables {
    /// Reads the tables of a libjvm, which has its `symbol`s there; `None` if it has none, or they are not filled yet.
    pub(super) fn read(memory: &dyn Memory, symbol: &dyn Fn(&str) -> Option<u64>) -> Option<Self> {
        let value = |name: &str| memory.word(symbol(name)?);
        let mut tables = Self::default();

        let [first, stride] = [value("gHotSpotVMStructs")?, value("gHotSpotVMStructEntryArrayStride")?];
        let part = |name: &str| value(&format!("gHotSpotVMStructEntry{name}Offset"));
        let (kind, field, is_static) = (part("TypeName")?, part("FieldName")?, part("IsStatic")?);
        let (offset, address) = (part("Offset")?, part("Address")?);
        for entry in entries(memory, first, stride, kind) {
            let at = |offset: u64| entry.checked_add(offset);
            let name = format!("{}.{}", name(memory, memory.word(at(kind)?)?)?, name(memory, memory.word(at(field)?)?)?);
            let is_static = memory.half(at(is_static)?)? != 0;
            let found = Field { offset: memory.word(at(offset)?)?, address: is_static.then_some(memory.word(at(address)?)?) };
            tables.fields.insert(name, found);
        }

        let [first, stride] = [value("gHotSpotVMTypes")?, value("gHotSpotVMTypeEntryArrayStride")?];
        let (kind, size) = (value("gHotSpotVMTypeEntryTypeNameOffset")?, value("gHotSpotVMTypeEntrySizeOffset")?);
        for entry in entries(memory, first, stride, kind) {
            let named = name(memory, memory.word(entry.checked_add(kind)?)?)?;
            tables.sizes.insert(named, memory.word(entry.checked_add(size)?)?);
        }
        (!tables.fields.is_empty()).then_some(tables)
    }

    /// Offset of a field in its structure, under the first of `names` (`Type.field`) that this version has. It fits a step of a walk.
    pub(super) fn offset(&self, names: &[&str]) -> Option<i32> {
        let field = names.iter().find_map(|name| self.fields.get(*name))?;
        i32::try_from(field.offset).ok().filter(|_| field.address.is_none())
    }

    /// Address of a field that there is once, under the first of `names` that this version has.
    pub(super) fn address(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.fields.get(*name))?.address
    }

    /// Size of a type, bytes.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.sizes.get(name).copied()
    }
}

/// Addresses of the entries of a table that ends with one without a name.
fn entries(memory: &dyn Memory, first: u64, stride: u64, name: u64) -> impl Iterator<Item = u64> {
    let entry = move |index: u64| first.checked_add(index.checked_mul(stride)?);
    let has_name = move |entry: &u64| entry.checked_add(name).and_then(|at| memory.word(at)).is_some_and(|name| name != 0);
    (0..MAX_ENTRIES).map_while(entry).take_while(has_name)
}

fn name(memory: &dyn Memory, address: u64) -> Option<String> {
    memory.text(address, LONGEST_NAME)
}
