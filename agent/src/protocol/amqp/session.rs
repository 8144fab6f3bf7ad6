//! One connection: frames of both sides become messages.
use super::channel::{Channel, Consumer, Content, Route};
use super::content;
use super::detect;
use super::frame::{self, AROUND, Frame, Payload};
use super::method::{self, Id};
use super::telling::{ask, describe, message, route, route_hash, with_message};
use crate::protocol::messaging::{Destination, Fields, Operation, Stop, request};
use crate::protocol::{Decoder, Guess, Head, Message, Request, Response, Side, Step, Take};
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// Channels that are remembered: as many as brokers allow unless configured otherwise.
const MAX_CHANNELS: usize = 2048;
/// Consumers that are remembered.
const MAX_CONSUMERS: usize = 4096;
/// Correlation of the connection's set-up.
const CONNECT: u64 = 1;
/// Payload of a frame, and what is around it, unless both sides have agreed on something else.
const FRAME_MAX: u64 = 128 * 1024;
/// Longest frame that counts after a loss.
const MAX_FOUND: u64 = 4096;

/// A content whose body is under way.
#[derive(Clone, Copy, Debug)]
struct Body {
    channel: u16,
    /// Bytes that follow.
    left: u64,
    /// Its message has begun.
    open: bool,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Session {
    /// What the broker calls itself.
    system: &'static str,
    connecting: bool,
    frame_max: u64,
    channels: FxHashMap<u16, Channel>,
    /// Consumers by a hash of their channel and tag.
    consumers: FxHashMap<u64, Consumer>,
    generations: u64,
    bodies: [Option<Body>; 2],
    lost: [bool; 2],
}

impl Default for Session {
    fn default() -> Self {
        Self {
            system: "amqp",
            connecting: false,
            frame_max: FRAME_MAX,
            channels: FxHashMap::default(),
            consumers: FxHashMap::default(),
            generations: 0,
            bodies: [None; 2],
            lost: [false; 2],
        }
    }
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        if self.lost[from as usize]
            && let Some(step) = self.find(from, bytes)
        {
            return step;
        }
        if bytes.first() == detect::HEADER.first() {
            let common = bytes.len().min(detect::HEADER.len());
            return match bytes.get(..common) == detect::HEADER.get(..common) {
                false => Step::Invalid,
                true if common < detect::HEADER.len() => Step::More,
                true => Step::Take(Take { used: common as u64, ..Take::default() }),
            };
        }
        match frame::frame(bytes).and_then(|frame| self.frame(from, &frame)) {
            Ok(take) => Step::Take(take),
            Err(Stop::More) => Step::More,
            Err(Stop::Invalid) => Step::Invalid,
        }
    }

    fn lost(&mut self, from: Side) {
        self.lost[from as usize] = true;
        self.bodies[from as usize] = None;
        self.channels.values_mut().for_each(Channel::lost);
    }

    fn finds_boundaries(&self) -> bool {
        true
    }

    /// A body is stepped over as a whole, in frames as large as may be: nobody sends smaller ones.
    fn unseen(&mut self, from: Side) -> Option<Take> {
        let body = self.bodies[from as usize].take()?;
        let payload = self.frame_max.saturating_sub(AROUND as u64).max(1);
        let frames = body.left.div_ceil(payload);
        Some(Take { used: body.left + frames * AROUND as u64, end: body.open, ..Take::default() })
    }
}

impl Session {
    /// Finds a method that `from` may call, whole, in bytes that begin anywhere; `None` once it is there.
    fn find(&mut self, from: Side, bytes: &[u8]) -> Option<Step> {
        let skip = |used: usize| Some(Step::Take(Take { used: used as u64, ..Take::default() }));
        match memchr::memchr(1, bytes) {
            Some(0) => {}
            Some(at) => return skip(at),
            None => return skip(bytes.len()),
        }
        let short = bytes.get(3..7).is_none_or(|size| Fields(size).u32().is_some_and(|size| u64::from(size) < MAX_FOUND));
        match detect::known(from, bytes) {
            _ if !short => skip(1),
            Ok((_, Guess::Likely)) => {
                self.lost[from as usize] = false;
                None
            }
            Err(Stop::More) => Some(Step::More),
            Ok(_) | Err(Stop::Invalid) => skip(1),
        }
    }

