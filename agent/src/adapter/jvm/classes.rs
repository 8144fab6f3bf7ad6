//! The classes that a JVM has loaded: where each is, and where its objects have their fields.
use super::super::process::Memory;
use super::tables::Tables;
use rustc_hash::FxHashMap;

/// Class loaders looked at: some frameworks make thousands.
const MAX_LOADERS: usize = 65_536;
/// Classes looked at: large applications load a hundred thousand, and each costs about a microsecond.
const MAX_CLASSES: usize = 262_144;
/// Fields of one class that are looked at.
const MAX_FIELDS: u32 = 1024;
/// Classes that one class extends, one after the other.
const MAX_SUPERS: usize = 16;
/// Longest description of fields, bytes.
const LONGEST_STREAM: u32 = 16_384;
/// Longest name that is looked for.
const LONGEST_NAME: usize = 128;

/// The virtual machine's structures that describe classes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout {
    loaders: u64,
    next_loader: i32,
    first_class: i32,
    next_class: i32,
    name: i32,
    parent: i32,
    constants: i32,
    /// Size of a constant pool's header, after which its entries are.
    constant: u64,
    length: i32,
    body: i32,
    fields: Fields,
}

/// How fields are described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fields {
    /// Six half-words each, up to JDK 20: the array and the number of fields that are the class's own.
    Table(i32, i32),
    /// A stream of numbers of different lengths, from JDK 21 on.
    Stream(i32),
}

/// Classes by name.
pub(super) struct Classes<'a> {
    memory: &'a dyn Memory,
    layout: Layout,
    found: FxHashMap<&'static str, u64>,
}

