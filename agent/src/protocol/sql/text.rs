//! Tokens become the text that is shown: literals are `?`, comments are gone, and lists whose length is a matter of data are short.
//!
//! White space stays as it was written. Where a comment kept two tokens apart, a space does so.
use super::keyword::Keyword;
use super::lexer::Kind;

/// Longest text: whoever reads it has seen enough, and a span with it still is small.
const LONGEST: usize = 4096;
/// Room for the last space and question mark.
const SPARE: usize = 2;

/// A list that may become shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    None,
    /// `IN` was the last word.
    In,
    /// In an `IN` list that has had only literals: where it began in the text, parentheses that are open in it, and whether there
    /// was anything.
    Elements {
        mark: usize,
        depth: u32,
        any: bool,
    },
    /// `VALUES` was the last word.
    Values,
    /// In the first row, with so many parentheses open.
    Row {
        depth: u32,
    },
    /// Behind a row, where the text was so long.
    Rows {
        mark: usize,
    },
    /// Behind the comma behind a row, before which the text was so long.
    Comma {
        mark: usize,
    },
    /// In a row that is not shown.
    Hidden {
        depth: u32,
    },
}

/// The text so far.
pub(super) struct Text {
    bytes: Vec<u8>,
    /// Nothing more fits.
    full: bool,
    /// A comment was here.
    gap: bool,
    list: List,
}

impl Text {
    pub(super) fn new(length: usize) -> Self {
        Self { bytes: Vec::with_capacity(length.min(LONGEST)), full: false, gap: false, list: List::None }
    }

    fn push(&mut self, piece: &[u8]) {
        if matches!(self.list, List::Hidden { .. }) {
            return;
        }
        self.full = self.full || self.bytes.len() + piece.len() + SPARE > LONGEST;
        if !self.full {
            self.bytes.extend_from_slice(piece);
        }
    }

    /// Takes the next token.
    pub(super) fn token(&mut self, kind: Kind, keyword: Option<Keyword>, raw: &[u8]) {
        match kind {
            Kind::Comment | Kind::Mark => {
                self.gap = true;
                return;
            }
            Kind::Space => {
                self.gap = false;
                if !self.bytes.is_empty() {
                    self.push(raw);
                }
                return;
            }
            _ => {}
        }
        // Two signs that were apart, or that `MySQL` takes for signs, would begin a comment.
        self.gap |= raw == b"-" && self.bytes.last() == Some(&b'-');
        if std::mem::take(&mut self.gap) && self.bytes.last().is_some_and(|last| !last.is_ascii_whitespace()) {
            self.push(b" ");
        }
        if self.leaves_hidden(kind) {
            return;
        }
        if let (List::Elements { mark, depth: 1, any: true }, Kind::Close) = (self.list, kind) {
            if mark < self.bytes.len() {
                self.bytes.truncate(mark);
                // What did not fit may fit now.
                self.full = false;
            }
            self.list = List::None;
            self.push(b"(?)");
            return;
        }
        let before = self.bytes.len();
        self.list = self.follow(kind, keyword, before);
        self.push(if kind == Kind::Literal { b"?" } else { raw });
    }

    /// Whether the token belongs to a row that is not shown.
    fn leaves_hidden(&mut self, kind: Kind) -> bool {
        let (depth, mark) = match (self.list, kind) {
            (List::Comma { mark }, Kind::Open) => (0, Some(mark)),
            (List::Hidden { depth }, _) => (depth, None),
            _ => return false,
        };
        if let Some(mark) = mark {
            self.bytes.truncate(mark);
        }
        self.list = match kind {
            Kind::Open => List::Hidden { depth: depth + 1 },
            Kind::Close if depth <= 1 => List::Rows { mark: self.bytes.len() },
            Kind::Close => List::Hidden { depth: depth - 1 },
            _ => List::Hidden { depth },
        };
        true
    }

    /// What the list is behind this token, before which the text is so long.
    fn follow(&self, kind: Kind, keyword: Option<Keyword>, before: usize) -> List {
        match (self.list, kind) {
            (_, Kind::Word) if keyword == Some(Keyword::In) => List::In,
            (List::Row { depth }, Kind::Open) => List::Row { depth: depth + 1 },
            (List::Row { depth: 1 }, Kind::Close) => List::Rows { mark: before + 1 },
            (List::Row { depth }, Kind::Close) => List::Row { depth: depth.saturating_sub(1) },
            (List::Row { depth }, _) => List::Row { depth },
            (_, Kind::Word) if keyword == Some(Keyword::Values) => List::Values,
            (List::In, Kind::Open) => List::Elements { mark: before, depth: 1, any: false },
            (List::Elements { mark, depth, any }, _) => match kind {
                Kind::Literal | Kind::Placeholder => List::Elements { mark, depth, any: true },
                Kind::Comma => List::Elements { mark, depth, any },
                Kind::Open => List::Elements { mark, depth: depth + 1, any },
                Kind::Close if depth > 1 => List::Elements { mark, depth: depth - 1, any },
                _ => List::None,
            },
            (List::Values, Kind::Open) => List::Row { depth: 1 },
            (List::Rows { mark }, Kind::Comma) => List::Comma { mark },
            _ => List::None,
        }
    }

    /// All of it, without white space around.
    pub(super) fn finish(mut self) -> String {
        let length = self.bytes.trim_ascii_end().len();
        self.bytes.truncate(length);
        String::from_utf8(self.bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}
