//! The example: nginx in front of a service that asks another service and Redis, live and from a capture.
use std::collections::{BTreeMap, BTreeSet};
use wirespan_tests::agent::{Run, wirespan};
use wirespan_tests::capture::Capture;
use wirespan_tests::load::ask_for_all;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON, Server};
use wirespan_tests::span::{Kind, Span};
use wirespan_tests::tree::{trace_of, tree};

/// Requests of the load.
const ORDERS: usize = 300;
/// Of which so many are under way at once.
const AT_ONCE: usize = 8;
/// Requests that prove how a process works: 64 answered ones, 8 of them overlapping, with some to spare.
const PROOF: usize = 160;

/// The programs of the example.
struct Programs {
    nginx: Server,
    shop: Server,
    stock: Server,
    redis: Server,
}

impl Programs {
    fn start(rig: &Rig) -> Self {
        let stock = servers::script(rig, PYTHON, "stock.py", &[]);
        let redis = servers::redis(rig, &[]);
        let shop = servers::script(rig, PYTHON, "shop.py", &[&stock.port.to_string(), &redis.port.to_string()]);
        let upstream = format!("upstream shop {{ server 127.0.0.1:{}; keepalive 16; }}", shop.port);
        let pass = "proxy_pass http://shop; proxy_http_version 1.1; proxy_set_header Connection '';";
        let nginx = servers::nginx(rig, &format!("{upstream} server {{ listen 127.0.0.1:PORT; location / {{ {pass} }} }}"));
        Self { nginx, shop, stock, redis }
    }

    fn ports(&self) -> [u16; 4] {
        [self.nginx.port, self.shop.port, self.stock.port, self.redis.port]
    }

    fn order(&self, rig: &Rig, id: usize) {
        let body = rig.curl(&self.nginx.url(&format!("/order/{id}")));
        assert_eq!(body, format!("order {id}: in stock\n"));
    }

    fn orders(&self, rig: &Rig, ids: std::ops::Range<usize>) {
        ask_for_all(rig, &self.nginx.url(""), ids.map(|id| format!("/order/{id}")), AT_ONCE);
    }
}

/// The trace of order `id`, as it has to be; what is in capitals depends on what happened before.
fn expected(id: usize, upstream: &str, thread: &str) -> String {
    format!(
        "client curl GET /order/{id} 200 none:root
  server nginx GET /order/{id} 200 wire
    client nginx GET /order/{id} 200 {upstream}
      server shop GET /order/{id} 200 wire
        client shop GET /stock/{id} 200 {thread}
          server stock GET /stock/{id} 200 wire
        client shop GET GET order:{id} ok {thread}
"
    )
}

/// The id of the order that a span is about.
fn order_of(span: &Span) -> String {
    span.target().rsplit(['/', ':']).next().unwrap_or_default().to_owned()
}

fn root_of<'a>(spans: &'a [Span], target: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.kind == Kind::Client && span.service() == "curl" && span.target() == target);
    found.unwrap_or_else(|| panic!("curl's span of {target} in\n{}", tree(spans)))
}

#[test]
fn one_request_through_every_service_is_one_trace() {
    let rig = Rig::new();
    let shop = Programs::start(&rig);
    let agent = rig.agent(&[]);
    shop.order(&rig, 7);
    shop.order(&rig, 8);
    let run = agent.stop();
    assert_eq!(trace_of(root_of(&run.spans, "/order/7"), &run.spans), expected(7, "connect", "thread?"));
    // Only nginx's second worker may have had to connect again.
    let second = trace_of(root_of(&run.spans, "/order/8"), &run.spans);
    assert!([expected(8, "loop", "thread?"), expected(8, "connect", "thread?")].contains(&second), "{second}");
    assert_eq!(run.spans.len(), 14, "{}", tree(&run.spans));
}

