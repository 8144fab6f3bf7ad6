//! The rules: which evidence decides, by the class of the process that made the call.
//!
//! Each of the process's habits and classes has one arm in [`Causality::rule`]; a runtime's own rule will be another. What is not sure
//! waits, and what stays unsure is an orphan with its reason.
use super::Causality;
use super::class::{Class, Habit, Process};
use super::graph::{Forward, Node, Waited};
use super::link::{Cross, Evidence, Link, Reason, SpanLink};
use super::manner::Manner;
use super::meeting::Meeting;
use crate::capture::event::{Nanos, Opened, Thread};
use crate::exchange::ExchangeId;
use crate::protocol::Kind;

/// What the rules say of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It is too early to say; something may change when that exchange does.
    Wait(Option<ExchangeId>),
    /// It was made for that request.
    Owner { owner: ExchangeId, evidence: Evidence, provisional: bool },
    /// There is no request that it was certainly made for.
    Orphan(Reason),
}

impl Causality {
    /// The link of a request at its server: the client's span if that is made here, else its header, else what other nodes know, else
    /// none. What a header decides is drawn in `LINKS.md`.
    pub(super) fn link_request(&mut self, id: ExchangeId) -> Option<Link> {
        let node = self.graph.get(id)?;
        let peer = node.peer.and_then(|peer| Some((peer, self.graph.get(peer)?.thread.map(|thread| thread.pid))));
        let told = peer.map(|(peer, pid)| self.is_told(peer, pid));
        let node = self.graph.get(id)?;
        let span_id = node.key.server_span();
        let root = |reason| Link::root(node.key.trace(), span_id, reason);
        if let Some(client) = node.peer.and_then(|peer| self.graph.get(peer)) {
            if told == Some(false) {
                // Its own SDK tells of the call, if it knows of it. Here the client's end says whether the header is believed.
                return Some(client.header.as_deref().map_or_else(|| root(Reason::Sdk), |header| header.place(root(Reason::Root))));
            }
            let Some(link) = &client.link else {
                return (node.waited == Waited::Enough).then(|| root(Reason::Timeout));
            };
            return Some(link.below(span_id, true, Evidence::Wire));
        }
        let is_open = match &node.meeting {
            Meeting::Met(_) => false,
            Meeting::Asking(_) => node.waited < Waited::Enough,
            _ => node.waited == Waited::Briefly,
        };
        if is_open {
            return None;
        }
        let place = node.header.as_deref().map_or_else(|| root(Reason::Root), |header| header.place(root(Reason::Root)));
        Some(self.link_met(id).unwrap_or(place))
    }

    /// The link of a call at its client: by its header if that names a span of its own, else by the rules of its process, else by the
    /// header that it hands on, else none.
    pub(super) fn link_call(&mut self, id: ExchangeId) -> Option<Link> {
        self.learn_birth(id);
        let node = self.graph.get(id)?;
        let span_id = node.key.client_span();
        let header = node.header.as_deref();
        let candidate = node.connected.and_then(Forward::candidate).or(node.sent.candidate());
        let theirs = candidate.and_then(|candidate| self.graph.get(candidate.owner)).map(|owner| owner.header.as_deref());
        // At once, where nothing that comes later could add to it: a span of the same trace as the request's, or no request at all.
        if let Some(header) = header.filter(|header| header.trusted && self.tunnels.same(id).is_none())
            && theirs.is_none_or(|theirs| {
                theirs.is_some_and(|theirs| header.context.trace_id == theirs.context.trace_id && !header.repeats(theirs))
            })
        {
            return Some(header.place(Link::root(node.key.trace(), span_id, Reason::Root)));
        }
        let otherwise = |reason| {
            let root = Link::root(node.key.trace(), span_id, reason);
            Some(match header {
                Some(header) => header.place(root),
                None => root,
            })
        };
        match self.rule_tunnel(id, node, self.rule(id, node)) {
            Ruling::Owner { owner: request, evidence, provisional } => {
                let owner = self.told_by(request);
                match self.graph.get(owner).map(|owner| (&owner.link, owner.header.as_deref())) {
                    Some((Some(link), theirs)) => {
                        let made_by_another =
                            header.filter(|header| header.trusted && !theirs.is_some_and(|theirs| header.repeats(theirs)));
                        let place = match made_by_another {
                            Some(header) => met(header.place(Link::root(node.key.trace(), span_id, Reason::Root)), link),
                            None => Link { provisional, ..link.below(span_id, owner != request, evidence) },
                        };
                        let thread = if owner == request { node.thread } else { self.graph.get(owner).and_then(|client| client.thread) };
                        if let (Evidence::Tunnel, Some(request)) = (evidence, self.graph.get(request)) {
                            self.tunnels.pair(node.socket, request.socket);
                        }
                        self.is_told(owner, thread.map(|thread| thread.pid));
                        Some(place)
                    }
                    Some((None, _)) if node.waited < Waited::Enough => {
                        self.wait_for(owner, id);
                        None
                    }
                    _ => otherwise(Reason::Timeout),
                }
            }
            Ruling::Wait(_) if node.waited == Waited::Enough => otherwise(Reason::Timeout),
            Ruling::Wait(other) => {
                if let Some(other) = other {
                    self.wait_for(other, id);
                }
                None
            }
            Ruling::Orphan(reason) => otherwise(reason),
        }
    }

