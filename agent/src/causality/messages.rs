//! Messages that pass a broker of this node: whose span gave a message, for those to whom it is handed.
//!
//! What was pushed to a consumer is one message, and its span a child of the giver's. Who fetches may get many: its span points at
//! theirs. A message that carries a trace context needs none of this but the reading of that context.
use super::graph::{Node, Waited};
use super::link::{Cross, Evidence, Link, Reason, SpanLink};
use super::{Causality, PEER_WAIT};
use crate::capture::event::Nanos;
use crate::exchange::{Exchange, ExchangeId};
use crate::protocol::Kind;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;

/// How long a message is remembered: what waits in a queue for longer is read by somebody who was away.
const MESSAGE_LIFE: Nanos = 60_000_000_000;
/// Messages remembered at once: 1,000 a second for that long.
const MAX_MESSAGES: usize = 64 * 1024;
/// Span links of one span: the limit of OpenTelemetry's SDKs.
const MAX_LINKS: usize = 128;

/// Messages of the recent past.
#[derive(Default)]
pub(super) struct Messages {
    /// By their identity, the exchanges that gave them.
    given: FxHashMap<u64, ExchangeId>,
    given_due: VecDeque<(Nanos, u64)>,
    /// The places of exchanges that gave messages: they are forgotten before their messages are fetched.
    places: FxHashMap<ExchangeId, SpanLink>,
    places_due: VecDeque<(Nanos, ExchangeId)>,
    /// Exchanges that got messages of which nobody has said yet who gave them.
    waiting: FxHashSet<ExchangeId>,
    waiting_due: VecDeque<(Nanos, ExchangeId)>,
}

impl Messages {
    fn give(&mut self, message: u64, by: ExchangeId, at: Nanos) {
        self.given.insert(message, by);
        self.given_due.push_back((at.saturating_add(MESSAGE_LIFE), message));
    }

    /// An exchange that gave messages has its place.
    pub(super) fn placed(&mut self, id: ExchangeId, at: Nanos, link: &Link) {
        let Link { trace_id, span_id, flags, ref state, .. } = *link;
        self.places.insert(id, SpanLink { trace_id, span_id, flags, remote: true, state: state.clone(), cross: Cross::Message });
        self.places_due.push_back((at.saturating_add(MESSAGE_LIFE), id));
    }

    /// Forgets what is too old or too much, and says who has waited long enough.
    pub(super) fn tick(&mut self, now: Nanos, retry: &mut Vec<ExchangeId>) {
        while let Some((_, message)) = due(&mut self.given_due, now) {
            self.given.remove(&message);
        }
        while let Some((_, id)) = due(&mut self.places_due, now) {
            self.places.remove(&id);
        }
        while let Some((_, id)) = due(&mut self.waiting_due, now) {
            self.waiting.remove(&id);
            retry.push(id);
        }
    }
}

impl Messages {
    /// Nothing follows: nobody will say any more who gave a message. What is known is not forgotten, as exchanges have yet to be told.
    pub(super) fn finish(&mut self, retry: &mut Vec<ExchangeId>) {
        self.waiting.clear();
        retry.extend(self.waiting_due.drain(..).map(|(_, id)| id));
    }
}

/// The next entry whose time has come, or for which there is no room.
fn due<T>(queue: &mut VecDeque<(Nanos, T)>, now: Nanos) -> Option<(Nanos, T)> {
    let full = queue.len() > MAX_MESSAGES;
    queue.pop_front_if(|(due, _)| *due <= now || full)
}

impl Causality {
    /// A broker was given a message: its identity was in the request.
    pub(super) fn note_message(&mut self, id: ExchangeId) {
        if let Some((node, message)) = self.graph.get(id).and_then(|node| Some((node, node.message?))).filter(|(node, _)| gives(node)) {
            self.messages.give(message, id, node.asked.at);
        }
    }

