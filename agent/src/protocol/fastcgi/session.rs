//! One connection: the records of both sides become messages of requests that may be interleaved.
use super::record::{HEADER, Record, kind};
use super::request;
use crate::protocol::attribute::Attribute;
use crate::protocol::http1::response::of_status;
use crate::protocol::{Decoder, Head, More, Request, Response, Side, Step, Take};
use crate::semconv;
use std::borrow::Cow;
use std::net::SocketAddr;

/// Bytes of parameters that are kept: web servers send a few KiB, and refuse headers of more than 32.
pub(super) const LONGEST_PARAMS: usize = 64 * 1024;
/// Bytes of an application's headers that are looked at.
const LONGEST_HEADERS: usize = 4 * 1024;
/// Requests that are open at once: web servers have one or few on a connection, and the memory of a hostile one is bounded.
const MOST_OPEN: usize = 256;
/// Names of what a server says at the end of a request that it did not do (section 5.5), from 1 on.
const REFUSALS: [&str; 3] = ["FCGI_CANT_MPX_CONN", "FCGI_OVERLOADED", "FCGI_UNKNOWN_ROLE"];

/// A request that is open.
#[derive(Debug)]
struct Open {
    id: u16,
    /// Unique on the connection, as `id` is used again.
    number: u64,
    /// Parameters so far, until they are whole.
    params: Option<Vec<u8>>,
    /// The response has begun.
    answered: bool,
    /// The application's headers, as far as they were seen.
    headers: Headers,
    /// Something was written to the log.
    stderr: bool,
}

/// The headers of an application's answer.
#[derive(Debug, Default)]
struct Headers {
    text: Vec<u8>,
    /// They are whole, or lost.
    over: bool,
    status: Option<u16>,
}

impl Headers {
    fn take(&mut self, shown: &[u8]) {
        if self.over {
            return;
        }
        let from = self.text.len().saturating_sub(3);
        let room = LONGEST_HEADERS.saturating_sub(self.text.len());
        self.text.extend(shown.iter().take(room));
        let tail = self.text.get(from..).unwrap_or_default();
        let whole = memchr::memmem::find(tail, b"\n\n").is_some() || memchr::memmem::find(tail, b"\n\r\n").is_some();
        if whole {
            self.status = Some(status(&self.text));
        }
        self.over = whole || self.text.len() >= LONGEST_HEADERS;
        if self.over {
            self.text = Vec::new();
        }
    }
}

/// The status that headers say (RFC 3875 section 6.3.3): without one, a place to go to is a redirection, and all else a success.
fn status(headers: &[u8]) -> u16 {
    let mut status = 200;
    for line in headers.split(|byte| *byte == b'\n').take_while(|line| !line.trim_ascii().is_empty()) {
        let Some((name, value)) = line.split_at_checked(line.iter().position(|byte| *byte == b':').unwrap_or(line.len())) else { continue };
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"status") {
            let digits = value.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
            return digits.and_then(|digits| digits.parse().ok()).filter(|status| (100..1000).contains(status)).unwrap_or(status);
        }
        if name.eq_ignore_ascii_case(b"location") {
            status = 302;
        }
    }
    status
}

/// Content that is at hand.
#[derive(Clone, Copy, Debug)]
struct Content {
    id: u16,
    left: u64,
    padding: u64,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Session {
    server: SocketAddr,
    open: Vec<Open>,
    /// Content of the server's that is looked at.
    content: Option<Content>,
    next: u64,
}

impl Session {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self { server, open: Vec::new(), content: None, next: 1 }
    }

