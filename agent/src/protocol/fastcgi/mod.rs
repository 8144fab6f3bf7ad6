//! `FastCGI` (specification 1.0): records become requests and responses of HTTP as a web server hands them to an application.
//!
//! The names of a request come from its parameters, the context of its trace from the `HTTP_` ones among them, the status from the
//! `Status` that the application writes before its content, and the end with it the exit status. Requests on one connection may be
//! interleaved. Of all content only that is kept, up to a bound, until it is understood; cookies, credentials and bodies never leave.
//!
//! Records have no mark by which they could be found among other bytes: after a loss, a side is understood again from its next turn on,
//! and requests that were open are told no more.
mod record;
mod request;
mod session;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use record::{HEADER, Record, kind};
use std::net::SocketAddr;

/// The protocol.
pub struct FastCgi;

impl Protocol for FastCgi {
    fn name(&self) -> &'static str {
        "fastcgi"
    }

    /// A whole `BEGIN_REQUEST` is proof: of its 16 bytes only the number of the request and a flag are free.
    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        let record = match Record::read(bytes) {
            Err(()) => return Guess::No,
            Ok(None) => return Guess::Maybe,
            Ok(Some(record)) => record,
        };
        let body = bytes.get(HEADER..).unwrap_or_default();
        match (from, record.kind) {
            (Side::Client, kind::BEGIN_REQUEST) if record.id != 0 && record.length == 8 && record.padding == 0 => {
                let right = |(at, byte): (usize, &u8)| match at {
                    1 => (1..=3).contains(byte),
                    2 => *byte <= 1,
                    _ => *byte == 0,
                };
                match body.iter().take(8).enumerate().all(right) {
                    false => Guess::No,
                    true if body.len() < 8 => Guess::Maybe,
                    true => Guess::Yes,
                }
            }
            (Side::Server, kind::STDOUT | kind::STDERR | kind::END_REQUEST) if record.id != 0 => Guess::Likely,
            (Side::Client, kind::GET_VALUES) | (Side::Server, kind::GET_VALUES..=kind::UNKNOWN_TYPE) if record.id == 0 => Guess::Likely,
            _ => Guess::No,
        }
    }

    fn decoder(&self, server: SocketAddr, _joined: bool) -> Box<dyn Decoder> {
        Box::new(session::Session::new(server))
    }

    /// All parameters of a request, which come first; of answers the headers and, behind content of usual size, the end.
    fn budget(&self) -> u32 {
        64 * 1024
    }

    fn longest_head(&self) -> usize {
        2 * session::LONGEST_PARAMS
    }
}
