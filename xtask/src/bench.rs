//! `cargo xtask bench`: what tracing costs, measured on this machine.
//!
//! Ratios come from windows with and without the agent in one run, with a control beside them (see [`pairs`]); costs are time on a CPU,
//! not time on the wall, because others may use the machine too. The agent watches a cgroup in which only the measured programs are, and
//! sends its spans to a collector that takes everything, so that export is part of its cost. Prints a Markdown table; everything that
//! was measured goes to `target/bench/results.json`. It changes no setting of the system.
mod agent;
mod capture;
mod loops;
mod pairs;
mod process;
mod report;
mod runtimes;
mod sink;
mod traffic;

use crate::build;
use crate::child::say;
use crate::layout::Layout;
use crate::setup::{self, Purpose};
use agent::{Agent, SETTLE};
use anyhow::{Context, Result, bail};
use pairs::{Paired, Sample, Spread};
use process::{Group, Running};
use report::{Row, Verdict};
use runtimes::{SERVERS, Served};
use serde_json::json;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use traffic::Server;

const HELP: &str = "\
cargo xtask bench [--quick] [--only NAME[,NAME...]]

  --quick   shorter windows and fewer of them: a look, not a result
  --only    some rows: nginx, redis, postgresql, runtimes, loops, span, parsers, memory, idle, pcap

WIRESPAN_BIN=FILE measures another agent binary than the one it would build.";

/// Connections of wrk in the closed loop.
const CONNECTIONS: u32 = 16;
/// Connections that are held for the memory row.
const HELD: u32 = 10_000;
/// How long they are held before the agent's memory is looked at: until what was told of their requests is forgotten (5 s), and free
/// memory is given back (10 s).
const HOLD: Duration = Duration::from_secs(20);
/// Load before a window on a server whose memory is looked at: until it was studied.
const STUDY: Duration = Duration::from_secs(2);
/// Packets of the generated capture.
const PACKETS: u64 = 1_000_000;

