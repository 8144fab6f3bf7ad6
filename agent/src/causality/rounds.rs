//! What the threads of event loops do, callback by callback.
//!
//! A round is what a thread does in one callback after one of its reads. It ends with the thread's next read; what the thread sends in
//! between belongs to it if the stack says that the same callback still runs (see [`Manner::Rounds`](super::manner::Manner)). What follows
//! from this for calls is said in [`super::activation`].
use super::audit::Audit;
use super::marks::{Learnt, Mark};
use crate::capture::event::{Moment, SocketId};
use crate::exchange::ExchangeId;
use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, VecDeque};

/// Rounds remembered of one process: what it reads while the slowest call of ordinary programs lasts.
const MAX_ROUNDS: usize = 8192;
/// Loops of one process: more than it has processors.
const MAX_LOOPS: usize = 1024;
/// Exchanges remembered of one round, of each kind: as many as a program collects.
const MAX_IN_ROUND: usize = 64;
/// Rounds remembered in which one answer was read: one with the head, and one with the end.
const MAX_READS: usize = 8;
/// Requests of one loop whose rounds made no call: as many as it works on at a time.
const MAX_TURNS: usize = 256;

/// What a thread did in one callback after a read.
#[derive(Debug)]
pub(super) struct Round {
    number: u64,
    /// Exchanges of which something was read.
    pub(super) read: Vec<ExchangeId>,
    /// Requests whose responses were sent.
    pub(super) answered: Vec<ExchangeId>,
    /// Calls that were sent.
    pub(super) called: Vec<ExchangeId>,
    pub(super) over: bool,
}

/// A thread that runs a loop.
#[derive(Debug)]
pub(super) struct Loop {
    /// Its last round.
    pub(super) number: u64,
    /// The stack when that began.
    mark: Mark,
    /// What was read then.
    socket: SocketId,
    /// Something was sent in it.
    sent: bool,
    learnt: Learnt,
    /// Requests whose rounds made no call, in the order of their reads.
    pub(super) turns: VecDeque<ExchangeId>,
}

/// The rounds of a process.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    next: u64,
    /// By number, without gaps.
    recent: VecDeque<Round>,
    pub(super) loops: FxHashMap<u32, Loop>,
    /// Rounds in which something of a call's answer was read.
    read_in: FxHashMap<ExchangeId, Vec<u64>>,
    /// Calls that were sent outside of rounds, and whose turn it was.
    in_turn: BTreeMap<ExchangeId, ExchangeId>,
    /// Forward evidence against backward evidence, wherever a call has both.
    pub(super) forward: Audit,
    /// The same where the forward evidence is a chain of calls.
    pub(super) chains: Audit,
}

impl Rounds {
    pub(super) fn get(&self, number: u64) -> Option<&Round> {
        let first = self.recent.front()?.number;
        self.recent.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Round> {
        let first = self.recent.front()?.number;
        self.recent.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// A thread has read: its last round is over and another begins. Gives both. But where it reads on from the same socket in the same
    /// callback, and has not sent anything, its round goes on: the kernel tells of each packet that a read takes.
    pub(super) fn begin(&mut self, tid: u32, socket: SocketId, mark: Mark) -> (Option<u64>, u64) {
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
    pub(super) fn going_on(&mut self, tid: u32, mark: &Mark) -> Option<u64> {
        let known = self.loops.get_mut(&tid).filter(|known| known.learnt.is_same(&known.mark, mark))?;
        known.sent = true;
        Some(known.number)
    }

    /// Something happened to an exchange in a round.
    pub(super) fn noted(&mut self, number: u64, moment: Moment, id: ExchangeId) {
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
    pub(super) fn waits(&mut self, tid: u32, request: ExchangeId) {
        if let Some(known) = self.loops.get_mut(&tid) {
            if known.turns.len() >= MAX_TURNS {
                known.turns.pop_front();
            }
            known.turns.push_back(request);
        }
    }

    /// A thread has sent a call outside of rounds.
    pub(super) fn called_in_turn(&mut self, tid: u32, call: ExchangeId) {
        let Some(request) = self.loops.get_mut(&tid).and_then(|known| known.turns.pop_front()) else { return };
        if self.in_turn.len() >= MAX_ROUNDS {
            // The oldest: its answer was never read.
            self.in_turn.pop_first();
        }
        self.in_turn.insert(call, request);
    }

    /// The request whose response has the place among those of a round that the call's answer has among the answers that began it.
    fn answered_in_turn(&self, id: ExchangeId) -> Option<ExchangeId> {
        let mut rounds = self.of_answer(id);
        let (Some(round), None) = (rounds.next(), rounds.next()) else { return None };
        let place = round.read.iter().position(|read| *read == id)?;
        if round.read.len() == round.answered.len() { round.answered.get(place).copied() } else { None }
    }

    /// The request whose turn it was both when a call was sent and when its answer was read.
    pub(super) fn agreed_in_turn(&self, id: ExchangeId) -> Option<ExchangeId> {
        let (forward, backward) = (*self.in_turn.get(&id)?, self.answered_in_turn(id)?);
        (forward == backward).then_some(backward)
    }

    /// The rounds that began with something of the answer to this call.
    fn of_answer(&self, id: ExchangeId) -> impl Iterator<Item = &Round> {
        self.read_in.get(&id).into_iter().flatten().filter_map(|number| self.get(*number))
    }

    /// Whether nothing more can happen in the rounds of a call's answer.
    pub(super) fn is_over(&self, id: ExchangeId) -> bool {
        let mut rounds = self.of_answer(id).peekable();
        rounds.peek().is_some() && rounds.all(|round| round.over)
    }

    /// The only exchange of a list that the rounds of a call's answer have, if they began with nothing else.
    pub(super) fn only(&self, id: ExchangeId, list: impl Fn(&Round) -> &[ExchangeId]) -> Option<ExchangeId> {
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
