//! Reads objects of a CPython interpreter in the memory of its process: texts, dictionaries, modules, types, functions.
//!
//! Two shapes changed over the versions: dictionaries with 3.11, texts with 3.12 (`dictobject.c`, `unicodeobject.h`). Everything is a
//! bounded number of reads, whatever the memory says.
use super::super::process::Memory;

/// Most entries of a dictionary that are looked at: `sys.modules` of a large program has some thousands.
const MAX_ENTRIES: u64 = 16_384;
/// Most items of a tuple that are looked at.
const MAX_ITEMS: u64 = 1024;

/// `ob_type`: the type of any object.
pub const TYPE: u64 = 8;
/// `ob_size` of a tuple, and `length` of a text.
const LENGTH: u64 = 16;
/// `ob_item` of a tuple.
pub const ITEMS: u64 = 24;
/// `ma_keys` of a dictionary.
pub const KEYS: u64 = 32;
/// `md_dict` of a module.
const MODULE_DICT: u64 = 16;
/// `tp_dict` of a type.
const TYPE_DICT: u64 = 264;
/// The first digit of an integer.
const DIGIT: u64 = 24;

/// How some objects look in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shapes {
    /// Where the bytes of a text begin.
    pub text: u64,
    /// Dictionaries are those of 3.11 and newer.
    pub new_dicts: bool,
}

impl Shapes {
    /// Those of all versions.
    pub const ALL: [Self; 3] =
        [Self { text: 40, new_dicts: true }, Self { text: 48, new_dicts: true }, Self { text: 48, new_dicts: false }];

    /// Where the number of entries is in the keys of a dictionary, and where its indices begin.
    #[must_use]
    pub fn keys(self) -> [i32; 2] {
        if self.new_dicts { [24, 32] } else { [32, 40] }
    }
}

/// An entry of a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, an object.
    pub key: u64,
    /// The value, an object.
    pub value: u64,
    /// Which entry it is, those without a value counted too.
    pub index: u64,
}

/// The objects of a process.
#[derive(Clone, Copy)]
pub struct Objects<'a> {
    /// Where they are.
    pub memory: &'a dyn Memory,
    /// How they look.
    pub shapes: Shapes,
}

impl Objects<'_> {
    /// The word `at` bytes behind `address`.
    pub fn word(&self, address: u64, at: u64) -> Option<u64> {
        self.memory.word(address.checked_add(at)?)
    }

    /// The type of an object.
    pub fn type_of(&self, object: u64) -> Option<u64> {
        self.word(object, TYPE)
    }

    /// Whether an object is this text, given that it is one.
    fn is_text(&self, object: u64, text: &str) -> Option<bool> {
        if self.word(object, LENGTH)? != text.len() as u64 {
            return Some(false);
        }
        Some(self.memory.bytes(object.checked_add(self.shapes.text)?, text.len())? == text.as_bytes())
    }

    /// The entries of a dictionary.
    pub fn entries(&self, dictionary: u64) -> Option<Vec<Entry>> {
        let keys = self.word(dictionary, KEYS)?;
        let head = self.word(keys, 8)?;
        let [count, indices] = self.shapes.keys().map(i32::unsigned_abs).map(u64::from);
        let count = self.word(keys, count)?.min(MAX_ENTRIES);
        // The new ones say two logarithms and a kind; the old ones how many indices there are, which are as wide as their number needs.
        let (index_bytes, size) = if self.shapes.new_dicts {
            (1_u64.checked_shl((head >> 8) as u32 & 0xff)?, if (head >> 16) & 0xff == 0 { 24 } else { 16 })
        } else {
            let width = if head <= 0xff {
                1
            } else if head <= 0xffff {
                2
            } else {
                4
            };
            (head.checked_mul(width)?, 24)
        };
        let first = keys.checked_add(indices)?.checked_add(index_bytes)?;
        let bytes = self.memory.bytes(first, (count * size) as usize)?;
        let entry = |(index, entry): (usize, &[u8])| {
            let (key, value) = entry.get(size as usize - 16..)?.split_at_checked(8)?;
            let word = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
            Some(Entry { key: word(key)?, value: word(value)?, index: index as u64 })
        };
        let entries = bytes.chunks_exact(size as usize).enumerate().filter_map(entry);
        Some(entries.filter(|entry| entry.key != 0 && entry.value != 0).collect())
    }

    /// The entry of a dictionary under this name.
    pub fn entry(&self, dictionary: u64, name: &str) -> Option<Entry> {
        self.entries(dictionary)?.into_iter().find(|entry| self.is_text(entry.key, name) == Some(true))
    }

    /// What the dictionary of a module has under this name. `modules` is `sys.modules`.
    pub fn member(&self, modules: u64, module: &str, name: &str) -> Option<u64> {
        let module = self.entry(modules, module)?.value;
        Some(self.entry(self.word(module, MODULE_DICT)?, name)?.value)
    }

    /// What a type itself has under this name.
    pub fn attribute(&self, kind: u64, name: &str) -> Option<u64> {
        Some(self.entry(self.word(kind, TYPE_DICT)?, name)?.value)
    }

    /// A small integer.
    pub fn integer(&self, object: u64) -> Option<u32> {
        self.memory.half(object.checked_add(DIGIT)?)
    }

    /// The first item of a tuple that is of this type and has this text at `name`.
    pub fn named_item(&self, tuple: u64, kind: u64, name_at: u64, name: &str) -> Option<u64> {
        let count = self.word(tuple, LENGTH)?.min(MAX_ITEMS);
        let items = (0..count).filter_map(|index| self.word(tuple, ITEMS + 8 * index));
        let named = |item: &u64| self.word(*item, name_at).and_then(|text| self.is_text(text, name)) == Some(true);
        items.filter(|item| self.type_of(*item) == Some(kind)).find(named)
    }
}
