//! Bytes at an offset become messages. Pure: no clock, no I/O; the bytes are hostile, may be cut, and may begin in the middle.
//!
//! A protocol is one file that detects, decodes, names and redacts, and one line in [`PROTOCOLS`]. A [`Decoder`] sees both
//! directions of one connection. The driver in [`crate::flow`] keeps the bytes that a decoder has not taken yet, steps over bytes
//! that were never captured where the decoder said how many follow, and resynchronises where it did not.
pub mod amqp;
pub mod amqp1;
pub mod attribute;
pub(crate) mod base64;
pub mod context;
pub mod dns;
pub mod dubbo;
pub mod fastcgi;
pub(crate) mod grpc;
pub mod http1;
pub mod http2;
pub mod jrmp;
pub mod kafka;
pub mod memcached;
mod messaging;
pub mod mongodb;
pub mod mqtt;
pub mod mysql;
pub mod nats;
pub mod postgresql;
pub mod redact;
pub mod redis;
pub(crate) mod search;
pub(crate) mod sql;
pub mod telemetry;
#[cfg(any(test, fuzzing))]
pub mod testing;
pub mod thrift;
pub mod tls;
pub mod zookeeper;

use attribute::Attribute;
use context::Carried;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

/// Every protocol, in the order in which they are tried.
pub const PROTOCOLS: &[&dyn Protocol] = &[
    &http1::Http1,
    &http2::Http2,
    &redis::Redis,
    &postgresql::PostgreSql,
    &memcached::Memcached,
    &mysql::MySql,
    &mongodb::MongoDb,
    &kafka::Kafka,
    &zookeeper::ZooKeeper,
    &dubbo::Dubbo,
    &nats::Nats,
    &amqp::Amqp,
    &amqp1::Amqp1,
    &mqtt::Mqtt,
    &fastcgi::FastCgi,
    &thrift::Thrift,
    &jrmp::Jrmp,
    &dns::Dns,
    &tls::Tls,
];

/// Who sent the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// What the first bytes of a connection say about its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guess {
    /// Certainly another protocol.
    No,
    /// Nothing speaks against it, but more bytes are needed.
    Maybe,
    /// It could be this one, but only if the other side's bytes agree.
    Likely,
    /// It is this one.
    Yes,
}

/// A protocol.
pub trait Protocol: Sync {
    /// Name, as it stands in `wirespan.protocol`.
    fn name(&self) -> &'static str;

    /// Judges the first bytes of a turn that `from` would have sent, from a message boundary on if the protocol is this one.
    ///
    /// The driver asks for each side that has bytes: the protocol is taken when one side says [`Guess::Yes`], or both at least
    /// [`Guess::Likely`], and no side says [`Guess::No`].
    fn detect(&self, from: Side, bytes: &[u8]) -> Guess;

    /// A decoder for a connection to `server`. With `joined`, its first messages were missed: state from before is unknown.
    fn decoder(&self, server: SocketAddr, joined: bool) -> Box<dyn Decoder>;

    /// Payload bytes per turn that the kernel shall copy for this protocol.
    fn budget(&self) -> u32;

    /// Longest unfinished message head, in bytes, that is worth keeping; more is a message that cannot be decoded.
    fn longest_head(&self) -> usize;

    /// What a datagram says, if the protocol is spoken in datagrams and this is one of them.
    fn datagram(&self, _bytes: &[u8]) -> Option<Datagram> {
        None
    }
}

/// A message that is a datagram.
#[derive(Debug, PartialEq)]
pub struct Datagram {
    /// What it is.
    pub head: Head,
    /// The number that joins a question with its answer, among those of one socket.
    pub id: u64,
    /// Digest of what is asked, the same in the answer; zero in an answer that does not repeat it.
    pub subject: u64,
}

/// The state of one connection in one protocol.
pub trait Decoder: Send {
    /// Looks at the bytes that `from` sent and that were not taken yet, and takes some.
    ///
    /// `bytes` begins where the last step ended. With `finished`, nothing follows them, and the decoder is asked once more with
    /// no bytes, so that a message that lasts until the end of the connection can end. The result must not depend on how the
    /// bytes are cut: a prefix yields [`Step::More`] or the same steps as the whole.
    fn decode(&mut self, from: Side, bytes: &[u8], finished: bool) -> Step;

    /// Bytes of `from` were lost at an unknown place in its messages: what follows begins, at best, at a message boundary.
    /// Messages of that side that had begun are over, unless the protocol has several open at once: of those, any may have ended.
    fn lost(&mut self, from: Side);

    /// Whether the decoder finds a boundary by itself in bytes that begin anywhere, so that a loss need not be waited out until the
    /// next turn.
    fn finds_boundaries(&self) -> bool {
        false
    }

    /// The bytes behind the last step of `from`, which the decoder would have liked to see, were never captured. It says how to step
    /// over at least what it was shown of them already, or nothing: then they are [`Self::lost`].
    fn unseen(&mut self, _from: Side) -> Option<Take> {
        None
    }
}

/// What a decoder made of the bytes.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing can be said before more bytes are there.
    More,
    /// Bytes were understood.
    Take(Take),
    /// These bytes are not this protocol. The driver drops the rest of this turn and calls [`Decoder::lost`].
    Invalid,
    /// What follows on this connection, in both directions, is something else: its name, for example `websocket`.
    Leave(&'static str),
}

