//! AMQP 0-9-1 (<https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, with `RabbitMQ`'s extensions): methods and contents become
//! publishes, deliveries and calls.
//!
//! - `basic.publish` is a publish. On a channel in confirm mode the broker's `ack` or `nack` answers it, and a `return` fails it.
//! - `basic.deliver` is handed to a consumer, and answered by what that says of its delivery tag, alone or with all before it.
//! - `basic.get` asks for a message; one that finds none is idle.
//! - What makes, binds or removes exchanges and queues, consumers and transactions are calls of the broker. What only sets a channel up
//!   (`channel.open`, `basic.qos`, `confirm.select` and the like), heartbeats and flow yield nothing.
//! - The connection's set-up, from `start-ok` to `open-ok`, is one call. What it carries to log in is not looked at.
//! - `channel.close` and `connection.close` by the broker answer whatever waits there, with the code's name.
//!
//! A message begins with its content header: the method in front of it may be separated from it by other channels' frames. Bodies are
//! stepped over. After a loss the next bytes that are two frames, or a whole one at the end, are taken for such; calls and confirms from
//! before are never paired with answers from after it.
//!
//! Not followed: a `return` or an error for a publish that no confirm answers, which is over by then.
mod channel;
mod content;
mod detect;
mod frame;
mod method;
mod session;
mod telling;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// The protocol.
pub struct Amqp;

/// Payload bytes copied per turn: some 200 messages of 300 bytes. Larger bodies are stepped over unseen.
const BUDGET: u32 = 64 * 1024;

impl Protocol for Amqp {
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
        frame::MAX_LOOKED_AT + frame::AROUND
    }
}
