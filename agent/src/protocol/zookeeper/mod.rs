//! Apache `ZooKeeper`: each operation of a client becomes a span named after it, with its path in the text; opening a session, and closing
//! one, too. Pings and what a server tells somebody who watches are none.
//!
//! Follows `zookeeper.jute` and `ZooDefs` of Apache `ZooKeeper` 3.9. Operations that are sent as one (`multi`) are one span, with each path
//! in its text. That `exists` finds nothing is no error. Data, passwords of sessions, credentials and who may do what never leave this
//! module. The words of four letters that operators send to the same port are another protocol.
//!
//! After a loss, what follows begins with the next turn; replies are paired by their numbers, so a loss joins no strangers.
mod detect;
mod jute;
mod op;
mod session;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// Bytes of a message that are looked at: a path, or those of a handful of operations sent as one.
const LOOK: usize = 4 * 1024;
/// Payload bytes copied per turn: the operations that a client sends at once. Data is stepped over unseen.
const BUDGET: u32 = 32 * 1024;

/// The protocol.
pub struct ZooKeeper;

impl Protocol for ZooKeeper {
    fn name(&self) -> &'static str {
        "zookeeper"
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
