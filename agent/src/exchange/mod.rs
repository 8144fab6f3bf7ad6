//! Requests meet their responses: messages of one socket become exchanges with times. Pure: no clock, no I/O.
//!
//! Pairing is in order, or by the correlation that a protocol gives. A request that gets no response says why; a response without
//! a request is counted. On a connection that is older than the capture, exchanges count only when the pairing has proven right.
mod conversation;

use crate::capture::event::{Closed, End, Nanos, Opened, Read, Sender, SocketId};
use crate::flow::Signal;
use crate::flow::stream::Point;
use crate::protocol::context::Carried;
use crate::protocol::{Kind, Request, Response};
use conversation::Conversation;
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// An exchange at one end of a connection, unique within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u64);

/// How long a finished call waits to be read by its program: longer than a scheduling delay on a busy node.
const READ_WAIT: Nanos = 200_000_000;
/// How long the exchanges of an older connection wait for the next request to prove their pairing.
const PROOF_WAIT: Nanos = 300_000_000;
/// How long a response that is one of several waits for its end after bytes were lost: the loss may have held it.
const END_WAIT: Nanos = 1_000_000_000;
/// How long a request that is one of several waits for its response after bytes were lost, for the same reason.
const RESPONSE_WAIT: Nanos = 30_000_000_000;

/// Why a request got no whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The connection was closed first.
    Closed,
    /// The connection was reset first.
    Reset,
    /// The connection timed out.
    TimedOut,
    /// The input ended first: nothing is known.
    InputEnded,
}

/// One request and its response, as one end of the connection saw them.
#[derive(Debug)]
pub struct Exchange {
    /// Which.
    pub id: ExchangeId,
    /// The connection's socket at this end.
    pub opened: Arc<Opened>,
    /// Whether this end asked: the client's, unless the exchange was `pushed`.
    pub client: bool,
    /// The server asked: it sent something by itself.
    pub pushed: bool,
    /// The protocol's name.
    pub protocol: &'static str,
    /// The request.
    pub request: Request,
    /// The response, if its head was seen.
    pub response: Option<Response>,
    /// First byte of the request.
    pub asked: Point,
    /// First byte of the response.
    pub answered: Option<Point>,
    /// Last byte of the response.
    pub ended: Option<Point>,
    /// At the end that asked, who read the response's first byte and when; at the other one, the request's.
    pub read: Option<Read>,
    /// How long the connection took, if it was opened for this exchange (client).
    pub connect: Option<Nanos>,
    /// Why the response is missing or not whole.
    pub unanswered: Option<Unanswered>,
    /// When it was over: the last byte of the response, or the moment that is named in `unanswered`.
    pub over: Nanos,
    /// Part of a message was not captured.
    pub truncated: bool,
}

/// A request that was seen.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Begun {
    /// Its exchange.
    pub id: ExchangeId,
    /// The socket.
    pub socket: SocketId,
    /// Whether this end asked: the client's, unless the exchange was `pushed`.
    pub client: bool,
    /// The server asked: it sent something by itself.
    pub pushed: bool,
    /// First byte of the request.
    pub asked: Point,
    /// Who opened the connection, if this is its first request.
    pub opener: Option<Sender>,
    /// Other requests of the same connection are unanswered, whose answers may come before its own.
    pub shared: bool,
    /// The number that joins it with its response, where several are open at once.
    pub correlation: Option<u64>,
    /// Kind of conversation.
    pub kind: Kind,
    /// Digest of the request's head: the same wherever these bytes are handed on.
    pub content: u64,
    /// What the request carries about its trace.
    pub carried: Option<Arc<Carried>>,
    /// Whether the request exports spans of the client.
    pub exports: bool,
    /// This end's port; of what was pushed, the server's.
    pub port: u16,
    /// Address of the end that asked, as this end sees it.
    pub client_address: IpAddr,
    /// Identity of the only message that is in it.
    pub message: Option<u64>,
}

/// What this stage says.
#[derive(Debug)]
pub enum Progress {
    /// A request was seen.
    Begun(Begun),
    /// Its response began.
    Answered {
        /// The exchange.
        id: ExchangeId,
        /// First byte of the response.
        first: Point,
    },
    /// An exchange is over, as seen at this end.
    Done(Box<Exchange>),
    /// An exchange that had begun will not be told: its bytes were lost or misjudged.
    Lost(ExchangeId),
    /// A connection that nobody had used yet could not be made.
    ConnectFailed {
        /// The socket.
        opened: Opened,
        /// How it failed.
        closed: Closed,
    },
}

