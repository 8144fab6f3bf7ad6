//! `Produce`: what is sent where, and the numbers that the broker gives it.
use super::dealings::{Dealings, Topic};
use super::records::{self, Place};
use super::wire::Reader;
use super::{error, header::Asked};
use crate::protocol::{Message, Response};

/// Partitions of one request whose messages are followed: a producer sends to all of a broker's at once, but to few topics.
const MOST_PARTITIONS: usize = 64;
/// Messages of one request whose numbers are told.
const MOST_MESSAGES: u64 = 128;

/// Messages that were sent to one partition, whose first number the response tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sent {
    place: (u64, i32),
    count: u64,
}

/// What a request says.
#[derive(Debug)]
pub(super) struct Produce<'a> {
    /// Topics, partitions and messages.
    pub(super) dealings: Dealings<'a>,
    /// Where its messages go, whose numbers come with the response.
    pub(super) sent: Vec<Sent>,
    /// A response will come.
    pub(super) answered: bool,
}

/// Reads a request as far as it is there.
pub(super) fn request<'a>(asked: &Asked<'a>) -> Produce<'a> {
    let mut produce = Produce { dealings: Dealings::new(asked.unseen), sent: Vec::new(), answered: true };
    let whole = body(asked.version, asked.body.clone(), &mut produce).is_some();
    produce.dealings.end(whole);
    produce
}

fn body<'a>(version: i16, mut reader: Reader<'a>, produce: &mut Produce<'a>) -> Option<()> {
    if version >= 3 {
        reader.string()?;
    }
    produce.answered = reader.i16()? != 0;
    reader.i32()?;
    for _ in 0..produce.dealings.declare_topics(reader.count()?) {
        let topic = Topic::read(&mut reader, version >= 13)?;
        let identity = topic.identity();
        for _ in 0..produce.dealings.declare_partitions(reader.count()?) {
            let partition = reader.i32()?;
            let before = produce.dealings.records.count;
            let whole = produce.dealings.messages(&mut reader, topic, partition, None);
            let count = produce.dealings.records.count - before;
            if let Some(identity) = identity.filter(|_| count > 0 && produce.sent.len() < MOST_PARTITIONS) {
                produce.sent.push(Sent { place: (identity, partition), count });
            }
            whole?;
            reader.tags()?;
        }
        reader.tags()?;
    }
    Some(())
}

/// What a response says about what was sent.
pub(super) fn response(version: i16, mut reader: Reader<'_>, sent: &[Sent]) -> Response {
    let mut response = Response::default();
    let mut messages = Vec::new();
    let _ = results(version, &mut reader, sent, &mut response, &mut messages);
    response.messages = messages.into();
    response
}

fn results(version: i16, reader: &mut Reader<'_>, sent: &[Sent], response: &mut Response, messages: &mut Vec<Message>) -> Option<()> {
    for _ in 0..reader.count()? {
        let identity = Topic::read(reader, version >= 13)?.identity();
        for _ in 0..reader.count()? {
            let partition = reader.i32()?;
            let error = error::name(reader.i16()?);
            let base = reader.i64()?;
            let place: Place = identity.map(|identity| (identity, partition));
            let numbered = place.filter(|_| error.is_none() && base >= 0).and_then(|place| sent.iter().find(|sent| sent.place == place));
            if let Some(Sent { place, count }) = numbered {
                let room = MOST_MESSAGES.saturating_sub(messages.len() as u64);
                let offsets = (base..).take((*count).min(room) as usize);
                messages.extend(offsets.map(|offset| Message { id: Some(records::identity(*place, offset)), carried: None }));
            }
            if response.client_error.is_none() {
                response.client_error.clone_from(&error);
                response.server_error = error;
            }
            skip_rest(version, reader)?;
        }
        reader.tags()?;
    }
    Some(())
}

/// What else there is about a partition.
fn skip_rest(version: i16, reader: &mut Reader<'_>) -> Option<()> {
    if version >= 2 {
        reader.i64()?;
    }
    if version >= 5 {
        reader.i64()?;
    }
    if version >= 8 {
        for _ in 0..reader.count()? {
            reader.i32()?;
            reader.string()?;
            reader.tags()?;
        }
        reader.string()?;
    }
    reader.tags()
}

/// The number of the only message that was sent, if there was one.
pub(super) fn only(sent: &[Sent], version: i16, mut reader: Reader<'_>) -> Option<i64> {
    let [Sent { count: 1, .. }] = sent else { return None };
    if reader.count()? != 1 {
        return None;
    }
    Topic::read(&mut reader, version >= 13)?;
    if reader.count()? != 1 {
        return None;
    }
    reader.i32()?;
    (reader.i16()? == 0).then_some(reader.i64()?).filter(|offset| *offset >= 0)
}