    fn frame(&mut self, from: Side, frame: &Frame<'_>) -> Result<Take, Stop> {
        let body = &mut self.bodies[from as usize];
        if let (Some(Body { channel, left, open }), Payload::Body(len)) = (body.as_mut(), frame.payload)
            && *channel == frame.channel
        {
            *left = left.saturating_sub(len);
            let end = *left == 0;
            let take = Take { used: frame.len, end: end && *open, ..Take::default() };
            if end {
                *body = None;
            }
            return Ok(take);
        }
        if body.take_if(|body| body.channel == frame.channel || body.open).is_some_and(|body| body.open) {
            // Another channel's frame, or a body that is shorter than it should be: the message is over as far as this side tells it.
            return Ok(Take { end: true, ..Take::default() });
        }
        let head = match frame.payload {
            Payload::Method(class, number, fields) => self.method(from, frame.channel, (class, number), fields).ok_or(Stop::Invalid)?,
            Payload::Header(fields) => return Ok(self.header(from, frame, fields)),
            // Bodies of what nobody saw begin.
            Payload::Body(_) => return Ok(Take { used: frame.len, ..Take::default() }),
            Payload::Long => {
                self.channels.entry(frame.channel).and_modify(|channel| channel.contents[from as usize] = None);
                None
            }
            Payload::Heartbeat => None,
        };
        Ok(Take { head: head.map(Box::new), ..silent(frame.len) })
    }

    /// What a method says; `None` if it is none.
    #[expect(clippy::option_option, reason = "a method that yields nothing is not one that is cut")]
    fn method(&mut self, from: Side, channel: u16, id: Id, fields: Fields<'_>) -> Option<Option<Head>> {
        match (from, channel) {
            (_, 0) => self.connection(from, id, fields),
            (Side::Client, _) => self.client(channel, id, fields),
            (Side::Server, _) => self.server(channel, id, fields),
        }
    }

    #[expect(clippy::option_option, reason = "a method that yields nothing is not one that is cut")]
    fn connection(&mut self, from: Side, id: Id, mut fields: Fields<'_>) -> Option<Option<Head>> {
        let head = match (from, id) {
            (Side::Server, method::CONNECTION_START) => {
                fields.u16()?;
                content::entries(fields.block()?, |name, value| {
                    if name == b"product" && value == b"RabbitMQ" {
                        self.system = "rabbitmq";
                    }
                });
                None
            }
            (Side::Client, method::CONNECTION_START_OK) => {
                self.connecting = true;
                let request = request(self.system, Operation::call("connect"), Destination::default());
                Some(Head::Request(Request { correlation: Some(CONNECT), ..request }))
            }
            (Side::Client, method::CONNECTION_TUNE_OK) => {
                fields.u16()?;
                self.frame_max = Some(u64::from(fields.u32()?)).filter(|max| *max > 0).unwrap_or(FRAME_MAX);
                None
            }
            (Side::Server, method::CONNECTION_OPEN_OK) if std::mem::take(&mut self.connecting) => respond(&[CONNECT], None),
            (Side::Server, method::CONNECTION_CLOSE) => {
                let error = method::error(fields.u16()?);
                let mut open: Vec<&mut Channel> = self.channels.values_mut().collect();
                open.sort_by_key(|channel| channel.generation);
                let connecting = std::mem::take(&mut self.connecting).then_some(CONNECT);
                let all: Vec<u64> = connecting.into_iter().chain(open.into_iter().flat_map(Channel::close)).collect();
                respond(&all, error)
            }
            _ => None,
        };
        Some(head)
    }

