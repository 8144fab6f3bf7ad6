//! One connection: commands and answers of both sides become messages.
//!
//! Holds what a connection remembers: the database, what was prepared, and which commands wait for their answers.
use super::command::{self, Answer, Command, MAX_NAME};
use super::login::{self, Greeting, Login, Traits};
use super::packet::{HEADER, Packet};
use super::response::{Arriving, Failure, Part};
use super::{Stop, attributes, detect};
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::context::Finder;
use crate::protocol::sql::{self, Dialect, Prepared, Statement};
use crate::protocol::{Decoder, Guess, Head, Kind, Request, Response, Side, Step, Take};
use crate::semconv;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

/// Of a payload, the bytes that are waited for: twice the longest text that is told, as literals are left out of it.
pub(super) const MAX_SHOWN: usize = 8 * 1024;
/// Commands that may wait for their answers. Nearly all clients send one at a time; `MariaDB`'s send some together.
const MAX_WAITING: usize = 1024;
/// The number that stands for the statement that was prepared last (`MariaDB`).
const LAST_PREPARED: u32 = u32::MAX;

/// What the connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The server speaks first.
    Greeting,
    /// The client says who it is.
    Login(Greeting),
    /// Commands and answers.
    Commands,
}

/// A command that waits for its answer.
#[derive(Debug)]
struct Waiting {
    code: u8,
    answer: Answer,
    /// The number of the answer's first packet.
    seq: u8,
    /// What it prepares.
    statement: Option<Arc<Statement>>,
    /// The database that it makes the current one.
    database: Option<String>,
}

/// The state of a connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(super) struct Session {
    phase: Phase,
    system: &'static str,
    traits: Traits,
    dialect: Dialect,
    compressed: bool,
    database: Option<String>,
    prepared: Prepared<u32>,
    last_prepared: Option<Arc<Statement>>,
    waiting: VecDeque<Waiting>,
    /// The client's messages are known to begin where they seem to.
    aligned: bool,
    /// The client's packet goes on in its next one.
    command_continues: bool,
    /// The client sends a file, until an empty packet.
    file: bool,
    /// The answer that is arriving.
    arriving: Option<Box<Arriving>>,
    /// The server's packet goes on in its next one.
    packet_continues: bool,
    leave: Option<&'static str>,
}

impl Session {
    /// A connection at its beginning, or somewhere later if `joined`.
    pub(super) fn new(joined: bool) -> Self {
        Self {
            phase: if joined { Phase::Commands } else { Phase::Greeting },
            system: "mysql",
            traits: Traits { ends: false, optional_metadata: false },
            dialect: Dialect::MYSQL,
            compressed: false,
            database: None,
            prepared: Prepared::default(),
            last_prepared: None,
            waiting: VecDeque::new(),
            aligned: !joined,
            command_continues: false,
            file: false,
            arriving: None,
            packet_continues: false,
            leave: None,
        }
    }