/// What did not become an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Responses to requests that nobody saw.
    pub response_without_request: u64,
    /// Requests whose connection became something else, or nonsense.
    pub left: u64,
    /// Exchanges of older connections whose pairing proved wrong.
    pub unproven: u64,
    /// Requests whose responses lie, or may lie, among others that could not be decoded.
    pub unread: u64,
    /// Requests beyond the bound of one connection.
    pub too_many: u64,
    /// Exchanges in which nothing came to pass: polls that found nothing, heartbeats.
    pub idle: u64,
}

/// The conversations of all sockets.
pub struct Exchanges {
    conversations: FxHashMap<SocketId, Conversation>,
    waiting: Vec<SocketId>,
    next: u64,
    reads: bool,
    counters: Counters,
}

impl Exchanges {
    /// No conversations yet. `reads` says whether the source reports reads at all.
    #[must_use]
    pub fn new(reads: bool) -> Self {
        Self { conversations: FxHashMap::default(), waiting: Vec::new(), next: 0, reads, counters: Counters::default() }
    }

    /// Takes one signal and says what follows.
    pub fn signal(&mut self, signal: Signal, out: &mut dyn FnMut(Progress)) {
        let socket = match &signal {
            Signal::Opened(opened) => {
                self.conversations.insert(opened.socket, Conversation::new(Arc::clone(opened), self.reads));
                return;
            }
            Signal::Closed(closed) => {
                if let Some(conversation) = self.conversations.remove(&closed.socket) {
                    conversation.closed(*closed, &mut self.counters, out);
                }
                return;
            }
            Signal::Established { socket, .. }
            | Signal::Recognised { socket, .. }
            | Signal::Head { socket, .. }
            | Signal::More { socket, .. }
            | Signal::End { socket, .. }
            | Signal::Unread { socket, .. }
            | Signal::Left { socket, .. } => *socket,
            Signal::Read(read) => read.socket,
        };
        let Some(conversation) = self.conversations.get_mut(&socket) else { return };
        let waited = conversation.is_waiting();
        match signal {
            Signal::Established { at, .. } => conversation.established(at),
            Signal::Recognised { protocol, client, joined, .. } => conversation.recognised(protocol, client, joined),
            Signal::Head { side, first, head, content, .. } => {
                conversation.head(side, first, *head, content, &mut self.next, &mut self.counters, out);
            }
            Signal::More { first, more, .. } => conversation.more(first, *more, out),
            Signal::End { side, stream, last, truncated, .. } => conversation.end(side, stream, last, truncated, out),
            Signal::Unread { side, first, last, .. } => conversation.unread(side, first, last, &mut self.counters, out),
            Signal::Read(read) => conversation.read(read, out),
            Signal::Left { .. } => conversation.left(&mut self.counters, out),
            Signal::Opened(_) | Signal::Closed(_) => {}
        }
        if !waited && conversation.is_waiting() {
            self.waiting.push(socket);
        }
    }

    /// Time has passed: exchanges that waited too long for a read or a proof are told without it.
    pub fn tick(&mut self, now: Nanos, out: &mut dyn FnMut(Progress)) {
        let Self { conversations, counters, .. } = self;
        self.waiting.retain(|socket| {
            conversations.get_mut(socket).is_some_and(|conversation| {
                conversation.release(now, counters, out);
                conversation.is_waiting()
            })
        });
    }

    /// The input has ended at `now`: what is open is told as such.
    pub fn finish(&mut self, now: Nanos, out: &mut dyn FnMut(Progress)) {
        for conversation in self.conversations.values_mut() {
            conversation.release(Nanos::MAX, &mut self.counters, out);
            conversation.abandon(Unanswered::InputEnded, now, out);
        }
    }

    /// What did not become an exchange so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

impl From<End> for Unanswered {
    fn from(end: End) -> Self {
        match end {
            End::Finished => Self::Closed,
            End::ResetByPeer | End::ResetByUs | End::Refused | End::Failed(_) => Self::Reset,
            End::TimedOut => Self::TimedOut,
        }
    }
}
