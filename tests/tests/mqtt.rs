//! Mosquitto with its own clients and Eclipse Paho's for Python: both versions, every quality of service, and what messages carry.
use std::process::Stdio;
use wirespan_tests::program::Program;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::{Kind, Span};
use wirespan_tests::wait::wait_until;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// `KIND NAME`, with `!` and the error if it failed, sorted.
fn told(spans: &[Span]) -> Vec<String> {
    let line = |span: &Span| {
        format!("{} {}{}", span.kind, span.name, if span.failed { format!(" !{}", span.text("error.type")) } else { String::new() })
    };
    let mut told: Vec<String> = spans.iter().map(line).collect();
    told.sort();
    told
}

#[test]
fn every_quality_of_service_is_told_at_both_ends_in_both_versions() {
    for (version, links) in [("4", ["none"; 3]), ("5", ["header:tracecontext", "message", "message"])] {
        let rig = Rig::new();
        let broker = servers::mosquitto(&rig);
        let (port, program) = (broker.port.to_string(), servers::program("mqtt_talk.py"));
        let agent = rig.agent(&[]);
        rig.run(servers::PYTHON, &[&program, &port, version]);
        let run = agent.stop();
        let expected = [
            "client connect",
            "client connect",
            "client subscribe home/+/temperature",
            "consumer process home/{id}/temperature",
            "consumer process home/{id}/temperature",
            "consumer process home/{id}/temperature",
            "producer publish home/{id}/temperature",
            "producer publish home/{id}/temperature",
            "producer publish home/{id}/temperature",
        ];
        assert_eq!(told(&run.spans), expected, "version {version}");
        let mut found: Vec<&str> =
            run.spans.iter().filter(|span| span.kind == Kind::Consumer).map(|span| span.text("wirespan.link")).collect();
        found.sort_unstable();
        assert_eq!(found, links, "version {version}");
        assert!(!format!("{run:?}").contains("c4n4ry"), "the password");
    }
}

#[test]
fn connections_that_are_older_than_the_agent_are_recognised_by_their_packets() {
    let rig = Rig::new();
    let broker = servers::mosquitto(&rig);
    let port = broker.port.to_string();
    let said = rig.file("subscriber.out");
    let mut subscriber = rig.command("mosquitto_sub", &["-p", &port, "-V", "5", "-q", "1", "-t", "news/#", "-C", "4"]);
    subscriber.stdout(std::fs::File::create(&said).expect("a file for messages"));
    let mut subscriber = Program::start(subscriber);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let script = format!(
        "(while ! [ -s subscriber.out ]; do echo early; sleep 0.1; done; while ! [ -e watched ]; do sleep 0.1; done; \
         for i in 1 2 3; do echo $i; sleep 0.2; done) | mosquitto_pub -p {port} -V 5 -q 1 -t news/today -l -D publish user-property traceparent {parent}"
    );
    let mut publisher = rig.command("sh", &["-c", &script]);
    publisher.stdout(Stdio::null());
    let mut publisher = Program::start(publisher);
    wait_until("a message has arrived", || std::fs::read_to_string(&said).is_ok_and(|said| said.contains("early")));
    let agent = rig.agent(&[]);
    std::fs::write(rig.file("watched"), "").expect("a sign");
    publisher.wait();
    subscriber.wait();
    let run = agent.stop();
    let of = |kind| run.spans.iter().filter(|span| span.kind == kind && span.trace == TRACE).count();
    let (given, taken) = (of(Kind::Producer), of(Kind::Consumer));
    // The first turns prove what the connection speaks.
    assert!((2..=3).contains(&given) && (2..=3).contains(&taken), "{:?}", told(&run.spans));
}
