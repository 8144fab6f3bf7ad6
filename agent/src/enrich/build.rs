//! An exchange with its place in a trace becomes a span: names, attributes, times. Pure.
use super::span::{Parent, Resource, Span, SpanKind, Status};
use crate::capture::event::{Closed, End, Nanos, Opened};
use crate::causality::link::{Evidence, Link};
use crate::causality::policy::BaggageKey;
use crate::causality::{Linked, Peer};
use crate::exchange::{Exchange, Unanswered};
use crate::protocol::attribute::{Attribute, On, Value};
use crate::protocol::{Kind, Request};
use crate::semconv;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// `ENETUNREACH` and `EHOSTUNREACH` of Linux, which a connect can fail with besides those that have a name of their own.
const ENETUNREACH: u32 = 101;
const EHOSTUNREACH: u32 = 113;

/// Attributes that a span usually has beside those of its protocol: with those of HTTP, the list is allocated once, and just below
/// the size from which on the C library's allocator tidies up first.
const OWN_ATTRIBUTES: usize = 12;

/// Builds the span of an exchange; `peer` is the name of the service at the other end. `clock` turns a source's time into
/// nanoseconds since 1970 UTC.
#[must_use]
pub fn exchange_span(linked: Linked, resource: Arc<Resource>, peer: Option<String>, clock: impl Fn(Nanos) -> u64) -> Span {
    let Linked { mut exchange, link, peer: other, .. } = linked;
    let is_client = exchange.client != exchange.pushed;
    let side = if is_client { On::Client } else { On::Server };
    let mut asked = std::mem::take(&mut exchange.request.attributes);
    let mut response = exchange.response.take();
    let answered = response.as_mut().map(|response| std::mem::take(&mut response.attributes)).unwrap_or_default();
    if let Some(name) = response.as_mut().and_then(|response| response.name.take()) {
        exchange.request.name = name;
        asked.retain(|attribute| answered.iter().all(|better| better.key != attribute.key));
    }
    let failure = exchange.unanswered.and_then(unanswered_name).map(Cow::Borrowed);
    let failure = failure.or_else(|| {
        let response = response.as_ref()?;
        if is_client { response.client_error.clone() } else { response.server_error.clone() }
    });
    let ours = |attribute: &Attribute| attribute.on == On::Both || attribute.on == side;
    let count = asked.iter().chain(&answered).filter(|attribute| ours(attribute)).count();
    let mut attributes = Vec::with_capacity(count + OWN_ATTRIBUTES);
    attributes.extend(asked.into_iter().chain(answered).filter(ours));
    addresses(&mut attributes, &exchange);
    // A protocol within a protocol names itself.
    if attributes.iter().all(|attribute| attribute.key != semconv::WIRESPAN_PROTOCOL) {
        add(&mut attributes, semconv::WIRESPAN_PROTOCOL, exchange.protocol);
    }
    if let Some(name) = peer {
        add(&mut attributes, semconv::SERVICE_PEER_NAME, name);
    }
    times(&mut attributes, &exchange, other.as_ref());
    if exchange.truncated {
        add(&mut attributes, semconv::WIRESPAN_TRUNCATED, true);
    }
    if exchange.unanswered == Some(Unanswered::InputEnded) {
        add(&mut attributes, semconv::WIRESPAN_INCOMPLETE, "input_ended");
    }
    let start = clock(exchange.asked.at);
    let end = start + exchange.over.saturating_sub(exchange.asked.at);
    let kind = kind_of(&exchange);
    finish(Draft { resource, kind, name: exchange.request.name, start, end, attributes, failure }, link)
}

/// The span's kind: at a broker, messages are requests like others.
fn kind_of(exchange: &Exchange) -> SpanKind {
    match (exchange.request.kind, exchange.client) {
        (Kind::Publish, true) => SpanKind::Producer,
        (Kind::Consume, client) if client != exchange.pushed => SpanKind::Consumer,
        (_, true) => SpanKind::Client,
        (_, false) => SpanKind::Server,
    }
}

/// Adds what may be recorded of a request's baggage to its attributes.
pub fn record_baggage(request: &mut Request, keys: &[BaggageKey]) {
    let Some(carried) = request.carried.as_deref() else { return };
    let found = keys.iter().filter_map(|key| Some(Attribute::both(key.attribute, carried.baggage(&key.key)?)));
    request.attributes.extend(found);
}

/// Builds the span of a connect that failed.
#[must_use]
pub fn failed_connect_span(opened: &Opened, closed: &Closed, link: Link, resource: Arc<Resource>, clock: impl Fn(Nanos) -> u64) -> Span {
    let failure = match closed.end {
        End::Refused => "connection_refused",
        End::TimedOut => "timeout",
        End::ResetByPeer | End::ResetByUs => "connection_reset",
        End::Failed(ENETUNREACH) => "network_unreachable",
        End::Failed(EHOSTUNREACH) => "host_unreachable",
        End::Failed(_) | End::Finished => "_OTHER",
    };
    let mut attributes = Vec::new();
    add(&mut attributes, semconv::NETWORK_TRANSPORT, "tcp");
    endpoint(&mut attributes, semconv::SERVER_ADDRESS, semconv::SERVER_PORT, opened.remote);
    endpoint(&mut attributes, semconv::NETWORK_PEER_ADDRESS, semconv::NETWORK_PEER_PORT, opened.remote);
    let start = clock(opened.at);
    let end = start + closed.at.saturating_sub(opened.at);
    let failure = Some(Cow::Borrowed(failure));
    finish(Draft { resource, kind: SpanKind::Client, name: "connect".into(), start, end, attributes, failure }, link)
}

