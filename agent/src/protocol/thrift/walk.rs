//! Finds where a struct ends whose length nobody says. Values are stepped over, none is looked at; the depth is bounded.
use super::message::{Cursor, Encoding, Stop};

/// Structs, lists and maps within each other: Thrift's own libraries refuse more.
const DEEPEST: usize = 64;
/// Kinds of values, as the binary protocol numbers them.
mod kind {
    pub(super) const STOP: u8 = 0;
    pub(super) const STRUCT: u8 = 12;
}

/// What the next bytes are part of.
#[derive(Clone, Copy, Debug)]
enum Level {
    /// Fields.
    Struct,
    /// So many values, of these kinds in turn.
    Values { kinds: [u8; 2], turn: usize, left: u64 },
}

/// A place in a struct.
#[derive(Debug)]
pub(super) struct Walk {
    encoding: Encoding,
    levels: Vec<Level>,
}

/// What a value is.
enum Shape {
    /// So many bytes, of which those read so far are the first.
    Bytes(u64),
    /// Something within.
    Level(Level),
}

impl Walk {
    /// At the beginning of a struct.
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, levels: vec![Level::Struct] }
    }

    /// Whether the struct has ended.
    pub(super) fn is_over(&self) -> bool {
        self.levels.is_empty()
    }

    /// Goes on through the next bytes. Gives how many are done with, which may be more than there are; zero asks for more.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<u64, Stop> {
        let mut used = 0;
        while !self.is_over() {
            let Some(rest) = usize::try_from(used).ok().and_then(|used| bytes.get(used..)) else { break };
            match self.one(rest) {
                Ok(step) => used += step,
                Err(Stop::More) => break,
                Err(Stop::Invalid) => return Err(Stop::Invalid),
            }
        }
        Ok(used)
    }

    /// One field or value; nothing changes if bytes are missing.
    fn one(&mut self, bytes: &[u8]) -> Result<u64, Stop> {
        let mut cursor = Cursor::new(bytes);
        let Some(level) = self.levels.last().copied() else { return Ok(0) };
        let (kind, field) = match level {
            Level::Struct => (self.field(&mut cursor)?, true),
            Level::Values { left: 0, .. } => {
                self.levels.pop();
                return Ok(0);
            }
            Level::Values { kinds, turn, .. } => (kinds.get(turn).copied().unwrap_or_default(), false),
        };
        if field && kind == kind::STOP {
            self.levels.pop();
            return Ok(cursor.at() as u64);
        }
        let shape = self.shape(kind, field, &mut cursor)?;
        if let Some(Level::Values { kinds, turn, left }) = self.levels.last_mut() {
            *turn = usize::from(*turn == 0 && kinds.get(1) != Some(&0));
            *left -= 1;
        }
        match shape {
            Shape::Bytes(count) => Ok(cursor.at() as u64 + count),
            Shape::Level(_) if self.levels.len() >= DEEPEST => Err(Stop::Invalid),
            Shape::Level(level) => {
                self.levels.push(level);
                Ok(cursor.at() as u64)
            }
        }
    }

    /// The kind of the next field's value, behind what comes before that.
    fn field(&self, cursor: &mut Cursor<'_>) -> Result<u8, Stop> {
        let kind = cursor.byte()?;
        if kind == kind::STOP {
            return Ok(kind);
        }
        if self.encoding == Encoding::Compact {
            if kind >> 4 == 0 {
                cursor.varint()?;
            }
            let kind = kind & 0x0f;
            return if kind == 0 { Err(Stop::Invalid) } else { Ok(kind) };
        }
        cursor.take(2)?;
        Ok(kind)
    }

    /// What a value of this kind is, behind its length or its kinds.
    fn shape(&self, kind: u8, field: bool, cursor: &mut Cursor<'_>) -> Result<Shape, Stop> {
        let values = |kinds, left| Shape::Level(Level::Values { kinds, turn: 0, left });
        if self.encoding == Encoding::Compact {
            return Ok(match kind {
                // Of a field, its kind is its value.
                1 | 2 => Shape::Bytes(u64::from(!field)),
                3 => Shape::Bytes(1),
                4..=6 => {
                    cursor.varint()?;
                    Shape::Bytes(0)
                }
                7 => Shape::Bytes(8),
                8 => Shape::Bytes(length(cursor.varint()?)?),
                9 | 10 => {
                    let head = cursor.byte()?;
                    let count = if head >> 4 == 15 { length(cursor.varint()?)? } else { u64::from(head >> 4) };
                    values([head & 0x0f, 0], count)
                }
                11 => {
                    let count = length(cursor.varint()?)?;
                    let kinds = if count > 0 { cursor.byte()? } else { 0x11 };
                    values([kinds >> 4, kinds & 0x0f], 2 * count)
                }
                kind::STRUCT => Shape::Level(Level::Struct),
                13 => Shape::Bytes(16),
                _ => return Err(Stop::Invalid),
            });
        }
        Ok(match kind {
            2 | 3 => Shape::Bytes(1),
            6 => Shape::Bytes(2),
            8 => Shape::Bytes(4),
            4 | 10 => Shape::Bytes(8),
            11 => Shape::Bytes(length(cursor.int()?.into())?),
            kind::STRUCT => Shape::Level(Level::Struct),
            13 => {
                let kinds = [cursor.byte()?, cursor.byte()?];
                values(kinds, 2 * length(cursor.int()?.into())?)
            }
            14 | 15 => {
                let kind = cursor.byte()?;
                values([kind, 0], length(cursor.int()?.into())?)
            }
            16 => Shape::Bytes(16),
            _ => return Err(Stop::Invalid),
        })
    }
}

/// A length, which is a positive number of 32 bits.
fn length(value: u64) -> Result<u64, Stop> {
    if value <= 0x7fff_ffff { Ok(value) } else { Err(Stop::Invalid) }
}
