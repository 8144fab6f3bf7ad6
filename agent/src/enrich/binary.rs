//! The content of an executable becomes what it was built from: Go, Rust, tokio, nginx, Node.js, Python with asyncio built in.
//!
//! The file belongs to a process that may be hostile: every read is bounded in size, the whole in bytes and in time, lengths in the
//! file are only numbers, and a file that is no sound ELF file yields nothing. Nothing is mapped, so a file that shrinks meanwhile
//! is a short read. One result per file is kept, since thousands of processes share a few executables.
use memchr::memmem;
use object::elf::{FileHeader32, FileHeader64, PF_X, PT_LOAD, PT_NOTE};
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, ReadRef};
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant};

/// Largest piece that is read at once for a header, bytes: 16,384 section headers; a linker makes about 40.
const PIECE: u64 = 1 << 20;
/// Sections and segments that are looked at.
const PARTS: usize = 512;
/// Notes of a segment that are looked at.
const NOTES: usize = 32;
/// Bytes of one file that are searched: the constants of the largest programs in use, Deno's, are half of it.
const SEARCH: u64 = 64 << 20;
/// Time spent on one file at a time, after which the search is interrupted: small beside what the pipeline waits for a process.
const TIME: Duration = Duration::from_millis(20);
/// Bytes searched at a time.
const CHUNK: usize = 256 << 10;
/// Bytes searched again at the start of the next chunk; longer than any text looked for with what is read around it.
const OVERLAP: u64 = 128;
/// Files remembered: more than a node has executables in use.
const FILES: usize = 1024;
/// Longest version of Go that is believed, bytes.
const VERSION: usize = 64;

/// What an executable was built from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a set of independent findings")]
pub struct Binary {
    /// Go, and its version as `go1.26.8`; empty if not stated.
    pub go: Option<String>,
    /// It exports what Node.js' native modules need.
    pub node: bool,
    /// It can state an nginx version.
    pub nginx: bool,
    /// That version is one of `OpenResty`.
    pub openresty: bool,
    /// Rust's standard library.
    pub rust: bool,
    /// tokio's runtime.
    pub tokio: bool,
    /// Python's `_asyncio`, built in.
    pub asyncio: bool,
}

/// A file as it was: it may be replaced under the same name, or written again in place.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    size: u64,
}

/// What is known of a file so far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Looked {
    /// `None` if it is no ELF file.
    binary: Option<Binary>,
    /// Bytes of it searched, if the time was up before the end.
    interrupted: Option<u64>,
}

/// Every executable that was looked at.
#[derive(Default)]
pub struct Binaries {
    known: HashMap<Key, Looked>,
}

impl Binaries {
    /// What `file` was built from; `None` if it is no regular file, no ELF file, or so large that it takes another call to be sure.
    pub fn identify(&mut self, file: &File) -> Option<Binary> {
        let about = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let key = Key { device: about.dev(), inode: about.ino(), modified: (about.mtime(), about.mtime_nsec()), size: about.size() };
        if self.known.len() >= FILES && !self.known.contains_key(&key) {
            self.known.clear();
        }
        let looked = self.known.entry(key).or_insert(Looked { binary: None, interrupted: Some(0) });
        if looked.interrupted.is_some() {
            look(file, looked, Instant::now() + TIME);
        }
        if looked.interrupted.is_some() { None } else { looked.binary.clone() }
    }
}

/// Looks at a file, or goes on where it was interrupted.
fn look(file: &File, looked: &mut Looked, until: Instant) {
    let cache = ReadCache::new(file);
    let data = Pieces(&cache);
    let skip = looked.interrupted.take().unwrap_or(0);
    let mut search = Search { file, chunk: vec![0; CHUNK], skip, done: 0, until, begun: false, interrupted: false };
    let mut binary = looked.binary.take().unwrap_or_default();
    // e_ident (elf(5)): the magic number, then the class.
    match data.read_bytes_at(0, 5) {
        Ok(b"\x7fELF\x01") => elf::<FileHeader32<Endianness>>(data, &mut search, &mut binary),
        Ok(b"\x7fELF\x02") => elf::<FileHeader64<Endianness>>(data, &mut search, &mut binary),
        _ => return,
    }
    looked.binary = Some(binary);
    looked.interrupted = search.interrupted.then_some(search.done);
}

/// Reads of bounded size.
#[derive(Clone, Copy)]
struct Pieces<'a>(&'a ReadCache<&'a File>);

impl<'a> ReadRef<'a> for Pieces<'a> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }
    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        if size > PIECE { Err(()) } else { self.0.read_bytes_at(offset, size) }
    }
    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        self.0.read_bytes_at_until(range, delimiter)
    }
}

