//! A Go process's executable, where it lies in memory, and the parts of it that describe the rest.
//!
//! What never changes is read from the file, because a read of memory that the process has not used would make the process larger.
use super::functions::Table;
use crate::adapter::process::{LARGEST_READ, Memory, Process};
use crate::enrich::binary::Binaries;
use memchr::memmem;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, ReadRef};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Sections and segments that are looked at.
const PARTS: usize = 512;
/// Bytes of data that are searched for the description of the program at a time.
const CHUNK: usize = 1 << 20;
/// Largest header that is believed, bytes.
const HEADERS: u64 = 1 << 20;
/// How the table of functions begins since Go 1.18: its number (that of 1.18, that of 1.20), no padding, instructions of any length,
/// addresses of eight bytes.
const MAGIC: [[u8; 8]; 2] = [[0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8], [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]];

/// An executable.
#[derive(Debug)]
pub struct Image {
    file: File,
    /// Segments: addresses as linked, and offset in the file.
    segments: Vec<(Range<u64>, u64)>,
    /// What is added to an address as linked.
    bias: u64,
    /// The table of functions, as linked.
    table: u64,
    /// Where data is, as linked.
    data: Vec<Range<u64>>,
}

impl Image {
    /// The executable of a process; `None` if it does not describe itself as Go programs do.
    pub fn open(process: &Process) -> Option<Self> {
        let file = process.executable().ok()?;
        let (mut segments, mut data, mut table) = (Vec::new(), Vec::new(), None);
        {
            let cache = ReadCache::new(&file);
            let bytes = Bounded(&cache);
            let header = FileHeader64::<Endianness>::parse(bytes).ok()?;
            let endian = header.endian().ok()?;
            for segment in
                header.program_headers(endian, bytes).ok()?.iter().take(PARTS).filter(|segment| segment.p_type(endian) == PT_LOAD)
            {
                let start = segment.p_vaddr(endian);
                segments.push((start..start.checked_add(segment.p_filesz(endian))?, segment.p_offset(endian)));
            }
            let sections = header.sections(endian, bytes).ok()?;
            for section in sections.iter().take(PARTS) {
                let start = section.sh_addr(endian);
                let range = start..start.checked_add(section.sh_size(endian))?;
                match sections.section_name(endian, section).unwrap_or_default() {
                    b".gopclntab" | b".data.rel.ro.gopclntab" => table = Some(start),
                    // The description has a section of its own since Go 1.26.
                    b".go.module" => data.insert(0, range),
                    b".noptrdata" | b".data" => data.push(range),
                    _ => {}
                }
            }
        }
        let linked = segments.iter().map(|(range, _)| range.start).min()?;
        let inode = file.metadata().ok()?.ino();
        let start = process.maps().iter().find(|mapping| mapping.offset == 0 && mapping.inode == inode)?.range.start;
        Some(Self { file, segments, bias: start.wrapping_sub(linked & !0xfff), table: table?, data })
    }

    /// The version of Go that it states.
    pub fn version(&self) -> Option<String> {
        Binaries::default().identify(&self.file)?.go
    }

    /// Bytes that never change, by address in memory.
    pub fn constant(&self, address: u64, length: u64) -> Option<Vec<u8>> {
        let length = usize::try_from(length).ok().filter(|length| *length <= LARGEST_READ)?;
        let linked = address.wrapping_sub(self.bias);
        let end = linked.checked_add(length as u64)?;
        let (range, offset) = self.segments.iter().find(|(range, _)| range.start <= linked && end <= range.end)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset.checked_add(linked - range.start)?).ok()?;
        Some(bytes)
    }

    /// The first description of a program in its data: `runtime.firstmoduledata`, which begins with the address of the table of functions.
    pub fn module(&self, memory: &dyn Memory) -> Option<u64> {
        let table = self.table.wrapping_add(self.bias);
        let head = self.constant(table, 8)?;
        MAGIC.iter().any(|magic| *magic == *head).then(|| self.data.iter().find_map(|range| self.find(memory, range, table)))?
    }

    /// The table of functions of the program that `module` describes.
    pub fn functions(&self, memory: &dyn Memory, module: u64) -> Option<Table> {
        let slice = |at: u64| Some((memory.word(module.checked_add(at)?)?, memory.word(module.checked_add(at + 8)?)?));
        let part = |at| slice(at).and_then(|(start, length)| self.constant(start, length));
        Some(Table {
            names: part(8)?,
            changes: part(80)?,
            functions: part(104)?,
            count: usize::try_from(slice(128)?.1).ok()?,
            text: memory.word(module.checked_add(176)?)?,
        })
    }

    /// Where the word `value` is, aligned, in the data at `range`.
    fn find(&self, memory: &dyn Memory, range: &Range<u64>, value: u64) -> Option<u64> {
        let start = range.start.wrapping_add(self.bias);
        let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?.min(LARGEST_READ);
        (0..length).step_by(CHUNK).find_map(|at| {
            let chunk = memory.bytes(start.checked_add(at as u64)?, CHUNK.min(length - at))?;
            let found = memmem::find_iter(&chunk, &value.to_le_bytes()).find(|found| found.is_multiple_of(8))?;
            start.checked_add((at + found) as u64)
        })
    }
}

/// Reads of bounded size.
#[derive(Clone, Copy)]
struct Bounded<'a>(&'a ReadCache<&'a File>);

impl<'a> ReadRef<'a> for Bounded<'a> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }
    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        if size > HEADERS { Err(()) } else { self.0.read_bytes_at(offset, size) }
    }
    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        self.0.read_bytes_at_until(range, delimiter)
    }
}
