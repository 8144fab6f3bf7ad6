//! The kernel as a source, for `run` and `record`: attach, drain until told to end, detach, drain the rest.
use super::{Failure, exit};
use crate::accounting::Tally;
use crate::capture::kernel::{Kernel, KernelConfig};
use crate::capture::privilege;
use crate::capture::wire::Decoder;
use crate::cli::Watch;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The kernel side, as `cargo xtask build` made it.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/wirespan.o"));
/// Records taken between two looks at the clock.
const BATCH: usize = 16 * 1024;
/// Pause between two looks at the ring while there is traffic: what a wake-up per event would cost is saved (design, section 2.1).
const BUSY: Duration = Duration::from_millis(10);
/// The same while there is none.
const IDLE: Duration = Duration::from_millis(100);

/// What ends or interrupts the loop.
pub(super) struct Watcher {
    kernel: Kernel,
    stop: Arc<AtomicBool>,
    report: Arc<AtomicBool>,
    until: Option<Instant>,
    pause: Duration,
}

impl Watcher {
    /// Attaches to the kernel; says on standard error what is degraded. To be called before any thread is started, because
    /// capabilities that are given up here are a thread's own.
    pub(super) fn attach(watch: &Watch, cgroup: Option<PathBuf>) -> Result<Self, Failure> {
        let (stop, report) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        for (signal, flag) in [(SIGINT, &stop), (SIGTERM, &stop), (SIGUSR1, &report)] {
            signal_hook::flag::register(signal, Arc::clone(flag)).map_err(|error| Failure::new(exit::FAILURE, error))?;
        }
        let config =
            KernelConfig { object: OBJECT, cgroup, ring_bytes: watch.ring << 20, debug: watch.debug_kernel, own_pid: std::process::id() };
        let kernel = Kernel::attach(&config).map_err(|error| Failure::new(exit::KERNEL, error))?;
        for degraded in kernel.degraded() {
            eprintln!("wirespan: without {} ({}) it does not see {}", degraded.hook.program, degraded.reason, degraded.hook.lost);
        }
        privilege::drop_attach_only().map_err(|error| Failure::new(exit::KERNEL, format!("give up capabilities: {error}")))?;
        Ok(Self { kernel, stop, report, until: watch.duration.map(|time| Instant::now() + time), pause: BUSY })
    }

    /// The kernel.
    pub(super) fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// Whether the loop is to end.
    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Whether somebody asked for a report since the last call.
    pub(super) fn wants_report(&self) -> bool {
        self.report.swap(false, Ordering::Relaxed)
    }

    /// Waits a little, then takes what the ring holds, up to a batch. Says whether the ring was emptied.
    pub(super) fn drain(&mut self, each: &mut dyn FnMut(&[u8])) -> bool {
        let left = self.until.map_or(IDLE, |until| until.saturating_duration_since(Instant::now()));
        let taken = self.kernel.poll(self.pause.min(left), BATCH, each);
        self.pause = match taken {
            BATCH.. => Duration::ZERO,
            0 => (self.pause.max(BUSY) * 2).min(IDLE),
            _ => BUSY,
        };
        taken < BATCH
    }

    /// Detaches everything and takes what is left in the ring.
    pub(super) fn detach(&mut self, each: &mut dyn FnMut(&[u8])) {
        self.kernel.detach();
        while self.kernel.poll(Duration::ZERO, BATCH, each) > 0 {}
    }
}

/// What it took to look at the memory of processes, for people.
pub(super) fn walks(kernel: &Kernel) -> impl Iterator<Item = (&'static str, u64)> {
    let counters = kernel.counters();
    let all = [("walks.count", counters.walks), ("walks.mean_ns", counters.walk_nanos.checked_div(counters.walks).unwrap_or(0))];
    all.into_iter().filter(|(_, count)| *count > 0)
}

/// What the kernel and the decoder of its records lost, added to what became of the `records` that were taken.
pub(super) fn account(mut records: Tally, kernel: &Kernel, decoder: &Decoder) -> Tally {
    let lost = kernel.counters();
    records.taken += lost.ring_full + lost.map_full;
    records.drop("kernel.ring_full", lost.ring_full);
    records.drop("kernel.map_full", lost.map_full);
    // These were counted as used when they were put aside.
    let unowned = decoder.dropped().unowned;
    records.given = records.given.saturating_sub(unowned);
    records.drop("wire.unowned", unowned);
    records
}

/// Nanoseconds of `CLOCK_MONOTONIC` now, and nanoseconds since 1970 UTC minus those.
pub(super) fn clocks() -> (u64, u64) {
    let nanos = |time: rustix::time::Timespec| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
    let mono = nanos(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic));
    let unix = nanos(rustix::time::clock_gettime(rustix::time::ClockId::Realtime));
    (mono, unix.wrapping_sub(mono))
}
