//! The second half of the pipeline: what was heard becomes spans. Knows exchanges, processes and links, no bytes.
use super::explained::{Behind, Explained, Facts};
use super::listener::Heard;
use crate::capture::event::{Nanos, Process, Sender, Thread};
use crate::causality::class::Habit;
use crate::causality::link::Evidence;
use crate::causality::manner::Manner;
use crate::causality::meeting::{self, Answer, Letter};
use crate::causality::policy::{BaggageKey, Policy};
use crate::causality::{self, Causality, Verdict};
use crate::enrich::build;
use crate::enrich::directory::Directory;
use crate::enrich::route::Routes;
use crate::enrich::span::{Resource, Span};
use crate::exchange::{self, ExchangeId, Exchanges, Progress};
use crate::flow::Signal;
use crate::selection::Selection;
use rustc_hash::FxHashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Turns what was heard into spans.
pub struct Teller {
    exchanges: Exchanges,
    linker: Linker,
}

/// From the progress of exchanges on.
struct Linker {
    causality: Causality,
    builder: Builder,
}

/// From verdicts on.
struct Builder {
    directory: Directory,
    routes: Routes,
    selection: Selection,
    baggage: Vec<BaggageKey>,
    spans: u64,
    /// Of these, those that were not made, because their processes trace themselves.
    skipped: u64,
    /// The others by the evidence of their links.
    links: FxHashMap<Evidence, u64>,
    /// What is behind each span, where somebody asks why.
    explained: Option<Vec<Explained>>,
}

impl Teller {
    pub(super) fn new(directory: Directory, selection: Selection, policy: Policy, reads: bool) -> Self {
        let builder = Builder {
            directory,
            routes: Routes::default(),
            selection,
            baggage: policy.baggage.clone(),
            spans: 0,
            skipped: 0,
            links: FxHashMap::default(),
            explained: None,
        };
        Self { exchanges: Exchanges::new(reads), linker: Linker { causality: Causality::new(policy, reads), builder } }
    }

    /// Takes what was heard and gives the spans that it completes.
    pub fn hear(&mut self, heard: Heard, each: &mut dyn FnMut(Span)) {
        let Self { exchanges, linker } = self;
        match heard {
            Heard::Signal(signal) => self.signal(signal, each),
            Heard::Connects { pid, comm } => {
                linker.meet(pid);
                linker.builder.directory.was_called(pid, &comm);
            }
            Heard::Note(note) => {
                let Linker { causality, builder } = linker;
                causality.note(*note, &mut |verdict| builder.verdict(verdict, each));
            }
            Heard::Process(change) => linker.process(change),
            Heard::Time { now, sweep } => {
                if sweep && let Some((pid, habit)) = linker.builder.directory.recheck() {
                    linker.causality.know(pid, habit);
                }
                exchanges.tick(now, &mut |step| linker.progress(step, each));
                let Linker { causality, builder } = linker;
                causality.tick(now, &mut |verdict| builder.verdict(verdict, each));
            }
            Heard::Over(now) => {
                exchanges.finish(now, &mut |step| linker.progress(step, each));
                let Linker { causality, builder } = linker;
                causality.finish(&mut |verdict| builder.verdict(verdict, each));
            }
        }
    }

    fn signal(&mut self, signal: Signal, each: &mut dyn FnMut(Span)) {
        let Self { exchanges, linker } = self;
        exchanges.signal(signal, &mut |step| linker.progress(step, each));
    }

    pub(super) fn spans(&self) -> u64 {
        self.linker.builder.spans
    }

    pub(super) fn skipped(&self) -> u64 {
        self.linker.builder.skipped
    }

    /// Requests whose route was not told.
    pub(super) fn routes_untold(&self) -> u64 {
        self.linker.builder.routes.untold
    }

    pub(super) fn links(&self) -> &FxHashMap<Evidence, u64> {
        &self.linker.builder.links
    }

    pub(super) fn counters(&self) -> (exchange::Counters, causality::Counters) {
        (self.exchanges.counters(), self.linker.causality.counters())
    }

    pub(super) fn meetings(&self) -> meeting::Counters {
        self.linker.causality.meetings()
    }

    pub(super) fn meet(&mut self, wait: Nanos) {
        self.linker.causality.meet(wait);
    }

    pub(super) fn take_letters(&mut self) -> Vec<Letter> {
        self.linker.causality.take_letters()
    }

