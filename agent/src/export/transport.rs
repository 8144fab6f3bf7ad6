//! One request goes to a collector and one [`Reply`] comes back, over gRPC or HTTP, compressed and encrypted as the endpoint says.
//!
//! gRPC is little more than a framed POST over HTTP/2 when every call is one message each way, so both ways share one client (hyper) and
//! the agent carries no second stack. Never retries, never counts, never shows a header's value.
use super::config::{Compression, Endpoint, Transport, percent_decode};
use super::live::printable;
use super::tls;
use crate::protocol::base64;
use crate::protocol::grpc::STATUS_NAMES;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, TE, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prost::Message;
use std::error::Error as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Most bytes of an answer that are read: an answer carries two numbers and a sentence.
const REPLY_BYTES: usize = 64 << 10;
/// Pings on an HTTP/2 connection while an answer is awaited: finds a peer that went away without a word (NAT, pulled cable).
const PING: Duration = Duration::from_secs(10);
/// Most characters of the collector's own words that are shown.
const WORDS: usize = 200;
/// Fastest level that still makes OTLP about ten times smaller.
const ZSTD_LEVEL: i32 = 1;

/// Why an endpoint cannot be used at all.
#[derive(Debug, Error)]
pub enum TransportError {
    /// A PEM file.
    #[error("{}: {why}", path.display())]
    Pem {
        /// File.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No certificates to trust.
    #[error(
        "this machine has no certificates to verify an https endpoint with; install ca-certificates or set OTEL_EXPORTER_OTLP_CERTIFICATE"
    )]
    NoRoots,
    /// Certificate and key do not fit together, or are of no known kind.
    #[error("the client certificate cannot be used: {0}")]
    Tls(String),
    /// The exporter of the agent's own metrics.
    #[error("the agent's own metrics: {0}")]
    Own(String),
}

/// What a collector said.
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// It took the request; the message says what it took of it.
    Accepted(Bytes),
    /// Not now: why, and the earliest time for another attempt, if it named one.
    Retry(String, Option<Duration>),
    /// Never: why.
    Refused(String),
}

/// A request, ready to be sent as often as it takes.
#[derive(Clone)]
pub struct Packed {
    body: Bytes,
    encoding: Option<&'static str>,
}

/// A collector's address with everything that is needed to talk to it.
pub struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    transport: Transport,
    headers: HeaderMap,
    timeout: Duration,
    compression: Option<Compression>,
}

