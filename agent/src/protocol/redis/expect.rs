//! The commands that wait for their replies, oldest first, as far as they matter to the meaning of a reply.
use super::reply::Word;
use std::collections::VecDeque;

/// Runs of like commands that are remembered. A run takes 16 bytes whatever its length; a pipeline that alternates reads and writes
/// makes one run per command, and 4,096 are more than any client sends before it reads.
const MAX_RUNS: usize = 4096;

/// What a command's reply may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// Nothing in particular.
    Reply,
    /// Nil is a miss.
    Read,
    /// Success changes the database to this one.
    Select(u32),
    /// A confirmation for each of so many channels; zero if nobody knows how many.
    Confirmation(Word, u32),
    /// Something else may come before it, as the connection may be subscribed.
    WhileSubscribed,
    /// Success makes the connection like a new one.
    Reset,
    /// The transaction is over.
    EndTransaction,
    /// Success makes the connection a log.
    Monitor,
    /// Success makes the connection a replication stream.
    Replicate,
}

impl Expect {
    /// Whether the database after the reply may be another one than before.
    pub(super) fn may_change_database(self) -> bool {
        matches!(self, Self::Select(_) | Self::Reset | Self::EndTransaction)
    }
}

/// A command that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// What its reply may mean.
    pub(super) expect: Expect,
    /// Its database was not certain yet when it was sent.
    pub(super) database_later: bool,
}

/// Commands that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    runs: VecDeque<(Waiting, u32)>,
    /// How many of them may change the database.
    changers: u32,
}

impl Queue {
    /// Whether a command that waits may change the database.
    pub(super) fn may_change_database(&self) -> bool {
        self.changers > 0
    }

    /// The oldest.
    pub(super) fn front(&self) -> Option<Expect> {
        self.runs.front().map(|(waiting, _)| waiting.expect)
    }

    /// Adds a command. `false` if there were too many: then only the number of those that wait is still known.
    pub(super) fn push(&mut self, waiting: Waiting) -> bool {
        let full = self.runs.len() >= MAX_RUNS;
        match self.runs.back_mut() {
            Some((last, run)) if *last == waiting && *run < u32::MAX => *run += 1,
            _ if full => {
                let total = self.runs.iter().fold(1u32, |total, (_, run)| total.saturating_add(*run));
                self.clear();
                self.runs.push_back((Waiting { expect: Expect::Reply, database_later: false }, total));
                return false;
            }
            _ => self.runs.push_back((waiting, 1)),
        }
        self.changers = self.changers.saturating_add(u32::from(waiting.expect.may_change_database()));
        true
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let (waiting, run) = self.runs.front_mut()?;
        let waiting = *waiting;
        *run -= 1;
        if *run == 0 {
            self.runs.pop_front();
        }
        self.changers = self.changers.saturating_sub(u32::from(waiting.expect.may_change_database()));
        Some(waiting)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_overflows_keeps_the_number_only() {
        let [read, select] = [Expect::Read, Expect::Select(1)].map(|expect| Waiting { expect, database_later: false });
        let mut queue = Queue::default();
        for _ in 0..MAX_RUNS / 2 {
            assert!(queue.push(read) && queue.push(select));
        }
        assert_eq!(queue.pop(), Some(read));
        assert!(queue.push(select) && queue.push(read) && queue.may_change_database());
        assert!(!queue.push(select) && !queue.may_change_database());
        let rest: Vec<Waiting> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, vec![Waiting { expect: Expect::Reply, database_later: false }; MAX_RUNS + 2]);
    }
}
