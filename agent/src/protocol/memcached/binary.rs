//! A packet of the binary protocol: 24 bytes say what it is, and how long the rest is.
use super::Stop;
use super::command::{self, Command};

/// Length of a packet's header.
pub(super) const HEADER: usize = 24;
/// First byte of a request.
pub(super) const REQUEST: u8 = 0x80;
/// First byte of a response.
pub(super) const RESPONSE: u8 = 0x81;
/// Longest body: the largest value that a server can be configured to take, a key, and a little.
const MAX_BODY: u32 = (1 << 30) + 1024;
/// Longest key.
const MAX_KEY: u16 = 250;

/// A command's number.
struct Operation {
    name: &'static str,
    quiet: bool,
    /// Length of the extras of a request.
    extras: u8,
    /// Whether a request has a key; `None` if it may.
    keyed: Option<bool>,
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// The command, or the one that it answers.
    pub(super) command: &'static Command,
    /// Whether the command is a quiet one.
    pub(super) quiet: bool,
    /// Whether there is a key.
    pub(super) keyed: bool,
    /// Status of a response.
    pub(super) status: u16,
    /// Bytes of the packet.
    pub(super) len: u64,
}

fn operation(code: u8) -> Option<Operation> {
    let (name, quiet, extras, keyed) = match code {
        0x00 | 0x0c => ("get", false, 0, Some(true)),
        0x09 | 0x0d => ("get", true, 0, Some(true)),
        0x01 => ("set", false, 8, Some(true)),
        0x02 => ("add", false, 8, Some(true)),
        0x03 => ("replace", false, 8, Some(true)),
        0x04 => ("delete", false, 0, Some(true)),
        0x05 => ("incr", false, 20, Some(true)),
        0x06 => ("decr", false, 20, Some(true)),
        0x07 => ("quit", false, 0, Some(false)),
        0x08 => ("flush_all", false, 4, Some(false)),
        0x0a => ("noop", false, 0, Some(false)),
        0x0b => ("version", false, 0, Some(false)),
        0x0e => ("append", false, 0, Some(true)),
        0x0f => ("prepend", false, 0, Some(true)),
        0x10 => ("stats", false, 0, None),
        0x11 => ("set", true, 8, Some(true)),
        0x12 => ("add", true, 8, Some(true)),
        0x13 => ("replace", true, 8, Some(true)),
        0x14 => ("delete", true, 0, Some(true)),
        0x15 => ("incr", true, 20, Some(true)),
        0x16 => ("decr", true, 20, Some(true)),
        0x17 => ("quit", true, 0, Some(false)),
        0x18 => ("flush_all", true, 4, Some(false)),
        0x19 => ("append", true, 0, Some(true)),
        0x1a => ("prepend", true, 0, Some(true)),
        0x1b => ("verbosity", false, 4, Some(false)),
        0x1c => ("touch", false, 4, Some(true)),
        0x1d | 0x23 => ("gat", false, 4, Some(true)),
        0x1e | 0x24 => ("gat", true, 4, Some(true)),
        0x20 => ("sasl_list_mechs", false, 0, Some(false)),
        0x21 | 0x22 => ("sasl_auth", false, 0, Some(true)),
        _ => return None,
    };
    Some(Operation { name, quiet, extras, keyed })
}

/// The header at the start of `bytes`; `first` is the byte that it has to begin with.
pub(super) fn header(bytes: &[u8], first: u8) -> Result<Packet, Stop> {
    let known = |index: usize, holds: fn(u8) -> bool| bytes.get(index).is_none_or(|byte| holds(*byte));
    if !known(1, |code| operation(code).is_some()) || !known(5, |data_type| data_type == 0) || bytes.first() != Some(&first) {
        return Err(Stop::Invalid);
    }
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Err(Stop::More) };
    let [_, code, k0, k1, extras, _, s0, s1, b0, b1, b2, b3, ..] = *header;
    let Operation { name, quiet, extras: wanted, keyed } = operation(code).ok_or(Stop::Invalid)?;
    let key = u16::from_be_bytes([k0, k1]);
    let body = u32::from_be_bytes([b0, b1, b2, b3]);
    let status = u16::from_be_bytes([s0, s1]);
    let fits = u32::from(key) + u32::from(extras) <= body && key <= MAX_KEY && body <= MAX_BODY;
    let asks = || (extras == wanted || (name == "flush_all" && extras == 0)) && keyed.is_none_or(|keyed| keyed == (key > 0));
    let answers = || status == 0 || status_name(status) != "_OTHER";
    if !fits || !(if first == REQUEST { asks() } else { answers() }) {
        return Err(Stop::Invalid);
    }
    let command = command::find(name.as_bytes()).ok_or(Stop::Invalid)?;
    Ok(Packet { command, quiet, keyed: key > 0, status, len: HEADER as u64 + u64::from(body) })
}

/// A status by the name that memcached's `protocol_binary.h` gives it.
pub(super) fn status_name(status: u16) -> &'static str {
    match status {
        0x01 => "KEY_ENOENT",
        0x02 => "KEY_EEXISTS",
        0x03 => "E2BIG",
        0x04 => "EINVAL",
        0x05 => "NOT_STORED",
        0x06 => "DELTA_BADVAL",
        0x07 => "NOT_MY_VBUCKET",
        0x08 | 0x20 => "AUTH_ERROR",
        0x09 | 0x21 => "AUTH_CONTINUE",
        0x81 => "UNKNOWN_COMMAND",
        0x82 => "ENOMEM",
        0x83 => "NOT_SUPPORTED",
        0x84 => "EINTERNAL",
        0x85 => "EBUSY",
        0x86 => "ETMPFAIL",
        _ => "_OTHER",
    }
}

/// The name of a status that is an error. A key that is not there, is there already, or has changed is an answer like another.
pub(super) fn error(status: u16) -> Option<&'static str> {
    (!matches!(status, 0x00 | 0x01 | 0x02 | 0x05 | 0x09 | 0x21)).then(|| status_name(status))
}
