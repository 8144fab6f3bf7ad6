//! The shape of a head (RFC 9112 section 2): lines, headers, and where the head ends. Knows no header by name, keeps no bytes.
use crate::protocol::Guess;

/// Bytes of a head that are looked at before it is given out unfinished: what servers accept at most is 8 to 32 KiB, and the first
/// lines hold what a span needs. The rest still decides where the body ends.
pub(super) const ENOUGH: usize = 48 * 1024;
/// Longest method that is taken for one: the longest registered one has 17 letters.
pub(super) const LONGEST_METHOD: usize = 32;

/// How far the bytes of an unfinished head have been searched, so that no byte is searched twice.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scan {
    /// Where the first unfinished line begins.
    line: usize,
    /// No byte between there and here ends a line.
    seen: usize,
}

/// What a search for the end of a head found.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// Not even the start line is complete.
    Nothing,
    /// The start line is complete, the head is not.
    Lines,
    /// So many bytes are complete lines, and that is enough of a head that goes on.
    Enough(usize),
    /// The head has so many bytes, the empty line included.
    End(usize),
    /// The start line is too long.
    TooLong,
}

impl Scan {
    /// Whether the start line is complete.
    pub(super) fn has_start(&self) -> bool {
        self.line > 0
    }

    /// Searches on in `bytes`, which begin with what was searched before.
    pub(super) fn search(&mut self, bytes: &[u8]) -> Found {
        let window = bytes.get(..ENOUGH).unwrap_or(bytes);
        let unseen = self.seen;
        for length in memchr::memchr_iter(b'\n', window.get(unseen..).unwrap_or_default()) {
            let end = unseen + length;
            let empty = window.get(self.line..end).is_some_and(|line| strip_cr(line).is_empty());
            self.line = end + 1;
            self.seen = self.line;
            if empty {
                return Found::End(self.line);
            }
        }
        self.seen = window.len();
        match (self.line, bytes.len() > ENOUGH) {
            (0, false) => Found::Nothing,
            (0, true) => Found::TooLong,
            (_, false) => Found::Lines,
            (line, true) => Found::Enough(line),
        }
    }
}

/// The complete lines of a head, without their ends (a bare LF is one: RFC 9112 section 2.2) and without the last, empty one.
pub(super) fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let (first, used) = line(rest)?;
        rest = rest.get(used..)?;
        Some(first)
    })
    .take_while(|line| !line.is_empty())
}

/// The line at the beginning of `bytes`, without its end, and its length with it.
pub(super) fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((strip_cr(bytes.get(..end)?), end + 1))
}

pub(super) fn strip_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Name and value of a header, both without white space around them.
pub(super) type Field<'a> = (&'a [u8], &'a [u8]);

/// Reads a header line; `None` if it is none, or has control characters.
///
/// The name may have characters that no name should have, as servers pass over such headers too.
pub(super) fn header(line: &[u8]) -> Option<Field<'_>> {
    if has_control(line) {
        return None;
    }
    let (name, value) = line.split_at_checked(line.iter().position(|b| *b == b':')?)?;
    let name = name.trim_ascii();
    (!name.is_empty()).then_some((name, value.strip_prefix(b":")?.trim_ascii()))
}

/// Whether there is a control character other than a tab. Eight bytes are looked at at a time; the last of them may be looked at twice.
fn has_control(line: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const LOW: u64 = ONES * 0x7f;
    let found = |bytes: &[u8; 8]| {
        let word = u64::from_ne_bytes(*bytes);
        let low = word & LOW;
        // The highest bit of a byte says so, and no byte's sum reaches the next one.
        let (printable, no_tab, no_delete) = (low + ONES * 0x60, (low ^ (ONES * 9)) + LOW, (low ^ LOW) + LOW);
        ((!printable & no_tab) | !no_delete) & !word & !LOW
    };
    let (words, _) = line.as_chunks::<8>();
    match line.last_chunk::<8>() {
        Some(last) => words.iter().fold(found(last), |all, word| all | found(word)) != 0,
        None => line.iter().any(|b| b.is_ascii_control() && *b != b'\t'),
    }
}

