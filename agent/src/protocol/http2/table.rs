//! The header tables of HPACK (RFC 7541 section 2.3): an index becomes a field, or is unknown.
//!
//! Only fields that this program uses are kept with their text; of the others, that they are there. An observer may know less than
//! the peers do: it joined late, or lost bytes. Since the newest entry has the lowest index, what it has seen itself keeps its place,
//! and everything older is unknown. For the same reason an entry may be kept longer here than there: no peer refers to what it evicted.
use crate::protocol::context;
use std::collections::VecDeque;

/// Size of a table before anybody has said another one (RFC 9113 section 6.5.2).
const FIRST_LIMIT: usize = 4096;
/// Largest table that is followed: what browsers and proxies ask for at most. Entries beyond are unknown.
const LARGEST: usize = 64 * 1024;
/// What an entry costs beside its texts (RFC 7541 section 4.1).
const OVERHEAD: usize = 32;

/// Names of the fields that are kept, sorted, beside those that carry trace context: what spans are made of.
const KEPT: &[&str] = &[
    ":authority",
    ":method",
    ":path",
    ":protocol",
    ":scheme",
    ":status",
    "content-type",
    "forwarded",
    "grpc-status",
    "grpc-timeout",
    "host",
    "user-agent",
    "x-forwarded-for",
];

/// The name of a field that is kept; `None` for all others. Names are lower case in HTTP/2 (RFC 9113 section 8.2).
fn kept(name: &[u8]) -> Option<&'static str> {
    let ours = KEPT.binary_search_by(|known| known.as_bytes().cmp(name)).ok().and_then(|place| KEPT.get(place)).copied();
    ours.or_else(|| context::header_name(name))
}

/// The static table (RFC 7541 appendix A): names with values, of which only those that are kept are spelled out; index 1 comes first.
const STATIC: [(Option<&str>, &str); 61] = {
    let mut table = [(None, ""); 61];
    table[0] = (Some(":authority"), "");
    table[1] = (Some(":method"), "GET");
    table[2] = (Some(":method"), "POST");
    table[3] = (Some(":path"), "/");
    table[4] = (Some(":path"), "/index.html");
    table[5] = (Some(":scheme"), "http");
    table[6] = (Some(":scheme"), "https");
    table[7] = (Some(":status"), "200");
    table[8] = (Some(":status"), "204");
    table[9] = (Some(":status"), "206");
    table[10] = (Some(":status"), "304");
    table[11] = (Some(":status"), "400");
    table[12] = (Some(":status"), "404");
    table[13] = (Some(":status"), "500");
    table[30] = (Some("content-type"), "");
    table[37] = (Some("host"), "");
    table[57] = (Some("user-agent"), "");
    table
};

/// What an index leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found<'a> {
    /// A field that is kept.
    Field(&'static str, &'a [u8]),
    /// A field that is of no interest.
    Other,
    /// An entry that was made before anybody looked.
    Unknown,
}

/// The name of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Name {
    /// One of those that are kept.
    Kept(&'static str),
    /// Of no interest.
    Other,
    /// Of an entry that was made before anybody looked.
    Unknown,
}

impl Name {
    /// What the text means.
    pub(super) fn of(text: &[u8]) -> Self {
        kept(text).map_or(Self::Other, Self::Kept)
    }
}

#[derive(Debug)]
struct Entry {
    name: Name,
    /// Empty unless the name is kept.
    value: Box<[u8]>,
    /// At most what the entry costs at the peers.
    size: usize,
}

/// The dynamic table of one direction, newest entry first.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    limit: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: FIRST_LIMIT }
    }
}

impl Table {
    /// What `index` leads to; zero is none.
    pub(super) fn get(&self, index: usize) -> Option<Found<'_>> {
        let place = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(place) {
            return Some(name.map_or(Found::Other, |name| Found::Field(name, value.as_bytes())));
        }
        let entry = self.entries.get(place - STATIC.len());
        Some(match entry {
            None | Some(Entry { name: Name::Unknown, .. }) => Found::Unknown,
            Some(Entry { name: Name::Other, .. }) => Found::Other,
            Some(Entry { name: Name::Kept(name), value, .. }) => Found::Field(name, value),
        })
    }

    /// Adds an entry whose texts have at least `length` bytes together, and drops the oldest until there is room.
    pub(super) fn add(&mut self, name: Name, value: &[u8], length: usize) {
        let value = if matches!(name, Name::Kept(_)) { value.into() } else { Box::default() };
        let size = length + OVERHEAD;
        self.entries.push_front(Entry { name, value, size });
        self.size += size;
        self.fit();
    }

    /// The encoder says how large the table may be from now on.
    pub(super) fn resize(&mut self, limit: usize) {
        self.limit = limit.min(LARGEST);
        self.fit();
    }

    /// Header blocks were lost, and with them an unknown number of new entries.
    pub(super) fn forget(&mut self) {
        self.entries = VecDeque::new();
        self.size = 0;
    }

    fn fit(&mut self) {
        while self.size > self.limit {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.size -= oldest.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_each_is_found() {
        assert!(KEPT.is_sorted());
        assert!(KEPT.iter().all(|name| kept(name.as_bytes()) == Some(name)));
        assert_eq!([kept(b"cookie"), kept(b""), kept(b"Host")], [None; 3]);
    }

    #[test]
    fn what_is_older_than_the_observer_is_unknown_and_what_it_saw_keeps_its_place() {
        let mut table = Table::default();
        assert_eq!([table.get(0), table.get(62)], [None, Some(Found::Unknown)]);
        table.add(Name::of(b":path"), b"/a", 7);
        table.add(Name::Other, b"secret", 20);
        assert_eq!(
            [table.get(62), table.get(63), table.get(64)],
            [Some(Found::Other), Some(Found::Field(":path", b"/a")), Some(Found::Unknown)]
        );
        table.forget();
        assert_eq!(table.get(62), Some(Found::Unknown));
    }

    #[test]
    fn a_table_stays_within_its_limit() {
        let mut table = Table::default();
        table.resize(usize::MAX);
        (0..10_000).for_each(|_| table.add(Name::of(b":path"), &[b'x'; 68], 68));
        assert_eq!((table.entries.len(), table.size), (655, 655 * 100));
        table.resize(250);
        assert_eq!(table.entries.len(), 2);
        table.add(Name::of(b":path"), &[b'x'; 300], 300);
        assert_eq!((table.entries.len(), table.size), (0, 0));
    }
}
