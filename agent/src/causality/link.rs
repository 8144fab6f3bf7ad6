//! Links: what a span's parent is, by which evidence, and if there is none, why not; and which other spans it has to do with.
//!
//! The vocabulary is closed, and `LINKS.md` says to people what each word means.
use crate::protocol::context::{Format, TraceContext};
use std::borrow::Cow;

/// The evidence of a link: the values of `wirespan.link`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// A trace context of this format in the request.
    Header(Format),
    /// Both ends of the connection were seen.
    Wire,
    /// The call's connection was opened while its thread worked on the request.
    Connect,
    /// The thread that sent the call had read the request, and works on one at a time.
    Thread,
    /// The loop that sent the call had read the request in the same round.
    Loop,
    /// The agent at the other end of the connection told of it.
    Rendezvous,
    /// The task that sent the call, or one that waited for it, sent the response.
    Task,
    /// The goroutine that sent the call, or one that waited for it, sent the response.
    Goroutine,
    /// The callback of an event loop that sent the call, or read its answer, had read the request, or sent the response.
    Activation,
    /// The process hands bytes on, and had one unfinished request of exactly this content.
    Tunnel,
    /// The broker was given this message by it: its identity says so.
    Message,
    /// None.
    None(Reason),
}

/// Why there is no link: the values of `wirespan.link.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// What is read in the memory of its process is not what it was taken for.
    Audit,
    /// Forward and backward evidence do not agree.
    Conflict,
    /// The evidence did not come in time.
    Timeout,
    /// The request names a trace, but comes from where no header is believed.
    Untrusted,
    /// The request names a trace and no span.
    TraceOnly,
    /// The client's process traces itself, and the request does not name its span.
    Sdk,
}

/// Why a span points at one in another trace: the values of `wirespan.link` on a span link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cross {
    /// The request named it, from where no header is believed.
    Untrusted,
    /// The request named it in one format, and another one in a format that counts more.
    Conflict,
    /// The call was made for this request, and carries the context of another trace.
    Met,
    /// A message that it got names it.
    Header,
    /// The broker was given a message that it got by it: the message's identity says so.
    Message,
}

/// A span link: another trace that a span has to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanLink {
    /// Trace.
    pub trace_id: [u8; 16],
    /// Span.
    pub span_id: [u8; 8],
    /// W3C trace flags.
    pub flags: u8,
    /// Whether it belongs to another process.
    pub remote: bool,
    /// W3C tracestate.
    pub state: Option<Box<str>>,
    /// Why.
    pub cross: Cross,
}

impl SpanLink {
    /// A link to the span that a context names; `None` if it names none.
    pub(super) fn to(context: &TraceContext, cross: Cross) -> Option<Self> {
        let (trace_id, span_id, flags) = (context.trace_id, context.parent?, context.flags());
        Some(Self { trace_id, span_id, flags, remote: true, state: context.state.clone(), cross })
    }
}

impl Evidence {
    /// Value of `wirespan.link`.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Header(format) => format!("header:{}", format.name()).into(),
            Self::Wire => "wire".into(),
            Self::Rendezvous => "rendezvous".into(),
            Self::Connect => "connect".into(),
            Self::Thread => "thread".into(),
            Self::Loop => "loop".into(),
            Self::Task => "task".into(),
            Self::Goroutine => "goroutine".into(),
            Self::Activation => "activation".into(),
            Self::Tunnel => "tunnel".into(),
            Self::Message => "message".into(),
            Self::None(_) => "none".into(),
        }
    }

    /// Name in the accounting: the value of `wirespan.link`, and behind a colon that of `wirespan.link.reason`.
    #[must_use]
    pub fn counted(self) -> Cow<'static, str> {
        match self {
            Self::None(reason) => format!("none:{}", reason.name()).into(),
            _ => self.name(),
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
            Self::Audit => "audit",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::Untrusted => "untrusted",
            Self::TraceOnly => "trace_only",
            Self::Sdk => "sdk",
        }
    }
}

impl Cross {
    /// Value of `wirespan.link` on a span link.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Conflict => "conflict",
            Self::Met => "met",
            Self::Header => "header",
            Self::Message => "message",
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
    /// Spans of other traces that it has to do with.
    pub links: Vec<SpanLink>,
    /// Formats in the request that disagree with the one that counts.
    pub conflict: Box<[Format]>,
}

impl Link {
    /// The place of a span that begins a trace, because of `reason`.
    pub(super) fn root(trace_id: [u8; 16], span_id: [u8; 8], reason: Reason) -> Self {
        Self {
            trace_id,
            span_id,
            parent: None,
            flags: 1,
            state: None,
            evidence: Evidence::None(reason),
            provisional: false,
            links: Vec::new(),
            conflict: Box::default(),
        }
    }

    /// The place of a span below this one, which is in another process if `remote`.
    pub(super) fn below(&self, span_id: [u8; 8], remote: bool, evidence: Evidence) -> Self {
        let parent = Some((self.span_id, remote));
        let (trace_id, flags, state) = (self.trace_id, self.flags, self.state.clone());
        Self { trace_id, span_id, parent, flags, state, evidence, provisional: false, links: Vec::new(), conflict: Box::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of the first column of the table below a heading of `LINKS.md`.
    fn documented(heading: &str) -> Vec<&'static str> {
        let page = include_str!("../../../LINKS.md");
        let (_, section) = page.split_once(heading).unwrap_or_else(|| panic!("{heading} in LINKS.md"));
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
        rows.filter_map(|row| row.split('`').nth(1)).collect()
    }

    /// With a new word, the match below does not compile until the word is in the list.
    #[test]
    fn every_word_of_the_vocabulary_is_documented_and_no_other() {
        use Evidence::{Activation, Connect, Goroutine, Header, Loop, Message, Rendezvous, Task, Thread, Tunnel, Wire};
        use Reason::{Audit, Concurrent, Conflict, Gap, Handoff, NoAdapter, Root, Sdk, Timeout, TraceOnly, Untrusted};
        let all = [
            Header(Format::TraceContext),
            Wire,
            Rendezvous,
            Connect,
            Thread,
            Loop,
            Task,
            Goroutine,
            Activation,
            Tunnel,
            Message,
            Evidence::None(Reason::Root),
        ];
        let evidence = all.map(|evidence| match evidence {
            Header(_) => "header:FORMAT".to_owned(),
            Wire | Rendezvous | Connect | Thread | Loop | Task | Goroutine | Activation | Tunnel | Message | Evidence::None(_) => {
                evidence.name().into_owned()
            }
        });
        assert_eq!(documented("## `wirespan.link`"), evidence);
        let reasons =
            [Root, Concurrent, Handoff, Gap, NoAdapter, Audit, Conflict, Timeout, Untrusted, TraceOnly, Sdk].map(|reason| match reason {
                Root | Concurrent | Handoff | Gap | NoAdapter | Audit | Conflict | Timeout | Untrusted | TraceOnly | Sdk => reason.name(),
            });
        assert_eq!(documented("## `wirespan.link.reason`"), reasons);
        let crosses = [Cross::Untrusted, Cross::Conflict, Cross::Met, Cross::Header, Cross::Message].map(|cross| match cross {
            Cross::Untrusted | Cross::Conflict | Cross::Met | Cross::Header | Cross::Message => cross.name(),
        });
        assert_eq!(documented("## Span links"), crosses);
        assert_eq!(documented("## Formats"), Format::ALL.map(Format::name));
    }
}
