//! What the own encoders write is what others read: prost, serde, and the OpenTelemetry SDK's conversion are the oracles.
use super::spans::{START, arbitrary, asked, resource, served};
use crate::causality::link::SpanLink;
use crate::enrich::span::{Resource, Span, SpanKind, Status};
use crate::export::group::{Body, Encode, Grouped};
use crate::export::json::JsonLines;
use crate::export::otlp::{Protobuf, SCOPE_NAME, SCOPE_VERSION};
use crate::protocol::attribute::Value;
use crate::semconv::{SCHEMA_URL, WIRESPAN_LINK};
use opentelemetry::trace::{SpanContext, SpanId, TraceId, TraceState};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as proto;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use proptest::prelude::*;
use prost::Message as _;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

fn protobuf(spans: &[Span]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(encode(&mut Grouped::<Protobuf>::default(), spans).as_slice()).unwrap()
}

fn json(spans: &[Span]) -> ExportTraceServiceRequest {
    serde_json::from_slice(&encode(&mut Grouped::<JsonLines>::default(), spans)).unwrap()
}

fn encode(encoder: &mut dyn Encode, spans: &[Span]) -> Vec<u8> {
    for span in spans {
        encoder.push(span);
    }
    encoder.take().joined()
}

fn key_value(key: &str, value: &Value) -> KeyValue {
    let text = |text: &str| any_value::Value::StringValue(text.to_owned());
    let any = |value| AnyValue { value: Some(value) };
    let value = any(match value {
        Value::Text(value) => text(value),
        Value::Int(number) => any_value::Value::IntValue(*number),
        Value::Bool(yes) => any_value::Value::BoolValue(*yes),
        Value::Texts(texts) => any_value::Value::ArrayValue(ArrayValue { values: texts.iter().map(|value| any(text(value))).collect() }),
    });
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn link(link: &SpanLink) -> proto::span::Link {
    proto::span::Link {
        trace_id: link.trace_id.to_vec(),
        span_id: link.span_id.to_vec(),
        trace_state: link.state.as_deref().unwrap_or_default().to_owned(),
        attributes: vec![key_value(WIRESPAN_LINK, &link.cross.name().into())],
        flags: u32::from(link.flags) | 0x100 | if link.remote { 0x200 } else { 0 },
        ..proto::span::Link::default()
    }
}

fn resource_attributes(resource: &Resource) -> Vec<KeyValue> {
    resource.attributes.iter().map(|(key, value)| key_value(key, value)).collect()
}

/// The same data, built from the generated types.
fn expected(spans: &[Span]) -> ExportTraceServiceRequest {
    let mut groups: Vec<(Arc<Resource>, Vec<proto::Span>)> = Vec::new();
    for span in spans {
        let built = proto::Span {
            trace_id: span.trace_id.to_vec(),
            span_id: span.span_id.to_vec(),
            trace_state: span.trace_state.as_deref().unwrap_or_default().to_owned(),
            parent_span_id: span.parent.map_or(Vec::new(), |parent| parent.id.to_vec()),
            flags: u32::from(span.flags) | 0x100 | if span.parent.is_some_and(|parent| parent.remote) { 0x200 } else { 0 },
            name: span.name.to_string(),
            kind: if span.kind == SpanKind::Server { 2 } else { 3 },
            start_time_unix_nano: span.start,
            end_time_unix_nano: span.end,
            attributes: span.attributes.iter().map(|attribute| key_value(attribute.key, &attribute.value)).collect(),
            links: span.links.iter().map(link).collect(),
            status: match &span.status {
                Status::Unset => None,
                Status::Error(text) => Some(proto::Status { message: text.to_string(), code: 2 }),
            },
            ..proto::Span::default()
        };
        match groups.iter_mut().find(|(resource, _)| Arc::ptr_eq(resource, &span.resource)) {
            Some((_, spans)) => spans.push(built),
            None => groups.push((Arc::clone(&span.resource), vec![built])),
        }
    }
    let resource_spans = groups.into_iter().map(|(resource, spans)| proto::ResourceSpans {
        resource: Some(opentelemetry_proto::tonic::resource::v1::Resource {
            attributes: resource_attributes(&resource),
            ..Default::default()
        }),
        scope_spans: vec![proto::ScopeSpans {
            scope: Some(InstrumentationScope {
                name: SCOPE_NAME.to_owned(),
                version: SCOPE_VERSION.to_owned(),
                ..InstrumentationScope::default()
            }),
            spans,
            schema_url: SCHEMA_URL.to_owned(),
        }],
        schema_url: SCHEMA_URL.to_owned(),
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

/// JSON has `"status":{}` where protobuf has nothing: the same, said differently.
fn without_empty_status(mut request: ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    for span in request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans).flat_map(|scope| &mut scope.spans) {
        span.status = span.status.take().filter(|status| *status != proto::Status::default());
    }
    request
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_span_holds_protobuf_and_json_carry_it(spans in arbitrary()) {
        let wanted = expected(&spans);
        prop_assert_eq!(&protobuf(&spans), &wanted);
        prop_assert_eq!(&without_empty_status(json(&spans)), &wanted);
        // Nothing is written that prost would not write.
        prop_assert_eq!(encode(&mut Grouped::<Protobuf>::default(), &spans).len(), wanted.encoded_len());
        // One line.
        let line = encode(&mut Grouped::<JsonLines>::default(), &spans);
        prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
    }

    #[test]
    fn the_size_that_is_announced_is_the_size_that_comes(spans in arbitrary()) {
        let mut encoder = Grouped::<Protobuf>::default();
        for span in &spans {
            encoder.push(span);
        }
        let (announced, resources) = (encoder.bytes(), expected(&spans).resource_spans.len());
        let taken = encoder.take().len();
        prop_assert!(announced <= taken && taken <= announced + 128 * resources, "{announced} {taken}");
        prop_assert_eq!((encoder.bytes(), encoder.spans(), encoder.take()), (0, 0, Body::default()));
    }
}

#[test]
fn the_sdk_would_have_sent_the_same() {
    use opentelemetry::KeyValue;
    let resource = resource("orders");
    let spans = [served(&resource), asked(&resource), Span { parent: None, ..served(&resource) }];
    let value = |value: &Value| match value {
        Value::Text(text) => opentelemetry::Value::from(text.to_string()),
        Value::Int(number) => (*number).into(),
        Value::Bool(yes) => (*yes).into(),
        Value::Texts(texts) => opentelemetry::Value::Array(opentelemetry::Array::String(texts.iter().cloned().map(Into::into).collect())),
    };
    let links = |span: &Span| {
        let mut links = SpanLinks::default();
        links.links = span
            .links
            .iter()
            .map(|link| {
                let state = link.state.as_deref().map_or(TraceState::NONE, |state| TraceState::from_str(state).unwrap());
                let flags = opentelemetry::TraceFlags::new(link.flags);
                let context =
                    SpanContext::new(TraceId::from_bytes(link.trace_id), SpanId::from_bytes(link.span_id), flags, link.remote, state);
                opentelemetry::trace::Link::new(context, vec![KeyValue::new(WIRESPAN_LINK, link.cross.name())], 0)
            })
            .collect();
        links
    };
    let data = |span: &Span| SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(span.trace_id),
            SpanId::from_bytes(span.span_id),
            opentelemetry::TraceFlags::new(span.flags),
            false,
            span.trace_state.as_deref().map_or(TraceState::NONE, |state| TraceState::from_str(state).unwrap()),
        ),
        parent_span_id: span.parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.id)),
        parent_span_is_remote: span.parent.is_some_and(|parent| parent.remote),
        span_kind: if span.kind == SpanKind::Server {
            opentelemetry::trace::SpanKind::Server
        } else {
            opentelemetry::trace::SpanKind::Client
        },
        name: span.name.clone(),
        start_time: UNIX_EPOCH + Duration::from_nanos(span.start),
        end_time: UNIX_EPOCH + Duration::from_nanos(span.end),
        attributes: span.attributes.iter().map(|attribute| KeyValue::new(attribute.key, value(&attribute.value))).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: links(span),
        status: match &span.status {
            Status::Unset => opentelemetry::trace::Status::Unset,
            Status::Error(text) => opentelemetry::trace::Status::error(text.to_string()),
        },
        instrumentation_scope: opentelemetry::InstrumentationScope::builder(SCOPE_NAME)
            .with_version(SCOPE_VERSION)
            .with_schema_url(SCHEMA_URL)
            .build(),
    };
    let attributes = resource.attributes.iter().map(|(key, attribute)| KeyValue::new(key.to_string(), value(attribute)));
    let sdk = opentelemetry_sdk::Resource::builder_empty().with_schema_url(attributes, SCHEMA_URL).build();
    let grouped = group_spans_by_resource_and_scope(spans.iter().map(data).collect(), &ResourceAttributesWithSchema::from(&sdk));
    let sorted = |mut request: ExportTraceServiceRequest| {
        // The SDK keeps a resource's attributes in a hash map, and writes a status even where it says nothing.
        for group in &mut request.resource_spans {
            group.resource.as_mut().unwrap().attributes.sort_by(|a, b| a.key.cmp(&b.key));
        }
        without_empty_status(request)
    };
    assert_eq!(sorted(protobuf(&spans)), sorted(ExportTraceServiceRequest { resource_spans: grouped }));
}

