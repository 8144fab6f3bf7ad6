//! One connection: lines of both sides become messages.
//!
//! Holds which inboxes wait for an answer, on either side, and the groups of subscriptions.
use super::jetstream::{self, Api};
use super::line::{self, Line, MAX_HEADERS, Message as Given};
use super::meaning::{INBOX, answer, carried, destination, error_name, is_flow, is_inbox, service_error};
use crate::protocol::attribute::Attribute;
use crate::protocol::messaging::{Awaited, Destination, Operation, Stop, request, text};
use crate::protocol::{Decoder, Head, Message, Request, Response, Side, Step, Take};
use crate::semconv;
use rustc_hash::{FxHashMap, FxHashSet};
use std::borrow::Cow;
use std::collections::VecDeque;

/// What the system is called.
const SYSTEM: &str = "nats";
/// Correlation of `CONNECT`.
const CONNECT: u64 = 1;
/// Where correlations of requests that are no inboxes begin.
const NUMBERED: u64 = 2;
/// What sets deliveries apart from requests: one connection may hold both ends of an inbox.
const DELIVERED: u64 = 0x5ca1_ab1e_0dd5_eed5;
/// Confirmations that a connection in verbose mode may owe. With more, they are no longer counted.
const MAX_OWED: usize = 4096;
/// Subscriptions and consumers of which something is remembered.
const MAX_CONSUMERS: usize = 1024;
/// Deliveries in a row that a subscription may leave without a reply, before it is taken for one that only listens.
const PATIENCE: u32 = 16;
/// Longest payload whose end is waited for to find a line after a loss: of longer ones the end may never have been captured.
const MAX_CHECKED: u64 = 1024;
/// Longest word that an acknowledgement begins with.
const LONGEST_ACKNOWLEDGEMENT: u64 = 5;

/// Where one is in the lines of a side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// At a line.
    #[default]
    Line,
    /// Bytes were lost: perhaps at a line.
    Lost,
    /// In something that is no line, up to the next line end.
    Elsewhere,
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    places: [Place; 2],
    /// Inboxes of requests, by their hash.
    asked: Awaited,
    /// Inboxes of deliveries, by their hash.
    handed: Awaited,
    /// `CONNECT` is not answered.
    connecting: bool,
    /// The server confirms every line: of those, the correlations of publishes that nothing else answers, zero for others.
    owed: Option<VecDeque<u64>>,
    /// Requests that were numbered.
    numbered: u64,
    groups: FxHashMap<u64, Box<str>>,
    /// By subscription, deliveries since its last reply.
    unreplied: FxHashMap<u64, u32>,
    /// Consumers of streams that pull messages or acknowledge them: others may never do.
    acknowledging: FxHashSet<u64>,
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        if self.places[from as usize] != Place::Line {
            return self.find(from, bytes);
        }
        let taken = match line::line(from, bytes) {
            Ok((line, used)) if from == Side::Client => self.client(line, used, bytes),
            Ok((line, used)) => self.server(line, used, bytes),
            Err(stop) => Err(stop),
        };
        match taken {
            Ok(take) => Step::Take(take),
            Err(Stop::More) => Step::More,
            // The server's greeting is never encrypted; what the client says next may be.
            Err(Stop::Invalid) if from == Side::Client && bytes.first() == Some(&0x16) => Step::Leave("tls"),
            Err(Stop::Invalid) => Step::Invalid,
        }
    }

    fn lost(&mut self, from: Side) {
        self.places[from as usize] = Place::Lost;
        // Confirmations can no longer be told apart.
        self.owed = None;
    }

    fn finds_boundaries(&self) -> bool {
        true
    }
}

impl Session {
    /// Finds a line that is followed by what it announces, in bytes that begin anywhere.
    fn find(&mut self, from: Side, bytes: &[u8]) -> Step {
        let place = &mut self.places[from as usize];
        if *place == Place::Lost {
            match line::line(from, bytes).and_then(|(line, used)| ends(&line, bytes.get(used..).unwrap_or_default())) {
                Err(Stop::More) => return Step::More,
                Ok(()) => {
                    *place = Place::Line;
                    return self.decode(from, bytes, false);
                }
                Err(Stop::Invalid) => *place = Place::Elsewhere,
            }
        }
        let used = match memchr::memchr(b'\n', bytes) {
            Some(end) => {
                *place = Place::Lost;
                end + 1
            }
            None => bytes.len(),
        };
        Step::Take(Take { used: used as u64, ..Take::default() })
    }

    fn client(&mut self, line: Line<'_>, used: usize, bytes: &[u8]) -> Result<Take, Stop> {
        match line {
            Line::Connect(options) => {
                self.connecting = true;
                self.owed = memchr::memmem::find(options, b"\"verbose\":true").map(|_| VecDeque::new());
                let request = request(SYSTEM, Operation::call("connect"), Destination::default());
                return Ok(whole(used, Head::Request(Request { correlation: Some(CONNECT), ..request })));
            }
            Line::Publish(given) => {
                let taken = self.publish(&given, used, bytes)?;
                let number = Some(self.numbered + NUMBERED);
                let confirmed = match taken.head.as_deref() {
                    Some(Head::Request(request)) if request.answered => request.correlation.filter(|_| request.correlation == number),
                    _ => None,
                };
                self.owe(confirmed.unwrap_or_default());
                return Ok(taken);
            }
            Line::Subscribe { id, group } => {
                if let Some(group) = group.and_then(text).filter(|_| self.groups.len() < MAX_CONSUMERS) {
                    self.groups.insert(hash(id), group.into());
                }
                self.owe(0);
            }
            Line::Unsubscribe => self.owe(0),
            _ => {}
        }
        Ok(silent(&line, used))
    }

