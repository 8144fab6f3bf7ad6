//! Spans to test with: two that look like life, and arbitrary ones.
use crate::causality::link::{Cross, SpanLink};
use crate::enrich::span::{Parent, Resource, Span, SpanKind, Status};
use crate::protocol::attribute::{Attribute, Value};
use crate::semconv as s;
use proptest::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

/// 2026-11-22 12:03:04.125 UTC.
pub const START: u64 = 1_795_348_984_125_000_000;

pub fn resource(name: &'static str) -> Arc<Resource> {
    let text = |key: &'static str, value: &'static str| (Cow::Borrowed(key), Value::from(value));
    Arc::new(Resource {
        attributes: vec![
            text(s::SERVICE_NAME, name),
            text(s::SERVICE_INSTANCE_ID, "0c3ae1d2-6c1a-5f3e-9d2f-3a1c4b5d6e7f"),
            text(s::TELEMETRY_SDK_LANGUAGE, "python"),
            text(s::TELEMETRY_SDK_NAME, "wirespan"),
            text(s::PROCESS_EXECUTABLE_NAME, "python3.11"),
            (Cow::Borrowed(s::PROCESS_PID), Value::Int(4711)),
            text(s::HOST_NAME, "node-1"),
            text(s::OS_TYPE, "linux"),
        ],
    })
}

/// A SERVER span with fourteen attributes, as HTTP/1.1 makes them.
pub fn served(resource: &Arc<Resource>) -> Span {
    Span {
        resource: Arc::clone(resource),
        trace_id: [0x4f, 0x2a, 0x91, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0],
        span_id: [1, 2, 3, 4, 5, 6, 7, 8],
        parent: Some(Parent { id: [8, 7, 6, 5, 4, 3, 2, 1], remote: true }),
        trace_state: None,
        flags: 1,
        kind: SpanKind::Server,
        name: "GET".into(),
        start: START,
        end: START + 12_400_000,
        attributes: vec![
            Attribute::both(s::HTTP_REQUEST_METHOD, "GET"),
            Attribute::both(s::HTTP_RESPONSE_STATUS_CODE, 200),
            Attribute::both(s::URL_PATH, "/orders/17".to_owned()),
            Attribute::both(s::URL_QUERY, "full=1".to_owned()),
            Attribute::both(s::URL_SCHEME, "http"),
            Attribute::both(s::SERVER_ADDRESS, "orders.internal".to_owned()),
            Attribute::both(s::SERVER_PORT, 8080),
            Attribute::both(s::CLIENT_ADDRESS, "198.18.0.7".to_owned()),
            Attribute::both(s::SERVICE_PEER_NAME, "nginx".to_owned()),
            Attribute::both(s::USER_AGENT_ORIGINAL, "curl/7.88.1".to_owned()),
            Attribute::both(s::WIRESPAN_LINK, "wire"),
            Attribute::both(s::WIRESPAN_QUEUE_NS, 80_000),
            Attribute::both(s::WIRESPAN_APP_NS, 12_000_000),
            Attribute::both(s::WIRESPAN_RETRANSMITS, 0),
        ],
        links: Vec::new(),
        status: Status::Unset,
    }
}

