//! Spans arrive, or are counted, whatever the collector does. Every test ends in the identity: submitted = exported + dropped + queued.
use super::collector::{Act, Collector, LIMIT};
use super::spans::{asked, resource, served};
use crate::export::config::{Choices, ExportConfig};
use crate::export::queue::{ExportCounters, Limit, Pace};
use crate::export::sender::Patience;
use crate::export::transport::{Delay, Detail, RetryInfo, RpcStatus};
use crate::export::{Export, ExportError};
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Status;

const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
const HTTP: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
/// Retries fast, and gives up only where a test says so.
const PATIENT: Patience = Patience { first: Duration::from_millis(5), longest: Duration::from_millis(50), budget: LIMIT };
/// One retry at most.
const IMPATIENT: Patience = Patience { budget: Duration::ZERO, ..PATIENT };

fn config(address: SocketAddr, env: &[(&str, &str)]) -> ExportConfig {
    let mut env: std::collections::BTreeMap<_, _> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    env.insert("OTEL_METRICS_EXPORTER".to_owned(), "none".to_owned());
    let scheme = if env.contains_key("OTEL_EXPORTER_OTLP_CERTIFICATE") { "https" } else { "http" };
    let host = if scheme == "https" { format!("localhost:{}", address.port()) } else { address.to_string() };
    ExportConfig::from_env(&env, &Choices { otlp: Some(format!("{scheme}://{host}")), ..Choices::default() }).unwrap()
}

fn export(config: &ExportConfig, patience: Patience) -> Export {
    Export::with_patience(config, patience).unwrap()
}

fn submit(export: &mut Export, count: usize) {
    let services = [resource("nginx"), resource("orders"), resource("stock")];
    for place in 0..count {
        let service = &services[place % 3];
        export.submit(&if place % 2 == 0 { served(service) } else { asked(service) });
    }
}

fn flush(export: &mut Export) {
    for output in &mut export.outputs {
        output.leave();
    }
}

fn finish(export: Export) -> (ExportCounters, Vec<String>) {
    export.shutdown(Instant::now() + LIMIT)
}

