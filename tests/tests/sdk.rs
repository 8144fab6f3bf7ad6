//! A service with a real OpenTelemetry SDK of its own, traced beside it: what the SDK exports and what wirespan tells is one trace.
use std::fmt::Write as _;
use wirespan_tests::agent::Run;
use wirespan_tests::collector::Collector;
use wirespan_tests::load::ask_for_all;
use wirespan_tests::program::free_port;
use wirespan_tests::python;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON};
use wirespan_tests::span::Span;
use wirespan_tests::tree::tree;
use wirespan_tests::wait::wait_until;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// What the agent said, and the trace of one order with everybody's spans.
struct Told {
    run: Run,
    trace: Vec<Span>,
}

/// curl, whose header continues a trace, asks the traced service, which asks the stock; the service is known by an export before that.
fn order(sdk: &[&str], export: fn(&Collector) -> String) -> Told {
    let rig = Rig::new();
    let mut collector = Collector::prepare(&rig);
    collector.start();
    let stock = servers::script(&rig, PYTHON, "stock.py", &[]);
    let python = python::with_opentelemetry().display().to_string();
    let traced = servers::script(&rig, &python, "traced.py", &[&stock.port.to_string(), &export(&collector)]);
    let agent = rig.agent(sdk);
    rig.curl(&traced.url("/order/1"));
    wait_until("the SDK has exported its spans", || collector.received() == 2);
    let header = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    rig.run("curl", &["--silent", "-H", &header, &traced.url("/order/7")]);
    wait_until("the SDK has exported its spans", || collector.received() == 4);
    let run = agent.stop();
    let all = run.spans.iter().cloned().chain(collector.stop());
    let trace = all.filter(|span| span.trace == TRACE).collect();
    Told { run, trace }
}

fn over_http(collector: &Collector) -> String {
    format!("{}/v1/traces", collector.http())
}

/// Each span's parent is in the trace, or the one that curl's header names.
fn assert_whole(trace: &[Span]) {
    let known = |parent: &str| parent == PARENT || trace.iter().any(|span| span.id == parent);
    let lost = trace.iter().filter(|span| !span.parent.as_deref().is_some_and(known));
    let lost = lost.fold(String::new(), |mut text, span| {
        let _ = writeln!(text, "{span:?}");
        text
    });
    assert_eq!(lost, "", "{}", tree(trace));
}

#[test]
fn a_skipped_service_tells_of_itself_and_the_trace_is_whole() {
    let Told { run, trace } = order(&[], over_http);
    assert_whole(&trace);
    let expected = "… client curl GET /order/7 200 header:tracecontext
… server sdk GET /order/7 200
  client sdk GET /stock/7 200
    server stock GET /stock/7 200 header:tracecontext
";
    assert_eq!(tree(&trace), expected);
    // Of the second order the server and the call, and every export.
    assert!(run.accounting.spans_dropped.get("sdk").is_some_and(|count| *count >= 3), "{:?}", run.accounting);
    assert!(run.spans.iter().filter(|span| span.service() == "traced").all(|span| span.trace != TRACE), "{}", tree(&run.spans));
}

#[test]
fn a_service_that_exports_over_grpc_is_skipped_too() {
    let Told { run, trace } = order(&[], Collector::grpc);
    assert_whole(&trace);
    assert_eq!(trace.len(), 4, "{}", tree(&trace));
    assert!(run.accounting.spans_dropped.get("sdk").is_some_and(|count| *count >= 3), "{:?}", run.accounting);
}

#[test]
fn a_joined_service_has_spans_of_both_and_the_trace_is_whole() {
    let Told { run, trace } = order(&["--sdk", "join"], over_http);
    assert_whole(&trace);
    let expected = "… client curl GET /order/7 200 header:tracecontext
  server traced GET /order/7 200 wire
… server sdk GET /order/7 200
  client sdk GET /stock/7 200
    client traced GET /stock/7 200 header:tracecontext
      server stock GET /stock/7 200 wire
";
    assert_eq!(tree(&trace), expected);
    assert_eq!(run.accounting.spans_dropped.len(), 0, "{:?}", run.accounting);
}

/// Requests that prove how a process works: 64 answered ones, 8 of them overlapping, with some to spare.
const PROOF: usize = 160;

#[test]
fn a_trace_that_the_sdk_starts_is_linked_to_the_request_that_it_is_for() {
    let rig = Rig::new();
    let stock = servers::script(&rig, PYTHON, "stock.py", &[]);
    let python = python::with_opentelemetry().display().to_string();
    // Nobody listens there: the SDK's own spans are not of interest here.
    let export = format!("http://127.0.0.1:{}/v1/traces", free_port());
    let traced = servers::script(&rig, &python, "traced.py", &[&stock.port.to_string(), &export]);
    let agent = rig.agent(&["--sdk", "join"]);
    ask_for_all(&rig, &traced.url(""), (0..PROOF).map(|id| format!("/order/{id}")), 8);
    rig.curl(&traced.url("/order/proven"));
    let run = agent.stop();
    let of_service = |target: &str| {
        let found = run.spans.iter().find(|span| span.service() == "traced" && span.target() == target);
        found.unwrap_or_else(|| panic!("{target} in\n{}", tree(&run.spans)))
    };
    let (request, call) = (of_service("/order/proven"), of_service("/stock/proven"));
    assert_eq!((request.link(), call.link()), ("wire".to_owned(), "header:tracecontext".to_owned()));
    assert_ne!(call.trace, request.trace);
    let links: Vec<_> = call.links.iter().map(|link| (link.trace.as_str(), link.id.as_str(), link.why.as_str())).collect();
    assert_eq!(links, [(request.trace.as_str(), request.id.as_str(), "met")]);
}
