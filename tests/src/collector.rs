//! A real OpenTelemetry Collector, with the configuration that users get.
use crate::program::{Program, command, free_port, run};
use crate::rig::Rig;
use crate::root;
use crate::span::{self, Span};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// Where it listens, and where it writes.
#[derive(Debug)]
pub struct Collector {
    grpc: u16,
    http: u16,
    file: PathBuf,
    log: PathBuf,
    program: Option<Program>,
}

impl Collector {
    /// Chooses its ports; it does not run yet.
    pub fn prepare(rig: &Rig) -> Self {
        let (grpc, http) = (free_port(), free_port());
        Self { grpc, http, file: rig.file("collector.jsonl"), log: rig.file("collector.log"), program: None }
    }

    /// Starts it outside the test's cgroup.
    pub fn start(&mut self) {
        self.start_as(Command::new(executable()));
    }

    /// Starts it inside the test's cgroup.
    pub fn start_in(&mut self, rig: &Rig) {
        self.start_as(rig.command(&executable().display().to_string(), &[]));
    }

    fn start_as(&mut self, mut command: Command) {
        let log = File::create(&self.log).expect("a log file");
        command.arg("--config").arg(root().join("deploy/collector.yaml"));
        command.env("WIRESPAN_GRPC", format!("127.0.0.1:{}", self.grpc)).env("WIRESPAN_HTTP", format!("127.0.0.1:{}", self.http));
        command.env("WIRESPAN_SPANS", &self.file).stdout(log.try_clone().expect("the log file")).stderr(log);
        let program = Program::listening(command, self.grpc);
        self.program = Some(program);
    }

    /// Its endpoint for gRPC.
    pub fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// Its endpoint for HTTP.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// How many spans it has written so far.
    pub fn received(&self) -> usize {
        self.spans().len()
    }

    /// Ends it and gives the spans that it has received.
    pub fn stop(mut self) -> Vec<Span> {
        drop(self.program.take());
        self.spans()
    }

    /// The lines that are about spans and whole; metrics come to the same file.
    fn spans(&self) -> Vec<Span> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let lines = text.split_inclusive('\n').filter(|line| line.starts_with(r#"{"resourceSpans""#) && line.ends_with('\n'));
        span::parse(&lines.collect::<String>())
    }
}

/// Builds the collector from `tests/collector`; Go does nothing the second time. The first time it compiles for some minutes.
fn executable() -> PathBuf {
    let into = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir)).join("collector");
    let mut go = command("go", &["build", "-trimpath", "-ldflags", "-s -w", "-o"]);
    go.arg(&into).arg(".").current_dir(root().join("tests/collector"));
    run(go);
    into
}