/// What to look for where, by file offset and size.
#[derive(Default)]
struct Places {
    constants: Vec<(u64, u64)>,
    dynamic_names: Vec<(u64, u64)>,
}

fn elf<H: FileHeader<Endian = Endianness>>(data: Pieces<'_>, search: &mut Search<'_>, found: &mut Binary) {
    let mut places = Places::default();
    let Ok((header, endian)) = H::parse(data).and_then(|header| Ok((header, header.endian()?))) else { return };
    if let Ok(sections) = header.sections(endian, data) {
        for section in sections.iter().take(PARTS) {
            let Some(range) = section.file_range(endian) else { continue };
            match sections.section_name(endian, section).unwrap_or_default() {
                b".go.buildinfo" => found.go = Some(go_version(search.file, range).unwrap_or_default()),
                b".note.go.buildid" => drop(found.go.get_or_insert_default()),
                b".dynstr" => places.dynamic_names.push(range),
                name if name.starts_with(b".rodata") => places.constants.push(range),
                _ => {}
            }
        }
    }
    for segment in header.program_headers(endian, data).unwrap_or_default().iter().take(PARTS) {
        match segment.p_type(endian) {
            PT_NOTE => {
                let Ok(Some(mut notes)) = segment.notes(endian, data) else { continue };
                for _ in 0..NOTES {
                    let Ok(Some(note)) = notes.next() else { break };
                    if note.name() == b"Go" {
                        found.go.get_or_insert_default();
                    }
                }
            }
            // Without section headers, the constants are in a segment that cannot run, as are the names.
            PT_LOAD if places.constants.is_empty() && segment.p_flags(endian) & PF_X == 0 => {
                places.dynamic_names.push(segment.file_range(endian));
            }
            _ => {}
        }
    }
    if places.constants.is_empty() {
        places.constants.clone_from(&places.dynamic_names);
    }
    if found.go.is_none() {
        search.all(&places, found);
    }
}

/// The version in Go's build information (package `debug/buildinfo`), which states it in place since Go 1.18.
fn go_version(file: &File, (offset, size): (u64, u64)) -> Option<String> {
    let mut bytes = [0; 33 + VERSION];
    let length = bytes.len().min(usize::try_from(size).ok()?);
    file.read_exact_at(bytes.get_mut(..length)?, offset).ok()?;
    let inline = bytes.starts_with(b"\xff Go buildinf:") && bytes.get(15)? & 2 != 0;
    // A varint; a version has fewer than 128 bytes.
    let length = usize::from(*bytes.get(32)?);
    let text = std::str::from_utf8(bytes.get(33..33 + length)?).ok()?;
    let sound = inline && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    sound.then(|| text.split(' ').next().unwrap_or("").to_owned())
}

/// A search with an end: in bytes and in time.
struct Search<'a> {
    file: &'a File,
    chunk: Vec<u8>,
    /// Bytes that an earlier search has seen.
    skip: u64,
    /// Bytes seen or skipped.
    done: u64,
    until: Instant,
    begun: bool,
    interrupted: bool,
}

