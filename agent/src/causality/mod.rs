//! Which request caused which call: evidence, proofs, verdicts, ids. Pure: no clock, no I/O.
//!
//! An exchange becomes a node when its request is seen. Its verdict comes as soon as its evidence is whole and never has to be taken
//! back: at once where the caller's thread had read nothing, when the exchange is complete where backward evidence counts, at the
//! latest after [`MAX_HOLD`]. An exchange is told when it is over, its verdict is there, and the verdicts of those before it in its
//! trace are there. An orphan is better than a wrong parent: every rule that is not sure says so.
mod activation;
mod audit;
mod awaited;
mod births;
pub mod class;
mod course;
mod graph;
pub mod grounds;
pub mod ids;
pub mod link;
pub mod manner;
mod marks;
pub mod meeting;
mod messages;
mod nodes;
pub mod notes;
pub mod policy;
mod processes;
mod rounds;
mod rules;
mod tunnel;
mod units;

use crate::capture::event::{Closed, Nanos, Opened, SocketId, Thread};
use crate::exchange::{Exchange, ExchangeId, Progress};
use crate::protocol::Kind;
use crate::protocol::context::Carried;
use class::Habit;
use graph::{Graph, Node, Waited};
use grounds::{Explainer, Grounds};
use link::{Evidence, Link, Reason};
use manner::Manner;
use meeting::{Answer, Meeting, Meetings};
use messages::Messages;
use notes::{Noted, Notes};
use policy::{Header, Policy, Sdk};
use processes::Processes;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::net::IpAddr;
use tunnel::Tunnels;

/// How long after its request a server's exchange waits for its client's end to show up, and a client's for its server's to finish.
const PEER_WAIT: Nanos = 200_000_000;
/// How long an exchange that is over may wait for anything.
const MAX_HOLD: Nanos = 30_000_000_000;
/// How long an exchange is remembered after it was told: calls made for it may still come.
const MEMORY: Nanos = 5_000_000_000;
/// Exchanges remembered at once, at about 500 bytes each.
const MAX_NODES: usize = 32 * 1024;

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
    /// Last byte of the response; `None` while it goes on.
    pub over: Option<Nanos>,
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
    /// Why it has this place, if somebody asked.
    pub grounds: Option<Box<Grounds>>,
}

/// What this stage says.
#[derive(Debug)]
pub enum Verdict {
    /// An exchange is complete and has its place.
    Linked(Box<Linked>),
    /// The server's end of a database exchange is told by its client's span.
    Merged(ExchangeId),
    /// No span is made, because this process traces itself.
    Skipped(Option<u32>),
    /// A connection could not be made.
    ConnectFailed {
        /// Its socket.
        opened: Box<Opened>,
        /// How it failed.
        closed: Closed,
        /// Its place.
        link: Link,
    },
}

/// What headers said that is worth counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ends of requests whose formats name different spans or traces.
    pub context_conflict: u64,
    /// Ends of requests whose header comes from where none is believed.
    pub context_untrusted: u64,
}

/// The causal graph of one source.
pub struct Causality {
    memory: Nanos,
    policy: Policy,
    counters: Counters,
    graph: Graph,
    processes: Processes,
    messages: Messages,
    peers_due: VecDeque<(Nanos, ExchangeId)>,
    holds_due: VecDeque<(Nanos, ExchangeId)>,
    told: VecDeque<(Nanos, ExchangeId)>,
    /// Unfinished requests by the port that they came to.
    unfinished: FxHashMap<u16, Vec<ExchangeId>>,
    /// Traces named by requests that are not believed, by the number of these requests: a proxy may hand on what they carry.
    distrusted: FxHashMap<[u8; 16], u32>,
    meetings: Meetings,
    tunnels: Tunnels,
    notes: Notes,
    /// Requests that are over and wait for the note of their response.
    notes_due: VecDeque<(Nanos, ExchangeId)>,
    /// Rounds of processes, and when they are over at the latest.
    rounds_due: VecDeque<(Nanos, Thread, u64)>,
    /// Only where somebody asks why.
    explainer: Option<Explainer>,
    retry: Vec<ExchangeId>,
}

impl Causality {
    /// Nothing is known yet. `threads` says whether the source names threads at all: where it does not, nobody but the other end of
    /// its connection will ask for an exchange that was told.
    #[must_use]
    pub fn new(policy: Policy, threads: bool) -> Self {
        Self {
            policy,
            counters: Counters::default(),
            memory: if threads { MEMORY } else { PEER_WAIT },
            graph: Graph::default(),
            processes: Processes::default(),
            messages: Messages::default(),
            peers_due: VecDeque::new(),
            holds_due: VecDeque::new(),
            told: VecDeque::new(),
            unfinished: FxHashMap::default(),
            distrusted: FxHashMap::default(),
            meetings: Meetings::default(),
            tunnels: Tunnels::default(),
            notes: Notes::default(),
            notes_due: VecDeque::new(),
            rounds_due: VecDeque::new(),
            explainer: None,
            retry: Vec::new(),
        }
    }