/// A span before its place in a trace.
struct Draft {
    resource: Arc<Resource>,
    kind: SpanKind,
    name: Cow<'static, str>,
    start: u64,
    end: u64,
    attributes: Vec<Attribute>,
    failure: Option<Cow<'static, str>>,
}

fn finish(draft: Draft, link: Link) -> Span {
    let Draft { resource, kind, name, start, end, mut attributes, failure } = draft;
    let status = if failure.is_some() { Status::Error(Cow::Borrowed("")) } else { Status::Unset };
    if let Some(failure) = failure {
        add(&mut attributes, semconv::ERROR_TYPE, failure);
    }
    add(&mut attributes, semconv::WIRESPAN_LINK, link.evidence.name());
    if let Evidence::None(reason) = link.evidence {
        add(&mut attributes, semconv::WIRESPAN_LINK_REASON, reason.name());
    }
    if link.provisional {
        add(&mut attributes, semconv::WIRESPAN_LINK_PROVISIONAL, true);
    }
    if !link.conflict.is_empty() {
        let formats = link.conflict.iter().map(|format| format.name().to_owned()).collect();
        attributes.push(Attribute::both(semconv::WIRESPAN_CONTEXT_CONFLICT, Value::Texts(formats)));
    }
    Span {
        resource,
        trace_id: link.trace_id,
        span_id: link.span_id,
        parent: link.parent.map(|(id, remote)| Parent { id, remote }),
        trace_state: link.state,
        flags: link.flags,
        kind,
        name,
        start,
        end,
        attributes,
        links: link.links,
        status,
    }
}

/// Addresses and ports that the protocol did not name.
fn addresses(attributes: &mut Vec<Attribute>, exchange: &Exchange) {
    let opened = &exchange.opened;
    let server = if exchange.client == exchange.pushed { opened.local } else { opened.remote };
    if !attributes.iter().any(|attribute| attribute.key == semconv::SERVER_ADDRESS) {
        endpoint(attributes, semconv::SERVER_ADDRESS, semconv::SERVER_PORT, server);
    }
    let named = attributes.iter().any(|attribute| attribute.key == semconv::CLIENT_ADDRESS);
    if !exchange.client && exchange.request.kind == Kind::Service && !named {
        add(attributes, semconv::CLIENT_ADDRESS, text_of(opened.remote.ip()));
    }
    endpoint(attributes, semconv::NETWORK_PEER_ADDRESS, semconv::NETWORK_PEER_PORT, opened.remote);
}

/// Where the time of the exchange went, as far as this end and the other one know.
fn times(attributes: &mut Vec<Attribute>, exchange: &Exchange, other: Option<&Peer>) {
    let asked = exchange.asked.at;
    let answered = exchange.answered.map(|point| point.at);
    let read = exchange.read.map(|read| read.at);
    let mut time = |key, from: Option<Nanos>, to: Option<Nanos>| {
        if let (Some(from), Some(to)) = (from, to) {
            add(attributes, key, to.saturating_sub(from) as i64);
        }
    };
    if exchange.client {
        if let Some(server) = other {
            if exchange.request.kind != Kind::Service {
                time(semconv::WIRESPAN_QUEUE_NS, Some(server.asked), server.read);
                time(semconv::WIRESPAN_APP_NS, server.read, server.answered);
            }
            let waited = exchange.ended.map(|ended| ended.at.saturating_sub(asked));
            let held = server.over.map(|over| over.saturating_sub(server.asked));
            time(semconv::WIRESPAN_NETWORK_NS, held, waited);
        }
        time(semconv::WIRESPAN_CONNECT_NS, exchange.connect.map(|_| 0), exchange.connect);
        time(semconv::WIRESPAN_READ_DELAY_NS, answered, read);
    } else {
        time(semconv::WIRESPAN_QUEUE_NS, Some(asked), read);
        time(semconv::WIRESPAN_APP_NS, read, answered);
    }
    let last = exchange.ended.or(exchange.answered).unwrap_or(exchange.asked);
    let srtt_us = if last.srtt_us > 0 { last.srtt_us } else { exchange.asked.srtt_us };
    if srtt_us > 0 {
        add(attributes, semconv::WIRESPAN_SRTT_NS, i64::from(srtt_us) * 1000);
    }
    add(attributes, semconv::WIRESPAN_RETRANSMITS, i64::from(last.retransmits.saturating_sub(exchange.asked.retransmits)));
}

fn unanswered_name(reason: Unanswered) -> Option<&'static str> {
    match reason {
        Unanswered::Closed => Some("connection_closed"),
        Unanswered::Reset => Some("connection_reset"),
        Unanswered::TimedOut => Some("timeout"),
        Unanswered::InputEnded => None,
    }
}

fn endpoint(attributes: &mut Vec<Attribute>, address: &'static str, port: &'static str, of: SocketAddr) {
    add(attributes, address, text_of(of.ip()));
    add(attributes, port, i64::from(of.port()));
}

/// The address as text. A span has up to three of them, and the general way of writing a number costs ten times this.
fn text_of(ip: IpAddr) -> String {
    let IpAddr::V4(v4) = ip else { return ip.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (place, octet) in v4.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        for (divisor, least) in [(100, 100), (10, 10), (1, 0)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / divisor % 10));
            }
        }
    }
    text
}

fn add(attributes: &mut Vec<Attribute>, key: &'static str, value: impl Into<Value>) {
    attributes.push(Attribute::both(key, value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for octet in 0..=255 {
            let ip = IpAddr::from([octet, 255 - octet, octet, 7]);
            assert_eq!(text_of(ip), ip.to_string());
        }
        let ip = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(text_of(ip), "fe80::1");
    }
}