impl Search<'_> {
    fn all(&mut self, places: &Places, found: &mut Binary) {
        let node = memmem::Finder::new(b"node_module_register");
        self.chunks(&places.dynamic_names, |bytes| {
            found.node |= node.find(bytes).is_some();
            found.node
        });
        if found.node {
            return;
        }
        let nginx = memmem::Finder::new(b"nginx version: ");
        let rust = [b"/library/std/src/".as_slice(), b"/library/core/src/"].map(memmem::Finder::new);
        // The names of worker threads, and the source path in the places of panics, which a stripped binary keeps.
        let tokio = [b"tokio-runtime-worker".as_slice(), b"tokio-rt-worker"].map(memmem::Finder::new);
        let runtime = memmem::Finder::new(b"/src/runtime/");
        let asyncio = memmem::Finder::new(b"_asyncio.Future");
        self.chunks(&places.constants, |bytes| {
            if let Some(at) = nginx.find(bytes) {
                found.nginx = true;
                found.openresty |= bytes.get(at + 15..).is_some_and(|version| version.starts_with(b"openresty"));
            }
            found.rust = found.rust || rust.iter().any(|text| text.find(bytes).is_some());
            let in_tokio = |at: usize| {
                let before = bytes.get(at.saturating_sub(24)..at).unwrap_or_default();
                before.rsplit(|&b| b == b'/').next().is_some_and(|package| package == b"tokio" || package.starts_with(b"tokio-1."))
            };
            found.tokio = found.tokio || tokio.iter().any(|text| text.find(bytes).is_some()) || runtime.find_iter(bytes).any(in_tokio);
            found.asyncio = found.asyncio || asyncio.find(bytes).is_some();
            found.tokio || found.asyncio
        });
    }

    /// Gives the bytes at `places` to `over`, in pieces that overlap, until it says so or a limit is reached.
    fn chunks(&mut self, places: &[(u64, u64)], mut over: impl FnMut(&[u8]) -> bool) {
        for &(start, size) in places {
            let mut at = 0;
            while at < size && self.done < SEARCH && !self.interrupted {
                let wanted = (size - at).min(CHUNK as u64);
                // The steps are the same however often a search is interrupted.
                let step = if at + wanted < size { wanted - OVERLAP } else { wanted };
                if self.done >= self.skip {
                    // At least one piece at a time, or a slow disk would never be done.
                    if self.begun && Instant::now() >= self.until {
                        self.interrupted = true;
                        return;
                    }
                    let Some(buffer) = self.chunk.get_mut(..wanted as usize) else { return };
                    let read = self.file.read_at(buffer, start.saturating_add(at)).unwrap_or(0);
                    if read == 0 {
                        break;
                    }
                    self.begun = true;
                    if over(buffer.get(..read).unwrap_or_default()) {
                        return;
                    }
                }
                at += step;
                self.done += step;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn file_with(bytes: &[u8]) -> File {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wirespan-binary-{}-{count}", std::process::id()));
        File::create(&path).unwrap().write_all(bytes).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    /// A 64-bit little-endian file with one readable segment that holds `constants`, and no sections.
    fn program(constants: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]); // e_type, e_machine, e_version
        for word in [0_u64, 64, 0] {
            bytes.extend(word.to_le_bytes()); // e_entry, e_phoff, e_shoff
        }
        bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]); // e_flags and sizes
        bytes.extend([1, 0, 0, 0, 4, 0, 0, 0]); // p_type PT_LOAD, p_flags R
        for word in [120, 0, 0, constants.len() as u64, constants.len() as u64, 4096] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(constants);
        bytes
    }

    /// What is found in one go, which is what is found when every piece interrupts the search.
    fn found_in(bytes: &[u8]) -> Option<Binary> {
        let file = file_with(bytes);
        let mut whole = Looked::default();
        look(&file, &mut whole, Instant::now() + Duration::from_hours(1));
        let mut pieces = Looked { binary: None, interrupted: Some(0) };
        while pieces.interrupted.is_some() {
            look(&file, &mut pieces, Instant::now());
        }
        assert_eq!(pieces, whole);
        whole.binary
    }

    #[test]
    fn texts_are_found_across_chunks_and_without_sections() {
        let mut constants = vec![b'.'; CHUNK - 7];
        constants.extend(b"nginx version: openresty/1.25");
        constants.resize(3 * CHUNK, b'.');
        constants.extend(b"/vendor/tokio-1.54.1/src/runtime/builder.rs/library/core/src/x");
        let found = found_in(&program(&constants));
        assert_eq!(found, Some(Binary { nginx: true, openresty: true, rust: true, tokio: true, ..Binary::default() }));
        let found = found_in(&program(b"nginx version: nginx/1.22.1 /go/src/runtime/proc.go /tokio-10/src/runtime/"));
        assert_eq!(found, Some(Binary { nginx: true, ..Binary::default() }));
    }

    #[test]
    fn a_segment_outside_the_file_ends_the_search() {
        let mut bytes = program(b"/library/std/src/");
        bytes[72 + 5] = 0xff; // p_offset
        assert_eq!(found_in(&bytes), Some(Binary::default()));
    }

    #[test]
    fn this_test_is_rust_and_files_that_are_no_programs_are_nothing() {
        let mut binaries = Binaries::default();
        let own = File::open(std::env::current_exe().unwrap()).unwrap();
        let found = (0..10_000).find_map(|_| binaries.identify(&own)).unwrap();
        assert!(found.rust && found.go.is_none() && !found.node);
        assert_eq!(binaries.identify(&own), Some(found));
        assert_eq!(binaries.known.len(), 1);
        assert_eq!(binaries.identify(&File::open("/").unwrap()), None);
        assert_eq!(binaries.identify(&file_with(b"#!/bin/sh\n")), None);
        assert_eq!(binaries.identify(&file_with(b"")), None);
    }

    proptest! {
        #[test]
        fn damaged_programs_are_read_without_panic(damage in proptest::collection::vec((0_usize..200, any::<u8>()), 0..40), cut in 0_usize..400) {
            let mut bytes = program(b"/library/std/src/ tokio-rt-worker");
            for (at, byte) in damage {
                if let Some(slot) = bytes.get_mut(at) {
                    *slot = byte;
                }
            }
            bytes.truncate(cut);
            found_in(&bytes);
        }
    }
}
