//! Questions that have no answer yet: when each is to be asked again, and until when. Pure: the time comes in.
//!
//! The pauses double, because a caller's agent mostly tells within the first tenth of a second, and what comes later comes much later.
use crate::causality::ids::WireKey;
use crate::causality::meeting::Answer;
use crate::exchange::ExchangeId;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Questions at once: as many as the graph holds exchanges.
pub(super) const MAX_LOOKUPS: usize = 32 * 1024;
/// First pause, which the other agent needs to see the same request and to hand its batch in.
const FIRST_PAUSE: Duration = Duration::from_millis(40);
/// Longest pause while nobody has told anything.
const LONGEST_PAUSE: Duration = Duration::from_millis(320);
/// Longest pause after the request was announced: it adds to the delay of all that were made for it, on every node in turn.
const ANNOUNCED_PAUSE: Duration = Duration::from_millis(100);

/// A question.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lookup {
    due: Instant,
    until: Instant,
    id: ExchangeId,
    seq: u32,
    ack: u32,
    pause: Duration,
    /// It was said that somebody makes the request, or that nobody does.
    said: Option<bool>,
}

impl Lookup {
    pub(super) fn key(&self) -> WireKey {
        WireKey { seq: self.seq, ack: self.ack }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Lookups {
    /// The next one first.
    heap: BinaryHeap<Reverse<Lookup>>,
}

impl Lookups {
    /// Takes a question, which is asked at once and until `until`; says whether there was room.
    pub(super) fn ask(&mut self, id: ExchangeId, key: WireKey, now: Instant, until: Instant) -> bool {
        let has_room = self.heap.len() < MAX_LOOKUPS;
        if has_room {
            self.heap.push(Reverse(Lookup { due: now, until, id, seq: key.seq, ack: key.ack, pause: FIRST_PAUSE, said: None }));
        }
        has_room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// When the next question is to be asked.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(lookup)| lookup.due)
    }

    /// Takes up to `most` questions whose time has come; those that nobody waits for any more are forgotten.
    pub(super) fn due(&mut self, now: Instant, most: usize) -> Vec<Lookup> {
        let mut due = Vec::new();
        while due.len() < most && self.next().is_some_and(|next| next <= now) {
            due.extend(self.heap.pop().map(|Reverse(lookup)| lookup).filter(|lookup| lookup.until > now));
        }
        // A burst leaves room for thousands.
        if self.heap.is_empty() {
            self.heap.shrink_to(MAX_LOOKUPS / 32);
        }
        due
    }

    /// Takes back a question with its answer, if there was one, and gives the answer if it is news. Unless that was the last word, the
    /// question will be asked again.
    pub(super) fn back(&mut self, mut lookup: Lookup, answer: Option<Answer>, now: Instant) -> Option<(ExchangeId, Answer)> {
        let id = lookup.id;
        let said = match answer {
            Some(Answer::Placed(_) | Answer::Conflict) => return answer.map(|answer| (id, answer)),
            Some(Answer::Announced) => Some(true),
            Some(Answer::Nobody) => Some(false),
            None => None,
        };
        let is_news = said.is_some() && said != lookup.said;
        lookup.said = said.or(lookup.said);
        let longest = if lookup.said == Some(true) { ANNOUNCED_PAUSE } else { LONGEST_PAUSE };
        let pause = lookup.pause.min(longest);
        lookup.due = now + pause;
        lookup.pause = pause * 2;
        self.heap.push(Reverse(lookup));
        answer.filter(|_| is_news).map(|answer| (id, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: WireKey = WireKey { seq: 1, ack: 2 };

    #[test]
    fn a_question_is_asked_again_in_growing_pauses_until_nobody_waits() {
        let (mut lookups, start) = (Lookups::default(), Instant::now());
        assert!(lookups.ask(ExchangeId(7), KEY, start, start + Duration::from_millis(1500)));
        let (mut asked, mut news) = (Vec::new(), Vec::new());
        while let Some(now) = lookups.next() {
            let answer = if asked.len() < 6 { Answer::Nobody } else { Answer::Announced };
            for lookup in lookups.due(now, 10) {
                assert_eq!(lookup.key(), KEY);
                asked.push(now.duration_since(start).as_millis());
                news.extend(lookups.back(lookup, Some(answer.clone()), now));
            }
        }
        assert_eq!(asked, [0, 40, 120, 280, 600, 920, 1240, 1340, 1440]);
        assert_eq!(news, [(ExchangeId(7), Answer::Nobody), (ExchangeId(7), Answer::Announced)]);
    }

    #[test]
    fn a_last_word_ends_the_question() {
        let (mut lookups, now) = (Lookups::default(), Instant::now());
        assert!(lookups.ask(ExchangeId(7), KEY, now, now + Duration::from_secs(1)));
        let lookup = lookups.due(now, 10).pop().expect("it is due");
        assert_eq!(lookups.back(lookup, Some(Answer::Conflict), now), Some((ExchangeId(7), Answer::Conflict)));
        assert!(lookups.is_empty());
    }

    #[test]
    fn there_is_room_for_so_many_and_what_is_old_leaves_first() {
        let (mut lookups, now) = (Lookups::default(), Instant::now());
        let until = now + Duration::from_secs(1);
        assert!((0..MAX_LOOKUPS as u64).all(|id| lookups.ask(ExchangeId(id), KEY, now, until)));
        assert!(!lookups.ask(ExchangeId(0), KEY, now, until));
        assert_eq!(lookups.due(now, 3).len(), 3);
        assert_eq!(lookups.due(until, MAX_LOOKUPS).len(), 0);
        assert!(lookups.is_empty());
    }
}
