//! What one side of a connection has sent so far, and so whether a segment of it is new.
//!
//! Segments overtake each other, are sent again, or were missed by the capture: all sequence numbers below the highest one are
//! taken as sent except for a few remembered holes. Comparisons are modulo 2^32 (RFC 9293 section 3.4).
use crate::capture::event::Nanos;

/// Most holes remembered; more become one with all that is between them, so that data may be reported twice but never lost.
const MAX_HOLES: usize = 4;

/// A hole filled within this time was a segment overtaken on the way; one filled later, a segment sent again. No sender
/// notices a loss earlier, unless the round trip is shorter.
const REORDERING: Nanos = 3_000_000;

/// Furthest that a sender can go back: the largest window (RFC 7323 section 2.3). Beyond, the numbers are those of a newer
/// connection whose handshake was missed.
const FURTHEST_BACK: u32 = 1 << 30;

/// A range of sequence numbers that was not seen, `from` included and `to` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    from: u32,
    to: u32,
    found: Nanos,
}

/// What a segment is to its sender's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    /// At least a part is new.
    New,
    /// All of it was seen before.
    Repeated,
    /// A byte that was acknowledged before, sent to make the other side answer.
    Probe,
}

/// One side's past.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Sequence number of its SYN.
    pub(super) isn: Option<u32>,
    /// Segments it has sent again.
    pub(super) retransmits: u32,
    /// Whether its socket was reported.
    pub(super) opened: bool,
    next: Option<u32>,
    acked: Option<u32>,
    fin: Option<u32>,
    holes: Vec<Hole>,
}

/// Whether `a` comes before `b`.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

impl Side {
    /// A SYN with this sequence number leaves.
    pub(super) fn synchronises(&mut self, seq: u32) -> Novelty {
        if self.isn == Some(seq) {
            return Novelty::Repeated;
        }
        self.isn = Some(seq);
        self.next = Some(seq.wrapping_add(1));
        Novelty::New
    }

    /// An acknowledgement without data leaves: it shows where this side is, if nothing did before.
    pub(super) fn stands_at(&mut self, seq: u32) {
        self.next.get_or_insert(seq);
    }

    /// The other side has acknowledged everything before `ack`.
    pub(super) fn acknowledged(&mut self, ack: u32) {
        self.next.get_or_insert(ack);
        if self.acked.is_none_or(|acked| before(acked, ack)) {
            self.acked = Some(ack);
        }
    }

    /// Whether it has sent its FIN.
    pub(super) fn is_finishing(&self) -> bool {
        self.fin.is_some()
    }

    /// Whether its FIN was acknowledged.
    pub(super) fn is_finished(&self) -> bool {
        matches!((self.fin, self.acked), (Some(fin), Some(acked)) if !before(acked, fin))
    }

    /// A segment with `len` bytes from `seq` on leaves, with a FIN behind them or not.
    pub(super) fn sends(&mut self, now: Nanos, seq: u32, len: u32, fin: bool) -> Novelty {
        let end = seq.wrapping_add(len);
        let first_fin = fin && self.fin.is_none();
        if first_fin {
            self.fin = Some(end.wrapping_add(1));
        }
        let next = *self.next.get_or_insert(seq);
        if before(end, next) && next.wrapping_sub(end) > FURTHEST_BACK {
            self.holes.clear();
            self.next = Some(end);
            return Novelty::New;
        }
        if before(next, end) {
            if before(next, seq) {
                self.note(Hole { from: next, to: seq, found: now });
            } else if seq != next {
                // What is new about it follows what was sent before: the sender put both into one segment.
                self.fill(now, seq, next);
                self.count_retransmit();
            }
            self.next = Some(end);
            return Novelty::New;
        }
        if self.fill(now, seq, end) || first_fin {
            Novelty::New
        } else if len == 1 && end == next && self.acked.is_some_and(|acked| !before(acked, next)) {
            Novelty::Probe
        } else {
            Novelty::Repeated
        }
    }

    /// Counts a segment that was sent again.
    pub(super) fn count_retransmit(&mut self) {
        self.retransmits = self.retransmits.saturating_add(1);
    }

    fn note(&mut self, hole: Hole) {
        self.holes.push(hole);
        self.join_holes();
    }