    /// The channel of that number, which may have been opened before anybody looked.
    fn channel(&mut self, number: u16) -> Option<&mut Channel> {
        if !self.channels.contains_key(&number) {
            if self.channels.len() >= MAX_CHANNELS {
                return None;
            }
            self.generations += 1;
            self.channels.insert(number, Channel::new(self.generations));
        }
        self.channels.get_mut(&number)
    }

    #[expect(clippy::option_option, reason = "a method that yields nothing is not one that is cut")]
    fn client(&mut self, number: u16, id: Id, mut fields: Fields<'_>) -> Option<Option<Head>> {
        let system = self.system;
        if id == method::CHANNEL_OPEN {
            self.channels.remove(&number);
        }
        let Some(channel) = self.channel(number) else { return Some(None) };
        match id {
            method::BASIC_PUBLISH => {
                fields.u16()?;
                let (exchange, key) = (fields.short()?, fields.short()?);
                let mandatory = fields.u8()? & 1 != 0;
                channel.contents[Side::Client as usize] = Some(Content::Publish { route: route(exchange, key, &[]), mandatory });
            }
            method::BASIC_ACK | method::BASIC_NACK | method::BASIC_REJECT => {
                let (tag, bits) = (fields.u64()?, fields.u8()?);
                let error = match id {
                    method::BASIC_NACK => Some("nack"),
                    method::BASIC_REJECT => Some("reject"),
                    _ => None,
                };
                let multiple = bits & 1 != 0 && id != method::BASIC_REJECT;
                return Some(respond(&channel.settled(tag, multiple), error));
            }
            _ => {
                let Some(call) = method::find(id) else { return Some(None) };
                if id == method::CONFIRM_SELECT {
                    channel.confirm();
                }
                let (call, consumer) = ask(system, channel, call, fields)?;
                if let Some((tag, consumer)) = consumer {
                    self.consume(number, tag, consumer);
                }
                return Some(call.map(Head::Request));
            }
        }
        Some(None)
    }

    #[expect(clippy::option_option, reason = "a method that yields nothing is not one that is cut")]
    fn server(&mut self, number: u16, id: Id, mut fields: Fields<'_>) -> Option<Option<Head>> {
        let consumer = match id {
            method::BASIC_DELIVER => {
                let generation = self.channel(number).map(|channel| channel.generation);
                self.consumers.get(&consumer_key(generation, fields.short()?)).cloned()
            }
            _ => None,
        };
        let Some(channel) = self.channel(number) else { return Some(None) };
        let content = &mut channel.contents[Side::Server as usize];
        match id {
            method::BASIC_DELIVER => {
                let (tag, _redelivered, exchange, key) = (fields.u64()?, fields.u8()?, fields.short()?, fields.short()?);
                // Who is not known acknowledges if anybody on the channel does.
                let acknowledged = consumer.as_ref().map_or(channel.acknowledges, |consumer| !consumer.no_ack);
                let queue = consumer.as_ref().map_or(&[][..], |consumer| &consumer.queue);
                let route = Route { incomplete: consumer.is_none(), ..route(exchange, key, queue) };
                *content = Some(Content::Deliver { route, tag, acknowledged });
            }
            method::BASIC_GET_OK => {
                let (tag, _redelivered, exchange, key) = (fields.u64()?, fields.u8()?, fields.short()?, fields.short()?);
                let call = channel.answered(id).and_then(|call| call.correlation);
                channel.contents[Side::Server as usize] = Some(Content::Got { route: route(exchange, key, &[]), tag, call });
            }
            method::BASIC_RETURN => {
                let (code, _text, exchange, key) = (fields.u16()?, fields.short()?, fields.short()?, fields.short()?);
                *content = Some(Content::Returned { code, hash: route_hash(exchange, key) });
            }
            method::BASIC_ACK | method::BASIC_NACK => {
                let (tag, bits) = (fields.u64()?, fields.u8()?);
                let error = (id == method::BASIC_NACK).then_some("nack");
                return Some(respond(&channel.confirmed(tag, bits & 1 != 0), error));
            }
            method::CHANNEL_CLOSE => {
                let error = method::error(fields.u16()?);
                return Some(respond(&channel.close(), error));
            }
            method::BASIC_GET_EMPTY => {
                let call = channel.answered(method::BASIC_GET_OK).and_then(|call| call.correlation);
                let idle = |call| Head::Response(Response { correlation: Some(call), idle: true, ..Response::default() });
                return Some(call.map(idle));
            }
            _ => {
                let answered = channel.answered(id);
                if id == method::QUEUE_DECLARE_OK {
                    channel.declared = fields.short()?.into();
                }
                let correlation = answered.as_ref().and_then(|call| call.correlation);
                if let Some(consumer) = answered.and_then(|call| call.consumer).filter(|_| id == method::BASIC_CONSUME_OK) {
                    self.consume(number, fields.short()?, consumer);
                }
                return Some(respond(correlation.as_slice(), None));
            }
        }
        Some(None)
    }

