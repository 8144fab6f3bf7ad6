//! Capture files (`pcap` and `pcapng`) become the events that both hosts of every TCP connection would have reported.
//!
//! One pass with bounded memory, whatever the size of the files. Every connection becomes two sockets, the client's with an even
//! [`SocketId`](super::event::SocketId) and the server's with the next one; each segment leaves one and arrives at the other at
//! the time of the capture, in nanoseconds since 1970 UTC. Several files are merged by time, so that a rotated capture is one.
//! It never reassembles, never decodes an application protocol, and never guesses a [`Role`](super::event::Role): where no
//! handshake was captured, the role is unknown and the port only decides which end `--vantage` takes for the client's.
mod classic;
mod connection;
mod input;
mod link;
mod pcapng;
mod side;
mod source;
mod table;
#[cfg(test)]
mod tests;

use super::event::{Event, Nanos};
use link::Packet;
use source::Source;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use table::Table;

pub use table::MAX_CONNECTIONS;

/// Most files merged at once: each holds an open file and a buffer, usually 128 KiB, so that 256 of them stay below 64 MiB.
pub const MAX_FILES: usize = 256;

/// Which ends of a connection report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vantage {
    /// Both, as if both hosts were watched.
    #[default]
    Both,
    /// Only the client's.
    Client,
    /// Only the server's.
    Server,
}

/// Why a packet became no segment event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It carries no TCP over IP, nor what could be DNS.
    NotTcp,
    /// It is a fragment of an IP packet, and not the first.
    Fragment,
    /// The capture cut it inside its headers.
    CutHeader,
    /// Its interface has a link type that is not understood.
    UnknownLink,
    /// Its lengths contradict each other.
    Malformed,
    /// It carries no data, only an acknowledgement.
    NoPayload,
    /// It is a keep-alive or window probe: one byte that was acknowledged before.
    Probe,
    /// Its sender sent all of it before.
    Retransmit,
    /// It is the same packet, captured a second time.
    Copy,
    /// Its connection has ended.
    AfterEnd,
    /// It resets a connection of which nothing was seen.
    StrayReset,
}

impl Skip {
    /// Every cause, in the order of the accounting.
    pub const ALL: [Self; 11] = [
        Self::NotTcp,
        Self::Fragment,
        Self::CutHeader,
        Self::UnknownLink,
        Self::Malformed,
        Self::NoPayload,
        Self::Probe,
        Self::Retransmit,
        Self::Copy,
        Self::AfterEnd,
        Self::StrayReset,
    ];

    /// Name in the accounting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotTcp => "pcap.not_tcp",
            Self::Fragment => "pcap.fragment",
            Self::CutHeader => "pcap.cut_header",
            Self::UnknownLink => "pcap.unknown_link",
            Self::Malformed => "pcap.malformed",
            Self::NoPayload => "pcap.no_payload",
            Self::Probe => "pcap.probe",
            Self::Retransmit => "pcap.retransmit",
            Self::Copy => "pcap.copy",
            Self::AfterEnd => "pcap.after_end",
            Self::StrayReset => "pcap.stray_reset",
        }
    }
}

/// What was read, and what became of it: `packets` is the sum of `segments`, `datagrams` and everything skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PcapSummary {
    /// Packets in the files.
    pub packets: u64,
    /// Captured bytes of these packets.
    pub bytes: u64,
    /// Packets that became segment events.
    pub segments: u64,
    /// Packets that became datagram events.
    pub datagrams: u64,
    /// Segments whose payload the snap length cut.
    pub cut_payload: u64,
    skipped: [u64; Skip::ALL.len()],
    /// Connections of which something was reported.
    pub connections: u64,
    /// Connections closed early because there were more than [`MAX_CONNECTIONS`].
    pub evicted: u64,
    /// Files that end in the middle of a packet.
    pub cut_files: u64,
    /// Files left unread from a place on where they made no sense.
    pub broken_files: u64,
}

impl PcapSummary {
    /// Packets skipped for this cause.
    #[must_use]
    pub fn skipped(&self, cause: Skip) -> u64 {
        self.skipped[cause as usize]
    }

    fn skip(&mut self, cause: Skip) {
        self.skipped[cause as usize] += 1;
    }
}

