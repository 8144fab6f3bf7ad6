//! Recognises RESP by the first bytes of a turn.
//!
//! Only a client's array that begins with a command of the table is proof. A line such as `GET x` is spoken by many protocols, and so
//! are `+OK` and `-ERR`: those count only together, and are held to a narrower form than the decoder accepts.
use super::command;
use super::resp::{self, Item, Length, Stop};
use crate::protocol::Guess;

/// Most arguments in a first command.
const MAX_FIRST: u64 = 1024 * 1024;
/// Longest first line that is looked at to its end.
const MAX_FIRST_LINE: usize = 256;
/// Longest first string whose end is checked.
const MAX_CHECKED: u64 = 1024;

/// Judges the first bytes of a client's turn.
pub(super) fn client(bytes: &[u8]) -> Guess {
    match bytes.split_first() {
        None => Guess::Maybe,
        Some((b'*', rest)) => array(rest).unwrap_or_else(guess),
        Some(_) => inline(bytes),
    }
}

/// Judges the first bytes of a server's turn.
pub(super) fn server(bytes: &[u8]) -> Guess {
    let item = match bytes.split_first() {
        // Long lines: the first word decides.
        Some((b'+', rest)) => return status(rest),
        Some((b'-', rest)) => return error(rest),
        _ => resp::item(bytes),
    };
    match item {
        Err(stop) => guess(stop),
        // Neither begins a reply.
        Ok((Item::End | Item::Chunk { .. }, _)) => Guess::No,
        Ok((Item::Scalar, used)) if used <= MAX_CHECKED => match bytes.get(..used as usize) {
            None => Guess::Maybe,
            Some(item) if item.ends_with(b"\r\n") => Guess::Likely,
            Some(_) => Guess::No,
        },
        Ok((Item::Aggregate(count) | Item::Push(count) | Item::Attribute(count), used)) if count != Some(0) => {
            match bytes.get(used as usize..).map(resp::item) {
                None | Some(Err(Stop::More)) => Guess::Maybe,
                Some(Err(Stop::Invalid)) => Guess::No,
                Some(Ok(_)) => Guess::Likely,
            }
        }
        Ok(_) => Guess::Likely,
    }
}

fn guess(stop: Stop) -> Guess {
    match stop {
        Stop::More => Guess::Maybe,
        Stop::Invalid => Guess::No,
    }
}

/// `*N`, then `$L` and a word.
fn array(rest: &[u8]) -> Result<Guess, Stop> {
    let (Length::Of(1..=MAX_FIRST), used) = resp::length(rest)? else { return Ok(Guess::No) };
    let (kind, rest) = rest.get(used..).and_then(<[u8]>::split_first).ok_or(Stop::More)?;
    if *kind != b'$' {
        return Ok(Guess::No);
    }
    let (Length::Of(len), used) = resp::length(rest)? else { return Ok(Guess::No) };
    if len == 0 || len > command::MAX_WORD as u64 {
        return Ok(Guess::No);
    }
    let rest = rest.get(used..).unwrap_or_default();
    let Some((word, end)) = rest.split_at_checked(len as usize) else {
        return if rest.is_empty() || command::is_name(rest) { Err(Stop::More) } else { Ok(Guess::No) };
    };
    Ok(match end {
        _ if !command::is_name(word) => Guess::No,
        [] | [b'\r'] => Guess::Maybe,
        [b'\r', b'\n', ..] if command::find(word, None).is_some() => Guess::Yes,
        [b'\r', b'\n', ..] => Guess::Likely,
        _ => Guess::No,
    })
}

/// A line with a command that people and health checks type. `AUTH` and `QUIT` belong to mail and file transfer too.
fn inline(bytes: &[u8]) -> Guess {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let ended = line.len() < bytes.len();
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    if line.len() > MAX_FIRST_LINE || !text.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Guess::No;
    }
    if !ended && word.len() == text.len() {
        return if command::is_name(word) { Guess::Maybe } else { Guess::No };
    }
    let foreign = word.eq_ignore_ascii_case(b"AUTH") || word.eq_ignore_ascii_case(b"QUIT");
    let is_http = text.windows(6).any(|part| part == b" HTTP/");
    match command::find(word, None) {
        Some(_) if !foreign && !is_http => {
            if ended {
                Guess::Likely
            } else {
                Guess::Maybe
            }
        }
        _ => Guess::No,
    }
}

/// A status is one word, except where replication begins or something goes on in the background.
fn status(rest: &[u8]) -> Guess {
    let end = rest.iter().take(command::MAX_WORD + 1).position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')));
    match (end, end.and_then(|end| rest.get(end..)).unwrap_or_default()) {
        (None, _) if rest.len() <= command::MAX_WORD => Guess::Maybe,
        (None | Some(0), _) => Guess::No,
        (Some(_), [b'\r']) => Guess::Maybe,
        (Some(_), [b'\r', b'\n', ..]) => Guess::Likely,
        (Some(end), [b' ', ..]) => match rest.get(..end) {
            Some(b"FULLRESYNC" | b"CONTINUE" | b"Background") => Guess::Likely,
            _ => Guess::No,
        },
        _ => Guess::No,
    }
}

/// An error begins with a word in capitals.
fn error(rest: &[u8]) -> Guess {
    let end = rest.iter().take(resp::MAX_PREFIX + 1).position(|byte| !(byte.is_ascii_uppercase() || *byte == b'_'));
    match (end, end.and_then(|end| rest.get(end..)).unwrap_or_default()) {
        (None, _) if rest.len() <= resp::MAX_PREFIX => Guess::Maybe,
        (None | Some(0), _) => Guess::No,
        (Some(_), [b' ' | b'\r', ..]) => Guess::Likely,
        _ => Guess::No,
    }
}
