//! HTTP/2 and gRPC without TLS, with real servers and clients of several languages: every request and every call once, as what it was.
use std::collections::BTreeMap;
use std::fs;
use wirespan_tests::agent::Run;
use wirespan_tests::collector::Collector;
use wirespan_tests::program::{Program, free_port};
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON, Server};
use wirespan_tests::span::{Kind, Span};
use wirespan_tests::tree::{line, tree};
use wirespan_tests::wait::wait_until;

/// Spans of one kind in order of time, a line each, with the numbers of messages sent and received where they are known.
fn calls(run: &Run, kind: Kind) -> Vec<String> {
    let mut spans: Vec<&Span> = run.spans.iter().filter(|span| span.kind == kind).collect();
    spans.sort_by_key(|span| span.start);
    let told = |span: &Span| {
        let counts = ["wirespan.rpc.request_messages", "wirespan.rpc.response_messages"].map(|key| span.number(key));
        let words = [span.name.clone(), span.text("rpc.response.status_code").to_owned(), span.text("error.type").to_owned()];
        let counts = counts.into_iter().flatten().map(|count| count.to_string());
        words.into_iter().filter(|word| !word.is_empty()).chain(counts).collect::<Vec<_>>().join(" ")
    };
    spans.into_iter().map(told).collect()
}

/// Every span of a server is the child of the client's span with the same target; gives how many there are.
fn assert_paired(run: &Run) -> usize {
    assert!(run.accounting.spans_dropped.is_empty(), "{:?}", run.accounting);
    let by_id: BTreeMap<&str, String> = run.spans.iter().map(|span| (span.id.as_str(), span.target())).collect();
    let servers: Vec<_> = run.spans.iter().filter(|span| span.kind == Kind::Server).collect();
    for server in &servers {
        assert_eq!(server.parent.as_deref().and_then(|parent| by_id.get(parent)), Some(&server.target()), "{server:?}");
    }
    assert_eq!(run.spans.len(), 2 * servers.len());
    servers.len()
}

fn nghttpd(rig: &Rig) -> Server {
    fs::write(rig.file("hello"), "hello\n").expect("a file");
    let port = free_port();
    let args = ["--no-tls", "--htdocs", &rig.file("").display().to_string(), &port.to_string()];
    Server { port, program: rig.serve("nghttpd", &args, port) }
}

#[test]
fn every_request_of_a_load_is_one_span_at_each_end_however_many_streams_are_open() {
    for streams in ["1", "100"] {
        let rig = Rig::new();
        let server = nghttpd(&rig);
        let agent = rig.agent(&["--ring", "64"]);
        let said = rig.run("h2load", &["-n", "4000", "-c", "4", "-m", streams, &server.url("/hello")]);
        let run = agent.stop();
        assert!(said.contains("4000 succeeded"), "{said}");
        assert_eq!(assert_paired(&run), 4000);
        assert!(
            run.spans
                .iter()
                .all(|span| span.text("network.protocol.version") == "2" && span.number("http.response.status_code") == Some(200))
        );
    }
}

#[test]
fn curl_and_nginx_tell_the_same_of_http_2_as_of_http_1() {
    let rig = Rig::new();
    let nginx = servers::nginx(
        &rig,
        "server { listen 127.0.0.1:PORT http2; location / { return 200 'hello\\n'; } location /missing { return 404; } location /broken { return 500; } }",
    );
    let agent = rig.agent(&[]);
    for path in ["/hello?token=CANARY", "/missing", "/broken"] {
        rig.run("curl", &["--silent", "--http2-prior-knowledge", "--output", "/dev/null", &nginx.url(path)]);
    }
    let run = agent.stop();
    let expected = "client curl GET /hello?token=REDACTED 200 none:root
  server nginx GET /hello?token=REDACTED 200 wire
client curl GET /missing !404 none:root
  server nginx GET /missing 404 wire
client curl GET /broken !500 none:root
  server nginx GET /broken !500 wire
";
    assert_eq!(tree(&run.spans), expected);
}

#[test]
fn a_connection_that_is_upgraded_from_http_1_is_followed() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let port = free_port();
    let [front, back] = [format!("--frontend=127.0.0.1,{port};no-tls"), format!("--backend=127.0.0.1,{}", nginx.port)];
    let proxy = Server { port, program: rig.serve("nghttpx", &["--workers=1", "--conf=/dev/null", &front, &back], port) };
    let agent = rig.agent(&[]);
    let said = rig.run("curl", &["--silent", "--http2", "--output", "/dev/null", "--write-out", "%{http_version}", &proxy.url("/hello")]);
    assert_eq!(said, "2");
    let run = agent.stop();
    let told: Vec<String> = run.spans.iter().filter(|span| span.service() == "curl" || span.service() == "nghttpx").map(line).collect();
    assert!(told.contains(&"client curl GET /hello 200 none:root".to_owned()), "{told:?}");
    assert!(told.contains(&"server nghttpx GET /hello 200 wire".to_owned()), "{told:?}");
}

