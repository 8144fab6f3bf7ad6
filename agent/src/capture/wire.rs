//! Records of the kernel side, live or replayed, become events. Pure: the bytes are checked, nothing is read from elsewhere.
use super::event::{
    Closed, Datagram, Direction, End, Event, LastRead, Moment, NOTED, Nanos, Note, Opened, Process, Read, Role, Segment, Sender, SocketId,
    Thread,
};
use std::collections::{HashMap, VecDeque};
use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use wirespan_abi as abi;
use wirespan_abi::walk::{OUTPUT, moment};
use wirespan_abi::{flag, kind, tcp_flag};

/// Sockets that were reset and not closed yet: the one follows the other at once, so that a few CPUs' worth is far too many.
const RESETS: usize = 4096;
/// Segments that wait for their socket's first sight, which its answer brings; the oldest goes first.
const UNOWNED: usize = 256;
/// Bytes of those together.
const UNOWNED_BYTES: usize = 1 << 20;
/// A waiting segment that is older than this belonged to a connection that never was; its addresses may come again.
const UNOWNED_LIFE: Nanos = 60_000_000_000;

/// Errors of a socket, as in the kernel's `errno-base.h` and `errno.h`.
mod errno {
    pub const EPIPE: u32 = 32;
    pub const ECONNABORTED: u32 = 103;
    pub const ECONNRESET: u32 = 104;
    pub const ETIMEDOUT: u32 = 110;
    pub const ECONNREFUSED: u32 = 111;
}

/// States of a socket, as in the kernel's `tcp_states.h`.
mod tcp_state {
    pub const ESTABLISHED: u32 = 1;
    pub const SYN_SENT: u32 = 2;
    pub const SYN_RECV: u32 = 3;
    pub const CLOSE_WAIT: u32 = 8;
    pub const NEW_SYN_RECV: u32 = 12;
}

/// Records that became no event, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Too short for their kind, of an unknown kind, or with fields that contradict each other.
    pub malformed: u64,
    /// Segments that arrived on a listener, whose connection was never seen.
    pub unowned: u64,
}

/// Where a note says how many bytes of memory it carries.
const NOTE_WINDOW: usize = offset_of!(abi::Note, window);

/// Which side reset a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    In,
    Out,
}

/// A segment that arrived on a listener.
#[derive(Debug)]
struct Unowned {
    local: SocketAddr,
    remote: SocketAddr,
    segment: abi::Segment,
    bytes: Vec<u8>,
}

/// Turns records into events, with what little has to be remembered between them.
#[derive(Debug, Default)]
pub struct Decoder {
    resets: HashMap<SocketId, Reset>,
    unowned: VecDeque<Unowned>,
    unowned_bytes: usize,
    dropped: Dropped,
}

