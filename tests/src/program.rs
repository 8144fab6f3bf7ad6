//! Programs that a test starts and ends.
use crate::wait::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

/// Ports that tests listen on lie here, below those that Linux gives to clients by default.
const FIRST_PORT: u16 = 18_000;
const PORTS: u16 = 12_000;
/// `TCP_LISTEN` as `/proc/net/tcp` writes it.
const LISTEN: &str = "0A";

/// A running program, ended when it goes out of scope.
#[derive(Debug)]
pub struct Program {
    child: Child,
    name: String,
}

impl Program {
    /// Starts it without input; its output goes where `command` says, which is this test's own by default.
    pub fn start(mut command: Command) -> Self {
        let name = format!("{command:?}");
        let child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { child, name }
    }

    /// Starts it, and waits until it listens on `port`.
    pub fn listening(command: Command, port: u16) -> Self {
        let mut program = Self::start(command);
        wait_until(&format!("{} listens on port {port}", program.name), || {
            assert!(!program.has_ended(), "{} has ended", program.name);
            listens(program.pid(), port)
        });
        program
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it writes, if its command has a pipe there and nobody took it before.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Waits until it ends.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(&format!("{} ends", self.name), || {
            status = self.child.try_wait().expect("a child of this process");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Sends it a signal and waits until it ends.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Not at once by force: a server with helpers ends them itself.
            self.signal(Signal::TERM);
            if !thread::panicking() {
                self.wait();
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a command to its end, and panics unless it succeeds. Gives what it wrote to standard output.
pub fn run(command: Command) -> String {
    let name = format!("{command:?}");
    let output = output(command);
    assert!(output.status.success(), "{name} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command to its end, whatever that is.
pub fn output(mut command: Command) -> Output {
    let name = format!("{command:?}");
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("cannot start {name}: {error}"))
}

/// A command with arguments.
pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// A port on which nothing listens, not given to anybody else in this process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests of other clones may run at the same time: they begin elsewhere.
    let offset = u16::try_from(std::process::id() % 97).unwrap_or_default() * 120;
    loop {
        let port = FIRST_PORT + NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(offset) % PORTS;
        if ["127.0.0.1", "::1"].iter().all(|host| TcpListener::bind((*host, port)).is_ok()) {
            return port;
        }
    }
}

/// Whether a socket in the network namespace of `pid` listens on `port`. Connecting to find out would be traffic.
fn listens(pid: u32, port: u16) -> bool {
    let local = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        let mut text = String::new();
        let read = fs::File::open(format!("/proc/{pid}/net/{table}")).and_then(|mut file| file.read_to_string(&mut text));
        read.is_ok()
            && text.lines().any(|line| {
                let mut fields = line.split_ascii_whitespace().skip(1);
                fields.next().is_some_and(|address| address.ends_with(&local)) && fields.nth(1) == Some(LISTEN)
            })
    })
}
