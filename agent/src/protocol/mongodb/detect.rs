//! Recognises the protocol by the first bytes of a turn: a header says its kind, and only replies say whom they answer.
use super::header::{Header, Kind, LENGTH};
use super::query::Flags;
use super::{Stop, bson};
use crate::protocol::{Guess, Side};

/// Judges the first bytes of a turn.
pub(super) fn judge(from: Side, bytes: &[u8]) -> Guess {
    let header = match Header::at(bytes) {
        Ok(header) => header,
        Err(Stop::More) => return Guess::Maybe,
        Err(Stop::Invalid) => return Guess::No,
    };
    let is_reply = !matches!(header.answers, 0 | -1);
    if is_reply != (from == Side::Server) {
        return Guess::No;
    }
    let inside = bytes.get(LENGTH..).unwrap_or_default();
    match header.kind {
        Kind::Message => message(&header, inside),
        // The kind of what is compressed, its length and how it is.
        Kind::Compressed => match inside.first_chunk::<9>() {
            Some([kind @ .., _, _, _, _, 0..=3]) if *kind == 2013i32.to_le_bytes() => Guess::Yes,
            Some(_) => Guess::No,
            None => Guess::Maybe,
        },
        Kind::Reply if is_reply => match inside.get(..20) {
            Some(_) => Guess::Yes,
            None => Guess::Maybe,
        },
        Kind::Query => match inside.get(4..).map(bson::text) {
            Some(Some((namespace, _))) if namespace.contains(&b'.') && std::str::from_utf8(namespace).is_ok() => Guess::Yes,
            Some(Some(_)) => Guess::No,
            Some(None) | None => Guess::Maybe,
        },
        Kind::GetMore | Kind::Unanswered(..) => Guess::Likely,
        Kind::Reply => Guess::No,
    }
}

/// An `OP_MSG`: flags that are known, and a section that fits into it.
fn message(header: &Header, inside: &[u8]) -> Guess {
    let Some((flags, sections)) = inside.split_first_chunk::<4>() else { return Guess::Maybe };
    if !Flags(u32::from_le_bytes(*flags)).are_known() {
        return Guess::No;
    }
    match sections.split_first() {
        None => Guess::Maybe,
        Some((0 | 1, section)) => match bson::length(section) {
            Some(len) if (5..header.len).contains(&len) => Guess::Yes,
            None if section.len() < 4 => Guess::Maybe,
            Some(_) | None => Guess::No,
        },
        Some(_) => Guess::No,
    }
}
