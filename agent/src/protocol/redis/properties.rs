//! What holds for every conversation: the messages do not depend on how the bytes are cut, and hostile bytes do no harm.
use super::Redis;
use super::tests::{C, S, command, line, talk};
use crate::protocol::{Side, testing};
use proptest::prelude::*;

/// A value of RESP2 or RESP3.
fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z ]{0,8}".prop_map(|text| format!("+{text}\r\n")),
        "[A-Z]{1,6}".prop_map(|text| format!("-{text} x\r\n")),
        any::<i64>().prop_map(|number| format!(":{number}\r\n")),
        "[ -~]{0,300}".prop_map(|text| format!("${}\r\n{text}\r\n", text.len())),
        "[ -~]{0,40}".prop_map(|text| format!("!{}\r\n{text}\r\n", text.len())),
        "[ -~]{0,40}".prop_map(|text| format!("={}\r\ntxt:{text}\r\n", text.len() + 4)),
        prop::collection::vec("[a-z]{1,9}", 0..4).prop_map(|chunks| {
            chunks.iter().fold("$?\r\n".to_owned(), |all, chunk| format!("{all};{}\r\n{chunk}\r\n", chunk.len())) + ";0\r\n"
        }),
        prop::sample::select(vec![
            "$-1\r\n",
            "*-1\r\n",
            "_\r\n",
            "#t\r\n",
            ",1.5e3\r\n",
            ",inf\r\n",
            "(123456789012345678901234567890\r\n",
            "+QUEUED\r\n"
        ])
        .prop_map(str::to_owned),
        Just("$9\r\nsubscribe\r\n".to_owned()),
        Just("$7\r\nmessage\r\n".to_owned()),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("*{}\r\n{}", items.len(), items.concat())),
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("~{}\r\n{}", items.len(), items.concat())),
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("*?\r\n{}.\r\n", items.concat())),
            prop::collection::vec((inner.clone(), inner.clone()), 0..3)
                .prop_map(|pairs| pairs.iter().fold(format!("%{}\r\n", pairs.len()), |all, (key, value)| all + key + value)),
            (inner.clone(), inner.clone(), inner).prop_map(|(key, value, about)| format!("|1\r\n{key}{value}{about}")),
        ]
    })
}

/// What a server sends: a value or a push.
fn any_reply() -> impl Strategy<Value = String> {
    let push = || prop::collection::vec(any_value(), 1..4).prop_map(|items| format!(">{}\r\n{}", items.len(), items.concat()));
    let annotated = push().prop_map(|push| format!("|1\r\n+a\r\n:1\r\n{push}"));
    prop_oneof![9 => any_value(), 1 => push(), 1 => annotated]
}

/// What a client sends.
fn any_command() -> impl Strategy<Value = String> {
    let known =
        ["GET k", "SET k v", "MULTI", "EXEC", "SELECT 4", "RESET", "SUBSCRIBE a b", "UNSUBSCRIBE", "CLIENT REPLY SKIP", "HELLO 3", "PING"];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(line),
        prop::sample::select(known.to_vec()).prop_map(|typed| format!("{typed}\r\n")),
        prop::collection::vec("[ -~]{0,12}", 1..40).prop_map(|words| command(&words.iter().map(String::as_str).collect::<Vec<_>>())),
        (0usize..600, 0usize..600).prop_map(|(key, value)| command(&["HSET", &"k".repeat(key), "f", &"v".repeat(value), "g", "w"])),
        prop::sample::select(vec!["\r\n", "*0\r\n", "*-1\r\n"]).prop_map(str::to_owned),
    ]
}

/// A conversation in turns.
fn any_conversation() -> impl Strategy<Value = Vec<(Side, String)>> {
    let turn = prop_oneof![
        prop::collection::vec(any_command(), 1..6).prop_map(|all| (C, all.concat())),
        prop::collection::vec(any_reply(), 1..6).prop_map(|all| (S, all.concat())),
    ];
    prop::collection::vec(turn, 1..8)
}

proptest! {
    #[test]
    fn cuts_change_nothing(turns in any_conversation(), joined in any::<bool>(), cuts in prop::collection::vec(1usize..9, 1..50)) {
        let whole: Vec<_> = turns.iter().map(|(side, text)| (*side, text.as_bytes())).collect();
        let mut pieces = Vec::new();
        let mut sizes = cuts.iter().cycle();
        for (side, bytes) in &whole {
            let mut rest = *bytes;
            while !rest.is_empty() {
                let size = sizes.next().map_or(1, |size| size * size).min(rest.len());
                let (piece, tail) = rest.split_at(size);
                pieces.push((*side, piece));
                rest = tail;
            }
        }
        prop_assert_eq!(talk(joined, &pieces), talk(joined, &whole));
    }

    #[test]
    fn replies_end_where_they_end(replies in prop::collection::vec(any_reply(), 1..10)) {
        let mut at = 0;
        let places: Vec<_> = replies.iter().map(|reply| {
            let start = at;
            at += reply.len() as u64;
            (start, Some(at))
        }).collect();
        let transcript = talk(false, &[(S, replies.concat().as_bytes())]);
        let found: Vec<_> = transcript.messages.iter().map(|message| (message.start, message.end)).collect();
        prop_assert_eq!((found, transcript.invalid), (places, 0));
    }

    #[test]
    fn damaged_conversations_change_nothing_with_their_cuts(turns in any_conversation(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        let mut turns: Vec<(Side, Vec<u8>)> = turns.into_iter().map(|(side, text)| (side, text.into_bytes())).collect();
        for (place, byte) in damage {
            let index = place.index(turns.len());
            let turn = &mut turns[index].1;
            let at = place.index(turn.len());
            turn[at] = byte;
        }
        let whole: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let bytes: Vec<_> = whole.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))).collect();
        prop_assert_eq!(talk(false, &bytes), talk(false, &whole));
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        testing::fuzz(&Redis, &bytes);
    }

    #[test]
    fn hostile_resp_neither_panics_nor_loops(text in "([*$+\\-:;.%|>~!=_#,(?0-9a-z]|\r\n|\r\n\\*[0-9]{1,20}\r\n|\\$[0-9]\r\n){0,200}") {
        testing::fuzz(&Redis, text.as_bytes());
    }
}
