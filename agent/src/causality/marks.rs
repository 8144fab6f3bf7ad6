//! Whether two moments of a thread belong to one callback of its event loop, as its stack tells.
//!
//! The bytes of a suspended frame do not change. So two moments are in one callback if their stacks share its frames, from the stack's
//! beginning on: those of the loop, which all callbacks share, and beyond them some of its own. Where the loop's frames end is known of
//! a runtime that has an adapter of its own; elsewhere it is learnt from reads of different sockets, which different callbacks do.
use super::notes::Noted;
use crate::capture::event::SocketId;
use rustc_hash::FxHasher;
use std::collections::BTreeMap;
use std::hash::Hasher;

/// Bytes beyond the loop's frames that the stacks of one callback share at least. Of Netty's, Vert.x' and reactor-netty's loops none shares
/// less than 200, and no two callbacks share one.
const OWN: usize = 128;
/// Bytes that they share at most: more says that the loop's frames are not known, because its callbacks never came one after the other.
const MOST_OWN: usize = 1280;
/// Pairs of reads before something is learnt.
const PAIRS: u32 = 64;
/// Of so many pairs one may share more than the loop's frames: a socket that was closed and opened again within one callback.
const EXCEPTIONS: u32 = 200;
/// Pairs after which older ones count half: compiled code has other frames than what it was compiled from.
const HALF_LIFE: u32 = 4096;
/// Lengths that are told apart.
const LENGTHS: usize = 128;

/// A thread's stack at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing is known of it.
    Unknown,
    /// The same as long as the callback runs.
    Exact(u64),
    /// The part of the stack that lies before the address `end`; what is below the stack pointer is left of something else.
    Stack {
        /// What was read.
        socket: SocketId,
        /// Where the part ends.
        end: u64,
        /// The part, from the stack pointer on.
        bytes: Box<[u8]>,
    },
}

impl Mark {
    /// Takes the window of a note for a mark: the whole of it if it is `exact`.
    pub(super) fn of(note: &mut Noted, exact: bool) -> Self {
        let window = std::mem::take(&mut note.window);
        let &[stack_pointer, lowest, ref places @ ..] = &*note.output else { return Self::Unknown };
        let dead = usize::try_from(stack_pointer.saturating_sub(lowest)).unwrap_or(usize::MAX);
        if !exact {
            let bytes: Box<[u8]> = window.get(dead..).unwrap_or_default().into();
            return Self::Stack { socket: note.socket, end: lowest.saturating_add(window.len() as u64), bytes };
        }
        if dead > 0 || window.is_empty() {
            return Self::Unknown;
        }
        let mut hasher = FxHasher::default();
        for place in places {
            hasher.write_u64(*place);
        }
        hasher.write(&window);
        Self::Exact(hasher.finish())
    }
}

/// How much of the stack all callbacks of a thread's loop share.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// Pairs of reads of different sockets, one after the other, by the number of bytes that they share.
    pairs: BTreeMap<usize, u32>,
    sum: u32,
}

impl Learnt {
    /// A thread has read once more.
    pub(super) fn reads(&mut self, before: &Mark, now: &Mark) {
        let (Mark::Stack { socket, .. }, Mark::Stack { socket: other, .. }) = (before, now) else { return };
        if socket == other {
            return;
        }
        if self.sum >= HALF_LIFE {
            self.pairs.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
            self.sum = self.pairs.values().sum();
        }
        *self.pairs.entry(shared(before, now)).or_default() += 1;
        self.sum += 1;
        if self.pairs.len() > LENGTHS
            && let Some((_, count)) = self.pairs.pop_first()
        {
            // The shortest say nothing.
            *self.pairs.entry(0).or_default() += count;
        }
    }

    /// Bytes that the stacks of different callbacks share at most, if that is known.
    fn frames(&self) -> Option<usize> {
        let mut above = 0;
        let exceptions = (self.sum / EXCEPTIONS).max(1);
        let found = self.pairs.iter().rev().find(|(_, count)| {
            above += **count;
            above > exceptions
        });
        found.map(|(length, _)| *length).filter(|_| self.sum >= PAIRS)
    }

    /// Whether both are moments of one callback.
    pub(super) fn is_same(&self, read: &Mark, sent: &Mark) -> bool {
        match (read, sent) {
            (Mark::Exact(read), Mark::Exact(sent)) => read == sent,
            (Mark::Stack { .. }, Mark::Stack { .. }) => {
                let shared = shared(read, sent);
                self.frames().is_some_and(|frames| (frames + OWN..frames + MOST_OWN).contains(&shared))
            }
            _ => false,
        }
    }
}

/// Bytes that two stacks share, counted from where both end.
fn shared(one: &Mark, other: &Mark) -> usize {
    match (one, other) {
        (Mark::Stack { end, bytes, .. }, Mark::Stack { end: other_end, bytes: other, .. }) if end == other_end => {
            bytes.rchunks(8).zip(other.rchunks(8)).take_while(|(a, b)| a == b).count() * 8
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(socket: u64, frames: &[(u8, usize)]) -> Mark {
        let mut bytes: Vec<u8> = frames.iter().rev().flat_map(|(byte, length)| vec![*byte; *length]).collect();
        bytes.shrink_to_fit();
        Mark::Stack { socket: SocketId(socket), end: 0x7000, bytes: bytes.into() }
    }

    #[test]
    fn the_loops_frames_are_learnt_from_reads_of_different_sockets_and_the_callbacks_have_more_in_common() {
        let mut learnt = Learnt::default();
        let callback = |own: u8| stack(own.into(), &[(1, 3000), (own, 600)]);
        assert!(!learnt.is_same(&callback(7), &callback(7)), "nothing is known yet");
        for round in 0..70 {
            learnt.reads(&callback(round), &callback(round + 1));
        }
        let sent = |own: u8, shared: usize| stack(0, &[(1, 3000), (own, shared), (255, 900)]);
        assert!(learnt.is_same(&callback(7), &sent(7, 400)));
        assert!(!learnt.is_same(&callback(7), &sent(8, 400)), "another callback");
        assert!(!learnt.is_same(&callback(7), &sent(7, 64)), "too little to be sure");
        assert!(!learnt.is_same(&callback(7), &stack(0, &[(1, 1000), (9, 900)])), "outside of the loop's callbacks");
    }

    #[test]
    fn a_thread_whose_callbacks_never_follow_one_another_has_no_known_frames() {
        let mut learnt = Learnt::default();
        // Something near the beginning of the stack counts rounds.
        let read = |round: u8| stack(round.into(), &[(1, 64), (round, 8), (1, 3000), (3, 600)]);
        for round in 0..70 {
            learnt.reads(&read(round), &read(round + 1));
        }
        assert!(!learnt.is_same(&read(7), &read(7)));
    }
}
