//! Links by activation: in an event loop, whatever a callback sends is the work of what was read for it.
//!
//! A round is what a thread does in one callback after one of its reads. It ends with the thread's next read; what the thread sends in
//! between belongs to it if the stack says that the same callback still runs (see [`Manner::Rounds`](super::manner::Manner)). From this follow
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
use super::marks::{Learnt, Mark};
use super::notes::Noted;
use super::rules::Ruling;
use crate::capture::event::{LastRead, Moment, Nanos, SocketId, Thread};
use crate::exchange::ExchangeId;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;

/// Rounds remembered of one process: what it reads while the slowest call of ordinary programs lasts.
const MAX_ROUNDS: usize = 8192;
/// Loops of one process: more than it has processors.
const MAX_LOOPS: usize = 1024;
/// Exchanges remembered of one round, of each kind: as many as a program collects.
const MAX_IN_ROUND: usize = 64;
/// Rounds remembered in which one answer was read: one with the head, and one with the end.
const MAX_READS: usize = 8;
/// How long a round lasts at most where no other read ends it.
const ROUND: Nanos = 100_000_000;
/// Requests of one loop whose rounds made no call: as many as it works on at a time.
const MAX_TURNS: usize = 256;
/// Calls that are followed from one to the next.
const CHAIN: usize = 32;
/// Comparisons within which forward evidence that is wrong must show itself.
const AUDIT: u32 = 50;
/// Of so many comparisons one may fail: what a lost record costs.
const TOLERANCE: u32 = 1000;

/// What a thread did in one callback after a read.
#[derive(Debug)]
struct Round {
    number: u64,
    /// Exchanges of which something was read.
    read: Vec<ExchangeId>,
    /// Requests whose responses were sent.
    answered: Vec<ExchangeId>,
    /// Calls that were sent.
    called: Vec<ExchangeId>,
    over: bool,
}

/// A thread that runs a loop.
#[derive(Debug)]
struct Loop {
    /// Its last round.
    number: u64,
    /// The stack when that began.
    mark: Mark,
    /// What was read then.
    socket: SocketId,
    /// Something was sent in it.
    sent: bool,
    learnt: Learnt,
    /// Requests whose rounds made no call, in the order of their reads.
    turns: VecDeque<ExchangeId>,
}

/// The rounds of a process.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    next: u64,
    /// By number, without gaps.
    recent: VecDeque<Round>,
    loops: FxHashMap<u32, Loop>,
    /// Rounds in which something of a call's answer was read.
    read_in: FxHashMap<ExchangeId, Vec<u64>>,
    /// Calls that were sent outside of rounds, and whose turn it was.
    in_turn: FxHashMap<ExchangeId, ExchangeId>,
    /// Forward evidence against backward evidence, wherever a call has both.
    forward: Audit,
    /// The same where the forward evidence is a chain of calls.
    chains: Audit,
}

/// Comparisons of two kinds of evidence.
#[derive(Clone, Copy, Debug, Default)]
struct Audit {
    compared: u32,
    /// Of these, those where they differ.
    failed: u32,
}

impl Audit {
    fn compare(&mut self, one: ExchangeId, other: ExchangeId) {
        self.compared = self.compared.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(one != other));
    }

    /// Whether they differ more often than a lost record explains.
    fn is_refuted(self) -> bool {
        self.failed > 1 && self.failed.saturating_mul(TOLERANCE) > self.compared.max(AUDIT)
    }
}

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

