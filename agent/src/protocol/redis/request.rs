//! What a client sends becomes commands: where the arguments lie, what the command is called and what of it may be shown.
//!
//! Redaction happens here: what the table in [`super::command`] does not allow is written as `?`.
use super::command::{self, Command};
use super::resp::{self, Length, Stop};
use std::borrow::Cow;

/// Arguments of one command that are looked at, its name included: enough for the keys of nearly every command.
const MAX_ARGUMENTS: usize = 16;
/// Longest argument that is waited for and looked at; longer ones are stepped over, and so is everything behind them.
const MAX_ARGUMENT: usize = 256;
/// Longest key that is shown.
const MAX_KEY: usize = 128;
/// Longest name of a function; a digest has 40 bytes.
const MAX_PROCEDURE: usize = 64;
/// Longest text of a query after which no more arguments are added.
const MAX_TEXT: usize = 1024;
/// Longest part of an array that has to be there as a whole: each argument with its length and line ends.
pub(super) const MAX_HEAD: usize = (MAX_ARGUMENTS + 1) * (MAX_ARGUMENT + 16);

/// The first arguments of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments<'a> {
    /// The first ones, the command's name among them; `None` for those that were not looked at.
    kept: [Option<&'a [u8]>; MAX_ARGUMENTS],
    /// How many there are in all.
    total: u64,
    /// Their borders are uncertain, so that none may be shown.
    opaque: bool,
}

/// The beginning of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beginning<'a> {
    /// The arguments; `None` if it is a blank command, which servers do not answer.
    pub(super) arguments: Option<Arguments<'a>>,
    /// Bytes up to the end of the last argument that was looked at; may be more than there were.
    pub(super) used: u64,
    /// Of these, those that were looked at.
    pub(super) shown: u64,
    /// Arguments that follow.
    pub(super) rest: u64,
}

/// The command at the start of `bytes`, either form.
pub(super) fn begin(bytes: &[u8]) -> Result<Beginning<'_>, Stop> {
    match bytes.split_first() {
        None => Err(Stop::More),
        Some((b'*', rest)) => array(bytes, rest),
        Some(_) => inline(bytes),
    }
}

fn array<'a>(bytes: &'a [u8], rest: &[u8]) -> Result<Beginning<'a>, Stop> {
    let (total, used) = match resp::length(rest)? {
        (Length::Of(0) | Length::Nil, used) => {
            return Ok(Beginning { arguments: None, used: 1 + used as u64, shown: 1 + used as u64, rest: 0 });
        }
        (Length::Of(total), used) => (total, used),
        (Length::Streamed, _) => return Err(Stop::Invalid),
    };
    let mut arguments = Arguments { total, ..Arguments::default() };
    let mut at = 1 + used;
    for (index, kept) in (0..total).zip(&mut arguments.kept) {
        let (len, content) = argument(bytes.get(at..).unwrap_or_default())?;
        at += content;
        if len > MAX_ARGUMENT as u64 {
            return Ok(Beginning { arguments: Some(arguments), used: at as u64 + len + 2, shown: at as u64, rest: total - index - 1 });
        }
        let end = at + len as usize;
        *kept = Some(bytes.get(at..end).ok_or(Stop::More)?);
        match bytes.get(end..).unwrap_or_default() {
            [b'\r', b'\n', ..] => at = end + 2,
            [] | [b'\r'] => return Err(Stop::More),
            _ => return Err(Stop::Invalid),
        }
    }
    Ok(Beginning { arguments: Some(arguments), used: at as u64, shown: at as u64, rest: total.saturating_sub(MAX_ARGUMENTS as u64) })
}

/// The length of the argument at the start of `bytes` and the offset of its first byte.
fn argument(bytes: &[u8]) -> Result<(u64, usize), Stop> {
    match bytes.split_first() {
        None => Err(Stop::More),
        Some((b'$', rest)) => match resp::length(rest)? {
            (Length::Of(len), used) => Ok((len, 1 + used)),
            _ => Err(Stop::Invalid),
        },
        Some(_) => Err(Stop::Invalid),
    }
}

/// Steps over the arguments at the start of `bytes`, at most `rest`; how many bytes (maybe more than there are) and arguments.
pub(super) fn skip(bytes: &[u8], rest: u64) -> Result<(u64, u64), Stop> {
    let (mut used, mut count) = (0, 0);
    while count < rest {
        match bytes.get(used as usize..).map_or(Err(Stop::More), argument) {
            Ok((len, content)) => {
                used += content as u64 + len + 2;
                count += 1;
            }
            Err(stop) if count == 0 => return Err(stop),
            Err(_) => break,
        }
    }
    Ok((used, count))
}

