//! Captures of real programs (`tests/captures`), told without times and numbers: who, how long, which first line.
use super::*;
use crate::capture::pcap::read_files;
use std::path::PathBuf;

fn story(file: &str, vantage: Vantage) -> (Vec<String>, PcapSummary) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/captures")).join(file);
    let mut lines = Vec::new();
    let summary = read_files(&[path], vantage, &mut |event| {
        let line = match event {
            Event::Opened(it) => format!("#{} opened {:?} fresh={} to {}", it.socket.0, it.role, it.fresh, it.remote.port()),
            Event::Segment(it) if it.len > 0 => {
                let text = String::from_utf8_lossy(it.bytes);
                format!("#{} {:?} {} {}", it.socket.0, it.direction, it.len, text.lines().next().unwrap_or_default())
            }
            Event::Segment(it) => format!("#{} {:?} flags {}", it.socket.0, it.direction, it.flags),
            Event::Closed(it) => format!("#{} {:?}", it.socket.0, it.end),
            Event::Datagram(it) => format!("{:?} {} to {}", it.direction, it.bytes.len(), it.remote.port()),
            Event::Read(_) | Event::Process(_) | Event::Note(_) => unreachable!("no capture shows processes"),
        };
        lines.push(line);
    })
    .expect("a capture");
    (lines, summary)
}

/// Segments and packets of a capture; `capinfos` says the same number of packets.
fn counts(summary: &PcapSummary) -> (u64, u64, u64) {
    (summary.segments, summary.packets, summary.cut_payload)
}

#[test]
fn http_on_a_kept_connection() {
    let (story, summary) = story("http-keep-alive-lo.pcap", Vantage::Both);
    let expected = [
        "#2 opened Client fresh=true to 18981",
        "#2 Out flags 2",
        "#3 opened Server fresh=true to 42326",
        "#3 In flags 2",
        "#3 Out flags 18",
        "#2 In flags 18",
        "#2 Out 82 GET /one HTTP/1.1",
        "#3 In 82 GET /one HTTP/1.1",
        "#3 Out 153 HTTP/1.1 200 OK",
        "#2 In 153 HTTP/1.1 200 OK",
        "#2 Out 86 GET /missing HTTP/1.1",
        "#3 In 86 GET /missing HTTP/1.1",
        "#3 Out 157 HTTP/1.1 404 Not Found",
        "#2 In 157 HTTP/1.1 404 Not Found",
        "#2 Out flags 17",
        "#3 In flags 17",
        "#3 Out flags 17",
        "#2 In flags 17",
        "#2 Finished",
        "#3 Finished",
    ];
    assert_eq!((story, counts(&summary)), (expected.map(str::to_owned).to_vec(), (8, 12, 0)));
}

#[test]
fn a_large_answer_with_a_short_snap_length() {
    let (story, summary) = story("http-big-snap160-nano.pcap", Vantage::Client);
    let expected = [
        "#2 opened Client fresh=true to 18981",
        "#2 Out flags 2",
        "#2 In flags 18",
        "#2 Out 82 GET /big HTTP/1.1",
        "#2 In 32768 HTTP/1.1 200 OK",
        "#2 In 244 xxxxxxxxxxxxxxxx",
        "#2 In 47616 xxxxxxxxxxxxxxxx",
        "#2 In 47616 xxxxxxxxxxxxxxxx",
        "#2 In 22000 xxxxxxxxxxxxxxxx",
        "#2 Out flags 17",
        "#2 In flags 17",
        "#2 Finished",
    ];
    let story: Vec<_> = story.iter().map(|line| line.replace(&"x".repeat(94), "xxxxxxxxxxxxxxxx")).collect();
    assert_eq!((story, counts(&summary)), (expected.map(str::to_owned).to_vec(), (10, 16, 5)));
}

#[test]
fn a_post_and_a_chunked_answer_in_a_cooked_capture() {
    let (story, summary) = story("http-post-chunked-any-sll2.pcap", Vantage::Server);
    let expected = [
        "#3 opened Server fresh=true to 38602",
        "#3 In flags 2",
        "#3 Out flags 18",
        "#3 In 167 POST /items HTTP/1.1",
        "#3 Out 125 HTTP/1.1 201 Created",
        "#3 Out 10 5",
        "#3 Out 18 d",
        "#3 Out 22 10",
        "#3 Out 5 0",
        "#3 In flags 17",
        "#3 Out flags 17",
        "#3 Finished",
    ];
    assert_eq!((story, counts(&summary)), (expected.map(str::to_owned).to_vec(), (10, 18, 0)));
}

#[test]
fn a_redis_pipeline_in_an_older_cooked_capture() {
    let (story, summary) = story("redis-pipeline-any-sll.pcap", Vantage::Client);
    let expected = [
        "#2 opened Client fresh=true to 18984",
        "#2 Out flags 2",
        "#2 In flags 18",
        "#2 Out 48 SET a 1",
        "#2 Out 43 ",
        "#2 In 116 +OK",
        "#2 Out flags 17",
        "#2 In flags 17",
        "#2 Finished",
    ];
    assert_eq!((story, counts(&summary)), (expected.map(str::to_owned).to_vec(), (7, 12, 0)));
}

#[test]
fn a_connection_older_than_the_capture_then_a_refused_one() {
    let (story, summary) = story("http-joined-then-refused-lo.pcap", Vantage::Both);
    let expected = [
        "#2 opened Unknown fresh=false to 18981",
        "#3 opened Unknown fresh=false to 35550",
        "#2 Out 74 GET /joined HTTP/1.1",
        "#3 In 74 GET /joined HTTP/1.1",
        "#3 Out 153 HTTP/1.1 200 OK",
        "#2 In 153 HTTP/1.1 200 OK",
        "#2 Out flags 17",
        "#3 In flags 17",
        "#3 Out flags 17",
        "#2 In flags 17",
        "#2 Finished",
        "#3 Finished",
        "#4 opened Client fresh=true to 18989",
        "#4 Out flags 2",
        "#4 In flags 20",
        "#4 Refused",
    ];
    assert_eq!((story, counts(&summary)), (expected.map(str::to_owned).to_vec(), (6, 8, 0)));
}

#[test]
fn ipv6_in_pcapng() {
    let (story, summary) = story("http-ipv6-veth.pcapng", Vantage::Server);
    let expected = [
        "#3 opened Server fresh=true to 43656",
        "#3 In flags 2",
        "#3 Out flags 18",
        "#3 In 86 GET /one HTTP/1.1",
        "#3 Out 153 HTTP/1.1 200 OK",
        "#3 In 86 GET /two HTTP/1.1",
        "#3 Out 153 HTTP/1.1 200 OK",
        "#3 In flags 17",
        "#3 Out flags 17",
        "#3 Finished",
    ];
    assert_eq!((story, counts(&summary)), (expected.map(str::to_owned).to_vec(), (8, 12, 0)));
}
