//! The file that `wirespan record` writes and `wirespan replay` reads: what the kernel said, byte for byte, with what the agent knew
//! beside it.
//!
//! Layout, all numbers little-endian: eight bytes [`MAGIC`], the `u32` [`ABI_VERSION`], then entries: one byte what it is, a `u32`
//! length, that many bytes.
use super::wire::trimmed;
use std::io::{self, BufRead, Read, Write};
use wirespan_abi::ABI_VERSION;

/// How a recording begins.
pub const MAGIC: [u8; 8] = *b"wirespan";
/// Longest entry that is written or read: the largest record with room to spare, and more than the kernel gives of a process.
pub const LONGEST_ENTRY: usize = 1 << 20;

mod tag {
    pub const RECORD: u8 = 1;
    pub const CLOCK: u8 = 2;
    pub const PROCESS: u8 = 3;
    pub const COUNTERS: u8 = 4;
    pub const MANNER: u8 = 5;
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A record of the kernel side, see [`super::wire`].
    Record(&'a [u8]),
    /// Both clocks at one moment.
    Clock {
        /// Nanoseconds of the monotonic clock, which records use.
        mono: u64,
        /// Nanoseconds since 1970 UTC.
        unix: u64,
    },
    /// What the agent knew about a process; what it means is up to who wrote it.
    Process {
        /// Which.
        pid: u32,
        /// What.
        blob: &'a [u8],
    },
    /// The agent looks at the process's memory from now on; how its notes are to be taken is up to who wrote it.
    Manner {
        /// Which.
        pid: u32,
        /// How.
        blob: &'a [u8],
    },
    /// The kernel side's counters so far, as [`wirespan_abi::drop_cause`] and [`wirespan_abi::counter`] index them.
    Counters([u64; wirespan_abi::counter::COUNT as usize]),
}

/// Why a file is no recording that can be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It could not be read.
    #[error("the recording cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It does not begin as one.
    #[error("this is not a recording made by wirespan record")]
    Foreign,
    /// Another version wrote it.
    #[error("this recording has format {found}, and this wirespan reads format {ABI_VERSION}: replay it with the version that made it")]
    Version {
        /// What the file says.
        found: u32,
    },
    /// An entry is longer than any that is ever written.
    #[error("the recording is damaged: an entry of {length} bytes is longer than any that wirespan writes")]
    Damaged {
        /// What the file says.
        length: u32,
    },
}

/// Writes a recording. Give it a buffered writer, and flush that at the end.
#[derive(Debug)]
pub struct Writer<W: Write> {
    to: W,
    skipped: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    pub fn new(mut to: W) -> io::Result<Self> {
        to.write_all(&MAGIC)?;
        to.write_all(&ABI_VERSION.to_le_bytes())?;
        Ok(Self { to, skipped: 0 })
    }

    /// Appends an entry. One that is longer than [`LONGEST_ENTRY`] is skipped and counted.
    pub fn write(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        match *entry {
            Entry::Record(record) => self.entry(tag::RECORD, &[trimmed(record)]),
            Entry::Clock { mono, unix } => self.entry(tag::CLOCK, &[&mono.to_le_bytes(), &unix.to_le_bytes()]),
            Entry::Process { pid, blob } => self.entry(tag::PROCESS, &[&pid.to_le_bytes(), blob]),
            Entry::Manner { pid, blob } => self.entry(tag::MANNER, &[&pid.to_le_bytes(), blob]),
            Entry::Counters(counters) => self.entry(tag::COUNTERS, &[counters.map(u64::to_le_bytes).as_flattened()]),
        }
    }

    /// Entries that were too long.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Gives back what was written to, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }

    fn entry(&mut self, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > LONGEST_ENTRY {
            self.skipped += 1;
            return Ok(());
        }
        self.to.write_all(&[tag])?;
        self.to.write_all(&(length as u32).to_le_bytes())?;
        parts.iter().try_for_each(|part| self.to.write_all(part))
    }
}

/// Reads a recording.
#[derive(Debug)]
pub struct Reader<R: BufRead> {
    from: R,
    entry: Vec<u8>,
    skipped: u64,
}

impl<R: BufRead> Reader<R> {
    /// Begins to read, if it is a recording of this format.
    pub fn new(mut from: R) -> Result<Self, RecordingError> {
        let mut begin = [0; 12];
        read_all(&mut from, &mut begin)?.ok_or(RecordingError::Foreign)?;
        let [magic @ .., a, b, c, d] = begin;
        if magic != MAGIC {
            return Err(RecordingError::Foreign);
        }
        match u32::from_le_bytes([a, b, c, d]) {
            ABI_VERSION => Ok(Self { from, entry: Vec::new(), skipped: 0 }),
            found => Err(RecordingError::Version { found }),
        }
    }

