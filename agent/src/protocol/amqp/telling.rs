//! Calls and messages become requests: how they are named, and what is told of them.
use super::channel::{Channel, Consumer, Pending, Route};
use super::content::Properties;
use super::method::{self, Call};
use crate::protocol::attribute::Attribute;
use crate::protocol::messaging::{Destination, Fields, Operation, request, text};
use crate::protocol::{Message, Request};
use crate::semconv;
use std::borrow::Cow;

/// What a call asks for, and the consumer that it makes at once; `None` if it is cut.
#[expect(clippy::type_complexity, reason = "two results of one look")]
pub(super) fn ask<'a>(
    system: &'static str,
    channel: &mut Channel,
    call: &'static Call,
    mut fields: Fields<'a>,
) -> Option<(Option<Request>, Option<(&'a [u8], Consumer)>)> {
    let mut names: [&[u8]; 2] = [&[]; 2];
    let mut bits = 0;
    if call.strings > 0 {
        fields.u16()?;
        for place in 0..usize::from(call.strings) {
            let text = fields.short()?;
            names.get_mut(place).into_iter().for_each(|name| *name = text);
        }
    }
    if call.no_wait != 0 || call.id == method::BASIC_CONSUME || call.id == method::BASIC_GET {
        bits = fields.u8()?;
    }
    let answered = call.no_wait == 0 || bits & call.no_wait == 0;
    let [name, tag] = names;
    let name: &[u8] = if name.is_empty() && call.id.0 != 40 { &channel.declared } else { name };
    let consumer = (call.id == method::BASIC_CONSUME).then(|| Consumer { queue: name.into(), no_ack: bits & 1 << 1 != 0 });
    let request = call.name.map(|operation| {
        let operation = if call.id == method::BASIC_GET { Operation::RECEIVE } else { Operation::call(operation) };
        let destination = if is_temporary(name) { Destination::temporary(name) } else { Destination::of_segments(name) };
        request(system, operation, destination)
    });
    let correlation = request.is_some().then(|| channel.unique());
    if answered {
        channel.call(Pending { ok: call.ok, correlation, consumer });
        return Some((request.map(|request| Request { correlation, ..request }), None));
    }
    Some((request.map(|request| Request { correlation, answered, ..request }), consumer.map(|consumer| (tag, consumer))))
}

/// A request that gives or hands over a message.
pub(super) fn with_message(
    system: &'static str,
    operation: Operation,
    route: Route,
    properties: &Properties<'_>,
    tag: Option<u64>,
) -> Request {
    let destination = if route.temporary {
        Destination { name: Some(Cow::Owned(route.name)), temporary: true, ..Destination::default() }
    } else {
        Destination::of_text(route.name)
    };
    let mut request = request(system, operation, destination);
    if route.incomplete {
        request.attributes.push(Attribute::both(semconv::WIRESPAN_INCOMPLETE, "consumer"));
    }
    describe(&mut request.attributes, route.key, properties, tag);
    request
}

/// Attributes of a message.
pub(super) fn describe(attributes: &mut Vec<Attribute>, key: String, properties: &Properties<'_>, tag: Option<u64>) {
    if !key.is_empty() {
        attributes.push(Attribute::both(semconv::MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY, key));
    }
    attributes.extend(tag.map(|tag| Attribute::both(semconv::MESSAGING_RABBITMQ_MESSAGE_DELIVERY_TAG, tag as i64)));
    let shown = |key, id: Option<&[u8]>| id.and_then(text).map(|id| Attribute::both(key, id.to_owned()));
    attributes.extend(shown(semconv::MESSAGING_MESSAGE_ID, properties.message_id));
    attributes.extend(shown(semconv::MESSAGING_MESSAGE_CONVERSATION_ID, properties.correlation_id));
    attributes.push(Attribute::both(semconv::MESSAGING_MESSAGE_BODY_SIZE, properties.body as i64));
}

/// A message is known again by its id, or by what makes it an answer to another one, among those of the same route.
pub(super) fn message(route: &Route, properties: &Properties<'_>) -> Message {
    let id = properties.message_id.or(properties.correlation_id).filter(|id| !id.is_empty());
    Message { id: id.map(|id| Message::identity(("amqp", route.hash, id))), carried: properties.carried.clone() }
}

/// Where a message goes to, with the queue that it came from, if that is another name.
pub(super) fn route(exchange: &[u8], key: &[u8], queue: &[u8]) -> Route {
    let temporary = exchange.is_empty() && is_temporary(key);
    let queue = if queue == key || is_temporary(queue) { &[] } else { queue };
    let mut name = String::with_capacity(exchange.len() + key.len() + queue.len() + 2);
    for part in [exchange, key, queue].into_iter().filter_map(text) {
        if !name.is_empty() {
            name.push(':');
        }
        name.push_str(part);
    }
    if name.is_empty() {
        name.push_str("amq.default");
    }
    Route { name, key: text(key).unwrap_or_default().to_owned(), temporary, hash: route_hash(exchange, key), incomplete: false }
}

/// Zero is nobody's.
pub(super) fn route_hash(exchange: &[u8], key: &[u8]) -> u64 {
    Message::identity((exchange, key)).max(1)
}

/// Queues to which brokers give a name at random.
fn is_temporary(queue: &[u8]) -> bool {
    queue.starts_with(b"amq.gen-") || queue.starts_with(b"amq.rabbitmq.reply-to")
}
