//! What was learnt of a process: the distances that the walks need.
use super::learn::Reader;
use super::task::{Oneshot, Order};

/// A type of task, as far as a walk tells it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// Its table.
    pub table: u64,
    /// What it runs, if that is boxed: distance of the box from the header, and the box's table.
    pub boxed: Option<(i32, u64)>,
}

/// Where a way begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Root {
    /// At the task's header.
    Inline,
    /// At what the task has boxed at this distance from its header.
    Boxed(i32),
}

/// The way from a task to the waker of the task that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    /// Where it begins.
    pub root: Root,
    /// Distance of the oneshot's address there.
    pub at: i32,
    /// Where the oneshot has what.
    pub oneshot: Oneshot,
    /// Whether the task leaves its own waker there, to hear when nobody waits any more: the proof that it is the right one.
    pub own: bool,
}

/// What stands behind a waker that is not tokio's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Foreign {
    /// Distance from the waker's data of the address of what holds the real waker.
    pub holder: i32,
    /// Distance in that of the real waker.
    pub waker: i32,
}

/// Everything that a process's walks need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Distance of the current task's number below the thread pointer.
    pub current: u64,
    /// Where a socket's reader is.
    pub reader: Reader,
    /// What a waker looks like.
    pub order: Order,
    /// Ways to callers, by kind of task.
    pub paths: Vec<(Kind, Path)>,
    /// Wakers of other libraries, by their table.
    pub foreign: Vec<(u64, Foreign)>,
}
