//! The kernel's own type information (BTF) becomes byte offsets of structure fields and the list of typed tracepoints.
//!
//! The format is the one of the kernel's `Documentation/bpf/btf.rst`. Bytes are checked as if they were hostile; bit fields have no
//! byte offset and are not found.
use std::collections::{HashMap, HashSet};

/// Where the running kernel shows its type information.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// Largest file that is read: several times what a distribution's kernel has.
pub const LARGEST_BTF: u64 = 64 << 20;
/// Anonymous members and type modifiers that are followed inside each other; the kernel nests about four.
const DEEPEST: u32 = 16;

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
/// Bytes of a type before what its kind adds.
const TYPE: usize = 12;
const MEMBER: usize = 12;

mod kind {
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const TYPE_TAG: u32 = 18;
}

/// Why bytes are no type information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The header is missing, foreign, or of the other byte order.
    #[error("it does not begin with a BTF header")]
    Header,
    /// A section or a type reaches past the end.
    #[error("it is cut short")]
    Cut,
    /// A type of a kind that this reader does not know, so that the next type cannot be found.
    #[error("it has a type of unknown kind {0}")]
    Kind(u32),
}

/// Type information, with an index by name of structures and of typed tracepoints.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; type ids count from 1.
    starts: Vec<u32>,
    structures: HashMap<&'a [u8], u32>,
    tracepoints: HashSet<&'a [u8]>,
}

/// The fixed part of a type.
struct Type {
    name: u32,
    kind: u32,
    members: u32,
    /// Member offsets also hold a bit field's size.
    packed: bool,
    /// Another type's id, where the kind says so.
    target: u32,
}

impl<'a> Btf<'a> {
    /// Reads and indexes type information.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        if bytes.get(..2) != Some(&MAGIC.to_le_bytes()) || bytes.get(2) != Some(&1) || bytes.len() < HEADER {
            return Err(BtfError::Header);
        }
        let section = |offset: usize, length: usize| {
            let begin = (number(bytes, 4)? as usize).checked_add(number(bytes, offset)? as usize)?;
            bytes.get(begin..begin.checked_add(number(bytes, length)? as usize)?)
        };
        let types = section(8, 12).ok_or(BtfError::Cut)?;
        let strings = section(16, 20).ok_or(BtfError::Cut)?;
        let mut btf = Self { types, strings, starts: Vec::new(), structures: HashMap::new(), tracepoints: HashSet::new() };
        let mut at = 0;
        while at < types.len() {
            let start = at as u32;
            let found = btf.read(start).ok_or(BtfError::Cut)?;
            at += TYPE + extra(&found).ok_or(BtfError::Kind(found.kind))?;
            btf.starts.push(start);
            let id = btf.starts.len() as u32;
            match (btf.string(found.name), found.kind) {
                // The first of several structures with a name is the one that most of the kernel uses.
                (Some(name), kind::STRUCT) if !name.is_empty() => {
                    btf.structures.entry(name).or_insert(id);
                }
                (Some(name), kind::TYPEDEF) => {
                    if let Some(name) = name.strip_prefix(b"btf_trace_") {
                        btf.tracepoints.insert(name);
                    }
                }
                _ => {}
            }
        }
        if at > types.len() { Err(BtfError::Cut) } else { Ok(btf) }
    }

    /// Byte offset of the field at `path` in `structure`, such as `("sock", "sk_lock.owned")`; members of anonymous members count
    /// as members. `None` if there is none, or if it is a bit field.
    #[must_use]
    pub fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        let mut id = *self.structures.get(structure.as_bytes())?;
        let mut bits = 0_u32;
        for name in path.split('.') {
            let (offset, target) = self.member(id, name.as_bytes(), 0)?;
            bits = bits.checked_add(offset)?;
            id = target;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Whether the kernel has a tracepoint of this name that typed programs (`tp_btf`) can attach to.
    #[must_use]
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.tracepoints.contains(name.as_bytes())
    }

    /// Offset in bits and type of a member of the structure or union `id`.
    fn member(&self, id: u32, name: &[u8], depth: u32) -> Option<(u32, u32)> {
        let (start, structure) = self.resolve(id)?;
        if depth > DEEPEST || !matches!(structure.kind, kind::STRUCT | kind::UNION) {
            return None;
        }
        for index in 0..structure.members as usize {
            let at = start as usize + TYPE + index * MEMBER;
            let (member, target, place) = (number(self.types, at)?, number(self.types, at + 4)?, number(self.types, at + 8)?);
            let (offset, bitfield) = if structure.packed { (place & 0x00ff_ffff, place >> 24 != 0) } else { (place, false) };
            let found = match self.string(member)? {
                b"" => self.member(target, name, depth + 1),
                this if this == name && !bitfield => Some((0, target)),
                _ => None,
            };
            if let Some((inner, target)) = found {
                return Some((offset.checked_add(inner)?, target));
            }
        }
        None
    }

    /// Follows names and qualifiers of a type to what it is.
    fn resolve(&self, mut id: u32) -> Option<(u32, Type)> {
        for _ in 0..DEEPEST {
            let start = *self.starts.get(id.checked_sub(1)? as usize)?;
            let found = self.read(start)?;
            match found.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => id = found.target,
                _ => return Some((start, found)),
            }
        }
        None
    }

    fn read(&self, start: u32) -> Option<Type> {
        let at = start as usize;
        let info = number(self.types, at + 4)?;
        Some(Type {
            name: number(self.types, at)?,
            kind: (info >> 24) & 0x1f,
            members: info & 0xffff,
            packed: info >> 31 != 0,
            target: number(self.types, at + 8)?,
        })
    }

    fn string(&self, offset: u32) -> Option<&'a [u8]> {
        self.strings.get(offset as usize..)?.split(|byte| *byte == 0).next()
    }
}

