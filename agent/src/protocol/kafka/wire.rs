//! The primitive types of Kafka's messages, in both encodings (the protocol guide, "Protocol Primitive Types"; KIP-482 for the compact
//! ones): a slice that may be cut becomes numbers and slices of it. Every length in it is a number until bytes prove it.

/// A place in a message. Whatever is not there, or cannot be, is `None`; what was read before stays read.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Strings and arrays are compact, and tagged fields stand behind every structure.
    flexible: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8], flexible: bool) -> Self {
        Self { rest, flexible }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn i8(&mut self) -> Option<i8> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn uuid(&mut self) -> Option<u128> {
        self.array().map(u128::from_be_bytes)
    }

    /// Base-128, the lowest bits first; `None` beyond 64 bits.
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.i8()? as u8;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The same, zigzag: what records are made of.
    pub(super) fn signed(&mut self) -> Option<i64> {
        self.unsigned().map(|value| (value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A length; that of something absent is zero.
    fn length(&mut self, fixed: impl FnOnce(&mut Self) -> Option<i64>) -> Option<u64> {
        if self.flexible {
            return self.unsigned().map(|length| length.saturating_sub(1));
        }
        u64::try_from(fixed(self).map(|length| if length == -1 { 0 } else { length })?).ok()
    }

    /// How many elements follow; those of an absent array are none.
    pub(super) fn count(&mut self) -> Option<u64> {
        self.length(|reader| reader.i32().map(i64::from))
    }

    /// A string; an absent one is empty.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.length(|reader| reader.i16().map(i64::from))?;
        self.take(usize::try_from(length).ok()?)
    }

    /// Length of the bytes or records that follow, of which some may not be there.
    pub(super) fn bytes_length(&mut self) -> Option<u64> {
        self.length(|reader| reader.i32().map(i64::from))
    }

    /// Steps over the fields that a structure of a flexible version may have besides.
    pub(super) fn tags(&mut self) -> Option<()> {
        if self.flexible {
            for _ in 0..self.unsigned()? {
                self.tag()?;
            }
        }
        Some(())
    }

    /// A tagged field: its number and its bytes.
    pub(super) fn tag(&mut self) -> Option<(u64, &'a [u8])> {
        let number = self.unsigned()?;
        let length = usize::try_from(self.unsigned()?).ok()?;
        Some((number, self.take(length)?))
    }
}

/// The bytes as text, if they are one of at most `most` bytes, without control characters.
pub(super) fn text(bytes: &[u8], most: usize) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)).then_some(text)
}

/// A topic's name: letters, digits, dots, underscores and hyphens, at most 249 of them, as a broker demands.
pub(super) fn topic(bytes: &[u8]) -> Option<&str> {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    std::str::from_utf8(bytes).ok().filter(|_| (1..=249).contains(&bytes.len()) && bytes.iter().all(valid))
}
