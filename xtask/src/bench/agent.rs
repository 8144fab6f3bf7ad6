//! The agent under measurement: started, known to be attached, asked what it used, ended, and its accounting read.
use super::process::{self, Group, PATIENCE, Running, until};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// Longest time after the last request until its span has left: exporters batch for up to a second or two, answers wait to be read.
pub const SETTLE: Duration = Duration::from_millis(2500);

/// Spans and records of one run, as the agent's last line has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// Records that the kernel made.
    pub records: u64,
    /// Spans made.
    pub made: u64,
    /// Spans exported.
    pub exported: u64,
    /// Everything dropped, by stage and cause.
    pub dropped: BTreeMap<String, u64>,
}

impl Accounting {
    /// Drops that cost spans: records that the kernel could not hand over, and spans.
    pub fn lost(&self) -> u64 {
        self.dropped.iter().filter(|(cause, _)| cause.starts_with("kernel.") || cause.starts_with("span.")).map(|(_, count)| count).sum()
    }
}

/// Reads the last line on standard error that is an accounting.
pub fn accounting(stderr: &str) -> Option<Accounting> {
    let line = stderr.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()?.get("accounting").cloned())?;
    let number = |of: &str, name: &str| line.get(of)?.get(name)?.as_u64();
    let mut dropped = BTreeMap::new();
    for (of, prefix) in [("records", ""), ("spans", "span.")] {
        for (cause, count) in line.get(of)?.get("dropped")?.as_object()? {
            dropped.insert(format!("{prefix}{cause}"), count.as_u64()?);
        }
    }
    let (records, made, exported) = (number("records", "in")?, number("spans", "made")?, number("spans", "exported")?);
    Some(Accounting { records, made, exported, dropped })
}

/// A running agent.
pub struct Agent {
    running: Running,
    stderr: Option<JoinHandle<String>>,
    attached: u64,
}

impl Agent {
    /// Starts it on the sockets of `group` and waits until it is attached. `output` says where its spans go.
    pub fn start(binary: &Path, group: &Group, output: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(["run", "--quiet", "--cgroup"]).arg(group.path()).args(output);
        // What this shell exports to is none of the measurement's business.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
            command.env_remove(name);
        }
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        let mut running = Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()))?;
        let mut pipe = running.child().stderr.take().context("the agent has no standard error")?;
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut agent = Self { running, stderr: Some(stderr), attached: 0 };
        // The ring is mapped when every program is attached.
        let maps = format!("/proc/{}/maps", agent.running.pid());
        let attached = || fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("bpf-map"));
        if !until(PATIENCE, || attached() || agent.running.has_ended()) || agent.running.has_ended() {
            let _ = agent.running.child().kill();
            bail!("the agent does not attach: {}", agent.stderr().trim());
        }
        // The page faults of starting are not those of running.
        sleep(Duration::from_millis(200));
        agent.attached = process::cpu(agent.running.pid())?;
        Ok(agent)
    }

    /// Nanoseconds on a CPU since it was attached.
    pub fn cpu(&self) -> Result<u64> {
        Ok(process::cpu(self.running.pid())?.saturating_sub(self.attached))
    }

    /// KiB of anonymous memory, and of the ring, which is mapped twice and counts as a file.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let pid = self.running.pid();
        let anonymous = process::memory(pid, "RssAnon").context("the agent has no RssAnon")?;
        let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).context("the agent's mappings cannot be read")?;
        let mut lines = maps.lines();
        let mut ring = 0;
        while lines.any(|line| line.ends_with("bpf-map")) {
            let resident = lines.find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            ring += resident.unwrap_or(0);
        }
        Ok((anonymous, ring))
    }

    /// Ends it, with everything it has exported.
    pub fn stop(mut self) -> Result<Accounting> {
        self.running.interrupt()?;
        let stderr = self.stderr();
        accounting(&stderr).with_context(|| format!("the agent's last words are no accounting: {}", stderr.trim()))
    }

    fn stderr(&mut self) -> String {
        self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_accounting_counts_and_causes_that_cost_spans_are_losses() {
        let stderr = "wirespan: hello\n\
            {\"accounting\":{\"records\":{\"in\":1,\"used\":1,\"dropped\":{}},\"spans\":{\"made\":0,\"exported\":0,\"dropped\":{}}}}\n\
            {\"accounting\":{\"records\":{\"in\":9,\"used\":4,\"dropped\":{\"flow.ignored\":3,\"kernel.ring_full\":2}},\
            \"spans\":{\"made\":7,\"exported\":6,\"dropped\":{\"queue_full\":1}}}}\n";
        let dropped =
            [("flow.ignored", 3), ("kernel.ring_full", 2), ("span.queue_full", 1)].map(|(cause, count)| (cause.to_owned(), count));
        let read = accounting(stderr).unwrap();
        assert_eq!(read, Accounting { records: 9, made: 7, exported: 6, dropped: BTreeMap::from(dropped) });
        assert_eq!(read.lost(), 3);
        assert_eq!(accounting("nothing\n{}\n"), None);
    }
}
