//! One connection: the messages of both sides, one call at a time.
use crate::protocol::attribute::Attribute;
use crate::protocol::{Decoder, Guess, Head, Kind, Request, Response, Side, Step, Take};
use crate::semconv;
use std::borrow::Cow;

/// A call, its object stream's header, and a block of data.
pub(super) const CALL: &[u8] = b"\x50\xac\xed\x00\x05\x77";
/// The same of a return.
pub(super) const RETURN: &[u8] = b"\x51\xac\xed\x00\x05\x77";
/// Bytes of a call's block before its arguments: an object's identity, an operation, a hash.
const CALL_BLOCK: u8 = 34;
/// Bytes of a return's block before its value: how it ended, and an identity.
const RETURN_BLOCK: u8 = 15;
/// How a call ended: with an exception. One stands for a value.
const EXCEPTIONAL: u8 = 2;
/// An object, and a new description of its class.
const OBJECT: &[u8] = b"\x73\x72";
/// Bytes of the longest beginning of a message: a block and the name of a class.
pub(super) const LONGEST_HEAD: usize = 1024;
/// Longest name of a class that is told.
const LONGEST_CLASS: usize = 255;
/// Longest name of a host in a handshake.
const LONGEST_HOST: usize = 255;
/// Objects with numbers of their own: the registry, and the garbage collector.
const REGISTRY: i64 = 0;
const COLLECTOR: i64 = 2;
/// The hash of the registry's interface, and the names of its operations by number.
const REGISTRY_HASH: i64 = 4_905_912_898_345_647_071;
const REGISTRY_METHODS: [&str; 5] = [
    "java.rmi.registry.Registry/bind",
    "java.rmi.registry.Registry/list",
    "java.rmi.registry.Registry/lookup",
    "java.rmi.registry.Registry/rebind",
    "java.rmi.registry.Registry/unbind",
];
/// Name of the system, and of spans whose method is not known: nearly all.
const SYSTEM: &str = "java_rmi";

/// What the next bytes of one side are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Phase {
    /// A message.
    #[default]
    Message,
    /// The rest of a call, or of a return, until the other side speaks.
    Rest,
    /// A call is over.
    Over,
}

/// A connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    client: Phase,
    answers: Phase,
    /// A call that is to be told was made and not answered.
    asked: bool,
}

impl Session {
    fn client(&mut self, bytes: &[u8]) -> Option<Step> {
        match self.client {
            Phase::Rest => return Some(passed(bytes)),
            Phase::Over => {
                self.client = Phase::Message;
                return Some(Step::Take(Take { end: true, ..Take::default() }));
            }
            Phase::Message => {}
        }
        let step = match bytes.first()? {
            b'J' => fixed(bytes, b"JRMI\0", 7),
            // The client's own host and port, which the server has told it to send.
            0 => host(bytes, 0),
            0x52 => Some(passed(bytes.get(..1)?)),
            0x54 => fixed(bytes, b"\x54", 15),
            _ => self.call(bytes),
        }?;
        if matches!(step, Step::Take(_)) {
            self.answers = Phase::Message;
        }
        Some(step)
    }

    fn call(&mut self, bytes: &[u8]) -> Option<Step> {
        let Some((block, used)) = block(bytes, CALL, CALL_BLOCK)? else { return Some(Step::More) };
        self.client = Phase::Rest;
        let (object, rest) = block.split_first_chunk::<8>()?;
        let (identity, rest) = rest.split_first_chunk::<14>()?;
        let (operation, rest) = rest.split_first_chunk::<4>()?;
        let object = i64::from_be_bytes(*object);
        let (operation, hash) = (i32::from_be_bytes(*operation), i64::from_be_bytes(*rest.first_chunk()?));
        let known = identity.iter().all(|byte| *byte == 0);
        self.asked = !(known && object == COLLECTOR);
        let head = self.asked.then(|| Box::new(Head::Request(request(object, known, operation, hash))));
        Some(Step::Take(Take { used, start: true, head, head_len: used, ..Take::default() }))
    }

    fn server(&mut self, bytes: &[u8]) -> Option<Step> {
        if self.answers == Phase::Rest {
            return Some(passed(bytes));
        }
        match bytes.first()? {
            0x4e => host(bytes, 1),
            0x4f | 0x53 => Some(passed(bytes.get(..1)?)),
            _ => self.answer(bytes),
        }
    }

    fn answer(&mut self, bytes: &[u8]) -> Option<Step> {
        let Some((block, used)) = block(bytes, RETURN, RETURN_BLOCK)? else { return Some(Step::More) };
        let mut used = used;
        let mut response = Response::default();
        match block.first()? {
            1 => {}
            &EXCEPTIONAL => {
                let rest = bytes.get(usize::try_from(used).ok()?..)?;
                let Some((class, length)) = class(rest) else { return Some(Step::More) };
                used += length as u64;
                response.client_error = Some(class.clone());
                response.server_error = Some(class);
            }
            _ => return None,
        }
        self.answers = Phase::Rest;
        if self.client == Phase::Rest {
            self.client = Phase::Over;
        }
        let head = std::mem::take(&mut self.asked).then(|| Box::new(Head::Response(response)));
        Some(Step::Take(Take { used, start: true, head, end: true, ..Take::default() }))
    }
}