/// Why a capture cannot be read: one sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// The file cannot be opened.
    #[error("cannot open {name}: {source}")]
    Open {
        /// Which file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Reading failed.
    #[error("cannot read {name}: {source}")]
    Read {
        /// Which file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It is a directory.
    #[error("{0} is a directory; name the capture files in it")]
    Directory(String),
    /// It has no bytes.
    #[error("{0} is empty")]
    Empty(String),
    /// It ends inside its file header.
    #[error("{0} ends inside its file header")]
    CutHeader(String),
    /// It does not begin like a capture.
    #[error("{name} is not a capture file: {found}")]
    NotCapture {
        /// Which file.
        name: String,
        /// What it is instead.
        found: Foreign,
    },
    /// None of its packets can be read.
    #[error(
        "{name} has link type {link}, which wirespan does not understand (it reads Ethernet, BSD loopback, raw IP and Linux cooked captures)"
    )]
    LinkType {
        /// Which file.
        name: String,
        /// The number in the file, from the tcpdump.org registry of link types.
        link: u32,
    },
    /// Too many files.
    #[error("{0} capture files are too many at once: wirespan merges up to {MAX_FILES}; join them with mergecap first")]
    TooMany(usize),
}

/// What a file is that is no capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A compressed file.
    Compressed,
    /// Something else.
    Unknown,
}

impl fmt::Display for Foreign {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Compressed => "it is compressed, unpack it first",
            Self::Unknown => "it begins neither like pcap nor like pcapng",
        })
    }
}

/// Reads one capture from `input`, which `name` stands for in errors, and gives its events to `each` in order of time.
///
/// Fails before the first event if it is no capture, later only if reading fails.
pub fn read(input: impl Read + 'static, name: &str, vantage: Vantage, each: &mut dyn FnMut(Event<'_>)) -> Result<PcapSummary, PcapError> {
    merge(vec![Source::open(Box::new(input), name)?], vantage, each)
}

/// Reads the captures at `paths` (`-` is standard input), merged by time, and gives their events to `each`.
///
/// Fails before the first event if one of them is no capture, later only if reading fails.
pub fn read_files<P: AsRef<Path>>(paths: &[P], vantage: Vantage, each: &mut dyn FnMut(Event<'_>)) -> Result<PcapSummary, PcapError> {
    if paths.len() > MAX_FILES {
        return Err(PcapError::TooMany(paths.len()));
    }
    let sources = paths.iter().map(|path| open(path.as_ref())).collect::<Result<_, _>>()?;
    merge(sources, vantage, each)
}

fn open(path: &Path) -> Result<Source, PcapError> {
    if path == Path::new("-") {
        return Source::open(Box::new(io::stdin().lock()), "standard input");
    }
    let name = path.display().to_string();
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.is_dir(), file)));
    match opened {
        Ok((true, _)) => Err(PcapError::Directory(name)),
        Ok((false, file)) => Source::open(Box::new(file), &name),
        Err(source) => Err(PcapError::Open { name, source }),
    }
}

fn merge(mut sources: Vec<Source>, vantage: Vantage, each: &mut dyn FnMut(Event<'_>)) -> Result<PcapSummary, PcapError> {
    let mut summary = PcapSummary::default();
    let mut table = Table::new(vantage);
    // A capture over several queues or a clock that was set back may step back in time; events never do.
    let mut now: Nanos = 0;
    for source in &mut sources {
        source.advance(&mut summary)?;
    }
    while let Some(source) = sources.iter_mut().filter(|source| source.at().is_some()).min_by_key(|source| source.at()) {
        if let Some(packet) = source.packet() {
            now = now.max(packet.at);
            summary.bytes += packet.bytes.len() as u64;
            match link::parse(packet.link, packet.bytes, packet.original) {
                Ok(Packet::Segment(segment)) => table.take(now, &segment, &mut summary, each),
                Ok(Packet::Datagram(datagram)) => table.pass(now, &datagram, &mut summary, each),
                Err(cause) => summary.skip(cause),
            }
        }
        source.advance(&mut summary)?;
    }
    table.finish(now, &mut summary, each);
    let unreadable = summary.packets > 0 && summary.skipped(Skip::UnknownLink) == summary.packets;
    match sources.iter().find_map(Source::unknown_link) {
        Some((name, link)) if unreadable => Err(PcapError::LinkType { name: name.to_owned(), link }),
        _ => Ok(summary),
    }
}
