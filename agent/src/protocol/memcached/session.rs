//! One connection: commands and answers of both sides become messages.
//!
//! Holds what a connection remembers: the batch of quiet reads that is open, the commands that wait, and the answer that is arriving.
use super::command::{Command, Form, UNKNOWN};
use super::queue::{Queue, Waiting};
use super::reply::{self, Meta, Reply};
use super::text::{self, Line, MAX_LINE};
use super::{Stop, binary};
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::{Decoder, Head, Kind, Request, Response, Side, Step, Take};
use crate::semconv;
use std::borrow::Cow;

/// Keys of one command that its text shows as such.
const MAX_KEYS: u32 = 16;
/// Longest line that is no command of the table, and is one all the same.
const MAX_UNKNOWN: usize = 2048;

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Session {
    /// The client's messages are known to begin where they seem to.
    aligned: bool,
    /// A line that is longer than what is looked at goes on.
    long_line: bool,
    /// Quiet reads whose end has not come.
    batch: Option<Batch>,
    waiting: Queue,
    /// The answer that is arriving.
    answer: Option<Answer>,
    leave: bool,
}

/// Quiet commands that are one request.
#[derive(Debug)]
struct Batch {
    command: &'static Command,
    count: u32,
    mixed: bool,
}

/// What is known of an answer that has several parts.
#[derive(Debug, Default)]
struct Answer {
    hits: u32,
    error: Option<&'static str>,
}

/// What a message of the server is, after its first bytes.
enum Part {
    /// One of several parts; whether it is a key that was found.
    Inner(bool),
    /// The last or only one.
    Last(Last),
    /// It answers nothing that is waited for.
    Stray,
}

/// The end of an answer.
#[derive(Default)]
struct Last {
    hit: bool,
    error: Option<&'static str>,
}

impl Session {
    /// A connection at its beginning, or somewhere later if `joined`.
    pub(super) fn new(joined: bool) -> Self {
        Self { aligned: !joined, long_line: false, batch: None, waiting: Queue::default(), answer: None, leave: false }
    }

    fn client(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        if bytes.is_empty() {
            return Err(Stop::More);
        }
        if self.long_line {
            let end = memchr::memchr(b'\n', bytes);
            self.long_line = end.is_none();
            return Ok(Take { used: end.map_or(bytes.len(), |end| end + 1) as u64, end: end.is_some(), ..Take::default() });
        }
        if bytes.first() == Some(&binary::REQUEST) {
            let packet = binary::header(bytes, binary::REQUEST)?;
            // Clients do not wait for the answer to their last word.
            let quiet = packet.quiet || packet.command.form == Form::Quit;
            let line = Line { command: packet.command, keys: u32::from(packet.keyed), value: 0, quiet, mark: None };
            return Ok(self.command(&line, packet.len, binary::HEADER as u64));
        }
        match text::line(bytes) {
            Ok((line, used)) => {
                let line = match text::parse(line) {
                    Some(line) => line,
                    None if self.aligned && is_typed(line) => Line { command: &UNKNOWN, keys: 0, value: 0, quiet: false, mark: None },
                    None => return Err(Stop::Invalid),
                };
                Ok(self.command(&line, used as u64 + line.value, used as u64))
            }
            Err(Stop::Invalid) => self.long_read(bytes),
            Err(Stop::More) => Err(Stop::More),
        }
    }

    /// A read of so many keys that its line is not looked at to its end.
    fn long_read(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        let seen = bytes.get(..MAX_LINE).ok_or(Stop::More)?;
        let whole = seen.iter().rposition(|byte| *byte == b' ').and_then(|end| seen.get(..end)).unwrap_or_default();
        let line = text::parse(whole).filter(|line| matches!(line.command.form, Form::Read(_))).ok_or(Stop::Invalid)?;
        self.long_line = true;
        // How many keys there are is not known, and so neither whether all were found.
        let mut take = self.command(&Line { keys: 0, ..line }, MAX_LINE as u64, MAX_LINE as u64);
        take.end = false;
        Ok(take)
    }

