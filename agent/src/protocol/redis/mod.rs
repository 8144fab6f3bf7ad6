//! Redis and Valkey: RESP2 and RESP3 become one request per command and one response per reply.
//!
//! Follows the protocol specification (<https://redis.io/docs/latest/develop/reference/protocol-spec/>). Values are stepped over by
//! their length and never kept; of a command's arguments only keys, field names, channels and counts leave this module, and only
//! where the table in [`command`] says so. Secrets, scripts and the texts of errors never do.
//!
//! Not followed: `SELECT` inside `MULTI` (the database is unknown after the `EXEC`), and `CLIENT REPLY` inside `MULTI`.
mod command;
mod detect;
mod expect;
#[cfg(test)]
mod properties;
mod reply;
mod request;
mod resp;
mod session;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// The protocol.
pub struct Redis;

/// Payload bytes copied per turn: a pipeline of 1,000 commands or replies of 128 bytes; larger values are stepped over unseen.
const BUDGET: u32 = 128 * 1024;

impl Protocol for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        match from {
            Side::Client => detect::client(bytes),
            Side::Server => detect::server(bytes),
        }
    }

    fn decoder(&self, _server: SocketAddr, joined: bool) -> Box<dyn Decoder> {
        Box::new(session::Session::new(joined))
    }

    fn budget(&self) -> u32 {
        BUDGET
    }

    fn longest_head(&self) -> usize {
        resp::MAX_LINE + request::MAX_HEAD
    }
}
