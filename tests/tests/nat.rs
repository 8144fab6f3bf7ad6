//! Both ends of a connection compute the same ids, whatever lies between them.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;
use wirespan_tests::agent::{Run, wirespan};
use wirespan_tests::capture::Capture;
use wirespan_tests::nat::{Nat, Weather};
use wirespan_tests::program::{Program, free_port, run};
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON, nginx_in};
use wirespan_tests::span::{Kind, Span};

/// The service, and what puts load on it.
const CHAIN: &str = env!("CARGO_BIN_EXE_chain");

/// Two nodes with a router between them, each with an agent of its own.
struct Nodes {
    nat: Nat,
    client: Rig,
    server: Rig,
}

impl Nodes {
    fn new(weather: Weather) -> Self {
        Self { nat: Nat::between(&["client", "server"], weather), client: Rig::new(), server: Rig::new() }
    }

    /// Starts a service on the server's node, and gives the address at which the client's node reaches it.
    fn serve(&self) -> (Program, String) {
        let port = free_port();
        let program = self.server.serve_in(self.nat.namespace(1), CHAIN, &["serve", &port.to_string()], port);
        (program, self.nat.publish(1, port).to_string())
    }

    /// Asks so many times at this rate on some connections.
    fn load(&self, to: &str, rate: u32, seconds: u32, connections: u32) -> Program {
        let [rate, seconds, connections] = [rate, seconds, connections].map(|number| number.to_string());
        let mut load = self.client.command_in(self.nat.namespace(0), CHAIN, &["load", to, &rate, &seconds, &connections, "load"]);
        load.stdout(std::process::Stdio::null());
        Program::start(load)
    }

    /// What the agent of each node says of what `work` does.
    fn watch(&self, work: impl FnOnce()) -> [Run; 2] {
        let agents = [&self.client, &self.server].map(|rig| rig.agent(&[]));
        work();
        agents.map(wirespan_tests::agent::Agent::stop)
    }
}

/// Ids of trace and span by target, of all spans of a kind; each target is asked for once.
fn ids(spans: &[Span], kind: Kind) -> BTreeMap<String, (String, String)> {
    let spans: Vec<_> = spans.iter().filter(|span| span.kind == kind).collect();
    let ids: BTreeMap<_, _> = spans.iter().map(|span| (span.target(), (span.trace.clone(), span.id.clone()))).collect();
    assert_eq!(ids.len(), spans.len(), "each target once");
    ids
}

/// Panics unless both nodes tell the same requests in the same traces, each in its own; gives how many.
fn assert_traces_agree(client: &Run, server: &Run) -> usize {
    let traces =
        |run: &Run, kind| ids(&run.spans, kind).into_iter().map(|(target, (trace, _))| (target, trace)).collect::<BTreeMap<_, _>>();
    let (ours, theirs) = (traces(client, Kind::Client), traces(server, Kind::Server));
    assert_eq!(ours, theirs);
    assert_eq!(ours.values().collect::<BTreeSet<_>>().len(), ours.len(), "no two requests are one trace");
    ours.len()
}

#[test]
fn through_translation_of_both_addresses_and_captured_at_either_end() {
    let nodes = Nodes::new(Weather::FAIR);
    let (_service, public) = nodes.serve();
    let captures = [(&nodes.client, 0), (&nodes.server, 1)].map(|(rig, node)| Capture::start_in(rig, nodes.nat.namespace(node)));
    let [client, server] = nodes.watch(|| assert!(nodes.load(&public, 80, 1, 8).wait().success()));
    assert_eq!(assert_traces_agree(&client, &server), 80);
    let [ours, theirs] = [&client, &server].map(|run| run.spans[0].text("network.peer.address").to_owned());
    assert!(ours == "198.18.0.2" && theirs == "198.18.2.1", "neither end knows the other's address: {ours} {theirs}");
    let [ours, theirs] = captures.map(Capture::stop);
    let told = |file: &PathBuf, vantage: &str| {
        let mut command = wirespan(["pcap", "--quiet", "--otlp-file", "-", "--vantage", vantage]);
        command.arg(file);
        Run::once(command).spans
    };
    assert_eq!(ids(&told(&ours, "client"), Kind::Client), ids(&client.spans, Kind::Client));
    assert_eq!(ids(&told(&theirs, "server"), Kind::Server), ids(&server.spans, Kind::Server));
    // One capture knows the ids of the other end as well.
    assert_eq!(ids(&told(&ours, "both"), Kind::Server), ids(&server.spans, Kind::Server));
}