    fn client(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        let packet = Packet::at(bytes).ok_or(Stop::More)?;
        let used = packet.size();
        if self.command_continues {
            self.command_continues = packet.continues();
            if let Some(waiting) = self.waiting.back_mut() {
                waiting.seq = waiting.seq.wrapping_add(1);
            }
            return Ok(Take { used, end: !packet.continues(), ..Take::default() });
        }
        let silent = Take { used, start: true, end: true, ..Take::default() };
        if self.file {
            self.file = packet.len > 0;
            return Ok(silent);
        }
        match self.phase {
            Phase::Login(greeting) => return self.login(&packet, Some(greeting)),
            Phase::Greeting if packet.seq != 0 => return self.login(&packet, None),
            // What belongs to an authentication, or to a command whose beginning was lost.
            Phase::Commands if packet.seq != 0 => return Ok(silent),
            Phase::Greeting | Phase::Commands => self.phase = Phase::Commands,
        }
        let code = match packet.first() {
            Some(code) => code,
            None if packet.len > 0 => return Err(Stop::More),
            None => return Err(Stop::Invalid),
        };
        let command = command::find(code).ok_or(Stop::Invalid)?;
        if !(command.lengths.0..=command.lengths.1).contains(&packet.len) {
            return Err(Stop::Invalid);
        }
        if !packet.has(MAX_SHOWN) {
            return Err(Stop::More);
        }
        // After a loss, the middle of a packet could pass for a command.
        if !self.aligned && detect::client(bytes) < Guess::Likely && !matches!(command.answer, Answer::One | Answer::Nothing) {
            return Err(Stop::Invalid);
        }
        self.aligned = true;
        self.command_continues = packet.continues();
        let take = Take { used, start: true, end: !packet.continues(), ..Take::default() };
        match command.answer {
            Answer::Nothing => {
                if let (command::CLOSE, Some(id)) = (code, id(&packet)) {
                    self.prepared.remove(&id);
                }
                Ok(take)
            }
            Answer::Replication => {
                self.leave = Some("mysql-replication");
                Ok(take)
            }
            Answer::One if code == command::PING => {
                self.wait(Waiting { code, answer: Answer::One, seq: 1, statement: None, database: None });
                Ok(take)
            }
            _ => {
                let request = self.request(code, &command, &packet);
                let head_len = used.min((HEADER + MAX_SHOWN) as u64);
                Ok(Take { head: Some(Box::new(Head::Request(request))), head_len, ..take })
            }
        }
    }

    /// The client's first packet.
    fn login(&mut self, packet: &Packet<'_>, greeting: Option<Greeting>) -> Result<Take, Stop> {
        if !packet.has(MAX_SHOWN) {
            return Err(Stop::More);
        }
        let take = Take { used: packet.size(), start: true, end: true, ..Take::default() };
        match login::login(packet.payload, packet.len, greeting).ok_or(Stop::Invalid)? {
            Login::Tls => {
                self.leave = Some("tls");
                Ok(take)
            }
            Login::In { database, compressed, traits } => {
                (self.phase, self.compressed, self.traits) = (Phase::Commands, compressed, traits);
                let database = database.and_then(name);
                let mut attributes =
                    vec![Attribute::both(semconv::DB_SYSTEM_NAME, self.system), Attribute::both(semconv::DB_OPERATION_NAME, "COM_CONNECT")];
                attributes.extend(database.clone().map(|database| Attribute::both(semconv::DB_NAMESPACE, database)));
                let seq = packet.seq.wrapping_add(1);
                self.wait(Waiting { code: command::CHANGE_USER, answer: Answer::Login, seq, statement: None, database });
                let request = Request { attributes, ..Request::new(Kind::Database, "COM_CONNECT") };
                Ok(Take { head: Some(Box::new(Head::Request(request))), ..take })
            }
        }
    }

