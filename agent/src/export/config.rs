//! The environment and the command line become an [`ExportConfig`]. Pure: the variables come in as a map, no file is read.
//!
//! The variables are those of the OpenTelemetry specification ("OTLP exporter configuration"); an empty one is an unset one, and the
//! variable of a signal wins over the general one. A value that cannot be used is an error that names its variable and says what to do;
//! the values of headers never appear in one.
use super::live::Style;
use super::queue::{Limit, Pace};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::HeaderMap;
use hyper::http::uri::{PathAndQuery, Scheme, Uri};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Size of a request at which it leaves, in bytes: receivers take 4 MiB unless told otherwise, and this leaves room for one large span.
pub const REQUEST_BYTES: usize = 3 << 20;
/// What may wait for the collector, in bytes: at 500 bytes a span about 130,000 spans, 13 s of 10,000 spans a second.
pub const QUEUE_BYTES: usize = 64 << 20;
/// Longest time that a span waits for others to share a request with.
const SCHEDULE_DELAY: Duration = Duration::from_secs(1);
/// Time for one request, as the specification has it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two reports of the agent about itself, as the specification has it.
const METRIC_INTERVAL: Duration = Duration::from_mins(1);

/// What the command line says about output.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// `--otlp ENDPOINT`: instead of the endpoint of the environment. Without a scheme it means plain `http`.
    pub otlp: Option<String>,
    /// `--otlp-file FILE`; `-` is standard output.
    pub otlp_file: Option<String>,
    /// Live lines on standard output, unless `--otlp-file -` needs it.
    pub live: Option<Style>,
    /// The spans come from a capture: let the input wait rather than drop, and say nothing about the agent itself.
    pub from_capture: bool,
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// A collector, for one signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where requests go, with the signal's path.
    pub uri: Uri,
    /// How.
    pub transport: Transport,
    /// Sent with every request; the values are secret.
    pub headers: HeaderMap,
    /// Time for one request.
    pub timeout: Duration,
    /// Compression of requests.
    pub compression: Option<Compression>,
    /// Certificates (PEM) to trust instead of the system's.
    pub certificate: Option<PathBuf>,
    /// The client's own certificate and key (PEM).
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Where JSON lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileTarget {
    /// Standard output.
    Stdout,
    /// A file, which is emptied first.
    Path(PathBuf),
}

/// Everything that export needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportConfig {
    /// Collector of the spans.
    pub otlp: Option<Endpoint>,
    /// JSON lines.
    pub file: Option<FileTarget>,
    /// Live lines.
    pub live: Option<Style>,
    /// What to do when an output is slower than the input.
    pub pace: Pace,
    /// Longest time that a span waits for others.
    pub delay: Duration,
    /// Most spans in a request.
    pub request_spans: u64,
    /// What may wait for an output.
    pub queue: Limit,
    /// Collector of the agent's own numbers, and how often they leave.
    pub own: Option<(Endpoint, Duration)>,
    /// `service.name` of the agent itself.
    pub own_name: String,
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            otlp: None,
            file: None,
            live: None,
            pace: Pace::Drop,
            delay: SCHEDULE_DELAY,
            request_spans: u64::MAX,
            queue: Limit { bytes: QUEUE_BYTES, spans: u64::MAX },
            own: None,
            own_name: "wirespan".to_owned(),
        }
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// An address that is none. Its text is not repeated: people put passwords into addresses.
    #[error("{name} is not an endpoint: {why}; write it like http://localhost:4317")]
    Endpoint {
        /// Variable or flag.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A value outside a closed list.
    #[error("{name} is {value:?}; it can be {known}")]
    Choice {
        /// Variable.
        name: String,
        /// Its value.
        value: String,
        /// The list.
        known: &'static str,
    },
    /// Not a number of the right kind.
    #[error("{name} is {value:?}; it must be a whole number above 0 ({unit})")]
    Number {
        /// Variable.
        name: String,
        /// Its value.
        value: String,
        /// What the number counts.
        unit: &'static str,
    },
    /// A list of headers that is none.
    #[error("{name}: entry {entry} is not a header; write name=value,name=value with percent-encoded values")]
    Header {
        /// Variable.
        name: String,
        /// Which one, from 1.
        entry: usize,
    },
    /// Half of a pair.
    #[error("a client certificate needs its key and a key its certificate: set {0} too")]
    ClientPair(String),
}

