//! The agent tried on the kernels of `kernels.txt`, in QEMU without hardware help.
//!
//! Each machine boots from memory with busybox, the released agent and nothing else; its `init` makes real HTTP exchanges while the
//! agent traces, and writes down what was exported. What must be true of that is checked out here.
mod boot;
mod initramfs;
mod kernels;
mod report;

use crate::build;
use crate::child::say;
use crate::layout::Layout;
use crate::setup::{self, Purpose};
use crate::test::Sum;
use anyhow::{Result, anyhow};
use kernels::Kernel;
use report::Check;
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

/// How many machines run at once: each keeps one to two CPUs busy.
const AT_ONCE: usize = 2;

/// `cargo xtask vm [SERIES...]`.
pub fn command(layout: &Layout, series: &[String]) -> Result<ExitCode> {
    setup::ensure(Purpose::Vm, layout)?;
    let agent = match env::var_os("WIRESPAN_BIN") {
        Some(given) => PathBuf::from(given),
        None => build::everything(layout)?,
    };
    let mut sum = Sum::default();
    run(layout, series, &agent, &mut sum);
    Ok(sum.report())
}

/// Boots the kernels named in `series`, or all, and counts every check of every kernel.
pub fn run(layout: &Layout, series: &[String], agent: &Path, sum: &mut Sum) {
    let dir = layout.target.join("vm");
    let initramfs = dir.join("initramfs");
    let ready = initramfs::write(&initramfs, agent).and_then(|()| kernels::pinned(series));
    let kernels = match ready {
        Ok(kernels) => kernels,
        Err(error) => {
            sum.check("kernels", Err(error));
            return;
        }
    };
    for group in kernels.chunks(AT_ONCE) {
        // One after the other: the mirror is one, and so is the cache.
        let fetched: Vec<_> = group.iter().map(|kernel| (kernel, kernel.fetch(layout))).collect();
        let tried: Vec<_> = thread::scope(|scope| {
            let start = |(kernel, image): (&Kernel, Result<PathBuf>)| {
                let (dir, initramfs, series) = (dir.join(&kernel.series), &initramfs, kernel.series.clone());
                let cpu = kernel.cpu.clone();
                (series, scope.spawn(move || boot::boot(&dir, &cpu, &image?, initramfs)))
            };
            let started: Vec<_> = fetched.into_iter().map(start).collect();
            started.into_iter().map(|(series, machine)| (series, machine.join())).collect()
        });
        for (series, outcome) in tried {
            match outcome.unwrap_or_else(|_| Err(anyhow!("the thread that ran the machine panicked"))) {
                Ok(seen) => count(&series, &seen, sum),
                Err(error) => {
                    sum.check(&format!("Linux {series}"), Err(error));
                }
            }
        }
    }
}

fn count(series: &str, seen: &str, sum: &mut Sum) {
    let report = report::Report::parse(seen);
    for line in report.remarks() {
        say(&format!("Linux {series}: {line}"));
    }
    for Check { what, result } in report.checks() {
        sum.check(&format!("Linux {series}: {what}"), result.map_err(|reason| anyhow!(reason)));
    }
}