    /// The server will confirm a line.
    fn owe(&mut self, correlation: u64) {
        if let Some(owed) = &mut self.owed {
            owed.push_back(correlation);
            if owed.len() > MAX_OWED {
                self.owed = None;
            }
        }
    }

    /// What a client publishes: an answer to a delivery, a call, or a message.
    fn publish(&mut self, given: &Given<'_>, used: usize, bytes: &[u8]) -> Result<Take, Stop> {
        let line = Line::Publish(*given);
        let block = block(given, used, bytes)?;
        let delivery = hash(given.subject) ^ DELIVERED;
        if self.handed.contains(delivery) {
            let Some(response) = self.settle(given, delivery, used, bytes)? else { return Ok(silent(&line, used)) };
            return Ok(message(&line, used, block, Head::Response(response)));
        }
        let answered = given.reply.filter(|reply| is_inbox(reply));
        let mut request = match jetstream::api(given.subject) {
            Some(Api::Pull(consumer)) => {
                self.acknowledges(consumer);
                return Ok(silent(&line, used));
            }
            Some(Api::Call(name, stream)) => {
                let destination = Destination { name: stream.and_then(text).map(Cow::Borrowed), ..Destination::default() };
                request(SYSTEM, Operation::call(name), destination)
            }
            // The answer to what nobody saw.
            None if given.subject.starts_with(INBOX) => return Ok(silent(&line, used)),
            None if is_flow(given.subject) => {
                // An acknowledgement of what nobody knew would get one.
                if let Some(delivery) = jetstream::delivery(given.subject) {
                    self.acknowledges(delivery.consumer_key());
                }
                return Ok(silent(&line, used));
            }
            None => {
                let mut request = request(SYSTEM, Operation::PUBLISH, destination(given.subject));
                add_size(&mut request, given);
                request.carried = carried(block);
                request.messages = Box::new([Message { id: answered.map(identity), carried: request.carried.clone() }]);
                request
            }
        };
        if let Some(reply) = answered {
            let correlation = hash(reply);
            self.asked.insert(correlation, 0);
            request.correlation = Some(correlation);
        } else {
            self.numbered += 1;
            request.correlation = Some(self.numbered + NUMBERED);
            request.answered = self.owed.is_some();
        }
        Ok(message(&line, used, block, Head::Request(request)))
    }

    /// What a consumer says of a delivery; `None` if it only wants more time.
    fn settle(&mut self, given: &Given<'_>, delivery: u64, used: usize, bytes: &[u8]) -> Result<Option<Response>, Stop> {
        let mut response = Response { correlation: Some(delivery), ..Response::default() };
        if given.subject.starts_with(jetstream::ACKNOWLEDGE) {
            let payload = payload(given, used, bytes, LONGEST_ACKNOWLEDGEMENT)?;
            if payload.starts_with(b"+WPI") {
                return Ok(None);
            }
            let error = [(&b"-NAK"[..], "nak"), (b"+TERM", "term")].into_iter().find(|(word, _)| payload.starts_with(word));
            response.client_error = error.map(|(_, name)| Cow::Borrowed(name));
        } else {
            response.client_error = block(given, used, bytes)?.and_then(service_error);
        }
        if let Some(subscription) = self.handed.remove(delivery) {
            self.unreplied.remove(&subscription);
        }
        Ok(Some(response))
    }

    fn server(&mut self, line: Line<'_>, used: usize, bytes: &[u8]) -> Result<Take, Stop> {
        let error = match line {
            Line::Deliver(given) => return self.deliver(&given, used, bytes),
            Line::Error(text) => Some(error_name(text)),
            Line::Info => return Ok(silent(&line, used)),
            _ => None,
        };
        let correlation = if std::mem::take(&mut self.connecting) {
            Some(CONNECT)
        } else if matches!(line, Line::Ok | Line::Error(_)) {
            self.owed.as_mut().and_then(VecDeque::pop_front).filter(|correlation| *correlation != 0)
        } else {
            None
        };
        let Some(correlation) = correlation else { return Ok(silent(&line, used)) };
        let (client_error, server_error) = (error.map(Cow::Borrowed), error.map(Cow::Borrowed));
        Ok(whole(used, Head::Response(Response { client_error, server_error, correlation: Some(correlation), ..Response::default() })))
    }

