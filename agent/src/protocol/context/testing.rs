//! Headers for tests and for hostile input.
use super::{Carried, Finder, TraceContext};
use std::sync::Arc;

/// Every header that is looked at, and some that are not.
const NAMES: [&str; 23] = [
    "traceparent",
    "tracestate",
    "baggage",
    "grpc-trace-bin",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "x-b3-flags",
    "uber-trace-id",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-origin",
    "x-datadog-tags",
    "sw8",
    "ot-tracer-traceid",
    "ot-tracer-spanid",
    "ot-tracer-sampled",
    "x-amzn-trace-id",
    "x-cloud-trace-context",
    "x-request-id",
    "",
];

/// What a request with these headers carries.
#[must_use]
pub fn carried(headers: &[(&str, &str)]) -> Option<Arc<Carried>> {
    let mut finder = Finder::default();
    for (name, value) in headers {
        finder.header(name.as_bytes(), value.as_bytes());
    }
    finder.carried()
}

/// The only context of a request with these headers.
#[must_use]
pub fn context(headers: &[(&str, &str)]) -> Option<TraceContext> {
    let carried = carried(headers)?;
    assert_eq!(carried.contexts().count(), 1, "{carried:?}");
    carried.contexts().next().cloned()
}

/// A context in short: trace, span and decision, as the vectors have them.
#[cfg(test)]
pub(super) fn short(headers: &[(&str, &str)]) -> Option<(u128, Option<u64>, super::Sampling)> {
    let context = context(headers)?;
    let whole =
        TraceContext::new(context.format, u128::from_be_bytes(context.trace_id), context.parent.map(u64::from_be_bytes), context.sampling);
    assert_eq!(whole.as_ref(), Some(&context));
    Some((u128::from_be_bytes(context.trace_id), context.parent.map(u64::from_be_bytes), context.sampling))
}

/// Gives hostile bytes to every reader. Each header is introduced by two bytes: its name, and how many bytes of value follow. Must
/// neither panic nor give an id that is zero.
pub fn fuzz(input: &[u8]) {
    let mut finder = Finder::default();
    let mut rest = input;
    while let [name, length, tail @ ..] = rest {
        let (value, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        finder.header(NAMES.get(usize::from(*name) % NAMES.len()).unwrap_or(&"").as_bytes(), value);
        rest = tail;
    }
    let Some(carried) = finder.carried() else { return };
    for context in carried.contexts() {
        assert!(context.trace_id != [0; 16] && context.parent != Some([0; 8]), "{context:?}");
    }
    let _ = carried.baggage("key");
}
