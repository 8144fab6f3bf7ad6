//! Where a message ends (RFC 9112 section 6): its framing headers become a body, and a body the steps over it. Lengths are numbers
//! that bytes are counted with; nothing is allocated or kept for them.
use super::head::{Field, header, is_folded, line, strip_cr};
use crate::protocol::{Step, Take};

/// Longest body that a number in a message can announce: no longer one exists, and offsets cannot overflow.
const LONGEST_BODY: u64 = 1 << 60;
/// Longest line of a chunk's size with its extensions, of a trailer, or piece of a header that is passed over: servers accept less.
pub(super) const LONGEST_LINE: usize = 8 * 1024;

/// What the headers of a message say about its length.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Framing {
    length: Option<u64>,
    coded: bool,
    chunked: bool,
    /// The last line was one of these headers.
    just_read: bool,
}

/// How a message goes on behind its head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Body {
    /// So many bytes, maybe none.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Everything until the connection ends.
    UntilClose,
}

impl Framing {
    /// Reads a header line and gives its name and value; `Ok(None)` for a continuation. `Err` if no peer can agree on the message's end.
    pub(super) fn line<'a>(&mut self, line: &'a [u8]) -> Result<Option<Field<'a>>, ()> {
        if is_folded(line) {
            return if self.just_read { Err(()) } else { Ok(None) };
        }
        let (name, value) = header(line).ok_or(())?;
        self.just_read = true;
        if name.eq_ignore_ascii_case(b"content-length") {
            for part in value.split(|b| *b == b',') {
                let length = number(part.trim_ascii(), 10).ok_or(())?;
                if self.length.replace(length).is_some_and(|other| other != length) {
                    return Err(());
                }
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            for coding in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                // An old name for "not coded" that HTTP/1.1 first had.
                if !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity") {
                    self.coded = true;
                    self.chunked = coding.eq_ignore_ascii_case(b"chunked");
                }
            }
        } else {
            self.just_read = false;
            return Ok(Some((name, value)));
        }
        // With white space before its colon it is one header to some and another to others: request smuggling.
        if line.get(name.len()) == Some(&b':') { Ok(Some((name, value))) } else { Err(()) }
    }

    /// Whether this beginning of a line may be a framing header's.
    pub(super) fn concerns(beginning: &[u8]) -> bool {
        let name = beginning.split(|b| *b == b':').next().unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
    }

    /// The body of a request: none unless one was announced. `None` if its end cannot be found.
    pub(super) fn of_request(&self) -> Option<Body> {
        match (self.coded, self.chunked) {
            (true, true) => Some(Body::Chunked),
            (true, false) => None,
            (false, _) => Some(Body::Length(self.length.unwrap_or(0))),
        }
    }

    /// The body of a response that may have one.
    pub(super) fn of_response(&self) -> Body {
        match (self.coded, self.chunked, self.length) {
            (true, true, _) => Body::Chunked,
            (false, _, Some(length)) => Body::Length(length),
            _ => Body::UntilClose,
        }
    }
}

/// A number that is all digits and not too long.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for digit in digits {
        value = value.checked_mul(u64::from(radix))?.checked_add(u64::from(char::from(*digit).to_digit(radix)?))?;
    }
    (value <= LONGEST_BODY).then_some(value)
}

/// A place in a chunked body (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Chunks {
    /// At a chunk's size.
    Size,
    /// Behind a chunk's data.
    AfterData,
    /// In the trailers.
    Trailers,
}

impl Chunks {
    /// Steps on; a step with `end` leaves the body. Gives with it how many of its bytes, the last ones, are a chunk's data.
    pub(super) fn step(&mut self, bytes: &[u8]) -> (Step, u64) {
        let mut data = 0;
        (self.line(bytes, &mut data), data)
    }

