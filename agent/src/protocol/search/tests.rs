//! Exchanges over HTTP/1 that are, or are not, with a search server.
use super::*;
use crate::protocol::attribute::Value;
use crate::protocol::http1::Http1;
use crate::protocol::testing::{self, SERVER, Said};
use crate::protocol::{Head, More, Protocol, Side};

use Side::{Client as C, Server as S};

/// What no output may contain.
const CANARY: &str = "c4n4ry";

fn ask(line: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: search\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn run(pieces: &[(Side, &str)]) -> (testing::Transcript, Vec<Said>) {
    let whole: Vec<(Side, &[u8])> = pieces.iter().map(|(side, text)| (*side, text.as_bytes())).collect();
    let bytewise: Vec<(Side, &[u8])> = whole.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))).collect();
    let found = testing::run_with_more(Http1.decoder(SERVER, false).as_mut(), &whole);
    assert_eq!(testing::run_with_more(Http1.decoder(SERVER, false).as_mut(), &bytewise), found);
    assert_eq!(found.0.invalid, 0);
    found
}

/// What is said in the end: the name, the system, errors, and whether a bulk failed.
fn told(said: &[Said]) -> Vec<String> {
    said.iter()
        .map(|(_, more)| {
            let More::Trailer(response) = more else { panic!("{more:?}") };
            assert_eq!(response.kind, Some(Kind::Database));
            let value = |key: &str| {
                response.attributes.iter().find(|attribute| attribute.key == key).map_or_else(String::new, |attribute| {
                    match &attribute.value {
                        Value::Text(text) => format!(" {text}"),
                        other => format!(" {other:?}"),
                    }
                })
            };
            let error = |error: &Option<Cow<'static, str>>| error.as_ref().map_or_else(String::new, |error| format!(" !{error}"));
            format!(
                "{}{}{}{}{}{}",
                response.name.as_deref().unwrap_or_default(),
                value(semconv::DB_SYSTEM_NAME),
                value(semconv::DB_RESPONSE_STATUS_CODE),
                value(semconv::WIRESPAN_BULK_ERRORS),
                error(&response.client_error),
                error(&response.server_error)
            )
        })
        .collect()
}

#[test]
fn an_answer_proves_a_search_server_by_its_header_or_by_its_body() {
    let elastic = "X-elastic-product: Elasticsearch\r\n";
    let opensearch = "X-OpenSearch-Version: OpenSearch/3.1.0 (opensearch)\r\n";
    let missing = r#"{"error":{"root_cause":[{"type":"index_not_found_exception","reason":"no such index [c4n4ry]"}],"status":404}"#;
    for (line, status, headers, body, expected) in [
        ("POST /products/_search", 200, elastic, "{}", Some("search products elasticsearch 200")),
        ("POST /products/_search", 200, opensearch, "\u{1f}\u{8b}", Some("search products opensearch 200")),
        ("POST /products/_search", 200, "", r#"{"took":3,"timed_out":false}"#, Some("search products opensearch 200")),
        ("POST /products/_search", 200, "", r#"{"results":[]}"#, None),
        ("POST /products/_search", 404, "", missing, Some("search products opensearch 404 !index_not_found_exception")),
        ("POST /products/_search", 404, "", "not found", None),
        ("POST /products/_search", 503, elastic, "", Some("search products elasticsearch 503 !503 !503")),
        ("PUT /products/_doc/7", 201, "", r#"{"_index":"products","_id":"7"}"#, Some("index products opensearch 201")),
        ("POST /_bulk", 200, "", r#"{"took":3,"errors":true,"items":[]}"#, Some("bulk opensearch 200 Bool(true)")),
        ("POST /_bulk", 200, elastic, r#"{"errors":false,"took":3,"items":[]}"#, Some("bulk elasticsearch 200 Bool(false)")),
        ("GET /", 200, "", "<html>", None),
        ("GET /products", 200, "", r#"{"products":{}}"#, None),
        ("POST /orders", 200, elastic, "{}", None),
    ] {
        let found = run(&[(C, &ask(line, "")), (S, &answer(status, headers, body))]);
        assert_eq!(told(&found.1), expected.into_iter().collect::<Vec<_>>(), "{line} {headers}{body}");
    }
}

#[test]
fn what_is_proven_once_holds_for_the_connection() {
    let pieces = [
        (C, ask("POST /products/_search", "")),
        (S, answer(200, "", r#"{"took":3}"#)),
        (C, ask("HEAD /products", "")),
        (S, "HTTP/1.1 404 X\r\nContent-Length: 7\r\n\r\n".to_owned()),
        (C, ask("GET /something/else", "")),
        (S, answer(200, "", "{}")),
    ];
    let found = run(&pieces.each_ref().map(|(side, text)| (*side, text.as_str())));
    assert_eq!(told(&found.1), ["search products opensearch 200", "indices.exists products opensearch 404 !404"]);
    let asked = found.0.messages.iter().filter_map(|message| match &message.head {
        Some(Head::Request(request)) => Some((request.kind, request.name.as_ref())),
        _ => None,
    });
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked, [(Kind::Service, "POST"), (Kind::Database, "indices.exists products"), (Kind::Service, "GET")]);
}

#[test]
fn neither_queries_nor_documents_are_told() {
    let pieces = [
        (C, ask(&format!("GET /products/_search?size=1&q={CANARY}&source=%7B{CANARY}%7D"), CANARY)),
        (S, answer(400, "", &format!(r#"{{"error":{{"root_cause":[{{"type":"parsing_exception","reason":"{CANARY}"}}]}}}}"#))),
        (C, ask("POST /_bulk", CANARY)),
        (S, answer(200, "", &format!(r#"{{"took":3,"errors":true,"items":["{CANARY}"]}}"#))),
    ];
    let found = run(&pieces.each_ref().map(|(side, text)| (*side, text.as_str())));
    let text = format!("{found:?}");
    assert!(!text.contains(CANARY) && text.contains("_search?size=1&q=REDACTED&source=REDACTED"), "{text}");
    assert_eq!(told(&found.1), ["search products opensearch 400 !parsing_exception", "bulk opensearch 200 Bool(true)"]);
}
