//! Which request caused which call: evidence, proofs, verdicts, ids. Pure: no clock, no I/O.
//!
//! An exchange becomes a node when its request is seen. Its verdict comes as soon as its evidence is whole and never has to be taken
//! back: at once where the caller's thread had read nothing, when the exchange is complete where backward evidence counts, at the
//! latest after [`MAX_HOLD`]. An exchange is told when it is over, its verdict is there, and the verdicts of those before it in its
//! trace are there. An orphan is better than a wrong parent: every rule that is not sure says so.
pub mod class;
mod graph;
pub mod ids;
pub mod link;

use crate::capture::event::{Nanos, Sender, SocketId, Thread};
use crate::exchange::{Exchange, ExchangeId, Progress};
use crate::flow::stream::Point;
use crate::protocol::Kind;
use crate::protocol::context::TraceContext;
use class::{Class, Habit, Process};
use graph::{Candidate, Graph, Node};
use ids::WireKey;
use link::{Evidence, Link, Reason};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// How long after its request a server's exchange waits for its client's end to show up, and a client's for its server's to finish.
const PEER_WAIT: Nanos = 200_000_000;
/// How long an exchange that is over may wait for anything.
const MAX_HOLD: Nanos = 30_000_000_000;
/// How long an exchange is remembered after it was told: calls made for it may still come.
const MEMORY: Nanos = 5_000_000_000;
/// Exchanges remembered at once, at about 500 bytes each.
const MAX_NODES: usize = 32 * 1024;
/// Processes remembered at once: more than run on a node.
const MAX_PROCESSES: usize = 16 * 1024;

/// The times of one end, for the span of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process, if known.
    pub pid: Option<u32>,
    /// Its socket.
    pub socket: SocketId,
    /// First byte of the request.
    pub asked: Nanos,
    /// Its program read the request (server).
    pub read: Option<Nanos>,
    /// First byte of the response.
    pub answered: Option<Nanos>,
    /// Last byte of the response.
    pub over: Nanos,
}

/// An exchange with its place in a trace.
#[derive(Debug)]
pub struct Linked {
    /// The exchange.
    pub exchange: Box<Exchange>,
    /// Its place.
    pub link: Link,
    /// Its process, if known.
    pub pid: Option<u32>,
    /// The other end, if it was seen here.
    pub peer: Option<Peer>,
}

/// What this stage says.
#[derive(Debug)]
pub enum Verdict {
    /// An exchange is complete and has its place.
    Linked(Box<Linked>),
    /// The server's end of a database exchange is told by its client's span.
    Merged(ExchangeId),
    /// A connection could not be made.
    ConnectFailed {
        /// Its socket.
        opened: crate::capture::event::Opened,
        /// How it failed.
        closed: crate::capture::event::Closed,
        /// Its place.
        link: Link,
    },
}

/// The causal graph of one source.
#[derive(Default)]
pub struct Causality {
    graph: Graph,
    processes: FxHashMap<u32, Process>,
    peers_due: VecDeque<(Nanos, ExchangeId)>,
    holds_due: VecDeque<(Nanos, ExchangeId)>,
    told: VecDeque<(Nanos, ExchangeId)>,
    /// Unfinished requests by the port that they came to.
    unfinished: FxHashMap<u16, Vec<ExchangeId>>,
    retry: Vec<ExchangeId>,
}

/// What the rules say of a call.
enum Ruling {
    Wait(Option<ExchangeId>),
    Owner { owner: ExchangeId, evidence: Evidence, provisional: bool },
    Orphan(Reason),
}

impl Causality {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `pid`'s habit was told.
    #[must_use]
    pub fn knows(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// Tells the habit of a process.
    pub fn know(&mut self, pid: u32, habit: Habit) {
        if self.processes.len() >= MAX_PROCESSES {
            self.processes.clear();
        }
        self.processes.entry(pid).or_default().habit = habit;
    }

    /// The process ended or became another program.
    pub fn forget(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// Exchanges held now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.graph.len()
    }

    /// Whether no exchange is held now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.graph.len() == 0
    }

