//! Spans leave: OTLP to a collector, OTLP/JSON lines to a file, text lines to a person, in any combination.
//!
//! The pipeline's thread encodes, which is cheap, and never waits for an output unless its input is a file; a thread per output sends or
//! writes. Each output counts every span it was given ([`ExportCounters`]). Nothing here decides what a span is.
pub mod config;
pub mod group;
pub mod json;
pub mod live;
pub mod otlp;
mod own;
mod queue;
mod sender;
pub mod summary;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod writer;

pub use config::{Choices, ConfigError, ExportConfig};
pub use queue::{ExportCounters, Pace};
pub use summary::Usage;

use crate::enrich::span::Span;
use config::{FileTarget, REQUEST_BYTES};
use group::{Encode, Grouped};
use live::{Lines, Style};
use own::Own;
use queue::{Batch, Queue};
use sender::{Notices, Patience, Sender};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use summary::Summary;
use thiserror::Error;
use transport::{Collector, TransportError};
use writer::Writer;

/// Size at which text leaves, in bytes: large enough that a write costs nothing per line.
const TEXT_BYTES: usize = 256 << 10;
/// Longest time that a live line waits: below what a person notices.
const LIVE_DELAY: Duration = Duration::from_millis(100);
/// Time that the agent's own last numbers may take at the end, after all spans.
const OWN_PATIENCE: Duration = Duration::from_millis(500);

/// Why export cannot start.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The collector's address, certificates or keys.
    #[error("export to {endpoint}: {error}")]
    Collector {
        /// Address.
        endpoint: String,
        /// Why not.
        error: TransportError,
    },
    /// The output file.
    #[error("--otlp-file {}: {error}", path.display())]
    File {
        /// File.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// A thread or its runtime.
    #[error("start an export thread: {0}")]
    Thread(std::io::Error),
}

/// What gathers the spans of one output, and where they go from there.
struct Output {
    name: &'static str,
    encode: Box<dyn Encode>,
    queue: Arc<Queue>,
    pace: Pace,
    most_bytes: usize,
    most_spans: u64,
    delay: Duration,
    /// The tick that first saw the oldest span that has not left.
    since: Option<Instant>,
}

impl Output {
    fn submit(&mut self, span: &Span) {
        self.encode.push(span);
        if self.encode.bytes() >= self.most_bytes || self.encode.spans() >= self.most_spans {
            self.leave();
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.encode.spans() > 0 && now.saturating_duration_since(*self.since.get_or_insert(now)) >= self.delay {
            self.leave();
        }
    }

    fn leave(&mut self) {
        if let Some(batch) = self.batch() {
            self.queue.push(batch, self.pace);
        }
    }

    fn batch(&mut self) -> Option<Batch> {
        let spans = self.encode.spans();
        self.since = None;
        (spans > 0).then(|| Batch { body: self.encode.take(), spans })
    }

    fn counters(&self) -> ExportCounters {
        let mut counters = self.queue.counters();
        counters.submitted += self.encode.spans();
        counters.queued += self.encode.spans();
        counters
    }
}

/// All outputs. Owned by the pipeline's thread.
pub struct Export {
    /// The one that counts comes first: OTLP, then the file, then live lines.
    outputs: Vec<Output>,
    sender: Option<Sender>,
    writers: Vec<Writer>,
    own: Option<Own>,
    notices: Arc<Notices>,
    summary: Summary,
    /// Spans submitted.
    submitted: u64,
}

impl Export {
    /// Opens the outputs of `config` and starts their threads. Does not connect yet: a collector that is down is no error.
    pub fn new(config: &ExportConfig) -> Result<Self, ExportError> {
        Self::with_patience(config, Patience::of(config.pace))
    }

    fn with_patience(config: &ExportConfig, patience: Patience) -> Result<Self, ExportError> {
        let notices = Arc::new(Notices::default());
        let mut export = Self {
            outputs: Vec::new(),
            sender: None,
            writers: Vec::new(),
            own: None,
            notices: Arc::clone(&notices),
            summary: Summary::new(Instant::now()),
            submitted: 0,
        };
        if let Some(endpoint) = &config.otlp {
            let collector =
                Collector::new(endpoint).map_err(|error| ExportError::Collector { endpoint: endpoint.uri.to_string(), error })?;
            let queue = export.output(config, "otlp", Box::new(Grouped::<otlp::Protobuf>::default()), REQUEST_BYTES, config.delay);
            export.sender = Some(Sender::start(queue, collector, config.pace, patience, notices).map_err(ExportError::Thread)?);
        }
        if let Some(target) = &config.file {
            let (to, name) = open(target)?;
            // A second is what a reader of the file may count on, whatever the delay of requests is.
            let delay = config.delay.min(Duration::from_secs(1));
            export.writer(config, "file", Box::new(Grouped::<json::JsonLines>::default()), to, name, delay)?;
        }
        if let Some(style) = &config.live {
            let lines = Box::new(Lines::new(style.clone()));
            export.writer(config, "live", lines, Box::new(std::io::stdout()), "standard output".to_owned(), LIVE_DELAY)?;
        }
        if let (Some((endpoint, interval)), Some(sender)) = (&config.own, &export.sender) {
            let queues = export.outputs.iter().map(|output| (output.name, Arc::clone(&output.queue))).collect();
            let own = Own::start(endpoint, *interval, &config.own_name, queues, sender.handle().clone());
            export.own = Some(own.map_err(|error| ExportError::Collector { endpoint: endpoint.uri.to_string(), error })?);
        }
        Ok(export)
    }

