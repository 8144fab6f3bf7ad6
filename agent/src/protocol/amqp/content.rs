//! Content headers (section 4.2.6.1 of the specification): the properties of a message.
use crate::protocol::context::{Carried, Finder};
use crate::protocol::messaging::Fields;
use std::sync::Arc;

/// Entries of a header table that are looked at: applications have a dozen.
const MAX_ENTRIES: usize = 256;
/// Longest value that a context may have: the longest baggage.
const MAX_VALUE: usize = 8192;

/// What is known of a message by its header.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Properties<'a> {
    /// Bytes of its body.
    pub(super) body: u64,
    /// `message-id`.
    pub(super) message_id: Option<&'a [u8]>,
    /// `correlation-id`.
    pub(super) correlation_id: Option<&'a [u8]>,
    /// What its headers carry.
    pub(super) carried: Option<Arc<Carried>>,
}

/// Reads a content header; `None` if it is none of class `basic`. Of one that is cut or odd, what stands before that counts.
pub(super) fn properties(mut fields: Fields<'_>) -> Option<Properties<'_>> {
    let (class, _weight, body, flags) = (fields.u16()?, fields.u16()?, fields.u64()?, fields.u16()?);
    if class != 60 {
        return None;
    }
    let mut properties = Properties { body, ..Properties::default() };
    let _ = each(&mut properties, flags, fields);
    Some(properties)
}

/// The properties whose flags are set, the highest first; the lowest flag announces more flags, which no version has defined.
fn each<'a>(properties: &mut Properties<'a>, flags: u16, mut fields: Fields<'a>) -> Option<()> {
    for place in 0..14 {
        if flags & 0x8000 >> place == 0 {
            continue;
        }
        match place {
            2 => properties.carried = context(fields.block()?),
            3 | 4 => drop(fields.u8()?),
            5 => properties.correlation_id = Some(fields.short()?),
            8 => properties.message_id = Some(fields.short()?),
            9 => drop(fields.u64()?),
            _ => drop(fields.short()?),
        }
    }
    Some(())
}

/// What a header table carries.
fn context(table: &[u8]) -> Option<Arc<Carried>> {
    let mut finder = Finder::default();
    entries(table, |name, value| finder.header(name, value));
    finder.carried()
}

/// Gives the names of a table, and those values that are texts or bytes; nested ones are stepped over.
pub(super) fn entries<'a>(table: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) {
    let mut fields = Fields(table);
    for _ in 0..MAX_ENTRIES {
        let Some((name, value)) = fields.short().and_then(|name| Some((name, value(&mut fields)?))) else { return };
        if let Some(value) = value.filter(|value| value.len() <= MAX_VALUE) {
            each(name, value);
        }
    }
}

/// The next value: its bytes, if it is a text or bytes. The types are `RabbitMQ`'s, which differ from the specification's.
#[expect(clippy::option_option, reason = "what is cut is not what is no text")]
fn value<'a>(fields: &mut Fields<'a>) -> Option<Option<&'a [u8]>> {
    let len = match fields.u8()? {
        b't' | b'b' | b'B' => 1,
        b's' | b'u' | b'U' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'V' => 0,
        b'S' | b'x' => return fields.block().map(Some),
        b'F' | b'A' => return fields.block().map(|_| None),
        _ => return None,
    };
    fields.bytes(len).map(|_| None)
}
