//! Paths of the search servers' REST interface (their published API specifications) become operations, indices and ids. A path of
//! which the table knows nothing is none: names of operations come from here only.

/// Parts of a path that are looked at: no endpoint has more.
const MOST_PARTS: usize = 5;
/// Longest name of an index (servers refuse more), and of lists and ids that are kept.
const LONGEST_NAME: usize = 255;

/// What a request asks of a search server, if one is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endpoint {
    /// Name of the operation, as the API specification has it.
    pub(super) operation: &'static str,
    /// The index, indices or patterns that the path names.
    pub(super) index: Option<Box<str>>,
    /// The document that the path names.
    pub(super) id: Option<Box<str>>,
}

impl Endpoint {
    /// Reads method and path, without a query.
    pub(super) fn read(method: &str, path: &str) -> Option<Self> {
        let mut parts = [""; MOST_PARTS];
        let mut count = 0;
        for part in path.strip_prefix('/')?.split('/').filter(|part| !part.is_empty()) {
            *parts.get_mut(count)? = part;
            count += 1;
        }
        let parts = parts.get(..count)?;
        let (index, rest) = match parts.split_first() {
            Some((first, rest)) if !first.starts_with('_') || *first == "_all" => (Some(*first), rest),
            _ => (None, parts),
        };
        let (operation, id) = match (index, rest) {
            (Some(_), [kind @ ("_doc" | "_create" | "_update" | "_source" | "_explain" | "_termvectors"), id @ ..]) => {
                (of_document(method, kind, id)?, id.first().copied())
            }
            (Some(_), []) => (of_index(method)?, None),
            _ => (of_words(method, rest, index.is_some())?, None),
        };
        let kept = |text: &str| (text.len() <= LONGEST_NAME && text.is_ascii()).then(|| text.into());
        let index = match index {
            Some(index) => Some(kept(index).filter(|_| is_index(index))?),
            None => None,
        };
        Some(Self { operation, index, id: id.and_then(kept) })
    }
}

/// Whether a text can name indices: lower case, no white space, with patterns and lists.
fn is_index(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.,*+:<>{}%/".contains(&byte) || byte.is_ascii_uppercase())
}

fn of_index(method: &str) -> Option<&'static str> {
    Some(match method {
        "PUT" => "indices.create",
        "GET" => "indices.get",
        "DELETE" => "indices.delete",
        "HEAD" => "indices.exists",
        _ => return None,
    })
}

fn of_document(method: &str, kind: &str, id: &[&str]) -> Option<&'static str> {
    Some(match (method, kind, id) {
        ("PUT", "_doc", [_]) | ("POST", "_doc", [] | [_]) => "index",
        ("GET", "_doc", [_]) => "get",
        ("HEAD", "_doc", [_]) => "exists",
        ("DELETE", "_doc", [_]) => "delete",
        ("PUT" | "POST", "_create", [_]) => "create",
        ("POST", "_update", [_]) => "update",
        ("GET", "_source", [_]) => "get_source",
        ("HEAD", "_source", [_]) => "exists_source",
        ("GET" | "POST", "_explain", [_]) => "explain",
        ("GET" | "POST", "_termvectors", [] | [_]) => "termvectors",
        _ => return None,
    })
}