impl Collector {
    /// Reads certificates; connects with the first request.
    pub fn new(endpoint: &Endpoint) -> Result<Self, TransportError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(endpoint.timeout));
        let tls = if endpoint.uri.scheme_str() == Some("https") {
            tls::client_config(endpoint)?
        } else {
            let none = rustls::RootCertStore::empty();
            rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .map_err(|error| TransportError::Tls(error.to_string()))?
                .with_root_certificates(none)
                .with_no_client_auth()
        };
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        let client = match endpoint.transport {
            Transport::Grpc => client.http2_only(true).http2_keep_alive_interval(PING).build(https.enable_http2().wrap_connector(tcp)),
            Transport::Http => client.build(https.enable_http1().wrap_connector(tcp)),
        };
        let mut headers = endpoint.headers.clone();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("wirespan/", env!("CARGO_PKG_VERSION"))));
        match endpoint.transport {
            Transport::Grpc => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(TE, HeaderValue::from_static("trailers"));
            }
            Transport::Http => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                headers.insert(ACCEPT, HeaderValue::from_static("application/x-protobuf"));
            }
        }
        let (uri, transport, timeout, compression) = (endpoint.uri.clone(), endpoint.transport, endpoint.timeout, endpoint.compression);
        Ok(Self { client, uri, transport, headers, timeout, compression })
    }

    /// The collector's address for people: without path.
    pub fn name(&self) -> String {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}", self.uri.scheme_str().unwrap_or_default())
    }

    /// Compresses and frames a protobuf message.
    pub fn pack(&self, message: Vec<u8>) -> Packed {
        match self.compression.and_then(|how| Some((how, compress(how, &message)?))) {
            Some((how, small)) => self.frame(small, Some(if how == Compression::Gzip { "gzip" } else { "zstd" })),
            None => self.frame(message, None),
        }
    }

    fn frame(&self, mut message: Vec<u8>, encoding: Option<&'static str>) -> Packed {
        if self.transport == Transport::Grpc {
            // Whether it is compressed, and its length. Requests end at 3 MiB, far below 4 GiB.
            let [a, b, c, d] = (message.len() as u32).to_be_bytes();
            message.splice(..0, [u8::from(encoding.is_some()), a, b, c, d]);
        }
        Packed { body: message.into(), encoding }
    }

    /// Sends a request and waits for its answer, not longer than the endpoint's timeout.
    pub async fn send(&self, packed: Packed) -> Reply {
        let mut request = Request::new(Full::new(packed.body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(encoding) = packed.encoding {
            let name = if self.transport == Transport::Grpc { HeaderName::from_static("grpc-encoding") } else { CONTENT_ENCODING };
            request.headers_mut().insert(name, HeaderValue::from_static(encoding));
        }
        let answer = async {
            match self.client.request(request).await {
                Ok(response) => self.read(response).await,
                Err(error) => Reply::Retry(chain(&error), None),
            }
        };
        let late = || Reply::Retry(format!("no answer within {:?}", self.timeout), None);
        tokio::time::timeout(self.timeout, answer).await.unwrap_or_else(|_| late())
    }

    async fn read(&self, response: Response<hyper::body::Incoming>) -> Reply {
        let (head, body) = response.into_parts();
        let collected = match Limited::new(body, REPLY_BYTES).collect().await {
            Ok(collected) => collected,
            // Whether the request was taken is unknown; sending it twice is better than never.
            Err(error) => return Reply::Retry(format!("the answer broke off: {error}"), None),
        };
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let body = collected.to_bytes();
        match self.transport {
            Transport::Http => http_reply(head.status, &head.headers, body),
            Transport::Grpc => grpc_reply(head.status, &head.headers, &trailers, &body),
        }
    }
}

fn compress(how: Compression, message: &[u8]) -> Option<Vec<u8>> {
    match how {
        Compression::Zstd => zstd::bulk::compress(message, ZSTD_LEVEL).ok(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(message).ok()?;
            encoder.finish().ok()
        }
    }
}

/// OTLP/HTTP, "Failures": which codes are worth another attempt.
fn http_reply(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Reply {
    if status.is_success() {
        return Reply::Accepted(body);
    }
    // Errors carry a google.rpc.Status, whatever the content type says; anything else is shown only if it is short plain text.
    let text = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let words = if text { String::from_utf8_lossy(&body).into_owned() } else { RpcStatus::decode(body).unwrap_or_default().message };
    let why = sentence(&format!("HTTP {}", status.as_u16()), &words);
    match status.as_u16() {
        429 | 502 | 503 | 504 => {
            let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Reply::Retry(why, after.map(Duration::from_secs))
        }
        _ => Reply::Refused(why),
    }
}

/// OTLP/gRPC, "Failures". A trailers-only answer has its status among the headers.
fn grpc_reply(status: StatusCode, headers: &HeaderMap, trailers: &HeaderMap, body: &Bytes) -> Reply {
    let field = |name: &str| trailers.get(name).or_else(|| headers.get(name)).and_then(|value| value.to_str().ok());
    let Some(code) = field("grpc-status").and_then(|code| code.parse::<u32>().ok()) else {
        // Not a gRPC server, or something in front of it.
        let why = format!("HTTP {} without a gRPC status", status.as_u16());
        return if matches!(status.as_u16(), 429 | 502 | 503 | 504) { Reply::Retry(why, None) } else { Reply::Refused(why) };
    };
    if code == 0 {
        // Five bytes of frame; the message cannot be compressed, as no encoding was offered.
        return Reply::Accepted(body.slice(5.min(body.len())..));
    }
    let words = field("grpc-message").map(|words| String::from_utf8_lossy(&percent_decode(words)).into_owned()).unwrap_or_default();
    let why = sentence(&format!("gRPC {}", STATUS_NAMES.get(code as usize).unwrap_or(&"UNKNOWN_CODE")), &words);
    let pause = field("grpc-status-details-bin").and_then(|details| retry_info(&base64::decode(details.as_bytes())?));
    match code {
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
        1 | 4 | 10 | 11 | 14 | 15 => Reply::Retry(why, pause),
        // RESOURCE_EXHAUSTED: only if the collector says that it will recover.
        8 if pause.is_some() => Reply::Retry(why, pause),
        _ => Reply::Refused(why),
    }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Detail {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`, and the `google.protobuf.Duration` in it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Delay {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

fn retry_info(status: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(status).ok()?;
    let detail = status.details.iter().find(|detail| detail.kind.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(detail.value.as_slice()).ok()?.delay.unwrap_or_default();
    let nanos = u32::try_from(delay.nanos).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, nanos))
}

/// A fact and the collector's own words about it, cut and made printable.
fn sentence(fact: &str, words: &str) -> String {
    let words: String = words.trim().chars().take(WORDS).collect();
    if words.is_empty() { fact.to_owned() } else { format!("{fact}: {}", printable(&words)) }
}

/// An error with its causes: hyper says "error sending request", the cause says which file descriptor to look at.
fn chain(error: &hyper_util::client::legacy::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
