//! NATS, core and `JetStream`: control lines and messages become publishes, deliveries and calls.
//!
//! Follows the client protocol (<https://docs.nats.io/reference/reference-protocols/nats-protocol>) and, for `JetStream`, its wire API and
//! the architecture decisions ADR-4 (headers), ADR-15 (acknowledgements), ADR-32 (errors of services).
//!
//! - `PUB` and `HPUB` are publishes. One that names an inbox is a request: the message that comes to that inbox on the same connection
//!   answers it, be it a service's reply, a stream's acknowledgement or the server's `503`. Its span lasts until then.
//! - `MSG` and `HMSG` are handed to a consumer. One that names an inbox is answered by what the consumer publishes there: a reply, or the
//!   acknowledgement of a `JetStream` delivery. Neither answer is a message of its own.
//! - Requests to `$JS.API` are calls of the server. Pulls are not: what they bring are deliveries, and what brings nothing (statuses 404,
//!   408, 409), heartbeats, flow control, `PING` and `PONG` yield nothing.
//! - `CONNECT` is answered by the first thing that the server says.
//!
//! A message is known again on the consumer's side by its inbox, or by the stream and its number there. After a loss, a line that is
//! followed by what it announces is found by itself. Of payloads only the status of `JetStream` answers and acknowledgements is read.
//!
//! Not followed: connections between servers, and `-ERR` of publishes that nobody answers, which are over by then.
mod detect;
mod jetstream;
mod line;
mod meaning;
mod session;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// The protocol.
pub struct Nats;

/// Payload bytes copied per turn: a burst of some 300 messages of 200 bytes. Larger payloads are stepped over unseen.
const BUDGET: u32 = 64 * 1024;

impl Protocol for Nats {
    fn name(&self) -> &'static str {
        "nats"
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
        line::MAX_GREETING + line::MAX_HEADERS + jetstream::LOOKED_AT
    }
}
