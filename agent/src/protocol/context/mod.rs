//! Trace context that a request carries: facts about who made it.
//!
//! A decoder gives a [`Finder`] every header as it meets it, and gets what the request [`Carried`]: a [`TraceContext`] for each format
//! whose grammar its headers keep. What breaks a grammar yields nothing: a wrong parent is worse than none. One format, one file. Which
//! of several formats counts is not decided here.
mod b3;
mod baggage;
mod datadog;
mod digits;
mod gcp;
mod grpc_trace_bin;
mod headers;
mod jaeger;
mod ottrace;
mod sw8;
#[cfg(any(test, fuzzing))]
pub mod testing;
mod w3c;
mod xray;

use headers::{Header, Headers};
use std::sync::Arc;

/// A format of trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// W3C Trace Context, level 2: `traceparent` and `tracestate`.
    TraceContext,
    /// `OpenCensus`' binary format, as gRPC carries it: `grpc-trace-bin`.
    GrpcTraceBin,
    /// Zipkin's B3 in one header: `b3`.
    B3,
    /// Zipkin's B3 in several headers: `x-b3-*`.
    B3Multi,
    /// Jaeger: `uber-trace-id`.
    Jaeger,
    /// Datadog: `x-datadog-*`.
    Datadog,
    /// Apache `SkyWalking`, version 3 of its header: `sw8`.
    Sw8,
    /// The basic tracers of `OpenTracing`: `ot-tracer-*`.
    OtTrace,
    /// AWS X-Ray: `x-amzn-trace-id`.
    XRay,
    /// Google Cloud: `x-cloud-trace-context`.
    Gcp,
}

impl Format {
    /// Every format, in the order in which they are believed unless a person says otherwise: those that load balancers add of their own
    /// accord come last, because the application's are nearer to the truth.
    pub const ALL: [Self; 10] = [
        Self::TraceContext,
        Self::GrpcTraceBin,
        Self::B3,
        Self::B3Multi,
        Self::Jaeger,
        Self::Datadog,
        Self::Sw8,
        Self::OtTrace,
        Self::XRay,
        Self::Gcp,
    ];

    /// Its name in `OTEL_PROPAGATORS`, and in `wirespan.link` after `header:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TraceContext => "tracecontext",
            Self::GrpcTraceBin => "grpc-trace-bin",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
            Self::Jaeger => "jaeger",
            Self::Datadog => "datadog",
            Self::Sw8 => "sw8",
            Self::OtTrace => "ottrace",
            Self::XRay => "xray",
            Self::Gcp => "gcp",
        }
    }

    fn read(self, headers: &Headers) -> Option<TraceContext> {
        match self {
            Self::TraceContext => w3c::read(headers),
            Self::GrpcTraceBin => grpc_trace_bin::read(headers),
            Self::B3 => b3::single(headers),
            Self::B3Multi => b3::multi(headers),
            Self::Jaeger => jaeger::read(headers),
            Self::Datadog => datadog::read(headers),
            Self::Sw8 => sw8::read(headers),
            Self::OtTrace => ottrace::read(headers),
            Self::XRay => xray::read(headers),
            Self::Gcp => gcp::read(headers),
        }
    }
}

/// What the sender decided about recording the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Nothing: whoever comes next decides.
    Deferred,
    /// It is not recorded.
    Denied,
    /// It is recorded.
    Accepted,
    /// It is recorded, and somebody is looking for a fault.
    Debug,
}

impl Sampling {
    fn of(sampled: bool) -> Self {
        if sampled { Self::Accepted } else { Self::Denied }
    }
}

/// A context found in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// How it was written.
    pub format: Format,
    /// Trace, never zero. Of formats with 64 bits the upper half is zero.
    pub trace_id: [u8; 16],
    /// The span that made the request, never zero; some formats may name a trace alone.
    pub parent: Option<[u8; 8]>,
    /// What the sender decided.
    pub sampling: Sampling,
    /// The lower 56 bits of the trace id are random (W3C level 2).
    pub random: bool,
    /// W3C `tracestate`, if it was valid.
    pub state: Option<Box<str>>,
}

impl TraceContext {
    /// `None` if an id is zero, which none may be.
    fn new(format: Format, trace: u128, parent: Option<u64>, sampling: Sampling) -> Option<Self> {
        (trace != 0 && parent != Some(0)).then(|| Self {
            format,
            trace_id: trace.to_be_bytes(),
            parent: parent.map(u64::to_be_bytes),
            sampling,
            random: false,
            state: None,
        })
    }

