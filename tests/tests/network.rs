//! Other networks than the loopback interface with IPv4.
use wirespan_tests::network::{Network, SERVER};
use wirespan_tests::program::{free_port, run};
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::tree::tree;

#[test]
fn both_ends_over_ipv6_are_one_trace() {
    let rig = Rig::new();
    let nginx = servers::nginx(&rig, "server { listen [::1]:PORT; location / { return 200 'hello\\n'; } }");
    let agent = rig.agent(&[]);
    assert_eq!(rig.curl(&format!("http://[::1]:{}/six", nginx.port)), "hello\n");
    let run = agent.stop();
    assert_eq!(tree(&run.spans), "client curl GET /six 200 none:root\n  server nginx GET /six 200 wire\n");
    let addresses: Vec<&str> = run.spans.iter().map(|span| span.text("network.peer.address")).collect();
    assert_eq!(addresses, ["::1", "::1"]);
}

#[test]
fn ends_in_two_network_namespaces_are_one_trace() {
    let rig = Rig::new();
    let network = Network::new();
    let nginx = servers::nginx_in(&rig, Some(&network.server), "server { listen 0.0.0.0:PORT; location / { return 200 'hello\\n'; } }");
    let agent = rig.agent(&[]);
    let url = format!("http://{SERVER}:{}/far", nginx.port);
    for _ in 0..2 {
        assert_eq!(run(rig.command_in(&network.client, "curl", &["--silent", &url])), "hello\n");
    }
    let run = agent.stop();
    assert_eq!(tree(&run.spans), "client curl GET /far 200 none:root\n  server nginx GET /far 200 wire\n".repeat(2));
    for span in run.spans.iter().filter(|span| span.service() == "curl") {
        assert!(span.number("wirespan.network_ns").is_some_and(|time| time > 0), "{span:?}");
    }
}

#[test]
fn a_host_that_cannot_be_reached_is_a_failed_connect() {
    let rig = Rig::new();
    let network = Network::new();
    let agent = rig.agent(&[]);
    let port = free_port();
    // Nobody has this address: nobody answers when it is asked for.
    let url = format!("http://198.18.0.9:{port}/");
    let args = ["--silent", "--max-time", "20", &url];
    let curl = wirespan_tests::program::output(rig.command_in(&network.client, "curl", &args));
    assert!(!curl.status.success());
    let told = tree(&agent.stop().spans);
    assert!(told.starts_with("client curl connect !") && told.lines().count() == 1, "{told}");
}
