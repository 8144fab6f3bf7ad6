//! `wirespan record` and `wirespan replay`: what the kernel said goes to a file, and from there through the same pipeline.
use super::adapters::Adapters;
use super::live::{Watcher, account, clocks};
use super::session::Session;
use super::{Failure, exit, run};
use crate::accounting::Tally;
use crate::capture::event::Event;
use crate::capture::recording::{Entry, Reader, RecordingError, Writer};
use crate::capture::wire::Decoder;
use crate::cli::{Record, Replay};
use crate::enrich::directory::Directory;
use crate::enrich::host::Host;
use crate::enrich::process::ProcessInfo;
use crate::pipeline::Pipeline;
use crate::selection::Selection;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use wirespan_abi::counter;

/// Time between two clock entries.
const CLOCK_ENTRY: Duration = Duration::from_secs(10);
/// The process entry with this number holds the host.
const HOST: u32 = 0;
/// Records between two looks at the outputs.
const TICK_RECORDS: u64 = 4096;

/// Writes everything the kernel says to a file until a signal or the time given.
pub(super) fn record(options: &Record) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(exit::FAILURE, format!("write {}: {error}", options.file.display()));
    let mut watcher = Watcher::attach(&options.watch, options.cgroup.clone())?;
    let mut directory = Directory::of_this_machine().map_err(|error| Failure::new(exit::FAILURE, error))?;
    // Captured bytes are other people's secrets.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&options.file).map_err(failed)?;
    let mut writer = Writer::new(BufWriter::new(file)).map_err(failed)?;
    let host = serde_json::to_vec(directory.host()).unwrap_or_default();
    writer.write(&Entry::Process { pid: HOST, blob: &host }).map_err(failed)?;
    eprintln!("wirespan: recording to {}; end with Ctrl-C", options.file.display());
    let mut decoder = Decoder::new();
    let mut records = Tally::default();
    let mut clock: Option<Instant> = None;
    let mut broken = None;
    let mut met = Vec::new();
    let mut take = |record: &[u8], writer: &mut Writer<_>, directory: &mut Directory, met: &mut Vec<ProcessInfo>| {
        decoder.decode(record, &mut |event| meet(&event, directory));
        let news = directory.take_news();
        let written = news.iter().try_for_each(|info| {
            let blob = info.to_bytes();
            writer.write(&Entry::Process { pid: info.pid, blob: &blob })
        });
        met.extend(news);
        match written.and_then(|()| writer.write(&Entry::Record(record))) {
            Ok(()) => records.count(Ok(())),
            Err(error) => {
                records.count(Err("record.write"));
                broken.get_or_insert(error);
            }
        }
        broken.is_none()
    };
    let adapters = Adapters::start(watcher.kernel(), options.watch.no_memory.as_ref(), &std::env::vars().collect())?;
    let mut whole = true;
    while whole && !watcher.is_over() {
        if clock.is_none_or(|clock| clock.elapsed() >= CLOCK_ENTRY) {
            clock = Some(Instant::now());
            let (mono, offset) = clocks();
            writer.write(&Entry::Clock { mono, unix: mono.wrapping_add(offset) }).map_err(failed)?;
        }
        watcher.drain(&mut |record| whole &= take(record, &mut writer, &mut directory, &mut met));
        for (pid, manner) in adapters.tick(watcher.kernel(), &std::mem::take(&mut met), &directory.take_gone()) {
            let blob = serde_json::to_vec(&manner).unwrap_or_default();
            writer.write(&Entry::Manner { pid, blob: &blob }).map_err(failed)?;
        }
    }
    watcher.detach(&mut |record| {
        take(record, &mut writer, &mut directory, &mut met);
    });
    let mut counters = [0; counter::COUNT as usize];
    counters.copy_from_slice(&watcher.kernel().raw_counters());
    let ended = writer.write(&Entry::Counters(counters)).and_then(|()| writer.finish().map(drop));
    super::account(&crate::accounting::Accounting { records: account(records, watcher.kernel(), &Decoder::new()), ..Default::default() });
    match broken {
        Some(error) => Err(failed(error)),
        None => ended.map_err(failed),
    }
}

/// Looks at the processes that an event names, while they live.
fn meet(event: &Event<'_>, directory: &mut Directory) {
    let pid = match event {
        Event::Opened(opened) => opened.opener.map(|opener| opener.thread.pid),
        Event::Segment(segment) => segment.sender.map(|sender| sender.thread.pid),
        Event::Datagram(datagram) => datagram.sender.map(|sender| sender.thread.pid),
        Event::Read(read) => Some(read.thread.pid),
        Event::Closed(_) | Event::Note(_) => None,
        Event::Process(change) => {
            directory.changed(*change);
            None
        }
    };
    if let Some(pid) = pid {
        directory.process(pid);
    }
}

/// Makes spans from a file that [`record`] wrote.
pub(super) fn replay(options: &Replay) -> Result<(), Failure> {
    let unusable = |error: &dyn std::fmt::Display| Failure::new(exit::INPUT, format!("{}: {error}", options.file.display()));
    let mut reader = open(&options.file).map_err(|error| unusable(&error))?;
    let processes = (!options.select.pid.is_empty()).then(|| options.select.pid.iter().copied().collect());
    let selection = Selection { ports: options.select.port.iter().copied().collect(), processes };
    let mut session = Session::open(Directory::of_recording(Host::default()), selection, true, &options.headers, &options.output, true)?;
    let mut decoder = Decoder::new();
    let mut records = Tally::default();
    let mut failure = None;
    loop {
        match reader.next_entry() {
            Ok(None) => break,
            Ok(Some(Entry::Record(record))) => {
                run::take(record, &mut decoder, &mut session, &mut records);
                if records.taken % TICK_RECORDS == 0 {
                    session.tick(None);
                }
            }
            Ok(Some(entry @ (Entry::Clock { .. } | Entry::Process { .. } | Entry::Manner { .. }))) => {
                remember(&entry, &mut session.pipeline);
            }
            Ok(Some(Entry::Counters(counters))) => {
                let lost = counters.first().copied().unwrap_or(0);
                records.taken += lost;
                records.drop("kernel.ring_full", lost);
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let skipped = reader.skipped();
    session.close(records, None);
    if skipped > 0 {
        eprintln!("wirespan: {} ends in the middle of an entry, which was skipped", options.file.display());
    }
    failure.map_or(Ok(()), |error| Err(unusable(&error)))
}

/// Takes what a recording says beside its records.
pub(super) fn remember(entry: &Entry<'_>, pipeline: &mut Pipeline) {
    match *entry {
        Entry::Clock { mono, unix } => pipeline.directory().set_clock(unix.wrapping_sub(mono)),
        Entry::Process { pid: HOST, blob } => {
            if let Ok(host) = serde_json::from_slice(blob) {
                pipeline.directory().set_host(host);
            }
        }
        Entry::Process { blob, .. } => {
            if let Some(info) = ProcessInfo::from_bytes(blob) {
                pipeline.learn(info);
            }
        }
        Entry::Manner { pid, blob } => {
            if let Ok(manner) = serde_json::from_slice(blob) {
                pipeline.adapt(pid, manner);
            }
        }
        Entry::Record(_) | Entry::Counters(_) => {}
    }
}

fn open(path: &Path) -> Result<Reader<BufReader<File>>, RecordingError> {
    Reader::new(BufReader::new(File::open(path)?))
}
