//! Explained spans become traces as trees, in text for people or JSON lines for machines. Pure; the same input gives the same bytes.
use super::candidates::{InFlight, Requests};
use super::words;
use crate::capture::event::{Closed, LastRead, Nanos, Opened, Sender, Thread};
use crate::causality::grounds::{Call, Grounds};
use crate::causality::link::Evidence;
use crate::enrich::span::{Span, SpanKind};
use crate::exchange::ExchangeId;
use crate::pipeline::{Behind, Explained, Facts};
use crate::protocol::attribute::Value;
use crate::semconv;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Columns of the text.
const COLUMNS: usize = 120;
/// Width of times and labels.
const LABEL: usize = 13;
/// Depth from which on a tree is not indented any more: the text has to have room.
const MAX_DEPTH: usize = 16;
/// Exchanges that others may refer to by name, at about 200 bytes each: with `--trace`, all of a large file.
const MAX_KNOWN: usize = 1_000_000;
/// Candidates that are named; a person reads no more.
const MAX_CANDIDATES: usize = 16;
/// Longest target of a request that is shown, in characters.
const LONGEST_TARGET: usize = 60;

/// Explained spans.
pub(super) struct Stories {
    /// How the trace's id begins, in hex.
    wanted: String,
    most: usize,
    left_out: usize,
    spans: Vec<Explained>,
    /// What other spans call an exchange.
    labels: BTreeMap<ExchangeId, String>,
    requests: Requests,
}

/// One line of a story.
struct Line {
    what: &'static str,
    /// Since the trace's begin.
    at: Option<i64>,
    text: String,
}

impl Stories {
    /// Keeps at most `most` spans of traces whose ids begin with `wanted`.
    pub(super) fn new(wanted: &str, most: usize) -> Self {
        Self { wanted: wanted.to_owned(), most, left_out: 0, spans: Vec::new(), labels: BTreeMap::new(), requests: Requests::default() }
    }

    /// Takes a span.
    pub(super) fn add(&mut self, explained: Explained) {
        if self.spans.len() >= self.most {
            self.left_out += 1;
            return;
        }
        if let Behind::Exchange(facts) = &explained.behind
            && self.labels.len() < MAX_KNOWN
        {
            let label = format!("{} (span {})", title(&explained.span), hex(&explained.span.span_id));
            self.labels.insert(facts.id, label);
            self.requests.add(facts);
        }
        if hex(&explained.span.trace_id).starts_with(&self.wanted) {
            self.spans.push(explained);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Spans that were too many.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    /// Every trace as a tree, oldest first, at most [`COLUMNS`] wide.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (trace, spans) in self.traces() {
            if !text.is_empty() {
                text.push('\n');
            }
            let start = spans.iter().map(|(_, explained)| explained.span.start).min().unwrap_or(0);
            let (seconds, nanos) = (start / 1_000_000_000, start % 1_000_000_000);
            let _ = writeln!(text, "trace {trace}, {} spans, begun {seconds}.{nanos:09} s after 1970", spans.len());
            let begin = begin(&spans);
            for (depth, explained) in spans {
                let indent = 2 * depth.min(MAX_DEPTH);
                let Span { kind, resource, span_id, start: from, end, .. } = &explained.span;
                let kind = match kind {
                    SpanKind::Client => "client",
                    SpanKind::Server => "server",
                    SpanKind::Producer => "producer",
                    SpanKind::Consumer => "consumer",
                };
                let service = plain(resource.service());
                let took = milliseconds((end - from).cast_signed());
                let head = format!("{kind} {service}  {}  {took}  span {}", title(&explained.span), hex(span_id));
                wrap(&mut text, indent, indent + 2, &head);
                for Line { what, at, text: said } in self.lines(explained, begin) {
                    let label = at.map_or_else(|| what.to_owned(), milliseconds);
                    let hanging = indent + 2 + LABEL;
                    wrap(&mut text, indent + 2, hanging, &format!("{label:<LABEL$}{said}"));
                }
            }
        }
        text
    }

