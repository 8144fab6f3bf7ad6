//! What was known when a link was given, for a person who asks why. Nothing of it is kept unless somebody asked before.
//!
//! The evidence of an exchange is noted where it is found: what its thread had read when it begins, what is known of its process when the
//! link is given, and its other end when it is told. What else was going on then can be seen in the exchanges themselves.
use super::Causality;
use super::class::{Class, Habit, Process};
use super::graph::Forward;
use super::ids::WireKey;
use crate::capture::event::{LastRead, Thread};
use crate::exchange::ExchangeId;
use crate::protocol::context::Format;
use rustc_hash::FxHashMap;

/// What was known when a link was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// What both ends of the connection know of the request.
    pub key: WireKey,
    /// The trace context that counts, if the request carries one.
    pub header: Option<Named>,
    /// The same request at the other end of its connection.
    pub peer: Option<ExchangeId>,
    /// What a call was made for, as far as its process shows.
    pub call: Option<Box<Call>>,
}

/// A span that a header names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Format.
    pub format: Format,
    /// Trace.
    pub trace_id: [u8; 16],
    /// Span, if it names one.
    pub span_id: Option<[u8; 8]>,
    /// Whether it is believed.
    pub trusted: bool,
    /// Formats that disagree with it.
    pub others: Vec<Format>,
}

/// What is known of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who sent it.
    pub caller: Option<Thread>,
    /// What that thread had read last.
    pub last_read: Option<LastRead>,
    /// The exchange whose request or answer that was.
    pub read_of: Option<ExchangeId>,
    /// The request that this leads to, if that was unfinished.
    pub forward: Option<ExchangeId>,
    /// Others may have been read with it.
    pub ambiguous: bool,
    /// For the first call of a connection: the request that the caller was at when it connected.
    pub connected: Option<ExchangeId>,
    /// The request whose response followed from the call's answer.
    pub backward: Option<ExchangeId>,
    /// How its process works, as far as was known when the link was given.
    pub process: Option<Standing>,
    /// In a process that hands bytes on: the requests with the same content that were unfinished, `Some` and empty if too many.
    pub content: Option<Vec<ExchangeId>>,
}

/// How a process works, and the proof of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What its program is known to do.
    pub habit: Habit,
    /// What was seen.
    pub class: Class,
    /// Requests of which reader and answerer are known.
    pub answered: u32,
    /// Of these, those that began before another one was over.
    pub overlapping: u32,
}

/// What is noted until it is told.
#[derive(Default)]
pub(super) struct Explainer {
    open: FxHashMap<ExchangeId, Box<Grounds>>,
}

impl Explainer {
    pub(super) fn forget(&mut self, id: ExchangeId) {
        self.open.remove(&id);
    }
}

impl Causality {
    /// From now on the grounds of every link are kept until it is told.
    pub fn explain(&mut self) {
        self.explainer = Some(Explainer::default());
    }

    /// An exchange began.
    pub(super) fn explain_begun(&mut self, id: ExchangeId) {
        let Some(explainer) = &mut self.explainer else { return };
        let Some(node) = self.graph.get(id) else { return };
        let header = node.header.as_deref().map(|header| Named {
            format: header.context.format,
            trace_id: header.context.trace_id,
            span_id: header.context.parent,
            trusted: header.trusted,
            others: header.others.iter().map(|other| other.format).collect(),
        });
        let call = node.client.then(|| {
            let forward = node.sent.candidate();
            Box::new(Call {
                caller: node.thread,
                last_read: node.last_read,
                read_of: node.last_read.and_then(|read| self.graph.was_read(&read)).map(|(of, _)| of),
                forward: forward.map(|candidate| candidate.owner),
                ambiguous: forward.is_some_and(|candidate| candidate.ambiguous),
                connected: node.connected.and_then(Forward::candidate).map(|candidate| candidate.owner),
                backward: None,
                process: None,
                content: None,
            })
        });
        explainer.open.insert(id, Box::new(Grounds { key: node.key, header, peer: None, call }));
    }

    /// The exchange is given its link.
    pub(super) fn explain_link(&mut self, id: ExchangeId) {
        let Some(explainer) = &mut self.explainer else { return };
        let Some(node) = self.graph.get(id) else { return };
        let Some(call) = explainer.open.get_mut(&id).and_then(|grounds| grounds.call.as_deref_mut()) else { return };
        call.backward = node.backward;
        call.process = node.thread.and_then(|thread| self.processes.get(thread.pid)).map(Process::standing);
        call.content = self.tunnels.same(id).map(<[ExchangeId]>::to_vec);
    }

    /// The exchange is told: its grounds, if somebody asked for them.
    pub(super) fn explain_told(&mut self, id: ExchangeId) -> Option<Box<Grounds>> {
        let mut grounds = self.explainer.as_mut()?.open.remove(&id)?;
        grounds.peer = self.graph.get(id).and_then(|node| node.peer);
        Some(grounds)
    }
}
