//! One connection: the messages of both sides become requests and responses.
//!
//! Holds what a connection remembers: the database, the statements that were prepared, by name, and what waits for an answer.
use super::expect::{Expect, Queue, Waiting};
use super::message::{self, Header, Startup, Stop};
use crate::protocol::attribute::Attribute;
use crate::protocol::sql::{self, Dialect, Prepared, Statement};
use crate::protocol::{Decoder, Head, Kind, More, Request, Response, Side, Step, Take};
use crate::semconv;
use std::borrow::Cow;
use std::sync::Arc;

/// Longest name of a database that is shown: that of the server's limit.
const LONGEST_DATABASE: usize = 63;
/// The name of what a statement does of which nothing is known.
const UNKNOWN: &str = "postgresql";

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its first message is to come.
    Startup,
    /// It asked for encryption and waits for one byte.
    Encryption,
    /// Messages have types.
    Ready,
}

/// The messages of a request that is not whole yet.
#[derive(Debug)]
struct Group {
    /// The statement that was parsed in it.
    parsed: Option<Arc<Statement>>,
    /// It was told what the request is.
    headed: bool,
}

/// The answer that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    /// It was told what it is.
    headed: bool,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Session {
    phase: Phase,
    leave: Option<&'static str>,
    database: Option<Box<str>>,
    dialect: Dialect,
    statements: Prepared<Box<[u8]>>,
    portals: Prepared<Box<[u8]>>,
    group: Option<Group>,
    waiting: Queue,
    answer: Option<Answer>,
    /// Number of the request that began last.
    asked: u64,
    /// The client sends rows, of which some may be lost without harm.
    copying: bool,
}

impl Session {
    /// A connection at its beginning, or somewhere later if `joined`.
    pub(super) fn new(joined: bool) -> Self {
        Self {
            phase: if joined { Phase::Ready } else { Phase::Startup },
            leave: None,
            database: None,
            dialect: Dialect::POSTGRESQL,
            statements: Prepared::default(),
            portals: Prepared::default(),
            group: None,
            waiting: Queue::default(),
            answer: None,
            asked: 0,
            copying: false,
        }
    }

