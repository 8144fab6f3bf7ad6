//! A client's line becomes a command. What is not written as the protocol wants it is none.
use super::Stop;
use super::command::{self, Command, Form};
use std::hash::BuildHasher;

/// Longest line that is waited for. Servers allow 2,048 bytes, and more only to reads of many keys.
pub(super) const MAX_LINE: usize = 16 * 1024;
/// Longest key.
const MAX_KEY: usize = 250;
/// Longest value that a server can be configured to take.
const MAX_VALUE: u64 = 1 << 30;

/// A command as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Which.
    pub(super) command: &'static Command,
    /// How many keys it has.
    pub(super) keys: u32,
    /// Length of the value that follows, with the line's end behind it.
    pub(super) value: u64,
    /// The client wants no answer, or none to what is usual.
    pub(super) quiet: bool,
    /// What the answer repeats of it (meta protocol).
    pub(super) mark: Option<u64>,
}

/// The line at the start of `bytes` without its end, and how many bytes it has.
pub(super) fn line(bytes: &[u8]) -> Result<(&[u8], usize), Stop> {
    let seen = bytes.get(..MAX_LINE).unwrap_or(bytes);
    match memchr::memchr(b'\n', seen) {
        Some(end) => {
            let line = seen.get(..end).unwrap_or_default();
            Ok((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
        }
        None if seen.len() < MAX_LINE => Err(Stop::More),
        None => Err(Stop::Invalid),
    }
}

/// The words of a line.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// A number without a sign.
pub(super) fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > 20 {
        return None;
    }
    word.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// What a meta answer repeats of its command: its opaque token or its key, as a number to compare.
pub(super) fn mark<'a>(flags: impl Iterator<Item = &'a [u8]>) -> Option<u64> {
    let mut key = None;
    for flag in flags {
        match flag.split_first() {
            Some((b'O', token)) => return Some(rustc_hash::FxBuildHasher.hash_one(token)),
            Some((b'k', token)) => key = Some(rustc_hash::FxBuildHasher.hash_one(token)),
            _ => {}
        }
    }
    key
}

fn is_key(word: &[u8]) -> bool {
    word.len() <= MAX_KEY && word.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

fn is_signed(word: &[u8]) -> bool {
    number(word.strip_prefix(b"-").unwrap_or(word)).is_some()
}

/// The command that a line is.
pub(super) fn parse(line: &[u8]) -> Option<Line> {
    let mut words = words(line);
    let command = command::find(words.next()?)?;
    let plain = Line { command, keys: 0, value: 0, quiet: false, mark: None };
    let length = |word: &[u8]| number(word).filter(|length| *length <= MAX_VALUE).map(|length| length + 2);
    match command.form {
        Form::Read(before) => {
            for _ in 0..before {
                words.next().filter(|word| is_signed(word))?;
            }
            let mut keys = 0;
            for word in words {
                is_key(word).then_some(())?;
                keys += 1;
            }
            (keys > 0).then_some(Line { keys, ..plain })
        }
        Form::Store => {
            words.next().filter(|word| is_key(word))?;
            words.next().and_then(number)?;
            words.next().filter(|word| is_signed(word))?;
            let value = words.next().and_then(length)?;
            if command.name == "cas" {
                words.next().and_then(number)?;
            }
            let quiet = noreply(words)?;
            Some(Line { keys: 1, value, quiet, ..plain })
        }
        Form::Change(arguments) => {
            words.next().filter(|word| is_key(word))?;
            for _ in 1..arguments {
                words.next().filter(|word| is_signed(word))?;
            }
            // Old clients give `delete` a time, which has to be zero.
            let rest = words.skip_while(|word| arguments == 1 && *word == b"0");
            Some(Line { keys: 1, quiet: noreply(rest)?, ..plain })
        }
        Form::MetaRead | Form::MetaStore | Form::Meta => {
            let key = words.next().filter(|word| is_key(word))?;
            let value = if command.form == Form::MetaStore { words.next().and_then(length)? } else { 0 };
            let (mut quiet, mut repeats_key, mut opaque) = (false, false, None);
            for flag in words {
                flag.first().filter(|byte| byte.is_ascii_alphabetic())?;
                quiet |= flag == b"q";
                repeats_key |= flag == b"k";
                if flag.first() == Some(&b'O') {
                    opaque = mark(std::iter::once(flag));
                }
            }
            let mark = opaque.or_else(|| repeats_key.then(|| rustc_hash::FxBuildHasher.hash_one(key)));
            Some(Line { keys: 1, value, quiet, mark, ..plain })
        }
        Form::Noop => (command.name == "mn" && words.next().is_none()).then_some(plain),
        Form::Other if command.name.starts_with("sasl") => None,
        Form::Other | Form::Watch => Some(Line { quiet: words.last() == Some(b"noreply"), ..plain }),
        Form::Quit => Some(Line { quiet: true, ..plain }),
    }
}

/// Whether the rest of a line is `noreply`; nothing if it is something else.
fn noreply<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<bool> {
    match (words.next(), words.next()) {
        (None, _) => Some(false),
        (Some(b"noreply"), None) => Some(true),
        _ => None,
    }
}
