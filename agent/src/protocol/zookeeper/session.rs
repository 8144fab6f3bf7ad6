//! One connection: requests and replies become messages, paired by the number that the client gave them.
use super::{LOOK, jute, op};
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::{Decoder, Head, Kind, Request, Response, Side, Step, Take};
use crate::semconv;
use std::collections::VecDeque;
use std::fmt::Write as _;

/// Longest message: a server refuses longer ones unless configured otherwise (`jute.maxbuffer`, 1 MiB), but people do configure it.
const LONGEST: u32 = 64 << 20;
/// Largest reply to an unknown request that is stepped over: what was taken for its length may be none.
const MOST_UNKNOWN: u32 = 1 << 20;
/// Requests that wait for their reply: clients send thousands without waiting only when they are made to.
const MOST_WAITING: usize = 1024;
/// Longest text of an operation.
const LONGEST_TEXT: usize = 512;
/// Operations of several that are told.
const MOST_TOLD: usize = 16;
/// The number of a message that a server sends by itself, because somebody watches.
const NOTIFICATION: i32 = -1;

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// More bytes are needed.
    More,
    /// This is no message of `ZooKeeper`.
    Invalid,
}

/// A message's length and as much of what follows it as is there.
pub(super) fn frame(bytes: &[u8]) -> Result<(u32, &[u8]), Stop> {
    let Some((size, rest)) = bytes.split_first_chunk::<4>() else {
        let possible = bytes.first().is_none_or(|first| u32::from(*first) <= LONGEST >> 24);
        return Err(if possible { Stop::More } else { Stop::Invalid });
    };
    let size = u32::from_be_bytes(*size);
    if !(8..=LONGEST).contains(&size) {
        return Err(Stop::Invalid);
    }
    Ok((size, rest.get(..size as usize).unwrap_or(rest)))
}

/// Length of what a client says first, and of what a server answers: older ones say nothing about reading only.
pub(super) const CONNECT: [u32; 2] = [44, 45];
pub(super) const CONNECTED: [u32; 2] = [36, 37];

/// Whether this is what a client says first, as far as it is there up to its password.
pub(super) fn is_connect(size: u32, mut bytes: &[u8]) -> bool {
    let bytes = &mut bytes;
    let mut differs = || -> Option<bool> {
        // The version, the last transaction seen, how long the session shall outlast its connection, which session it is.
        if jute::int(bytes)? != 0 || jute::long(bytes)? < 0 || jute::int(bytes)? <= 0 {
            return Some(true);
        }
        jute::long(bytes)?;
        Some(jute::int(bytes)? != 16)
    };
    CONNECT.contains(&size) && differs() != Some(true)
}

/// What a server answers to it, up to the password: the session, which is zero if it has expired.
pub(super) fn connected(size: u32, mut bytes: &[u8]) -> Option<i64> {
    let bytes = &mut bytes;
    let (version, time, session) = (jute::int(bytes)?, jute::int(bytes)?, jute::long(bytes)?);
    let password = jute::int(bytes)?;
    (CONNECTED.contains(&size) && version == 0 && time >= 0 && password == 16).then_some(session)
}

/// A request that waits for its reply.
#[derive(Debug)]
struct Waiting {
    number: i32,
    op: i32,
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    waiting: VecDeque<Waiting>,
    /// What is there of a message that is not there as far as it is looked at, by side.
    shown: [Vec<u8>; 2],
}

impl Session {
    fn message(&mut self, from: Side, bytes: &[u8], cut: bool) -> Result<Take, Stop> {
        let (size, body) = frame(bytes)?;
        let looked_at = (size as usize).min(LOOK - 4);
        if body.len() < looked_at && !cut {
            return Err(Stop::More);
        }
        let head = match from {
            Side::Client => self.request(size, body).map(|request| request.map(Head::Request)),
            Side::Server => self.reply(size, body).map(|response| response.map(Head::Response)),
        };
        let head = head.ok_or(if cut { Stop::More } else { Stop::Invalid })?;
        let head_len = looked_at as u64 + 4;
        Ok(Take { used: u64::from(size) + 4, start: true, head: head.map(Box::new), head_len, end: true, ..Take::default() })
    }

    /// What a request becomes, if it is told; `None` if it is none.
    #[expect(clippy::option_option, reason = "there may be no message, or one that yields nothing")]
    fn request(&mut self, size: u32, mut bytes: &[u8]) -> Option<Option<Request>> {
        if is_connect(size, bytes) {
            self.wait(0, op::CREATE_SESSION);
            return Some(Some(request(0, op::CREATE_SESSION, &[])));
        }
        let number = jute::int(&mut bytes)?;
        let code = jute::int(&mut bytes)?;
        op::name(code)?;
        self.wait(number, code);
        Some((code != op::PING).then(|| request(number, code, bytes)))
    }

