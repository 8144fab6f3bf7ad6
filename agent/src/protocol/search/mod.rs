//! `OpenSearch` and Elasticsearch over HTTP: what a request asks for by its path, and what proves that a search server answers.
//!
//! A path alone proves nothing: anybody may have a `/products/_search`. An exchange is one with a search server if, beside a path with
//! a word of its own, the response has the header that every such server sends (Elasticsearch since 7.14 `X-Elastic-Product`, `OpenSearch` since 3.0
//! `X-OpenSearch-Version`) or its body begins as that operation's answers do. From then on all of the connection is, also what only
//! names an index.
//! Queries and documents are not looked at: there is no `db.query.text`. Of an answer's body, only the beginning is.
//!
//! What is answered without that header, and compressed or filtered so that its beginning is another one, stays an exchange of HTTP.
mod endpoint;
#[cfg(test)]
mod tests;

use super::attribute::Attribute;
use super::{Kind, Request, Response, redact};
use crate::semconv;
use endpoint::Endpoint;
use std::borrow::Cow;

/// Bytes of an answer's body that are looked at: the first error and its type are within them.
const PEEK: usize = 512;
/// Longest name of an error.
const LONGEST_ERROR: usize = 64;
/// Keys of a query whose values are queries or parts of them.
const QUERIES: &[&str] = &["q", "source"];

/// Which search server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Elasticsearch,
    OpenSearch,
}

impl System {
    /// The server that a header of a response proves.
    pub(super) fn of_header(name: &[u8], value: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"x-elastic-product") && value == b"Elasticsearch" {
            Some(Self::Elasticsearch)
        } else if name.eq_ignore_ascii_case(b"x-opensearch-version") && value.starts_with(b"OpenSearch/") {
            Some(Self::OpenSearch)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Elasticsearch => "elasticsearch",
            Self::OpenSearch => "opensearch",
        }
    }
}

/// A request that a search server would understand.
#[derive(Debug, PartialEq)]
pub(super) struct Search(Endpoint);

impl Search {
    /// Reads a request's method and target, query included. Unless the server is `known`, the path must have a word of its own.
    pub(super) fn read(method: &str, target: &[u8], known: bool) -> Option<Self> {
        let path = target.split(|byte| b"?#".contains(byte)).next().filter(|path| known || has_word(path))?;
        Endpoint::read(method, std::str::from_utf8(path).ok()?).map(Self)
    }

    /// Hides the queries in what is told of the target.
    pub(super) fn conceal(request: &mut Request) {
        for attribute in &mut request.attributes {
            let start = if attribute.key == semconv::URL_FULL { '?' } else { '&' };
            if let (semconv::URL_FULL | semconv::URL_QUERY, super::attribute::Value::Text(text)) = (attribute.key, &mut attribute.value) {
                conceal(text, start);
            }
        }
    }

    /// The request as one to a database, where that is proven already.
    pub(super) fn describe(&self, system: System, request: &mut Request) {
        request.kind = Kind::Database;
        request.name = self.name();
        self.attributes(system, &mut request.attributes);
    }

    fn name(&self) -> Cow<'static, str> {
        match &self.0.index {
            Some(index) => Cow::Owned(format!("{} {index}", self.0.operation)),
            None => Cow::Borrowed(self.0.operation),
        }
    }

    fn attributes(&self, system: System, into: &mut Vec<Attribute>) {
        into.push(Attribute::both(semconv::WIRESPAN_PROTOCOL, system.name()));
        into.push(Attribute::both(semconv::DB_SYSTEM_NAME, system.name()));
        into.push(Attribute::both(semconv::DB_OPERATION_NAME, self.0.operation));
        if let Some(index) = &self.0.index {
            into.push(Attribute::both(semconv::DB_COLLECTION_NAME, index.to_string()));
            into.push(Attribute::both(semconv::DB_OPERATION_PARAMETER_INDEX, index.to_string()));
        }
        if let Some(id) = &self.0.id {
            into.push(Attribute::both(semconv::DB_OPERATION_PARAMETER_ID, id.to_string()));
        }
    }
}

/// Whether a part of a path begins as the interface's own words do. Nearly all others are told from it by that.
fn has_word(path: &[u8]) -> bool {
    path.windows(2).any(|pair| pair == b"/_")
}