impl Decoder {
    /// A decoder that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What became no event so far.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Decodes one record, with or without unused bytes after it: most give one event, some none, a few more than one.
    pub fn decode(&mut self, record: &[u8], sink: &mut dyn FnMut(Event<'_>)) {
        if self.events(record, sink).is_none() {
            self.dropped.malformed += 1;
        }
    }

    fn events(&mut self, record: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Option<()> {
        let mut fields = Fields(record);
        let head = fields.head()?;
        let socket = SocketId(head.cookie);
        match head.kind {
            kind::OPENED => {
                let opened = fields.opened(&head)?;
                self.opened(opened, sink);
            }
            kind::SEGMENT_IN => {
                let raw = fields.segment(head)?;
                let bytes = fields.payload(&raw)?;
                sink(Event::Segment(segment(&raw, socket, Direction::In, bytes, None)));
            }
            kind::SEGMENT_OUT => {
                let raw = fields.segment(head)?;
                let (thread, last_read) = (fields.thread()?, fields.last_read()?);
                let waited = fields.held_read()?;
                let bytes = fields.payload(&raw)?;
                if waited.at != 0 {
                    sink(Event::Read(Read { socket, ..waited }));
                }
                let sender = (head.flags & flag::IN_CALL != 0).then_some(sender(thread, last_read));
                sink(Event::Segment(segment(&raw, socket, Direction::Out, bytes, sender)));
            }
            kind::SEGMENT_UNOWNED => {
                let raw = fields.segment(head)?;
                let (local, remote) = fields.addresses(head.flags)?;
                let bytes = fields.payload(&raw)?;
                self.keep(Unowned { local, remote, segment: raw, bytes: bytes.to_vec() });
            }
            kind::DATAGRAM_IN | kind::DATAGRAM_OUT => {
                let datagram = fields.datagram(head)?;
                sink(Event::Datagram(datagram));
            }
            kind::READ => {
                let upto = fields.u32()?;
                fields.u32()?;
                sink(Event::Read(Read { at: head.at, socket, upto, thread: fields.thread()? }));
            }
            kind::CLOSED => {
                let (error, from) = (fields.u32()?, fields.u32()?);
                let end = end(error, from, self.resets.remove(&socket));
                let established = !matches!(from, tcp_state::SYN_SENT | tcp_state::SYN_RECV | tcp_state::NEW_SYN_RECV);
                sink(Event::Closed(Closed { at: head.at, socket, end, established }));
            }
            kind::RESET_IN | kind::RESET_OUT => {
                if self.resets.len() < RESETS {
                    let reset = if head.kind == kind::RESET_IN { Reset::In } else { Reset::Out };
                    self.resets.entry(socket).or_insert(reset);
                }
            }
            kind::FORK | kind::EXEC | kind::EXIT => {
                let (pid, parent) = (fields.thread()?.pid, fields.thread()?.pid);
                sink(Event::Process(match head.kind {
                    kind::FORK => Process::Forked { parent, child: pid },
                    kind::EXEC => Process::Executed { pid },
                    _ => Process::Exited { pid },
                }));
            }
            kind::NOTE => {
                let note = fields.note(&head)?;
                sink(Event::Note(note));
            }
            _ => return None,
        }
        Some(())
    }

    /// Reports a socket and the segments that have waited for it.
    fn opened(&mut self, mut opened: Opened, sink: &mut dyn FnMut(Event<'_>)) {
        // A socket's number may come again when its owner connects it again; a reset from before says nothing about it.
        self.resets.remove(&opened.socket);
        let mut waiting = Vec::new();
        for at in (0..self.unowned.len()).rev() {
            let ours = |held: &Unowned| held.local == opened.local && held.remote == opened.remote;
            if self.unowned.get(at).is_some_and(ours) {
                waiting.extend(self.take(at));
            }
        }
        waiting.retain(|held| {
            let fresh = opened.at.saturating_sub(held.segment.head.at) <= UNOWNED_LIFE;
            self.dropped.unowned += u64::from(!fresh);
            fresh
        });
        opened.at = waiting.iter().map(|held| held.segment.head.at).fold(opened.at, Nanos::min);
        sink(Event::Opened(opened));
        for held in waiting.iter().rev() {
            sink(Event::Segment(segment(&held.segment, opened.socket, Direction::In, &held.bytes, None)));
        }
    }

    fn keep(&mut self, held: Unowned) {
        self.unowned_bytes += held.bytes.len();
        self.unowned.push_back(held);
        while self.unowned.len() > UNOWNED || self.unowned_bytes > UNOWNED_BYTES {
            self.take(0);
            self.dropped.unowned += 1;
        }
    }

    fn take(&mut self, at: usize) -> Option<Unowned> {
        let held = self.unowned.remove(at)?;
        self.unowned_bytes -= held.bytes.len();
        Some(held)
    }
}

/// The bytes of a record without the unused ones after it, as they are worth keeping. Unknown kinds stay whole.
#[must_use]
pub fn trimmed(record: &[u8]) -> &[u8] {
    let fixed = match record.get(16) {
        Some(&kind::SEGMENT_IN) => size_of::<abi::Segment>(),
        Some(&kind::SEGMENT_OUT) => size_of::<abi::SegmentOut>(),
        Some(&kind::SEGMENT_UNOWNED) => size_of::<abi::SegmentUnowned>(),
        Some(&(kind::DATAGRAM_IN | kind::DATAGRAM_OUT)) => size_of::<abi::Datagram>(),
        Some(&kind::NOTE) => {
            let window = record.get(NOTE_WINDOW..).and_then(|rest| Fields(rest).u32()).unwrap_or(0);
            return record.get(..size_of::<abi::Note>().saturating_add(window as usize)).unwrap_or(record);
        }
        _ => return record,
    };
    let mut fields = Fields(record);
    let captured = fields.head().and_then(|head| fields.segment(head)).map_or(0, |segment| segment.captured as usize);
    record.get(..fixed.saturating_add(captured)).unwrap_or(record)
}

fn segment<'a>(raw: &abi::Segment, socket: SocketId, direction: Direction, bytes: &'a [u8], sender: Option<Sender>) -> Segment<'a> {
    Segment {
        at: raw.head.at,
        socket,
        direction,
        seq: raw.seq,
        ack: raw.ack,
        flags: raw.head.tcp_flags & (tcp_flag::FIN | tcp_flag::SYN | tcp_flag::RST | tcp_flag::ACK),
        len: raw.head.len,
        bytes,
        sender,
        srtt_us: raw.srtt_us,
        retransmits: raw.retransmits,
    }
}

/// A socket's number is never zero: a last read of socket zero is none.
fn sender(thread: Thread, last_read: LastRead) -> Sender {
    Sender { thread, last_read: (last_read.socket != SocketId(0)).then_some(last_read) }
}

/// Why a socket ended: its error, else the resets that were seen, else the state that it left.
fn end(error: u32, from: u32, reset: Option<Reset>) -> End {
    // A connection that is closed in order passes other states before the last; here it is thrown away, and a reset follows.
    let thrown_away = matches!(from, tcp_state::ESTABLISHED | tcp_state::CLOSE_WAIT | tcp_state::SYN_SENT | tcp_state::SYN_RECV);
    match (error, reset) {
        (errno::ECONNREFUSED, _) => End::Refused,
        (errno::ETIMEDOUT, _) => End::TimedOut,
        (_, Some(Reset::In)) | (errno::ECONNRESET | errno::EPIPE, None) => End::ResetByPeer,
        (_, Some(Reset::Out)) | (errno::ECONNABORTED, None) => End::ResetByUs,
        (0, None) if thrown_away => End::ResetByUs,
        (0, None) => End::Finished,
        (other, None) => End::Failed(other),
    }
}

/// The rest of a record, read field by field in the order of [`wirespan_abi`].
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(u8::from_le_bytes(self.take()?))
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take()?))
    }

    fn head(&mut self) -> Option<abi::Head> {
        Some(abi::Head {
            at: self.u64()?,
            cookie: self.u64()?,
            kind: self.u8()?,
            flags: self.u8()?,
            tcp_flags: self.u8()?,
            reserved: self.u8()?,
            len: self.u32()?,
        })
    }

    fn thread(&mut self) -> Option<Thread> {
        Some(Thread { pid: self.u32()?, tid: self.u32()? })
    }

    fn last_read(&mut self) -> Option<LastRead> {
        let (socket, at, upto, _) = (SocketId(self.u64()?), self.u64()?, self.u32()?, self.u32()?);
        Some(LastRead { socket, at, upto })
    }

    /// Its socket is the segment's.
    fn held_read(&mut self) -> Option<Read> {
        let (at, upto, _, thread) = (self.u64()?, self.u32()?, self.u32()?, self.thread()?);
        Some(Read { at, socket: SocketId(0), upto, thread })
    }

    fn segment(&mut self, head: abi::Head) -> Option<abi::Segment> {
        Some(abi::Segment {
            head,
            seq: self.u32()?,
            ack: self.u32()?,
            captured: self.u32()?,
            srtt_us: self.u32()?,
            retransmits: self.u32()?,
            reserved: self.u32()?,
        })
    }

    /// The payload, which is never more than the wire had.
    fn payload(&self, segment: &abi::Segment) -> Option<&'a [u8]> {
        if segment.captured > segment.head.len { None } else { self.0.get(..segment.captured as usize) }
    }

    fn addresses(&mut self, flags: u8) -> Option<(SocketAddr, SocketAddr)> {
        let (local, remote): ([u8; 16], [u8; 16]) = (self.take()?, self.take()?);
        let (local_port, remote_port, _) = (self.u16()?, self.u16()?, self.u32()?);
        let address = |bytes: [u8; 16], port| {
            let [a, b, c, d, ..] = bytes;
            let ip = if flags & flag::IPV6 != 0 { Ipv6Addr::from(bytes).to_canonical() } else { IpAddr::V4(Ipv4Addr::new(a, b, c, d)) };
            SocketAddr::new(ip, port)
        };
        Some((address(local, local_port), address(remote, remote_port)))
    }

    fn datagram(&mut self, head: abi::Head) -> Option<Datagram<'a>> {
        let raw = self.segment(head)?;
        let (local, remote) = self.addresses(head.flags)?;
        let (cgroup, thread, last_read) = (self.u64()?, self.thread()?, self.last_read()?);
        let comm = self.take()?;
        let direction = if head.kind == kind::DATAGRAM_IN { Direction::In } else { Direction::Out };
        let sender = (head.flags & flag::IN_CALL != 0).then_some(sender(thread, last_read));
        let bytes = self.payload(&raw)?;
        Some(Datagram { at: head.at, socket: SocketId(head.cookie), direction, local, remote, bytes, cgroup, sender, comm })
    }

    fn note(&mut self, head: &abi::Head) -> Option<Note<'a>> {
        let (from, upto, thread) = (self.u32()?, self.u32()?, self.thread()?);
        let moment = match self.u32()? {
            moment::READ_REQUEST => Moment::ReadRequest,
            moment::SEND_RESPONSE => Moment::SendResponse,
            moment::SEND_CALL => Moment::SendCall,
            moment::READ_ANSWER => Moment::ReadAnswer,
            _ => return None,
        };
        let (window, _, emitted) = (self.u32()?, self.u32()?, self.u32()?);
        let _: [u8; OUTPUT * size_of::<u64>()] = self.take()?;
        let mut output = [0; NOTED];
        for (index, word) in output.iter_mut().enumerate() {
            let value = self.u64()?;
            *word = if index < emitted as usize { value } else { 0 };
        }
        let behind = self.0.get(..window as usize)?;
        let (more, window) = if emitted as usize > NOTED { (behind, &[][..]) } else { (&[][..], behind) };
        Some(Note { at: head.at, socket: SocketId(head.cookie), thread, moment, from, upto, output, more, window })
    }

    fn opened(&mut self, head: &abi::Head) -> Option<Opened> {
        let (local, remote) = self.addresses(head.flags)?;
        let (cgroup, thread, last_read) = (self.u64()?, self.thread()?, self.last_read()?);
        let comm = self.take()?;
        let role = match (head.flags & flag::CLIENT != 0, head.flags & flag::SERVER != 0) {
            (true, false) => Role::Client,
            (false, true) => Role::Server,
            _ => Role::Unknown,
        };
        let opener = (head.flags & flag::IN_CALL != 0).then_some(sender(thread, last_read));
        let fresh = head.flags & flag::FRESH != 0;
        Some(Opened { at: head.at, socket: SocketId(head.cookie), local, remote, role, fresh, cgroup, opener, comm })
    }
}

#[cfg(test)]
mod tests;
