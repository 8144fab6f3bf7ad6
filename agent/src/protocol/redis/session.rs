//! One connection: the commands and replies of both sides become messages.
//!
//! Holds what a connection remembers: the database, whether replies come at all, and which commands wait for theirs.
use super::command::Effect;
use super::expect::{Expect, Queue, Waiting};
use super::reply::{Replies, Top, Word};
use super::request::{self, Arguments, Shown};
use super::resp::{self, MAX_PREFIX, Stop};
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::{Decoder, Head, Kind, Request, Response, Side, Step, Take};
use crate::semconv;
use std::borrow::Cow;

/// Databases whose names need no allocation: as many as a server has unless configured otherwise.
const DATABASES: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
/// Prefixes of errors that need no allocation.
const PREFIXES: [&str; 12] =
    ["ERR", "WRONGTYPE", "MOVED", "ASK", "NOSCRIPT", "NOAUTH", "NOPERM", "LOADING", "BUSY", "READONLY", "OOM", "EXECABORT"];

/// Whether commands are answered (`CLIENT REPLY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    On,
    /// Not the next one.
    Skip,
    Off,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Session {
    /// The database in which the oldest waiting command runs; `None` if unknown.
    database: Option<u32>,
    /// A `SELECT` waits for its transaction to be executed.
    queued_select: bool,
    waiting: Queue,
    answers: Answers,
    /// Arguments of the current command that are still to come.
    rest: u64,
    /// The client's messages are known to begin where they seem to.
    aligned: bool,
    replies: Replies,
    /// The word that was confirmed last, and how many confirmations of the same command are to come.
    confirmed: Option<(Word, u32)>,
    leave: Option<&'static str>,
}

impl Session {
    /// A connection at its beginning, or somewhere later if `joined`.
    pub(super) fn new(joined: bool) -> Self {
        Self {
            database: (!joined).then_some(0),
            queued_select: false,
            waiting: Queue::default(),
            answers: Answers::On,
            rest: 0,
            aligned: !joined,
            replies: Replies::default(),
            confirmed: None,
            leave: None,
        }
    }

    fn client(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        if self.rest > 0 {
            let (used, count) = request::skip(bytes, self.rest)?;
            self.rest -= count;
            return Ok(Take { used, end: self.rest == 0, ..Take::default() });
        }
        let beginning = request::begin(bytes)?;
        let head = match &beginning.arguments {
            None => None,
            Some(arguments) => {
                let shown = arguments.show();
                // After a loss, the middle of a value could pass for a line with a command.
                if !self.aligned && bytes.first() != Some(&b'*') && shown.command.is_none() {
                    return Err(Stop::Invalid);
                }
                self.aligned = true;
                Some(Box::new(Head::Request(self.request(arguments, shown))))
            }
        };
        self.rest = beginning.rest;
        Ok(Take { used: beginning.used, start: true, head, head_len: beginning.shown, end: self.rest == 0, ..Take::default() })
    }

    fn request(&mut self, arguments: &Arguments<'_>, shown: Shown) -> Request {
        let effect = shown.command.map_or(Effect::None, |command| command.effect);
        let answered = self.is_answered(effect, arguments);
        let database_later = self.waiting.may_change_database();
        let expect = expectation(effect, arguments);
        let followed = if answered { self.waiting.push(Waiting { expect, database_later }) } else { !expect.may_change_database() };
        // Allocates once: five attributes at most.
        let mut attributes = Vec::with_capacity(5);
        attributes.push(Attribute::both(semconv::DB_SYSTEM_NAME, "redis"));
        let name = shown.name.unwrap_or(Cow::Borrowed("redis"));
        if name != "redis" {
            attributes.push(Attribute::both(semconv::DB_OPERATION_NAME, Value::Text(name.clone())));
        }
        attributes.push(Attribute::both(semconv::DB_QUERY_TEXT, shown.text));
        if let Some(database) = self.database.filter(|_| !database_later) {
            attributes.push(namespace(database));
        }
        if let Some(procedure) = shown.procedure {
            attributes.push(Attribute::both(semconv::DB_STORED_PROCEDURE_NAME, procedure));
        }
        if !followed {
            self.database = None;
        }
        Request { attributes, answered, ..Request::new(Kind::Database, name) }
    }