    /// W3C trace flags of a span that continues it: what was left open is recorded.
    #[must_use]
    pub fn flags(&self) -> u8 {
        u8::from(self.sampling != Sampling::Denied) | u8::from(self.random) << 1
    }

    /// Whether both name the same trace, as far as the one with fewer bits goes.
    #[must_use]
    pub fn same_trace(&self, other: &Self) -> bool {
        let (ours, theirs) = (u128::from_be_bytes(self.trace_id), u128::from_be_bytes(other.trace_id));
        ours == theirs || (ours as u64 == theirs as u64 && (ours >> 64 == 0 || theirs >> 64 == 0))
    }

    /// Whether both may be the same fact: the same trace, and not two different spans.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.same_trace(other) && (self.parent == other.parent || self.parent.is_none() || other.parent.is_none())
    }

    /// Takes over what a context that agrees with this one knows besides: the upper half of the trace id, the span, the decision, the
    /// state.
    pub fn complete(&mut self, other: &Self) {
        if u128::from_be_bytes(self.trace_id) >> 64 == 0 {
            self.trace_id = other.trace_id;
        }
        self.parent = self.parent.or(other.parent);
        if self.sampling == Sampling::Deferred {
            self.sampling = other.sampling;
        }
        self.random |= other.random;
        if self.state.is_none() {
            self.state.clone_from(&other.state);
        }
    }
}

/// What a request carries about its trace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// What the first format says, and what the others say: most requests have one, which then needs no list.
    first: Option<TraceContext>,
    others: Vec<TraceContext>,
    /// The members of its `baggage`, as they were written. They may be anybody's secrets: see [`Self::baggage`].
    baggage: Box<[u8]>,
}

impl Carried {
    /// What each format says, in the order of [`Format::ALL`].
    pub fn contexts(&self) -> impl Iterator<Item = &TraceContext> {
        self.first.iter().chain(&self.others)
    }

    /// The value of a key of its W3C baggage.
    #[must_use]
    pub fn baggage(&self, key: &str) -> Option<String> {
        baggage::value(&self.baggage, key)
    }
}

/// The name of a header that some format uses, in lower case; `None` for all others.
#[must_use]
pub fn header_name(name: &[u8]) -> Option<&'static str> {
    Header::named(name).map(|(name, _)| name)
}

/// Collects what a request carries from its headers, as a decoder meets them. One that carries nothing costs no allocation.
#[derive(Debug, Default)]
pub struct Finder {
    headers: Headers,
}

impl Finder {
    /// Takes a header; most are passed over after a look at the name's length and first letter. The name may be in any case; the value
    /// is as it was on the wire, binary ones (`-bin`) still in base64.
    pub fn header(&mut self, name: &[u8], value: &[u8]) {
        if let Some((_, header)) = Header::named(name) {
            self.headers.keep(header, value);
        }
    }

