//! How the notes of a process are to be taken: what its runtime's adapter says about the numbers that a walk leaves.
use serde::{Deserialize, Serialize};

/// How notes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manner {
    /// The output of a walk is a list of units of execution, ended by a zero: the one that read or sent, then who waits for it, then
    /// who waits for that. The unit that sends a response is the one that works on its request.
    Units(Unit),
    /// The output of a walk is the stack pointer, the lowest address of the copy of the stack that follows, and further numbers. Copy and
    /// numbers are the same as long as one callback of an event loop runs, and different in any other one.
    Rounds,
    /// The same of a loop whose frames have to be learnt. The copy holds them and those of its callbacks. What follows forward from a read
    /// is believed only where it leads to the same as what follows backward from an answer.
    LearntRounds,
}

impl Manner {
    /// Whether notes tell the rounds of loops.
    pub(super) fn has_rounds(self) -> bool {
        matches!(self, Self::Rounds | Self::LearntRounds)
    }
}

/// What a runtime calls a unit of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// A task of tokio, asyncio and the like.
    Task,
    /// A goroutine. Here the highest bits of a number say what it is: a unit, or something about the unit before it, see [`word`].
    Goroutine,
    /// A thread, also a virtual one.
    Thread,
}

impl Unit {
    /// The units among what a walk put out.
    pub(super) fn among(self, output: &[u64]) -> impl Iterator<Item = u64> {
        output.iter().copied().filter(move |said| self != Self::Goroutine || said >> word::SHIFT == 0)
    }

    /// The requests that are named, each by its connection and its number there.
    pub(super) fn named(self, output: &[u64]) -> impl Iterator<Item = (u64, u64)> {
        let kind = |said: u64| said >> word::SHIFT;
        // What is said of those who wait is not said of the unit.
        let own = output.split(move |said| kind(*said) == word::AWAITER).next().unwrap_or_default();
        let both = own.windows(2).filter_map(|both| <[u64; 2]>::try_from(both).ok());
        let named = both.filter(move |[a, b]| self == Self::Goroutine && (kind(*a), kind(*b)) == (word::CONNECTION, word::REQUEST));
        named.map(|[connection, number]| (connection & word::VALUE, number & word::VALUE))
    }

    /// The units that wait for the result of one of these, if what they wait for is its result.
    pub(super) fn waiting(self, output: &[u64]) -> impl Iterator<Item = u64> {
        let said = output.iter().filter(move |said| self == Self::Goroutine && *said >> word::SHIFT == word::CHANNEL);
        said.map(|said| said & word::VALUE)
    }
}

/// Kinds of numbers, in the bits from [`word::SHIFT`] on; zero for a unit.
pub mod word {
    /// Where the kind is.
    pub const SHIFT: u32 = 60;
    /// The rest.
    pub const VALUE: u64 = (1 << SHIFT) - 1;
    /// Which unit created it.
    pub const PARENT: u64 = 1;
    /// Where in the program it was created.
    pub const PLACE: u64 = 2;
    /// Numbers are given to processors in batches: the one after the last of this processor's.
    pub const END: u64 = 3;
    /// The number that this processor gives to the unit that is created next.
    pub const NEXT: u64 = 4;
    /// A unit that waits at a channel which the unit before it knows.
    pub const CHANNEL: u64 = 6;
    /// A connection on which requests come: the unit reads it, or works on a request that came on it.
    pub const CONNECTION: u64 = 7;
    /// The number of this request on its connection.
    pub const REQUEST: u64 = 8;
    /// The last number that was given to any processor.
    pub const COUNT: u64 = 5;
    /// A unit that waits for an answer on this connection: what follows is about this unit.
    pub const AWAITER: u64 = 9;
    /// The number of that answer on its connection.
    pub const AWAITED: u64 = 10;
}
