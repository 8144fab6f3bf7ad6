//! Export to a real OpenTelemetry Collector with the configuration that users get.
use std::collections::BTreeMap;
use wirespan_tests::agent::{Run, without_telemetry_variables};
use wirespan_tests::collector::Collector;
use wirespan_tests::load::ask_for_all;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::Span;
use wirespan_tests::tree::tree;
use wirespan_tests::wait::wait_until;

/// Requests of a run; each has a span at each end.
const REQUESTS: usize = 100;

/// Everything about the spans, in an order of their own.
fn by_id(spans: Vec<Span>) -> BTreeMap<String, Span> {
    let count = spans.len();
    let map: BTreeMap<String, Span> = spans.into_iter().map(|span| (span.id.clone(), span)).collect();
    assert_eq!(map.len(), count, "no span came twice");
    map
}

fn paths() -> impl Iterator<Item = String> {
    (0..REQUESTS).map(|id| format!("/export/{id}"))
}

#[test]
fn spans_arrive_whole_over_each_transport_and_compression() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let mut collector = Collector::prepare(&rig);
    collector.start();
    let mut written = Vec::new();
    let (grpc, http) = (collector.grpc(), collector.http());
    let ways = [
        ("grpc", &grpc, "none"),
        ("grpc", &grpc, "gzip"),
        ("grpc", &grpc, "zstd"),
        ("http/protobuf", &http, "none"),
        ("http/protobuf", &http, "gzip"),
        ("http/protobuf", &http, "zstd"),
    ];
    for (number, (protocol, endpoint, compression)) in ways.into_iter().enumerate() {
        let mut command = rig.watching(&["--otlp-file", "-", "--otlp", endpoint]);
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol).env("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
        let agent = rig.agent_from(&format!("agent-{number}"), command);
        ask_for_all(&rig, &nginx.url(""), paths(), 4);
        let Run { spans, accounting, messages } = agent.stop();
        assert_eq!(spans.len(), 2 * REQUESTS, "{protocol} {compression}: {accounting:?} {messages}");
        assert!(accounting.spans_dropped.is_empty(), "{protocol} {compression}: {accounting:?} {messages}");
        written.extend(spans);
    }
    let (received, written) = (by_id(collector.stop()), by_id(written));
    assert_eq!(received.len(), written.len());
    for (id, span) in &written {
        assert_eq!(received.get(id), Some(span));
    }
}

#[test]
fn nothing_is_lost_while_the_collector_is_down_for_a_while() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let mut collector = Collector::prepare(&rig);
    let agent = rig.agent(&["--otlp", &collector.grpc()]);
    ask_for_all(&rig, &nginx.url(""), paths(), 4);
    wait_until("the agent says that the collector does not answer", || agent.messages().contains("does not take spans"));
    collector.start();
    wait_until("the spans have arrived", || collector.received() >= 2 * REQUESTS);
    let run = agent.stop();
    assert!(run.accounting.spans_dropped.is_empty(), "{:?}", run.accounting);
    assert_eq!(by_id(collector.stop()), by_id(run.spans));
}

#[test]
fn what_no_collector_ever_takes_is_counted() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let collector = Collector::prepare(&rig);
    let mut command = rig.watching(&["--otlp", &collector.http()]);
    command.arg("--otlp-file").arg(rig.file("spans.jsonl"));
    let agent = rig.agent_from("agent", command);
    ask_for_all(&rig, &nginx.url(""), paths(), 4);
    let messages = agent.stop_without_spans();
    let accounting = wirespan_tests::agent::Accounting::last_in(&messages);
    accounting.assert_even();
    assert_eq!(accounting.made, 2 * REQUESTS as u64, "{messages}");
    let lost: u64 = accounting.spans_dropped.values().sum();
    assert_eq!(lost, 2 * REQUESTS as u64, "{messages}");
}

#[test]
fn the_export_itself_is_not_traced() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let mut collector = Collector::prepare(&rig);
    // As on a node where the agent watches everything, itself and the collector included.
    collector.start_in(&rig);
    for (name, protocol, endpoint) in [("http", "http/protobuf", collector.http()), ("grpc", "grpc", collector.grpc())] {
        let mut command =
            rig.command(&wirespan_tests::agent::binary().display().to_string(), &["--otlp-file", "-", "--otlp", &endpoint, "--cgroup"]);
        command.arg(rig.cgroup());
        without_telemetry_variables(&mut command);
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "100").env("OTEL_METRIC_EXPORT_INTERVAL", "200");
        let agent = rig.agent_from(name, command);
        for _ in 0..5 {
            let before = collector.received();
            rig.curl(&nginx.url("/traced"));
            wait_until("the spans have arrived", || collector.received() >= before + 2);
        }
        let run = agent.stop();
        assert_eq!(tree(&run.spans), "client curl GET /traced 200 none:root\n  server nginx GET /traced 200 wire\n".repeat(5));
    }
}
