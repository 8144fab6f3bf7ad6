//! The headers that some format of trace context uses: known by name, kept with their values, in one small block of memory.

/// Values kept of one request: every header that is known and the 32 pieces that a `tracestate` may have. A request with more is hostile.
const MOST_VALUES: usize = 64;
/// Bytes kept of one request: the 8 KiB that a baggage may have, and all else at its longest.
const MOST_BYTES: usize = 16 * 1024;
/// Room that is taken at once: enough for the headers of one or two formats.
const USUAL_BYTES: usize = 192;

/// A header that some format uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    TraceParent,
    TraceState,
    Baggage,
    GrpcTraceBin,
    B3,
    B3TraceId,
    B3SpanId,
    B3Sampled,
    B3Flags,
    Jaeger,
    DatadogTraceId,
    DatadogParentId,
    DatadogPriority,
    DatadogOrigin,
    DatadogTags,
    Sw8,
    OtTraceId,
    OtSpanId,
    OtSampled,
    XRay,
    Gcp,
}

impl Header {
    /// The header of that name in any case. On the path of every header of every request: length and first letter reject nearly all.
    pub(super) fn named(name: &[u8]) -> Option<(&'static str, Self)> {
        let candidates: &[(&'static str, Self)] = match (name.len(), name.first()? | 0x20) {
            (2, b'b') => &[("b3", Self::B3)],
            (3, b's') => &[("sw8", Self::Sw8)],
            (7, b'b') => &[("baggage", Self::Baggage)],
            (10, b't') => &[("tracestate", Self::TraceState)],
            (10, b'x') => &[("x-b3-flags", Self::B3Flags)],
            (11, b't') => &[("traceparent", Self::TraceParent)],
            (11, b'x') => &[("x-b3-spanid", Self::B3SpanId)],
            (12, b'x') => &[("x-b3-traceid", Self::B3TraceId), ("x-b3-sampled", Self::B3Sampled)],
            (13, b'u') => &[("uber-trace-id", Self::Jaeger)],
            (14, b'g') => &[("grpc-trace-bin", Self::GrpcTraceBin)],
            (14, b'x') => &[("x-datadog-tags", Self::DatadogTags)],
            (15, b'x') => &[("x-amzn-trace-id", Self::XRay)],
            (16, b'o') => &[("ot-tracer-spanid", Self::OtSpanId)],
            (16, b'x') => &[("x-datadog-origin", Self::DatadogOrigin)],
            (17, b'o') => &[("ot-tracer-traceid", Self::OtTraceId), ("ot-tracer-sampled", Self::OtSampled)],
            (18, b'x') => &[("x-datadog-trace-id", Self::DatadogTraceId)],
            (19, b'x') => &[("x-datadog-parent-id", Self::DatadogParentId)],
            (21, b'x') => &[("x-cloud-trace-context", Self::Gcp)],
            (27, b'x') => &[("x-datadog-sampling-priority", Self::DatadogPriority)],
            _ => return None,
        };
        candidates.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).copied()
    }
}

/// The headers of one request that some format uses.
#[derive(Debug, Default)]
pub(super) struct Headers {
    /// Of each value its header, its length in two bytes, and the value.
    block: Vec<u8>,
    values: usize,
    /// A bit for each header that is there: a request has those of one format, and every format asks for its own.
    seen: u32,
}

impl Headers {
    pub(super) fn is_empty(&self) -> bool {
        self.values == 0
    }

    /// Keeps a value, without the optional white space of RFC 9110 section 5.6.3 around it. One beyond the bounds is kept as an empty
    /// one, which no format takes for a context.
    pub(super) fn keep(&mut self, header: Header, value: &[u8]) {
        if self.values >= MOST_VALUES {
            return;
        }
        if self.values == 0 {
            self.block.reserve(USUAL_BYTES);
        }
        let value = Some(trim(value)).filter(|value| self.block.len() + value.len() <= MOST_BYTES).unwrap_or_default();
        self.values += 1;
        self.seen |= 1 << header as u32;
        self.block.push(header as u8);
        self.block.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.block.extend_from_slice(value);
    }

    /// The values of a header, in order.
    pub(super) fn all(&self, header: Header) -> impl Iterator<Item = &[u8]> {
        let mut rest = if self.seen & 1 << header as u32 == 0 { &[][..] } else { &self.block };
        std::iter::from_fn(move || {
            let [other, low, high, tail @ ..] = rest else { return None };
            let (value, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
            rest = tail;
            Some((*other, value))
        })
        .filter_map(move |(other, value)| (other == header as u8).then_some(value))
    }

    /// The value of a header that came exactly once: of two, nobody knows which one a server believes.
    pub(super) fn one(&self, header: Header) -> Option<&[u8]> {
        let mut values = self.all(header);
        values.next().filter(|_| values.next().is_none())
    }
}

/// Without spaces and tabs around.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_bounded_and_too_much_is_no_value() {
        let mut headers = Headers::default();
        headers.keep(Header::Baggage, &[b'x'; MOST_BYTES]);
        headers.keep(Header::B3, b" 0 ");
        assert_eq!(headers.one(Header::B3), Some(&b""[..]));
        for _ in 0..2 * MOST_VALUES {
            headers.keep(Header::Sw8, b"");
        }
        assert_eq!((headers.all(Header::Sw8).count(), headers.values), (MOST_VALUES - 2, MOST_VALUES));
        assert!(headers.block.len() <= MOST_BYTES + 3 * MOST_VALUES);
        assert_eq!(headers.one(Header::Baggage).map(<[u8]>::len), Some(MOST_BYTES));
    }
}
