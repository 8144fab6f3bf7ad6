//! What a client has sent and the server has not answered, oldest first.
use std::collections::VecDeque;

/// Messages that may wait for their answers: three each for a pipeline of 5,000 statements. 16 bytes each.
const MOST: usize = 16 * 1024;

/// What is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Simple,
    Parse,
    Bind,
    DescribeStatement,
    DescribePortal,
    Execute,
    Close,
    Function,
    Sync,
}

impl Expect {
    /// Whether a message of this type is the end of the answer (`true`) or part of it; `None` if it does not belong to one.
    pub(super) fn answered_by(self, kind: u8) -> Option<bool> {
        let (within, end): (&[u8], &[u8]) = match self {
            Self::Simple => (b"TDCIGHWdc", b""),
            Self::Parse => (b"", b"1"),
            Self::Bind => (b"", b"2"),
            Self::DescribeStatement => (b"t", b"Tn"),
            Self::DescribePortal => (b"", b"Tn"),
            Self::Execute => (b"DGHWdc", b"CIs"),
            Self::Close => (b"", b"3"),
            Self::Function => (b"", b"V"),
            Self::Sync => (b"", b""),
        };
        if end.contains(&kind) { Some(true) } else { within.contains(&kind).then_some(false) }
    }
}

/// A message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) expect: Expect,
    /// The number of the request that it is part of; zero if it is part of none.
    pub(super) request: u64,
    /// With its answer, the request's ends.
    pub(super) last: bool,
}

/// The messages that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// How many of them are `Sync`.
    syncs: usize,
}

impl Queue {
    pub(super) fn front(&self) -> Option<Waiting> {
        self.waiting.front().copied()
    }

    /// Adds a message. If there are too many, none is known any more, and nothing up to the next `ReadyForQuery` is paired.
    pub(super) fn push(&mut self, waiting: Waiting) {
        if self.waiting.len() >= MOST {
            self.clear();
        }
        self.syncs += usize::from(waiting.expect == Expect::Sync);
        self.waiting.push_back(waiting);
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.syncs -= usize::from(waiting.expect == Expect::Sync);
        Some(waiting)
    }

    pub(super) fn has_sync(&self) -> bool {
        self.syncs > 0
    }

    /// The request that the newest message belongs to is whole with it.
    pub(super) fn end_request(&mut self) {
        if let Some(newest) = self.waiting.back_mut() {
            newest.last = true;
        }
    }

    /// Forgets all but the oldest.
    pub(super) fn keep_front(&mut self) {
        self.waiting.truncate(1);
        self.syncs = self.waiting.iter().filter(|waiting| waiting.expect == Expect::Sync).count();
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.syncs = 0;
    }
}
