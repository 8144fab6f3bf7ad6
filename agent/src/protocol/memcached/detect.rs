//! Recognises Memcached by the first bytes of a turn.
//!
//! A packet of the binary protocol is proof. A line such as `get x` is Redis typed by hand as well, so a line counts only together with the
//! other side's; a quiet change has no answer, and is unlike anything else.
use super::command::{self, Form};
use super::{Stop, binary, reply, text};
use crate::protocol::Guess;

/// Longest first line that is looked at to its end.
const MAX_FIRST_LINE: usize = 4096;

/// Judges the first bytes of a client's turn.
pub(super) fn client(bytes: &[u8]) -> Guess {
    match bytes.first() {
        None => return Guess::Maybe,
        Some(&binary::REQUEST) => {
            return match binary::header(bytes, binary::REQUEST) {
                Ok(_) => Guess::Yes,
                Err(Stop::More) => Guess::Maybe,
                Err(Stop::Invalid) => Guess::No,
            };
        }
        Some(_) => {}
    }
    match text::line(bytes) {
        Ok((line, used)) => text::parse(line).map_or(Guess::No, |command| {
            let is_number = || text::words(line).nth(1).and_then(text::number).is_some();
            match command.command.form {
                Form::Store if command.quiet => match bytes.get(used + command.value as usize - 2..) {
                    Some([b'\r', b'\n', ..]) => Guess::Yes,
                    None | Some([] | [b'\r']) => Guess::Likely,
                    Some(_) => Guess::No,
                },
                // Mail and other servers know this word too.
                Form::Quit => Guess::Maybe,
                // Queues such as beanstalkd have jobs with numbers.
                Form::Change(1) if is_number() => Guess::Maybe,
                _ => Guess::Likely,
            }
        }),
        Err(_) if bytes.len() > MAX_FIRST_LINE => Guess::No,
        Err(_) => {
            let word = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
            let whole = word.len() < bytes.len();
            let word = word.strip_suffix(b"\r").unwrap_or(word);
            let like = command::COMMANDS.iter().any(|command| command.name.as_bytes().starts_with(word));
            let known = if whole { command::find(word).is_some() } else { like };
            if known && bytes.iter().all(|byte| *byte >= b' ' || *byte == b'\r') { Guess::Maybe } else { Guess::No }
        }
    }
}

/// Judges the first bytes of a server's turn.
pub(super) fn server(bytes: &[u8]) -> Guess {
    match bytes.first() {
        None => return Guess::Maybe,
        Some(&binary::RESPONSE) => {
            return match binary::header(bytes, binary::RESPONSE) {
                Ok(_) => Guess::Likely,
                Err(Stop::More) => Guess::Maybe,
                Err(Stop::Invalid) => Guess::No,
            };
        }
        Some(_) => {}
    }
    match text::line(bytes) {
        Ok((line, _)) if reply::parse(line).is_some() => Guess::Likely,
        Err(_) if bytes.len() <= MAX_FIRST_LINE && reply::begins(bytes.strip_suffix(b"\r").unwrap_or(bytes)) => Guess::Maybe,
        _ => Guess::No,
    }
}
