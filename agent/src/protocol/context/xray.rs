//! AWS X-Ray: `X-Amzn-Trace-Id`, which load balancers add. It may name a trace and no span.
use super::headers::{Header, Headers, trim};
use super::{Format, Sampling, TraceContext, digits};

/// Reads `KEY=VALUE` fields between semicolons, in any order. A field that is known and broken voids all of them; others are passed over.
pub(super) fn read(headers: &Headers) -> Option<TraceContext> {
    let (mut trace, mut parent, mut sampling) = (None, None, Sampling::Deferred);
    for field in headers.one(Header::XRay)?.split(|b| *b == b';').map(trim) {
        let Some(equals) = field.iter().position(|b| *b == b'=') else { continue };
        let (key, value) = field.split_at(equals);
        match (trim(key), trim(value.strip_prefix(b"=")?)) {
            (b"Root", value) if trace.is_none() => trace = Some(root(value)?),
            (b"Parent", value) => parent = Some(digits::span(value)?),
            (b"Sampled", b"0") => sampling = Sampling::Denied,
            (b"Sampled", b"1") => sampling = Sampling::Accepted,
            (b"Sampled", b"?") => sampling = Sampling::Deferred,
            (b"Root" | b"Sampled", _) => return None,
            _ => {}
        }
    }
    TraceContext::new(Format::XRay, trace?, parent, sampling)
}

/// `1-EPOCH-UNIQUE`: up to 8 and exactly 24 hexadecimal digits.
fn root(value: &[u8]) -> Option<u128> {
    let mut parts = value.strip_prefix(b"1-")?.split(|b| *b == b'-');
    let (epoch, unique) = (digits::hex(parts.next()?, 8)?, parts.next().filter(|unique| unique.len() == 24)?);
    let unique = digits::hex(unique, 24)?;
    parts.next().is_none().then_some(epoch << 96 | unique)
}

#[cfg(test)]
mod tests {
    use super::super::testing::short;
    use super::*;

    #[test]
    fn the_header_is_read_as_aws_documents_it() {
        let trace = 0x8a3c_60f7_d188_f8fa_79d4_8a39_1a77_8fa6;
        let parent = Some(0x5399_5c3f_42cd_8ad8);
        for (value, expected) in [
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
                Some((0x5759_e988_bd86_2e3f_e1be_46a9_9427_2793, parent, Sampling::Accepted)),
            ),
            ("Parent=53995c3f42cd8ad8;Sampled=1;Root=1-8a3c60f7-d188f8fa79d48a391a778fa6", Some((trace, parent, Sampling::Accepted))),
            (
                " Root = 1-8a3c60f7-d188f8fa79d48a391a778fa6 ; Parent=53995c3f42cd8ad8 ;Sampled=0;Lineage=25:a87bd80c:1",
                Some((trace, parent, Sampling::Denied)),
            ),
            (
                "Root=1-1a-d188f8fa79d48a391a778fa6;Parent=53995c3f42cd8ad8;Sampled=1;Foo=Bar",
                Some((0x0000_001a_d188_f8fa_79d4_8a39_1a77_8fa6, parent, Sampling::Accepted)),
            ),
            (
                "Self=1-67891234-12456789abcdef012345678a;Root=1-67891233-abcdef012345678912345678",
                Some((0x6789_1233_abcd_ef01_2345_6789_1234_5678, None, Sampling::Deferred)),
            ),
            ("Root=1-8a3c60f7-d188f8fa79d48a391a778fa6;Sampled=?", Some((trace, None, Sampling::Deferred))),
            ("Root=2-8a3c60f7-d188f8fa79d48a391a778fa6;Parent=53995c3f42cd8ad8", None),
            ("Root=1-8a3c60f7-d188f8fa79d48a391a778fa600", None),
            ("Root=1--d188f8fa79d48a391a778fa6", None),
            ("Root=1-d188f8fa79d48a391a778fa6", None),
            ("Root=1-8a3c60f7-d188f8fa79d48a391a778fa6-1", None),
            ("Root=1-00000000-000000000000000000000000", None),
            ("Root=1-8a3c60f7-d188f8fa79d48a391a778fa6;Parent=53995c3f42cd8ad800", None),
            ("Root=1-8a3c60f7-d188f8fa79d48a391a778fa6;Sampled=10220", None),
            ("Root=1-8a3c60f7-d188f8fa79d48a391a778fa6;Sampled=a", None),
            ("Root=1-8a3c60f7-d188f8fa79d48a391a778fa6;Sampled=", None),
            ("Root=1-8a3c60f7-d188f8fa79d48a391a778fa6;Root=1-5759e988-bd862e3fe1be46a994272793", None),
            ("RootX=1-8a3c60f7-d188f8fa79d48a391a778fa6", None),
            ("Parent=53995c3f42cd8ad8;Sampled=1", None),
            ("", None),
        ] {
            assert_eq!(short(&[("X-Amzn-Trace-Id", value)]), expected, "{value}");
        }
    }
}
