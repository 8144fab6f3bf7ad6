//! AMQP 1.0 (<https://docs.oasis-open.org/amqp/core/v1.0/amqp-core-complete-v1.0.pdf>): transfers become publishes and deliveries.
//!
//! - A client's `transfer` is a publish, a broker's is handed to a consumer. Unless it is settled already, the other side's `disposition`
//!   answers it, alone or with others; every outcome but `accepted` is an error of that name, `rejected` one of its condition's.
//! - `open` is a call, from the login on if there is one, and so is each `attach`. `end` or `close` by the broker with an error answers
//!   whatever waits.
//! - A destination is the address that the link was attached with: its target for what a client sends, its source for what it gets.
//! - Logins are not looked at. Flow, sessions, detaching and empty frames yield nothing.
//!
//! Of a message the sections in front of its body are read, as far as they are within the first kilobytes. A message that comes in several
//! frames is told with the first. Frames have no mark by which they could be found: after a loss, decoding goes on with the next turn of
//! that side. What was attached before anybody looked has no name, and says so.
mod detect;
mod message;
mod session;
#[cfg(test)]
mod tests;
mod value;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// The protocol.
pub struct Amqp1;

/// Payload bytes copied per turn: some 200 messages of 300 bytes. Larger bodies are stepped over unseen.
const BUDGET: u32 = 64 * 1024;

impl Protocol for Amqp1 {
    fn name(&self) -> &'static str {
        "amqp"
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
        value::MAX_LOOKED_AT + value::FRAME_HEADER
    }
}
