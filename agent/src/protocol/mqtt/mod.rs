//! MQTT 3.1, 3.1.1 and 5 (<https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html>): control packets become publishes, deliveries and
//! calls.
//!
//! - `PUBLISH` of a client is a publish; of the broker, it is handed to a consumer. At quality of service 1 the other side's `PUBACK`
//!   answers it, at 2 the `PUBCOMP` that ends the exchange, or a `PUBREC` that refuses it; one that is sent again is not told again.
//! - `CONNECT`, `SUBSCRIBE` and `UNSUBSCRIBE` are calls. Client id, user, password, will and `AUTH` are not looked at.
//! - A broker's `DISCONNECT` with a reason answers whatever waits. `PINGREQ` and `PINGRESP` yield nothing.
//!
//! The level in `CONNECT` says whether packets have properties. On a connection whose `CONNECT` was missed, a reason code in an answer says
//! it; until then user properties are read where bytes can be nothing else, and sizes are not told. Topic aliases are followed.
//!
//! Packets have no mark by which they could be found: after a loss, decoding goes on with the next turn of that side. A connection that was
//! joined is recognised if both sides' turns consist of packets.
mod detect;
mod packet;
mod properties;
mod reason;
mod session;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// The protocol.
pub struct Mqtt;

/// Payload bytes copied per turn: some 500 messages of 100 bytes. Larger payloads are stepped over unseen.
const BUDGET: u32 = 64 * 1024;

impl Protocol for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
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
        packet::MAX_LOOKED_AT + packet::LONGEST_HEADER
    }
}