    /// All headers were taken; `None` if there was nothing in them.
    #[must_use]
    pub fn carried(&self) -> Option<Arc<Carried>> {
        if self.headers.is_empty() {
            return None;
        }
        let mut contexts = Format::ALL.into_iter().filter_map(|format| format.read(&self.headers));
        let (first, others) = (contexts.next(), contexts.collect());
        let baggage = baggage::joined(&self.headers);
        (first.is_some() || !baggage.is_empty()).then(|| Arc::new(Carried { first, others, baggage }))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::carried;
    use super::*;
    use proptest::prelude::*;

    const TRACEPARENT: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

    fn context(format: Format, trace: u128, span: u64) -> TraceContext {
        TraceContext::new(format, trace, Some(span), Sampling::Accepted).expect("not zero")
    }

    #[test]
    fn a_request_without_context_carries_nothing() {
        assert_eq!(carried(&[("host", "test"), ("x-request-id", "17"), ("b4", "1-2-3"), ("", "")]), None);
        assert_eq!(carried(&[("traceparent", "nonsense"), ("baggage", " , ")]), None);
    }

    #[test]
    fn every_format_of_a_request_is_found_whatever_the_case_of_its_name() {
        let found = carried(&[
            ("X-Cloud-Trace-Context", "4bf92f3577b34da6a3ce929d0e0e4736/67667974448284343;o=1"),
            ("X-Amzn-Trace-Id", "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"),
            ("OT-Tracer-TraceID", "a3ce929d0e0e4736"),
            ("OT-Tracer-SpanID", "00f067aa0ba902b7"),
            ("OT-Tracer-Sampled", "true"),
            ("Uber-Trace-Id", "4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1"),
            ("X-Datadog-Trace-Id", "11803532876627986230"),
            ("X-Datadog-Parent-Id", "67667974448284343"),
            ("X-Datadog-Sampling-Priority", "1"),
            ("X-Datadog-Tags", "_dd.p.tid=4bf92f3577b34da6"),
            ("SW8", "1-NGJmOTJmMzU3N2IzNGRhNmEzY2U5MjlkMGUwZTQ3MzY=-MDAwMDAwMDAwMDAwMDAwMDAwZjA2N2FhMGJhOTAyYjc=-0-YQ==-YQ==-YQ==-YQ=="),
            ("X-B3-TraceId", "4bf92f3577b34da6a3ce929d0e0e4736"),
            ("X-B3-SpanId", "00f067aa0ba902b7"),
            ("X-B3-Sampled", "1"),
            ("B3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"),
            ("Grpc-Trace-Bin", "AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE="),
            ("TraceParent", TRACEPARENT.1),
        ]);
        let expected = Format::ALL.map(|format| {
            let trace = if format == Format::OtTrace { TRACE & u128::from(u64::MAX) } else { TRACE };
            context(format, trace, SPAN)
        });
        let found = found.expect("contexts");
        assert!(found.contexts().eq(&expected), "{found:?}");
        assert!(found.contexts().all(|context| context.agrees(&expected[0])));
    }

    #[test]
    fn a_header_that_comes_twice_is_no_context() {
        for (name, value) in [
            TRACEPARENT,
            ("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"),
            ("uber-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1"),
            ("grpc-trace-bin", "AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE="),
        ] {
            assert!(carried(&[(name, value)]).is_some(), "{name}");
            assert_eq!(carried(&[(name, value), (name, value)]), None, "{name}");
        }
    }

    #[test]
    fn half_a_trace_id_agrees_with_the_whole_and_is_completed_by_it() {
        let whole = context(Format::TraceContext, TRACE, SPAN);
        let mut half = context(Format::OtTrace, TRACE & u128::from(u64::MAX), SPAN);
        assert!(half.agrees(&whole) && whole.agrees(&half));
        half.complete(&whole);
        assert_eq!(half, context(Format::OtTrace, TRACE, SPAN));
        let other = context(Format::B3, TRACE ^ 1 << 100, SPAN);
        assert!(!other.same_trace(&whole));
        assert!(whole.same_trace(&context(Format::B3, TRACE, 1)) && !whole.agrees(&context(Format::B3, TRACE, 1)));
    }

    #[test]
    fn a_context_without_a_span_or_a_decision_is_completed_by_one_that_has_them() {
        let mut alone = TraceContext::new(Format::XRay, TRACE, None, Sampling::Deferred).expect("not zero");
        let whole = TraceContext {
            sampling: Sampling::Denied,
            random: true,
            state: Some("a=1".into()),
            ..context(Format::TraceContext, TRACE, SPAN)
        };
        assert!(alone.agrees(&whole));
        alone.complete(&whole);
        assert_eq!(alone, TraceContext { format: Format::XRay, ..whole });
    }

    #[test]
    fn flags_are_those_of_a_span_that_is_recorded_unless_it_was_denied() {
        let flags = [Sampling::Deferred, Sampling::Denied, Sampling::Accepted, Sampling::Debug]
            .map(|sampling| TraceContext { sampling, ..context(Format::B3, 1, 1) }.flags());
        assert_eq!(flags, [1, 0, 1, 1]);
        assert_eq!(TraceContext { random: true, ..context(Format::TraceContext, 1, 1) }.flags(), 3);
    }

    /// A valid value of each format, as the fuzz target takes it: name, length, value.
    const VALID: [(u8, &str); 10] = [
        (0, TRACEPARENT.1),
        (2, "key=value;p=1"),
        (3, "AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE="),
        (4, "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90"),
        (9, "4bf92f3577b34da6a3ce929d0e0e4736%3A00f067aa0ba902b7%3A0%3A1"),
        (10, "18446744073709551615"),
        (11, "-2"),
        (15, "1-MQ==-NQ==-3-bWVzaA==-aW5zdGFuY2U=-L2FwaS92MS9oZWFsdGg=-ZXhhbXBsZS5jb206ODA4MA=="),
        (19, "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"),
        (20, "000000000000007b00000000000001c8/18446744073709551615;o=4294967295"),
    ];

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_without_a_zero_id(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            testing::fuzz(&bytes);
        }

        #[test]
        fn valid_values_with_other_bytes_in_them_are_read_without_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
            let mut bytes: Vec<u8> = VALID.iter().flat_map(|(name, value)| [&[*name, value.len() as u8], value.as_bytes()].concat()).collect();
            for (place, byte) in changes {
                *place.get_mut(&mut bytes) = byte;
            }
            testing::fuzz(&bytes);
        }
    }
}
