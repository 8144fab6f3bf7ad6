//! One test's world: a cgroup, a directory, and what starts programs in them.
use crate::agent::{Agent, wirespan};
use crate::cgroup::Cgroup;
use crate::program::{self, Program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cgroup and a directory. Both go with it; a failed test leaves its directory.
#[derive(Debug)]
pub struct Rig {
    cgroup: Cgroup,
    dir: PathBuf,
}

impl Rig {
    /// An empty one.
    pub fn new() -> Self {
        Self::of(Cgroup::new())
    }

    /// The same below another cgroup.
    pub fn below(parent: &Path) -> Self {
        Self::of(Cgroup::below(parent))
    }

    fn of(cgroup: Cgroup) -> Self {
        let dir = std::env::temp_dir().join(cgroup.path().file_name().expect("a name"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).expect("a directory for the test");
        Self { cgroup, dir }
    }

    /// The cgroup.
    pub fn cgroup(&self) -> &Path {
        self.cgroup.path()
    }

    /// A file in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A command that runs in the cgroup.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = self.cgroup.command(program);
        command.args(args).current_dir(&self.dir);
        command
    }

    /// The same in a network namespace.
    pub fn command_in(&self, namespace: &str, program: &str, args: &[&str]) -> Command {
        let mut command = self.command("ip", &["netns", "exec", namespace, program]);
        command.args(args);
        command
    }

    /// Starts a program in the cgroup, and waits until it listens on `port`.
    pub fn serve(&self, program: &str, args: &[&str], port: u16) -> Program {
        Program::listening(self.logged(self.command(program, args), port), port)
    }

    /// The same in a network namespace.
    pub fn serve_in(&self, namespace: &str, program: &str, args: &[&str], port: u16) -> Program {
        Program::listening(self.logged(self.command_in(namespace, program, args), port), port)
    }

    /// What the server on `port` says goes to a file.
    fn logged(&self, mut command: Command, port: u16) -> Command {
        let log = fs::File::create(self.file(&format!("{port}.log"))).expect("a log file");
        command.stdout(log.try_clone().expect("the log file")).stderr(log);
        command
    }

    /// Runs a program in the cgroup to its end, which must be a success; gives what it wrote.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        program::run(self.command(program, args))
    }

    /// Asks for `url` with curl; gives the response's body.
    pub fn curl(&self, url: &str) -> String {
        self.run("curl", &["--silent", "--show-error", "--max-time", "30", url])
    }

    /// An agent that watches the cgroup, with further arguments.
    pub fn agent(&self, args: &[&str]) -> Agent {
        self.agent_named("agent", args)
    }

    /// The same, if a test needs more than one.
    pub fn agent_named(&self, name: &str, args: &[&str]) -> Agent {
        let mut command = self.watching(args);
        command.args(["--otlp-file", "-"]);
        self.agent_from(name, command)
    }

    /// The same from a command.
    pub fn agent_from(&self, name: &str, command: Command) -> Agent {
        Agent::start(command, &self.dir, name)
    }

    /// A command `wirespan` that watches the cgroup.
    pub fn watching(&self, args: &[&str]) -> Command {
        let mut command = wirespan(args);
        command.arg("--cgroup").arg(self.cgroup());
        command
    }
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the files of this test are in {}", self.dir.display());
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
