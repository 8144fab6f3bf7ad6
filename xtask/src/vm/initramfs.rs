//! The first and only file system of a test machine: a cpio archive in memory, in the `newc` format that the kernel reads
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`).
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// What runs as the first process.
const INIT: &str = include_str!("init.sh");

/// Types of files, as in `stat(2)`.
const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const REGULAR: u32 = 0o100_000;

/// Writes the archive: busybox, the agent, and `init`.
pub fn write(to: &Path, agent: &Path) -> Result<()> {
    let read = |file: &Path| fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "proc", "sys", "tmp", "www"] {
        archive.entry(dir, DIRECTORY | 0o755, (0, 0), &[]);
    }
    // The kernel opens it for the first process before anything is mounted on /dev.
    archive.entry("dev/console", CHARACTER_DEVICE | 0o600, (5, 1), &[]);
    archive.entry("bin/busybox", REGULAR | 0o755, (0, 0), &read(Path::new("/bin/busybox"))?);
    archive.entry("bin/wirespan", REGULAR | 0o755, (0, 0), &read(agent)?);
    archive.entry("init", REGULAR | 0o755, (0, 0), INIT.as_bytes());
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(to, archive.finish()).with_context(|| format!("cannot write {}", to.display()))
}

/// An archive being written.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a file; `device` is the major and minor number of a device.
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(contents.len()).expect("a file of a test machine is far below the 4 GiB of the format");
        let name_size = name.len() as u32 + 1;
        // Inode, mode, user, group, links, time, size, device of the file system, device, size of the name, no checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(contents);
        self.align();
    }

    /// Names and contents are followed by zeros up to a multiple of four.
    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn cpio_reads_back_what_was_written() {
        let mut archive = Archive::default();
        archive.entry("bin", DIRECTORY | 0o755, (0, 0), &[]);
        archive.entry("bin/five", REGULAR | 0o644, (0, 0), b"12345");
        archive.entry("console", CHARACTER_DEVICE | 0o600, (5, 1), &[]);
        let mut cpio = Command::new("/bin/busybox");
        let mut cpio = cpio.args(["cpio", "-t", "-v"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        cpio.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        let listed = String::from_utf8(cpio.wait_with_output().unwrap().stdout).unwrap();
        let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
        let facts: Vec<_> = lines.iter().map(|words| (words[0], words[2], words[words.len() - 1])).collect();
        assert_eq!(facts, [("drwxr-xr-x", "0", "bin"), ("-rw-r--r--", "5", "bin/five"), ("crw-------", "0", "console")]);
    }
}