    fn client(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        // A connection that was joined may turn out to be at its beginning.
        if self.phase != Phase::Ready || bytes.first() == Some(&0) {
            return self.startup(bytes);
        }
        let header = message::header(Side::Client, bytes)?;
        match header.kind {
            b'Q' | b'S' | b'H' | b'F' | b'X' | b'd' | b'c' | b'f' | b'p' if self.group.is_some() => Ok(self.end_group()),
            b'Q' => {
                let (body, whole) = message::body(bytes, header)?;
                let text = body.strip_suffix(b"\0").filter(|_| whole).unwrap_or(body);
                let statement = sql::read(text, self.dialect, whole);
                self.asked += 1;
                self.expect(Expect::Simple, self.asked, true);
                Ok(Take {
                    head: Some(Box::new(Head::Request(Request { quiet: statement.text.is_empty(), ..self.describe(Some(&statement)) }))),
                    head_len: header.total.min(message::LONGEST_HEAD as u64),
                    ..single(header)
                })
            }
            b'P' => {
                let (body, whole) = message::body(bytes, header)?;
                let (name, rest) = message::text(body).ok_or(Stop::Invalid)?;
                let (text, whole) = message::text(rest).map_or((rest, false), |(text, _)| (text, whole || text.len() < rest.len()));
                let statement = Arc::new(sql::read(text, self.dialect, whole));
                self.statements.insert(name.into(), Arc::clone(&statement));
                let start = self.begin_group();
                if let Some(group) = &mut self.group {
                    group.parsed = Some(statement);
                }
                self.expect(Expect::Parse, self.asked, false);
                Ok(Take { used: header.total, start, ..Take::default() })
            }
            b'B' => {
                let (body, _) = message::body(bytes, header)?;
                let statement = message::text(body).and_then(|(portal, rest)| {
                    let (name, _) = message::text(rest)?;
                    let statement = self.statements.get(name);
                    match &statement {
                        Some(statement) => self.portals.insert(portal.into(), Arc::clone(statement)),
                        None => drop(self.portals.remove(portal)),
                    }
                    statement
                });
                let start = self.begin_group();
                self.expect(Expect::Bind, self.asked, false);
                // Its values tell one request from the other where somebody hands it on.
                let head = self.executes(statement.as_deref());
                Ok(Take { start, head, head_len: (message::HEADER + body.len()) as u64, end: false, ..single(header) })
            }
            b'E' => {
                let (body, _) = message::body(bytes, header)?;
                let statement = message::text(body).and_then(|(portal, _)| self.portals.get(portal));
                let start = self.begin_group();
                self.expect(Expect::Execute, self.asked, true);
                let head = self.executes(statement.as_deref());
                self.group = None;
                Ok(Take { start, head, head_len: (message::HEADER + body.len()) as u64, ..single(header) })
            }
            b'D' | b'C' => {
                let (body, _) = message::body(bytes, header)?;
                let of_statement = body.first() == Some(&b'S');
                if header.kind == b'C'
                    && let Some((name, _)) = body.get(1..).and_then(message::text)
                {
                    drop(if of_statement { self.statements.remove(name) } else { self.portals.remove(name) });
                }
                let expect = match (header.kind, of_statement) {
                    (b'C', _) => Expect::Close,
                    (_, true) => Expect::DescribeStatement,
                    (_, false) => Expect::DescribePortal,
                };
                let grouped = self.group.is_some();
                self.expect(expect, if grouped { self.asked } else { 0 }, false);
                Ok(Take { start: !grouped, end: !grouped, ..single(header) })
            }
            b'F' => {
                let (body, _) = message::body(bytes, header)?;
                self.asked += 1;
                self.expect(Expect::Function, self.asked, true);
                self.expect(Expect::Sync, 0, false);
                let mut request = self.describe(None);
                request.name = Cow::Borrowed("FUNCTION CALL");
                request.attributes.push(Attribute::both(semconv::DB_OPERATION_NAME, "FUNCTION CALL"));
                Ok(Take { head: Some(Box::new(Head::Request(request))), head_len: (message::HEADER + body.len()) as u64, ..single(header) })
            }
            b'S' => {
                self.expect(Expect::Sync, 0, false);
                Ok(single(header))
            }
            _ => Ok(single(header)),
        }
    }

    /// A client's first messages, which have no type.
    fn startup(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        let (startup, total) = message::startup(bytes)?;
        match startup {
            Startup::Encryption => self.phase = Phase::Encryption,
            Startup::Cancel => {}
            Startup::Begin(database) => {
                self.phase = Phase::Ready;
                let name = database.and_then(|name| std::str::from_utf8(name).ok());
                self.database = name.filter(|name| name.len() <= LONGEST_DATABASE).map(Into::into);
            }
        }
        Ok(Take { used: total, start: true, end: true, ..Take::default() })
    }

    fn expect(&mut self, expect: Expect, request: u64, last: bool) {
        self.waiting.push(Waiting { expect, request, last });
    }

    /// Whether a request begins here.
    fn begin_group(&mut self) -> bool {
        let begins = self.group.is_none();
        if begins {
            self.asked += 1;
            self.group = Some(Group { parsed: None, headed: false });
        }
        begins
    }

    /// The head of a request, if this is the first of its messages that says what is executed.
    fn executes(&mut self, statement: Option<&Statement>) -> Option<Box<Head>> {
        if self.group.as_mut().is_some_and(|group| std::mem::replace(&mut group.headed, true)) {
            return None;
        }
        let mut request = self.describe(statement);
        if statement.is_none() {
            request.attributes.push(Attribute::both(semconv::WIRESPAN_INCOMPLETE, "statement"));
        }
        Some(Box::new(Head::Request(request)))
    }

    /// A request that executes nothing is over before the next message. If nothing was bound, it prepares a statement.
    fn end_group(&mut self) -> Take {
        self.waiting.end_request();
        let prepares = self.group.take().filter(|group| !group.headed);
        let head = prepares.map(|group| {
            let statement = group.parsed.as_deref();
            Box::new(Head::Request(Request { quiet: true, ..self.describe(statement) }))
        });
        Take { head, end: true, ..Take::default() }
    }