/// A CLIENT span of the same trace that failed.
pub fn asked(resource: &Arc<Resource>) -> Span {
    Span {
        span_id: [9; 8],
        parent: Some(Parent { id: [1, 2, 3, 4, 5, 6, 7, 8], remote: false }),
        trace_state: Some("vendor=1".into()),
        flags: 0,
        kind: SpanKind::Client,
        name: "HGET".into(),
        end: START + 812_000,
        attributes: vec![
            Attribute::both(s::DB_SYSTEM_NAME, "redis"),
            Attribute::both(s::DB_OPERATION_NAME, "HGET"),
            Attribute::both(s::DB_QUERY_TEXT, "HGET order:17 ?".to_owned()),
            Attribute::both(s::ERROR_TYPE, "WRONGTYPE"),
            Attribute::both(s::SERVER_ADDRESS, "127.0.0.1"),
            Attribute::both(s::SERVER_PORT, 6379),
            Attribute::both(s::WIRESPAN_NETWORK_NS, 300_000),
            Attribute::both(s::WIRESPAN_CONNECT_NS, 1_100_000),
            Attribute::both(s::WIRESPAN_LINK_PROVISIONAL, true),
            Attribute {
                key: "tags",
                value: Value::Texts(Box::new(["a".to_owned(), String::new()])),
                on: crate::protocol::attribute::On::Both,
            },
        ],
        links: vec![
            SpanLink { trace_id: [7; 16], span_id: [8; 8], flags: 1, remote: true, state: Some("a=1".into()), cross: Cross::Conflict },
            SpanLink { trace_id: [9; 16], span_id: [1; 8], flags: 0, remote: false, state: None, cross: Cross::Met },
        ],
        status: Status::Error(Cow::Borrowed("wrong kind of value")),
        ..served(resource)
    }
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        prop::collection::vec(any::<String>(), 0..4).prop_map(|texts| Value::Texts(texts.into())),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    let keys = prop::sample::select(vec![s::URL_PATH, s::DB_QUERY_TEXT, s::SERVER_PORT, "k", "a.key.of.quite.some.length"]);
    prop::collection::vec(
        (keys, values()).prop_map(|(key, value)| Attribute { key, value, on: crate::protocol::attribute::On::Both }),
        0..20,
    )
}

fn links() -> impl Strategy<Value = Vec<SpanLink>> {
    let crosses = prop::sample::select(vec![Cross::Untrusted, Cross::Conflict, Cross::Met]);
    let link = (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<u8>(), any::<bool>(), prop::option::of("[a-z]=[a-z0-9]{1,200}"), crosses)
        .prop_map(|(trace_id, span_id, flags, remote, state, cross)| {
            let state: Option<String> = state;
            SpanLink { trace_id, span_id, flags, remote, state: state.map(String::into_boxed_str), cross }
        });
    prop::collection::vec(link, 0..3)
}

/// Spans of up to four resources, with everything a span can have.
pub fn arbitrary() -> impl Strategy<Value = Vec<Span>> {
    let one_resource = prop::collection::vec((any::<String>(), values()), 0..6).prop_map(|attributes| {
        Arc::new(Resource { attributes: attributes.into_iter().map(|(key, value)| (Cow::Owned(key), value)).collect() })
    });
    let ids = (any::<[u8; 16]>(), any::<[u8; 8]>(), prop::option::of((any::<[u8; 8]>(), any::<bool>())), any::<u8>());
    let state = prop::option::of("[a-z]{1,9}=[a-z0-9]{1,200}");
    let times = (any::<u64>(), any::<u64>());
    let status = prop::option::of(any::<String>());
    let span = (ids, state, any::<bool>(), any::<String>(), times, attributes(), links(), status);
    (prop::collection::vec(one_resource, 1..4), prop::collection::vec((any::<prop::sample::Index>(), span), 1..20)).prop_map(
        |(resources, spans)| {
            let build = |(which, (ids, state, server, name, times, attributes, links, status)): (prop::sample::Index, _)| {
                let (trace_id, span_id, parent, flags): (_, _, Option<([u8; 8], bool)>, _) = ids;
                let (start, end): (u64, u64) = times;
                let status: Option<String> = status;
                let state: Option<String> = state;
                let name: String = name;
                Span {
                    resource: Arc::clone(which.get(&resources)),
                    trace_id,
                    span_id,
                    parent: parent.map(|(id, remote)| Parent { id, remote }),
                    trace_state: state.map(String::into_boxed_str),
                    flags,
                    kind: if server { SpanKind::Server } else { SpanKind::Client },
                    name: Cow::Owned(name),
                    start: start.min(end),
                    end: start.max(end),
                    attributes,
                    links,
                    status: status.map_or(Status::Unset, |text| Status::Error(Cow::Owned(text))),
                }
            };
            spans.into_iter().map(build).collect()
        },
    )
}
