//! What a test machine wrote, and what must be true of it.
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;

/// `SpanKind` of OTLP.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// One thing that must be true on every kernel.
pub struct Check {
    /// It, in words.
    pub what: &'static str,
    /// Whether it is, or why not.
    pub result: Result<(), String>,
}

/// The sections of `init`'s output.
pub struct Report<'a> {
    sections: BTreeMap<&'a str, &'a str>,
}

impl<'a> Report<'a> {
    /// Divides what `init` wrote at its headings.
    pub fn parse(text: &'a str) -> Self {
        let parts = text.split("=== ").filter_map(|part| part.split_once('\n'));
        Self { sections: parts.map(|(name, body)| (name, body.trim_end())).collect() }
    }

    fn section(&self, name: &str) -> &'a str {
        self.sections.get(name).copied().unwrap_or_default()
    }

    /// What a person wants to know besides: the exact kernel, and what `doctor` does not find whole on it.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![format!("release {}", self.section("release"))];
        for check in self.doctor().unwrap_or_default() {
            let text = |name: &str| check.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            if text("status") != "ok" {
                remarks.push(format!("{} is {}: {}", text("name"), text("status"), text("lost")));
            }
        }
        remarks
    }

    /// Everything that must be true.
    pub fn checks(&self) -> Vec<Check> {
        let check = |what, result: Result<()>| Check { what, result: result.map_err(|error| format!("{error:#}")) };
        vec![
            check("doctor reports", self.doctor().map(drop)),
            check("programs load and attach, and the agent ends well", self.ended_well()),
            check("an HTTP exchange over IPv4 is two linked spans", self.exchange_is_linked("/ipv4")),
            check("an HTTP exchange over IPv6 is two linked spans", self.exchange_is_linked("/ipv6")),
            check("the accounting adds up", self.accounting_adds_up()),
        ]
    }

    fn doctor(&self) -> Result<Vec<Value>> {
        let doctor: Value = serde_json::from_str(self.section("doctor")).context("`doctor --json` printed no JSON")?;
        let checks = doctor.get("checks").and_then(Value::as_array).filter(|checks| !checks.is_empty());
        Ok(checks.context("`doctor --json` checked nothing")?.clone())
    }

    fn ended_well(&self) -> Result<()> {
        let status = self.section("status");
        ensure!(status == "0", "wirespan ended with status {status} and said:\n{}", self.section("stderr"));
        Ok(())
    }

    /// The exchange whose path ends in `path` is one CLIENT span and one SERVER span, its child.
    fn exchange_is_linked(&self, path: &str) -> Result<()> {
        let requests: Vec<Value> =
            self.section("spans").lines().map(serde_json::from_str).collect::<Result<_, _>>().context("the span file")?;
        let spans: Vec<&Value> = requests.iter().flat_map(|request| spans_of(request, path)).collect();
        let text = |span: &Value, name: &str| span.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let of_kind =
            |kind: u64| spans.iter().filter(move |span| span.get("kind").and_then(Value::as_u64) == Some(kind)).collect::<Vec<_>>();
        let (clients, servers) = (of_kind(CLIENT), of_kind(SERVER));
        let ([client], [server]) = (clients.as_slice(), servers.as_slice()) else {
            anyhow::bail!("there are {} CLIENT and {} SERVER spans of {path}", clients.len(), servers.len());
        };
        let (client_id, parent) = (text(client, "spanId"), text(server, "parentSpanId"));
        ensure!(client_id.len() == 16 && client_id == parent, "the SERVER span's parent is {parent:?}, the CLIENT span is {client_id:?}");
        let (client_trace, server_trace) = (text(client, "traceId"), text(server, "traceId"));
        ensure!(client_trace.len() == 32 && client_trace == server_trace, "the trace ids are {client_trace:?} and {server_trace:?}");
        Ok(())
    }

    /// Every record and every span was used, or dropped for a named cause.
    fn accounting_adds_up(&self) -> Result<()> {
        let line = self.section("stderr").lines().rfind(|line| line.starts_with(r#"{"accounting":"#));
        let line = line.context("the agent printed no accounting")?;
        let whole: Value = serde_json::from_str(line).context("the accounting is not JSON")?;
        for (part, made, used) in [("records", "in", "used"), ("spans", "made", "exported")] {
            let number = |name: &str| whole.pointer(&format!("/accounting/{part}/{name}")).and_then(Value::as_u64);
            let dropped = whole.pointer(&format!("/accounting/{part}/dropped")).and_then(Value::as_object);
            let dropped: u64 = dropped.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
            let (made, used) = (number(made), number(used));
            ensure!(made.is_some_and(|made| made > 0 && Some(made) == used.map(|used| used + dropped)), "{part} do not add up: {line}");
        }
        Ok(())
    }
}

/// The spans of an `ExportTraceServiceRequest` that have a text attribute ending in `path`.
fn spans_of<'a>(request: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    let list = |value: &'a Value, name: &str| value.get(name).and_then(Value::as_array).into_iter().flatten();
    let scopes = list(request, "resourceSpans").flat_map(move |resource| list(resource, "scopeSpans"));
    scopes.flat_map(move |scope| list(scope, "spans")).filter(move |span| {
        let mut texts = list(span, "attributes").filter_map(|attribute| attribute.pointer("/value/stringValue")?.as_str());
        texts.any(|text| text.ends_with(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(kind: u64, id: &str, parent: &str, path: &str) -> String {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{}","spanId":"{id}","parentSpanId":"{parent}","kind":{kind},"attributes":[{{"key":"http.request.method","value":{{"stringValue":"GET"}}}},{{"key":"url.path","value":{{"stringValue":"{path}"}}}}]}}]}}]}}]}}"#,
            "ab".repeat(16)
        )
    }

    fn report(spans: &[String], accounting: &str) -> String {
        let doctor = r#"{"checks":[{"name":"btf","status":"ok"},{"name":"send","status":"degraded","lost":"exact sends"}]}"#;
        let spans = spans.join("\n");
        format!("=== release\n6.1.0\n=== doctor\n{doctor}\n=== status\n0\n=== spans\n{spans}\n=== stderr\nbye\n{accounting}\n=== end\n")
    }

    fn failed(text: &str) -> Vec<(&'static str, String)> {
        let checks = Report::parse(text).checks();
        checks.into_iter().filter_map(|check| Some((check.what, check.result.err()?))).collect()
    }

    const ACCOUNTING: &str =
        r#"{"accounting":{"records":{"in":9,"used":7,"dropped":{"flow.gap":2}},"spans":{"made":4,"exported":4,"dropped":{}}}}"#;
    const CLIENT_ID: &str = "0102030405060708";

    fn both(path: &str) -> [String; 2] {
        [span(CLIENT, CLIENT_ID, "", &format!("http://h:1{path}")), span(SERVER, "1111111111111111", CLIENT_ID, path)]
    }

    #[test]
    fn a_whole_report_passes_and_remarks_name_the_release_and_what_is_degraded() {
        let text = report(&[both("/ipv4"), both("/ipv6")].concat(), ACCOUNTING);
        assert_eq!(failed(&text), []);
        assert_eq!(Report::parse(&text).remarks(), ["release 6.1.0", "send is degraded: exact sends"]);
    }

    #[test]
    fn spans_that_are_missing_doubled_or_not_linked_fail() {
        let six = both("/ipv6");
        let unlinked = [six[0].clone(), span(SERVER, "1111111111111111", "2222222222222222", "/ipv6")];
        for bad in [vec![], six[..1].to_vec(), [&six[..], &six[1..]].concat(), unlinked.to_vec()] {
            let failures = failed(&report(&[&both("/ipv4")[..], &bad].concat(), ACCOUNTING));
            let names: Vec<_> = failures.iter().map(|(what, _)| *what).collect();
            assert_eq!(names, ["an HTTP exchange over IPv6 is two linked spans"], "{failures:?}");
        }
    }

    #[test]
    fn accounting_that_loses_one_record_fails() {
        let spans = [both("/ipv4"), both("/ipv6")].concat();
        for bad in [ACCOUNTING.replace(":2}", ":1}"), ACCOUNTING.replace("made\":4", "made\":5"), String::new()] {
            let names: Vec<_> = failed(&report(&spans, &bad)).into_iter().map(|(what, _)| what).collect();
            assert_eq!(names, ["the accounting adds up"], "{bad}");
        }
    }

    #[test]
    fn an_agent_that_could_not_start_fails_everything_with_what_it_said() {
        let failures = failed("=== doctor\n=== status\n3\n=== spans\n=== stderr\nno BTF here\n=== end\n");
        assert_eq!(failures.len(), 5);
        assert!(failures[1].1.contains("status 3") && failures[1].1.contains("no BTF here"), "{failures:?}");
    }
}
