//! One direction of a recognised connection: keeps the bytes that the decoder has not taken, steps over bodies, and finds its feet
//! again after a loss.
use super::stream::{Piece, Point, Stream};
use super::{Counters, Signal, content};
use crate::capture::event::SocketId;
use crate::protocol::{Decoder, Side, Step, Take};

/// Decoder steps without progress in a row that are taken for a defect of the decoder: a guard against looping for ever. One message may
/// end all the requests of a pipeline.
const MAX_IDLE_STEPS: u32 = 32 * 1024;

/// What a decoder's bytes led to.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// The direction goes on.
    Going,
    /// The bytes were no longer understood.
    Invalid,
    /// The connection became something else.
    Left(&'static str),
}

/// The message that has begun and not ended.
#[derive(Debug)]
struct Open {
    first: Point,
    headed: bool,
    /// Part of it was lost: its end is found by what comes next.
    truncated: bool,
}

/// The decoding state of one direction.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other, and there is one such state per direction")]
pub(super) struct Lane {
    /// Bytes that were not taken yet.
    pub(super) pending: Vec<u8>,
    /// Bytes behind `pending` that passed before the protocol was known and were not kept.
    pub(super) hidden: u64,
    /// Offset of the first byte that was not taken.
    pub(super) taken: u64,
    /// Bytes to step over.
    skip: u64,
    /// The message ends with the last byte to step over.
    ends_after_skip: bool,
    /// The message that the bytes to step over belong to, of several that are open; zero if only one can be.
    stream: u64,
    /// The open message, if only one can be; bytes that could not be decoded.
    open: Option<Open>,
    /// Everything up to the next turn is dropped.
    pub(super) dropping: bool,
    /// Bytes were understood, or lost: what comes next is not the first that this side has said.
    pub(super) begun: bool,
    /// Nothing follows.
    pub(super) finished: bool,
}

/// Who decodes, for whom, and where messages go.
pub(super) struct Reader<'a> {
    pub(super) socket: SocketId,
    pub(super) side: Side,
    pub(super) decoder: &'a mut dyn Decoder,
    pub(super) longest_head: usize,
    pub(super) counters: &'a mut Counters,
    pub(super) out: &'a mut dyn FnMut(Signal),
}

impl Lane {
    /// Takes the next piece of the stream.
    pub(super) fn piece(&mut self, stream: &mut Stream, piece: &Piece<'_>, reader: &mut Reader<'_>) -> Outcome {
        match *piece {
            Piece::Bytes(bytes) if self.dropping => {
                self.taken += bytes.len() as u64;
                self.forget(stream);
                Outcome::Going
            }
            Piece::Bytes(bytes) if self.pending.is_empty() => {
                let (left, outcome) = self.decode(stream, bytes, false, reader);
                self.pending.extend_from_slice(bytes.get(bytes.len() - left..).unwrap_or_default());
                self.bounded(stream, outcome, reader)
            }
            Piece::Bytes(bytes) => {
                let mut pending = std::mem::take(&mut self.pending);
                pending.extend_from_slice(bytes);
                let (left, outcome) = self.decode(stream, &pending, false, reader);
                if left > 0 {
                    pending.drain(..pending.len() - left);
                    self.pending = pending;
                }
                self.bounded(stream, outcome, reader)
            }
            Piece::Unseen(len) => {
                self.unseen(stream, len, reader);
                Outcome::Going
            }
        }
    }

    /// A new turn of this direction begins: a message boundary, as far as anybody can tell.
    pub(super) fn turn(&mut self) {
        self.dropping = false;
    }

    /// The connection is a new one from the first byte on that was not taken.
    pub(super) fn begin_again(&mut self) {
        let Self { pending, taken, finished, .. } = std::mem::take(self);
        *self = Self { pending, taken, finished, ..Self::default() };
    }

    /// Drops what was kept while the protocol was not known.
    pub(super) fn forget_kept(&mut self, stream: &Stream) {
        self.pending = Vec::new();
        self.hidden = 0;
        self.taken = stream.end();
    }

