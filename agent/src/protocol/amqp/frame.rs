//! Frames (section 2.3.5 of the specification), and the fields in them.
use crate::protocol::messaging::{Fields, Stop};

/// Type, channel and size in front of a payload, and the mark behind it.
pub(super) const AROUND: usize = 8;
/// Longest payload of a method or a content header that is looked at; longer ones are stepped over. A header table beyond this is no
/// table of short values.
pub(super) const MAX_LOOKED_AT: usize = 64 * 1024;
/// Largest payload of any frame: brokers agree on 128 KiB with their clients unless configured otherwise.
const MAX_PAYLOAD: u32 = 64 * 1024 * 1024;
/// What ends every frame.
const MARK: u8 = 0xce;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload<'a> {
    /// A method: class, number and arguments.
    Method(u16, u16, Fields<'a>),
    /// A content header.
    Header(Fields<'a>),
    /// A part of a content, of so many bytes.
    Body(u64),
    /// A sign of life.
    Heartbeat,
    /// A method or header too long to be looked at.
    Long,
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Its channel.
    pub(super) channel: u16,
    /// What it holds.
    pub(super) payload: Payload<'a>,
    /// Its length, mark included; may be more than there is.
    pub(super) len: u64,
}

/// The frame at the start of `bytes`.
pub(super) fn frame(bytes: &[u8]) -> Result<Frame<'_>, Stop> {
    if bytes.first().is_some_and(|kind| !matches!(kind, 1..=3 | 8)) {
        return Err(Stop::Invalid);
    }
    let mut fields = Fields(bytes);
    let (Some(kind), Some(channel), Some(size)) = (fields.u8(), fields.u16(), fields.u32()) else { return Err(Stop::More) };
    let len = u64::from(size) + AROUND as u64;
    let impossible = match kind {
        1 => size < 4,
        2 => size < 14 || channel == 0,
        3 => channel == 0,
        _ => size != 0 || channel != 0,
    };
    if impossible || size > MAX_PAYLOAD {
        return Err(Stop::Invalid);
    }
    if kind == 3 {
        return Ok(Frame { channel, payload: Payload::Body(u64::from(size)), len });
    }
    if size as usize > MAX_LOOKED_AT {
        return Ok(Frame { channel, payload: Payload::Long, len });
    }
    let (Some(mut inner), Some(mark)) = (fields.bytes(size as usize).map(Fields), fields.u8()) else { return Err(Stop::More) };
    if mark != MARK {
        return Err(Stop::Invalid);
    }
    let payload = match kind {
        1 => match (inner.u16(), inner.u16()) {
            (Some(class), Some(method)) => Payload::Method(class, method, inner),
            _ => return Err(Stop::Invalid),
        },
        2 => Payload::Header(inner),
        _ => Payload::Heartbeat,
    };
    Ok(Frame { channel, payload, len })
}
