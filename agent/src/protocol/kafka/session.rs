//! One connection: requests and responses become messages, paired by their correlation.
use super::api::{Api, Role};
use super::dealings::Dealings;
use super::header::{self, Asked, Stop};
use super::produce::{self, Sent};
use super::wire::Reader;
use super::{LOOK, commit, faults, fetch};
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::{Decoder, Head, Kind, Request, Response, Side, Step, Take};
use crate::semconv;
use std::borrow::Cow;
use std::collections::VecDeque;

/// Requests that wait for their response: clients have five on their way, those that are set up for more a few hundred.
const MOST_WAITING: usize = 1024;
/// Largest response that is stepped over where none has been recognised yet: what was taken for its length may be none.
const MOST_UNPROVEN: u32 = 1 << 20;
/// Longest token of a client that authenticates without Kafka's own messages.
const LONGEST_TOKEN: u32 = 64 * 1024;
/// The answer by which a broker gives a new member its id, no error: every client asks again with it.
const MEMBER_ID_REQUIRED: &str = "MEMBER_ID_REQUIRED";

/// A request that waits for its response.
#[derive(Debug)]
struct Waiting {
    correlation: i32,
    api: &'static Api,
    version: i16,
    /// It became a message: its response does, too.
    told: bool,
    sent: Box<[Sent]>,
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    waiting: VecDeque<Waiting>,
    /// A response was recognised since the beginning or the last loss.
    proven: bool,
    /// The client authenticates with tokens that are no messages (`SaslHandshake` version 0).
    raw: bool,
    /// What is there of a message that is not there as far as it is looked at, by side.
    shown: [Vec<u8>; 2],
}

impl Session {
    /// Understands what `from` says next; with `cut`, no more of it will ever be there.
    fn message(&mut self, from: Side, bytes: &[u8], cut: bool) -> Result<Take, Stop> {
        match from {
            Side::Client => self.request(bytes, cut),
            Side::Server => self.response(bytes, cut),
        }
    }

    fn request(&mut self, bytes: &[u8], cut: bool) -> Result<Take, Stop> {
        let asked = match Asked::read(bytes) {
            Err(Stop::Invalid) if self.raw => return token(header::size(bytes, 0)?),
            other => other?,
        };
        if !cut && bytes.len() < looked_at(asked.size) {
            return Err(Stop::More);
        }
        self.raw |= asked.api.name == "SaslHandshake" && asked.version == 0;
        let (request, sent) = request(&asked);
        if request.as_ref().is_none_or(|request| request.answered) {
            if self.waiting.len() >= MOST_WAITING {
                self.waiting.pop_front();
            }
            let (correlation, told) = (asked.correlation, request.is_some());
            self.waiting.push_back(Waiting { correlation, api: asked.api, version: asked.version, told, sent });
        }
        Ok(whole(asked.size, request.map(Head::Request)))
    }

    fn response(&mut self, bytes: &[u8], cut: bool) -> Result<Take, Stop> {
        let size = header::size(bytes, if self.raw { 0 } else { 4 })?;
        let message = bytes.get(..size as usize + 4).unwrap_or(bytes);
        let mut reader = Reader::new(message.get(4..).unwrap_or_default(), false);
        let found = match reader.i32() {
            Some(correlation) => self.waiting.iter().position(|waiting| waiting.correlation == correlation),
            None if size < 4 => None,
            None => return Err(Stop::More),
        };
        let Some(index) = found else {
            let most = if self.proven { header::LARGEST } else { MOST_UNPROVEN };
            return if size <= most { Ok(whole(size, None)) } else { Err(Stop::Invalid) };
        };
        let looked_at = self.waiting.get(index).is_some_and(|waiting| waiting.told);
        if looked_at && !cut && bytes.len() < self::looked_at(size) {
            return Err(Stop::More);
        }
        self.proven = true;
        // Those before it will not be answered any more: a broker answers in order.
        let Some(waiting) = self.waiting.drain(..=index).next_back() else { return Err(Stop::Invalid) };
        let unseen = u64::from(size) + 4 - message.len() as u64;
        let head = waiting.told.then(|| Head::Response(response(&waiting, reader.rest(), unseen)));
        Ok(whole(size, head))
    }
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        let taken = self.message(from, bytes, false);
        let [client, server] = &mut self.shown;
        let shown = if from == Side::Client { client } else { server };
        match taken {
            Err(Stop::More) => {
                // The same bytes as before, and some more.
                shown.extend_from_slice(bytes.get(shown.len()..).unwrap_or_default());
                Step::More
            }
            Err(Stop::Invalid) => {
                *shown = Vec::new();
                Step::Invalid
            }
            Ok(take) => {
                *shown = Vec::new();
                Step::Take(take)
            }
        }
    }

    fn lost(&mut self, from: Side) {
        let [client, server] = &mut self.shown;
        match from {
            Side::Client => *client = Vec::new(),
            Side::Server => (*server, self.proven) = (Vec::new(), false),
        }
    }

    /// The beginning is enough to say what a message is, and its length.
    fn unseen(&mut self, from: Side) -> Option<Take> {
        let [client, server] = &mut self.shown;
        let shown = std::mem::take(if from == Side::Client { client } else { server });
        self.message(from, &shown, true).ok()
    }
}

