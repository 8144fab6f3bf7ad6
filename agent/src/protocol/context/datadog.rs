//! Datadog: `x-datadog-*`, with decimal ids of 64 bits and the upper half of the trace id in a tag.
use super::headers::{Header, Headers, trim};
use super::{Format, Sampling, TraceContext, digits};

/// Longest `x-datadog-tags`; Datadog's own tracers drop longer ones.
const LONGEST_TAGS: usize = 512;

/// Reads the headers. A parent of zero, which traces that Datadog itself starts have, makes it a trace without a span.
pub(super) fn read(headers: &Headers) -> Option<TraceContext> {
    let (low, parent) = (number(headers.one(Header::DatadogTraceId)?)?, number(headers.one(Header::DatadogParentId)?)?);
    let tags = headers.one(Header::DatadogTags).filter(|tags| tags.len() <= LONGEST_TAGS);
    let high = tags.and_then(upper_half).unwrap_or(0);
    let sampling = match headers.one(Header::DatadogPriority) {
        Some(b"1" | b"2") => Sampling::Accepted,
        Some(b"0" | b"-1") => Sampling::Denied,
        _ => Sampling::Deferred,
    };
    let alone = parent == 0 && headers.one(Header::DatadogOrigin) == Some(b"synthetics");
    // The lower half alone must not be zero: it is what Datadog calls the trace id.
    let trace = if low == 0 { 0 } else { u128::from(high) << 64 | u128::from(low) };
    TraceContext::new(Format::Datadog, trace, (!alone).then_some(parent), sampling)
}

/// Decimal digits; a negative number is the two's complement that signed languages write.
fn number(value: &[u8]) -> Option<u64> {
    match value.strip_prefix(b"-") {
        Some(digits) => digits::decimal(digits).filter(|number| *number <= 1 << 63).map(u64::wrapping_neg),
        None => digits::decimal(value),
    }
}

/// The 16 lowercase digits of `_dd.p.tid`.
fn upper_half(tags: &[u8]) -> Option<u64> {
    let digits = tags.split(|b| *b == b',').find_map(|tag| trim(tag).strip_prefix(b"_dd.p.tid="))?;
    digits::span(digits).filter(|_| !digits.iter().any(u8::is_ascii_uppercase))
}

#[cfg(test)]
mod tests {
    use super::super::testing::short;
    use super::*;

    fn read(trace: &str, parent: &str, more: &[(&str, &str)]) -> Option<(u128, Option<u64>, Sampling)> {
        short(&[&[("x-datadog-trace-id", trace), ("x-datadog-parent-id", parent)], more].concat())
    }

    #[test]
    fn the_headers_are_read_as_datadogs_tracers_read_them() {
        let low: u64 = 0x1122_10f4_7de9_8115;
        for (trace, parent, priority, tags, expected) in [
            (
                "1234567890123456789",
                "987654321",
                Some("1"),
                "_dd.p.tid=640cfd8d00000000",
                Some((0x640c_fd8d_0000_0000 << 64 | u128::from(low), Some(0x3ade_68b1), Sampling::Accepted)),
            ),
            (
                "14734487376766342168",
                "987654321",
                Some("0"),
                "_dd.p.tid=67ce898700000000",
                Some((0x67ce_8987_0000_0000_cc7b_6a33_d7a2_9418, Some(0x3ade_68b1), Sampling::Denied)),
            ),
            (
                "1",
                "987654321",
                Some("2"),
                "_dd.p.dm=-4, _dd.p.tid=1111111111111111",
                Some((0x1111_1111_1111_1111_0000_0000_0000_0001, Some(0x3ade_68b1), Sampling::Accepted)),
            ),
            (
                "18446744073709551615",
                "18446744073709551614",
                None,
                "",
                Some((u128::from(u64::MAX), Some(u64::MAX - 1), Sampling::Deferred)),
            ),
            ("-1", "-2", Some("-1"), "", Some((u128::from(u64::MAX), Some(u64::MAX - 1), Sampling::Denied))),
            ("2", "2", Some("1"), "_dd.p.tid=XYZ", Some((2, Some(2), Sampling::Accepted))),
            ("2", "2", Some("1"), "_dd.p.tid=64FCFD8D00000000", Some((2, Some(2), Sampling::Accepted))),
            ("0", "2", Some("1"), "_dd.p.tid=640cfd8d00000000", None),
            ("1", "0", None, "", None),
            ("abc", "1", None, "", None),
            ("", "1", None, "", None),
            ("+1", "1", None, "", None),
            ("-9223372036854775809", "1", None, "", None),
            ("18446744073709551616", "1", None, "", None),
        ] {
            let tags = ("x-datadog-tags", tags);
            let more: Vec<_> = priority.map(|priority| ("x-datadog-sampling-priority", priority)).into_iter().chain([tags]).collect();
            assert_eq!(read(trace, parent, &more), expected, "{trace} {parent} {more:?}");
        }
    }

    #[test]
    fn a_trace_that_datadog_started_has_no_parent() {
        assert_eq!(read("1", "0", &[("x-datadog-origin", "synthetics")]), Some((1, None, Sampling::Deferred)));
        assert_eq!(read("1", "0", &[("x-datadog-origin", "rum")]), None);
    }
}
