//! Who processes and addresses are: remembers what was found out about each, once.
//!
//! The only stateful part of enrichment. Live, it asks an [`Inspector`] on a thread of its own, because a hostile process can delay a
//! read of its memory for as long as it likes; in a replay it knows what was recorded; from a capture it knows addresses only.
use super::environment::clean;
use super::host::Host;
use super::process::{Inspector, ProcessInfo};
use super::resource;
use super::runtime::Classification;
use super::span::Resource;
use crate::capture::event::{Nanos, Process};
use crate::causality::class::Habit;
use rustc_hash::FxHashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// How long one process may keep the pipeline waiting, once: what a large executable takes on a busy machine, and less than the ring
/// holds.
const PATIENCE: Duration = Duration::from_millis(500);
/// Processes remembered: more than run on a node.
const MAX_PROCESSES: usize = 16 * 1024;
/// Addresses remembered.
const MAX_ADDRESSES: usize = 16 * 1024;

/// One process.
struct Known {
    info: Option<ProcessInfo>,
    resource: Option<Arc<Resource>>,
}

/// Asks an [`Inspector`] without trusting it to answer.
struct Worker {
    ask: SyncSender<(u32, Option<ProcessInfo>)>,
    answers: Receiver<(u32, Option<ProcessInfo>)>,
    /// Answers that nobody waited for any more.
    late: Vec<ProcessInfo>,
}

/// Who processes and addresses are.
pub struct Directory {
    host: Host,
    worker: Option<Worker>,
    processes: FxHashMap<u32, Known>,
    addresses: FxHashMap<(IpAddr, Option<u16>), Arc<Resource>>,
    /// Processes whose runtime may still load something, in the order in which they are looked at again.
    changing: std::collections::VecDeque<u32>,
    /// Found out since [`Self::take_news`].
    news: Vec<u32>,
    /// Ended or become another program since [`Self::take_gone`].
    gone: Vec<u32>,
    offset: u64,
}

impl Directory {
    /// Knows addresses only; times are nanoseconds since 1970 UTC already.
    #[must_use]
    pub fn of_addresses() -> Self {
        Self {
            host: Host::default(),
            worker: None,
            processes: FxHashMap::default(),
            addresses: FxHashMap::default(),
            changing: std::collections::VecDeque::new(),
            news: Vec::new(),
            gone: Vec::new(),
            offset: 0,
        }
    }

    /// Knows what it is told by [`Self::learn`], on that host.
    #[must_use]
    pub fn of_recording(host: Host) -> Self {
        Self { host, ..Self::of_addresses() }
    }

    /// Looks at the processes of this machine.
    pub fn of_this_machine() -> std::io::Result<Self> {
        let proc = std::path::Path::new("/proc");
        Ok(Self { worker: Some(Worker::start(Inspector::new(proc))?), ..Self::of_recording(Host::read(proc)) })
    }

    /// The machine.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The machine is this one.
    pub fn set_host(&mut self, host: Host) {
        self.host = host;
    }

    /// Tells what was recorded of a process.
    pub fn learn(&mut self, info: ProcessInfo) {
        self.put(info.pid, Some(info));
    }

    /// What was found out since the last call.
    pub fn take_news(&mut self) -> Vec<ProcessInfo> {
        let news = std::mem::take(&mut self.news);
        news.into_iter().filter_map(|pid| self.processes.get(&pid)?.info.clone()).collect()
    }