#[test]
fn every_span_of_the_example_says_who_where_and_how_long() {
    let rig = Rig::new();
    let shop = Programs::start(&rig);
    let agent = rig.agent(&[]);
    shop.order(&rig, 7);
    let run = agent.stop();
    let one = |service: &str, kind: Kind, protocol: &str| {
        let wanted = |span: &&Span| span.service() == service && span.kind == kind && span.text("wirespan.protocol") == protocol;
        run.spans.iter().find(wanted).unwrap_or_else(|| panic!("{kind} of {service} in\n{}", tree(&run.spans)))
    };
    let (curl, nginx) = (one("curl", Kind::Client, "http"), one("nginx", Kind::Server, "http"));
    let known = |span: &Span, keys: &[&str]| -> BTreeMap<String, serde_json::Value> {
        keys.iter().map(|key| ((*key).to_owned(), span.attributes.get(*key).cloned().unwrap_or_default())).collect()
    };
    let map = |value: serde_json::Value| serde_json::from_value::<BTreeMap<String, serde_json::Value>>(value).expect("a map");
    let url = shop.nginx.url("/order/7");
    assert_eq!(
        known(
            curl,
            &["http.request.method", "http.response.status_code", "url.full", "server.port", "network.peer.address", "service.peer.name"]
        ),
        map(serde_json::json!({
            "http.request.method": "GET", "http.response.status_code": 200, "url.full": url, "server.port": shop.nginx.port,
            "network.peer.address": "127.0.0.1", "service.peer.name": "nginx",
        }))
    );
    assert_eq!(
        known(nginx, &["url.path", "url.scheme", "client.address", "server.address", "network.protocol.version", "service.peer.name"]),
        map(serde_json::json!({
            "url.path": "/order/7", "url.scheme": "http", "client.address": "127.0.0.1", "server.address": "127.0.0.1",
            "network.protocol.version": "1.1", "service.peer.name": "curl",
        }))
    );
    let redis = run.spans.iter().find(|span| span.text("wirespan.protocol") == "redis").expect("a span of Redis");
    assert_eq!(
        known(
            redis,
            &[
                "db.system.name",
                "db.namespace",
                "db.operation.name",
                "db.query.text",
                "server.port",
                "wirespan.cache.hit",
                "service.peer.name"
            ]
        ),
        map(serde_json::json!({
            "db.system.name": "redis", "db.namespace": "0", "db.operation.name": "GET", "db.query.text": "GET order:7",
            "server.port": shop.redis.port, "wirespan.cache.hit": false, "service.peer.name": "redis-server",
        }))
    );
    for (span, keys) in [
        (curl, &["wirespan.network_ns", "wirespan.connect_ns", "wirespan.read_delay_ns", "wirespan.srtt_ns", "wirespan.retransmits"][..]),
        (nginx, &["wirespan.queue_ns", "wirespan.app_ns", "wirespan.srtt_ns", "wirespan.retransmits"]),
        (redis, &["wirespan.network_ns", "wirespan.queue_ns", "wirespan.app_ns", "wirespan.connect_ns"]),
    ] {
        let missing: Vec<_> = keys.iter().filter(|key| span.number(key).is_none_or(|number| number < 0)).collect();
        assert!(missing.is_empty(), "{missing:?} of {span:?}");
    }
    let duration = |span: &Span| i64::try_from(span.end - span.start).expect("a duration");
    assert_eq!(
        curl.number("wirespan.network_ns"),
        Some(duration(curl) - duration(nginx)),
        "what the client waited, less what the server held"
    );
    let shop_server = one("shop", Kind::Server, "http");
    let pid = |span: &Span| span.resource.get("process.pid").and_then(serde_json::Value::as_u64);
    assert_eq!(pid(shop_server), Some(shop.shop.program.pid().into()));
    assert_eq!(shop_server.resource.get("telemetry.sdk.language"), Some(&"python".into()));
}

#[test]
fn a_trace_context_in_a_request_is_obeyed_by_everything_behind_it() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";
    let rig = Rig::new();
    let shop = Programs::start(&rig);
    let agent = rig.agent(&[]);
    let header = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    rig.run("curl", &["--silent", "-H", &header, "-H", "tracestate: vendor=value", &shop.nginx.url("/order/7")]);
    let run = agent.stop();
    // nginx hands the header on: its own span is the nearer parent of the shop's, and so on.
    let expected = expected(7, "connect", "thread?").replace("none:root", "header:tracecontext");
    assert_eq!(tree(&run.spans), format!("… {expected}"));
    for span in &run.spans {
        assert_eq!((span.trace.as_str(), span.state.as_deref()), (TRACE, Some("vendor=value")), "{span:?}");
    }
    assert_eq!(root_of(&run.spans, "/order/7").parent.as_deref(), Some(PARENT));
}

