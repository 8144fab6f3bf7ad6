//! Three nodes behind address translation, each with its agent, linked by way of a store: no request carries a header.
//!
//! `WIRESPAN_NODES_RATE` and `WIRESPAN_NODES_SECONDS` make the load as large as a person wants it: 1,000 a second for 30 seconds is what
//! the numbers in `LINKS.md` are from.
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
use wirespan_tests::agent::{Agent, Run};
use wirespan_tests::capture::Capture;
use wirespan_tests::nat::{Nat, Weather};
use wirespan_tests::program::{Program, command, free_port, run};
use wirespan_tests::rig::Rig;
use wirespan_tests::span::{Kind, Span};
use wirespan_tests::wait::wait_until;

/// The service, and what puts load on it.
const CHAIN: &str = env!("CARGO_BIN_EXE_chain");
/// Connections of the load: more requests at a time than a link may be guessed from.
const CONNECTIONS: &str = "16";
/// Longer than a request waits for its link.
const SETTLED: Duration = Duration::from_secs(3);

/// Three nodes, on each of which a service asks that of the next one.
struct Nodes {
    nat: Nat,
    rigs: [Rig; 3],
    ports: [u16; 3],
    services: Vec<Program>,
}

impl Nodes {
    fn new() -> Self {
        let nat = Nat::between(&["one", "two", "three"], Weather::FAIR);
        let (rigs, ports) = ([(); 3].map(|()| Rig::new()), [(); 3].map(|()| free_port()));
        let mut nodes = Self { nat, rigs, ports, services: Vec::new() };
        let mut next: Option<String> = None;
        for node in (0..3).rev() {
            let port = nodes.ports[node].to_string();
            let args = [&["serve", &port][..], &next.as_deref().into_iter().collect::<Vec<_>>()].concat();
            nodes.services.push(nodes.rigs[node].serve_in(nodes.nat.namespace(node), CHAIN, &args, nodes.ports[node]));
            next = Some(nodes.nat.publish(node, nodes.ports[node]).to_string());
        }
        nodes
    }

    /// An agent for each node, which lets nothing wait for others to leave with.
    fn agents(&self, args: &[&str]) -> [Agent; 3] {
        self.rigs.each_ref().map(|rig| {
            let mut command = rig.watching(&[&["--ring", "64", "--otlp-file", "-"], args].concat());
            command.env("OTEL_BSP_SCHEDULE_DELAY", "10");
            rig.agent_from("agent", command)
        })
    }

    /// Asks the first service for `/PREFIX/0` and so on, from outside of every agent's cgroup.
    fn load(&self, rate: u32, seconds: u32, prefix: &str) -> Load {
        let to = format!("{}:{}", self.nat.address(0), self.ports[0]);
        let (rate, seconds) = (rate.to_string(), seconds.to_string());
        let output = self.rigs[0].file(&format!("{prefix}.out"));
        let args = ["netns", "exec", self.nat.namespace(0), CHAIN, "load", &to, &rate, &seconds, CONNECTIONS, prefix];
        let mut load = command("ip", &args);
        load.stdout(File::create(&output).expect("a file"));
        Load { program: Program::start(load), output }
    }

    /// Enough requests that overlap for each agent to know its service as one with a thread for each of them.
    fn warm_up(&self) {
        self.load(300, 2, "warm").finish();
        sleep(SETTLED);
    }

    /// Asks once, and says how long it takes until each agent has told all of its spans.
    fn time_one(&self, agents: &[Agent; 3]) {
        let begun = Instant::now();
        let load = self.load(1, 1, "one");
        for (agent, count) in agents.iter().zip([2, 2, 1]) {
            let told = || agent.spans().iter().filter(|span| span.target() == "/one/0").count();
            wait_until("the request is told", || told() == count);
            println!("told after {} ms", begun.elapsed().as_millis());
        }
        load.finish();
    }
}

struct Load {
    program: Program,
    output: PathBuf,
}

impl Load {
    /// Waits for its end, and gives how many requests were answered.
    fn finish(mut self) -> usize {
        wait_until("the load ends", || self.program.has_ended());
        assert!(self.program.wait().success(), "the load failed");
        let text = std::fs::read_to_string(&self.output).expect("its output");
        println!(
            "load: {} answered in {} s",
            text.split(' ').next().unwrap_or_default(),
            text.split(' ').nth(1).unwrap_or_default().trim()
        );
        text.split(' ').next().and_then(|count| count.parse().ok()).expect("a count")
    }
}

/// What links came to, compared with the numbers in the targets.
#[derive(Debug, Default)]
struct Score {
    traces: usize,
    whole: usize,
    /// Spans below one of another number.
    wrong: usize,
    /// Spans by node, kind and link.
    links: BTreeMap<String, usize>,
    /// Whether each number's trace is whole.
    of: BTreeMap<u64, bool>,
}