impl Rounds {
    fn get(&self, number: u64) -> Option<&Round> {
        let first = self.recent.front()?.number;
        self.recent.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Round> {
        let first = self.recent.front()?.number;
        self.recent.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// A thread has read: its last round is over and another begins. Gives both. But where it reads on from the same socket in the same
    /// callback, and has not sent anything, its round goes on: the kernel tells of each packet that a read takes.
    fn begin(&mut self, tid: u32, socket: SocketId, mark: Mark) -> (Option<u64>, u64) {
        if let Some(known) = self.loops.get(&tid)
            && (known.socket, known.sent) == (socket, false)
            && known.mark != Mark::Unknown
            && known.mark == mark
            && self.get(known.number).is_some_and(|round| !round.over)
        {
            return (None, known.number);
        }
        if self.recent.len() >= MAX_ROUNDS
            && let Some(oldest) = self.recent.pop_front()
        {
            for id in oldest.read {
                self.read_in.remove(&id);
                self.in_turn.remove(&id);
            }
        }
        if self.loops.len() >= MAX_LOOPS && !self.loops.contains_key(&tid) {
            self.loops.clear();
        }
        self.next += 1;
        let number = self.next;
        self.recent.push_back(Round { number, read: Vec::new(), answered: Vec::new(), called: Vec::new(), over: false });
        let before = match self.loops.entry(tid) {
            Entry::Vacant(entry) => {
                entry.insert(Loop { number, mark, socket, sent: false, learnt: Learnt::default(), turns: VecDeque::new() });
                None
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.learnt.reads(&known.mark, &mark);
                (known.mark, known.socket, known.sent) = (mark, socket, false);
                Some(std::mem::replace(&mut known.number, number))
            }
        };
        (before, number)
    }

    /// The round in which a thread sends something.
    fn going_on(&mut self, tid: u32, mark: &Mark) -> Option<u64> {
        let known = self.loops.get_mut(&tid).filter(|known| known.learnt.is_same(&known.mark, mark))?;
        known.sent = true;
        Some(known.number)
    }

    /// Something happened to an exchange in a round.
    fn noted(&mut self, number: u64, moment: Moment, id: ExchangeId) {
        let Some(round) = self.get_mut(number) else { return };
        let list = match moment {
            Moment::ReadRequest | Moment::ReadAnswer => &mut round.read,
            Moment::SendResponse => &mut round.answered,
            Moment::SendCall => &mut round.called,
        };
        if list.len() >= MAX_IN_ROUND || list.contains(&id) {
            return;
        }
        list.push(id);
        if moment == Moment::ReadAnswer {
            let rounds = self.read_in.entry(id).or_default();
            if rounds.len() >= MAX_READS {
                rounds.pop();
            }
            rounds.push(number);
        }
    }

    /// A request's round is over, in which no call was sent: one may be sent outside of it.
    fn waits(&mut self, tid: u32, request: ExchangeId) {
        if let Some(known) = self.loops.get_mut(&tid) {
            if known.turns.len() >= MAX_TURNS {
                known.turns.pop_front();
            }
            known.turns.push_back(request);
        }
    }

    /// A thread has sent a call outside of rounds.
    fn called_in_turn(&mut self, tid: u32, call: ExchangeId) {
        if let Some(request) = self.loops.get_mut(&tid).and_then(|known| known.turns.pop_front())
            && self.in_turn.len() < MAX_ROUNDS
        {
            self.in_turn.insert(call, request);
        }
    }

    /// The request whose response has the place among those of a round that the call's answer has among the answers that began it.
    fn answered_in_turn(&self, id: ExchangeId) -> Option<ExchangeId> {
        let mut rounds = self.of_answer(id);
        let (Some(round), None) = (rounds.next(), rounds.next()) else { return None };
        let place = round.read.iter().position(|read| *read == id)?;
        if round.read.len() == round.answered.len() { round.answered.get(place).copied() } else { None }
    }

    /// The request whose turn it was both when a call was sent and when its answer was read.
    fn agreed_in_turn(&self, id: ExchangeId) -> Option<ExchangeId> {
        let (forward, backward) = (*self.in_turn.get(&id)?, self.answered_in_turn(id)?);
        (forward == backward).then_some(backward)
    }

    /// The rounds that began with something of the answer to this call.
    fn of_answer(&self, id: ExchangeId) -> impl Iterator<Item = &Round> {
        self.read_in.get(&id).into_iter().flatten().filter_map(|number| self.get(*number))
    }

    /// Whether nothing more can happen in the rounds of a call's answer.
    fn is_over(&self, id: ExchangeId) -> bool {
        let mut rounds = self.of_answer(id).peekable();
        rounds.peek().is_some() && rounds.all(|round| round.over)
    }

    /// The only exchange of a list that the rounds of a call's answer have, if they began with nothing else.
    fn only(&self, id: ExchangeId, list: impl Fn(&Round) -> &[ExchangeId]) -> Option<ExchangeId> {
        let mut found = None;
        for round in self.of_answer(id) {
            match (round.read.as_slice(), list(round)) {
                (_, []) => {}
                (&[_], &[one]) if found.is_none_or(|found| found == one) => found = Some(one),
                _ => return None,
            }
        }
        found
    }
}

impl Causality {
    /// A note of a process with loops says in which round it was taken: that takes the place of its output and window.
    pub(super) fn take_round(&mut self, note: &mut Noted) {
        let pid = note.thread.pid;
        let Some(process) = self.processes.get_mut(&pid).filter(|process| process.manner.is_some_and(Manner::has_rounds)) else { return };
        let mark = Mark::of(note, process.manner == Some(Manner::Rounds));
        if matches!(note.moment, Moment::SendCall | Moment::SendResponse) {
            let going_on = process.rounds.going_on(note.thread.tid, &mark);
            note.output = going_on.into_iter().collect();
            // Another callback runs.
            if let Some(last) = process.rounds.loops.get(&note.thread.tid).map(|known| known.number).filter(|_| going_on.is_none()) {
                self.round_over(note.thread, last);
            }
            return;
        }
        let (before, number) = process.rounds.begin(note.thread.tid, note.socket, mark);
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
        if !self.processes.get(&pid).is_some_and(|process| process.manner.is_some_and(Manner::has_rounds)) {
            return;
        }
        let read = LastRead { socket: note.socket, at: note.at, upto: note.upto };
        let newest = self.graph.on(note.socket, 1).next().map(|(id, _)| id);
        let more = self.graph.was_read(&read).filter(|(id, ambiguous)| !ambiguous && newest == Some(*id)).map(|(id, _)| id);
        if let Some(id) = more.filter(|id| self.graph.get(*id).is_some_and(|node| node.client || node.answered.is_none())) {
            self.noted_in_round(pid, *number, note.moment, id);
        }
    }

    /// A note is about this exchange.
    pub(super) fn note_round(&mut self, id: ExchangeId, note: &Noted) {
        let Thread { pid, tid } = note.thread;
        let Some(process) = self.processes.get_mut(&pid).filter(|process| process.manner.is_some_and(Manner::has_rounds)) else { return };
        match note.output.first() {
            Some(number) => process.rounds.noted(*number, note.moment, id),
            None if note.moment == Moment::SendCall => process.rounds.called_in_turn(tid, id),
            None => {}
        }
        if note.moment == Moment::SendResponse
            && let Some(known) = process.rounds.loops.get_mut(&tid)
        {
            known.turns.retain(|waits| *waits != id);
        }
    }

    fn noted_in_round(&mut self, pid: u32, number: u64, moment: Moment, id: ExchangeId) {
        if let Some(process) = self.processes.get_mut(&pid).filter(|process| process.manner.is_some_and(Manner::has_rounds)) {
            process.rounds.noted(number, moment, id);
        }
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
        let Some(rounds) = self.processes.get_mut(&pid).map(|process| &mut process.rounds) else { return };
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
            let Some(process) = self.processes.get(&pid) else { continue };
            if let Some(backward) = self.backward_in(process, id, node) {
                let (forward, chain) = match self.forward_in(process, node) {
                    Forward::Request(request) => (Some(request), None),
                    Forward::Call(before) => (None, self.root_before(process, before).ok()),
                    Forward::Nothing => (None, None),
                };
                let rounds = &mut self.processes.entry(pid).or_default().rounds;
                if let Some(forward) = forward {
                    rounds.forward.compare(forward, backward);
                }
                if let Some(forward) = chain {
                    rounds.chains.compare(forward, backward);
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