#[test]
fn through_loss_and_doubled_packets() {
    let nodes = Nodes::new(Weather { lost: 50, doubled: 50, seed: 3 });
    let (_service, public) = nodes.serve();
    let [client, server] = nodes.watch(|| assert!(nodes.load(&public, 200, 2, 16).wait().success()));
    assert_eq!(assert_traces_agree(&client, &server), 400);
    let counts = nodes.nat.counts();
    assert!(counts.lost > 20 && counts.doubled > 20, "{counts:?}");
    let retransmits: i64 = client.spans.iter().filter_map(|span| span.number("wirespan.retransmits")).sum();
    assert!(retransmits > 0, "{counts:?}");
}

#[test]
fn on_a_connection_that_is_older_than_both_agents() {
    let nodes = Nodes::new(Weather::FAIR);
    let (_service, public) = nodes.serve();
    let mut load = nodes.load(&public, 40, 5, 1);
    sleep(Duration::from_secs(1));
    let [client, server] = nodes.watch(|| sleep(Duration::from_secs(2)));
    assert!(load.wait().success());
    // They begin and end at different moments.
    let [ours, theirs] = [ids(&client.spans, Kind::Client), ids(&server.spans, Kind::Server)];
    let both: Vec<_> = ours.iter().filter_map(|(target, (trace, _))| Some((trace, &theirs.get(target)?.0))).collect();
    assert!(both.len() >= 20 && both.iter().all(|(ours, theirs)| ours == theirs), "{both:?}");
}

#[test]
fn in_a_pipeline_of_requests_that_are_larger_than_a_segment() {
    let nodes = Nodes::new(Weather::FAIR);
    let nginx =
        nginx_in(&nodes.server, Some(nodes.nat.namespace(1)), "server { listen 0.0.0.0:PORT; location / { return 200 'hello\\n'; } }");
    let public = nodes.nat.publish(1, nginx.port);
    let client = "import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
one = lambda id: b'GET /%d HTTP/1.1\\r\\nHost: test\\r\\nX-Long: %s\\r\\n\\r\\n' % (id, b'x' * 300 * id)
connection.sendall(b''.join(map(one, range(20))))
answers = b''
while answers.count(b'hello\\n') < 20:
    answers += connection.recv(65536)";
    let [client, server] = nodes.watch(|| {
        let (host, port) = (public.ip().to_string(), public.port().to_string());
        run(nodes.client.command_in(nodes.nat.namespace(0), PYTHON, &["-c", client, &host, &port]));
    });
    assert_eq!(assert_traces_agree(&client, &server), 20);
}

#[test]
fn of_requests_that_the_network_device_cuts_into_segments_and_puts_together_again() {
    // Virtual Ethernet hands on 64 KiB at once, where a TUN device sends what a wire would carry.
    let (rig, network) = (Rig::new(), wirespan_tests::network::Network::new());
    // Before it asks on, it takes the whole request.
    let http = "client_max_body_size 8m; server { listen 0.0.0.0:PORT; location / { proxy_pass http://127.0.0.1:PORT/inner/; }
        location /inner/ { return 200 'hello\n'; } }";
    let nginx = servers::nginx_in(&rig, Some(&network.server), http);
    std::fs::write(rig.file("body"), vec![b'x'; 300_000]).expect("a file");
    let agent = rig.agent(&[]);
    let url = format!("http://{}:{}/[1-5]", wirespan_tests::network::SERVER, nginx.port);
    run(rig.command_in(&network.client, "curl", &["--silent", "--header", "Expect:", "--data-binary", "@body", &url]));
    let run = agent.stop();
    let links: Vec<String> = run.spans.iter().filter(|span| span.kind == Kind::Server).map(Span::link).collect();
    assert_eq!(links, ["wire"; 10]);
}
