//! Whatever the bytes: no panic, the numbers add up, time goes forward, no socket speaks before it opened or after it
//! closed, and no byte of a stream is lost.
use super::*;
use crate::capture::event::{Direction, SocketId};
use crate::capture::pcap::Skip;
use proptest::prelude::*;
use std::collections::HashMap;

fn check(bytes: Vec<u8>) {
    let mut now = 0;
    let mut open: HashMap<SocketId, bool> = HashMap::new();
    let result = read(std::io::Cursor::new(bytes), "test", Vantage::Both, &mut |event| {
        let (at, socket) = match event {
            Event::Opened(it) => {
                assert_eq!(open.insert(it.socket, true), None, "opened twice");
                (it.at, it.socket)
            }
            Event::Segment(it) => {
                assert!(it.bytes.len() <= it.len as usize);
                (it.at, it.socket)
            }
            Event::Closed(it) => (it.at, it.socket),
            Event::Datagram(it) => {
                assert!(it.at >= now, "time went back");
                now = it.at;
                return;
            }
            Event::Read(_) | Event::Process(_) | Event::Note(_) => unreachable!("no capture shows processes"),
        };
        assert!(at >= now, "time went back");
        now = at;
        assert_eq!(open.get(&socket), Some(&true), "not open");
        if let Event::Closed(it) = event {
            open.insert(it.socket, false);
        }
    });
    if let Ok(summary) = result {
        let skipped: u64 = Skip::ALL.iter().map(|cause| summary.skipped(*cause)).sum();
        assert_eq!(summary.packets, summary.segments + summary.datagrams + skipped);
    }
}

fn captures() -> impl Strategy<Value = Vec<u8>> {
    let step = (any::<bool>(), 0..5000_u64, 0..32_u8, 95..120_u32, 495..520_u32, 0..9_usize, 0..3_u16);
    let talk = prop::collection::vec(step, 0..40).prop_map(|steps| {
        let mut at = 0;
        steps.into_iter().fold(Talk::v4(), |mut talk, (up, pause, flags, client, server, len, port)| {
            at += pause;
            talk.client.set_port(79 + port);
            let payload = vec![b'x'; len];
            if up { talk.up(at, flags, client, server, &payload) } else { talk.down(at, flags, server, client, &payload) }
        })
    });
    (talk, any::<bool>()).prop_map(|(talk, ng)| {
        let frames = talk.frames(links::ethernet);
        let le: files::Bytes4 = u32::to_le_bytes;
        if !ng {
            return files::classic(le, true, ETHERNET, &frames);
        }
        let packets = frames.iter().map(|frame| files::enhanced(le, 0, START / 1000 + frame.at, frame));
        [files::section(le), files::interface(le, ETHERNET, &[])].into_iter().chain(packets).flatten().collect()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_survived(start in 0..4_usize, bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let starts: [&[u8]; 4] = [b"", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\n\r\r\n\x1c\0\0\0\x4d\x3c\x2b\x1a"];
        check([starts[start], &bytes].concat());
    }

    #[test]
    fn any_conversation_is_told_in_order(capture in captures()) {
        check(capture);
    }

    /// The sender sends any parts of 1,000 bytes in any order, some of them again with other boundaries; in the end it sends what
    /// the receiver may miss, all. The start is near the end of the sequence numbers.
    #[test]
    fn no_byte_is_lost_whatever_is_overtaken_repeated_or_cut_differently(
        parts in prop::collection::vec((0..1000_u32, 1..100_u32), 0..60),
        cut in 1..200_usize,
    ) {
        let data: Vec<u8> = (0..1000_u32).map(|place| (place * 7 % 251) as u8).collect();
        let first = u32::MAX - 500;
        let again = (0..1000).step_by(cut).map(|start| (start as u32, cut as u32));
        let mut talk = Talk::v4().up(0, SYN, first.wrapping_sub(1), 0, b"").down(1, SYN | ACK, 500, first, b"");
        for (number, (start, len)) in parts.into_iter().chain(again).enumerate() {
            let end = (start + len).min(1000);
            let payload = &data[start as usize..end as usize];
            talk = talk.up(2 + number as u64 * 1500, ACK, first.wrapping_add(start), 501, payload);
        }
        let mut arrived = vec![0; 1000];
        let file = files::classic(u32::to_be_bytes, true, ETHERNET, &talk.frames(links::ethernet));
        read(std::io::Cursor::new(file), "test", Vantage::Server, &mut |event| {
            if let Event::Segment(it) = event && it.direction == Direction::In && it.len > 0 {
                let start = it.seq.wrapping_sub(first) as usize;
                arrived[start..start + it.bytes.len()].copy_from_slice(it.bytes);
            }
        }).expect("a capture");
        prop_assert_eq!(arrived, data);
    }

    #[test]
    fn damaged_captures_are_survived(
        mut capture in captures(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        for (place, value) in damage {
            let place = place.index(capture.len());
            capture[place] = value;
        }
        capture.truncate(cut.index(capture.len()).max(capture.len() / 2));
        check(capture);
    }
}
