//! Apache Dubbo's own protocol (Dubbo 2, and `dubbo://` since): a call becomes a span named after the service and the method. Heartbeats and
//! other events are none; nor are calls from a server to its client. Triple, the protocol of Dubbo 3, is gRPC: see [`super::grpc`].
//!
//! Follows Dubbo's protocol reference and Hessian 2.0. What stands before the arguments says what is called; they are stepped over, and the
//! trace context is read from the attachments behind them, as far as the message is looked at. Of an exception its class is told. Arguments,
//! results, attachments and texts of errors never leave this module. Of serialisations other than Hessian 2 the body is not read: such a
//! call is named `dubbo`.
//!
//! After a loss, what follows begins with the next turn; responses are paired by their number, so a loss joins no strangers.
mod hessian;
mod session;
mod status;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use session::{Header, Stop};
use std::net::SocketAddr;

/// Bytes of a message that are looked at: attachments stand behind the arguments.
const LOOK: usize = 16 * 1024;
/// Payload bytes copied per turn: many threads of a program call on one connection.
const BUDGET: u32 = 64 * 1024;

/// The protocol.
pub struct Dubbo;

impl Protocol for Dubbo {
    fn name(&self) -> &'static str {
        "dubbo"
    }

    /// Both sides may ask, but only a client calls; either may send a heartbeat first.
    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        match Header::read(bytes) {
            Err(Stop::More) => Guess::Maybe,
            Err(Stop::Invalid) => Guess::No,
            Ok(header) if header.request == (from == Side::Client) => Guess::Yes,
            Ok(_) => Guess::Likely,
        }
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
