//! One run of one workload: its events go to a file, its spans are told, both at the same time; then they are scored.
use super::backend::Backend;
use super::baseline::{Recorded, Rule};
use super::directory;
use super::label::{Call, MEASURED, STUDIED, WARM_UP};
use super::load;
use super::score::{Links, Phase, Score, Truth};
use super::serve;
use super::workload::{Program, Workload};
use crate::agent::{Accounting, Agent, Run as Told, wirespan};
use crate::program::free_port;
use crate::rig::Rig;
use crate::wait::wait_until;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// How long the agents may still see things after the last answer: longer than wirespan waits for the other end of a connection.
const AFTERGLOW: Duration = Duration::from_millis(400);

/// The same for a program that has to work meanwhile: time for two studies, on a machine that has other work.
const STUDY_AT_WORK: Duration = Duration::from_secs(3);

/// How many requests, and how many at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// At a time.
    pub concurrency: u32,
    /// Requests before those that count.
    pub warm_up: u32,
    /// Requests that count.
    pub measured: u32,
}

/// The runs of the whole table.
pub const WHOLE: [Length; 3] = [
    Length { concurrency: 1, warm_up: 200, measured: 600 },
    Length { concurrency: 8, warm_up: 200, measured: 3000 },
    Length { concurrency: 64, warm_up: 200, measured: 3000 },
];
/// A short run, for tests: just long enough that a process's class is proven in the warm-up.
pub const SHORT: [Length; 1] = [Length { concurrency: 16, warm_up: 200, measured: 1000 }];

/// Pause after the warm-up, in which an agent studies a program that it has met; a service runs for days.
const STUDY: Duration = Duration::from_millis(1500);

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// At a time.
    pub concurrency: u32,
    /// wirespan, on the requests that count.
    pub wirespan: Score,
    /// wirespan, on the first ones.
    pub warm_up: Score,
    /// [`Rule::OneSlot`] on the same events.
    pub one_slot: Score,
    /// [`Rule::LastRead`] on the same events.
    pub last_read: Score,
    /// Records of the kernel that the agent lost, by cause.
    pub accounting: Accounting,
}

/// Names the files of a run.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    workload: &'static Workload,
    concurrency: u32,
}

impl Place {
    /// Of this workload at this concurrency.
    #[must_use]
    pub fn of(workload: &'static Workload, concurrency: u32) -> Self {
        Self { workload, concurrency }
    }

    /// A file of the run.
    #[must_use]
    pub fn file(self, extension: &str) -> PathBuf {
        directory().join(format!("{}-c{}.{extension}", self.workload.name, self.concurrency))
    }

    /// What wirespan recorded.
    #[must_use]
    pub fn recording(self) -> PathBuf {
        self.file("wirespan")
    }
}

/// Runs a workload, records it, and scores what was said of it. Panics if the workload does not work.
#[must_use]
pub fn run(workload: &'static Workload, length: Length, backend: &Backend) -> Outcome {
    let place = Place::of(workload, length.concurrency);
    fs::create_dir_all(directory()).expect("a directory for recordings");
    let rig = Rig::new();
    drop(backend.take());
    let recorder = {
        let mut command = wirespan(["record", "--cgroup"]);
        command.arg(rig.cgroup()).arg(place.recording());
        Agent::recording(command, &rig.file(""), "recorder")
    };
    let agent = rig.agent(&[]);
    let port = free_port();
    let http2 = (workload.program == Program::GoHttp2).then(|| backend.start_http2());
    let http = http2.as_ref().map_or(backend.http, |(_, port)| *port);
    let database = if workload.program == Program::GoSql { backend.sql } else { backend.redis };
    let server = serve::start(workload, &place.file("log"), &rig, [port, http, database]);
    let answered = [(WARM_UP, length.warm_up), (MEASURED, length.measured)].map(|(prefix, count)| {
        let answered = load::ask(port, prefix, count, length.concurrency);
        if prefix == WARM_UP && workload.program == Program::Tokio {
            // What is learnt of it shows only at work.
            let begun = Instant::now();
            while begun.elapsed() < STUDY_AT_WORK {
                load::ask(port, STUDIED, length.warm_up, length.concurrency);
            }
        } else if prefix == WARM_UP && serve::is_studied(workload) {
            thread::sleep(STUDY);
        }
        (answered, count)
    });
    for (answered, count) in answered {
        assert_eq!(answered, count, "{} answers every request; see {}", workload.name, place.file("log").display());
    }
    let calls = (length.warm_up + length.measured) * workload.calls;
    wait_until("every call has come", || backend.count() >= calls as usize);
    thread::sleep(AFTERGLOW);
    // First the server, which may make calls until its end.
    drop(server);
    let told = agent.stop();
    let _ = recorder.stop();
    let truth = Truth { warm_up: length.warm_up, measured: length.measured, calls: backend.take() };
    fs::write(place.file("json"), format!("{}\n", saved(&truth))).expect("a file for the truth");
    score(place, &truth, told)
}

/// Scores a run of earlier: wirespan's spans are those of a replay.
#[must_use]
pub fn replay(workload: &'static Workload, concurrency: u32) -> Outcome {
    let place = Place::of(workload, concurrency);
    let text = fs::read_to_string(place.file("json")).unwrap_or_else(|error| panic!("{}: {error}", place.file("json").display()));
    let truth = read(&serde_json::from_str(&text).expect("JSON")).expect("a truth");
    let mut command = wirespan(["replay", "--otlp-file", "-"]);
    command.arg(place.recording());
    score(place, &truth, Told::once(command))
}

fn score(place: Place, truth: &Truth, told: Told) -> Outcome {
    let spans = Links::of_spans(&told.spans);
    let recorded = Recorded::read(&place.recording()).unwrap_or_else(|error| panic!("{}: {error}", place.recording().display()));
    let baseline = |rule| Score::of(truth, &recorded.links(rule), Phase::Measured);
    Outcome {
        concurrency: place.concurrency,
        wirespan: Score::of(truth, &spans, Phase::Measured),
        warm_up: Score::of(truth, &spans, Phase::WarmUp),
        one_slot: baseline(Rule::OneSlot),
        last_read: baseline(Rule::LastRead),
        accounting: told.accounting,
    }
}

fn saved(truth: &Truth) -> Value {
    let calls: Vec<Value> = truth.calls.iter().map(|call| json!([call.request, call.number])).collect();
    json!({"warm_up": truth.warm_up, "measured": truth.measured, "calls": calls})
}

fn read(saved: &Value) -> Option<Truth> {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let call = |call: &Value| Some(Call { request: call[0].as_str()?.to_owned(), number: number(&call[1])? });
    let calls = saved["calls"].as_array()?.iter().map(call).collect::<Option<_>>()?;
    Some(Truth { warm_up: number(&saved["warm_up"])?, measured: number(&saved["measured"])?, calls })
}
