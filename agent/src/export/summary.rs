//! Spans of the last while become one line: how many, how many failed, how long they took, what was lost, what the agent cost.
//!
//! Latencies are counted in buckets of fixed number, each at most one eighth wide, so a quantile is right to within 7 %.
use super::live::{Style, duration};
use crate::enrich::span::{Span, Status};
use std::time::{Duration, Instant};

/// Buckets: eight for each power of two of nanoseconds in 64 bits.
const BUCKETS: usize = 64 * 8;

/// What the agent itself used and lost, as its caller knows it. Totals since the start, but for memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time.
    pub cpu: Duration,
    /// Memory of its own, without the mapped ring, in bytes.
    pub memory: u64,
    /// Records and spans that were dropped before they came to export.
    pub dropped: u64,
}

/// Counts since the last line.
pub struct Summary {
    since: Instant,
    before: Usage,
    spans: u64,
    errors: u64,
    latencies: Box<[u64; BUCKETS]>,
}

impl Summary {
    /// Nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { since: now, before: Usage::default(), spans: 0, errors: 0, latencies: Box::new([0; BUCKETS]) }
    }

    /// Counts a span.
    pub fn count(&mut self, span: &Span) {
        self.spans += 1;
        self.errors += u64::from(span.status != Status::Unset);
        if let Some(bucket) = self.latencies.get_mut(bucket(span.end.saturating_sub(span.start))) {
            *bucket += 1;
        }
    }

    /// The line, and a new beginning. `export_dropped` is what export lost since the start.
    pub fn line(&mut self, now: Instant, usage: &Usage, export_dropped: u64, style: &Style) -> String {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64().max(1e-3);
        let busy = usage.cpu.saturating_sub(self.before.cpu).as_secs_f64() / seconds * 100.0;
        let dropped = usage.dropped + export_dropped;
        let failed = if self.spans == 0 { 0.0 } else { self.errors as f64 / self.spans as f64 * 100.0 };
        let red = |wrong: bool, text: String| if wrong && style.colour { format!("\x1b[31m{text}\x1b[0m") } else { text };
        let mut cells =
            vec![format!("{} spans/s", rate(self.spans as f64 / seconds)), red(self.errors > 0, format!("{failed:.1} % errors"))];
        if self.spans > 0 {
            cells.push(format!("p50 {}", duration(self.quantile(0.50))));
            cells.push(format!("p95 {}", duration(self.quantile(0.95))));
        }
        cells.push(red(dropped > 0, format!("{dropped} dropped")));
        cells.push(format!("agent {busy:.1} % CPU, {} MiB", usage.memory.div_ceil(1 << 20)));
        *self = Self { before: *usage, ..Self::new(now) };
        cells.join(" · ")
    }

    /// The latency that `share` of the spans did not exceed, in nanoseconds.
    fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.spans as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (place, count) in self.latencies.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return middle(place);
            }
        }
        0
    }
}

fn bucket(nanos: u64) -> usize {
    // Below eight each number has a bucket of its own; above, the three bits after the first one choose among eight.
    let Some(shift) = (nanos | 1).ilog2().checked_sub(3) else { return nanos as usize };
    (shift as usize + 1) * 8 + (nanos >> shift & 7) as usize
}

fn middle(bucket: usize) -> u64 {
    let (octave, step) = (bucket / 8, bucket as u64 % 8);
    let Some(shift) = octave.checked_sub(1) else { return step };
    ((8 + step) << shift) + ((1 << shift) >> 1)
}

/// A number a second: whole from ten on.
fn rate(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}
