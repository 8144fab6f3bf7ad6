//! Loops of what is no network traffic: tracing must not slow it down. Each runs in a process of its own, pinned to one CPU.
use super::pairs::Sample;
use super::process::{self, Group};
use crate::child;
use anyhow::{Context, Result, bail};
use std::hint::black_box;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The loops by name.
pub const LOOPS: [&str; 3] = ["getppid", "futex", "af_unix"];
/// Units of work between two looks at the clock.
const ROUND: u64 = 256;
/// Bytes of a message between Unix sockets.
const MESSAGE: usize = 64;

/// Runs a loop in a process of its own, on CPU 0, for `time`.
pub fn window(group: &Group, name: &str, time: Duration) -> Result<Sample> {
    let own = std::env::current_exe().context("cannot find xtask itself")?;
    let mut command = group.command(0, &own);
    let text = child::output(command.args(["bench", "--loop", name, &time.as_millis().to_string()]))?;
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    let (Some(units), Some(cpu)) = (numbers.next(), numbers.next()) else { bail!("the {name} loop said {text:?}") };
    Ok(Sample { cost: cpu / units, rate: units / time.as_secs_f64() })
}

/// The other side of [`window`]: loops, and prints the units done and the nanoseconds on a CPU.
pub fn child(name: &str, time: Duration) -> Result<()> {
    let before = process::cpu(std::process::id())?;
    let end = Instant::now() + time;
    let units = match name {
        "getppid" => rounds(end, || {
            black_box(std::os::unix::process::parent_id());
            Ok(())
        })?,
        "futex" => hand_offs(end),
        "af_unix" => {
            let (from, to) = UnixDatagram::pair().context("cannot make Unix sockets")?;
            let mut message = [0; MESSAGE];
            rounds(end, || {
                from.send(&message)?;
                to.recv(&mut message)?;
                Ok(())
            })?
        }
        other => bail!("there is no loop `{other}`"),
    };
    println!("{units} {}", process::cpu(std::process::id())? - before);
    Ok(())
}

fn rounds(end: Instant, mut unit: impl FnMut() -> Result<()>) -> Result<u64> {
    let mut units = 0;
    while Instant::now() < end {
        for _ in 0..ROUND {
            unit()?;
        }
        units += ROUND;
    }
    Ok(units)
}

/// Two threads that wake each other in turn: each hand-off is a futex wake and a futex wait.
fn hand_offs(end: Instant) -> u64 {
    let turn = Arc::new(AtomicU64::new(0));
    let first = thread::current();
    let second = {
        let turn = Arc::clone(&turn);
        thread::spawn(move || play(&turn, 1, &first, end))
    };
    play(&turn, 0, &second.thread().clone(), end);
    // The sum is read when both have ended; the CPU time of a thread that has ended would be gone, so it waits at its end.
    turn.load(Ordering::Acquire)
}

/// Plays until the time is over. The second player never returns: its CPU time has to stay readable until the process ends.
fn play(turn: &AtomicU64, me: u64, other: &Thread, end: Instant) {
    loop {
        while turn.load(Ordering::Acquire) % 2 != me {
            thread::park();
        }
        if me == 0 && Instant::now() >= end {
            return;
        }
        turn.fetch_add(1, Ordering::Release);
        other.unpark();
    }
}