/// A command typed as a line. Servers take LF for CR LF here, and quotes, which are not undone: nothing quoted is shown.
fn inline(bytes: &[u8]) -> Result<Beginning<'_>, Stop> {
    let end = bytes.iter().take(resp::MAX_LINE + 1).position(|&byte| byte < b' ' && byte != b'\t');
    let Some(end) = end else { return Err(if bytes.len() > resp::MAX_LINE { Stop::Invalid } else { Stop::More }) };
    let used = match bytes.get(end..).unwrap_or_default() {
        [b'\n', ..] => end + 1,
        [b'\r', b'\n', ..] => end + 2,
        [b'\r'] => return Err(Stop::More),
        _ => return Err(Stop::Invalid),
    };
    let line = bytes.get(..end).unwrap_or_default();
    let mut arguments = Arguments { opaque: line.iter().any(|byte| matches!(byte, b'"' | b'\'')), ..Arguments::default() };
    for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        if let Some(kept) = arguments.kept.get_mut(arguments.total as usize) {
            *kept = Some(word).filter(|word| word.len() <= MAX_ARGUMENT);
        }
        arguments.total += 1;
    }
    Ok(Beginning { arguments: Some(arguments).filter(|arguments| arguments.total > 0), used: used as u64, shown: used as u64, rest: 0 })
}

/// A command as it may be shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Its entry in the table, if it is there.
    pub(super) command: Option<&'static Command>,
    /// Its name in capitals; `None` if the first argument is not fit to be one.
    pub(super) name: Option<Cow<'static, str>>,
    /// The command line with `?` for all that is hidden.
    pub(super) text: String,
    /// The script's digest or the function's name.
    pub(super) procedure: Option<String>,
}

impl<'a> Arguments<'a> {
    /// The argument at `index`, if it was looked at.
    pub(super) fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.kept.get(index).copied().flatten()
    }

    /// How many there are.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Name, text and table entry.
    pub(super) fn show(&self) -> Shown {
        let word = self.get(0).filter(|word| command::is_name(word));
        let found = word.and_then(|word| command::find(word, self.get(1)));
        let name = match (found, word) {
            (Some((command, _)), _) => Some(Cow::Borrowed(command.name.as_str())),
            (None, Some(word)) => Some(Cow::Owned(String::from_utf8_lossy(word).to_uppercase())),
            (None, None) => None,
        };
        let (shape, words) = found.map_or(("", 1), |(command, words)| (if self.opaque { "" } else { command.shape }, words));
        let mut text = String::with_capacity(64);
        text.push_str(name.as_deref().unwrap_or("?"));
        let mut procedure = None;
        let mut letters = Letters::new(shape);
        for index in words..MAX_ARGUMENTS.min(self.total as usize) {
            if text.len() > MAX_TEXT {
                break;
            }
            let argument = self.get(index);
            let letter = letters.next(argument, index as u64 + 1 == self.total);
            text.push(' ');
            match (letter, argument.and_then(readable)) {
                (b's', Some(argument)) if is_procedure(argument) => {
                    procedure = Some(argument.to_owned());
                    text.push_str(argument);
                }
                (b'k', Some(argument)) => push_quoted(&mut text, argument),
                _ => text.push('?'),
            }
        }
        if self.total > MAX_ARGUMENTS as u64 || text.len() > MAX_TEXT {
            text.push_str(" ...");
        }
        Shown { command: found.map(|(command, _)| command), name, text, procedure }
    }
}

/// Walks along a shape of [`command::SHAPES`].
struct Letters {
    once: &'static [u8],
    cycle: &'static [u8],
    hide_last: bool,
    at: usize,
    /// Keys to come after a number of keys.
    keys: u64,
}

impl Letters {
    fn new(shape: &'static str) -> Self {
        let (shape, hide_last) = shape.strip_suffix('.').map_or((shape, false), |shape| (shape, true));
        let (once, cycle) = shape.split_once('|').unwrap_or((shape, ""));
        Self { once: once.as_bytes(), cycle: cycle.as_bytes(), hide_last, at: 0, keys: 0 }
    }

    /// The letter of the next argument.
    fn next(&mut self, argument: Option<&[u8]>, last: bool) -> u8 {
        if self.keys > 0 {
            self.keys -= 1;
            return b'k';
        }
        let repeated = self.at.checked_sub(self.once.len()).and_then(|beyond| self.cycle.get(beyond.checked_rem(self.cycle.len())?));
        let letter = self.once.get(self.at).or(repeated).copied().unwrap_or(b'?');
        self.at += 1;
        match letter {
            b'n' => {
                let count = argument.and_then(|argument| std::str::from_utf8(argument).ok()).and_then(|count| count.parse().ok());
                self.keys = count.unwrap_or(0);
                if count.is_some() { b'k' } else { b'?' }
            }
            _ if last && self.hide_last => b'?',
            letter => letter,
        }
    }
}

/// `argument` as text, if it can be shown as it is.
fn readable(argument: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(argument).ok().filter(|text| text.len() <= MAX_KEY)?;
    (!text.chars().any(|c| c.is_control() || matches!(c, '"' | '\'' | '\\'))).then_some(text)
}

/// Whether `argument` is a script's digest or a function's name, and not a script.
fn is_procedure(argument: &str) -> bool {
    argument.len() <= MAX_PROCEDURE && argument.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Appends `argument` as `redis-cli` takes it.
fn push_quoted(text: &mut String, argument: &str) {
    if argument.is_empty() || argument.contains(char::is_whitespace) {
        text.extend(["\"", argument, "\""]);
    } else {
        text.push_str(argument);
    }
}
