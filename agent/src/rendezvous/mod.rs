//! Carries letters between the agents of a cluster: what calls tell of themselves, and what requests ask, by way of a store that all of them
//! use, Redis or Valkey. `LINKS.md` says what is stored and what it costs.
//!
//! A thread of its own does it, in batches. Nothing here waits for the store but that thread: what does not fit into a queue is dropped and
//! counted, what nobody can need any more is forgotten, and a store that has gone is tried again until it is back.
mod address;
pub mod entry;
mod lookups;
mod store;
#[cfg(test)]
mod tests;

pub use address::{Address, Topology};

use crate::causality::ids::WireKey;
use crate::causality::meeting::{Answer, Letter, Place};
use crate::exchange::ExchangeId;
use lookups::Lookups;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::time::{Duration, Instant};
use store::{Item, Outcome, Store, StoreError};
use tokio::runtime::Builder;
use tokio::sync::mpsc;

/// How long what is to be told and asked is collected: far less than what waits for it has to wait anyway, and at 1,000 requests a second
/// already 25 of them share a round trip.
const COLLECT: Duration = Duration::from_millis(25);
/// Letters on their way to the thread: what 20,000 requests a second write in the 100 ms that an agent may take between two looks, with
/// room for a store that is slow.
const MAX_LETTERS: usize = 16 * 1024;
/// What is to be told and could not be yet, while the store is away: at 100 bytes 3 MiB.
const MAX_UNTOLD: usize = 32 * 1024;
/// Answers that nobody has taken yet: no more than there are questions.
const MAX_ANSWERS: usize = lookups::MAX_LOOKUPS;
/// Most items in a batch, so that a store in trouble gets its work in pieces.
const MAX_BATCH: usize = 4 * 1024;
/// Pause after the first failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause: once it is back, a store is in use again within a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Sentences that wait to be read; they are about changes, so few.
const MAX_NOTICES: usize = 16;
/// Time to tell the rest at the end.
const FAREWELL: Duration = Duration::from_millis(500);

/// Where the store is, who may use it, and how long answers are waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinksConfig {
    /// Where it is.
    pub address: Address,
    /// The password, if it asks for one.
    pub password: Option<Password>,
    /// How long a request waits for an answer.
    pub wait: Duration,
}

/// Where a password is. Nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// In a file; blanks at its end do not belong to it.
    File(PathBuf),
    /// Here.
    Text(String),
}

impl Password {
    fn read(&self) -> Result<String, StoreError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(text.trim_end().to_owned()),
                Err(error) => Err(StoreError::Password { path: path.display().to_string(), error }),
            },
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Text(_) => f.write_str("Text(…)"),
        }
    }
}

/// Why letters did not arrive.
#[derive(Debug, Default)]
struct Losses {
    /// No room for a letter.
    queue_full: AtomicU64,
    /// It could not be told before nobody waits for it any more.
    untold: AtomicU64,
    /// No room for an answer.
    answer_dropped: AtomicU64,
    /// The store said no.
    refused: AtomicU64,
    /// What lies in the store under a request's key was not written by an agent.
    foreign: AtomicU64,
    /// Batches of which nothing is known.
    failed: AtomicU64,
}

fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

/// What the thread shares with the pipeline.
#[derive(Default)]
struct Shared {
    answers: Mutex<Vec<(ExchangeId, Answer)>>,
    notices: Mutex<VecDeque<String>>,
    losses: Losses,
}

/// The pipeline's end of it.
pub struct Rendezvous {
    letters: mpsc::Sender<Letter>,
    shared: Arc<Shared>,
    over: std_mpsc::Receiver<()>,
}

