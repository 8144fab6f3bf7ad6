//! The requests that a process had not finished when it sent a call, and why a call without a parent belongs to none of them. Pure.
use crate::capture::event::{Nanos, Thread};
use crate::causality::grounds::Call;
use crate::causality::link::{Evidence, Reason};
use crate::exchange::ExchangeId;
use crate::pipeline::Facts;
use std::collections::BTreeMap;

/// Requests of a process that are looked at, newest first: more than are ever unfinished in one that a person asks about.
const MAX_LOOK_BACK: usize = 512;

/// Why a request that was going on was not taken for the cause of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nobody had read it yet.
    NotRead,
    /// Another thread had read it.
    OtherThread(Thread),
    /// Who read it was not seen.
    Unseen,
    /// Its thread has read something else since.
    NotLast,
    /// It is the last that the thread had read, and that is no proof, for this reason.
    Unsure(Reason),
}

impl Refused {
    /// Its word in `LINKS.md`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NotRead => "not_read",
            Self::OtherThread(_) => "other_thread",
            Self::Unseen => "unseen",
            Self::NotLast => "not_last",
            Self::Unsure(_) => "unsure",
        }
    }
}

/// A request at its server.
#[derive(Clone, Copy, Debug)]
struct Request {
    id: ExchangeId,
    over: Nanos,
    read: Option<(Nanos, Thread)>,
}

/// The requests of every process, by when they came.
#[derive(Default)]
pub(super) struct Requests {
    by_process: BTreeMap<u32, BTreeMap<(Nanos, ExchangeId), Request>>,
}

/// What a process was at when it sent a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct InFlight {
    /// Unfinished requests, oldest first.
    pub(super) requests: Vec<ExchangeId>,
    /// How many of them the sending thread had read.
    pub(super) on_thread: usize,
    /// If the call has no parent: why it was none of them.
    pub(super) refused: Vec<Refused>,
}

impl Requests {
    /// Takes note of an exchange, if it is a request at its server.
    pub(super) fn add(&mut self, facts: &Facts) {
        let Some(pid) = facts.pid.filter(|_| !facts.client) else { return };
        let request = Request { id: facts.id, over: facts.over, read: facts.read.map(|read| (read.at, read.thread)) };
        self.by_process.entry(pid).or_default().insert((facts.asked.at, facts.id), request);
    }

    /// What `caller`'s process was at when it sent this call at `at`.
    pub(super) fn in_flight(&self, caller: Thread, at: Nanos, call: &Call, evidence: Evidence) -> InFlight {
        let began = self.by_process.get(&caller.pid).into_iter().flat_map(|requests| requests.range(..(at, ExchangeId(0))));
        let mut found: Vec<&Request> =
            began.rev().take(MAX_LOOK_BACK).map(|(_, request)| request).filter(|request| at < request.over).collect();
        found.reverse();
        let read_before = |request: &Request| request.read.filter(|(read, _)| *read <= at).map(|(_, reader)| reader);
        let refused = |request: &&Request, reason| match (request.read, read_before(request)) {
            _ if call.forward == Some(request.id) => Refused::Unsure(reason),
            (None, _) => Refused::Unseen,
            (Some(_), None) => Refused::NotRead,
            (Some(_), Some(reader)) if reader == caller => Refused::NotLast,
            (Some(_), Some(reader)) => Refused::OtherThread(reader),
        };
        InFlight {
            requests: found.iter().map(|request| request.id).collect(),
            on_thread: found.iter().filter(|request| read_before(request) == Some(caller)).count(),
            refused: match evidence {
                Evidence::None(reason) => found.iter().map(|request| refused(request, reason)).collect(),
                _ => Vec::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::world::{OK, World, get, thread};
    use crate::pipeline::{Behind, Explained};

    const CURL: u32 = 10;
    const API: u32 = 20;
    const STOCK: u32 = 30;

    /// Four requests are going on when the API asks the stock: read before the last one by the same thread, that last one, read by
    /// another thread, not read yet.
    #[test]
    fn an_orphan_says_of_each_request_that_was_going_on_why_it_was_not_taken() {
        let mut world = World::new();
        world.explain();
        let [one, two, three, late] = [1, 2, 3, 4].map(|client| world.connect(thread(CURL, client), 80));
        let far = world.connect(thread(API, 1), 81);
        world.serve(one, "/before", thread(API, 1), |_| ());
        for (conn, reader) in [(one, 1), (two, 1), (three, 2)] {
            world.ask(thread(CURL, 1), conn, &get("/a"));
            world.take(thread(API, reader), conn);
        }
        world.ask(thread(CURL, 4), late, &get("/late"));
        world.serve(far, "/stock", thread(STOCK, 1), |_| ());
        world.take(thread(API, 2), late);
        for (conn, reader) in [(one, 1), (two, 1), (three, 2), (late, 2)] {
            world.answer(thread(API, reader), conn, OK);
            world.receive(thread(CURL, 1), conn);
        }
        world.pass(1_000_000_000);
        let mut requests = Requests::default();
        let explained = world.explained();
        let facts = |explained: &Explained| match &explained.behind {
            Behind::Exchange(facts) => Some((facts.clone(), explained.evidence)),
            Behind::FailedConnect(..) => None,
        };
        let all: Vec<_> = explained.iter().filter_map(facts).collect();
        for (facts, _) in &all {
            requests.add(facts);
        }
        let (call, evidence) = all.iter().find(|(facts, _)| facts.client && facts.pid == Some(API)).expect("the call");
        let grounds = call.grounds.as_deref().and_then(|grounds| grounds.call.as_deref()).expect("its grounds");
        let found = requests.in_flight(thread(API, 1), call.asked.at, grounds, *evidence);
        let refused =
            [Refused::NotLast, Refused::Unsure(Reason::NoAdapter), Refused::OtherThread(thread(API, 2)), Refused::NotRead].to_vec();
        assert_eq!((found.requests.len(), found.on_thread, found.refused), (4, 2, refused));
    }

    #[test]
    fn every_word_is_documented_and_no_other() {
        let page = include_str!("../../../../LINKS.md");
        let (_, section) = page.split_once("## Candidates").expect("the section");
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
        let documented: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
        let thread = thread(API, 1);
        let words = [Refused::NotRead, Refused::OtherThread(thread), Refused::Unseen, Refused::NotLast, Refused::Unsure(Reason::Root)];
        let words = words.map(|refused| match refused {
            Refused::NotRead | Refused::OtherThread(_) | Refused::Unseen | Refused::NotLast | Refused::Unsure(_) => refused.name(),
        });
        assert_eq!(documented, words);
    }
}