    fn wait(&mut self, number: i32, op: i32) {
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting { number, op });
    }

    /// What a reply becomes, if its request was told; `None` if it is none.
    #[expect(clippy::option_option, reason = "there may be no message, or one that yields nothing")]
    fn reply(&mut self, size: u32, mut bytes: &[u8]) -> Option<Option<Response>> {
        let front = self.waiting.front().map(|waiting| waiting.op);
        if let Some(session) = connected(size, bytes).filter(|_| front.is_none_or(|op| op == op::CREATE_SESSION)) {
            let answers = self.waiting.pop_front().is_some();
            let error = if session == 0 { op::SESSION_EXPIRED } else { 0 };
            return Some(answers.then(|| response(0, op::CREATE_SESSION, error, &[])));
        }
        let number = jute::int(&mut bytes)?;
        let _transaction = jute::long(&mut bytes)?;
        let error = jute::int(&mut bytes)?;
        if number == NOTIFICATION || error > 0 {
            return (number == NOTIFICATION).then_some(None);
        }
        let Some(index) = self.waiting.iter().position(|waiting| waiting.number == number) else {
            return (size <= MOST_UNKNOWN).then_some(None);
        };
        let op = self.waiting.remove(index).map(|waiting| waiting.op)?;
        Some((op != op::PING).then(|| response(number, op, error, bytes)))
    }

    fn shown(&mut self, from: Side) -> &mut Vec<u8> {
        let [client, server] = &mut self.shown;
        if from == Side::Client { client } else { server }
    }
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        let taken = self.message(from, bytes, false);
        let shown = self.shown(from);
        if taken == Err(Stop::More) {
            // The same bytes as before, and some more.
            shown.extend_from_slice(bytes.get(shown.len()..).unwrap_or_default());
            return Step::More;
        }
        *shown = Vec::new();
        taken.map_or(Step::Invalid, Step::Take)
    }

    fn lost(&mut self, from: Side) {
        *self.shown(from) = Vec::new();
    }

    /// The beginning is enough to say what a message is, and its length.
    fn unseen(&mut self, from: Side) -> Option<Take> {
        let shown = std::mem::take(self.shown(from));
        self.message(from, &shown, true).ok()
    }
}

fn request(number: i32, code: i32, mut bytes: &[u8]) -> Request {
    let name = op::name(code).unwrap_or("_OTHER");
    let mut attributes = Vec::with_capacity(4);
    attributes.push(Attribute::both(semconv::DB_SYSTEM_NAME, "zookeeper"));
    attributes.push(Attribute::both(semconv::DB_OPERATION_NAME, name));
    let mut text = String::new();
    if op::has_path(code) {
        if let Some(path) = jute::path(&mut bytes) {
            tell(&mut text, name, path);
        }
    } else if matches!(code, op::MULTI | op::MULTI_READ) {
        let mut count = 0;
        let all = op::several(bytes, |name, path| {
            count += 1;
            if count <= MOST_TOLD {
                tell(&mut text, name, path);
            }
        });
        if all {
            attributes.push(Attribute::both(semconv::DB_OPERATION_BATCH_SIZE, i64::try_from(count).unwrap_or(i64::MAX)));
        }
    }
    if !text.is_empty() {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        attributes.push(Attribute::both(semconv::DB_QUERY_TEXT, Value::from(text)));
    }
    // Numbers below zero, too, are numbers of four bytes.
    Request { attributes, correlation: Some(u64::from(number as u32)), ..Request::new(Kind::Database, name) }
}

/// Adds an operation to a text.
fn tell(text: &mut String, name: &str, path: &str) {
    let separator = if text.is_empty() { "" } else { "; " };
    let _ = write!(text, "{separator}{name} {path}");
}

fn response(number: i32, code: i32, error: i32, bytes: &[u8]) -> Response {
    let error_name = match (op::error(error), code) {
        (None, op::MULTI | op::MULTI_READ) => op::error_of_several(bytes),
        (name, _) => name,
    };
    let mut response = Response { correlation: Some(u64::from(number as u32)), ..Response::default() };
    if let Some(name) = error_name {
        response.attributes.push(Attribute::both(semconv::DB_RESPONSE_STATUS_CODE, Value::Text(name.clone())));
        // Whether there is such a node is what was asked.
        if (code, error) != (op::EXISTS, op::NO_NODE) {
            response.client_error = Some(name.clone());
            response.server_error = Some(name);
        }
    }
    response
}
