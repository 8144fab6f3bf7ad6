//! The stages in a row: events go in, spans come out. The only place that knows them all.
//!
//! It runs on one thread, takes no clock and does no I/O of its own; what it must know of processes it asks the [`Directory`].
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use crate::capture::event::{Event, Nanos, Process, Sender, SocketId, Thread};
use crate::causality::{Causality, Verdict};
use crate::enrich::build;
use crate::enrich::directory::Directory;
use crate::enrich::process::ProcessInfo;
use crate::enrich::span::{Resource, Span};
use crate::exchange::{Exchanges, Progress};
use crate::flow::{DropCause, Flow, Signal};
use crate::protocol::PROTOCOLS;
use crate::selection::Selection;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use wirespan_abi::Verdict as SocketVerdict;

/// Time between two looks at what has waited long enough, in the source's time.
const TICK: Nanos = 50_000_000;
/// Time between two looks at every connection.
const SWEEP: Nanos = 1_000_000_000;

/// The stages of one source.
pub struct Pipeline {
    flow: Flow,
    exchanges: Exchanges,
    causality: Causality,
    directory: Directory,
    selection: Selection,
    spans: u64,
    now: Nanos,
    ticked: Nanos,
    swept: Nanos,
    signals: Vec<Signal>,
    progress: Vec<Progress>,
    verdicts: Vec<Verdict>,
    closed: Vec<SocketId>,
}

