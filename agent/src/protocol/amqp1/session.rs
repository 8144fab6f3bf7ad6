//! One connection: frames of both sides become messages.
use super::detect::HEADERS;
use super::message::{self, Sections};
use super::value::{self, FRAME_HEADER, MAX_LOOKED_AT, Value};
use crate::protocol::attribute::Attribute;
use crate::protocol::messaging::{Awaited, Destination, Fields, Operation, Stop, request, text};
use crate::protocol::{Decoder, Head, Message, Request, Response, Side, Step, Take};
use crate::semconv;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// Largest frame: what is larger is none.
const MAX_FRAME: u32 = 64 * 1024 * 1024;
/// Links that are remembered.
const MAX_LINKS: usize = 4096;
/// Correlation of the connection's set-up.
const CONNECT: u64 = 1;
/// What sets correlations of transfers apart from those of links, which are hashes.
const TRANSFER: u64 = 1 << 48;
/// Descriptors of states and errors.
const ACCEPTED: u64 = 0x24;
const REJECTED: u64 = 0x25;
const RELEASED: u64 = 0x26;
const MODIFIED: u64 = 0x27;
/// What a login can end with, but well.
const REFUSED: [&str; 4] = ["auth", "sys", "sys-perm", "sys-temp"];
/// Conditions that need no allocation.
const CONDITIONS: [&str; 12] = [
    "amqp:internal-error",
    "amqp:not-found",
    "amqp:unauthorized-access",
    "amqp:decode-error",
    "amqp:resource-limit-exceeded",
    "amqp:not-allowed",
    "amqp:invalid-field",
    "amqp:not-implemented",
    "amqp:resource-locked",
    "amqp:precondition-failed",
    "amqp:resource-deleted",
    "amqp:connection:forced",
];

/// A link, at the end that sends on it.
#[derive(Debug, Default)]
struct Link {
    /// Where messages go to, or come from.
    address: Box<[u8]>,
    /// The broker made the address up.
    dynamic: bool,
    /// A message has begun whose frames go on.
    continues: bool,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Session {
    /// What the broker calls itself.
    system: &'static str,
    connecting: bool,
    /// There is a login: the set-up begins with that, or was missed.
    login: bool,
    /// By side, channel and handle.
    links: FxHashMap<(bool, u16, u64), Link>,
    /// What waits for an answer by the other side.
    waiting: [Awaited; 2],
    numbered: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            system: "amqp",
            connecting: false,
            login: false,
            links: FxHashMap::default(),
            waiting: <[Awaited; 2]>::default(),
            numbered: 0,
        }
    }
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        if bytes.first() == Some(&b'A') {
            let common = bytes.len().min(8);
            return match HEADERS.iter().any(|header| bytes.get(..common) == header.get(..common)) {
                false => Step::Invalid,
                true if common < 8 => Step::More,
                true => Step::Take(Take { used: 8, start: true, end: true, ..Take::default() }),
            };
        }
        match self.frame(from, bytes) {
            Ok(take) => Step::Take(take),
            Err(Stop::More) => Step::More,
            Err(Stop::Invalid) => Step::Invalid,
        }
    }

    fn lost(&mut self, from: Side) {
        self.links
            .iter_mut()
            .filter(|((by_server, ..), _)| *by_server == (from == Side::Server))
            .for_each(|(_, link)| link.continues = false);
    }
}