    /// Whether the server answers this command; follows `CLIENT REPLY`.
    fn is_answered(&mut self, effect: Effect, arguments: &Arguments<'_>) -> bool {
        let mode = arguments.get(2).filter(|_| effect == Effect::ClientReply && arguments.total() == 3).unwrap_or_default();
        let is = |word: &str| mode.eq_ignore_ascii_case(word.as_bytes());
        let (answered, next) = match self.answers {
            _ if effect == Effect::Reset || is("ON") => (true, Answers::On),
            _ if is("OFF") => (false, Answers::Off),
            Answers::Off => (false, Answers::Off),
            _ if is("SKIP") => (false, Answers::Skip),
            Answers::Skip => (false, Answers::On),
            Answers::On => (true, Answers::On),
        };
        self.answers = next;
        answered
    }

    fn server(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        let front = self.waiting.front();
        if front == Some(Expect::Replicate) && !self.replies.is_inside() {
            return self.replication(bytes);
        }
        let may_be_subscribed = matches!(front, None | Some(Expect::Confirmation(..) | Expect::WhileSubscribed | Expect::Reset));
        let advance = self.replies.advance(bytes, may_be_subscribed || self.confirmed.is_some())?;
        let response = advance.top.and_then(|top| self.response(top, may_be_subscribed));
        let head = response.map(|response| Box::new(Head::Response(response)));
        Ok(Take { used: advance.used, start: advance.start, head, end: advance.end, ..Take::default() })
    }

    /// The answer to `PSYNC` or `SYNC`: newlines while the snapshot is made, then one line, then no RESP.
    fn replication(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        let newlines = bytes.iter().take_while(|&&byte| byte == b'\n').count();
        if newlines > 0 {
            return Ok(Take { used: newlines as u64, start: true, head: None, end: true, ..Take::default() });
        }
        let (&kind, rest) = bytes.split_first().ok_or(Stop::More)?;
        let (text, used) = resp::line(rest)?;
        let top = match kind {
            b'-' => Top::Error(text),
            b'+' | b'$' => Top::Status(text),
            _ => return Err(Stop::Invalid),
        };
        let head = self.response(top, true).map(|response| Box::new(Head::Response(response)));
        Ok(Take { used: 1 + used as u64, start: true, head, end: true, ..Take::default() })
    }

    /// What a reply means; `None` if it answers nothing.
    fn response(&mut self, top: Top<'_>, may_be_subscribed: bool) -> Option<Response> {
        match top {
            Top::Push | Top::PushWord(Word::Message) => return None,
            Top::Word(Word::Message) if may_be_subscribed => return None,
            Top::PushWord(word) => return self.confirmation(word, true),
            Top::Word(word) if may_be_subscribed || self.confirmed.is_some_and(|(last, _)| last == word) => {
                return self.confirmation(word, may_be_subscribed);
            }
            _ => self.confirmed = None,
        }
        let waiting = self.waiting.pop();
        let mut response = Response::default();
        self.tell_database(waiting, &mut response);
        let expect = waiting.map(|waiting| waiting.expect);
        // Whether each command of a transaction succeeded is not looked at.
        if expect == Some(Expect::EndTransaction) && std::mem::take(&mut self.queued_select) && top == Top::Value {
            self.database = None;
        }
        match (expect, top) {
            (_, Top::Error(text)) => {
                let prefix = prefix(text);
                response.attributes.push(Attribute::both(semconv::DB_RESPONSE_STATUS_CODE, Value::Text(prefix.clone())));
                response.client_error = Some(prefix.clone());
                response.server_error = Some(prefix);
            }
            (Some(Expect::Read), Top::Nil) => response.attributes.push(Attribute::both(semconv::WIRESPAN_CACHE_HIT, false)),
            (Some(Expect::Read), Top::Value) => response.attributes.push(Attribute::both(semconv::WIRESPAN_CACHE_HIT, true)),
            (Some(Expect::Select(_)), Top::Status(b"QUEUED")) => self.queued_select = true,
            (Some(Expect::Select(database)), Top::Status(_)) => self.database = Some(database),
            (Some(Expect::Reset), Top::Status(_)) => (self.database, self.queued_select) = (Some(0), false),
            (Some(Expect::Monitor), Top::Status(b"OK")) => self.leave = Some("redis-monitor"),
            (Some(Expect::Replicate), Top::Status(_)) => self.leave = Some("redis-replication"),
            _ => {}
        }
        Some(response)
    }

