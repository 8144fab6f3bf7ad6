//! `wirespan explain`: why each span of a recording or a capture has its place, with the events behind it.
mod candidates;
mod story;
mod words;

use super::policy::policy;
use super::recording::remember;
use super::{Failure, exit};
use crate::capture::pcap::{self, Vantage};
use crate::capture::recording::{Entry, MAGIC, Reader};
use crate::capture::wire::Decoder;
use crate::causality::policy::Policy;
use crate::cli::Explain;
use crate::enrich::directory::Directory;
use crate::enrich::host::Host;
use crate::pipeline::{Explained, Pipeline};
use crate::selection::Selection;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use story::Stories;

/// Spans that are kept without `--trace`, at about 3 KiB each.
const MAX_SPANS: usize = 100_000;

/// Explains the spans of files.
pub(super) fn explain(options: &Explain) -> Result<(), Failure> {
    let env: BTreeMap<String, String> =
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect();
    let policy = policy(&options.headers, &env).map_err(|error| Failure::new(exit::USAGE, error))?;
    let wanted = options.trace.as_deref().unwrap_or_default().to_ascii_lowercase();
    let mut stories = Stories::new(&wanted, MAX_SPANS);
    let ended = tell(&options.files, policy, &mut |explained| stories.add(explained)).map_err(|error| Failure::new(exit::INPUT, error));
    if stories.is_empty() && !wanted.is_empty() && ended.is_ok() {
        return Err(Failure::new(exit::INPUT, format!("no trace in this input has an id that begins with {wanted}")));
    }
    let told = if options.json { stories.json() } else { stories.text() };
    // Whoever reads it may have seen enough.
    let _ = io::stdout().lock().write_all(told.as_bytes());
    if stories.left_out() > 0 {
        eprintln!("wirespan: {} more spans are not explained; name a trace with --trace", stories.left_out());
    }
    ended
}

/// Gives every span of these files, with what is behind it, to `each`. The error is a sentence.
fn tell(files: &[PathBuf], policy: Policy, each: &mut dyn FnMut(Explained)) -> Result<(), String> {
    let [file] = files else { return of_captures(files, policy, each) };
    let mut input: BufReader<Box<dyn Read>> = BufReader::new(if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| format!("cannot open {}: {error}", file.display()))?)
    });
    let begin = input.fill_buf().map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    match begin.first() {
        _ if begin.starts_with(&MAGIC) => of_recording(input, policy, each).map_err(|error| format!("{}: {error}", file.display())),
        Some(b'{') => Err(format!(
            "{} holds spans; the events behind them are in a recording (wirespan record) or a capture, and only these can be explained",
            file.display()
        )),
        _ => {
            let mut pipeline = pipeline(Directory::of_addresses(), policy, false);
            let read = pcap::read(input, &file.display().to_string(), Vantage::Both, &mut |event| {
                // Whether it was of use is no concern here.
                let _ = pipeline.event(&event, &mut |_| ());
                pipeline.take_explained().into_iter().for_each(&mut *each);
            });
            finish(pipeline, each);
            read.map(drop).map_err(|error| error.to_string())
        }
    }
}

fn of_captures(files: &[PathBuf], policy: Policy, each: &mut dyn FnMut(Explained)) -> Result<(), String> {
    let mut pipeline = pipeline(Directory::of_addresses(), policy, false);
    let read = pcap::read_files(files, Vantage::Both, &mut |event| {
        let _ = pipeline.event(&event, &mut |_| ());
        pipeline.take_explained().into_iter().for_each(&mut *each);
    });
    finish(pipeline, each);
    read.map(drop).map_err(|error| format!("{error} (of several files, all have to be captures)"))
}

fn of_recording(input: impl BufRead, policy: Policy, each: &mut dyn FnMut(Explained)) -> Result<(), String> {
    let mut reader = Reader::new(input).map_err(|error| error.to_string())?;
    let mut pipeline = pipeline(Directory::of_recording(Host::default()), policy, true);
    let mut decoder = Decoder::new();
    let ended = loop {
        match reader.next_entry() {
            Ok(Some(Entry::Record(record))) => {
                decoder.decode(record, &mut |event| {
                    let _ = pipeline.event(&event, &mut |_| ());
                });
                pipeline.take_explained().into_iter().for_each(&mut *each);
                // A file cannot be told anything.
                pipeline.take_verdicts().for_each(drop);
                pipeline.take_closed().for_each(drop);
            }
            Ok(Some(entry)) => remember(&entry, &mut pipeline),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.to_string()),
        }
    };
    finish(pipeline, each);
    ended
}

fn pipeline(directory: Directory, policy: Policy, reads: bool) -> Pipeline {
    let mut pipeline = Pipeline::with_policy(directory, Selection::default(), policy, reads);
    pipeline.explain();
    pipeline
}

fn finish(mut pipeline: Pipeline, each: &mut dyn FnMut(Explained)) {
    pipeline.finish(&mut |_| ());
    pipeline.take_explained().into_iter().for_each(each);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn capture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures").join(name)
    }

    fn told(name: &str, wanted: &str) -> Result<String, String> {
        let mut stories = Stories::new(wanted, MAX_SPANS);
        tell(&[capture(name)], Policy::default(), &mut |explained| stories.add(explained))?;
        serde_json::from_str::<serde_json::Value>(stories.json().lines().next().unwrap_or("{}")).expect("JSON");
        Ok(stories.text())
    }

    /// As `agent/tests/fixtures` does for spans; `WIRESPAN_BLESS=1` writes them anew.
    #[test]
    fn recordings_and_captures_are_explained_as_beside_them() {
        for name in ["shop-three-orders.wirespan", "http-joined-then-refused-lo.pcap"] {
            let text = told(name, "").expect("a readable file");
            let expected = capture(name).with_extension("why");
            if std::env::var_os("WIRESPAN_BLESS").is_some() {
                fs::write(&expected, &text).expect("the expectation");
            }
            assert_eq!(text, fs::read_to_string(&expected).expect("the expectation"), "{name}");
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(120), "{longest:?}");
        }
    }

    #[test]
    fn one_trace_is_chosen_by_the_beginning_of_its_id() {
        let text = told("shop-three-orders.wirespan", "1472da").expect("a recording");
        assert_eq!(text.lines().filter(|line| line.starts_with("trace ")).count(), 1);
        assert!(text.starts_with("trace 1472da0ef2e5dc3efe4e0887df2ebf5e"), "{text}");
    }

    #[test]
    fn spans_alone_are_refused_with_what_to_do() {
        let file = std::env::temp_dir().join(format!("wirespan-explain-{}.jsonl", std::process::id()));
        fs::write(&file, "{\"resourceSpans\":[]}\n").expect("a file");
        let error = tell(std::slice::from_ref(&file), Policy::default(), &mut |_| ()).expect_err("spans");
        assert!(error.contains("only these can be explained"), "{error}");
        fs::remove_file(file).expect("the file");
    }
}
