//! Whether bytes are Kafka's, and whose.
//!
//! A request begins with a length, a kind, a version that this kind has, a number and a text: nothing else looks like it. Without the
//! text, which a client may leave out, its body has to fit, too, and the other side has to speak of the like.
use super::api::Role;
use super::header::{self, Asked, Stop};
use crate::protocol::{Guess, Side};

/// Largest first request that sends no messages.
const LARGEST_FIRST: u32 = 1 << 20;
/// Most topics in a request whose client does not say who it is.
const MOST_TOPICS: u64 = 10_000;

/// Judges the first bytes of a turn.
pub(super) fn judge(from: Side, bytes: &[u8]) -> Guess {
    let judged = match from {
        Side::Client => client(bytes),
        Side::Server => server(bytes),
    };
    match judged {
        Ok(guess) => guess,
        Err(Stop::More) => Guess::Maybe,
        Err(Stop::Invalid) => Guess::No,
    }
}

fn client(bytes: &[u8]) -> Result<Guess, Stop> {
    let asked = Asked::read(bytes)?;
    if asked.correlation < 0 || (asked.api.role != Role::Produce && asked.size > LARGEST_FIRST) {
        return Ok(Guess::No);
    }
    if asked.client.is_some() {
        return Ok(Guess::Yes);
    }
    let whole = bytes.len() >= asked.size as usize + 4;
    Ok(match fits(&asked) {
        Some(true) => Guess::Likely,
        None if !whole => Guess::Maybe,
        _ => Guess::No,
    })
}

/// Whether the body can be what its kind says; `None` if there is too little of it.
fn fits(asked: &Asked<'_>) -> Option<bool> {
    let mut body = asked.body.clone();
    Some(match (asked.api.name, asked.version) {
        ("ApiVersions", 0..=2) => asked.size == 10,
        ("ApiVersions", _) => body.string()?.iter().all(u8::is_ascii_graphic),
        ("Metadata", 1..) => body.count()? <= MOST_TOPICS,
        ("Produce", version) => {
            if version >= 3 {
                body.string()?;
            }
            (-1..=1).contains(&body.i16()?) && body.i32()? > 0 && (1..=MOST_TOPICS).contains(&body.count()?)
        }
        ("Fetch", ..=14) => body.i32()? >= -1 && body.i32()? >= 0 && body.i32()? >= 0,
        ("FindCoordinator" | "JoinGroup" | "SyncGroup" | "Heartbeat" | "OffsetCommit", _) => super::commit::group(&mut body).is_some(),
        _ => false,
    })
}

fn server(bytes: &[u8]) -> Result<Guess, Stop> {
    header::size(bytes, 4)?;
    let correlation = bytes.get(4..8).ok_or(Stop::More)?;
    Ok(if correlation.first().is_some_and(|first| *first < 0x80) { Guess::Likely } else { Guess::No })
}