    fn wait(&mut self, waiting: Waiting) {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.clear();
        }
        self.waiting.push_back(waiting);
    }

    fn request(&mut self, code: u8, command: &Command, packet: &Packet<'_>) -> Request {
        let payload = packet.payload.get(..MAX_SHOWN).unwrap_or(packet.payload);
        let mut finder = Finder::default();
        let statement = match code {
            command::QUERY | command::PREPARE => {
                let text = payload.get(1..).unwrap_or_default();
                let text = if code == command::QUERY { attributes::split(text, &mut finder) } else { Some(text) };
                text.map(|text| Arc::new(sql::read(text, self.dialect, payload.len() == packet.len as usize)))
            }
            command::EXECUTE | command::BULK_EXECUTE => match id(packet) {
                Some(LAST_PREPARED) => self.last_prepared.clone(),
                Some(id) => self.prepared.get(&id),
                None => None,
            },
            _ => None,
        };
        let database = match code {
            command::INIT_DB => payload.get(1..).and_then(name),
            command::CHANGE_USER => login::change_user(payload).and_then(name),
            command::QUERY => statement.as_deref().and_then(Statement::namespace).and_then(unquoted),
            _ => None,
        };
        // What a comment of a prepared statement says was true when it was prepared.
        let said = statement.as_deref().filter(|_| matches!(code, command::QUERY | command::PREPARE));
        let carried = finder.carried().or_else(|| said.and_then(|statement| statement.carried.clone()));
        let (name, attributes) = self.describe(code, command, statement.as_deref());
        let prepares = statement.filter(|_| code == command::PREPARE);
        if prepares.is_some() {
            self.last_prepared.clone_from(&prepares);
        }
        self.wait(Waiting { code, answer: command.answer, seq: 1, statement: prepares, database });
        Request { attributes, carried, ..Request::new(Kind::Database, name) }
    }

    fn describe(&self, code: u8, command: &Command, statement: Option<&Statement>) -> (Cow<'static, str>, Vec<Attribute>) {
        // Allocates once: six attributes at most.
        let mut attributes = Vec::with_capacity(6);
        attributes.push(Attribute::both(semconv::DB_SYSTEM_NAME, self.system));
        attributes.extend(self.database.clone().map(|database| Attribute::both(semconv::DB_NAMESPACE, database)));
        let Some(statement) = statement else {
            attributes.push(Attribute::both(semconv::DB_OPERATION_NAME, command.name));
            if matches!(code, command::EXECUTE | command::BULK_EXECUTE) {
                attributes.push(Attribute::both(semconv::WIRESPAN_INCOMPLETE, "statement"));
            }
            return (Cow::Borrowed(command.name), attributes);
        };
        let before = match code {
            command::PREPARE => "PREPARE ",
            command::BULK_EXECUTE => "BATCH ",
            _ => "",
        };
        attributes.push(Attribute::both(semconv::DB_QUERY_TEXT, statement.text.clone()));
        if let Some(procedure) = statement.procedure() {
            attributes.push(Attribute::both(semconv::DB_STORED_PROCEDURE_NAME, procedure.to_owned()));
        }
        if statement.summary.is_empty() {
            return (Cow::Borrowed(self.system), attributes);
        }
        let summary = [before, &statement.summary].concat();
        attributes.push(Attribute::both(semconv::DB_QUERY_SUMMARY, summary.clone()));
        (Cow::Owned(summary), attributes)
    }

    fn server(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        let start = self.arriving.is_none();
        let mut used = 0;
        while let Some(packet) = bytes.get(used as usize..).and_then(Packet::at) {
            if self.packet_continues {
                self.packet_continues = packet.continues();
                if let Some(arriving) = self.arriving.as_deref_mut() {
                    arriving.counted();
                }
                used += packet.size();
                continue;
            }
            match self.packet(&packet) {
                Ok(Some(Part::Last)) => {
                    let head = self.response().map(|response| Box::new(Head::Response(response)));
                    return Ok(Take { used: used + packet.size(), start, head, end: true, ..Take::default() });
                }
                Ok(Some(Part::Inner | Part::File)) => {
                    self.packet_continues = packet.continues();
                    used += packet.size();
                }
                Ok(None) => return Ok(Take { used: packet.size(), start, end: true, ..Take::default() }),
                // What was understood before it is taken first.
                Err(_) if used > 0 => break,
                Err(stop) => return Err(stop),
            }
        }
        if used == 0 { Err(Stop::More) } else { Ok(Take { used, start, ..Take::default() }) }
    }

    /// Takes a packet of the server. `None` if it belongs to no answer.
    fn packet(&mut self, packet: &Packet<'_>) -> Result<Option<Part>, Stop> {
        if self.phase == Phase::Greeting {
            return self.greeting(packet).map(|()| None);
        }
        if let Some(arriving) = self.arriving.as_deref_mut() {
            let part = arriving.packet(packet, self.traits)?;
            self.file |= part == Part::File;
            return Ok(Some(part));
        }
        let (answer, seq) = self.waiting.front().map_or((Answer::Results, 1), |waiting| (waiting.answer, waiting.seq));
        if seq != packet.seq {
            return Ok(None);
        }
        let mut arriving = Arriving::new(answer, seq);
        let part = arriving.packet(packet, self.traits)?;
        self.file |= part == Part::File;
        self.arriving = Some(Box::new(arriving));
        Ok(Some(part))
    }

    fn greeting(&mut self, packet: &Packet<'_>) -> Result<(), Stop> {
        if !packet.has(MAX_SHOWN) {
            return Err(Stop::More);
        }
        match login::greeting(packet.payload).filter(|_| packet.seq == 0) {
            Some(greeting) => (self.system, self.phase) = (greeting.system, Phase::Login(greeting)),
            // It refuses the connection.
            None if packet.first() == Some(0xff) => {}
            None => return Err(Stop::Invalid),
        }
        Ok(())
    }

    /// The answer has ended: what it says, and what it changes. That to a ping says nothing.
    fn response(&mut self) -> Option<Response> {
        let (waiting, arriving) = (self.waiting.pop_front(), *self.arriving.take()?);
        let mut response = Response::default();
        if let Some(backslash) = arriving.backslash {
            self.dialect = Dialect::MYSQL.with_backslash(backslash);
        }
        if let Some(ends) = arriving.ends {
            self.traits.ends = ends;
        }
        let code = waiting.as_ref().map_or(0, |waiting| waiting.code);
        if let Some(failure) = arriving.failure {
            fail(&mut response, failure);
        } else if let Some(waiting) = waiting {
            if matches!(code, command::CHANGE_USER | command::RESET_CONNECTION) {
                self.prepared.clear();
                if waiting.answer == Answer::Login {
                    self.database = None;
                }
                self.leave = self.compressed.then_some("mysql-compressed");
            }
            if let (Some(id), Some(statement)) = (arriving.prepared, waiting.statement) {
                self.prepared.insert(id, statement);
            }
            self.database = waiting.database.or(self.database.take());
        }
        // The server knows better.
        self.database = arriving.schema.or(self.database.take());
        (code != command::PING).then_some(response)
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
            // Another database may have been chosen, or a statement closed.
            Side::Client => {
                (self.aligned, self.command_continues, self.database, self.last_prepared) = (false, false, None, None);
                self.prepared.clear();
            }
            Side::Server => (self.arriving, self.packet_continues) = (None, false),
        }
        if self.phase != Phase::Greeting {
            self.phase = Phase::Commands;
        }
        self.file = false;
        // Which answer belongs to which command is not known any more until both sides have begun anew.
        self.waiting.clear();
    }
}

/// The number of the statement that a command is about.
fn id(packet: &Packet<'_>) -> Option<u32> {
    packet.payload.get(1..5).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
}

/// A name of a database, if it is one.
pub(super) fn name(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && text.len() <= MAX_NAME as usize && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// A name as it stands in a statement, without its quotes.
fn unquoted(written: &str) -> Option<String> {
    let inside = written.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    name(inside.map_or_else(|| Cow::Borrowed(written), |inside| Cow::Owned(inside.replace("``", "`"))).as_bytes())
}

fn fail(response: &mut Response, failure: Failure) {
    let code: Cow<'static, str> = Cow::Owned(failure.code.to_string());
    response.attributes.push(Attribute::both(semconv::DB_RESPONSE_STATUS_CODE, Value::Text(code.clone())));
    if let Some(state) = failure.state {
        response.attributes.push(Attribute::both(semconv::WIRESPAN_DB_SQLSTATE, String::from_utf8_lossy(&state).into_owned()));
    }
    response.client_error = Some(code.clone());
    response.server_error = Some(code);
}