    /// What headers said so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether `pid`'s habit was told.
    #[must_use]
    pub fn knows(&self, pid: u32) -> bool {
        self.processes.get(pid).is_some()
    }

    /// Tells the habit of a process.
    pub fn know(&mut self, pid: u32, habit: Habit) {
        self.processes.at(pid).habit = habit;
    }

    /// Tells how the notes of a process are taken: from now on they come.
    pub fn adapt(&mut self, pid: u32, manner: Manner) {
        self.processes.at(pid).manner = Some(manner);
    }

    /// Takes a note of a process's memory.
    pub fn note(&mut self, note: Noted, out: &mut dyn FnMut(Verdict)) {
        self.take_note(note);
        self.settle(out);
    }

    /// The process has ended: what it did may still be asked for, for a while.
    pub fn ended(&mut self, pid: u32) {
        self.processes.end(pid);
    }

    /// The process became another program, or another process has its number.
    pub fn forget(&mut self, pid: u32) {
        self.processes.forget(pid);
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
            Progress::Begun(begun) => {
                let id = begun.id;
                self.begin(begun);
                self.try_link(id);
            }
            Progress::Answered { id, first } => {
                if let Some(node) = self.graph.get_mut(id) {
                    node.answered = Some(first.into());
                }
                self.note_answer(id);
            }
            Progress::Done(exchange) => self.done(exchange),
            Progress::Lost(id) => self.drop_node(id),
            Progress::ConnectFailed { opened, closed } => {
                if let Some(pid) = opened.opener.map(|opener| opener.thread.pid).filter(|pid| self.skips(*pid)) {
                    out(Verdict::Skipped(Some(pid)));
                    return;
                }
                let (trace_id, span_id) = ids::of_failed_connect(opened.socket.0, opened.at);
                let reason =
                    if opened.opener.is_some_and(|opener| self.is_busy(opener.thread, opened.at)) { Reason::Handoff } else { Reason::Root };
                let link = self.link_failed(&opened, trace_id, span_id, reason);
                out(Verdict::ConnectFailed { opened: Box::new(opened), closed, link });
            }
        }
        self.settle(out);
    }

    /// Takes what other nodes say of an exchange that [`meeting::Letter::Ask`] named.
    pub fn answer(&mut self, id: ExchangeId, answer: Answer, out: &mut dyn FnMut(Verdict)) {
        self.answered(id, answer);
        self.settle(out);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Nanos, out: &mut dyn FnMut(Verdict)) {
        self.meet_others(now);
        while let Some((_, id)) = self.notes_due.pop_front_if(|(due, _)| *due <= now) {
            self.note_missing(id);
        }
        self.end_rounds(now);
        self.notes.tick(now);
        self.messages.tick(now, &mut self.retry);
        while self.peers_due.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, id)) = self.peers_due.pop_front().filter(|(_, id)| self.graph.is_open(*id)) {
                self.waited(id, Waited::ForPeer);
            }
        }
        // What was told goes before what still waits for its link.
        self.forget_told(now);
        while let Some((due, id)) = self.holds_due.front().copied() {
            let held = self.graph.is_open(id);
            if held && due > now && self.graph.len() <= MAX_NODES {
                break;
            }
            self.holds_due.pop_front();
            if held {
                self.waited(id, Waited::Enough);
            }
        }
        self.settle(out);
        self.forget_told(now);
        self.settle(out);
        self.processes.tick(now);
        self.graph.shrink();
        for queue in [&mut self.peers_due, &mut self.holds_due, &mut self.told] {
            if queue.capacity() > graph::SPARSE * queue.len().max(graph::FEW) {
                queue.shrink_to_fit();
            }
        }
    }

    /// The input has ended: everything that is over is told.
    pub fn finish(&mut self, out: &mut dyn FnMut(Verdict)) {
        while let Some((_, id)) = self.peers_due.pop_front() {
            self.waited(id, Waited::ForPeer);
        }
        while let Some((_, id)) = self.notes_due.pop_front() {
            self.note_missing(id);
        }
        self.end_rounds(Nanos::MAX);
        self.messages.finish(&mut self.retry);
        self.settle(out);
        while let Some((_, id)) = self.holds_due.pop_front() {
            self.waited(id, Waited::Enough);
            self.settle(out);
        }
    }

    /// Forgets exchanges that were told long ago, or before others where there are too many.
    fn forget_told(&mut self, now: Nanos) {
        while self.told.front().is_some_and(|(due, _)| *due <= now) || self.graph.len() > MAX_NODES {
            let Some((_, id)) = self.told.pop_front() else { break };
            self.drop_node(id);
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
        let link = match node {
            Node { pushed: true, .. } => self.link_pushed(id),
            Node { client: true, .. } => self.link_call(id),
            _ => self.link_request(id),
        };
        if link.is_some() {
            self.explain_link(id);
        }
        if let (Some(mut link), Some(node)) = (link, self.graph.get_mut(id)) {
            link.conflict = node.header.iter().flat_map(|header| &header.others).map(|other| other.format).collect();
            if node.meeting == Meeting::Told {
                self.meetings.placed(node.key, &link);
            }
            if node.kind == Kind::Publish {
                self.messages.placed(id, node.asked.at, &link);
            }
            node.link = Some(link);
            self.tunnels.forget(id);
            let mut waiters = std::mem::take(&mut node.waiters);
            if let Some(peer) = node.peer {
                waiters.push(peer);
            }
            self.retry.append(&mut waiters);
            self.retry.push(id);
        }
    }

    fn wait_for(&mut self, other: ExchangeId, id: ExchangeId) {
        if let Some(node) = self.graph.get_mut(other).filter(|node| !node.waiters.contains(&id)) {
            node.waiters.push(id);
        }
    }

    /// Tells an exchange that is over and has its link.
    fn try_tell(&mut self, id: ExchangeId, out: &mut dyn FnMut(Verdict)) {
        if self.graph.get(id).is_none_or(|node| node.exchange.is_none() || node.link.is_none()) {
            return;
        }
        let Some(givers) = self.givers(id) else { return };
        let Some(node) = self.graph.get(id) else { return };
        let Some(link) = &node.link else { return };
        let peer = node.peer.and_then(|peer| self.graph.get(peer));
        if node.client && node.waited == Waited::Briefly && peer.is_some_and(|server| !server.done) {
            return;
        }
        // Each message is told once: by its consumer, not by the broker.
        let merged = if node.pushed { node.client } else { !node.client && peer.is_some() && node.kind != Kind::Service };
        let pid = node.thread.or(node.read.map(|(_, thread)| thread)).map(|thread| thread.pid);
        let peer = peer.map(|peer| Peer {
            pid: peer.thread.map(|thread| thread.pid),
            socket: peer.socket,
            asked: peer.asked.at,
            read: peer.read.map(|(at, _)| at),
            answered: peer.answered.map(|point| point.at),
            over: peer.done.then_some(peer.over),
        });
        let (mut link, over) = (link.clone(), node.over);
        link.links.extend(givers);
        let orphan = node.client && link.evidence == Evidence::None(Reason::Root);
        if let Some(caller) = node.thread.filter(|thread| orphan && self.is_busy(*thread, node.asked.at)) {
            // In such a runtime it was no hand-over that one could have followed.
            let migrating =
                self.processes.get(caller.pid).is_some_and(|process| process.habit == Habit::Migrating && process.manner.is_none());
            link.evidence = Evidence::None(if migrating { Reason::NoAdapter } else { Reason::Handoff });
        }
        let told = self.is_told(id, pid);
        let grounds = self.explain_told(id);
        let Some(exchange) = self.graph.get_mut(id).and_then(|node| node.exchange.take()) else { return };
        self.graph.settle(id);
        self.told.push_back((over.saturating_add(self.memory), id));
        out(match (merged, told) {
            (true, _) => Verdict::Merged(id),
            (false, false) => Verdict::Skipped(pid),
            (false, true) => Verdict::Linked(Box::new(Linked { exchange, link, pid, peer, grounds })),
        });
    }

    /// The exchange has waited so long that some of what it waits for is not waited for any more.
    fn waited(&mut self, id: ExchangeId, waited: Waited) {
        if let Some(node) = self.graph.get_mut(id) {
            node.waited = node.waited.max(waited);
            self.retry.push(id);
        }
    }

    /// What a request's headers come to, and whether they are believed: `from` is where it came from, `None` a process of this node.
    fn header(&mut self, carried: &Carried, client: bool, from: Option<IpAddr>) -> Option<Box<Header>> {
        let mut header = self.policy.header(carried, from)?;
        // A process of this node is believed, but it may hand on what came from elsewhere.
        header.trusted &= !client || !self.distrusted.contains_key(&header.context.trace_id);
        if !header.trusted && !client {
            *self.distrusted.entry(header.context.trace_id).or_default() += 1;
        }
        self.counters.context_conflict += u64::from(!header.others.is_empty());
        self.counters.context_untrusted += u64::from(!header.trusted);
        Some(header)
    }

    /// Whether no spans are made for a process, because it makes its own.
    fn skips(&self, pid: u32) -> bool {
        self.policy.sdk == Sdk::Skip && self.processes.get(pid).is_some_and(|process| process.sdk)
    }

    /// Whether the span of an exchange of `pid` is made. The first answer stands: a process may turn out to trace itself only after
    /// another span was hung below this one.
    fn is_told(&mut self, id: ExchangeId, pid: Option<u32>) -> bool {
        let skips = pid.is_some_and(|pid| self.skips(pid));
        self.graph.get_mut(id).is_none_or(|node| *node.told.get_or_insert(!skips))
    }
}