impl Score {
    fn of(runs: &[Run; 3], prefix: &str) -> Self {
        let prefix = format!("/{prefix}/");
        let mut by_id: BTreeMap<&str, &Span> = BTreeMap::new();
        let mut by_place: BTreeMap<(u64, usize, Kind), &Span> = BTreeMap::new();
        let mut score = Self::default();
        for (node, run) in runs.iter().enumerate() {
            for span in &run.spans {
                by_id.insert(&span.id, span);
                let target = span.target();
                let Some(number) = target.strip_prefix(&prefix).and_then(|number| number.parse().ok()) else { continue };
                assert!(by_place.insert((number, node, span.kind), span).is_none(), "one span of {target} at each end");
                *score.links.entry(format!("{} {} {}", node + 1, span.kind, span.link())).or_default() += 1;
            }
        }
        score.wrong = by_place
            .values()
            .filter(|span| span.parent.as_deref().and_then(|id| by_id.get(id)).is_some_and(|parent| parent.target() != span.target()))
            .count();
        let numbers: std::collections::BTreeSet<u64> = by_place.keys().map(|(number, ..)| *number).collect();
        for number in numbers {
            let path = [(0, Kind::Server), (0, Kind::Client), (1, Kind::Server), (1, Kind::Client), (2, Kind::Server)];
            let spans: Option<Vec<&Span>> = path.iter().map(|(node, kind)| by_place.get(&(number, *node, *kind)).copied()).collect();
            let is_whole = spans.is_some_and(|spans| {
                spans[0].parent.is_none()
                    && spans.windows(2).all(|pair| pair[1].parent.as_ref() == Some(&pair[0].id) && pair[1].trace == pair[0].trace)
            });
            score.traces += 1;
            score.whole += usize::from(is_whole);
            score.of.insert(number, is_whole);
        }
        println!("{} of {} traces whole, {} spans wrong: {:?}", score.whole, score.traces, score.wrong, score.links);
        score
    }

    /// Of the numbers in this part of the load, how many are whole.
    fn whole_between(&self, from: u64, to: u64) -> (usize, usize) {
        let part: Vec<bool> = self.of.range(from..to).map(|(_, whole)| *whole).collect();
        (part.iter().filter(|whole| **whole).count(), part.len())
    }
}

/// redis-server outside of every node.
struct Store {
    port: u16,
    dir: PathBuf,
    program: Option<Program>,
}

impl Store {
    fn start(rig: &Rig, args: &[&str]) -> Self {
        let mut store = Self { port: free_port(), dir: rig.file(""), program: None };
        store.again(args);
        store
    }