#[test]
fn no_call_of_a_load_has_a_wrong_parent() {
    let rig = Rig::new();
    let shop = Programs::start(&rig);
    let agent = rig.agent(&[]);
    shop.orders(&rig, 0..ORDERS);
    let run = agent.stop();
    let report = audit(&run);
    println!("{report:?}");
    assert_eq!(report.wrong, Vec::<String>::new());
    assert_eq!(
        report.spans,
        ORDERS * 7,
        "curl and its answer at nginx, nginx and its at the shop, the call to the stock and its answer, Redis"
    );
    assert_eq!(run.accounting.spans_dropped.len() + run.accounting.records_dropped.len(), 0, "{:?}", run.accounting);
}

#[test]
fn after_a_proof_every_call_of_a_load_is_linked_and_no_longer_provisional() {
    let rig = Rig::new();
    let shop = Programs::start(&rig);
    let agent = rig.agent(&[]);
    shop.orders(&rig, 0..PROOF);
    shop.orders(&rig, PROOF..PROOF + ORDERS);
    let run = agent.stop();
    let report = audit(&run);
    println!("{report:?}");
    assert_eq!(report.wrong, Vec::<String>::new());
    for id in PROOF..PROOF + ORDERS {
        let trace = trace_of(root_of(&run.spans, &format!("/order/{id}")), &run.spans);
        assert!([expected(id, "loop", "thread"), expected(id, "connect", "thread")].contains(&trace), "{trace}");
    }
}

/// What became of the calls of a load.
#[derive(Debug, Default)]
struct Audit {
    spans: usize,
    links: BTreeMap<String, usize>,
    /// Spans whose parent is about another order.
    wrong: Vec<String>,
}

fn audit(run: &Run) -> Audit {
    let by_id: BTreeMap<&str, &Span> = run.spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let mut audit = Audit { spans: run.spans.len(), ..Audit::default() };
    for span in &run.spans {
        let parent = span.parent.as_deref().and_then(|parent| by_id.get(parent));
        if span.parent.is_some() && parent.is_none_or(|parent| order_of(parent) != order_of(span)) {
            audit.wrong.push(format!("{span:?} below {parent:?}"));
        }
        *audit.links.entry(format!("{} {} {}", span.kind, span.service(), span.link())).or_default() += 1;
    }
    audit
}

#[test]
fn a_capture_of_the_same_traffic_gives_the_same_spans() {
    let rig = Rig::new();
    let shop = Programs::start(&rig);
    let agent = rig.agent(&[]);
    let capture = Capture::start(&rig, &shop.ports());
    shop.orders(&rig, 0..100);
    let live = agent.stop();
    let file = capture.stop().display().to_string();
    let captured = Run::once(wirespan(["pcap", "--otlp-file", "-", &file]));
    let told = |spans: &[Span]| {
        let mut all: Vec<_> = spans
            .iter()
            .map(|span| (span.kind, span.name.clone(), span.target(), span.number("http.response.status_code"), span.failed))
            .collect();
        all.sort();
        all
    };
    assert_eq!(told(&captured.spans), told(&live.spans));
    // A capture knows nothing of processes: each hop is a trace of its own there. The first hop is one live, too.
    let first_hop = |spans: &[Span]| -> BTreeSet<(String, String)> {
        let port = i64::from(shop.nginx.port);
        spans.iter().filter(|span| span.number("server.port") == Some(port)).map(|span| (span.trace.clone(), span.id.clone())).collect()
    };
    assert_eq!(first_hop(&captured.spans), first_hop(&live.spans));
    assert_eq!(first_hop(&live.spans).len(), 200);
}

#[test]
fn calls_of_an_event_loop_without_an_adapter_are_orphans_that_say_so() {
    let rig = Rig::new();
    let stock = servers::script(&rig, PYTHON, "stock.py", &[]);
    let offers = servers::script(&rig, "node", "offers.js", &[&stock.port.to_string()]);
    let agent = rig.agent(&["--no-memory"]);
    ask_for_all(&rig, &offers.url(""), (0..100).map(|id| format!("/offer/{id}")), AT_ONCE);
    let run = agent.stop();
    let mut links: BTreeMap<String, usize> = BTreeMap::new();
    for span in &run.spans {
        *links.entry(format!("{} {} {}", span.kind, span.service(), span.link())).or_default() += 1;
    }
    let expected =
        [("client curl none:root", 100), ("client offers none:no_adapter", 100), ("server offers wire", 100), ("server stock wire", 100)];
    assert_eq!(links, expected.map(|(line, count)| (line.to_owned(), count)).into());
}
