//! One capture file becomes packets, one after another, with the next one always ready so that files can be merged by time.
use super::classic::{self, Classic};
use super::input::Input;
use super::link::Link;
use super::pcapng::Pcapng;
use super::{Foreign, PcapError, PcapSummary, Skip};
use crate::capture::event::Nanos;
use std::io::Read;

/// Longest packet, in bytes: the largest snap length of libpcap. A length beyond is nonsense, not a packet.
pub(super) const LONGEST_PACKET: usize = 262_144;

/// Beginnings of compressed files, which people hand over by mistake: gzip, xz, zstd, bzip2, lz4.
const COMPRESSED: [&[u8]; 5] = [b"\x1f\x8b", b"\xfd7zX", b"\x28\xb5\x2f\xfd", b"BZh", b"\x04\x22\x4d\x18"];

/// What a file holds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A packet: its first bytes are in the input's window.
    Packet(Found),
    /// A packet that cannot be read, though what follows can.
    Unreadable,
    /// Nothing: the file ends here.
    End,
    /// The beginning of a packet or block whose rest is missing.
    Cut,
    /// Bytes that make no sense; the rest cannot be found.
    Broken,
}

/// Where a packet is and what the file says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// When, nanoseconds since 1970 UTC; `None` if the file does not say.
    pub(super) at: Option<Nanos>,
    /// What its first bytes are.
    pub(super) link: Link,
    /// Bytes on the wire.
    pub(super) original: u32,
    /// Its place in the window.
    pub(super) offset: usize,
    /// Bytes captured.
    pub(super) len: usize,
    /// Bytes to step over to what follows.
    pub(super) whole: usize,
}

/// A captured packet.
pub(super) struct Packet<'a> {
    pub(super) at: Nanos,
    pub(super) link: Link,
    pub(super) original: u32,
    pub(super) bytes: &'a [u8],
}

enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
}

/// A capture file.
pub(super) struct Source {
    input: Input,
    format: Format,
    ready: Option<Found>,
    last: Nanos,
    unknown_link: Option<u32>,
}

impl Source {
    /// Recognises the format.
    pub(super) fn open(reader: Box<dyn Read>, name: &str) -> Result<Self, PcapError> {
        let mut input = Input::new(reader, name);
        let whole = input.ensure(classic::HEADER)?;
        let window = input.window();
        let format = if window.is_empty() {
            return Err(PcapError::Empty(input.name));
        } else if Pcapng::begins(window) {
            whole.then(Pcapng::new).map(Format::Pcapng)
        } else if let Some(classic) = Classic::begins(window) {
            whole.then_some(classic).map(Format::Classic)
        } else {
            let found = if COMPRESSED.iter().any(|magic| window.starts_with(magic)) { Foreign::Compressed } else { Foreign::Unknown };
            return Err(PcapError::NotCapture { name: input.name, found });
        };
        let Some(format) = format else { return Err(PcapError::CutHeader(input.name)) };
        if let Format::Classic(classic) = &format {
            if let Link::Unknown(link) = classic.link() {
                return Err(PcapError::LinkType { name: input.name, link });
            }
            input.step(classic::HEADER);
        }
        Ok(Self { input, format, ready: None, last: 0, unknown_link: None })
    }

    /// When the packet that is ready was captured; `None` at the end of the file.
    pub(super) fn at(&self) -> Option<Nanos> {
        self.ready.and(Some(self.last))
    }

    /// The packet that is ready.
    pub(super) fn packet(&self) -> Option<Packet<'_>> {
        let found = self.ready?;
        let bytes = self.input.window().get(found.offset..)?.get(..found.len)?;
        Some(Packet { at: self.last, link: found.link, original: found.original, bytes })
    }

    /// The file's name and the first link type in it that is not understood.
    pub(super) fn unknown_link(&self) -> Option<(&str, u32)> {
        self.unknown_link.map(|link| (self.input.name.as_str(), link))
    }

    /// Goes to the next packet.
    pub(super) fn advance(&mut self, summary: &mut PcapSummary) -> Result<(), PcapError> {
        if let Some(found) = self.ready.take() {
            self.input.step(found.whole);
        }
        loop {
            let next = match &mut self.format {
                Format::Classic(classic) => classic.next(&mut self.input)?,
                Format::Pcapng(pcapng) => pcapng.next(&mut self.input)?,
            };
            match next {
                Next::Packet(found) => {
                    summary.packets += 1;
                    // A packet without a time comes right after the one before it.
                    self.last = found.at.unwrap_or(0).max(self.last);
                    if let Link::Unknown(link) = found.link {
                        self.unknown_link.get_or_insert(link);
                    }
                    self.ready = Some(found);
                }
                Next::Unreadable => {
                    summary.packets += 1;
                    summary.skip(Skip::Malformed);
                    continue;
                }
                Next::End => {}
                Next::Cut => summary.cut_files += 1,
                Next::Broken => summary.broken_files += 1,
            }
            return Ok(());
        }
    }
}
