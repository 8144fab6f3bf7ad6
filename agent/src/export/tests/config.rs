//! The environment and the flags, as the OpenTelemetry specification and the command line's help say.
use crate::export::config::{Choices, Compression, ConfigError, Endpoint, ExportConfig, FileTarget, Transport};
use crate::export::live::Style;
use crate::export::queue::{Limit, Pace};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::time::Duration;

fn config(env: &[(&str, &str)], otlp: Option<&str>) -> Result<ExportConfig, ConfigError> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ExportConfig::from_env(&env, &Choices { otlp: otlp.map(str::to_owned), ..Choices::default() })
}

fn endpoint(uri: &str, transport: Transport) -> Endpoint {
    Endpoint {
        uri: uri.parse().unwrap(),
        transport,
        headers: HeaderMap::new(),
        timeout: Duration::from_secs(10),
        compression: None,
        certificate: None,
        client: None,
    }
}

type Env<'a> = &'a [(&'a str, &'a str)];

const GRPC: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

#[test]
fn without_a_word_nothing_leaves_the_machine() {
    assert_eq!(config(&[], None), Ok(ExportConfig::default()));
    assert_eq!(config(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], None), Ok(ExportConfig::default()));
}

#[test]
fn addresses_are_completed_as_the_specification_and_the_help_say() {
    let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let signal = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let protocol = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let cases: &[(Env, Option<&str>, String, Transport)] = &[
        (&[], Some("http://c:4317"), format!("http://c:4317{GRPC}"), Transport::Grpc),
        (&[], Some("http://c:4318"), "http://c:4318/v1/traces".into(), Transport::Http),
        (&[], Some("http://c:4318/v1/traces"), "http://c:4318/v1/traces".into(), Transport::Http),
        (&[], Some("http://c:9999"), format!("http://c:9999{GRPC}"), Transport::Grpc),
        (&[], Some("127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces".into(), Transport::Http),
        (&[], Some("[::1]"), format!("http://[::1]:4317{GRPC}"), Transport::Grpc),
        (&[("OTEL_EXPORTER_OTLP_INSECURE", "false")], Some("c:4317"), format!("https://c:4317{GRPC}"), Transport::Grpc),
        (&[protocol], Some("c"), "http://c:4318/v1/traces".into(), Transport::Http),
        (&[protocol], Some("http://c:4317/otlp/"), "http://c:4317/otlp/v1/traces".into(), Transport::Http),
        (
            &[("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"), protocol],
            Some("http://c:4318"),
            format!("http://c:4318{GRPC}"),
            Transport::Grpc,
        ),
        (&[(base, "https://c:4318/base")], None, "https://c:4318/base/v1/traces".into(), Transport::Http),
        (&[(base, "http://other:4317")], Some("http://c:4317"), format!("http://c:4317{GRPC}"), Transport::Grpc),
        (&[(signal, "http://c:4318/x?y=z"), (base, "http://d:4317")], None, "http://c:4318/x?y=z".into(), Transport::Http),
        (&[(signal, "http://c:4318")], None, "http://c:4318/".into(), Transport::Http),
        (&[(base, "c:4317")], None, format!("https://c:4317{GRPC}"), Transport::Grpc),
        (&[(base, "c:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "TRUE")], None, format!("http://c:4317{GRPC}"), Transport::Grpc),
        (&[("OTEL_TRACES_EXPORTER", "otlp")], None, format!("http://localhost:4317{GRPC}"), Transport::Grpc),
        (&[("OTEL_TRACES_EXPORTER", "none")], Some("http://c:4317"), format!("http://c:4317{GRPC}"), Transport::Grpc),
    ];
    for (env, flag, uri, transport) in cases {
        assert_eq!(config(env, *flag).map(|config| config.otlp), Ok(Some(endpoint(uri, *transport))), "{env:?} {flag:?}");
    }
    assert_eq!(config(&[("OTEL_TRACES_EXPORTER", "none"), (base, "http://c:4317")], None).unwrap().otlp, None);
}

#[test]
fn everything_the_variables_can_say_is_heard() {
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "general=no"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "Authorization=Bearer%20a%3Db=, x-tenant = 7,"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/me.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/me.key"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
        ("OTEL_SERVICE_NAME", "watcher"),
    ];
    let header = |name: &'static str, value: &'static str| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let common = Endpoint {
        timeout: Duration::from_millis(2500),
        certificate: Some("/ca.pem".into()),
        client: Some(("/me.pem".into(), "/me.key".into())),
        ..endpoint("https://c:4318/v1/traces", Transport::Http)
    };
    let traces = Endpoint {
        headers: HeaderMap::from_iter([header("authorization", "Bearer a=b="), header("x-tenant", "7")]),
        compression: Some(Compression::Zstd),
        ..common.clone()
    };
    let metrics = Endpoint {
        uri: "https://c:4318/v1/metrics".parse().unwrap(),
        headers: HeaderMap::from_iter([header("general", "no")]),
        compression: Some(Compression::Gzip),
        ..common
    };
    let wanted = ExportConfig {
        otlp: Some(traces),
        delay: Duration::from_millis(200),
        request_spans: 100,
        queue: Limit { spans: 100, ..ExportConfig::default().queue },
        own: Some((metrics, Duration::from_secs(1))),
        own_name: "watcher".to_owned(),
        ..ExportConfig::default()
    };
    let got = config(&env, None).unwrap();
    assert!(!format!("{got:?}").contains("Bearer"), "a header's value is shown: {got:?}");
    assert_eq!(got, wanted);
}

#[test]
fn own_metrics_follow_the_spans_unless_told_otherwise() {
    let own = |env: &[(&str, &str)]| config(env, Some("http://c:4317")).unwrap().own.map(|(endpoint, _)| endpoint.uri.to_string());
    let service = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    assert_eq!(own(&[]), Some(format!("http://c:4317{service}")));
    assert_eq!(own(&[("OTEL_METRICS_EXPORTER", "none")]), None);
    assert_eq!(own(&[("OTEL_SDK_DISABLED", "true")]), None);
    // Only the traces have a collector: the metrics stay.
    assert_eq!(config(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4317")], None).unwrap().own, None);
}

#[test]
fn flags_choose_files_and_lines_and_a_capture_waits() {
    let choose = |otlp_file: Option<&str>, from_capture| {
        let choices = Choices { otlp: None, otlp_file: otlp_file.map(str::to_owned), live: Some(Style::terminal(80, true)), from_capture };
        ExportConfig::from_env(&BTreeMap::new(), &choices).unwrap()
    };
    let live = ExportConfig { live: Some(Style::terminal(80, true)), ..ExportConfig::default() };
    assert_eq!(choose(Some("a.jsonl"), false), ExportConfig { file: Some(FileTarget::Path("a.jsonl".into())), ..live.clone() });
    // Standard output cannot be both.
    assert_eq!(choose(Some("-"), false), ExportConfig { file: Some(FileTarget::Stdout), ..ExportConfig::default() });
    assert_eq!(choose(None, true), ExportConfig { pace: Pace::Wait, ..live });
}

#[test]
fn what_cannot_be_used_is_a_sentence_without_secrets() {
    let cases: &[(Env, Option<&str>, &str)] = &[
        (&[], Some("ftp://c"), "--otlp is not an endpoint: the scheme must be http or https; write it like http://localhost:4317"),
        (&[], Some("http://"), "--otlp is not an endpoint: it cannot be read as an address; write it like http://localhost:4317"),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@c:4317")],
            None,
            "OTEL_EXPORTER_OTLP_ENDPOINT is not an endpoint: it carries a user name; credentials belong into OTEL_EXPORTER_OTLP_HEADERS; \
             write it like http://localhost:4317",
        ),
        (
            &[],
            Some("http://c:4317/v1/traces"),
            "--otlp is not an endpoint: gRPC has no use for a path; for HTTP use port 4318 or set \
             OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf; write it like http://localhost:4317",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
            Some("c"),
            "OTEL_EXPORTER_OTLP_PROTOCOL is \"http/json\"; it can be grpc or http/protobuf",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_COMPRESSION", "lz4")],
            Some("c"),
            "OTEL_EXPORTER_OTLP_COMPRESSION is \"lz4\"; it can be gzip, zstd or none",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")],
            Some("c"),
            "OTEL_EXPORTER_OTLP_TIMEOUT is \"10s\"; it must be a whole number above 0 (milliseconds)",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_HEADERS", "a=b,token secret")],
            Some("c"),
            "OTEL_EXPORTER_OTLP_HEADERS: entry 2 is not a header; write name=value,name=value with percent-encoded values",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/k")],
            Some("c"),
            "a client certificate needs its key and a key its certificate: set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE too",
        ),
        (&[("OTEL_TRACES_EXPORTER", "zipkin")], None, "OTEL_TRACES_EXPORTER is \"zipkin\"; it can be otlp, console or none"),
        (&[("OTEL_BSP_SCHEDULE_DELAY", "0")], None, "OTEL_BSP_SCHEDULE_DELAY is \"0\"; it must be a whole number above 0 (milliseconds)"),
    ];
    for (env, flag, sentence) in cases {
        assert_eq!(config(env, *flag).unwrap_err().to_string(), *sentence);
    }
}