    fn line(&mut self, bytes: &[u8], data: &mut u64) -> Step {
        let window = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
        let more = || if bytes.len() < LONGEST_LINE { Step::More } else { Step::Invalid };
        let skipped = match (*self, window) {
            (Self::AfterData, [b'\r', b'\n', ..]) => 2,
            (Self::AfterData, [b'\n', ..]) => 1,
            (Self::AfterData, [] | [b'\r']) => return Step::More,
            (Self::AfterData, _) => return Step::Invalid,
            _ => 0,
        };
        let rest = window.get(skipped..).unwrap_or_default();
        let Some((text, used)) = line(rest) else {
            // Not a number, so not a size, whatever follows.
            let plausible = *self == Self::Trailers || strip_cr(rest).first().is_none_or(u8::is_ascii_hexdigit);
            return if plausible { more() } else { Step::Invalid };
        };
        let used = (skipped + used) as u64;
        if *self == Self::Trailers {
            return if text.is_empty() || is_folded(text) || header(text).is_some() {
                Step::Take(Take { used, end: text.is_empty(), ..Take::default() })
            } else {
                Step::Invalid
            };
        }
        let size = text.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
        let Some(size) = number(size, 16) else { return Step::Invalid };
        *self = if size == 0 { Self::Trailers } else { Self::AfterData };
        *data = size;
        Step::Take(Take { used: used + size, ..Take::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(lines: &[&str]) -> Result<Framing, ()> {
        let mut framing = Framing::default();
        for line in lines {
            framing.line(line.as_bytes())?;
        }
        Ok(framing)
    }

    #[test]
    fn a_body_has_the_length_that_every_header_agrees_on() {
        let invalid = None;
        for (lines, expected) in [
            (&[][..], Some((Some(Body::Length(0)), Body::UntilClose))),
            (&["Content-Length: 7"], Some((Some(Body::Length(7)), Body::Length(7)))),
            (&["Content-Length: 7", "content-length:7"], Some((Some(Body::Length(7)), Body::Length(7)))),
            (&["Content-Length: 7, 7"], Some((Some(Body::Length(7)), Body::Length(7)))),
            (&["Content-Length: 7", "Content-Length: 8"], invalid),
            (&["Content-Length: 7, 8"], invalid),
            (&["Content-Length: "], invalid),
            (&["Content-Length: -1"], invalid),
            (&["Content-Length: +1"], invalid),
            (&["Content-Length: 0x10"], invalid),
            (&["Content-Length : 7"], invalid),
            (&["Content-Length: 7", " 8"], invalid),
            (&["Content-Length: 18446744073709551615"], invalid),
            (&["Content-Length: 18446744073709551623"], invalid),
            (&["Content-Length: 99999999999999999999999999"], invalid),
            (&["X: 1", "\t2", "Content-Length: 7"], Some((Some(Body::Length(7)), Body::Length(7)))),
            (&["Transfer-Encoding: chunked"], Some((Some(Body::Chunked), Body::Chunked))),
            (&["Transfer-Encoding: gzip, Chunked"], Some((Some(Body::Chunked), Body::Chunked))),
            (&["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], Some((Some(Body::Chunked), Body::Chunked))),
            (&["Transfer-Encoding: chunked", "Content-Length: 7"], Some((Some(Body::Chunked), Body::Chunked))),
            (&["Transfer-Encoding: chunked, gzip"], Some((None, Body::UntilClose))),
            (&["Transfer-Encoding: xchunked", "Content-Length: 7"], Some((None, Body::UntilClose))),
            (&["Transfer-Encoding: identity", "Content-Length: 7"], Some((Some(Body::Length(7)), Body::Length(7)))),
            (&["Transfer-Encoding : chunked"], invalid),
            (&["no colon"], invalid),
            (&[": no name"], invalid),
            (&["a: \0"], invalid),
        ] {
            let found = framing(lines).ok().map(|framing| (framing.of_request(), framing.of_response()));
            assert_eq!(found, expected, "{lines:?}");
        }
    }

    #[test]
    fn chunk_sizes_are_numbers_and_nothing_else() {
        let take = |used| Step::Take(Take { used, ..Take::default() });
        let long = [&b"1;"[..], &[b'x'; LONGEST_LINE]].concat();
        for (place, bytes, expected) in [
            (Chunks::Size, &b"5\r\nhello\r\n"[..], take(8)),
            (Chunks::Size, b"1F;name=\"a b\" ;x\r\n", take(18 + 31)),
            (Chunks::Size, b"a \n", take(3 + 10)),
            (Chunks::Size, b"0\r\n", take(3)),
            (Chunks::Size, b"5\r", Step::More),
            (Chunks::Size, b"", Step::More),
            (Chunks::Size, b"xyz", Step::Invalid),
            (Chunks::Size, b"\r\n", Step::Invalid),
            (Chunks::Size, b"-5\r\n", Step::Invalid),
            (Chunks::Size, b"ffffffffffffffff\r\n", Step::Invalid),
            (Chunks::Size, b"10000000000000005\r\n", Step::Invalid),
            (Chunks::Size, &long, Step::Invalid),
            (Chunks::AfterData, b"\r\n5\r\n", take(5 + 5)),
            (Chunks::AfterData, b"\n5\n", take(3 + 5)),
            (Chunks::AfterData, b"\r", Step::More),
            (Chunks::AfterData, b"x", Step::Invalid),
            (Chunks::Trailers, b"Expires: never\r\n", take(16)),
            (Chunks::Trailers, b"\r\n", Step::Take(Take { used: 2, end: true, ..Take::default() })),
            (Chunks::Trailers, b"nonsense\r\n", Step::Invalid),
        ] {
            assert_eq!(place.clone().step(bytes).0, expected, "{place:?} {}", bytes.escape_ascii());
        }
    }
}
