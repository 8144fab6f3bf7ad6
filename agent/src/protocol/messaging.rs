//! What the protocols of brokers share: how a destination is named, and what is known of requests that wait for their answer.
use super::attribute::Attribute;
use super::{Kind, Request};
use crate::semconv;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Longest name that is kept: as long as AMQP allows one, and longer than any that a person reads.
const MAX_NAME: usize = 255;
/// Segments of a name that are this long, and not made of words, are identifiers.
const LONG: usize = 20;
/// Requests that may wait for their answer on one connection, as far as a decoder knows of them: as many messages as a client may
/// ordinarily have in flight, in 32 KiB.
const MAX_AWAITED: usize = 4096;

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes are the beginning of one.
    More,
    /// The bytes are something else.
    Invalid,
}

/// Fields of a binary message, in network order, from the front on. What is not there is `None`, and then nothing is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// So many bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    /// One byte.
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// Two bytes.
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes whose number stands before them in one byte.
    pub(super) fn short(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let len = usize::from(ahead.u8()?);
        let field = ahead.bytes(len)?;
        *self = ahead;
        Some(field)
    }

    /// Bytes whose number stands before them in two bytes.
    pub(super) fn medium(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let len = usize::from(ahead.u16()?);
        let field = ahead.bytes(len)?;
        *self = ahead;
        Some(field)
    }

    /// Bytes whose number stands before them in four bytes.
    pub(super) fn block(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let len = ahead.u32()? as usize;
        let field = ahead.bytes(len)?;
        *self = ahead;
        Some(field)
    }
}

/// A name as it may be shown.
pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty() && text.len() <= MAX_NAME)?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// What is done at a broker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// The kind of request that it is.
    pub(super) kind: Kind,
    /// `messaging.operation.name`.
    pub(super) name: &'static str,
}

impl Operation {
    /// A message is given to the broker.
    pub(super) const PUBLISH: Self = Self { kind: Kind::Publish, name: "publish" };
    /// The broker hands a message to a consumer, which did not ask for this one.
    pub(super) const PROCESS: Self = Self { kind: Kind::Consume, name: "process" };
    /// A consumer asks for a message.
    pub(super) const RECEIVE: Self = Self { kind: Kind::Consume, name: "receive" };

    /// Something is asked of the broker itself.
    pub(super) const fn call(name: &'static str) -> Self {
        Self { kind: Kind::Database, name }
    }

    /// `messaging.operation.type`, of those operations that have one.
    fn class(self) -> Option<&'static str> {
        match (self.kind, self.name) {
            (Kind::Publish, _) => Some("send"),
            (Kind::Consume, name) => Some(name),
            _ => None,
        }
    }
}

/// Where messages go to or come from.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Destination<'a> {
    /// Its name, if it has one that may be shown.
    pub(super) name: Option<Cow<'a, str>>,
    /// The name of all destinations that differ from it by identifiers alone.
    pub(super) template: Option<String>,
    /// It was made for one program, which gave it a name at random.
    pub(super) temporary: bool,
}

impl<'a> Destination<'a> {
    /// A name of segments, some of which may be identifiers.
    pub(super) fn of_segments(name: &'a [u8]) -> Self {
        let name = text(name);
        Self { name: name.map(Cow::Borrowed), template: name.and_then(template), temporary: false }
    }

    /// The same of a name that was put together; it may be an empty one.
    pub(super) fn of_text(name: String) -> Self {
        let template = template(&name);
        Self { name: Some(name).filter(|name| !name.is_empty()).map(Cow::Owned), template, temporary: false }
    }

    /// A destination that is gone when its program is.
    pub(super) fn temporary(name: &'a [u8]) -> Self {
        Self { name: text(name).map(Cow::Borrowed), template: None, temporary: true }
    }
}

/// A request, with its name and the attributes that every system's requests have.
pub(super) fn request(system: &'static str, operation: Operation, destination: Destination<'_>) -> Request {
    let Destination { name, template, temporary } = destination;
    let low = template.as_deref().or(name.as_deref()).filter(|_| !temporary);
    let mut request = match low {
        Some(low) => {
            let mut name = String::with_capacity(operation.name.len() + 1 + low.len());
            name.push_str(operation.name);
            name.push(' ');
            name.push_str(low);
            Request::new(operation.kind, name)
        }
        None => Request::new(operation.kind, operation.name),
    };
    // Allocates once: six attributes here, and five that a protocol adds.
    let mut attributes = Vec::with_capacity(11);
    attributes.push(Attribute::both(semconv::MESSAGING_SYSTEM, system));
    attributes.push(Attribute::both(semconv::MESSAGING_OPERATION_NAME, operation.name));
    attributes.extend(operation.class().map(|class| Attribute::both(semconv::MESSAGING_OPERATION_TYPE, class)));
    attributes.extend(name.map(|name| Attribute::both(semconv::MESSAGING_DESTINATION_NAME, name.into_owned())));
    attributes.extend(template.map(|template| Attribute::both(semconv::MESSAGING_DESTINATION_TEMPLATE, template)));
    if temporary {
        attributes.push(Attribute::both(semconv::MESSAGING_DESTINATION_ANONYMOUS, true));
        attributes.push(Attribute::both(semconv::MESSAGING_DESTINATION_TEMPORARY, true));
    }
    request.attributes = attributes;
    request
}

