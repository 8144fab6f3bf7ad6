//! Measured programs: started in a cgroup of their own on a chosen CPU, and what the kernel says that they used.
use crate::child;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Files that a measured program may open: 10,000 connections and some.
const OPEN_FILES: &str = "16384";
/// How long a program may take to do what it was asked to before the measurement is given up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A cgroup whose sockets are watched, and no others: what else runs on the machine is not part of the measurement.
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes it below the root of the cgroup v2 hierarchy.
    pub fn make() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read the list of mounts")?;
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let path = Path::new(mount.context("no cgroup v2 hierarchy is mounted")?).join(format!("wirespan-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make the cgroup {} (are you root?)", path.display()))?;
        Ok(Self { path })
    }

    /// A group within it, for programs that have several processes.
    pub fn inside(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make the cgroup {}", path.display()))?;
        Ok(Self { path })
    }

    /// Nanoseconds that all processes that were ever in it have spent on a CPU.
    pub fn cpu(&self) -> Result<u64> {
        let stat = fs::read_to_string(self.path.join("cpu.stat")).context("cannot read what the cgroup used")?;
        let used = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse::<u64>().ok());
        Ok(used.context("the cgroup does not say what it used")? * 1000)
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that will run in the cgroup, on one CPU.
    pub fn command(&self, cpu: u32, program: &Path) -> Command {
        let mut command = Command::new("sh");
        // A group that no longer takes processes, or a limit that cannot be raised, makes the numbers wrong: then nothing runs.
        command.args(["-c", "echo $$ >\"$1\" && ulimit -n \"$2\" && shift 2 && exec \"$@\"", "sh"]);
        command.arg(self.path.join("cgroup.procs")).args([OPEN_FILES, "taskset", "-c", &cpu.to_string()]).arg(program);
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel needs a moment to take the last process out.
        let gone = || fs::remove_dir(&self.path).is_ok();
        if !until(Duration::from_secs(2), gone) {
            child::say(&format!("cannot remove {}", self.path.display()));
        }
    }
}

/// A program that ends when this value does.
pub struct Running(Child);

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn().with_context(|| format!("cannot start {command:?}"))?))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The child itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Asks it to end, as Ctrl-C does, and waits for that.
    pub fn interrupt(&mut self) -> Result<()> {
        child::run(Command::new("sh").args(["-c", "kill -INT \"$1\"", "sh", &self.pid().to_string()]))?;
        if !until(PATIENCE, || self.has_ended()) {
            bail!("process {} does not end", self.pid());
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nanoseconds that all threads of a process have spent on a CPU. Threads that have ended are not in it.
pub fn cpu(pid: u32) -> Result<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    let mut sum = 0;
    for task in tasks.flatten() {
        // A thread may end meanwhile.
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        sum += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

/// One line of `/proc/PID/status` in KiB, such as `RssAnon`.
pub fn memory(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// CPU time of a process that has ended and was not waited for, over all its threads; `None` while it runs. To 10 ms.
pub fn cpu_of_ended(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, so fields are counted from its last parenthesis.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let ended = fields.next() == Some("Z");
    let ticks: u64 = fields.skip(10).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ended.then(|| Duration::from_millis(ticks * 10))
}

/// Whether something becomes true within `time`.
pub fn until(time: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    loop {
        if is_true() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
}
