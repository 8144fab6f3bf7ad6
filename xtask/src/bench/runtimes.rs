//! Servers in the languages whose memory the agent looks at: a JSON handler that makes one call, as `cargo xtask truth` starts it.
use super::process::{Group, PATIENCE, until};
use super::traffic;
use crate::build;
use crate::child;
use crate::layout::{Layout, TARGET};
use crate::setup;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Name of the row, and the workload behind it.
pub const SERVERS: [(&str, &str); 5] = [
    ("Node (`http`)", "node-direct"),
    ("CPython (aiohttp)", "aiohttp-direct"),
    ("Go (`net/http`)", "go-direct"),
    ("tokio (axum, reqwest)", "tokio-direct"),
    ("JVM 25 (virtual threads)", "java-virtual"),
];

/// Builds the rig that starts them.
pub fn rig(layout: &Layout) -> Result<PathBuf> {
    let mut cargo = child::cargo(&layout.root);
    cargo.args(["build", "--quiet", "--release", "--package", "wirespan-tests", "--bin", "truth", "--target", TARGET]);
    child::run(cargo.env("RUSTFLAGS", build::AGENT_FLAGS))?;
    Ok(layout.target.join(TARGET).join("release/truth"))
}

/// A workload's server and what it calls.
pub struct Served {
    rig: Child,
    /// It ends when this is closed.
    stdin: Option<ChildStdin>,
    pid: u32,
    port: u16,
}

impl Served {
    /// Starts the server on its CPU, in the measured cgroup; what it calls is outside, on the other CPU.
    pub fn start(rig: &std::path::Path, layout: &Layout, group: &Group, workload: &str) -> Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", &traffic::CLIENT.to_string()]).arg(rig).args(["--serve"]).arg(group.path()).arg(workload);
        command.env("PATH", child::path_with(&setup::unpacked_programs(layout))).env("GOTOOLCHAIN", "auto");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir(&layout.root);
        let mut rig = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let stdin = rig.stdin.take();
        let mut line = String::new();
        BufReader::new(rig.stdout.take().context("no standard output")?).read_line(&mut line)?;
        let mut served = Self { rig, stdin, pid: 0, port: 0 };
        let (pid, port) = line.trim().split_once(' ').with_context(|| format!("{workload} does not start"))?;
        (served.pid, served.port) = (pid.parse()?, port.parse()?);
        child::output(Command::new("taskset").args(["-acp", &traffic::SERVER.to_string(), pid]))?;
        Ok(served)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it.
    pub fn stop(mut self) -> Result<()> {
        self.stdin.take();
        if !until(PATIENCE, || !matches!(self.rig.try_wait(), Ok(None))) {
            bail!("the rig of the workload does not end");
        }
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stdin.take();
        let _ = self.rig.wait();
    }
}
