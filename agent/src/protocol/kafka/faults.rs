//! Where responses say that something failed, for the kinds of which no more is read.
use super::api::Fault;
use super::error;
use super::wire::{self, Reader};
use super::{dealings::Topic, topics};
use std::borrow::Cow;

/// The first error that a response names.
pub(super) fn first(fault: Fault, version: i16, mut reader: Reader<'_>) -> Option<Cow<'static, str>> {
    let reader = &mut reader;
    match fault {
        Fault::None => None,
        Fault::First => error::name(reader.i16()?),
        Fault::Throttled { from, .. } if version < from => None,
        Fault::Throttled { throttled, .. } => behind_time(version >= throttled, reader),
        Fault::Topics { throttled, ids } => {
            skip_time(version >= throttled, reader)?;
            if reader.count()? == 0 {
                return None;
            }
            reader.string()?;
            if version >= ids {
                reader.uuid()?;
            }
            error::name(reader.i16()?)
        }
        Fault::Partitions { throttled, ids } => {
            skip_time(version >= throttled, reader)?;
            partitions(version >= ids, reader)
        }
        Fault::Coordinators if version < 4 => behind_time(version >= 1, reader),
        Fault::Coordinators => {
            skip_time(true, reader)?;
            for _ in 0..reader.count()? {
                // Key, node, host, port.
                reader.string()?;
                reader.i32()?;
                reader.string()?;
                reader.i32()?;
                if let Some(name) = error::name(reader.i16()?) {
                    return Some(name);
                }
                reader.string()?;
                reader.tags()?;
            }
            None
        }
        Fault::Transactions if version < 4 => {
            skip_time(true, reader)?;
            partitions(false, reader)
        }
        Fault::Transactions => behind_time(true, reader),
    }
}

fn skip_time(throttled: bool, reader: &mut Reader<'_>) -> Option<()> {
    if throttled {
        reader.i32()?;
    }
    Some(())
}

fn behind_time(throttled: bool, reader: &mut Reader<'_>) -> Option<Cow<'static, str>> {
    skip_time(throttled, reader)?;
    error::name(reader.i16()?)
}

fn partitions(ids: bool, reader: &mut Reader<'_>) -> Option<Cow<'static, str>> {
    for _ in 0..reader.count()? {
        Topic::read(reader, ids)?;
        for _ in 0..reader.count()? {
            reader.i32()?;
            if let Some(name) = error::name(reader.i16()?) {
                return Some(name);
            }
            reader.tags()?;
        }
        reader.tags()?;
    }
    None
}

/// Reads a `Metadata` response: remembers what topics are called, and gives the first error.
pub(super) fn metadata(version: i16, mut reader: Reader<'_>) -> Option<Cow<'static, str>> {
    let mut first = None;
    let _ = lookup(version, &mut reader, &mut first);
    first
}

fn lookup(version: i16, reader: &mut Reader<'_>, first: &mut Option<Cow<'static, str>>) -> Option<()> {
    skip_time(version >= 3, reader)?;
    for _ in 0..reader.count()? {
        reader.i32()?;
        reader.string()?;
        reader.i32()?;
        if version >= 1 {
            reader.string()?;
        }
        reader.tags()?;
    }
    if version >= 2 {
        reader.string()?;
    }
    if version >= 1 {
        reader.i32()?;
    }
    for _ in 0..reader.count()? {
        let error = error::name(reader.i16()?);
        let name = wire::topic(reader.string()?);
        if version >= 10 {
            let id = reader.uuid()?;
            if let Some(name) = name.filter(|_| error.is_none()) {
                topics::learn(id, name);
            }
        }
        *first = first.take().or(error);
        if version >= 1 {
            reader.i8()?;
        }
        for _ in 0..reader.count()? {
            partition(version, reader)?;
        }
        if version >= 8 {
            reader.i32()?;
        }
        reader.tags()?;
    }
    Some(())
}

/// A partition: error, number, leader and its epoch, who has copies, who is up to date, who is away.
fn partition(version: i16, reader: &mut Reader<'_>) -> Option<()> {
    reader.take(2 + 4 + 4)?;
    if version >= 7 {
        reader.i32()?;
    }
    for _ in 0..if version >= 5 { 3 } else { 2 } {
        for _ in 0..reader.count()? {
            reader.i32()?;
        }
    }
    reader.tags()
}
