//! Recognises NATS by the first bytes of a turn.
//!
//! The greetings of both sides are proof, and so is a header block. Other lines are spoken alike elsewhere (`PING`), so that it takes two
//! messages, one of them with a payload that ends where its line says, or one of each side.
use super::line::{self, Line};
use crate::protocol::messaging::Stop;
use crate::protocol::{Guess, Side};

/// Lines that are looked at.
const LOOKED_AT: usize = 4;
/// How every header block begins.
const BLOCK: &[u8] = b"NATS/1.0";
/// How a server's greeting begins, and a client's.
const GREETINGS: [(Side, &[u8]); 2] = [(Side::Server, b"INFO {\"server_id\":"), (Side::Client, b"CONNECT {\"")];

/// Judges the first bytes of a turn.
pub(super) fn judge(from: Side, bytes: &[u8]) -> Guess {
    if GREETINGS.iter().any(|(side, greeting)| *side == from && bytes.starts_with(greeting)) {
        return Guess::Yes;
    }
    let (mut rest, mut found, mut whole) = (bytes, 0, false);
    for _ in 0..LOOKED_AT {
        let (line, used) = match line::line(from, rest) {
            Ok(line) => line,
            Err(Stop::More) => break,
            Err(Stop::Invalid) => return Guess::No,
        };
        let behind = rest.get(used..).unwrap_or_default();
        match line {
            Line::Connect(options) if !options.trim_ascii_start().starts_with(b"{") => return Guess::No,
            Line::Publish(message) | Line::Deliver(message) => {
                if message.headers > 0 {
                    let common = behind.len().min(BLOCK.len());
                    if behind.get(..common) != BLOCK.get(..common) {
                        return Guess::No;
                    }
                    if common == BLOCK.len() {
                        return Guess::Yes;
                    }
                }
                let end = message.total as usize;
                match behind.get(end..end + 2) {
                    Some(b"\r\n") => whole = true,
                    Some(_) => return Guess::No,
                    None => {}
                }
            }
            _ => {}
        }
        // Others say this, too.
        found += usize::from(line != Line::Ok);
        rest = rest.get(used + line.behind() as usize..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
    }
    match found {
        0 => Guess::Maybe,
        2.. if whole => Guess::Yes,
        _ => Guess::Likely,
    }
}