    /// Processes that have ended or become another program since the last call. Only live: a recording has nobody to tell.
    pub fn take_gone(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.gone)
    }

    /// The source's clock is `offset` nanoseconds behind UTC.
    pub fn set_clock(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// The source's time in nanoseconds since 1970 UTC.
    #[must_use]
    pub fn clock(&self, at: Nanos) -> u64 {
        at.wrapping_add(self.offset)
    }

    /// The service that a process is; `None` if nothing is known of it.
    pub fn process(&mut self, pid: u32) -> Option<Arc<Resource>> {
        if self.known(pid).resource.is_none() {
            self.take_late();
        }
        self.known(pid).resource.clone()
    }

    /// The kernel calls the process `comm`: its name if it ended before anybody looked at it.
    pub fn was_called(&mut self, pid: u32, comm: &[u8; 16]) {
        let name = comm.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = clean(&String::from_utf8_lossy(name), comm.len());
        if !name.is_empty() && self.known(pid).info.is_none() {
            let info = ProcessInfo::ended(pid, name);
            let resource = Some(Arc::new(resource::for_process(&info, &self.host)));
            self.processes.insert(pid, Known { info: None, resource });
        }
    }

    /// How the process's runtime works on requests.
    pub fn habit(&mut self, pid: u32) -> Habit {
        habit(self.known(pid).info.as_ref())
    }

    /// The service at an address of which no process is known; `client` says that it is the end that connected.
    pub fn address(&mut self, address: SocketAddr, client: bool) -> Arc<Resource> {
        if self.addresses.len() >= MAX_ADDRESSES {
            self.addresses.clear();
        }
        let key = (address.ip(), (!client).then(|| address.port()));
        Arc::clone(self.addresses.entry(key).or_insert_with(|| Arc::new(resource::for_address(key.0, key.1))))
    }

    /// A process changed: what was known of it may be wrong now. The names of ended ones stay, for their last spans.
    pub fn changed(&mut self, change: Process) {
        if let Process::Executed { pid } | Process::Exited { pid } = change
            && self.worker.is_some()
            && self.processes.contains_key(&pid)
        {
            self.gone.push(pid);
        }
        match change {
            Process::Forked { child: pid, .. } | Process::Executed { pid } if self.worker.is_some() => {
                self.processes.remove(&pid);
            }
            Process::Forked { .. } | Process::Executed { .. } | Process::Exited { .. } => {}
        }
    }

    /// Looks again at one process that may have loaded a library, and says how it works if that has changed.
    pub fn recheck(&mut self) -> Option<(u32, Habit)> {
        let pid = self.changing.pop_front()?;
        let before = self.processes.get(&pid)?.info.clone()?;
        let was = habit(Some(&before));
        let info = self.worker.as_mut()?.inspect(pid, Some(before))?;
        let now = habit(Some(&info));
        if self.processes.get(&pid)?.info.as_ref() == Some(&info) {
            // Nothing new. It is looked at again in its turn.
            self.changing.push_back(pid);
        } else {
            self.put(pid, Some(info));
        }
        (now != was).then_some((pid, now))
    }

    fn known(&mut self, pid: u32) -> &Known {
        if !self.processes.contains_key(&pid) {
            let info = self.worker.as_mut().and_then(|worker| worker.inspect(pid, None));
            self.put(pid, info);
            self.take_late();
        }
        self.processes.entry(pid).or_insert(Known { info: None, resource: None })
    }

    /// Takes in answers that nobody waited for any more.
    fn take_late(&mut self) {
        if let Some(worker) = &mut self.worker {
            worker.collect();
            let late = std::mem::take(&mut worker.late);
            for info in late {
                self.put(info.pid, Some(info));
            }
        }
    }

    fn put(&mut self, pid: u32, info: Option<ProcessInfo>) {
        if self.processes.len() >= MAX_PROCESSES {
            self.processes.clear();
            self.changing.clear();
        }
        let resource = info.as_ref().map(|info| Arc::new(resource::for_process(info, &self.host)));
        if self.worker.is_some() && info.as_ref().is_some_and(|info| info.runtime.may_change()) && !self.changing.contains(&pid) {
            self.changing.push_back(pid);
        }
        self.news.push(pid);
        self.processes.insert(pid, Known { info, resource });
    }
}

fn habit(info: Option<&ProcessInfo>) -> Habit {
    match info.map(|info| info.runtime.classification()) {
        Some(Classification::KnownLoop) => Habit::IoLoop,
        Some(Classification::NoAdapter) => Habit::Migrating,
        Some(Classification::NoObjection) => Habit::Open,
        Some(Classification::Doubtful) | None => Habit::Doubtful,
    }
}

impl Worker {
    fn start(mut inspector: Inspector) -> std::io::Result<Self> {
        let (ask, questions) = sync_channel::<(u32, Option<ProcessInfo>)>(1);
        let (reply, answers) = sync_channel(1);
        std::thread::Builder::new().name("wirespan-proc".to_owned()).spawn(move || {
            for (pid, known) in questions {
                let info = match known {
                    Some(mut info) => inspector.recheck(&mut info).is_ok().then_some(info),
                    None => inspector.inspect(pid).ok(),
                };
                if reply.send((pid, info)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { ask, answers, late: Vec::new() })
    }

    /// Takes answers that nobody waits for.
    fn collect(&mut self) {
        while let Ok((_, info)) = self.answers.try_recv() {
            self.late.extend(info);
        }
    }

    /// Inspects a process, or looks again at one that is known; `None` if it is gone or does not let itself be read in time.
    fn inspect(&mut self, pid: u32, known: Option<ProcessInfo>) -> Option<ProcessInfo> {
        self.collect();
        match self.ask.try_send((pid, known)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return None,
        }
        loop {
            match self.answers.recv_timeout(PATIENCE) {
                Ok((of, info)) if of == pid => return info,
                Ok((_, info)) => self.late.extend(info),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known_and_a_missing_one_is_not() {
        let mut directory = Directory::of_this_machine().expect("a thread");
        let us = directory.process(std::process::id()).expect("alive");
        assert!(!us.service().is_empty());
        assert!(directory.process(u32::MAX - 1).is_none());
        assert_eq!(directory.take_news().len(), 1);
    }

    #[test]
    fn looking_again_at_what_has_not_changed_is_no_news() {
        let mut directory = Directory::of_this_machine().expect("a thread");
        let mut sleep = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        directory.process(sleep.id()).expect("alive");
        directory.take_news();
        for _ in 0..2 {
            assert_eq!(directory.changing, [sleep.id()], "it may load a library");
            assert_eq!(directory.recheck(), None);
            assert_eq!(directory.take_news().len(), 0);
        }
        sleep.kill().and_then(|()| sleep.wait()).expect("it ends");
    }

    #[test]
    fn a_server_is_its_address_and_port_and_a_client_its_address() {
        let mut directory = Directory::of_addresses();
        let address: SocketAddr = "198.18.0.1:80".parse().expect("an address");
        assert_eq!(directory.address(address, false).service(), "198.18.0.1:80");
        assert_eq!(directory.address(address, true).service(), "198.18.0.1");
    }
}