/// Everything else: words that begin with an underscore, and at most names behind them.
fn of_words(method: &str, words: &[&str], indexed: bool) -> Option<&'static str> {
    Some(match (method, words) {
        ("GET", []) if !indexed => "info",
        ("HEAD", []) if !indexed => "ping",
        ("GET" | "POST", ["_search"]) => "search",
        ("GET" | "POST", ["_msearch"]) => "msearch",
        ("GET" | "POST", ["_count"]) => "count",
        ("GET" | "POST", ["_mget"]) => "mget",
        ("POST" | "PUT", ["_bulk"]) => "bulk",
        ("GET" | "POST", ["_search", "template"]) => "search_template",
        ("GET" | "POST", ["_msearch", "template"]) => "msearch_template",
        ("GET" | "POST", ["_field_caps"]) => "field_caps",
        ("GET" | "POST", ["_validate", "query"]) => "indices.validate_query",
        ("GET" | "POST", ["_analyze"]) => "indices.analyze",
        ("GET" | "POST", ["_refresh"]) => "indices.refresh",
        ("GET" | "POST", ["_flush"]) => "indices.flush",
        ("POST", ["_forcemerge"]) => "indices.forcemerge",
        ("POST", ["_cache", "clear"]) => "indices.clear_cache",
        ("GET", ["_stats", ..]) => "indices.stats",
        ("GET", ["_mapping"]) => "indices.get_mapping",
        ("GET", ["_settings", ..]) => "indices.get_settings",
        ("PUT", ["_settings"]) => "indices.put_settings",
        ("GET", ["_alias", ..]) => "indices.get_alias",
        ("HEAD", ["_alias", _]) => "indices.exists_alias",
        ("POST", ["_delete_by_query"]) if indexed => "delete_by_query",
        ("POST", ["_update_by_query"]) if indexed => "update_by_query",
        ("PUT" | "POST", ["_mapping"]) if indexed => "indices.put_mapping",
        ("PUT" | "POST", ["_alias", _]) if indexed => "indices.put_alias",
        ("DELETE", ["_alias", _]) if indexed => "indices.delete_alias",
        ("POST", ["_open"]) if indexed => "indices.open",
        ("POST", ["_close"]) if indexed => "indices.close",
        ("POST", ["_rollover", ..]) if indexed => "indices.rollover",
        ("POST", ["_pit"]) if indexed => "open_point_in_time",
        _ if indexed => return None,
        ("GET" | "POST", ["_search", "scroll", ..]) => "scroll",
        ("DELETE", ["_search", "scroll", ..]) => "clear_scroll",
        ("DELETE", ["_pit"]) => "close_point_in_time",
        ("POST", ["_reindex"]) => "reindex",
        ("POST", ["_aliases"]) => "indices.update_aliases",
        ("GET", ["_cluster", "health", ..]) => "cluster.health",
        ("GET", ["_cluster", "state", ..]) => "cluster.state",
        ("GET", ["_cluster", "stats", ..]) => "cluster.stats",
        ("GET", ["_cluster", "settings"]) => "cluster.get_settings",
        ("PUT", ["_cluster", "settings"]) => "cluster.put_settings",
        ("GET", ["_cat", what, ..]) => of_cat(what),
        ("GET", ["_nodes"]) => "nodes.info",
        ("GET", ["_nodes", "stats", ..]) => "nodes.stats",
        ("PUT" | "POST", ["_index_template", _]) => "indices.put_index_template",
        ("GET", ["_index_template", ..]) => "indices.get_index_template",
        ("HEAD", ["_index_template", _]) => "indices.exists_index_template",
        ("DELETE", ["_index_template", _]) => "indices.delete_index_template",
        ("PUT", ["_ingest", "pipeline", _]) => "ingest.put_pipeline",
        ("GET", ["_ingest", "pipeline", ..]) => "ingest.get_pipeline",
        ("DELETE", ["_ingest", "pipeline", _]) => "ingest.delete_pipeline",
        ("PUT" | "POST", ["_scripts", ..]) => "put_script",
        ("GET", ["_tasks", ..]) => "tasks.list",
        ("GET" | "POST", ["_sql"]) => "sql.query",
        _ => return None,
    })
}

fn of_cat(what: &str) -> &'static str {
    match what {
        "aliases" => "cat.aliases",
        "allocation" => "cat.allocation",
        "count" => "cat.count",
        "health" => "cat.health",
        "indices" => "cat.indices",
        "nodes" => "cat.nodes",
        "plugins" => "cat.plugins",
        "recovery" => "cat.recovery",
        "segments" => "cat.segments",
        "shards" => "cat.shards",
        "tasks" => "cat.tasks",
        "templates" => "cat.templates",
        _ => "cat",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_operations_indices_and_documents() {
        let told = |method, path| {
            Endpoint::read(method, path).map(|found| {
                let part = |part: Option<Box<str>>| part.map_or_else(String::new, |text| format!(" {text}"));
                format!("{}{}{}", found.operation, part(found.index), part(found.id))
            })
        };
        for (method, path, expected) in [
            ("GET", "/", Some("info")),
            ("HEAD", "/", Some("ping")),
            ("POST", "/_search", Some("search")),
            ("GET", "/products/_search", Some("search products")),
            ("POST", "/a,b-*/_msearch", Some("msearch a,b-*")),
            ("POST", "/_bulk", Some("bulk")),
            ("PUT", "/products/_doc/7", Some("index products 7")),
            ("POST", "/products/_doc", Some("index products")),
            ("GET", "/products/_doc/7", Some("get products 7")),
            ("HEAD", "/products/_doc/7", Some("exists products 7")),
            ("DELETE", "/products/_doc/7", Some("delete products 7")),
            ("PUT", "/products/_create/7", Some("create products 7")),
            ("POST", "/products/_update/7", Some("update products 7")),
            ("POST", "/products/_delete_by_query", Some("delete_by_query products")),
            ("PUT", "/products", Some("indices.create products")),
            ("GET", "/_cluster/health/products", Some("cluster.health")),
            ("GET", "/_cat/indices", Some("cat.indices")),
            ("GET", "/_cat/secret", Some("cat")),
            ("GET", "/_all/_count", Some("count _all")),
            ("POST", "/_search/scroll", Some("scroll")),
            ("POST", "/products", None),
            ("GET", "/products/orders", None),
            ("GET", "/_unknown", None),
            ("DELETE", "/_search", None),
            ("POST", "/_update/7", None),
            ("GET", "/a/b/c/d/e/f", None),
            ("GET", "products", None),
        ] {
            assert_eq!(told(method, path).as_deref(), expected, "{method} {path}");
        }
    }
}
