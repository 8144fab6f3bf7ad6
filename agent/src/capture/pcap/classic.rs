//! The `pcap` format (draft-ietf-opsawg-pcap): a header of 24 bytes, then packets, each after a header of 16 bytes.
use super::PcapError;
use super::input::{Input, Order};
use super::link::Link;
use super::source::{Found, LONGEST_PACKET, Next};

/// Bytes of the file's header.
pub(super) const HEADER: usize = 24;

/// Bytes of a packet's header: seconds, fraction, captured length, original length.
const RECORD: usize = 16;

/// How a file writes its numbers and what its packets are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classic {
    order: Order,
    /// Nanoseconds per unit of the fraction.
    unit: u64,
    link: Link,
}

impl Classic {
    /// What the first bytes of a file say, if it is this format.
    pub(super) fn begins(header: &[u8]) -> Option<Self> {
        let (order, unit) = match Order::Big.u32(header, 0)? {
            0xa1b2_c3d4 => (Order::Big, 1_000),
            0xd4c3_b2a1 => (Order::Little, 1_000),
            0xa1b2_3c4d => (Order::Big, 1),
            0x4d3c_b2a1 => (Order::Little, 1),
            _ => return None,
        };
        // The upper half of the link type's field tells about the frame check sequence, which lies behind the IP packet.
        let link = Link::from(order.u32(header, 20).unwrap_or_default() & 0xffff);
        Some(Self { order, unit, link })
    }

    /// What the packets are.
    pub(super) fn link(&self) -> Link {
        self.link
    }

    /// The next packet.
    pub(super) fn next(&mut self, input: &mut Input) -> Result<Next, PcapError> {
        if !input.ensure(RECORD)? {
            return Ok(if input.window().is_empty() { Next::End } else { Next::Cut });
        }
        let header = input.window();
        let field = |offset| self.order.u32(header, offset).unwrap_or_default();
        let (seconds, fraction, len, original) = (field(0), field(4), field(8) as usize, field(12));
        if len > LONGEST_PACKET {
            return Ok(Next::Broken);
        }
        if !input.ensure(RECORD + len)? {
            return Ok(Next::Cut);
        }
        let at = Some(u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit);
        Ok(Next::Packet(Found { at, link: self.link, original, offset: RECORD, len, whole: RECORD + len }))
    }
}
