//! Conversations from a model that knows their messages, cut anywhere, damaged anywhere; header blocks that another decoder reads too.
use super::super::hpack::{self, Block};
use super::super::huffman::tests::encode;
use super::super::table::{Name, Table};
use super::wire::message;
use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

/// What happens on one stream: the client's frames, the server's, and what shall be said.
type Played = (Vec<Vec<u8>>, Vec<Vec<u8>>, String);

fn exchange(stream: u32) -> impl Strategy<Value = Played> {
    let bodies = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4);
    let status = prop::sample::select(vec!["200", "204", "404", "500"]);
    (any::<bool>(), "/[a-z]{1,9}", bodies, any::<bool>(), any::<bool>(), status).prop_map(
        move |(is_call, path, bodies, interim, table, status)| {
            let path = if is_call { format!("/p.S{path}") } else { path };
            let name = if table { "+:path" } else { ":path" };
            let mut fields = vec![(":method", "POST"), (name, &*path), (":authority", "shop")];
            fields.extend(is_call.then_some(("content-type", "application/grpc")));
            let contents: Vec<Vec<u8>> = bodies.iter().map(|body| if is_call { message(body) } else { body.clone() }).collect();
            let mut client = vec![headers(stream, false, &fields)];
            client.extend(contents.iter().map(|content| data(stream, false, content)));
            client.push(data(stream, true, b""));
            let mut server = Vec::new();
            server.extend(interim.then(|| headers(stream, false, &[(":status", "100")])));
            server.push(headers(stream, false, &[("+:status", if is_call { "200" } else { status })]));
            server.extend(contents.iter().map(|content| data(stream, false, content)));
            server.push(if is_call { headers(stream, true, &[("+grpc-status", "0")]) } else { data(stream, true, b"") });
            let said = if is_call {
                format!("{stream} {} {} {}", path.trim_start_matches('/'), bodies.len(), bodies.len())
            } else {
                format!("{stream} POST {path} {status}")
            };
            (client, server, said)
        },
    )
}

/// Frames of up to four streams, mixed, each side's in turns; and what shall be said of each stream.
fn play() -> impl Strategy<Value = (Vec<(Side, Vec<u8>)>, Vec<String>)> {
    let streams = (exchange(1), exchange(3), exchange(5), exchange(7));
    (streams, 1..=4_usize, prop::collection::vec(0..4_usize, 1..40)).prop_map(|((a, b, c, d), count, mixed)| {
        let mut played: Vec<Played> = vec![a, b, c, d];
        played.truncate(count);
        let mut said: Vec<String> = played.iter().map(|(.., said)| said.clone()).collect();
        said.sort();
        let mut pieces = greeting();
        // Streams begin in their order, as RFC 9113 asks.
        pieces.extend(played.iter_mut().map(|(client, ..)| (C, client.remove(0))));
        // Servers that answer before they have heard everything are left out: what counts then is who was first.
        let mut last: Vec<(Side, Vec<u8>)> = played.iter_mut().filter_map(|(_, server, _)| server.pop()).map(|frame| (S, frame)).collect();
        let queues = played.into_iter().flat_map(|(client, server, _)| [(C, client.into()), (S, server.into())]);
        let mut queues: Vec<(Side, VecDeque<Vec<u8>>)> = queues.collect();
        let mut choices = mixed.into_iter().cycle();
        while queues.iter().any(|(_, queue)| !queue.is_empty()) {
            queues.retain(|(_, queue)| !queue.is_empty());
            let choice = choices.next().unwrap_or(0) % queues.len();
            let (side, queue) = &mut queues[choice];
            pieces.extend(queue.pop_front().map(|frame| (*side, frame)));
            queues.rotate_left(1);
        }
        pieces.append(&mut last);
        (pieces, said)
    })
}

/// What was said of each stream, in words.
fn said(transcript: &testing::Transcript, more: &[Said]) -> Vec<String> {
    let mut lines = Vec::new();
    for Message { head, end, .. } in &transcript.messages {
        let Some(Head::Request(request)) = head else { continue };
        assert!(end.is_some(), "{head:?}");
        let stream = request.correlation;
        let response = transcript.messages.iter().find_map(|other| match &other.head {
            Some(Head::Response(response)) if response.correlation == stream && !response.interim && other.end.is_some() => Some(response),
            _ => None,
        });
        let counts = more.iter().find_map(|(_, more)| match more {
            More::Trailer(response) if response.correlation == stream => {
                let count = |key| text(&response.attributes, key).unwrap_or_default();
                Some(format!("{} {}", count(semconv::WIRESPAN_RPC_REQUEST_MESSAGES), count(semconv::WIRESPAN_RPC_RESPONSE_MESSAGES)))
            }
            _ => None,
        });
        let rest = match (counts, response) {
            (Some(counts), Some(_)) => format!("{} {counts}", request.name),
            (None, Some(response)) => {
                let path = text(&request.attributes, semconv::URL_PATH).unwrap_or_default();
                format!("{} {path} {}", request.name, text(&response.attributes, semconv::HTTP_RESPONSE_STATUS_CODE).unwrap_or_default())
            }
            _ => "no response".to_owned(),
        };
        lines.push(format!("{} {rest}", stream.unwrap_or_default()));
    }
    lines.sort();
    lines
}

/// Cuts every piece at places that follow from `seeds`.
fn cut<'a>(pieces: &'a [(Side, Vec<u8>)], seeds: &[u8]) -> Vec<(Side, &'a [u8])> {
    let mut seeds = seeds.iter().cycle();
    let mut cut = Vec::new();
    for (side, bytes) in pieces {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rest.len().min(1 + usize::from(*seeds.next().unwrap_or(&0))));
            cut.push((*side, piece));
            rest = tail;
        }
    }
    cut
}

