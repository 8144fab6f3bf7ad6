//! The commands that wait for their answers, oldest first.
use super::command::Command;
use std::collections::VecDeque;

/// Commands that are remembered, of 24 bytes each; more than any client sends before it reads.
const MAX_WAITING: usize = 4096;

/// A command that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Which; of a batch, the one that ends it.
    pub(super) command: &'static Command,
    /// Keys that it reads, or that its batch reads; zero if it is not said whether they were found.
    pub(super) keys: u32,
    /// Whether quiet commands stand before it, whose answers come first.
    pub(super) batch: bool,
    /// What its answer repeats of it.
    pub(super) mark: Option<u64>,
}

/// Commands that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    known: VecDeque<Waiting>,
    /// So many more wait before these, of which nothing else is known.
    unknown: u64,
}

impl Queue {
    /// Adds a command. If there are too many, only their number is still known.
    pub(super) fn push(&mut self, waiting: Waiting) {
        if self.known.len() >= MAX_WAITING {
            self.unknown += self.known.len() as u64;
            self.known.clear();
        }
        self.known.push_back(waiting);
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.unknown == 0
    }

    /// The oldest, if it is known.
    pub(super) fn front(&self) -> Option<Waiting> {
        self.known.front().copied().filter(|_| self.unknown == 0)
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        if self.unknown > 0 {
            self.unknown -= 1;
            return None;
        }
        self.known.pop_front()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