/// Bytes that follow the fixed part of a type.
fn extra(found: &Type) -> Option<usize> {
    let members = found.members as usize;
    Some(match found.kind {
        1 | 14 | 17 => 4,
        2 | 7..=12 | 16 | 18 => 0,
        3 => 12,
        4 | 5 | 15 | 19 => members * 12,
        6 | 13 => members * 8,
        _ => return None,
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `struct outer { int a; union { int b; volatile struct inner c; }; int d : 3; };  struct inner { int x; int y; };`
    fn crafted() -> Vec<u8> {
        let strings = b"\0int\0inner\0x\0y\0outer\0a\0b\0c\0d\0btf_trace_hello\0";
        let at = |name: &[u8]| {
            let with_end = [b"\0", name, b"\0"].concat();
            strings.windows(with_end.len()).position(|window| window == with_end).unwrap() as u32 + 1
        };
        let types: Vec<u32> = [
            vec![at(b"int"), 1 << 24, 4, 32],
            vec![at(b"inner"), 4 << 24 | 2, 8, at(b"x"), 1, 0, at(b"y"), 1, 32],
            vec![0, 9 << 24, 2],
            vec![0, 5 << 24 | 2, 8, at(b"b"), 1, 0, at(b"c"), 3, 0],
            vec![at(b"outer"), 1 << 31 | 4 << 24 | 3, 16, at(b"a"), 1, 0, 0, 4, 32, at(b"d"), 1, 3 << 24 | 0x60],
            vec![at(b"btf_trace_hello"), 8 << 24, 1],
        ]
        .concat();
        let types: Vec<u8> = types.into_iter().flat_map(u32::to_le_bytes).collect();
        let header = [0x0001_eb9f, 24, 0, types.len() as u32, types.len() as u32, strings.len() as u32];
        [header.into_iter().flat_map(u32::to_le_bytes).collect(), types, strings.to_vec()].concat()
    }

    #[test]
    fn fields_are_found_by_path_through_anonymous_members_and_qualifiers() {
        let bytes = crafted();
        let btf = Btf::parse(&bytes).unwrap();
        let paths = ["a", "b", "c", "c.x", "c.y", "d", "e", "a.x", ""];
        let expected = [Some(0), Some(4), Some(4), Some(4), Some(8), None, None, None, None];
        assert_eq!(paths.map(|path| btf.offset("outer", path)), expected);
        assert_eq!(btf.offset("absent", "a"), None);
        assert_eq!(["hello", "other"].map(|name| btf.has_tracepoint(name)), [true, false]);
    }

    #[test]
    fn every_cut_is_an_error_and_never_a_shorter_answer() {
        let bytes = crafted();
        for end in 0..bytes.len() {
            let expected = if end < HEADER { BtfError::Header } else { BtfError::Cut };
            assert_eq!(Btf::parse(&bytes[..end]).err(), Some(expected), "cut at {end}");
        }
    }

    #[test]
    fn foreign_files_are_refused() {
        assert_eq!(Btf::parse(b"\x7fELF and so on, long enough to be a header").err(), Some(BtfError::Header));
        let mut unknown = crafted();
        unknown[HEADER + 7] = 31;
        assert_eq!(Btf::parse(&unknown).err(), Some(BtfError::Kind(31)));
    }

    #[test]
    fn the_running_kernel_says_where_its_fields_are() {
        let Ok(bytes) = std::fs::read(KERNEL_BTF) else { return };
        let btf = Btf::parse(&bytes).unwrap();
        // Fixed by the kernel's ABI between its own modules for as long as the structure has existed.
        assert_eq!(btf.offset("list_head", "prev"), Some(8));
        assert_eq!(btf.offset("tcp_sock", "inet_conn.icsk_inet.sk"), Some(0));
        assert!(btf.offset("sock", "sk_lock.owned").is_some());
        assert!(btf.offset("sock", "__sk_common.skc_state").is_some());
        assert!(btf.has_tracepoint("inet_sock_set_state"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = crafted();
            for (index, byte) in damage {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(btf) = Btf::parse(&bytes) {
                for path in ["a", "c.y", "d", "b.b.b"] {
                    let _ = btf.offset("outer", path);
                }
            }
        }
    }
}
