//! Spans become OTLP/JSON lines: one `ExportTraceServiceRequest` object a line, as the OTLP file exporter specification has it.
//!
//! Ids are lower-case hex, 64-bit numbers are strings, enumerations are numbers, names are camelCase. Never pretty, never partial lines.
use super::group::{Body, Format};
use super::otlp::{SCOPE_NAME, SCOPE_VERSION, flags};
use crate::causality::link::SpanLink;
use crate::enrich::span::{Resource, Span, Status};
use crate::protocol::attribute::{Attribute, Value};
use crate::semconv::{SCHEMA_URL, WIRESPAN_LINK};
use std::io::Write as _;

/// OTLP/JSON, one request a line.
pub struct JsonLines;

impl Format for JsonLines {
    fn resource(resource: &Resource, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"resource":{"attributes":["#);
        for (place, (key, value)) in resource.attributes.iter().enumerate() {
            out.extend_from_slice(if place == 0 { br#"{"key":""# } else { br#",{"key":""# });
            text(out, key);
            attribute(out, value);
        }
        out.extend_from_slice(b"]}");
    }

    fn span(span: &Span, out: &mut Vec<u8>) {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"traceId":""#);
        hex(out, span.trace_id);
        out.extend_from_slice(br#"","spanId":""#);
        hex(out, span.span_id);
        if let Some(state) = &span.trace_state {
            out.extend_from_slice(br#"","traceState":""#);
            text(out, state);
        }
        if let Some(parent) = span.parent {
            out.extend_from_slice(br#"","parentSpanId":""#);
            hex(out, parent.id);
        }
        out.extend_from_slice(br#"","flags":"#);
        number(out, flags(span.flags, span.parent.is_some_and(|parent| parent.remote)));
        out.extend_from_slice(br#","name":""#);
        text(out, &span.name);
        out.extend_from_slice(br#"","kind":"#);
        number(out, span.kind as u8);
        out.extend_from_slice(br#","startTimeUnixNano":""#);
        number(out, span.start);
        out.extend_from_slice(br#"","endTimeUnixNano":""#);
        number(out, span.end);
        out.extend_from_slice(br#"","attributes":["#);
        for (place, Attribute { key, value, .. }) in span.attributes.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            named(out, key, value);
        }
        out.push(b']');
        links(out, &span.links);
        out.extend_from_slice(br#","status":{"#);
        if let Status::Error(message) = &span.status {
            if !message.is_empty() {
                out.extend_from_slice(br#""message":""#);
                text(out, message);
                out.extend_from_slice(br#"","#);
            }
            out.extend_from_slice(br#""code":2"#);
        }
        out.extend_from_slice(b"}}");
    }

    fn request<'a>(groups: impl Iterator<Item = (&'a [u8], Vec<u8>)>) -> Body {
        let mut pieces = Vec::new();
        let mut between = br#"{"resourceSpans":["#.to_vec();
        for (place, (head, spans)) in groups.enumerate() {
            if place > 0 {
                between.push(b',');
            }
            between.extend_from_slice(head);
            // Writing to a vector cannot fail.
            let _ = write!(between, r#","scopeSpans":[{{"scope":{{"name":"{SCOPE_NAME}","version":"{SCOPE_VERSION}"}},"spans":["#);
            pieces.extend([std::mem::take(&mut between), spans]);
            let _ = write!(between, r#"],"schemaUrl":"{SCHEMA_URL}"}}],"schemaUrl":"{SCHEMA_URL}"}}"#);
        }
        between.extend_from_slice(b"]}\n");
        pieces.push(between);
        Body(pieces)
    }
}

/// An attribute whose key is one of ours: of these, none has anything to escape.
fn named(out: &mut Vec<u8>, key: &'static str, value: &Value) {
    debug_assert!(is_plain(key.as_bytes()), "{key}");
    out.extend_from_slice(br#"{"key":""#);
    out.extend_from_slice(key.as_bytes());
    attribute(out, value);
}

/// The rest of an attribute, from the end of its key on.
fn attribute(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(value) => {
            out.extend_from_slice(br#"","value":{"stringValue":""#);
            text(out, value);
            out.extend_from_slice(br#""}}"#);
        }
        Value::Int(value) => {
            out.extend_from_slice(br#"","value":{"intValue":""#);
            number(out, *value);
            out.extend_from_slice(br#""}}"#);
        }
        Value::Bool(yes) => {
            out.extend_from_slice(if *yes { br#"","value":{"boolValue":true}}"# } else { br#"","value":{"boolValue":false}}"# });
        }
        Value::Texts(values) => {
            out.extend_from_slice(br#"","value":{"arrayValue":{"values":["#);
            for (place, value) in values.iter().enumerate() {
                out.extend_from_slice(if place == 0 { br#"{"stringValue":""# } else { br#",{"stringValue":""# });
                text(out, value);
                out.extend_from_slice(br#""}"#);
            }
            out.extend_from_slice(b"]}}}");
        }
    }
}

/// `links`, if there are any.
fn links(out: &mut Vec<u8>, links: &[SpanLink]) {
    for (place, link) in links.iter().enumerate() {
        out.extend_from_slice(if place == 0 { br#","links":[{"traceId":""# } else { br#",{"traceId":""# });
        hex(out, link.trace_id);
        out.extend_from_slice(br#"","spanId":""#);
        hex(out, link.span_id);
        if let Some(state) = &link.state {
            out.extend_from_slice(br#"","traceState":""#);
            text(out, state);
        }
        out.extend_from_slice(br#"","attributes":["#);
        named(out, WIRESPAN_LINK, &link.cross.name().into());
        out.extend_from_slice(br#"],"flags":"#);
        number(out, flags(link.flags, link.remote));
        out.push(b'}');
    }
    if !links.is_empty() {
        out.push(b']');
    }
}

/// What stands between the quotes of a JSON string (RFC 8259 section 7). Text without anything to escape, which is nearly all, is
/// copied whole.
fn text(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escape(out, text);
    }
}

/// Whether nothing is to be escaped. Eight bytes are looked at at a time; the last of them may be looked at twice.
fn is_plain(bytes: &[u8]) -> bool {
    let (words, _) = bytes.as_chunks::<8>();
    if let Some(last) = bytes.last_chunk::<8>() {
        return words.iter().fold(special(u64::from_ne_bytes(*last)), |found, word| found | special(u64::from_ne_bytes(*word))) == 0;
    }
    let half = |bytes: &[u8; 4]| u64::from(u32::from_ne_bytes(*bytes));
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => special(half(first) | half(last) << 32) == 0,
        _ => bytes.iter().all(|byte| special(u64::from_ne_bytes([*byte; 8])) == 0),
    }
}

/// Not zero if one of the eight bytes has to be escaped: a control character, `"` or `\`.
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // The highest bit of a byte is set if it is less than `bound`, at most 128; and perhaps in bytes above the lowest such one.
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    // With its second bit turned over, `"` is next to the control characters, which stay among themselves.
    below(word ^ (ONES * 2), 0x21) | below(word ^ (ONES * u64::from(b'\\')), 1)
}

fn escape(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            // Writing to a vector cannot fail.
            0..0x20 => drop(write!(out, "\\u{byte:04x}")),
            _ => out.push(byte),
        }
    }
}

/// An id: OTLP/JSON has hex here, not the base64 of other bytes.
fn hex<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    const DIGITS: [[u8; 2]; 256] = digits();
    let mut text = [[0; 2]; N];
    for (digits, byte) in text.iter_mut().zip(bytes) {
        *digits = DIGITS.get(usize::from(byte)).copied().unwrap_or_default();
    }
    out.extend_from_slice(text.as_flattened());
}

/// Every byte in hex.
const fn digits() -> [[u8; 2]; 256] {
    let all = b"0123456789abcdef";
    let mut digits = [[0; 2]; 256];
    let mut byte = 0;
    while byte < digits.len() {
        digits[byte] = [all[byte >> 4], all[byte & 15]];
        byte += 1;
    }
    digits
}

/// A number in decimal digits.
fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_string_is_what_a_json_parser_reads_back(value in "[\\x00-\\x7f\u{80}-\u{2ff}]{0,40}") {
            let mut out = vec![b'"'];
            text(&mut out, &value);
            out.push(b'"');
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("a JSON string"), value);
        }
    }
}
