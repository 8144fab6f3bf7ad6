//! What holds for every conversation: the messages do not depend on how the bytes are cut, and hostile bytes do no harm.
use super::super::Kafka;
use super::wire::*;
use super::{C, S, talk};
use crate::protocol::{Side, testing};
use proptest::prelude::*;

/// A request and its response.
fn any_exchange() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let records = prop::collection::vec((0usize..3000, any::<bool>()), 1..5).prop_map(|sizes| {
        let records = sizes.iter().enumerate().map(|(offset, (size, traced))| {
            record(i64::try_from(offset).expect("few"), "key", Some(&"v".repeat(*size)), traced.then_some(TRACEPARENT))
        });
        records.collect::<Vec<_>>()
    });
    (0..6usize, records, any::<u8>(), -1i16..4).prop_map(|(kind, records, correlation, error)| {
        let correlation = i32::from(correlation);
        let all = if error == 3 { packed(&records) } else { batch(&records) };
        match kind {
            0 => (produce(9, correlation, &[("orders", 0, all)]), produced(9, correlation, &[("orders", 0, error, 3)])),
            1 => (fetch(11, correlation, -1), fetched(11, correlation, &[("orders", 0, error, all)])),
            2 => (fetch(15, correlation, 1), fetched_by_id(15, correlation, 5, all)),
            3 => (metadata(12, correlation), looked_up(12, correlation, "orders", 6, error)),
            4 => (join(5, correlation), joined(5, correlation, error)),
            _ => (commit(8, correlation), committed(8, correlation, error)),
        }
    })
}

fn any_conversation() -> impl Strategy<Value = Vec<(Side, Vec<u8>)>> {
    prop::collection::vec(any_exchange(), 1..6).prop_map(|all| all.into_iter().flat_map(|(ask, answer)| [(C, ask), (S, answer)]).collect())
}

fn cut<'a>(turns: &'a [(Side, Vec<u8>)], cuts: &[usize]) -> Vec<(Side, &'a [u8])> {
    let mut sizes = cuts.iter().cycle();
    let mut pieces = Vec::new();
    for (side, bytes) in turns {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(sizes.next().map_or(1, |size| size * size).min(rest.len()));
            pieces.push((*side, piece));
            rest = tail;
        }
    }
    pieces
}

proptest! {
    #[test]
    fn cuts_change_nothing(turns in any_conversation(), cuts in prop::collection::vec(1usize..60, 1..50)) {
        let whole: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let transcript = talk(&whole);
        prop_assert_eq!(transcript.invalid, 0);
        prop_assert_eq!(talk(&cut(&turns, &cuts)), transcript);
    }

    #[test]
    fn damaged_conversations_change_nothing_with_their_cuts(turns in any_conversation(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
        let mut turns = turns;
        for (place, byte) in damage {
            let index = place.index(turns.len());
            let at = place.index(turns[index].1.len());
            turns[index].1[at] = byte;
        }
        let whole: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        prop_assert_eq!(talk(&cut(&turns, &[1])), talk(&whole));
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        testing::fuzz(&Kafka, &bytes);
    }

    #[test]
    fn hostile_bodies_neither_panic_nor_loop(key in 0u8..93, version in 0u8..20, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let size = u8::try_from(body.len().min(200) + 10).expect("small");
        let asked = [&[0, 0, 0, size, 0, key, 0, version, 0, 0, 0, 1, 0, 0], &body[..usize::from(size) - 10]].concat();
        let answer = [&[0, 0, 0, size, 0, 0, 0, 1], &body[..usize::from(size) - 10], &[0; 6]].concat();
        talk(&[(C, &asked), (S, &answer)]);
    }
}
