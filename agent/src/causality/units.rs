//! Links by unit of execution: tasks, goroutines, coroutines, virtual threads.
//!
//! Whoever sends a response has worked on its request. So a call belongs to the first request, read before the call was sent, whose
//! response one of the call's units sends next: the unit that sent the call, or one that waits for it. That unit is known when the
//! response has been sent; until every request that could be it was answered, the call waits. Where none of them sends a response, the
//! call belongs to the request for which one of them was created, if that is known: see [`super::births`].
use super::Causality;
use super::audit::Audit;
use super::awaited::Awaiter;
use super::births::{Between, Child};
use super::class::Process;
use super::graph::{Node, Waited};
use super::link::{Evidence, Reason};
use super::manner::{Manner, Unit};
use super::notes::{LOOK_BACK, NOTE_WAIT};
use super::rules::Ruling;
use crate::capture::event::{Nanos, SocketId};
use crate::exchange::ExchangeId;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Responses remembered of one process: what it answers while the slowest call of ordinary programs lasts.
const MAX_RESPONSES: usize = 8192;

/// A response and whose it is.
#[derive(Clone, Copy, Debug)]
struct Response {
    request: ExchangeId,
    socket: SocketId,
    read: Nanos,
    at: Nanos,
    /// Its request was read before the unit's response to another one on the same connection was sent.
    overlaps: bool,
}

/// What a unit was created for.
struct Born {
    child: Child,
    owner: ExchangeId,
    /// The request had been answered when the call was sent.
    answered: bool,
}

/// Which unit of a process sent which responses.
#[derive(Debug, Default)]
pub(super) struct Units {
    responses: FxHashMap<u64, VecDeque<Response>>,
    /// Units in the order of their responses.
    order: VecDeque<u64>,
    last: Nanos,
    /// Responses to requests that overlapped others. It fails if the unit was at another request meanwhile: then it is no unit.
    audit: Audit,
}

impl Units {
    fn responded(&mut self, unit: u64, mut response: Response) {
        let before = self.responses.get(&unit).and_then(VecDeque::back);
        response.overlaps = before.is_some_and(|before| response.read < before.at && before.socket == response.socket);
        if response.read < self.last {
            self.audit.compare(!before.is_some_and(|before| response.read < before.at && before.socket != response.socket));
        }
        self.last = self.last.max(response.at);
        if self.order.len() >= MAX_RESPONSES
            && let Some(oldest) = self.order.pop_front()
            && let Some(responses) = self.responses.get_mut(&oldest)
        {
            responses.pop_front();
            if responses.is_empty() {
                self.responses.remove(&oldest);
            }
        }
        self.order.push_back(unit);
        self.responses.entry(unit).or_default().push_back(response);
    }

    /// The first response that the unit sent after `at`.
    fn next(&self, unit: u64, at: Nanos) -> Option<&Response> {
        self.responses.get(&unit)?.iter().rev().take_while(|response| response.at > at).last()
    }

    /// The response to the request that the unit was working on all the time between two moments.
    fn during(&self, unit: u64, between: Between) -> Option<&Response> {
        let responses = self.responses.get(&unit)?;
        // A unit that sends the responses of others: the goroutine of a connection with several streams.
        if responses.iter().rev().take_while(|response| response.at >= between.after).any(|response| response.overlaps) {
            return None;
        }
        let later = responses.partition_point(|response| response.read <= between.after);
        let is_at_next = responses.get(later).is_some_and(|next| next.read < between.before);
        responses.get(later.checked_sub(1)?).filter(|_| !is_at_next)
    }

    /// The request of the only one of these units that was working on one at that time.
    fn waits_alone(&self, units: impl Iterator<Item = u64>, at: Nanos) -> Option<ExchangeId> {
        let mut owners =
            units.filter_map(|unit| self.next(unit, at)).filter(|response| response.read < at).map(|response| response.request);
        let owner = owners.next()?;
        owners.all(|other| other == owner).then_some(owner)
    }
}

impl Causality {
    /// The note of a response has come.
    pub(super) fn note_response(&mut self, id: ExchangeId) {
        let Some(node) = self.graph.get(id) else { return };
        let Some(told) = &node.answer_note else { return };
        let (pid, unit, port) = (told.thread.pid, told.output.first().copied(), node.port);
        let read = node.read.map(|(at, _)| at).or(node.request_note.as_ref().map(|note| note.at)).unwrap_or(node.asked.at);
        let at = node.answered.map_or(told.at, |answered| answered.at);
        let response = Response { request: id, socket: node.socket, read, at, overlaps: false };
        let done = node.done;
        if let Some(process) = self.processes.get_mut(pid)
            && let Some(unit) = unit.filter(|_| matches!(process.manner, Some(Manner::Units(_))))
        {
            process.units.responded(unit, response);
        }
        if done {
            self.finished(id, port);
        }
        self.wake(id);
    }

    /// The note of a response is not waited for any more.
    pub(super) fn note_missing(&mut self, id: ExchangeId) {
        let Some(node) = self.graph.get(id) else { return };
        if node.answer_note.is_none() {
            self.finished(id, node.port);
            self.wake(id);
        }
    }

    /// Whether the note of a request's response is still to come, from the moment on when the exchange is over.
    pub(super) fn awaits_note(&mut self, id: ExchangeId, pid: u32, over: Nanos) -> bool {
        let noted = self.graph.get(id).is_none_or(|node| node.answer_note.is_some());
        let awaits = !noted && self.processes.get(pid).is_some_and(|process| process.manner.is_some());
        if awaits {
            self.notes_due.push_back((over.saturating_add(NOTE_WAIT), id));
        }
        awaits
    }

