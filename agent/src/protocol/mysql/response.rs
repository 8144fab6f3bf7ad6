//! The packets of an answer, one after the other: where it ends, whether it failed, and what it changes about the connection.
//!
//! Definitions of columns and rows are counted by their packets and not read.
use super::Stop;
use super::command::Answer;
use super::login::Traits;
use super::packet::{Cursor, Packet};

/// Of a packet that ends something, the bytes that are looked at.
pub(super) const MAX_END: usize = 512;
/// Most columns of a result: the servers' own limit is 4,096.
const MAX_COLUMNS: u64 = 0xffff;
/// Longest payload that is the number of columns, and whether their definitions follow.
const MAX_COUNT: u32 = 10;

const MORE_RESULTS: u16 = 0x0008;
const CURSOR_EXISTS: u16 = 0x0040;
const NO_BACKSLASH_ESCAPES: u16 = 0x0200;
const SESSION_STATE_CHANGED: u16 = 0x4000;

/// `ERR`: the code under which `MariaDB` reports how far it has come.
const PROGRESS: u16 = 0xffff;
/// A change of the session: another database.
const CHANGED_SCHEMA: u8 = 1;

/// What an answer consists of next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The first packet of a result.
    Result,
    /// So many definitions of columns.
    Definitions(u64),
    /// What stands behind definitions, if anything does.
    Edge,
    /// Rows, or their end.
    Rows,
    /// So many packets that say nothing.
    Packets(u64),
}

/// An error of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Its number.
    pub(super) code: u16,
    /// SQLSTATE, if it was sent.
    pub(super) state: Option<[u8; 5]>,
}

/// An answer that is arriving.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arriving {
    answer: Answer,
    next: Next,
    /// The number that the next packet has to have, if it is known.
    seq: Option<u8>,
    /// The error that it ended with.
    pub(super) failure: Option<Failure>,
    /// The number of the statement that was prepared.
    pub(super) prepared: Option<u32>,
    /// The database that is the current one from now on.
    pub(super) schema: Option<String>,
    /// Whether backslashes are escapes, as the server said last.
    pub(super) backslash: Option<bool>,
    /// Whether a packet of its own stood behind definitions of columns.
    pub(super) ends: Option<bool>,
}

/// What a packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// One of several.
    Inner,
    /// The server asks for a file, and answers once more when it has it.
    File,
    /// The last one.
    Last,
}

impl Arriving {
    /// An answer of that kind, whose first packet has the number `seq`.
    pub(super) fn new(answer: Answer, seq: u8) -> Self {
        let next = if answer == Answer::Rows { Next::Rows } else { Next::Result };
        Self { answer, next, seq: Some(seq), failure: None, prepared: None, schema: None, backslash: None, ends: None }
    }

