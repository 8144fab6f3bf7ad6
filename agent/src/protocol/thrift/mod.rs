//! Apache Thrift: messages in the binary protocol (with and without a version) and the compact one, framed or not, become calls.
//!
//! Read are a message's type, its method and its sequence number; of a reply, whether its result is a declared exception (the number of
//! its field: names are not in the bytes); of an exception of Thrift's own, what went wrong. No argument and no result is looked at:
//! where no frame says how long a message is, its values are stepped over by their types. Thrift has no place for a trace context.
//!
//! After a loss a side is understood again from its next turn on. The header transport, JSON and SASL are not read.
mod message;
mod session;
#[cfg(test)]
mod tests;
mod walk;

use super::{Decoder, Guess, Protocol, Side};
use message::{Encoding, Kind, Message, Stop};
use std::net::SocketAddr;

/// The protocol.
pub struct Thrift;

impl Protocol for Thrift {
    fn name(&self) -> &'static str {
        "thrift"
    }

    /// A version, a type and a name of the length that it says are proof. The compact protocol has but one byte that others have not, and
    /// old messages have none: of these, both sides must speak.
    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        match Message::read(bytes) {
            Err(Stop::More) => Guess::Maybe,
            Err(Stop::Invalid) => Guess::No,
            Ok(message) => match (from, message.kind, message.form.encoding) {
                (Side::Client, Kind::Reply | Kind::Exception, _) | (Side::Server, Kind::Call | Kind::OneWay, _) => Guess::No,
                (.., Encoding::Strict) => Guess::Yes,
                (.., Encoding::Old | Encoding::Compact) => Guess::Likely,
            },
        }
    }

    fn decoder(&self, _server: SocketAddr, _joined: bool) -> Box<dyn Decoder> {
        Box::new(session::Session::default())
    }

    /// The beginnings of a message or two; of those without frames, all fields, which have to be stepped over one by one.
    fn budget(&self) -> u32 {
        32 * 1024
    }

    fn longest_head(&self) -> usize {
        2 * message::LONGEST_EXCEPTION
    }
}
