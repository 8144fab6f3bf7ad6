//! A span becomes a line for people: when, which trace, who asked whom, what, how it ended, how long it took and where the time went.
//!
//! Laid out for 120 columns; colours and cutting only on a terminal, so that a pipe gets every byte. Lines that belong together share the
//! beginning of their trace id (and its colour): `●` begins a trace, `└` has a parent, `○` may have one that is not known. Pure, but for [`Lines`], which gathers lines.
//! Captured text cannot steer the terminal: whatever is not printable is escaped ([`printable`]).
use super::group::{Body, Encode};
use crate::enrich::span::{Span, SpanKind, Status};
use crate::protocol::attribute::Value;
use crate::semconv;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

/// Width of what cannot shrink: time, trace, mark, status, latency, and the parts in their usual form.
const FIXED: usize = 66;
/// Width of `service → peer`.
const WHO: usize = 28;
/// Columns that the deepest spans are moved in.
const DEEPEST: usize = 8;
/// Bytes that a line is taken for before it is written.
const LINE_BYTES: usize = 128;
/// Narrowest operation.
const OPERATION: usize = 16;

/// How lines look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub colour: bool,
    /// Columns.
    pub width: usize,
    /// Cut what is too long for its column.
    pub cut: bool,
    /// Seconds to add to UTC.
    pub utc_offset: i32,
}

impl Style {
    /// For a pipe or a file: 120 columns, nothing cut, no colours.
    #[must_use]
    pub fn plain() -> Self {
        Self { colour: false, width: 120, cut: false, utc_offset: 0 }
    }

    /// For a terminal with that many columns. `NO_COLOR` and the like are the caller's to know.
    #[must_use]
    pub fn terminal(width: usize, colour: bool) -> Self {
        Self { colour, width, cut: true, utc_offset: 0 }
    }

