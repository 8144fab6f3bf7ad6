//! The exchanges that links are made between: look-up by socket and sequence number, by wire key, and who waits for whom.
use super::ids::WireKey;
use super::link::Link;
use super::meeting::Meeting;
use super::nodes::Nodes;
use super::notes::Noted;
use super::policy::Header;
use crate::capture::event::{LastRead, Nanos, SocketId, Thread};
use crate::exchange::{Exchange, ExchangeId};
use crate::flow::stream::{Point, seq_distance};
use crate::protocol::Kind;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Exchanges looked at on one socket to find the one that was read: more than are ever unanswered but in a deep pipeline.
const MAX_LOOK_BACK: usize = 64;

/// Entries below which a collection keeps its room: it is half a megabyte of nodes.
pub(super) const FEW: usize = 1024;
/// Part of its room that a collection must use after a burst, else it gives most of it back.
pub(super) const SPARSE: usize = 8;

/// Forward evidence of a call: the request that its thread had read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) owner: ExchangeId,
    /// Other requests read from the same connection were unanswered too.
    pub(super) ambiguous: bool,
}

/// What a thread was at when it did something, as its last read tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forward {
    /// This request.
    Owner(Candidate),
    /// Nothing that is still going on.
    Nothing,
    /// It had just read a socket of which nothing is known.
    Unseen,
}

impl Forward {
    /// The same, or with a reason to doubt it.
    pub(super) fn doubted(self, doubt: bool) -> Self {
        match self {
            Self::Owner(candidate) => Self::Owner(Candidate { ambiguous: candidate.ambiguous || doubt, ..candidate }),
            other => other,
        }
    }

    pub(super) fn candidate(self) -> Option<Candidate> {
        match self {
            Self::Owner(candidate) => Some(candidate),
            Self::Nothing | Self::Unseen => None,
        }
    }
}

/// How long an exchange has been waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waited {
    /// Not long.
    Briefly,
    /// Long enough for the other end to show up or to finish.
    ForPeer,
    /// Long enough for everything.
    Enough,
}

/// The first byte of a message, as far as links need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) at: Nanos,
    pub(super) seq: u32,
}

impl From<Point> for Sight {
    fn from(point: Point) -> Self {
        Self { at: point.at, seq: point.seq }
    }
}

/// One exchange. First comes what it takes to forget it: thousands are forgotten each second, long after they were looked at last, and
/// every line of memory that has to be fetched for that costs as much as a hundred instructions.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Node {
    pub(super) key: WireKey,
    pub(super) socket: SocketId,
    pub(super) waiters: Vec<ExchangeId>,
    /// The exchange, from its end until it is told.
    pub(super) exchange: Option<Box<Exchange>>,
    /// What the request's headers say of its trace.
    pub(super) header: Option<Box<Header>>,
    /// Digest of the request's head.
    pub(super) content: u64,
    pub(super) port: u16,
    pub(super) client: bool,
    pub(super) kind: Kind,
    /// The server asked: it handed out a message by itself.
    pub(super) pushed: bool,
    pub(super) done: bool,
    pub(super) waited: Waited,
    /// Its header is not believed, and counted as such.
    pub(super) distrusted: bool,
    /// Whether its span is made, from the moment on when something depends on that.
    pub(super) told: Option<bool>,
    pub(super) link: Option<Link>,
    pub(super) asked: Sight,
    pub(super) answered: Option<Sight>,
    /// The same request at the other end of its connection.
    pub(super) peer: Option<ExchangeId>,
    /// Who answered the request and had, since it was read, read nothing but answers to own calls.
    pub(super) alone: Option<Thread>,
    /// Who sent the call, or read the request.
    pub(super) thread: Option<Thread>,
    /// What the caller was at when it sent the call.
    pub(super) sent: Forward,
    /// It began while others on its connection were unanswered, whose answers may come first.
    pub(super) shared: bool,
    /// Its number on its connection, where several are open at once.
    pub(super) correlation: Option<u64>,
    /// Identity of the only message that is in it.
    pub(super) message: Option<u64>,
    /// For the first call of a connection: what the caller was at when it connected.
    pub(super) connected: Option<Forward>,
    pub(super) read: Option<(Nanos, Thread)>,
    pub(super) over: Nanos,
    /// What the caller had read last when it sent the call.
    pub(super) last_read: Option<LastRead>,
    /// The request whose response followed from the call's answer.
    pub(super) backward: Option<ExchangeId>,
    /// What other nodes have to do with it.
    pub(super) meeting: Meeting,
    /// What its process's memory said when the call was sent, or the request read.
    pub(super) request_note: Option<Arc<Noted>>,
    /// The same for its answer, read or sent.
    pub(super) answer_note: Option<Arc<Noted>>,
}

/// What is left to do for a node that is forgotten.
#[derive(Debug)]
pub(super) struct Forgotten {
    pub(super) waiters: Vec<ExchangeId>,
    /// The port and the content of a request that was not finished.
    pub(super) unfinished: Option<(u16, u64)>,
    /// The trace that its header names, if that was counted as not believed.
    pub(super) distrusted: Option<[u8; 16]>,
}

