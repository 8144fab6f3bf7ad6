//! `Fetch`: who asks, and what was found. A request of a session names only the topics that have changed in it, so what a poll is about
//! is read from its response, which names those that have messages.
use super::dealings::{Dealings, Topic};
use super::error;
use super::header::Asked;
use super::wire::Reader;
use std::borrow::Cow;

/// Whether the request is a broker's that copies a partition, not a consumer's.
pub(super) fn is_replica(asked: &Asked<'_>) -> bool {
    let mut reader = asked.body.clone();
    let replica = if asked.version <= 14 { reader.i32() } else { replica_state(reader) };
    replica.is_some_and(|replica| replica >= 0)
}

/// From version 15 on, who copies is said in a tagged field at the end.
fn replica_state(mut reader: Reader<'_>) -> Option<i32> {
    // How long to wait, how much to give (two numbers), isolation, session and its epoch.
    reader.take(4 + 4 + 4 + 1 + 4 + 4)?;
    for _ in 0..reader.count()? {
        reader.uuid()?;
        for _ in 0..reader.count()? {
            // Partition, epoch, offset, last epoch, start of the log, how much to give.
            reader.take(4 + 4 + 8 + 4 + 8 + 4)?;
            reader.tags()?;
        }
        reader.tags()?;
    }
    for _ in 0..reader.count()? {
        forgotten(&mut reader)?;
    }
    reader.string()?;
    for _ in 0..reader.unsigned()? {
        if let (1, state) = reader.tag()? {
            return Reader::new(state, true).i32();
        }
    }
    None
}

/// A topic that the session shall forget.
fn forgotten(reader: &mut Reader<'_>) -> Option<()> {
    reader.uuid()?;
    for _ in 0..reader.count()? {
        reader.i32()?;
    }
    reader.tags()
}

/// What a response says.
#[derive(Debug)]
pub(super) struct Fetched<'a> {
    /// What was found.
    pub(super) dealings: Dealings<'a>,
    /// The first error in it.
    pub(super) error: Option<Cow<'static, str>>,
}

/// Reads a response as far as it is there: all but `unseen` bytes.
pub(super) fn response(version: i16, reader: Reader<'_>, unseen: u64) -> Fetched<'_> {
    let mut fetched = Fetched { dealings: Dealings::new(unseen), error: None };
    let whole = body(version, reader, &mut fetched).is_some();
    fetched.dealings.end(whole);
    fetched
}

fn body<'a>(version: i16, mut reader: Reader<'a>, fetched: &mut Fetched<'a>) -> Option<()> {
    if version >= 1 {
        reader.i32()?;
    }
    if version >= 7 {
        fetched.error = error::name(reader.i16()?);
        reader.i32()?;
    }
    for _ in 0..fetched.dealings.declare_topics(reader.count()?) {
        let topic = Topic::read(&mut reader, version >= 13)?;
        let identity = topic.identity();
        for _ in 0..fetched.dealings.declare_partitions(reader.count()?) {
            let partition = reader.i32()?;
            if let Some(error) = error::name(reader.i16()?) {
                fetched.error.get_or_insert(error);
                fetched.dealings.add(topic, partition);
            }
            skip_to_records(version, &mut reader)?;
            fetched.dealings.messages(&mut reader, topic, partition, identity.map(|identity| (identity, partition)))?;
            reader.tags()?;
        }
        reader.tags()?;
    }
    Some(())
}

/// What is said of a partition before its records: the ends of its log, transactions that were given up, who is nearer.
fn skip_to_records(version: i16, reader: &mut Reader<'_>) -> Option<()> {
    reader.i64()?;
    if version >= 4 {
        reader.i64()?;
    }
    if version >= 5 {
        reader.i64()?;
    }
    if version >= 4 {
        for _ in 0..reader.count()? {
            reader.take(8 + 8)?;
            reader.tags()?;
        }
    }
    if version >= 11 {
        reader.i32()?;
    }
    Some(())
}
