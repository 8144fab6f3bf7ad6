//! What a server sends becomes replies and pushes: where each begins and ends, and what it is at its top.
//!
//! Keeps only how many items are still to come at each depth. Strings are stepped over by their length.
use super::resp::{self, Item, Length, Stop};

/// Deepest nesting that is followed; the deepest replies of Redis (`COMMAND DOCS`) have about ten levels.
const MAX_DEPTH: usize = 64;
/// Items to come in an aggregate that has no count.
const STREAMED: u64 = u64::MAX;
/// Longest word of publish and subscribe, `punsubscribe`.
const MAX_WORD: u64 = 12;

/// First element of an array or push of publish and subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// `message`, `pmessage`, `smessage`: published data.
    Message,
    /// `subscribe` and its five relatives, numbered as in [`CONFIRMATIONS`].
    Confirmation(u8),
}

/// Commands whose confirmations name them.
pub(super) const CONFIRMATIONS: [&str; 6] = ["subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe"];

/// What a reply is at its top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top<'a> {
    /// A status and its text.
    Status(&'a [u8]),
    /// An error and at least the beginning of its text.
    Error(&'a [u8]),
    /// Nil.
    Nil,
    /// Any other value.
    Value,
    /// An array of publish and subscribe (RESP2).
    Word(Word),
    /// A push of publish and subscribe (RESP3).
    PushWord(Word),
    /// Another push.
    Push,
}

/// What some bytes were.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advance<'a> {
    /// How many; may be more than there were.
    pub(super) used: u64,
    /// A reply or push begins with the first of them.
    pub(super) start: bool,
    /// What it is, once per reply.
    pub(super) top: Option<Top<'a>>,
    /// It ends with the last of them.
    pub(super) end: bool,
}

/// The place inside the replies of one server.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// Items still to come, outermost first; [`STREAMED`] where it is unknown.
    levels: Vec<u64>,
    /// Inside a string of chunks.
    chunks: bool,
    /// The value itself has begun, after any attributes.
    begun: bool,
    /// Some bytes of the reply were taken.
    inside: bool,
}

impl Replies {
    /// Whether a reply has begun and not ended.
    pub(super) fn is_inside(&self) -> bool {
        self.inside
    }

    /// Takes what `bytes` hold of one reply. With `words`, an array may be one of publish and subscribe.
    pub(super) fn advance<'a>(&mut self, bytes: &'a [u8], words: bool) -> Result<Advance<'a>, Stop> {
        let start = !self.inside;
        let (mut used, mut top, mut end) = (0, None, false);
        while !end {
            let Some(rest) = bytes.get(used as usize..).filter(|rest| !rest.is_empty() || used == 0) else { break };
            match self.item(rest, words, &mut top) {
                Ok(len) => used += len,
                Err(stop) if used == 0 => return Err(stop),
                // What was understood is taken; the next call says what is wrong with the rest.
                Err(_) => break,
            }
            end = self.begun && self.levels.is_empty() && !self.chunks;
        }
        self.inside = !end;
        self.begun &= !end;
        Ok(Advance { used, start, top, end })
    }

    /// Takes one item; on an error nothing has changed.
    fn item<'a>(&mut self, bytes: &'a [u8], words: bool, top: &mut Option<Top<'a>>) -> Result<u64, Stop> {
        let (item, used) = resp::item(bytes)?;
        let children = match item {
            Item::Chunk { last } if self.chunks => {
                self.chunks = !last;
                if last {
                    self.close_full();
                }
                return Ok(used);
            }
            _ if self.chunks => return Err(Stop::Invalid),
            Item::Chunk { .. } => return Err(Stop::Invalid),
            Item::End => {
                self.levels.pop_if(|left| *left == STREAMED).ok_or(Stop::Invalid)?;
                self.close_full();
                return Ok(used);
            }
            Item::Push(_) if !self.levels.is_empty() => return Err(Stop::Invalid),
            Item::Aggregate(count) | Item::Push(count) | Item::Attribute(count) => Some(count.unwrap_or(STREAMED)),
            Item::Chunks | Item::Status(_) | Item::Error(_) | Item::Nil | Item::Scalar => None,
        };
        if children.is_some() && self.levels.len() >= MAX_DEPTH {
            return Err(Stop::Invalid);
        }
        if !matches!(item, Item::Attribute(_)) {
            match self.levels.last_mut() {
                Some(left) if *left != STREAMED => *left -= 1,
                Some(_) => {}
                None => {
                    *top = Some(top_of(item, bytes.get(used as usize..).unwrap_or_default(), words)?);
                    self.begun = true;
                }
            }
        }
        self.chunks = item == Item::Chunks;
        self.levels.extend(children);
        if !self.chunks {
            self.close_full();
        }
        Ok(used)
    }

    /// Leaves the aggregates of which nothing is to come.
    fn close_full(&mut self) {
        while self.levels.pop_if(|left| *left == 0).is_some() {}
    }
}

