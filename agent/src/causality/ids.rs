//! Ids from the wire: both ends of a connection compute the same ones, with no byte exchanged.
//!
//! The key of a request is the sequence number of its first byte and the acknowledgement number of the segment that carried it.
//! Address translation changes neither. The ids are fixed mixes of that key: the finaliser of `SplitMix64` (Steele, Lea, Flood 2014)
//! over the key xor a constant for each purpose. Changing one of them breaks traces across agents of different versions.
use crate::flow::stream::Point;

/// What both ends of a connection know of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireKey {
    /// Sequence number of the request's first byte.
    pub seq: u32,
    /// Acknowledgement number of the segment that carried it.
    pub ack: u32,
}

const CLIENT_SPAN: u64 = 0x636c_6965_6e74_2d31;
const SERVER_SPAN: u64 = 0x7365_7276_6572_2d31;
const TRACE_HIGH: u64 = 0x7472_6163_652d_6831;
const TRACE_LOW: u64 = 0x7472_6163_652d_6c31;

impl From<Point> for WireKey {
    fn from(asked: Point) -> Self {
        Self { seq: asked.seq, ack: asked.ack }
    }
}

impl WireKey {
    fn number(self) -> u64 {
        u64::from(self.seq) << 32 | u64::from(self.ack)
    }

    /// Id of the client's span.
    #[must_use]
    pub fn client_span(self) -> [u8; 8] {
        mix(self.number() ^ CLIENT_SPAN).to_be_bytes()
    }

    /// Id of the server's span.
    #[must_use]
    pub fn server_span(self) -> [u8; 8] {
        mix(self.number() ^ SERVER_SPAN).to_be_bytes()
    }

    /// Id of the trace that begins with this request.
    #[must_use]
    pub fn trace(self) -> [u8; 16] {
        trace(self.number())
    }
}

/// Ids of a connection that was never made: of its trace and its span, from what only this host knows.
#[must_use]
pub fn of_failed_connect(socket: u64, at: u64) -> ([u8; 16], [u8; 8]) {
    let number = mix(socket) ^ at;
    (trace(number), mix(number ^ CLIENT_SPAN).to_be_bytes())
}

fn trace(number: u64) -> [u8; 16] {
    (u128::from(mix(number ^ TRACE_HIGH)) << 64 | u128::from(mix(number ^ TRACE_LOW))).to_be_bytes()
}

/// A bijection of 64-bit numbers in which every bit depends on every bit; zero, which no id may be, is moved away.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These values are a promise to agents of other versions.
    #[test]
    fn ids_are_fixed() {
        let key = WireKey { seq: 1, ack: 2 };
        let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!(
            [hex(&key.client_span()), hex(&key.server_span()), hex(&key.trace())],
            ["16be11e60b983dc4", "65a04f71de23d37a", "1b8ef4613a2a612352c4e24cd86e767f"]
        );
    }

    #[test]
    fn purposes_and_keys_give_different_ids() {
        let (a, b) = (WireKey { seq: 1, ack: 2 }, WireKey { seq: 2, ack: 1 });
        let ids = [a.client_span(), a.server_span(), b.client_span(), b.server_span()];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_ne!(a.trace(), b.trace());
    }
}
