//! The basic tracers of `OpenTracing`: `ot-tracer-*`. They hand on only the lower 64 bits of a trace id, which then agree with a longer one.
use super::headers::{Header, Headers};
use super::{Format, Sampling, TraceContext, digits};

/// Reads `ot-tracer-traceid`, `-spanid` and `-sampled`.
pub(super) fn read(headers: &Headers) -> Option<TraceContext> {
    let (trace, span) = (digits::trace(headers.one(Header::OtTraceId)?)?, digits::span(headers.one(Header::OtSpanId)?)?);
    let sampling = match headers.one(Header::OtSampled) {
        Some(b"1" | b"true") => Sampling::Accepted,
        Some(b"0" | b"false") => Sampling::Denied,
        _ => Sampling::Deferred,
    };
    TraceContext::new(Format::OtTrace, trace, Some(span), sampling)
}

#[cfg(test)]
mod tests {
    use super::super::testing::short;
    use super::*;

    #[test]
    fn the_headers_are_read_as_opentelemetry_reads_them() {
        let (long, short_id, span) = (0xff00_0000_0000_0000_0000_0000_0000_0041, 0xff00_0000_0000_0000, 0xff00_0000_0000_0041);
        let read = |trace: Option<&str>, span: &str, sampled: Option<&str>| {
            let headers = [("ot-tracer-traceid", trace), ("ot-tracer-spanid", Some(span)), ("ot-tracer-sampled", sampled)];
            let headers: Vec<_> = headers.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
            short(&headers)
        };
        for (trace, sampled, expected) in [
            ("ff000000000000000000000000000041", Some("1"), (long, Sampling::Accepted)),
            ("ff00000000000000", Some("true"), (short_id, Sampling::Accepted)),
            ("ff00000000000000", Some("0"), (short_id, Sampling::Denied)),
            ("FF00000000000000", Some("false"), (short_id, Sampling::Denied)),
            ("ff00000000000000", None, (short_id, Sampling::Deferred)),
        ] {
            let (trace_id, sampling) = expected;
            assert_eq!(read(Some(trace), "ff00000000000041", sampled), Some((trace_id, Some(span), sampling)), "{trace} {sampled:?}");
        }
        for (trace, span) in [
            (Some("abcdefghijklmnopabcdefghijklmnop"), "ff00000000000041"),
            (Some("ff00000000000000000000000000004100"), "ff00000000000041"),
            (Some("00000000000000000000000000000000"), "ff00000000000041"),
            (Some("ff00000000000000"), "ff0000000000004"),
            (Some("ff00000000000000"), "0000000000000000"),
            (None, "ff00000000000041"),
        ] {
            assert_eq!(read(trace, span, Some("1")), None, "{trace:?} {span}");
        }
    }
}
