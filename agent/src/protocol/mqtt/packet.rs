//! Control packets (section 2 of the specification): type, flags, length, and what may stand in them.
use super::properties::{self, Properties};
use super::reason;
use crate::protocol::Side;
use crate::protocol::messaging::{Fields, Stop};

/// Type, flags and the longest length.
pub(super) const LONGEST_HEADER: usize = 5;
/// Bytes of a packet that are looked at: its variable header, and what stands before the application's bytes. Of longer ones nothing is
/// known but their length.
pub(super) const MAX_LOOKED_AT: usize = 16 * 1024;
/// Longest packet of those that hold no message and no list: two bytes, a reason, and the reason in words.
const MAX_ANSWER: u64 = 4096;
/// Longest topic: real ones are below 256 bytes.
const MAX_TOPIC: u64 = 4096;

/// What is known of the version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Version {
    /// Nothing.
    #[default]
    Unknown,
    /// 3.1 or 3.1.1: packets have no properties.
    Three,
    /// 5.
    Five,
}

/// A control packet.
#[derive(Debug, PartialEq)]
pub(super) struct Packet<'a> {
    /// Its length; may be more than there is.
    pub(super) len: u64,
    /// Of these bytes, those that were looked at.
    pub(super) head_len: usize,
    /// What it says.
    pub(super) body: Body<'a>,
}

/// What a packet says.
#[derive(Debug, PartialEq)]
pub(super) enum Body<'a> {
    /// `CONNECT`.
    Connect(Version),
    /// `CONNACK` with its code, and the version, which its length tells.
    Connected(u8, Version),
    /// `PUBLISH`.
    Publish(Publish<'a>),
    /// `PUBACK`, `PUBREC`, `PUBREL` or `PUBCOMP`: its packet id and reason, which only version 5 has.
    Answer(Step, u16, Option<u8>),
    /// `SUBSCRIBE` or `UNSUBSCRIBE`: its packet id, and its first filter if there is one to be seen.
    Filter(&'static str, u16, Option<&'a [u8]>),
    /// `SUBACK` or `UNSUBACK`: its packet id, and the first reason that is an error.
    Filtered(u16, Option<u8>),
    /// `DISCONNECT` with its reason.
    Disconnect(u8),
    /// `PINGREQ`, `PINGRESP`, `AUTH`.
    Silent,
}

/// Which answer to a `PUBLISH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Acknowledged,
    Received,
    Released,
    Complete,
}

/// A message.
#[derive(Debug, PartialEq)]
pub(super) struct Publish<'a> {
    /// Its topic; empty if it was too long, or is known by its alias.
    pub(super) topic: &'a [u8],
    /// Its packet id, and whether four packets are exchanged for it instead of two; `None` if nothing answers it.
    pub(super) answered: Option<(u16, bool)>,
    /// It was sent before.
    pub(super) again: bool,
    /// What stands behind the topic, if there is such and it was looked at.
    pub(super) properties: Properties<'a>,
    /// Bytes of the application, if that is known.
    pub(super) size: Option<u64>,
}

/// The packet at the start of `bytes`.
pub(super) fn packet(from: Side, version: Version, bytes: &[u8]) -> Result<Packet<'_>, Stop> {
    let (&first, rest) = bytes.split_first().ok_or(Stop::More)?;
    let (kind, flags) = (first >> 4, first & 0xf);
    let by_client = matches!(kind, 1 | 8 | 10 | 12);
    let by_server = matches!(kind, 2 | 9 | 11 | 13);
    let wanted = if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
    if kind == 0 || (from == Side::Server && by_client) || (from == Side::Client && by_server) || (kind != 3 && flags != wanted) {
        return Err(Stop::Invalid);
    }
    let (length, used) = length(rest)?;
    let plausible = match kind {
        1 => length >= 10,
        2 | 4..=7 => (2..MAX_ANSWER).contains(&length),
        3 => length >= 2 && flags & 6 != 6 && (flags & 6 != 0 || flags & 8 == 0),
        8 | 10 => length >= 5 - u64::from(kind == 10),
        9 => length >= 3,
        11 => length >= 2,
        12 | 13 => length == 0,
        _ => length < MAX_ANSWER,
    };
    if !plausible {
        return Err(Stop::Invalid);
    }
    let header = 1 + used;
    let there = bytes.get(header..).unwrap_or_default();
    let looked_at = there.get(..(length as usize).min(MAX_LOOKED_AT)).unwrap_or(there);
    let whole = looked_at.len() as u64 == length || looked_at.len() == MAX_LOOKED_AT;
    let mut fields = Fields(looked_at);
    let body = match kind {
        1 => connect(&mut fields),
        3 => Some(Body::Publish(publish(&mut fields, version, flags, length)?)),
        8 | 10 => filter(&mut fields, version, if kind == 8 { "subscribe" } else { "unsubscribe" }),
        // Others begin with `P` or `@`, too.
        4..=7 if looked_at.get(2).is_some_and(|code| !reason::is_known(*code)) => None,
        // Only whole ones say all.
        _ if !whole => return Err(Stop::More),
        2 => connected(&mut fields, version, length),
        4 => answer(&mut fields, Step::Acknowledged),
        5 => answer(&mut fields, Step::Received),
        6 => answer(&mut fields, Step::Released),
        7 => answer(&mut fields, Step::Complete),
        9 | 11 => filtered(&mut fields, version, kind == 9),
        14 => fields.u8().map_or(Some(Body::Disconnect(0)), |code| reason::is_known(code).then_some(Body::Disconnect(code))),
        _ => Some(Body::Silent),
    };
    match body {
        Some(body) => Ok(Packet { len: length + header as u64, head_len: header + looked_at.len() - fields.0.len(), body }),
        None if whole || matches!(kind, 4..=7) => Err(Stop::Invalid),
        None => Err(Stop::More),
    }
}

