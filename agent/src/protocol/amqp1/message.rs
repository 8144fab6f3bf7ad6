//! A message (part 3 of the specification): the sections in front of its body.
use super::value::{self, Value};
use crate::protocol::context::{Carried, Finder};
use crate::protocol::messaging::{Fields, Stop};
use std::sync::Arc;

/// Descriptors of sections.
const MESSAGE_ANNOTATIONS: u64 = 0x72;
const PROPERTIES: u64 = 0x73;
const APPLICATION_PROPERTIES: u64 = 0x74;
/// From here on they are of the body.
const DATA: u64 = 0x75;

/// What is known of a message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sections<'a> {
    /// `message-id`, of any type.
    pub(super) id: Option<Value<'a>>,
    /// `correlation-id`, of any type.
    pub(super) correlation: Option<Value<'a>>,
    /// What its properties and annotations carry.
    pub(super) carried: Option<Arc<Carried>>,
    /// Bytes of its body, if that is one piece of data.
    pub(super) size: Option<u64>,
}

/// Reads the sections at the front of a payload, of which `whole` says whether nothing follows what is there. How many bytes they took
/// is not told: the body is stepped over with them.
pub(super) fn sections(payload: &[u8], whole: bool) -> Result<Sections<'_>, Stop> {
    let mut sections = Sections::default();
    let mut finder = Finder::default();
    let mut fields = Fields(payload);
    loop {
        if let [0, 0x53, kind, code, rest @ ..] = fields.0
            && u64::from(*kind) >= DATA
        {
            let mut rest = Fields(rest);
            let size = match code {
                0xa0 => Some(rest.u8().map(u64::from)),
                0xb0 => Some(rest.u32().map(u64::from)),
                _ => None,
            };
            if size == Some(None) && !whole {
                return Err(Stop::More);
            }
            sections.size = size.flatten();
            break;
        }
        let Some(section) = value::value(&mut fields) else {
            if whole {
                break;
            }
            return Err(Stop::More);
        };
        match section.descriptor {
            Some(MESSAGE_ANNOTATIONS | APPLICATION_PROPERTIES) => {
                let mut entries = section.entries();
                while let (Some(name), Some(value)) = (entries.next(), entries.next()) {
                    name.text().zip(value.text()).into_iter().for_each(|(name, value)| finder.header(name, value));
                }
            }
            Some(PROPERTIES) => {
                sections.id = section.at(0).filter(|id| id.raw().is_some());
                sections.correlation = section.at(5).filter(|id| id.raw().is_some());
            }
            _ => {}
        }
    }
    sections.carried = finder.carried();
    Ok(sections)
}
