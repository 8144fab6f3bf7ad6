//! What is known of each process, until it is forgotten.
use super::MAX_HOLD;
use super::class::Process;
use crate::capture::event::Nanos;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Processes remembered at once: more than run on a node.
const MAX_PROCESSES: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Processes {
    known: FxHashMap<u32, Process>,
    /// Those that have ended, and when they are forgotten.
    ended: VecDeque<(Nanos, u32)>,
    /// The time of the last tick.
    now: Nanos,
}

impl Processes {
    pub(super) fn get(&self, pid: u32) -> Option<&Process> {
        self.known.get(&pid)
    }

    pub(super) fn get_mut(&mut self, pid: u32) -> Option<&mut Process> {
        self.known.get_mut(&pid)
    }

    /// The process, known or new.
    pub(super) fn at(&mut self, pid: u32) -> &mut Process {
        if self.known.len() >= MAX_PROCESSES && !self.known.contains_key(&pid) {
            self.make_room();
        }
        self.known.entry(pid).or_default()
    }

    /// The process has ended: what it did may still be asked for, for a while.
    pub(super) fn end(&mut self, pid: u32) {
        if let Some(process) = self.known.get_mut(&pid) {
            let due = self.now.saturating_add(MAX_HOLD);
            process.ended = Some(due);
            self.ended.push_back((due, pid));
        }
    }

    pub(super) fn forget(&mut self, pid: u32) {
        self.known.remove(&pid);
    }

    /// Time has passed: of processes that ended so long ago nothing waits any more.
    pub(super) fn tick(&mut self, now: Nanos) {
        self.now = self.now.max(now);
        while let Some((due, pid)) = self.ended.pop_front_if(|(due, _)| *due <= now) {
            // Another one may have its number now.
            if self.known.get(&pid).is_some_and(|process| process.ended == Some(due)) {
                self.known.remove(&pid);
            }
        }
    }

    /// Everything else is found out again, but that a process's memory is looked at is said once.
    fn make_room(&mut self) {
        self.known.retain(|_, process| process.manner.is_some());
        if self.known.len() >= MAX_PROCESSES {
            self.known.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::manner::Manner;
    use super::*;

    #[test]
    fn a_process_that_ended_is_forgotten_later_unless_another_one_has_its_number() {
        let mut processes = Processes::default();
        processes.tick(1000);
        for pid in [1, 2, 3] {
            processes.at(pid).sdk = true;
        }
        processes.end(1);
        processes.end(2);
        processes.tick(999 + MAX_HOLD);
        assert!(processes.get(1).is_some() && processes.get(2).is_some());
        processes.forget(2);
        processes.at(2);
        processes.tick(1000 + MAX_HOLD);
        assert_eq!([1, 2, 3].map(|pid| processes.get(pid).is_some()), [false, true, true]);
    }

    #[test]
    fn when_there_are_too_many_those_whose_memory_is_looked_at_stay() {
        let mut processes = Processes::default();
        processes.at(1).manner = Some(Manner::Rounds);
        for pid in 2..=u32::try_from(MAX_PROCESSES).expect("a number") {
            processes.at(pid);
        }
        processes.at(2);
        assert!(processes.get(3).is_some(), "nothing new came");
        processes.at(1_000_000);
        assert_eq!([1, 3, 1_000_000].map(|pid| processes.get(pid).is_some()), [true, false, true]);
    }
}
