//! A collector that does what a test tells it: real sockets, hyper for HTTP, and tonic's generated services for gRPC, so that an
//! independent implementation reads what we frame, compress and encrypt.
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::metrics::v1 as metrics;
use opentelemetry_proto::tonic::collector::trace::v1 as trace;
use prost::Message as _;
use std::convert::Infallible;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;

/// Generous: only a broken program waits that long.
pub const LIMIT: Duration = Duration::from_mins(1);

/// An answer to a request for spans.
#[derive(Clone)]
pub enum Act {
    Accept,
    /// Accepts, but not that many spans.
    Partial(i64),
    /// HTTP only: status and headers.
    Http(u16, Vec<(&'static str, &'static str)>),
    /// gRPC only.
    Grpc(tonic::Status),
    /// No answer, ever.
    Hang,
}

/// What arrived, taken or not.
pub struct Attempt {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub request: trace::ExportTraceServiceRequest,
}

impl Attempt {
    pub fn spans(&self) -> usize {
        self.request.resource_spans.iter().flat_map(|group| &group.scope_spans).map(|scope| scope.spans.len()).sum()
    }
}

type Script = Box<dyn Fn(usize) -> Act + Send + Sync>;

#[derive(Default)]
struct Seen {
    attempts: Vec<Attempt>,
    metrics: Vec<metrics::ExportMetricsServiceRequest>,
}

struct Inner {
    script: Script,
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Inner {
    /// Notes a request and says what to do with it.
    fn act(&self, path: &str, headers: &HeaderMap, request: trace::ExportTraceServiceRequest) -> Act {
        let mut seen = self.seen.lock().unwrap();
        let act = (self.script)(seen.attempts.len());
        seen.attempts.push(Attempt { at: Instant::now(), path: path.to_owned(), headers: headers.clone(), request });
        self.changed.notify_all();
        act
    }

    fn measure(&self, request: metrics::ExportMetricsServiceRequest) {
        self.seen.lock().unwrap().metrics.push(request);
        self.changed.notify_all();
    }
}

/// A running collector; stops when dropped.
pub struct Collector {
    pub address: SocketAddr,
    inner: Arc<Inner>,
    stop: Arc<Notify>,
}

impl Collector {
    /// `script` decides about the nth request for spans, from 0.
    pub fn start(script: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), None, script)
    }

    pub fn at(address: SocketAddr, tls: Option<rustls::ServerConfig>, script: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner { script: Box::new(script), seen: Mutex::default(), changed: Condvar::new() });
        let stop = Arc::new(Notify::new());
        let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        let (serve, stopped) = (Arc::clone(&inner), Arc::clone(&stop));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::spawn(accept(tokio::net::TcpListener::from_std(listener).unwrap(), acceptor, serve));
                stopped.notified().await;
            });
        });
        Self { address, inner, stop }
    }

    /// Waits until `count` requests for spans have come.
    pub fn wait_for_attempts(&self, count: usize) {
        self.wait(|seen| seen.attempts.len() >= count);
    }

    /// Waits until metrics have come of which `wanted` is true.
    pub fn wait_for_metrics(&self, wanted: impl Fn(&metrics::ExportMetricsServiceRequest) -> bool) {
        self.wait(|seen| seen.metrics.iter().any(&wanted));
    }

    fn wait(&self, mut enough: impl FnMut(&Seen) -> bool) {
        let seen = self.inner.seen.lock().unwrap();
        let (seen, outcome) = self.inner.changed.wait_timeout_while(seen, LIMIT, |seen| !enough(seen)).unwrap();
        drop(seen);
        assert!(!outcome.timed_out(), "what was waited for did not come");
    }

    pub fn attempts(&self) -> Vec<Attempt> {
        std::mem::take(&mut self.inner.seen.lock().unwrap().attempts)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// HTTP/1 is OTLP/HTTP and HTTP/2 is gRPC, on one port.
async fn accept(listener: tokio::net::TcpListener, acceptor: Option<TlsAcceptor>, inner: Arc<Inner>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, inner) = (acceptor.clone(), Arc::clone(&inner));
        tokio::spawn(async move {
            let spans = trace::trace_service_server::TraceServiceServer::new(Service(Arc::clone(&inner)))
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd);
            let numbers = metrics::metrics_service_server::MetricsServiceServer::new(Service(Arc::clone(&inner)));
            let grpc = TowerToHyperService::new(Routes::new(spans).add_service(numbers).prepare());
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let (inner, grpc) = (Arc::clone(&inner), grpc.clone());
                async move {
                    use http_body_util::BodyExt as _;
                    if request.version() == hyper::Version::HTTP_2 {
                        let response = hyper::service::Service::call(&grpc, request.map(tonic::body::Body::new)).await.unwrap();
                        return Ok::<_, Infallible>(response.map(tonic::body::Body::new));
                    }
                    let response = plain(request, &inner).await;
                    Ok(response.map(|body| tonic::body::Body::new(http_body_util::Full::from(body).map_err(|never| match never {}))))
                }
            });
            let server = Builder::new(TokioExecutor::new());
            // Connections end as clients like.
            let _ = match acceptor {
                None => server.serve_connection(TokioIo::new(stream), service).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
                    Err(_) => Ok(()),
                },
            };
        });
    }
}

async fn plain(request: Request<Incoming>, inner: &Inner) -> Response<Vec<u8>> {
    use http_body_util::BodyExt as _;
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = match head.headers.get("content-encoding").map(|encoding| encoding.to_str().unwrap()) {
        None => body.to_vec(),
        Some("zstd") => zstd::decode_all(body.as_ref()).unwrap(),
        Some("gzip") => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(body.as_ref()).read_to_end(&mut plain).unwrap();
            plain
        }
        Some(other) => panic!("unknown encoding {other}"),
    };
    if head.uri.path() == "/v1/metrics" {
        inner.measure(metrics::ExportMetricsServiceRequest::decode(body.as_slice()).unwrap());
        return Response::new(Vec::new());
    }
    let decoded = trace::ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    match inner.act(head.uri.path(), &head.headers, decoded) {
        Act::Accept => Response::new(Vec::new()),
        Act::Partial(rejected) => Response::new(partial(rejected).encode_to_vec()),
        Act::Http(status, headers) => {
            let mut response = Response::new(b"because \x1b[31m".to_vec());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Act::Grpc(_) | Act::Hang => std::future::pending().await,
    }
}

fn partial(rejected: i64) -> trace::ExportTraceServiceResponse {
    let partial = trace::ExportTracePartialSuccess { rejected_spans: rejected, error_message: "too old".to_owned() };
    trace::ExportTraceServiceResponse { partial_success: Some(partial) }
}

struct Service(Arc<Inner>);

#[tonic::async_trait]
impl trace::trace_service_server::TraceService for Service {
    async fn export(
        &self,
        request: tonic::Request<trace::ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<trace::ExportTraceServiceResponse>, tonic::Status> {
        let headers = request.metadata().clone().into_headers();
        match self.0.act("TraceService/Export", &headers, request.into_inner()) {
            Act::Accept => Ok(tonic::Response::new(trace::ExportTraceServiceResponse::default())),
            Act::Partial(rejected) => Ok(tonic::Response::new(partial(rejected))),
            Act::Grpc(status) => Err(status),
            Act::Http(..) | Act::Hang => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl metrics::metrics_service_server::MetricsService for Service {
    async fn export(
        &self,
        request: tonic::Request<metrics::ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<metrics::ExportMetricsServiceResponse>, tonic::Status> {
        self.0.measure(request.into_inner());
        Ok(tonic::Response::new(metrics::ExportMetricsServiceResponse::default()))
    }
}
