//! The grammar of RESP2 and RESP3: the bytes at an offset become one item, a scalar or the beginning of something larger.
//!
//! Knows nothing of commands or of nesting. Every function looks at a bounded number of bytes.

/// Longest line: status replies, errors, big numbers, inline commands. Real ones are below 1 KiB.
pub(super) const MAX_LINE: usize = 16 * 1024;
/// Longest beginning of an error that is looked at: its prefix, which is one short word.
pub(super) const MAX_PREFIX: usize = 32;
/// Largest length or count. Servers refuse strings above 512 MiB unless configured otherwise; what exceeds this by far is no RESP.
const MAX_LENGTH: u64 = u32::MAX as u64;
/// Digits of [`MAX_LENGTH`].
const MAX_DIGITS: usize = 10;
/// Longest integer or double in text.
const MAX_NUMBER: usize = 64;

/// Why there is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes are the beginning of one.
    More,
    /// The bytes are not RESP.
    Invalid,
}

/// A value and the bytes it took.
pub(super) type Parsed<T> = Result<(T, usize), Stop>;

/// A length or a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// That many.
    Of(u64),
    /// `-1`: RESP2's nil.
    Nil,
    /// `?`: chunks or elements until a terminator.
    Streamed,
}

/// One item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// `+`: its text.
    Status(&'a [u8]),
    /// `-` or `!`: at least its first [`MAX_PREFIX`] + 1 bytes, or all.
    Error(&'a [u8]),
    /// `$-1`, `*-1` or `_`.
    Nil,
    /// A string, number, boolean or double.
    Scalar,
    /// An array, set or map and how many items are in it; `None` until [`Item::End`].
    Aggregate(Option<u64>),
    /// `>`: data that nobody asked for.
    Push(Option<u64>),
    /// `|`: items about the item that follows.
    Attribute(Option<u64>),
    /// `$?`: a string in chunks.
    Chunks,
    /// `;`: a chunk, the last one if it is empty.
    Chunk {
        /// It is the last.
        last: bool,
    },
    /// `.`: the end of a streamed aggregate.
    End,
}

/// The item at the start of `bytes` and its length; a string's length counts bytes that may not be there yet.
pub(super) fn item(bytes: &[u8]) -> Result<(Item<'_>, u64), Stop> {
    let (&kind, rest) = bytes.split_first().ok_or(Stop::More)?;
    let counted = |times: u64| -> Parsed<Option<u64>> {
        match length(rest)? {
            (Length::Of(count), used) => Ok((Some(count * times), used)),
            (Length::Streamed, used) => Ok((None, used)),
            (Length::Nil, _) => Err(Stop::Invalid),
        }
    };
    let mut content = 0;
    let (item, used) = match kind {
        b'$' => match length(rest)? {
            (Length::Of(len), used) => {
                content = len + 2;
                (Item::Scalar, used)
            }
            (Length::Nil, used) => (Item::Nil, used),
            (Length::Streamed, used) => (Item::Chunks, used),
        },
        b'*' => match length(rest)? {
            (Length::Of(count), used) => (Item::Aggregate(Some(count)), used),
            (Length::Nil, used) => (Item::Nil, used),
            (Length::Streamed, used) => (Item::Aggregate(None), used),
        },
        b'+' => line(rest).map(|(text, used)| (Item::Status(text), used))?,
        b'-' => line(rest).map(|(text, used)| (Item::Error(text), used))?,
        b':' => number(rest, MAX_NUMBER, u8::is_ascii_digit)?,
        b',' => number(rest, MAX_NUMBER, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'))?,
        b'(' => number(rest, MAX_LINE, u8::is_ascii_digit)?,
        b'#' => match rest.first().ok_or(Stop::More)? {
            b't' | b'f' => (Item::Scalar, end_of_line(rest, 1)?),
            _ => return Err(Stop::Invalid),
        },
        b'_' => (Item::Nil, end_of_line(rest, 0)?),
        // A verbatim string begins with its format, three characters and a colon.
        b'=' => match length(rest)? {
            (Length::Of(len), used) if len >= 4 => {
                content = len + 2;
                (Item::Scalar, used)
            }
            _ => return Err(Stop::Invalid),
        },
        b'!' => match length(rest)? {
            (Length::Of(len), used) => {
                content = len + 2;
                let text = rest.get(used..).unwrap_or_default();
                let known = len.min(MAX_PREFIX as u64 + 1) as usize;
                (Item::Error(text.get(..known).ok_or(Stop::More)?), used)
            }
            _ => return Err(Stop::Invalid),
        },
        b'~' => counted(1).map(|(count, used)| (Item::Aggregate(count), used))?,
        b'%' => counted(2).map(|(count, used)| (Item::Aggregate(count), used))?,
        b'>' => counted(1).map(|(count, used)| (Item::Push(count), used))?,
        b'|' => counted(2).map(|(count, used)| (Item::Attribute(count), used))?,
        b';' => match length(rest)? {
            (Length::Of(0), used) => (Item::Chunk { last: true }, used),
            (Length::Of(len), used) => {
                content = len + 2;
                (Item::Chunk { last: false }, used)
            }
            _ => return Err(Stop::Invalid),
        },
        b'.' => (Item::End, end_of_line(rest, 0)?),
        _ => return Err(Stop::Invalid),
    };
    Ok((item, 1 + used as u64 + content))
}

/// A length or count and the end of its line. No sign but that of `-1`, and no leading zero.
pub(super) fn length(bytes: &[u8]) -> Parsed<Length> {
    let (length, digits) = match bytes {
        [] | [b'-'] => return Err(Stop::More),
        [b'?', ..] => (Length::Streamed, 1),
        [b'-', b'1', ..] => (Length::Nil, 2),
        _ => {
            let mut value = 0;
            let mut digits = 0;
            while let Some(digit) = bytes.get(digits).filter(|byte| byte.is_ascii_digit() && digits <= MAX_DIGITS) {
                value = value * 10 + u64::from(digit - b'0');
                digits += 1;
            }
            if digits == 0 || value > MAX_LENGTH || (digits > 1 && bytes.first() == Some(&b'0')) {
                return Err(Stop::Invalid);
            }
            (Length::Of(value), digits)
        }
    };
    Ok((length, end_of_line(bytes, digits)?))
}

/// A line of at most [`MAX_LINE`] bytes, without its end.
pub(super) fn line(bytes: &[u8]) -> Parsed<&[u8]> {
    match bytes.iter().take(MAX_LINE + 1).position(|byte| matches!(byte, b'\r' | b'\n')) {
        Some(at) => Ok((bytes.get(..at).unwrap_or_default(), end_of_line(bytes, at)?)),
        None if bytes.len() > MAX_LINE => Err(Stop::Invalid),
        None => Err(Stop::More),
    }
}

/// A line of at most `max` bytes that `allowed` accepts after a sign.
fn number(bytes: &[u8], max: usize, allowed: impl Fn(&u8) -> bool) -> Result<(Item<'_>, usize), Stop> {
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let digits = bytes.iter().skip(sign).take(max).take_while(|byte| allowed(byte)).count();
    if digits == 0 && bytes.len() > sign {
        return Err(Stop::Invalid);
    }
    Ok((Item::Scalar, end_of_line(bytes, sign + digits)?))
}

/// The offset behind the CR LF at `at`.
fn end_of_line(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    match bytes.get(at..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(at + 2),
        [] | [b'\r'] => Err(Stop::More),
        _ => Err(Stop::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_item_and_length() {
        let cases: &[(&str, Item<'_>, u64)] = &[
            ("+OK\r\n", Item::Status(b"OK"), 5),
            ("-ERR no\r\n", Item::Error(b"ERR no"), 9),
            (":-42\r\n", Item::Scalar, 6),
            ("$5\r\n", Item::Scalar, 11),
            ("$0\r\n\r\n", Item::Scalar, 6),
            ("$-1\r\n", Item::Nil, 5),
            ("*-1\r\n", Item::Nil, 5),
            ("_\r\n", Item::Nil, 3),
            ("*3\r\n", Item::Aggregate(Some(3)), 4),
            ("%3\r\n", Item::Aggregate(Some(6)), 4),
            ("~3\r\n", Item::Aggregate(Some(3)), 4),
            ("*?\r\n", Item::Aggregate(None), 4),
            (">2\r\n", Item::Push(Some(2)), 4),
            ("|1\r\n", Item::Attribute(Some(2)), 4),
            ("#t\r\n", Item::Scalar, 4),
            (",-1.5e10\r\n", Item::Scalar, 10),
            (",inf\r\n", Item::Scalar, 6),
            ("(3492890328409238509324850943850943825024385\r\n", Item::Scalar, 46),
            ("=15\r\n", Item::Scalar, 22),
            ("!21\r\nSYNTAX invalid syntax\r\n", Item::Error(b"SYNTAX invalid syntax"), 28),
            ("$?\r\n", Item::Chunks, 4),
            (";4\r\n", Item::Chunk { last: false }, 10),
            (";0\r\n", Item::Chunk { last: true }, 4),
            (".\r\n", Item::End, 3),
            ("$4294967295\r\n", Item::Scalar, 4_294_967_310),
        ];
        for (text, expected, used) in cases {
            assert_eq!(item(text.as_bytes()), Ok((*expected, *used)), "{text:?}");
            let header = text.find("\r\n").unwrap_or_default() + 2;
            for cut in 0..header {
                assert_eq!(item(&text.as_bytes()[..cut]), Err(Stop::More), "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn lengths_that_no_server_sends_are_invalid() {
        for text in [
            "$9223372036854775807",
            "$4294967296",
            "$-2\r",
            "$+1",
            "$01",
            "$00",
            "$1x",
            "$ 1",
            "*-10",
            "*1\n",
            "$\r",
            "~-1\r\n",
            "=3\r\n",
            ":\r",
            ":1.5\r",
            ":--1",
            "#x",
            "_x",
            "+a\nb",
            "x",
            "\r\n",
            "(12a",
            ";?\r\n",
            ">-1\r\n",
            "!?\r\n",
        ] {
            assert_eq!(item(text.as_bytes()), Err(Stop::Invalid), "{text:?}");
        }
    }

    #[test]
    fn lines_are_bounded() {
        assert_eq!(line(&vec![b'a'; MAX_LINE]), Err(Stop::More));
        assert_eq!(line(&vec![b'a'; MAX_LINE + 1]), Err(Stop::Invalid));
    }
}
