//! Walks over the elements of a BSON document, without going down into any: whoever wants an inner document walks over that.
//!
//! The bytes may end anywhere: an element whose value is not there as a whole is the last one, with what is there of it.

/// Elements of one document that are looked at; a command of the servers has less than 50.
const MAX_ELEMENTS: usize = 1024;

/// A value, as far as anybody asks for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A whole number, or one that stands for it.
    Number(i64),
    /// A document or an array: its bytes with the length in front, as far as they are there.
    Document(&'a [u8]),
    /// Anything else.
    Other,
}

/// An element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Element<'a> {
    /// Its name.
    pub(super) key: &'a [u8],
    /// Its value.
    pub(super) value: Value<'a>,
}

/// The elements of a document.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    left: usize,
}

/// The elements of the document at the start of `bytes`.
pub(super) fn elements(bytes: &[u8]) -> Elements<'_> {
    let inside = match (length(bytes), bytes) {
        (Some(len @ 5..), [_, _, _, _, rest @ ..]) => rest.get(..len as usize - 5).unwrap_or(rest),
        _ => &[],
    };
    Elements { rest: inside, left: MAX_ELEMENTS }
}

/// The length that a document or string says it has.
pub(super) fn length(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).filter(|len| i32::try_from(*len).is_ok())
}

fn split(bytes: &[u8], len: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(len).unwrap_or((bytes, &[]))
}

/// The text at the start of `bytes` that ends with a zero, without it, and what is behind.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// How many bytes a value of that type has; `None` if it is unknown, or cannot be known from what is there.
fn size(kind: u8, bytes: &[u8]) -> Option<usize> {
    let behind = |more: usize| length(bytes).map(|len| len as usize + more);
    match kind {
        // Nothing, the smallest and the greatest.
        0x06 | 0x0a | 0x7f | 0xff => Some(0),
        0x08 => Some(1),
        0x10 => Some(4),
        0x01 | 0x09 | 0x11 | 0x12 => Some(8),
        0x07 => Some(12),
        0x13 => Some(16),
        0x02 | 0x0d | 0x0e => behind(4),
        0x05 => behind(5),
        0x0c => behind(4 + 12),
        0x03 | 0x04 | 0x0f => behind(0).filter(|len| *len >= 5),
        0x0b => {
            let (_, options) = text(bytes)?;
            let (_, rest) = text(options)?;
            Some(bytes.len() - rest.len())
        }
        _ => None,
    }
}

fn value(kind: u8, bytes: &[u8]) -> Value<'_> {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_le_bytes);
    let known = match kind {
        0x01 => bytes.try_into().ok().map(|bytes| Value::Number(f64::from_le_bytes(bytes) as i64)),
        0x02 => bytes.get(4..).and_then(|text| text.strip_suffix(b"\0")).and_then(|text| std::str::from_utf8(text).ok()).map(Value::Text),
        0x03 | 0x04 => Some(Value::Document(bytes)),
        0x08 => bytes.first().map(|yes| Value::Number(i64::from(*yes))),
        0x10 => bytes.try_into().ok().map(|bytes| Value::Number(i64::from(i32::from_le_bytes(bytes)))),
        0x12 => number(bytes).map(Value::Number),
        _ => None,
    };
    known.unwrap_or(Value::Other)
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (kind, behind) = self.rest.split_first()?;
        let (key, behind) = text(behind)?;
        let (bytes, rest) = split(behind, size(*kind, behind)?);
        self.rest = rest;
        Some(Element { key, value: value(*kind, bytes) })
    }
}
