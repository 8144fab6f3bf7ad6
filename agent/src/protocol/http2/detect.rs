//! Whether bytes are HTTP/2, and whose: the preface, or frames of which one says who sends them.
use super::frame::{BlockLength, Frame, PREFACE, block_length, kind};
use super::hpack::{self, Block};
use super::table::Table;
use crate::protocol::{Guess, Side};

/// Frames that are looked at: enough for what may stand before the first request or response of a turn.
const MOST_FRAMES: usize = 16;

/// Judges the first bytes of a turn. Frames alone do not say who sends them, so they decide nothing; a header block with a method is a
/// client's, and one with a status a server's.
pub(super) fn judge(from: Side, bytes: &[u8]) -> Guess {
    if from == Side::Client && (bytes.starts_with(PREFACE) || PREFACE.starts_with(bytes)) {
        return if bytes.len() < PREFACE.len() { Guess::Maybe } else { Guess::Yes };
    }
    let (mut rest, mut newest) = (bytes, 0);
    for _ in 0..MOST_FRAMES {
        let Some(frame) = Frame::read(rest) else {
            // The length's first byte is zero in usual frames, the type is the fourth.
            let possible = rest.first().is_none_or(|high| *high == 0) && rest.get(3).is_none_or(|kind| *kind <= kind::WINDOW_UPDATE);
            return if possible { Guess::Maybe } else { Guess::No };
        };
        if !frame.fits(from, newest) {
            return Guess::No;
        }
        newest = newest.max(frame.stream);
        if frame.kind == kind::HEADERS {
            match block_length(&frame, rest) {
                BlockLength::Known(_) => {}
                BlockLength::More => return Guess::Maybe,
                BlockLength::Invalid => return Guess::No,
            }
            if let Some(guess) = frame.fragment(rest).map_or(Some(Guess::No), |fragment| sender(from, fragment)) {
                return guess;
            }
        }
        rest = usize::try_from(frame.whole()).ok().and_then(|whole| rest.get(whole..)).unwrap_or_default();
    }
    Guess::Maybe
}

/// Whose the block is that begins with `fragment`: names and values that have to be looked up in an unknown table say nothing.
fn sender(from: Side, fragment: &[u8]) -> Option<Guess> {
    let mut block = Block::default();
    // An error may be no more than the end of the fragment.
    let _ = hpack::decode(&mut Table::default(), fragment, &mut block);
    let (request, response) = (block.get(":method").is_some(), block.get(":status").is_some());
    match (request, response, from) {
        (false, false, _) => None,
        (true, false, Side::Client) | (false, true, Side::Server) => Some(Guess::Yes),
        _ => Some(Guess::No),
    }
}