/// The exchanges of the recent past.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Nodes<Node>,
    sockets: FxHashMap<SocketId, VecDeque<ExchangeId>>,
    keys: FxHashMap<WireKey, [Option<ExchangeId>; 2]>,
}

impl Graph {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn get(&self, id: ExchangeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    pub(super) fn get_mut(&mut self, id: ExchangeId) -> Option<&mut Node> {
        self.nodes.get_mut(id)
    }

    /// Adds a node and joins it with the other end of its connection, if that is known.
    pub(super) fn add(&mut self, id: ExchangeId, mut node: Node) {
        let ends = self.keys.entry(node.key).or_default();
        ends[usize::from(node.client)] = Some(id);
        node.peer = ends[usize::from(!node.client)];
        if let Some(peer) = node.peer.and_then(|peer| self.nodes.get_mut(peer)) {
            peer.peer = Some(id);
        }
        self.sockets.entry(node.socket).or_default().push_back(id);
        self.nodes.insert(id, node);
    }

    /// Nothing will come of the node any more.
    pub(super) fn settle(&mut self, id: ExchangeId) {
        self.nodes.settle(id);
    }

    /// Whether something may still come of the node.
    pub(super) fn is_open(&self, id: ExchangeId) -> bool {
        self.nodes.is_open(id)
    }

    /// Forgets a node.
    pub(super) fn remove(&mut self, id: ExchangeId) -> Option<Forgotten> {
        let node = self.nodes.get_mut(id)?;
        let (key, socket, client) = (node.key, node.socket, node.client);
        let unfinished = (!client && !node.done).then_some((node.port, node.content));
        let distrusted = node.header.as_deref().filter(|_| node.distrusted).map(|header| header.context.trace_id);
        let waiters = std::mem::take(&mut node.waiters);
        self.nodes.remove(id);
        if let Some(ids) = self.sockets.get_mut(&socket) {
            if ids.front() == Some(&id) {
                ids.pop_front();
            } else if let Some(index) = ids.iter().position(|other| *other == id) {
                ids.remove(index);
            }
            if ids.is_empty() {
                self.sockets.remove(&socket);
            }
        }
        if let Some(ends) = self.keys.get_mut(&key) {
            let end = &mut ends[usize::from(client)];
            if *end == Some(id) {
                *end = None;
            }
            if ends.iter().all(Option::is_none) {
                self.keys.remove(&key);
            }
        }
        Some(Forgotten { waiters, unfinished, distrusted })
    }

    /// Gives back the room that a burst needed.
    pub(super) fn shrink(&mut self) {
        self.nodes.shrink();
        if self.keys.capacity() > SPARSE * self.keys.len().max(FEW) {
            self.keys.shrink_to_fit();
        }
        if self.sockets.capacity() > SPARSE * self.sockets.len().max(FEW) {
            self.sockets.shrink_to_fit();
        }
    }

    /// The exchange whose request (at a server) or response (at a client) a thread had read up to `read`: the newest one on that
    /// socket that begins before it. For a server's socket the oldest unfinished one, and whether there are more.
    pub(super) fn was_read(&self, read: &LastRead) -> Option<(ExchangeId, bool)> {
        let ids = self.sockets.get(&read.socket)?;
        let covered = |id: &ExchangeId| {
            let node = self.get(*id)?;
            let first = if node.client { node.answered? } else { node.asked };
            (seq_distance(read.upto, first.seq) > 0).then_some((*id, node))
        };
        let mut recent = ids.iter().rev().take(MAX_LOOK_BACK).filter_map(covered);
        let (newest, node) = recent.next()?;
        if node.kind == Kind::Connection {
            return None;
        }
        if node.client || node.done {
            return Some((newest, false));
        }
        let older = recent.take_while(|(_, node)| !node.done).last();
        Some(older.map_or((newest, false), |(oldest, _)| (oldest, true)))
    }

    /// The newest exchanges of a socket.
    pub(super) fn on(&self, socket: SocketId, most: usize) -> impl Iterator<Item = (ExchangeId, &Node)> {
        let ids = self.sockets.get(&socket).into_iter().flat_map(move |ids| ids.iter().rev().take(most));
        ids.filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// Follows the reads of one thread back from a response: the calls between the request and its response, newest first, if
    /// the chain is whole. Otherwise nothing.
    pub(super) fn calls_before(&self, request: ExchangeId, response: &Point) -> Option<Vec<ExchangeId>> {
        let mut calls = Vec::new();
        let sender = response.sender?;
        let mut last_read = sender.last_read;
        while let Some((id, _)) = last_read.as_ref().and_then(|read| self.was_read(read)) {
            if id == request {
                return Some(calls);
            }
            match self.get(id) {
                Some(node) if node.client && node.thread == Some(sender.thread) && calls.len() < MAX_LOOK_BACK => {
                    calls.push(id);
                    last_read = node.last_read;
                }
                _ => break,
            }
        }
        None
    }
}
