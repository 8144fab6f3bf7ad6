//! Lines as people see them.
use super::spans::{START, asked, resource, served};
use crate::enrich::span::{Span, Status};
use crate::export::live::{Style, duration, header, line, printable};
use crate::export::summary::{Summary, Usage};
use crate::protocol::attribute::Attribute;
use crate::semconv as s;
use std::time::{Duration, Instant};

#[test]
fn a_trace_reads_from_left_to_right_and_without_links_fits_120_columns() {
    let style = Style::plain();
    let (api, gateway) = (resource("api"), resource("nginx"));
    let root = Span { parent: None, ..served(&gateway) };
    let mut miss = asked(&api);
    miss.status = Status::Unset;
    miss.attributes = vec![
        Attribute::both(s::DB_QUERY_TEXT, "GET order:17".to_owned()),
        Attribute::both(s::WIRESPAN_CACHE_HIT, false),
        Attribute::both(s::SERVICE_PEER_NAME, "redis".to_owned()),
        Attribute::both(s::WIRESPAN_NETWORK_NS, 41_000),
    ];
    let mut failed = asked(&api);
    failed.attributes.pop();
    miss.links.clear();
    failed.links.clear();
    let orphan = Span {
        parent: None,
        attributes: [served(&api).attributes, vec![Attribute::both(s::WIRESPAN_LINK_REASON, "handoff")]].concat(),
        links: asked(&api).links,
        ..served(&api)
    };
    let lines = [
        header(&style),
        line(&root, &style),
        line(&served(&api), &style),
        line(&miss, &style),
        line(&failed, &style),
        line(&orphan, &style),
    ];
    let wanted = [
        "TIME         TRACE    SERVICE → PEER               OPERATION                  STAT LATENCY  OF WHICH",
        "12:03:04.125 4f2a91 ● nginx ← nginx                GET /orders/17?full=1      200  12.4 ms  queue 80µs app 12.0ms",
        "12:03:04.125 4f2a91 └ api ← nginx                  GET /orders/17?full=1      200  12.4 ms  queue 80µs app 12.0ms",
        "12:03:04.125 4f2a91 └ api → redis                  GET order:17               miss  812 µs  net 41µs",
        "12:03:04.125 4f2a91 └ api → 127.0.0.1:6379         HGET order:17 ?            fail  812 µs  WRONGTYPE connect 1.10ms net 300µs",
        "12:03:04.125 4f2a91 ○ api ← nginx                  GET /orders/17?full=1      200  12.4 ms  queue 80µs app 12.0ms conflict 070707 met 090909",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn a_terminal_gets_colours_and_columns_and_a_pipe_every_byte() {
    let api = resource("a-service-with-a-name-that-is-long");
    let mut span = served(&api);
    span.attributes[2] = Attribute::both(s::URL_PATH, format!("/{}", "x".repeat(50)));
    let terminal = line(&span, &Style::terminal(100, true));
    assert_eq!(
        terminal,
        "\x1b[2m12:03:04.125\x1b[0m \x1b[33m4f2a91\x1b[0m └ a-service-with-a-name-that-… GET /xxxxxxxxxx… \x1b[32m200 \x1b[0m 12.4 ms  \
         \x1b[2mqueue\x1b[0m 80µs \x1b[2mapp\x1b[0m 12.0ms"
    );
    let piped = line(&span, &Style::plain());
    assert!(piped.contains("a-service-with-a-name-that-is-long ← nginx") && piped.contains(&"x".repeat(50)), "{piped}");
}

#[test]
fn captured_text_cannot_steer_the_terminal() {
    assert_eq!(printable("a\x1b[31m\r\n\u{9b}b\u{202e}c ü"), "a\\u{1b}[31m\\r\\n\\u{9b}b\\u{202e}c ü");
    let mut span = served(&resource("api\x1b]0;owned\x07"));
    for attribute in &mut span.attributes {
        attribute.value = format!("\x1b[2J{}\u{7f}", attribute.key).into();
    }
    span.status = Status::Error("".into());
    span.attributes.push(Attribute::both(s::ERROR_TYPE, "\x1b[1m".to_owned()));
    assert_eq!(line(&span, &Style::plain()).chars().find(|c| c.is_control()), None);
}

#[test]
fn a_client_span_with_only_an_address_and_a_url_names_host_and_path() {
    let mut span = asked(&resource("api"));
    span.status = Status::Unset;
    span.links.clear();
    span.attributes = vec![
        Attribute::both(s::HTTP_REQUEST_METHOD, "_OTHER"),
        Attribute::both(s::HTTP_REQUEST_METHOD_ORIGINAL, "BREW".to_owned()),
        Attribute::both(s::URL_FULL, "http://[::1]:80/pot?x=1".to_owned()),
        Attribute::both(s::NETWORK_PEER_ADDRESS, "::1".to_owned()),
        Attribute::both(s::NETWORK_PEER_PORT, 80),
        Attribute::both(s::HTTP_RESPONSE_STATUS_CODE, 418),
        Attribute::both(s::WIRESPAN_RETRANSMITS, 2),
    ];
    let wanted = "12:03:04.125 4f2a91 └ api → [::1]:80               BREW /pot?x=1              418   812 µs  2 resent";
    assert_eq!(line(&span, &Style::plain()), wanted);
}

#[test]
fn durations_have_three_digits_and_at_most_seven_columns() {
    let wanted = [
        (0, "0 µs"),
        (1_499, "1 µs"),
        (999_499, "999 µs"),
        (999_500, "1.00 ms"),
        (9_994_999, "9.99 ms"),
        (9_995_000, "10.0 ms"),
        (99_949_999, "99.9 ms"),
        (99_950_000, "100 ms"),
        (999_499_999, "999 ms"),
        (999_500_000, "1.00 s"),
        (59_000_000_000, "59.0 s"),
        (3_600_000_000_000, "3600 s"),
    ];
    assert_eq!(wanted.map(|(nanos, _)| duration(nanos)), wanted.map(|(_, text)| text));
}

#[test]
fn the_time_of_day_follows_the_offset_and_passes_midnight() {
    let mut span = served(&resource("api"));
    span.start = START;
    let at = |utc_offset| line(&span, &Style { utc_offset, ..Style::plain() })[..12].to_owned();
    assert_eq!([at(0), at(3600), at(12 * 3600), at(-13 * 3600)], ["12:03:04.125", "13:03:04.125", "00:03:04.125", "23:03:04.125"]);
}

#[test]
fn the_summary_counts_since_the_last_one() {
    let begun = Instant::now();
    let mut summary = Summary::new(begun);
    let api = resource("api");
    for place in 0..100 {
        let mut span = served(&api);
        span.end = span.start + if place < 90 { 1_000_000 } else { 20_000_000 };
        span.status = if place == 0 { Status::Error("".into()) } else { Status::Unset };
        summary.count(&span);
    }
    let usage = Usage { cpu: Duration::from_millis(36), memory: (14 << 20) - 1, dropped: 1 };
    let plain = Style::plain();
    assert_eq!(
        summary.line(begun + Duration::from_secs(2), &usage, 3, &plain),
        "50 spans/s · 1.0 % errors · p50 1.02 ms · p95 19.9 ms · 4 dropped · agent 1.8 % CPU, 14 MiB"
    );
    let usage = Usage { cpu: Duration::from_millis(37), ..usage };
    assert_eq!(
        summary.line(begun + Duration::from_secs(3), &usage, 0, &plain),
        "0.0 spans/s · 0.0 % errors · 1 dropped · agent 0.1 % CPU, 14 MiB"
    );
}
