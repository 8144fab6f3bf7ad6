//! Studies processes on a thread of its own, again and again where it is too early, and says what came of it.
//!
//! A process may delay a read of its memory for as long as it likes, so nobody waits for this thread; the worst that one process can do
//! is that those after it stay orphans.
use super::process::Process;
use super::{ADAPTERS, Adapter, Refusal, Study};
use crate::enrich::runtime::Runtime;
use rustc_hash::FxHashSet;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Questions and answers under way: more than come between two looks at them.
const QUEUE: usize = 1024;
/// Processes that wait to be studied again: more than serve requests on a node.
const MAX_WAITING: usize = 1024;
/// Time to the second study; each time it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest time between two studies of one process.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Layouts that a person was told of.
const MAX_TOLD: usize = 256;

enum Question {
    Meet(u32, Runtime),
    Forget(u32),
}

/// What came of the study of one process.
#[derive(Debug)]
pub enum Found {
    /// It can be looked at.
    Study {
        /// Which.
        pid: u32,
        /// Name of the adapter.
        adapter: &'static str,
        /// How.
        study: Box<Study>,
    },
    /// Something that a person should know, once.
    Notice(String),
}

/// The thread that studies processes.
pub struct Studies {
    ask: SyncSender<Question>,
    answers: Receiver<Found>,
}

/// A process that is to be studied.
struct Waiting {
    due: Instant,
    pause: Duration,
    pid: u32,
    runtime: Runtime,
    /// What was found last.
    known: Option<Box<Study>>,
}

impl Studies {
    /// Starts the thread, which looks at the processes below `proc`.
    pub fn start(proc: PathBuf) -> io::Result<Self> {
        let (ask, questions) = sync_channel(QUEUE);
        let (reply, answers) = sync_channel(QUEUE);
        std::thread::Builder::new().name("wirespan-adapt".to_owned()).spawn(move || work(&proc, &questions, &reply))?;
        Ok(Self { ask, answers })
    }

    /// A process of this runtime takes part in conversations. If the queue is full it stays without an adapter.
    pub fn meet(&self, pid: u32, runtime: Runtime) {
        if ADAPTERS.iter().any(|adapter| adapter.knows(runtime)) {
            let _ = self.ask.try_send(Question::Meet(pid, runtime));
        }
    }

    /// The process has ended or has become another program.
    pub fn forget(&self, pid: u32) {
        let _ = self.ask.try_send(Question::Forget(pid));
    }

    /// What was found since the last call.
    pub fn take(&self) -> impl Iterator<Item = Found> {
        self.answers.try_iter()
    }
}

fn work(proc: &std::path::Path, questions: &Receiver<Question>, reply: &SyncSender<Found>) {
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    let mut told: FxHashSet<String> = FxHashSet::default();
    loop {
        let next = waiting.iter().map(|waiting| waiting.due).min();
        let pause = next.map_or(LONGEST_PAUSE, |due| due.saturating_duration_since(Instant::now()));
        match questions.recv_timeout(pause) {
            Ok(Question::Forget(pid)) => waiting.retain(|waiting| waiting.pid != pid),
            Ok(Question::Meet(pid, runtime)) => {
                waiting.retain(|waiting| waiting.pid != pid);
                if waiting.len() < MAX_WAITING {
                    waiting.push_back(Waiting { due: Instant::now(), pause: FIRST_PAUSE, pid, runtime, known: None });
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        let Some(at) = waiting.iter().position(|waiting| waiting.due <= now) else { continue };
        let Some(Waiting { pause, pid, runtime, known, .. }) = waiting.remove(at) else { continue };
        let later = |next: Duration, known| Waiting { due: Instant::now() + pause, pause: next.min(LONGEST_PAUSE), pid, runtime, known };
        let Some((adapter, studied)) = study(proc, pid, runtime) else { continue };
        let name = adapter.name();
        let found = match studied {
            Ok(study) => {
                let study = Box::new(study);
                let is_new = known.as_ref() != Some(&study);
                if adapter.goes_on() {
                    // What a program loads, it loads soon after it has begun to work.
                    waiting.push_back(later(pause * 5 / 4, Some(study.clone())));
                }
                if !is_new {
                    continue;
                }
                Found::Study { pid, adapter: name, study }
            }
            Err(Refusal::NotYet(_)) => {
                waiting.push_back(later(pause * 2, known));
                continue;
            }
            Err(Refusal::Gone | Refusal::Other) => continue,
            Err(Refusal::Unknown(why)) => {
                let notice = format!("no links by memory for this {name}: {why}; its calls may be orphans");
                if told.len() >= MAX_TOLD || !told.insert(notice.clone()) {
                    continue;
                }
                Found::Notice(notice)
            }
        };
        if reply.send(found).is_err() {
            return;
        }
    }
}

/// Has a process studied by the adapters that know its runtime, one after the other, until one finds its own kind.
fn study(proc: &std::path::Path, pid: u32, runtime: Runtime) -> Option<(&'static dyn Adapter, Result<Study, Refusal>)> {
    let process = Process::open(proc, pid).ok()?;
    let answers = ADAPTERS.iter().filter(|adapter| adapter.knows(runtime)).map(|adapter| (*adapter, adapter.study(&process)));
    answers.into_iter().find(|(_, answer)| *answer != Err(Refusal::Other))
}
