//! Which unit waits for which answer, where one unit reads a connection for all.
//!
//! A note that such a unit makes names the answers that are waited for, each by its number on the connection, and who waits. One such
//! note is enough: a number is given once on a connection, and only its answer's end takes whoever waits away from it.
use super::manner::word;
use super::notes::Noted;
use crate::capture::event::SocketId;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Answers remembered of one process: what it asks for while the slowest call of ordinary programs lasts.
const MAX_AWAITED: usize = 8192;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaiter {
    /// The unit.
    pub(super) unit: u64,
    /// The request that it was begun for, if that is known: the connection that it came on, and its number there.
    pub(super) request: Option<(u64, u64)>,
}

/// The answers that units of one process wait for.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    awaiters: FxHashMap<(SocketId, u64), Awaiter>,
    ages: VecDeque<(SocketId, u64)>,
}

impl Awaited {
    /// Takes what a note says.
    pub(super) fn note(&mut self, note: &Noted) {
        let (mut unit, mut about, mut connection) = (0, None, 0);
        for said in &note.output {
            let value = said & word::VALUE;
            match said >> word::SHIFT {
                word::AWAITER => (unit, about) = (value, None),
                word::AWAITED => about = self.awaits((note.socket, value), unit),
                word::CONNECTION => connection = value,
                word::REQUEST => {
                    if let Some(awaiter) = about.and_then(|about| self.awaiters.get_mut(&about)) {
                        awaiter.request = Some((connection, value));
                    }
                }
                _ => {}
            }
        }
    }

    fn awaits(&mut self, answer: (SocketId, u64), unit: u64) -> Option<(SocketId, u64)> {
        let known = self.awaiters.get(&answer).is_some_and(|awaiter| awaiter.unit == unit);
        if known || unit == 0 {
            return None;
        }
        if self.awaiters.insert(answer, Awaiter { unit, request: None }).is_none() {
            self.ages.push_back(answer);
        }
        if self.ages.len() > MAX_AWAITED
            && let Some(oldest) = self.ages.pop_front()
        {
            self.awaiters.remove(&oldest);
        }
        Some(answer)
    }

    /// Who waits for the answer to the request with this number on a connection.
    pub(super) fn awaiter(&self, socket: SocketId, number: u64) -> Option<Awaiter> {
        self.awaiters.get(&(socket, number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::event::{Moment, Thread};

    fn said(kind: u64, value: u64) -> u64 {
        kind << word::SHIFT | value
    }

    fn note(awaited: &mut Awaited, socket: u64, output: &[u64]) {
        let thread = Thread { pid: 1, tid: 1 };
        let (output, window) = (output.into(), [].into());
        awaited.note(&Noted { at: 1, socket: SocketId(socket), thread, moment: Moment::ReadAnswer, from: 0, upto: 1, output, window });
    }

    #[test]
    fn each_answer_of_a_connection_has_its_awaiter_and_that_its_request() {
        let mut awaited = Awaited::default();
        let first = [said(word::AWAITER, 20), said(word::AWAITED, 7), said(word::CONNECTION, 0xc000), said(word::REQUEST, 3)];
        let second = [said(word::AWAITER, 21), said(word::AWAITED, 9)];
        note(&mut awaited, 1, &[&[5][..], &first, &second].concat());
        let who = |awaited: &Awaited, socket, number| awaited.awaiter(SocketId(socket), number);
        assert_eq!(who(&awaited, 1, 7), Some(Awaiter { unit: 20, request: Some((0xc000, 3)) }));
        assert_eq!(who(&awaited, 1, 9), Some(Awaiter { unit: 21, request: None }));
        assert_eq!([who(&awaited, 2, 7), who(&awaited, 1, 11)], [None, None]);
        // What is said of a unit itself is said of no awaiter, and nobody is none.
        note(&mut awaited, 2, &[5, said(word::CONNECTION, 0xc000), said(word::REQUEST, 3), said(word::AWAITER, 0), said(word::AWAITED, 7)]);
        assert_eq!(who(&awaited, 2, 7), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut awaited = Awaited::default();
        for number in 0..=MAX_AWAITED as u64 {
            note(&mut awaited, 1, &[said(word::AWAITER, 20), said(word::AWAITED, number)]);
        }
        let known = |number| awaited.awaiter(SocketId(1), number).is_some();
        assert_eq!((awaited.awaiters.len(), known(0), known(1)), (MAX_AWAITED, false, true));
    }
}