    /// Takes a packet. Changes nothing if it is not taken.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, traits: Traits) -> Result<Part, Stop> {
        if self.seq.is_some_and(|seq| seq != packet.seq) {
            return Err(Stop::Invalid);
        }
        let first = packet.first();
        let ends = matches!(first, Some(0xfe | 0xff)) && !packet.continues();
        let shown = match self.next {
            Next::Packets(_) => 0,
            Next::Definitions(_) | Next::Rows | Next::Edge if !ends => 1,
            _ => MAX_END,
        };
        if !packet.has(shown) {
            return Err(Stop::More);
        }
        let part = if first == Some(0xff) && !packet.continues() && !matches!(self.next, Next::Packets(_)) {
            self.error(packet.payload)
        } else {
            match self.next {
                Next::Result => self.result(packet, traits)?,
                Next::Definitions(count) => {
                    // Every one begins with the name of the catalogue, which is `def`.
                    if first != Some(3) {
                        return Err(Stop::Invalid);
                    }
                    self.next = if count > 1 { Next::Definitions(count - 1) } else { Next::Edge };
                    Part::Inner
                }
                Next::Edge if first == Some(0xfe) && packet.len == 5 => {
                    self.ends = Some(true);
                    self.next = Next::Rows;
                    // With a cursor, the rows are asked for one by one.
                    if self.status(packet.payload) & CURSOR_EXISTS != 0 { Part::Last } else { Part::Inner }
                }
                Next::Edge | Next::Rows if ends => {
                    if self.next == Next::Edge {
                        self.ends = Some(false);
                    }
                    self.end(packet.payload)
                }
                Next::Edge => {
                    (self.ends, self.next) = (Some(false), Next::Rows);
                    Part::Inner
                }
                Next::Rows => Part::Inner,
                Next::Packets(count) => self.packets(count - 1),
            }
        };
        // The client answers in between, and its packets are counted too.
        let counted = self.answer != Answer::Login && part != Part::File;
        self.seq = self.seq.filter(|_| counted);
        self.counted();
        Ok(part)
    }

    /// A packet has come that belongs to the one before.
    pub(super) fn counted(&mut self) {
        self.seq = self.seq.map(|seq| seq.wrapping_add(1));
    }

    /// The first packet of a result.
    fn result(&mut self, packet: &Packet<'_>, traits: Traits) -> Result<Part, Stop> {
        let payload = packet.payload;
        let first = packet.first().ok_or(Stop::Invalid)?;
        match (self.answer, first) {
            (Answer::Login, 0) => Ok(self.end(payload)),
            (Answer::Login, _) => Ok(Part::Inner),
            (Answer::Prepared, 0) => {
                let mut cursor = Cursor(payload.get(1..).unwrap_or_default());
                let numbers = (cursor.u32(), cursor.u16(), cursor.u16());
                let (Some(id), Some(columns), Some(parameters)) = numbers else { return Err(Stop::Invalid) };
                self.prepared = Some(id);
                let group = |count: u16| if count == 0 { 0 } else { u64::from(count) + u64::from(traits.ends) };
                Ok(self.packets(group(parameters) + group(columns)))
            }
            (Answer::Results, 0) if packet.len >= 7 => Ok(self.end(payload)),
            (Answer::Results, 0xfb) => Ok(Part::File),
            (Answer::Results, _) if packet.len <= MAX_COUNT => {
                let mut cursor = Cursor(payload);
                let before = if traits.optional_metadata { cursor.u8() } else { None };
                let count = cursor.number().filter(|count| (1..=MAX_COLUMNS).contains(count)).ok_or(Stop::Invalid)?;
                // MariaDB says behind it whether definitions follow, MySQL before it.
                let follow = before.or(cursor.u8()) != Some(0);
                if !cursor.0.is_empty() {
                    return Err(Stop::Invalid);
                }
                self.next = if follow { Next::Definitions(count) } else { Next::Edge };
                Ok(Part::Inner)
            }
            (Answer::One, _) => {
                if first == 0 {
                    self.end(payload);
                }
                Ok(Part::Last)
            }
            _ => Err(Stop::Invalid),
        }
    }

    fn packets(&mut self, count: u64) -> Part {
        self.next = Next::Packets(count);
        if count == 0 { Part::Last } else { Part::Inner }
    }

    /// The end of a result: `OK`, or the older `EOF`.
    fn end(&mut self, payload: &[u8]) -> Part {
        self.next = Next::Result;
        let more = self.status(payload) & MORE_RESULTS != 0;
        if more && self.answer == Answer::Results { Part::Inner } else { Part::Last }
    }

    /// Reads `OK` or `EOF`; gives the flags of the server's status.
    fn status(&mut self, payload: &[u8]) -> u16 {
        let mut cursor = Cursor(payload);
        let header = cursor.u8();
        let status = if header == Some(0xfe) && payload.len() == 5 {
            cursor.u16().and_then(|_| cursor.u16())
        } else {
            // Rows that were changed, and the number of the last one.
            cursor.number().and_then(|_| cursor.number()).and_then(|_| cursor.u16())
        };
        let Some(status) = status else { return 0 };
        self.backslash = Some(status & NO_BACKSLASH_ESCAPES == 0);
        if status & SESSION_STATE_CHANGED != 0 && payload.len() > 5 {
            self.schema = schema(cursor).or(self.schema.take());
        }
        status
    }

    fn error(&mut self, payload: &[u8]) -> Part {
        let mut cursor = Cursor(payload.get(1..).unwrap_or_default());
        let code = cursor.u16().unwrap_or(0);
        if code == PROGRESS {
            return Part::Inner;
        }
        let state = match cursor.0 {
            [b'#', state @ ..] => state.first_chunk::<5>().filter(|state| state.iter().all(u8::is_ascii_alphanumeric)).copied(),
            _ => None,
        };
        self.failure = Some(Failure { code, state });
        Part::Last
    }
}

/// The database that an `OK` names among the changes of the session; `cursor` stands behind the status.
fn schema(mut cursor: Cursor<'_>) -> Option<String> {
    cursor.u16()?;
    cursor.string()?;
    let mut changes = Cursor(cursor.string()?);
    while let (Some(kind), Some(change)) = (changes.u8(), changes.string()) {
        if kind == CHANGED_SCHEMA {
            return Cursor(change).string().and_then(super::session::name);
        }
    }
    None
}
