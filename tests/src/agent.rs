//! The agent under test.
use crate::program::Program;
use crate::span::{self, Span};
use crate::wait::wait_until;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// What it says when it watches, and when it records.
const WATCHING: &str = "watching every TCP connection";
const RECORDING: &str = "wirespan: recording to ";

/// The agent's executable, from `WIRESPAN_BIN`.
pub fn binary() -> PathBuf {
    std::env::var_os("WIRESPAN_BIN").map(PathBuf::from).expect("WIRESPAN_BIN names the agent; `cargo xtask test` sets it")
}

/// A command of the agent, with no OpenTelemetry variables of the caller's.
pub fn wirespan<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary());
    command.args(args);
    without_telemetry_variables(&mut command);
    command
}

/// Takes the OpenTelemetry variables out of a command's environment.
pub fn without_telemetry_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
        command.env_remove(name);
    }
}

/// An agent that runs. Its spans go to a file by way of standard output, so that anything else there breaks every test.
#[derive(Debug)]
pub struct Agent {
    program: Program,
    spans: PathBuf,
    messages: PathBuf,
}

/// What an agent left behind.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its spans, in the order in which they were written.
    pub spans: Vec<Span>,
    /// Its last line.
    pub accounting: Accounting,
    /// Everything on standard error.
    pub messages: String,
}

impl Agent {
    /// Starts `command`, which writes OTLP JSON lines to standard output, and waits until it watches. `name` names its files in `dir`.
    pub fn start(command: Command, dir: &Path, name: &str) -> Self {
        Self::start_saying(command, dir, name, WATCHING)
    }

    /// The same for `record`, which writes no spans.
    pub fn recording(command: Command, dir: &Path, name: &str) -> Self {
        Self::start_saying(command, dir, name, RECORDING)
    }

    fn start_saying(mut command: Command, dir: &Path, name: &str, ready: &str) -> Self {
        let (spans, messages) = (dir.join(format!("{name}.jsonl")), dir.join(format!("{name}.err")));
        command.stdout(File::create(&spans).expect("a file for spans"));
        command.stderr(File::create(&messages).expect("a file for messages"));
        let program = Program::start(command);
        let mut agent = Self { program, spans, messages };
        wait_until("the agent watches", || {
            let said = agent.messages();
            assert!(!agent.program.has_ended(), "the agent has ended: {said}");
            said.contains(ready)
        });
        agent
    }

    /// What it has said so far on standard error.
    pub fn messages(&self) -> String {
        fs::read_to_string(&self.messages).expect("the agent's messages")
    }

    /// The spans that it has written so far.
    pub fn spans(&self) -> Vec<Span> {
        let text = fs::read_to_string(&self.spans).expect("the agent's spans");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        span::parse(&text[..whole])
    }

    /// The process.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Ends it as a service manager does. Panics unless it ends with success and everything adds up.
    pub fn stop(mut self) -> Run {
        let status = self.program.end(Signal::TERM);
        self.result(status)
    }

    /// Waits until it ends by itself; otherwise as [`Self::stop`].
    pub fn wait(mut self) -> Run {
        let status = self.program.wait();
        self.result(status)
    }

    /// Ends it, and gives what it said: for an agent that writes its spans elsewhere. Panics unless it ends with success.
    pub fn stop_without_spans(mut self) -> String {
        let status = self.program.end(Signal::TERM);
        assert!(status.success(), "the agent ended with {status}: {}", self.messages());
        self.messages()
    }

    fn result(&self, status: ExitStatus) -> Run {
        let text = fs::read_to_string(&self.spans).expect("the agent's spans");
        Run::of(status, &text, self.messages())
    }
}

impl Run {
    /// What a command did that wrote spans to standard output. Panics unless it was a success and everything adds up.
    pub fn of(status: ExitStatus, stdout: &str, messages: String) -> Self {
        assert!(status.success(), "the agent ended with {status}: {messages}");
        let accounting = Accounting::last_in(&messages);
        accounting.assert_even();
        let spans = span::parse(stdout);
        assert_eq!(spans.len() as u64, accounting.exported, "spans in the file, and spans exported");
        Self { spans, accounting, messages }
    }

    /// Runs a command that needs no kernel, such as `pcap`, to its end.
    pub fn once(mut command: Command) -> Self {
        let output = command.stdin(Stdio::null()).output().expect("the agent");
        Self::of(output.status, &String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The agent's accounting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// Records that came in.
    pub records: u64,
    /// Of these, of use.
    pub used: u64,
    /// The others by cause.
    pub records_dropped: BTreeMap<String, u64>,
    /// Spans made.
    pub made: u64,
    /// Of these, exported.
    pub exported: u64,
    /// The others by cause.
    pub spans_dropped: BTreeMap<String, u64>,
    /// How the links of those that were made were found.
    pub links: BTreeMap<String, u64>,
}

impl Accounting {
    /// The last line that is one.
    pub fn last_in(messages: &str) -> Self {
        let line = messages.lines().rfind(|line| line.starts_with(r#"{"accounting":"#));
        Self::parse(line.unwrap_or_else(|| panic!("there is no accounting in {messages:?}")))
    }

    /// Reads one line.
    pub fn parse(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let (records, spans) = (&value["accounting"]["records"], &value["accounting"]["spans"]);
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("a number in {line}"));
        let causes = |value: &Value| {
            let causes = value.as_object().unwrap_or_else(|| panic!("causes in {line}"));
            causes.iter().map(|(cause, count)| (cause.clone(), number(count))).collect()
        };
        Self {
            records: number(&records["in"]),
            used: number(&records["used"]),
            records_dropped: causes(&records["dropped"]),
            made: number(&spans["made"]),
            exported: number(&spans["exported"]),
            spans_dropped: causes(&spans["dropped"]),
            links: causes(&value["accounting"]["links"]),
        }
    }

    /// Panics if anything was lost silently.
    pub fn assert_even(&self) {
        let sum = |causes: &BTreeMap<String, u64>| causes.values().sum::<u64>();
        assert_eq!(self.records, self.used + sum(&self.records_dropped), "records: {self:?}");
        assert_eq!(self.made, self.exported + sum(&self.spans_dropped), "spans: {self:?}");
        let skipped = self.spans_dropped.get("sdk").copied().unwrap_or(0);
        assert_eq!(self.made, skipped + sum(&self.links), "links: {self:?}");
    }
}
