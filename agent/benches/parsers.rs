//! What a message costs in its protocol's decoder: nanoseconds, and bytes allocated, the head itself among them. The messages are those of
//! the captures in `tests/captures`; one line of JSON a protocol. `cargo xtask bench --only parsers` runs it.
#[allow(dead_code, reason = "nothing is changed here")]
#[path = "../tests/fixtures/captures.rs"]
mod captures;

use captures::{captures, decoder_of, events, names};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};
use wirespan::capture::event::{Direction, SocketId};
use wirespan::protocol::{PROTOCOLS, Protocol, Side, Step};

/// Each measurement lasts at least so long, and is made so many times: the least is what it costs, the rest is the machine.
const WINDOW: Duration = Duration::from_millis(100);
const TIMES: usize = 7;

/// What both sides of a connection said, turn by turn.
type Talk = Vec<(Side, Vec<u8>)>;

fn main() {
    // What `cargo test` asks of every target.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mut talks: BTreeMap<String, Vec<Talk>> = BTreeMap::new();
    for path in captures(&["pcap", "pcapng"]) {
        talks.entry(decoder_of(&path)).or_default().extend(talks_of(&path));
    }
    for (name, protocol) in names().iter().zip(PROTOCOLS) {
        let Some(talks) = talks.get(name) else { continue };
        let mut messages = 0;
        let allocated = allocation_counter::measure(|| messages = decode_all(*protocol, talks));
        if messages == 0 {
            continue;
        }
        let nanos = (0..TIMES).map(|_| pass(*protocol, talks)).fold(f64::INFINITY, f64::min) / messages as f64;
        let bytes = allocated.bytes_total as f64 / messages as f64;
        println!("{{\"protocol\":\"{name}\",\"messages\":{messages},\"nanos\":{nanos:.0},\"bytes\":{bytes:.0}}}");
    }
}

/// Nanoseconds that all talks take once.
fn pass(protocol: &dyn Protocol, talks: &[Talk]) -> f64 {
    let (began, mut passes) = (Instant::now(), 0_u32);
    while began.elapsed() < WINDOW {
        black_box(decode_all(protocol, black_box(talks)));
        passes += 1;
    }
    began.elapsed().as_nanos() as f64 / f64::from(passes)
}

/// Messages with heads in all talks.
fn decode_all(protocol: &dyn Protocol, talks: &[Talk]) -> usize {
    talks.iter().map(|talk| decode(protocol, talk)).sum()
}

fn decode(protocol: &dyn Protocol, talk: &Talk) -> usize {
    let mut decoder = protocol.decoder(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), false);
    let (mut pending, mut skip, mut heads) = ([Vec::new(), Vec::new()], [0_usize; 2], 0);
    for (side, bytes) in talk {
        let (pending, skip) = (&mut pending[*side as usize], &mut skip[*side as usize]);
        pending.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let here = (*skip).min(pending.len() - at);
            (at, *skip) = (at + here, *skip - here);
            if at == pending.len() {
                break;
            }
            match decoder.decode(*side, &pending[at..], false) {
                Step::Take(take) => {
                    heads += usize::from(take.head.is_some());
                    *skip = usize::try_from(take.used).expect("a small capture");
                }
                Step::More => break,
                Step::Invalid | Step::Leave(_) => return heads,
            }
        }
        pending.drain(..at);
    }
    heads
}

/// The connections of a capture that are in it from their first byte on, whole.
fn talks_of(path: &Path) -> Vec<Talk> {
    let mut talks: BTreeMap<SocketId, Option<Talk>> = BTreeMap::new();
    for event in events(path) {
        // The client's end of each.
        let Some(segment) = event.data().filter(|segment| segment.socket.0 % 2 == 0) else { continue };
        let talk = talks.entry(segment.socket).or_insert_with(|| Some(Talk::new()));
        if segment.bytes.len() < segment.len as usize {
            *talk = None;
        }
        let side = if segment.direction == Direction::Out { Side::Client } else { Side::Server };
        if let Some(talk) = talk {
            talk.push((side, segment.bytes.to_vec()));
        }
    }
    talks.into_values().flatten().collect()
}
