//! Recognises the protocol by the first bytes of a turn.
//!
//! A server's greeting is proof, and so are a statement that begins as one and a result's first two packets. Other commands and answers
//! are a few bytes long, so they count together only.
use super::command;
use super::login::{self, PROTOCOL_41};
use super::packet::Packet;
use crate::protocol::Guess;

/// Longest statement that a server can be configured to take.
const MAX_PACKET: u32 = 1 << 24;
/// Longest beginning of a connection, with everything that a client tells about itself.
const MAX_LOGIN: u32 = 0xffff;
/// Words that statements begin with, in lower case.
const WORDS: [&[u8]; 36] = [
    b"select",
    b"insert",
    b"update",
    b"delete",
    b"set",
    b"show",
    b"begin",
    b"start",
    b"commit",
    b"rollback",
    b"call",
    b"use",
    b"with",
    b"replace",
    b"create",
    b"alter",
    b"drop",
    b"truncate",
    b"explain",
    b"analyze",
    b"describe",
    b"desc",
    b"load",
    b"lock",
    b"unlock",
    b"grant",
    b"revoke",
    b"kill",
    b"flush",
    b"optimize",
    b"prepare",
    b"execute",
    b"savepoint",
    b"release",
    b"xa",
    b"values",
];

/// Judges the first bytes of a client's turn.
pub(super) fn client(bytes: &[u8]) -> Guess {
    let Some(packet) = Packet::at(bytes) else { return Guess::Maybe };
    match packet.seq {
        0 => command(&packet),
        // The beginning of a connection, without TLS or in its first packet.
        1 | 2 => beginning(&packet),
        _ => Guess::No,
    }
}

fn beginning(packet: &Packet<'_>) -> Guess {
    // TLS begins with these numbers too, and with a much greater length.
    if !(32..=MAX_LOGIN).contains(&packet.len) {
        return Guess::No;
    }
    // Capabilities, longest packet, character set, and 19 bytes of zeros.
    let (Some(capabilities), Some(reserved)) = (packet.payload.first_chunk::<4>(), packet.payload.get(9..28)) else {
        return Guess::Maybe;
    };
    let plausible = u32::from_le_bytes(*capabilities) & PROTOCOL_41 != 0 && reserved.iter().all(|byte| *byte == 0);
    if plausible { Guess::Likely } else { Guess::No }
}

fn command(packet: &Packet<'_>) -> Guess {
    let Some(code) = packet.first() else { return if packet.len == 0 { Guess::No } else { Guess::Maybe } };
    let Some(command) = command::find(code) else { return Guess::No };
    if !(command.lengths.0..=command.lengths.1).contains(&packet.len) || packet.len > MAX_PACKET {
        return Guess::No;
    }
    let rest = packet.payload.get(1..).unwrap_or_default();
    let whole = packet.payload.len() == packet.len as usize;
    match code {
        command::QUERY | command::PREPARE => statement(rest, whole),
        command::INIT_DB | command::CREATE_DB | command::DROP_DB => match std::str::from_utf8(rest) {
            Ok(name) if whole && !name.is_empty() && !name.contains(char::is_control) => Guess::Likely,
            _ if whole => Guess::No,
            _ => Guess::Maybe,
        },
        // Number, flags, and how often, which is once.
        command::EXECUTE => match rest.get(4..9) {
            Some(&[flags, 1, 0, 0, 0]) if flags & 0xf0 == 0 => Guess::Likely,
            Some(_) => Guess::No,
            None => Guess::Maybe,
        },
        command::QUIT => Guess::Maybe,
        _ if packet.len == 1 => Guess::Likely,
        _ => Guess::Maybe,
    }
}

/// Whether the text of a statement begins as one, behind attributes of the query.
fn statement(bytes: &[u8], whole: bool) -> Guess {
    let text = match bytes {
        [0] if !whole => return Guess::Maybe,
        // With attributes: where the text begins is not looked for.
        [1..=8, 1, ..] => return Guess::Likely,
        text => text.strip_prefix(&[0, 1]).unwrap_or(text),
    };
    let text = text.trim_ascii_start();
    if text.starts_with(b"/*") || text.starts_with(b"--") {
        return Guess::Yes;
    }
    if !whole && matches!(text, b"/" | b"-") {
        return Guess::Maybe;
    }
    let text = text.strip_prefix(b"(").unwrap_or(text);
    let end = text.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    let word = text.get(..end).unwrap_or_default();
    let ended = end < text.len() || whole;
    let like = |known: &&[u8]| known.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    match WORDS.iter().find(|known| like(known) && (!ended || known.len() == word.len())) {
        Some(_) if ended => Guess::Yes,
        Some(_) => Guess::Maybe,
        None => Guess::No,
    }
}

/// Judges the first bytes of a server's turn.
pub(super) fn server(bytes: &[u8]) -> Guess {
    let Some(packet) = Packet::at(bytes) else { return Guess::Maybe };
    let Some(first) = packet.first() else { return if packet.len == 0 { Guess::No } else { Guess::Maybe } };
    match (packet.seq, first) {
        (0, 10) => greeting(&packet),
        (0, _) | (_, 0xfb) => Guess::No,
        (_, 0xff) => match packet.payload.get(1..9) {
            Some(&[_, _, b'#', ref state @ ..]) if state.iter().all(u8::is_ascii_alphanumeric) => Guess::Likely,
            Some(_) => Guess::No,
            None => Guess::Maybe,
        },
        // `OK`, or what was prepared.
        (_, 0) if packet.len >= 7 => match packet.payload.len() {
            7.. => Guess::Likely,
            _ => Guess::Maybe,
        },
        // A request for another proof, or more data of one.
        (2..=4, 0xfe | 1) if packet.len > 2 => Guess::Likely,
        // The number of columns, and the first definition.
        (1, 1..=0xfa) if packet.len <= 2 => match bytes.get(packet.size() as usize..).map(|rest| (Packet::at(rest), rest.len())) {
            Some((Some(next), _)) => match next.payload {
                [3, b'd', b'e', b'f', ..] if next.seq == 2 => Guess::Yes,
                [] | [3] | [3, b'd'] | [3, b'd', b'e'] if next.seq == 2 && next.len > 4 => Guess::Maybe,
                _ => Guess::No,
            },
            _ => Guess::Maybe,
        },
        _ => Guess::No,
    }
}

fn greeting(packet: &Packet<'_>) -> Guess {
    if login::greeting(packet.payload).is_some() {
        return Guess::Yes;
    }
    let version = packet.payload.get(1..).unwrap_or_default();
    let ended = version.contains(&0);
    let plausible =
        (30..512).contains(&packet.len) && version.iter().take_while(|byte| **byte != 0).all(|byte| (b' '..=b'~').contains(byte));
    if plausible && !(ended && packet.payload.len() == packet.len as usize) { Guess::Maybe } else { Guess::No }
}
