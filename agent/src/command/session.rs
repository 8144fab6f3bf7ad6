//! One run of the pipeline with its outputs: what `run`, `replay` and `pcap` have in common.
use super::policy::policy;
use super::{Failure, account};
use crate::accounting::{Accounting, Tally};
use crate::capture::event::{Event, Nanos};
use crate::cli::{Headers, Output, exit};
use crate::enrich::directory::Directory;
use crate::export::live::Style;
use crate::export::{Choices, Export, ExportConfig, ExportCounters, Usage};
use crate::flow::DropCause;
use crate::pipeline::{Heard, Pipeline};
use crate::rendezvous::{LinksConfig, Rendezvous};
use crate::selection::Selection;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

/// How long the outputs may take at the end.
const FLUSH: Duration = Duration::from_secs(5);
/// Time between two summary lines.
const SUMMARY: Duration = Duration::from_secs(5);
/// What one half of the pipeline tells the other at once: enough that a hand-over between threads costs little per event.
const BATCH: usize = 256;
/// Batches between the halves: the faster one may be so far ahead, at about 60 KiB each.
const BATCHES: usize = 8;
/// Columns where the terminal does not say.
const COLUMNS: usize = 120;

/// A pipeline and its outputs.
pub(super) struct Session {
    pub(super) pipeline: Pipeline,
    export: Export,
    /// The agents of other nodes.
    others: Option<Rendezvous>,
    style: Style,
    from_file: bool,
    /// Summaries are wanted.
    summaries: bool,
    summarised: Instant,
}

impl Session {
    /// Opens the outputs. `from_file` says that the input can wait.
    pub(super) fn open(
        directory: Directory,
        selection: Selection,
        reads: bool,
        headers: &Headers,
        output: &Output,
        from_file: bool,
    ) -> Result<Self, Failure> {
        let env: BTreeMap<String, String> =
            std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect();
        let policy = policy(headers, &env).map_err(|error| Failure::new(exit::USAGE, error))?;
        let style = style(&env);
        let live = (!output.quiet).then(|| style.clone());
        let choices = Choices { otlp: output.otlp.clone(), otlp_file: output.otlp_file.clone(), live, from_capture: from_file };
        let config = ExportConfig::from_env(&env, &choices).map_err(|error| Failure::new(exit::USAGE, error))?;
        let export = Export::new(&config).map_err(|error| Failure::new(exit::FAILURE, error))?;
        let pipeline = Pipeline::with_policy(directory, selection, policy, reads);
        Ok(Self { pipeline, export, others: None, style, from_file, summaries: !output.quiet && !from_file, summarised: Instant::now() })
    }

    /// From now on requests are linked across nodes.
    pub(super) fn meet(&mut self, config: LinksConfig) -> Result<(), Failure> {
        self.pipeline.meet(config.wait.as_nanos() as Nanos);
        self.others = Some(Rendezvous::start(config).map_err(|error| Failure::new(exit::FAILURE, error))?);
        Ok(())
    }

    /// Takes one event, and says whether it was of use.
    pub(super) fn event(&mut self, event: &Event<'_>) -> Result<(), DropCause> {
        let export = &mut self.export;
        self.pipeline.event(event, &mut |span| export.submit(&span))
    }

    /// Takes the events that `read` gives, as [`Session::event`] does, with a thread for each half of the pipeline: for a file without
    /// processes, which is read as fast as spans can be made of it.
    pub(super) fn events<T>(&mut self, read: impl FnOnce(&mut dyn FnMut(&Event<'_>) -> Result<(), DropCause>) -> T) -> T {
        let (listener, teller) = self.pipeline.halves();
        let export = &mut self.export;
        let (say, batches) = sync_channel::<Vec<Heard>>(BATCHES);
        // Empty batches go back: memory that one thread takes and another frees costs both of them most.
        let (give_back, empty) = sync_channel(BATCHES);
        thread::scope(|scope| {
            scope.spawn(move || {
                for mut batch in batches {
                    for heard in batch.drain(..) {
                        teller.hear(heard, &mut |span| export.submit(&span));
                    }
                    let _ = give_back.try_send(batch);
                    export.tick(Instant::now());
                    tell(&export.take_notices());
                }
            });
            let mut batch = Vec::with_capacity(BATCH);
            let result = read(&mut |event| {
                let used = listener.event(event, &mut |heard| batch.push(heard));
                if batch.len() >= BATCH {
                    // Nobody hears it only if the other half has panicked, which the end of the scope makes this thread's panic.
                    let next = empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BATCH));
                    let _ = say.send(std::mem::replace(&mut batch, next));
                    // A file cannot be told anything.
                    listener.take_verdicts().for_each(drop);
                    listener.take_closed().for_each(drop);
                }
                used
            });
            let _ = say.send(batch);
            drop(say);
            result
        })
    }

