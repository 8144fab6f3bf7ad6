//! One connection: commands and replies become messages.
//!
//! Holds which requests wait whose replies are no answers like others.
use super::Stop;
use super::command::Command;
use super::header::{Header, Kind, MAX_SHOWN};
use super::query::{self, Query};
use super::reply::{self, Failure};
use crate::protocol::attribute::Attribute;
use crate::protocol::{Decoder, Head, Kind as Conversation, Request, Response, Side, Step, Take};
use crate::semconv;
use std::borrow::Cow;
use std::collections::VecDeque;

/// Requests that are remembered: drivers send one at a time on a connection, proxies a few more.
const MAX_WAITING: usize = 256;

/// What the reply to a request may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// An answer.
    Answer,
    /// Nothing, if it brings nothing.
    Batch,
    /// No answer, as its request was none.
    Silence,
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    waiting: VecDeque<(i32, Expect)>,
    /// The reply that the next one goes on from, without having been asked for.
    exhaust: Option<i32>,
}

impl Session {
    fn client(&mut self, header: &Header, message: &[u8]) -> Option<Head> {
        let query = query::read(header, message);
        let idle = query.command.is_some_and(|command| command.idle);
        let expect = match query.command {
            _ if idle => Expect::Silence,
            Some(Command { name: "getMore", .. }) => Expect::Batch,
            _ => Expect::Answer,
        };
        if !query.unanswered {
            if self.waiting.len() >= MAX_WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back((header.id, expect));
        }
        (!idle).then(|| Head::Request(request(&query, header.id)))
    }

    fn server(&mut self, header: &Header, message: &[u8]) -> Option<Head> {
        let reply = reply::read(header, message);
        let goes_on = self.exhaust == Some(header.answers);
        if goes_on || reply.more_to_come {
            self.exhaust = reply.more_to_come.then_some(header.id);
        }
        let place = self.waiting.iter().position(|(id, _)| *id == header.answers);
        let expect = place.and_then(|place| self.waiting.remove(place)).map_or(Expect::Answer, |(_, expect)| expect);
        if goes_on || expect == Expect::Silence {
            return None;
        }
        let mut response = Response { correlation: Some(correlation(header.answers)), ..Response::default() };
        match reply.failure {
            Some(failure) => fail(&mut response, failure),
            None => response.idle = expect == Expect::Batch && reply.empty,
        }
        Some(Head::Response(response))
    }
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        let header = match Header::at(bytes) {
            Ok(header) => header,
            Err(Stop::More) => return Step::More,
            Err(Stop::Invalid) => return Step::Invalid,
        };
        let answer = matches!(header.kind, Kind::Reply);
        if (answer && from == Side::Client) || (from == Side::Server && !answer && !matches!(header.kind, Kind::Message | Kind::Compressed))
        {
            return Step::Invalid;
        }
        let shown = MAX_SHOWN.min(header.len as usize);
        let Some(message) = bytes.get(..shown) else { return Step::More };
        let head = match from {
            Side::Client => self.client(&header, message),
            Side::Server => self.server(&header, message),
        };
        let head = head.map(Box::new);
        Step::Take(Take { used: u64::from(header.len), start: true, head, head_len: shown as u64, end: true, ..Take::default() })
    }

    fn lost(&mut self, from: Side) {
        if from == Side::Server {
            // Which reply went on from which was said in what is gone.
            self.exhaust = None;
        }
    }
}

/// The number of a request, as its reply repeats it.
fn correlation(id: i32) -> u64 {
    u64::from(id as u32)
}

fn request(query: &Query<'_>, id: i32) -> Request {
    let operation = query.command.map(|command| command.name);
    let name = match (operation, query.collection) {
        (Some(operation), Some(collection)) => Cow::Owned([operation, " ", collection].concat()),
        (Some(operation), None) => Cow::Borrowed(operation),
        (None, _) => Cow::Borrowed("mongodb"),
    };
    // Allocates once: four attributes at most.
    let mut attributes = Vec::with_capacity(4);
    attributes.push(Attribute::both(semconv::DB_SYSTEM_NAME, "mongodb"));
    attributes.extend(operation.map(|operation| Attribute::both(semconv::DB_OPERATION_NAME, operation)));
    attributes.extend(query.collection.map(|collection| Attribute::both(semconv::DB_COLLECTION_NAME, collection.to_owned())));
    attributes.extend(query.database.map(|database| Attribute::both(semconv::DB_NAMESPACE, database.to_owned())));
    if query.compressed {
        attributes.push(Attribute::both(semconv::WIRESPAN_INCOMPLETE, "compression"));
    }
    let (correlation, answered) = (Some(correlation(id)), !query.unanswered);
    Request { attributes, correlation, answered, ..Request::new(Conversation::Database, name) }
}

fn fail(response: &mut Response, failure: Failure) {
    let code: Cow<'static, str> = if failure.code == 0 { Cow::Borrowed("_OTHER") } else { Cow::Owned(failure.code.to_string()) };
    response.attributes.push(Attribute::both(semconv::DB_RESPONSE_STATUS_CODE, code.clone()));
    response.attributes.extend(failure.name.map(|name| Attribute::both(semconv::WIRESPAN_DB_ERROR_NAME, name)));
    response.client_error = Some(code.clone());
    response.server_error = Some(code);
}
