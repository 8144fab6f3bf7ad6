//! What is remembered of one channel: which calls, publishes and deliveries wait for their answer.
use super::method::Id;
use crate::protocol::Message;
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Publishes that may wait for their confirm, and deliveries for their acknowledgement. Of more, the oldest are forgotten: they stay
/// without an answer.
const MAX_WAITING: usize = 4096;
/// Calls that may wait: a channel makes them one after the other.
const MAX_CALLS: usize = 64;

/// A call that was not answered yet.
#[derive(Debug)]
pub(super) struct Pending {
    /// The method that answers it.
    pub(super) ok: Id,
    /// Its correlation, if it was told.
    pub(super) correlation: Option<u64>,
    /// What `basic.consume` asked for: the queue, and whether deliveries need no acknowledgement.
    pub(super) consumer: Option<Consumer>,
}

/// A consumer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Consumer {
    /// The queue that it takes messages from.
    pub(super) queue: Box<[u8]>,
    /// Its deliveries need no acknowledgement.
    pub(super) no_ack: bool,
}

/// Where a message goes to, as far as it is told.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Route {
    /// Exchange, routing key and queue, those that there are, with colons between.
    pub(super) name: String,
    /// The routing key.
    pub(super) key: String,
    /// It leads to a queue that was made for one program.
    pub(super) temporary: bool,
    /// The same for the same exchange and key.
    pub(super) hash: u64,
    /// Who takes messages from the queue that it ends in was told before anybody looked.
    pub(super) incomplete: bool,
}

/// A method whose content header follows.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    /// `basic.publish`, and whether it comes back if it cannot be routed.
    Publish { route: Route, mandatory: bool },
    /// `basic.deliver` with its tag, and whether it has to be acknowledged.
    Deliver { route: Route, tag: u64, acknowledged: bool },
    /// `basic.get-ok` with its tag, and the call that it answers.
    Got { route: Route, tag: u64, call: Option<u64> },
    /// `basic.return`: the code, and where the message was published to.
    Returned { code: u16, hash: u64 },
}

/// A publish that waits for its confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unconfirmed {
    tag: u64,
    /// Where it was published to; zero if it cannot come back.
    hash: u64,
}

/// A channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// Makes correlations of a channel differ from those of an earlier one of its number.
    pub(super) generation: u64,
    calls: VecDeque<Pending>,
    /// Calls so far.
    called: u64,
    /// The tag of the next publish, in confirm mode.
    confirms: Option<u64>,
    unconfirmed: VecDeque<Unconfirmed>,
    /// Tags of deliveries that wait.
    delivered: VecDeque<u64>,
    /// The client has acknowledged something: deliveries to consumers that nobody knows wait for that, too.
    pub(super) acknowledges: bool,
    /// The queue that was declared last, which methods without a name mean.
    pub(super) declared: Box<[u8]>,
    /// The method of each side whose content header follows.
    pub(super) contents: [Option<Content>; 2],
}

impl Channel {
    /// A channel of its own generation.
    pub(super) fn new(generation: u64) -> Self {
        Self { generation, ..Self::default() }
    }

    /// The correlation of something on this channel.
    fn correlation(&self, what: &str, number: u64) -> u64 {
        Message::identity((what, self.generation, number))
    }

    /// A correlation for what nobody answers, or for a call.
    pub(super) fn unique(&mut self) -> u64 {
        self.called += 1;
        self.correlation("call", self.called)
    }

    /// A call waits for its answer.
    pub(super) fn call(&mut self, pending: Pending) {
        if self.calls.len() >= MAX_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(pending);
    }

    /// The call that a method answers: the oldest one that it can, whose predecessors then will not be answered any more.
    pub(super) fn answered(&mut self, ok: Id) -> Option<Pending> {
        let place = self.calls.iter().position(|pending| pending.ok == ok)?;
        self.calls.drain(..place);
        self.calls.pop_front()
    }

    /// The channel is in confirm mode from here on.
    pub(super) fn confirm(&mut self) {
        self.confirms.get_or_insert(1);
    }

    /// A message is published; its correlation, if a confirm will answer it.
    pub(super) fn publish(&mut self, hash: u64) -> Option<u64> {
        let tag = self.confirms?;
        self.confirms = Some(tag.wrapping_add(1));
        if self.unconfirmed.len() >= MAX_WAITING {
            self.unconfirmed.pop_front();
        }
        self.unconfirmed.push_back(Unconfirmed { tag, hash });
        Some(self.correlation("publish", tag))
    }

    /// A message came back: the correlation of its publish, which is answered by that.
    pub(super) fn returned(&mut self, hash: u64) -> Option<u64> {
        let place = self.unconfirmed.iter().position(|unconfirmed| unconfirmed.hash == hash)?;
        let unconfirmed = self.unconfirmed.remove(place)?;
        Some(self.correlation("publish", unconfirmed.tag))
    }

    /// The broker confirms publishes: their correlations.
    pub(super) fn confirmed(&mut self, tag: u64, multiple: bool) -> Vec<u64> {
        let wanted = wanted(tag, multiple);
        let correlations = self.unconfirmed.iter().filter(|one| wanted.contains(&one.tag)).map(|one| self.correlation("publish", one.tag));
        let correlations = correlations.collect();
        self.unconfirmed.retain(|one| !wanted.contains(&one.tag));
        correlations
    }

    /// A message is delivered, and will be acknowledged; its correlation.
    pub(super) fn deliver(&mut self, tag: u64) -> u64 {
        if self.delivered.len() >= MAX_WAITING {
            self.delivered.pop_front();
        }
        self.delivered.push_back(tag);
        self.correlation("deliver", tag)
    }

    /// The client says what became of deliveries: their correlations.
    pub(super) fn settled(&mut self, tag: u64, multiple: bool) -> Vec<u64> {
        self.acknowledges = true;
        // Nearly always the oldest, alone.
        if !multiple && self.delivered.front() == Some(&tag) {
            self.delivered.pop_front();
            return vec![self.correlation("deliver", tag)];
        }
        let wanted = wanted(tag, multiple);
        let correlations = self.delivered.iter().filter(|tag| wanted.contains(tag)).map(|tag| self.correlation("deliver", *tag)).collect();
        self.delivered.retain(|tag| !wanted.contains(tag));
        correlations
    }

    /// The broker closes the channel: the correlations of everything that it will not answer.
    pub(super) fn close(&mut self) -> Vec<u64> {
        let calls: Vec<u64> = self.calls.drain(..).filter_map(|pending| pending.correlation).collect();
        let publishes = self.confirmed(0, true);
        calls.into_iter().chain(publishes).collect()
    }

    /// Bytes were lost, of either side: calls and confirms can no longer be told apart.
    pub(super) fn lost(&mut self) {
        self.calls.clear();
        self.confirms = None;
        self.unconfirmed.clear();
        self.contents = [None, None];
        self.declared = Box::default();
    }
}

/// The tags that one tag means: itself, or all up to it, or all if it is zero.
fn wanted(tag: u64, multiple: bool) -> RangeInclusive<u64> {
    match (multiple, tag) {
        (false, tag) => tag..=tag,
        (true, 0) => 0..=u64::MAX,
        (true, tag) => 0..=tag,
    }
}
