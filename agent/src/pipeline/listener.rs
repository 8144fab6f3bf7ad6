//! The first half of the pipeline: events become what was heard, in the order of the events. Knows connections and protocols, no process.
use crate::capture::event::{Event, Nanos, Process, SocketId};
use crate::causality::notes::Noted;
use crate::flow::{self, DropCause, Flow, Signal};
use crate::protocol::PROTOCOLS;
use crate::selection::Selection;
use std::collections::BTreeMap;
use wirespan_abi::Verdict as SocketVerdict;

/// Time between two looks at what has waited long enough, in the source's time.
const TICK: Nanos = 50_000_000;
/// Time between two looks at every connection.
const SWEEP: Nanos = 1_000_000_000;

/// What the first half tells the second. It owns what it holds, so that it can be told to another thread.
#[derive(Debug)]
pub enum Heard {
    /// A process connects, or sends a datagram. One that makes a single request and ends has to be looked at now.
    Connects {
        /// Process.
        pid: u32,
        /// What the kernel calls it.
        comm: [u8; 16],
    },
    /// A process changed.
    Process(Process),
    /// A process's memory was looked at.
    Note(Box<Noted>),
    /// A connection said something.
    Signal(Signal),
    /// It is `now` in the source's time; `sweep` comes once a second.
    Time {
        /// Now.
        now: Nanos,
        /// Every connection was looked at.
        sweep: bool,
    },
    /// The input ended at that time.
    Over(Nanos),
}

/// Turns events into what was heard.
pub struct Listener {
    flow: Flow,
    selection: Selection,
    now: Nanos,
    ticked: Nanos,
    swept: Nanos,
    closed: Vec<SocketId>,
}

impl Listener {
    pub(super) fn new(selection: Selection, obeyed: bool) -> Self {
        Self { flow: Flow::new(PROTOCOLS, obeyed), selection, now: 0, ticked: 0, swept: 0, closed: Vec::new() }
    }

    /// Takes one event, tells what follows from it, and says whether it was of use.
    pub fn event(&mut self, event: &Event<'_>, out: &mut dyn FnMut(Heard)) -> Result<(), DropCause> {
        self.now = self.now.max(time_of(event));
        match event {
            Event::Process(change) => {
                if let Process::Forked { parent, child } = *change {
                    self.selection.forked(parent, child);
                }
                out(Heard::Process(*change));
                return Ok(());
            }
            Event::Opened(opened) => {
                if let Some(opener) = opened.opener {
                    out(Heard::Connects { pid: opener.thread.pid, comm: opened.comm });
                }
            }
            Event::Datagram(datagram) => {
                let sender = datagram.sender;
                let ports = self.selection.wants_ports(datagram.local.port(), datagram.remote.port());
                if !ports || sender.is_some_and(|sender| !self.selection.wants_process(sender.thread.pid)) {
                    return Err(DropCause::Ignored);
                }
                if let Some(sender) = sender {
                    out(Heard::Connects { pid: sender.thread.pid, comm: datagram.comm });
                }
            }
            Event::Closed(closed) => self.closed.push(closed.socket),
            Event::Note(note) => {
                out(Heard::Note(Box::new(Noted::from(note))));
                return Ok(());
            }
            Event::Segment(_) | Event::Read(_) => {}
        }
        let used = self.flow.event(event, &mut |signal| out(Heard::Signal(signal)));
        self.select(event);
        if self.now.saturating_sub(self.ticked) >= TICK {
            self.tick(self.now, out);
        }
        used
    }

    /// Time has passed without events, too.
    pub(super) fn tick(&mut self, now: Nanos, out: &mut dyn FnMut(Heard)) {
        self.now = self.now.max(now);
        self.ticked = self.now;
        let sweep = self.now.saturating_sub(self.swept) >= SWEEP;
        if sweep {
            self.swept = self.now;
            self.flow.tick(self.now.saturating_sub(SWEEP), &mut |signal| out(Heard::Signal(signal)));
        }
        out(Heard::Time { now: self.now, sweep });
    }

    /// The input has ended.
    pub(super) fn finish(&mut self, out: &mut dyn FnMut(Heard)) {
        self.flow.finish(&mut |signal| out(Heard::Signal(signal)));
        out(Heard::Over(self.now));
    }

    /// What the source shall be told about sockets since the last call.
    pub fn take_verdicts(&mut self) -> impl Iterator<Item = (SocketId, SocketVerdict)> {
        self.flow.take_verdicts()
    }

    /// Sockets that have ended since the last call.
    pub fn take_closed(&mut self) -> std::vec::Drain<'_, SocketId> {
        self.closed.drain(..)
    }

    /// Connections that became something else, by what.
    pub(super) fn left(&self) -> &BTreeMap<&'static str, u64> {
        self.flow.left()
    }

    pub(super) fn counters(&self) -> flow::Counters {
        self.flow.counters()
    }

    /// Tells the source about sockets that nobody asked for.
    fn select(&mut self, event: &Event<'_>) {
        let unwanted = match event {
            Event::Opened(opened) => !self.selection.wants_ports(opened.local.port(), opened.remote.port()),
            Event::Segment(segment) => segment.sender.is_some_and(|sender| !self.selection.wants_process(sender.thread.pid)),
            Event::Read(read) => !self.selection.wants_process(read.thread.pid),
            Event::Datagram(_) | Event::Closed(_) | Event::Process(_) | Event::Note(_) => false,
        };
        if unwanted && let Some(socket) = socket_of(event) {
            self.flow.ignore(socket);
        }
    }
}

fn time_of(event: &Event<'_>) -> Nanos {
    match event {
        Event::Opened(opened) => opened.at,
        Event::Segment(segment) => segment.at,
        Event::Datagram(datagram) => datagram.at,
        Event::Read(read) => read.at,
        Event::Closed(closed) => closed.at,
        Event::Note(note) => note.at,
        Event::Process(_) => 0,
    }
}

fn socket_of(event: &Event<'_>) -> Option<SocketId> {
    match event {
        Event::Opened(opened) => Some(opened.socket),
        Event::Segment(segment) => Some(segment.socket),
        Event::Read(read) => Some(read.socket),
        Event::Closed(closed) => Some(closed.socket),
        Event::Note(note) => Some(note.socket),
        // Its socket is nothing that verdicts are made on.
        Event::Datagram(_) | Event::Process(_) => None,
    }
}
