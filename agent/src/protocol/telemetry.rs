//! Requests by which a program sends spans of its own to a collector: whoever makes them has an OpenTelemetry SDK.

/// Default end of the path over HTTP (OTLP specification, "OTLP/HTTP Request").
const HTTP: &[u8] = b"/v1/traces";
/// Path of the call over gRPC.
const GRPC: &[u8] = b"/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Whether a request with this method and path, of any version of HTTP, exports spans. A query may follow the path.
#[must_use]
pub fn is_trace_export(method: &str, path: &[u8]) -> bool {
    let path = path.split(|b| *b == b'?').next().unwrap_or_default();
    method == "POST" && (path.ends_with(HTTP) || path == GRPC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_of_spans_are_known_by_method_and_path() {
        let grpc = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        for (method, path, expected) in [
            ("POST", "/v1/traces", true),
            ("POST", "/otlp/v1/traces?tenant=1", true),
            ("POST", grpc, true),
            ("GET", "/v1/traces", false),
            ("POST", "/v1/metrics", false),
            ("POST", "/v1/traces/17", false),
            ("POST", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", false),
        ] {
            assert_eq!(is_trace_export(method, path.as_bytes()), expected, "{method} {path}");
        }
    }
}