/// All these bytes are stepped over.
fn passed(bytes: &[u8]) -> Step {
    Step::Take(Take { used: bytes.len() as u64, ..Take::default() })
}

/// A message of known length that begins with certain bytes.
fn fixed(bytes: &[u8], start: &[u8], length: usize) -> Option<Step> {
    let here = bytes.get(..start.len()).unwrap_or(bytes);
    let right = start.starts_with(here);
    right.then(|| if here.len() < start.len() { Step::More } else { Step::Take(Take { used: length as u64, ..Take::default() }) })
}

/// A host and a port behind so many bytes.
fn host(bytes: &[u8], behind: usize) -> Option<Step> {
    let Some([high, low]) = bytes.get(behind..).and_then(<[u8]>::first_chunk) else { return Some(Step::More) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let used = (behind + 2 + length + 4) as u64;
    (length <= LONGEST_HOST).then_some(Step::Take(Take { used, ..Take::default() }))
}

/// Judges the server's answer to the first word of a connection: a host, written as hosts are, and a port.
pub(super) fn acknowledged(bytes: &[u8]) -> Guess {
    let Some([high, low]) = bytes.get(1..).and_then(<[u8]>::first_chunk) else { return Guess::Maybe };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let host = bytes.get(3..).unwrap_or_default().iter().take(length);
    let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(byte);
    if length > LONGEST_HOST || !host.clone().all(is_host) {
        Guess::No
    } else if bytes.len() < 3 + length + 4 {
        Guess::Maybe
    } else {
        Guess::Likely
    }
}

/// The block of data at the beginning of a message's object stream, and the bytes up to its end. `None` if there is none, `Some(None)` if
/// bytes are missing.
#[expect(clippy::option_option, reason = "the outer one is for `?`")]
fn block<'a>(bytes: &'a [u8], start: &[u8], least: u8) -> Option<Option<(&'a [u8], u64)>> {
    let (here, rest) = bytes.split_at(bytes.len().min(start.len()));
    if !start.starts_with(here) {
        return None;
    }
    let Some((length, rest)) = rest.split_first() else { return Some(None) };
    if *length < least {
        return None;
    }
    let Some(block) = rest.get(..usize::from(*length)) else { return Some(None) };
    Some(Some((block, (start.len() + 1 + block.len()) as u64)))
}

/// The class of the exception that follows, and the bytes up to the end of its name; `None` if bytes are missing.
fn class(bytes: &[u8]) -> Option<(Cow<'static, str>, usize)> {
    const OTHER: (Cow<'static, str>, usize) = (Cow::Borrowed("_OTHER"), 0);
    let here = bytes.get(..OBJECT.len()).unwrap_or(bytes);
    if !OBJECT.starts_with(here) {
        return Some(OTHER);
    }
    let [high, low] = bytes.get(OBJECT.len()..)?.first_chunk()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length == 0 || length > LONGEST_CLASS {
        return Some(OTHER);
    }
    let end = OBJECT.len() + 2 + length;
    let name = bytes.get(OBJECT.len() + 2..end)?;
    let plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._$".contains(byte));
    let name = std::str::from_utf8(name).ok().filter(|_| plain);
    Some(name.map_or(OTHER, |name| (Cow::Owned(name.to_owned()), end)))
}

fn request(object: i64, known: bool, operation: i32, hash: i64) -> Request {
    let registry = known && object == REGISTRY && hash == REGISTRY_HASH;
    let method = usize::try_from(operation).ok().and_then(|operation| REGISTRY_METHODS.get(operation)).filter(|_| registry).copied();
    let mut attributes = vec![Attribute::both(semconv::RPC_SYSTEM_NAME, SYSTEM)];
    if let Some(method) = method {
        attributes.push(Attribute::both(semconv::RPC_METHOD, method));
    } else {
        attributes.push(Attribute::both(semconv::WIRESPAN_RMI_OBJECT, object));
        if operation >= 0 {
            attributes.push(Attribute::both(semconv::WIRESPAN_RMI_OPERATION, i64::from(operation)));
        }
        attributes.push(Attribute::both(semconv::WIRESPAN_RMI_METHOD_HASH, format!("{hash:016x}")));
    }
    Request { attributes, ..Request::new(Kind::Service, method.unwrap_or(SYSTEM)) }
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        let over = from == Side::Client && self.client == Phase::Over;
        if bytes.is_empty() && !over {
            return Step::More;
        }
        let step = match from {
            Side::Client => self.client(bytes),
            Side::Server => self.server(bytes),
        };
        step.unwrap_or(Step::Invalid)
    }

    fn lost(&mut self, from: Side) {
        match from {
            // The rest of a call is all that a client can have sent before it was answered.
            Side::Client if self.client == Phase::Rest => {}
            Side::Client => (self.client, self.asked) = (Phase::Message, false),
            Side::Server => (self.answers, self.asked) = (Phase::Message, false),
        }
    }
}