/// Replaces the values of queries' keys in what stands behind the first `start`.
fn conceal(text: &mut Cow<'static, str>, start: char) {
    let from = if start == '?' { text.find('?').map(|at| at + 1) } else { Some(0) };
    let Some((before, query)) = from.and_then(|from| text.split_at_checked(from)) else { return };
    let is_query = |pair: &str| pair.split_once('=').is_some_and(|(key, _)| QUERIES.contains(&key));
    if query.split('&').any(is_query) {
        let shown = |pair| if is_query(pair) { pair.split_once('=').map_or(pair, |(key, _)| key) } else { pair };
        let pairs: Vec<String> = query
            .split('&')
            .map(|pair| if is_query(pair) { format!("{}={}", shown(pair), redact::REDACTED) } else { pair.to_owned() })
            .collect();
        *text = Cow::Owned(format!("{before}{}", pairs.join("&")));
    }
}

/// The answer to such a request, as far as it has been seen.
#[derive(Debug)]
pub(super) struct Answer {
    asked: Search,
    /// The server, if it is proven.
    system: Option<System>,
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    /// An answer whose head was seen.
    pub(super) fn new(asked: Search, system: Option<System>, status: u16) -> Self {
        Self { asked, system, status, body: Vec::new() }
    }

    /// Takes the next bytes of the body; whether those are enough.
    pub(super) fn feed(&mut self, shown: &[u8]) -> bool {
        let room = PEEK.saturating_sub(self.body.len());
        self.body.extend(shown.iter().take(room));
        self.body.len() >= PEEK
    }

    /// What the answer proves to be.
    pub(super) fn outcome(self) -> Option<(System, Response)> {
        let start = self.body.trim_ascii_start();
        let system = self.system.or_else(|| of_body(self.asked.0.operation, self.status, start))?;
        let mut attributes = Vec::with_capacity(8);
        self.asked.attributes(system, &mut attributes);
        attributes.push(Attribute::both(semconv::DB_RESPONSE_STATUS_CODE, self.status.to_string()));
        if self.asked.0.operation == "bulk"
            && let Some(failed) = has_errors(start)
        {
            attributes.push(Attribute::both(semconv::WIRESPAN_BULK_ERRORS, failed));
        }
        let error = (self.status >= 400).then(|| error_type(start).unwrap_or_else(|| self.status.to_string()));
        let response = Response {
            attributes,
            server_error: error.clone().filter(|_| self.status >= 500).map(Cow::Owned),
            client_error: error.map(Cow::Owned),
            name: Some(self.asked.name()),
            kind: Some(Kind::Database),
            ..Response::default()
        };
        Some((system, response))
    }
}

/// The server that the beginning of a body proves, as the answer to an operation. Without the header of Elasticsearch it is `OpenSearch`.
fn of_body(operation: &str, status: u16, body: &[u8]) -> Option<System> {
    let beginning: &[u8] = match operation {
        _ if status >= 400 => b"{\"error\":{\"root_cause\":[{\"type\":\"",
        "search" | "msearch" | "search_template" | "msearch_template" | "bulk" | "delete_by_query" | "update_by_query" | "reindex" => {
            b"{\"took\":"
        }
        "scroll" => b"{\"_scroll_id\":\"",
        "index" | "get" | "delete" | "create" | "update" | "explain" | "termvectors" => b"{\"_index\":\"",
        "mget" => b"{\"docs\":[{\"_index\":\"",
        "count" => b"{\"count\":",
        "indices.refresh" | "indices.flush" | "indices.forcemerge" | "indices.clear_cache" | "indices.stats" => b"{\"_shards\":{\"total\":",
        "indices.create" => b"{\"acknowledged\":true,\"shards_acknowledged\":",
        "cluster.health" | "cluster.state" => b"{\"cluster_name\":\"",
        _ => return None,
    };
    body.starts_with(beginning).then_some(System::OpenSearch)
}

/// Whether the answer to a bulk says that some of it failed.
fn has_errors(body: &[u8]) -> Option<bool> {
    let place = memchr::memmem::find(body, b"\"errors\":")?;
    let value = body.get(place + b"\"errors\":".len()..)?;
    if value.starts_with(b"true") { Some(true) } else { value.starts_with(b"false").then_some(false) }
}

/// The first error's type, which is a word of the server's.
fn error_type(body: &[u8]) -> Option<String> {
    let place = memchr::memmem::find(body, b"\"type\":\"").filter(|_| body.starts_with(b"{\"error\":{"))?;
    let name = body.get(place + b"\"type\":\"".len()..)?.split(|byte| *byte == b'"').next()?;
    let plain = name.len() <= LONGEST_ERROR && !name.is_empty() && name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
    std::str::from_utf8(name).ok().filter(|_| plain).map(str::to_owned)
}