/// Whether there is neither white space nor a control character; what is not ASCII is tolerated, as servers do.
pub(super) fn is_plain(word: &[u8]) -> bool {
    word.iter().fold(0, |found, b| found | u8::from(*b <= b' ' || *b == 0x7f)) == 0
}

/// A line that continues the value of the header before it (RFC 9112 section 5.2).
pub(super) fn is_folded(line: &[u8]) -> bool {
    matches!(line, [b' ' | b'\t', ..])
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Judges first bytes: `complete` says whether a whole start line is one, `prefix` whether an unfinished one can become one.
pub(super) fn judge(bytes: &[u8], complete: impl Fn(&[u8]) -> bool, prefix: impl Fn(&[u8]) -> bool) -> Guess {
    let window = bytes.get(..ENOUGH).unwrap_or(bytes);
    let Some((start, used)) = line(window) else {
        return if bytes.len() <= ENOUGH && prefix(strip_cr(window)) { Guess::Maybe } else { Guess::No };
    };
    if !complete(start) {
        return Guess::No;
    }
    let rest = window.get(used..).unwrap_or_default();
    match line(rest) {
        Some((next, _)) if next.is_empty() || header(next).is_some() => Guess::Yes,
        None if !has_control(strip_cr(rest)) => Guess::Likely,
        _ => Guess::No,
    }
}

/// Whether `bytes` are the beginning of `HTTP/1.0` or `HTTP/1.1`, and whether they are all of it.
pub(super) fn version(bytes: &[u8]) -> Option<Version> {
    match bytes {
        b"HTTP/1.0" => Some(Version::Whole("1.0")),
        b"HTTP/1.1" => Some(Version::Whole("1.1")),
        _ => b"HTTP/1.".starts_with(bytes).then_some(Version::Begun),
    }
}

/// What [`version`] found.
#[derive(Debug, PartialEq)]
pub(super) enum Version {
    /// A beginning.
    Begun,
    /// A version, as `network.protocol.version` says it.
    Whole(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_control_character_is_found_wherever_it_stands(line in prop::collection::vec(prop_oneof![12 => b' '..=b'~', 1 => any::<u8>()], 0..40)) {
            prop_assert_eq!(has_control(&line), line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
        }
    }

    #[test]
    fn a_head_ends_with_its_first_empty_line() {
        for (bytes, expected) in [
            (&b""[..], Found::Nothing),
            (b"GET / HTTP/1.1\r", Found::Nothing),
            (b"GET / HTTP/1.1\r\n", Found::Lines),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r", Found::Lines),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\n\n", Found::End(27)),
            (b"GET / HTTP/1.1\nHost: a\n\nbody", Found::End(24)),
            (b"GET / HTTP/1.1\r\n\r\n", Found::End(18)),
        ] {
            let mut whole = Scan::default();
            assert_eq!(whole.search(bytes), expected, "{}", bytes.escape_ascii());
            let mut bitwise = Scan::default();
            let found =
                (0..=bytes.len()).map(|end| bitwise.search(&bytes[..end])).find(|found| !matches!(found, Found::Nothing | Found::Lines));
            assert_eq!(found.is_some(), matches!(expected, Found::End(_)), "{}", bytes.escape_ascii());
            assert_eq!(found.unwrap_or(Found::End(0)), if let Found::End(end) = expected { Found::End(end) } else { Found::End(0) });
        }
    }

    #[test]
    fn a_head_that_does_not_end_is_given_out_up_to_its_last_early_line() {
        let mut head = b"GET / HTTP/1.1\r\nCookie: ".to_vec();
        head.resize(ENOUGH, b'x');
        assert_eq!(Scan::default().search(&head), Found::Lines);
        head.push(b'\n');
        assert_eq!(Scan::default().search(&head), Found::Enough(16));
        assert_eq!(Scan::default().search(&vec![b'x'; ENOUGH + 1]), Found::TooLong);
    }
}