impl ExportConfig {
    /// The configuration from the environment's variables and the command line, which wins.
    pub fn from_env(env: &BTreeMap<String, String>, choices: &Choices) -> Result<Self, ConfigError> {
        let env = Env(env);
        let mut config = Self::default();
        let exporters = env.get("OTEL_TRACES_EXPORTER").unwrap_or_default();
        let mut wanted = None;
        for name in exporters.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "otlp" => wanted = Some(true),
                "none" => wanted = Some(false),
                "console" => config.live = Some(Style::plain()),
                _ => return Err(choice("OTEL_TRACES_EXPORTER", name, "otlp, console or none")),
            }
        }
        if choices.otlp.is_some() || wanted != Some(false) {
            config.otlp = env.endpoint("TRACES", choices.otlp.as_deref(), wanted == Some(true))?;
        }
        config.file = choices.otlp_file.as_ref().map(|name| match name.as_str() {
            "-" => FileTarget::Stdout,
            path => FileTarget::Path(path.into()),
        });
        config.live = if config.file == Some(FileTarget::Stdout) { None } else { choices.live.clone().or(config.live) };
        config.delay = env.millis("OTEL_BSP_SCHEDULE_DELAY")?.unwrap_or(SCHEDULE_DELAY);
        config.queue.spans = env.number("OTEL_BSP_MAX_QUEUE_SIZE", "spans")?.unwrap_or(u64::MAX);
        // A request that the queue cannot hold would never leave.
        config.request_spans = env.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "spans")?.unwrap_or(u64::MAX).min(config.queue.spans);
        if choices.from_capture {
            config.pace = Pace::Wait;
        } else if env.get("OTEL_METRICS_EXPORTER").is_none_or(|name| name == "otlp") && env.get("OTEL_SDK_DISABLED") != Some("true") {
            let interval = env.millis("OTEL_METRIC_EXPORT_INTERVAL")?.unwrap_or(METRIC_INTERVAL);
            config.own = env.endpoint("METRICS", choices.otlp.as_deref(), false)?.map(|endpoint| (endpoint, interval));
        }
        if let Some(name) = env.get("OTEL_SERVICE_NAME") {
            name.clone_into(&mut config.own_name);
        }
        Ok(config)
    }
}

struct Env<'a>(&'a BTreeMap<String, String>);

impl Env<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// A variable of the OTLP exporter, for a signal or for all, with its name.
    fn otlp(&self, signal: &str, what: &str) -> Option<(String, &str)> {
        [format!("OTEL_EXPORTER_OTLP_{signal}_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")]
            .into_iter()
            .find_map(|name| self.get(&name).map(|value| (name.clone(), value)))
    }

    fn number(&self, name: &str, unit: &'static str) -> Result<Option<u64>, ConfigError> {
        self.get(name).map(|value| positive(name, value, unit)).transpose()
    }

    fn millis(&self, name: &str) -> Result<Option<Duration>, ConfigError> {
        Ok(self.number(name, "milliseconds")?.map(Duration::from_millis))
    }

    /// The collector of a signal; `None` if nothing names one. `always` takes the specification's default then.
    fn endpoint(&self, signal: &str, flag: Option<&str>, always: bool) -> Result<Option<Endpoint>, ConfigError> {
        let transport = match self.otlp(signal, "PROTOCOL") {
            None => None,
            Some((_, "grpc")) => Some(Transport::Grpc),
            Some((_, "http/protobuf")) => Some(Transport::Http),
            Some((name, value)) => return Err(choice(&name, value, "grpc or http/protobuf")),
        };
        let insecure = match self.otlp(signal, "INSECURE") {
            None => None,
            Some((_, value)) if value.eq_ignore_ascii_case("true") => Some(true),
            Some((_, value)) if value.eq_ignore_ascii_case("false") => Some(false),
            Some((name, value)) => return Err(choice(&name, value, "true or false")),
        };
        let default = if transport == Some(Transport::Http) { "http://localhost:4318" } else { "http://localhost:4317" };
        // On the command line, where a person types it, no scheme means plain text; in the environment it means TLS, as specified.
        let (name, value, insecure) = match (flag, self.otlp(signal, "ENDPOINT")) {
            (Some(flag), _) => ("--otlp".to_owned(), flag.trim(), insecure.unwrap_or(true)),
            (None, Some((name, value))) => (name, value, insecure.unwrap_or(false)),
            (None, None) if always => (String::new(), default, true),
            (None, None) => return Ok(None),
        };
        let as_it_is = name.contains(signal);
        let (uri, transport) = address(&name, value, transport, insecure, as_it_is, signal)?;
        let compression = match self.otlp(signal, "COMPRESSION") {
            None | Some((_, "none")) => None,
            Some((_, "gzip")) => Some(Compression::Gzip),
            Some((_, "zstd")) => Some(Compression::Zstd),
            Some((name, value)) => return Err(choice(&name, value, "gzip, zstd or none")),
        };
        let timeout = match self.otlp(signal, "TIMEOUT") {
            None => TIMEOUT,
            Some((name, value)) => Duration::from_millis(positive(&name, value, "milliseconds")?),
        };
        let path = |what| self.otlp(signal, what).map(|(_, value)| PathBuf::from(value));
        let client = match (path("CLIENT_CERTIFICATE"), path("CLIENT_KEY")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::ClientPair("OTEL_EXPORTER_OTLP_CLIENT_KEY".to_owned())),
            (None, Some(_)) => return Err(ConfigError::ClientPair("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE".to_owned())),
        };
        let headers = self.otlp(signal, "HEADERS").map_or(Ok(HeaderMap::new()), |(name, value)| headers(&name, value))?;
        Ok(Some(Endpoint { uri, transport, headers, timeout, compression, certificate: path("CERTIFICATE"), client }))
    }
}