    /// An exchange is over: the rest of what it says of the messages that it gave, or got.
    pub(super) fn note_messages(&mut self, id: ExchangeId, exchange: &Exchange) {
        let Some(node) = self.graph.get(id) else { return };
        let gives = gives(node);
        if gives {
            for message in messages_of(exchange).filter_map(|message| message.id) {
                self.messages.give(message, id, exchange.over);
            }
        } else if fetches(node) && messages_of(exchange).any(|message| message.id.is_some() && message.carried.is_none()) {
            self.messages.waiting.insert(id);
            self.messages.waiting_due.push_back((exchange.over.saturating_add(PEER_WAIT), id));
        }
    }

    /// The link of what was handed to a consumer, at its end; at the broker's, of which there is no span, none.
    pub(super) fn link_pushed(&mut self, id: ExchangeId) -> Option<Link> {
        let node = self.graph.get(id)?;
        let span_id = if node.client { node.key.client_span() } else { node.key.server_span() };
        let root = |reason| Link::root(node.key.trace(), span_id, reason);
        if let Some(header) = node.header.as_deref() {
            return Some(header.place(root(Reason::Root)));
        }
        let Some(message) = node.message.filter(|_| !node.client) else { return Some(root(Reason::Root)) };
        let Some(giver) = self.messages.given.get(&message).copied() else {
            return (node.waited > Waited::Briefly).then(|| root(Reason::Root));
        };
        let link = match self.messages.places.get(&giver) {
            Some(SpanLink { trace_id, span_id, flags, state, .. }) => Link {
                trace_id: *trace_id,
                parent: Some((*span_id, true)),
                flags: *flags,
                state: state.clone(),
                evidence: Evidence::Message,
                ..root(Reason::Root)
            },
            None if node.waited == Waited::Enough => root(Reason::Timeout),
            None => {
                self.wait_for(giver, id);
                return None;
            }
        };
        let caller = self.graph.get(giver).and_then(|giver| giver.thread).map(|thread| thread.pid);
        self.is_told(giver, caller);
        Some(link)
    }

    /// The spans that gave the messages which an exchange fetched; `None` while that may still be found out.
    pub(super) fn givers(&mut self, id: ExchangeId) -> Option<Vec<SpanLink>> {
        let mut links = Vec::new();
        let Some(node) = self.graph.get(id).filter(|node| fetches(node)) else { return Some(links) };
        let Some(exchange) = node.exchange.as_deref() else { return Some(links) };
        let mut placeless = None;
        for message in messages_of(exchange).take(MAX_LINKS) {
            if let Some(header) = message.carried.as_deref().and_then(|carried| self.policy.header(carried, None)) {
                links.extend(SpanLink::to(&header.context, Cross::Header));
                continue;
            }
            let giver = message.id.and_then(|message| self.messages.given.get(&message));
            match giver.map(|giver| (giver, self.messages.places.get(giver))) {
                Some((_, Some(place))) => links.push(place.clone()),
                Some((giver, None)) => placeless = Some(*giver),
                None if message.id.is_some() && self.messages.waiting.contains(&id) => return None,
                None => {}
            }
        }
        if let Some(giver) = placeless.filter(|_| node.waited < Waited::Enough) {
            self.wait_for(giver, id);
            return None;
        }
        Some(links)
    }
}

/// Whether a node's exchange gives messages to a broker, as the end whose span tells of it says.
fn gives(node: &Node) -> bool {
    node.kind == Kind::Publish && (node.client || node.peer.is_none())
}

/// Whether a node's exchange fetches messages from a broker, at the end whose span tells of it.
fn fetches(node: &Node) -> bool {
    node.kind == Kind::Consume && node.client && !node.pushed
}

fn messages_of(exchange: &Exchange) -> impl Iterator<Item = &crate::protocol::Message> {
    exchange.request.messages.iter().chain(exchange.response.iter().flat_map(|response| &response.messages))
}
