//! Messages: a type, a length that counts itself, and a body. The first one of a client has no type.
use crate::protocol::Side;
use memchr::memchr;

/// Bytes of a message that are looked at: of a statement, what is worth to be shown, with room for a comment at its end.
pub(super) const LONGEST_HEAD: usize = 16 * 1024;
/// Bytes of a message that are looked at for names: of portals and statements (63 bytes each) or of fields.
const LONGEST_NAMES: usize = 512;
/// Longest message (`MaxAllocSize`).
const LONGEST: u64 = 0x3fff_ffff;
/// Longest first message (`MAX_STARTUP_PACKET_LENGTH`).
const LONGEST_STARTUP: u32 = 10_000;
/// Type and length.
pub(super) const HEADER: usize = 5;

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// More bytes are needed.
    More,
    /// This is no message.
    Invalid,
}

/// A message's type and its length with all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) total: u64,
}

/// The lengths that a message may state, by its type.
#[expect(clippy::match_same_arms, reason = "messages that are alike by chance are told apart")]
fn lengths(from: Side, kind: u8) -> Option<(u64, u64)> {
    Some(match (from, kind) {
        // Sync, Flush, Terminate, CopyDone. ParseComplete, BindComplete, CloseComplete, EmptyQueryResponse, NoData, PortalSuspended.
        (Side::Client, b'S' | b'H' | b'X' | b'c') | (Side::Server, b'1' | b'2' | b'3' | b'I' | b'n' | b's' | b'c') => (4, 4),
        (Side::Server, b'Z') => (5, 5),
        // Query, CopyFail, password. CommandComplete, Error, Notice: a text at least.
        (Side::Client, b'Q' | b'f' | b'p') | (Side::Server, b'C' | b'E' | b'N') => (5, LONGEST),
        // Describe and Close, Parse, Bind, Execute, FunctionCall.
        (Side::Client, b'D' | b'C') => (6, LONGEST),
        (Side::Client, b'P') => (8, LONGEST),
        (Side::Client, b'B') => (12, LONGEST),
        (Side::Client, b'E') => (9, LONGEST),
        (Side::Client, b'F') => (14, LONGEST),
        // RowDescription, DataRow, ParameterDescription, ParameterStatus.
        (Side::Server, b'T' | b'D' | b't' | b'S') => (6, LONGEST),
        // Authentication, BackendKeyData, NegotiateProtocolVersion, NotificationResponse, FunctionCallResponse.
        (Side::Server, b'R' | b'K' | b'v' | b'A' | b'V') => (8, LONGEST),
        (Side::Server, b'G' | b'H' | b'W') => (7, LONGEST),
        (Side::Client | Side::Server, b'd') => (4, LONGEST),
        _ => return None,
    })
}

/// The header at the start of `bytes`.
pub(super) fn header(from: Side, bytes: &[u8]) -> Result<Header, Stop> {
    let kind = *bytes.first().ok_or(Stop::More)?;
    let (least, most) = lengths(from, kind).ok_or(Stop::Invalid)?;
    let length = bytes.get(1..HEADER).and_then(<[u8]>::first_chunk).ok_or(Stop::More)?;
    let length = u64::from(u32::from_be_bytes(*length));
    if (least..=most).contains(&length) { Ok(Header { kind, total: length + 1 }) } else { Err(Stop::Invalid) }
}

/// The body of a message as far as it is looked at, and whether that is all of it.
pub(super) fn body(bytes: &[u8], header: Header) -> Result<(&[u8], bool), Stop> {
    let longest = if matches!(header.kind, b'Q' | b'P') { LONGEST_HEAD } else { LONGEST_NAMES };
    let shown = header.total.min(longest as u64) as usize;
    Ok((bytes.get(HEADER..shown).ok_or(Stop::More)?, shown as u64 == header.total))
}

/// A text that ends with a zero byte, and what follows it.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(memchr(0, bytes)?)?;
    Some((text, rest.get(1..)?))
}

/// A client's first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Startup<'a> {
    /// It wants encryption: one byte answers.
    Encryption,
    /// It cancels a query of another connection.
    Cancel,
    /// It begins, with this database if it names one.
    Begin(Option<&'a [u8]>),
}

/// The first message at the start of `bytes`, and its length.
pub(super) fn startup(bytes: &[u8]) -> Result<(Startup<'_>, u64), Stop> {
    let length = *bytes.first_chunk().ok_or_else(|| short(bytes))?;
    let length = u32::from_be_bytes(length);
    if !(8..=LONGEST_STARTUP).contains(&length) {
        return Err(Stop::Invalid);
    }
    let code = bytes.get(4..8).and_then(<[u8]>::first_chunk).ok_or(Stop::More)?;
    let startup = match (u32::from_be_bytes(*code), length) {
        // SSLRequest and GSSENCRequest.
        (80_877_103 | 80_877_104, 8) => Startup::Encryption,
        // CancelRequest; keys are longer since version 3.2.
        (80_877_102, 16..=268) => Startup::Cancel,
        // Version 3.x.
        (code, _) if code >> 16 == 3 => {
            let parameters = bytes.get(8..length as usize).ok_or(Stop::More)?;
            database(parameters).map(Startup::Begin)?
        }
        _ => return Err(Stop::Invalid),
    };
    Ok((startup, u64::from(length)))
}

/// Too short for a length: what a length of a first message begins with.
fn short(bytes: &[u8]) -> Stop {
    if bytes.iter().take(2).all(|byte| *byte == 0) { Stop::More } else { Stop::Invalid }
}

/// The database among the parameters, which are pairs of texts behind which a zero byte ends the message.
fn database(parameters: &[u8]) -> Result<Option<&[u8]>, Stop> {
    let mut found = None;
    let mut rest = parameters;
    let mut user = false;
    while rest != [0] {
        let (name, tail) = text(rest).ok_or(Stop::Invalid)?;
        let (value, tail) = text(tail).ok_or(Stop::Invalid)?;
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return Err(Stop::Invalid);
        }
        user |= name == b"user";
        if name == b"database" && !value.is_empty() {
            found = Some(value);
        }
        rest = tail;
    }
    if user { Ok(found) } else { Err(Stop::Invalid) }
}

/// The fields of an error that count: its SQLSTATE, and whether the connection ends with it.
pub(super) fn error(body: &[u8]) -> (Option<&[u8]>, bool) {
    let (mut code, mut fatal) = (None, false);
    let mut rest = body;
    while let Some((kind, tail)) = rest.split_first() {
        let Some((value, tail)) = text(tail) else { break };
        match kind {
            b'C' => code = Some(value),
            // The severity, in the server's language and in English.
            b'S' | b'V' => fatal |= matches!(value, b"FATAL" | b"PANIC"),
            _ => {}
        }
        rest = tail;
    }
    (code.filter(|code| code.len() == 5 && code.iter().all(u8::is_ascii_alphanumeric)), fatal)
}
