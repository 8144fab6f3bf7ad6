//! The type system (part 1 of the specification) as far as frames need it: values are found by their widths, and none is entered that
//! nobody asked for.
use crate::protocol::messaging::Fields;

/// Bytes of a frame that are looked at.
pub(super) const MAX_LOOKED_AT: usize = 16 * 1024;
/// Size, data offset, type and channel in front of a frame's body.
pub(super) const FRAME_HEADER: usize = 8;
/// Entries of a list or map that are looked at.
const MAX_ENTRIES: usize = 512;

/// A value: its descriptor, its type and its bytes, without the width in front of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    /// What it means, if it is a described one of a standard meaning.
    pub(super) descriptor: Option<u64>,
    code: u8,
    bytes: &'a [u8],
}

/// The next value; `None` if it is cut.
pub(super) fn value<'a>(fields: &mut Fields<'a>) -> Option<Value<'a>> {
    let mut ahead = *fields;
    let mut descriptor = None;
    if ahead.0.first() == Some(&0) {
        ahead.u8()?;
        descriptor = plain(&mut ahead)?.number();
    }
    let found = plain(&mut ahead)?;
    *fields = ahead;
    Some(Value { descriptor, ..found })
}

/// A value without a descriptor.
fn plain<'a>(fields: &mut Fields<'a>) -> Option<Value<'a>> {
    let code = fields.u8()?;
    let bytes = match code >> 4 {
        4 => fields.bytes(0),
        5 => fields.bytes(1),
        6 => fields.bytes(2),
        7 => fields.bytes(4),
        8 => fields.bytes(8),
        9 => fields.bytes(16),
        0xa | 0xc | 0xe => fields.short(),
        0xb | 0xd | 0xf => fields.block(),
        // A descriptor of a descriptor is none of the standard's.
        _ => None,
    }?;
    Some(Value { descriptor: None, code, bytes })
}

impl<'a> Value<'a> {
    /// A whole number that is not negative.
    pub(super) fn number(&self) -> Option<u64> {
        let mut fields = Fields(self.bytes);
        match self.code {
            0x43 | 0x44 => Some(0),
            0x50 | 0x52 | 0x53 => fields.u8().map(u64::from),
            0x60 => fields.u16().map(u64::from),
            0x70 => fields.u32().map(u64::from),
            0x80 => fields.u64(),
            _ => None,
        }
    }

    /// Yes or no.
    pub(super) fn truth(&self) -> Option<bool> {
        match (self.code, self.bytes) {
            (0x41, _) | (0x56, [1]) => Some(true),
            (0x42, _) | (0x56, [0]) => Some(false),
            _ => None,
        }
    }

    /// A string or a symbol.
    pub(super) fn text(&self) -> Option<&'a [u8]> {
        matches!(self.code, 0xa1 | 0xa3 | 0xb1 | 0xb3).then_some(self.bytes)
    }

    /// The bytes of anything but nothing: what identifies a message may be of several types.
    pub(super) fn raw(&self) -> Option<&'a [u8]> {
        (self.code != 0x40 && !self.bytes.is_empty()).then_some(self.bytes)
    }

    /// The entries of a list, or the keys and values of a map, in turn.
    pub(super) fn entries(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut fields = Fields(self.bytes);
        let count = match self.code {
            0xc0 | 0xc1 => fields.u8().map(usize::from),
            0xd0 | 0xd1 => fields.u32().map(|count| count as usize),
            _ => None,
        };
        (0..count.unwrap_or_default().min(MAX_ENTRIES)).map_while(move |_| value(&mut fields))
    }

    /// The entry of a list at a place.
    pub(super) fn at(&self, place: usize) -> Option<Value<'a>> {
        self.entries().nth(place)
    }
}
