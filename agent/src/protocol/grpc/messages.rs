//! Length-prefixed messages (gRPC `PROTOCOL-HTTP2.md`): counted by their prefixes, stepped over by their lengths. Of gRPC-Web also the
//! trailers, which are a message there; no other content is looked at.

use crate::protocol::base64;

/// A flag and a length.
const PREFIX: usize = 5;
/// The flag of a compressed message.
const COMPRESSED: u8 = 1;
/// The flag of gRPC-Web's trailers.
const TRAILERS: u8 = 0x80;
/// Bytes of trailers that are kept: a status, and a message for people.
const LONGEST_TRAILERS: usize = 4 * 1024;

/// The messages of one direction of a call.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Messages {
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that are there.
    have: usize,
    /// Bytes of the message that are missing.
    need: u64,
    count: u32,
    /// Some were not seen, or the bytes are no messages.
    lost: bool,
    /// The trailers so far, where messages may be that.
    trailers: Option<Vec<u8>>,
    /// The message is the trailers.
    trailing: bool,
    /// Where all of it is written in base64: the letters that make no group yet, and how many there are.
    letters: Option<([u8; 4], usize)>,
}

impl Messages {
    /// Messages whose last one may be trailers.
    pub(super) fn with_trailers() -> Self {
        Self { trailers: Some(Vec::new()), ..Self::default() }
    }

    /// The same written in base64.
    pub(super) fn written(self) -> Self {
        Self { letters: Some(([0; 4], 0)), ..self }
    }

    /// Messages in a form that is not followed.
    pub(super) fn uncountable() -> Self {
        Self { lost: true, ..Self::default() }
    }

    /// Whether it is worth looking at their bytes.
    pub(in crate::protocol) fn are_followed(&self) -> bool {
        !self.lost
    }

    /// Takes the next bytes, of which `left` are known to follow and `shown` are here. Gives how many are done with, which may be more
    /// than there are; zero asks for more.
    pub(in crate::protocol) fn feed(&mut self, shown: &[u8], left: u64) -> u64 {
        if self.letters.is_none() {
            return self.follow(shown, left);
        }
        for letter in shown {
            self.letter(*letter);
        }
        if self.lost { left } else { shown.len() as u64 }
    }

    fn letter(&mut self, letter: u8) {
        let Some((group, have)) = &mut self.letters else { return };
        if let Some(place) = group.get_mut(*have) {
            *place = letter;
            *have += 1;
        }
        if *have < group.len() {
            return;
        }
        *have = 0;
        match base64::group(*group) {
            Some((bytes, count)) => {
                self.follow(bytes.get(..count).unwrap_or_default(), count as u64);
            }
            None => self.lost = true,
        }
    }

    fn follow(&mut self, shown: &[u8], left: u64) -> u64 {
        let mut used = 0;
        while used < left && !self.lost {
            let here = shown.get(used as usize..).unwrap_or_default();
            if self.need > 0 {
                let mut step = self.need.min(left - used);
                if let (true, Some(trailers)) = (self.trailing, &mut self.trailers) {
                    step = step.min(here.len() as u64);
                    let room = LONGEST_TRAILERS.saturating_sub(trailers.len());
                    trailers.extend(here.iter().take(step as usize).take(room));
                }
                if step == 0 {
                    break;
                }
                self.need -= step;
                used += step;
            } else if let (Some(byte), Some(place)) = (here.first(), self.prefix.get_mut(self.have)) {
                *place = *byte;
                self.have += 1;
                used += 1;
                if self.have == PREFIX {
                    self.begin();
                }
            } else {
                break;
            }
        }
        if self.lost { left } else { used }
    }

    /// A prefix is whole.
    fn begin(&mut self) {
        let [flags, length @ ..] = self.prefix;
        self.have = 0;
        self.need = u64::from(u32::from_be_bytes(length));
        self.trailing = flags == TRAILERS && self.trailers.is_some();
        match flags {
            0 | COMPRESSED => self.count = self.count.saturating_add(1),
            _ => self.lost |= !self.trailing,
        }
    }

    /// Some bytes were not seen.
    pub(in crate::protocol) fn lose(&mut self) {
        self.lost = true;
    }

    /// How many messages there were, if that is known.
    pub(super) fn count(&self) -> Option<u32> {
        (!self.lost && self.need == 0 && self.have == 0).then_some(self.count)
    }

    /// The value of a field in the trailers, which are written as in HTTP/1.
    pub(super) fn trailer(&self, name: &[u8]) -> Option<&[u8]> {
        let lines = self.trailers.as_deref()?.split(|b| *b == b'\n');
        lines.filter_map(|line| line.split_at_checked(line.iter().position(|b| *b == b':')?)).find_map(|(field, value)| {
            field.trim_ascii().eq_ignore_ascii_case(name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
        })
    }
}
