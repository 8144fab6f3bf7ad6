//! The messages of a partition, as a producer sends them and a broker hands them out: record batches (the design's "Message Format",
//! magic 2) and the message sets before them (magic 0 and 1).
//!
//! A batch says at its beginning how many records it has; what each carries stands behind its value. Keys and values are stepped over: a
//! key leaves this module only for a batch of one. Compressed records are not unpacked, so their headers are not read.
use super::wire::Reader;
use crate::protocol::Message;
use crate::protocol::context::Finder;

/// Records that are looked at in one request or response: as many links as one span can bear.
const MOST_RECORDS: usize = 128;
/// Headers that are looked at in one record.
const MOST_HEADERS: u64 = 64;
/// What stands before the length of a batch or message, and the length itself.
const PROLOGUE: u64 = 12;
/// The least that says what a batch or message is: its prologue, four bytes and its magic number.
const LEAST: u64 = 17;

/// What is known of messages.
#[derive(Debug)]
pub(super) struct Records<'a> {
    /// How many there are, as far as the bytes go.
    pub(super) count: u64,
    /// There are no more than these.
    pub(super) complete: bool,
    /// There is at least one, even if it could not be counted.
    pub(super) any: bool,
    /// The first one.
    pub(super) first: Option<First<'a>>,
    /// Those of which something is known that identifies them or says where they come from.
    pub(super) messages: Vec<Message>,
    looked: usize,
}

/// The first message of several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct First<'a> {
    /// Its number in the partition, or in the batch as long as the broker has not numbered it.
    pub(super) offset: i64,
    /// Its key, empty if it has none.
    pub(super) key: &'a [u8],
    /// It has no value: it says that its key is no more.
    pub(super) tombstone: bool,
}

/// Where messages lie, if they have been numbered: what [`Message::identity`] makes of the topic, and the partition.
pub(super) type Place = Option<(u64, i32)>;

/// What identifies a message.
pub(super) fn identity((topic, partition): (u64, i32), offset: i64) -> u64 {
    Message::identity((topic, partition, offset))
}

impl Default for Records<'_> {
    fn default() -> Self {
        Self { count: 0, complete: true, any: false, first: None, messages: Vec::new(), looked: 0 }
    }
}

impl<'a> Records<'a> {
    /// Reads the messages of one partition: `declared` bytes, of which `bytes` are there.
    pub(super) fn read(&mut self, place: Place, bytes: &'a [u8], declared: u64) {
        let (mut rest, mut left) = (bytes, declared);
        while left >= LEAST {
            let Some((total, magic)) = prologue(rest) else {
                self.complete = false;
                return;
            };
            if total > left {
                // Brokers cut what they hand out at a length: nobody gets the last one.
                return;
            }
            let here = usize::try_from(total).unwrap_or(usize::MAX).min(rest.len());
            let (batch, behind) = rest.split_at(here);
            let read = match magic {
                2 => self.batch(place, batch),
                0 | 1 => self.message(place, batch),
                _ => None,
            };
            self.complete &= read.is_some();
            rest = behind;
            left -= total;
        }
    }

    /// A batch of magic 2.
    fn batch(&mut self, place: Place, batch: &'a [u8]) -> Option<()> {
        let mut reader = Reader::new(batch, false);
        let base = reader.i64()?;
        // Length, epoch of the leader, magic, checksum.
        reader.take(4 + 4 + 1 + 4)?;
        let attributes = reader.i16()?;
        let newest = i64::from(reader.i32()?);
        // Two times, who the producer is, its first number.
        reader.take(8 + 8 + 8 + 2 + 4)?;
        let count = u64::try_from(reader.i32()?).ok()?;
        let (compressed, control) = (attributes & 0b111 != 0, attributes & 0b10_0000 != 0);
        if control || count == 0 {
            return Some(());
        }
        self.any = true;
        self.count += count;
        if !compressed {
            for _ in 0..count {
                let length = usize::try_from(reader.signed()?).ok()?;
                let cut = length > reader.rest().len();
                let record = reader.take(length.min(reader.rest().len()))?;
                if self.looked >= MOST_RECORDS || self.record(place, base, record).is_none() || cut {
                    break;
                }
            }
        } else if u64::try_from(newest).is_ok_and(|newest| newest + 1 == count) {
            // None is missing between the first and the last.
            for offset in (base..).take(usize::try_from(count).unwrap_or(MOST_RECORDS).min(MOST_RECORDS)) {
                self.tell(place, First { offset, key: &[], tombstone: false }, &Finder::default());
            }
        }
        Some(())
    }

    fn record(&mut self, place: Place, base: i64, record: &'a [u8]) -> Option<()> {
        let mut reader = Reader::new(record, false);
        reader.take(1)?;
        reader.signed()?;
        let offset = base.checked_add(reader.signed()?)?;
        let mut first = First { offset, key: &[], tombstone: false };
        let mut finder = Finder::default();
        // A record that is there in part still has its number.
        let _ = carried(&mut reader, &mut first, &mut finder);
        self.tell(place, first, &finder);
        Some(())
    }

    /// A message of magic 0 or 1; a compressed one has others in it, nobody knows how many.
    fn message(&mut self, place: Place, message: &'a [u8]) -> Option<()> {
        let mut reader = Reader::new(message, false);
        let offset = reader.i64()?;
        reader.take(4 + 4)?;
        let magic = reader.i8()?;
        let compressed = reader.i8()? & 0b111 != 0;
        self.any = true;
        if compressed {
            return None;
        }
        self.count += 1;
        if magic == 1 {
            reader.take(8)?;
        }
        let key = match reader.i32()? {
            -1 => &[],
            length => reader.take(usize::try_from(length).ok()?)?,
        };
        let tombstone = reader.i32()? == -1;
        self.tell(place, First { offset, key, tombstone }, &Finder::default());
        Some(())
    }

    /// Notes one message.
    fn tell(&mut self, place: Place, message: First<'a>, finder: &Finder) {
        let (id, carried) = (place.map(|place| identity(place, message.offset)), finder.carried());
        if self.looked < MOST_RECORDS && (id.is_some() || carried.is_some()) {
            self.messages.push(Message { id, carried });
        }
        self.looked += 1;
        self.first.get_or_insert(message);
    }
}

/// Length of a batch or message with its prologue, and its magic number.
fn prologue(bytes: &[u8]) -> Option<(u64, i8)> {
    let mut reader = Reader::new(bytes, false);
    reader.take(8)?;
    let length = u64::try_from(reader.i32()?).ok()?;
    reader.take(4)?;
    let magic = reader.i8()?;
    (length + PROLOGUE >= LEAST).then_some((length + PROLOGUE, magic))
}

/// The key, whether there is a value, and the headers.
fn carried<'a>(reader: &mut Reader<'a>, first: &mut First<'a>, finder: &mut Finder) -> Option<()> {
    first.key = nullable(reader)?;
    let length = reader.signed()?;
    first.tombstone = length == -1;
    reader.take(usize::try_from(length.max(0)).ok()?)?;
    let count = u64::try_from(reader.signed()?).ok()?;
    for _ in 0..count.min(MOST_HEADERS) {
        let key = nullable(reader)?;
        let value = nullable(reader)?;
        finder.header(key, value);
    }
    Some(())
}

/// Bytes behind their length, as records have them; absent ones are empty.
fn nullable<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    match reader.signed()? {
        -1 => Some(&[]),
        length => reader.take(usize::try_from(length).ok()?),
    }
}
