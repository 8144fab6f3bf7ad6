//! Files, pipes and standard output.
use super::collector::LIMIT;
use super::spans::{asked, resource, served};
use crate::export::config::{Choices, ExportConfig};
use crate::export::group::Grouped;
use crate::export::json::JsonLines;
use crate::export::live::{Lines, Style, header, line};
use crate::export::queue::{ExportCounters, Limit};
use crate::export::{Export, TEXT_BYTES};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn config(file: &str) -> ExportConfig {
    let choices = Choices { otlp_file: Some(file.to_owned()), ..Choices::default() };
    ExportConfig::from_env(&BTreeMap::new(), &choices).unwrap()
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("wirespan-{name}-{}.jsonl", std::process::id()))
}

#[test]
fn json_lines_are_in_the_file_a_second_later_and_complete_at_the_end() {
    let path = scratch("lines");
    let mut export = Export::new(&config(path.to_str().unwrap())).unwrap();
    let api = resource("api");
    export.submit(&served(&api));
    let now = Instant::now();
    export.tick(now);
    export.tick(now + Duration::from_secs(1));
    let limit = Instant::now() + LIMIT;
    while export.counters().exported < 1 && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    export.submit(&asked(&api));
    let wanted = ExportCounters { submitted: 2, exported: 2, ..ExportCounters::default() };
    assert_eq!(export.shutdown(Instant::now() + LIMIT), (wanted, vec![]));
    let text = std::fs::read_to_string(&path).unwrap();
    let names = text.lines().map(|line| {
        let request: ExportTraceServiceRequest = serde_json::from_str(line).unwrap();
        request.resource_spans[0].scope_spans[0].spans[0].name.clone()
    });
    assert_eq!(names.collect::<Vec<_>>(), ["GET", "HGET"]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_full_disk_costs_the_spans_and_is_said_once() {
    let mut export = Export::new(&config("/dev/full")).unwrap();
    let api = resource("api");
    for _ in 0..3 {
        export.submit(&served(&api));
        export.outputs[0].leave();
    }
    let (counters, notices) = export.shutdown(Instant::now() + LIMIT);
    assert_eq!(counters, ExportCounters { submitted: 3, dropped: [("write_failed", 3)].into(), ..ExportCounters::default() });
    assert_eq!(notices, ["/dev/full does not take spans (No space left on device (os error 28)); they are lost until it does"]);
}

#[test]
fn a_file_that_cannot_be_made_ends_the_start_with_a_sentence() {
    let Err(error) = Export::new(&config("/nowhere/a.jsonl")) else { panic!("started") };
    assert_eq!(error.to_string(), "--otlp-file /nowhere/a.jsonl: No such file or directory (os error 2)");
}

/// An export whose only output is a pipe.
fn piped(queue: usize) -> (Export, std::io::PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let config = ExportConfig { queue: Limit { bytes: queue, spans: u64::MAX }, ..ExportConfig::default() };
    let mut export = Export::new(&config).unwrap();
    let to: Box<dyn Write + Send> = Box::new(writer);
    export.writer(&config, "file", Box::new(Grouped::<JsonLines>::default()), to, "pipe".to_owned(), Duration::ZERO).unwrap();
    (export, reader)
}

#[test]
fn a_reader_that_has_stopped_reading_costs_spans_but_no_time() {
    let (mut export, reader) = piped(4 * TEXT_BYTES);
    let api = resource("api");
    for _ in 0..5_000 {
        export.submit(&served(&api));
    }
    let counters = export.counters();
    let lost = counters.dropped.get("queue_full").copied().unwrap_or_default();
    assert!(lost > 0, "{counters:?}");
    assert_eq!((counters.submitted, counters.exported, counters.queued), (5_000, 0, 5_000 - lost));
    let (counters, _) = export.shutdown(Instant::now() + Duration::from_millis(50));
    let dropped = [("queue_full", lost), ("shutdown", 5_000 - lost)].into();
    assert_eq!(counters, ExportCounters { submitted: 5_000, dropped, ..ExportCounters::default() });
    drop(reader);
}

#[test]
fn a_reader_that_has_gone_is_noticed_without_a_word() {
    let (mut export, reader) = piped(1 << 20);
    drop(reader);
    assert!(!export.reader_gone());
    export.submit(&served(&resource("api")));
    export.outputs[0].leave();
    let limit = Instant::now() + LIMIT;
    while !export.reader_gone() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(export.reader_gone());
    let (counters, notices) = export.shutdown(Instant::now() + LIMIT);
    assert_eq!(counters, ExportCounters { submitted: 1, dropped: [("write_failed", 1)].into(), ..ExportCounters::default() });
    assert!(notices.is_empty(), "{notices:?}");
}

#[test]
fn live_lines_come_in_the_order_of_the_spans_under_one_header() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let config = ExportConfig::default();
    let mut export = Export::new(&config).unwrap();
    let lines = Box::new(Lines::new(Style::plain()));
    export.writer(&config, "live", lines, Box::new(writer), "pipe".to_owned(), Duration::ZERO).unwrap();
    let spans = [served(&resource("a")), asked(&resource("b")), served(&resource("a"))];
    for span in &spans {
        export.submit(span);
        export.tick(Instant::now());
    }
    assert_eq!(export.shutdown(Instant::now() + LIMIT).0.exported, 3);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let style = Style::plain();
    let wanted: Vec<_> = std::iter::once(header(&style)).chain(spans.iter().map(|span| line(span, &style))).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), wanted);
}

#[test]
fn without_any_output_every_span_is_accounted_for() {
    let mut export = Export::new(&ExportConfig::default()).unwrap();
    export.submit(&served(&resource("api")));
    let (counters, _) = export.shutdown(Instant::now());
    assert_eq!(counters, ExportCounters { submitted: 1, dropped: [("no_output", 1)].into(), ..ExportCounters::default() });
}
