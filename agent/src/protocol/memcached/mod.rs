//! Memcached: the text, meta and binary protocols become one request per command and one response per answer.
//!
//! Follows `doc/protocol.txt` of memcached 1.6 and its binary protocol (the wiki's `BinaryProtocolRevamped`). Values are stepped over by
//! their length. Keys, values, flags, the texts of errors and everything of SASL stay in the parser: of a command its name leaves it, and how
//! many keys it has.
//!
//! What is quiet: a change (`noreply`, `SetQ`, `ms … q`) is a request that nobody answers. Quiet reads (`GetQ`, `mg … q`) are one
//! batch together with the command that ends them, most often a no-op, because nothing says of a miss when it was one. A no-op alone is a ping.
//!
//! Not followed: the failure of a quiet change, which comes after its request was told as unanswered. After a loss the pairing begins anew
//! with the next turn, as commands and answers carry nothing that joins them.
mod binary;
mod command;
mod detect;
mod queue;
mod reply;
mod session;
#[cfg(test)]
mod tests;
mod text;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// The protocol.
pub struct Memcached;

/// Payload bytes copied per turn: the values of a read of a hundred keys lie between the lines that say how long each is. A larger value
/// is stepped over unseen.
const BUDGET: u32 = 128 * 1024;

/// Why no step can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// More bytes are needed.
    More,
    /// This is not Memcached.
    Invalid,
}

impl Protocol for Memcached {
    fn name(&self) -> &'static str {
        "memcached"
    }

    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        match from {
            Side::Client => detect::client(bytes),
            Side::Server => detect::server(bytes),
        }
    }

    fn decoder(&self, _server: SocketAddr, joined: bool) -> Box<dyn Decoder> {
        Box::new(session::Session::new(joined))
    }

    fn budget(&self) -> u32 {
        BUDGET
    }

    fn longest_head(&self) -> usize {
        text::MAX_LINE + 1
    }
}
