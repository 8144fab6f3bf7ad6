//! How the notes of a process are to be taken: what its runtime's adapter says about the numbers that a walk leaves.
use serde::{Deserialize, Serialize};

/// How notes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manner {
    /// The output of a walk is a list of units of execution, ended by a zero: the one that read or sent, then who waits for it, then
    /// who waits for that. The unit that sends a response is the one that works on its request.
    Units(Unit),
}

/// What a runtime calls a unit of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// A task of tokio, asyncio and the like.
    Task,
    /// A goroutine.
    Goroutine,
    /// A thread, also a virtual one.
    Thread,
}
