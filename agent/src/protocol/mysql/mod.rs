//! `MySQL` and `MariaDB`: the client/server protocol becomes one request per command and one response per answer, however many result
//! sets it has.
//!
//! Follows the protocol's description in the `MySQL` source documentation and the `MariaDB` knowledge base ("Clients & Utilities: Server
//! Client Protocol"). What is needed of a connection's capabilities can be seen in its packets, so that one joined in the middle is
//! decoded like any other. The user's name, everything of the authentication, values bound to parameters, rows, files and the texts of
//! errors are stepped over by their lengths and never kept; statements leave without their literals.
//!
//! After a loss, the pairing begins anew with the next command. Not followed: TLS and compression, after which the connection is left
//! (`tls`, `mysql-compressed`), replication (`mysql-replication`), and the number of rows in a bulk execution.
mod attributes;
mod command;
mod detect;
mod login;
mod packet;
mod response;
mod session;
#[cfg(test)]
mod tests;

use super::{Decoder, Guess, Protocol, Side};
use std::net::SocketAddr;

/// The protocol.
pub struct MySql;

/// Payload bytes copied per turn: a statement as far as it is looked at, or the packet headers of a page of rows, between which the rows
/// lie. Of a result that is larger the beginning is known, and that there was more.
const BUDGET: u32 = 32 * 1024;

/// Why no step can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// More bytes are needed.
    More,
    /// This is not `MySQL`.
    Invalid,
}

impl Protocol for MySql {
    fn name(&self) -> &'static str {
        "mysql"
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
        packet::HEADER + session::MAX_SHOWN
    }
}