    /// One line of JSON for each span, in the same order.
    pub(super) fn json(&self) -> String {
        let mut text = String::new();
        for (trace, spans) in self.traces() {
            let begin = begin(&spans);
            for (_, explained) in spans {
                let span = &explained.span;
                let lines: Vec<_> = self
                    .lines(explained, begin)
                    .into_iter()
                    .map(|Line { what, at, text }| json!({ "what": what, "at_ns": at, "text": text }))
                    .collect();
                let said = json!({
                    "traceId": trace,
                    "spanId": hex(&span.span_id),
                    "parentSpanId": span.parent.map(|parent| hex(&parent.id)),
                    "service": span.resource.service(),
                    "name": title(span),
                    "link": explained.evidence.counted(),
                    "why": lines,
                });
                let _ = writeln!(text, "{said}");
            }
        }
        text
    }

    /// Traces by their begin; their spans with their depth, each behind its parent.
    fn traces(&self) -> Vec<(String, Vec<(usize, &Explained)>)> {
        let mut traces: BTreeMap<[u8; 16], Vec<&Explained>> = BTreeMap::new();
        for explained in &self.spans {
            traces.entry(explained.span.trace_id).or_default().push(explained);
        }
        let mut traces: Vec<_> = traces.into_iter().collect();
        for (_, spans) in &mut traces {
            spans.sort_by_key(|explained| (explained.span.start, explained.span.kind == SpanKind::Server, explained.span.span_id));
        }
        traces.sort_by_key(|(id, spans)| (spans.first().map(|first| first.span.start), *id));
        traces.into_iter().map(|(id, spans)| (hex(&id), tree(&spans))).collect()
    }

    /// What there is to say of a span.
    fn lines(&self, explained: &Explained, begin: Nanos) -> Vec<Line> {
        let mut lines = Lines { begin, lines: Vec::new() };
        let mut link = format!("{}: {}", explained.evidence.counted(), words::evidence(explained.evidence));
        if explained.span.attributes.iter().any(|attribute| attribute.key == semconv::WIRESPAN_LINK_PROVISIONAL) {
            link.push_str("; provisional, its process is not proven yet");
        }
        if let Some(parent) = explained.span.parent {
            let _ = write!(link, "; parent {}", hex(&parent.id));
        }
        lines.say("link", link);
        match &explained.behind {
            Behind::FailedConnect(opened, closed) => failed(&mut lines, opened, closed),
            Behind::Exchange(facts) => {
                if let Some(grounds) = &facts.grounds {
                    self.grounds(&mut lines, facts, grounds);
                }
                let from = lines.lines.len();
                self.events(&mut lines, facts);
                if let Some(events) = lines.lines.get_mut(from..) {
                    // A reader may see the first bytes before the last have come.
                    events.sort_by_key(|line| line.at);
                }
                if let Some(call) = facts.grounds.as_deref().and_then(|grounds| grounds.call.as_deref()) {
                    self.call(&mut lines, call, facts, explained.evidence);
                }
            }
        }
        lines.lines
    }

    fn grounds(&self, lines: &mut Lines, facts: &Facts, grounds: &Grounds) {
        let Grounds { key, header, peer, .. } = grounds;
        lines.say("wire key", format!("seq {}, ack {}: its span id is made of them", key.seq, key.ack));
        let peer = peer.map_or_else(|| "was not seen here".to_owned(), |peer| format!("is {}", self.label(peer)));
        lines.say("other end", peer);
        if let Some(named) = header {
            let span = named.span_id.map_or_else(|| "no span".to_owned(), |id| format!("span {}", hex(&id)));
            let believed = if named.trusted { "believed" } else { "not believed" };
            let mut text = format!("{} names trace {}, {span}; {believed}", named.format.name(), hex(&named.trace_id));
            if !named.others.is_empty() {
                let others: Vec<_> = named.others.iter().map(|format| format.name()).collect();
                let _ = write!(text, "; disagreeing: {}", others.join(", "));
            }
            lines.say("header", text);
        } else if facts.client {
            lines.say("header", "none".to_owned());
        }
    }

