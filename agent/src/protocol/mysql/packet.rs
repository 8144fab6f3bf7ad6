//! Packets: four bytes, then the payload; and the numbers and texts in a payload.

/// Length of a packet's header.
pub(super) const HEADER: usize = 4;
/// A payload of this length goes on in the next packet.
pub(super) const MAX_PAYLOAD: u32 = 0xff_ffff;

/// A packet, as far as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// Its number in the exchange of a command and its answer.
    pub(super) seq: u8,
    /// Length of the payload.
    pub(super) len: u32,
    /// Of the payload, what is there.
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The packet at the start of `bytes`, if its header is there.
    pub(super) fn at(bytes: &'a [u8]) -> Option<Self> {
        let (&[a, b, c, seq], rest) = bytes.split_first_chunk::<HEADER>()?;
        let len = u32::from_le_bytes([a, b, c, 0]);
        Some(Self { seq, len, payload: rest.get(..len as usize).unwrap_or(rest) })
    }

    /// Bytes of the packet.
    pub(super) fn size(&self) -> u64 {
        HEADER as u64 + u64::from(self.len)
    }

    /// Whether the payload is there, as far as its first `most` bytes.
    pub(super) fn has(&self, most: usize) -> bool {
        self.payload.len() >= most.min(self.len as usize)
    }

    /// Whether the payload goes on in the next packet.
    pub(super) fn continues(&self) -> bool {
        self.len == MAX_PAYLOAD
    }

    /// The payload's first byte.
    pub(super) fn first(&self) -> Option<u8> {
        self.payload.first().copied()
    }
}

/// Reads a payload from front to back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next byte.
    pub(super) fn u8(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// The next two bytes.
    pub(super) fn u16(&mut self) -> Option<u16> {
        let (&bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_le_bytes(bytes))
    }

    /// The next four bytes.
    pub(super) fn u32(&mut self) -> Option<u32> {
        let (&bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(bytes))
    }

    /// A length-encoded integer.
    pub(super) fn number(&mut self) -> Option<u64> {
        let width = match self.u8()? {
            small @ ..=0xfa => return Some(u64::from(small)),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return None,
        };
        Some(self.take(width)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A string behind its length.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(len)
    }

    /// A string that ends with a zero, without it.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.0)?;
        let text = self.take(end as u64)?;
        self.u8()?;
        Some(text)
    }
}