    /// Takes what an exchange came to.
    pub fn progress(&mut self, progress: Progress, out: &mut dyn FnMut(Verdict)) {
        match progress {
            Progress::Begun { id, socket, client, asked, opener, context, port } => {
                self.begin(id, socket, client, asked, opener, context, port);
                self.try_link(id);
            }
            Progress::Answered { id, first } => {
                if let Some(node) = self.graph.get_mut(id) {
                    node.answered = Some(first);
                }
            }
            Progress::Done(exchange) => self.done(exchange),
            Progress::Lost(id) => self.drop_node(id),
            Progress::ConnectFailed { opened, closed } => {
                let (trace_id, span_id) = ids::of_failed_connect(opened.socket.0, opened.at);
                let reason = if opened.opener.is_some_and(|opener| self.is_busy(opener.thread, opened.at)) { Reason::Handoff } else { Reason::Root };
                let candidate = opened.opener.and_then(|opener| self.forward(&opener));
                let link = self.link_failed(candidate, opened.opener, trace_id, span_id, reason);
                out(Verdict::ConnectFailed { opened, closed, link });
            }
        }
        self.settle(out);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Nanos, out: &mut dyn FnMut(Verdict)) {
        while self.peers_due.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, id)) = self.peers_due.pop_front() {
                if let Some(node) = self.graph.get_mut(id) {
                    node.alone = true;
                }
                self.retry.push(id);
            }
        }
        while let Some((due, id)) = self.holds_due.front().copied() {
            let held = self.graph.get(id).is_some_and(|node| node.exchange.is_some());
            if held && due > now && self.graph.len() <= MAX_NODES {
                break;
            }
            self.holds_due.pop_front();
            self.expire(id);
        }
        self.settle(out);
        while self.told.front().is_some_and(|(due, _)| *due <= now) || self.graph.len() > MAX_NODES {
            let Some((_, id)) = self.told.pop_front() else { break };
            self.drop_node(id);
        }
        self.settle(out);
    }

    /// The input has ended: everything that is over is told.
    pub fn finish(&mut self, out: &mut dyn FnMut(Verdict)) {
        while let Some((_, id)) = self.peers_due.pop_front() {
            if let Some(node) = self.graph.get_mut(id) {
                node.alone = true;
            }
            self.retry.push(id);
        }
        self.settle(out);
        while let Some((_, id)) = self.holds_due.pop_front() {
            self.expire(id);
            self.settle(out);
        }
    }

    fn begin(
        &mut self,
        id: ExchangeId,
        socket: SocketId,
        client: bool,
        asked: Point,
        opener: Option<Sender>,
        context: Option<Box<TraceContext>>,
        port: u16,
    ) {
        let sender = asked.sender.or(opener).filter(|_| client);
        let candidate = sender.and_then(|sender| self.forward(&sender));
        let connect = opener.map(|opener| self.forward(&opener));
        let node = Node {
            client,
            key: WireKey::from(asked),
            socket,
            port,
            asked,
            context,
            answered: None,
            thread: sender.map(|sender| sender.thread),
            last_read: sender.and_then(|sender| sender.last_read),
            candidate,
            connect,
            backward: None,
            read: None,
            done: false,
            over: asked.at,
            alone: false,
            overdue: false,
            peer: None,
            link: None,
            waiters: Vec::new(),
            exchange: None,
        };
        self.graph.add(id, Box::new(node));
        if !client {
            self.unfinished.entry(port).or_default().push(id);
        }
        self.peers_due.push_back((asked.at.saturating_add(PEER_WAIT), id));
        if let Some(peer) = self.graph.get(id).and_then(|node| node.peer) {
            self.retry.push(peer);
        }
    }

    /// Forward evidence: the request that the sender's thread had read last, or the one that its last answer belonged to.
    fn forward(&self, sender: &Sender) -> Option<Candidate> {
        let (id, ambiguous) = self.graph.was_read(sender.last_read.as_ref()?)?;
        let node = self.graph.get(id)?;
        let candidate = if node.client { node.connect.unwrap_or(node.candidate)? } else { Candidate { owner: id, ambiguous } };
        let open = self.graph.get(candidate.owner).is_some_and(|owner| !owner.done);
        open.then_some(candidate)
    }

    fn done(&mut self, exchange: Box<Exchange>) {
        let id = exchange.id;
        let over = exchange.over;
        let Some(node) = self.graph.get_mut(id) else { return };
        node.done = true;
        node.over = over;
        node.answered = exchange.answered.or(node.answered);
        node.read = exchange.read.map(|read| (read.at, read.thread));
        let client = node.client;
        let (asked, socket, port, read) = (node.asked.at, node.socket, node.port, node.read);
        let answer = exchange.answered;
        if !client {
            node.thread = read.map(|(_, thread)| thread).or_else(|| answer.and_then(|answer| answer.sender).map(|sender| sender.thread));
        }
        let thread = node.thread;
        node.exchange = Some(exchange);
        let mut waiters = std::mem::take(&mut node.waiters);
        self.retry.append(&mut waiters);
        self.retry.push(id);
        self.holds_due.push_back((over.saturating_add(MAX_HOLD), id));
        if !client {
            self.served(id, socket, port, asked, over, read, thread, answer.as_ref());
        }
    }

    /// A server's exchange is over: what it teaches of its process and of the calls made for it.
    #[allow(clippy::too_many_arguments, reason = "they are the facts of one exchange, taken apart to end the borrow of its node")]
    fn served(
        &mut self,
        id: ExchangeId,
        socket: SocketId,
        port: u16,
        asked: Nanos,
        over: Nanos,
        read: Option<(Nanos, Thread)>,
        thread: Option<Thread>,
        answer: Option<&Point>,
    ) {
        if let Some(ids) = self.unfinished.get_mut(&port) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.unfinished.remove(&port);
            }
        }
        let Some(thread) = thread else { return };
        let answerer = answer.and_then(|answer| answer.sender).map(|sender| sender.thread);
        let process = self.processes.entry(thread.pid).or_default();
        process.serves(port);
        process.worked(socket, asked, over, read, answerer);
        if let Some(answer) = answer {
            for call in self.graph.calls_before(id, answer) {
                if let Some(node) = self.graph.get_mut(call) {
                    node.backward = Some(id);
                }
                self.retry.push(call);
            }
        }
    }

    /// Gives links and tells exchanges until nothing more follows.
    fn settle(&mut self, out: &mut dyn FnMut(Verdict)) {
        while let Some(id) = self.retry.pop() {
            self.try_link(id);
            self.try_tell(id, out);
        }
    }

    /// Gives the exchange its link, if its evidence is whole.
    fn try_link(&mut self, id: ExchangeId) {
        let Some(node) = self.graph.get(id) else { return };
        if node.link.is_some() {
            return;
        }
        let link = if node.client { self.link_call(id) } else { self.link_request(id) };
        if let (Some(link), Some(node)) = (link, self.graph.get_mut(id)) {
            node.link = Some(link);
            let mut waiters = std::mem::take(&mut node.waiters);
            if let Some(peer) = node.peer {
                waiters.push(peer);
            }
            self.retry.append(&mut waiters);
            self.retry.push(id);
        }
    }

    /// The link of a request at its server: the client's span if that is seen here, else its header, else none.
    fn link_request(&mut self, id: ExchangeId) -> Option<Link> {
        let node = self.graph.get(id)?;
        let span_id = node.key.server_span();
        if let Some(client) = node.peer.and_then(|peer| self.graph.get(peer)) {
            let Some(link) = &client.link else {
                if !node.overdue {
                    return None;
                }
                return Some(root(node.key, span_id, Reason::Timeout));
            };
            let parent = Some((link.span_id, true));
            return Some(Link { span_id, parent, evidence: Evidence::Wire, provisional: false, ..link.clone() });
        }
        if !node.alone && !node.overdue {
            return None;
        }
        Some(node.context.as_deref().map_or_else(|| root(node.key, span_id, Reason::Root), |context| from_header(context, span_id)))
    }

    /// The link of a call at its client: by the rules of its process, else its header, else none.
    fn link_call(&mut self, id: ExchangeId) -> Option<Link> {
        let node = self.graph.get(id)?;
        let span_id = node.key.client_span();
        let passed_on = |owner: ExchangeId| {
            // A proxy hands on the header that it received: then the proxy's own span is the nearer parent.
            let theirs = self.graph.get(owner).and_then(|owner| owner.context.as_deref());
            theirs.is_some_and(|theirs| node.context.as_deref().is_some_and(|ours| ours.trace_id == theirs.trace_id && ours.parent == theirs.parent))
        };
        let by_header = node.context.as_deref().map(|context| from_header(context, span_id));
        let candidate = node.connect.flatten().or(node.candidate);
        if by_header.is_some() && !candidate.is_some_and(|candidate| passed_on(candidate.owner)) {
            return by_header;
        }
        match self.rule(node) {
            Ruling::Owner { owner, evidence, provisional } => match self.graph.get(owner).map(|owner| owner.link.as_ref()) {
                Some(Some(link)) => {
                    let parent = Some((link.span_id, false));
                    Some(Link { span_id, parent, evidence, provisional, ..link.clone() })
                }
                Some(None) if !node.overdue => {
                    self.wait_for(owner, id);
                    None
                }
                _ => by_header.or(Some(root(node.key, span_id, Reason::Timeout))),
            },
            Ruling::Wait(_) if node.overdue => by_header.or(Some(root(node.key, span_id, Reason::Timeout))),
            Ruling::Wait(other) => {
                if let Some(other) = other {
                    self.wait_for(other, id);
                }
                None
            }
            Ruling::Orphan(reason) => by_header.or(Some(root(node.key, span_id, reason))),
        }
    }

    /// What the rules of its process say of a call.
    fn rule(&self, node: &Node) -> Ruling {
        let Some(thread) = node.thread else { return Ruling::Orphan(Reason::Gap) };
        let process = self.processes.get(&thread.pid);
        let habit = process.map(|process| process.habit).unwrap_or_default();
        // A loop reads for others between connecting and sending; a thread does not, and may use a connection that it opened before.
        let candidate = if habit == Habit::IoLoop { node.connect.unwrap_or(node.candidate) } else { node.candidate };
        // No evidence can come later. Whether the call was handed over is seen when it is told.
        let Some(candidate) = candidate else { return Ruling::Orphan(Reason::Root) };
        let owner = candidate.owner;
        match (habit, process.map_or(Class::Unproven, Process::class)) {
            (Habit::Migrating, _) | (Habit::Open | Habit::Doubtful, Class::Other) | (Habit::Doubtful, Class::Unproven) => {
                Ruling::Orphan(Reason::NoAdapter)
            }
            _ if candidate.ambiguous => Ruling::Orphan(Reason::Concurrent),
            (Habit::IoLoop, _) => {
                let evidence = if node.connect.is_some() { Evidence::Connect } else { Evidence::Loop };
                Ruling::Owner { owner, evidence, provisional: false }
            }
            (Habit::Open | Habit::Doubtful, Class::ThreadPerRequest) => Ruling::Owner { owner, evidence: Evidence::Thread, provisional: false },
            (Habit::Open, Class::Unproven) => self.rule_unproven(node, owner, thread),
        }
    }

    /// Before a class is proven, a call belongs to the only request in flight on its thread, if forward and backward evidence agree.
    fn rule_unproven(&self, node: &Node, owner: ExchangeId, thread: Thread) -> Ruling {
        let Some(request) = self.graph.get(owner) else { return Ruling::Orphan(Reason::Gap) };
        if !request.done {
            return Ruling::Wait(Some(owner));
        }
        if !node.done {
            return Ruling::Wait(None);
        }
        // Another request to the same port that is not finished may be on the same thread.
        let others = self.unfinished.get(&request.port).into_iter().flatten();
        let rival = others.copied().find(|other| self.graph.get(*other).is_some_and(|other| other.asked.at < node.asked.at));
        if let Some(rival) = rival {
            return if node.overdue { Ruling::Orphan(Reason::Concurrent) } else { Ruling::Wait(Some(rival)) };
        }
        if self.processes.get(&thread.pid).is_some_and(|process| process.working(thread.tid, node.asked.at) > 1) {
            return Ruling::Orphan(Reason::Concurrent);
        }
        match node.backward {
            Some(backward) if backward == owner => Ruling::Owner { owner, evidence: Evidence::Thread, provisional: true },
            Some(_) => Ruling::Orphan(Reason::Conflict),
            None => Ruling::Orphan(Reason::Handoff),
        }
    }

    /// Whether the thread's process was working on a request at `at`, as far as is known.
    fn is_busy(&self, thread: Thread, at: Nanos) -> bool {
        let Some(process) = self.processes.get(&thread.pid) else { return false };
        let unfinished = process.ports.iter().filter_map(|port| self.unfinished.get(port)).flatten();
        let mut began = unfinished.filter_map(|id| self.graph.get(*id)).map(|node| node.asked.at);
        process.was_busy(at) || began.any(|began| began < at)
    }

    fn wait_for(&mut self, other: ExchangeId, id: ExchangeId) {
        if let Some(node) = self.graph.get_mut(other).filter(|node| !node.waiters.contains(&id)) {
            node.waiters.push(id);
        }
    }

    /// Tells an exchange that is over and has its link.
    fn try_tell(&mut self, id: ExchangeId, out: &mut dyn FnMut(Verdict)) {
        let Some(node) = self.graph.get(id) else { return };
        let (Some(exchange), Some(link)) = (&node.exchange, &node.link) else { return };
        let peer = node.peer.and_then(|peer| self.graph.get(peer));
        if let (true, Some(server)) = (node.client, peer) {
            if !server.done && !node.alone && !node.overdue {
                return;
            }
        }
        let merged = !node.client && peer.is_some() && exchange.request.kind == Kind::Database;
        let pid = node.thread.or(node.read.map(|(_, thread)| thread)).map(|thread| thread.pid);
        let peer = peer.map(|peer| Peer {
            pid: peer.thread.map(|thread| thread.pid),
            socket: peer.socket,
            asked: peer.asked.at,
            read: peer.read.map(|(at, _)| at),
            answered: peer.answered.map(|point| point.at),
            over: peer.over,
        });
        let (mut link, over) = (link.clone(), node.over);
        let caller = node.thread.filter(|thread| node.client && self.is_busy(*thread, node.asked.at));
        if let (Evidence::None(Reason::Root), Some(caller)) = (link.evidence, caller) {
            // In such a runtime it was no hand-over that one could have followed.
            let migrating = self.processes.get(&caller.pid).is_some_and(|process| process.habit == Habit::Migrating);
            link.evidence = Evidence::None(if migrating { Reason::NoAdapter } else { Reason::Handoff });
        }
        let Some(exchange) = self.graph.get_mut(id).and_then(|node| node.exchange.take()) else { return };
        self.told.push_back((over.saturating_add(MEMORY), id));
        out(if merged { Verdict::Merged(id) } else { Verdict::Linked(Box::new(Linked { exchange, link, pid, peer })) });
    }

    /// The exchange has waited long enough: those before it in its trace are not waited for any more either.
    fn expire(&mut self, id: ExchangeId) {
        if let Some(node) = self.graph.get_mut(id).filter(|node| node.exchange.is_some()) {
            node.overdue = true;
            self.retry.push(id);
        }
    }

    fn drop_node(&mut self, id: ExchangeId) {
        if let Some(mut node) = self.graph.remove(id) {
            if !node.done && !node.client {
                if let Some(ids) = self.unfinished.get_mut(&node.port) {
                    ids.retain(|other| *other != id);
                }
            }
            self.retry.append(&mut node.waiters);
        }
    }

    /// The link of a connect that failed: that of a call, as far as forward evidence alone decides.
    fn link_failed(
        &self,
        candidate: Option<Candidate>,
        opener: Option<Sender>,
        trace_id: [u8; 16],
        span_id: [u8; 8],
        reason: Reason,
    ) -> Link {
        let process = opener.and_then(|opener| self.processes.get(&opener.thread.pid));
        let trusted = process.is_some_and(|process| match process.habit {
            Habit::IoLoop => true,
            Habit::Open | Habit::Doubtful => process.class() == Class::ThreadPerRequest,
            Habit::Migrating => false,
        });
        let owner = candidate.filter(|candidate| trusted && !candidate.ambiguous).and_then(|candidate| self.graph.get(candidate.owner));
        match owner.and_then(|owner| owner.link.as_ref()) {
            Some(link) => {
                Link { span_id, parent: Some((link.span_id, false)), evidence: Evidence::Connect, provisional: false, ..link.clone() }
            }
            None => Link { trace_id, span_id, parent: None, flags: 1, state: None, evidence: Evidence::None(reason), provisional: false },
        }
    }
}

/// A span that begins a trace.
fn root(key: WireKey, span_id: [u8; 8], reason: Reason) -> Link {
    Link { trace_id: key.trace(), span_id, parent: None, flags: 1, state: None, evidence: Evidence::None(reason), provisional: false }
}

/// A span whose parent the request named.
fn from_header(context: &TraceContext, span_id: [u8; 8]) -> Link {
    Link {
        trace_id: context.trace_id,
        span_id,
        parent: Some((context.parent, true)),
        flags: context.flags,
        state: context.state.clone(),
        evidence: Evidence::Header(context.format),
        provisional: false,
    }
}