    /// What the server hands to a client: the answer to a request, or a message for a consumer.
    fn deliver(&mut self, given: &Given<'_>, used: usize, bytes: &[u8]) -> Result<Take, Stop> {
        let line = Line::Deliver(*given);
        let block = block(given, used, bytes)?;
        let asked = hash(given.subject);
        if self.asked.contains(asked) {
            let payload = payload(given, used, bytes, jetstream::LOOKED_AT as u64)?;
            self.asked.remove(asked);
            return Ok(message(&line, used, block, Head::Response(answer(asked, block, payload))));
        }
        let delivery = given.reply.and_then(jetstream::delivery);
        let stray = delivery.is_none() && given.subject.starts_with(INBOX);
        if stray || block.and_then(line::status).is_some() {
            return Ok(silent(&line, used));
        }
        let mut request = request(SYSTEM, Operation::PROCESS, destination(given.subject));
        add_size(&mut request, given);
        if let Some(consumer) = delivery.as_ref().and_then(|delivery| text(delivery.consumer)) {
            request.attributes.push(Attribute::both(semconv::MESSAGING_DESTINATION_SUBSCRIPTION_NAME, consumer.to_owned()));
        }
        if let Some(group) = self.groups.get(&hash(given.subscription)) {
            request.attributes.push(Attribute::both(semconv::MESSAGING_CONSUMER_GROUP_NAME, group.to_string()));
        }
        let subscription = hash(given.subscription);
        let unique = given.reply.filter(|reply| is_inbox(reply));
        let answered = match &delivery {
            Some(delivery) => given.reply.filter(|_| self.acknowledging.contains(&delivery.consumer_key())),
            None => unique.filter(|_| self.replies(subscription)),
        };
        if let Some(reply) = answered {
            let correlation = hash(reply) ^ DELIVERED;
            self.handed.insert(correlation, subscription);
            request.correlation = Some(correlation);
        } else {
            self.numbered += 1;
            request.correlation = Some((self.numbered + NUMBERED) ^ DELIVERED);
            request.answered = false;
        }
        let id = delivery.map_or_else(|| unique.map(identity), |at| Some(jetstream::identity(at.stream, at.sequence)));
        request.carried = carried(block);
        request.messages = Box::new([Message { id, carried: request.carried.clone() }]);
        Ok(message(&line, used, block, Head::Request(request)))
    }
}

impl Session {
    /// A consumer of a stream pulls messages or acknowledges them.
    fn acknowledges(&mut self, consumer: u64) {
        if self.acknowledging.len() >= MAX_CONSUMERS {
            self.acknowledging.clear();
        }
        self.acknowledging.insert(consumer);
    }

    /// Whether a subscription is one that replies, as far as one can tell when it gets one more request.
    fn replies(&mut self, subscription: u64) -> bool {
        if self.unreplied.len() >= MAX_CONSUMERS {
            self.unreplied.clear();
        }
        let unreplied = self.unreplied.entry(subscription).or_default();
        *unreplied = unreplied.saturating_add(1);
        *unreplied <= PATIENCE
    }
}

/// Whether the line is what it looks like: behind a payload stands a line end.
fn ends(line: &Line<'_>, behind: &[u8]) -> Result<(), Stop> {
    match line.behind() {
        0 | MAX_CHECKED.. => Ok(()),
        end => match behind.get(end as usize - 2..end as usize) {
            Some(b"\r\n") => Ok(()),
            Some(_) => Err(Stop::Invalid),
            None => Err(Stop::More),
        },
    }
}

fn add_size(request: &mut Request, given: &Given<'_>) {
    request.attributes.push(Attribute::both(semconv::MESSAGING_MESSAGE_BODY_SIZE, (given.total - given.headers) as i64));
}

/// The header block of a message, if it has one that is worth looking at.
fn block<'a>(given: &Given<'_>, used: usize, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Stop> {
    if given.headers == 0 || given.headers > MAX_HEADERS as u64 {
        return Ok(None);
    }
    bytes.get(used..used + given.headers as usize).map(Some).ok_or(Stop::More)
}

/// The first bytes of a message's payload, at most `most`.
fn payload<'a>(given: &Given<'_>, used: usize, bytes: &'a [u8], most: u64) -> Result<&'a [u8], Stop> {
    if given.headers > MAX_HEADERS as u64 {
        return Ok(&[]);
    }
    let begin = used + given.headers as usize;
    bytes.get(begin..begin + (given.total - given.headers).min(most) as usize).ok_or(Stop::More)
}

fn identity(inbox: &[u8]) -> u64 {
    Message::identity((SYSTEM, inbox))
}

fn hash(subject: &[u8]) -> u64 {
    Message::identity(subject)
}

/// A line that yields nothing, with what belongs to it.
fn silent(line: &Line<'_>, used: usize) -> Take {
    Take { used: used as u64 + line.behind(), start: true, end: true, ..Take::default() }
}

/// A line without anything behind it.
fn whole(used: usize, head: Head) -> Take {
    Take { used: used as u64, start: true, head: Some(Box::new(head)), end: true, ..Take::default() }
}

/// A line with a message behind it.
fn message(line: &Line<'_>, used: usize, block: Option<&[u8]>, head: Head) -> Take {
    let head_len = (used + block.map_or(0, <[u8]>::len)) as u64;
    Take { used: used as u64 + line.behind(), head_len, ..whole(used, head) }
}
