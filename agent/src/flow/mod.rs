//! Segments of one socket become two ordered byte streams with exact offsets, and those, with the help of a protocol's decoder,
//! the beginnings and ends of messages. Pure: no clock, no I/O.
//!
//! Input: [`Event`]s of any source. Output: [`Signal`]s, in the order in which things happened.
mod connection;
mod content;
mod datagrams;
mod lane;
mod loopback;
pub mod stream;

use crate::capture::event::{Closed, Direction, Event, Nanos, Opened, Read, Segment, SocketId};
use crate::protocol::{Head, More, Protocol, Side};
use connection::Connection;
use datagrams::Datagrams;
use loopback::Loopback;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::Point;
use wirespan_abi::{Verdict, verdict};

/// Connections followed at once: ten times what a busy node has, at about 1 KiB each.
pub const MAX_CONNECTIONS: usize = 128 * 1024;

/// What a connection said.
#[derive(Debug)]
pub enum Signal {
    /// A socket appeared.
    Opened(Arc<Opened>),
    /// Its connection is established: the answer to its SYN arrived.
    Established {
        /// Which.
        socket: SocketId,
        /// When.
        at: Nanos,
    },
    /// Its protocol is known.
    Recognised {
        /// Which.
        socket: SocketId,
        /// The protocol's name.
        protocol: &'static str,
        /// Whether this socket is the client's.
        client: bool,
        /// Whether the connection is older than the capture.
        joined: bool,
    },
    /// A message began, and what it is is known now.
    Head {
        /// Which.
        socket: SocketId,
        /// Who sent it.
        side: Side,
        /// Its first byte.
        first: Point,
        /// What it is. In a box, as a decoder gives it.
        head: Box<Head>,
        /// Digest of the bytes of a request's head; zero for a response.
        content: u64,
    },
    /// Behind the head of one of several open messages, more is known.
    More {
        /// Which.
        socket: SocketId,
        /// The first byte that says so.
        first: Point,
        /// What is known. In a box, because few messages have any.
        more: Box<More>,
    },
    /// A message has ended: that whose head came last from this side, or the one of `stream`.
    End {
        /// Which.
        socket: SocketId,
        /// Who sent it.
        side: Side,
        /// The correlation of its request; zero in protocols that have one open message at a time.
        stream: u64,
        /// Its last byte.
        last: Point,
        /// Part of it was not captured, so that its end was found by what came next.
        truncated: bool,
    },
    /// Bytes passed that could not be decoded: one message or several, or parts.
    Unread {
        /// Which.
        socket: SocketId,
        /// Who sent them.
        side: Side,
        /// Their first byte.
        first: Point,
        /// Their last byte.
        last: Point,
    },
    /// A thread read from a recognised socket.
    Read(Read),
    /// A recognised connection became something else, or nonsense: no more of its messages follow.
    Left {
        /// Which.
        socket: SocketId,
    },
    /// A socket ended.
    Closed(Closed),
}

/// Why an event was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// Its socket was never announced: that record was lost, or the connection was evicted.
    UnknownSocket,
    /// Its connection is of no interest: another protocol, or excluded.
    Ignored,
    /// It lies between a loss or nonsense and the next message.
    Resync,
    /// It brought nothing new.
    Duplicate,
}

impl DropCause {
    /// Name in the accounting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownSocket => "flow.unknown_socket",
            Self::Ignored => "flow.ignored",
            Self::Resync => "flow.resync",
            Self::Duplicate => "flow.duplicate",
        }
    }
}

/// What became of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Given up without finding their protocol.
    pub unrecognised: u64,
    /// Given up because their bytes did not fit the protocol that their beginning promised.
    pub misjudged: u64,
    /// Places where bytes did not fit the protocol.
    pub invalid: u64,
    /// Places where messages were lost because bytes were not captured.
    pub unseen: u64,
    /// Evicted because there were more than [`MAX_CONNECTIONS`].
    pub evicted: u64,
}