    fn again(&mut self, args: &[&str]) {
        let port = self.port.to_string();
        let mut redis = command("redis-server", &["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
        redis.args(args).current_dir(&self.dir).stdout(File::create(self.dir.join("redis.log")).expect("a log"));
        self.program = Some(Program::listening(redis, self.port));
    }

    fn kill(&mut self) {
        self.program.take().expect("it runs").end(rustix::process::Signal::KILL);
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn cli(&self, args: &[&str]) -> String {
        run(command("redis-cli", &[&["-p", &self.port.to_string()], args].concat()))
    }

    /// A number of `INFO`.
    fn info(&self, name: &str) -> u64 {
        let text = self.cli(&["info", "all"]);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
    }
}

fn from_environment(name: &str, otherwise: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn rate() -> u32 {
    from_environment("WIRESPAN_NODES_RATE", 200)
}

fn remarks(run: &Run) -> &str {
    let line = run.messages.lines().rfind(|line| line.starts_with(r#"{"accounting":"#)).unwrap_or_default();
    line.split_once(r#""remarks":"#).map_or("", |(_, remarks)| remarks)
}

#[test]
fn chains_of_three_are_whole() {
    let nodes = Nodes::new();
    let store = Store::start(&nodes.rigs[0], &[]);
    let agents = nodes.agents(&["--links-store", &store.url()]);
    nodes.warm_up();
    nodes.time_one(&agents);
    let seconds = from_environment("WIRESPAN_NODES_SECONDS", 5);
    let before = ["total_commands_processed", "total_net_input_bytes", "total_net_output_bytes"].map(|name| store.info(name));
    let asked = nodes.load(rate(), seconds, "run").finish();
    sleep(SETTLED);
    let after = ["total_commands_processed", "total_net_input_bytes", "total_net_output_bytes"].map(|name| store.info(name));
    let each: Vec<f64> = before.iter().zip(after).map(|(before, after)| (after - before) as f64 / asked as f64).collect();
    println!("store: {:.2} commands, {:.0} bytes in and {:.0} out for a chain of three requests", each[0], each[1], each[2]);
    println!("{}{}", store.cli(&["info", "commandstats"]), store.cli(&["info", "cpu"]));
    let runs = agents.map(Agent::stop);
    for run in &runs {
        println!("{}", remarks(run));
    }
    let found = Score::of(&runs, "run");
    assert_eq!((asked, found.traces, found.wrong), ((rate() * seconds) as usize, asked, 0));
    assert!(found.whole * 1000 >= asked * 999, "{found:?}");
}

#[test]
fn a_store_that_dies_and_returns_costs_links_while_it_is_away_and_no_span() {
    let nodes = Nodes::new();
    let mut store = Store::start(&nodes.rigs[0], &[]);
    let agents = nodes.agents(&["--links-store", &store.url()]);
    nodes.warm_up();
    // In parts: before it dies, while it is away, while links resume, and after that.
    let (rate, part) = (rate(), from_environment("WIRESPAN_NODES_SECONDS", 12) / 4);
    let begun = Instant::now();
    let load = nodes.load(rate, 4 * part, "run");
    let after = |parts: f64| sleep(Duration::from_secs_f64(f64::from(part) * parts).saturating_sub(begun.elapsed()));
    after(1.0);
    store.kill();
    after(2.0);
    store.again(&[]);
    let asked = load.finish();
    sleep(SETTLED);
    let runs = agents.map(Agent::stop);
    for run in &runs {
        println!("{}", remarks(run));
    }
    let found = Score::of(&runs, "run");
    let count = u64::from(rate * part);
    let parts = [0, 1, 2, 3].map(|number| found.whole_between(number * count, (number + 1) * count));
    println!("whole before, while it is away, while links resume, after: {parts:?}");
    assert_eq!((found.traces, found.wrong), (asked, 0));
    assert_eq!(found.links.values().sum::<usize>(), 5 * asked, "every span");
    assert!(parts[3].0 * 1000 >= parts[3].1 * 999, "{parts:?}");
    // What is found no more is counted as what it is.
    for (run, node) in runs.iter().zip(1..) {
        let unanswered = found.links.get(&format!("{node} server none:timeout")).copied().unwrap_or(0);
        assert!(unanswered > 0 && remarks(run).contains("links.unanswered"), "{node}: {}", remarks(run));
        assert!(run.messages.contains("cannot be used") && run.messages.contains("answers again"), "{}", run.messages);
    }
}

#[test]
fn no_byte_on_the_wire_differs_with_agents_and_a_store_and_tls_and_a_password_work() {
    let nodes = Nodes::new();
    let dir = nodes.rigs[0].file("");
    certificates(&dir);
    let tls = free_port();
    let [certificate, key, authority] = ["server.pem", "server.key", "ca.pem"].map(|name| text(&dir, name));
    let args = ["--requirepass", "let me in", "--tls-port", &tls.to_string(), "--tls-auth-clients", "no"];
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &authority];
    let _store = Store::start(&nodes.rigs[0], &[&args[..], &files[..]].concat());
    std::fs::write(dir.join("password"), "let me in\n").expect("a file");
    let exchange = |name: &str| {
        let captures = [1, 2].map(|node| Capture::start_in(&nodes.rigs[node], nodes.nat.namespace(node)));
        nodes.load(10, 1, name).finish();
        captures.map(|capture| payloads(&capture.stop()))
    };
    let without = exchange("same");
    let agents = nodes.rigs.each_ref().map(|rig| {
        let mut command = rig.watching(&["--otlp-file", "-", "--links-store", &format!("rediss://localhost:{tls}")]);
        command.args(["--links-password-file", &text(&dir, "password")]).env("SSL_CERT_FILE", dir.join("ca.pem"));
        rig.agent_from("agent", command)
    });
    let with = exchange("same");
    sleep(SETTLED);
    let runs = agents.map(Agent::stop);
    let found = Score::of(&runs, "same");
    assert!(runs.iter().all(|run| !run.messages.contains("let me in") && !run.messages.contains("cannot be used")), "{runs:?}");
    assert_eq!((without.each_ref().map(Vec::len), found.traces, found.wrong), ([40, 20], 10, 0));
    assert_eq!(with, without);
}

/// Flags and data of each TCP segment with data, sorted: which of two connections is served first is not for the agent to say.
fn payloads(file: &Path) -> Vec<(u8, Vec<u8>)> {
    let capture = std::fs::read(file).expect("a capture");
    let number = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().expect("four bytes")) as usize;
    // The device has no link layer: a record is 16 bytes and a packet.
    let (mut at, mut segments) = (24, Vec::new());
    while at < capture.len() {
        let packet = &capture[at + 16..at + 16 + number(at + 8)];
        at += 16 + packet.len();
        let tcp = &packet[usize::from(packet[0] & 0xf) * 4..];
        let data = &tcp[usize::from(tcp[12] >> 4) * 4..];
        if !data.is_empty() {
            segments.push((tcp[13], data.to_vec()));
        }
    }
    segments.sort();
    segments
}

fn text(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}

/// An authority and a server's certificate for `localhost`.
fn certificates(dir: &Path) {
    let openssl = |args: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(args.split(' ')).current_dir(dir);
        run(openssl);
    };
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=wirespan-test-ca -keyout ca.key -out ca.pem",
    );
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout server.key -out server.csr",
    );
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy -out server.pem");
}
