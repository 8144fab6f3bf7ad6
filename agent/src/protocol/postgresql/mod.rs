//! `PostgreSQL`'s protocol, version 3: one request for each statement that is executed, one response for what the server makes of it.
//!
//! Follows "Frontend/Backend Protocol" of the `PostgreSQL` documentation (<https://www.postgresql.org/docs/current/protocol.html>). A
//! simple query is one request, however many statements are in it. In the extended protocol the messages from `Parse` or `Bind` to
//! `Execute` are one; `Parse` without `Execute` gives a span only if it fails, and so does an empty query. What the server leaves out
//! after an error, up to the next `Sync`, gives none. `ReadyForQuery` and the order of answers pair both sides.
//!
//! Values, rows, names of users and the texts of errors never leave this module; of statements only what [`super::sql`] shows.
//!
//! Resynchronises after a loss with the next turn of the side that lost bytes, and pairs nothing that was asked before it.
//!
//! Not followed: connections that fail before they are ready for a query give no span; replication is left alone, and so is what is
//! encrypted.
mod detect;
mod expect;
mod message;
mod session;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// The protocol.
pub struct PostgreSql;

/// Payload bytes copied per turn. Statements take a few of them; of results that are longer nothing is missed but an error in their
/// midst, and all of that is said by `wirespan.truncated`. 64 KiB hold a pipeline of some 500 statements with small rows.
const BUDGET: u32 = 64 * 1024;

impl Protocol for PostgreSql {
    fn name(&self) -> &'static str {
        "postgresql"
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
        message::LONGEST_HEAD
    }
}