fn counters(submitted: u64, exported: u64, dropped: &[(&'static str, u64)]) -> ExportCounters {
    let counters = ExportCounters { submitted, exported, queued: 0, dropped: dropped.iter().copied().collect() };
    assert_eq!(submitted, exported + counters.dropped.values().sum::<u64>());
    counters
}

/// Submits ten spans to a collector that follows `script`; what became of them, and after how many attempts.
fn ten(
    protocol: (&str, &str),
    patience: Patience,
    script: impl Fn(usize) -> Act + Send + Sync + 'static,
) -> (ExportCounters, usize, Vec<String>) {
    let collector = Collector::start(script);
    let mut export = export(&config(collector.address, &[protocol, ("OTEL_EXPORTER_OTLP_TIMEOUT", "30000")]), patience);
    submit(&mut export, 10);
    flush(&mut export);
    let (counters, notices) = finish(export);
    let notices = notices.into_iter().map(|notice| notice.replace(&collector.address.to_string(), "ADDRESS")).collect();
    (counters, collector.attempts().len(), notices)
}

#[test]
fn spans_of_many_services_arrive_over_both_protocols_with_every_compression() {
    for protocol in [GRPC, HTTP] {
        for compression in ["none", "gzip", "zstd"] {
            let collector = Collector::start(|_| Act::Accept);
            let env = [protocol, ("OTEL_EXPORTER_OTLP_COMPRESSION", compression), ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b")];
            let mut export = export(&config(collector.address, &env), PATIENT);
            submit(&mut export, 1000);
            assert_eq!(finish(export), (counters(1000, 1000, &[]), vec![]));
            let attempts = collector.attempts();
            let [attempt] = attempts.as_slice() else { panic!("{} requests for what fits into one", attempts.len()) };
            let path = if protocol == GRPC { "TraceService/Export" } else { "/v1/traces" };
            assert_eq!((attempt.path.as_str(), attempt.spans(), attempt.request.resource_spans.len()), (path, 1000, 3));
            assert_eq!(attempt.headers.get("x-tenant").unwrap(), "a b");
            let encoding = attempt.headers.get(if protocol == GRPC { "grpc-encoding" } else { "content-encoding" });
            assert_eq!(encoding.map_or("none", |encoding| encoding.to_str().unwrap()), compression);
        }
    }
}

#[test]
fn requests_leave_by_size_by_count_and_by_time() {
    let collector = Collector::start(|_| Act::Accept);
    let mut by_size = export(&config(collector.address, &[HTTP]), PATIENT);
    submit(&mut by_size, 20_000);
    collector.wait_for_attempts(2);
    finish(by_size);
    for attempt in collector.attempts() {
        assert!(attempt.request.encoded_len() < (3 << 20) + 1024, "{}", attempt.request.encoded_len());
    }
    let env = [HTTP, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"), ("OTEL_BSP_SCHEDULE_DELAY", "500")];
    let mut export = export(&config(collector.address, &env), PATIENT);
    submit(&mut export, 9);
    let now = Instant::now();
    export.tick(now);
    export.tick(now + Duration::from_millis(499));
    assert_eq!(export.outputs[0].encode.spans(), 1);
    export.tick(now + Duration::from_millis(500));
    collector.wait_for_attempts(3);
    assert_eq!(finish(export).0, counters(9, 9, &[]));
    let mut sizes: Vec<_> = collector.attempts().iter().map(super::collector::Attempt::spans).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 4, 4]);
}

#[test]
fn what_is_worth_a_retry_is_sent_again_and_arrives() {
    let again = |act: Act| move |place| if place < 2 { act.clone() } else { Act::Accept };
    for status in [429, 502, 503, 504] {
        let (counted, attempts, notices) = ten(HTTP, PATIENT, again(Act::Http(status, vec![("content-type", "text/plain")])));
        assert_eq!((counted, attempts), (counters(10, 10, &[]), 3));
        let failed = format!("http://ADDRESS does not take spans (HTTP {status}: because \\u{{1b}}[31m); they are kept and sent again");
        assert_eq!(notices, [failed, "http://ADDRESS answers again".to_owned()]);
    }
    for status in [
        Status::unavailable("a"),
        Status::aborted("b"),
        Status::cancelled("c"),
        Status::deadline_exceeded("d"),
        Status::out_of_range("e"),
        Status::data_loss("f"),
        exhausted(Some(Delay { seconds: 0, nanos: 20_000_000 })),
    ] {
        let (counted, attempts, _) = ten(GRPC, PATIENT, again(Act::Grpc(status.clone())));
        assert_eq!((counted, attempts), (counters(10, 10, &[]), 3), "{status}");
    }
}

/// `RESOURCE_EXHAUSTED`, with the pause that the collector names.
fn exhausted(delay: Option<Delay>) -> Status {
    let other = Detail { kind: "type.googleapis.com/google.rpc.DebugInfo".to_owned(), value: vec![1] };
    let pause = delay.map(|delay| Detail {
        kind: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: RetryInfo { delay: Some(delay) }.encode_to_vec(),
    });
    let details = RpcStatus { code: 8, message: "full".to_owned(), details: [Some(other), pause].into_iter().flatten().collect() };
    Status::with_details(tonic::Code::ResourceExhausted, "full", details.encode_to_vec().into())
}

#[test]
fn what_the_collector_refuses_for_good_is_counted_and_not_sent_again() {
    for status in [400, 401, 404, 413, 500, 302] {
        let (counted, attempts, notices) = ten(HTTP, PATIENT, move |_| Act::Http(status, vec![]));
        assert_eq!((counted, attempts), (counters(10, 0, &[("rejected", 10)]), 1));
        assert_eq!(notices, [format!("http://ADDRESS refused spans for good: HTTP {status}")]);
    }
    for (status, why) in [
        (Status::invalid_argument("bad\nspan %"), "gRPC INVALID_ARGUMENT: bad\\nspan %"),
        (Status::unauthenticated("who?"), "gRPC UNAUTHENTICATED: who?"),
        (Status::resource_exhausted("too large"), "gRPC RESOURCE_EXHAUSTED: too large"),
        (exhausted(None), "gRPC RESOURCE_EXHAUSTED: full"),
    ] {
        let (counted, attempts, notices) = ten(GRPC, PATIENT, move |_| Act::Grpc(status.clone()));
        assert_eq!((counted, attempts), (counters(10, 0, &[("rejected", 10)]), 1));
        assert_eq!(notices, [format!("http://ADDRESS refused spans for good: {why}")]);
    }
}

#[test]
fn partial_success_counts_what_was_not_taken() {
    for protocol in [GRPC, HTTP] {
        let (counted, attempts, notices) = ten(protocol, PATIENT, |_| Act::Partial(3));
        assert_eq!((counted, attempts), (counters(10, 7, &[("rejected", 3)]), 1));
        assert_eq!(notices, ["http://ADDRESS refused spans for good: some spans, too old"]);
        // A collector that cannot count does not break our sums.
        assert_eq!(ten(protocol, PATIENT, |_| Act::Partial(-1)).0, counters(10, 10, &[]));
        assert_eq!(ten(protocol, PATIENT, |_| Act::Partial(99)).0, counters(10, 0, &[("rejected", 10)]));
    }
}

#[test]
fn the_pause_that_a_collector_asks_for_is_kept_even_by_other_requests() {
    for (protocol, act) in
        [(HTTP, Act::Http(429, vec![("retry-after", "1")])), (GRPC, Act::Grpc(exhausted(Some(Delay { seconds: 1, nanos: 0 }))))]
    {
        let collector = Collector::start(move |place| if place == 0 { act.clone() } else { Act::Accept });
        let mut export = export(&config(collector.address, &[protocol]), PATIENT);
        submit(&mut export, 1);
        flush(&mut export);
        // Its answer must be there before the second request is ready.
        let limit = Instant::now() + LIMIT;
        while export.take_notices().is_empty() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
        submit(&mut export, 1);
        flush(&mut export);
        assert_eq!(finish(export).0, counters(2, 2, &[]));
        let attempts = collector.attempts();
        let first = attempts.first().unwrap().at;
        let later: Vec<_> = attempts[1..].iter().map(|attempt| attempt.at - first >= Duration::from_secs(1)).collect();
        assert_eq!(later, [true, true]);
    }
}

#[test]
fn a_collector_that_never_answers_costs_a_timeout_and_then_the_spans() {
    for protocol in [GRPC, HTTP] {
        let collector = Collector::start(|_| Act::Hang);
        let mut export = export(&config(collector.address, &[protocol, ("OTEL_EXPORTER_OTLP_TIMEOUT", "200")]), IMPATIENT);
        submit(&mut export, 10);
        let (counted, notices) = finish(export);
        assert_eq!(counted, counters(10, 0, &[("retry_exhausted", 10)]));
        assert_eq!(
            notices,
            [format!("http://{} does not take spans (no answer within 200ms); they are kept and sent again", collector.address)]
        );
        assert_eq!(collector.attempts().len(), 1);
    }
}

#[test]
fn no_more_than_two_requests_wait_for_an_answer() {
    let collector = Collector::start(|_| Act::Hang);
    let mut export = export(&config(collector.address, &[GRPC, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")]), PATIENT);
    submit(&mut export, 10);
    collector.wait_for_attempts(2);
    let (counted, _) = export.shutdown(Instant::now() + Duration::from_millis(300));
    assert_eq!(counted, counters(10, 0, &[("shutdown", 10)]));
    assert_eq!(collector.attempts().len(), 2);
}

/// An address where nobody listens.
fn closed() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_collector_that_is_down_at_the_start_gets_everything_when_it_comes() {
    for protocol in [GRPC, HTTP] {
        let address = closed();
        let mut export = export(&config(address, &[protocol]), PATIENT);
        submit(&mut export, 100);
        flush(&mut export);
        let limit = Instant::now() + LIMIT;
        let mut notices = Vec::new();
        while notices.is_empty() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(1));
            notices = export.take_notices();
        }
        let [notice] = notices.as_slice() else { panic!("{notices:?}") };
        assert!(
            notice.starts_with(&format!("http://{address} does not take spans (")) && notice.contains("Connection refused"),
            "{notice}"
        );
        let queued = ExportCounters { submitted: 100, queued: 100, ..ExportCounters::default() };
        assert_eq!(export.counters(), queued);
        let collector = Collector::at(address, None, |_| Act::Accept);
        assert_eq!(finish(export), (counters(100, 100, &[]), vec![format!("http://{address} answers again")]));
        assert_eq!(collector.attempts().iter().map(super::collector::Attempt::spans).sum::<usize>(), 100);
    }
}

#[test]
fn a_collector_that_stays_down_costs_the_oldest_spans_and_bounded_memory() {
    let mut config = config(closed(), &[GRPC, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")]);
    config.queue = Limit { bytes: 64 << 10, spans: u64::MAX };
    let mut export = export(&config, Patience { budget: LIMIT * 10, ..PATIENT });
    submit(&mut export, 10_005);
    let counted = export.counters();
    let lost = counted.dropped.get("queue_full").copied().unwrap_or_default();
    assert_eq!((counted.submitted, counted.exported, counted.queued + lost), (10_005, 0, 10_005));
    // About 300 bytes a span.
    assert!((50..1000).contains(&counted.queued), "{counted:?}");
    let (counted, _) = export.shutdown(Instant::now());
    assert_eq!(counted, counters(10_005, 0, &[("queue_full", lost), ("shutdown", 10_005 - lost)]));
}

#[test]
fn from_a_capture_the_input_waits_and_nothing_is_lost() {
    let collector = Collector::start(|_| Act::Accept);
    let mut config = config(collector.address, &[HTTP, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100")]);
    config.queue = Limit { bytes: 32 << 10, spans: 100 };
    config.pace = Pace::Wait;
    let mut export = export(&config, PATIENT);
    submit(&mut export, 5_000);
    assert_eq!(finish(export).0, counters(5_000, 5_000, &[]));
}

#[test]
fn from_a_capture_a_collector_that_is_down_does_not_hold_up_the_input_for_ever() {
    let mut config = config(closed(), &[HTTP, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")]);
    config.queue = Limit { bytes: 32 << 10, spans: 20 };
    config.pace = Pace::Wait;
    let mut export = export(&config, IMPATIENT);
    submit(&mut export, 1_000);
    assert_eq!(finish(export).0, counters(1_000, 0, &[("retry_exhausted", 1_000)]));
}

/// A certificate authority and what it signed, in a directory of its own.
struct Authority {
    directory: PathBuf,
    server: rustls::ServerConfig,
}

impl Authority {
    /// The server asks for a client's certificate if `ask` says so.
    fn new(name: &str, ask: bool) -> Self {
        use rustls::pki_types::PrivateKeyDer;
        let directory = std::env::temp_dir().join(format!("wirespan-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        // Two authorities of one name would look like one that lies.
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
        let signed = || {
            let key = KeyPair::generate().unwrap();
            (CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap(), key)
        };
        let (client, key) = signed();
        std::fs::write(directory.join("client.pem"), client.pem()).unwrap();
        std::fs::write(directory.join("client.key"), key.serialize_pem()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if ask {
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = signed();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut server = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { directory, server }
    }

    fn path(&self, file: &str) -> String {
        self.directory.join(file).display().to_string()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn tls_is_verified_in_both_directions() {
    let (known, unknown) = (Authority::new("known", true), Authority::new("unknown", false));
    let loopback = "127.0.0.1:0".parse().unwrap();
    for protocol in [GRPC, HTTP] {
        let collector = Collector::at(loopback, Some(known.server.clone()), |_| Act::Accept);
        let (ca, certificate, key) = (known.path("ca.pem"), known.path("client.pem"), known.path("client.key"));
        let trust = ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.as_str());
        let me = [("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate.as_str()), ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.as_str())];
        let mut with_both = export(&config(collector.address, &[protocol, trust, me[0], me[1]]), PATIENT);
        submit(&mut with_both, 10);
        assert_eq!(finish(with_both), (counters(10, 10, &[]), vec![]));
        // The collector does not know us.
        let mut without_me = export(&config(collector.address, &[protocol, trust]), IMPATIENT);
        submit(&mut without_me, 10);
        assert_eq!(finish(without_me).0, counters(10, 0, &[("retry_exhausted", 10)]));
        // We do not know the collector.
        let stranger = Collector::at(loopback, Some(unknown.server.clone()), |_| Act::Accept);
        let mut with_wrong_ca = export(&config(stranger.address, &[protocol, trust]), IMPATIENT);
        submit(&mut with_wrong_ca, 10);
        let (counted, notices) = finish(with_wrong_ca);
        assert_eq!(counted, counters(10, 0, &[("retry_exhausted", 10)]));
        assert!(notices[0].contains("invalid peer certificate: UnknownIssuer"), "{notices:?}");
        assert_eq!((collector.attempts().len(), stranger.attempts().len()), (1, 0));
    }
}

#[test]
fn certificates_that_cannot_be_read_end_the_start_with_a_sentence() {
    let directory = Authority::new("broken", false);
    let sentence = |file: &Path| {
        let config = config("127.0.0.1:4317".parse().unwrap(), &[("OTEL_EXPORTER_OTLP_CERTIFICATE", file.to_str().unwrap())]);
        let Err(error @ ExportError::Collector { .. }) = Export::new(&config) else { panic!("started") };
        error.to_string()
    };
    let missing = directory.directory.join("missing.pem");
    assert!(sentence(&missing).contains("missing.pem: I/O error: No such file or directory"), "{}", sentence(&missing));
    assert!(sentence(&directory.directory.join("client.key")).ends_with("client.key: no certificate in it"));
}
