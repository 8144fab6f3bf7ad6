//! `/proc/PID` becomes what is known of a process: which program, since when, in which container, under which service name.
//!
//! The root is a parameter, so a test reads a tree of its own. Everything below it is written by the process or its creator:
//! reads are bounded, never wait on a FIFO or follow a link into the agent's own file system, and no text becomes a path except inside the
//! process's own root. The command line and the environment are used for naming and dropped; only what [`ProcessInfo`] lists
//! stays. A process can still delay a read of its own memory for as long as it likes (a fault served by user space), so
//! [`Inspector::inspect`] belongs on a thread for which nobody waits.
use super::binary::Binaries;
use super::container;
use super::environment::{Environment, VALUE, clean};
use super::runtime::{Mapped, Runtime, recognise};
use super::service::{self, Clues, Source};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Most of `stat`, `status` and `cgroup` that is read, bytes.
const SMALL: u64 = 16 << 10;
/// Most of `cmdline` and `environ` that is read, bytes: twice the longest single string that execve(2) takes.
const MEMORY: u64 = 256 << 10;
/// Most words of a command line that are looked at.
const ARGS: usize = 4096;
/// Most of `maps` that is read, bytes: about 10,000 mappings, and a large JVM has 3,000.
const MAPS: u64 = 1 << 20;
/// Open files looked at for an epoll instance; an event loop opens it before its connections.
const FDS: usize = 512;
/// Largest `package.json` that is read, bytes.
const PACKAGE: u64 = 256 << 10;
/// Directories in which `package.json` is looked for.
const PARENTS: usize = 16;
/// Longest serialised process, bytes: [`Environment`] at its bounds, escaped.
pub const LONGEST_BLOB: usize = 512 << 10;

/// Why a process could not be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It has ended, or its id now belongs to another process.
    #[error("process {0} has ended")]
    Gone(u32),
    /// Its `stat` could not be read.
    #[error("read /proc/{pid}/stat")]
    Stat {
        /// Which.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// Its `stat` is not as in `proc_pid_stat(5)`.
    #[error("/proc/{0}/stat has an unknown form")]
    Malformed(u32),
}

/// What is known of a process. The text is cleaned: no control characters, bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Process id in the agent's namespace.
    pub pid: u32,
    /// Start, in clock ticks since boot: with `pid`, unique until reboot.
    pub start_ticks: u64,
    /// Parent; zero for none.
    pub parent: u32,
    /// Real user id, if it could be read.
    pub uid: Option<u32>,
    /// Path of the executable in the process's own root, without ` (deleted)`; empty if it could not be seen.
    pub executable: String,
    /// `argv[0]`; the other words are not kept, for they may hold secrets.
    pub command: String,
    /// What its environment says about its name.
    pub environment: Environment,
    /// cgroup path; empty if unknown.
    pub cgroup: String,
    /// Container id.
    pub container: Option<String>,
    /// Runtime.
    pub runtime: Runtime,
    /// Version of the runtime, where the executable states it.
    pub runtime_version: Option<String>,
    /// Service name, never empty.
    pub service: String,
    /// How it was found.
    pub source: Source,
}

impl ProcessInfo {
    /// A process of which nothing is left but the name that the kernel had for it.
    #[must_use]
    pub fn ended(pid: u32, comm: String) -> Self {
        Self {
            pid,
            start_ticks: 0,
            parent: 0,
            uid: None,
            executable: String::new(),
            command: String::new(),
            environment: Environment::default(),
            cgroup: String::new(),
            container: None,
            runtime: Runtime::Unknown,
            runtime_version: None,
            service: comm,
            source: Source::Comm,
        }
    }

    /// File name of the executable; empty if it could not be seen.
    #[must_use]
    pub fn executable_name(&self) -> &str {
        self.executable.rsplit('/').next().unwrap_or("")
    }

