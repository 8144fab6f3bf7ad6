//! What waits between the pipeline, which never stops for it, and a thread that sends or writes.
//!
//! Bounded in bytes and spans, what is being sent included. Every span that enters is counted out: exported, or dropped for one
//! [`Cause`]. When the bound is met, the **oldest** waiting batch goes ([`Cause::QueueFull`]): after an outage the newest spans are the
//! ones that people look for. From a capture file nothing is in a hurry, so there the pipeline waits instead ([`Pace::Wait`]).
use super::group::Body;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// Spans encoded together.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// The request, or the lines.
    pub body: Body,
    /// How many spans it carries.
    pub spans: u64,
}

/// Why spans did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Newer spans needed the room, or one batch alone was larger than the bound.
    QueueFull,
    /// The receiver said that it will never take them.
    Rejected,
    /// The receiver could not be reached, or was not ready, for longer than the retry budget.
    RetryExhausted,
    /// The time to shut down was over.
    Shutdown,
    /// The file or the terminal did not take them.
    WriteFailed,
}

impl Cause {
    const ALL: [Self; 5] = [Self::QueueFull, Self::Rejected, Self::RetryExhausted, Self::Shutdown, Self::WriteFailed];

    /// Name in the accounting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Rejected => "rejected",
            Self::RetryExhausted => "retry_exhausted",
            Self::Shutdown => "shutdown",
            Self::WriteFailed => "write_failed",
        }
    }
}

/// What to do with a span for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Drop the oldest: the traffic does not wait.
    Drop,
    /// Wait for room: the input is a file.
    Wait,
}

/// What may wait in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes.
    pub bytes: usize,
    /// Spans.
    pub spans: u64,
}

/// What became of the spans of one output. `submitted = exported + dropped + queued`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportCounters {
    /// Given to the output.
    pub submitted: u64,
    /// Taken by the receiver, or written.
    pub exported: u64,
    /// Not yet decided: waiting, or being sent.
    pub queued: u64,
    /// Lost, by [`Cause::name`]; a cause that never happened is absent.
    pub dropped: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Batch>,
    /// Bytes and spans, waiting and being sent.
    bytes: usize,
    spans: u64,
    submitted: u64,
    exported: u64,
    dropped: [u64; Cause::ALL.len()],
    /// No more will come: what is there is to leave.
    closed: bool,
    /// Nobody will take any more: everything that is there has been counted as dropped.
    abandoned: bool,
}

impl State {
    fn drop_spans(&mut self, spans: u64, cause: Cause) {
        if let Some(count) = self.dropped.get_mut(cause as usize) {
            *count += spans;
        }
    }
}

