//! Recognises AMQP 0-9-1 by the first bytes of a turn.
//!
//! The protocol header is proof, and so are two frames in a row, of which the first is whole and known. One frame needs the other side.
use super::frame::{self, Payload};
use super::method;
use crate::protocol::messaging::Stop;
use crate::protocol::{Guess, Side};

/// What a client says first.
pub(super) const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// The class whose methods are on channel 0, and no others.
const CONNECTION: u16 = 10;

/// Judges the first bytes of a turn.
pub(super) fn judge(from: Side, bytes: &[u8]) -> Guess {
    if bytes.first() == Some(&b'A') {
        let common = bytes.len().min(HEADER.len());
        return match (from, bytes.get(..common) == HEADER.get(..common)) {
            (_, false) => Guess::No,
            (_, true) if common < HEADER.len() => Guess::Maybe,
            (Side::Client, true) => Guess::Yes,
            // A broker that does not speak the version that was asked for.
            (Side::Server, true) => Guess::Likely,
        };
    }
    let Some((used, first)) = (match known(from, bytes) {
        Ok(found) => Some(found),
        Err(Stop::More) => None,
        Err(Stop::Invalid) => return Guess::No,
    }) else {
        return Guess::Maybe;
    };
    match bytes.get(used as usize..).filter(|rest| !rest.is_empty()).map(|rest| known(from, rest)) {
        None | Some(Err(Stop::More)) => first,
        Some(Err(Stop::Invalid)) => Guess::No,
        Some(Ok(_)) => Guess::Yes,
    }
}

/// The length of the frame at the start of `bytes`, if `from` may send such, and what it alone proves.
pub(super) fn known(from: Side, bytes: &[u8]) -> Result<(u64, Guess), Stop> {
    let frame = frame::frame(bytes)?;
    match frame.payload {
        Payload::Method(class, method, _) if !method::is_known(from, (class, method)) => Err(Stop::Invalid),
        Payload::Method(class, ..) if (class == CONNECTION) != (frame.channel == 0) => Err(Stop::Invalid),
        Payload::Header(fields) if !fields.0.starts_with(&[0, 60, 0, 0]) => Err(Stop::Invalid),
        Payload::Method(..) | Payload::Header(_) | Payload::Heartbeat => Ok((frame.len, Guess::Likely)),
        // Seven bytes of which most are zero prove nothing.
        Payload::Body(_) | Payload::Long => Ok((frame.len, Guess::Maybe)),
    }
}
