//! The header of a message: 16 bytes that say how long it is, which one it is and which one it answers, and of what kind it is.
use super::Stop;

/// Length of a header.
pub(super) const LENGTH: usize = 16;
/// Of a message, the bytes that are waited for. The database stands behind everything else in a command, filters included.
pub(super) const MAX_SHOWN: usize = 16 * 1024;
/// Longest message: the servers' own limit is 48,000,000 bytes.
const MAX_MESSAGE: u32 = 48_000_000 + 64 * 1024;

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Compressed,
    Reply,
    Query,
    GetMore,
    /// One of the older ones that nobody answers, by its name and the bytes before that of the collection, if it has one.
    Unanswered(&'static str, Option<usize>),
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the whole message.
    pub(super) len: u32,
    /// Its number.
    pub(super) id: i32,
    /// The number of the message that it answers; zero if none.
    pub(super) answers: i32,
    /// What kind it is.
    pub(super) kind: Kind,
}

fn kind(code: i32) -> Option<Kind> {
    Some(match code {
        1 => Kind::Reply,
        2001 => Kind::Unanswered("update", Some(4)),
        2002 => Kind::Unanswered("insert", Some(4)),
        2004 => Kind::Query,
        2005 => Kind::GetMore,
        2006 => Kind::Unanswered("delete", Some(4)),
        2007 => Kind::Unanswered("killCursors", None),
        2012 => Kind::Compressed,
        2013 => Kind::Message,
        _ => return None,
    })
}

impl Header {
    /// The header at the start of `bytes`.
    pub(super) fn at(bytes: &[u8]) -> Result<Self, Stop> {
        let (numbers, _) = bytes.as_chunks::<4>();
        let number = |index: usize| numbers.get(index).map(|bytes| i32::from_le_bytes(*bytes));
        let shortest = LENGTH as u32 + 4;
        let len = number(0).map(|len| len as u32).filter(|len| (shortest..=MAX_MESSAGE).contains(len));
        if number(0).is_some() && len.is_none() {
            return Err(Stop::Invalid);
        }
        let (Some(len), Some(id), Some(answers), Some(code)) = (len, number(1), number(2), number(3)) else { return Err(Stop::More) };
        Ok(Self { len, id, answers, kind: kind(code).ok_or(Stop::Invalid)? })
    }
}