    fn get(&mut self, id: u16) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.id == id)
    }

    fn client(&mut self, bytes: &[u8]) -> Result<Option<Take>, ()> {
        let Some(record) = Record::read(bytes)? else { return Ok(None) };
        let whole = Take { used: record.whole() as u64, ..Take::default() };
        match record.kind {
            kind::BEGIN_REQUEST if record.id != 0 => {
                let Some(params) = gather(record, bytes)? else { return Ok(None) };
                self.open.retain(|open| open.id != record.id);
                if self.open.len() >= MOST_OPEN {
                    self.open.remove(0);
                }
                let number = self.next;
                self.next += 1;
                let mut open = Open { id: record.id, number, params: None, answered: false, headers: Headers::default(), stderr: false };
                let take = if let Gathered::All { params, used } = params {
                    let request = request::read(&params, self.server);
                    Take { used: used as u64, head_len: used as u64, ..head_of(request, number) }
                } else {
                    open.params = Some(Vec::new());
                    whole
                };
                self.open.push(open);
                Ok(Some(take))
            }
            kind::PARAMS => {
                let server = self.server;
                let Some(open) = self.get(record.id).filter(|open| open.params.is_some()) else { return Ok(Some(whole)) };
                if bytes.len() < record.whole() {
                    return Ok(None);
                }
                let mut params = open.params.take().unwrap_or_default();
                if record.length == 0 {
                    let request = request::read(&params, server);
                    return Ok(Some(Take { used: whole.used, ..head_of(request, open.number) }));
                }
                let room = LONGEST_PARAMS.saturating_sub(params.len());
                params.extend(record.content(bytes).unwrap_or_default().iter().take(room));
                open.params = Some(params);
                Ok(Some(whole))
            }
            _ => Ok(Some(whole)),
        }
    }

    fn server(&mut self, bytes: &[u8]) -> Result<Option<Take>, ()> {
        if let Some(content) = self.content {
            let shown = bytes.get(..usize::try_from(content.left).unwrap_or(usize::MAX)).unwrap_or(bytes);
            let mut told = None;
            if let Some(open) = self.get(content.id).filter(|open| !open.headers.over) {
                open.headers.take(shown);
                // Not only at the end, which may lie behind more content than is captured.
                told = open.headers.status.map(|status| (open.number, status));
            }
            let take = self.passed(content, shown.len() as u64);
            return Ok(Some(match told {
                Some((number, status)) => Take { stream: number, more: Some(trailer(of_answer(status), number)), ..take },
                None => take,
            }));
        }
        let Some(record) = Record::read(bytes)? else { return Ok(None) };
        let whole = Take { used: record.whole() as u64, ..Take::default() };
        let Some(open) = self.get(record.id) else { return Ok(Some(whole)) };
        match record.kind {
            kind::STDOUT | kind::STDERR => {
                let first = !std::mem::replace(&mut open.answered, true);
                let number = open.number;
                open.stderr |= record.kind == kind::STDERR && record.length > 0;
                let watched = record.kind == kind::STDOUT && record.length > 0 && !open.headers.over;
                let head = first.then(|| Box::new(Head::Response(Response { correlation: Some(number), ..Response::default() })));
                let content = Content { id: record.id, left: record.length.into(), padding: record.padding.into() };
                let used = if watched { HEADER as u64 } else { whole.used };
                self.content = watched.then_some(content);
                Ok(Some(Take { used, stream: number, start: first, head, ..Take::default() }))
            }
            kind::END_REQUEST => {
                let Some(body) = bytes.get(HEADER..HEADER + 5) else { return Ok(None) };
                let response = outcome(open, body);
                let (number, first) = (open.number, !open.answered);
                self.open.retain(|open| open.id != record.id);
                let (head, more) = if first {
                    (Some(Box::new(Head::Response(Response { correlation: Some(number), ..response }))), None)
                } else {
                    (None, (response != Response::default()).then(|| trailer(response, number)))
                };
                Ok(Some(Take { used: whole.used, stream: number, start: first, head, more, end: true, ..Take::default() }))
            }
            _ => Ok(Some(whole)),
        }
    }

    /// So many bytes of content are done with; the padding goes with the last ones.
    fn passed(&mut self, content: Content, used: u64) -> Take {
        let left = content.left.saturating_sub(used);
        self.content = (left > 0).then_some(Content { left, ..content });
        Take { used: if left == 0 { used + content.padding } else { used }, ..Take::default() }
    }
}

/// A step that gives a request.
fn head_of(request: Request, number: u64) -> Take {
    let request = Request { correlation: Some(number), ..request };
    Take { stream: number, start: true, head: Some(Box::new(Head::Request(request))), ..Take::default() }
}

/// What a status says of an answer, which is never an interim one.
fn of_answer(status: u16) -> Response {
    Response { interim: false, ..of_status(status) }
}

fn trailer(response: Response, number: u64) -> Box<More> {
    Box::new(More::Trailer(Response { correlation: Some(number), ..response }))
}

/// What the end of a request adds to the status.
fn outcome(open: &Open, body: &[u8]) -> Response {
    let mut response = Response::default();
    let (exit, refusal) = match body {
        [a, b, c, d, refusal] => (u32::from_be_bytes([*a, *b, *c, *d]), *refusal),
        _ => (0, 0),
    };
    let error = match (refusal, exit) {
        (0, 0) => None,
        // The status says more.
        (0, _) => open.headers.status.is_none_or(|status| status < 500).then_some("exit_status"),
        _ => Some(REFUSALS.get(usize::from(refusal) - 1).copied().unwrap_or("_OTHER")),
    };
    response.client_error = error.map(Cow::Borrowed);
    response.server_error = error.map(Cow::Borrowed);
    if exit != 0 {
        response.attributes.push(Attribute::both(semconv::WIRESPAN_FASTCGI_EXIT_STATUS, i64::from(exit)));
    }
    if open.stderr {
        response.attributes.push(Attribute::both(semconv::WIRESPAN_FASTCGI_STDERR, true));
    }
    response
}

/// What follows the beginning of a request.
enum Gathered {
    /// All its parameters.
    All { params: Vec<u8>, used: usize },
    /// Something else comes between, or too much.
    Other,
}

/// Gathers the parameters that follow the beginning of a request without anything between; `None` asks for more bytes.
fn gather(begin: Record, bytes: &[u8]) -> Result<Option<Gathered>, ()> {
    let mut used = begin.whole();
    let mut params = Vec::new();
    while used <= LONGEST_PARAMS {
        let rest = bytes.get(used..).unwrap_or_default();
        let Some(record) = Record::read(rest)? else { return Ok(None) };
        if record.kind != kind::PARAMS || record.id != begin.id || used + record.whole() > LONGEST_PARAMS {
            break;
        }
        let Some(content) = record.content(rest).filter(|_| rest.len() >= record.whole()) else { return Ok(None) };
        used += record.whole();
        if record.length == 0 {
            return Ok(Some(Gathered::All { params, used }));
        }
        params.extend_from_slice(content);
    }
    Ok(Some(Gathered::Other))
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        let taken = match from {
            Side::Client => self.client(bytes),
            Side::Server => self.server(bytes),
        };
        match taken {
            Ok(Some(take)) => Step::Take(take),
            Ok(None) => Step::More,
            Err(()) => Step::Invalid,
        }
    }

    fn lost(&mut self, from: Side) {
        // What ended or began among the lost bytes is not known, and numbers are used again.
        self.open.clear();
        if from == Side::Server {
            self.content = None;
        }
    }

    fn unseen(&mut self, from: Side) -> Option<Take> {
        let content = self.content.filter(|_| from == Side::Server)?;
        self.get(content.id).into_iter().for_each(|open| open.headers.over = true);
        Some(self.passed(content, content.left))
    }
}
