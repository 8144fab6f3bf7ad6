//! Batches from a [`Queue`] go to a collector: one thread, a few requests at a time, each until it is taken, refused or given up.
//!
//! Retries follow the OTLP specification: exponential back-off with jitter for the answers that are worth it, never before the time that
//! the collector named. What became of every span is counted in the queue; changes of fortune are said once, as [`Notices`].
use super::queue::{Abandon, Batch, Cause, Pace, Queue};
use super::transport::{Collector, Packed, Reply};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

/// Requests that wait for their answer at the same time: one travels while the other is answered, and a slow collector is not flooded.
const IN_FLIGHT: usize = 2;
/// Sentences that wait to be read. They are about changes, so few; older ones go first.
const NOTICES: usize = 32;
/// Longest pause that a collector may ask for: past it, it has most likely lost its mind or its clock.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// How often and how long to try.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Pause after the first failure; doubles with every further one.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// How long to try. Live, each batch has that long. From a capture ([`Pace::Wait`]) the collector has: if it took nothing for that
    /// long, each further batch gets one attempt, so that the input is not held up for ever.
    pub budget: Duration,
}

impl Patience {
    /// Five minutes live, as collectors themselves have it; half a minute from a capture, because a person is waiting.
    pub fn of(pace: Pace) -> Self {
        let budget = if pace == Pace::Wait { Duration::from_secs(30) } else { Duration::from_mins(5) };
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(30), budget }
    }
}

/// Sentences for the person who runs the agent: bounded, oldest lost first.
#[derive(Default)]
pub struct Notices(Mutex<VecDeque<String>>);

impl Notices {
    /// Adds a sentence.
    pub fn say(&self, sentence: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == NOTICES {
            all.pop_front();
        }
        all.push_back(sentence);
    }

    /// Takes all sentences.
    pub fn take(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

/// The thread that sends.
pub struct Sender {
    handle: Handle,
    stop: Arc<Notify>,
}

impl Sender {
    /// Starts the thread, which sends what comes out of `queue` until [`Sender::stop`].
    pub fn start(queue: Arc<Queue>, collector: Collector, pace: Pace, patience: Patience, notices: Arc<Notices>) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let handle = runtime.handle().clone();
        let stop = Arc::new(Notify::new());
        let health = Mutex::new(Health { failing: None, not_before: Instant::now(), refused: String::new() });
        let line = Arc::new(Line { queue, collector, pace, patience, notices, health });
        let stopped = Arc::clone(&stop);
        std::thread::Builder::new().name("wirespan-otlp".to_owned()).spawn(move || {
            let _abandon = Abandon(Arc::clone(&line.queue));
            runtime.block_on(async {
                for _ in 0..IN_FLIGHT {
                    tokio::spawn(Arc::clone(&line).run());
                }
                stopped.notified().await;
            });
            // A name look-up that hangs runs on a thread of its own and is left behind.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop })
    }

    /// Where tasks that use the same runtime can be started.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends the thread, whatever it does.
    pub fn stop(&self) {
        self.stop.notify_one();
    }
}

/// What is known about the collector.
struct Health {
    /// Since when it has taken nothing of what it was sent; `None` while all is well.
    failing: Option<Instant>,
    /// It asked to be left alone until then.
    not_before: Instant,
    /// The last refusal that was said.
    refused: String,
}

/// Everything between the queue and the collector.
struct Line {
    queue: Arc<Queue>,
    collector: Collector,
    pace: Pace,
    patience: Patience,
    notices: Arc<Notices>,
    health: Mutex<Health>,
}

impl Line {
    async fn run(self: Arc<Self>) {
        while let Some(Batch { body, spans }) = self.queue.next().await {
            let bytes = body.len();
            let (lost, cause) = self.deliver(self.collector.pack(body.joined()), spans).await;
            self.queue.done(bytes, spans, lost, cause);
        }
    }

    /// Sends until there is a verdict: how many spans are lost, and why.
    async fn deliver(&self, packed: Packed, spans: u64) -> (u64, Cause) {
        let begun = Instant::now();
        let mut pause = self.patience.first;
        loop {
            let not_before = self.health(|health| health.not_before);
            tokio::time::sleep_until(not_before.into()).await;
            match self.collector.send(packed.clone()).await {
                Reply::Accepted(message) => {
                    self.recovered();
                    return (self.partial(message, spans), Cause::Rejected);
                }
                Reply::Refused(why) => {
                    self.recovered();
                    self.refused(&why);
                    return (spans, Cause::Rejected);
                }
                Reply::Retry(why, after) => {
                    self.failed(&why, after);
                    let since = if self.pace == Pace::Wait { self.health(|health| health.failing).unwrap_or(begun) } else { begun };
                    if since.elapsed() >= self.patience.budget {
                        return (spans, Cause::RetryExhausted);
                    }
                    // While shutting down there is no time for long pauses, but a collector's own wish is still obeyed above.
                    let most = if self.queue.is_closed() { self.patience.first } else { self.patience.longest };
                    let _ = tokio::time::timeout(jittered(pause.min(most)), self.cut_short()).await;
                    pause = (pause * 2).min(self.patience.longest);
                }
            }
        }
    }

    /// Ends when shutting down begins; never if it has begun.
    async fn cut_short(&self) {
        if self.queue.is_closed() {
            std::future::pending::<()>().await;
        }
        self.queue.closing().await;
    }

    /// Spans that the collector did not take although it took the request.
    fn partial(&self, message: bytes::Bytes, spans: u64) -> u64 {
        let partial = ExportTraceServiceResponse::decode(message).unwrap_or_default().partial_success.unwrap_or_default();
        let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0).min(spans);
        if rejected > 0 {
            self.refused(&format!("some spans, {}", super::live::printable(&partial.error_message)));
        }
        rejected
    }

    fn recovered(&self) {
        if self.health(|health| health.failing.take()).is_some() {
            self.notices.say(format!("{} answers again", self.collector.name()));
        }
    }

    fn failed(&self, why: &str, after: Option<Duration>) {
        let was_well = self.health(|health| {
            if let Some(pause) = after {
                health.not_before = health.not_before.max(Instant::now() + pause.min(LONGEST_PAUSE));
            }
            let was_well = health.failing.is_none();
            health.failing.get_or_insert_with(Instant::now);
            was_well
        });
        if was_well {
            self.notices.say(format!("{} does not take spans ({why}); they are kept and sent again", self.collector.name()));
        }
    }

    fn refused(&self, why: &str) {
        let said = self.health(|health| std::mem::replace(&mut health.refused, why.to_owned()));
        if said != why {
            self.notices.say(format!("{} refused spans for good: {why}", self.collector.name()));
        }
    }

    fn health<T>(&self, change: impl FnOnce(&mut Health) -> T) -> T {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A time between half of `pause` and all of it, so that many agents do not come back at once. The randomness is that of hash maps.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1024;
    pause / 2 + pause / 2 * random as u32 / 1024
}