/// An endpoint's text becomes the address of a signal: scheme, port and path are completed.
fn address(
    name: &str,
    text: &str,
    transport: Option<Transport>,
    insecure: bool,
    as_it_is: bool,
    signal: &str,
) -> Result<(Uri, Transport), ConfigError> {
    let wrong = |why: &str| ConfigError::Endpoint { name: name.to_owned(), why: why.to_owned() };
    let schemeless = !text.contains("://");
    let whole = if schemeless { format!("{}://{text}", if insecure { "http" } else { "https" }) } else { text.to_owned() };
    let uri: Uri = whole.parse().map_err(|_| wrong("it cannot be read as an address"))?;
    if !uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) {
        return Err(wrong("the scheme must be http or https"));
    }
    let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(|| wrong("it has no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("it carries a user name; credentials belong into OTEL_EXPORTER_OTLP_HEADERS"));
    }
    let http_port = authority.port_u16() == Some(4318);
    let transport = transport.unwrap_or(if http_port { Transport::Http } else { Transport::Grpc });
    let mut parts = uri.clone().into_parts();
    if schemeless && authority.port().is_none() {
        let port = if transport == Transport::Http { 4318 } else { 4317 };
        parts.authority = Some(format!("{authority}:{port}").parse().map_err(|_| wrong("it cannot be read as an address"))?);
    }
    let path = match transport {
        Transport::Grpc if uri.path() != "/" => {
            return Err(wrong("gRPC has no use for a path; for HTTP use port 4318 or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"));
        }
        Transport::Grpc => {
            let service = if signal == "METRICS" { "metrics.v1.MetricsService" } else { "trace.v1.TraceService" };
            format!("/opentelemetry.proto.collector.{service}/Export")
        }
        Transport::Http if as_it_is => return Ok((Uri::from_parts(parts).map_err(|_| wrong("it is incomplete"))?, transport)),
        Transport::Http => {
            let leaf = if signal == "METRICS" { "v1/metrics" } else { "v1/traces" };
            // People paste the whole address of the traces; the specification means the base.
            let base = uri.path().trim_end_matches('/').trim_end_matches("/v1/traces");
            format!("{base}/{leaf}")
        }
    };
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| wrong("its path cannot be used"))?);
    Ok((Uri::from_parts(parts).map_err(|_| wrong("it is incomplete"))?, transport))
}

/// `name=value,name=value`, values percent-encoded (W3C Baggage without properties).
fn headers(variable: &str, list: &str) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    for (place, entry) in list.split(',').enumerate().filter(|(_, entry)| !entry.trim().is_empty()) {
        let wrong = || ConfigError::Header { name: variable.to_owned(), entry: place + 1 };
        let (name, value) = entry.split_once('=').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_bytes(&percent_decode(value.trim())).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Bytes of a percent-encoded text; what is no escape stays as it is.
pub(super) fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |place: usize| after.get(place).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            out.push((high << 4 | low) as u8);
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}

fn positive(name: &str, value: &str, unit: &'static str) -> Result<u64, ConfigError> {
    let wrong = || ConfigError::Number { name: name.to_owned(), value: value.to_owned(), unit };
    value.parse().ok().filter(|&number| number > 0).ok_or_else(wrong)
}

fn choice(name: &str, value: &str, known: &'static str) -> ConfigError {
    ConfigError::Choice { name: name.to_owned(), value: value.to_owned(), known }
}
