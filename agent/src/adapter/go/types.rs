//! What a Go program says of its types: where structures keep which members. The linker leaves this in every program, stripped or not,
//! for reflection; so the layout of a library is read from the program that contains it, and no table of the library's versions is needed.
//!
//! The forms are those of package `internal/abi` since Go 1.18. All of it is bytes of a program that may lie: what does not fit is left out.
use super::image::Image;
use crate::adapter::process::Memory;

/// Types that are looked through: kubelet links some 20,000.
const MAX_TYPES: u64 = 1 << 20;
/// Members of a structure that are looked at.
const MAX_MEMBERS: u64 = 512;
/// Longest name that is read, bytes.
const LONGEST_NAME: u64 = 256;
/// Types of one name that are looked at: packages of different paths may have the same last part.
const MAX_NAMESAKES: u64 = 32;

/// `abi.Pointer`, `abi.Struct` and `abi.Map`, without flags.
const POINTER: u8 = 22;
const STRUCTURE: u8 = 25;
const MAP: u8 = 21;
/// The bits of `abi.Type.Kind_` that are a kind.
const KIND: u8 = 31;
/// `abi.Type.TFlag`: its name is preceded by a star that is not meant.
const EXTRA_STAR: u8 = 2;
/// In the first byte of a name: the member is embedded.
const EMBEDDED: u8 = 8;

/// Members of `abi.Type`.
const FLAGS_AT: u64 = 20;
const KIND_AT: u64 = 23;
const NAME_AT: u64 = 40;
/// Where what comes after it begins.
const TYPE_SIZE: u64 = 48;
/// The size of a group of slots, that of a slot, and where its element is, in `abi.MapType` since Go 1.24.
const GROUP_AT: u64 = TYPE_SIZE + 32;

/// A type's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type(u64);

/// How to come from a structure to one of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where the pointer to the embedded structure is that has the member, if it is not in the structure itself.
    pub through: Option<i32>,
    /// Where the member is.
    pub at: i32,
}

/// A member of a structure: its name, the first byte of that, its type, and where it is.
type Member = (Vec<u8>, u8, Type, i32);

/// The types of a program.
pub struct Types<'a> {
    image: &'a Image,
    memory: &'a dyn Memory,
    /// `moduledata.types`, which offsets are from.
    base: u64,
    /// `moduledata.typelinks`: offsets of types without a name of their own, in the order of what they are called.
    links: u64,
    count: u64,
    /// Members' offsets are doubled: Go 1.18.
    doubled: bool,
}

impl<'a> Types<'a> {
    /// The types of the program that `module` describes, made by Go 1.`minor`.
    pub fn new(image: &'a Image, memory: &'a dyn Memory, module: u64, minor: u32) -> Option<Self> {
        let (types, links) = match minor {
            ..=19 => (280, 336),
            20..=25 => (296, 352),
            26.. => (296, 360),
        };
        let word = |at: u64| memory.word(module.checked_add(at)?);
        let (base, links, count) = (word(types)?, word(links)?, word(links + 8)?.min(MAX_TYPES));
        Some(Self { image, memory, base, links, count, doubled: minor < 19 })
    }

