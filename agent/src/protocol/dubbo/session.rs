//! One connection: requests and responses become messages, paired by their number.
use super::hessian::Reader;
use super::{LOOK, status};
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::context::Finder;
use crate::protocol::{Decoder, Head, Kind, Request, Response, Side, Step, Take};
use crate::semconv;
use std::borrow::Cow;

/// Name of the system, and of spans whose method is not known.
const DUBBO: &str = "dubbo";
/// What every message begins with.
const MAGIC: [u8; 2] = [0xda, 0xbb];
/// Length of a message's beginning.
pub(super) const HEADER: usize = 16;
/// Largest body: eight times what a server accepts unless configured otherwise.
const LARGEST: u32 = 64 << 20;
/// Hessian 2 among the serialisations.
const HESSIAN: u8 = 2;
/// Longest name of a service or a method.
const LONGEST_NAME: usize = 255;
/// Arguments of a method: Java has no more.
const MOST_ARGUMENTS: usize = 255;

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// More bytes are needed.
    More,
    /// This is no message of Dubbo.
    Invalid,
}

/// The beginning of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) request: bool,
    two_way: bool,
    event: bool,
    serialisation: u8,
    status: u8,
    number: u64,
    body: u32,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Stop> {
        if !bytes.iter().zip(&MAGIC).all(|(byte, magic)| byte == magic) {
            return Err(Stop::Invalid);
        }
        let Some([_, _, flags, status, rest @ ..]) = bytes.first_chunk::<HEADER>() else { return Err(Stop::More) };
        let (Some(number), Some(body)) = (rest.first_chunk::<8>(), rest.last_chunk::<4>()) else { return Err(Stop::More) };
        let header = Self {
            request: flags & 0x80 != 0,
            two_way: flags & 0x40 != 0,
            event: flags & 0x20 != 0,
            serialisation: flags & 0x1f,
            status: *status,
            number: u64::from_be_bytes(*number),
            body: u32::from_be_bytes(*body),
        };
        let fits = if header.request { *status == 0 } else { status::name(*status).is_some() };
        if fits && header.serialisation != 0 && header.body <= LARGEST { Ok(header) } else { Err(Stop::Invalid) }
    }
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// What is there of a message that is not there as far as it is looked at, by side.
    shown: [Vec<u8>; 2],
}

impl Session {
    fn shown(&mut self, from: Side) -> &mut Vec<u8> {
        let [client, server] = &mut self.shown;
        if from == Side::Client { client } else { server }
    }
}

/// Understands what `from` says next; with `cut`, no more of it will ever be there.
fn message(from: Side, bytes: &[u8], cut: bool) -> Result<Take, Stop> {
    let header = Header::read(bytes)?;
    let whole = HEADER + header.body as usize;
    let looked_at = whole.min(LOOK);
    if bytes.len() < looked_at && !cut {
        return Err(Stop::More);
    }
    let body = bytes.get(HEADER..whole.min(bytes.len())).unwrap_or_default();
    // Heartbeats and other events are nobody's call; nor is what a server asks its client.
    let head = match (from, header.request) {
        _ if header.event => None,
        (Side::Client, true) => Some(Head::Request(request(&header, body))),
        (Side::Server, false) => Some(Head::Response(response(&header, body))),
        _ => None,
    };
    let head_len = looked_at as u64;
    Ok(Take { used: whole as u64, start: true, head: head.map(Box::new), head_len, end: true, ..Take::default() })
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        let taken = message(from, bytes, false);
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
        message(from, &shown, true).ok()
    }
}

fn request(header: &Header, body: &[u8]) -> Request {
    let mut attributes = Vec::with_capacity(4);
    attributes.push(Attribute::both(semconv::RPC_SYSTEM_NAME, DUBBO));
    let mut reader = Reader::new(body);
    let called = if header.serialisation == HESSIAN { called(&mut reader) } else { None };
    let mut name = Cow::Borrowed(DUBBO);
    let mut finder = Finder::default();
    if let Some(Called { service, version, method, arguments }) = called {
        let full = format!("{service}/{method}");
        attributes.push(Attribute::both(semconv::RPC_METHOD, Value::from(full.clone())));
        if !matches!(version, "" | "0.0.0") {
            attributes.push(Attribute::both(semconv::WIRESPAN_RPC_SERVICE_VERSION, Value::from(version.to_owned())));
        }
        name = Cow::Owned(full);
        // Of a large call, what stands behind its arguments may not be there.
        if (0..arguments).all(|_| reader.skip().is_some()) {
            let _ = reader.texts(|key, value| finder.header(key.as_bytes(), value.as_bytes()));
        }
    }
    let carried = finder.carried();
    Request { attributes, carried, correlation: Some(header.number), answered: header.two_way, ..Request::new(Kind::Service, name) }
}

/// What is called.
struct Called<'a> {
    service: &'a str,
    version: &'a str,
    method: &'a str,
    arguments: usize,
}

/// Reads what stands before the arguments: version of Dubbo, service and its version, method and the types of its parameters.
fn called<'a>(reader: &mut Reader<'a>) -> Option<Called<'a>> {
    reader.string()?;
    let (service, version, method) = (reader.string()?, reader.string()?, reader.string()?);
    let arguments = parameters(reader.string()?)?;
    (is_name(service) && is_name(method) && (version.is_empty() || is_name(version))).then_some(Called {
        service,
        version,
        method,
        arguments,
    })
}

fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._$-/:".contains(&byte))
}

/// How many parameters a descriptor has (Java Virtual Machine Specification, section 4.3.2).
fn parameters(descriptor: &str) -> Option<usize> {
    let (mut rest, mut count) = (descriptor, 0);
    while !rest.is_empty() {
        rest = rest.trim_start_matches('[');
        rest = match rest.as_bytes().first()? {
            b'L' => rest.split_once(';')?.1,
            _ => rest.get(1..)?,
        };
        count += 1;
    }
    (count <= MOST_ARGUMENTS).then_some(count)
}

fn response(header: &Header, body: &[u8]) -> Response {
    let name = status::name(header.status).unwrap_or("_OTHER");
    let mut response = Response { correlation: Some(header.number), ..Response::default() };
    response.attributes.push(Attribute::both(semconv::RPC_RESPONSE_STATUS_CODE, name));
    if header.status != status::OK {
        response.client_error = Some(name.into());
        response.server_error = status::is_servers(header.status).then(|| name.into());
    } else if header.serialisation == HESSIAN {
        let mut reader = Reader::new(body);
        // What follows is an exception, alone or with attachments.
        if matches!(reader.int(), Some(0 | 3)) {
            let class = reader.class_of_object().filter(|class| is_name(class));
            let error: Cow<'static, str> = class.map_or("_OTHER".into(), |class| class.to_owned().into());
            response.client_error = Some(error.clone());
            response.server_error = Some(error);
        }
    }
    response
}
