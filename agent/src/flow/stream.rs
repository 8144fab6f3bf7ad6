//! The segments of one direction of one socket become one ordered run of pieces with exact offsets.
//!
//! Sequence numbers make order, duplicates and holes explicit. A hole is waited for until the receiver is known to have acknowledged
//! it, or until the wait costs too much; then it is a piece like any other, of bytes that were never seen.
use crate::capture::event::{Nanos, Segment, Sender};
use std::collections::VecDeque;

/// Segments held behind a hole: about a receive window of full-sized ones.
const MAX_HELD_SEGMENTS: usize = 128;
/// Bytes held behind a hole, for the same reason; a larger window is not worth the memory of one connection.
const MAX_HELD_BYTES: usize = 256 * 1024;
/// How long a hole may stay open: longer than any retransmission that a person still calls a request.
const MAX_HOLE_AGE: Nanos = 5_000_000_000;
/// Segments remembered behind a message that is not finished; more are merged into the last one.
const MAX_MARKS: usize = 1024;

/// What is known of one byte: the segment that brought it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When its segment passed the socket.
    pub at: Nanos,
    /// Sequence number of the byte.
    pub seq: u32,
    /// Acknowledgement number of its segment.
    pub ack: u32,
    /// Who sent the segment, if it left inside a system call.
    pub sender: Option<Sender>,
    /// Smoothed round-trip time then, in microseconds; zero if unknown.
    pub srtt_us: u32,
    /// Segments that the socket had retransmitted by then.
    pub retransmits: u32,
}

/// A run of bytes.
#[derive(Debug, PartialEq)]
pub enum Piece<'a> {
    /// They are here.
    Bytes(&'a [u8]),
    /// That many were never captured.
    Unseen(u64),
}

#[derive(Debug)]
struct Mark {
    /// Offset of the first byte of the segment.
    start: u64,
    point: Point,
}

#[derive(Debug)]
struct Held {
    at: Nanos,
    seq: u32,
    len: u32,
    bytes: Vec<u8>,
    point: Point,
}

/// One direction of one socket.
#[derive(Debug, Default)]
pub struct Stream {
    /// Sequence number of the next byte in order; `None` before the first segment.
    next: Option<u32>,
    /// Offset of that byte.
    offset: u64,
    marks: VecDeque<Mark>,
    /// Segments behind a hole: none, or some. Few streams ever have one, so it costs the others a word.
    behind: Option<Box<Behind>>,
}

#[derive(Debug, Default)]
struct Behind {
    held: Vec<Held>,
}

/// `a - b` on the circle of sequence numbers: positive if `a` is later.
#[must_use]
pub fn seq_distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

