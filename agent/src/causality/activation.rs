//! Links by activation: in an event loop, whatever a callback sends is the work of what was read for it.
//!
//! From the [rounds](super::rounds) of a process's threads follow
//! - **forward**: a call that is sent in the round of a request is made for it;
//! - **backward**: a call is made for the request whose response is the only one in the rounds that its own answer began;
//! - chains of calls, each sent in the round of the one before, where both ends lead to the same request;
//! - **turn**: of several answers that were read at once each belongs to the response in its place, and of calls that are sent outside of
//!   rounds each to the first request whose round made none: where both are the same request. So it is where calls are collected.
//!
//! A pool that hands a connection on sends the call of another in a round, and so does a queue that is worked off: forward evidence is
//! wrong then, and where there is backward evidence it says so. So both are compared wherever a call has both, in each process. In a
//! loop that is not known forward evidence alone decides nothing: in reactor-netty it agreed in 200 of 200 calls that had both, and was
//! wrong in 65 of 66 that had no other.
use super::Causality;
use super::class::Process;
use super::graph::{Node, Waited};
use super::link::{Evidence, Reason};
use super::manner::Manner;
use super::marks::Mark;
use super::notes::Noted;
use super::rounds::Rounds;
use super::rules::Ruling;
use crate::capture::event::{LastRead, Moment, Nanos, Thread};
use crate::exchange::ExchangeId;

/// Calls that are followed from one to the next.
const CHAIN: usize = 32;
/// How long a round lasts at most where no other read ends it.
const ROUND: Nanos = 100_000_000;

/// What the rounds of a process say of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forward {
    /// It was sent in the round of this request.
    Request(ExchangeId),
    /// It was sent in the round of this call's answer.
    Call(ExchangeId),
    /// Nothing.
    Nothing,
}

impl Causality {
    /// A note of a process with loops says in which round it was taken: that takes the place of its output and window.
    pub(super) fn take_round(&mut self, note: &mut Noted) {
        let pid = note.thread.pid;
        let Some((rounds, manner)) = self.rounds_of(pid) else { return };
        let mark = Mark::of(note, manner == Manner::Rounds);
        if matches!(note.moment, Moment::SendCall | Moment::SendResponse) {
            let going_on = rounds.going_on(note.thread.tid, &mark);
            note.output = going_on.into_iter().collect();
            // Another callback runs.
            if let Some(last) = rounds.loops.get(&note.thread.tid).map(|known| known.number).filter(|_| going_on.is_none()) {
                self.round_over(note.thread, last);
            }
            return;
        }
        let (before, number) = rounds.begin(note.thread.tid, note.socket, mark);
        note.output = [number].into();
        self.rounds_due.push_back((note.at.saturating_add(ROUND), note.thread, number));
        if let Some(before) = before {
            self.round_over(note.thread, before);
        }
    }

    /// What was read may be more of something whose first bytes were read before.
    pub(super) fn more_in_round(&mut self, note: &Noted) {
        let (Moment::ReadRequest | Moment::ReadAnswer, Some(number)) = (note.moment, note.output.first()) else { return };
        let pid = note.thread.pid;
        if self.rounds_of(pid).is_none() {
            return;
        }
        let read = LastRead { socket: note.socket, at: note.at, upto: note.upto };
        let newest = self.graph.on(note.socket, 1).next().map(|(id, _)| id);
        let more = self.graph.was_read(&read).filter(|(id, ambiguous)| !ambiguous && newest == Some(*id)).map(|(id, _)| id);
        if let Some(id) = more.filter(|id| self.graph.get(*id).is_some_and(|node| node.client || node.answered.is_none()))
            && let Some((rounds, _)) = self.rounds_of(pid)
        {
            rounds.noted(*number, note.moment, id);
        }
    }

    /// A note is about this exchange.
    pub(super) fn note_round(&mut self, id: ExchangeId, note: &Noted) {
        let Thread { pid, tid } = note.thread;
        let Some((rounds, _)) = self.rounds_of(pid) else { return };
        match note.output.first() {
            Some(number) => rounds.noted(*number, note.moment, id),
            None if note.moment == Moment::SendCall => rounds.called_in_turn(tid, id),
            None => {}
        }
        if note.moment == Moment::SendResponse
            && let Some(known) = rounds.loops.get_mut(&tid)
        {
            known.turns.retain(|waits| *waits != id);
        }
    }

    /// The rounds of a process of which there are some.
    fn rounds_of(&mut self, pid: u32) -> Option<(&mut Rounds, Manner)> {
        let process = self.processes.get_mut(pid)?;
        let manner = process.manner.filter(|manner| manner.has_rounds())?;
        Some((&mut process.rounds, manner))
    }

    /// Rounds that no read has ended are over after a while.
    pub(super) fn end_rounds(&mut self, now: Nanos) {
        while let Some((_, thread, number)) = self.rounds_due.pop_front_if(|(due, ..)| *due <= now) {
            self.round_over(thread, number);
        }
    }

