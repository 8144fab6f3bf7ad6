//! Recognises MQTT by the first bytes of a turn: `CONNECT` is proof, other packets count only if both sides' turns consist of such.
use super::packet::{self, Body, Version};
use crate::protocol::messaging::Stop;
use crate::protocol::{Guess, Side};

/// Packets that are looked at.
const LOOKED_AT: usize = 8;

/// Judges the first bytes of a turn.
pub(super) fn judge(from: Side, bytes: &[u8]) -> Guess {
    let mut rest = bytes;
    let mut guess = Guess::Maybe;
    for _ in 0..LOOKED_AT {
        let packet = match packet::packet(from, Version::Unknown, rest) {
            Ok(packet) => packet,
            Err(Stop::More) => break,
            Err(Stop::Invalid) => return Guess::No,
        };
        if matches!(packet.body, Body::Connect(_)) {
            return Guess::Yes;
        }
        guess = Guess::Likely;
        match rest.get(packet.len as usize..) {
            Some(behind) if !behind.is_empty() => rest = behind,
            _ => break,
        }
    }
    guess
}
