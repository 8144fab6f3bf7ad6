//! Spans become the protobuf bytes of an OTLP `ExportTraceServiceRequest` (opentelemetry-proto 1.x, `trace/v1/trace.proto`).
//!
//! Own code because it is the agent's hottest line after capture: lengths are counted first, then everything is written once, forward,
//! into a buffer that leaves as it is; nothing is allocated per span. Never decodes; what is at its default is left out, as protobuf has it.
use super::group::{Body, Format};
use crate::causality::link::SpanLink;
use crate::enrich::span::{Resource, Span, Status};
use crate::protocol::attribute::Value;
use crate::semconv::{SCHEMA_URL, WIRESPAN_LINK};

/// Name of the instrumentation scope of every span.
pub const SCOPE_NAME: &str = "wirespan";
/// Version of the instrumentation scope.
pub const SCOPE_VERSION: &str = env!("CARGO_PKG_VERSION");
/// `SpanFlags.CONTEXT_HAS_IS_REMOTE`: the next bit is known.
const HAS_IS_REMOTE: u32 = 0x100;
/// `SpanFlags.CONTEXT_IS_REMOTE`: the parent belongs to another process.
const IS_REMOTE: u32 = 0x200;

/// Protobuf, as gRPC and HTTP carry it.
pub struct Protobuf;

impl Format for Protobuf {
    fn resource(resource: &Resource, out: &mut Vec<u8>) {
        let length = resource.attributes.iter().map(|(key, value)| field_len(key_value_len(key, value))).sum();
        begin(out, 1, length);
        for (key, value) in &resource.attributes {
            put_key_value(out, 1, key, value);
        }
    }

    fn span(span: &Span, out: &mut Vec<u8>) {
        begin(out, 2, span_len(span));
        put_bytes(out, 1, &span.trace_id);
        put_bytes(out, 2, &span.span_id);
        put_text(out, 3, span.trace_state.as_deref().unwrap_or_default());
        if let Some(parent) = span.parent {
            put_bytes(out, 4, &parent.id);
        }
        put_text(out, 5, &span.name);
        put_number(out, 6, span.kind as u64);
        put_fixed64(out, 7, span.start);
        put_fixed64(out, 8, span.end);
        for attribute in &span.attributes {
            put_key_value(out, 9, attribute.key, &attribute.value);
        }
        for link in &span.links {
            put_link(out, link);
        }
        if let Status::Error(text) = &span.status {
            begin(out, 15, status_len(text));
            put_text(out, 2, text);
            put_number(out, 3, 2);
        }
        // Its tag takes two bytes: the only one that does.
        put_varint(out, 16 << 3 | 5);
        out.extend_from_slice(&flags(span.flags, span.parent.is_some_and(|parent| parent.remote)).to_le_bytes());
    }

    fn request<'a>(groups: impl Iterator<Item = (&'a [u8], Vec<u8>)>) -> Body {
        let scope = text_len(SCOPE_NAME) + text_len(SCOPE_VERSION);
        let mut pieces = Vec::new();
        let mut between = Vec::new();
        for (head, spans) in groups {
            let scope_spans = field_len(scope) + spans.len() + text_len(SCHEMA_URL);
            begin(&mut between, 1, head.len() + field_len(scope_spans) + text_len(SCHEMA_URL));
            between.extend_from_slice(head);
            begin(&mut between, 2, scope_spans);
            begin(&mut between, 1, scope);
            put_text(&mut between, 1, SCOPE_NAME);
            put_text(&mut between, 2, SCOPE_VERSION);
            pieces.extend([std::mem::take(&mut between), spans]);
            put_text(&mut between, 3, SCHEMA_URL);
            put_text(&mut between, 3, SCHEMA_URL);
        }
        pieces.push(between);
        Body(pieces)
    }
}

/// `Span.flags` and `Link.flags`: the W3C byte, and whether the parent, or the span that a link leads to, is remote.
pub(super) fn flags(flags: u8, remote: bool) -> u32 {
    u32::from(flags) | HAS_IS_REMOTE | if remote { IS_REMOTE } else { 0 }
}