    /// A confirmation of publish and subscribe: the first one answers the command, the others nothing.
    fn confirmation(&mut self, word: Word, may_be_subscribed: bool) -> Option<Response> {
        match (self.confirmed, self.waiting.front()) {
            (Some((last, more)), _) if last == word && more > 0 => {
                self.confirmed = Some((word, more - 1));
                None
            }
            (_, Some(Expect::Confirmation(expected, channels))) if expected == word => {
                self.confirmed = Some((word, channels.saturating_sub(1)));
                let waiting = self.waiting.pop();
                let mut response = Response::default();
                self.tell_database(waiting, &mut response);
                Some(response)
            }
            _ => {
                // Not ours: `UNSUBSCRIBE` without channels confirms each one there was.
                self.confirmed = Some((word, 0)).filter(|_| may_be_subscribed).or(self.confirmed);
                None
            }
        }
    }

    /// Says the database of a command for which it was not certain when it was sent.
    fn tell_database(&self, waiting: Option<Waiting>, response: &mut Response) {
        if let (Some(Waiting { database_later: true, .. }), Some(database)) = (waiting, self.database) {
            response.attributes.push(namespace(database));
        }
    }
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if let Some(name) = self.leave {
            return Step::Leave(name);
        }
        let taken = match from {
            Side::Client => self.client(bytes),
            Side::Server => self.server(bytes),
        };
        match taken {
            Ok(take) => Step::Take(take),
            Err(Stop::More) => Step::More,
            Err(Stop::Invalid) => Step::Invalid,
        }
    }

    fn lost(&mut self, from: Side) {
        match from {
            // A command that changes the database or the answers may have been among what was lost.
            Side::Client => (self.rest, self.aligned, self.database, self.answers) = (0, false, None, Answers::On),
            Side::Server => {
                self.replies = Replies::default();
                if self.waiting.may_change_database() {
                    self.database = None;
                }
            }
        }
        // Which reply belongs to which command is not known any more until both sides have begun anew.
        self.waiting.clear();
        self.confirmed = None;
    }
}

/// What the reply to a command may mean.
fn expectation(effect: Effect, arguments: &Arguments<'_>) -> Expect {
    match effect {
        Effect::None | Effect::Container | Effect::ClientReply => Expect::Reply,
        Effect::Read => Expect::Read,
        Effect::Select => {
            let index = arguments.get(1).and_then(|index| std::str::from_utf8(index).ok()).and_then(|index| index.parse().ok());
            index.map_or(Expect::Reply, Expect::Select)
        }
        Effect::Subscribe(word) => Expect::Confirmation(word, u32::try_from(arguments.total() - 1).unwrap_or(u32::MAX)),
        Effect::WhileSubscribed => Expect::WhileSubscribed,
        Effect::Reset => Expect::Reset,
        Effect::EndTransaction => Expect::EndTransaction,
        Effect::Monitor => Expect::Monitor,
        Effect::Replicate => Expect::Replicate,
    }
}

fn namespace(database: u32) -> Attribute {
    let name = DATABASES.get(database as usize).map_or_else(|| Cow::Owned(database.to_string()), |name| Cow::Borrowed(*name));
    Attribute::both(semconv::DB_NAMESPACE, Value::Text(name))
}

/// The first word of an error, by which errors are told apart; `_OTHER` if it is not written like one.
fn prefix(text: &[u8]) -> Cow<'static, str> {
    let word = text.split(|byte| matches!(byte, b' ' | b'\r' | b'\n')).next().unwrap_or_default();
    if let Some(known) = PREFIXES.iter().find(|known| known.as_bytes() == word) {
        return Cow::Borrowed(known);
    }
    let is_prefix = word.len() <= MAX_PREFIX
        && word.first().is_some_and(u8::is_ascii_uppercase)
        && word.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    if is_prefix { Cow::Owned(String::from_utf8_lossy(word).into_owned()) } else { Cow::Borrowed("_OTHER") }
}
