//! A finished span and the resource that made it: what enrichment gives to export.
use crate::causality::link::SpanLink;
use crate::protocol::attribute::{Attribute, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// OTLP `SpanKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Answered a request.
    Server = 2,
    /// Made a request.
    Client = 3,
    /// Gave messages to a broker.
    Producer = 4,
    /// Got messages from a broker.
    Consumer = 5,
}

/// OTLP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// No error.
    Unset,
    /// An error; the text adds what no attribute says.
    Error(Cow<'static, str>),
}

/// A span's parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Span.
    pub id: [u8; 8],
    /// Whether it belongs to another process.
    pub remote: bool,
}

/// A finished span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Who.
    pub resource: Arc<Resource>,
    /// Trace.
    pub trace_id: [u8; 16],
    /// Span.
    pub span_id: [u8; 8],
    /// Parent, if it is known.
    pub parent: Option<Parent>,
    /// W3C `tracestate`.
    pub trace_state: Option<Box<str>>,
    /// W3C trace flags.
    pub flags: u8,
    /// Kind.
    pub kind: SpanKind,
    /// Name.
    pub name: Cow<'static, str>,
    /// Start, nanoseconds since 1970 UTC.
    pub start: u64,
    /// End, nanoseconds since 1970 UTC, never before `start`.
    pub end: u64,
    /// Attributes; `on` has been applied and means nothing here.
    pub attributes: Vec<Attribute>,
    /// Spans of other traces that it has to do with.
    pub links: Vec<SpanLink>,
    /// Status.
    pub status: Status,
}

/// An attribute of a resource.
pub type ResourceAttribute = (Cow<'static, str>, Value);

/// A service instance: what all its spans have in common.
#[derive(Debug, PartialEq)]
pub struct Resource {
    /// Attributes, `service.name` among them.
    pub attributes: Vec<ResourceAttribute>,
}

impl Resource {
    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        self.attributes
            .iter()
            .find_map(|(key, value)| match value {
                Value::Text(name) if key == crate::semconv::SERVICE_NAME => Some(name.as_ref()),
                _ => None,
            })
            .unwrap_or("unknown_service")
    }
}
