//! Captures written byte by byte, and the events they must yield, as text that reads like a protocol.
mod files;
mod hostile;
mod links;
mod recorded;
mod scenes;

use super::{PcapError, PcapSummary, Vantage, read};
use crate::capture::event::{Direction, Event, Nanos};
use std::fmt::Write as _;
use std::net::SocketAddr;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;

/// Start of every written capture, nanoseconds since 1970.
pub(super) const START: Nanos = 1_700_000_000_000_000_000;

/// Link types that the tests write.
pub(super) const ETHERNET: u32 = 1;

/// A TCP segment to be written.
#[derive(Clone, Debug)]
pub(super) struct Tcp {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) id: u16,
    pub(super) payload: Vec<u8>,
}

impl Tcp {
    /// The TCP header and payload.
    fn segment(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.from.port().to_be_bytes());
        out.extend_from_slice(&self.to.port().to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.ack.to_be_bytes());
        // Four bytes of options (end of list), so that the header's length counts.
        out.extend_from_slice(&[0x60, self.flags | 8, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.payload);
        out
    }

    /// The IP packet.
    pub(super) fn packet(&self) -> Vec<u8> {
        let segment = self.segment();
        let mut out = Vec::new();
        match (self.from, self.to) {
            (SocketAddr::V4(from), SocketAddr::V4(to)) => {
                out.extend_from_slice(&[0x45, 0]);
                out.extend_from_slice(&(20 + segment.len() as u16).to_be_bytes());
                out.extend_from_slice(&self.id.to_be_bytes());
                out.extend_from_slice(&[0x40, 0, 64, 6, 0, 0]);
                out.extend_from_slice(&from.ip().octets());
                out.extend_from_slice(&to.ip().octets());
            }
            (SocketAddr::V6(from), SocketAddr::V6(to)) => {
                out.extend_from_slice(&[0x60, 0, 0, 0]);
                out.extend_from_slice(&(segment.len() as u16).to_be_bytes());
                out.extend_from_slice(&[6, 64]);
                out.extend_from_slice(&from.ip().octets());
                out.extend_from_slice(&to.ip().octets());
            }
            _ => unreachable!("one family"),
        }
        out.extend_from_slice(&segment);
        out
    }
}

/// A captured frame.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Microseconds after [`START`].
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
    /// Length on the wire.
    pub(super) original: u32,
}

/// A client at `10.0.0.1:40000` that talks to a server at `10.0.0.2:80`, written down microsecond by microsecond.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) packets: Vec<(u64, Tcp)>,
}

impl Talk {
    pub(super) fn v4() -> Self {
        Self { client: ([10, 0, 0, 1], 40000).into(), server: ([10, 0, 0, 2], 80).into(), packets: Vec::new() }
    }

    pub(super) fn v6() -> Self {
        let address = |last| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 0));
        let (mut client, mut server) = (address(1), address(2));
        client.set_port(40000);
        server.set_port(80);
        Self { client, server, packets: Vec::new() }
    }

    /// The client sends; the IP identification is new.
    pub(super) fn up(mut self, at: u64, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Self {
        let id = self.packets.len() as u16 + 1;
        let (from, to) = (self.client, self.server);
        self.packets.push((at, Tcp { from, to, seq, ack, flags, id, payload: payload.to_vec() }));
        self
    }

    /// The server sends.
    pub(super) fn down(mut self, at: u64, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Self {
        (self.client, self.server) = (self.server, self.client);
        self = self.up(at, flags, seq, ack, payload);
        (self.client, self.server) = (self.server, self.client);
        self
    }

    /// The last packet was captured a second time.
    pub(super) fn copied(mut self, at: u64) -> Self {
        let copy = self.packets.last().map(|(_, tcp)| (at, tcp.clone()));
        self.packets.extend(copy);
        self
    }

    /// SYN, SYN-ACK, ACK within 30 µs. The client's first byte is 101, the server's 501.
    pub(super) fn handshake(self) -> Self {
        self.up(0, SYN, 100, 0, b"").down(10, SYN | ACK, 500, 101, b"").up(30, ACK, 101, 501, b"")
    }

    /// Both FINs and their acknowledgements, from 1000 µs on.
    pub(super) fn farewell(self, client: u32, server: u32) -> Self {
        self.up(1000, FIN | ACK, client, server, b"").down(1010, FIN | ACK, server, client + 1, b"").up(
            1020,
            ACK,
            client + 1,
            server + 1,
            b"",
        )
    }

    /// The frames, each IP packet wrapped by `link`.
    pub(super) fn frames(&self, link: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Frame> {
        let wrap = |(at, tcp): &(u64, Tcp)| {
            let bytes = link(&tcp.packet());
            Frame { at: *at, original: bytes.len() as u32, bytes }
        };
        self.packets.iter().map(wrap).collect()
    }

    /// What it yields as an Ethernet capture.
    pub(super) fn told(&self, vantage: Vantage) -> (Vec<String>, PcapSummary) {
        told(files::classic(u32::to_le_bytes, false, ETHERNET, &self.frames(links::ethernet)), vantage).expect("a capture")
    }
}

/// One event in a line: microseconds, socket, what.
fn line(event: &Event<'_>) -> String {
    let micros = |at: Nanos| at.saturating_sub(START) as f64 / 1000.0;
    match event {
        Event::Opened(it) => {
            let fresh = if it.fresh { "fresh" } else { "joined" };
            let mut line = format!("{} #{} opened {:?} {fresh} {} -> {}", micros(it.at), it.socket.0, it.role, it.local, it.remote);
            assert_eq!((it.cgroup, it.opener), (0, None));
            line.make_ascii_lowercase();
            line
        }
        Event::Segment(it) => {
            let way = if it.direction == Direction::In { "in" } else { "out" };
            let mut line = format!("{} #{} {way} ", micros(it.at), it.socket.0);
            for (bit, name) in [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (ACK, '.')] {
                line.extend((it.flags & bit != 0).then_some(name));
            }
            let _ = write!(line, " {}:{} ack {}", it.seq, it.len, it.ack);
            if !it.bytes.is_empty() {
                let _ = write!(line, " {:?}", String::from_utf8_lossy(it.bytes));
            }
            if it.srtt_us > 0 {
                let _ = write!(line, " rtt {}", it.srtt_us);
            }
            if it.retransmits > 0 {
                let _ = write!(line, " again {}", it.retransmits);
            }
            assert_eq!(it.sender, None);
            line
        }
        Event::Closed(it) => {
            let established = if it.established { "" } else { " unestablished" };
            format!("{} #{} closed {:?}{established}", micros(it.at), it.socket.0, it.end)
        }
        Event::Datagram(it) => format!("{} {:?} {} -> {} {:?}", micros(it.at), it.direction, it.local, it.remote, it.bytes),
        Event::Read(_) | Event::Process(_) | Event::Note(_) => unreachable!("no capture shows processes"),
    }
}

/// What a capture yields.
pub(super) fn told(bytes: Vec<u8>, vantage: Vantage) -> Result<(Vec<String>, PcapSummary), PcapError> {
    let mut lines = Vec::new();
    let summary = read(std::io::Cursor::new(bytes), "test", vantage, &mut |event| lines.push(line(&event)))?;
    Ok((lines, summary))
}
