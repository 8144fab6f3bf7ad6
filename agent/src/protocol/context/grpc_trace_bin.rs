//! `OpenCensus`' binary format, as gRPC carries it: `grpc-trace-bin` in base64.
use super::headers::{Header, Headers};
use super::{Format, Sampling, TraceContext};
use crate::protocol::base64;

/// Longest value, in base64: that of version 0 has 40 letters, and what follows it in a later one is not looked at.
const LONGEST: usize = 256;

/// Reads version 0: each field behind its number, in this order, the trace (0), the span (1), and maybe options (2).
pub(super) fn read(headers: &Headers) -> Option<TraceContext> {
    let bytes = base64::decode(headers.one(Header::GrpcTraceBin).filter(|value| value.len() <= LONGEST)?)?;
    let rest = bytes.strip_prefix(&[0, 0])?;
    let (trace, rest) = rest.split_first_chunk::<16>()?;
    let (span, rest) = rest.strip_prefix(&[1])?.split_first_chunk::<8>()?;
    let sampling = match rest {
        [2, options, ..] => Sampling::of(options & 1 > 0),
        [] => Sampling::Deferred,
        _ => return None,
    };
    TraceContext::new(Format::GrpcTraceBin, u128::from_be_bytes(*trace), Some(u64::from_be_bytes(*span)), sampling)
}

#[cfg(test)]
mod tests {
    use super::super::testing::short;
    use super::*;

    #[test]
    fn the_header_is_read_as_opencensus_writes_it() {
        let (trace, span) = (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, Some(0x00f0_67aa_0ba9_02b7));
        for (value, expected) in [
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE=", Some((trace, span, Sampling::Accepted))),
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE", Some((trace, span, Sampling::Accepted))),
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgA=", Some((trace, span, Sampling::Denied))),
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3", Some((trace, span, Sampling::Deferred))),
            // Options announced and not there; another version; too short; zero ids; no base64; nothing.
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3Ag==", None),
            ("AQBL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE=", None),
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQ==", None),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAQDwZ6oLqQK3AgE=", None),
            ("AABL+S81d7NNpqPOkp0ODkc2AQAAAAAAAAAAAgE=", None),
            ("AABL-S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE=", None),
            ("", None),
        ] {
            assert_eq!(short(&[("grpc-trace-bin", value)]), expected, "{value}");
        }
    }
}