    /// What units say of a call.
    pub(super) fn rule_units(&self, node: &Node, process: &Process, unit: Unit) -> Ruling {
        if process.units.audit.is_refuted() {
            return Ruling::Orphan(Reason::Audit);
        }
        let awaiter = awaiter(node, process);
        let sent = node.request_note.as_ref();
        if sent.is_none() && awaiter.is_none() {
            return if node.waited == Waited::Briefly { Ruling::Wait(None) } else { Ruling::Orphan(Reason::Gap) };
        }
        let sent = sent.map(|note| &*note.output).unwrap_or_default();
        let answer = node.answer_note.as_ref().map(|note| &*note.output).unwrap_or_default();
        let named = awaiter.and_then(|awaiter| awaiter.request).into_iter().chain(unit.named(sent)).chain(unit.named(answer));
        if let Some(owner) = named.into_iter().find_map(|named| self.request_named(node, process, named)) {
            return Ruling::Owner { owner, evidence: Evidence::Goroutine, provisional: false };
        }
        if !node.done {
            return Ruling::Wait(None);
        }
        // A thread may do others' work one after the other, so who waited for the answer when it came says more than who sent the call.
        let sent = if unit == Unit::Thread && !answer.is_empty() { &[] } else { sent };
        let mut open = false;
        for id in awaiter.map(|awaiter| awaiter.unit).into_iter().chain(unit.among(sent)).chain(unit.among(answer)) {
            match process.units.next(id, node.asked.at) {
                Some(response) if response.read < node.asked.at => {
                    let evidence = match unit {
                        Unit::Task => Evidence::Task,
                        Unit::Goroutine => Evidence::Goroutine,
                        Unit::Thread => Evidence::Thread,
                    };
                    return Ruling::Owner { owner: response.request, evidence, provisional: false };
                }
                // It was at nothing when the call was sent.
                Some(_) => {}
                None => open = true,
            }
        }
        match self.rival(process, node.asked.at).filter(|_| open) {
            Some(rival) => Ruling::Wait(Some(rival)),
            // Where it serves is known from its first response on.
            None if open && process.ports.is_empty() && node.waited == Waited::Briefly => Ruling::Wait(None),
            None => {
                let born = || born_for(node, process, unit).filter(|born| process.births.trusts(born.child, born.answered));
                // Whoever reads for all streams of a connection is no worker of one.
                let worker = || process.units.waits_alone(unit.waiting(answer), node.asked.at).filter(|_| node.correlation.is_none());
                match worker().or_else(|| born().map(|born| born.owner)) {
                    Some(owner) => Ruling::Owner { owner, evidence: Evidence::Goroutine, provisional: false },
                    None => Ruling::Orphan(Reason::Root),
                }
            }
        }
    }

    /// The request with this number on the connection that the process calls so.
    fn request_named(&self, call: &Node, process: &Process, (connection, number): (u64, u64)) -> Option<ExchangeId> {
        let socket = process.births.connection(connection)?;
        let is_it = |node: &Node| !node.client && node.correlation == Some(number) && node.asked.at < call.asked.at;
        self.graph.on(socket, LOOK_BACK).find(|(_, node)| is_it(node)).map(|(id, _)| id)
    }

    /// Remembers what a call that is about to be linked says of the place where its unit was created.
    pub(super) fn learn_birth(&mut self, id: ExchangeId) {
        let Some(node) = self.graph.get(id).filter(|node| node.done) else { return };
        let Some(thread) = node.thread else { return };
        let Some((process, sent)) = self.processes.get(thread.pid).zip(node.request_note.as_ref()) else { return };
        let Some(Manner::Units(unit)) = process.manner else { return };
        let (Some(born), at) = (born_for(node, process, unit), sent.at) else { return };
        if let Some(process) = self.processes.get_mut(thread.pid) {
            process.births.learn(born.child, born.owner, at, born.answered);
        }
    }

    /// A request of the process that came before `at` and has no response yet.
    fn rival(&self, process: &Process, at: Nanos) -> Option<ExchangeId> {
        let unfinished = process.ports.iter().filter_map(|port| self.unfinished.get(port)).flatten();
        unfinished.copied().find(|id| self.graph.get(*id).is_some_and(|node| node.asked.at < at))
    }

    /// Tries again what waits for this exchange.
    pub(super) fn wake(&mut self, id: ExchangeId) {
        if let Some(node) = self.graph.get_mut(id) {
            let mut waiters = std::mem::take(&mut node.waiters);
            self.retry.append(&mut waiters);
        }
    }
}

/// Who waits for the call's answer, where another unit reads it.
fn awaiter(node: &Node, process: &Process) -> Option<Awaiter> {
    process.awaited.awaiter(node.socket, node.correlation?)
}

/// The request for which one of the call's units, or one that it descends from, was created.
fn born_for(node: &Node, process: &Process, unit: Unit) -> Option<Born> {
    let sent = node.request_note.as_ref()?;
    let answer = node.answer_note.as_ref().map(|note| &*note.output).unwrap_or_default();
    let awaiter = awaiter(node, process).map(|awaiter| awaiter.unit);
    let ancestors =
        awaiter.into_iter().chain(unit.among(&sent.output)).chain(unit.among(answer)).flat_map(|id| process.births.ancestors(id));
    let (id, child) = ancestors.into_iter().find(|(_, child)| process.units.responses.contains_key(&child.parent))?;
    let response = process.units.during(child.parent, process.births.created(id, sent.at))?;
    Some(Born { child, owner: response.request, answered: response.at < node.asked.at })
}