impl Rendezvous {
    /// Starts the thread. A store that does not answer is no reason to fail, a password file that cannot be read is one.
    pub fn start(config: LinksConfig) -> Result<Self, String> {
        if let Some(password) = &config.password {
            password.read().map_err(|error| error.to_string())?;
        }
        let failed = |error: std::io::Error| format!("start the thread for links: {error}");
        let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(failed)?;
        let (letters, inbox) = mpsc::channel(MAX_LETTERS);
        let (done, over) = std_mpsc::channel();
        let shared = Arc::new(Shared::default());
        let carrier = Carrier::new(config, inbox, Arc::clone(&shared));
        std::thread::Builder::new()
            .name("wirespan-links".to_owned())
            .spawn(move || {
                runtime.block_on(carrier.run());
                // A name look-up that hangs runs on a thread of its own and is left behind.
                runtime.shutdown_background();
                let _ = done.send(());
            })
            .map_err(failed)?;
        Ok(Self { letters, shared, over })
    }

    /// Takes letters. Returns at once.
    pub fn send(&self, letters: impl IntoIterator<Item = Letter>) {
        for letter in letters {
            if self.letters.try_send(letter).is_err() {
                count(&self.shared.losses.queue_full, 1);
            }
        }
    }

    /// The answers that have come since the last call.
    #[must_use]
    pub fn take_answers(&self) -> Vec<(ExchangeId, Answer)> {
        std::mem::take(&mut *self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sentences about a store that is gone or back, each to be shown once.
    #[must_use]
    pub fn take_notices(&self) -> Vec<String> {
        self.shared.notices.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Letters and answers that were lost, by cause.
    #[must_use]
    pub fn remarks(&self) -> BTreeMap<&'static str, u64> {
        let losses = &self.shared.losses;
        let all = [
            ("links.queue_full", &losses.queue_full),
            ("links.untold", &losses.untold),
            ("links.answer_dropped", &losses.answer_dropped),
            ("links.refused", &losses.refused),
            ("links.foreign", &losses.foreign),
            ("links.batches_failed", &losses.failed),
        ];
        all.into_iter().map(|(name, counter)| (name, counter.load(Ordering::Relaxed))).filter(|(_, count)| *count > 0).collect()
    }

    /// Tells what is left, if the store takes it at once, and ends the thread.
    pub fn close(self) {
        drop(self.letters);
        let _ = self.over.recv_timeout(FAREWELL);
    }
}

/// Something to be told, until when it is of use.
struct Untold {
    key: WireKey,
    place: Option<Place>,
    until: Instant,
}

/// The thread's end of it.
struct Carrier {
    inbox: mpsc::Receiver<Letter>,
    shared: Arc<Shared>,
    address: String,
    wait: Duration,
    store: Store,
    untold: VecDeque<Untold>,
    lookups: Lookups,
    /// The store failed: how long the pause was before the next attempt, and when that is.
    failing: Option<(Duration, Instant)>,
    /// The last refusal that was said.
    refusal: String,
}

impl Carrier {
    fn new(config: LinksConfig, inbox: mpsc::Receiver<Letter>, shared: Arc<Shared>) -> Self {
        // The randomness is that of hash maps, which is the system's.
        let writer = RandomState::new().build_hasher().finish().to_be_bytes();
        // Readers come within the bound after the last word; what an agent lags behind comes on top.
        let life = config.wait * 2 + Duration::from_secs(2);
        let (address, wait) = (config.address.to_string(), config.wait);
        let store = Store::new(config, writer, life);
        let (untold, lookups) = (VecDeque::new(), Lookups::default());
        Self { inbox, shared, address, wait, store, untold, lookups, failing: None, refusal: String::new() }
    }

    async fn run(mut self) {
        loop {
            if self.untold.is_empty() && self.lookups.is_empty() {
                let Some(letter) = self.inbox.recv().await else { return };
                self.take(letter);
            }
            self.collect().await;
            let is_over = self.inbox.is_closed() && self.inbox.is_empty();
            let now = Instant::now();
            if is_over || self.failing.is_none_or(|(_, again)| again <= now) {
                self.batch(now).await;
            }
            if is_over {
                return;
            }
        }
    }

    /// Takes letters until it is time for the next batch.
    async fn collect(&mut self) {
        let mut until = Instant::now() + COLLECT;
        if self.untold.is_empty()
            && let Some(next) = self.lookups.next()
        {
            // Nothing to be told: only questions that are asked again.
            until = until.max(next);
        }
        while let Ok(letter) = tokio::time::timeout_at(until.into(), self.inbox.recv()).await {
            let Some(letter) = letter else { return };
            until = until.min(Instant::now() + COLLECT);
            self.take(letter);
        }
    }

    fn take(&mut self, letter: Letter) {
        let now = Instant::now();
        let until = now + self.wait;
        let has_room = match letter {
            Letter::Tell { key, place } => {
                let has_room = self.untold.len() < MAX_UNTOLD;
                if has_room {
                    self.untold.push_back(Untold { key, place, until });
                }
                has_room
            }
            Letter::Ask { id, key } => self.lookups.ask(id, key, now, until),
        };
        if !has_room {
            count(&self.shared.losses.queue_full, 1);
        }
    }

    /// Tells and asks what is due.
    async fn batch(&mut self, now: Instant) {
        let before = self.untold.len();
        while self.untold.pop_front_if(|untold| untold.until <= now).is_some() {}
        count(&self.shared.losses.untold, before - self.untold.len());
        let told: Vec<Untold> = self.untold.drain(..self.untold.len().min(MAX_BATCH)).collect();
        let asked = self.lookups.due(now, MAX_BATCH - told.len());
        if told.is_empty() && asked.is_empty() {
            return;
        }
        let tells = told.iter().map(|untold| Item::Tell { key: untold.key, place: untold.place.clone() });
        let items: Vec<Item> = tells.chain(asked.iter().map(|lookup| Item::Ask { key: lookup.key() })).collect();
        match self.store.exchange(&items).await {
            Ok(outcomes) => {
                self.succeeded();
                let mut outcomes = outcomes.into_iter();
                for outcome in outcomes.by_ref().take(told.len()) {
                    self.heed(outcome);
                }
                let now = Instant::now();
                for (lookup, outcome) in asked.into_iter().zip(outcomes) {
                    let answer = self.heed(outcome);
                    let news = self.lookups.back(lookup, answer, now);
                    self.answer(news);
                }
            }
            Err(error) => {
                self.failed(&error);
                told.into_iter().rev().for_each(|untold| self.untold.push_front(untold));
                for lookup in asked {
                    self.lookups.back(lookup, None, now);
                }
            }
        }
    }

    /// Counts what went wrong with one item; gives the answer if it was a question.
    fn heed(&mut self, outcome: Outcome) -> Option<Answer> {
        match outcome {
            Outcome::Told => None,
            Outcome::Read(answer) => Some(answer),
            Outcome::Foreign => {
                count(&self.shared.losses.foreign, 1);
                None
            }
            Outcome::Refused(why) => {
                count(&self.shared.losses.refused, 1);
                if why != self.refusal {
                    self.say(format!("the store for links at {} refuses: {}", self.address, crate::export::live::printable(&why)));
                    self.refusal = why;
                }
                None
            }
        }
    }

    fn answer(&self, news: Option<(ExchangeId, Answer)>) {
        let Some(news) = news else { return };
        let mut answers = self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() < MAX_ANSWERS {
            answers.push(news);
        } else {
            count(&self.shared.losses.answer_dropped, 1);
        }
    }

    fn succeeded(&mut self) {
        if self.failing.take().is_some() {
            self.say(format!("the store for links at {} answers again", self.address));
        }
    }

    fn failed(&mut self, error: &StoreError) {
        count(&self.shared.losses.failed, 1);
        let pause = self.failing.map_or(FIRST_PAUSE, |(pause, _)| (pause * 2).min(LONGEST_PAUSE));
        if self.failing.replace((pause, Instant::now() + pause)).is_none() {
            let why = error.to_string();
            let why = crate::export::live::printable(&why);
            self.say(format!(
                "the store for links at {} cannot be used ({why}); requests across nodes begin new traces until it can",
                self.address
            ));
        }
    }

    fn say(&self, sentence: String) {
        let mut notices = self.shared.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.len() == MAX_NOTICES {
            notices.pop_front();
        }
        notices.push_back(sentence);
    }
}
