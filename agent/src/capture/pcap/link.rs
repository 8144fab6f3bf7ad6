//! A captured frame becomes a TCP segment, or a datagram that could be DNS: link layer, VLAN tags, IPv4 or IPv6, header. Pure; the bytes are
//! hostile and may be cut.
//!
//! Lengths on the wire come from the IP header, so that padding is no payload; where it says zero, because the network card was to
//! cut the packet, they come from the frame.
use super::Skip;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use wirespan_abi::{dns, tcp_flag};

/// Most VLAN tags in a row: two are common (802.1ad), more are a loop of a generator.
const MAX_TAGS: usize = 4;

/// Most IPv6 extension headers in a row, as RFC 8504 section 5.3 lets a host limit them.
const MAX_EXTENSIONS: usize = 8;

/// Longest packet whose IP header does not say its length: twice what the largest offload of Linux makes (`GSO_MAX_SIZE`).
const LONGEST_OFFLOADED: usize = 1024 * 1024;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What the first bytes of a frame are, by the numbers of the tcpdump.org registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// 1: Ethernet.
    Ethernet,
    /// 0 and 108: BSD loopback, an address family in either byte order.
    Loopback,
    /// 12, 14, 101, 228, 229: IP.
    Raw,
    /// 113: Linux cooked, version 1.
    Cooked1,
    /// 276: Linux cooked, version 2.
    Cooked2,
    /// Another one.
    Unknown(u32),
}

impl From<u32> for Link {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::Ethernet,
            0 | 108 => Self::Loopback,
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            113 => Self::Cooked1,
            276 => Self::Cooked2,
            _ => Self::Unknown(number),
        }
    }
}

/// One end of a connection. An IPv4 address is mapped into IPv6 (RFC 4291 section 2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Endpoint {
    pub(super) address: u128,
    pub(super) port: u16,
}

impl From<Endpoint> for SocketAddr {
    fn from(end: Endpoint) -> Self {
        Self::new(IpAddr::V6(Ipv6Addr::from_bits(end.address)).to_canonical(), end.port)
    }
}

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Segment(Segment<'a>),
    Datagram(Datagram<'a>),
}

/// A datagram that could be DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) source: Endpoint,
    pub(super) target: Endpoint,
    /// IPv4 identification; zero for IPv6.
    pub(super) id: u16,
    /// The first payload bytes.
    pub(super) bytes: &'a [u8],
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    pub(super) source: Endpoint,
    pub(super) target: Endpoint,
    /// IPv4 identification; zero for IPv6.
    pub(super) id: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// Bits of [`tcp_flag`].
    pub(super) flags: u8,
    /// Payload bytes on the wire.
    pub(super) len: u32,
    /// The first of them that were captured.
    pub(super) bytes: &'a [u8],
}

/// Finds what is in a frame that had `original` bytes on the wire.
pub(super) fn parse(link: Link, frame: &[u8], original: u32) -> Result<Packet<'_>, Skip> {
    let packet = match link {
        Link::Ethernet => {
            let (head, rest) = frame.split_first_chunk::<14>().ok_or(Skip::CutHeader)?;
            untagged(u16::from_be_bytes([head[12], head[13]]), rest)?
        }
        Link::Cooked1 => {
            let (head, rest) = frame.split_first_chunk::<16>().ok_or(Skip::CutHeader)?;
            untagged(u16::from_be_bytes([head[14], head[15]]), rest)?
        }
        Link::Cooked2 => {
            let (head, rest) = frame.split_first_chunk::<20>().ok_or(Skip::CutHeader)?;
            untagged(u16::from_be_bytes([head[0], head[1]]), rest)?
        }
        Link::Loopback => {
            let (head, rest) = frame.split_first_chunk::<4>().ok_or(Skip::CutHeader)?;
            // Families are small numbers: read the wrong way round they are large.
            match u32::from_le_bytes(*head).min(u32::from_be_bytes(*head)) {
                2 | 10 | 23 | 24 | 28 | 30 => rest,
                _ => return Err(Skip::NotTcp),
            }
        }
        Link::Raw => frame,
        Link::Unknown(_) => return Err(Skip::UnknownLink),
    };
    let wire = (original as usize).max(frame.len()) - (frame.len() - packet.len());
    match packet.first().ok_or(Skip::CutHeader)? >> 4 {
        4 => ipv4(packet, wire),
        6 => ipv6(packet, wire),
        _ => Err(Skip::NotTcp),
    }
}

/// What follows the VLAN tags, if it is IP.
fn untagged(mut kind: u16, mut rest: &[u8]) -> Result<&[u8], Skip> {
    for _ in 0..=MAX_TAGS {
        match kind {
            0x0800 | 0x86dd => return Ok(rest),
            0x8100 | 0x88a8 | 0x9100 => {
                let (tag, after) = rest.split_first_chunk::<4>().ok_or(Skip::CutHeader)?;
                kind = u16::from_be_bytes([tag[2], tag[3]]);
                rest = after;
            }
            _ => return Err(Skip::NotTcp),
        }
    }
    Err(Skip::Malformed)
}

/// The length an IP header says, or where it says none, the one of the frame.
fn total(said: usize, frame: usize) -> Result<usize, Skip> {
    match said {
        0 if frame > LONGEST_OFFLOADED => Err(Skip::Malformed),
        0 => Ok(frame),
        said => Ok(said),
    }
}