    pub(super) fn answer(&mut self, id: ExchangeId, answer: Answer, each: &mut dyn FnMut(Span)) {
        let Linker { causality, builder } = &mut self.linker;
        causality.answer(id, answer, &mut |verdict| builder.verdict(verdict, each));
    }

    pub(super) fn explain(&mut self) {
        self.linker.causality.explain();
        self.linker.builder.explained = Some(Vec::new());
    }

    pub(super) fn take_explained(&mut self) -> Vec<Explained> {
        self.linker.builder.explained.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn adapt(&mut self, pid: u32, manner: Manner) {
        self.linker.meet(pid);
        self.linker.causality.adapt(pid, manner);
    }

    pub(super) fn know(&mut self, pid: u32, habit: Habit) {
        self.linker.causality.know(pid, habit);
    }

    pub(super) fn directory(&mut self) -> &mut Directory {
        &mut self.linker.builder.directory
    }
}

impl Linker {
    fn progress(&mut self, step: Progress, each: &mut dyn FnMut(Span)) {
        if let Some(thread) = thread_of(&step) {
            self.meet(thread.pid);
        }
        let Self { causality, builder } = self;
        causality.progress(step, &mut |verdict| builder.verdict(verdict, each));
    }

    /// Finds out how a process works before the first verdict on it.
    fn meet(&mut self, pid: u32) {
        if !self.causality.knows(pid) {
            self.causality.know(pid, self.builder.directory.habit(pid));
        }
    }

    fn process(&mut self, change: Process) {
        match change {
            Process::Forked { parent, child } => {
                self.builder.selection.forked(parent, child);
                self.causality.forget(child);
            }
            Process::Executed { pid } => self.causality.forget(pid),
            Process::Exited { pid } => self.causality.ended(pid),
        }
        self.builder.directory.changed(change);
    }
}

impl Builder {
    fn verdict(&mut self, verdict: Verdict, each: &mut dyn FnMut(Span)) {
        let (mut span, pid, evidence, behind) = match verdict {
            Verdict::Merged(_) => return,
            Verdict::Skipped(pid) => {
                let wanted = u64::from(self.selection.wants_span(pid));
                self.spans += wanted;
                self.skipped += wanted;
                return;
            }
            Verdict::Linked(mut linked) => {
                let behind = self.explained.is_some().then(|| Behind::Exchange(Facts::of(&linked)));
                build::record_baggage(&mut linked.exchange.request, &self.baggage);
                let (opened, pid) = (Arc::clone(&linked.exchange.opened), linked.pid);
                let client = linked.exchange.client != linked.exchange.pushed;
                let evidence = linked.link.evidence;
                let resource = self.resource(pid, opened.local, client);
                let peer = linked.peer.map(|peer| self.resource(peer.pid, opened.remote, !client).service().to_owned());
                (build::exchange_span(*linked, resource, peer, |at| self.directory.clock(at)), pid, evidence, behind)
            }
            Verdict::ConnectFailed { opened, closed, link } => {
                let pid = opened.opener.map(|opener| opener.thread.pid);
                let (resource, evidence) = (self.resource(pid, opened.local, true), link.evidence);
                let behind = self.explained.is_some().then_some(Behind::FailedConnect(*opened, closed));
                (build::failed_connect_span(&opened, &closed, link, resource, |at| self.directory.clock(at)), pid, evidence, behind)
            }
        };
        if self.selection.wants_span(pid) {
            self.routes.tell(&mut span);
            self.spans += 1;
            *self.links.entry(evidence).or_default() += 1;
            if let (Some(explained), Some(behind)) = (&mut self.explained, behind) {
                explained.push(Explained { span: span.clone(), evidence, behind });
            }
            each(span);
        }
    }

    fn resource(&mut self, pid: Option<u32>, address: SocketAddr, client: bool) -> Arc<Resource> {
        pid.and_then(|pid| self.directory.process(pid)).unwrap_or_else(|| self.directory.address(address, client))
    }
}

/// The thread whose process this step is about, if it names one.
fn thread_of(step: &Progress) -> Option<Thread> {
    let of = |sender: Option<Sender>| sender.map(|sender| sender.thread);
    match step {
        Progress::Begun(begun) if begun.client => of(begun.asked.sender.or(begun.opener)),
        Progress::Done(exchange) => exchange.read.map(|read| read.thread).or(exchange.answered.and_then(|answered| of(answered.sender))),
        Progress::ConnectFailed { opened, .. } => of(opened.opener),
        Progress::Begun(_) | Progress::Answered { .. } | Progress::Lost(_) => None,
    }
}