    /// Lets go what has waited long enough: in the source's time `now`, if it is known, and at the outputs.
    pub(super) fn tick(&mut self, now: Option<Nanos>) {
        let export = &mut self.export;
        if let Some(now) = now {
            self.pipeline.tick(now, &mut |span| export.submit(&span));
        }
        if let Some(others) = &self.others {
            for (id, answer) in others.take_answers() {
                self.pipeline.answer(id, answer, &mut |span| export.submit(&span));
            }
            others.send(self.pipeline.take_letters());
            tell(&others.take_notices());
        }
        if self.from_file {
            // A file cannot be told anything.
            self.pipeline.take_verdicts().for_each(drop);
            self.pipeline.take_closed().for_each(drop);
        }
        self.export.tick(Instant::now());
        tell(&self.export.take_notices());
    }

    /// Prints a summary line if it is time for one; `usage` is asked only then.
    pub(super) fn summarise(&mut self, usage: impl FnOnce() -> Usage) {
        let now = Instant::now();
        if now.saturating_duration_since(self.summarised) < SUMMARY {
            return;
        }
        self.summarised = now;
        let line = self.export.summary(now, &usage(), &self.style);
        if self.summaries {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    /// Whether whoever read the output has gone.
    pub(super) fn is_over(&self) -> bool {
        self.export.reader_gone()
    }

    /// What became of every span so far, and of the source's `records`; and what else the source has to say.
    pub(super) fn accounting(&self, records: Tally, source: impl IntoIterator<Item = (&'static str, u64)>) -> Accounting {
        let exported = self.export.counters();
        let spans = spans(&self.pipeline, exported);
        let others = self.others.as_ref().map(Rendezvous::remarks).unwrap_or_default();
        let remarks = self.pipeline.remarks().into_iter().chain(others).chain(source).collect();
        Accounting { records, spans, links: self.pipeline.links(), remarks }
    }

    /// Tells everything that is left, closes the outputs and prints the accounting: see [`Self::accounting`].
    pub(super) fn close(mut self, records: Tally, source: impl IntoIterator<Item = (&'static str, u64)>) {
        let export = &mut self.export;
        self.pipeline.finish(&mut |span| export.submit(&span));
        let mut accounting = self.accounting(records, source);
        if let Some(others) = self.others.take() {
            others.send(self.pipeline.take_letters());
            others.close();
        }
        let (exported, notices) = self.export.shutdown(Instant::now() + FLUSH);
        tell(&notices);
        accounting.spans = spans(&self.pipeline, exported);
        account(&accounting);
    }
}

/// What became of every span: exported, dropped on the way out, or not made because its process traces itself.
fn spans(pipeline: &Pipeline, exported: ExportCounters) -> Tally {
    let mut spans = Tally { taken: pipeline.spans(), given: exported.exported, dropped: exported.dropped };
    spans.drop("sdk", pipeline.skipped());
    spans
}

/// Says what the outputs have to say.
fn tell(notices: &[String]) {
    for notice in notices {
        let _ = writeln!(std::io::stderr().lock(), "wirespan: {notice}");
    }
}

/// How live lines look on this standard output.
fn style(env: &BTreeMap<String, String>) -> Style {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return Style::plain();
    }
    let colour = env.get("NO_COLOR").is_none_or(String::is_empty) && env.get("TERM").is_none_or(|term| term != "dumb");
    let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    Style::terminal(if columns == 0 { COLUMNS } else { columns }, colour)
}