    fn join_holes(&mut self) {
        while let (true, [first, second, ..]) = (self.holes.len() > MAX_HOLES, self.holes.as_mut_slice()) {
            second.from = first.from;
            self.holes.remove(0);
        }
    }

    /// Takes the range out of the holes; whether there was something to take.
    fn fill(&mut self, now: Nanos, from: u32, to: u32) -> bool {
        let overlaps = |hole: &Hole| before(from, hole.to) && before(hole.from, to);
        let Some(oldest) = self.holes.iter().filter(|hole| overlaps(hole)).map(|hole| hole.found).min() else { return false };
        if now.saturating_sub(oldest) > REORDERING {
            self.count_retransmit();
        }
        let mut rest = Vec::with_capacity(self.holes.len() + 1);
        for hole in &self.holes {
            if !overlaps(hole) {
                rest.push(*hole);
                continue;
            }
            if before(hole.from, from) {
                rest.push(Hole { to: from, ..*hole });
            }
            if before(to, hole.to) {
                rest.push(Hole { from: to, ..*hole });
            }
        }
        self.holes = rest;
        self.join_holes();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Novelty::{New, Probe, Repeated};
    use super::*;

    const MS: Nanos = 1_000_000;

    fn sent(segments: &[(u32, u32)]) -> Side {
        let mut side = Side::default();
        for &(seq, len) in segments {
            side.sends(0, seq, len, false);
        }
        side
    }

    #[test]
    fn a_segment_is_new_once_even_across_the_end_of_the_numbers() {
        let mut side = sent(&[(u32::MAX - 9, 10)]);
        assert_eq!(side.sends(0, 0, 20, false), New);
        assert_eq!(side.sends(0, u32::MAX - 9, 10, false), Repeated);
        assert_eq!(side.sends(0, 0, 20, false), Repeated);
        assert_eq!(side.sends(0, 10, 20, false), New, "half of it follows");
        assert_eq!(side.retransmits, 1);
    }

    #[test]
    fn a_hole_is_filled_once_piece_by_piece() {
        let mut side = sent(&[(0, 10), (40, 10)]);
        assert_eq!(side.sends(MS, 20, 10, false), New);
        assert_eq!(side.sends(MS, 20, 10, false), Repeated);
        assert_eq!(side.sends(MS, 5, 15, false), New);
        assert_eq!(side.sends(MS, 30, 10, false), New);
        assert_eq!(side.sends(MS, 10, 30, false), Repeated);
        assert_eq!((side.retransmits, side.holes.len()), (0, 0));
    }

    #[test]
    fn a_hole_filled_late_was_a_loss() {
        let mut side = sent(&[(0, 10), (20, 10)]);
        assert_eq!(side.sends(4 * MS, 10, 10, false), New);
        assert_eq!(side.retransmits, 1);
    }

    #[test]
    fn more_holes_than_remembered_lose_no_data() {
        let mut side = Side::default();
        for number in 0..100 {
            side.sends(0, number * 20, 10, false);
        }
        assert!(side.holes.len() <= MAX_HOLES);
        for number in 0..99 {
            assert_eq!(side.sends(0, number * 20 + 10, 10, false), New, "hole {number}");
        }
    }

    #[test]
    fn an_acknowledged_byte_is_a_probe_and_an_unacknowledged_one_a_retransmit() {
        let mut side = sent(&[(0, 10)]);
        assert_eq!(side.sends(0, 9, 1, false), Repeated);
        side.acknowledged(10);
        assert_eq!(side.sends(0, 9, 1, false), Probe);
    }

    #[test]
    fn a_side_is_finished_when_its_fin_is_acknowledged() {
        let mut side = sent(&[(0, 10)]);
        assert_eq!(side.sends(0, 0, 10, true), New, "the FIN is new");
        side.acknowledged(10);
        assert_eq!((side.is_finishing(), side.is_finished()), (true, false));
        side.acknowledged(11);
        assert!(side.is_finished());
        assert_eq!(side.sends(0, 10, 0, true), Repeated);
    }

    #[test]
    fn numbers_out_of_reach_start_anew() {
        let mut side = sent(&[(0x7000_0000, 10)]);
        assert_eq!(side.sends(0, 0x2000_0000, 10, false), New);
        assert_eq!(side.sends(0, 0x2000_000a, 10, false), New);
        assert_eq!(side.retransmits, 0);
    }
}
