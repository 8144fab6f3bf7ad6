//! TLS from outside: the handshake of a connection becomes one exchange, and nothing is decrypted (RFC 8446, RFC 5246).
//!
//! The request is the client's hello, the response begins with the server's. It is over when one side shows that it has the keys: in TLS 1.3
//! the client, whose next record is encrypted, before that the server with its `ChangeCipherSpec`. What follows is left alone. An alert in
//! between is the error. From TLS 1.3 on, an alert of the client about what the server has sent is encrypted: a record of its length, and
//! nothing but the end behind it, is told as `encrypted_alert`. Certificates, tickets and randoms never leave this module.
mod hello;
mod names;
#[cfg(test)]
mod tests;

use super::attribute::{Attribute, Value};
use super::{Abort, Decoder, Guess, Head, Kind, More, Protocol, Request, Response, Side, Step, Take};
use crate::semconv;
use std::net::SocketAddr;

/// What the connection is once both sides have their keys.
const ENCRYPTED: &str = "encrypted";
/// Bytes of a record's header, and of a handshake message's.
const RECORD: usize = 5;
const MESSAGE: usize = 4;
/// Longest record (RFC 5246 section 6.2.3).
const MAX_RECORD: usize = (1 << 14) + 2048;
/// Bytes of a hello that are looked at: keys that resist quantum computers take more than a kilobyte, and come behind the name or before it.
const SHOWN: usize = 4096;
/// Payload bytes copied per turn: a hello of the client. Of the server's certificates, nothing but the headers of records is of use.
const BUDGET: u32 = 8192;
/// Bytes of an alert, and of an encrypted one: a byte for its kind and the tag of any cipher of TLS 1.3 in common use.
const ALERT: usize = 2;
const ENCRYPTED_ALERT: usize = ALERT + 1 + 16;

mod kind {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const DATA: u8 = 23;
}
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const TLS_1_3: u16 = 0x0304;
/// The exchange: a connection has one.
const HANDSHAKE: u64 = 1;

/// The protocol.
pub struct Tls;

impl Protocol for Tls {
    fn name(&self) -> &'static str {
        "tls"
    }

    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        let record = match Record::of(bytes) {
            Found::Record(record) => record,
            Found::More => return Guess::Maybe,
            Found::Nothing => return Guess::No,
        };
        match (from, record.kind, record.bytes) {
            (_, kind::HANDSHAKE, []) => Guess::Maybe,
            (Side::Client, kind::HANDSHAKE, bytes) => begins_hello(bytes, CLIENT_HELLO, record.len),
            (Side::Server, kind::HANDSHAKE, bytes) => begins_hello(bytes, SERVER_HELLO, record.len),
            (Side::Server, kind::ALERT, _) if record.len == ALERT => Guess::Likely,
            _ => Guess::No,
        }
    }

    fn decoder(&self, server: SocketAddr, _joined: bool) -> Box<dyn Decoder> {
        Box::new(Handshake { stage: Stage::Begins, port: server.port() })
    }

    fn budget(&self) -> u32 {
        BUDGET
    }

    fn longest_head(&self) -> usize {
        RECORD + SHOWN
    }
}

/// Whether a handshake message of this type begins so: with a length that is at least the record's, or nearly, and a known version.
fn begins_hello(bytes: &[u8], expected: u8, record: usize) -> Guess {
    let [first, l2, l1, l0, major, minor, ..] = *bytes else {
        return if bytes.first() == Some(&expected) { Guess::Maybe } else { Guess::No };
    };
    let len = u32::from_be_bytes([0, l2, l1, l0]) as usize;
    let known = first == expected && major == 3 && minor <= 4 && (38..1 << 17).contains(&len);
    if known && (len + MESSAGE >= record || expected == SERVER_HELLO) { Guess::Yes } else { Guess::No }
}

/// A record, of which the end may be missing.
struct Record<'a> {
    kind: u8,
    len: usize,
    bytes: &'a [u8],
}

enum Found<'a> {
    Record(Record<'a>),
    More,
    Nothing,
}

