//! The `pcapng` format (draft-ietf-opsawg-pcapng): sections of blocks, each with interfaces of its own.
//!
//! Reads the section header, interface description, enhanced packet, simple packet and obsolete packet blocks; every other block
//! is stepped over.
use super::PcapError;
use super::input::{Input, Order};
use super::link::Link;
use super::source::{Found, LONGEST_PACKET, Next};
use crate::capture::event::Nanos;

/// Longest block that is read rather than stepped over: the longest packet and as much again for options and comments.
const LONGEST_BLOCK: usize = 2 * LONGEST_PACKET;

/// Most interfaces of a section: far more than a host has, 40 bytes each. Packets of others cannot be read.
const MAX_INTERFACES: usize = 4_096;

/// Type and length before a block's body; the length stands behind it once more.
const HEAD: usize = 8;

/// Shortest block: type, length, length.
const SHORTEST_BLOCK: usize = 12;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

/// How many nanoseconds a tick of an interface's clock is.
#[derive(Clone, Copy, Debug)]
enum Tick {
    /// So many.
    Times(u64),
    /// One of so many parts of one.
    Parts(u64),
    /// One of 2^n parts of a second.
    Binary(u32),
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Link,
    snap_length: u32,
    tick: Tick,
    offset_seconds: i64,
}

impl Interface {
    fn nanos(&self, ticks: u64) -> Nanos {
        let nanos = match self.tick {
            Tick::Times(factor) => ticks.saturating_mul(factor),
            Tick::Parts(parts) => ticks / parts.max(1),
            Tick::Binary(bits) => u64::try_from((u128::from(ticks) * 1_000_000_000).checked_shr(bits).unwrap_or(0)).unwrap_or(u64::MAX),
        };
        match self.offset_seconds {
            0 => nanos,
            offset => nanos.saturating_add_signed(offset.saturating_mul(1_000_000_000)),
        }
    }
}

/// The section that is being read.
#[derive(Debug)]
pub(super) struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
}

impl Pcapng {
    /// Whether a file begins with a section header.
    pub(super) fn begins(bytes: &[u8]) -> bool {
        Order::Big.u32(bytes, 0) == Some(SECTION_HEADER)
    }

    /// Before the first block.
    pub(super) fn new() -> Self {
        Self { order: Order::Little, interfaces: Vec::new() }
    }

    /// The next packet.
    pub(super) fn next(&mut self, input: &mut Input) -> Result<Next, PcapError> {
        loop {
            if !input.ensure(SHORTEST_BLOCK)? {
                return Ok(if input.window().is_empty() { Next::End } else { Next::Cut });
            }
            let section = Self::begins(input.window());
            if section && !self.begin_section(input.window()) {
                return Ok(Next::Broken);
            }
            let kind = self.order.u32(input.window(), 0).unwrap_or_default();
            let len = self.order.u32(input.window(), 4).unwrap_or_default() as usize;
            if len < SHORTEST_BLOCK || !len.is_multiple_of(4) {
                return Ok(Next::Broken);
            }
            let packet = matches!(kind, ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET);
            if len > LONGEST_BLOCK || !(packet || section || kind == INTERFACE) {
                if !input.skip(len as u64)? {
                    return Ok(Next::Cut);
                }
                if packet {
                    return Ok(Next::Unreadable);
                }
                if kind == INTERFACE {
                    // Its number must stay taken, or the packets of later ones would be read with the wrong link type.
                    self.describe(&[]);
                }
                continue;
            }
            if !input.ensure(len)? {
                return Ok(Next::Cut);
            }
            let block = input.window().get(..len).unwrap_or_default();
            if self.order.u32(block, len - 4) != Some(len as u32) {
                return Ok(Next::Broken);
            }
            let body = block.get(HEAD..len - 4).unwrap_or_default();
            if packet {
                if let Some(found) = self.packet(kind, body) {
                    return Ok(Next::Packet(Found { offset: HEAD + found.offset, whole: len, ..found }));
                }
                input.step(len);
                return Ok(Next::Unreadable);
            }
            if kind == INTERFACE {
                self.describe(body);
            } else if self.order.u16(body, 4) != Some(1) {
                // Another major version of the format.
                return Ok(Next::Broken);
            }
            input.step(len);
        }
    }

    fn begin_section(&mut self, block: &[u8]) -> bool {
        self.interfaces.clear();
        self.order = match Order::Big.u32(block, HEAD) {
            Some(0x1a2b_3c4d) => Order::Big,
            Some(0x4d3c_2b1a) => Order::Little,
            _ => return false,
        };
        true
    }

    /// Takes an interface description; a body too short for one keeps its number with an unknown link.
    fn describe(&mut self, body: &[u8]) {
        if self.interfaces.len() >= MAX_INTERFACES {
            return;
        }
        let link = self.order.u16(body, 0).map_or(Link::Unknown(u32::MAX), |link| Link::from(u32::from(link)));
        let snap_length = self.order.u32(body, 4).unwrap_or_default();
        let mut interface = Interface { link, snap_length, tick: Tick::Times(1_000), offset_seconds: 0 };
        let mut options = body.get(8..).unwrap_or_default();
        while let (Some(code), Some(len)) = (self.order.u16(options, 0), self.order.u16(options, 2)) {
            let Some(value) = options.get(4..4 + usize::from(len)) else { break };
            match (code, value) {
                (0, _) => break,
                (IF_TSRESOL, [resolution]) => interface.tick = tick(*resolution),
                (IF_TSOFFSET, _) => interface.offset_seconds = self.order.u64(value, 0).unwrap_or_default() as i64,
                _ => {}
            }
            options = options.get(4 + usize::from(len).next_multiple_of(4)..).unwrap_or_default();
        }
        self.interfaces.push(interface);
    }

    /// Finds the packet in the body of its block; `None` if the body contradicts itself.
    fn packet(&self, kind: u32, body: &[u8]) -> Option<Found> {
        let field = |offset| self.order.u32(body, offset);
        let (number, offset) = match kind {
            ENHANCED_PACKET => (field(0)? as usize, 20),
            OBSOLETE_PACKET => (usize::from(self.order.u16(body, 0)?), 20),
            _ => (0, 4),
        };
        let interface = self.interfaces.get(number)?;
        let (at, len, original) = if kind == SIMPLE_PACKET {
            let original = field(0)?;
            let snap = if interface.snap_length == 0 { u32::MAX } else { interface.snap_length };
            (None, (original.min(snap) as usize).min(body.len().checked_sub(4)?), original)
        } else {
            let ticks = u64::from(field(4)?) << 32 | u64::from(field(8)?);
            (Some(interface.nanos(ticks)), field(12)? as usize, field(16)?)
        };
        (len <= LONGEST_PACKET && offset + len <= body.len()).then_some(Found { at, link: interface.link, original, offset, len, whole: 0 })
    }
}

/// `if_tsresol`: the upper bit chooses between powers of two and of ten, the others are the negative exponent.
fn tick(resolution: u8) -> Tick {
    let exponent = u32::from(resolution & 0x7f);
    if resolution & 0x80 != 0 {
        Tick::Binary(exponent)
    } else if exponent <= 9 {
        Tick::Times(10_u64.pow(9 - exponent))
    } else {
        Tick::Parts(10_u64.checked_pow(exponent - 9).unwrap_or(u64::MAX))
    }
}
