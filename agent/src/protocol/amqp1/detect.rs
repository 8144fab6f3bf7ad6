//! Recognises AMQP 1.0 by the first bytes of a turn: a client's protocol header is proof, and so are two frames that begin as frames do.
use super::value;
use crate::protocol::messaging::Fields;
use crate::protocol::{Guess, Side};

/// How both sides begin: plainly, and for a login.
pub(super) const HEADERS: [&[u8]; 2] = [b"AMQP\x00\x01\x00\x00", b"AMQP\x03\x01\x00\x00"];
/// Largest frame that counts.
const MAX_FRAME: u32 = 64 * 1024 * 1024;

/// Judges the first bytes of a turn.
pub(super) fn judge(from: Side, bytes: &[u8]) -> Guess {
    if bytes.first() == Some(&b'A') {
        let common = bytes.len().min(8);
        let known = HEADERS.iter().any(|header| bytes.get(..common) == header.get(..common));
        return match (from, known) {
            (_, false) => Guess::No,
            (_, true) if common < 8 => Guess::Maybe,
            (Side::Client, true) => Guess::Yes,
            // A broker that does not speak the version that was asked for.
            (Side::Server, true) => Guess::Likely,
        };
    }
    let Some(first) = frame(bytes) else { return Guess::Maybe };
    match first {
        None => Guess::No,
        Some(len) => match bytes.get(len as usize..).filter(|rest| !rest.is_empty()).map(frame) {
            None | Some(None) => Guess::Likely,
            Some(Some(None)) => Guess::No,
            Some(Some(Some(_))) => Guess::Yes,
        },
    }
}

/// The length of the frame that begins here; nothing if that cannot be said yet, and no length if it is none.
#[expect(clippy::option_option, reason = "what is cut is not what is none")]
fn frame(bytes: &[u8]) -> Option<Option<u32>> {
    let mut fields = Fields(bytes);
    let len = fields.u32()?;
    if !(value::FRAME_HEADER as u32..=MAX_FRAME).contains(&len) {
        return Some(None);
    }
    let (offset, kind, channel) = (fields.u8()?, fields.u8()?, fields.u16()?);
    if offset != 2 || kind > 1 || (kind == 1 && channel != 0) {
        return Some(None);
    }
    if len == value::FRAME_HEADER as u32 {
        return Some((kind == 0).then_some(len));
    }
    let [start, code, what, list] = *fields.0.first_chunk()?;
    let known = if kind == 0 { (0x10..=0x18).contains(&what) } else { (0x40..=0x44).contains(&what) };
    Some((start == 0 && code == 0x53 && known && matches!(list, 0x45 | 0xc0 | 0xd0)).then_some(len))
}
