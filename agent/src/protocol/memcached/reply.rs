//! A server's line becomes an answer, or a part of one.
use super::text::{mark, number, words};

/// Words that are an answer by themselves.
const WORDS: [&[u8]; 18] = [
    b"STORED",
    b"NOT_STORED",
    b"EXISTS",
    b"NOT_FOUND",
    b"DELETED",
    b"TOUCHED",
    b"OK",
    b"VERSION",
    b"RESET",
    b"BUSY",
    b"BADCLASS",
    b"NOSPARE",
    b"NOTFULL",
    b"UNSAFE",
    b"SAME",
    b"INLINE",
    b"LOCKED",
    b"TOO_LARGE",
];

/// An answer of the meta protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meta {
    /// `VA` and `HD`: it is there, or it was done.
    Done,
    /// `EN`: it is not there.
    Miss,
    /// `NF`, `NS`, `EX`: it was not done.
    Undone,
    /// `MN`: the end of what was quiet.
    Noop,
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// One of several: a value of so many bytes follows, with its line end.
    Value(u64),
    /// One of several lines.
    Part,
    /// The end of several, or of none.
    End,
    /// One word.
    Word,
    /// An answer of the meta protocol, with a value of so many bytes behind it, and what it repeats of its command.
    Meta(Meta, u64, Option<u64>),
    /// An error.
    Error(&'static str),
}

/// What a line is; `None` if no server sends it.
pub(super) fn parse(line: &[u8]) -> Option<Reply> {
    let mut words = words(line);
    let word = words.next()?;
    let length = |word: &[u8]| number(word).filter(|length| *length <= 1 << 30).map(|length| length + 2);
    Some(match word {
        b"VALUE" | b"CONFIG" => Reply::Value(words.nth(2).and_then(length)?),
        b"END" => Reply::End,
        b"STAT" | b"ITEM" => Reply::Part,
        b"VA" => {
            let length = words.next().and_then(length)?;
            Reply::Meta(Meta::Done, length, mark(words))
        }
        b"HD" => Reply::Meta(Meta::Done, 0, mark(words)),
        b"ME" => Reply::Meta(Meta::Done, 0, None),
        b"EN" => Reply::Meta(Meta::Miss, 0, mark(words)),
        b"NF" | b"NS" | b"EX" => Reply::Meta(Meta::Undone, 0, mark(words)),
        b"MN" => Reply::Meta(Meta::Noop, 0, None),
        b"ERROR" => Reply::Error("ERROR"),
        b"CLIENT_ERROR" => Reply::Error("CLIENT_ERROR"),
        b"SERVER_ERROR" => Reply::Error("SERVER_ERROR"),
        _ if word.starts_with(b"key=") => Reply::Part,
        _ if WORDS.contains(&word) || (number(word).is_some() && words.next().is_none()) => Reply::Word,
        _ => return None,
    })
}

/// Whether `start` is how a line of a server could begin.
pub(super) fn begins(start: &[u8]) -> bool {
    let others: [&[u8]; 14] = [
        b"VALUE ",
        b"CONFIG ",
        b"END",
        b"STAT ",
        b"ITEM ",
        b"key=",
        b"VA ",
        b"HD",
        b"ME ",
        b"EN",
        b"MN",
        b"ERROR",
        b"CLIENT_ERROR ",
        b"SERVER_ERROR ",
    ];
    let like = |known: &&[u8]| known.starts_with(start) || start.starts_with(known);
    others.iter().any(like) || WORDS.iter().any(like) || [&b"NF"[..], b"NS", b"EX"].iter().any(like) || start.iter().all(u8::is_ascii_digit)
}
