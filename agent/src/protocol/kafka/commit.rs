//! `OffsetCommit` and `TxnOffsetCommit`: which partitions of which topics a group has processed.
use super::dealings::{Dealings, Topic};
use super::header::Asked;
use super::wire::{self, Reader};

/// Longest name of a consumer group.
const LONGEST_GROUP: usize = 255;

/// The name of a group, where one is to be read.
pub(super) fn group<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    wire::text(reader.string()?, LONGEST_GROUP)
}

/// Reads a request as far as it is there: the group, and what it is about.
pub(super) fn request<'a>(asked: &Asked<'a>) -> (Option<&'a str>, Dealings<'a>) {
    let (mut reader, mut dealings) = (asked.body.clone(), Dealings::default());
    if asked.api.of_group {
        let group = group(&mut reader);
        let _ = plain(asked.version, &mut reader).and_then(|()| topics(asked.version, false, &mut reader, &mut dealings));
        (group, dealings)
    } else {
        let group = reader.string().and_then(|_| group(&mut reader));
        let _ = transactional(asked.version, &mut reader).and_then(|()| topics(asked.version, true, &mut reader, &mut dealings));
        (group, dealings)
    }
}

/// What stands between the group and the topics of `OffsetCommit`: generation, member, instance, how long to keep it.
fn plain(version: i16, reader: &mut Reader<'_>) -> Option<()> {
    if version >= 1 {
        reader.i32()?;
        reader.string()?;
    }
    if version >= 7 {
        reader.string()?;
    }
    if (2..=4).contains(&version) {
        reader.i64()?;
    }
    Some(())
}

/// The same of `TxnOffsetCommit`: the producer and its epoch, generation, member, instance.
fn transactional(version: i16, reader: &mut Reader<'_>) -> Option<()> {
    reader.take(8 + 2)?;
    if version >= 3 {
        reader.i32()?;
        reader.string()?;
        reader.string()?;
    }
    Some(())
}

fn topics<'a>(version: i16, transactional: bool, reader: &mut Reader<'a>, dealings: &mut Dealings<'a>) -> Option<()> {
    let epoch = version >= if transactional { 2 } else { 6 };
    let time = !transactional && version == 1;
    for _ in 0..reader.count()? {
        let topic = Topic::read(reader, !transactional && version >= 10)?;
        for _ in 0..reader.count()? {
            dealings.add(topic, reader.i32()?);
            reader.i64()?;
            if epoch {
                reader.i32()?;
            }
            if time {
                reader.i64()?;
            }
            reader.string()?;
            reader.tags()?;
        }
        reader.tags()?;
    }
    Some(())
}
