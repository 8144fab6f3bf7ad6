//! Runtimes: what to read in a process's memory so that its calls can be linked to the requests they were made for.
//!
//! An adapter is one file that recognises a runtime and its version, finds offsets and addresses, and gives a [`Study`]: walks for the
//! kernel side, which knows no runtime, and the manner in which `causality` takes what they note. Registering one is one line in
//! [`ADAPTERS`]. Nothing here writes into a process. Its memory is hostile: whatever it says, the worst is that its own calls are orphans.
pub mod assembler;
mod cpython;
mod exported;
mod go;
#[cfg(test)]
#[allow(dead_code, reason = "the adapters use it in their tests")]
pub(crate) mod interpreter;
mod libuv;
mod loops;
pub mod process;
pub mod studies;

use crate::capture::kernel::Walks;
use crate::causality::manner::Manner;
use crate::enrich::runtime::Runtime;
use process::Process;

/// What an adapter found out about a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// How `causality` takes the notes.
    pub manner: Manner,
    /// What to read at each [`wirespan_abi::walk::moment`].
    pub walks: Walks,
}

/// Why there is no study of a process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its version or its layout is not known: it stays without, and a person is told once per executable.
    #[error("{0}")]
    Unknown(String),
    /// What it takes is not there yet: a library that is loaded later, memory that only work fills. It is studied again later.
    #[error("not yet: {0}")]
    NotYet(&'static str),
    /// The process has ended or cannot be read.
    #[error("it cannot be read")]
    Gone,
    /// It is of the runtime, but not of the kind that the adapter is for: the next adapter that knows the runtime is asked.
    #[error("it is of another kind")]
    Other,
}

/// One runtime.
pub trait Adapter: Sync {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// Whether processes of this runtime are its own.
    fn knows(&self, runtime: Runtime) -> bool;

    /// Looks at a process. Takes bounded time and memory: milliseconds, and for what has to be learnt from a process at work a second.
    fn study(&self, process: &Process) -> Result<Study, Refusal>;
}

/// Every adapter; those that know a runtime are asked in this order.
pub const ADAPTERS: &[&dyn Adapter] = &[&cpython::CPython, &go::Go, &libuv::Libuv, &loops::Loops];
