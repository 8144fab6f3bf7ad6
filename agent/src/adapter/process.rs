//! A process as an adapter sees it: its memory, what it has mapped, its threads. Reads only, each bounded, and every address may be a lie.
//!
//! The process may change or end at any moment, and may delay a read of its memory for as long as it likes (a fault served by user
//! space): adapters run on a thread that nobody waits for.
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Most of `maps` that is read, bytes: some 40,000 mappings.
const MAPS: u64 = 4 << 20;
/// Most threads that are listed.
const THREADS: usize = 4096;
/// Most bytes of memory that are read at once.
pub const LARGEST_READ: usize = 64 << 20;
/// Bytes of a text that are read at once: what divides a page.
const TEXT_STEP: usize = 32;

/// Memory that can be read by address: a process's, or in a test whatever the test made up.
pub trait Memory {
    /// Fills `to` with the bytes at `address`; `None` if some of them are not there.
    fn read(&self, address: u64, to: &mut [u8]) -> Option<()>;

    /// The eight bytes at `address`.
    fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }

    /// The four bytes at `address`.
    fn half(&self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Some(u32::from_le_bytes(bytes))
    }

    /// `length` bytes at `address`, at most [`LARGEST_READ`].
    fn bytes(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; (length <= LARGEST_READ).then_some(length)?];
        self.read(address, &mut bytes)?;
        Some(bytes)
    }

    /// The text at `address` up to its zero byte, at most `longest` bytes.
    fn text(&self, address: u64, longest: usize) -> Option<String> {
        let mut text = Vec::new();
        while text.len() < longest {
            let from = address.checked_add(text.len() as u64)?;
            // In steps that end on a boundary, since the next page may not be there.
            let mut bytes = [0; TEXT_STEP];
            let step = bytes.get_mut(from as usize % TEXT_STEP..)?;
            self.read(from, step)?;
            if let Some(end) = step.iter().position(|byte| *byte == 0) {
                text.extend(step.get(..end)?);
                return String::from_utf8(text).ok().filter(|text| text.len() <= longest);
            }
            text.extend(&*step);
        }
        None
    }
}

/// Something that a process has mapped: a line of `/proc/PID/maps` (`proc_pid_maps(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Addresses.
    pub range: Range<u64>,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// It can be read.
    pub readable: bool,
    /// It can be written.
    pub writable: bool,
    /// It can be executed.
    pub executable: bool,
    /// Number of the file on its device; zero for memory without a file.
    pub inode: u64,
    /// Path of the file in the process's mount namespace, perhaps with ` (deleted)`, or a name in brackets; empty for other memory.
    pub path: Box<str>,
}

/// A process that is being studied.
#[derive(Debug)]
pub struct Process {
    /// Number, in the agent's PID namespace.
    pub pid: u32,
    directory: PathBuf,
    memory: File,
    maps: Vec<Mapping>,
}

impl Process {
    /// Opens the process that `proc` (usually `/proc`) has under `pid`.
    pub fn open(proc: &Path, pid: u32) -> io::Result<Self> {
        let directory = proc.join(pid.to_string());
        let memory = File::open(directory.join("mem"))?;
        let mut text = Vec::new();
        File::open(directory.join("maps"))?.take(MAPS).read_to_end(&mut text)?;
        let maps = String::from_utf8_lossy(&text).lines().filter_map(mapping).collect();
        Ok(Self { pid, directory, memory, maps })
    }

    /// What it has mapped, by address.
    #[must_use]
    pub fn maps(&self) -> &[Mapping] {
        &self.maps
    }

    /// The first mapping of the executable or library whose path satisfies `is`: it holds the file's first bytes.
    pub fn module(&self, is: impl Fn(&str) -> bool) -> Option<&Mapping> {
        self.maps.iter().find(|mapping| mapping.offset == 0 && mapping.inode != 0 && is(&mapping.path))
    }

    /// The file behind a mapping, also where it was deleted or replaced, or is in another mount namespace.
    pub fn file(&self, mapping: &Mapping) -> io::Result<File> {
        File::open(self.directory.join(format!("map_files/{:x}-{:x}", mapping.range.start, mapping.range.end)))
    }

    /// The executable.
    pub fn executable(&self) -> io::Result<File> {
        File::open(self.directory.join("exe"))
    }

    /// Its threads now.
    #[must_use]
    pub fn threads(&self) -> Vec<u32> {
        let entries = fs::read_dir(self.directory.join("task")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(THREADS).collect()
    }

    /// Address where the stack of its first thread begins, from which it grows down; of the others, the end of their memory is.
    #[must_use]
    pub fn stack_start(&self) -> Option<u64> {
        let fields = fs::read_to_string(self.directory.join("stat")).ok()?;
        // The name may hold anything, so the fields are counted from its last parenthesis: this is field 28 (`proc_pid_stat(5)`).
        let start = fields.rsplit_once(')')?.1.split_ascii_whitespace().nth(25)?.parse().ok()?;
        (start > 1).then_some(start)
    }

    /// A file below its directory in `/proc`, such as `fdinfo/5`, at most `longest` bytes.
    pub fn proc_file(&self, name: &str, longest: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.directory.join(name))?.take(longest).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Its open descriptors, and what each is, as the link in `/proc/PID/fd` says.
    pub fn descriptors(&self) -> impl Iterator<Item = (u32, PathBuf)> {
        let entries = fs::read_dir(self.directory.join("fd")).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, fs::read_link(entry.path()).ok()?)))
    }
}

impl Memory for Process {
    fn read(&self, address: u64, to: &mut [u8]) -> Option<()> {
        self.memory.read_exact_at(to, address).ok()
    }
}

fn mapping(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let range = number(start)?..number(end)?;
    let &[read, write, execute, _] = fields.next()?.as_bytes() else { return None };
    let offset = number(fields.next()?)?;
    let inode = fields.nth(1)?.parse().ok()?;
    let path = fields.next().unwrap_or_default().trim_start().into();
    Some(Mapping { range, offset, readable: read == b'r', writable: write == b'w', executable: execute == b'x', inode, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_reads_itself() {
        let text = Box::new(*b"here\0");
        let process = Process::open(Path::new("/proc"), std::process::id()).expect("alive");
        let address = text.as_ptr() as u64;
        assert_eq!(process.text(address, 16), Some("here".to_owned()));
        assert_eq!(process.word(0), None);
        assert!(process.module(|path| path.contains("wirespan")).is_some_and(|module| process.file(module).is_ok()));
        assert!(process.threads().contains(&process.pid));
        let here = std::ptr::from_ref(&address) as u64;
        assert!(process.maps().iter().any(|mapping| mapping.range.contains(&here) && mapping.readable && mapping.writable));
    }

    #[test]
    fn lines_of_maps_are_read_and_others_are_not() {
        let line = "7f00-7f10 r-xp 00001000 fe:00 12   /opt/a b.so (deleted)";
        let expected = Mapping {
            range: 0x7f00..0x7f10,
            offset: 0x1000,
            readable: true,
            writable: false,
            executable: true,
            inode: 12,
            path: "/opt/a b.so (deleted)".into(),
        };
        assert_eq!(mapping(line), Some(expected));
        assert_eq!(mapping("7f00-7f10 rw-p 00000000 00:00 0 ").map(|mapping| mapping.path), Some("".into()));
        assert_eq!(mapping("7f00 r-xp"), None);
    }
}
