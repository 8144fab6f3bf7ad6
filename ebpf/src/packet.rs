//! A packet at the network layer becomes the TCP facts that the rest needs. IPv4 and IPv6; a datagram is handed on to [`datagram`], and
//! other packets are nothing here.
use crate::{
    datagram::{self, Way},
    ring::count,
};
use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use core::{mem::MaybeUninit, ptr};
use wirespan_abi::{Addresses, drop_cause, tcp_flag};

/// Types of Ethernet frames as they lie in `__sk_buff.protocol`: network byte order.
const IPV4: u32 = 0x0800_u16.to_be() as u32;
const IPV6: u32 = 0x86dd_u16.to_be() as u32;
/// Protocol number of TCP.
const TCP: u8 = 6;
/// Protocol number of UDP.
const UDP: u8 = 17;
/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;
/// IPv6 extension headers that are stepped over; more than two in front of TCP are not seen in practice.
const EXTENSIONS: usize = 4;

/// One TCP segment.
#[derive(Clone, Copy)]
pub struct Packet {
    /// Sequence number of the first payload byte: a SYN takes one before it.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Bits of [`tcp_flag`], and others.
    pub flags: u8,
    /// Whether the network header is IPv6.
    pub v6: bool,
    /// Where the TCP header begins.
    pub transport: u32,
    /// Where the payload begins.
    pub offset: u32,
    /// Payload bytes.
    pub len: u32,
}

impl Packet {
    /// The packet, if it is TCP and says something: payload, or the begin or end of a connection.
    #[inline(always)]
    pub fn parse(skb: *mut __sk_buff, way: Way) -> Option<Self> {
        // SAFETY: fields of the context.
        let (protocol, len) = unsafe { ((*skb).protocol, (*skb).len) };
        let (v6, transport, header) = match protocol {
            IPV4 => {
                let [version, .., next] = direct::<0, [u8; 10]>(skb)?;
                let words = u32::from(version & 0xf);
                if next != TCP {
                    if next == UDP && words == 5 {
                        datagram::passed::<20>(skb, way);
                    }
                    return None;
                }
                if words == 5 { (false, 20, direct::<20, _>(skb)?) } else { (false, words * 4, load(skb, words * 4)?) }
            }
            IPV6 => {
                let next = direct::<6, u8>(skb)?;
                if next == TCP {
                    (true, 40, direct::<40, _>(skb)?)
                } else if next == UDP {
                    datagram::passed::<40>(skb, way);
                    return None;
                } else {
                    let transport = after_extensions(skb, next)?;
                    (true, transport, load(skb, transport)?)
                }
            }
            _ => return None,
        };
        Self::of(header, v6, transport, len)
    }

    #[inline(always)]
    fn of(header: [u8; TCP_HEADER], v6: bool, transport: u32, len: u32) -> Option<Self> {
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let flags = header[13];
        let offset = transport + u32::from(header[12] >> 4) * 4;
        let len = len.checked_sub(offset)?;
        if len == 0 && flags & (tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST) == 0 {
            return None;
        }
        let seq = word(4).wrapping_add(u32::from(flags & tcp_flag::SYN != 0));
        Some(Self { seq, ack: word(8), flags, v6, transport, offset, len })
    }

    /// Whether all of these flags are set.
    #[inline(always)]
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Sequence number after this packet.
    #[inline(always)]
    pub fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len).wrapping_add(u32::from(self.has(tcp_flag::FIN)))
    }

    /// The addresses of an incoming packet, seen from the socket it is for.
    #[inline(always)]
    pub fn addresses(&self, skb: *mut __sk_buff) -> Option<Addresses> {
        let mut addresses = Addresses::default();
        let [remote, local] = ends(skb, self.v6, self.transport, [&mut addresses.remote, &mut addresses.local])?;
        (addresses.remote_port, addresses.local_port) = (remote, local);
        Some(addresses)
    }
}

/// Puts the addresses of the sender and of the receiver to where they belong, which holds zeros, and gives their ports.
#[inline(always)]
pub fn ends(skb: *mut __sk_buff, v6: bool, transport: u32, [source, target]: [&mut [u8; 16]; 2]) -> Option<[u16; 2]> {
    if v6 {
        [*source, *target] = load(skb, 8)?;
    } else {
        let [from, to]: [[u8; 4]; 2] = load(skb, 12)?;
        source[..4].copy_from_slice(&from);
        target[..4].copy_from_slice(&to);
    }
    let ports: [[u8; 2]; 2] = load(skb, transport)?;
    Some(ports.map(u16::from_be_bytes))
}

/// Where the transport header of an IPv6 packet begins, if it is TCP (RFC 8200 section 4).
#[inline(always)]
fn after_extensions(skb: *mut __sk_buff, mut next: u8) -> Option<u32> {
    let mut at = 40;
    for _ in 0..EXTENSIONS {
        let [following, len]: [u8; 2] = load(skb, at)?;
        at += match next {
            TCP => return Some(at),
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => (u32::from(len) + 1) * 8,
            // Fragment header of a packet that was put together again.
            44 => 8,
            _ => return None,
        };
        next = following;
    }
    (next == TCP).then_some(at)
}

/// Reads the linear part of the packet, where the headers are.
#[inline(always)]
pub fn direct<const AT: usize, T: Copy>(skb: *mut __sk_buff) -> Option<T> {
    // SAFETY: fields of the context.
    let (data, end) = unsafe { ((*skb).data as usize, (*skb).data_end as usize) };
    if data + AT + size_of::<T>() > end {
        return load(skb, AT as u32);
    }
    // SAFETY: inside the packet, as just compared.
    Some(unsafe { ptr::read_unaligned((data + AT) as *const T) })
}

/// Reads any part of the packet.
#[inline(always)]
fn load<T: Copy>(skb: *mut __sk_buff, at: u32) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper fills the whole value or fails.
    if unsafe { bpf_skb_load_bytes(skb.cast_const().cast(), at, value.as_mut_ptr().cast(), size_of::<T>() as u32) } != 0 {
        count(drop_cause::FAULT, 1);
        return None;
    }
    // SAFETY: filled, and every bit pattern is valid for the integers and arrays that are read here.
    Some(unsafe { value.assume_init() })
}
