//! Frames of HTTP/2 (RFC 9113 sections 4 and 6): nine bytes become a header, and how much they can be one. Looks at no payload but at
//! the shape of it.
use crate::protocol::Side;

/// What a client says first (section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes before each payload.
pub(super) const HEADER: usize = 9;
/// Longest header block, with the headers of its frames: what servers accept at most is 8 to 32 KiB.
pub(super) const LONGEST_BLOCK: usize = 64 * 1024;
/// Frames of a header block: enough for the longest in pieces of 1 KiB. More are an attack.
const MOST_FRAMES: usize = 64;
/// Longest payload that may be sent before anybody has allowed more (section 4.2), and the longest that is believed of bytes of which
/// it is not certain that they are a frame.
const USUAL: u32 = 16 * 1024;
/// Streams that may lie between one that was seen and one that is believed, for the same reason.
const STREAMS_AHEAD: u32 = 20_000;

/// Types of frames.
pub(super) mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(super) mod flag {
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 32;
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    /// Bytes of the payload.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// The bit that must not be set, and is ignored.
    reserved: bool,
}

impl Frame {
    /// Reads the header at the beginning of `bytes`, if it is whole.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEADER>()?;
        let stream = u32::from_be_bytes(stream);
        Some(Self { length: u32::from_be_bytes([0, a, b, c]), kind, flags, stream: stream & 0x7fff_ffff, reserved: stream >> 31 != 0 })
    }

    /// Bytes of header and payload.
    pub(super) fn whole(&self) -> u64 {
        HEADER as u64 + u64::from(self.length)
    }

    pub(super) fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The part of a header block in a `HEADERS` or `PUSH_PROMISE` frame that `bytes` begin with: without padding and fixed fields.
    pub(super) fn fragment<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut content = bytes.get(HEADER..HEADER + self.length as usize)?;
        let mut padding = 0;
        if self.is(flag::PADDED) {
            let (first, rest) = content.split_first()?;
            (padding, content) = (usize::from(*first), rest);
        }
        let fixed = match self.kind {
            kind::PUSH_PROMISE => 4,
            _ if self.is(flag::PRIORITY) => 5,
            _ => 0,
        };
        content = content.get(fixed..)?;
        content.get(..content.len().checked_sub(padding)?)
    }

    /// Whether a peer would accept it: a known type has its length and its kind of stream. Types that nobody knows are passed over.
    pub(super) fn is_valid(&self) -> bool {
        match self.kind {
            kind::DATA | kind::HEADERS | kind::CONTINUATION => self.stream != 0,
            kind::PUSH_PROMISE => self.stream != 0 && self.length >= 4,
            kind::PRIORITY => self.stream != 0 && self.length == 5,
            kind::RST_STREAM => self.stream != 0 && self.length == 4,
            kind::SETTINGS => self.stream == 0 && self.length.is_multiple_of(6) && (self.length == 0 || !self.is(flag::ACK)),
            kind::PING => self.stream == 0 && self.length == 8,
            kind::GOAWAY => self.stream == 0 && self.length >= 8,
            kind::WINDOW_UPDATE => self.length == 4,
            _ => true,
        }
    }

    /// Whether bytes found anywhere are one: valid, of a type that everybody sends, with no flag but its own, and usual in its length.
    pub(super) fn is_likely(&self, from: Side) -> bool {
        let flags = match self.kind {
            kind::DATA => flag::END_STREAM | flag::PADDED,
            kind::HEADERS => flag::END_STREAM | flag::END_HEADERS | flag::PADDED | flag::PRIORITY,
            kind::SETTINGS | kind::PING => flag::ACK,
            kind::PUSH_PROMISE if from == Side::Server => flag::END_HEADERS | flag::PADDED,
            kind::PRIORITY | kind::RST_STREAM | kind::GOAWAY | kind::WINDOW_UPDATE => 0,
            _ => return false,
        };
        // Zeros with a number at their end are common in any data.
        let empty = self.length == 0 && self.kind != kind::SETTINGS && !(self.kind == kind::DATA && self.is(flag::END_STREAM));
        self.is_valid() && self.flags & !flags == 0 && !self.reserved && self.length <= USUAL && !empty
    }

    /// The same where the newest stream is known, if any is: zero says that none is.
    pub(super) fn fits(&self, from: Side, newest: u32) -> bool {
        let possible = newest == 0 || self.stream <= newest.saturating_add(STREAMS_AHEAD);
        self.is_likely(from) && (self.stream == 0 || self.stream % 2 == 1) && possible
    }
}

/// How many bytes a header block takes with the headers of its frames.
#[derive(Debug, PartialEq)]
pub(super) enum BlockLength {
    /// So many, and all are here.
    Known(usize),
    /// That cannot be said yet.
    More,
    /// The frames contradict each other, or are more than anybody accepts.
    Invalid,
}

/// Looks for the end of the block that `bytes` begin with: no other frame may come between (section 6.10).
pub(super) fn block_length(first: &Frame, bytes: &[u8]) -> BlockLength {
    let (mut frame, mut used, mut frames) = (*first, 0, 0);
    loop {
        frames += 1;
        used += HEADER + frame.length as usize;
        if used > LONGEST_BLOCK || frames > MOST_FRAMES {
            return BlockLength::Invalid;
        }
        if frame.is(flag::END_HEADERS) {
            return if used <= bytes.len() { BlockLength::Known(used) } else { BlockLength::More };
        }
        let Some(next) = bytes.get(used..).and_then(Frame::read) else { return BlockLength::More };
        if next.kind != kind::CONTINUATION || next.stream != first.stream {
            return BlockLength::Invalid;
        }
        frame = next;
    }
}