/// What stands between the segments of a name: `.` in subjects and routing keys, `/` in topics, `:` behind an exchange.
const SEPARATORS: [char; 3] = ['.', '/', ':'];

/// The name with `{id}` for every segment that identifies one thing among many of its kind; `None` if there is none.
fn template(name: &str) -> Option<String> {
    if !name.split(SEPARATORS).any(is_id) {
        return None;
    }
    let mut template = String::with_capacity(name.len() + 8);
    for piece in name.split_inclusive(SEPARATORS) {
        let segment = piece.trim_end_matches(SEPARATORS);
        template.push_str(if is_id(segment) { "{id}" } else { segment });
        template.push_str(piece.get(segment.len()..).unwrap_or_default());
    }
    Some(template)
}

/// Numbers, hexadecimal digits, mail addresses, three digits in a row, and long mixtures of letters and digits.
fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hex = || bytes.len() >= 8 && bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let mixed = || {
        let (upper, lower) = (bytes.iter().any(u8::is_ascii_uppercase), bytes.iter().any(u8::is_ascii_lowercase));
        bytes.len() >= LONG && (digits > 0 || upper && lower) && bytes.iter().all(u8::is_ascii_alphanumeric)
    };
    match digits {
        0 => bytes.contains(&b'@') || mixed(),
        _ if digits == bytes.len() => true,
        _ => bytes.windows(3).any(|three| three.iter().all(u8::is_ascii_digit)) || bytes.contains(&b'@') || hex() || mixed(),
    }
}

/// The correlations of requests that wait for their answer, each with a number to remember. Of too many, the oldest are forgotten.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    waiting: FxHashMap<u64, u64>,
    /// All of them in order, among others that were answered.
    order: VecDeque<u64>,
}

impl Awaited {
    /// One more.
    pub(super) fn insert(&mut self, correlation: u64, about: u64) {
        if self.waiting.is_empty() {
            self.order.clear();
        }
        if self.order.len() >= MAX_AWAITED
            && let Some(oldest) = self.order.pop_front()
        {
            self.waiting.remove(&oldest);
        }
        self.waiting.insert(correlation, about);
        self.order.push_back(correlation);
    }

    /// It is answered: what was to be remembered, if it was waiting.
    pub(super) fn remove(&mut self, correlation: u64) -> Option<u64> {
        self.waiting.remove(&correlation)
    }

    /// Several are answered: those that were waiting, in order.
    pub(super) fn remove_all(&mut self, correlations: &RangeInclusive<u64>) -> Vec<u64> {
        if correlations.start() == correlations.end() {
            return self.remove(*correlations.start()).map(|_| *correlations.start()).into_iter().collect();
        }
        let Self { waiting, order } = self;
        order.iter().copied().filter(|one| correlations.contains(one) && waiting.remove(one).is_some()).collect()
    }

    /// All that wait, in order, which then do so no longer.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = u64> {
        let Self { waiting, order } = std::mem::take(self);
        order.into_iter().filter(move |correlation| waiting.contains_key(correlation))
    }

    /// Whether it waits.
    pub(super) fn contains(&self, correlation: u64) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(&correlation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_in_names_make_a_template_and_words_do_not() {
        for (name, expected) in [
            ("orders.created", None),
            ("v1.eu-west-1.http2.utf8", None),
            ("orders.4711.created", Some("orders.{id}.created")),
            ("7", Some("{id}")),
            ("/home//7/temperature/", Some("/home//{id}/temperature/")),
            ("orders:order.17:billing", Some("orders:order.{id}:billing")),
            ("device-004711.temperature", Some("{id}.temperature")),
            ("u.4bf92f35-77b3-4da6-a3ce-929d0e0e4736", Some("u.{id}")),
            ("u.deadbee1.x", Some("u.{id}.x")),
            ("facade.decade", None),
            ("mail.ann@example", Some("mail.{id}")),
            ("x.Q8gRbJzWcNnPmLkHtYvXdF", Some("x.{id}")),
            ("", None),
        ] {
            assert_eq!(template(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn of_too_many_that_wait_the_oldest_is_forgotten() {
        let mut awaited = Awaited::default();
        let all = MAX_AWAITED as u64 + 10;
        (0..all).for_each(|correlation| awaited.insert(correlation, correlation * 2));
        assert_eq!([9, 10, 10, all - 1].map(|correlation| awaited.remove(correlation)), [None, Some(20), None, Some(2 * all - 2)]);
        assert!(awaited.order.len() <= MAX_AWAITED);
    }
}