    /// Nothing more happens in a round: the calls whose answers began it are judged.
    fn round_over(&mut self, thread: Thread, number: u64) {
        let pid = thread.pid;
        let Some(rounds) = self.processes.get_mut(pid).map(|process| &mut process.rounds) else { return };
        let Some(round) = rounds.get_mut(number).filter(|round| !round.over) else { return };
        round.over = true;
        let ids = round.read.clone();
        if let (&[request], [], []) = (ids.as_slice(), round.called.as_slice(), round.answered.as_slice())
            && self.graph.get(request).is_some_and(|node| !node.client)
        {
            rounds.waits(thread.tid, request);
        }
        for id in ids {
            let Some(node) = self.graph.get(id).filter(|node| node.client) else { continue };
            let Some(process) = self.processes.get(pid) else { continue };
            if let Some(backward) = self.backward_in(process, id, node) {
                let (forward, chain) = match self.forward_in(process, node) {
                    Forward::Request(request) => (Some(request), None),
                    Forward::Call(before) => (None, self.root_before(process, before).ok()),
                    Forward::Nothing => (None, None),
                };
                let rounds = &mut self.processes.at(pid).rounds;
                if let Some(forward) = forward {
                    rounds.forward.compare(forward == backward);
                }
                if let Some(forward) = chain {
                    rounds.chains.compare(forward == backward);
                }
            }
            self.retry.push(id);
            self.wake(id);
        }
    }

    /// What began the round in which a call was sent.
    fn forward_in(&self, process: &Process, call: &Node) -> Forward {
        let number = call.request_note.as_ref().and_then(|note| note.output.first());
        let Some(&[id]) = number.and_then(|number| process.rounds.get(*number)).map(|round| round.read.as_slice()) else {
            return Forward::Nothing;
        };
        match self.graph.get(id) {
            Some(node) if node.client => Forward::Call(id),
            Some(node) if node.answered.is_none_or(|answered| answered.at > call.asked.at) => Forward::Request(id),
            _ => Forward::Nothing,
        }
    }

    /// The request whose response followed from a call's answer.
    fn backward_in(&self, process: &Process, id: ExchangeId, call: &Node) -> Option<ExchangeId> {
        let request = process.rounds.only(id, |round| &round.answered)?;
        self.graph.get(request).filter(|node| !node.client && node.asked.at < call.asked.at).map(|_| request)
    }

    /// What rounds say of a call.
    pub(super) fn rule_rounds(&self, id: ExchangeId, node: &Node, process: &Process, manner: Manner) -> Ruling {
        if node.request_note.is_none() {
            return if node.waited == Waited::Briefly { Ruling::Wait(None) } else { Ruling::Orphan(Reason::Gap) };
        }
        let rounds = &process.rounds;
        if !node.done || (!rounds.is_over(id) && node.waited < Waited::Enough) {
            return Ruling::Wait(None);
        }
        let owner = |owner| Ruling::Owner { owner, evidence: Evidence::Activation, provisional: false };
        let refuted = rounds.forward.is_refuted();
        match (self.forward_in(process, node), self.backward_in(process, id, node)) {
            (Forward::Request(forward), Some(backward)) if forward != backward && !refuted => Ruling::Orphan(Reason::Conflict),
            (_, Some(backward)) => owner(backward),
            (Forward::Request(forward), None) if manner == Manner::Rounds && !refuted => owner(forward),
            (Forward::Request(_), None) => Ruling::Orphan(Reason::Audit),
            (Forward::Nothing, None) if let Some(request) = rounds.agreed_in_turn(id) => owner(request),
            (Forward::Call(_), None) if rounds.chains.is_refuted() => Ruling::Orphan(Reason::Audit),
            (Forward::Call(before), None) => self.rule_chain(process, id, before).map_or_else(|ruling| ruling, owner),
            (Forward::Nothing, None) => Ruling::Orphan(Reason::Root),
        }
    }

    /// The request to which both the calls before and those after a call lead.
    fn rule_chain(&self, process: &Process, id: ExchangeId, before: ExchangeId) -> Result<ExchangeId, Ruling> {
        let after = process.rounds.only(id, |round| &round.called).ok_or(Ruling::Orphan(Reason::Handoff))?;
        let forward = self.root_before(process, before)?;
        let mut at = after;
        let backward = self.follow(process, after, |call| {
            if let Some(request) = self.backward_in(process, at, call) {
                return Err(request);
            }
            let next = process.rounds.only(at, |round| &round.called);
            at = next.unwrap_or(at);
            Ok(next)
        })?;
        if forward == backward { Ok(forward) } else { Err(Ruling::Orphan(Reason::Conflict)) }
    }

    /// The request to which a call and those before it lead.
    fn root_before(&self, process: &Process, call: ExchangeId) -> Result<ExchangeId, Ruling> {
        self.follow(process, call, |call| match self.forward_in(process, call) {
            Forward::Request(request) => Err(request),
            Forward::Call(before) => Ok(Some(before)),
            Forward::Nothing => Ok(None),
        })
    }

    /// Goes from call to call until one leads to a request.
    fn follow(
        &self,
        process: &Process,
        mut id: ExchangeId,
        mut step: impl FnMut(&Node) -> Result<Option<ExchangeId>, ExchangeId>,
    ) -> Result<ExchangeId, Ruling> {
        for _ in 0..CHAIN {
            let Some(node) = self.graph.get(id) else { break };
            match step(node) {
                Err(request) => return Ok(request),
                // What follows from its answer may be still to come.
                _ if (!node.done || !process.rounds.is_over(id)) && node.waited < Waited::Enough => return Err(Ruling::Wait(Some(id))),
                Ok(Some(next)) => id = next,
                Ok(None) => break,
            }
        }
        Err(Ruling::Orphan(Reason::Handoff))
    }
}