impl Stream {
    /// Offset behind the last byte in order.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset
    }

    /// Sequence number of the next byte in order; `None` before the first segment.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        self.next
    }

    /// Whether segments are held behind a hole.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.behind.is_some()
    }

    /// The first byte will have sequence number `seq`: the SYN before it was seen.
    pub fn start(&mut self, seq: u32) {
        self.next.get_or_insert(seq);
    }

    /// Takes a segment and hands out what is now in order, oldest first.
    pub fn push(&mut self, segment: &Segment<'_>, each: &mut dyn FnMut(&mut Self, Piece<'_>)) {
        let point = Point {
            at: segment.at,
            seq: segment.seq,
            ack: segment.ack,
            sender: segment.sender,
            srtt_us: segment.srtt_us,
            retransmits: segment.retransmits,
        };
        let next = *self.next.get_or_insert(segment.seq);
        if segment.len == 0 {
            return;
        }
        if seq_distance(segment.seq, next) > 0 {
            self.hold(segment, point);
            if self.held_too_much(segment.at) {
                self.give_up_hole(each);
            }
            return;
        }
        self.deliver(segment.seq, segment.len, segment.bytes, point, each);
        self.release(each);
    }

    /// The receiver has acknowledged everything before `ack`: a hole before it will not be filled any more, be anything behind it or not.
    pub fn acknowledged(&mut self, ack: u32, at: Nanos, each: &mut dyn FnMut(&mut Self, Piece<'_>)) {
        while let (Some(next), true) = (self.next, self.is_waiting()) {
            let start = self.held().iter().map(|held| seq_distance(held.seq, next)).min().unwrap_or(0);
            if start <= 0 || seq_distance(ack, next) < start {
                return;
            }
            self.give_up_hole(each);
        }
        if let Some(next) = self.next
            && seq_distance(ack, next) > 0
        {
            let point = Point { at, seq: next, ack: 0, sender: None, srtt_us: 0, retransmits: 0 };
            self.deliver(next, ack.wrapping_sub(next), &[], point, each);
        }
    }

    /// Nothing follows: what was held is handed out, with the holes before it.
    pub fn finish(&mut self, each: &mut dyn FnMut(&mut Self, Piece<'_>)) {
        while self.is_waiting() {
            self.give_up_hole(each);
        }
    }

    /// What is known of the byte at `offset`, as long as it was not forgotten.
    #[must_use]
    pub fn point(&self, offset: u64) -> Option<Point> {
        // Nearly always the last one.
        let mark = match self.marks.back().filter(|last| last.start <= offset) {
            Some(last) => last,
            None => self.marks.get(self.marks.partition_point(|mark| mark.start <= offset).checked_sub(1)?)?,
        };
        Some(Point { seq: mark.point.seq.wrapping_add((offset - mark.start) as u32), ..mark.point })
    }

    /// Points before `offset` will not be asked for any more.
    pub fn forget(&mut self, offset: u64) {
        if offset >= self.offset {
            self.marks.clear();
        }
        while self.marks.len() > 1 && self.marks.get(1).is_some_and(|second| second.start <= offset) {
            self.marks.pop_front();
        }
    }

    /// Gives back the room of an idle stream.
    pub fn shrink(&mut self) {
        self.marks.shrink_to_fit();
    }

    fn deliver(&mut self, seq: u32, len: u32, bytes: &[u8], point: Point, each: &mut dyn FnMut(&mut Self, Piece<'_>)) {
        let Some(next) = self.next else { return };
        let old = seq_distance(next, seq).max(0) as u32;
        if old >= len {
            return;
        }
        if self.marks.len() < MAX_MARKS {
            if self.marks.capacity() == 0 {
                // Most messages are one segment, and most connections idle: room for four is too much for ten thousand of them.
                self.marks.reserve_exact(1);
            }
            self.marks.push_back(Mark { start: self.offset, point: Point { seq: next, ..point } });
        }
        self.next = Some(seq.wrapping_add(len));
        self.offset += u64::from(len - old);
        let new = bytes.get(old as usize..).unwrap_or_default();
        let unseen = u64::from(len - old) - new.len() as u64;
        if !new.is_empty() {
            each(self, Piece::Bytes(new));
        }
        if unseen > 0 {
            each(self, Piece::Unseen(unseen));
        }
    }

    fn hold(&mut self, segment: &Segment<'_>, point: Point) {
        let known = self.held().iter().any(|held| held.seq == segment.seq && held.len >= segment.len);
        if !known {
            self.behind.get_or_insert_default().held.push(Held {
                at: segment.at,
                seq: segment.seq,
                len: segment.len,
                bytes: segment.bytes.to_vec(),
                point,
            });
        }
    }

    fn held(&self) -> &[Held] {
        self.behind.as_ref().map_or(&[], |behind| &behind.held)
    }

    fn held_too_much(&self, now: Nanos) -> bool {
        self.held().len() > MAX_HELD_SEGMENTS
            || self.held().iter().map(|held| held.bytes.len()).sum::<usize>() > MAX_HELD_BYTES
            || self.held().first().is_some_and(|oldest| now.saturating_sub(oldest.at) > MAX_HOLE_AGE)
    }

    /// Steps over the first hole and delivers what lies behind it.
    fn give_up_hole(&mut self, each: &mut dyn FnMut(&mut Self, Piece<'_>)) {
        let Some(next) = self.next else { return };
        let Some(first) = self.held().iter().min_by_key(|held| seq_distance(held.seq, next)) else { return };
        let hole = seq_distance(first.seq, next);
        if hole > 0 {
            let point = first.point;
            self.deliver(next, hole as u32, &[], point, each);
        }
        self.release(each);
    }

    /// Delivers held segments that are in order now.
    fn release(&mut self, each: &mut dyn FnMut(&mut Self, Piece<'_>)) {
        while let (Some(next), Some(behind)) = (self.next, &mut self.behind) {
            let Some(index) = behind.held.iter().position(|held| seq_distance(held.seq, next) <= 0) else { return };
            let held = behind.held.swap_remove(index);
            if behind.held.is_empty() {
                self.behind = None;
            }
            self.deliver(held.seq, held.len, &held.bytes, held.point, each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::event::{Direction, SocketId};
    use proptest::prelude::*;

    fn segment(seq: u32, bytes: &[u8], len: u32) -> Segment<'_> {
        let (at, socket, direction) = (u64::from(seq), SocketId(1), Direction::In);
        Segment { at, socket, direction, seq, ack: 7, flags: 16, len, bytes, sender: None, srtt_us: 0, retransmits: 0 }
    }

    /// Pushes segments of `text` given as ranges and returns what came out; unseen bytes are `?`.
    fn through(stream: &mut Stream, first: u32, text: &[u8], ranges: &[(usize, usize)]) -> Vec<u8> {
        let mut out = Vec::new();
        for &(from, to) in ranges {
            let part = &text[from..to];
            stream.push(&segment(first.wrapping_add(from as u32), part, part.len() as u32), &mut |_, piece| match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Unseen(len) => out.extend(std::iter::repeat_n(b'?', len as usize)),
            });
        }
        out
    }

    #[test]
    fn duplicates_and_overlaps_are_seen_once() {
        let out = through(&mut Stream::default(), 10, b"abcdefgh", &[(0, 3), (0, 3), (2, 5), (1, 4), (5, 8)]);
        assert_eq!(out, b"abcdefgh");
    }

    #[test]
    fn a_hole_is_filled_by_the_late_segment() {
        let out = through(&mut Stream::default(), u32::MAX - 3, b"abcdefgh", &[(0, 2), (4, 6), (6, 8), (2, 4)]);
        assert_eq!(out, b"abcdefgh");
    }

    #[test]
    fn an_acknowledged_hole_is_unseen_bytes() {
        let mut stream = Stream::default();
        assert_eq!(through(&mut stream, 100, b"abcdefgh", &[(0, 2), (4, 8)]), b"ab");
        let mut out = Vec::new();
        stream.acknowledged(103, 1, &mut |_, _| unreachable!("the hole is not acknowledged as a whole"));
        stream.acknowledged(104, 1, &mut |_, piece| out.push(format!("{piece:?}")));
        assert_eq!(out, ["Unseen(2)", "Bytes([101, 102, 103, 104])"]);
        assert_eq!(stream.end(), 8);
    }

    #[test]
    fn bytes_beyond_the_capture_are_unseen() {
        let mut out = Vec::new();
        Stream::default().push(&segment(5, b"ab", 100), &mut |_, piece| out.push(format!("{piece:?}")));
        assert_eq!(out, ["Bytes([97, 98])", "Unseen(98)"]);
    }

    #[test]
    fn a_point_names_the_segment_of_its_byte() {
        let mut stream = Stream::default();
        through(&mut stream, 1000, b"abcdefgh", &[(0, 3), (3, 8)]);
        let point = stream.point(4).expect("known");
        assert_eq!((point.at, point.seq), (1003, 1004));
        stream.forget(4);
        assert_eq!(stream.point(4), Some(point));
        assert_eq!(stream.point(1), None);
    }

    proptest! {
        #[test]
        fn any_order_of_cuts_gives_the_text(
            first in any::<u32>(),
            text in prop::collection::vec(any::<u8>(), 1..200),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..30),
        ) {
            let mut stream = Stream::default();
            let head = [(0, 1)];
            let ranges: Vec<_> = head.into_iter().chain(cuts.iter().map(|(a, b)| {
                let (a, b) = (a.index(text.len()), b.index(text.len()) + 1);
                (a.min(b), a.max(b))
            })).chain([(0, text.len())]).collect();
            prop_assert_eq!(through(&mut stream, first, &text, &ranges), text);
        }
    }
}
