//! `MongoDB`: `OP_MSG`, and the older messages that drivers still begin with, become one request per command and one response per reply.
//!
//! Follows "`MongoDB` Wire Protocol" and "`OP_MSG`" of the driver specifications, and the BSON specification 1.1. Of a document, the names of
//! fields that the protocol itself has are looked for; of values only the command, the collection, the database, error codes and their
//! names leave this module. Filters, documents and everything of an authentication are stepped over by their lengths.
//!
//! A reply names its request, so pairing needs no order, and a loss ends with the next message. `hello`, `isMaster` and
//! `ping` are no messages of a pair, nor is the stream of replies that a monitor gets; a `getMore` that waited for nothing is idle. Not followed:
//! compressed messages, of which it is said that they are (`wirespan.incomplete` is `compression`), and replies of an exhaust cursor
//! behind the first.
mod bson;
mod command;
mod detect;
mod header;
mod query;
mod reply;
mod session;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// The protocol.
pub struct MongoDb;

/// Payload bytes copied per turn: one message, as far as it is looked at. What follows is stepped over unseen.
const BUDGET: u32 = header::MAX_SHOWN as u32 + 64;

/// Why no step can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// More bytes are needed.
    More,
    /// This is not `MongoDB`.
    Invalid,
}

impl Protocol for MongoDb {
    fn name(&self) -> &'static str {
        "mongodb"
    }

    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        detect::judge(from, bytes)
    }

    fn decoder(&self, _server: SocketAddr, _joined: bool) -> Box<dyn Decoder> {
        Box::new(session::Session::default())
    }

    fn budget(&self) -> u32 {
        BUDGET
    }

    fn longest_head(&self) -> usize {
        header::MAX_SHOWN
    }
}