/// What a reply is whose outermost item is `item`, followed by `rest`.
fn top_of<'a>(item: Item<'a>, rest: &[u8], words: bool) -> Result<Top<'a>, Stop> {
    Ok(match item {
        Item::Status(text) => Top::Status(text),
        Item::Error(text) => Top::Error(text),
        Item::Nil => Top::Nil,
        Item::Push(Some(3 | 4)) => word(rest)?.map_or(Top::Push, Top::PushWord),
        Item::Push(_) => Top::Push,
        Item::Aggregate(Some(3 | 4)) if words => word(rest)?.map_or(Top::Value, Top::Word),
        _ => Top::Value,
    })
}

/// The word of publish and subscribe that `bytes` begin with.
fn word(bytes: &[u8]) -> Result<Option<Word>, Stop> {
    match bytes.split_first() {
        None => Err(Stop::More),
        Some((b'$', rest)) => match resp::length(rest)? {
            (Length::Of(len), used) if len <= MAX_WORD => {
                let text = rest.get(used..).and_then(|text| text.get(..len as usize)).ok_or(Stop::More)?;
                Ok(match text {
                    b"message" | b"pmessage" | b"smessage" => Some(Word::Message),
                    _ => CONFIRMATIONS.iter().zip(0..).find(|(word, _)| word.as_bytes() == text).map(|(_, i)| Word::Confirmation(i)),
                })
            }
            _ => Ok(None),
        },
        Some(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reply in `bytes` as (start, end, top), given whole.
    fn replies(bytes: &[u8]) -> Vec<(u64, u64, Top<'_>)> {
        let (mut replies, mut at, mut out, mut begun) = (Replies::default(), 0, Vec::new(), (0, None));
        while let Some(rest) = bytes.get(at as usize..).filter(|rest| !rest.is_empty()) {
            let advance = replies.advance(rest, true).expect("valid");
            begun = (if advance.start { at } else { begun.0 }, advance.top.or(begun.1));
            at += advance.used;
            if advance.end {
                out.push((begun.0, at, begun.1.take().expect("has a top")));
            }
        }
        out
    }

    #[test]
    fn nested_streamed_and_annotated_replies_end_where_they_end() {
        let cases: &[(&str, Top<'_>)] = &[
            ("*2\r\n*1\r\n:1\r\n%1\r\n+a\r\n~0\r\n", Top::Value),
            ("*0\r\n", Top::Value),
            ("*2\r\n$-1\r\n-ERR inside\r\n", Top::Value),
            ("*?\r\n:1\r\n*?\r\n.\r\n$?\r\n;2\r\nab\r\n;0\r\n.\r\n", Top::Value),
            ("$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n", Top::Value),
            ("*1\r\n$?\r\n;0\r\n", Top::Value),
            ("|1\r\n+ttl\r\n:3600\r\n$-1\r\n", Top::Nil),
            ("|0\r\n|1\r\n+a\r\n*1\r\n:1\r\n-MOVED 1 h:1\r\n", Top::Error(b"MOVED 1 h:1")),
            ("*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n", Top::Value),
            (">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n", Top::Push),
            (">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", Top::PushWord(Word::Message)),
            ("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", Top::Word(Word::Confirmation(0))),
            ("*3\r\n$3\r\nabc\r\n$1\r\nc\r\n:1\r\n", Top::Value),
        ];
        let (mut all, mut expected) = (Vec::new(), Vec::new());
        for (text, top) in cases {
            expected.push((all.len() as u64, (all.len() + text.len()) as u64, *top));
            all.extend_from_slice(text.as_bytes());
        }
        assert_eq!(replies(&all), expected);
    }

    #[test]
    fn what_does_not_nest_is_invalid() {
        let deep = "*1\r\n".repeat(MAX_DEPTH + 1);
        for text in [&deep, ".\r\n", ";1\r\na\r\n", "*1\r\n.\r\n", "*1\r\n>1\r\n", "|1\r\n>1\r\n", "$?\r\n+a\r\n", "*1\r\nx"] {
            let (mut replies, mut at) = (Replies::default(), 0);
            let stop = loop {
                match replies.advance(&text.as_bytes()[at as usize..], true) {
                    Ok(advance) => at += advance.used,
                    Err(stop) => break stop,
                }
            };
            assert_eq!(stop, Stop::Invalid, "{text:?}");
        }
    }
}