/// Bytes of a message that are looked at, its length among them.
fn looked_at(size: u32) -> usize {
    (size as usize).saturating_add(4).min(LOOK)
}

/// A whole message of `size` bytes behind its length.
fn whole(size: u32, head: Option<Head>) -> Take {
    let head_len = looked_at(size) as u64;
    Take { used: u64::from(size) + 4, start: true, head: head.map(Box::new), head_len, end: true, ..Take::default() }
}

/// A token of `size` bytes, which yields nothing.
fn token(size: u32) -> Result<Take, Stop> {
    if size <= LONGEST_TOKEN { Ok(whole(size, None)) } else { Err(Stop::Invalid) }
}

/// What a request becomes, and what of it its response is read with.
fn request(asked: &Asked<'_>) -> (Option<Request>, Box<[Sent]>) {
    let known = asked.is_known();
    let mut attributes = Vec::with_capacity(8);
    attributes.push(Attribute::both(semconv::MESSAGING_SYSTEM, "kafka"));
    if let Some(client) = asked.client {
        attributes.push(Attribute::both(semconv::MESSAGING_CLIENT_ID, Value::from(client.to_owned())));
    }
    let mut sent = Box::default();
    let mut request = match asked.api.role {
        Role::Silent => return (None, sent),
        Role::Fetch if known && fetch::is_replica(asked) => return (None, sent),
        Role::Produce if known => {
            let produce = produce::request(asked);
            let name = produce.dealings.describe("send", "send", &mut attributes);
            produce.dealings.describe_messages(false, &mut attributes);
            sent = produce.sent.into_boxed_slice();
            let messages = produce.dealings.records.messages.into_boxed_slice();
            Request { answered: produce.answered, messages, ..Request::new(Kind::Publish, name) }
        }
        Role::Commit if known => {
            let (group, dealings) = commit::request(asked);
            attributes.extend(group.map(of_group));
            Request::new(Kind::Database, dealings.describe("commit", "settle", &mut attributes))
        }
        role => {
            if let Some(group) = commit::group(&mut asked.body.clone()).filter(|_| asked.api.of_group && known) {
                attributes.push(of_group(group));
            }
            match role {
                Role::Produce => Request::new(Kind::Publish, Dealings::default().describe("send", "send", &mut attributes)),
                Role::Fetch => Request::new(Kind::Consume, Dealings::default().describe("poll", "receive", &mut attributes)),
                _ => {
                    attributes.push(Attribute::both(semconv::MESSAGING_OPERATION_NAME, asked.api.name));
                    Request::new(Kind::Database, asked.api.name)
                }
            }
        }
    };
    request.attributes = attributes;
    request.quiet = matches!(asked.api.role, Role::Fetch | Role::Metadata | Role::Quiet);
    // Negative numbers, too, are numbers of four bytes.
    request.correlation = Some(u64::from(asked.correlation as u32));
    (Some(request), sent)
}

fn of_group(group: &str) -> Attribute {
    Attribute::both(semconv::MESSAGING_CONSUMER_GROUP_NAME, Value::from(group.to_owned()))
}

/// What a response means; `bytes` are what follows its correlation, as far as it is there: all but `unseen`.
fn response(waiting: &Waiting, bytes: &[u8], unseen: u64) -> Response {
    let &Waiting { correlation, api, version, ref sent, .. } = waiting;
    let mut body = Reader::new(bytes, version >= api.flexible);
    let known = version <= api.latest && body.tags().is_some();
    let failed = |error: Option<Cow<'static, str>>| Response { client_error: error.clone(), server_error: error, ..Response::default() };
    let mut response = match api.role {
        Role::Produce if known => {
            let mut response = produce::response(version, body.clone(), sent);
            let only = produce::only(sent, version, body);
            response.attributes.extend(only.map(|offset| Attribute::both(semconv::MESSAGING_KAFKA_OFFSET, offset)));
            response
        }
        Role::Fetch if known => fetched(version, body, unseen),
        // Nobody knows whether there is anything in it.
        Role::Fetch => Response { idle: true, ..Response::default() },
        Role::Metadata => {
            let error = faults::metadata(version, body).filter(|_| known);
            Response { idle: error.is_none(), ..failed(error) }
        }
        role => {
            let error = faults::first(api.fault, version, body).filter(|name| known && name != MEMBER_ID_REQUIRED);
            Response { idle: role == Role::Quiet && error.is_none(), ..failed(error) }
        }
    };
    response.correlation = Some(u64::from(correlation as u32));
    response
}

/// What a poll found.
fn fetched(version: i16, body: Reader<'_>, unseen: u64) -> Response {
    let fetch::Fetched { dealings, error } = fetch::response(version, body, unseen);
    let mut attributes = Vec::new();
    let idle = !dealings.records.any && error.is_none();
    let name = (!idle).then(|| dealings.describe("poll", "receive", &mut attributes));
    if dealings.records.any {
        dealings.describe_messages(true, &mut attributes);
    }
    let messages = dealings.records.messages.into_boxed_slice();
    Response { attributes, client_error: error.clone(), server_error: error, idle, messages, name, ..Response::default() }
}