    /// A command of `used` bytes, of which `shown` say what it is.
    fn command(&mut self, line: &Line, used: u64, shown: u64) -> Take {
        self.aligned = true;
        let command = line.command;
        if line.quiet && (self.batch.is_some() || command.is_read()) && command.form != Form::Quit {
            let start = self.batch.is_none();
            self.batch.get_or_insert(Batch { command, count: 0, mixed: false }).add(command);
            return Take { used, start, ..Take::default() };
        }
        let take = Take { used, start: self.batch.is_none(), head_len: shown, end: true, ..Take::default() };
        let request = if let Some(mut batch) = self.batch.take() {
            if !matches!(command.form, Form::Noop | Form::Quit) {
                batch.add(command);
            }
            if !line.quiet {
                let keys = if batch.mixed || !batch.command.is_read() { 0 } else { batch.count };
                self.waiting.push(Waiting { command, keys, batch: true, mark: line.mark });
            }
            batch.request()
        } else {
            if !line.quiet {
                let keys = if command.is_read() { line.keys } else { 0 };
                self.waiting.push(Waiting { command, keys, batch: false, mark: line.mark });
            }
            // It asks only whether the server is there.
            if command.form == Form::Noop {
                return take;
            }
            request(command, line.keys)
        };
        Take { head: Some(Box::new(Head::Request(Request { answered: !line.quiet, ..request }))), ..take }
    }

    fn server(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        if bytes.is_empty() {
            return Err(Stop::More);
        }
        let start = self.answer.is_none();
        let (part, used) = if bytes.first() == Some(&binary::RESPONSE) {
            let packet = binary::header(bytes, binary::RESPONSE)?;
            (self.packet(&packet), packet.len)
        } else {
            let (line, used) = text::line(bytes)?;
            let reply = reply::parse(line).ok_or(Stop::Invalid)?;
            let value = if let Reply::Value(value) | Reply::Meta(_, value, _) = reply { value } else { 0 };
            (self.reply(reply), used as u64 + value)
        };
        Ok(match part {
            Part::Inner(hit) => {
                let answer = self.answer.get_or_insert_default();
                answer.hits = answer.hits.saturating_add(u32::from(hit));
                Take { used, start, ..Take::default() }
            }
            Part::Last(last) => {
                let head = self.response(&last).map(|response| Box::new(Head::Response(response)));
                Take { used, start, head, end: true, ..Take::default() }
            }
            // In the middle of an answer it is taken for a part of it: a message cannot begin there.
            Part::Stray => Take { used, start, end: start, ..Take::default() },
        })
    }

    /// What a packet is to the commands that wait.
    fn packet(&mut self, packet: &binary::Packet) -> Part {
        let error = binary::error(packet.status);
        if packet.command.form == Form::Quit {
            return Part::Stray;
        }
        if packet.quiet {
            if !self.batch_is_next() {
                return Part::Stray;
            }
            self.answer.get_or_insert_default().fail(error);
            return Part::Inner(packet.command.is_read() && packet.status == 0);
        }
        // Statistics are a packet each, and one without a name ends them.
        if packet.command.name == "stats" && packet.keyed && error.is_none() {
            return Part::Inner(false);
        }
        Part::Last(Last { hit: packet.command.is_read() && packet.status == 0, error })
    }

    /// What a line is to the commands that wait.
    fn reply(&mut self, reply: Reply) -> Part {
        let front = self.waiting.front();
        match reply {
            Reply::Value(_) => Part::Inner(true),
            Reply::Part => Part::Inner(false),
            Reply::End => Part::Last(Last::default()),
            Reply::Word => {
                self.leave |= front.is_some_and(|front| front.command.form == Form::Watch);
                Part::Last(Last::default())
            }
            Reply::Error(error) => match front {
                // One of the quiet ones: the answer to the one that ends them is still to come.
                Some(front) if front.batch && front.command.form == Form::Noop => {
                    self.answer.get_or_insert_default().fail(Some(error));
                    Part::Inner(false)
                }
                _ => Part::Last(Last { error: Some(error), ..Last::default() }),
            },
            Reply::Meta(meta, _, mark) => self.meta(meta, mark, front),
        }
    }

    /// Whether the next answer is to a batch. What of it was found may be told before its end was sent.
    fn batch_is_next(&self) -> bool {
        self.waiting.front().map_or(self.waiting.is_empty() && self.batch.is_some(), |front| front.batch)
    }