/// The queue. Shared by the pipeline's thread and the output's.
pub struct Queue {
    state: Mutex<State>,
    limit: Limit,
    /// For threads: something came or went.
    changed: Condvar,
    /// For tasks: something came.
    arrived: Notify,
    closing: Notify,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self { state: Mutex::default(), limit, changed: Condvar::new(), arrived: Notify::new(), closing: Notify::new() }
    }

    /// Adds a batch; makes room, or waits for it, as `pace` says.
    pub fn push(&self, batch: Batch, pace: Pace) {
        let mut state = self.lock();
        state.submitted += batch.spans;
        let fits = |bytes, spans| bytes + batch.body.len() <= self.limit.bytes && spans + batch.spans <= self.limit.spans;
        while !fits(state.bytes, state.spans) && !state.abandoned {
            match pace {
                // Alone it goes through, however large it is: it would wait for ever.
                Pace::Wait if state.spans == 0 => break,
                Pace::Wait => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                // No room would be enough: the others stay.
                Pace::Drop if !fits(0, 0) => break,
                Pace::Drop => {
                    let Some(oldest) = state.waiting.pop_front() else { break };
                    state.bytes -= oldest.body.len();
                    state.spans -= oldest.spans;
                    state.drop_spans(oldest.spans, Cause::QueueFull);
                }
            }
        }
        if state.abandoned {
            state.drop_spans(batch.spans, Cause::Shutdown);
        } else if pace == Pace::Drop && !fits(state.bytes, state.spans) {
            state.drop_spans(batch.spans, Cause::QueueFull);
        } else {
            state.bytes += batch.body.len();
            state.spans += batch.spans;
            state.waiting.push_back(batch);
        }
        drop(state);
        self.changed.notify_all();
        self.arrived.notify_one();
    }

    /// The oldest batch, as soon as there is one; `None` when the queue is closed and empty. Each batch taken ends in [`Queue::done`].
    pub async fn next(&self) -> Option<Batch> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.lock();
                if let Some(batch) = state.waiting.pop_front() {
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// [`Queue::next`] for a thread.
    pub fn next_blocking(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.waiting.pop_front() {
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says what became of a batch of `bytes` and `spans`: `lost` of the spans for `cause`, the others arrived.
    pub fn done(&self, bytes: usize, spans: u64, lost: u64, cause: Cause) {
        let mut state = self.lock();
        // After `abandon` these spans have been counted already.
        if !state.abandoned {
            let lost = lost.min(spans);
            state.bytes -= bytes;
            state.spans -= spans;
            state.exported += spans - lost;
            state.drop_spans(lost, cause);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Nothing more will come, but for one last batch, which may exceed the bound: waiting for room would be waiting for ever.
    pub fn close(&self, last: Option<Batch>) {
        let mut state = self.lock();
        if let Some(batch) = last {
            state.submitted += batch.spans;
            if state.abandoned {
                state.drop_spans(batch.spans, Cause::Shutdown);
            } else {
                state.bytes += batch.body.len();
                state.spans += batch.spans;
                state.waiting.push_back(batch);
            }
        }
        state.closed = true;
        drop(state);
        self.changed.notify_all();
        self.arrived.notify_waiters();
        self.closing.notify_waiters();
    }

    /// Ends when the queue is closed.
    pub async fn closing(&self) {
        let closing = self.closing.notified();
        if !self.lock().closed {
            closing.await;
        }
    }

    /// Whether [`Queue::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until everything has left, at most until `deadline`, then gives up what is still there ([`Cause::Shutdown`]).
    pub fn drain(&self, deadline: Instant) {
        let mut state = self.lock();
        while state.spans > 0 && !state.abandoned {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { break };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        self.abandon();
    }

    /// Gives up everything that is still there.
    pub fn abandon(&self) {
        let mut state = self.lock();
        let spans = std::mem::take(&mut state.spans);
        state.drop_spans(spans, Cause::Shutdown);
        state.bytes = 0;
        state.waiting.clear();
        state.closed = true;
        state.abandoned = true;
        drop(state);
        self.changed.notify_all();
        self.arrived.notify_waiters();
        self.closing.notify_waiters();
    }

    /// The counters at one moment.
    pub fn counters(&self) -> ExportCounters {
        let state = self.lock();
        let dropped = Cause::ALL.into_iter().zip(state.dropped).filter(|&(_, count)| count > 0);
        ExportCounters {
            submitted: state.submitted,
            exported: state.exported,
            queued: state.spans,
            dropped: dropped.map(|(cause, count)| (cause.name(), count)).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before the lock is given back, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives up a queue when the thread that empties it ends, however it ends, so that nobody waits for it.
pub struct Abandon(pub std::sync::Arc<Queue>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn batch(spans: u64) -> Batch {
        Batch { body: Body(vec![vec![0; 10 * spans as usize]]), spans }
    }

    fn counters(submitted: u64, exported: u64, queued: u64, dropped: &[(&'static str, u64)]) -> ExportCounters {
        ExportCounters { submitted, exported, queued, dropped: dropped.iter().copied().collect() }
    }

    #[test]
    fn the_oldest_waiting_batch_makes_room_and_what_is_being_sent_stays() {
        let queue = Queue::new(Limit { bytes: 60, spans: 100 });
        queue.push(batch(1), Pace::Drop);
        assert_eq!(queue.next_blocking(), Some(batch(1)));
        queue.push(batch(2), Pace::Drop);
        queue.push(batch(3), Pace::Drop);
        queue.push(batch(1), Pace::Drop);
        assert_eq!(queue.counters(), counters(7, 0, 5, &[("queue_full", 2)]));
        // Larger than the bound: no room would be enough, so nothing is driven out for it.
        queue.push(batch(7), Pace::Drop);
        assert_eq!(queue.counters(), counters(14, 0, 5, &[("queue_full", 9)]));
        queue.done(10, 1, 0, Cause::Rejected);
        assert_eq!(queue.counters(), counters(14, 1, 4, &[("queue_full", 9)]));
    }

    #[test]
    fn spans_bound_the_queue_as_bytes_do() {
        let queue = Queue::new(Limit { bytes: usize::MAX, spans: 3 });
        queue.push(batch(2), Pace::Drop);
        queue.push(batch(2), Pace::Drop);
        assert_eq!(queue.counters(), counters(4, 0, 2, &[("queue_full", 2)]));
    }

    #[test]
    fn from_a_file_the_pipeline_waits_and_nothing_is_lost() {
        let queue = Arc::new(Queue::new(Limit { bytes: 25, spans: 100 }));
        let taker = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let mut seen = 0;
                while let Some(batch) = queue.next_blocking() {
                    seen += batch.spans;
                    queue.done(batch.body.len(), batch.spans, 0, Cause::Rejected);
                }
                seen
            }
        });
        for _ in 0..1000 {
            queue.push(batch(2), Pace::Wait);
        }
        // Larger than the bound, and taken all the same.
        queue.push(batch(5), Pace::Wait);
        queue.close(None);
        assert_eq!(taker.join().unwrap(), 2005);
        assert_eq!(queue.counters(), counters(2005, 2005, 0, &[]));
    }

    #[test]
    fn what_the_deadline_leaves_behind_is_counted_once_even_if_it_arrives_later() {
        let queue = Queue::new(Limit { bytes: 1000, spans: 100 });
        queue.push(batch(2), Pace::Drop);
        queue.push(batch(3), Pace::Drop);
        let sending = queue.next_blocking().unwrap();
        queue.close(None);
        queue.drain(Instant::now());
        queue.done(sending.body.len(), sending.spans, 0, Cause::Rejected);
        queue.push(batch(1), Pace::Wait);
        assert_eq!(queue.counters(), counters(6, 0, 0, &[("shutdown", 6)]));
        assert_eq!(queue.next_blocking(), None);
    }

    #[test]
    fn a_receiver_cannot_reject_more_than_it_was_sent() {
        let queue = Queue::new(Limit { bytes: 1000, spans: 100 });
        queue.push(batch(3), Pace::Drop);
        let sent = queue.next_blocking().unwrap();
        queue.done(sent.body.len(), sent.spans, 99, Cause::Rejected);
        assert_eq!(queue.counters(), counters(3, 0, 0, &[("rejected", 3)]));
    }
}
