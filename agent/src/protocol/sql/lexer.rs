//! Bytes of a statement become tokens. Every byte is in exactly one of them, each is looked at a bounded number of times, and what
//! begins like a literal and never ends is one up to the end.
use super::keyword::{self, Keyword};
use super::{Dialect, System};
use memchr::{memchr, memchr2, memmem};

/// Longest tag of a dollar quote: a name of `PostgreSQL`.
const LONGEST_TAG: usize = 63;
/// Digits of the number of a placeholder: there are at most 65,535.
const PLACEHOLDER_DIGITS: usize = 5;
/// Where a UUID has its hyphens, and its length.
const UUID: ([usize; 4], usize) = ([8, 13, 18, 23], 36);

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    Comment,
    /// The begin or end of a comment whose inside is executed (`/*! … */`).
    Mark,
    Word,
    /// A name in quotes.
    Quoted,
    Literal,
    Placeholder,
    Open,
    Close,
    Comma,
    Dot,
    Semicolon,
    Other,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// What a word decides.
    pub(super) keyword: Option<Keyword>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The tokens of a statement.
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    dialect: Dialect,
    /// The token directly before this one: no space between.
    before: Kind,
    /// Inside a comment that is executed.
    executed: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8], dialect: Dialect) -> Self {
        Self { bytes, at: 0, dialect, before: Kind::Space, executed: false }
    }

    fn rest(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..).unwrap_or_default()
    }

    /// What the token at the current place is, and its end.
    fn token(&mut self, first: u8) -> (Kind, usize) {
        let at = self.at;
        let rest = self.rest(at);
        let system = self.dialect.system;
        match first {
            b'\'' => (Kind::Literal, self.string(at + 1, b'\'', self.dialect.backslash)),
            b'"' if system == System::MySql => (Kind::Literal, self.string(at + 1, b'"', self.dialect.backslash)),
            b'"' => self.quoted(b'"'),
            b'`' if system == System::MySql => self.quoted(b'`'),
            b'(' => (Kind::Open, at + 1),
            b')' => (Kind::Close, at + 1),
            b',' => (Kind::Comma, at + 1),
            b';' => (Kind::Semicolon, at + 1),
            b'?' => (Kind::Placeholder, at + 1),
            b'-' if self.is_line_comment() => (Kind::Comment, self.line()),
            b'#' if system == System::MySql => (Kind::Comment, self.line()),
            b'/' if rest.starts_with(b"//") && system == System::Cql => (Kind::Comment, self.line()),
            b'/' if rest.starts_with(b"/*") => self.block_comment(),
            b'*' if self.executed && rest.starts_with(b"*/") => {
                self.executed = false;
                (Kind::Mark, at + 2)
            }
            b'$' if system != System::MySql => self.dollar(),
            b'0'..=b'9' => (Kind::Literal, self.number(at)),
            b'+' | b'-' if !self.follows_operand() && is_number(self.rest(at + 1)) => (Kind::Literal, self.number(at + 1)),
            b'.' if !self.follows_operand() && is_number(rest) => (Kind::Literal, self.number(at)),
            b'.' => (Kind::Dot, at + 1),
            _ if first.is_ascii_whitespace() => (Kind::Space, at + count(rest, |byte| byte.is_ascii_whitespace())),
            _ if is_word(first) => self.word(),
            _ => (Kind::Other, at + 1),
        }
    }

    /// Whether a sign or a point here belongs to the operand directly before it. Behind a literal it does not: that is what the
    /// conventions' tests want.
    fn follows_operand(&self) -> bool {
        matches!(self.before, Kind::Word | Kind::Quoted | Kind::Placeholder | Kind::Close)
    }

    /// `--`, behind which `MySQL` wants white space.
    fn is_line_comment(&self) -> bool {
        match self.rest(self.at) {
            [b'-', b'-'] => true,
            [b'-', b'-', third, ..] => self.dialect.system != System::MySql || *third <= b' ',
            _ => false,
        }
    }

    fn line(&self) -> usize {
        memchr2(b'\n', b'\r', self.rest(self.at)).map_or(self.bytes.len(), |length| self.at + length)
    }

    /// A comment, nested in `PostgreSQL`; in `MySQL` it may be executed: then only its begin and its end are no part of the statement.
    fn block_comment(&mut self) -> (Kind, usize) {
        let mut at = self.at + 2;
        if self.dialect.system == System::MySql {
            let mark = match self.rest(at) {
                [b'!', ..] => 1,
                [b'M', b'!', ..] => 2,
                _ => 0,
            };
            if mark > 0 {
                self.executed = true;
                at += mark;
                return (Kind::Mark, at + count(self.rest(at), |byte| byte.is_ascii_digit()));
            }
        }
        let mut depth = 1;
        while let Some(found) = memchr2(b'*', b'/', self.rest(at)) {
            at += found;
            match self.rest(at) {
                [b'*', b'/', ..] => {
                    at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return (Kind::Comment, at);
                    }
                }
                [b'/', b'*', ..] if self.dialect.system == System::PostgreSql => {
                    at += 2;
                    depth += 1;
                }
                _ => at += 1,
            }
        }
        (Kind::Comment, self.bytes.len())
    }

    /// The end of a string whose inside begins at `at`. Strings of `PostgreSQL` go on behind white space with a line end in it.
    fn string(&self, mut at: usize, quote: u8, backslash: bool) -> usize {
        loop {
            let rest = self.rest(at);
            let found = if backslash { memchr2(quote, b'\\', rest) } else { memchr(quote, rest) };
            let Some(found) = found else { return self.bytes.len() };
            at += found + 1;
            if rest.get(found) == Some(&b'\\') {
                at += 1;
                continue;
            }
            let rest = self.rest(at);
            if rest.first() == Some(&quote) {
                at += 1;
                continue;
            }
            if self.dialect.system == System::PostgreSql {
                let space = count(rest, |byte| byte.is_ascii_whitespace());
                let (between, behind) = rest.split_at(space);
                if behind.first() == Some(&quote) && between.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
                    at += space + 1;
                    continue;
                }
            }
            return at.min(self.bytes.len());
        }
    }

    /// A name in quotes; one that does not end could be anything.
    fn quoted(&self, quote: u8) -> (Kind, usize) {
        let mut at = self.at + 1;
        while let Some(found) = memchr(quote, self.rest(at)) {
            at += found + 1;
            if self.rest(at).first() != Some(&quote) {
                return (Kind::Quoted, at);
            }
            at += 1;
        }
        (Kind::Literal, self.bytes.len())
    }

    /// `$1`, or `$tag$ … $tag$`.
    fn dollar(&self) -> (Kind, usize) {
        let rest = self.rest(self.at + 1);
        let digits = count(rest, |byte| byte.is_ascii_digit());
        if digits > 0 {
            let kind = if digits <= PLACEHOLDER_DIGITS { Kind::Placeholder } else { Kind::Literal };
            return (kind, self.at + 1 + digits);
        }
        let tag = count(rest.get(..LONGEST_TAG).unwrap_or(rest), |byte| (is_word(byte) && byte != b'$') || byte.is_ascii_digit());
        if rest.get(tag) != Some(&b'$') {
            return (Kind::Other, self.at + 1);
        }
        let begin = self.at + tag + 2;
        let tag = self.bytes.get(self.at..begin).unwrap_or_default();
        (Kind::Literal, memmem::find(self.rest(begin), tag).map_or(self.bytes.len(), |length| begin + length + tag.len()))
    }

    /// A number with all that hangs on it: exponent, base, unit. In CQL it may be a UUID.
    fn number(&self, start: usize) -> usize {
        if let Some(length) = self.uuid(start) {
            return start + length;
        }
        let rest = self.rest(start);
        let hexadecimal = matches!(rest, [b'0', b'x' | b'X', ..]);
        let mut length = 0;
        while let Some(&byte) = rest.get(length) {
            let signed = !hexadecimal && matches!(byte, b'e' | b'E');
            match rest.get(length + 1..) {
                Some([b'+' | b'-', digit, ..]) if signed && digit.is_ascii_digit() => length += 2,
                // Cut behind its sign.
                Some([b'+' | b'-']) if signed => length += 2,
                _ if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') => length += 1,
                _ => break,
            }
        }
        start + length
    }

    /// The length of the UUID there, which CQL writes without quotes; it may be cut by the end of the bytes.
    fn uuid(&self, start: usize) -> Option<usize> {
        if self.dialect.system != System::Cql {
            return None;
        }
        let (hyphens, length) = UUID;
        let rest = self.rest(start);
        let found = rest.get(..length).unwrap_or(rest);
        let fits = |(at, byte): (usize, &u8)| if hyphens.contains(&at) { *byte == b'-' } else { byte.is_ascii_hexdigit() };
        let first = hyphens.first().copied().unwrap_or_default();
        let ends = found.len() == length || (start + found.len() == self.bytes.len() && found.len() > first);
        (ends && found.iter().enumerate().all(fits)).then_some(found.len())
    }

    /// A word, or the string that a letter introduces, or a UUID that begins with one.
    fn word(&self) -> (Kind, usize) {
        if let Some(length) = self.uuid(self.at) {
            return (Kind::Literal, self.at + length);
        }
        let end = self.at + count(self.rest(self.at), |byte| is_word(byte) || byte.is_ascii_digit());
        let system = self.dialect.system;
        if let ([letter], Some(b'\'')) = (self.bytes.get(self.at..end).unwrap_or_default(), self.bytes.get(end)) {
            match letter.to_ascii_lowercase() {
                b'e' if system == System::PostgreSql => return (Kind::Literal, self.string(end + 1, b'\'', true)),
                b'b' | b'x' => return (Kind::Literal, self.string(end + 1, b'\'', false)),
                b'n' => return (Kind::Literal, self.string(end + 1, b'\'', self.dialect.backslash)),
                _ => {}
            }
        }
        (Kind::Word, end)
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let (start, first) = (self.at, *self.bytes.get(self.at)?);
        let (mut kind, end) = self.token(first);
        let mut keyword = None;
        if kind == Kind::Word && self.before != Kind::Dot {
            keyword = self.bytes.get(start..end).and_then(keyword::find);
            if keyword == Some(Keyword::Boolean) {
                kind = Kind::Literal;
            }
        }
        self.at = end;
        self.before = kind;
        Some(Token { kind, keyword, start, end })
    }
}

/// Whether a number begins there: a digit, or a point and a digit.
fn is_number(bytes: &[u8]) -> bool {
    matches!(bytes, [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..])
}

/// Whether a word may begin with this byte.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'@' | b'$') || byte >= 0x80
}

fn count(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| wanted(**byte)).count()
}