impl Session {
    fn frame(&mut self, from: Side, bytes: &[u8]) -> Result<Take, Stop> {
        let mut fields = Fields(bytes);
        let (Some(len), Some(offset), Some(kind), Some(channel)) = (fields.u32(), fields.u8(), fields.u8(), fields.u16()) else {
            return Err(Stop::More);
        };
        let begin = usize::from(offset) * 4;
        if begin < FRAME_HEADER || (len as usize) < begin || len > MAX_FRAME || kind > 1 {
            return Err(Stop::Invalid);
        }
        self.login |= kind == 1;
        let silent = Take { used: u64::from(len), start: true, end: true, ..Take::default() };
        if len as usize == begin {
            return Ok(silent);
        }
        let there = bytes.get(..(len as usize).min(MAX_LOOKED_AT)).unwrap_or(bytes);
        let whole = there.len() == len as usize || there.len() == MAX_LOOKED_AT;
        let mut body = Fields(there.get(begin..).unwrap_or_default());
        let Some(performative) = value::value(&mut body) else { return if whole { Err(Stop::Invalid) } else { Err(Stop::More) } };
        let head = match (performative.descriptor.ok_or(Stop::Invalid)?, from) {
            (0x14, _) => self.transfer(from, channel, &performative, body.0, whole)?,
            (0x15, _) => self.disposition(from, channel, &performative),
            (0x12, _) => self.attach(from, channel, &performative),
            (0x10, Side::Client) if self.login => None,
            (0x10 | 0x41, Side::Client) => {
                self.connecting = true;
                let request = request(self.system, Operation::call("connect"), Destination::default());
                Some(Head::Request(Request { correlation: Some(CONNECT), ..request }))
            }
            (0x10, Side::Server) => {
                self.system = system(&performative);
                std::mem::take(&mut self.connecting).then(|| respond(&[CONNECT], None))
            }
            (0x44, Side::Server) => {
                let code = performative.at(0).and_then(|code| code.number()).unwrap_or_default();
                let error = (code > 0).then(|| REFUSED.get(code as usize - 1).copied().unwrap_or("_OTHER"));
                error.filter(|_| std::mem::take(&mut self.connecting)).map(|error| respond(&[CONNECT], Some(error.into())))
            }
            (0x16, Side::Server) => self.failed(performative.at(2).as_ref()),
            (0x17 | 0x18, Side::Server) => self.failed(performative.at(0).as_ref()),
            _ => None,
        };
        let head_len = if head.is_some() { (there.len() - body.0.len()) as u64 } else { 0 };
        Ok(Take { head: head.map(Box::new), head_len, ..silent })
    }

    /// A link is made, or its making confirmed.
    fn attach(&mut self, from: Side, channel: u16, attach: &Value<'_>) -> Option<Head> {
        let (name, handle, receives) = (attach.at(0)?.text()?, attach.at(1)?.number()?, attach.at(2)?.truth()?);
        // What the broker sends comes from the source, what a client sends goes to the target.
        let end = if (from == Side::Client) == receives { attach.at(5) } else { attach.at(6) };
        let address = end.and_then(|end| end.at(0)).and_then(|address| address.text()).unwrap_or_default();
        let dynamic = end.and_then(|end| end.at(4)).and_then(|dynamic| dynamic.truth()).unwrap_or_default();
        if !receives && self.links.len() < MAX_LINKS {
            self.links.insert((from == Side::Server, channel, handle), Link { address: address.into(), dynamic, continues: false });
        }
        let correlation = Message::identity((name, receives == (from == Side::Client))) | TRANSFER << 1;
        if from == Side::Server {
            return self.waiting[Side::Client as usize].remove(correlation).map(|_| respond(&[correlation], None));
        }
        self.waiting[Side::Client as usize].insert(correlation, 0);
        let request = request(self.system, Operation::call("attach"), destination(address, dynamic));
        Some(Head::Request(Request { correlation: Some(correlation), ..request }))
    }

    /// A message of either side.
    fn transfer(&mut self, from: Side, channel: u16, transfer: &Value<'_>, payload: &[u8], whole: bool) -> Result<Option<Head>, Stop> {
        let handle = transfer.at(0).and_then(|handle| handle.number()).ok_or(Stop::Invalid)?;
        let truth = |place: usize| transfer.at(place).and_then(|value| value.truth()).unwrap_or_default();
        let (settled, more) = (truth(4), truth(5));
        let mut link = self.links.get_mut(&(from == Side::Server, channel, handle));
        let known = link.is_some();
        if let Some(link) = link.as_mut().filter(|link| link.continues) {
            link.continues = more;
            return Ok(None);
        }
        let Some(delivery) = transfer.at(1).and_then(|delivery| delivery.number()) else { return Ok(None) };
        let Sections { id, correlation: joins, carried, size } = message::sections(payload, whole)?;
        let system = self.system;
        let destination = link.map_or_else(Destination::default, |link| {
            link.continues = more;
            destination(&link.address, link.dynamic)
        });
        let operation = if from == Side::Client { Operation::PUBLISH } else { Operation::PROCESS };
        let mut request = request(system, operation, destination);
        let mut tell = |key, shown: Option<&str>| request.attributes.extend(shown.map(|shown| Attribute::both(key, shown.to_owned())));
        tell(semconv::MESSAGING_MESSAGE_ID, id.and_then(|id| id.text()).and_then(text));
        tell(semconv::MESSAGING_MESSAGE_CONVERSATION_ID, joins.and_then(|joins| joins.text()).and_then(text));
        let size = size.filter(|_| !more).map(|size| Attribute::both(semconv::MESSAGING_MESSAGE_BODY_SIZE, size as i64));
        request.attributes.extend(size);
        if !known {
            request.attributes.push(Attribute::both(semconv::WIRESPAN_INCOMPLETE, "consumer"));
        }
        let raw = |value: Option<Value<'_>>| value.and_then(|value| value.raw()).map(<[u8]>::to_vec);
        let identified = id.is_some() || joins.is_some();
        let id = identified.then(|| Message::identity(("amqp1", raw(id), raw(joins))));
        request.carried.clone_from(&carried);
        request.messages = Box::new([Message { id, carried }]);
        request.answered = !settled;
        request.correlation = Some(if settled {
            self.numbered += 1;
            TRANSFER << 2 | self.numbered
        } else {
            let correlation = transfer_correlation(channel, delivery);
            self.waiting[from as usize].insert(correlation, 0);
            correlation
        });
        Ok(Some(Head::Request(request)))
    }