    /// Bytes were lost while the protocol was not known: somebody may have to know that of what comes next.
    pub(super) fn missed(&mut self, stream: &Stream) {
        if self.open.is_none() {
            self.open = stream.point(stream.end().saturating_sub(1)).map(|first| Open { first, headed: false, truncated: true });
        }
    }

    /// The other side speaks: a message of this side whose rest was lost has ended.
    pub(super) fn end_truncated(&mut self, stream: &Stream, socket: SocketId, side: Side, out: &mut dyn FnMut(Signal)) {
        if self.open.as_ref().is_some_and(|open| open.truncated) {
            self.close(stream, stream.end(), socket, side, out);
        }
    }

    /// Nothing follows in this direction.
    pub(super) fn finish(&mut self, stream: &mut Stream, reader: &mut Reader<'_>) -> Outcome {
        if self.skip == 0 && !self.dropping {
            let pending = std::mem::take(&mut self.pending);
            let (_, outcome) = self.decode(stream, &pending, true, reader);
            if outcome != Outcome::Going {
                return outcome;
            }
        }
        if self.skip > 0 {
            // The body stopped short of its length: the message is over, and not whole.
            self.open = None;
        }
        self.end_truncated(stream, reader.socket, reader.side, reader.out);
        Outcome::Going
    }

    fn decode(&mut self, stream: &mut Stream, bytes: &[u8], finished: bool, reader: &mut Reader<'_>) -> (usize, Outcome) {
        let mut rest = bytes;
        let mut idle = 0;
        loop {
            if self.skip > 0 {
                let step = self.skip.min(rest.len() as u64);
                rest = rest.get(step as usize..).unwrap_or_default();
                self.step_over(stream, step, reader);
            }
            if self.skip > 0 || (rest.is_empty() && !finished) {
                break;
            }
            match reader.decoder.decode(reader.side, rest, finished) {
                Step::More => break,
                Step::Take(take) => {
                    idle = if take.used == 0 { idle + 1 } else { 0 };
                    if idle > MAX_IDLE_STEPS {
                        break;
                    }
                    let here = take.used.min(rest.len() as u64);
                    let asks = reader.side == Side::Client && take.head.is_some();
                    let head = if take.head_len == 0 { here } else { take.head_len };
                    let content = if asks { rest.get(..head as usize).map_or(0, content::digest) } else { 0 };
                    rest = rest.get(here as usize..).unwrap_or_default();
                    self.take(stream, take, here, content, reader);
                }
                Step::Invalid => {
                    reader.counters.invalid += 1;
                    self.lose(stream, reader);
                    self.taken += rest.len() as u64;
                    return (0, Outcome::Invalid);
                }
                Step::Leave(name) => return (rest.len(), Outcome::Left(name)),
            }
            if finished && rest.is_empty() && self.open.is_none() {
                break;
            }
        }
        self.forget(stream);
        (rest.len(), Outcome::Going)
    }

    /// Applies a step of which `here` bytes were at hand, with the digest of the request's head in it.
    fn take(&mut self, stream: &Stream, take: Take, here: u64, content: u64, reader: &mut Reader<'_>) {
        self.begun = true;
        self.stream = take.stream;
        if take.stream != 0 {
            self.take_one_of_many(stream, take, here, content, reader);
            return;
        }
        if take.start {
            // What could not be decoded ends where something can.
            self.close(stream, self.taken, reader.socket, reader.side, reader.out);
            self.open = stream.point(self.taken).map(|first| Open { first, headed: false, truncated: false });
        }
        if let (Some(head), Some(open)) = (take.head, self.open.as_mut()) {
            open.headed = true;
            (reader.out)(Signal::Head { socket: reader.socket, side: reader.side, first: open.first, head, content });
        }
        if let (Some(more), Some(open)) = (take.more, self.open.as_ref()) {
            (reader.out)(Signal::More { socket: reader.socket, first: open.first, more });
        }
        self.advance(stream, take.used, here, take.end, reader);
    }