fn span_len(span: &Span) -> usize {
    // Trace id, span id, kind, two times, flags.
    let fixed = field_len(16) + field_len(8) + 2 + 9 + 9 + 6;
    let attributes: usize = span.attributes.iter().map(|attribute| field_len(key_value_len(attribute.key, &attribute.value))).sum();
    fixed
        + text_len(span.trace_state.as_deref().unwrap_or_default())
        + span.parent.map_or(0, |parent| field_len(parent.id.len()))
        + text_len(&span.name)
        + attributes
        + span.links.iter().map(|link| field_len(link_len(link))).sum::<usize>()
        + match &span.status {
            Status::Unset => 0,
            Status::Error(text) => field_len(status_len(text)),
        }
}

fn link_len(link: &SpanLink) -> usize {
    // Trace id, span id, flags; and why.
    let fixed = field_len(16) + field_len(8) + 5;
    fixed + text_len(link.state.as_deref().unwrap_or_default()) + field_len(key_value_len(WIRESPAN_LINK, &link.cross.name().into()))
}

fn put_link(out: &mut Vec<u8>, link: &SpanLink) {
    begin(out, 13, link_len(link));
    put_bytes(out, 1, &link.trace_id);
    put_bytes(out, 2, &link.span_id);
    put_text(out, 3, link.state.as_deref().unwrap_or_default());
    put_key_value(out, 4, WIRESPAN_LINK, &link.cross.name().into());
    out.push(6 << 3 | 5);
    out.extend_from_slice(&flags(link.flags, link.remote).to_le_bytes());
}

fn status_len(text: &str) -> usize {
    text_len(text) + 2
}

fn key_value_len(key: &str, value: &Value) -> usize {
    text_len(key) + field_len(value_len(value))
}

/// Length of an `AnyValue`. Its fields are a `oneof`: a default is written too, or the value would be no value.
fn value_len(value: &Value) -> usize {
    match value {
        Value::Text(text) => field_len(text.len()),
        Value::Bool(_) => 2,
        Value::Int(number) => 1 + varint_len(*number as u64),
        Value::Texts(texts) => field_len(texts_len(texts)),
    }
}

fn texts_len(texts: &[String]) -> usize {
    texts.iter().map(|text| field_len(field_len(text.len()))).sum()
}

fn put_key_value(out: &mut Vec<u8>, tag: u8, key: &str, value: &Value) {
    let value_length = value_len(value);
    begin(out, tag, text_len(key) + field_len(value_length));
    put_text(out, 1, key);
    begin(out, 2, value_length);
    match value {
        Value::Text(text) => put_bytes(out, 1, text.as_bytes()),
        Value::Bool(yes) => put_number(out, 2, u64::from(*yes)),
        Value::Int(number) => put_number(out, 3, *number as u64),
        Value::Texts(texts) => {
            begin(out, 5, texts_len(texts));
            for text in texts {
                begin(out, 1, field_len(text.len()));
                put_bytes(out, 1, text.as_bytes());
            }
        }
    }
}

/// Length of a field with tag below 16 and `length` bytes of content.
fn field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// Length of a text field, which is left out when empty.
fn text_len(text: &str) -> usize {
    if text.is_empty() { 0 } else { field_len(text.len()) }
}

fn varint_len(number: u64) -> usize {
    // Seven bits a byte, and at least one byte.
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// Starts a length-delimited field with tag below 16.
fn begin(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag << 3 | 2);
    put_varint(out, length as u64);
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    begin(out, tag, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, tag: u8, text: &str) {
    if !text.is_empty() {
        put_bytes(out, tag, text.as_bytes());
    }
}

fn put_number(out: &mut Vec<u8>, tag: u8, number: u64) {
    out.push(tag << 3);
    put_varint(out, number);
}

fn put_fixed64(out: &mut Vec<u8>, tag: u8, number: u64) {
    out.push(tag << 3 | 1);
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