#[test]
fn node_asks_many_things_at_once_and_gives_one_up() {
    let rig = Rig::new();
    let server = servers::script(&rig, "node", "http2.js", &[]);
    let agent = rig.agent(&["--ring", "64"]);
    rig.run("node", &[&servers::program("http2.js"), &server.port.to_string(), "many", "200"]);
    let run = agent.stop();
    assert_eq!(assert_paired(&run), 201);
    let mut told: Vec<String> = run
        .spans
        .iter()
        .filter(|span| span.kind == Kind::Client)
        .map(|span| format!("{} {}", span.target(), span.text("error.type")))
        .collect();
    let asked = (0..200).map(|i| if i % 3 == 2 { format!("/404/{i} 404") } else { format!("/200/{i} ") });
    let mut expected: Vec<String> = asked.chain(["/late CANCEL".to_owned()]).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_connection_that_is_older_than_the_agent_is_recognised_and_says_what_it_does_not_know() {
    let rig = Rig::new();
    let server = servers::script(&rig, "node", "http2.js", &[]);
    let go = rig.file("go").display().to_string();
    let mut client = Program::start(rig.command("node", &[&servers::program("http2.js"), &server.port.to_string(), "twice", &go]));
    wait_until("the first request is answered", || rig.file("go.asked").exists());
    let agent = rig.agent(&[]);
    fs::write(&go, "").expect("a file");
    assert!(client.wait().success());
    let run = agent.stop();
    let told: Vec<String> =
        run.spans.iter().map(|span| format!("{} {} {}", span.kind, span.target(), span.text("wirespan.incomplete"))).collect();
    assert_eq!(told.iter().filter(|line| line.as_str() == "server /200/after header_table").count(), 1, "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn go_calls_of_every_kind_are_one_span_each() {
    let rig = Rig::new();
    let (calls_go, port) = (servers::go("calls"), free_port().to_string());
    let _server = rig.serve(&calls_go, &["serve", &port], port.parse().expect("a port"));
    let agent = rig.agent(&[]);
    let said = rig.run(&calls_go, &["call", &port]);
    assert!(said.ends_with("Slow DeadlineExceeded\nSlow Canceled\n"), "{said}");
    let run = agent.stop();
    assert_eq!(assert_paired(&run), 9);
    let ended = [
        "wirespan.Test/Unary OK 1 1",
        "wirespan.Test/Down OK 1 3",
        "wirespan.Test/Up OK 4 1",
        "wirespan.Test/Both OK 2 2",
        "wirespan.Test/Refused INVALID_ARGUMENT INVALID_ARGUMENT",
        "wirespan.Test/Broken INTERNAL INTERNAL",
        "grpc UNIMPLEMENTED UNIMPLEMENTED",
        "wirespan.Test/Slow DEADLINE_EXCEEDED DEADLINE_EXCEEDED",
        "wirespan.Test/Slow CANCELLED CANCELLED",
    ];
    assert_eq!(calls(&run, Kind::Client), ended);
    assert!(run.spans.iter().all(|span| span.text("wirespan.protocol") == "grpc" && span.text("rpc.system.name") == "grpc"));
}

#[test]
fn python_calls_of_every_kind_are_one_span_each() {
    let rig = Rig::new();
    let python = servers::script(&rig, PYTHON, "calls.py", &[]);
    let agent = rig.agent(&[]);
    rig.run(PYTHON, &[&servers::program("calls.py"), &python.port.to_string(), "call"]);
    let run = agent.stop();
    assert_eq!(assert_paired(&run), 8);
    let ended = [
        "wirespan.Test/Unary OK 1 1",
        "wirespan.Test/Down OK 1 3",
        "wirespan.Test/Up OK 4 1",
        "wirespan.Test/Both OK 2 2",
        "wirespan.Test/Refused NOT_FOUND NOT_FOUND",
        "grpc UNIMPLEMENTED UNIMPLEMENTED",
        "wirespan.Test/Slow DEADLINE_EXCEEDED DEADLINE_EXCEEDED",
        "wirespan.Test/Slow CANCELLED CANCELLED",
    ];
    assert_eq!(calls(&run, Kind::Client), ended);
}

#[test]
fn go_asks_many_things_at_once_on_one_connection() {
    let rig = Rig::new();
    let (calls_go, port) = (servers::go("calls"), free_port().to_string());
    let _server = rig.serve(&calls_go, &["web", &port], port.parse().expect("a port"));
    let agent = rig.agent(&["--ring", "64"]);
    rig.run(&calls_go, &["get", &port, "200"]);
    let run = agent.stop();
    assert_eq!(assert_paired(&run), 200);
    let mut told: Vec<String> = run
        .spans
        .iter()
        .filter(|span| span.kind == Kind::Client)
        .map(|span| format!("{} {}", span.target(), span.text("error.type")))
        .collect();
    let mut expected: Vec<String> = (0..200).map(|i| if i % 3 == 2 { format!("/404/{i} 404") } else { format!("/200/{i} ") }).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
}

/// The other agent is the client: its gRPC is Rust's (hyper).
#[test]
fn exports_of_another_agent_are_calls_too() {
    let rig = Rig::new();
    let mut collector = Collector::prepare(&rig);
    collector.start_in(&rig);
    let nginx = servers::static_nginx(&rig);
    let watcher = rig.agent(&[]);
    let exporter = rig.agent_named("exporter", &["--otlp", &collector.grpc()]);
    rig.curl(&nginx.url("/hello"));
    wait_until("the collector has the spans", || collector.received() > 0);
    exporter.stop();
    let run = watcher.stop();
    let export = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let exports: Vec<&Span> = run.spans.iter().filter(|span| span.name == export).collect();
    assert!(!exports.is_empty(), "{}", tree(&run.spans));
    for span in exports {
        assert_eq!(
            (span.kind, span.text("rpc.response.status_code"), span.number("wirespan.rpc.request_messages")),
            (Kind::Server, "OK", Some(1)),
            "{span:?}"
        );
    }
}