    fn output(
        &mut self,
        config: &ExportConfig,
        name: &'static str,
        encode: Box<dyn Encode>,
        most_bytes: usize,
        delay: Duration,
    ) -> Arc<Queue> {
        let queue = Arc::new(Queue::new(config.queue));
        let (pace, most_spans) = (config.pace, config.request_spans);
        self.outputs.push(Output { name, encode, queue: Arc::clone(&queue), pace, most_bytes, most_spans, delay, since: None });
        queue
    }

    fn writer(
        &mut self,
        config: &ExportConfig,
        name: &'static str,
        encode: Box<dyn Encode>,
        to: Box<dyn Write + Send>,
        label: String,
        delay: Duration,
    ) -> Result<(), ExportError> {
        let queue = self.output(config, name, encode, TEXT_BYTES, delay);
        self.writers.push(Writer::start(queue, to, label, Arc::clone(&self.notices)).map_err(ExportError::Thread)?);
        Ok(())
    }

    /// Gives a span to every output. Returns at once, except from a capture ([`Pace::Wait`]).
    pub fn submit(&mut self, span: &Span) {
        self.submitted += 1;
        self.summary.count(span);
        for output in &mut self.outputs {
            output.submit(span);
        }
    }

    /// Lets go what has waited long enough. To be called often: at least every 100 ms while spans may come.
    pub fn tick(&mut self, now: Instant) {
        for output in &mut self.outputs {
            output.tick(now);
        }
    }

    /// The line about the time since the last one; also what the agent's own metrics say about `usage`.
    pub fn summary(&mut self, now: Instant, usage: &Usage, style: &Style) -> String {
        if let Some(own) = &self.own {
            own.observe(usage);
        }
        let dropped = self.counters().dropped.values().sum();
        self.summary.line(now, usage, dropped, style)
    }

    /// Sentences about outputs that stopped or came back, each to be shown once.
    #[must_use]
    pub fn take_notices(&self) -> Vec<String> {
        self.notices.take()
    }

    /// Whether whoever read standard output has gone (`| head`): a reason to end, quietly.
    pub fn reader_gone(&self) -> bool {
        self.writers.iter().any(Writer::reader_gone)
    }

    /// What became of every span at the output that counts: OTLP if there is one, else the file, else live lines. With no output at all
    /// every span is dropped for `no_output`.
    #[must_use]
    pub fn counters(&self) -> ExportCounters {
        if let Some(output) = self.outputs.first() {
            return output.counters();
        }
        let dropped = Some(("no_output", self.submitted)).filter(|&(_, count)| count > 0).into_iter().collect();
        ExportCounters { submitted: self.submitted, dropped, ..ExportCounters::default() }
    }

    /// The counters of every output, by its name: `otlp`, `file`, `live`.
    #[must_use]
    pub fn all_counters(&self) -> Vec<(&'static str, ExportCounters)> {
        self.outputs.iter().map(|output| (output.name, output.counters())).collect()
    }

    /// Lets everything leave, until `deadline`, and counts the rest as dropped: nothing is queued any more in what it returns.
    #[must_use]
    pub fn shutdown(mut self, deadline: Instant) -> (ExportCounters, Vec<String>) {
        for output in &mut self.outputs {
            let last = output.batch();
            output.queue.close(last);
        }
        // All outputs drain at the same time; waiting for them in turn takes as long as the slowest.
        for output in &self.outputs {
            output.queue.drain(deadline);
        }
        if let Some(own) = self.own.take() {
            own.shutdown(OWN_PATIENCE);
        }
        if let Some(sender) = &self.sender {
            sender.stop();
        }
        (self.counters(), self.take_notices())
    }
}

/// Opens where JSON lines go. A file that is made is for its owner's eyes only: it holds what programs said to each other.
fn open(target: &FileTarget) -> Result<(Box<dyn Write + Send>, String), ExportError> {
    match target {
        FileTarget::Stdout => Ok((Box::new(std::io::stdout()), "standard output".to_owned())),
        FileTarget::Path(path) => match OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path) {
            Ok(file) => Ok((Box::new(file), path.display().to_string())),
            Err(error) => Err(ExportError::File { path: path.clone(), error }),
        },
    }
}