    /// The exchange whose span tells of a request: that of the client's end, for a request to a database of which both are seen.
    fn told_by(&self, request: ExchangeId) -> ExchangeId {
        self.graph.get(request).filter(|node| node.kind != Kind::Service && !node.pushed).and_then(|node| node.peer).unwrap_or(request)
    }

    /// What the rules of its process say of a call.
    fn rule(&self, id: ExchangeId, node: &Node) -> Ruling {
        let Some(thread) = node.thread else { return Ruling::Orphan(Reason::Gap) };
        let process = self.processes.get(thread.pid);
        let habit = process.map(|process| process.habit).unwrap_or_default();
        if let Some(process) = process
            && let Some(manner) = process.manner
        {
            let ruling = match manner {
                Manner::Units(unit) => self.rule_units(node, process, unit),
                Manner::Rounds | Manner::LearntRounds => self.rule_rounds(id, node, process, manner),
            };
            // Where threads may decide, they do if the process's memory does not.
            if habit != Habit::Open || !matches!(ruling, Ruling::Orphan(_)) {
                return ruling;
            }
        }
        // A loop reads for others between connecting and sending; a thread does not, and may use a connection that it opened before.
        let forward = if habit == Habit::IoLoop { node.connected.unwrap_or(node.sent) } else { node.sent };
        let candidate = match forward {
            Forward::Owner(candidate) => candidate,
            Forward::Unseen => return Ruling::Orphan(Reason::Gap),
            // No evidence can come later. Whether the call was handed over is seen when it is told.
            Forward::Nothing => return Ruling::Orphan(Reason::Root),
        };
        let owner = candidate.owner;
        match (habit, process.map_or(Class::Unproven, Process::class)) {
            (Habit::Migrating, _) | (Habit::Open | Habit::Doubtful, Class::Other) | (Habit::Doubtful, Class::Unproven) => {
                Ruling::Orphan(Reason::NoAdapter)
            }
            _ if candidate.ambiguous => Ruling::Orphan(Reason::Concurrent),
            (Habit::IoLoop, _) => {
                let evidence = if node.connected.is_some() { Evidence::Connect } else { Evidence::Loop };
                Ruling::Owner { owner, evidence, provisional: false }
            }
            (Habit::Open | Habit::Doubtful, Class::ThreadPerRequest) => {
                Ruling::Owner { owner, evidence: Evidence::Thread, provisional: false }
            }
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
            return if node.waited == Waited::Enough { Ruling::Orphan(Reason::Concurrent) } else { Ruling::Wait(Some(rival)) };
        }
        if self.processes.get(thread.pid).is_some_and(|process| process.working(thread.tid, node.asked.at) > 1) {
            return Ruling::Orphan(Reason::Concurrent);
        }
        // Who reads the answer to a datagram is not told: the thread was alone with the request.
        let alone = (node.socket.is_conversation() && request.alone == Some(thread)).then_some(owner);
        match node.backward.or(alone) {
            Some(backward) if backward == owner => Ruling::Owner { owner, evidence: Evidence::Thread, provisional: true },
            Some(_) => Ruling::Orphan(Reason::Conflict),
            None => Ruling::Orphan(Reason::Handoff),
        }
    }

    /// Whether the thread's process was working on a request at `at`, as far as is known.
    pub(super) fn is_busy(&self, thread: Thread, at: Nanos) -> bool {
        let Some(process) = self.processes.get(thread.pid) else { return false };
        let unfinished = process.ports.iter().filter_map(|port| self.unfinished.get(port)).flatten();
        let mut began = unfinished.filter_map(|id| self.graph.get(*id)).map(|node| node.asked.at);
        process.was_busy(at) || began.any(|began| began < at)
    }

    /// The link of a connect that failed: that of a call, as far as forward evidence alone decides.
    pub(super) fn link_failed(&mut self, socket: &Opened, trace_id: [u8; 16], span_id: [u8; 8], reason: Reason) -> Link {
        let opener = socket.opener;
        let candidate = opener.and_then(|opener| self.forward(&opener, socket.at).candidate());
        let process = opener.and_then(|opener| self.processes.get(opener.thread.pid));
        let trusted = process.is_some_and(|process| match process.habit {
            Habit::IoLoop => true,
            Habit::Open | Habit::Doubtful => process.class() == Class::ThreadPerRequest,
            Habit::Migrating => false,
        });
        let owner = candidate.filter(|candidate| trusted && !candidate.ambiguous).map(|candidate| candidate.owner);
        match owner
            .and_then(|owner| self.graph.get(owner)?.link.as_ref().map(|link| (owner, link.below(span_id, false, Evidence::Connect))))
        {
            Some((owner, link)) => {
                self.is_told(owner, opener.map(|opener| opener.thread.pid));
                link
            }
            None => Link::root(trace_id, span_id, reason),
        }
    }
}

/// A call's place in the trace that its header names, with a link to the request that it was made for if that is in another one.
fn met(mut place: Link, request: &Link) -> Link {
    if place.trace_id != request.trace_id {
        let Link { trace_id, span_id, flags, ref state, .. } = *request;
        place.links.push(SpanLink { trace_id, span_id, flags, remote: false, state: state.clone(), cross: Cross::Met });
    }
    place
}