    /// The next entry; `None` at the end. An entry that is cut by the end of the file or that means nothing is skipped and counted.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, RecordingError> {
        let tag = loop {
            if self.from.fill_buf()?.is_empty() {
                return Ok(None);
            }
            let mut begin = [0; 5];
            let Some(()) = read_all(&mut self.from, &mut begin)? else {
                self.skipped += 1;
                return Ok(None);
            };
            let [tag, length @ ..] = begin;
            let length = u32::from_le_bytes(length);
            if length as usize > LONGEST_ENTRY {
                return Err(RecordingError::Damaged { length });
            }
            self.entry.resize(length as usize, 0);
            let Some(()) = read_all(&mut self.from, &mut self.entry)? else {
                self.skipped += 1;
                return Ok(None);
            };
            if entry(tag, &self.entry).is_some() {
                break tag;
            }
            self.skipped += 1;
        };
        Ok(entry(tag, &self.entry))
    }

    /// Entries that were skipped.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// Fills the buffer, or says `None` if the file ends before that.
fn read_all(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<Option<()>> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn entry(tag: u8, bytes: &[u8]) -> Option<Entry<'_>> {
    match tag {
        tag::RECORD => Some(Entry::Record(bytes)),
        tag::CLOCK => {
            let (mono, rest) = bytes.split_first_chunk()?;
            Some(Entry::Clock { mono: u64::from_le_bytes(*mono), unix: u64::from_le_bytes(rest.try_into().ok()?) })
        }
        tag::PROCESS => {
            let (pid, blob) = bytes.split_first_chunk()?;
            Some(Entry::Process { pid: u32::from_le_bytes(*pid), blob })
        }
        tag::MANNER => {
            let (pid, blob) = bytes.split_first_chunk()?;
            Some(Entry::Manner { pid: u32::from_le_bytes(*pid), blob })
        }
        tag::COUNTERS => {
            let (numbers, []) = bytes.as_chunks() else { return None };
            let numbers: Vec<u64> = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
            Some(Entry::Counters(numbers.try_into().ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ENTRIES: [Entry<'static>; 5] = [
        Entry::Clock { mono: 5, unix: 1_700_000_000_000_000_005 },
        Entry::Record(b"a record of no known kind is kept whole"),
        Entry::Process { pid: 71, blob: b"exe=/usr/sbin/nginx" },
        Entry::Process { pid: 72, blob: b"" },
        Entry::Counters([1, 2, 3, 4, 5, 6, 7, 8]),
    ];

    fn written(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for entry in entries {
            writer.write(entry).unwrap();
        }
        assert_eq!(writer.skipped(), 0);
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<(Vec<String>, u64), String> {
        let mut reader = Reader::new(bytes).map_err(|error| error.to_string())?;
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry().map_err(|error| error.to_string())? {
            entries.push(format!("{entry:?}"));
        }
        Ok((entries, reader.skipped()))
    }

    fn shown(entries: &[Entry<'_>]) -> Vec<String> {
        entries.iter().map(|entry| format!("{entry:?}")).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&written(&ENTRIES)), Ok((shown(&ENTRIES), 0)));
    }

    #[test]
    fn a_cut_last_entry_is_a_counted_skip_and_the_rest_is_read() {
        let bytes = written(&ENTRIES);
        let last = written(&ENTRIES[..4]).len();
        for end in last + 1..bytes.len() {
            assert_eq!(read(&bytes[..end]), Ok((shown(&ENTRIES[..4]), 1)), "cut at {end}");
        }
    }

    #[test]
    fn an_entry_of_a_later_kind_is_skipped() {
        let mut bytes = written(&ENTRIES[..1]);
        bytes.extend_from_slice(&[200, 3, 0, 0, 0, 1, 2, 3]);
        bytes.extend_from_slice(&written(&ENTRIES[2..])[12..]);
        assert_eq!(read(&bytes), Ok(([shown(&ENTRIES[..1]), shown(&ENTRIES[2..])].concat(), 1)));
    }

    #[test]
    fn foreign_files_other_versions_and_absurd_lengths_are_refused_with_a_sentence() {
        for foreign in [&b""[..], b"wirespan", b"\xd4\xc3\xb2\xa1 a capture file"] {
            assert_eq!(read(foreign), Err("this is not a recording made by wirespan record".to_owned()));
        }
        let mut other = written(&ENTRIES);
        other[8] = 99;
        assert!(read(&other).unwrap_err().starts_with("this recording has format 99, and this wirespan reads format"));
        let mut damaged = written(&[]);
        damaged.extend_from_slice(&[tag::RECORD, 255, 255, 255, 255]);
        assert!(read(&damaged).unwrap_err().starts_with("the recording is damaged: an entry of 4294967295 bytes"));
    }

    #[test]
    fn an_entry_too_long_to_be_read_is_not_written() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        writer.write(&Entry::Process { pid: 1, blob: &vec![0; LONGEST_ENTRY] }).unwrap();
        assert_eq!((writer.skipped(), writer.finish().unwrap()), (1, written(&[])));
    }

    proptest! {
        #[test]
        fn damage_is_never_a_panic(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = written(&ENTRIES);
            for (index, byte) in damage {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = read(&bytes);
        }
    }
}
