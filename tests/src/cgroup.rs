//! A cgroup of its own for each test, so that the agent watches nothing but that test's programs.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Enters the cgroup and becomes the program, with the same process id.
const ENTER: &str = r#"echo $$ > "$0" && exec "$@""#;

/// How often, and how far apart, the removal of a cgroup is tried: ten seconds in all.
const ATTEMPTS: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(10);

/// A directory of the cgroup v2 hierarchy. What runs in it ends with it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes one below the root of the hierarchy.
    pub fn new() -> Self {
        Self::below(&root())
    }

    /// Makes one below another.
    pub fn below(parent: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("wirespan-test-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}; are you root?", path.display()));
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs in it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", ENTER]).arg(self.path.join("cgroup.procs")).arg(program);
        command
    }
}

impl Default for Cgroup {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        // What was killed needs a moment to be gone. A panic here would hide the one that may be under way.
        for _ in 0..ATTEMPTS {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            thread::sleep(PAUSE);
        }
        eprintln!("cannot remove {}", self.path.display());
    }
}

/// The mount point of the cgroup v2 hierarchy.
fn root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("a list of mounts");
    let root = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
    PathBuf::from(root.expect("a cgroup v2 hierarchy"))
}
