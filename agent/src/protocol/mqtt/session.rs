//! One connection: control packets of both sides become messages.
use super::packet::{self, Body, Packet, Publish, Step as Phase, Version};
use super::reason;
use crate::protocol::attribute::Attribute;
use crate::protocol::messaging::{Awaited, Destination, Operation, Stop, request};
use crate::protocol::{Decoder, Head, Message, Request, Response, Side, Step, Take};
use crate::semconv;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// What the system is called.
const SYSTEM: &str = "mqtt";
/// Correlation of `CONNECT`; those of packets with an id lie above all ids.
const CONNECT: u64 = 1;
/// Added to an id.
const IDENTIFIED: u64 = 1 << 16;
/// Where correlations of what nobody answers begin.
const NUMBERED: u64 = 1 << 32;
/// Topic aliases of one side that are remembered: brokers allow 10 unless configured otherwise.
const MAX_ALIASES: usize = 1024;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    version: Version,
    connecting: bool,
    /// What waits for an answer by the other side.
    waiting: [Awaited; 2],
    aliases: [FxHashMap<u16, Box<[u8]>>; 2],
    numbered: u64,
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        match packet::packet(from, self.version, bytes) {
            Ok(packet) => Step::Take(self.packet(from, &packet)),
            Err(Stop::More) => Step::More,
            Err(Stop::Invalid) => Step::Invalid,
        }
    }

    fn lost(&mut self, from: Side) {
        // One of them may have been given another meaning.
        self.aliases[from as usize].clear();
    }
}

impl Session {
    fn packet(&mut self, from: Side, packet: &Packet<'_>) -> Take {
        let head = match &packet.body {
            Body::Connect(version) => {
                self.version = *version;
                self.connecting = true;
                let request = request(SYSTEM, Operation::call("connect"), Destination::default());
                Some(Head::Request(Request { correlation: Some(CONNECT), ..request }))
            }
            Body::Connected(code, version) => {
                self.version = *version;
                std::mem::take(&mut self.connecting).then(|| respond(&[CONNECT], reason::refused(*code)))
            }
            Body::Publish(publish) => self.publish(from, publish),
            Body::Answer(phase, id, code) => self.answer(from, *phase, *id, *code),
            Body::Filter(name, id, filter) => {
                let correlation = IDENTIFIED + u64::from(*id);
                self.waiting[Side::Client as usize].insert(correlation, 0);
                let destination = filter.map(Destination::of_segments).unwrap_or_default();
                let mut request = request(SYSTEM, Operation::call(name), destination);
                if self.version == Version::Unknown {
                    request.attributes.push(Attribute::both(semconv::WIRESPAN_INCOMPLETE, "version"));
                }
                Some(Head::Request(Request { correlation: Some(correlation), ..request }))
            }
            Body::Filtered(id, code) => self.answered(Side::Client, *id, code.and_then(reason::error)),
            Body::Disconnect(code) if from == Side::Server => self.disconnected(reason::error(*code)),
            Body::Disconnect(_) | Body::Silent => None,
        };
        let head_len = if head.is_some() { packet.head_len as u64 } else { 0 };
        Take { used: packet.len, start: true, head: head.map(Box::new), head_len, end: true, ..Take::default() }
    }

    /// A message of either side.
    fn publish(&mut self, from: Side, publish: &Publish<'_>) -> Option<Head> {
        let correlation = publish.answered.map(|(id, _)| IDENTIFIED + u64::from(id));
        if publish.again && correlation.is_some_and(|correlation| self.waiting[from as usize].contains(correlation)) {
            return None;
        }
        let aliases = &mut self.aliases[from as usize];
        if let Some(alias) = publish.properties.alias.filter(|_| !publish.topic.is_empty())
            && (aliases.len() < MAX_ALIASES || aliases.contains_key(&alias))
        {
            aliases.insert(alias, publish.topic.into());
        }
        let named = publish.properties.alias.filter(|_| publish.topic.is_empty()).and_then(|alias| aliases.get(&alias));
        let topic = named.map_or(publish.topic, |topic| topic);
        if topic.is_empty() {
            return None;
        }
        let operation = if from == Side::Client { Operation::PUBLISH } else { Operation::PROCESS };
        let mut request = request(SYSTEM, operation, Destination::of_segments(topic));
        let size = publish.size.map(|size| Attribute::both(semconv::MESSAGING_MESSAGE_BODY_SIZE, size as i64));
        request.attributes.extend(size);
        let joins = publish.properties.correlation.filter(|data| !data.is_empty());
        let id = joins.map(|data| Message::identity((SYSTEM, topic, data)));
        request.carried.clone_from(&publish.properties.carried);
        request.messages = Box::new([Message { id, carried: request.carried.clone() }]);
        request.answered = correlation.is_some();
        if let (Some(correlation), Some((_, twice))) = (correlation, publish.answered) {
            self.waiting[from as usize].insert(correlation, u64::from(twice));
        } else {
            self.numbered += 1;
        }
        request.correlation = correlation.or(Some(NUMBERED + self.numbered));
        Some(Head::Request(request))
    }

    /// An answer to a message of the other side, or the next step of one's own.
    fn answer(&mut self, from: Side, phase: Phase, id: u16, code: Option<u8>) -> Option<Head> {
        if code.is_some() && self.version == Version::Unknown {
            self.version = Version::Five;
        }
        let error = code.and_then(reason::error);
        let asked = if from == Side::Client { Side::Server } else { Side::Client };
        match phase {
            Phase::Received if error.is_none() => None,
            Phase::Released => None,
            Phase::Acknowledged | Phase::Received | Phase::Complete => self.answered(asked, id, error),
        }
    }

    /// What `asked` had sent with that id is answered.
    fn answered(&mut self, asked: Side, id: u16, error: Option<&'static str>) -> Option<Head> {
        let correlation = IDENTIFIED + u64::from(id);
        self.waiting[asked as usize].remove(correlation).map(|_| respond(&[correlation], error))
    }

    /// The broker ends the connection: nothing that waits will be answered in another way.
    fn disconnected(&mut self, error: Option<&'static str>) -> Option<Head> {
        let connecting = std::mem::take(&mut self.connecting).then_some(CONNECT);
        let all: Vec<u64> = connecting.into_iter().chain(self.waiting[Side::Client as usize].drain()).collect();
        (!all.is_empty()).then(|| respond(&all, error))
    }
}

fn respond(to: &[u64], error: Option<&'static str>) -> Head {
    let (first, also) = to.split_first().map_or((None, &[][..]), |(first, also)| (Some(*first), also));
    let (client_error, server_error) = (error.map(Cow::Borrowed), error.map(Cow::Borrowed));
    Head::Response(Response { correlation: first, also: also.into(), client_error, server_error, ..Response::default() })
}
