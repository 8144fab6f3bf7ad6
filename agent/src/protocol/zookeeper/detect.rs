//! Whether bytes are `ZooKeeper`'s, and whose.
use super::session::{CONNECT, CONNECTED, Stop, connected, frame, is_connect};
use super::{jute, op};
use crate::protocol::{Guess, Side};

/// Largest first message: what a server accepts unless configured otherwise.
const LARGEST_FIRST: u32 = 1 << 20;
/// A ping, from its number on: the number of all pings, and the operation.
const PING: [u8; 8] = [0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11];

/// Judges the first bytes of a turn.
pub(super) fn judge(from: Side, bytes: &[u8]) -> Guess {
    match frame(bytes) {
        Err(Stop::More) => Guess::Maybe,
        Err(Stop::Invalid) => Guess::No,
        Ok((size, _)) if size > LARGEST_FIRST => Guess::No,
        Ok((size, body)) => match from {
            Side::Client => client(size, body),
            Side::Server => server(size, body),
        },
    }
}

fn client(size: u32, body: &[u8]) -> Guess {
    if CONNECT.contains(&size) && is_connect(size, body) {
        return if body.len() < 28 { Guess::Maybe } else { Guess::Yes };
    }
    let rest = &mut &*body;
    let (Some(number), Some(code)) = (jute::int(rest), jute::int(rest)) else { return Guess::Maybe };
    if op::name(code).is_none() || code == op::CREATE_SESSION {
        return Guess::No;
    }
    let sure = |yes: bool| if yes { Guess::Yes } else { Guess::No };
    match (code, number) {
        (op::PING, _) => sure(size == 8 && body == PING),
        (op::CLOSE_SESSION, 1..) => sure(size == 8),
        (_, 1..) if op::has_path(code) => {
            let length = jute::int(rest).and_then(|length| u32::try_from(length).ok());
            match (length, rest.first()) {
                (None, _) => {
                    if body.len() < 12 {
                        Guess::Maybe
                    } else {
                        Guess::No
                    }
                }
                (Some(length), first) if length > 0 && length + 12 <= size => first.map_or(Guess::Maybe, |first| sure(*first == b'/')),
                _ => Guess::No,
            }
        }
        (100, -4) | (101 | 105, -8) | (_, 1..) => Guess::Likely,
        _ => Guess::No,
    }
}

fn server(size: u32, body: &[u8]) -> Guess {
    if CONNECTED.contains(&size) && connected(size, body).is_some() {
        return Guess::Yes;
    }
    let rest = &mut &*body;
    let (Some(number), Some(transaction), Some(error)) = (jute::int(rest), jute::long(rest), jute::int(rest)) else {
        return if size >= 16 { Guess::Maybe } else { Guess::No };
    };
    let known = error <= 0 && op::error(error).is_none_or(|name| name != "_OTHER");
    match number {
        0 if CONNECTED.contains(&size) && body.len() < 20 => Guess::Maybe,
        // Something that is watched: what happened to it, in which state, and its path.
        -1 if transaction == -1 && error == 0 => Guess::Yes,
        -2 if size == 16 && known => Guess::Yes,
        1.. | -4 | -8 if transaction >= -1 && known => Guess::Likely,
        _ => Guess::No,
    }
}
