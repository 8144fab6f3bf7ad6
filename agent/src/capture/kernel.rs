//! The kernel as a source of records: loads the kernel side, attaches it, drains its ring buffer, and tells it what to copy.
//!
//! Nothing that it makes outlives the process: no pins, and every link is a file descriptor. It changes no setting of the system.
pub use super::attach_error::AttachError;
use super::btf::{Btf, KERNEL_BTF, LARGEST_BTF};
use super::cgroup;
use super::event::SocketId;
use super::hooks::{Degraded, Hook, Plan, Point, WRITES, plan};
use super::walked::Walked;
pub use super::walked::{WalkError, Walks};
use super::{offsets, privilege};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use aya::programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError, ProgramType};
use aya::sys::{BpfHelper, is_helper_supported};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wirespan_abi::{Verdict, counter, drop_cause};

/// Bytes of the ring buffer by default: room for a quarter of a second of a busy host. It is mapped twice and counts as shared memory.
pub const RING_BYTES: u32 = 16 << 20;
/// The agent is woken up when this part of the ring is unread: early enough to drain it, rare enough to cost nothing.
const WAKE_PART: u32 = 8;
/// Lines from the end of the verifier's log that an error shows.
const VERIFIER_LINES: usize = 8;
/// The generation with which the kernel side begins; before, it is zero.
const FIRST_GENERATION: u32 = 1;
/// Entries of a map that this kernel does not need.
const UNUSED: u32 = 1;

/// What to attach, and to what.
#[derive(Clone, Debug)]
pub struct KernelConfig<'a> {
    /// The kernel side's object file, aligned to eight bytes (`aya::include_bytes_aligned!`).
    pub object: &'a [u8],
    /// Subtree of the cgroup v2 hierarchy whose sockets are seen: absolute below its mount, or relative to it; `None` for all.
    pub cgroup: Option<PathBuf>,
    /// Size of the ring buffer in bytes: a power of two, at least a page. See [`RING_BYTES`].
    pub ring_bytes: u32,
    /// Write the kernel side's log lines to standard error.
    pub debug: bool,
    /// The agent's own process as the host numbers it; its connections are never reported.
    pub own_pid: u32,
}

/// What the kernel side has counted since it was attached, over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounters {
    /// Records written.
    pub records: u64,
    /// Records lost because the ring buffer was full.
    pub ring_full: u64,
    /// Sockets or threads not followed because a map was full.
    pub map_full: u64,
    /// Packets or structures that could not be read.
    pub fault: u64,
    /// Payload bytes left out because the turn's budget was used up.
    pub over_budget_bytes: u64,
    /// Segments left out because they repeated others.
    pub duplicate_segments: u64,
    /// Looks at the memory of processes.
    pub walks: u64,
    /// Nanoseconds that those took.
    pub walk_nanos: u64,
}

/// The verdict as the map wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct VerdictValue(Verdict);

// SAFETY: two integers without padding, transparent.
unsafe impl aya::Pod for VerdictValue {}

/// An attached kernel side. Everything is detached when it is dropped, or when the process ends in any way.
pub struct Kernel {
    /// Owns the programs and their links, until it is detached.
    ebpf: Option<Ebpf>,
    ring: RingBuf<MapData>,
    verdicts: HashMap<MapData, u64, VerdictValue>,
    generation: Array<MapData, u32>,
    counters: PerCpuArray<MapData, u64>,
    walked: Walked,
    logger: Option<EbpfLogger<StandardError>>,
    epoll: OwnedFd,
    degraded: Vec<Degraded>,
    /// The kernel is so old that state is kept by cookie.
    by_cookie: bool,
    /// Verdicts have changed since the kernel side was told so.
    changed: bool,
    current: u32,
    /// The ring may hold more than was drained.
    more: bool,
    failed_verdicts: u64,
}

