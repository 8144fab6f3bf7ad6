//! DNS: one request per question, one response per answer, in datagrams and over TCP (RFC 1035, RFC 7766).
//!
//! A question and its answer are joined by their number. Of an answer, its code, the number of its records and the addresses among them are
//! told. Only ordinary queries make spans: no updates, no notifications, and nothing of what asks the neighbourhood (multicast DNS, LLMNR,
//! `NetBIOS` names). Of a zone that is transferred in several messages, the first one is the answer.
//!
//! Over TCP, a loss is found again where the next message begins with its segment.
mod message;
mod names;
#[cfg(test)]
mod tests;

use super::attribute::{Attribute, Value};
use super::{Datagram, Decoder, Guess, Head, Kind, Protocol, Request, Response, Side, Step, Take};
use crate::semconv;
use message::{LONGEST_QUESTION, Message};
use rustc_hash::FxHasher;
use std::hash::Hasher as _;
use std::net::SocketAddr;
use wirespan_abi::dns::{self, HEADER};

/// Bytes of a message over TCP that are looked at: the question, and the addresses behind it.
const SHOWN: usize = 1024;
/// Payload bytes copied per turn: a few answers with many addresses; questions are smaller.
const BUDGET: u32 = 4096;
/// Bytes of the length in front of a message over TCP (RFC 1035 section 4.2.2).
const PREFIX: usize = 2;
/// Code of an answer whose sender could not do better: its own error, not the asker's.
const SERVFAIL: u8 = 2;

/// The protocol.
pub struct Dns;

impl Protocol for Dns {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        let Some((prefix, message)) = bytes.split_first_chunk::<PREFIX>() else { return Guess::Maybe };
        let len = usize::from(u16::from_be_bytes(*prefix));
        if len < HEADER {
            return Guess::No;
        }
        // What is not there yet is taken for what it has to be.
        let asks = from == Side::Client;
        let mut header = [0, 0, if asks { 0 } else { 0x80 }, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        header.iter_mut().zip(message).for_each(|(known, byte)| *known = *byte);
        if !dns::is_wanted([0, 0], header) || (header[2] & 0x80 == 0) != asks {
            return Guess::No;
        }
        match Message::of(message.get(..len).unwrap_or(message)) {
            Some(message) if message.question.is_some() => Guess::Yes,
            // An answer with nothing but a code says too little.
            Some(_) => Guess::Maybe,
            None if message.len() < len.min(LONGEST_QUESTION) => Guess::Maybe,
            None => Guess::No,
        }
    }

    fn decoder(&self, _server: SocketAddr, _joined: bool) -> Box<dyn Decoder> {
        Box::new(Stream)
    }

    fn budget(&self) -> u32 {
        BUDGET
    }

    fn longest_head(&self) -> usize {
        PREFIX + SHOWN
    }

    fn datagram(&self, bytes: &[u8]) -> Option<Datagram> {
        let message = Message::of(bytes)?;
        let (id, subject) = (u64::from(message.id), subject(&message));
        let head = head(&message, "udp", false)?;
        Some(Datagram { head, id, subject })
    }
}

/// A connection over TCP: nothing is remembered from message to message.
struct Stream;

impl Decoder for Stream {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        let Some((prefix, message)) = bytes.split_first_chunk::<PREFIX>() else { return Step::More };
        let len = usize::from(u16::from_be_bytes(*prefix));
        if len < HEADER {
            return Step::Invalid;
        }
        let Some(shown) = message.get(..len.min(SHOWN)) else { return Step::More };
        let message = Message::of(shown);
        let head = message.filter(|message| message.response == (from == Side::Server)).and_then(|message| head(&message, "tcp", true));
        Step::Take(Take { used: (PREFIX + len) as u64, start: true, head: head.map(Box::new), end: true, ..Take::default() })
    }

    fn lost(&mut self, _from: Side) {}
}

/// What a message is. `numbered` says whether its number joins it with another one on its connection.
fn head(message: &Message<'_>, transport: &'static str, numbered: bool) -> Option<Head> {
    let correlation = numbered.then_some(u64::from(message.id));
    if message.response {
        return Some(Head::Response(response(message, correlation)));
    }
    let question = message.question.as_ref()?;
    // Allocates once: the answer's come later.
    let attributes = vec![
        Attribute::both(semconv::DNS_QUESTION_NAME, question.name()),
        Attribute::both(semconv::WIRESPAN_DNS_QUESTION_TYPE, names::kind(question.kind)),
        Attribute::both(semconv::NETWORK_PROTOCOL_NAME, "dns"),
        Attribute::both(semconv::NETWORK_TRANSPORT, transport),
    ];
    let request = Request::new(Kind::Database, names::span(question.kind));
    Some(Head::Request(Request { attributes, correlation, ..request }))
}

fn response(message: &Message<'_>, correlation: Option<u64>) -> Response {
    let (code, error) = names::code(message.code);
    let addresses = message.addresses();
    let mut attributes = Vec::with_capacity(3);
    attributes.push(Attribute::both(semconv::WIRESPAN_DNS_RESPONSE_CODE, code));
    attributes.push(Attribute::both(semconv::WIRESPAN_DNS_ANSWERS, i64::from(message.answers)));
    if !addresses.is_empty() {
        attributes.push(Attribute::both(semconv::DNS_ANSWERS, Value::Texts(addresses.into())));
    }
    let server_error = error.filter(|_| message.code == SERVFAIL).map(Into::into);
    Response { attributes, client_error: error.map(Into::into), server_error, correlation, ..Response::default() }
}

/// Digest of what is asked, in whatever case the answer repeats it (RFC 4343); zero if it does not.
fn subject(message: &Message<'_>) -> u64 {
    let Some(question) = &message.question else { return 0 };
    let mut hasher = FxHasher::default();
    question.labels.iter().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
    hasher.write_u16(question.kind);
    hasher.finish().max(1)
}
