//! What a person decided about trace context: which formats are believed in which order, from where, and what becomes of processes
//! that trace themselves. Turns what a request carries into the one [`Header`] that counts.
use super::link::{Cross, Evidence, Link, Reason, SpanLink};
use crate::protocol::context::{Carried, Format, TraceContext};
use std::net::IpAddr;
use std::str::FromStr;

/// What becomes of a process with an OpenTelemetry SDK of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sdk {
    /// Its own spans are enough: none is made for it, and each that was not made is counted.
    #[default]
    Skip,
    /// Spans are made for it, too, and join the traces that its headers name.
    Join,
}

/// Addresses with a common prefix, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether the address is one of them; an IPv4 address within IPv6 is that IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |ours: u128, theirs: u128, width: u32| (ours ^ theirs).checked_shr(width - self.bits).unwrap_or(0) == 0;
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => same(ours.to_bits().into(), theirs.to_bits().into(), 32),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.to_bits(), theirs.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = &'static str;

    /// Reads `ADDRESS/BITS`, or an address alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "write a network such as 10.0.0.0/8 or fd00::/8, or an address";
        let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| WRONG)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| WRONG))?;
        if bits <= width { Ok(Self { address, bits }) } else { Err(WRONG) }
    }
}

/// A key of baggage that may be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaggageKey {
    /// The key.
    pub key: String,
    /// The attribute that its value becomes: `baggage.KEY`.
    pub attribute: &'static str,
}

/// What a person decided about trace context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The formats that are read: of several in one request that disagree, the first counts.
    pub formats: Vec<Format>,
    /// Where headers are believed from; empty means from everywhere.
    pub trusted: Vec<Network>,
    /// What becomes of processes that trace themselves.
    pub sdk: Sdk,
    /// What may be recorded of baggage.
    pub baggage: Vec<BaggageKey>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { formats: Format::ALL.to_vec(), trusted: Vec::new(), sdk: Sdk::Skip, baggage: Vec::new() }
    }
}

impl Policy {
    /// What the contexts of a request come to; `from` is where it came from, `None` a process of this node.
    pub(super) fn header(&self, carried: &Carried, from: Option<IpAddr>) -> Option<Box<Header>> {
        let mut found = self.formats.iter().filter_map(|format| carried.contexts().find(|context| context.format == *format));
        let mut context = found.next()?.clone();
        let mut others = Vec::new();
        for other in found {
            if context.agrees(other) {
                context.complete(other);
            } else {
                others.push(other.clone());
            }
        }
        let trusted = from.is_none_or(|from| self.trusted.is_empty() || self.trusted.iter().any(|network| network.contains(from)));
        Some(Box::new(Header { context, others, trusted }))
    }
}

/// What the contexts of one request come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The one that counts.
    pub(super) context: TraceContext,
    /// Those that disagree with it.
    pub(super) others: Vec<TraceContext>,
    /// Whether it may decide anything.
    pub(super) trusted: bool,
}

impl Header {
    /// Whether `other` was handed on as this one without a change.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        self.context.trace_id == other.context.trace_id && self.context.parent == other.context.parent
    }

    /// The place of a span under the one that the header names; in `root`'s place, with a pointer, if it is not to be believed.
    pub(super) fn place(&self, root: Link) -> Link {
        let Self { context, others, trusted } = self;
        if !trusted {
            let links = SpanLink::to(context, Cross::Untrusted).into_iter().collect();
            return Link { evidence: Evidence::None(Reason::Untrusted), links, ..root };
        }
        let elsewhere = others.iter().filter(|other| !other.same_trace(context));
        Link {
            trace_id: context.trace_id,
            parent: context.parent.map(|parent| (parent, true)),
            flags: context.flags(),
            state: context.state.clone(),
            evidence: context.parent.map_or(Evidence::None(Reason::TraceOnly), |_| Evidence::Header(context.format)),
            links: elsewhere.filter_map(|other| SpanLink::to(other, Cross::Conflict)).collect(),
            ..root
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::context::testing::carried;

    #[test]
    fn a_network_contains_what_has_its_prefix() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.2", false),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            let network: Network = network.parse().expect("a network");
            assert_eq!(network.contains(address.parse().expect("an address")), expected, "{network:?} {address}");
        }
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/8/8", "localhost"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_format_in_order_counts_and_those_that_agree_complete_it() {
        let whole = "4bf92f3577b34da6a3ce929d0e0e4736";
        let found = carried(&[
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
            ("ot-tracer-traceid", &whole[16..]),
            ("ot-tracer-spanid", "00f067aa0ba902b7"),
            ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
            ("x-amzn-trace-id", "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736"),
        ]);
        let found = found.expect("contexts");
        let of = |formats: &[Format]| Policy { formats: formats.to_vec(), ..Policy::default() }.header(&found, None);
        let (parent, otel) = (Some(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()), Format::TraceContext);
        for (order, first, others) in [
            (&[otel, Format::OtTrace, Format::B3, Format::XRay][..], otel, &[Format::B3][..]),
            (&[Format::OtTrace, Format::B3, otel], Format::OtTrace, &[Format::B3]),
            (&[Format::XRay, Format::OtTrace], Format::XRay, &[]),
        ] {
            let header = of(order).expect("a header");
            let others_found: Vec<_> = header.others.iter().map(|other| other.format).collect();
            assert_eq!((header.context.format, &others_found[..]), (first, others), "{order:?}");
            assert_eq!(
                (u128::from_be_bytes(header.context.trace_id), header.context.parent),
                (u128::from_str_radix(whole, 16).unwrap(), parent)
            );
        }
        assert_eq!(of(&[Format::Jaeger]), None);
        assert_eq!(of(&[]), None);
    }
}
