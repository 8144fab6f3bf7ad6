//! Traces as text, one line a span, children below their parents: what most tests compare.
use crate::span::Span;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Writes traces, each from its root, in order of time.
///
/// A line is `KIND SERVICE NAME TARGET STATUS LINK`, without the route that is in the name: the target is the path or the query text, the status that of HTTP or `ok`, with
/// `!` and `error.type` if the span failed; for the link see [`Span::link`]. A span whose parent is not among `spans` begins with `…`.
pub fn tree(spans: &[Span]) -> String {
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "span ids are unique");
    let mut text = String::new();
    for root in ordered(spans, |span| span.parent.as_deref().is_none_or(|parent| !ids.contains(parent))) {
        text.push_str(if root.parent.is_some() { "… " } else { "" });
        write(spans, root, 0, &mut text);
    }
    text
}

/// The same of the trace that `span` belongs to.
pub fn trace_of(span: &Span, spans: &[Span]) -> String {
    let same: Vec<Span> = spans.iter().filter(|other| other.trace == span.trace).cloned().collect();
    tree(&same)
}

/// One span's line, without indentation or end of line.
pub fn line(span: &Span) -> String {
    let status = span.number("http.response.status_code").map_or_else(|| "ok".to_owned(), |status| status.to_string());
    let status = match (span.failed, span.text("error.type")) {
        (false, _) => status,
        (true, error) if error == status => format!("!{error}"),
        (true, error) if status == "ok" => format!("!{error}"),
        (true, error) => format!("{status}!{error}"),
    };
    let route = [span.text("http.route"), span.text("url.template")].concat();
    let name = span.name.strip_suffix(route.as_str()).unwrap_or(&span.name).trim_end();
    let words = [span.kind.to_string(), span.service().to_owned(), name.to_owned(), span.target(), status, span.link()];
    words.iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn write(spans: &[Span], span: &Span, depth: usize, text: &mut String) {
    let _ = writeln!(text, "{:depth$}{}", "", line(span), depth = depth * 2);
    for child in ordered(spans, |other| other.parent.as_ref() == Some(&span.id)) {
        assert_eq!(child.trace, span.trace, "a child is in its parent's trace");
        write(spans, child, depth + 1, text);
    }
}

fn ordered(spans: &[Span], wanted: impl Fn(&Span) -> bool) -> Vec<&Span> {
    let mut chosen: Vec<&Span> = spans.iter().filter(|span| wanted(span)).collect();
    chosen.sort_by_key(|span| (span.start, span.kind, &span.id));
    chosen
}