impl Pipeline {
    /// Stages without any state. `reads` says whether the source reports reads.
    #[must_use]
    pub fn new(directory: Directory, selection: Selection, reads: bool) -> Self {
        Self {
            flow: Flow::new(PROTOCOLS),
            exchanges: Exchanges::new(reads),
            causality: Causality::new(),
            directory,
            selection,
            spans: 0,
            now: 0,
            ticked: 0,
            swept: 0,
            signals: Vec::new(),
            progress: Vec::new(),
            verdicts: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Takes one event, gives the spans that it completes, and says whether the event was of use.
    pub fn event(&mut self, event: &Event<'_>, each: &mut dyn FnMut(Span)) -> Result<(), DropCause> {
        self.now = self.now.max(time_of(event));
        match event {
            Event::Process(change) => {
                self.process(*change);
                return Ok(());
            }
            // A program that makes one request and ends has to be looked at now.
            Event::Opened(opened) => {
                if let Some(opener) = opened.opener {
                    self.meet(opener.thread.pid);
                    self.directory.was_called(opener.thread.pid, &opened.comm);
                }
            }
            Event::Closed(closed) => self.closed.push(closed.socket),
            Event::Segment(_) | Event::Read(_) => {}
        }
        let signals = &mut self.signals;
        let used = self.flow.event(event, &mut |signal| signals.push(signal));
        self.select(event);
        self.run(each);
        if self.now.saturating_sub(self.ticked) >= TICK {
            self.tick(self.now, each);
        }
        used
    }

    /// Time has passed without events, too.
    pub fn tick(&mut self, now: Nanos, each: &mut dyn FnMut(Span)) {
        self.now = self.now.max(now);
        self.ticked = self.now;
        if self.now.saturating_sub(self.swept) >= SWEEP {
            self.swept = self.now;
            let (signals, before) = (&mut self.signals, self.now.saturating_sub(SWEEP));
            self.flow.tick(before, &mut |signal| signals.push(signal));
            self.run(each);
            if let Some((pid, habit)) = self.directory.recheck() {
                self.causality.know(pid, habit);
            }
        }
        let progress = &mut self.progress;
        self.exchanges.tick(self.now, &mut |step| progress.push(step));
        self.advance();
        let verdicts = &mut self.verdicts;
        self.causality.tick(self.now, &mut |verdict| verdicts.push(verdict));
        self.build(each);
    }

    /// The input has ended: everything that can be told is.
    pub fn finish(&mut self, each: &mut dyn FnMut(Span)) {
        let signals = &mut self.signals;
        self.flow.finish(&mut |signal| signals.push(signal));
        self.run(each);
        let progress = &mut self.progress;
        self.exchanges.finish(self.now, &mut |step| progress.push(step));
        self.advance();
        let verdicts = &mut self.verdicts;
        self.causality.finish(&mut |verdict| verdicts.push(verdict));
        self.build(each);
    }

    /// What the source shall be told about sockets since the last call.
    pub fn take_verdicts(&mut self) -> impl Iterator<Item = (SocketId, SocketVerdict)> {
        self.flow.take_verdicts()
    }

    /// Spans made so far.
    #[must_use]
    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// Tells what was recorded of a process.
    pub fn learn(&mut self, info: ProcessInfo) {
        let pid = info.pid;
        self.directory.learn(info);
        self.causality.know(pid, self.directory.habit(pid));
    }

    /// Sockets that have ended since the last call.
    pub fn take_closed(&mut self) -> std::vec::Drain<'_, SocketId> {
        self.closed.drain(..)
    }

    /// Who is who.
    pub fn directory(&mut self) -> &mut Directory {
        &mut self.directory
    }

    /// What did not become a span although it might look like one, by stage and cause; for people, not for sums.
    #[must_use]
    pub fn remarks(&self) -> BTreeMap<&'static str, u64> {
        let (flow, exchanges) = (self.flow.counters(), self.exchanges.counters());
        let all = [
            ("flow.connections_unrecognised", flow.unrecognised),
            ("flow.connections_misjudged", flow.misjudged),
            ("flow.connections_evicted", flow.evicted),
            ("flow.invalid", flow.invalid),
            ("flow.unseen", flow.unseen),
            ("exchange.response_without_request", exchanges.response_without_request),
            ("exchange.left", exchanges.left),
            ("exchange.unproven", exchanges.unproven),
            ("exchange.unread", exchanges.unread),
            ("exchange.too_many", exchanges.too_many),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    fn process(&mut self, change: Process) {
        match change {
            Process::Forked { parent, child } => {
                self.selection.forked(parent, child);
                self.causality.forget(child);
            }
            Process::Executed { pid } => self.causality.forget(pid),
            Process::Exited { .. } => {}
        }
        self.directory.changed(change);
    }

    /// Tells the source about sockets that nobody asked for.
    fn select(&mut self, event: &Event<'_>) {
        let unwanted = match event {
            Event::Opened(opened) => !self.selection.wants_ports(opened.local.port(), opened.remote.port()),
            Event::Segment(segment) => segment.sender.is_some_and(|sender| !self.selection.wants_process(sender.thread.pid)),
            Event::Read(read) => !self.selection.wants_process(read.thread.pid),
            Event::Closed(_) | Event::Process(_) => false,
        };
        if unwanted && let Some(socket) = socket_of(event) {
            self.flow.ignore(socket);
        }
    }

    /// Moves what lies between the stages on to the end.
    fn run(&mut self, each: &mut dyn FnMut(Span)) {
        if self.signals.is_empty() {
            return;
        }
        let progress = &mut self.progress;
        for signal in self.signals.drain(..) {
            self.exchanges.signal(signal, &mut |step| progress.push(step));
        }
        self.advance();
        self.build(each);
    }

    fn advance(&mut self) {
        let mut progress = std::mem::take(&mut self.progress);
        for step in progress.drain(..) {
            if let Some(thread) = thread_of(&step) {
                self.meet(thread.pid);
            }
            let verdicts = &mut self.verdicts;
            self.causality.progress(step, &mut |verdict| verdicts.push(verdict));
        }
        self.progress = progress;
    }

    /// Finds out how a process works before the first verdict on it.
    fn meet(&mut self, pid: u32) {
        if !self.causality.knows(pid) {
            self.causality.know(pid, self.directory.habit(pid));
        }
    }

    fn build(&mut self, each: &mut dyn FnMut(Span)) {
        for verdict in self.verdicts.drain(..) {
            let directory = &mut self.directory;
            let (span, pid) = match verdict {
                Verdict::Merged(_) => continue,
                Verdict::Linked(linked) => {
                    let (opened, client, pid) = (Arc::clone(&linked.exchange.opened), linked.exchange.client, linked.pid);
                    let resource = resource(directory, pid, opened.local, client);
                    let peer = linked.peer.map(|peer| resource_of_peer(directory, peer.pid, opened.remote, !client));
                    (build::exchange_span(*linked, resource, peer, |at| directory.clock(at)), pid)
                }
                Verdict::ConnectFailed { opened, closed, link } => {
                    let pid = opened.opener.map(|opener| opener.thread.pid);
                    let resource = resource(directory, pid, opened.local, true);
                    (build::failed_connect_span(&opened, &closed, link, resource, |at| directory.clock(at)), pid)
                }
            };
            if self.selection.wants_span(pid) {
                self.spans += 1;
                each(span);
            }
        }
    }
}

fn resource(directory: &mut Directory, pid: Option<u32>, address: SocketAddr, client: bool) -> Arc<Resource> {
    pid.and_then(|pid| directory.process(pid)).unwrap_or_else(|| directory.address(address, client))
}

fn resource_of_peer(directory: &mut Directory, pid: Option<u32>, address: SocketAddr, client: bool) -> String {
    resource(directory, pid, address, client).service().to_owned()
}

fn time_of(event: &Event<'_>) -> Nanos {
    match event {
        Event::Opened(opened) => opened.at,
        Event::Segment(segment) => segment.at,
        Event::Read(read) => read.at,
        Event::Closed(closed) => closed.at,
        Event::Process(_) => 0,
    }
}

fn socket_of(event: &Event<'_>) -> Option<SocketId> {
    match event {
        Event::Opened(opened) => Some(opened.socket),
        Event::Segment(segment) => Some(segment.socket),
        Event::Read(read) => Some(read.socket),
        Event::Closed(closed) => Some(closed.socket),
        Event::Process(_) => None,
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
