//! Memcached, with clients of each of its three protocols.
use wirespan_tests::agent::Run;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON};
use wirespan_tests::span::{Kind, Span};

/// What the client's spans say, in order of time: name, text, error, and whether it was a hit.
fn told(how: &str) -> (Vec<String>, Run) {
    let rig = Rig::new();
    let memcached = servers::memcached(&rig);
    let agent = rig.agent(&[]);
    rig.run(PYTHON, &[&servers::program("caching.py"), &memcached.port.to_string(), how]);
    let run = agent.stop();
    let mut spans: Vec<&Span> = run.spans.iter().collect();
    spans.sort_by_key(|span| span.start);
    let lines = spans
        .iter()
        .map(|span| {
            assert_eq!((span.text("db.system.name"), span.kind), ("memcached", Kind::Client));
            let hit = span.attributes.get("wirespan.cache.hit").and_then(serde_json::Value::as_bool);
            let hit = hit.map_or("", |hit| if hit { "hit" } else { "miss" });
            let size = span.number("db.operation.batch.size").map(|size| size.to_string()).unwrap_or_default();
            let words = [span.name.as_str(), span.text("db.query.text"), &size, span.text("error.type"), hit];
            words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
        })
        .collect();
    (lines, run)
}

#[test]
fn lines_of_pymemcache_are_told_with_hits_misses_and_errors() {
    let (lines, run) = told("text");
    let expected = [
        "set set ?",
        "set set ?",
        "get get ? hit",
        "get get ? miss",
        "get get ? ? ?",
        "gets gets ? hit",
        "cas cas ?",
        "incr incr ?",
        "incr incr ? CLIENT_ERROR",
        "delete delete ?",
        "version version",
        "quit quit",
    ];
    assert_eq!(lines, expected);
    assert!(!format!("{run:?}").contains("c4n4ry"));
}

#[test]
fn packets_of_libmemcached_are_told_and_quiet_reads_are_one_batch() {
    let (lines, run) = told("binary");
    let expected =
        ["set set ?", "get get ? hit", "get get ? miss", "BATCH get 3", "add add ?", "delete delete ?", "quit quit"].map(String::from);
    assert_eq!(lines, expected);
    assert!(!format!("{run:?}").contains("c4n4ry"));
}

#[test]
fn meta_commands_are_told_and_a_noop_alone_is_no_span() {
    let (lines, run) = told("meta");
    let expected = ["ms ms ?", "mg mg ? hit", "mg mg ? miss", "ms ms ?", "BATCH mg 3", "ma ma ?", "md md ?", "ma ma ?"];
    assert_eq!(lines.iter().filter(|line| *line != "mn mn").map(String::as_str).collect::<Vec<_>>(), expected);
    assert!(!format!("{run:?}").contains("c4n4ry"));
}
