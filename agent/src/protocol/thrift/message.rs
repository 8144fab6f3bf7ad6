//! The beginning of a message (Apache Thrift's protocol specifications of the binary and the compact protocol): which form it has, what it
//! is, and what the first fields behind it say of how a call ended.

/// Longest name of a method that is taken for one.
const LONGEST_NAME: usize = 255;
/// Longest frame: what servers accept at most by default is 16 MiB, by configuration much more, and no more than this.
const LONGEST_FRAME: u32 = 1 << 28;
/// Bytes behind the beginning that are looked at for the kind of an exception, which comes behind a text.
pub(super) const LONGEST_EXCEPTION: usize = 4 * 1024;
/// `STOP`: no more fields. The same in both protocols.
const STOP: u8 = 0;

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// More bytes.
    More,
    /// Nothing: this is no message.
    Invalid,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Binary, with a version.
    Strict,
    /// Binary, as it was before there were versions.
    Old,
    Compact,
}

/// How messages are written, and whether their lengths come before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) framed: bool,
    pub(super) encoding: Encoding,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Reply,
    Exception,
    OneWay,
}

/// The beginning of a message.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) form: Form,
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    pub(super) sequence: u32,
    /// Bytes of the beginning, the frame's length included.
    pub(super) used: usize,
    /// Bytes of the whole message, where its length comes before it.
    pub(super) whole: Option<u64>,
}

/// Bytes that are read one after the other.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(count).ok_or(Stop::Invalid)?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        self.take(N)?.first_chunk().copied().ok_or(Stop::More)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stop> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn int(&mut self) -> Result<u32, Stop> {
        self.array().map(u32::from_be_bytes)
    }

    /// A number in groups of seven bits, the lowest first.
    pub(super) fn varint(&mut self) -> Result<u64, Stop> {
        let mut value = 0;
        for group in 0..10 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * group);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Stop::Invalid)
    }

    /// A name, of which what is there must look like one.
    fn name(&mut self, length: u64) -> Result<&'a str, Stop> {
        let length = usize::try_from(length).ok().filter(|length| (1..=LONGEST_NAME).contains(length)).ok_or(Stop::Invalid)?;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let here = rest.get(..length).unwrap_or(rest);
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:$-/".contains(byte);
        if !here.iter().all(plain) || here.first().is_some_and(u8::is_ascii_digit) {
            return Err(Stop::Invalid);
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| Stop::Invalid)
    }
}

impl<'a> Message<'a> {
    /// Reads the beginning of a message.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Stop> {
        let mut cursor = Cursor::new(bytes);
        let first = *bytes.first().ok_or(Stop::More)?;
        let length = match first {
            0x80 | 0x82 => None,
            _ => Some(cursor.int()?),
        };
        // Where no version follows, what was read is the length of an old message's name.
        let inner = *bytes.get(cursor.at()).ok_or(Stop::More)?;
        let (framed, encoding) = match (length, inner) {
            (_, 0x80) => (length.is_some(), Encoding::Strict),
            (_, 0x82) => (length.is_some(), Encoding::Compact),
            (Some(_), 0) => (true, Encoding::Old),
            _ => {
                cursor = Cursor::new(bytes);
                (false, Encoding::Old)
            }
        };
        if framed && length.is_some_and(|length| length > LONGEST_FRAME) {
            return Err(Stop::Invalid);
        }
        let (kind, name, sequence) = match encoding {
            Encoding::Strict => {
                let [a, b, c, kind] = cursor.array()?;
                if [a, b, c] != [0x80, 1, 0] {
                    return Err(Stop::Invalid);
                }
                let kind = of_number(kind)?;
                let length = cursor.int()?;
                (kind, cursor.name(length.into())?, cursor.int()?)
            }
            Encoding::Old => {
                let length = cursor.int()?;
                let name = cursor.name(length.into())?;
                (of_number(cursor.byte()?)?, name, cursor.int()?)
            }
            Encoding::Compact => {
                let [_, kind] = cursor.array()?;
                if kind & 0x1f != 1 {
                    return Err(Stop::Invalid);
                }
                let sequence = u32::try_from(cursor.varint()?).map_err(|_| Stop::Invalid)?;
                let length = cursor.varint()?;
                (of_number(kind >> 5)?, cursor.name(length)?, sequence)
            }
        };
        let whole = length.filter(|_| framed).map(|length| u64::from(length) + 4);
        if whole.is_some_and(|whole| whole <= cursor.at() as u64) {
            return Err(Stop::Invalid);
        }
        Ok(Self { form: Form { framed, encoding }, kind, name, sequence, used: cursor.at(), whole })
    }
}

fn of_number(kind: u8) -> Result<Kind, Stop> {
    Ok(match kind {
        1 => Kind::Call,
        2 => Kind::Reply,
        3 => Kind::Exception,
        4 => Kind::OneWay,
        _ => return Err(Stop::Invalid),
    })
}

/// The number of the field that a reply's result has: zero for a value or none, otherwise the exception of that number.
pub(super) fn result(encoding: Encoding, body: &[u8]) -> Result<i16, Stop> {
    Ok(field(encoding, &mut Cursor::new(body))?.map_or(0, |(_, id)| id))
}

/// The number that a `TApplicationException` has for what went wrong; `None` if it has none.
pub(super) fn exception(encoding: Encoding, body: &[u8]) -> Result<Option<u32>, Stop> {
    let mut cursor = Cursor::new(body);
    // A text and a number, in any order.
    for _ in 0..2 {
        match (encoding, field(encoding, &mut cursor)?) {
            (Encoding::Compact, Some((5, _))) => {
                let zigzag = cursor.varint()?;
                return Ok(u32::try_from(zigzag >> 1).ok().filter(|_| zigzag & 1 == 0));
            }
            (Encoding::Compact, Some((8, _))) => {
                let length = cursor.varint()?;
                cursor.take(usize::try_from(length).map_err(|_| Stop::Invalid)?)?;
            }
            (Encoding::Strict | Encoding::Old, Some((8, _))) => return cursor.int().map(Some),
            (Encoding::Strict | Encoding::Old, Some((11, _))) => {
                let length = cursor.int()?;
                cursor.take(length as usize)?;
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Type and number of a field, numbers being counted from zero; `None` if there are no more.
fn field(encoding: Encoding, cursor: &mut Cursor<'_>) -> Result<Option<(u8, i16)>, Stop> {
    let kind = cursor.byte()?;
    if kind == STOP {
        return Ok(None);
    }
    if encoding == Encoding::Compact {
        let id = match kind >> 4 {
            0 => {
                let zigzag = cursor.varint()?;
                i16::try_from(zigzag >> 1).map_err(|_| Stop::Invalid)?
            }
            delta => i16::from(delta),
        };
        return Ok(Some((kind & 0x0f, id)));
    }
    let [a, b] = cursor.array()?;
    Ok(Some((kind, i16::from_be_bytes([a, b]))))
}
