//! Apache Kafka: `Produce` becomes a span that sends messages, a `Fetch` that found some becomes one that polls them, and what a group
//! commits becomes one that settles them. Joining and leaving a group, transactions, authentication and what an administrator asks for are
//! spans named after the request; looking up topics and coordinators is one only if it failed; heartbeats and what brokers do among
//! themselves never are.
//!
//! Follows the protocol guide (<https://kafka.apache.org/protocol>) and the schemas of Apache Kafka 4.1, with the older versions as they
//! were in 3.9: every version since 0.11, flexible ones (KIP-482) and topic ids (KIP-516) among them. Of a version that is newer, the
//! request's kind is known and its body is not read.
//!
//! A message is looked at up to [`LOOK`]: of one that is larger, or was captured in part, what lies behind is not known, and where that
//! leaves the number of messages open, none is told. Keys leave this module only where they are identifiers; values, headers other than
//! those of trace context, tokens and transactional ids never do. Records that are compressed are not unpacked, so the context in their
//! headers is not seen: then producer and consumer meet by topic, partition and offset. Share groups (KIP-932) are not read.
//!
//! After a loss, what follows begins with the next turn; responses are paired by their correlation, so a loss joins no strangers.
mod api;
mod commit;
mod dealings;
mod detect;
mod error;
mod faults;
mod fetch;
mod header;
mod produce;
mod records;
mod session;
#[cfg(test)]
mod tests;
mod topics;
mod wire;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// Bytes of a message that are looked at: two batches of the size that producers make unless configured otherwise.
const LOOK: usize = 32 * 1024;
/// Payload bytes copied per turn: what is looked at of several messages in a row, which clients have on their way at once.
const BUDGET: u32 = 128 * 1024;

/// The protocol.
pub struct Kafka;

impl Protocol for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
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
        LOOK
    }
}
