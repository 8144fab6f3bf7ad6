//! A DNS message becomes its question, its response code and the addresses in its answers (RFC 1035 section 4.1).
//!
//! Compression pointers are never followed: no name but the question's is told, and in front of that one there is none to point to. So each
//! byte is looked at once, whatever it points to.
use super::names;
use std::net::{Ipv4Addr, Ipv6Addr};
use wirespan_abi::dns::HEADER;

/// Longest name on the wire (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;
/// Longest label.
const MAX_LABEL: usize = 63;
/// Records of an answer that are looked at for addresses, and addresses that are told: more than any name has that is meant for a person.
const MAX_RECORDS: usize = 32;
const MAX_ADDRESSES: usize = 16;
/// The Internet, the only class in use.
const INTERNET: u16 = 1;

/// Bytes that are enough for a header and any question.
pub(super) const LONGEST_QUESTION: usize = HEADER + MAX_NAME + 4;

/// A message, as far as its bytes are there.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) id: u16,
    pub(super) response: bool,
    /// What is asked; `None` if the message does not say.
    pub(super) question: Option<Question<'a>>,
    /// Response code.
    pub(super) code: u8,
    /// Records in the answer section.
    pub(super) answers: u16,
    /// What follows the question.
    rest: &'a [u8],
}

/// A question.
#[derive(Debug, PartialEq)]
pub(super) struct Question<'a> {
    /// Labels, each behind its length, without the empty one at the end.
    pub(super) labels: &'a [u8],
    /// Type of the records that are asked for.
    pub(super) kind: u16,
}

impl<'a> Message<'a> {
    /// Reads the first bytes of a message; `None` if it is none, or its question is not whole.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        if !wirespan_abi::dns::is_wanted([0, 0], *header) {
            return None;
        }
        let [id1, id0, flags, codes, _, questions, a1, a0, ..] = *header;
        let (question, rest) =
            if questions == 0 { (None, rest) } else { Question::of(rest).map(|(question, rest)| (Some(question), rest))? };
        let (id, answers) = (u16::from_be_bytes([id1, id0]), u16::from_be_bytes([a1, a0]));
        Some(Self { id, response: flags & 0x80 != 0, question, code: codes & 0x0f, answers, rest })
    }

    /// Addresses among the answers, as text.
    pub(super) fn addresses(&self) -> Vec<String> {
        let mut addresses = Vec::new();
        let mut rest = self.rest;
        for _ in 0..usize::from(self.answers).min(MAX_RECORDS) {
            let Some((kind, data, after)) = record(rest) else { break };
            if let (names::A, Ok(v4)) = (kind, <[u8; 4]>::try_from(data)) {
                addresses.push(Ipv4Addr::from(v4).to_string());
            } else if let (names::AAAA, Ok(v6)) = (kind, <[u8; 16]>::try_from(data)) {
                addresses.push(Ipv6Addr::from(v6).to_string());
            }
            if addresses.len() >= MAX_ADDRESSES {
                break;
            }
            rest = after;
        }
        addresses
    }
}

impl<'a> Question<'a> {
    /// Reads a question, and gives what follows it.
    fn of(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut at = 0;
        loop {
            let len = usize::from(*bytes.get(at)?);
            if len == 0 {
                break;
            }
            at += 1 + len;
            // A pointer has the highest bits of what would be its length.
            if len > MAX_LABEL || at >= MAX_NAME {
                return None;
            }
        }
        let (labels, rest) = bytes.split_at_checked(at)?;
        let (end, rest) = rest.split_first_chunk::<5>()?;
        let [_, k1, k0, c1, c0] = *end;
        let kind = u16::from_be_bytes([k1, k0]);
        (u16::from_be_bytes([c1, c0]) == INTERNET).then_some((Self { labels, kind }, rest))
    }

    /// The name as the conventions want it: unprintable characters escaped, no dot at the end but for the root.
    pub(super) fn name(&self) -> String {
        let mut text = String::with_capacity(self.labels.len().max(1));
        let mut rest = self.labels;
        while let Some((&len, after)) = rest.split_first() {
            let Some((label, after)) = after.split_at_checked(usize::from(len)) else { break };
            if !text.is_empty() {
                text.push('.');
            }
            for byte in label {
                escape(*byte, &mut text);
            }
            rest = after;
        }
        if text.is_empty() {
            text.push('.');
        }
        text
    }
}

fn escape(byte: u8, text: &mut String) {
    match byte {
        b'\t' => text.push_str("\\t"),
        b'\r' => text.push_str("\\r"),
        b'\n' => text.push_str("\\n"),
        b'\\' | b'"' | b'.' => text.extend(['\\', char::from(byte)]),
        32..=126 => text.push(char::from(byte)),
        _ => text.extend(['\\', char::from(b'0' + byte / 100), char::from(b'0' + byte / 10 % 10), char::from(b'0' + byte % 10)]),
    }
}

/// The type and the data of the record that begins here, and what follows it.
fn record(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let mut rest = bytes;
    loop {
        let (&len, after) = rest.split_first()?;
        rest = match len {
            0 => {
                rest = after;
                break;
            }
            // A pointer ends the name.
            192.. => {
                rest = after.get(1..)?;
                break;
            }
            1..=63 => after.get(usize::from(len)..)?,
            _ => return None,
        };
    }
    let (fixed, rest) = rest.split_first_chunk::<10>()?;
    let [k1, k0, _, _, _, _, _, _, l1, l0] = *fixed;
    let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l1, l0])))?;
    Some((u16::from_be_bytes([k1, k0]), data, rest))
}