    fn operation(&self) -> usize {
        self.width.saturating_sub(FIXED + WHO).max(OPERATION)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Text in a column of `width`, cut if the style says so.
    fn fit(&self, text: &str, width: usize) -> String {
        let length = text.chars().count();
        if length > width && self.cut {
            let kept: String = text.chars().take(width.saturating_sub(1)).collect();
            return format!("{kept}…");
        }
        format!("{text}{}", " ".repeat(width.saturating_sub(length)))
    }
}

/// The line above all lines.
#[must_use]
pub fn header(style: &Style) -> String {
    let text = format!(
        "{:<12} {:<8} {} {} {:<4} {:>7}  {}",
        "TIME",
        "TRACE",
        style.fit("SERVICE → PEER", WHO),
        style.fit("OPERATION", style.operation()),
        "STAT",
        "LATENCY",
        "OF WHICH"
    );
    style.paint("2", &text)
}

/// The line of a span, without its end.
#[must_use]
pub fn line(span: &Span, style: &Style) -> String {
    indented(span, style, 0)
}

/// The same, moved in by `depth` columns.
fn indented(span: &Span, style: &Style, depth: usize) -> String {
    let [first, second, third, ..] = span.trace_id;
    let trace = format!("{first:02x}{second:02x}{third:02x}");
    // Six colours that read on dark and on light, away from the red of errors.
    let trace_colour = ["32", "33", "34", "35", "36", "94"].get(usize::from(third % 6)).copied().unwrap_or("36");
    let mark = match text(span, semconv::WIRESPAN_LINK_REASON) {
        _ if span.parent.is_some() => "└",
        None | Some("root") => "●",
        Some(_) => "○",
    };
    let arrow = if matches!(span.kind, SpanKind::Client | SpanKind::Producer) { "→" } else { "←" };
    let who = printable(&format!("{} {arrow} {}", span.resource.service(), peer(span))).into_owned();
    let (status, status_colour) = status(span);
    let took = span.end.saturating_sub(span.start);
    let latency_colour = if took >= 1_000_000_000 { "33" } else { "" };
    let line = format!(
        "{} {} {} {} {} {} {}  {}",
        style.paint("2", &clock(span.start, style.utc_offset)),
        style.paint(trace_colour, &trace),
        format_args!("{:depth$}{mark}", ""),
        style.fit(&who, WHO - depth),
        style.fit(&printable(&operation(span)), style.operation()),
        style.paint(status_colour, &format!("{status:<4}")),
        style.paint(latency_colour, &format!("{:>7}", duration(took))),
        parts(span, style)
    );
    line.trim_end().to_owned()
}

/// Nanoseconds for people: three digits and a unit, at most seven columns.
#[must_use]
pub fn duration(nanos: u64) -> String {
    let (value, unit) = match nanos {
        0..=999_499 => return format!("{} µs", (nanos + 500) / 1000),
        999_500..=999_499_999 => (nanos as f64 / 1e6, "ms"),
        _ => (nanos as f64 / 1e9, "s"),
    };
    match value {
        0.0..9.995 => format!("{value:.2} {unit}"),
        9.995..99.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// Text that cannot steer a terminal: control characters and those that turn the direction of text are escaped.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let harmful =
        |c: char| c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    if !text.chars().any(harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if harmful(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

fn find<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    match find(span, key) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn number(span: &Span, key: &str) -> Option<u64> {
    match find(span, key) {
        Some(Value::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Who is at the other end: by name if it is known here, else by address; the port only of a server, where it says something.
fn peer(span: &Span) -> Cow<'_, str> {
    if let Some(name) = text(span, semconv::SERVICE_PEER_NAME) {
        return name.into();
    }
    let pairs: &[(&str, Option<&str>)] = match span.kind {
        SpanKind::Client | SpanKind::Producer | SpanKind::Consumer => {
            &[(semconv::SERVER_ADDRESS, Some(semconv::SERVER_PORT)), (semconv::NETWORK_PEER_ADDRESS, Some(semconv::NETWORK_PEER_PORT))]
        }
        SpanKind::Server => &[(semconv::CLIENT_ADDRESS, None), (semconv::NETWORK_PEER_ADDRESS, None)],
    };
    for (address, port) in pairs {
        if let Some(address) = text(span, address) {
            return match port.and_then(|port| number(span, port)) {
                Some(port) if address.contains(':') => format!("[{address}]:{port}").into(),
                Some(port) => format!("{address}:{port}").into(),
                None => address.into(),
            };
        }
    }
    "?".into()
}

/// What was asked: the name, and what a person needs to know which one it was.
fn operation(span: &Span) -> Cow<'_, str> {
    if let Some(method) = text(span, semconv::HTTP_REQUEST_METHOD) {
        let method = text(span, semconv::HTTP_REQUEST_METHOD_ORIGINAL).unwrap_or(method);
        let after_host = |url| {
            let (_, rest) = str::split_once(url, "://")?;
            Some(rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"))
        };
        let full = || text(span, semconv::URL_FULL).and_then(after_host);
        let Some(path) = text(span, semconv::URL_PATH).or_else(full) else { return span.name.as_ref().into() };
        return match text(span, semconv::URL_QUERY) {
            Some(query) => format!("{method} {path}?{query}").into(),
            None => format!("{method} {path}").into(),
        };
    }
    let asked = text(span, semconv::DB_QUERY_TEXT).or_else(|| text(span, semconv::RPC_METHOD_ORIGINAL));
    asked.unwrap_or(&span.name).into()
}

/// How it ended, in at most four columns, and its colour.
fn status(span: &Span) -> (Cow<'static, str>, &'static str) {
    let failed = span.status != Status::Unset;
    if let Some(code) = number(span, semconv::HTTP_RESPONSE_STATUS_CODE) {
        let colour = match code {
            _ if failed => "31",
            400.. => "33",
            _ => "32",
        };
        return (code.to_string().into(), colour);
    }
    match find(span, semconv::WIRESPAN_CACHE_HIT) {
        _ if failed => ("fail".into(), "31"),
        Some(Value::Bool(true)) => ("hit".into(), "32"),
        Some(Value::Bool(false)) => ("miss".into(), "33"),
        _ => ("ok".into(), "32"),
    }
}

/// Where the time went, and what went wrong.
fn parts(span: &Span, style: &Style) -> String {
    let mut out = String::new();
    if span.status != Status::Unset
        && let Some(error) = text(span, semconv::ERROR_TYPE)
        && error.parse::<u16>().is_err()
    {
        out.push_str(&style.paint("31", &printable(error)));
    }
    for (name, key) in [
        ("connect", semconv::WIRESPAN_CONNECT_NS),
        ("net", semconv::WIRESPAN_NETWORK_NS),
        ("queue", semconv::WIRESPAN_QUEUE_NS),
        ("app", semconv::WIRESPAN_APP_NS),
    ] {
        if let Some(nanos) = number(span, key) {
            let gap = if out.is_empty() { "" } else { " " };
            let time = duration(nanos).replace(' ', "");
            let _ = write!(out, "{gap}{} {time}", style.paint("2", name));
        }
    }
    if let Some(count) = number(span, semconv::WIRESPAN_RETRANSMITS).filter(|&count| count > 0) {
        let gap = if out.is_empty() { "" } else { " " };
        let _ = write!(out, "{gap}{}", style.paint("33", &format!("{count} resent")));
    }
    for link in &span.links {
        let gap = if out.is_empty() { "" } else { " " };
        let [first, second, third, ..] = link.trace_id;
        let _ = write!(out, "{gap}{} {first:02x}{second:02x}{third:02x}", style.paint("2", link.cross.name()));
    }
    out
}

/// Time of day with milliseconds.
fn clock(nanos: u64, utc_offset: i32) -> String {
    let millis = (nanos / 1_000_000) as i64 + i64::from(utc_offset) * 1000;
    let (hours, minutes) = (millis.div_euclid(3_600_000).rem_euclid(24), millis.div_euclid(60_000).rem_euclid(60));
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", millis.div_euclid(1000).rem_euclid(60), millis.rem_euclid(1000))
}

/// Lines on their way out, as [`Encode`] has it: those that leave together are ordered, each trace from its beginning and each span
/// below its parent.
pub struct Lines {
    style: Style,
    text: String,
    spans: Vec<Span>,
}

impl Lines {
    /// Begins with the [`header`].
    #[must_use]
    pub fn new(style: Style) -> Self {
        let text = header(&style) + "\n";
        Self { style, text, spans: Vec::new() }
    }

    /// Writes what was gathered. A span that began first is told first; of those that began together, the caller's.
    fn write(&mut self) {
        let mut spans = std::mem::take(&mut self.spans);
        let mut began: HashMap<[u8; 16], u64> = HashMap::new();
        for span in &spans {
            let first = began.entry(span.trace_id).or_insert(span.start);
            *first = span.start.min(*first);
        }
        let first = |span: &Span| began.get(&span.trace_id).copied().unwrap_or(span.start);
        spans.sort_by_key(|span| (first(span), span.trace_id, span.start, span.kind == SpanKind::Server));
        let mut depths: HashMap<[u8; 8], usize> = HashMap::new();
        for span in &spans {
            let above = span.parent.and_then(|parent| depths.get(&parent.id));
            let depth = above.map_or(0, |depth| depth + 1).min(DEEPEST);
            depths.insert(span.span_id, depth);
            self.text.push_str(&indented(span, &self.style, depth));
            self.text.push('\n');
        }
    }
}

impl Encode for Lines {
    fn push(&mut self, span: &Span) {
        self.spans.push(span.clone());
    }

    fn spans(&self) -> u64 {
        self.spans.len() as u64
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.spans.len() * LINE_BYTES
    }

    fn take(&mut self) -> Body {
        self.write();
        Body(vec![std::mem::take(&mut self.text).into_bytes()])
    }
}
