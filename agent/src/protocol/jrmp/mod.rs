//! Java RMI over its own protocol (JRMP; "RMI Wire Protocol" of the Java RMI specification, chapter 10): calls and what they return.
//!
//! The bytes carry no names of methods: a call has the number of an object, the number of an operation (only the registry's have names
//! here) and a hash of the method. Of a return, the class of an exception is read. Arguments and values are not looked at. Pings and the
//! calls of the distributed garbage collector are no messages.
//!
//! Nobody says how long a message is, and only who knows the method could tell. But a connection has one call at a time: what the client
//! sends belongs to its call until the server answers, and what the server sends belongs to its answer until the client goes on. So an
//! answer is taken to end with the block that says what it is, and with the name of the exception's class: what follows is passed over.
//! After a loss a side is understood again from its next turn on. The multiplexing variant of the protocol, which Java no longer has, is
//! not read.
mod session;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// The protocol.
pub struct Jrmp;

impl Protocol for Jrmp {
    fn name(&self) -> &'static str {
        "jrmp"
    }

    /// The first word of a connection, or the beginning of a call or a return with that of its object stream, are proof.
    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        let forms: &[&[u8]] = match from {
            Side::Client => &[b"JRMI\0", session::CALL],
            Side::Server => &[session::RETURN],
        };
        for form in forms {
            let (here, rest) = bytes.split_at(bytes.len().min(form.len()));
            if form.starts_with(here) {
                return if rest.is_empty() { Guess::Maybe } else { Guess::Yes };
            }
        }
        match (from, bytes.first()) {
            // Its answer to the first word, which has no more to it than a host and a port; and that to a ping.
            (Side::Server, Some(0x4e)) => session::acknowledged(bytes),
            (Side::Server, Some(0x53)) | (Side::Client, Some(0x52)) if bytes.len() == 1 => Guess::Maybe,
            _ => Guess::No,
        }
    }

    fn decoder(&self, _server: SocketAddr, _joined: bool) -> Box<dyn Decoder> {
        Box::new(session::Session::default())
    }

    /// The beginnings of messages, and what follows them in the same turn: nobody can step over what has no length.
    fn budget(&self) -> u32 {
        16 * 1024
    }

    fn longest_head(&self) -> usize {
        session::LONGEST_HEAD
    }
}