    /// What happened on the socket.
    fn events(&self, lines: &mut Lines, facts: &Facts) {
        let Facts { client, opened, asked, answered, read, over, .. } = facts;
        let Opened { socket, local, remote, .. } = **opened;
        let place = format!("socket {}, {local} → {remote}, from seq {}", socket.0, asked.seq);
        if *client {
            let by = facts.grounds.as_deref().and_then(|grounds| grounds.call.as_deref());
            if let Some(at) = by.and_then(|call| call.last_read).map(|read| read.at) {
                lines.at(at, "had read", self.last_read(by));
            }
            let who = match (&asked.sender, by.and_then(|call| call.caller)) {
                (Some(sender), _) => format!("thread {} sent it on", name(sender.thread)),
                (None, Some(opener)) => format!("it left, long after its system call; thread {} had connected", name(opener)),
                (None, None) => "it left, nobody saw by whom, on".to_owned(),
            };
            lines.at(asked.at, "sent", format!("{who} {place}"));
        } else {
            lines.at(asked.at, "arrived", format!("its first byte came to {place}"));
            match read {
                Some(read) => lines.at(read.at, "read", format!("thread {} read up to seq {}", name(read.thread), read.upto)),
                None => lines.at(asked.at, "read", "nobody was seen to read it".to_owned()),
            }
        }
        if let Some(answered) = answered {
            let text = match (client, &answered.sender) {
                (true, _) => format!("the first byte of the answer came, seq {}", answered.seq),
                (false, Some(Sender { thread, last_read })) => {
                    let had = last_read.map_or_else(String::new, |read| format!("; it had last read socket {}", read.socket.0));
                    format!("thread {} sent the first byte of the answer, seq {}{had}", name(*thread), answered.seq)
                }
                (false, None) => format!("the first byte of the answer left, seq {}, nobody saw by whom", answered.seq),
            };
            lines.at(answered.at, "answered", text);
        }
        if let (true, Some(read)) = (client, read) {
            lines.at(read.at, "read", format!("thread {} read the answer up to seq {}", name(read.thread), read.upto));
        }
        lines.at(*over, "over", if answered.is_some() { "the answer ended" } else { "it was over without an answer" }.to_owned());
    }

    fn last_read(&self, call: Option<&Call>) -> String {
        let Some((call, LastRead { socket, upto, .. })) = call.and_then(|call| Some((call, call.last_read?))) else {
            return String::new();
        };
        let what = call.read_of.map_or_else(|| "of which nothing is known".to_owned(), |of| format!("which belongs to {}", self.label(of)));
        format!("the last that its thread read before: socket {} up to seq {upto}, {what}", socket.0)
    }

    /// What a call was made for.
    fn call(&self, lines: &mut Lines, call: &Call, facts: &Facts, evidence: Evidence) {
        let Some(caller) = call.caller else {
            lines.say("process", "the input does not say which thread sent it, so nothing of its process counts".to_owned());
            return;
        };
        if call.last_read.is_none() {
            lines.say("had read", "its thread had read nothing before".to_owned());
        }
        if let Some(connected) = call.connected {
            lines.say("connected", format!("while its thread worked on {}", self.label(connected)));
        }
        let others = if call.ambiguous { "; others were read with it" } else { "" };
        let forward =
            call.forward.map_or_else(|| "to no unfinished request".to_owned(), |owner| format!("to {}{others}", self.label(owner)));
        lines.say("forward", format!("what its thread had read leads {forward}"));
        if let Some(backward) = call.backward {
            lines.say("backward", format!("its answer was read before the response to {}", self.label(backward)));
        }
        if let Some(same) = &call.content {
            let labels: Vec<_> = same.iter().map(|id| self.label(*id)).collect();
            let text = if same.is_empty() { "too many unfinished requests".to_owned() } else { labels.join(", ") };
            lines.say("same bytes", text);
        }
        if let (Some(pid), Some(standing)) = (facts.pid, call.process) {
            lines.say("process", format!("{pid}: {}", words::standing(standing)));
        }
        let InFlight { requests, on_thread, refused } = self.requests.in_flight(caller, facts.asked.at, call, evidence);
        lines.say("in flight", format!("{} requests in its process, of which its thread had read {on_thread}", requests.len()));
        for (candidate, refused) in requests.iter().zip(&refused).take(MAX_CANDIDATES) {
            let text = format!("{}: not taken ({}), {}", self.label(*candidate), refused.name(), words::refused(*refused));
            lines.say("candidate", text);
        }
        if refused.len() > MAX_CANDIDATES {
            lines.say("candidate", format!("and {} more", refused.len() - MAX_CANDIDATES));
        }
    }

    fn label(&self, id: ExchangeId) -> String {
        self.labels.get(&id).cloned().unwrap_or_else(|| "a request that is told by another span, or not at all".to_owned())
    }
}

/// Lines, and what their times count from.
struct Lines {
    begin: Nanos,
    lines: Vec<Line>,
}