/// A length in bytes of seven bits, the lowest first, of which there are no more than needed.
pub(super) fn length(bytes: &[u8]) -> Result<(u64, usize), Stop> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return if *byte == 0 && place > 0 { Err(Stop::Invalid) } else { Ok((value, place + 1)) };
        }
    }
    Err(if bytes.len() < 4 { Stop::More } else { Stop::Invalid })
}

fn connect<'a>(fields: &mut Fields<'a>) -> Option<Body<'a>> {
    let version = match (fields.medium()?, fields.u8()?) {
        (b"MQTT", 4) | (b"MQIsdp", 3) => Version::Three,
        (b"MQTT", 5) => Version::Five,
        _ => return None,
    };
    Some(Body::Connect(version))
}

fn connected<'a>(fields: &mut Fields<'a>, version: Version, length: u64) -> Option<Body<'a>> {
    let (flags, code) = (fields.u8()?, fields.u8()?);
    let known = reason::is_known(code) || code <= 5 && version != Version::Five && length == 2;
    let told = if length == 2 { Version::Three } else { Version::Five };
    (flags <= 1 && known && (version == Version::Unknown || version == told)).then_some(Body::Connected(code, told))
}

fn publish<'a>(fields: &mut Fields<'a>, version: Version, flags: u8, length: u64) -> Result<Publish<'a>, Stop> {
    let quality = flags >> 1 & 3;
    let topic_len = u64::from(Fields(fields.0).u16().ok_or(Stop::More)?);
    let variable = 2 + topic_len + if quality > 0 { 2 } else { 0 };
    let behind = length.checked_sub(variable).ok_or(Stop::Invalid)?;
    if topic_len > MAX_TOPIC {
        return Ok(Publish { topic: &[], answered: None, again: false, properties: Properties::default(), size: None });
    }
    let topic = fields.medium().ok_or(Stop::More)?;
    if (topic.is_empty() && version == Version::Three) || topic.iter().any(|byte| *byte < b' ' || matches!(byte, b'#' | b'+')) {
        return Err(Stop::Invalid);
    }
    let id = if quality > 0 { Some(fields.u16().ok_or(Stop::More)?) } else { None };
    if id == Some(0) {
        return Err(Stop::Invalid);
    }
    let (properties, size) = match version {
        Version::Three => (Properties::default(), Some(behind)),
        Version::Five => properties::read(fields, behind).map(|(properties, used)| (properties, behind.checked_sub(used)))?,
        Version::Unknown => (properties::guess(fields, behind)?, None),
    };
    Ok(Publish { topic, answered: id.map(|id| (id, quality == 2)), again: flags & 8 != 0, properties, size })
}

fn answer<'a>(fields: &mut Fields<'a>, step: Step) -> Option<Body<'a>> {
    let id = fields.u16().filter(|id| *id != 0)?;
    let code = fields.u8();
    code.is_none_or(reason::is_known).then_some(Body::Answer(step, id, code))
}

fn filter<'a>(fields: &mut Fields<'a>, version: Version, name: &'static str) -> Option<Body<'a>> {
    let id = fields.u16().filter(|id| *id != 0)?;
    let first = match version {
        Version::Three => Some(fields.medium()?),
        Version::Five => {
            let (len, used) = length(fields.0).ok()?;
            fields.bytes(used)?;
            fields.bytes(len as usize)?;
            Some(fields.medium()?)
        }
        Version::Unknown => None,
    };
    Some(Body::Filter(name, id, first.filter(|first| !first.is_empty())))
}

fn filtered<'a>(fields: &mut Fields<'a>, version: Version, subscribes: bool) -> Option<Body<'a>> {
    let id = fields.u16().filter(|id| *id != 0)?;
    if version == Version::Five {
        let (len, used) = length(fields.0).ok()?;
        fields.bytes(used)?;
        fields.bytes(len as usize)?;
    }
    let codes = if version == Version::Unknown || (version == Version::Three && !subscribes) { &[] } else { fields.0 };
    let code = codes.iter().copied().find(|code| *code >= reason::FIRST_ERROR);
    code.is_none_or(reason::is_known).then_some(Body::Filtered(id, code))
}
