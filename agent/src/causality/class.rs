//! How a process works on requests: the class decides which evidence counts in it.
use super::awaited::Awaited;
use super::births::Births;
use super::grounds::Standing;
use super::manner::Manner;
use super::rounds::Rounds;
use super::units::Units;
use crate::capture::event::{Nanos, SocketId, Thread};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Answered requests before a class is proven.
pub const PROOF_ANSWERED: u32 = 64;
/// Of these, requests that overlapped another one: without overlap every program looks like one thread per request.
pub const PROOF_OVERLAPPING: u32 = 8;
/// Threads remembered per process: a pool of the usual size; beyond it the idlest is forgotten.
const MAX_THREADS: usize = 1024;
/// Finished requests remembered per process, to find out what was going on when a call was made.
const MAX_RECENT: usize = 512;

/// Ports remembered per process: a service listens on a few.
const MAX_PORTS: usize = 16;

/// What is known of a program before it has served anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Habit {
    /// Nothing speaks for or against threads.
    #[default]
    Open,
    /// An event loop that does all its work for a request in the round in which it reads (nginx).
    IoLoop,
    /// It may be a loop: only a proven class counts.
    Doubtful,
    /// A runtime known to move work between threads or rounds.
    Migrating,
}

/// What the kernel's evidence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Not enough seen.
    Unproven,
    /// Each thread works on one request at a time and answers what it read.
    ThreadPerRequest,
    /// Threads share requests or work on several at a time.
    Other,
}

/// When a process worked on a request.
#[derive(Clone, Copy, Debug)]
struct Work {
    asked: Nanos,
    read: Nanos,
    over: Nanos,
    reader: Option<u32>,
}

/// One process.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) habit: Habit,
    /// It has ended; when it is forgotten.
    pub(super) ended: Option<Nanos>,
    /// How the notes of its memory are taken, if it is looked at.
    pub(super) manner: Option<Manner>,
    pub(super) units: Units,
    pub(super) rounds: Rounds,
    pub(super) births: Births,
    /// Who waits for which answer.
    pub(super) awaited: Awaited,
    /// It has exported spans of its own.
    pub(super) sdk: bool,
    /// It has sent what it had just read.
    pub(super) hands_on: bool,
    /// Ports on which it has answered.
    pub(super) ports: Vec<u16>,
    answered: u32,
    overlapping: u32,
    refuted: bool,
    /// When, and on which connection, each thread last finished a request.
    threads: FxHashMap<u32, (Nanos, SocketId)>,
    recent: VecDeque<Work>,
    last_over: Nanos,
}

impl Process {
    pub(super) fn class(&self) -> Class {
        if self.refuted {
            Class::Other
        } else if self.answered >= PROOF_ANSWERED && self.overlapping >= PROOF_OVERLAPPING {
            Class::ThreadPerRequest
        } else {
            Class::Unproven
        }
    }

    /// The same with its proof.
    pub(super) fn standing(&self) -> Standing {
        Standing { habit: self.habit, class: self.class(), answered: self.answered, overlapping: self.overlapping }
    }

    /// It has answered a request to `port`.
    pub(super) fn serves(&mut self, port: u16) {
        if self.ports.len() < MAX_PORTS && !self.ports.contains(&port) {
            self.ports.push(port);
        }
    }

    /// A request that came on `socket` at `asked` was over at `over`; who read and who answered it, where known.
    pub(super) fn worked(&mut self, socket: SocketId, asked: Nanos, over: Nanos, read: Option<(Nanos, Thread)>, answerer: Option<Thread>) {
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
        }
        let reader = read.map(|(_, thread)| thread.tid);
        self.recent.push_back(Work { asked, read: read.map_or(asked, |(at, _)| at), over, reader });
        let (Some((read_at, reader)), Some(answerer)) = (read, answerer) else { return };
        self.answered = self.answered.saturating_add(1);
        if read_at < self.last_over {
            self.overlapping = self.overlapping.saturating_add(1);
        }
        self.last_over = self.last_over.max(over);
        if reader.tid != answerer.tid {
            self.refuted = true;
        }
        if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&reader.tid) {
            let idlest = self.threads.iter().min_by_key(|(_, (over, _))| *over).map(|(tid, _)| *tid);
            idlest.map(|tid| self.threads.remove(&tid));
        }
        let before = self.threads.insert(reader.tid, (over, socket));
        // Requests pipelined on one connection are read together and answered in turn.
        if before.is_some_and(|(before, on)| read_at < before && on != socket) {
            self.refuted = true;
        }
    }

    /// Whether a finished request was being worked on at `at`.
    pub(super) fn was_busy(&self, at: Nanos) -> bool {
        self.recent.iter().any(|work| work.asked < at && at < work.over)
    }

    /// How many finished requests `tid`, or nobody knows who, was working on at `at`.
    pub(super) fn working(&self, tid: u32, at: Nanos) -> usize {
        self.recent.iter().filter(|work| work.read <= at && at < work.over && work.reader.is_none_or(|reader| reader == tid)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: u32) -> Thread {
        Thread { pid: 1, tid }
    }

    /// Serves `rounds` pairs of overlapping requests, each on its own thread.
    fn threads(rounds: u64) -> Process {
        let mut process = Process::default();
        for round in 0..rounds {
            let at = round * 100;
            process.worked(SocketId(1), at, at + 50, Some((at + 10, thread(1))), Some(thread(1)));
            process.worked(SocketId(2), at + 5, at + 60, Some((at + 20, thread(2))), Some(thread(2)));
        }
        process
    }

    #[test]
    fn a_thread_per_request_is_proven_by_64_answers_with_overlap() {
        assert_eq!(threads(31).class(), Class::Unproven);
        assert_eq!(threads(32).class(), Class::ThreadPerRequest);
    }

    #[test]
    fn without_overlap_nothing_is_proven() {
        let mut process = Process::default();
        for round in 0..1000 {
            let at = round * 100;
            process.worked(SocketId(1), at, at + 50, Some((at + 10, thread(1))), Some(thread(1)));
        }
        assert_eq!(process.class(), Class::Unproven);
    }

    #[test]
    fn two_requests_on_one_thread_refute_it() {
        let mut process = threads(40);
        process.worked(SocketId(1), 10_000, 10_050, Some((10_010, thread(1))), Some(thread(1)));
        process.worked(SocketId(2), 10_000, 10_060, Some((10_020, thread(1))), Some(thread(1)));
        assert_eq!(process.class(), Class::Other);
    }

    #[test]
    fn an_answer_from_another_thread_refutes_it() {
        let mut process = threads(40);
        process.worked(SocketId(1), 10_000, 10_050, Some((10_010, thread(1))), Some(thread(2)));
        assert_eq!(process.class(), Class::Other);
    }
}
