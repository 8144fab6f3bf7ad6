//! HPACK (RFC 7541): a header block becomes the fields that this program uses. Other values are stepped over, neither decoded nor kept.
use super::huffman;
use super::table::{Found, Name, Table};
use std::ops::Range;

/// Bytes of one value that are kept: of the longest, a path, no tool shows more.
const LONGEST_VALUE: usize = 8 * 1024;
/// Bytes of a name that can be one of those that are kept, with room for any.
const LONGEST_NAME: usize = 64;
/// Largest number in a block: no length or index needs more, and nothing overflows.
const LARGEST_NUMBER: usize = 1 << 30;
/// Text that stays allocated between blocks: what usual requests need.
const USUAL_TEXT: usize = 4 * 1024;

/// The bytes are no header block: peers would end the connection.
#[derive(Debug, PartialEq)]
pub(super) struct Malformed;

/// The fields of one block.
#[derive(Debug, Default)]
pub(super) struct Block {
    text: Vec<u8>,
    fields: Vec<(&'static str, Range<usize>)>,
    /// The block has fields that were named before anybody looked.
    pub(super) unknown: bool,
}

impl Block {
    /// Names and values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.fields.iter().filter_map(|(name, range)| Some((*name, self.text.get(range.clone())?)))
    }

    /// The first value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(USUAL_TEXT);
        self.fields.clear();
        self.unknown = false;
    }

    fn push(&mut self, name: &'static str, value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(value);
        self.fields.push((name, start..self.text.len()));
    }
}

/// Decodes a whole header block into `block`, whose old content goes.
pub(super) fn decode(table: &mut Table, bytes: &[u8], block: &mut Block) -> Result<(), Malformed> {
    block.clear();
    let mut rest = Reader { rest: bytes };
    while let Some(first) = rest.peek() {
        match first {
            0x80.. => {
                let index = rest.number(7)?;
                match table.get(index).ok_or(Malformed)? {
                    Found::Field(name, value) => block.push(name, value),
                    Found::Other => {}
                    Found::Unknown => block.unknown = true,
                }
            }
            0x40..0x80 => literal(table, &mut rest, 6, true, block)?,
            0x20..0x40 => {
                let limit = rest.number(5)?;
                table.resize(limit);
            }
            _ => literal(table, &mut rest, 4, false, block)?,
        }
    }
    Ok(())
}

/// A field whose value is written out (section 6.2), its name too if it has no index.
fn literal(table: &mut Table, rest: &mut Reader<'_>, prefix: u32, indexed: bool, block: &mut Block) -> Result<(), Malformed> {
    let index = rest.number(prefix)?;
    let (mut name, name_length) = if index == 0 {
        rest.string()?.name()
    } else {
        match table.get(index).ok_or(Malformed)? {
            Found::Field(name, _) => (Name::Kept(name), name.len()),
            Found::Other => (Name::Other, 0),
            Found::Unknown => (Name::Unknown, 0),
        }
    };
    let value = rest.string()?;
    let start = block.text.len();
    // What cannot be decoded although it is wanted is left out.
    if matches!(name, Name::Kept(_)) && !value.read(LONGEST_VALUE, &mut block.text) {
        name = Name::Other;
    }
    if indexed {
        table.add(name, block.text.get(start..).unwrap_or_default(), name_length + value.least_length());
    }
    match name {
        Name::Kept(name) => block.fields.push((name, start..block.text.len())),
        Name::Other => block.text.truncate(start),
        Name::Unknown => block.unknown = true,
    }
    Ok(())
}

/// A string literal (section 5.2).
struct Literal<'a> {
    bytes: &'a [u8],
    huffman: bool,
}

impl Literal<'_> {
    /// Appends the text to `out`, of a text that is too long the beginning; false if it is none.
    fn read(&self, most: usize, out: &mut Vec<u8>) -> bool {
        if self.huffman {
            let end = out.len() + most;
            return huffman::decode(self.bytes, most, out).is_some() || out.len() == end;
        }
        out.extend_from_slice(self.bytes.get(..most).unwrap_or(self.bytes));
        true
    }

    /// The text as a name that is kept, and at least how long it is.
    fn name(&self) -> (Name, usize) {
        if !self.huffman {
            return (Name::of(self.bytes), self.bytes.len());
        }
        let mut text = Vec::with_capacity(LONGEST_NAME);
        let whole = huffman::decode(self.bytes, LONGEST_NAME, &mut text).is_some();
        (if whole { Name::of(&text) } else { Name::Other }, text.len())
    }

    /// At least how long the text is: no symbol takes more than 30 bits.
    fn least_length(&self) -> usize {
        if self.huffman { self.bytes.len() / 4 } else { self.bytes.len() }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    /// An integer in the last `bits` bits of a byte and, where these are all ones, in further bytes (section 5.1).
    fn number(&mut self, bits: u32) -> Result<usize, Malformed> {
        let mask = (1_usize << bits) - 1;
        let mut value = usize::from(self.byte()?) & mask;
        if value < mask {
            return Ok(value);
        }
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if value > LARGEST_NUMBER || shift > 35 {
                return Err(Malformed);
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }

    fn string(&mut self) -> Result<Literal<'a>, Malformed> {
        let huffman = self.peek().ok_or(Malformed)? & 0x80 != 0;
        let length = self.number(7)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(Literal { bytes, huffman })
    }
}
