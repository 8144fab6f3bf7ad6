//! When units of execution were created, and by whom, where a runtime numbers them as Go does.
//!
//! Numbers are given in batches of [`BATCH`] to processors, which give them out one by one. A note says which number its processor
//! gives next, where its batch ends, and how many have been given to processors: so a unit's number and the notes around its creation say between which
//! moments it was created. Whatever the unit that created it was working on at the time is what it was created for.
use super::manner::word;
use super::notes::Noted;
use crate::capture::event::{Moment, Nanos, SocketId};
use crate::exchange::ExchangeId;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};

/// Numbers that a processor takes at a time (`runtime.newproc1`).
const BATCH: u64 = 16;
/// Batches remembered of one process: 32,768 units, at up to some 500 bytes a batch.
const MAX_BATCHES: usize = 2048;
/// Moments remembered at which the count of numbers was seen.
const MAX_COUNTS: usize = 4096;
/// Units remembered whose creator is known.
const MAX_CHILDREN: usize = 16 * 1024;
/// Places in programs at which units are created, remembered of one process.
const MAX_PLACES: usize = 256;
/// Connections with several requests at a time remembered of one process.
const MAX_CONNECTIONS: usize = 4096;
/// Requests in a row, each with a unit created at a place, after which units of that place are believed to be made for one each.
const PROOF: u32 = 8;
/// Ancestors followed from a unit to one that answers requests: groups within groups.
const MAX_ANCESTORS: usize = 4;

/// The sides of a moment that is known from notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Between {
    /// It was created after.
    pub(super) after: Nanos,
    /// It was created before.
    pub(super) before: Nanos,
}

/// When a processor's next number was seen, first and last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    next: u64,
    first: Nanos,
    last: Nanos,
}

/// A unit that another one created.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    /// Who created it.
    pub(super) parent: u64,
    /// Where in the program.
    pub(super) place: u64,
    /// When its first call was sent.
    first_call: Option<Nanos>,
}

/// What is known of the units that are created at one place in the program.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    last: Option<ExchangeId>,
    turns: u32,
    /// One of them made calls for more than the request that it was created for.
    refuted: bool,
}

/// The creation of units in one process.
#[derive(Debug, Default)]
pub(super) struct Births {
    /// By the number after the last one.
    batches: BTreeMap<u64, Vec<Seen>>,
    /// How many numbers had been given to processors, and when that was seen last.
    counts: VecDeque<(u64, Nanos)>,
    children: FxHashMap<u64, Child>,
    ages: VecDeque<u64>,
    places: FxHashMap<u64, Place>,
    /// Connections on which requests come, by what the process calls them.
    connections: FxHashMap<u64, SocketId>,
}

impl Births {
    /// Takes what a note says of creation.
    pub(super) fn note(&mut self, note: &Noted) {
        let (mut unit, mut child, mut end) = (0, 0, 0);
        for said in &note.output {
            let value = said & word::VALUE;
            match said >> word::SHIFT {
                0 | word::AWAITER => unit = value,
                word::END => end = value,
                word::NEXT if value <= end && end - value < BATCH => self.seen(end, value, note.at),
                word::COUNT => self.counted(value, note.at),
                word::PARENT if value > 0 && value != unit => {
                    self.parent(unit, value);
                    child = unit;
                }
                word::PLACE => {
                    if let Some(child) = self.children.get_mut(&child) {
                        child.place = value;
                    }
                }
                word::CONNECTION if note.moment == Moment::ReadRequest => {
                    if self.connections.len() >= MAX_CONNECTIONS {
                        self.connections.clear();
                    }
                    self.connections.insert(value, note.socket);
                }
                _ => {}
            }
        }
        if let Some(child) = self.children.get_mut(&child).filter(|_| note.moment == Moment::SendCall) {
            child.first_call.get_or_insert(note.at);
        }
    }

    /// The connection that a process calls so.
    pub(super) fn connection(&self, called: u64) -> Option<SocketId> {
        self.connections.get(&called).copied()
    }

    fn seen(&mut self, end: u64, next: u64, at: Nanos) {
        if self.batches.len() >= MAX_BATCHES && !self.batches.contains_key(&end) {
            self.batches.pop_first();
        }
        let seen = self.batches.entry(end).or_default();
        match seen.iter_mut().find(|seen| seen.next == next) {
            Some(seen) => (seen.first, seen.last) = (seen.first.min(at), seen.last.max(at)),
            None => seen.push(Seen { next, first: at, last: at }),
        }
    }

    fn counted(&mut self, numbers: u64, at: Nanos) {
        match self.counts.back_mut() {
            Some((count, last)) if *count == numbers => *last = at.max(*last),
            // A note that came late.
            Some((count, _)) if *count > numbers => {}
            _ => {
                if self.counts.len() >= MAX_COUNTS {
                    self.counts.pop_front();
                }
                self.counts.push_back((numbers, at));
            }
        }
    }

