//! The agent's own numbers leave as OTLP metrics, through the OpenTelemetry SDK: it is an ordinary program there, with one resource.
//!
//! Far from the hot path: the SDK asks for the numbers once a minute on a thread of its own. Only the wire is ours: the SDK's exporter
//! is given a client that sends through [`Collector`], so that gRPC, TLS, headers and time-outs are those of the spans.
use super::config::{Endpoint, Transport};
use super::queue::Queue;
use super::summary::Usage;
use super::transport::{Collector, Reply, TransportError};
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{MetricExporter, Protocol, RetryPolicy, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// The agent's own numbers.
pub struct Own {
    provider: SdkMeterProvider,
    usage: Arc<Mutex<Usage>>,
}

impl Own {
    /// Begins to report about `queues`, by the name of their output, every `interval`; requests run on `runtime`.
    pub fn start(
        endpoint: &Endpoint,
        interval: Duration,
        name: &str,
        queues: Vec<(&'static str, Arc<Queue>)>,
        runtime: Handle,
    ) -> Result<Self, TransportError> {
        let client = Client { collector: Arc::new(Collector::new(endpoint)?), grpc: endpoint.transport == Transport::Grpc, runtime };
        let exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint.uri.to_string())
            .with_timeout(endpoint.timeout)
            // Totals: the next report says what a lost one would have said.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| TransportError::Own(error.to_string()))?;
        // Not the default builder: that one would read the environment on its own.
        let resource = Resource::builder_empty()
            .with_attribute(KeyValue::new(crate::semconv::SERVICE_NAME, name.to_owned()))
            .with_attribute(KeyValue::new(crate::semconv::SERVICE_VERSION, env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new(crate::semconv::PROCESS_PID, i64::from(std::process::id())))
            .build();
        let reader = PeriodicReader::builder(exporter).with_interval(interval).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
        let usage = Arc::new(Mutex::new(Usage::default()));
        instruments(&provider, queues, &usage);
        Ok(Self { provider, usage })
    }

    /// Takes note of what the agent used.
    pub fn observe(&self, usage: &Usage) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = *usage;
    }

    /// Sends the last numbers; takes at most `patience`.
    pub fn shutdown(self, patience: Duration) {
        // The SDK's own limit is not kept, so a thread waits in our place; at the end of the process it is just left behind. Numbers that
        // could not be sent are not worth a word.
        let (done, wait) = std::sync::mpsc::channel();
        let last = move || done.send(self.provider.shutdown().is_ok());
        if std::thread::Builder::new().name("wirespan-own".to_owned()).spawn(last).is_ok() {
            let _ = wait.recv_timeout(patience);
        }
    }
}

fn instruments(provider: &SdkMeterProvider, queues: Vec<(&'static str, Arc<Queue>)>, usage: &Arc<Mutex<Usage>>) {
    let meter = provider.meter("wirespan");
    let read = |usage: &Arc<Mutex<Usage>>| {
        let usage = Arc::clone(usage);
        move || *usage.lock().unwrap_or_else(PoisonError::into_inner)
    };
    let queues = Arc::new(queues);
    let all = Arc::clone(&queues);
    meter
        .u64_observable_counter("wirespan.spans.exported")
        .with_unit("{span}")
        .with_description("Spans that an output took")
        .with_callback(move |observer| {
            for (output, queue) in all.iter() {
                observer.observe(queue.counters().exported, &[KeyValue::new("output", *output)]);
            }
        })
        .build();
    meter
        .u64_observable_counter("wirespan.spans.dropped")
        .with_unit("{span}")
        .with_description("Spans that an output lost, by cause")
        .with_callback(move |observer| {
            for (output, queue) in queues.iter() {
                for (cause, count) in queue.counters().dropped {
                    observer.observe(count, &[KeyValue::new("output", *output), KeyValue::new("cause", cause)]);
                }
            }
        })
        .build();
    let dropped = read(usage);
    meter
        .u64_observable_counter("wirespan.capture.dropped")
        .with_unit("{record}")
        .with_description("Records and spans that were lost before export")
        .with_callback(move |observer| observer.observe(dropped().dropped, &[]))
        .build();
    let cpu = read(usage);
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("Processor time of the agent")
        .with_callback(move |observer| observer.observe(cpu().cpu.as_secs_f64(), &[]))
        .build();
    let memory = read(usage);
    meter
        .u64_observable_gauge("process.memory.usage")
        .with_unit("By")
        .with_description("Memory of the agent, without the mapped ring")
        .with_callback(move |observer| observer.observe(memory().memory, &[]))
        .build();
}

/// What the SDK's exporter sends with.
struct Client {
    collector: Arc<Collector>,
    grpc: bool,
    runtime: Handle,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.collector.name()).finish()
    }
}

impl HttpClient for Client {
    /// Of the exporter's request only the message matters: address, headers and compression are ours.
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let packed = self.collector.pack(request.into_body().into());
        let collector = Arc::clone(&self.collector);
        // The SDK's thread has no runtime, so the request runs on ours.
        let task = self.runtime.spawn(async move { collector.send(packed).await });
        let grpc = self.grpc;
        Box::pin(async move {
            match task.await? {
                Reply::Accepted(message) => Ok(Response::new(message)),
                // In the words of HTTP, so that the SDK retries or not as it would.
                Reply::Retry(..) => Ok(Response::builder().status(503).body(Bytes::new())?),
                Reply::Refused(why) if grpc => Err(why.into()),
                Reply::Refused(_) => Ok(Response::builder().status(400).body(Bytes::new())?),
            }
        })
    }
}