    /// The same for a message that is not the only open one. Nothing is kept for it here: its decoder and the next stage know it.
    fn take_one_of_many(&mut self, stream: &Stream, take: Take, here: u64, content: u64, reader: &mut Reader<'_>) {
        let Reader { socket, side, .. } = *reader;
        // What could not be decoded ends where something can.
        self.close(stream, self.taken, socket, side, reader.out);
        let first = stream.point(self.taken);
        if let (Some(head), Some(first)) = (take.head, first) {
            (reader.out)(Signal::Head { socket, side, first, head, content });
        }
        if let (Some(more), Some(first)) = (take.more, first) {
            (reader.out)(Signal::More { socket, first, more });
        }
        self.advance(stream, take.used, here, take.end, reader);
    }

    fn advance(&mut self, stream: &Stream, used: u64, here: u64, end: bool, reader: &mut Reader<'_>) {
        self.taken += here;
        self.skip = used - here;
        self.ends_after_skip = end && self.skip > 0;
        if end && self.skip == 0 {
            self.end(stream, reader);
        }
    }

    /// The message ended with the last byte taken.
    fn end(&mut self, stream: &Stream, reader: &mut Reader<'_>) {
        match (self.stream, stream.point(self.taken.saturating_sub(1))) {
            (0, _) => self.close(stream, self.taken, reader.socket, reader.side, reader.out),
            (of, Some(last)) => (reader.out)(Signal::End { socket: reader.socket, side: reader.side, stream: of, last, truncated: false }),
            (_, None) => {}
        }
    }

    /// `len` bytes of a body have passed.
    fn step_over(&mut self, stream: &Stream, len: u64, reader: &mut Reader<'_>) {
        self.skip -= len;
        self.taken += len;
        if self.skip == 0 && std::mem::take(&mut self.ends_after_skip) {
            self.end(stream, reader);
        }
    }

    fn unseen(&mut self, stream: &mut Stream, len: u64, reader: &mut Reader<'_>) {
        if self.skip == 0
            && !self.dropping
            && let Some(take) = reader.decoder.unseen(reader.side)
        {
            let shown = std::mem::take(&mut self.pending).len() as u64;
            let here = shown.min(take.used);
            self.take(stream, take, here, 0, reader);
        }
        let step = self.skip.min(len);
        if step > 0 {
            self.step_over(stream, step, reader);
        }
        let lost = len - step;
        self.begun = true;
        if lost > 0 && !self.dropping {
            reader.counters.unseen += 1;
            let pending = self.pending.len() as u64;
            self.lose(stream, reader);
            self.dropping = !reader.decoder.finds_boundaries();
            self.taken += pending;
        }
        self.taken += lost;
        self.forget(stream);
    }

    /// Nobody will ask any more for what lies before the last byte taken; nor for that one, between messages.
    fn forget(&self, stream: &mut Stream) {
        let idle = self.open.is_none() && self.taken == stream.end();
        stream.forget(if idle { self.taken } else { self.taken.saturating_sub(1) });
    }

    /// The place in the messages is lost until the next turn.
    fn lose(&mut self, stream: &Stream, reader: &mut Reader<'_>) {
        self.pending = Vec::new();
        self.skip = 0;
        self.ends_after_skip = false;
        self.dropping = true;
        match self.open.as_mut() {
            Some(open) => open.truncated = true,
            None => self.open = stream.point(self.taken).map(|first| Open { first, headed: false, truncated: true }),
        }
        reader.decoder.lost(reader.side);
    }

    /// Gives up a head that is longer than any that can be decoded.
    fn bounded(&mut self, stream: &Stream, outcome: Outcome, reader: &mut Reader<'_>) -> Outcome {
        if outcome == Outcome::Going && self.pending.len() > reader.longest_head {
            reader.counters.unseen += 1;
            let pending = self.pending.len() as u64;
            self.lose(stream, reader);
            self.taken += pending;
        }
        outcome
    }

    /// The open message ended before `end`.
    fn close(&mut self, stream: &Stream, end: u64, socket: SocketId, side: Side, out: &mut dyn FnMut(Signal)) {
        let Some(Open { first, headed, truncated }) = self.open.take() else { return };
        let last = stream.point(end.saturating_sub(1)).unwrap_or(first);
        match (headed, truncated) {
            (true, _) => out(Signal::End { socket, side, stream: 0, last, truncated }),
            (false, true) => out(Signal::Unread { socket, side, first, last }),
            (false, false) => {}
        }
    }
}
