//! Spans as a test looks at them, read from OTLP JSON lines.
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// OTLP span kinds that wirespan uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Answered a request.
    Server,
    /// Made a request.
    Client,
    /// Gave messages to a broker.
    Producer,
    /// Got messages from a broker.
    Consumer,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        })
    }
}

/// Attributes by name; integers are numbers here.
pub type Attributes = BTreeMap<String, Value>;

/// A span link.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Trace id in hex.
    pub trace: String,
    /// Span id in hex.
    pub id: String,
    /// `wirespan.link` on it.
    pub why: String,
}

/// A span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace id in hex.
    pub trace: String,
    /// Span id in hex.
    pub id: String,
    /// Id of its parent.
    pub parent: Option<String>,
    /// W3C `tracestate`.
    pub state: Option<String>,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: Kind,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Whether its status is an error.
    pub failed: bool,
    /// Spans of other traces that it points at.
    pub links: Vec<Link>,
    /// Its own attributes.
    pub attributes: Attributes,
    /// The attributes of its resource.
    pub resource: Attributes,
}

impl Span {
    /// A text attribute; empty if there is none.
    pub fn text(&self, key: &str) -> &str {
        self.attributes.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// An integer attribute.
    pub fn number(&self, key: &str) -> Option<i64> {
        self.attributes.get(key).and_then(Value::as_i64)
    }

    /// Name of the service.
    pub fn service(&self) -> &str {
        self.resource.get("service.name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Path and query of an HTTP request, at either end; what a database was asked; empty otherwise.
    pub fn target(&self) -> String {
        let full = self.text("url.full");
        let after_scheme = full.split_once("://").map_or(full, |(_, rest)| rest);
        if let Some(slash) = after_scheme.find('/') {
            return after_scheme[slash..].to_owned();
        }
        let (path, query) = (self.text("url.path"), self.text("url.query"));
        match (path, query) {
            ("", _) => self.text("db.query.text").to_owned(),
            (path, "") => path.to_owned(),
            (path, query) => format!("{path}?{query}"),
        }
    }

    /// Its link in short: `wire`, `thread?` where it is provisional, `none:root`.
    pub fn link(&self) -> String {
        let provisional = if self.attributes.contains_key("wirespan.link.provisional") { "?" } else { "" };
        match (self.text("wirespan.link"), self.text("wirespan.link.reason")) {
            (link, "") => format!("{link}{provisional}"),
            (link, reason) => format!("{link}:{reason}{provisional}"),
        }
    }
}

/// Reads every span in OTLP JSON lines, wirespan's or others'; panics on anything else, and on half a line at the end.
pub fn parse(lines: &str) -> Vec<Span> {
    assert!(lines.is_empty() || lines.ends_with('\n'), "the last line is cut");
    let mut spans = Vec::new();
    for line in lines.lines() {
        let request: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        for group in list(&request, "resourceSpans") {
            let resource = attributes(&group["resource"]);
            for scope in list(group, "scopeSpans") {
                let all = list(scope, "spans").iter().map(|span| read(span, &resource));
                if scope["scope"]["name"] == "wirespan" {
                    spans.extend(all.inspect(check));
                } else {
                    spans.extend(all);
                }
            }
        }
    }
    spans
}

fn read(span: &Value, resource: &Attributes) -> Span {
    let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
    let time = |key: &str| text(key).parse().unwrap_or_else(|_| panic!("{key} of {span}"));
    let filled = |key: &str| Some(text(key)).filter(|text| !text.is_empty());
    Span {
        trace: text("traceId"),
        id: text("spanId"),
        parent: filled("parentSpanId"),
        state: filled("traceState"),
        name: text("name"),
        kind: match span["kind"].as_u64() {
            Some(2) => Kind::Server,
            Some(3) => Kind::Client,
            Some(4) => Kind::Producer,
            Some(5) => Kind::Consumer,
            _ => panic!("the kind of {span}"),
        },
        start: time("startTimeUnixNano"),
        end: time("endTimeUnixNano"),
        failed: span["status"]["code"].as_u64() == Some(2),
        links: list(span, "links").iter().map(link).collect(),
        attributes: attributes(span),
        resource: resource.clone(),
    }
}

fn link(link: &Value) -> Link {
    let text = |key: &str| link[key].as_str().unwrap_or_default().to_owned();
    let why = attributes(link).get("wirespan.link").and_then(Value::as_str).unwrap_or_default().to_owned();
    Link { trace: text("traceId"), id: text("spanId"), why }
}

/// What holds of every span of wirespan's.
fn check(span: &Span) {
    assert!(span.trace.len() == 32 && span.id.len() == 16 && span.end >= span.start, "{span:?}");
    for (key, value) in span.attributes.iter().filter(|(key, _)| key.ends_with("_ns") || *key == "wirespan.retransmits") {
        assert!(value.as_i64().is_some_and(|number| number >= 0), "{key} is {value}");
    }
    assert_eq!(span.parent.is_none(), span.text("wirespan.link") == "none", "{span:?}");
    assert_eq!(span.failed, span.attributes.contains_key("error.type"), "{span:?}");
}

fn attributes(of: &Value) -> Attributes {
    list(of, "attributes")
        .iter()
        .map(|attribute| (attribute["key"].as_str().unwrap_or_default().to_owned(), plain(&attribute["value"])))
        .collect()
}

/// An `AnyValue` without its wrapping.
fn plain(value: &Value) -> Value {
    if let Some(text) = value["intValue"].as_str() {
        return text.parse::<i64>().map_or(Value::Null, Value::from);
    }
    if let Some(values) = value["arrayValue"]["values"].as_array() {
        return values.iter().map(plain).collect();
    }
    value.as_object().and_then(|kinds| kinds.values().next()).cloned().unwrap_or_default()
}

fn list<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of[key].as_array().map_or(&[], Vec::as_slice)
}
