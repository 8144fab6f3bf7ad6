//! The stages in a row: events go in, spans come out. The only place that knows them all.
//!
//! It takes no clock and does no I/O of its own; what it must know of processes it asks the [`Directory`]. It has two halves with one
//! channel's worth between them: live, one thread runs both, because the cheapest agent is the best; a file is in a hurry, and may give
//! each half a thread ([`Pipeline::halves`]). The spans are the same.
#[cfg(test)]
mod cases;
mod explained;
mod listener;
#[cfg(test)]
mod lookups;
#[cfg(test)]
mod meetings;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod rounds;
mod teller;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tunnels;
#[cfg(test)]
mod units;
#[cfg(test)]
pub(crate) mod world;

pub use explained::{Behind, Explained, Facts};
pub use listener::{Heard, Listener};
pub use teller::Teller;

use crate::capture::event::{Event, Nanos, SocketId};
use crate::causality::class::Habit;
use crate::causality::manner::Manner;
use crate::causality::meeting::{Answer, Letter};
use crate::causality::policy::Policy;
use crate::enrich::directory::Directory;
use crate::enrich::process::ProcessInfo;
use crate::enrich::span::Span;
use crate::exchange::ExchangeId;
use crate::flow::DropCause;
use crate::selection::Selection;
use std::borrow::Cow;
use std::collections::BTreeMap;
use wirespan_abi::Verdict as SocketVerdict;

/// The stages of one source.
pub struct Pipeline {
    listener: Listener,
    teller: Teller,
}

impl Pipeline {
    /// Stages without any state, which believe every header. `reads` says whether the source is a kernel: that it
    /// reports reads, and obeys verdicts.
    #[must_use]
    pub fn new(directory: Directory, selection: Selection, reads: bool) -> Self {
        Self::with_policy(directory, selection, Policy::default(), reads)
    }

    /// The same, with what a person decided about headers.
    #[must_use]
    pub fn with_policy(directory: Directory, selection: Selection, policy: Policy, reads: bool) -> Self {
        Self { listener: Listener::new(selection.clone(), reads), teller: Teller::new(directory, selection, policy, reads) }
    }

    /// Takes one event, gives the spans that it completes, and says whether the event was of use.
    pub fn event(&mut self, event: &Event<'_>, each: &mut dyn FnMut(Span)) -> Result<(), DropCause> {
        let Self { listener, teller } = self;
        listener.event(event, &mut |heard| teller.hear(heard, each))
    }

    /// Time has passed without events, too.
    pub fn tick(&mut self, now: Nanos, each: &mut dyn FnMut(Span)) {
        let Self { listener, teller } = self;
        listener.tick(now, &mut |heard| teller.hear(heard, each));
    }

    /// The input has ended: everything that can be told is.
    pub fn finish(&mut self, each: &mut dyn FnMut(Span)) {
        let Self { listener, teller } = self;
        listener.finish(&mut |heard| teller.hear(heard, each));
    }

    /// Both halves, for two threads: what the first tells the second has to hear, all of it and in its order.
    pub fn halves(&mut self) -> (&mut Listener, &mut Teller) {
        (&mut self.listener, &mut self.teller)
    }

    /// What the source shall be told about sockets since the last call.
    pub fn take_verdicts(&mut self) -> impl Iterator<Item = (SocketId, SocketVerdict)> {
        self.listener.take_verdicts()
    }

    /// Sockets that have ended since the last call.
    pub fn take_closed(&mut self) -> std::vec::Drain<'_, SocketId> {
        self.listener.take_closed()
    }

    /// From now on requests may have their other end on another node, whose agent is asked and told by letters; they wait at most `wait`.
    pub fn meet(&mut self, wait: Nanos) {
        self.teller.meet(wait);
    }

    /// What is to be sent to the agents of other nodes since the last call.
    pub fn take_letters(&mut self) -> Vec<Letter> {
        self.teller.take_letters()
    }

    /// Takes an answer of theirs, and gives the spans that it completes.
    pub fn answer(&mut self, id: ExchangeId, answer: Answer, each: &mut dyn FnMut(Span)) {
        self.teller.answer(id, answer, each);
    }

    /// From now on [`Self::take_explained`] says what is behind each span.
    pub fn explain(&mut self) {
        self.teller.explain();
    }

    /// What is behind the spans made since the last call.
    pub fn take_explained(&mut self) -> Vec<Explained> {
        self.teller.take_explained()
    }

    /// Spans made so far, and those that were not, because their processes trace themselves.
    #[must_use]
    pub fn spans(&self) -> u64 {
        self.teller.spans()
    }

    /// Of these, those that were not made.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.teller.skipped()
    }

    /// Spans made, without those that were not, by the evidence of their links, as [`Evidence::counted`] names it.
    ///
    /// [`Evidence::counted`]: crate::causality::link::Evidence::counted
    #[must_use]
    pub fn links(&self) -> BTreeMap<Cow<'static, str>, u64> {
        self.teller.links().iter().map(|(evidence, count)| (evidence.counted(), *count)).collect()
    }

    /// Tells what was recorded of a process.
    pub fn learn(&mut self, info: ProcessInfo) {
        let pid = info.pid;
        self.directory().learn(info);
        let habit = self.directory().habit(pid);
        self.know(pid, habit);
    }

    /// The memory of a process is looked at from now on, and its notes are taken so.
    pub fn adapt(&mut self, pid: u32, manner: Manner) {
        self.teller.adapt(pid, manner);
    }

    /// The process is known to work like this.
    pub(crate) fn know(&mut self, pid: u32, habit: Habit) {
        self.teller.know(pid, habit);
    }

    /// Who is who.
    pub fn directory(&mut self) -> &mut Directory {
        self.teller.directory()
    }

    /// What did not become a span although it might look like one, by stage and cause; for people, not for sums.
    #[must_use]
    pub fn remarks(&self) -> BTreeMap<&'static str, u64> {
        let (flow, (exchanges, causality)) = (self.listener.counters(), self.teller.counters());
        let meetings = self.teller.meetings();
        let all = [
            ("flow.connections_unrecognised", flow.unrecognised),
            ("flow.connections_misjudged", flow.misjudged),
            ("flow.connections_evicted", flow.evicted),
            ("flow.invalid", flow.invalid),
            ("flow.unseen", flow.unseen),
            ("exchange.response_without_request", exchanges.response_without_request),
            ("exchange.idle", exchanges.idle),
            ("exchange.left", exchanges.left),
            ("exchange.unproven", exchanges.unproven),
            ("exchange.unread", exchanges.unread),
            ("exchange.too_many", exchanges.too_many),
            ("causality.context_conflict", causality.context_conflict),
            ("causality.context_untrusted", causality.context_untrusted),
            ("routes.untold", self.teller.routes_untold()),
            ("links.met", meetings.met),
            ("links.nobody", meetings.nobody),
            ("links.late", meetings.late),
            ("links.unanswered", meetings.unanswered),
            ("links.conflict", meetings.conflict),
        ];
        let left = self.listener.left().iter().map(|(name, count)| (*name, *count));
        all.into_iter().filter(|(_, count)| *count > 0).chain(left).collect()
    }
}
