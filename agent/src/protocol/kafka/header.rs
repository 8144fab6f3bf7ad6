//! The beginnings of messages: length, kind, version, correlation, who asks.
use super::api::Api;
use super::wire::{self, Reader};

/// Largest message: what brokers accept unless configured otherwise, and what clients ask for.
pub(super) const LARGEST: u32 = 128 << 20;
/// Longest name of a client.
const LONGEST_CLIENT: usize = 255;
/// Newer versions of a known kind that may come to be: their layout is not read.
const NEWER: i16 = 8;

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// More bytes are needed.
    More,
    /// This is no message of Kafka.
    Invalid,
}

/// A message's length, without the four bytes of the length itself.
pub(super) fn size(bytes: &[u8], least: u32) -> Result<u32, Stop> {
    let Some(size) = bytes.first_chunk::<4>() else {
        let possible = bytes.first().is_none_or(|first| u32::from(*first) <= LARGEST >> 24);
        return Err(if possible { Stop::More } else { Stop::Invalid });
    };
    let size = u32::from_be_bytes(*size);
    if (least..=LARGEST).contains(&size) { Ok(size) } else { Err(Stop::Invalid) }
}

/// The beginning of a request.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Its length.
    pub(super) size: u32,
    /// Its kind.
    pub(super) api: &'static Api,
    /// Its version.
    pub(super) version: i16,
    /// What its response begins with.
    pub(super) correlation: i32,
    /// What the client calls itself.
    pub(super) client: Option<&'a str>,
    /// What follows.
    pub(super) body: Reader<'a>,
    /// Bytes at its end that are not there.
    pub(super) unseen: u64,
}

impl<'a> Asked<'a> {
    /// Reads it from the length on.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Stop> {
        // Kind, version, correlation, length of the client's name.
        let size = size(bytes, 2 + 2 + 4 + 2)?;
        let message = bytes.get(..size as usize + 4).unwrap_or(bytes);
        let mut reader = Reader::new(message.get(4..).unwrap_or_default(), false);
        let api = Api::of(reader.i16().ok_or(Stop::More)?).ok_or(Stop::Invalid)?;
        let version = reader.i16().ok_or(Stop::More)?;
        if !(0..=api.latest + NEWER).contains(&version) {
            return Err(Stop::Invalid);
        }
        let correlation = reader.i32().ok_or(Stop::More)?;
        let length = reader.i16().ok_or(Stop::More)?;
        let client = match usize::try_from(length) {
            Err(_) if length == -1 => None,
            Ok(0) => None,
            Ok(length) if length <= LONGEST_CLIENT && length + 10 <= size as usize => {
                let name = reader.take(length).ok_or(Stop::More)?;
                Some(wire::text(name, LONGEST_CLIENT).ok_or(Stop::Invalid)?)
            }
            _ => return Err(Stop::Invalid),
        };
        let flexible = version >= api.flexible;
        let mut body = Reader::new(reader.rest(), flexible);
        if body.tags().is_none() {
            body = Reader::new(&[], flexible);
        }
        let unseen = u64::from(size) + 4 - message.len() as u64;
        Ok(Self { size, api, version, correlation, client, body, unseen })
    }

    /// Whether the layout of what follows is known.
    pub(super) fn is_known(&self) -> bool {
        self.version <= self.api.latest
    }
}