    /// For a recorded event file: at most [`LONGEST_BLOB`] bytes, which [`Self::from_bytes`] reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else. The text is cleaned again: a recorded file can come from anyone.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LONGEST_BLOB {
            return None;
        }
        let mut info: Self = serde_json::from_slice(bytes).ok()?;
        let texts = [&mut info.executable, &mut info.command, &mut info.cgroup, &mut info.service];
        let texts = texts.into_iter().chain(info.container.as_mut()).chain(info.runtime_version.as_mut());
        for text in texts.chain(info.environment.attributes.iter_mut().flat_map(|(key, value)| [key, value])) {
            *text = clean(text, PATH);
        }
        (!info.service.is_empty()).then_some(info)
    }
}

/// Longest path that is kept, bytes (`PATH_MAX`).
const PATH: usize = 4096;

/// Reads processes below one root, and remembers executables.
pub struct Inspector {
    proc: PathBuf,
    binaries: Binaries,
}

/// What naming needs and nobody keeps.
struct Raw {
    executable: String,
    args: Vec<String>,
    comm: String,
    parent: u32,
    start_ticks: u64,
    directory: String,
}

impl Inspector {
    /// `proc` is normally `/proc`, of the host's process namespace.
    pub fn new(proc: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into(), binaries: Binaries::default() }
    }

    /// Reads all there is to know of a process; what may not be read stays empty.
    pub fn inspect(&mut self, pid: u32) -> Result<ProcessInfo, InspectError> {
        let mut raw = self.raw(pid)?;
        let (directory, executable) = (self.directory(pid), raw.executable.clone());
        let environment = Environment::parse(&read_bounded(&directory.join("environ"), MEMORY).unwrap_or_default());
        let (cgroup, container) = {
            let file = read_bounded(&directory.join("cgroup"), SMALL).unwrap_or_default();
            let file = String::from_utf8_lossy(&file);
            (clean(container::path(&file).unwrap_or(""), PATH), container::id(&file).map(str::to_owned))
        };
        let (runtime, runtime_version) = self.runtime(pid, &executable);
        let command = clean(raw.args.first().map_or("", String::as_str), VALUE);
        let (parent, start_ticks) = (raw.parent, raw.start_ticks);

        // A worker that Python's multiprocessing spawned (uvicorn's, for example) runs `python -c ...`: it serves what its parent runs.
        let mut named = pid;
        if raw.args.last().is_some_and(|word| word == "--multiprocessing-fork")
            && let Ok(of_parent) = self.raw(parent)
        {
            (raw, named) = (of_parent, parent);
        }
        let unit = if container.is_none() { container::service_unit(&cgroup) } else { None };
        let mut clues =
            Clues { executable: &raw.executable, args: &raw.args, comm: &raw.comm, directory: &raw.directory, unit, package: None };
        let package = clues.package_directory(&environment).and_then(|from| package(&self.directory(named).join("root"), &from));
        clues.package = package.as_deref();
        let (service, source) = service::name(&clues, &environment);

        let uid = read_bounded(&directory.join("status"), SMALL).ok().and_then(|status| uid(&status));
        let info = ProcessInfo {
            pid,
            start_ticks,
            parent,
            uid,
            executable: clean(&executable, PATH),
            command,
            environment,
            cgroup,
            container,
            runtime,
            runtime_version,
            service,
            source,
        };
        self.same(&info).map(|()| info)
    }

    /// Looks again for what a process may load after it was first seen, such as asyncio. Says whether the runtime changed. A process
    /// that started another program is to be inspected anew instead.
    pub fn recheck(&mut self, info: &mut ProcessInfo) -> Result<bool, InspectError> {
        self.same(info)?;
        if !info.runtime.may_change() {
            return Ok(false);
        }
        let (runtime, version) = self.runtime(info.pid, &info.executable);
        let changed = runtime != info.runtime;
        (info.runtime, info.runtime_version) = (runtime, version);
        Ok(changed)
    }

    /// Ids are reused: that the same process still has it shows in its start.
    fn same(&self, info: &ProcessInfo) -> Result<(), InspectError> {
        let (_, _, start_ticks) = self.stat(info.pid)?;
        if start_ticks == info.start_ticks { Ok(()) } else { Err(InspectError::Gone(info.pid)) }
    }

    fn directory(&self, pid: u32) -> PathBuf {
        self.proc.join(pid.to_string())
    }

    /// `comm`, parent and start.
    fn stat(&self, pid: u32) -> Result<(String, u32, u64), InspectError> {
        let bytes = read_bounded(&self.directory(pid).join("stat"), SMALL).map_err(|source| {
            let gone = source.kind() == io::ErrorKind::NotFound || source.raw_os_error() == Some(libc::ESRCH);
            if gone { InspectError::Gone(pid) } else { InspectError::Stat { pid, source } }
        })?;
        stat(&bytes).ok_or(InspectError::Malformed(pid))
    }

    fn raw(&self, pid: u32) -> Result<Raw, InspectError> {
        let (comm, parent, start_ticks) = self.stat(pid)?;
        let directory = self.directory(pid);
        let link =
            |name: &str| std::fs::read_link(directory.join(name)).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let mut executable = link("exe");
        if let Some(path) = executable.strip_suffix(" (deleted)") {
            executable.truncate(path.len());
        }
        let mut words = read_bounded(&directory.join("cmdline"), MEMORY).unwrap_or_default();
        // A title that a process wrote over its arguments is padded with zero bytes.
        words.truncate(words.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1));
        let words = words.split(|&b| b == 0).take(ARGS);
        let args = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Ok(Raw { executable, args, comm, parent, start_ticks, directory: link("cwd") })
    }

    fn runtime(&mut self, pid: u32, executable: &str) -> (Runtime, Option<String>) {
        let directory = self.directory(pid);
        let binary = open(&directory.join("exe")).ok().and_then(|file| self.binaries.identify(&file));
        let version = binary.as_ref().and_then(|binary| binary.go.clone()).filter(|version| !version.is_empty());
        let name = executable.rsplit('/').next().unwrap_or("");
        let mapped = || Mapped::parse(&read_bounded(&directory.join("maps"), MAPS).unwrap_or_default());
        let runtime = recognise(name, binary.as_ref(), mapped, || polls(&directory));
        (runtime, version)
    }
}

