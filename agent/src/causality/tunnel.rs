//! Programs that hand bytes on (socat, an L4 load balancer, an HTTP proxy after `CONNECT`): the same request comes in on one connection
//! and leaves on another, and its content says which call belongs to which request.
//!
//! Only a process that was seen to send what its thread had just read is taken for one, so that all others cost nothing here. A link is
//! certain or there is none: exactly one request of that process with that content, unfinished when the call was sent, on a connection
//! that is not known to belong to another one. For in such a program two connections belong together as long as they last.
use super::Causality;
use super::graph::{Forward, Node};
use super::link::{Evidence, Reason};
use super::rules::Ruling;
use crate::capture::event::{SocketId, Thread};
use crate::exchange::ExchangeId;
use rustc_hash::FxHashMap;

/// Requests of equal content that are looked at for one call; with more in flight, none is certain.
const MAX_SAME: usize = 16;
/// Sockets remembered with the one that they belong to, 16 bytes each: beyond it all are forgotten, which costs links and makes none.
const MAX_PAIRED: usize = 64 * 1024;

/// What is known of programs that hand bytes on.
#[derive(Default)]
pub(super) struct Tunnels {
    /// Unfinished requests by their content, and their sockets. Nothing before the first such program was seen.
    unfinished: Option<FxHashMap<u64, Vec<(ExchangeId, SocketId)>>>,
    /// Calls of such programs without a link, and the requests with the same content that were unfinished when they were sent; none if
    /// there were too many.
    same: FxHashMap<ExchangeId, Vec<ExchangeId>>,
    /// Sockets whose bytes are the same, both ways round.
    pairs: FxHashMap<SocketId, SocketId>,
}

impl Tunnels {
    /// A request began.
    pub(super) fn began(&mut self, id: ExchangeId, content: u64, socket: SocketId) {
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.entry(content).or_default().push((id, socket));
        }
    }

    /// A request is over, or was lost.
    pub(super) fn ended(&mut self, id: ExchangeId, content: u64) {
        let Some(unfinished) = &mut self.unfinished else { return };
        let Some(same) = unfinished.get_mut(&content) else { return };
        same.retain(|(other, _)| *other != id);
        if same.is_empty() {
            unfinished.remove(&content);
        }
    }

    /// Nothing has to be known of the call any more.
    pub(super) fn forget(&mut self, call: ExchangeId) {
        if !self.same.is_empty() {
            self.same.remove(&call);
        }
    }

    /// The requests that had the content of this call and were unfinished when it was sent, if its process hands bytes on; none of them
    /// if there were too many.
    pub(super) fn same(&self, call: ExchangeId) -> Option<&[ExchangeId]> {
        self.same.get(&call).map(Vec::as_slice)
    }

    /// These two sockets have the same bytes.
    pub(super) fn pair(&mut self, call: SocketId, request: SocketId) {
        if self.pairs.len() >= MAX_PAIRED {
            self.pairs.clear();
        }
        self.pairs.insert(call, request);
        self.pairs.insert(request, call);
    }

    /// Whether nothing says that the sockets do not belong together.
    fn fit(&self, call: SocketId, request: SocketId) -> bool {
        self.pairs.get(&call).is_none_or(|other| *other == request) && self.pairs.get(&request).is_none_or(|other| *other == call)
    }

    /// A program that hands bytes on sends a request.
    fn called(&mut self, call: ExchangeId, content: u64, socket: SocketId) {
        let Some(found) = self.unfinished.as_ref().and_then(|unfinished| unfinished.get(&content)) else { return };
        let fitting = found.iter().filter(|(_, request)| self.fit(socket, *request));
        let mut same: Vec<ExchangeId> = fitting.take(MAX_SAME + 1).map(|(id, _)| *id).collect();
        if same.is_empty() {
            return;
        }
        if same.len() > MAX_SAME {
            same.clear();
        }
        self.same.insert(call, same);
    }
}

impl Causality {
    /// A call begins: notes which requests it may be the same as, if its process hands bytes on.
    ///
    /// Where no such process was seen, this looks at nothing but the request that the caller had read, and was looked at just before.
    pub(super) fn note_tunnel(&mut self, call: ExchangeId, thread: Option<Thread>, content: u64, socket: SocketId, was_at: [Forward; 2]) {
        let mut owners = was_at.into_iter().filter_map(Forward::candidate).filter_map(|candidate| self.graph.get(candidate.owner));
        let hands_on = content != 0 && owners.any(|owner| owner.content == content);
        if !hands_on && self.tunnels.unfinished.is_none() {
            return;
        }
        let Some(process) = thread.and_then(|thread| self.processes.get_mut(thread.pid)) else { return };
        process.hands_on |= hands_on;
        if !process.hands_on {
            return;
        }
        if self.tunnels.unfinished.is_none() {
            self.tunnels.unfinished = Some(FxHashMap::default());
            for id in self.unfinished.values().flatten() {
                if let Some(request) = self.graph.get(*id) {
                    self.tunnels.began(*id, request.content, request.socket);
                }
            }
        }
        self.tunnels.called(call, content, socket);
    }

    /// What the rules say of a call if its content is counted in: what they say already has to agree with it, and where they say
    /// nothing it decides.
    pub(super) fn rule_tunnel(&self, call: ExchangeId, node: &Node, ruling: Ruling) -> Ruling {
        let (Some(same), Some(thread)) = (self.tunnels.same(call), node.thread) else { return ruling };
        let named = if let Ruling::Owner { owner, .. } = ruling { Some(owner) } else { None };
        let sure = matches!(ruling, Ruling::Owner { provisional: false, .. });
        if sure && named.is_some_and(|owner| same.contains(&owner)) {
            return ruling;
        }
        let mut found = Vec::new();
        // Too many to look at, or one of which nobody knows whose it was.
        let mut unknown = same.is_empty();
        for id in same {
            let Some(request) = self.graph.get(*id) else {
                unknown = true;
                continue;
            };
            if !request.done {
                return Ruling::Wait(Some(*id));
            }
            match request.thread {
                // A call to itself.
                _ if node.peer == Some(*id) => {}
                None => unknown = true,
                Some(other) if other.pid == thread.pid && could_be(node, request) && self.tunnels.fit(node.socket, request.socket) => {
                    found.push(*id);
                }
                Some(_) => {}
            }
        }
        match (found.as_slice(), named) {
            ([], None) if unknown => Ruling::Orphan(Reason::Concurrent),
            ([], _) => ruling,
            (found, Some(owner)) if !found.contains(&owner) => Ruling::Orphan(Reason::Conflict),
            ([owner], _) if !unknown => Ruling::Owner { owner: *owner, evidence: Evidence::Tunnel, provisional: false },
            (_, Some(_)) => ruling,
            (_, None) => Ruling::Orphan(Reason::Concurrent),
        }
    }
}

/// Whether the times allow that the call is this request, handed on: it was read before that, and answered after the call was.
fn could_be(call: &Node, request: &Node) -> bool {
    let read = request.read.is_none_or(|(at, _)| at <= call.asked.at);
    let answered = match (call.answered, request.answered) {
        (Some(theirs), Some(ours)) => theirs.at <= ours.at,
        (None, Some(_)) => false,
        (_, None) => true,
    };
    read && answered
}
