//! Google Cloud: `X-Cloud-Trace-Context`, which load balancers add. It may name a trace and no span; its span id is decimal.
use super::headers::{Header, Headers};
use super::{Format, Sampling, TraceContext, digits};

/// Digits of a trace id.
const TRACE: usize = 32;

/// Reads `TRACE[/SPAN][;o=OPTIONS]`.
pub(super) fn read(headers: &Headers) -> Option<TraceContext> {
    let (trace, rest) = headers.one(Header::Gcp)?.split_at_checked(TRACE)?;
    let options = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
    let (span, options) = rest.split_at(options);
    let span = match span {
        [] | [b'/'] => 0,
        [b'/', span @ ..] => digits::decimal(span)?,
        _ => return None,
    };
    let sampling = match options {
        [] | b";o=" => Sampling::Deferred,
        _ => Sampling::of(u32::try_from(digits::decimal(options.strip_prefix(b";o=")?)?).ok()? & 1 > 0),
    };
    TraceContext::new(Format::Gcp, digits::trace(trace)?, Some(span).filter(|span| *span > 0), sampling)
}

#[cfg(test)]
mod tests {
    use super::super::testing::short;
    use super::*;

    #[test]
    fn the_header_is_read_as_google_documents_it() {
        let trace = 0x0000_0000_0000_007b_0000_0000_0000_01c8;
        for (value, expected) in [
            ("000000000000007b00000000000001c8/789;o=1", Some((trace, Some(0x315), Sampling::Accepted))),
            ("000000000000007b00000000000001c8/789;o=0", Some((trace, Some(0x315), Sampling::Denied))),
            ("000000000000007b00000000000001c8/789", Some((trace, Some(0x315), Sampling::Deferred))),
            ("000000000000007b00000000000001c8/789;o=", Some((trace, Some(0x315), Sampling::Deferred))),
            ("000000000000007b00000000000001c8/;o=1", Some((trace, None, Sampling::Accepted))),
            ("000000000000007b00000000000001c8/0;o=1", Some((trace, None, Sampling::Accepted))),
            ("000000000000007b00000000000001c8;o=1", Some((trace, None, Sampling::Accepted))),
            ("000000000000007b00000000000001c8", Some((trace, None, Sampling::Deferred))),
            ("000000000000007b00000000000001c8/18446744073709551615;o=0", Some((trace, Some(u64::MAX), Sampling::Denied))),
            ("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF/18446744073709551615;o=4294967295", Some((u128::MAX, Some(u64::MAX), Sampling::Accepted))),
            ("", None),
            ("000000007b0000001c8", None),
            ("00000000000000000000000000000000/1", None),
            ("000000000000007b00000000000001c8ab", None),
            ("000000000000007b00000000000001c8/ab;o=1", None),
            ("000000000000007b00000000000001c8/123;o=4294967296", None),
            ("000000000000007b00000000000001c8/123;o=1;x", None),
            ("000000000000007b00000000000001c8/18446744073709551616", None),
        ] {
            assert_eq!(short(&[("X-Cloud-Trace-Context", value)]), expected, "{value}");
        }
    }
}
