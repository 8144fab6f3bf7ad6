//! The rules: which evidence decides, by the class of the process that made the call.
//!
//! Each of the process's habits and classes has one arm in [`Causality::rule`]; a runtime's own rule will be another. What is not sure
//! waits, and what stays unsure is an orphan with its reason.
use super::Causality;
use super::class::{Class, Habit, Process};
use super::graph::{Forward, Node, Waited};
use super::ids::WireKey;
use super::link::{Evidence, Link, Reason};
use crate::capture::event::{Nanos, Opened, Thread};
use crate::exchange::ExchangeId;
use crate::protocol::context::TraceContext;

/// What the rules say of a call.
enum Ruling {
    Wait(Option<ExchangeId>),
    Owner { owner: ExchangeId, evidence: Evidence, provisional: bool },
    Orphan(Reason),
}

impl Causality {
    /// The link of a request at its server: the client's span if that is seen here, else its header, else none.
    pub(super) fn link_request(&mut self, id: ExchangeId) -> Option<Link> {
        let node = self.graph.get(id)?;
        let span_id = node.key.server_span();
        if let Some(client) = node.peer.and_then(|peer| self.graph.get(peer)) {
            let Some(link) = &client.link else {
                if node.waited < Waited::Enough {
                    return None;
                }
                return Some(root(node.key, span_id, Reason::Timeout));
            };
            let parent = Some((link.span_id, true));
            return Some(Link { span_id, parent, evidence: Evidence::Wire, provisional: false, ..link.clone() });
        }
        if node.waited == Waited::Briefly {
            return None;
        }
        Some(node.context.as_deref().map_or_else(|| root(node.key, span_id, Reason::Root), |context| from_header(context, span_id)))
    }

    /// The link of a call at its client: by the rules of its process, else its header, else none.
    pub(super) fn link_call(&mut self, id: ExchangeId) -> Option<Link> {
        let node = self.graph.get(id)?;
        let span_id = node.key.client_span();
        let passed_on = |owner: ExchangeId| {
            // A proxy hands on the header that it received: then the proxy's own span is the nearer parent.
            let theirs = self.graph.get(owner).and_then(|owner| owner.context.as_deref());
            theirs.is_some_and(|theirs| {
                node.context.as_deref().is_some_and(|ours| ours.trace_id == theirs.trace_id && ours.parent == theirs.parent)
            })
        };
        let by_header = node.context.as_deref().map(|context| from_header(context, span_id));
        let candidate = node.connected.and_then(Forward::candidate).or(node.sent.candidate());
        if by_header.is_some() && !candidate.is_some_and(|candidate| passed_on(candidate.owner)) {
            return by_header;
        }
        match self.rule(node) {
            Ruling::Owner { owner, evidence, provisional } => match self.graph.get(owner).map(|owner| owner.link.as_ref()) {
                Some(Some(link)) => {
                    let parent = Some((link.span_id, false));
                    Some(Link { span_id, parent, evidence, provisional, ..link.clone() })
                }
                Some(None) if node.waited < Waited::Enough => {
                    self.wait_for(owner, id);
                    None
                }
                _ => by_header.or(Some(root(node.key, span_id, Reason::Timeout))),
            },
            Ruling::Wait(_) if node.waited == Waited::Enough => by_header.or(Some(root(node.key, span_id, Reason::Timeout))),
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
    pub(super) fn is_busy(&self, thread: Thread, at: Nanos) -> bool {
        let Some(process) = self.processes.get(&thread.pid) else { return false };
        let unfinished = process.ports.iter().filter_map(|port| self.unfinished.get(port)).flatten();
        let mut began = unfinished.filter_map(|id| self.graph.get(*id)).map(|node| node.asked.at);
        process.was_busy(at) || began.any(|began| began < at)
    }

    /// The link of a connect that failed: that of a call, as far as forward evidence alone decides.
    pub(super) fn link_failed(&self, socket: &Opened, trace_id: [u8; 16], span_id: [u8; 8], reason: Reason) -> Link {
        let opener = socket.opener;
        let candidate = opener.and_then(|opener| self.forward(&opener, socket.at).candidate());
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
