//! `wirespan run`: spans of what this machine does now.
use super::adapters::Adapters;
use super::links::links;
use super::live::{Watcher, account, clocks, walks};
use super::session::Session;
use super::{Failure, exit};
use crate::accounting::Tally;
use crate::capture::memory;
use crate::capture::wire::Decoder;
use crate::cli::Run;
use crate::enrich::directory::Directory;
use crate::export::Usage;
use crate::flow::DropCause;
use crate::selection::Selection;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Time between two looks at the clocks: far less than it takes them to drift by a network round trip.
const CLOCK_CHECK: Duration = Duration::from_secs(10);

/// Traces this machine until a signal or the time given.
pub(super) fn run(options: &Run) -> Result<(), Failure> {
    let processes = (!options.select.pid.is_empty()).then(|| with_descendants(&options.select.pid));
    let selection = Selection { ports: options.select.port.iter().copied().collect(), processes };
    let env = std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let env: BTreeMap<String, String> = env.collect();
    let links = links(&options.links, &env).map_err(|error| Failure::new(exit::USAGE, error))?;
    let mut watcher = Watcher::attach(&options.watch, options.select.cgroup.clone())?;
    let mut directory = Directory::of_this_machine().map_err(|error| Failure::new(exit::FAILURE, error))?;
    directory.set_clock(clocks().1);
    let mut session = Session::open(directory, selection, true, &options.headers, &options.output, false)?;
    let adapters = Adapters::start(watcher.kernel(), options.watch.no_memory.as_ref(), &env)?;
    if let Some(config) = links {
        session.meet(config)?;
    }
    if !options.output.quiet {
        eprintln!("wirespan: watching every TCP connection of this machine; end with Ctrl-C");
    }
    memory::give_back();
    let mut decoder = Decoder::new();
    let mut records = Tally::default();
    let mut checked = Instant::now();
    while !watcher.is_over() && !session.is_over() {
        let drained = watcher.drain(&mut |record| take(record, &mut decoder, &mut session, &mut records));
        for (socket, verdict) in session.pipeline.take_verdicts() {
            watcher.kernel().set_verdict(socket, verdict);
        }
        for socket in session.pipeline.take_closed() {
            watcher.kernel().forget(socket);
        }
        let directory = session.pipeline.directory();
        let (met, gone) = (directory.take_news(), directory.take_gone());
        for (pid, manner) in adapters.tick(watcher.kernel(), &met, &gone) {
            session.pipeline.adapt(pid, manner);
        }
        session.tick(drained.then(|| clocks().0));
        if checked.elapsed() >= CLOCK_CHECK {
            checked = Instant::now();
            session.pipeline.directory().set_clock(clocks().1);
            memory::give_back();
        }
        session.summarise(|| usage(watcher.kernel().counters().ring_full));
        if watcher.wants_report() {
            let records = account(records.clone(), watcher.kernel(), &decoder);
            super::account(&session.accounting(records, walks(watcher.kernel())));
        }
    }
    watcher.detach(&mut |record| take(record, &mut decoder, &mut session, &mut records));
    session.close(account(records, watcher.kernel(), &decoder), walks(watcher.kernel()));
    Ok(())
}

/// Takes one record; it was of use if one of its events was.
pub(super) fn take(record: &[u8], decoder: &mut Decoder, session: &mut Session, records: &mut Tally) {
    let malformed = decoder.dropped().malformed;
    let mut outcome: Option<Result<(), &'static str>> = None;
    decoder.decode(record, &mut |event| {
        let used = session.event(&event).map_err(DropCause::name);
        if outcome.is_none_or(|outcome| outcome.is_err()) {
            outcome = Some(used);
        }
    });
    // A record without events was put aside for a later one, unless it made no sense.
    let nothing = if decoder.dropped().malformed > malformed { Err("wire.malformed") } else { Ok(()) };
    records.count(outcome.unwrap_or(nothing));
}

/// What the agent has used so far.
fn usage(dropped: u64) -> Usage {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Usage { cpu, memory: anonymous.unwrap_or(0) * 1024, dropped }
}

/// The processes and all their descendants of now.
fn with_descendants(pids: &[u32]) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name may hold anything, so the fields are counted from its last parenthesis.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(pid);
    }
    let mut all = BTreeSet::new();
    let mut next = pids.to_vec();
    while let Some(pid) = next.pop() {
        if all.insert(pid) {
            next.extend(children.get(&pid).into_iter().flatten());
        }
    }
    all
}
