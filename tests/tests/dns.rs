//! DNS, with dnsmasq: the system's resolver inside a service, and dig over TCP.
use std::fs;
use std::path::PathBuf;
use wirespan_tests::agent::Run;
use wirespan_tests::network::{Network, SERVER};
use wirespan_tests::program::{Program, free_port, output, run};
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{PYTHON, program};
use wirespan_tests::span::{Kind, Span};

/// What `ip netns exec` puts over `/etc` in a namespace: a `resolv.conf` that names [`SERVER`].
struct Resolver(PathBuf);

impl Resolver {
    fn of(namespace: &str) -> Self {
        let dir = PathBuf::from("/etc/netns").join(namespace);
        fs::create_dir_all(&dir).expect("a directory for the namespace");
        fs::write(dir.join("resolv.conf"), format!("nameserver {SERVER}\noptions timeout:1 attempts:2\n")).expect("resolv.conf");
        Self(dir)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// dnsmasq on port 53 of [`SERVER`]: `n…test` has an address of each kind, `slow.test` is asked for where nobody answers.
fn dnsmasq(rig: &Rig, network: &Network) -> Program {
    let listen = format!("--listen-address={SERVER}");
    let mut args = vec!["--no-daemon", "--no-resolv", "--no-hosts", "--bind-interfaces", &listen, "--local=/test/"];
    args.extend(["--server=/slow.test/198.18.0.9", "--host-record=n0.test,n1.test,n2.test,n3.test,n4.test,198.18.7.1,fd00::7"]);
    rig.serve_in(&network.server, "dnsmasq", &args, 53)
}

fn line(span: &Span) -> String {
    let answers = span.attributes.get("dns.answers").map(ToString::to_string).unwrap_or_default();
    let words = [
        &span.kind.to_string(),
        span.service(),
        &span.name,
        span.text("dns.question.name"),
        span.text("network.transport"),
        span.text("wirespan.dns.response_code"),
        &answers,
        span.text("error.type"),
    ];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn lookups(run: &Run) -> Vec<&Span> {
    let mut lookups: Vec<_> = run.spans.iter().filter(|span| span.name.starts_with("DNS")).collect();
    lookups.sort_by_key(|span| span.start);
    lookups
}

#[test]
fn lookups_in_a_service_are_children_of_the_request_that_they_were_made_for() {
    const REQUESTS: usize = 5;
    let (rig, network) = (Rig::new(), Network::new());
    let _resolver = Resolver::of(&network.client);
    let _dnsmasq = dnsmasq(&rig, &network);
    let port = free_port();
    let (script, text) = (program("lookups.py"), port.to_string());
    let _service = rig.serve_in(&network.client, PYTHON, &[&script, &text], port);
    let agent = rig.agent(&[]);
    let said = run(rig.command_in(&network.client, PYTHON, &[&script, &text, &(REQUESTS + 1).to_string()]));
    assert_eq!(said, "200 198.18.7.1 fd00::7\n".repeat(REQUESTS) + "502 \n");
    let run = agent.stop();
    let told = lookups(&run);
    let mut lines: Vec<String> = told.iter().map(|span| line(span).replace("python3.11", "python3")).collect();
    lines.sort();
    let mut expected: Vec<String> = (0..REQUESTS)
        .flat_map(|number| {
            [("A", "198.18.7.1"), ("AAAA", "fd00::7")]
                .map(|(kind, address)| format!("client lookups DNS {kind} n{number}.test udp NOERROR [\"{address}\"]"))
        })
        .chain(["A", "AAAA"].map(|kind| format!("client lookups DNS {kind} n{REQUESTS}.test udp NXDOMAIN nxdomain")))
        .collect();
    expected.sort();
    assert_eq!(lines, expected);
    for lookup in told {
        let parent = run.spans.iter().find(|span| Some(&span.id) == lookup.parent.as_ref()).unwrap_or_else(|| panic!("{lookup:#?}"));
        let path = parent.text("url.path").trim_start_matches('/');
        assert_eq!((parent.kind, format!("{path}.test").as_str()), (Kind::Server, lookup.text("dns.question.name")));
    }
}

#[test]
fn dig_over_tcp_and_a_question_that_nobody_answers() {
    let (rig, network) = (Rig::new(), Network::new());
    let _dnsmasq = dnsmasq(&rig, &network);
    let agent = rig.agent(&[]);
    let at = format!("@{SERVER}");
    run(rig.command_in(&network.client, "dig", &[&at, "+tcp", "n0.test", "AAAA", "+short"]));
    let silent = output(rig.command_in(&network.client, "dig", &[&at, "+tries=1", "+timeout=1", "x.slow.test", "MX"]));
    assert!(!silent.status.success());
    // As long as the agent waits for an answer, and a look at all of them.
    std::thread::sleep(std::time::Duration::from_secs(8));
    let run = agent.stop();
    let mut lines: Vec<String> = lookups(&run).into_iter().map(|span| line(span).replace("isc-net-0000", "dig")).collect();
    lines.sort();
    let expected = [
        "client dig DNS AAAA n0.test tcp NOERROR [\"fd00::7\"]",
        "client dig DNS MX x.slow.test udp timeout",
        "client dnsmasq DNS MX x.slow.test udp timeout",
    ];
    assert_eq!(lines, expected);
}