impl<'a> Classes<'a> {
    /// Looks for the classes called `wanted`; `None` if this version describes classes in another way.
    pub(super) fn find(memory: &'a dyn Memory, tables: &Tables, wanted: &[&'static str]) -> Option<Self> {
        let offset = |name: &str| tables.offset(&[name]);
        let layout = Layout {
            loaders: tables.address(&["ClassLoaderDataGraph._head"])?,
            next_loader: offset("ClassLoaderData._next")?,
            first_class: offset("ClassLoaderData._klasses")?,
            next_class: offset("Klass._next_link")?,
            name: offset("Klass._name")?,
            parent: offset("Klass._super")?,
            constants: offset("InstanceKlass._constants")?,
            constant: tables.size("ConstantPool")?,
            length: offset("Symbol._length")?,
            body: tables.offset(&["Symbol._body[0]", "Symbol._body"])?,
            fields: match offset("InstanceKlass._fieldinfo_stream") {
                Some(stream) => Fields::Stream(stream),
                None => Fields::Table(offset("InstanceKlass._fields")?, offset("InstanceKlass._java_fields_count")?),
            },
        };
        let mut classes = Self { memory, layout, found: FxHashMap::default() };
        let lengths: Vec<usize> = wanted.iter().map(|name| name.len()).collect();
        let mut left = MAX_CLASSES;
        let mut loader = memory.word(classes.layout.loaders)?;
        for _ in 0..MAX_LOADERS {
            let Some(mut class) = classes.at(loader, classes.layout.first_class) else { break };
            while class != 0 && left > 0 && classes.found.len() < wanted.len() {
                left -= 1;
                let name = classes.at(class, classes.layout.name).and_then(|symbol| classes.symbol(symbol, &lengths));
                if let Some(name) = name.and_then(|name| wanted.iter().find(|wanted| wanted.as_bytes() == name)) {
                    classes.found.entry(name).or_insert(class);
                }
                class = classes.at(class, classes.layout.next_class).unwrap_or(0);
            }
            loader = classes.at(loader, classes.layout.next_loader).unwrap_or(0);
        }
        Some(classes)
    }

    /// Where the description of a class is.
    pub(super) fn class(&self, name: &str) -> Option<u64> {
        self.found.get(name).copied()
    }

    /// Where objects of `class`, which may have it from a class that it extends, keep their `field`, bytes.
    pub(super) fn field(&self, class: &str, field: &str) -> Option<i32> {
        let mut class = self.class(class)?;
        for _ in 0..MAX_SUPERS {
            if let Some(offset) = self.own_field(class, field.as_bytes()) {
                return i32::try_from(offset).ok();
            }
            class = self.at(class, self.layout.parent).filter(|parent| *parent != 0)?;
        }
        None
    }

    fn own_field(&self, class: u64, wanted: &[u8]) -> Option<u32> {
        let constants = self.at(class, self.layout.constants)?.checked_add(self.layout.constant)?;
        let is_wanted = |index: u32| {
            let symbol = constants.checked_add(u64::from(index) * 8).and_then(|at| self.memory.word(at));
            symbol.and_then(|symbol| self.symbol(symbol, &[wanted.len()])).is_some_and(|name| name == wanted)
        };
        match self.layout.fields {
            Fields::Table(fields, count) => {
                let count = (self.memory.half(class.checked_add_signed(count.into())?)? & 0xffff).min(MAX_FIELDS);
                let table = self.memory.bytes(self.at(class, fields)?.checked_add(4)?, count as usize * 12)?;
                let half =
                    |field: &[u8], index: usize| Some(u32::from(u16::from_le_bytes([*field.get(2 * index)?, *field.get(2 * index + 1)?])));
                // Of a field: access, name, type, initial value, offset in two halves, whose last two bits say that it is one.
                let field = table.chunks_exact(12).find(|field| half(field, 1).is_some_and(is_wanted))?;
                Some((half(field, 5)? << 16 | half(field, 4)?) >> 2)
            }
            Fields::Stream(stream) => {
                let stream = self.at(class, stream)?;
                let length = self.memory.half(stream)?.min(LONGEST_STREAM);
                let bytes = self.memory.bytes(stream.checked_add(4)?, length as usize)?;
                let mut bytes = bytes.as_slice();
                let count = number(&mut bytes)?.min(MAX_FIELDS);
                // Fields that the virtual machine added come last, and are counted apart.
                number(&mut bytes)?;
                for _ in 0..count {
                    let [name, _, offset, _, flags] = [(); 5].map(|()| number(&mut bytes));
                    let flags = flags?;
                    // An initial value, a generic type, a contention group, each only where there is one.
                    for _ in 0..(flags & (1 | 1 << 2 | 1 << 4)).count_ones() {
                        number(&mut bytes)?;
                    }
                    if is_wanted(name?) {
                        return offset;
                    }
                }
                None
            }
        }
    }

    fn at(&self, address: u64, offset: i32) -> Option<u64> {
        self.memory.word(address.checked_add_signed(offset.into())?)
    }

    /// The text of a symbol if its length is one of these.
    fn symbol(&self, symbol: u64, lengths: &[usize]) -> Option<Vec<u8>> {
        let length = (self.memory.half(symbol.checked_add_signed(self.layout.length.into())?)? & 0xffff) as usize;
        let body = symbol.checked_add_signed(self.layout.body.into())?;
        (length <= LONGEST_NAME && lengths.contains(&length)).then(|| self.memory.bytes(body, length))?
    }
}

/// The next number of a stream, in the encoding called UNSIGNED5: bytes of 1 to 191 end it, those above go on, each worth 64 times
/// the one before; zero is never used.
fn number(bytes: &mut &[u8]) -> Option<u32> {
    let mut sum = 0_u32;
    for index in 0..5 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        sum = sum.wrapping_add(u32::from(byte.checked_sub(1)?) << (6 * index));
        if *byte < 192 {
            break;
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_stream_are_read_to_its_end() {
        // 190 is one byte, 191 + 64 two.
        let mut bytes = &[191, 192, 2, 0][..];
        let read = [(); 4].map(|()| number(&mut bytes));
        assert_eq!(read, [Some(190), Some(191 + 64), None, None]);
    }
}