    /// What became of messages of the other side.
    fn disposition(&mut self, from: Side, channel: u16, disposition: &Value<'_>) -> Option<Head> {
        let receives = disposition.at(0)?.truth()?;
        let first = disposition.at(1)?.number()?;
        let last = disposition.at(2).and_then(|last| last.number()).unwrap_or(first);
        let state = disposition.at(4).and_then(|state| Some((state.descriptor?, state)));
        let error = match state {
            None | Some((ACCEPTED, _)) => None,
            Some((REJECTED, state)) => Some(condition(state.at(0).as_ref()).unwrap_or("rejected".into())),
            Some((RELEASED, _)) => Some("released".into()),
            Some((MODIFIED, _)) => Some("modified".into()),
            // It was received in part.
            Some(_) => return None,
        };
        let asked = if from == Side::Client { Side::Server } else { Side::Client };
        if !receives {
            return None;
        }
        let range = transfer_correlation(channel, first)..=transfer_correlation(channel, last.max(first));
        let all = self.waiting[asked as usize].remove_all(&range);
        (!all.is_empty()).then(|| respond(&all, error))
    }

    /// The broker ends a link, a session or the connection: with an error, nothing that waits will be answered in another way.
    fn failed(&mut self, error: Option<&Value<'_>>) -> Option<Head> {
        let error = condition(error)?;
        let connecting = std::mem::take(&mut self.connecting).then_some(CONNECT);
        let all: Vec<u64> = connecting.into_iter().chain(self.waiting[Side::Client as usize].drain()).collect();
        (!all.is_empty()).then(|| respond(&all, Some(error)))
    }
}

/// What a broker's properties say that it is.
fn system(open: &Value<'_>) -> &'static str {
    let Some(properties) = open.at(9) else { return "amqp" };
    let mut entries = properties.entries();
    while let (Some(name), Some(value)) = (entries.next(), entries.next()) {
        match (name.text(), value.text()) {
            (Some(b"product"), Some(b"RabbitMQ")) => return "rabbitmq",
            (Some(b"product"), Some(b"apache-activemq-artemis")) => return "activemq",
            _ => {}
        }
    }
    "amqp"
}

/// The condition of an error, if there is one.
fn condition(error: Option<&Value<'_>>) -> Option<Cow<'static, str>> {
    let error = error.filter(|error| error.descriptor == Some(0x1d))?;
    let name = error.at(0)?.text().and_then(text).unwrap_or("_OTHER");
    let known = CONDITIONS.iter().find(|known| **known == name);
    // Vendors have their own, which begin with a name of theirs.
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b':' | b'-' | b'.'));
    Some(match known {
        Some(known) => Cow::Borrowed(*known),
        None if plain => Cow::Owned(name.to_owned()),
        None => Cow::Borrowed("_OTHER"),
    })
}

fn destination(address: &[u8], dynamic: bool) -> Destination<'_> {
    if dynamic { Destination::temporary(address) } else { Destination::of_segments(address) }
}

fn transfer_correlation(channel: u16, delivery: u64) -> u64 {
    TRANSFER | u64::from(channel) << 32 | delivery & u64::from(u32::MAX)
}

fn respond(to: &[u64], error: Option<Cow<'static, str>>) -> Head {
    let (first, also) = to.split_first().map_or((None, &[][..]), |(first, also)| (Some(*first), also));
    Head::Response(Response {
        correlation: first,
        also: also.into(),
        client_error: error.clone(),
        server_error: error,
        ..Response::default()
    })
}
