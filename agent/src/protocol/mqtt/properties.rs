//! Properties of a message (section 2.2.2 of version 5), of which an alias, what identifies a message, and user properties count.
use super::packet;
use crate::protocol::context::{Carried, Finder};
use crate::protocol::messaging::{Fields, Stop};
use std::sync::Arc;

/// Longest properties that are looked at: the longest baggage and a few more.
const MAX_PROPERTIES: u64 = 12 * 1024;

/// What is known of a message by its properties.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Properties<'a> {
    /// The number that stands for its topic from now on.
    pub(super) alias: Option<u16>,
    /// What joins it with its answer.
    pub(super) correlation: Option<&'a [u8]>,
    /// What its user properties carry.
    pub(super) carried: Option<Arc<Carried>>,
}

/// Reads properties and their length from the front of a payload of `behind` bytes; how many they were. Those that are too long are left
/// out, and then all bytes count as theirs.
pub(super) fn read<'a>(fields: &mut Fields<'a>, behind: u64) -> Result<(Properties<'a>, u64), Stop> {
    let (len, used) = packet::length(fields.0)?;
    let total = len + used as u64;
    if total > behind {
        return Err(Stop::Invalid);
    }
    if len > MAX_PROPERTIES {
        return Ok((Properties::default(), total));
    }
    fields.bytes(used).ok_or(Stop::More)?;
    let inner = fields.bytes(len as usize).ok_or(Stop::More)?;
    Ok((each(Fields(inner)).ok_or(Stop::Invalid)?, total))
}

/// The same of a message whose version is unknown: nothing is taken for properties that could be something else.
pub(super) fn guess<'a>(fields: &Fields<'a>, behind: u64) -> Result<Properties<'a>, Stop> {
    if behind == 0 {
        return Ok(Properties::default());
    }
    match read(&mut fields.clone(), behind) {
        Ok((properties, _)) if properties.carried.is_some() => Ok(properties),
        Err(Stop::More) => Err(Stop::More),
        _ => Ok(Properties::default()),
    }
}

fn each(mut fields: Fields<'_>) -> Option<Properties<'_>> {
    let mut properties = Properties::default();
    let mut finder = Finder::default();
    while let Some(kind) = fields.u8() {
        match kind {
            // Those of a message, and of its way to a subscriber.
            1 => drop(fields.u8()?),
            2 => drop(fields.u32()?),
            3 | 8 => drop(fields.medium()?),
            9 => properties.correlation = Some(fields.medium()?),
            11 => {
                let (_, used) = packet::length(fields.0).ok()?;
                fields.bytes(used)?;
            }
            35 => properties.alias = Some(fields.u16().filter(|alias| *alias != 0)?),
            38 => {
                let (name, value) = (fields.medium()?, fields.medium()?);
                finder.header(name, value);
            }
            _ => return None,
        }
    }
    properties.carried = finder.carried();
    Some(properties)
}