/// RFC 791 section 3.1.
fn ipv4(packet: &[u8], wire: usize) -> Result<Packet<'_>, Skip> {
    let head = packet.first_chunk::<20>().ok_or(Skip::CutHeader)?;
    let kind = head[9];
    if !matches!(kind, TCP | UDP) {
        return Err(Skip::NotTcp);
    }
    let header_len = usize::from(head[0] & 15) * 4;
    let total = total(usize::from(u16::from_be_bytes([head[2], head[3]])), wire)?;
    if header_len < 20 || total < header_len {
        return Err(Skip::Malformed);
    }
    if u16::from_be_bytes([head[6], head[7]]) & 0x1fff != 0 {
        return Err(Skip::Fragment);
    }
    let mapped = |address: [u8; 4]| u128::from(u32::from_be_bytes(address)) | 0xffff_0000_0000;
    let source = mapped([head[12], head[13], head[14], head[15]]);
    let target = mapped([head[16], head[17], head[18], head[19]]);
    let id = u16::from_be_bytes([head[4], head[5]]);
    let inside = packet.get(header_len..).ok_or(Skip::CutHeader)?;
    if kind == UDP { udp(inside, source, target, id) } else { tcp(inside, total - header_len, source, target, id) }
}

/// RFC 8200 sections 3 and 4.
fn ipv6(packet: &[u8], wire: usize) -> Result<Packet<'_>, Skip> {
    let (head, mut rest) = packet.split_first_chunk::<40>().ok_or(Skip::CutHeader)?;
    let (addresses, _) = packet.get(8..).unwrap_or_default().as_chunks::<16>();
    let [source, target, ..] = addresses else { return Err(Skip::CutHeader) };
    let mut left = total(usize::from(u16::from_be_bytes([head[4], head[5]])), wire.saturating_sub(40))?;
    let mut kind = head[6];
    for _ in 0..=MAX_EXTENSIONS {
        // Hop-by-hop options, routing, fragment, authentication (RFC 4302), destination options.
        let unit = match kind {
            TCP => return tcp(rest, left, u128::from_be_bytes(*source), u128::from_be_bytes(*target), 0),
            UDP => return udp(rest, u128::from_be_bytes(*source), u128::from_be_bytes(*target), 0),
            0 | 43 | 44 | 60 => 8,
            51 => 4,
            _ => return Err(Skip::NotTcp),
        };
        let extension = rest.first_chunk::<4>().ok_or(Skip::CutHeader)?;
        if kind == 44 && u16::from_be_bytes([extension[2], extension[3]]) & 0xfff8 != 0 {
            return Err(Skip::Fragment);
        }
        let len = match kind {
            44 => 8,
            51 => (usize::from(extension[1]) + 2) * unit,
            _ => (usize::from(extension[1]) + 1) * unit,
        };
        kind = extension[0];
        left = left.checked_sub(len).ok_or(Skip::Malformed)?;
        rest = rest.get(len..).ok_or(Skip::CutHeader)?;
    }
    Err(Skip::Malformed)
}

/// RFC 9293 section 3.1. `wire` is the length of header and payload on the wire; `packet` may be shorter or, with padding, longer.
fn tcp(packet: &[u8], wire: usize, source: u128, target: u128, id: u16) -> Result<Packet<'_>, Skip> {
    let head = packet.first_chunk::<20>().ok_or(Skip::CutHeader)?;
    let header_len = usize::from(head[12] >> 4) * 4;
    if header_len < 20 || wire < header_len {
        return Err(Skip::Malformed);
    }
    let len = wire - header_len;
    let captured = packet.get(header_len..).unwrap_or_default();
    let source = Endpoint { address: source, port: u16::from_be_bytes([head[0], head[1]]) };
    let target = Endpoint { address: target, port: u16::from_be_bytes([head[2], head[3]]) };
    if source == target {
        // A socket connected to itself would be both ends; the old "land" attack looks the same.
        return Err(Skip::Malformed);
    }
    Ok(Packet::Segment(Segment {
        source,
        target,
        id,
        seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ack: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        flags: head[13] & (tcp_flag::FIN | tcp_flag::SYN | tcp_flag::RST | tcp_flag::ACK),
        len: len as u32,
        bytes: captured.get(..len).unwrap_or(captured),
    }))
}

/// RFC 768.
fn udp(packet: &[u8], source: u128, target: u128, id: u16) -> Result<Packet<'_>, Skip> {
    let (head, rest) = packet.split_first_chunk::<8>().ok_or(Skip::CutHeader)?;
    let [s1, s0, t1, t0, l1, l0, ..] = *head;
    let source = Endpoint { address: source, port: u16::from_be_bytes([s1, s0]) };
    let target = Endpoint { address: target, port: u16::from_be_bytes([t1, t0]) };
    let len = usize::from(u16::from_be_bytes([l1, l0])).saturating_sub(head.len());
    let bytes = rest.get(..len).unwrap_or(rest);
    match bytes.first_chunk() {
        Some(header) if dns::is_wanted([source.port, target.port], *header) => Ok(Packet::Datagram(Datagram { source, target, id, bytes })),
        _ => Err(Skip::NotTcp),
    }
}