impl<'a> Record<'a> {
    fn of(bytes: &'a [u8]) -> Found<'a> {
        let Some((header, rest)) = bytes.split_first_chunk::<RECORD>() else {
            let could_be = bytes.first().is_none_or(|kind| (kind::CHANGE_CIPHER_SPEC..=kind::DATA).contains(kind))
                && bytes.get(1).is_none_or(|major| *major == 3);
            return if could_be { Found::More } else { Found::Nothing };
        };
        let [kind, major, minor, l1, l0] = *header;
        let len = usize::from(u16::from_be_bytes([l1, l0]));
        let known = (kind::CHANGE_CIPHER_SPEC..=kind::DATA).contains(&kind) && major == 3 && minor <= 4;
        if !known || len == 0 || len > MAX_RECORD {
            return Found::Nothing;
        }
        Found::Record(Self { kind, len, bytes: rest.get(..len).unwrap_or(rest) })
    }
}

/// How far it is.
#[derive(Debug, PartialEq)]
enum Stage {
    Begins,
    /// The client's hello was seen.
    Asked,
    /// The server's was, with this version.
    Answered(u16),
    Over,
}

/// The handshake of a connection.
#[derive(Debug)]
struct Handshake {
    stage: Stage,
    /// The server's.
    port: u16,
}

impl Decoder for Handshake {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if self.stage == Stage::Over {
            return Step::Leave(ENCRYPTED);
        }
        let record = match Record::of(bytes) {
            Found::Record(record) => record,
            Found::More => return Step::More,
            Found::Nothing => return Step::Invalid,
        };
        let wanted = match (record.kind, &self.stage) {
            (kind::HANDSHAKE, Stage::Begins | Stage::Asked) => record.len.min(SHOWN),
            (kind::ALERT, _) => record.len.min(ALERT),
            _ => 0,
        };
        if record.bytes.len() < wanted {
            return Step::More;
        }
        let take = Take { used: (RECORD + record.len) as u64, ..Take::default() };
        let message = (record.bytes.first().copied().unwrap_or_default(), record.bytes.get(MESSAGE..).unwrap_or_default());
        match (&self.stage, from, record.kind) {
            (Stage::Begins, Side::Client, kind::HANDSHAKE) => {
                let Some(request) = (message.0 == CLIENT_HELLO).then(|| hello::client(message.1)).flatten() else { return Step::Invalid };
                self.stage = Stage::Asked;
                Step::Take(Take { stream: HANDSHAKE, start: true, head: Some(Box::new(Head::Request(asked(request, self.port)))), ..take })
            }
            (Stage::Asked, Side::Server, kind::HANDSHAKE) if message.0 == SERVER_HELLO => {
                let Some(response) = hello::server(message.1) else { return Step::Invalid };
                if response.retry {
                    return Step::Take(take);
                }
                self.stage = Stage::Answered(response.version);
                Step::Take(Take { stream: HANDSHAKE, start: true, head: Some(Box::new(Head::Response(answered(response)))), ..take })
            }
            (Stage::Asked | Stage::Answered(_), _, kind::ALERT) if record.len == ALERT => {
                let &[level, description] = record.bytes else { return Step::Invalid };
                let warning = level == 1 && description != 0;
                if warning { Step::Take(take) } else { self.over(take, Some(names::alert(description).unwrap_or("_OTHER"))) }
            }
            (Stage::Answered(TLS_1_3..), Side::Client, kind::DATA) => {
                let alert = record.len == ENCRYPTED_ALERT;
                self.over(take, alert.then_some("encrypted_alert"))
            }
            (Stage::Answered(..TLS_1_3), Side::Server, kind::CHANGE_CIPHER_SPEC) => self.over(take, None),
            (Stage::Begins, ..) => Step::Invalid,
            _ => Step::Take(take),
        }
    }

    fn lost(&mut self, _from: Side) {}
}

impl Handshake {
    /// It is over with these bytes.
    fn over(&mut self, take: Take, error: Option<&'static str>) -> Step {
        self.stage = Stage::Over;
        let attributes = vec![Attribute::both(semconv::TLS_ESTABLISHED, error.is_none())];
        let (client_error, server_error) = (error.map(Into::into), error.map(Into::into));
        let outcome = Response { attributes, client_error, server_error, correlation: Some(HANDSHAKE), ..Response::default() };
        Step::Take(Take { stream: HANDSHAKE, more: Some(Box::new(More::Abort(Abort { outcome, late: None }))), ..take })
    }
}

fn asked(hello: hello::ClientHello, port: u16) -> Request {
    let mut attributes = Vec::new();
    if let Some(name) = hello.server_name {
        attributes.push(Attribute::both(semconv::SERVER_ADDRESS, name));
        attributes.push(Attribute::both(semconv::SERVER_PORT, i64::from(port)));
    }
    if !hello.offered.is_empty() {
        attributes.push(Attribute::both(semconv::WIRESPAN_TLS_OFFERED, Value::Texts(hello.offered.into())));
    }
    let request = Request::new(Kind::Connection, "TLS handshake");
    Request { attributes, correlation: Some(HANDSHAKE), ..request }
}

fn answered(hello: hello::ServerHello) -> Response {
    let mut attributes = Vec::new();
    if let Some((name, version)) = names::version(hello.version) {
        attributes.push(Attribute::both(semconv::TLS_PROTOCOL_NAME, name));
        attributes.push(Attribute::both(semconv::TLS_PROTOCOL_VERSION, version));
    }
    if let Some(chosen) = hello.chosen {
        attributes.push(Attribute::both(semconv::TLS_NEXT_PROTOCOL, chosen));
    }
    Response { attributes, correlation: Some(HANDSHAKE), ..Response::default() }
}