/// Bytes that were understood.
#[derive(Debug, Default, PartialEq)]
pub struct Take {
    /// How many; may be more than there were, the rest is then stepped over, captured or not. Zero only with `end`.
    pub used: u64,
    /// Which of several open messages of this side the bytes belong to. Zero in protocols that have one at a time; otherwise the
    /// correlation of its request, and `start`, `head`, `more` and `end` concern that message alone. Its head comes with `start`; who
    /// never got one never ends.
    pub stream: u64,
    /// A message begins with the first of these bytes.
    pub start: bool,
    /// What the message is. Comes once per message, with `start` or later; a message without it yields nothing.
    pub head: Option<Box<Head>>,
    /// Of these bytes, those that say what the message is, all of which were there; zero if that is all of them.
    pub head_len: u64,
    /// What these bytes add to what was said in the head: of one of several messages, or of the one that is open.
    pub more: Option<Box<More>>,
    /// The message ends with the last of these bytes.
    pub end: bool,
}

/// What a message is.
#[derive(Debug, PartialEq)]
pub enum Head {
    /// The client asks.
    Request(Request),
    /// The server answers.
    Response(Response),
}

/// What is said of a message behind its head.
#[derive(Debug, PartialEq)]
pub enum More {
    /// The end of a response adds to its beginning: attributes, an error, a better name.
    Trailer(Response),
    /// The first content of a response begins with these bytes, that has more than one message in it. With the correlation of its
    /// request, if it has one.
    Content(Option<u64>),
    /// One side gives an exchange up: it is over with these bytes.
    Abort(Abort),
}

/// What kind of conversation this is: decides span kinds and which spans are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Between services: a CLIENT span, and a SERVER span as its child.
    Service,
    /// With a database or cache: a CLIENT span; a SERVER span only where the client is not traced.
    Database,
    /// A message, or several, are given to a broker: a PRODUCER span at the client's end; a SERVER span only where the client is not
    /// traced.
    Publish,
    /// What a connection does by itself, whatever is said on it: a CLIENT span; a SERVER span only where the client is not traced. What is
    /// read from such a connection later is no part of it.
    Connection,
    /// A message, or several, are handed to a consumer: a CONSUMER span at the client's end, which asked for them, or to which the
    /// broker sent them by itself. In the latter case the request is the server's: its head comes from [`Side::Server`], and it is
    /// answered by the client, if at all.
    Consume,
}

/// A message that a broker was given or hands out.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The same for the same message wherever it passes the broker, and for no other one of the last minutes; `None` if nothing of the
    /// kind is in the bytes. Made by [`Message::identity`].
    pub id: Option<u64>,
    /// What the message carries about the trace in which it was made.
    pub carried: Option<Arc<Carried>>,
}

impl Message {
    /// The identity of a message, from everything that makes it one: the system, the destination, its number or id there.
    pub fn identity(parts: impl std::hash::Hash) -> u64 {
        use std::hash::BuildHasher;
        rustc_hash::FxBuildHasher.hash_one(parts)
    }
}

/// A request.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// Kind of conversation.
    pub kind: Kind,
    /// Name of the span, of low cardinality.
    pub name: Cow<'static, str>,
    /// Attributes known from the request. The span gets addresses and ports from the connection where these do not name them.
    pub attributes: Vec<Attribute>,
    /// What the request carries about its trace, if anything.
    pub carried: Option<Arc<Carried>>,
    /// Whether it exports spans of its sender, as [`telemetry::is_trace_export`] says.
    pub exports: bool,
    /// Which response answers it; `None` means the next one in order.
    pub correlation: Option<u64>,
    /// Whether a response will come at all.
    pub answered: bool,
    /// Only its answer tells whether anything comes of it (see [`Response::idle`]): if none is seen, there is no span.
    pub quiet: bool,
    /// The messages of [`Kind::Publish`] and [`Kind::Consume`] that are in it, as far as anything is known of them.
    pub messages: Box<[Message]>,
}

impl Request {
    /// A request that the next response in order answers, and of which nothing else is known yet.
    pub fn new(kind: Kind, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            name: name.into(),
            attributes: Vec::new(),
            carried: None,
            exports: false,
            correlation: None,
            answered: true,
            quiet: false,
            messages: Box::default(),
        }
    }
}

/// A response.
#[derive(Debug, Default, PartialEq)]
pub struct Response {
    /// Attributes known from the response.
    pub attributes: Vec<Attribute>,
    /// The error of the client's span, of low cardinality (`error.type`).
    pub client_error: Option<Cow<'static, str>>,
    /// The error of the server's span.
    pub server_error: Option<Cow<'static, str>>,
    /// Which request it answers; `None` means the oldest one.
    pub correlation: Option<u64>,
    /// Further requests that the same bytes answer in the same way (an acknowledgement of several messages).
    pub also: Box<[u64]>,
    /// Another response to the same request follows (HTTP 1xx): times count, the exchange goes on.
    pub interim: bool,
    /// It answers a poll that found nothing, a heartbeat or the like: there is no span, and the exchange is counted.
    pub idle: bool,
    /// Messages that are in it, or whose identity it tells.
    pub messages: Box<[Message]>,
    /// The span's name after all, as the request's proved not to be of low cardinality. The attributes then replace those of the
    /// request that have the same key.
    pub name: Option<Cow<'static, str>>,
    /// The kind of conversation after all, as only the answer shows who answers.
    pub kind: Option<Kind>,
}

impl Response {
    /// What it says of every request that it answers.
    #[must_use]
    pub fn same(&self) -> Self {
        Self { client_error: self.client_error.clone(), server_error: self.server_error.clone(), idle: self.idle, ..Self::default() }
    }
}

/// The end of an exchange that one side gave up.
#[derive(Debug, PartialEq)]
pub struct Abort {
    /// What it means, and for which request.
    pub outcome: Response,
    /// What it means instead if it comes so many nanoseconds after the request, or later: the time that the client had set.
    pub late: Option<(u64, Response)>,
}