    /// The structure `name` (`transport.http2Client`) of a package, if the program has pointers to it.
    pub fn structure(&self, name: &str, package: &str) -> Option<Type> {
        let wanted = format!("*{name}");
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.called(self.link(middle)?)?.as_slice() < wanted.as_bytes() { low = middle + 1 } else { high = middle }
        }
        (low..self.count.min(low + MAX_NAMESAKES))
            .map_while(|index| self.link(index).filter(|link| self.called(*link).is_some_and(|called| called == wanted.as_bytes())))
            .filter_map(|pointer| self.pointee(pointer))
            .find(|pointee| self.package(*pointee).is_some_and(|path| path == package.as_bytes()))
    }

    /// A member of a structure or of one that it embeds, and its type.
    pub fn member(&self, of: Type, name: &str) -> Option<(Way, Type)> {
        let mut embedded = Vec::new();
        for (called, flags, kind, at) in self.members(of)? {
            if called == name.as_bytes() {
                return Some((Way { through: None, at }, kind));
            }
            if flags & EMBEDDED != 0 {
                embedded.push((kind, at));
            }
        }
        embedded.into_iter().find_map(|(kind, outer)| {
            let pointee = self.pointee(kind);
            let (_, _, kind, at) = self.members(pointee.unwrap_or(kind))?.into_iter().find(|(called, ..)| called == name.as_bytes())?;
            let way = match pointee {
                Some(_) => Way { through: Some(outer), at },
                None => Way { through: None, at: outer.checked_add(at)? },
            };
            Some((way, kind))
        })
    }

    /// What a pointer points to.
    pub fn pointee(&self, of: Type) -> Option<Type> {
        (self.kind(of)? == POINTER).then(|| self.memory.word(of.0.checked_add(TYPE_SIZE)?).map(Type))?
    }

    /// What a map maps to, if it is one of Go 1.24 and later: its groups' size, its slots', and where the element is in a slot.
    pub fn slots(&self, map: Type) -> Option<(Type, [u64; 3])> {
        let word = |at: u64| self.memory.word(map.0.checked_add(at)?);
        let (element, sizes) = (word(TYPE_SIZE + 8)?, [word(GROUP_AT)?, word(GROUP_AT + 8)?, word(GROUP_AT + 16)?]);
        (self.kind(map)? == MAP).then_some((Type(element), sizes))
    }

    fn members(&self, of: Type) -> Option<Vec<Member>> {
        if self.kind(of)? != STRUCTURE {
            return None;
        }
        let word = |at: u64| self.memory.word(at);
        let (first, count) = (word(of.0.checked_add(TYPE_SIZE + 8)?)?, word(of.0.checked_add(TYPE_SIZE + 16)?)?);
        let member = |index: u64| {
            let at = first.checked_add(index * 24)?;
            let (flags, name) = self.name(word(at)?)?;
            let offset = word(at.checked_add(16)?)? >> u32::from(self.doubled);
            Some((name, flags, Type(word(at.checked_add(8)?)?), i32::try_from(offset).ok()?))
        };
        (0..count.min(MAX_MEMBERS)).map(member).collect()
    }

    /// The path of the package that a structure was declared in.
    fn package(&self, of: Type) -> Option<Vec<u8>> {
        let structure = self.kind(of)? == STRUCTURE;
        structure.then(|| self.name(self.memory.word(of.0.checked_add(TYPE_SIZE)?)?).map(|(_, path)| path))?
    }

    fn link(&self, index: u64) -> Option<Type> {
        let bytes = self.image.constant(self.links.checked_add(index * 4)?, 4)?;
        Some(Type(self.base.checked_add(u32::from_le_bytes(bytes.try_into().ok()?).into())?))
    }

    fn kind(&self, of: Type) -> Option<u8> {
        Some(self.image.constant(of.0.checked_add(KIND_AT)?, 1)?.first()? & KIND)
    }

    /// What a type is called.
    fn called(&self, of: Type) -> Option<Vec<u8>> {
        let name = self.image.constant(of.0.checked_add(NAME_AT)?, 4)?;
        let (_, mut name) = self.name(self.base.checked_add(u32::from_le_bytes(name.try_into().ok()?).into())?)?;
        if self.image.constant(of.0.checked_add(FLAGS_AT)?, 1)?.first()? & EXTRA_STAR != 0 && !name.is_empty() {
            name.remove(0);
        }
        Some(name)
    }

    /// A name (`abi.Name`): its first byte, and its text as far as it is read.
    fn name(&self, at: u64) -> Option<(u8, Vec<u8>)> {
        let head = self.image.constant(at, 3)?;
        let [flags, low, high] = *head.as_slice() else { return None };
        let (length, behind) = if low & 0x80 == 0 { (low.into(), 2) } else { (u64::from(low & 0x7f) | u64::from(high) << 7, 3) };
        Some((flags, self.image.constant(at.checked_add(behind)?, length.min(LONGEST_NAME))?))
    }
}
