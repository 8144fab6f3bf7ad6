//! Zipkin's B3, in one header or in several. A server of Zipkin shares its client's span; here, as in OpenTelemetry, the span that is
//! named is the parent of the server's own.
use super::headers::{Header, Headers};
use super::{Format, Sampling, TraceContext, digits};

/// Reads `b3`: `TRACE-SPAN[-SAMPLING[-PARENT]]`. A decision without ids is no context.
pub(super) fn single(headers: &Headers) -> Option<TraceContext> {
    let mut parts = headers.one(Header::B3)?.split(|b| *b == b'-');
    let (trace, span) = (digits::trace(parts.next()?)?, digits::span(parts.next()?)?);
    let sampling = match parts.next() {
        None => Sampling::Deferred,
        Some(b"0") => Sampling::Denied,
        Some(b"1") => Sampling::Accepted,
        Some(b"d") => Sampling::Debug,
        Some(_) => return None,
    };
    // The span's own parent is of no use here, but it has to be one.
    let sound = parts.next().is_none_or(|parent| digits::span(parent).is_some()) && parts.next().is_none();
    sound.then(|| TraceContext::new(Format::B3, trace, Some(span), sampling))?
}

/// Reads `X-B3-TraceId`, `-SpanId`, `-Sampled` and `-Flags`.
pub(super) fn multi(headers: &Headers) -> Option<TraceContext> {
    let (trace, span) = (digits::trace(headers.one(Header::B3TraceId)?)?, digits::span(headers.one(Header::B3SpanId)?)?);
    let sampling = match (headers.one(Header::B3Flags), headers.one(Header::B3Sampled)) {
        (Some(b"1"), _) => Sampling::Debug,
        (_, Some(b"1" | b"true")) => Sampling::Accepted,
        (_, Some(b"0" | b"false")) => Sampling::Denied,
        _ => Sampling::Deferred,
    };
    TraceContext::new(Format::B3Multi, trace, Some(span), sampling)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{context, short};
    use super::*;

    #[test]
    fn one_header_is_read_as_its_specification_says() {
        let long = 0x80f1_98ee_5634_3ba8_64fe_8b2a_57d3_eff7;
        let span = Some(0xe457_b5a2_e4d8_6bd1);
        for (value, expected) in [
            ("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90", Some((long, span, Sampling::Accepted))),
            ("80F198EE56343BA864FE8B2A57D3EFF7-E457B5A2E4D86BD1-0", Some((long, span, Sampling::Denied))),
            ("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-d", Some((long, span, Sampling::Debug))),
            ("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1", Some((long, span, Sampling::Deferred))),
            ("a3ce929d0e0e4736-00f067aa0ba902b7-1", Some((0xa3ce_929d_0e0e_4736, Some(0x00f0_67aa_0ba9_02b7), Sampling::Accepted))),
            ("0", None),
            ("d", None),
            ("80f198ee56343ba864fe8b2a57d3eff7", None),
            ("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-extra-extra", None),
            ("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90-extra", None),
            ("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-2", None),
            ("80f198ee56343ba864fe8b2a57d3eff7-x457b5a2e4d86bd1-1", None),
            ("80f198ee56343ba864fe8b2a57d3eff7ab-e457b5a2e4d86bd1-1", None),
            ("00000000000000000000000000000000-e457b5a2e4d86bd1-1", None),
            ("80f198ee56343ba864fe8b2a57d3eff7-0000000000000000-1", None),
            ("", None),
        ] {
            assert_eq!(short(&[("b3", value)]), expected, "{value}");
        }
    }

    #[test]
    fn several_headers_are_read_as_their_specification_says() {
        const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
        const SPAN: &str = "a2fb4a1d1a96d312";
        let read = |trace: &str, span: &str, more: &[(&str, &str)]| {
            short(&[&[("X-B3-TraceId", trace), ("X-B3-SpanId", span)], more].concat()).map(|(_, _, sampling)| sampling)
        };
        for (more, expected) in [
            (&[("X-B3-Sampled", "1")][..], Sampling::Accepted),
            (&[("X-B3-Sampled", "true")], Sampling::Accepted),
            (&[("X-B3-Sampled", "0")], Sampling::Denied),
            (&[("X-B3-Sampled", "false")], Sampling::Denied),
            (&[("X-B3-Sampled", "")], Sampling::Deferred),
            (&[("X-B3-Sampled", "0"), ("X-B3-Flags", "1")], Sampling::Debug),
            (&[("X-B3-Sampled", "1"), ("X-B3-ParentSpanId", "-")], Sampling::Accepted),
            (&[], Sampling::Deferred),
        ] {
            assert_eq!(read(TRACE, SPAN, more), Some(expected), "{more:?}");
        }
        assert_eq!(read("48485a3953bb6124", SPAN, &[]), Some(Sampling::Deferred));
        for (trace, span) in [
            (&TRACE[2..], SPAN),
            ("463ac35c9f6413ad48485a3953bb612400", SPAN),
            (TRACE, &SPAN[2..]),
            (TRACE, "a2fb4a1d1a96d31200"),
            ("00000000000000000000000000000000", SPAN),
            (TRACE, "0000000000000000"),
        ] {
            assert_eq!(read(trace, span, &[]), None, "{trace} {span}");
        }
        assert_eq!(context(&[("X-B3-Sampled", "0")]), None);
    }

    #[test]
    fn several_headers_count_where_the_single_one_is_invalid() {
        let found =
            context(&[("b3", "nonsense"), ("X-B3-TraceId", "463ac35c9f6413ad48485a3953bb6124"), ("X-B3-SpanId", "a2fb4a1d1a96d312")]);
        assert_eq!(found.map(|context| context.format), Some(Format::B3Multi));
    }
}
