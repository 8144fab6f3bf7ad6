//! Query attributes: names and values that stand before a statement's text (`CLIENT_QUERY_ATTRIBUTES`), among them trace context.
//!
//! Whether they are there is not asked of the capabilities: no text begins as they do.
use super::packet::Cursor;
use crate::protocol::context::{self, Finder};

/// Attributes of one statement that are looked at.
const MAX_ATTRIBUTES: u64 = 32;
/// Longest value that is looked at: that of a `tracestate`.
const MAX_VALUE: usize = 512;

/// The text of a statement, and its attributes' trace context given to `finder`. Nothing, if the attributes did not end in what is there.
pub(super) fn split<'a>(payload: &'a [u8], finder: &mut Finder) -> Option<&'a [u8]> {
    // The number of attributes, and the number of sets of them, which is one.
    match payload {
        [0, 1, text @ ..] => return Some(text),
        [count, 1, ..] if !matches!(count, b'\t' | b'\n' | b'\r' | b' '..) => {}
        _ => return Some(payload),
    }
    let mut cursor = Cursor(payload);
    let count = cursor.number().filter(|count| *count <= MAX_ATTRIBUTES)?;
    cursor.number()?;
    let nulls = cursor.take(count.div_ceil(8))?;
    if cursor.u8()? != 1 {
        return None;
    }
    let mut kinds: [(u8, &[u8]); MAX_ATTRIBUTES as usize] = [(0, b""); MAX_ATTRIBUTES as usize];
    for kind in kinds.iter_mut().take(count as usize) {
        *kind = (cursor.u16()? as u8, cursor.string()?);
    }
    for (index, (kind, name)) in kinds.iter().enumerate().take(count as usize) {
        if nulls.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1) {
            continue;
        }
        let value = value(*kind, &mut cursor)?;
        if value.len() <= MAX_VALUE && context::header_name(name).is_some() {
            finder.header(name, value);
        }
    }
    Some(cursor.0)
}

/// A value in the binary form of its type.
fn value<'a>(kind: u8, cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let len = match kind {
        0x06 => 0,
        0x01 => 1,
        0x02 | 0x0d => 2,
        0x03 | 0x04 | 0x09 => 4,
        0x05 | 0x08 => 8,
        // Points in time and times.
        0x07 | 0x0a | 0x0b | 0x0c => u64::from(cursor.u8()?),
        _ => return cursor.string(),
    };
    cursor.take(len)
}