    fn describe(&self, statement: Option<&Statement>) -> Request {
        // Allocates once: five attributes at most.
        let mut attributes = Vec::with_capacity(5);
        attributes.push(Attribute::both(semconv::DB_SYSTEM_NAME, "postgresql"));
        if let Some(database) = &self.database {
            attributes.push(Attribute::both(semconv::DB_NAMESPACE, database.to_string()));
        }
        let mut name = None;
        let mut carried = None;
        if let Some(statement) = statement {
            attributes.push(Attribute::both(semconv::DB_QUERY_TEXT, statement.text.clone()));
            if !statement.summary.is_empty() {
                attributes.push(Attribute::both(semconv::DB_QUERY_SUMMARY, statement.summary.clone()));
                name = Some(Cow::Owned(statement.summary.clone()));
            }
            if let Some(procedure) = statement.procedure() {
                attributes.push(Attribute::both(semconv::DB_STORED_PROCEDURE_NAME, procedure.to_owned()));
            }
            carried.clone_from(&statement.carried);
        }
        let name = name.or_else(|| self.database.as_deref().map(|database| Cow::Owned(database.to_owned())));
        let name = name.unwrap_or(Cow::Borrowed(UNKNOWN));
        // In order, but for what was lost.
        Request { attributes, carried, correlation: Some(self.asked), ..Request::new(Kind::Database, name) }
    }

    fn server(&mut self, bytes: &[u8]) -> Result<Take, Stop> {
        if self.phase == Phase::Encryption {
            let answer = *bytes.first().ok_or(Stop::More)?;
            self.phase = Phase::Startup;
            match answer {
                b'N' => {}
                b'S' => self.leave = Some("tls"),
                b'G' => self.leave = Some("gssenc"),
                // Servers before 7.0 know no such request.
                _ => return Err(Stop::Invalid),
            }
            return Ok(Take { used: 1, start: true, end: true, ..Take::default() });
        }
        let header = message::header(Side::Server, bytes)?;
        match header.kind {
            b'S' => {
                let (body, _) = message::body(bytes, header)?;
                match body {
                    b"standard_conforming_strings\0off\0" => self.dialect = Dialect::POSTGRESQL.with_backslash(true),
                    b"standard_conforming_strings\0on\0" => self.dialect = Dialect::POSTGRESQL,
                    _ => {}
                }
                Ok(self.aside(header))
            }
            b'N' | b'A' | b'K' | b'R' | b'v' => Ok(self.aside(header)),
            b'Z' if (bytes.len() as u64) < header.total => Err(Stop::More),
            b'Z' => self.ready(header),
            b'E' => {
                let (body, _) = message::body(bytes, header)?;
                Ok(self.error(header, body))
            }
            _ => self.answer(header, bytes),
        }
    }

    /// A message that answers nothing, alone or within an answer.
    fn aside(&self, header: Header) -> Take {
        let alone = self.answer.is_none();
        Take { start: alone, end: alone, ..single(header) }
    }

    /// What a step of the answer to a request says: its head where it has none yet, and then what its end adds, if anything.
    fn tell(&mut self, request: u64, response: Option<Response>, mut take: Take) -> Take {
        take.start = self.answer.is_none();
        let headed = self.answer.is_some_and(|answer| answer.headed);
        let numbered = |response| Response { correlation: Some(request), ..response };
        if headed {
            take.more = response.map(|response| Box::new(More::Trailer(numbered(response))));
        } else {
            take.head = Some(Box::new(Head::Response(numbered(response.unwrap_or_default()))));
        }
        self.answer = (!take.end).then_some(Answer { headed: true });
        take
    }

    /// `ReadyForQuery`: a simple query is over; or all up to the next `Sync` is, and what was not answered never will be.
    fn ready(&mut self, header: Header) -> Result<Take, Stop> {
        self.copying = false;
        let Some(waiting) = self.waiting.front() else { return Ok(self.aside(header)) };
        match waiting.expect {
            Expect::Simple => {
                self.waiting.pop();
                Ok(self.tell(waiting.request, None, single(header)))
            }
            Expect::Sync => {
                self.waiting.pop();
                Ok(self.aside(header))
            }
            _ if self.waiting.has_sync() => match self.skip_request() {
                Some(request) => {
                    let idle = Response { idle: true, ..Response::default() };
                    Ok(self.tell(request, Some(idle), Take { end: true, ..Take::default() }))
                }
                None => self.ready(header),
            },
            _ => Err(Stop::Invalid),
        }
    }

