//! What HTTP/1 carries beside requests and responses: events, `WebSocket`s, gRPC-Web.
use wirespan_tests::agent::Run;
use wirespan_tests::program::{Program, free_port, run};
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::{Kind, Span};

/// Where Debian's Node finds Debian's packages, also if it is another Node.
const MODULES: (&str, &str) = ("NODE_PATH", "/usr/share/nodejs");

/// Spans of one kind in order of time.
fn of(run: &Run, kind: Kind) -> Vec<&Span> {
    let mut spans: Vec<&Span> = run.spans.iter().filter(|span| span.kind == kind).collect();
    spans.sort_by_key(|span| span.start);
    spans
}

#[test]
fn a_stream_of_events_says_when_the_first_came_and_a_websocket_ends_with_its_upgrade() {
    let rig = Rig::new();
    let (script, port) = (servers::program("streams.js"), free_port());
    let text = port.to_string();
    let mut node = rig.command("node", &[&script, &text]);
    node.env(MODULES.0, MODULES.1);
    let _server = Program::listening(node, port);
    let agent = rig.agent(&[]);
    let mut ask = rig.command("node", &[&script, &text, "ask"]);
    ask.env(MODULES.0, MODULES.1);
    run(ask);
    let run = agent.stop();
    for kind in [Kind::Client, Kind::Server] {
        let told: Vec<String> = of(&run, kind)
            .iter()
            .map(|span| {
                let status = span.number("http.response.status_code").unwrap_or_default();
                format!("{} {status} {}", span.target(), span.text("wirespan.upgrade")).trim_end().to_owned()
            })
            .collect();
        assert_eq!(told, ["/events 200", "/chat 101 websocket", "/other 400"]);
        let events = of(&run, kind)[0];
        let first = events.number("wirespan.first_event_ns").expect("a first event");
        let lasted = i64::try_from(events.end - events.start).expect("a duration");
        // Three events, each 50 ms after the one before.
        assert!(first >= 50_000_000 && lasted - first >= 100_000_000, "{first} of {lasted}");
        assert!(of(&run, kind)[1..].iter().all(|span| span.number("wirespan.first_event_ns").is_none()));
    }
}

#[test]
fn calls_of_grpc_web_end_with_the_status_in_their_bodies() {
    let rig = Rig::new();
    let (web, port) = (servers::go("web"), free_port().to_string());
    let _server = rig.serve(&web, &["serve", &port], port.parse().expect("a port"));
    let agent = rig.agent(&[]);
    rig.run(&web, &["ask", &port]);
    let run = agent.stop();
    let told = |span: &&Span| {
        let messages = span.number("wirespan.rpc.response_messages").map_or_else(String::new, |count| format!(" {count}"));
        format!("{} {}{messages}", span.name, span.text("rpc.response.status_code"))
    };
    let ways = ["wirespan.Web/Unary OK 1", "wirespan.Web/Down OK 3", "wirespan.Web/Refused NOT_FOUND 0"];
    for kind in [Kind::Client, Kind::Server] {
        let all: Vec<String> = of(&run, kind).iter().map(told).collect();
        // In binary, then in base64.
        assert_eq!((all.len(), &all[..3], &all[4..7]), (8, &ways.map(str::to_owned)[..], &ways.map(str::to_owned)[..]), "{all:?}");
    }
    assert!(run.spans.iter().all(|span| span.text("wirespan.protocol") == "grpc"));
}
