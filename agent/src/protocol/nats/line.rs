//! The grammar of NATS: a control line, which of what follows belongs to it, and the header block of a message.
use crate::protocol::Side;
use crate::protocol::messaging::Stop;

/// Longest control line: servers refuse more than 4 KiB unless configured otherwise.
const MAX_LINE: usize = 8 * 1024;
/// Longest `INFO` and `CONNECT`: the former lists the servers of a cluster, the latter may hold a token of some KiB.
pub(super) const MAX_GREETING: usize = 48 * 1024;
/// Longest header block that is looked at; of longer ones nothing is known but their length.
pub(super) const MAX_HEADERS: usize = 16 * 1024;
/// Largest message: what servers can be configured to at most.
const MAX_PAYLOAD: u64 = 64 * 1024 * 1024;
/// Arguments of a line that are looked at; no line has more.
const MAX_ARGUMENTS: usize = 5;

/// What a control line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `INFO`.
    Info,
    /// `CONNECT` with its options in JSON.
    Connect(&'a [u8]),
    /// `PUB` or `HPUB`.
    Publish(Message<'a>),
    /// `MSG` or `HMSG`.
    Deliver(Message<'a>),
    /// `SUB`: the number of the subscription, and the group that it is shared in.
    Subscribe { id: &'a [u8], group: Option<&'a [u8]> },
    /// `UNSUB`.
    Unsubscribe,
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR` with its text, without quotes.
    Error(&'a [u8]),
}

/// A message: what its line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// Where it goes to.
    pub(super) subject: &'a [u8],
    /// The subscription that it is for; empty when it is published.
    pub(super) subscription: &'a [u8],
    /// Where an answer shall go to.
    pub(super) reply: Option<&'a [u8]>,
    /// Bytes of its header block.
    pub(super) headers: u64,
    /// Bytes of its header block and its payload.
    pub(super) total: u64,
}

impl Line<'_> {
    /// Bytes behind the line that belong to it.
    pub(super) fn behind(&self) -> u64 {
        match self {
            Self::Publish(message) | Self::Deliver(message) => message.total + 2,
            _ => 0,
        }
    }
}

/// Verbs with the sides that say them. Both sides of a connection between servers say `INFO` and `CONNECT`; those are not followed.
const VERBS: [(&[u8], Option<Side>); 12] = [
    (b"PUB", Some(Side::Client)),
    (b"MSG", Some(Side::Server)),
    (b"HPUB", Some(Side::Client)),
    (b"HMSG", Some(Side::Server)),
    (b"PING", None),
    (b"PONG", None),
    (b"SUB", Some(Side::Client)),
    (b"UNSUB", Some(Side::Client)),
    (b"CONNECT", Some(Side::Client)),
    (b"INFO", Some(Side::Server)),
    (b"+OK", Some(Side::Server)),
    (b"-ERR", Some(Side::Server)),
];

/// The control line at the start of `bytes` and its length, line end included.
pub(super) fn line(from: Side, bytes: &[u8]) -> Result<(Line<'_>, usize), Stop> {
    let verb = verb(from, bytes)?;
    let most = if matches!(verb, b"INFO" | b"CONNECT") { MAX_GREETING } else { MAX_LINE };
    let within = bytes.get(..most).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', within) else {
        return Err(if bytes.len() >= most { Stop::Invalid } else { Stop::More });
    };
    let text = bytes.get(verb.len()..end).unwrap_or_default();
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let mut arguments = [&b""[..]; MAX_ARGUMENTS];
    let mut count = 0;
    let line = match verb {
        b"INFO" => Line::Info,
        b"CONNECT" => Line::Connect(text),
        b"-ERR" => Line::Error(unquoted(text.trim_ascii())),
        _ => {
            for word in text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()) {
                *arguments.get_mut(count).ok_or(Stop::Invalid)? = word;
                count += 1;
            }
            let arguments = arguments.get(..count).unwrap_or_default();
            if !arguments.iter().all(|word| word.iter().all(|byte| *byte > b' ' && *byte != 0x7f)) {
                return Err(Stop::Invalid);
            }
            of_words(verb, arguments).ok_or(Stop::Invalid)?
        }
    };
    Ok((line, end + 1))
}

/// The verb at the start of `bytes`, in the spelling of the table.
fn verb(from: Side, bytes: &[u8]) -> Result<&'static [u8], Stop> {
    let mut perhaps = false;
    for (verb, side) in VERBS {
        if side.is_some_and(|side| side != from) {
            continue;
        }
        let common = bytes.len().min(verb.len());
        if !bytes.iter().zip(verb).all(|(byte, known)| byte.eq_ignore_ascii_case(known)) {
            continue;
        }
        match bytes.get(common) {
            _ if common < verb.len() => perhaps = true,
            None => perhaps = true,
            Some(b' ' | b'\t' | b'\r' | b'\n') => return Ok(verb),
            Some(_) => {}
        }
    }
    Err(if perhaps { Stop::More } else { Stop::Invalid })
}

/// A line of words.
fn of_words<'a>(verb: &[u8], words: &[&'a [u8]]) -> Option<Line<'a>> {
    let message = |subject, subscription, reply, headers: Option<&[u8]>, total| {
        let (headers, total) = (headers.map_or(Some(0), number)?, number(total)?);
        (headers <= total && total <= MAX_PAYLOAD).then_some(Message { subject, subscription, reply, headers, total })
    };
    Some(match (verb, words) {
        (b"PUB", [subject, total]) => Line::Publish(message(subject, &[], None, None, total)?),
        (b"PUB", [subject, reply, total]) => Line::Publish(message(subject, &[], Some(reply), None, total)?),
        (b"HPUB", [subject, headers, total]) => Line::Publish(message(subject, &[], None, Some(headers), total)?),
        (b"HPUB", [subject, reply, headers, total]) => Line::Publish(message(subject, &[], Some(reply), Some(headers), total)?),
        (b"MSG", [subject, id, total]) => Line::Deliver(message(subject, id, None, None, total)?),
        (b"MSG", [subject, id, reply, total]) => Line::Deliver(message(subject, id, Some(reply), None, total)?),
        (b"HMSG", [subject, id, headers, total]) => Line::Deliver(message(subject, id, None, Some(headers), total)?),
        (b"HMSG", [subject, id, reply, headers, total]) => Line::Deliver(message(subject, id, Some(reply), Some(headers), total)?),
        (b"SUB", [_, id]) => Line::Subscribe { id, group: None },
        (b"SUB", [_, group, id]) => Line::Subscribe { id, group: Some(group) },
        (b"UNSUB", [_] | [_, _]) => Line::Unsubscribe,
        (b"PING", []) => Line::Ping,
        (b"PONG", []) => Line::Pong,
        (b"+OK", []) => Line::Ok,
        _ => return None,
    })
}

/// A length in decimal digits.
fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// The status in the first line of a header block, if there is one: `503` of `NATS/1.0 503`.
pub(super) fn status(block: &[u8]) -> Option<&[u8]> {
    let rest = block.strip_prefix(b"NATS/1.0 ")?.trim_ascii_start();
    rest.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))
}

/// The headers of a block, name and value.
pub(super) fn headers(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    block.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
    })
}

/// Without quotes around.
fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text)
}
