//! Requests whose other end is on another node: what the client's agent tells of its call, and what the server's agent asks for.
//!
//! Both agents know the request's wire key, and nothing else that they could find each other by. So a call whose server is not seen here is
//! told under its key: at first that it is being worked on, then its trace, as soon as that is known. A request whose client is not seen
//! here asks under its key. Whoever carries the letters is not known here; nothing is sent for a request that carried a header.
//!
//! Who waits for how long: a request of which nobody tells anything within a third of the bound has a client without an agent, and begins
//! a trace. It must not take the whole bound for that, because the requests that were made for it wait in their turn on other nodes; they
//! have been told that they are being worked on, and wait for all of it.
use super::Causality;
use super::graph::Node;
use super::ids::WireKey;
use super::link::{Evidence, Link, Reason};
use crate::capture::event::Nanos;
use crate::exchange::ExchangeId;
use std::collections::VecDeque;
use std::net::IpAddr;

/// How long after its request the other end may still turn out to be on this node: the segment that is on its way to it takes
/// microseconds, and both ends are told in their order.
const INTRODUCTION: Nanos = 20_000_000;
/// Part of the bound after which a request of which nobody has told anything is given up.
const SIGN_WITHIN: u64 = 3;
/// Requests that wait for one thing at a time: those that wait longest give up first. As many as there are exchanges.
const MAX_WAITING: usize = super::MAX_NODES;

/// Where in a trace the request of a call stands, as the server's end has to know it. The client's span, which is its parent, both ends
/// compute from the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Trace.
    pub trace_id: [u8; 16],
    /// W3C trace flags.
    pub flags: u8,
    /// W3C tracestate.
    pub state: Option<Box<str>>,
}

impl Place {
    fn of(link: &Link) -> Self {
        Self { trace_id: link.trace_id, flags: link.flags, state: link.state.clone() }
    }
}

/// What an agent has to say to those of other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    /// A call is made here.
    Tell {
        /// Its request.
        key: WireKey,
        /// Its place; `None` while that is being found out. Told again when it is known.
        place: Option<Place>,
    },
    /// A request has arrived: does anybody make it?
    Ask {
        /// Whom the answers are for.
        id: ExchangeId,
        /// The request.
        key: WireKey,
    },
}

/// What is known of a request now; a later answer replaces it until there is a place or a contradiction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nobody told of it.
    Nobody,
    /// Somebody makes it, and does not know its place yet.
    Announced,
    /// Its place.
    Placed(Place),
    /// Two agents tell different things of it.
    Conflict,
}

/// What became of requests whose client was not seen here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// They were linked.
    pub met: u64,
    /// Nobody told of them: their clients have no agent, or what it told was lost.
    pub nobody: u64,
    /// They were announced, and their place did not come in time.
    pub late: u64,
    /// There was no answer at all.
    pub unanswered: u64,
    /// Two agents told different things of them.
    pub conflict: u64,
}

/// How far an exchange has come with the other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Meeting {
    /// It has nothing to do with them, as far as is known.
    #[default]
    None,
    /// A call: other nodes were told of it.
    Told,
    /// A request: other nodes are asked, and this is the last answer.
    Asking(Option<Sign>),
    /// A request: what the last answer was when it was given up.
    Over(Option<Sign>),
    /// A request: its place was found.
    Met(Box<Place>),
}

/// An answer that names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Nobody,
    Announced,
    Conflict,
}

/// Who waits, each queue in the order of its times, and what is to be sent.
#[derive(Default)]
pub(super) struct Meetings {
    /// The bound; `None` if there is nobody to ask.
    wait: Option<Nanos>,
    begun: VecDeque<(Nanos, ExchangeId)>,
    signs: VecDeque<(Nanos, ExchangeId)>,
    ending: VecDeque<(Nanos, ExchangeId)>,
    letters: Vec<Letter>,
    counters: Counters,
}

impl Meetings {
    /// A request was seen, without a header.
    pub(super) fn begin(&mut self, id: ExchangeId, asked: Nanos, client_address: IpAddr) {
        // Who talks to itself talks on one node.
        if self.wait.is_some() && !client_address.to_canonical().is_loopback() {
            self.begun.push_back((asked.saturating_add(INTRODUCTION), id));
        }
    }

    /// A call that was told of has its place now.
    pub(super) fn placed(&mut self, key: WireKey, link: &Link) {
        self.letters.push(Letter::Tell { key, place: Some(Place::of(link)) });
    }

    /// Counts a request that was given up, and says why it has no parent.
    fn give_up(&mut self, sign: Option<Sign>) -> Reason {
        let counters = &mut self.counters;
        let (counter, reason) = match sign {
            None => (&mut counters.unanswered, Reason::Timeout),
            Some(Sign::Nobody) => (&mut counters.nobody, Reason::Root),
            Some(Sign::Announced) => (&mut counters.late, Reason::Timeout),
            Some(Sign::Conflict) => (&mut counters.conflict, Reason::Conflict),
        };
        *counter += 1;
        reason
    }
}