impl Kernel {
    /// Loads and attaches the kernel side.
    pub fn attach(config: &KernelConfig<'_>) -> Result<Self, AttachError> {
        let release = privilege::kernel_release();
        preconditions(&release)?;
        let directory = cgroup::directory(config.cgroup.as_deref())?;
        let types = read_btf().map_err(|reason| AttachError::NoBtf { release: release.clone(), reason: reason.to_string() })?;
        let btf = Btf::parse(&types).map_err(|reason| AttachError::NoBtf { release: release.clone(), reason: reason.to_string() })?;
        let table =
            offsets::resolve(&btf).map_err(|(structure, field)| AttachError::NoField { release: release.clone(), structure, field })?;
        let plan = plan(|name| btf.has_tracepoint(name)).map_err(|hook| AttachError::Program {
            program: hook.program,
            release: release.clone(),
            reason: "it has no such tracepoint".to_owned(),
            lost: hook.lost,
        })?;
        drop(btf);
        drop(types);
        let start = Start { config, table, plan, directory, release };
        // Storage and cookies for tracing programs came with Linux 5.11 and 5.12, and to some older kernels: trying is surer than
        // comparing versions.
        match start.attach(false) {
            Ok(kernel) if !kernel.degraded.iter().any(|degraded| degraded.hook.program == READS) => Ok(kernel),
            first => start.attach(true).or_else(|second| first.map_err(|error| error.or(second))),
        }
    }

    /// Detaches every program. What they have written can still be taken.
    pub fn detach(&mut self) {
        self.ebpf = None;
    }

    /// Gives the records that have come to `each`, at most `limit`, and returns how many those were. Waits before that for at most
    /// `wait` (whole milliseconds), unless the last call left records behind or the ring fills up.
    pub fn poll(&mut self, wait: Duration, limit: usize, each: &mut dyn FnMut(&[u8])) -> usize {
        if std::mem::take(&mut self.changed) {
            self.current = self.current.checked_add(1).unwrap_or(FIRST_GENERATION);
            if self.generation.set(0, self.current, 0).is_err() {
                self.failed_verdicts += 1;
            }
        }
        if !self.more && !wait.is_zero() {
            self.wait(wait);
        }
        let mut count = 0;
        while count < limit {
            let Some(record) = self.ring.next() else { break };
            each(&record);
            count += 1;
        }
        self.more = count == limit;
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        count
    }

    /// Says what to copy of a socket, from its next packet after the next [`Kernel::poll`] on.
    pub fn set_verdict(&mut self, socket: SocketId, verdict: Verdict) {
        match self.verdicts.insert(socket.0, VerdictValue(verdict), 0) {
            Ok(()) => self.changed = true,
            Err(_) => self.failed_verdicts += 1,
        }
    }

    /// Forgets what was said about a socket, which has ended.
    pub fn forget(&mut self, socket: SocketId) {
        // There is no entry where nothing was said.
        let _ = self.verdicts.remove(&socket.0);
    }

    /// Whether the memory of processes can be looked at: from Linux 6.3 on, where the kernel tells who wrote to a socket.
    #[must_use]
    pub fn walks(&self) -> bool {
        !self.by_cookie && self.degraded.iter().all(|degraded| degraded.hook.program != WRITES)
    }

    /// From now on looks at a process's memory at the moments for which there is a walk. Errors say why it does not.
    pub fn walk(&mut self, pid: u32, walks: &Walks) -> Result<(), WalkError> {
        let ebpf = self.ebpf.as_mut().ok_or(WalkError::Detached)?;
        self.walked.begin(ebpf, pid, walks)
    }

    /// The process has ended or has become another program.
    pub fn stop_walking(&mut self, pid: u32) {
        if let Some(ebpf) = &mut self.ebpf {
            self.walked.end(ebpf, pid);
        }
    }

    /// What the kernel side has counted.
    #[must_use]
    pub fn counters(&self) -> KernelCounters {
        let [ring_full, map_full, fault, records, over_budget_bytes, duplicate_segments, walks, walk_nanos] = self.raw_counters();
        KernelCounters { records, ring_full, map_full, fault, over_budget_bytes, duplicate_segments, walks, walk_nanos }
    }

    /// The same as [`wirespan_abi::drop_cause`] and [`wirespan_abi::counter`] index them, for a recording.
    #[must_use]
    pub fn raw_counters(&self) -> [u64; counter::COUNT as usize] {
        std::array::from_fn(|index| self.counters.get(&(index as u32), 0).map_or(0, |values| values.iter().sum()))
    }