/// Opens a regular file for reading and never waits for anyone to write to it. Links are followed: `exe` is one.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The first `limit` bytes of a regular file.
pub(super) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `comm`, parent and start of `proc_pid_stat(5)`: fields 2, 4 and 22. `comm` may hold anything, parentheses and line ends too.
fn stat(bytes: &[u8]) -> Option<(String, u32, u64)> {
    let text = String::from_utf8_lossy(bytes);
    let (before, after) = text.rsplit_once(')')?;
    let (_, comm) = before.split_once('(')?;
    let mut fields = after.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some((comm.to_owned(), parent, start_ticks))
}

/// The real user id in `status`.
fn uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// Whether a process has an epoll instance among its first open files, or may have one: who cannot look says yes.
fn polls(directory: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(directory.join("fd")) else { return true };
    let mut links = files.take(FDS).filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    links.any(|link| link.as_os_str() == "anon_inode:[eventpoll]")
}

/// The `name` in the nearest `package.json` with one, from `directory` upwards. The path is resolved inside `root`, the process's
/// own: neither `..` nor a link of any kind leads out of it.
fn package(root: &Path, directory: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Package {
        name: Option<String>,
    }
    let root = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(root).ok()?;
    let mut directory = directory.trim_end_matches('/');
    for _ in 0..PARENTS {
        let path = format!("{directory}/package.json");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat2(&root, path.as_str(), flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS);
        if let Some(file) = file.ok().map(File::from).filter(|file| file.metadata().is_ok_and(|about| about.is_file())) {
            let mut text = Vec::new();
            file.take(PACKAGE).read_to_end(&mut text).ok()?;
            let name = serde_json::from_slice::<Package>(&text).ok().and_then(|package| package.name);
            if let Some(name) = name.map(|name| clean(&name, VALUE)).filter(|name| !name.is_empty()) {
                return Some(name);
            }
        }
        directory = directory.rsplit_once('/')?.0;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A `/proc` of our own, removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("wirespan-proc-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
        fn write(&self, path: &str, bytes: &[u8]) {
            let path = self.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        fn process(&self, pid: u32, parent: u32, ticks: u64, executable: &str, cmdline: &[u8]) {
            let stat = format!("{pid} (a) b) S {parent} 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {ticks} 1 1 1\n");
            self.write(&format!("{pid}/stat"), stat.as_bytes());
            self.write(&format!("{pid}/cmdline"), cmdline);
            let link = self.0.join(format!("{pid}/exe"));
            let _ = std::fs::remove_file(&link);
            symlink(executable, link).unwrap();
        }
    }
    impl Drop for Tree {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_process_is_read_whole_and_survives_its_record() {
        let tree = Tree::new("whole");
        let id = "3f1c9a0d7e5b48261f0c9a8b7d6e5f40312233445566778899aabbccddeeff00";
        tree.process(71, 7, 12345, "/opt/none/node (deleted)", b"node\0dist/index.js\0--token=hunter2\0");
        tree.write("71/environ", b"PASSWORD=hunter2\0OTEL_RESOURCE_ATTRIBUTES=team=shop\0");
        tree.write("71/cgroup", format!("0::/system.slice/docker-{id}.scope\n").as_bytes());
        tree.write("71/status", b"Name:\tx\nUid:\t1000\t0\t0\t0\n");
        tree.write("71/root/srv/shop/package.json", br#"{"version":"1","name":"orders"}"#);
        tree.write("71/root/srv/shop/dist/package.json", br#"{"type":"module"}"#);
        symlink("/srv/shop", tree.0.join("71/cwd")).unwrap();
        let info = Inspector::new(&tree.0).inspect(71).unwrap();
        let expected = ProcessInfo {
            pid: 71,
            start_ticks: 12345,
            parent: 7,
            uid: Some(1000),
            executable: "/opt/none/node".to_owned(),
            command: "node".to_owned(),
            environment: Environment { attributes: vec![("team".to_owned(), "shop".to_owned())], ..Environment::default() },
            cgroup: format!("/system.slice/docker-{id}.scope"),
            container: Some(id.to_owned()),
            runtime: Runtime::Node,
            runtime_version: None,
            service: "orders".to_owned(),
            source: Source::Package,
        };
        assert_eq!(info, expected);
        let blob = info.to_bytes();
        assert!(!String::from_utf8_lossy(&blob).contains("hunter2"));
        assert_eq!(ProcessInfo::from_bytes(&blob), Some(info));
        assert_eq!(ProcessInfo::from_bytes(&blob[1..]), None);
        let hostile = String::from_utf8(blob).unwrap().replace("\"orders\"", "\"ord\\u001b[2Jers\"");
        assert_eq!(ProcessInfo::from_bytes(hostile.as_bytes()).map(|info| info.service), Some("ord[2Jers".to_owned()));
    }

    #[test]
    fn a_reused_id_is_another_process() {
        let tree = Tree::new("reused");
        tree.process(71, 1, 100, "/usr/bin/orders", b"orders\0");
        let mut inspector = Inspector::new(&tree.0);
        let mut info = inspector.inspect(71).unwrap();
        assert!(!inspector.recheck(&mut info).unwrap());
        tree.process(71, 1, 200, "/usr/bin/billing", b"billing\0");
        assert!(matches!(inspector.recheck(&mut info), Err(InspectError::Gone(71))));
        assert!(matches!(inspector.inspect(72), Err(InspectError::Gone(72))));
        tree.write("73/stat", b"nonsense");
        assert!(matches!(inspector.inspect(73), Err(InspectError::Malformed(73))));
    }

    #[test]
    fn asyncio_that_is_loaded_later_is_seen() {
        let tree = Tree::new("asyncio");
        tree.process(71, 1, 100, "/usr/bin/python3.11", b"python3\0orders.py\0");
        let mut inspector = Inspector::new(&tree.0);
        let mut info = inspector.inspect(71).unwrap();
        assert_eq!((info.runtime, info.service.as_str()), (Runtime::Python, "orders"));
        tree.write("71/maps", b"7f00-7f01 r-xp 0 fe:00 2 /usr/lib/_asyncio.cpython-311-x86_64-linux-gnu.so\n");
        assert!(inspector.recheck(&mut info).unwrap());
        assert_eq!(info.runtime, Runtime::PythonAsyncio);
        assert!(!inspector.recheck(&mut info).unwrap());
    }

    #[test]
    fn workers_of_multiprocessing_have_the_name_of_their_parent() {
        let tree = Tree::new("spawned");
        tree.process(70, 1, 100, "/usr/bin/python3.11", b"python3\0/usr/bin/uvicorn\0shop.main:app\0--workers\x002\0");
        let child = b"python3\0-c\0from multiprocessing.spawn import spawn_main; spawn_main()\0--multiprocessing-fork\0";
        tree.process(71, 70, 101, "/usr/bin/python3.11", child);
        let info = Inspector::new(&tree.0).inspect(71).unwrap();
        assert_eq!((info.service.as_str(), info.parent, info.start_ticks), ("shop", 70, 101));
    }

    #[test]
    fn a_process_cannot_lead_the_reader_out_of_its_root_or_make_it_wait() {
        let tree = Tree::new("hostile");
        tree.write("outside/package.json", br#"{"name":"outside"}"#);
        tree.process(71, 1, 100, "/usr/bin/node", b"node\0/app/sub/x.js\0");
        std::fs::create_dir_all(tree.0.join("71/root/app/sub")).unwrap();
        let service = || Inspector::new(&tree.0).inspect(71).unwrap().service;
        let json = tree.0.join("71/root/app/package.json");
        tree.write("71/root/inside.json", br#"{"name":"linked"}"#);
        for target in ["../../../outside/package.json", tree.0.join("outside/package.json").to_str().unwrap(), "/inside.json"] {
            symlink(target, &json).unwrap();
            assert_eq!(service(), "x");
            std::fs::remove_file(&json).unwrap();
        }
        rustix::fs::mknodat(rustix::fs::CWD, &json, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(service(), "x");
        std::fs::remove_file(&json).unwrap();
        // A directory may be a link: it is resolved inside the root.
        std::fs::remove_dir_all(tree.0.join("71/root/app")).unwrap();
        tree.write("71/root/releases/4/package.json", br#"{"name":"inside"}"#);
        symlink("/releases/4", tree.0.join("71/root/app")).unwrap();
        assert_eq!(service(), "inside");
    }

    #[test]
    fn this_process_is_a_rust_program_of_this_user() {
        let mut inspector = Inspector::new("/proc");
        let mut info = inspector.inspect(std::process::id()).unwrap();
        // A large executable is searched in several goes.
        while info.runtime == Runtime::Unknown {
            inspector.recheck(&mut info).unwrap();
        }
        let executable = std::env::current_exe().unwrap();
        assert_eq!(info.executable, executable.to_str().unwrap());
        assert_eq!(info.service, executable.file_name().unwrap().to_str().unwrap());
        assert!(matches!(info.runtime, Runtime::Rust | Runtime::Tokio) && info.start_ticks > 0);
        assert_eq!(info.uid, uid(&std::fs::read("/proc/self/status").unwrap()));
    }
}
