//! Recognises the protocol by the first bytes of a turn: a client's startup, or a walk over messages whose types and lengths all fit.
//!
//! Types are letters, and the upper bytes of lengths are zero: no text has that, but other binary protocols do here and there. Only a
//! startup, or `ReadyForQuery` behind other messages, is proof; everything else counts with the other side's agreement.
use super::message::{self, HEADER, Startup, Stop};
use crate::protocol::{Guess, Side};

/// Messages that are walked over.
const MOST: usize = 64;
/// Longest message that a turn may begin with: a loss of alignment would mostly give a longer one.
const LONGEST_FIRST: u64 = 16 * 1024 * 1024;

/// Judges the first bytes of a client's turn.
pub(super) fn client(bytes: &[u8]) -> Guess {
    if bytes.first() == Some(&0) {
        return match message::startup(bytes) {
            Ok((Startup::Encryption | Startup::Cancel | Startup::Begin(_), _)) => Guess::Yes,
            Err(Stop::More) => Guess::Maybe,
            Err(Stop::Invalid) => Guess::No,
        };
    }
    walk(Side::Client, bytes)
}

/// Judges the first bytes of a server's turn.
pub(super) fn server(bytes: &[u8]) -> Guess {
    // The answer to a request for encryption.
    if matches!(bytes, [b'S' | b'N' | b'G']) {
        return Guess::Maybe;
    }
    walk(Side::Server, bytes)
}

fn walk(from: Side, bytes: &[u8]) -> Guess {
    let mut rest = bytes;
    for seen in 0..MOST {
        let header = match message::header(from, rest) {
            Ok(header) if header.total <= LONGEST_FIRST => header,
            Ok(_) | Err(Stop::Invalid) => return Guess::No,
            // Two whole messages, or one and the beginning of another.
            Err(Stop::More) => return if seen > 0 { Guess::Likely } else { Guess::Maybe },
        };
        let Some((whole, tail)) = rest.split_at_checked(header.total as usize) else {
            return if seen > 0 { Guess::Likely } else { judge_first(from, rest) };
        };
        if !fits(from, whole) {
            return Guess::No;
        }
        if from == Side::Server && header.kind == b'Z' && seen > 0 {
            return Guess::Yes;
        }
        rest = tail;
    }
    Guess::Likely
}

/// The first message is not whole: a long statement, or a long row.
fn judge_first(from: Side, bytes: &[u8]) -> Guess {
    let body = bytes.get(HEADER..).unwrap_or_default();
    let is_text = |body: &[u8]| body.iter().take(32).all(|byte| *byte >= b' ' || byte.is_ascii_whitespace());
    match (from, bytes.first()) {
        _ if body.len() < 16 => Guess::Maybe,
        (Side::Client, Some(b'Q')) if !is_text(body) => Guess::No,
        _ => Guess::Likely,
    }
}

/// Whether a whole message is what its type says, as far as that can be told by few of its bytes.
fn fits(from: Side, message: &[u8]) -> bool {
    let Some((kind, body)) = message.first().zip(message.get(HEADER..)) else { return false };
    match (from, kind) {
        (Side::Server, b'Z') => matches!(body, [b'I' | b'T' | b'E']),
        (Side::Client, b'Q') | (Side::Server, b'C') => matches!(body, [text @ .., 0] if !text.contains(&0)),
        (Side::Server, b'E' | b'N') => matches!(body, [b'S', .., 0, 0]),
        (Side::Client, b'D' | b'C') => matches!(body, [b'S' | b'P', name @ .., 0] if !name.contains(&0)),
        (Side::Client, b'P') => message::text(body).and_then(|(_, rest)| message::text(rest)).is_some(),
        (Side::Client, b'E') => message::text(body).is_some_and(|(_, rows)| rows.len() == 4),
        // Columns, of at least four bytes each, and nineteen.
        (Side::Server, b'D' | b'T') => body.split_first_chunk().is_some_and(|(columns, rest)| {
            usize::from(u16::from_be_bytes(*columns)).saturating_mul(if *kind == b'D' { 4 } else { 19 }) <= rest.len()
        }),
        _ => true,
    }
}