    /// Verdicts that the kernel did not take, because there are too many sockets: those keep the default.
    #[must_use]
    pub fn failed_verdicts(&self) -> u64 {
        self.failed_verdicts
    }

    /// Hooks that are not attached, and what is lost.
    #[must_use]
    pub fn degraded(&self) -> &[Degraded] {
        &self.degraded
    }

    /// Sleeps until the ring fills up or the time is over. Records alone do not end the wait: the kernel side wakes nobody for them,
    /// and the edge-triggered registration does not ask whether there are some.
    fn wait(&self, wait: Duration) {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let milliseconds = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX).max(1);
        // SAFETY: `event` is one writable event, as the count says. An interrupted wait is a short one.
        unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), &raw mut event, 1, milliseconds) };
    }
}

/// The hook that tells whether tracing programs have what they need.
const READS: &str = "tcp_rcv_space_adjust";

/// Everything that one attempt needs.
struct Start<'a> {
    config: &'a KernelConfig<'a>,
    table: [u32; wirespan_abi::offset::COUNT],
    plan: Plan,
    directory: PathBuf,
    release: String,
}

impl Start<'_> {
    fn attach(&self, by_cookie: bool) -> Result<Kernel, AttachError> {
        let mut ebpf = self.load(by_cookie)?;
        let logger = if self.config.debug { EbpfLogger::init_with_logger(&mut ebpf, StandardError).ok() } else { None };
        let mut degraded = self.plan.missing.clone();
        let btf = aya::Btf::from_sys_fs().map_err(|error| self.object(&error))?;
        for hook in &self.plan.attach {
            if let Err(reason) = attach_hook(&mut ebpf, hook, &btf, &self.directory) {
                let reason = self.explain(&reason);
                if hook.required {
                    return Err(AttachError::Program { program: hook.program, release: self.release.clone(), reason, lost: hook.lost });
                }
                degraded.push(Degraded { hook: *hook, reason });
            }
        }
        let ring: RingBuf<MapData> = self.map(&mut ebpf, "RING")?;
        let epoll = watch(&ring).map_err(AttachError::Wait)?;
        let mut generation: Array<MapData, u32> = self.map(&mut ebpf, "GENERATION")?;
        // Only now do the packet programs begin, together.
        generation.set(0, FIRST_GENERATION, 0).map_err(|error| self.object(&error))?;
        Ok(Kernel {
            ring,
            verdicts: self.map(&mut ebpf, "VERDICTS")?,
            generation,
            counters: self.map(&mut ebpf, "COUNTERS")?,
            walked: Walked::new(self.map(&mut ebpf, "WALKED_PROCESSES")?, self.map(&mut ebpf, "WALKS")?),
            ebpf: Some(ebpf),
            logger,
            epoll,
            degraded,
            by_cookie,
            changed: false,
            current: FIRST_GENERATION,
            more: false,
            failed_verdicts: 0,
        })
    }

    fn load(&self, by_cookie: bool) -> Result<Ebpf, AttachError> {
        let (legacy, debug, wake_above) = (u32::from(by_cookie), u32::from(self.config.debug), self.config.ring_bytes / WAKE_PART);
        // Where it cannot be told, the way that works everywhere.
        let helper = is_helper_supported(ProgramType::CgroupSkb, BpfHelper::BPF_FUNC_get_current_pid_tgid);
        let ids_by_helper = u32::from(helper.unwrap_or(false));
        // Without writes a walk is of no use, and the verifiers of such kernels take minutes over it or give up.
        let tells_writes = self.plan.missing.iter().all(|degraded| degraded.hook.program != WRITES);
        let looks_at_memory = u32::from(!by_cookie && tells_writes);
        let mut loader = EbpfLoader::new();
        loader
            .override_global("OFFSETS", &self.table[..], true)
            .override_global("OWN_PID", &self.config.own_pid, true)
            .override_global("LEGACY", &legacy, true)
            .override_global("IDS_BY_HELPER", &ids_by_helper, true)
            .override_global("LOOKS_AT_MEMORY", &looks_at_memory, true)
            .override_global("DEBUG", &debug, true)
            .override_global("WAKE_ABOVE", &wake_above, true)
            .map_max_entries("RING", self.config.ring_bytes);
        if !by_cookie {
            loader.map_max_entries("SOCKETS_BY_COOKIE", UNUSED);
        }
        loader.load(self.config.object).map_err(|error| self.object(&error))
    }

    fn map<M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(&self, ebpf: &mut Ebpf, name: &str) -> Result<M, AttachError> {
        let map = ebpf.take_map(name).ok_or_else(|| aya::maps::MapError::InvalidName { name: name.to_owned() });
        map.and_then(M::try_from).map_err(|error| self.object(&error))
    }

    fn object(&self, error: &dyn std::error::Error) -> AttachError {
        AttachError::Object { release: self.release.clone(), reason: chain(error) }
    }

    /// What a program's failure means, in words.
    fn explain(&self, error: &ProgramError) -> String {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                let log = verifier_log.to_string();
                let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
                let tail = lines.get(lines.len().saturating_sub(VERIFIER_LINES)..).unwrap_or_default().join(" | ");
                format!("the kernel refuses the program ({io_error}): {tail}")
            }
            ProgramError::SyscallError(error) if error.io_error.raw_os_error() == Some(libc::EPERM) => {
                format!("{} is not permitted for {}: CAP_NET_ADMIN is needed", error.call, self.directory.display())
            }
            other => chain(other),
        }
    }
}