impl Lines {
    fn say(&mut self, what: &'static str, text: String) {
        self.lines.push(Line { what, at: None, text });
    }

    fn at(&mut self, at: Nanos, what: &'static str, text: String) {
        let at = at.cast_signed().wrapping_sub(self.begin.cast_signed());
        self.lines.push(Line { what, at: Some(at), text });
    }
}

fn failed(lines: &mut Lines, opened: &Opened, closed: &Closed) {
    let by = opened.opener.map_or_else(|| "somebody".to_owned(), |opener| format!("thread {}", name(opener.thread)));
    let had = opener_read(opened);
    lines.at(opened.at, "connect", format!("{by} began to connect socket {}, {} → {}{had}", opened.socket.0, opened.local, opened.remote));
    lines.at(closed.at, "failed", format!("the connection failed: {:?}", closed.end));
}

fn opener_read(opened: &Opened) -> String {
    let read = opened.opener.and_then(|opener| opener.last_read);
    read.map_or_else(String::new, |read| format!("; it had last read socket {} up to seq {}", read.socket.0, read.upto))
}

/// The begin of a trace in the source's time.
fn begin(spans: &[(usize, &Explained)]) -> Nanos {
    let begins = spans.iter().map(|(_, explained)| match &explained.behind {
        Behind::Exchange(facts) => facts.asked.at,
        Behind::FailedConnect(opened, _) => opened.at,
    });
    begins.min().unwrap_or(0)
}

/// Each span behind its parent; those whose parents are elsewhere at the top.
fn tree<'a>(spans: &[&'a Explained]) -> Vec<(usize, &'a Explained)> {
    let ids: BTreeSet<[u8; 8]> = spans.iter().map(|explained| explained.span.span_id).collect();
    let mut children: BTreeMap<Option<[u8; 8]>, Vec<&'a Explained>> = BTreeMap::new();
    for explained in spans {
        let parent = explained.span.parent.map(|parent| parent.id).filter(|parent| ids.contains(parent));
        children.entry(parent).or_default().push(explained);
    }
    let mut told = Vec::new();
    let mut open: Vec<(usize, &Explained)> = children.remove(&None).into_iter().flatten().rev().map(|root| (0, root)).collect();
    while let Some((depth, explained)) = open.pop() {
        told.push((depth, explained));
        let below = children.remove(&Some(explained.span.span_id)).into_iter().flatten().rev();
        open.extend(below.map(|child| (depth + 1, child)));
    }
    told
}

/// Name and target of a span.
fn title(span: &Span) -> String {
    let text = |key: &str| {
        span.attributes.iter().find(|attribute| attribute.key == key).and_then(|attribute| match &attribute.value {
            Value::Text(text) => Some(text.as_ref()),
            _ => None,
        })
    };
    let full = text(semconv::URL_FULL).map(|url| url.split_once("://").map_or(url, |(_, rest)| rest));
    let path = full.and_then(|rest| rest.find('/').and_then(|slash| rest.get(slash..)));
    let target = path.or_else(|| text(semconv::URL_PATH)).or_else(|| text(semconv::DB_QUERY_TEXT)).unwrap_or_default();
    let target: String = plain(target).chars().take(LONGEST_TARGET).collect();
    // The path says more than the route that is in the name.
    let route = text(semconv::HTTP_ROUTE).or_else(|| text(semconv::URL_TEMPLATE));
    let name = route.and_then(|route| span.name.strip_suffix(route)).unwrap_or(&span.name);
    let name = plain(name.trim_end());
    // The text of a query begins with its name.
    if target.is_empty() || target.starts_with(&format!("{name} ")) { name.max(target) } else { format!("{name} {target}") }
}

/// Text of others without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

fn name(thread: Thread) -> String {
    format!("{}/{}", thread.pid, thread.tid)
}

fn milliseconds(nanos: i64) -> String {
    format!("{:.3} ms", nanos as f64 / 1e6)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Adds `said`, broken between words so that no line is longer than [`COLUMNS`] if its words are not.
fn wrap(text: &mut String, first: usize, hanging: usize, said: &str) {
    let mut line = " ".repeat(first);
    let mut empty = true;
    for word in said.split_inclusive(' ') {
        if !empty && line.chars().count() + word.trim_end().chars().count() > COLUMNS {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(hanging);
        }
        line.push_str(word);
        empty = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
}
