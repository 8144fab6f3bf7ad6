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
