//! Captures and recordings of real programs, and beside each the spans that it has to give.
//!
//! `NAME.pcap`, `NAME.pcapng` or `NAME.wirespan` in `tests/captures` has its spans in `NAME.spans`, one a line, ids included: they come from
//! the wire and are the same every time. With `WIRESPAN_BLESS=1` the expectations are written instead of compared; read the difference.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use wirespan::capture::pcap::{self, Vantage};
use wirespan::capture::recording::{Entry, Reader};
use wirespan::capture::wire::Decoder;
use wirespan::enrich::directory::Directory;
use wirespan::enrich::process::ProcessInfo;
use wirespan::enrich::span::{Span, Status};
use wirespan::pipeline::Pipeline;
use wirespan::protocol::attribute::Value;
use wirespan::selection::Selection;

fn captures() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures");
    let entries = fs::read_dir(directory).expect("the captures").map(|entry| entry.expect("an entry").path());
    let wanted = |path: &PathBuf| path.extension().is_some_and(|end| ["pcap", "pcapng", "wirespan"].iter().any(|known| end == *known));
    let mut all: Vec<PathBuf> = entries.filter(wanted).collect();
    all.sort();
    all
}

fn spans_of(path: &Path) -> Vec<Span> {
    let mut spans = Vec::new();
    let recorded = path.extension().is_some_and(|end| end == "wirespan");
    let mut pipeline = Pipeline::new(Directory::of_addresses(), Selection::default(), recorded);
    if recorded {
        let mut reader = Reader::new(BufReader::new(File::open(path).expect("the recording"))).expect("a recording of this version");
        let mut decoder = Decoder::new();
        while let Some(entry) = reader.next_entry().expect("whole entries") {
            match entry {
                Entry::Record(record) => decoder.decode(record, &mut |event| {
                    let _ = pipeline.event(&event, &mut |span| spans.push(span));
                }),
                Entry::Process { blob, .. } => ProcessInfo::from_bytes(blob).into_iter().for_each(|info| pipeline.learn(info)),
                Entry::Manner { pid, blob } => pipeline.adapt(pid, serde_json::from_slice(blob).expect("a manner")),
                Entry::Clock { mono, unix } => pipeline.directory().set_clock(unix.wrapping_sub(mono)),
                Entry::Counters(_) => {}
            }
        }
    } else {
        let read = pcap::read_files(&[path], Vantage::Both, &mut |event| {
            let _ = pipeline.event(&event, &mut |span| spans.push(span));
        });
        read.expect("a capture");
    }
    pipeline.finish(&mut |span| spans.push(span));
    spans
}

/// Everything about a span on one line, in an order that does not depend on when it was finished.
fn line(span: &Span) -> String {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let parent = span.parent.map_or_else(|| "-".to_owned(), |parent| hex(&parent.id));
    let status = if span.status == Status::Unset { "unset" } else { "error" };
    let mut text = format!(
        "{} {} {parent} {:?} {} {:?} {status} {}ns",
        hex(&span.trace_id),
        hex(&span.span_id),
        span.kind,
        span.resource.service(),
        span.name,
        span.end - span.start
    );
    let attributes: BTreeMap<&str, String> = span.attributes.iter().map(|attribute| (attribute.key, value(&attribute.value))).collect();
    for (key, value) in attributes {
        let _ = write!(text, " {key}={value}");
    }
    text
}

fn value(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Int(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Texts(texts) => format!("{texts:?}"),
    }
}

#[test]
fn every_capture_gives_the_spans_beside_it() {
    let captures = captures();
    assert!(captures.len() >= 6, "{captures:?}");
    for path in captures {
        let mut spans = spans_of(&path);
        spans.sort_by_key(|span| (span.start, span.trace_id, span.span_id));
        let told: String = spans.iter().map(|span| line(span) + "\n").collect();
        let expected = path.with_extension("spans");
        if std::env::var_os("WIRESPAN_BLESS").is_some() {
            fs::write(&expected, &told).expect("the expectation");
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
        assert_eq!(told, wanted, "{}", path.display());
    }
}