fn run(pieces: &[(Side, Vec<u8>)], seeds: &[u8]) -> (testing::Transcript, Vec<Said>) {
    testing::run_with_more(Http2.decoder(SERVER, false).as_mut(), &cut(pieces, seeds))
}

/// A part of a header block.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let names = ["traceparent", "x-b3-traceid", "user-agent", "cookie", "x-any", ":path", "grpc-status"];
    let string = |text: Vec<u8>, huffman: bool| {
        let (bytes, high) = if huffman { (encode(&text), 0x80) } else { (text, 0) };
        if bytes.len() < 127 {
            [&[high | bytes.len() as u8][..], &bytes].concat()
        } else {
            [&[high | 127, (bytes.len() - 127) as u8][..], &bytes].concat()
        }
    };
    let value = prop_oneof![9 => prop::collection::vec(b' '..b'~', 0..30), 1 => prop::collection::vec(any::<u8>(), 0..120)];
    let literal = (
        prop::sample::select(vec![0x40_u8, 0x00, 0x10]),
        prop::option::of(1..=14_u8),
        prop::sample::select(names.to_vec()),
        value,
        any::<bool>(),
        any::<bool>(),
    );
    prop_oneof![
        4 => prop::sample::select((1..=66_u8).collect::<Vec<_>>()).prop_map(|index| vec![0x80 | index]),
        6 => literal.prop_map(move |(kind, index, name, value, huffman, also)| match index {
            Some(index) => [vec![kind | index], string(value, huffman)].concat(),
            None => [vec![kind], string(name.as_bytes().to_vec(), also), string(value, huffman)].concat(),
        }),
        1 => prop::sample::select(vec![0_u8, 30]).prop_map(|size| vec![0x20 | size]),
        1 => Just(vec![0x3f, 0xe1, 0x1f]),
    ]
}

proptest! {
    #[test]
    fn every_exchange_is_told_however_its_frames_are_mixed_and_cut((pieces, expected) in play(), seeds in prop::collection::vec(0..60u8, 1..20)) {
        let (transcript, more) = run(&pieces, &seeds);
        prop_assert_eq!(said(&transcript, &more), expected);
        prop_assert_eq!((transcript.left, transcript.invalid), (None, 0));
        prop_assert_eq!((transcript, more), run(&pieces, &[255]));
    }

    #[test]
    fn damaged_conversations_do_not_depend_on_cuts_either(
        (mut pieces, _) in play(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3u8, any::<u8>()), 1..6),
        seeds in prop::collection::vec(0..60u8, 1..20),
    ) {
        for (piece, place, how, byte) in damage {
            let index = piece.index(pieces.len());
            let bytes = &mut pieces[index].1;
            let at = place.index(bytes.len() + 1);
            match how {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = byte),
            }
        }
        prop_assert_eq!(run(&pieces, &seeds), run(&pieces, &[255]));
    }

    #[test]
    fn with_its_middle_missing_a_conversation_has_no_false_message((pieces, expected) in play(), place in any::<prop::sample::Index>()) {
        // A piece is lost: what is told of streams must be what happened on them, or less.
        let lost = 2 + place.index(pieces.len() - 2);
        let mut decoder = Connection::new(SERVER);
        let mut told: Vec<String> = Vec::new();
        for (index, (side, bytes)) in pieces.iter().enumerate() {
            if index == lost {
                decoder.lost(*side);
                continue;
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let Step::Take(take) = decoder.decode(*side, rest, false) else { break };
                rest = rest.get(take.used as usize..).unwrap_or_default();
                if let Some(Head::Request(request)) = take.head.map(|head| *head) {
                    let path = text(&request.attributes, semconv::URL_PATH);
                    let what = path.map_or_else(|| request.name.to_string(), |path| format!("{} {path}", request.name));
                    told.push(format!("{} {what} ", take.stream));
                }
            }
        }
        for line in told {
            prop_assert!(expected.iter().any(|known| format!("{known} ").starts_with(line.trim_end())), "{} is not in {:?}", line, expected);
        }
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..300), (pieces, _) in play()) {
        testing::fuzz(&Http2, &bytes);
        let all: Vec<u8> = pieces.into_iter().flat_map(|(_, piece)| piece).collect();
        testing::fuzz(&Http2, &all);
    }

    #[test]
    fn another_decoder_reads_the_same_fields(blocks in prop::collection::vec(prop::collection::vec(part(), 0..12), 1..6)) {
        let (mut oracle, mut table, mut block) = (loona_hpack::Decoder::new(), Table::default(), Block::default());
        for parts in blocks {
            let bytes = parts.concat();
            // What it refuses ends the connection.
            let Ok(fields) = oracle.decode(&bytes) else { break };
            prop_assert_eq!(hpack::decode(&mut table, &bytes, &mut block), Ok(()));
            let expected: Vec<_> = fields.iter().filter_map(|(name, value)| match Name::of(name) {
                Name::Kept(name) => Some((name, value.clone())),
                _ => None,
            }).collect();
            let found: Vec<_> = block.iter().map(|(name, value)| (name, value.to_vec())).collect();
            prop_assert_eq!((found, block.unknown), (expected, false));
        }
    }

    #[test]
    fn hostile_blocks_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut table = Table::default();
        for chunk in bytes.chunks(40) {
            let _ = hpack::decode(&mut table, chunk, &mut Block::default());
        }
    }
}