/// Measures and prints the table.
pub fn run(layout: &Layout, args: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut only: Vec<&str> = Vec::new();
    let mut quick = false;
    match words[..] {
        ["--loop", name, millis] => return loops::child(name, Duration::from_millis(millis.parse()?)).map(|()| ExitCode::SUCCESS),
        ["--hold", port, connections] => return traffic::hold(port.parse()?, connections.parse()?).map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word {
            "--quick" => quick = true,
            "--only" => only = words.next().context("--only needs names")?.split(',').collect(),
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            other => bail!("bench does not know `{other}`\n\n{HELP}"),
        }
    }
    let binary = if let Some(binary) = env::var_os("WIRESPAN_BIN") {
        PathBuf::from(binary)
    } else {
        setup::ensure(Purpose::Test, layout)?;
        build::everything(layout)?
    };
    let dir = layout.target.join("bench");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let bench = Bench { binary, dir, layout: layout.clone(), group: Group::make()?, endpoint: sink::start()?, quick };
    let rows = bench.rows(&only)?;
    let results = json!({"machine": report::machine(), "quick": quick, "rows": report::json(&rows)});
    let file = bench.dir.join("results.json");
    fs::write(&file, format!("{results:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{}", report::table(&rows));
    say(&format!("everything that was measured is in {}", file.display()));
    let missed = rows.iter().any(|row| row.verdict == Verdict::Missed);
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What all measurements share.
struct Bench {
    binary: PathBuf,
    dir: PathBuf,
    layout: Layout,
    group: Group,
    endpoint: String,
    quick: bool,
}

impl Bench {
    /// Measures what was asked for, in the order of the table.
    fn rows(&self, only: &[&str]) -> Result<Vec<Row>> {
        type Measure = fn(&Bench) -> Result<Vec<Row>>;
        let all: [(&str, Measure); 10] = [
            ("nginx", Self::nginx),
            ("redis", Self::redis),
            ("postgresql", Self::postgresql),
            ("runtimes", Self::runtimes),
            ("loops", Self::loops),
            ("span", Self::spans),
            ("parsers", Self::parsers),
            ("memory", Self::memory),
            ("idle", Self::idle),
            ("pcap", Self::pcap),
        ];
        if let Some(unknown) = only.iter().find(|name| all.iter().all(|(known, _)| known != *name)) {
            bail!("bench has no row `{unknown}`\n\n{HELP}");
        }
        let mut rows = Vec::new();
        for (name, measure) in all.iter().filter(|(name, _)| only.is_empty() || only.contains(name)) {
            say(&format!("measuring {name}"));
            for row in measure(self).with_context(|| format!("{name} could not be measured"))? {
                say(&format!("{}: {}", row.measure, row.measured));
                rows.push(row);
            }
        }
        Ok(rows)
    }

    fn agent(&self) -> Result<Agent> {
        Agent::start(&self.binary, &self.group, &["--otlp", &self.endpoint])
    }

    /// Blocks of B A A B: 24 pairs, the method's least being 12.
    fn blocks(&self) -> usize {
        if self.quick { 4 } else { 12 }
    }

    /// Paired windows of `load` on the server with this process; a window's cost is what the server used per request. `meet` comes before
    /// each window, so that the agent knows the server.
    fn server_ratio(
        &self,
        pid: u32,
        meet: &mut dyn FnMut() -> Result<()>,
        load: &mut dyn FnMut() -> Result<traffic::Load>,
    ) -> Result<Paired> {
        pairs::measure(self.blocks(), &mut |with_agent| {
            let agent = if with_agent { Some(self.agent()?) } else { None };
            meet()?;
            let before = process::cpu(pid)?;
            let load = load()?;
            let used = process::cpu(pid)? - before;
            agent.map(Agent::stop).transpose()?;
            Ok(Sample { cost: used as f64 / load.requests as f64, rate: load.rate() })
        })
    }

    fn nginx(&self) -> Result<Vec<Row>> {
        let server = Server::nginx(&self.group, &self.dir)?;
        let window = Duration::from_secs(if self.quick { 1 } else { 2 });
        let paired = self.server_ratio(server.pid(), &mut || Ok(()), &mut || {
            traffic::wrk(&self.group, (server.port(), "/"), CONNECTIONS, window, None)
        })?;
        Ok(vec![ratio_row("nginx `return 200`, server CPU per request with / without", &paired)])
    }

    fn redis(&self) -> Result<Vec<Row>> {
        let server = Server::redis(&self.group)?;
        let trial = traffic::redis_get(&self.group, server.port(), 50_000)?;
        let requests = (trial.rate() * if self.quick { 1.0 } else { 2.0 }) as u64;
        let paired = self.server_ratio(server.pid(), &mut || Ok(()), &mut || traffic::redis_get(&self.group, server.port(), requests))?;
        Ok(vec![ratio_row("redis-benchmark GET, the same", &paired)])
    }

    /// A process for each connection: what they used is read from a cgroup of their own.
    fn postgresql(&self) -> Result<Vec<Row>> {
        let group = self.group.inside("postgresql")?;
        let server = Server::postgresql(&group, &self.dir)?;
        let select = |transactions| traffic::pgbench_select(&self.group, server.port(), transactions);
        let transactions = (select(5_000)?.rate() * if self.quick { 1.0 } else { 2.0 }) as u64;
        let paired = pairs::measure(self.blocks(), &mut |with_agent| {
            let agent = if with_agent { Some(self.agent()?) } else { None };
            let before = group.cpu()?;
            let load = select(transactions)?;
            let used = group.cpu()? - before;
            agent.map(Agent::stop).transpose()?;
            Ok(Sample { cost: used as f64 / load.requests as f64, rate: load.rate() })
        })?;
        server.stop()?;
        let verdict = Verdict::at_most(paired.proven(), 1.10, 1.05);
        let measure = "pgbench select-only, server CPU per transaction with / without".into();
        Ok(vec![Row { measure, measured: ratio_text(&paired), must: "1.10", goal: "1.05", verdict, details: paired.json() }])
    }

    /// Servers whose memory is looked at.
    fn runtimes(&self) -> Result<Vec<Row>> {
        setup::ensure(Purpose::Truth, &self.layout)?;
        let rig = runtimes::rig(&self.layout)?;
        let window = Duration::from_secs(if self.quick { 1 } else { 2 });
        let row = |(name, workload): &(&str, &str)| {
            let server = Served::start(&rig, &self.layout, &self.group, workload)?;
            let wrk = |time| traffic::wrk(&self.group, (server.port(), "/w/m1"), CONNECTIONS, time, None);
            let paired = self.server_ratio(server.pid(), &mut || wrk(STUDY).map(drop), &mut || wrk(window))?;
            server.stop()?;
            let verdict = Verdict::at_most(paired.proven(), 1.15, 1.08);
            let measure = format!("{name}, a handler with one call, server CPU per request with / without");
            Ok(Row { measure, measured: ratio_text(&paired), must: "1.15", goal: "1.08", verdict, details: paired.json() })
        };
        SERVERS.iter().map(row).collect()
    }

    fn loops(&self) -> Result<Vec<Row>> {
        let window = Duration::from_millis(if self.quick { 300 } else { 1000 });
        let row = |name: &&str| {
            let paired = pairs::measure(self.blocks(), &mut |with_agent| {
                let agent = if with_agent { Some(self.agent()?) } else { None };
                let sample = loops::window(&self.group, name, window)?;
                agent.map(Agent::stop).transpose()?;
                Ok(sample)
            })?;
            let verdict = if paired.is_within_control() { Verdict::Goal } else { Verdict::Missed };
            let (measure, measured) = (format!("loop of {name}, the same"), ratio_text(&paired));
            let inside = "inside the A/A spread";
            Ok(Row { measure, measured, must: inside, goal: inside, verdict, details: paired.json() })
        };
        loops::LOOPS.iter().map(row).collect()
    }

    /// What a message of each protocol costs in its decoder.
    fn parsers(&self) -> Result<Vec<Row>> {
        let mut cargo = Command::new("cargo");
        cargo.args(["bench", "--quiet", "-p", "wirespan", "--bench", "parsers"]).current_dir(&self.layout.root);
        let output = cargo.stderr(Stdio::inherit()).output().context("cargo does not start")?;
        if !output.status.success() {
            bail!("the decoders could not be measured");
        }
        let row = |line: &str| {
            let details: serde_json::Value = serde_json::from_str(line).with_context(|| format!("the bench said {line:?}"))?;
            let number = |key| details[key].as_f64().with_context(|| format!("no {key} in {line:?}"));
            let (nanos, bytes) = (number("nanos")?, number("bytes")?);
            let verdict = if nanos <= 500.0 && bytes < 1.0 { Verdict::Goal } else { Verdict::Must };
            let measure = format!("a message of {} in its decoder", details["protocol"].as_str().unwrap_or("?"));
            Ok(Row {
                measure,
                measured: format!("{nanos:.0} ns, {bytes:.0} bytes allocated"),
                must: "—",
                goal: "500 ns, 0 bytes",
                verdict,
                details,
            })
        };
        std::str::from_utf8(&output.stdout)?.lines().map(row).collect()
    }

    /// The agent's CPU time per span, and lost spans, at half of what nginx can do.
    fn spans(&self) -> Result<Vec<Row>> {
        let server = Server::nginx(&self.group, &self.dir)?;
        let port = server.port();
        // Capacity with the agent; a run of its own, so that what it leaves behind is not in the numbers.
        let agent = self.agent()?;
        let full = traffic::wrk(&self.group, (port, "/"), CONNECTIONS, Duration::from_secs(3), None)?;
        sleep(SETTLE);
        let full_cpu = agent.cpu()?;
        let full_end = agent.stop()?;
        let full_cost = full_cpu as f64 / full_end.exported as f64 / 1000.0;
        // A connection's pause is a little longer than what it was told to be: one trial finds out how many are needed.
        let wanted = full.rate() / 2.0;
        let connections = traffic::paced_connections(wanted);
        let trial = traffic::wrk(&self.group, (port, "/"), connections, Duration::from_secs(2), Some(&self.dir))?;
        let connections = (f64::from(connections) * wanted / trial.rate()).round() as u32;
        let time = Duration::from_secs(if self.quick { 10 } else { 60 });
        let agent = self.agent()?;
        let load = traffic::wrk(&self.group, (port, "/"), connections, time, Some(&self.dir))?;
        sleep(SETTLE);
        let cpu = agent.cpu()?;
        let (anonymous, ring) = agent.memory()?;
        let end = agent.stop()?;
        // Both ends of every connection are watched: a request is two spans. wrk stops in the middle of some, which it does not count.
        let lost = (2 * load.requests).saturating_sub(end.exported).max(end.lost());
        let cost = cpu as f64 / end.exported as f64 / 1000.0;
        let details = json!({
            "capacity_per_second": full.rate(), "at_capacity": {"us_per_span": full_cost, "exported": full_end.exported,
            "requests": full.requests, "dropped": full_end.dropped}, "per_second": load.rate(), "seconds": load.time.as_secs_f64(),
            "requests": load.requests, "connections": connections, "records": end.records, "made": end.made, "exported": end.exported,
            "dropped": end.dropped, "cpu_ns": cpu, "us_per_span": cost, "rss_anon_kib": anonymous, "ring_kib": ring,
        });
        Ok(vec![
            Row {
                measure: "agent CPU per exported span, export included".into(),
                measured: format!("{cost:.2} µs ({full_cost:.2} µs at capacity)"),
                must: "10 µs",
                goal: "5 µs",
                verdict: Verdict::at_most(cost, 10.0, 5.0),
                details: details.clone(),
            },
            Row {
                measure: format!("spans lost at half of capacity for {} s", time.as_secs()),
                measured: format!("{lost} of {} ({:.0} requests/s)", 2 * load.requests, load.rate()),
                must: "0",
                goal: "0",
                verdict: Verdict::at_most(lost as f64, 0.0, 0.0),
                details,
            },
        ])
    }

    fn memory(&self) -> Result<Vec<Row>> {
        let server = Server::nginx(&self.group, &self.dir)?;
        let agent = self.agent()?;
        sleep(SETTLE);
        let (idle, _) = agent.memory()?;
        let holder = traffic::hold_connections(&self.group, server.port(), HELD)?;
        let (mut peak, opened) = (0, Instant::now());
        while opened.elapsed() < HOLD {
            peak = peak.max(agent.memory()?.0);
            sleep(Duration::from_millis(500));
        }
        let (held, ring) = agent.memory()?;
        let cpu = agent.cpu()?;
        sleep(Duration::from_secs(5));
        let held_cpu = (agent.cpu()? - cpu) as f64 / 5e7;
        drop(holder);
        let end = agent.stop()?;
        let mib = |kib: u64| kib as f64 / 1024.0;
        let verdict = match (Verdict::at_most(mib(idle), 20.0, 12.0), Verdict::at_most(mib(held), 48.0, 30.0)) {
            (Verdict::Missed, _) | (_, Verdict::Missed) => Verdict::Missed,
            (Verdict::Goal, Verdict::Goal) => Verdict::Goal,
            _ => Verdict::Must,
        };
        Ok(vec![Row {
            measure: "RssAnon idle / with 10,000 connections, both ends watched (mapped ring apart)".into(),
            measured: format!("{:.1} / {:.1} MiB (ring {:.0} MiB)", mib(idle), mib(held), mib(ring)),
            must: "20 / 48 MiB",
            goal: "12 / 30 MiB",
            verdict,
            details: json!({
                "idle_kib": idle, "held_kib": held, "peak_kib": peak, "ring_kib": ring, "connections": HELD, "sockets": 2 * HELD,
                "exported": end.exported, "dropped": end.dropped, "cpu_percent_while_held": held_cpu,
            }),
        }])
    }

    fn idle(&self) -> Result<Vec<Row>> {
        let agent = self.agent()?;
        sleep(SETTLE);
        let seconds = if self.quick { 10 } else { 60 };
        let (before, begun) = (agent.cpu()?, Instant::now());
        sleep(Duration::from_secs(seconds));
        let percent = (agent.cpu()? - before) as f64 / begun.elapsed().as_nanos() as f64 * 100.0;
        let end = agent.stop()?;
        Ok(vec![Row {
            measure: format!("idle node, agent CPU over {seconds} s"),
            measured: format!("{percent:.2} % of a core"),
            must: "0.5 %",
            goal: "0.2 %",
            verdict: Verdict::at_most(percent, 0.5, 0.2),
            details: json!({"percent": percent, "records": end.records}),
        }])
    }

    fn pcap(&self) -> Result<Vec<Row>> {
        let file = self.dir.join("million.pcap");
        let content = capture::write(&file, PACKETS)?;
        let (mut rates, mut of_cpu, mut peak, mut spans) = (Vec::new(), Vec::new(), 0, 0);
        for _ in 0..if self.quick { 3 } else { 5 } {
            let mut command = Command::new(&self.binary);
            command.args(["pcap", "--quiet", "--otlp-file", "/dev/null"]).arg(&file);
            let begun = Instant::now();
            let mut running = Running::start(command.stdin(Stdio::null()).stderr(Stdio::piped()))?;
            let cpu = loop {
                // The highest mark only grows, so the last one seen is all but the true one.
                peak = peak.max(process::memory(running.pid(), "VmHWM").unwrap_or(0));
                if let Some(cpu) = process::cpu_of_ended(running.pid()) {
                    break cpu;
                }
                sleep(Duration::from_millis(2));
            };
            let time = begun.elapsed();
            let mut stderr = String::new();
            std::io::Read::read_to_string(&mut running.child().stderr.take().context("no standard error")?, &mut stderr)?;
            let end = agent::accounting(&stderr).with_context(|| format!("`wirespan pcap` said {stderr:?}"))?;
            if end.made != content.spans() || end.exported != end.made {
                bail!("`wirespan pcap` made {} spans and wrote {} of {}", end.made, end.exported, content.spans());
            }
            spans = end.made;
            rates.push(content.packets as f64 / time.as_secs_f64() / 1e6);
            of_cpu.push(content.packets as f64 / cpu.as_secs_f64() / 1e6);
        }
        let (rate, of_cpu, peak_mib) = (Spread::of(rates), Spread::of(of_cpu), peak as f64 / 1024.0);
        let verdict = if peak_mib > 128.0 { Verdict::Missed } else { Verdict::at_most(-rate.median, -1.0, -3.0) };
        Ok(vec![Row {
            measure: "`wirespan pcap` on a capture of 1 million packets".into(),
            measured: format!("{:.2} M packets/s, {:.2} M per CPU second, {peak_mib:.0} MiB", rate.median, of_cpu.median),
            must: "1 M packets/s, 128 MiB",
            goal: "3 M packets/s",
            verdict,
            details: json!({
                "packets": content.packets, "http": content.http, "redis": content.redis, "spans": spans, "peak_rss_kib": peak,
                "bytes": fs::metadata(&file).map_or(0, |data| data.len()), "million_per_second": rate.json(),
                "million_per_cpu_second": of_cpu.json(),
            }),
        }])
    }
}

/// A row whose bars are 1.20 and 1.10.
fn ratio_row(measure: &str, paired: &Paired) -> Row {
    let verdict = Verdict::at_most(paired.proven(), 1.20, 1.10);
    Row { measure: measure.into(), measured: ratio_text(paired), must: "1.20", goal: "1.10", verdict, details: paired.json() }
}

fn ratio_text(paired: &Paired) -> String {
    let (ratio, control) = (paired.ratio, paired.control);
    format!(
        "{:.3} ({:.3}–{:.3}); A/A {:.3} ({:.3}–{:.3}); {:.0} ns without",
        ratio.median, ratio.low, ratio.high, control.median, control.low, control.high, paired.base.median
    )
}
