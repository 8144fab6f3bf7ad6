//! Notes of processes' memory find the exchanges that they are about.
//!
//! A note says which bytes of a socket were read or written when it was taken. It comes shortly before or after those bytes became an
//! exchange's first ones, so both sides look for the other: what comes first is kept for a while.
use super::Causality;
use super::graph::Node;
use super::manner::{Manner, Unit};
use crate::capture::event::{Moment, Nanos, Note, SocketId, Thread};
use crate::exchange::ExchangeId;
use crate::flow::stream::seq_distance;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Notes remembered of one socket: where many write to one, as many writes may wait there and leave in one packet.
const MAX_NOTES: usize = 256;
/// Notes remembered at once, at some 200 bytes each: as many as are taken within [`NOTE_LIFE`] on a large host.
const MAX_HELD: usize = 64 * 1024;
/// How long a note is remembered: a request's first bytes may come long before it is known to be one.
const NOTE_LIFE: Nanos = 2_000_000_000;
/// How long after its end an exchange waits for the note of its response: the write is told when the system call ends, on another CPU
/// perhaps.
pub(super) const NOTE_WAIT: Nanos = 50_000_000;
/// Exchanges of a socket that a note may be about: more than are unanswered on it.
pub(super) const LOOK_BACK: usize = 128;

/// A note that owns what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// When.
    pub at: Nanos,
    /// Which socket.
    pub socket: SocketId,
    /// Who.
    pub thread: Thread,
    /// What it did.
    pub moment: Moment,
    /// Sequence number of the first byte that was read or written.
    pub from: u32,
    /// The one after the last.
    pub upto: u32,
    /// What the process's walk put out, without the zeros at its end.
    pub output: Box<[u64]>,
    /// A copy of its memory, if its walk made one.
    pub window: Box<[u8]>,
}

impl From<&Note<'_>> for Noted {
    fn from(note: &Note<'_>) -> Self {
        let Note { at, socket, thread, moment, from, upto, ref output, more, window } = *note;
        let length = output.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        let more = more.chunks_exact(8).filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)));
        let output = output.iter().copied().take(length).chain(more).collect();
        Self { at, socket, thread, moment, from, upto, output, window: window.into() }
    }
}

impl Noted {
    /// Whether the byte is one of those that were read or written.
    fn covers(&self, seq: u32) -> bool {
        seq_distance(seq, self.from) >= 0 && seq_distance(self.upto, seq) > 0
    }

    /// Whether it is about an exchange's answer.
    fn is_of_answer(&self) -> bool {
        matches!(self.moment, Moment::SendResponse | Moment::ReadAnswer)
    }
}

/// The notes of the last moments.
#[derive(Default)]
pub(super) struct Notes {
    sockets: FxHashMap<SocketId, VecDeque<Arc<Noted>>>,
    /// How many these are.
    held: usize,
    /// When those that were too old were forgotten last.
    swept: Nanos,
}

impl Notes {
    fn keep(&mut self, note: Arc<Noted>) {
        if self.held >= MAX_HELD {
            self.sockets.clear();
            self.held = 0;
        }
        let notes = self.sockets.entry(note.socket).or_default();
        let forgotten = |oldest: &Arc<Noted>| oldest.at.saturating_add(NOTE_LIFE) <= note.at;
        while notes.len() >= MAX_NOTES || notes.front().is_some_and(forgotten) {
            notes.pop_front();
            self.held -= 1;
        }
        notes.push_back(note);
        self.held += 1;
    }

    /// The note of the byte at which a request (or its answer) begins.
    fn find(&self, socket: SocketId, seq: u32, answer: bool, client: bool) -> Option<&Arc<Noted>> {
        let fits = |note: &&Arc<Noted>| note.is_of_answer() == answer && is_at(note.moment, client) && note.covers(seq);
        self.sockets.get(&socket)?.iter().rev().find(fits)
    }

    /// Forgets what is too old, now and then: it looks at every socket.
    pub(super) fn tick(&mut self, now: Nanos) {
        if now.saturating_sub(self.swept) < NOTE_LIFE {
            return;
        }
        self.swept = now;
        self.sockets.retain(|_, notes| notes.back().is_some_and(|note| note.at.saturating_add(NOTE_LIFE) > now));
        self.held = self.sockets.values().map(VecDeque::len).sum();
    }
}

/// Whether the moment is one of a connection's client.
fn is_at(moment: Moment, client: bool) -> bool {
    matches!(moment, Moment::SendCall | Moment::ReadAnswer) == client
}

impl Causality {
    /// Takes a note.
    pub(super) fn take_note(&mut self, mut note: Noted) {
        self.take_round(&mut note);
        if let Some(process) =
            self.processes.get_mut(note.thread.pid).filter(|process| process.manner == Some(Manner::Units(Unit::Goroutine)))
        {
            process.births.note(&note);
            process.awaited.note(&note);
        }
        let note = Arc::new(note);
        let about = |node: &Node| {
            let first = if note.is_of_answer() { node.answered } else { Some(node.asked) };
            is_at(note.moment, node.client) && first.is_some_and(|first| note.covers(first.seq))
        };
        let mut ids: Vec<ExchangeId> = self.graph.on(note.socket, LOOK_BACK).filter(|(_, node)| about(node)).map(|(id, _)| id).collect();
        ids.reverse();
        for id in ids {
            self.noted(id, &note);
        }
        self.more_in_round(&note);
        self.notes.keep(note);
    }

    /// The request of an exchange is known now: is there a note of it?
    pub(super) fn note_request(&mut self, id: ExchangeId) {
        let Some(node) = self.graph.get(id) else { return };
        if let Some(note) = self.notes.find(node.socket, node.asked.seq, false, node.client).map(Arc::clone) {
            self.noted(id, &note);
        }
    }

    /// The answer of an exchange is known now: is there a note of it?
    pub(super) fn note_answer(&mut self, id: ExchangeId) {
        let Some((node, answered)) = self.graph.get(id).and_then(|node| Some((node, node.answered?))) else { return };
        if let Some(note) = self.notes.find(node.socket, answered.seq, true, node.client).map(Arc::clone) {
            self.noted(id, &note);
        }
    }

    /// A note is about this exchange.
    fn noted(&mut self, id: ExchangeId, note: &Arc<Noted>) {
        let Some(exchange) = self.graph.get_mut(id) else { return };
        let kept = if note.is_of_answer() { &mut exchange.answer_note } else { &mut exchange.request_note };
        if kept.is_some() {
            return;
        }
        *kept = Some(Arc::clone(note));
        if note.moment == Moment::SendCall {
            // A packet that left later, when the kernel was free to, does not say who wrote it.
            exchange.thread = exchange.thread.or(Some(note.thread));
        }
        self.retry.push(id);
        self.note_round(id, note);
        if note.moment == Moment::SendResponse {
            self.note_response(id);
        }
    }
}