    fn parent(&mut self, unit: u64, parent: u64) {
        if self.children.contains_key(&unit) {
            return;
        }
        if self.ages.len() >= MAX_CHILDREN
            && let Some(oldest) = self.ages.pop_front()
        {
            self.children.remove(&oldest);
        }
        self.ages.push_back(unit);
        self.children.insert(unit, Child { parent, place: 0, first_call: None });
    }

    /// The unit and its ancestors, as far as they are known, the nearest first.
    pub(super) fn ancestors(&self, unit: u64) -> impl Iterator<Item = (u64, Child)> {
        let first = self.children.get(&unit).map(|child| (unit, *child));
        std::iter::successors(first, |(_, child)| Some((child.parent, *self.children.get(&child.parent)?))).take(MAX_ANCESTORS)
    }

    /// Between which moments a unit was created, the later one at most `known`.
    pub(super) fn created(&self, unit: u64, known: Nanos) -> Between {
        let batch = self.batches.range(unit.saturating_add(1)..).next().filter(|(end, _)| end.saturating_sub(BATCH) <= unit);
        let seen = batch.map(|(_, seen)| seen.as_slice()).unwrap_or_default();
        // Where the batch is not known, it began with this number at the latest, and with the one fifteen before it at the earliest.
        let first = batch.map_or(unit.saturating_add(1), |(end, _)| *end).saturating_sub(BATCH);
        let given = self.counts.partition_point(|(count, _)| *count < first);
        let counted = given.checked_sub(1).and_then(|last| self.counts.get(last)).map_or(0, |(_, at)| *at);
        let after = seen.iter().filter(|seen| seen.next <= unit).map(|seen| seen.last).fold(counted, Nanos::max);
        let before = seen.iter().filter(|seen| seen.next > unit).map(|seen| seen.first).fold(known, Nanos::min);
        Between { after, before }
    }

    /// A unit's creation is known to have been for `owner`, which had been answered or not when the unit sent a call at `at`.
    pub(super) fn learn(&mut self, child: Child, owner: ExchangeId, at: Nanos, answered: bool) {
        if self.places.len() >= MAX_PLACES && !self.places.contains_key(&child.place) {
            return;
        }
        let place = self.places.entry(child.place).or_default();
        place.refuted |= answered && child.first_call.is_some_and(|first| first < at);
        if place.last != Some(owner) {
            place.last = Some(owner);
            place.turns = place.turns.saturating_add(1);
        }
    }

    /// Whether a unit's calls may be linked to the request that it was created for. Whoever still works when that has been answered may
    /// work for others, as the workers of a pool do; then it is believed only where many requests each created a unit for one call.
    pub(super) fn trusts(&self, child: Child, answered: bool) -> bool {
        self.places.get(&child.place).is_some_and(|place| !place.refuted && (!answered || place.turns >= PROOF))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::event::Thread;

    fn births(notes: &[(Nanos, Moment, &[u64])]) -> Births {
        let mut births = Births::default();
        for (at, moment, output) in notes {
            let thread = Thread { pid: 1, tid: 1 };
            let note = Noted {
                at: *at,
                socket: SocketId(1),
                thread,
                moment: *moment,
                from: 0,
                upto: 1,
                output: (*output).into(),
                window: [].into(),
            };
            births.note(&note);
        }
        births
    }

    /// Of a batch that begins with 18: numbers need not begin with a multiple.
    fn next(end: u64, number: u64) -> [u64; 2] {
        [word::END << word::SHIFT | end, word::NEXT << word::SHIFT | number]
    }

    fn count(number: u64) -> u64 {
        word::COUNT << word::SHIFT | number
    }

    #[test]
    fn a_number_was_given_between_the_notes_before_and_after_it() {
        let read = |next: [u64; 2], given| [&[3], &next[..], &[count(given)]].concat();
        let births = births(&[
            (10, Moment::ReadRequest, &read(next(34, 20), 33)),
            (20, Moment::ReadRequest, &read(next(34, 22), 33)),
            (30, Moment::SendResponse, &[&[3], &next(34, 24)[..]].concat()),
            (40, Moment::ReadRequest, &read(next(34, 34), 49)),
        ]);
        let created = |unit| births.created(unit, 100);
        // 19 was given before 20 was the next; nothing is known of the moments before.
        assert_eq!(created(19), Between { after: 0, before: 10 });
        assert_eq!(created(21), Between { after: 10, before: 20 });
        assert_eq!(created(23), Between { after: 20, before: 30 });
        assert_eq!(created(33), Between { after: 30, before: 40 });
        // Of a batch that was not seen, which may have begun with 35, but not with 33.
        assert_eq!(created(50), Between { after: 20, before: 100 });
        assert_eq!(created(49), Between { after: 20, before: 100 });
        assert_eq!(created(48), Between { after: 0, before: 100 });
        assert_eq!(created(65), Between { after: 40, before: 100 });
    }
}
