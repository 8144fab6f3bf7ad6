//! What a request or response is about, whatever its kind: topics, partitions, messages. They become a name and attributes.
use super::records::{Place, Records};
use super::{topics, wire};
use crate::protocol::Message;
use crate::protocol::attribute::{Attribute, Value};
use crate::semconv;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Longest key of a message that is told.
const LONGEST_KEY: usize = 64;
/// The least that another partition with a message in it takes: its number, a length and the beginning of a batch.
const LEAST_PARTITION: u64 = 4 + 1 + 17;

/// A topic, as a message names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Topic<'a> {
    /// By its name.
    Name(&'a str),
    /// By its id.
    Id(u128),
}

impl<'a> Topic<'a> {
    /// Reads a topic; `by_id` says how this version names it.
    pub(super) fn read(reader: &mut wire::Reader<'a>, by_id: bool) -> Option<Self> {
        if by_id { reader.uuid().map(Self::Id) } else { wire::topic(reader.string()?).map(Self::Name) }
    }

    /// What the identities of its messages begin with; `None` if its name is not known.
    pub(super) fn identity(self) -> Option<u64> {
        let of = |name: &str| Message::identity(("kafka", name));
        match self {
            Self::Name(name) => Some(of(name)),
            Self::Id(id) => topics::name(id).map(|name| of(&name)),
        }
    }

    fn name(self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.to_owned()),
            Self::Id(id) => topics::name(id).map(|name| name.to_string()),
        }
    }
}

/// What it is about.
#[derive(Debug, Default)]
pub(super) struct Dealings<'a> {
    topic: Option<Topic<'a>>,
    several_topics: bool,
    partition: Option<i32>,
    several_partitions: bool,
    /// Bytes at its end that are not there.
    unseen: u64,
    /// Behind the messages that were read there is no room for others.
    finished: bool,
    /// How many topics it says that it has, and how many partitions the largest of them.
    declared: (u64, u64),
    /// The messages.
    pub(super) records: Records<'a>,
}

impl<'a> Dealings<'a> {
    /// Nothing yet; `unseen` bytes at the end of it are not there.
    pub(super) fn new(unseen: u64) -> Self {
        Self { unseen, ..Self::default() }
    }

    /// It says that it has so many topics.
    pub(super) fn declare_topics(&mut self, count: u64) -> u64 {
        self.declared.0 = count;
        count
    }

    /// It says that the topic at hand has so many partitions.
    pub(super) fn declare_partitions(&mut self, count: u64) -> u64 {
        self.declared.1 = self.declared.1.max(count);
        count
    }

    /// It was read as far as it is there. Without `whole`, other topics, partitions and messages may be behind, unless it says that there
    /// is no other one, or there is no room for it.
    pub(super) fn end(&mut self, whole: bool) {
        if !whole && !self.finished {
            let (topics, partitions) = self.declared;
            self.records.complete = false;
            self.several_topics |= topics > 1;
            self.several_partitions |= topics > 1 || partitions > 1;
        }
    }

    /// It is about this partition, too.
    pub(super) fn add(&mut self, topic: Topic<'a>, partition: i32) {
        match self.topic {
            None => (self.topic, self.partition) = (Some(topic), Some(partition)),
            Some(known) => {
                self.several_topics |= known != topic;
                self.several_partitions |= known != topic || self.partition != Some(partition);
            }
        }
    }

    /// About messages of this partition, too: reads what is there of them and steps over them. `None` if not all was there.
    pub(super) fn messages(&mut self, reader: &mut wire::Reader<'a>, topic: Topic<'a>, partition: i32, place: Place) -> Option<()> {
        let length = reader.bytes_length()?;
        let here = reader.rest().get(..usize::try_from(length).ok()?).unwrap_or(reader.rest());
        let before = self.records.any;
        self.records.any = false;
        self.records.read(place, here, length);
        // Of what is not there nobody knows whether it is any.
        if self.records.any || length > here.len() as u64 {
            self.add(topic, partition);
        }
        self.records.any |= before;
        let behind = (reader.rest().len() as u64 + self.unseen).checked_sub(length);
        self.finished = behind.is_some_and(|behind| behind < LEAST_PARTITION);
        reader.take(usize::try_from(length).ok()?).map(|_| ())
    }

    /// The name of the span and its attributes beside those that the connection knows.
    pub(super) fn describe(&self, operation: &'static str, kind: &'static str, attributes: &mut Vec<Attribute>) -> Cow<'static, str> {
        attributes.push(Attribute::both(semconv::MESSAGING_OPERATION_NAME, operation));
        attributes.push(Attribute::both(semconv::MESSAGING_OPERATION_TYPE, kind));
        let topic = self.topic.filter(|_| !self.several_topics).and_then(Topic::name);
        if let Some(partition) = self.partition.filter(|_| !self.several_partitions) {
            attributes.push(Attribute::both(semconv::MESSAGING_DESTINATION_PARTITION_ID, partition.to_string()));
        }
        let Some(topic) = topic else { return Cow::Borrowed(operation) };
        let mut name = String::with_capacity(operation.len() + 1 + topic.len());
        let _ = write!(name, "{operation} {topic}");
        attributes.push(Attribute::both(semconv::MESSAGING_DESTINATION_NAME, topic));
        Cow::Owned(name)
    }

    /// What is known of the messages. `numbered` says that a broker has numbered them.
    pub(super) fn describe_messages(&self, numbered: bool, attributes: &mut Vec<Attribute>) {
        let records = &self.records;
        if !records.complete {
            return;
        }
        if records.count > 1 {
            let count = i64::try_from(records.count).unwrap_or(i64::MAX);
            attributes.push(Attribute::both(semconv::MESSAGING_BATCH_MESSAGE_COUNT, count));
        }
        let Some(first) = records.first.filter(|_| records.count == 1) else { return };
        if let Some(key) = identifier(first.key) {
            attributes.push(Attribute::both(semconv::MESSAGING_KAFKA_MESSAGE_KEY, Value::from(key.to_owned())));
        }
        if first.tombstone {
            attributes.push(Attribute::both(semconv::MESSAGING_KAFKA_MESSAGE_TOMBSTONE, true));
        }
        if numbered {
            attributes.push(Attribute::both(semconv::MESSAGING_KAFKA_OFFSET, first.offset));
        }
    }
}

/// A key that can be nothing but an identifier: no sentence, no document, no address of a person.
fn identifier(key: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(byte);
    std::str::from_utf8(key).ok().filter(|_| (1..=LONGEST_KEY).contains(&key.len()) && key.iter().all(plain))
}
