//! Hessian 2.0 (the draft "Hessian 2.0 Serialization Protocol" of Caucho, as Dubbo's own library writes it): reads strings, numbers and the
//! names of classes from the front of a slice, and steps over everything else.
//!
//! A length in the bytes is a number until bytes prove it, and values within values are counted, not called: nothing recurses.

/// Values within values that are followed: objects of programs are not deeper, those of attackers can be.
const DEEPEST: usize = 64;
/// Classes that one message may define: more is no call.
const MOST_CLASSES: usize = 256;
/// Longest text that is given: a class with its package, a trace state.
const LONGEST_TEXT: usize = 1024;

/// A place in a message.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Of each class that was defined, how many fields an object of it has.
    classes: Vec<u32>,
}

/// Values that follow one that contains them.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// So many.
    Count(u32),
    /// Until an end is marked.
    Marked,
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest, classes: Vec::new() }
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn short(&mut self) -> Option<usize> {
        let bytes = self.rest.first_chunk::<2>()?;
        self.take(2)?;
        Some(usize::from(u16::from_be_bytes(*bytes)))
    }

    /// A string in one piece; `None` if it is something else, or longer than any that is asked for.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        let chars = match self.byte()? {
            short @ 0..=0x1f => usize::from(short),
            long @ 0x30..=0x33 => usize::from(long - 0x30) << 8 | usize::from(self.byte()?),
            b'S' => self.short()?,
            _ => return None,
        };
        let text = self.chars(chars)?;
        std::str::from_utf8(text).ok().filter(|text| text.len() <= LONGEST_TEXT)
    }

    /// So many characters: UTF-8 of each half of what Java has in two.
    fn chars(&mut self, chars: usize) -> Option<&'a [u8]> {
        let text = self.rest;
        for _ in 0..chars {
            self.take(match self.rest.first()? {
                0..=0x7f => 1,
                0x80..=0xdf => 2,
                _ => 3,
            })?;
        }
        text.get(..text.len() - self.rest.len())
    }

    /// A number of 32 bits.
    pub(super) fn int(&mut self) -> Option<i32> {
        Some(match self.byte()? {
            one @ 0x80..=0xbf => i32::from(one) - 0x90,
            two @ 0xc0..=0xcf => (i32::from(two) - 0xc8) << 8 | i32::from(self.byte()?),
            three @ 0xd0..=0xd7 => (i32::from(three) - 0xd4) << 16 | self.short()? as i32,
            b'I' => i32::from_be_bytes(*self.take(4)?.first_chunk()?),
            _ => return None,
        })
    }

    fn count(&mut self) -> Option<u32> {
        u32::try_from(self.int()?).ok()
    }

    /// The name of a type, or the number of one that was named before.
    fn kind(&mut self) -> Option<()> {
        match self.rest.first()? {
            0x80..=0xd7 | b'I' => self.int().map(|_| ()),
            _ => self.string().map(|_| ()),
        }
    }

    /// The definition of a class, behind its mark: its name.
    fn class(&mut self) -> Option<&'a str> {
        let name = self.string()?;
        let fields = self.count()?;
        for _ in 0..fields {
            self.string()?;
        }
        if self.classes.len() >= MOST_CLASSES {
            return None;
        }
        self.classes.push(fields);
        Some(name)
    }

    /// The name of the class of the object that follows, if it is the first of its class.
    pub(super) fn class_of_object(&mut self) -> Option<&'a str> {
        if self.byte()? == b'C' { self.class() } else { None }
    }

    /// Steps over one value, whatever is in it.
    pub(super) fn skip(&mut self) -> Option<()> {
        let mut open = vec![Open::Count(1)];
        while let Some(top) = open.last_mut() {
            match top {
                Open::Count(0) => {
                    open.pop();
                    continue;
                }
                Open::Count(left) => *left -= 1,
                Open::Marked if self.rest.first() == Some(&b'Z') => {
                    self.byte()?;
                    open.pop();
                    continue;
                }
                Open::Marked => {}
            }
            if let Some(inner) = self.value()? {
                if open.len() >= DEEPEST {
                    return None;
                }
                open.push(inner);
            }
        }
        Some(())
    }

    /// Steps over the beginning of a value; gives what is in it.
    #[expect(clippy::option_option, reason = "nothing may be in it, or it may not be there")]
    fn value(&mut self) -> Option<Option<Open>> {
        let mut inner = None;
        match self.byte()? {
            short @ 0..=0x1f => {
                self.chars(usize::from(short))?;
            }
            short @ 0x20..=0x2f => {
                self.take(usize::from(short - 0x20))?;
            }
            long @ 0x30..=0x33 => {
                let chars = usize::from(long - 0x30) << 8 | usize::from(self.byte()?);
                self.chars(chars)?;
            }
            long @ 0x34..=0x37 => {
                let length = usize::from(long - 0x34) << 8 | usize::from(self.byte()?);
                self.take(length)?;
            }
            // A piece of a string or of bytes, behind which another one comes: the next value is the rest.
            piece @ (b'R' | b'S' | b'A' | b'B') => {
                let length = self.short()?;
                if matches!(piece, b'R' | b'S') {
                    self.chars(length)?
                } else {
                    self.take(length)?
                };
                inner = matches!(piece, b'R' | b'A').then_some(Open::Count(1));
            }
            b'C' => {
                self.class()?;
                // The object itself.
                inner = Some(Open::Count(1));
            }
            b'O' => {
                let class = usize::try_from(self.int()?).ok()?;
                inner = Some(Open::Count(*self.classes.get(class)?));
            }
            direct @ 0x60..=0x6f => inner = Some(Open::Count(*self.classes.get(usize::from(direct - 0x60))?)),
            b'H' | b'W' => inner = Some(Open::Marked),
            b'M' | b'U' => {
                self.kind()?;
                inner = Some(Open::Marked);
            }
            b'V' => {
                self.kind()?;
                inner = Some(Open::Count(self.count()?));
            }
            b'X' => inner = Some(Open::Count(self.count()?)),
            direct @ 0x70..=0x77 => {
                self.kind()?;
                inner = Some(Open::Count(u32::from(direct - 0x70)));
            }
            direct @ 0x78..=0x7f => inner = Some(Open::Count(u32::from(direct - 0x78))),
            b'Q' => {
                self.int()?;
            }
            b'D' | b'J' | b'L' => {
                self.take(8)?;
            }
            b'I' | b'K' | b'Y' | 0x5f => {
                self.take(4)?;
            }
            0x38..=0x3f | 0xd0..=0xd7 | 0x5e => {
                self.take(2)?;
            }
            0xc0..=0xcf | 0xf0..=0xff | 0x5d => {
                self.take(1)?;
            }
            b'N' | b'T' | b'F' | 0x5b | 0x5c | 0x80..=0xbf | 0xd8..=0xef => {}
            _ => return None,
        }
        Some(inner)
    }

    /// Texts under texts in a map; other values are stepped over.
    pub(super) fn texts(&mut self, mut each: impl FnMut(&'a str, &'a str)) -> Option<()> {
        match self.byte()? {
            b'H' => {}
            b'M' => self.kind()?,
            _ => return None,
        }
        while *self.rest.first()? != b'Z' {
            let key = self.string()?;
            let before = self.rest;
            if let Some(value) = self.string() {
                each(key, value);
            } else {
                self.rest = before;
                self.skip()?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_stepped_over() {
        let long = [&[b'S', 0, 40][..], &[b'x'; 40]].concat();
        for value in [
            &b"N"[..],
            b"T",
            b"\x90",
            b"\xc8\x01",
            b"\xd4\0\x01",
            b"I\0\0\0\x01",
            b"\xe0",
            b"\xf8\x01",
            b"\x3c\0\x01",
            b"Y\0\0\0\x01",
            b"L\0\0\0\0\0\0\0\x01",
            b"\x5b",
            b"\x5d\x01",
            b"\x5e\0\x01",
            b"\x5f\0\0\0\x01",
            b"D\0\0\0\0\0\0\0\x01",
            b"J\0\0\0\0\0\0\0\x01",
            b"K\0\0\0\x01",
            "\u{3}a\u{e9}\u{20ac}".as_bytes(),
            b"\x30\x02hi",
            &long,
            b"R\0\x02hi\x01!",
            b"\x22\x01\x02",
            b"\x34\x01\xff",
            b"A\0\x01\xffB\0\x01\xff",
            b"H\x01a\x90\x01b\x91Z",
            b"M\x01t\x01aW\x90\x91ZZ",
            b"U\x01t\x90Z",
            b"V\x04[int\x92\x90\x91",
            b"X\x92\x90\x91",
            b"\x72\x01t\x90\x91",
            b"\x7a\x90\x91",
            b"C\x01c\x92\x01a\x01b\x60\x90\x7a\x91\x92",
            b"Q\x90",
        ] {
            let bytes = [value, b"\x04next"].concat();
            let mut reader = Reader::new(&bytes);
            assert_eq!((reader.skip(), reader.string()), (Some(()), Some("next")), "{value:?}");
            for length in 0..value.len() {
                assert_eq!(Reader::new(&value[..length]).skip(), None, "{value:?} {length}");
            }
        }
    }

    #[test]
    fn an_object_of_a_class_that_was_defined_before_has_its_fields() {
        let mut reader = Reader::new(b"C\x01c\x91\x01a\x60\x90O\x90\x91\x02ok");
        assert_eq!((reader.skip(), reader.skip(), reader.string()), (Some(()), Some(()), Some("ok")));
        assert_eq!(Reader::new(b"\x61\x90").skip(), None);
    }

    #[test]
    fn values_within_values_end_somewhere() {
        assert_eq!(Reader::new(&[0x79; 10_000]).skip(), None);
        assert_eq!(Reader::new(&[b'C', 0, 0xbf].repeat(1000)).skip(), None);
        assert_eq!(Reader::new(b"XI\x7f\xff\xff\xff\x90").skip(), None);
    }

    #[test]
    fn texts_of_a_map_are_given_and_others_stepped_over() {
        let mut seen = Vec::new();
        let mut reader = Reader::new(b"H\x01a\x02hi\x01bH\x01x\x90Z\x01c\x03you");
        assert_eq!(reader.texts(|key, value| seen.push((key, value))), None);
        assert_eq!(seen, [("a", "hi"), ("c", "you")]);
        assert_eq!(Reader::new(b"HZ").texts(|_, _| {}), Some(()));
    }
}