    fn meta(&self, meta: Meta, mark: Option<u64>, front: Option<Waiting>) -> Part {
        let Some(front) = front else {
            return if self.batch_is_next() { Part::Inner(meta == Meta::Done) } else { Part::Last(Last::default()) };
        };
        let ends = match (meta, front.command.form) {
            (Meta::Noop, form) => form == Form::Noop,
            // Which of several it answers, it says if its client asked for that.
            _ => front.command.is_meta() && (!front.batch || front.mark.is_none() || front.mark == mark),
        };
        let read = front.command.is_read();
        match meta {
            _ if ends => Part::Last(Last { hit: read && meta == Meta::Done, error: None }),
            Meta::Done if front.batch => Part::Inner(true),
            _ => Part::Stray,
        }
    }

    /// The oldest command is answered. A no-op alone asked for nothing.
    fn response(&mut self, last: &Last) -> Option<Response> {
        let Answer { hits, error } = self.answer.take().unwrap_or_default();
        let mut response = Response::default();
        let waiting = self.waiting.pop();
        if waiting.is_some_and(|waiting| waiting.command.form == Form::Noop && !waiting.batch) {
            return None;
        }
        if let Some(error) = last.error.or(error) {
            response.attributes.push(Attribute::both(semconv::DB_RESPONSE_STATUS_CODE, error));
            response.client_error = Some(Cow::Borrowed(error));
            response.server_error = Some(Cow::Borrowed(error));
            return Some(response);
        }
        let Some(waiting) = waiting else { return Some(response) };
        let hits = hits + u32::from(last.hit);
        // Of several keys some may be there: then it was neither.
        if waiting.keys > 0 && (hits == 0 || hits >= waiting.keys) {
            response.attributes.push(Attribute::both(semconv::WIRESPAN_CACHE_HIT, hits > 0));
        }
        Some(response)
    }
}

impl Answer {
    /// A part of it was an error; the first one counts.
    fn fail(&mut self, error: Option<&'static str>) {
        self.error = self.error.or(error);
    }
}

impl Batch {
    fn add(&mut self, command: &'static Command) {
        self.count = self.count.saturating_add(1);
        self.mixed |= command != self.command;
    }

    fn request(&self) -> Request {
        if self.count == 1 {
            return request(self.command, 1);
        }
        let name = if self.mixed { Cow::Borrowed("BATCH") } else { Cow::Owned(format!("BATCH {}", self.command.name)) };
        // Allocates once: three attributes.
        let attributes = vec![
            Attribute::both(semconv::DB_SYSTEM_NAME, "memcached"),
            Attribute::both(semconv::DB_OPERATION_NAME, Value::Text(name.clone())),
            Attribute::both(semconv::DB_OPERATION_BATCH_SIZE, i64::from(self.count)),
        ];
        Request { attributes, ..Request::new(Kind::Database, name) }
    }
}

/// The request that a command with so many keys is.
fn request(command: &'static Command, keys: u32) -> Request {
    // Allocates once: three attributes.
    let mut attributes = Vec::with_capacity(3);
    attributes.push(Attribute::both(semconv::DB_SYSTEM_NAME, "memcached"));
    if *command != UNKNOWN {
        attributes.push(Attribute::both(semconv::DB_OPERATION_NAME, command.name));
        attributes.push(Attribute::both(semconv::DB_QUERY_TEXT, query(command, keys)));
    }
    Request { attributes, ..Request::new(Kind::Database, command.name) }
}

/// A command as it may be shown: its keys are names of what somebody stored, and may be anything.
fn query(command: &'static Command, keys: u32) -> Cow<'static, str> {
    if !matches!(command.form, Form::Read(_)) || keys == 1 {
        return Cow::Borrowed(command.text);
    }
    let mut text = command.name.to_owned();
    (0..keys.clamp(1, MAX_KEYS)).for_each(|_| text.push_str(" ?"));
    if keys == 0 || keys > MAX_KEYS {
        text.push_str(" ...");
    }
    Cow::Owned(text)
}

/// Whether a line could be a command, though an unknown one.
fn is_typed(line: &[u8]) -> bool {
    line.len() <= MAX_UNKNOWN && line.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if self.leave {
            return Step::Leave("memcached-watch");
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
            Side::Client => (self.aligned, self.long_line, self.batch) = (false, false, None),
            Side::Server => self.answer = None,
        }
        // Which answer belongs to which command is not known any more until both sides have begun anew.
        self.waiting.clear();
    }
}