impl Causality {
    /// From now on requests may have their other end on a node with which letters are exchanged; they wait at most `wait` for an answer.
    pub fn meet(&mut self, wait: Nanos) {
        self.meetings.wait = Some(wait);
    }

    /// What is to be sent since the last call.
    pub fn take_letters(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.meetings.letters)
    }

    /// What became of requests whose client was not seen here.
    #[must_use]
    pub fn meetings(&self) -> Counters {
        self.meetings.counters
    }

    /// Takes an answer to [`Letter::Ask`]; one that nobody waits for any more is forgotten.
    pub(super) fn answered(&mut self, id: ExchangeId, answer: Answer) {
        let Some(node) = self.graph.get_mut(id).filter(|node| matches!(node.meeting, Meeting::Asking(_))) else { return };
        node.meeting = match answer {
            Answer::Nobody => Meeting::Asking(Some(Sign::Nobody)),
            Answer::Announced => Meeting::Asking(Some(Sign::Announced)),
            Answer::Placed(place) => Meeting::Met(Box::new(place)),
            Answer::Conflict => Meeting::Over(Some(Sign::Conflict)),
        };
        self.retry.push(id);
    }

    /// Asks and tells what is to be asked and told by now, and gives up what has waited long enough.
    pub(super) fn meet_others(&mut self, now: Nanos) {
        let Some(wait) = self.meetings.wait else { return };
        while let Some(id) = due(&mut self.meetings.begun, now) {
            self.introduce(id, now.saturating_add(wait / SIGN_WITHIN));
        }
        while let Some(id) = due(&mut self.meetings.signs, now) {
            match self.graph.get(id).map(|node| &node.meeting) {
                Some(Meeting::Asking(Some(Sign::Nobody))) => self.end_meeting(id),
                Some(Meeting::Asking(_)) => self.meetings.ending.push_back((now.saturating_add(wait - wait / SIGN_WITHIN), id)),
                _ => {}
            }
        }
        while let Some(id) = due(&mut self.meetings.ending, now) {
            self.end_meeting(id);
        }
    }

    /// The other end of an exchange has not turned up here.
    fn introduce(&mut self, id: ExchangeId, sign_until: Nanos) {
        let Some(node) = self.graph.get(id).filter(|node| node.peer.is_none()) else { return };
        let (client, key, pid) = (node.client, node.key, node.thread.map(|thread| thread.pid));
        // A span that is not made is nobody's parent.
        if client && !self.is_told(id, pid) {
            return;
        }
        let Some(node) = self.graph.get_mut(id) else { return };
        if client {
            node.meeting = Meeting::Told;
            self.meetings.letters.push(Letter::Tell { key, place: node.link.as_ref().map(Place::of) });
        } else {
            node.meeting = Meeting::Asking(None);
            self.meetings.letters.push(Letter::Ask { id, key });
            self.meetings.signs.push_back((sign_until, id));
        }
    }

    fn end_meeting(&mut self, id: ExchangeId) {
        if let Some(node) = self.graph.get_mut(id)
            && let Meeting::Asking(sign) = node.meeting
        {
            node.meeting = Meeting::Over(sign);
            self.retry.push(id);
        }
    }

    /// The link of a request without a header, whose client was not seen here, from what other nodes said; `None` if it was not asked.
    pub(super) fn link_met(&mut self, id: ExchangeId) -> Option<Link> {
        let node: &Node = self.graph.get(id)?;
        let span_id = node.key.server_span();
        let reason = match &node.meeting {
            Meeting::None | Meeting::Told => return None,
            Meeting::Asking(sign) | Meeting::Over(sign) => self.meetings.give_up(*sign),
            Meeting::Met(place) => {
                self.meetings.counters.met += 1;
                let Place { trace_id, flags, state } = Place::clone(place);
                let parent = Some((node.key.client_span(), true));
                let root = Link::root(trace_id, span_id, Reason::Root);
                return Some(Link { parent, flags, state, evidence: Evidence::Rendezvous, ..root });
            }
        };
        let node = self.graph.get(id)?;
        Some(Link::root(node.key.trace(), span_id, reason))
    }
}

/// The next exchange whose time has come, or for which there is no room to wait.
fn due(queue: &mut VecDeque<(Nanos, ExchangeId)>, now: Nanos) -> Option<ExchangeId> {
    let full = queue.len() > MAX_WAITING;
    queue.pop_front_if(|(due, _)| *due <= now || full).map(|(_, id)| id)
}
