//! `cargo xtask truth`: runs the workloads and prints how much of the truth was found.
//!
//! Needs root and `WIRESPAN_BIN`. A workload that does not work is a row that says so, and does not stop the others.
use serde_json::json;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use wirespan_tests::program::free_port;
use wirespan_tests::rig::Rig;
use wirespan_tests::truth::backend::Backend;
use wirespan_tests::truth::directory;
use wirespan_tests::truth::report::{self, Row};
use wirespan_tests::truth::run::{self, Length, Outcome, Place};
use wirespan_tests::truth::serve;
use wirespan_tests::truth::workload::{WORKLOADS, Workload, named};

const HELP: &str = "\
cargo xtask truth [--short] [--replay] [WORKLOAD...]

Runs each workload (all, or those named), compares every link with the truth, and prints the table.
  --short    one short run each
  --replay   score the recordings of earlier runs again; no program is started
  --serve CGROUP
             only start the server of the workload named, below this cgroup, and end with standard input

Recordings, the truth beside them and results.json go to target/truth. Ends with failure if a row misses its bar.";

fn main() -> ExitCode {
    let (mut short, mut again) = (false, false);
    let mut chosen: Vec<&'static Workload> = Vec::new();
    let mut below = None;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--short" => short = true,
            "--replay" => again = true,
            "--serve" => below = words.next().map(PathBuf::from),
            "--help" | "-h" => {
                println!("{HELP}\n\nWorkloads:");
                for workload in WORKLOADS {
                    println!("  {:26} {}", workload.name, workload.title);
                }
                return ExitCode::SUCCESS;
            }
            name => {
                let Some(workload) = named(name) else {
                    eprintln!("truth: there is no workload `{name}`\n\n{HELP}");
                    return ExitCode::from(2);
                };
                chosen.push(workload);
            }
        }
    }
    if let (Some(below), [workload]) = (&below, &chosen[..]) {
        return serve(workload, below);
    }
    if chosen.is_empty() {
        chosen = WORKLOADS.iter().collect();
    }
    let lengths: &[Length] = if short { &run::SHORT } else { &run::WHOLE };
    if !again {
        // Before the first run: no agent shall wait for a compiler.
        for kind in chosen.iter().flat_map(|workload| serve::needs(workload)) {
            let _ = kind.installed();
        }
    }
    let backend = Backend::start();
    let began = Instant::now();
    let rows: Vec<Row> = chosen.into_iter().map(|workload| row(workload, lengths, again, &backend)).collect();
    let results =
        json!({"machine": machine(), "short": short, "replayed": again, "seconds": began.elapsed().as_secs(), "rows": report::json(&rows)});
    let file = directory().join("results.json");
    fs::write(&file, format!("{results:#}\n")).expect("a file for the results");
    let table = report::table(&rows);
    fs::write(directory().join("results.md"), &table).expect("a file for the table");
    println!("{table}");
    eprintln!("truth: everything that was counted is in {}", file.display());
    if rows.iter().all(Row::passes) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts the workload's server for others, says its process and its port in a line, and ends it when standard input ends.
fn serve(workload: &'static Workload, below: &Path) -> ExitCode {
    for kind in serve::needs(workload) {
        let _ = kind.installed();
    }
    let backend = Backend::start();
    let rig = Rig::below(below);
    let port = free_port();
    let server = serve::start(workload, &rig.file("log"), &rig, [port, backend.http, backend.redis]);
    println!("{} {port}", server.pid());
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    ExitCode::SUCCESS
}

fn row(workload: &'static Workload, lengths: &[Length], again: bool, backend: &Backend) -> Row {
    let outcomes = lengths.iter().map(|length| outcome(workload, *length, again, backend)).collect();
    Row { workload, outcomes }
}

fn outcome(workload: &'static Workload, length: Length, again: bool, backend: &Backend) -> Result<Outcome, String> {
    let began = Instant::now();
    // Most of the rig is that of the tests, which panics when something does not work.
    let result =
        catch_unwind(AssertUnwindSafe(
            || {
                if again { run::replay(workload, length.concurrency) } else { run::run(workload, length, backend) }
            },
        ));
    match result {
        Ok(outcome) => {
            let (score, took) = (&outcome.wirespan, began.elapsed().as_secs_f32());
            let seen = if score.is_decoded() { "" } else { "nothing decoded, " };
            let (right, wrong, missing) = (score.right(), score.wrong(), score.missing + score.unseen);
            eprintln!(
                "truth: {} at {}: {seen}{right:.2} right, {wrong:.2} wrong, {missing} missing ({took:.1} s)",
                workload.name, length.concurrency
            );
            Ok(outcome)
        }
        Err(_) => {
            Err(format!("did not run at {}: see {}", length.concurrency, Place::of(workload, length.concurrency).file("log").display()))
        }
    }
}

/// The machine that the numbers belong to.
fn machine() -> serde_json::Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    json!({
        "kernel": read("/proc/sys/kernel/osrelease").trim(), "cpu": cpu, "load": read("/proc/loadavg").trim(),
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
    })
}
