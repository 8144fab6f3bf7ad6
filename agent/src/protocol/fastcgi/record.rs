//! Records and name-value pairs (`FastCGI` specification 1.0, sections 3.3 and 3.4).

/// Bytes of a record's header.
pub(super) const HEADER: usize = 8;
/// The only version there is.
const VERSION: u8 = 1;

/// Types of records (section 8).
pub(super) mod kind {
    pub(in super::super) const BEGIN_REQUEST: u8 = 1;
    pub(in super::super) const END_REQUEST: u8 = 3;
    pub(in super::super) const PARAMS: u8 = 4;
    pub(in super::super) const STDOUT: u8 = 6;
    pub(in super::super) const STDERR: u8 = 7;
    pub(in super::super) const GET_VALUES: u8 = 9;
    pub(in super::super) const UNKNOWN_TYPE: u8 = 11;
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) kind: u8,
    /// The request that it belongs to; zero if it belongs to none.
    pub(super) id: u16,
    /// Bytes of content.
    pub(super) length: u16,
    /// Bytes behind the content that mean nothing.
    pub(super) padding: u8,
}

impl Record {
    /// Reads a header; `Ok(None)` asks for more bytes, `Err` says that this is none.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, ()> {
        let right = |(at, byte): (usize, &u8)| match at {
            0 => *byte == VERSION,
            1 => (kind::BEGIN_REQUEST..=kind::UNKNOWN_TYPE).contains(byte),
            7 => *byte == 0,
            _ => true,
        };
        if !bytes.iter().take(HEADER).enumerate().all(right) {
            return Err(());
        }
        let Some(&[_, kind, a, b, c, d, padding, _]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
        Ok(Some(Self { kind, id: u16::from_be_bytes([a, b]), length: u16::from_be_bytes([c, d]), padding }))
    }

    /// Bytes of the whole record.
    pub(super) fn whole(self) -> usize {
        HEADER + usize::from(self.length) + usize::from(self.padding)
    }

    /// The content, if all of it is in the bytes that the record begins.
    pub(super) fn content(self, bytes: &[u8]) -> Option<&[u8]> {
        bytes.get(HEADER..HEADER + usize::from(self.length))
    }
}

/// The pairs of a stream of parameters, up to the first that is not whole.
pub(super) fn pairs(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (name, rest) = length(bytes)?;
        let (value, rest) = length(rest)?;
        let (name, rest) = rest.split_at_checked(name)?;
        let (value, rest) = rest.split_at_checked(value)?;
        bytes = rest;
        Some((name, value))
    })
}

/// A length in one byte or four, and what follows.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [first @ 0..=127, rest @ ..] => Some((usize::from(*first), rest)),
        [a, b, c, d, rest @ ..] => Some((u32::from_be_bytes([a & 0x7f, *b, *c, *d]) as usize, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_have_lengths_of_one_byte_or_four() {
        let long = "v".repeat(300);
        let bytes = [&[4, 1][..], b"NAMEx", &[1, 0x80, 0, 1, 44], b"n", long.as_bytes(), &[0, 0], &[9, 9, b'c']].concat();
        let found: Vec<_> = pairs(&bytes).collect();
        assert_eq!(found, [(&b"NAME"[..], &b"x"[..]), (b"n", long.as_bytes()), (b"", b"")]);
    }
}