    /// A consumer has a tag.
    fn consume(&mut self, channel: u16, tag: &[u8], consumer: Consumer) {
        let generation = self.channel(channel).map(|channel| channel.generation);
        if self.consumers.len() >= MAX_CONSUMERS {
            self.consumers.clear();
        }
        self.consumers.insert(consumer_key(generation, tag), consumer);
    }

    /// A content header: the message begins.
    fn header(&mut self, from: Side, frame: &Frame<'_>, fields: Fields<'_>) -> Take {
        let system = self.system;
        let channel = self.channels.get_mut(&frame.channel);
        let Some(properties) = content::properties(fields) else { return silent(frame.len) };
        let head = channel.and_then(|channel| match channel.contents[from as usize].take()? {
            Content::Publish { route, mandatory } => {
                let correlation = channel.publish(if mandatory { route.hash } else { 0 });
                let message = message(&route, &properties);
                let mut request = with_message(system, Operation::PUBLISH, route, &properties, None);
                request.carried.clone_from(&message.carried);
                request.answered = correlation.is_some();
                request.correlation = Some(correlation.unwrap_or_else(|| channel.unique()));
                request.messages = Box::new([message]);
                Some(Head::Request(request))
            }
            Content::Deliver { route, tag, acknowledged } => {
                let message = message(&route, &properties);
                let mut request = with_message(system, Operation::PROCESS, route, &properties, Some(tag));
                request.answered = acknowledged;
                request.correlation = Some(if acknowledged { channel.deliver(tag) } else { channel.unique() });
                request.carried.clone_from(&message.carried);
                request.messages = Box::new([message]);
                Some(Head::Request(request))
            }
            Content::Got { route, tag, call } => {
                let mut attributes = Vec::with_capacity(5);
                let message = message(&route, &properties);
                describe(&mut attributes, route.key, &properties, Some(tag));
                let messages = Box::new([message]);
                call.map(|call| Head::Response(Response { correlation: Some(call), attributes, messages, ..Response::default() }))
            }
            Content::Returned { code, hash } => respond(channel.returned(hash).as_slice(), method::error(code)),
        });
        let open = head.is_some();
        if properties.body > 0 {
            self.bodies[from as usize] = Some(Body { channel: frame.channel, left: properties.body, open });
        }
        Take { used: frame.len, start: open, head: head.map(Box::new), end: open && properties.body == 0, ..Take::default() }
    }
}

/// An answer to all of these requests, if there are any.
fn respond(to: &[u64], error: Option<&'static str>) -> Option<Head> {
    let (first, also) = to.split_first()?;
    let (client_error, server_error) = (error.map(Cow::Borrowed), error.map(Cow::Borrowed));
    Some(Head::Response(Response { correlation: Some(*first), also: also.into(), client_error, server_error, ..Response::default() }))
}

fn consumer_key(generation: Option<u64>, tag: &[u8]) -> u64 {
    Message::identity((generation, tag))
}

/// A message that yields nothing, unless a head is added.
fn silent(used: u64) -> Take {
    Take { used, start: true, end: true, ..Take::default() }
}