/// The connections of one source.
pub struct Flow {
    protocols: &'static [&'static dyn Protocol],
    connections: FxHashMap<SocketId, Box<Connection>>,
    datagrams: Datagrams,
    /// Nothing where the source always tells both ends of what passes.
    loopback: Option<Loopback>,
    verdicts: Vec<(SocketId, Verdict)>,
    counters: Counters,
    left: BTreeMap<&'static str, u64>,
}

impl Flow {
    /// No connections yet; `protocols` are tried in their order. `obeyed` says whether the source follows verdicts: then, between
    /// two sockets on loopback, what leaves one is taken to arrive at the other.
    #[must_use]
    pub fn new(protocols: &'static [&'static dyn Protocol], obeyed: bool) -> Self {
        Self {
            protocols,
            connections: FxHashMap::default(),
            datagrams: Datagrams::default(),
            loopback: obeyed.then(Loopback::default),
            verdicts: Vec::new(),
            counters: Counters::default(),
            left: BTreeMap::new(),
        }
    }

    /// Takes one event and says what follows from it.
    pub fn event(&mut self, event: &Event<'_>, out: &mut dyn FnMut(Signal)) -> Result<(), DropCause> {
        match event {
            Event::Opened(opened) => {
                if self.connections.len() >= MAX_CONNECTIONS {
                    self.evict(opened.at, out);
                }
                let opened = Arc::new(*opened);
                let mut connection = Box::new(Connection::new(Arc::clone(&opened)));
                connection.other = self.loopback.as_mut().and_then(|loopback| loopback.opened(&opened));
                if let Some(other) = connection.other.and_then(|other| self.connections.get_mut(&other)) {
                    other.other = Some(opened.socket);
                }
                self.connections.insert(opened.socket, connection);
                out(Signal::Opened(opened));
                Ok(())
            }
            Event::Segment(segment) => {
                // Asked first: what ends the understanding of one end has arrived at the other.
                let arrival = self.arrival(segment);
                let used = self.segment(segment, out);
                if let Some(arrival) = arrival {
                    // Whether it was of use was asked for the record, and it is the same one.
                    let _ = self.segment(&arrival, out);
                }
                used
            }
            Event::Datagram(datagram) => self.datagrams.take(datagram, self.protocols, out),
            Event::Read(read) => {
                let connection = self.connections.get(&read.socket).ok_or(DropCause::UnknownSocket)?;
                if connection.is_ignored() {
                    return Err(DropCause::Ignored);
                }
                out(Signal::Read(*read));
                Ok(())
            }
            Event::Closed(closed) => {
                let mut connection = self.remove(closed.socket).ok_or(DropCause::UnknownSocket)?;
                connection.finish(&mut self.shared(out));
                out(Signal::Closed(*closed));
                Ok(())
            }
            Event::Process(_) | Event::Note(_) => Ok(()),
        }
    }

    fn segment(&mut self, segment: &Segment<'_>, out: &mut dyn FnMut(Signal)) -> Result<(), DropCause> {
        let Self { protocols, connections, counters, left, verdicts, .. } = self;
        let connection = connections.get_mut(&segment.socket).ok_or(DropCause::UnknownSocket)?;
        let (lasting, mirrored) = (connection.is_lasting(), connection.is_mirrored());
        let used = connection.segment(segment, &mut Shared { protocols, counters, left, verdicts, out });
        if connection.is_lasting() != lasting {
            self.changed(segment.socket);
        }
        // Until the source has heard of it, it tells arrivals that followed from what left. They are right, not lost.
        if mirrored && used == Err(DropCause::Duplicate) { Ok(()) } else { used }
    }

    /// A connection has proven to last, or is not decoded any more: both ends of it, or neither, are told at one end alone.
    fn changed(&mut self, socket: SocketId) {
        let Some(other) = self.connections.get(&socket).and_then(|connection| connection.other) else { return };
        let ends = [socket, other].map(|end| self.connections.get(&end).filter(|end| end.is_lasting()));
        let mirrored = if let [Some(one), Some(two)] = ends { one.is_mirrored() || (one.feeds(two) && two.feeds(one)) } else { false };
        for end in [socket, other] {
            if let Some(verdict) = self.connections.get_mut(&end).and_then(|end| end.mirror(mirrored)) {
                self.verdicts.push((end, verdict));
            }
        }
    }

    /// What arrives at the other end of a loopback connection when `segment` leaves.
    fn arrival<'a>(&self, segment: &Segment<'a>) -> Option<Segment<'a>> {
        let other = self.connections.get(&segment.socket).filter(|connection| connection.is_mirrored())?.other?;
        let retransmits = self.connections.get(&other)?.retransmits;
        let leaves = segment.direction == Direction::Out;
        leaves.then_some(Segment { socket: other, direction: Direction::In, sender: None, srtt_us: 0, retransmits, ..*segment })
    }

    /// Lets go of a connection; its other end has to be told everything from now on.
    fn remove(&mut self, socket: SocketId) -> Option<Box<Connection>> {
        let connection = self.connections.remove(&socket)?;
        if let Some(loopback) = &mut self.loopback {
            loopback.closed(connection.opened());
        }
        if let Some(other) = connection.other {
            self.changed(other);
        }
        Some(connection)
    }

    /// Ends messages whose rest was not captured and whose connection has been silent since `before`.
    pub fn tick(&mut self, before: Nanos, out: &mut dyn FnMut(Signal)) {
        for connection in self.connections.values_mut() {
            connection.end_silent(before, out);
        }
        self.datagrams.tick(before, out);
    }

    /// The input has ended: what is buffered is decoded as far as it goes.
    pub fn finish(&mut self, out: &mut dyn FnMut(Signal)) {
        let Self { protocols, connections, counters, left, verdicts, .. } = self;
        for connection in connections.values_mut() {
            connection.input_ended(&mut Shared { protocols, counters, left, verdicts, out });
        }
    }

    /// Nothing more of this socket is wanted.
    pub fn ignore(&mut self, socket: SocketId) {
        if let Some(connection) = self.connections.get_mut(&socket) {
            connection.ignore();
            self.verdicts.push((socket, IGNORED));
            self.changed(socket);
        }
    }

    /// What the source shall be told about sockets since the last call.
    pub fn take_verdicts(&mut self) -> std::vec::Drain<'_, (SocketId, Verdict)> {
        self.verdicts.drain(..)
    }

    /// What became of connections so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Connections that became something else, by what: `websocket`, `tunnel` and the like.
    #[must_use]
    pub fn left(&self) -> &BTreeMap<&'static str, u64> {
        &self.left
    }

    /// Connections followed now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no connection is followed now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    fn shared<'a>(&'a mut self, out: &'a mut dyn FnMut(Signal)) -> Shared<'a> {
        let Self { protocols, counters, left, verdicts, .. } = self;
        Shared { protocols, counters, left, verdicts, out }
    }

    /// Drops the older half of the connections that have been silent longest.
    fn evict(&mut self, now: Nanos, out: &mut dyn FnMut(Signal)) {
        let mut ages: Vec<Nanos> = self.connections.values().map(|connection| connection.last_seen()).collect();
        let middle = ages.len() / 2;
        let (_, &mut median, _) = ages.select_nth_unstable(middle);
        let gone: Vec<SocketId> = self.connections.iter().filter(|(_, c)| c.last_seen() < median.max(1)).map(|(id, _)| *id).collect();
        for socket in gone {
            self.remove(socket);
            self.verdicts.push((socket, IGNORED));
            self.counters.evicted += 1;
            out(Signal::Closed(Closed { at: now, socket, end: crate::capture::event::End::Finished, established: true }));
        }
    }
}

/// The verdict for sockets of no interest.
const IGNORED: Verdict = Verdict { budget: 0, flags: verdict::IGNORE };

/// What connections share while one event is worked on.
struct Shared<'a> {
    protocols: &'static [&'static dyn Protocol],
    counters: &'a mut Counters,
    left: &'a mut BTreeMap<&'static str, u64>,
    verdicts: &'a mut Vec<(SocketId, Verdict)>,
    out: &'a mut dyn FnMut(Signal),
}

/// Index of a direction's half.
fn index(direction: Direction) -> usize {
    match direction {
        Direction::In => 0,
        Direction::Out => 1,
    }
}