    /// Forgets the messages of the oldest request before the next `Sync`, or those that are no request's; the request's number.
    fn skip_request(&mut self) -> Option<u64> {
        while self.waiting.front().is_some_and(|waiting| waiting.expect != Expect::Sync) {
            if let Some(Waiting { last: true, request, .. }) = self.waiting.pop() {
                return Some(request);
            }
        }
        None
    }

    /// An error answers the request that waits; in the extended protocol what follows up to the next `Sync` is left out.
    fn error(&mut self, header: Header, body: &[u8]) -> Take {
        let (code, fatal) = message::error(body);
        let code = code.map_or(Cow::Borrowed("_OTHER"), |code| Cow::Owned(String::from_utf8_lossy(code).into_owned()));
        self.copying = false;
        let simple = self.waiting.front().filter(|waiting| waiting.expect == Expect::Simple);
        let request = match simple {
            Some(waiting) => {
                if fatal {
                    self.waiting.pop();
                }
                Some(waiting.request)
            }
            None => self.skip_request(),
        };
        let Some(request) = request else { return self.aside(header) };
        let response = Response {
            attributes: vec![Attribute::both(semconv::DB_RESPONSE_STATUS_CODE, code.clone())],
            client_error: Some(code.clone()),
            server_error: Some(code),
            ..Response::default()
        };
        self.tell(request, Some(response), Take { end: simple.is_none() || fatal, ..single(header) })
    }

    /// A message of an answer.
    fn answer(&mut self, header: Header, bytes: &[u8]) -> Result<Take, Stop> {
        let kind = header.kind;
        // What was asked before anybody looked.
        let Some(waiting) = self.waiting.front() else { return Ok(self.aside(header)) };
        let answered = waiting.expect.answered_by(kind).ok_or(Stop::Invalid)?;
        if answered {
            self.waiting.pop();
        }
        match kind {
            b'G' => {
                // A `Sync` that was sent with the statement is not answered; the one behind the rows will be.
                self.waiting.keep_front();
                self.copying = true;
            }
            b'W' => self.leave = Some("postgresql-replication"),
            _ => {}
        }
        if waiting.request == 0 {
            return Ok(self.aside(header));
        }
        let end = answered && waiting.last;
        let used = if matches!(kind, b'D' | b'd') { run(bytes, header) } else { header.total };
        let take = Take { used, end, ..Take::default() };
        if !end && !matches!(kind, b'D' | b'C' | b'I' | b's' | b'G' | b'H' | b'W') {
            // An error may still follow instead of a result.
            let start = self.answer.is_none();
            self.answer.get_or_insert(Answer { headed: false });
            return Ok(Take { start, ..take });
        }
        if self.answer.is_some_and(|answer| answer.headed) {
            if end {
                self.answer = None;
            }
            return Ok(take);
        }
        // Nothing was executed, or there was nothing to execute.
        let idle = kind == b'I' || (end && !matches!(waiting.expect, Expect::Execute | Expect::Function));
        Ok(self.tell(waiting.request, Some(Response { idle, ..Response::default() }), take))
    }
}

/// A message by itself.
fn single(header: Header) -> Take {
    Take { used: header.total, start: true, end: true, ..Take::default() }
}

/// The length of the rows that begin with this one, as far as they are there: a long result is one step for each piece of it.
fn run(bytes: &[u8], first: Header) -> u64 {
    let mut used = first.total;
    while let Some(Ok(next)) = bytes.get(used as usize..).map(|rest| message::header(Side::Server, rest)) {
        if next.kind != first.kind {
            break;
        }
        used += next.total;
    }
    used
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
        self.phase = Phase::Ready;
        match from {
            Side::Client => {
                self.group = None;
                // A statement without a name may be another one now.
                drop(self.statements.remove(&[][..]));
                self.portals.clear();
            }
            Side::Server => self.answer = None,
        }
        if from == Side::Server || !self.copying {
            self.waiting.clear();
        }
    }
}
