//! Links: what a span's parent is, by which evidence, and if there is none, why not.
use std::borrow::Cow;

/// The evidence of a link: the values of `wirespan.link`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A trace context of this format in the request.
    Header(&'static str),
    /// Both ends of the connection were seen.
    Wire,
    /// The call's connection was opened while its thread worked on the request.
    Connect,
    /// The thread that sent the call had read the request, and works on one at a time.
    Thread,
    /// The loop that sent the call had read the request in the same round.
    Loop,
    /// None.
    None(Reason),
}

/// Why there is no link: the values of `wirespan.link.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing that could have caused it was going on.
    Root,
    /// Several requests could have caused it.
    Concurrent,
    /// Another thread or task works on whatever caused it.
    Handoff,
    /// Part of the evidence was not seen.
    Gap,
    /// The program's runtime moves work between threads in a way that is not understood yet.
    NoAdapter,
    /// Forward and backward evidence do not agree.
    Conflict,
    /// The evidence did not come in time.
    Timeout,
}

impl Evidence {
    /// Value of `wirespan.link`.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Header(format) => format!("header:{format}").into(),
            Self::Wire => "wire".into(),
            Self::Connect => "connect".into(),
            Self::Thread => "thread".into(),
            Self::Loop => "loop".into(),
            Self::None(_) => "none".into(),
        }
    }
}

impl Reason {
    /// Value of `wirespan.link.reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Concurrent => "concurrent",
            Self::Handoff => "handoff",
            Self::Gap => "gap",
            Self::NoAdapter => "no_adapter",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
        }
    }
}

/// A span's place in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Trace.
    pub trace_id: [u8; 16],
    /// Span.
    pub span_id: [u8; 8],
    /// Parent span, and whether it belongs to another process.
    pub parent: Option<([u8; 8], bool)>,
    /// W3C trace flags.
    pub flags: u8,
    /// W3C tracestate.
    pub state: Option<Box<str>>,
    /// Why.
    pub evidence: Evidence,
    /// The process's class was not proven yet.
    pub provisional: bool,
}