fn attach_hook(ebpf: &mut Ebpf, hook: &Hook, btf: &aya::Btf, directory: &Path) -> Result<(), ProgramError> {
    let program = ebpf.program_mut(hook.program).ok_or_else(|| ProgramError::InvalidName { name: hook.program.to_owned() })?;
    let kind = match hook.point {
        Point::Tracepoint => {
            let program: &mut BtfTracePoint = program.try_into()?;
            program.load(hook.program, btf)?;
            if !hook.on_demand {
                program.attach()?;
            }
            return Ok(());
        }
        Point::Ingress => CgroupSkbAttachType::Ingress,
        Point::Egress => CgroupSkbAttachType::Egress,
    };
    let program: &mut CgroupSkb = program.try_into()?;
    program.load()?;
    // A link lets programs of others be attached beside it, whatever its mode says.
    program.attach(File::open(directory)?, kind, CgroupAttachMode::Single)?;
    Ok(())
}

/// What can be told before anything is tried.
fn preconditions(release: &str) -> Result<(), AttachError> {
    if privilege::lockdown() == privilege::Lockdown::Confidentiality {
        return Err(AttachError::Lockdown { release: release.to_owned() });
    }
    let missing = privilege::missing(privilege::TO_ATTACH);
    if missing.is_empty() { Ok(()) } else { Err(AttachError::Privilege { release: release.to_owned(), missing: missing.join(" and ") }) }
}

/// The kernel's type information, bounded.
pub(super) fn read_btf() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(KERNEL_BTF)?.take(LARGEST_BTF).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An epoll instance that becomes ready only when the kernel side says so.
fn watch(ring: &RingBuf<MapData>) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `raw` is a descriptor that was just made and that nobody else has.
    let epoll = unsafe { OwnedFd::from_raw_fd(raw) };
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
    // SAFETY: both descriptors are open, and `event` lives through the call.
    match unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, ring.as_raw_fd(), &raw mut event) } {
        0 => Ok(epoll),
        _ => Err(io::Error::last_os_error()),
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Writes the kernel side's log lines.
struct StandardError;

impl log::Log for StandardError {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("kernel: {}", record.args());
    }

    fn flush(&self) {}
}

const _: () = assert!(drop_cause::RING_FULL == 0 && drop_cause::MAP_FULL == 1 && drop_cause::FAULT == 2);
const _: () = assert!(counter::RECORDS == 3 && counter::OVER_BUDGET_BYTES == 4 && counter::DUPLICATE_SEGMENTS == 5);