#[test]
fn a_resource_is_written_once_per_request_and_forgotten_when_it_is_not_used() {
    let (first, second) = (resource("first"), resource("second"));
    let mut encoder = Grouped::<Protobuf>::default();
    let mixed = [served(&first), served(&second), asked(&first), asked(&second)];
    let bytes = encode(&mut encoder, &mixed);
    assert_eq!(ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap(), expected(&mixed));
    assert_eq!(Arc::strong_count(&first), 4);
    // Used again without a word about the second: only the first is kept.
    let again = encode(&mut encoder, &mixed[..1]);
    assert_eq!(ExportTraceServiceRequest::decode(again.as_slice()).unwrap(), expected(&mixed[..1]));
    drop(mixed);
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (2, 1));
}

#[test]
fn a_json_line_is_what_the_file_exporter_would_write() {
    let resource = Arc::new(Resource { attributes: vec![("service.name".into(), "api \"x\"\n\u{1}".into())] });
    let line =
        encode(&mut Grouped::<JsonLines>::default(), &[Span { attributes: asked(&resource).attributes[5..].to_vec(), ..asked(&resource) }]);
    let wanted = format!(
        concat!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"api \"x\"\n\u0001"}}}}]}},"#,
            r#""scopeSpans":[{{"scope":{{"name":"wirespan","version":"{version}"}},"spans":[{{"#,
            r#""traceId":"4f2a910405060708090a0b0c0d0e0f00","spanId":"0909090909090909","traceState":"vendor=1","#,
            r#""parentSpanId":"0102030405060708","flags":256,"name":"HGET","kind":3,"#,
            r#""startTimeUnixNano":"{start}","endTimeUnixNano":"{end}","attributes":["#,
            r#"{{"key":"server.port","value":{{"intValue":"6379"}}}},"#,
            r#"{{"key":"wirespan.network_ns","value":{{"intValue":"300000"}}}},"#,
            r#"{{"key":"wirespan.connect_ns","value":{{"intValue":"1100000"}}}},"#,
            r#"{{"key":"wirespan.link.provisional","value":{{"boolValue":true}}}},"#,
            r#"{{"key":"tags","value":{{"arrayValue":{{"values":[{{"stringValue":"a"}},{{"stringValue":""}}]}}}}}}],"#,
            r#""links":[{{"traceId":"07070707070707070707070707070707","spanId":"0808080808080808","traceState":"a=1","#,
            r#""attributes":[{{"key":"wirespan.link","value":{{"stringValue":"conflict"}}}}],"flags":769}},"#,
            r#"{{"traceId":"09090909090909090909090909090909","spanId":"0101010101010101","#,
            r#""attributes":[{{"key":"wirespan.link","value":{{"stringValue":"met"}}}}],"flags":256}}],"#,
            r#""status":{{"message":"wrong kind of value","code":2}}}}],"schemaUrl":"{schema}"}}],"schemaUrl":"{schema}"}}]}}"#,
            "\n"
        ),
        version = SCOPE_VERSION,
        start = START,
        end = START + 812_000,
        schema = SCHEMA_URL
    );
    assert_eq!(String::from_utf8(line).unwrap(), wanted);
}

/// Not a test of anything but speed: `cargo test --release encoder_speed -- --nocapture` shows it.
#[test]
fn encoder_speed_on_fourteen_attributes() {
    let resources: Vec<_> = (0..20).map(|_| resource("orders")).collect();
    let spans: Vec<_> = resources.iter().map(served).collect();
    for (name, encoder) in [
        ("protobuf", Box::new(Grouped::<Protobuf>::default()) as Box<dyn Encode>),
        ("json", Box::new(Grouped::<JsonLines>::default())),
        ("live lines", Box::new(crate::export::live::Lines::new(crate::export::live::Style::plain()))),
    ] {
        let mut encoder = encoder;
        let (mut bytes, mut count) = (0, 0u32);
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(300) {
            for _ in 0..200 {
                for span in &spans {
                    encoder.push(span);
                    count += 1;
                }
            }
            bytes += encoder.take().len();
        }
        println!("{name}: {:?} a span, {} bytes a span", begun.elapsed() / count, bytes / count as usize);
        assert!(bytes > 0);
    }
}
