//! Conversations as a specification. What clients and brokers say is written by `kafka-protocol`, in every version that it knows.
mod properties;
mod versions;
mod wire;

use super::Kafka;
use super::records::identity;
use crate::protocol::attribute::Value;
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Message, Protocol, Side};
use wire::*;

pub(super) const C: Side = Side::Client;
pub(super) const S: Side = Side::Server;
/// What no output may contain.
pub(super) const CANARY: &str = "c4n4ry";

/// What the decoder makes of these pieces.
pub(super) fn talk(pieces: &[(Side, &[u8])]) -> Transcript {
    testing::run(Kafka.decoder(SERVER, false).as_mut(), pieces)
}

/// Messages in a line each, with everything that is known of them; `-` for what yields nothing.
pub(super) fn told(transcript: &Transcript) -> Vec<String> {
    let attributes = |all: &[crate::protocol::attribute::Attribute]| {
        let texts = all.iter().map(|attribute| {
            let value = match &attribute.value {
                Value::Text(text) => text.to_string(),
                other => format!("{other:?}"),
            };
            format!(" {}={value}", attribute.key.strip_prefix("messaging.").expect("messaging"))
        });
        texts.collect::<String>()
    };
    let messages = |all: &[Message]| {
        let ids = all.iter().map(|message| {
            let carried = message.carried.as_ref().and_then(|carried| carried.contexts().next()).map(|context| context.trace_id[0]);
            match (message.id, carried) {
                (id, Some(trace)) => format!(" [{} trace {trace:02x}]", id.map_or_else(String::new, numbered)),
                (Some(id), None) => format!(" [{}]", numbered(id)),
                (None, None) => " []".to_owned(),
            }
        });
        ids.collect::<String>()
    };
    let tell = |head: &Option<Head>| match head {
        None => "-".to_owned(),
        Some(Head::Request(request)) => {
            assert!(request.correlation.is_some() && request.carried.is_none() && !request.exports);
            let asks_again = ["poll", "Metadata", "FindCoordinator"].contains(&request.name.as_ref());
            assert_eq!(request.quiet, asks_again, "{}", request.name);
            let unanswered = if request.answered { "" } else { " unanswered" };
            format!("> {:?} {}{unanswered}:{}{}", request.kind, request.name, attributes(&request.attributes), messages(&request.messages))
        }
        Some(Head::Response(response)) => {
            assert_eq!(response.client_error, response.server_error);
            assert!(response.correlation.is_some());
            let error = response.client_error.as_deref().map(|error| format!(" !{error}")).unwrap_or_default();
            let name = response.name.as_deref().map(|name| format!(" {name}:")).unwrap_or_default();
            let idle = if response.idle { " idle" } else { "" };
            format!("<{idle}{error}{name}{}{}", attributes(&response.attributes), messages(&response.messages))
        }
    };
    transcript.messages.iter().map(|message| tell(&message.head)).collect()
}

/// What an identity stands for, among the first messages of the topics that these tests use.
fn numbered(id: u64) -> String {
    for topic in ["orders", "packed"] {
        let name = Message::identity(("kafka", topic));
        let found =
            (0..4).flat_map(|partition| (0..200).map(move |offset| (partition, offset))).find(|at| identity((name, at.0), at.1) == id);
        if let Some((partition, offset)) = found {
            return format!("{topic}/{partition}@{offset}");
        }
    }
    "unknown".to_owned()
}

#[test]
fn one_message_is_sent_and_numbered() {
    let sent = produce(3, 7, &[("orders", 2, batch(&[record(0, "order-1", Some(CANARY), Some(TRACEPARENT))]))]);
    let answer = produced(3, 7, &[("orders", 2, 0, 41)]);
    let transcript = talk(&[(C, &sent), (S, &answer)]);
    assert_eq!(
        told(&transcript),
        [
            "> Publish send orders: system=kafka client.id=shop operation.name=send operation.type=send destination.partition.id=2 \
             destination.name=orders kafka.message.key=order-1 [ trace 4b]",
            "< kafka.offset=Int(41) [orders/2@41]",
        ]
    );
    let places: Vec<_> = transcript.messages.iter().map(|message| (message.start, message.end)).collect();
    assert_eq!(places, [(0, Some(sent.len() as u64)), (0, Some(answer.len() as u64))]);
}

#[test]
fn several_messages_have_a_count_and_no_key() {
    let many: Vec<_> = (0..3).map(|offset| record(offset, "k", Some("v"), None)).collect();
    let sent = produce(9, 1, &[("orders", 0, batch(&many)), ("orders", 1, batch(&many[..1]))]);
    let answer = produced(9, 1, &[("orders", 0, 0, 10), ("orders", 1, 0, 5)]);
    assert_eq!(
        told(&talk(&[(C, &sent), (S, &answer)])),
        [
            "> Publish send orders: system=kafka client.id=shop operation.name=send operation.type=send destination.name=orders \
             batch.message_count=Int(4)",
            "< [orders/0@10] [orders/0@11] [orders/0@12] [orders/1@5]",
        ]
    );
}

#[test]
fn messages_for_several_topics_name_none() {
    let one = batch(&[record(0, "k", Some("v"), None)]);
    let sent = produce(9, 1, &[("orders", 0, one.clone()), ("packed", 0, one)]);
    assert_eq!(
        told(&talk(&[(C, &sent)])),
        ["> Publish send: system=kafka client.id=shop operation.name=send operation.type=send batch.message_count=Int(2)"]
    );
}

#[test]
fn what_asks_for_no_acknowledgement_gets_none() {
    let one = batch(&[record(0, "k", None, None)]);
    let sent = produce_unacknowledged(8, 1, &[("orders", 0, one)]);
    let next = metadata(9, 2);
    let transcript = talk(&[(C, &sent), (C, &next), (S, &looked_up(9, 2, "orders", 0, 0))]);
    assert_eq!(
        told(&transcript),
        [
            "> Publish send orders unanswered: system=kafka client.id=shop operation.name=send operation.type=send \
             destination.partition.id=0 destination.name=orders kafka.message.key=k kafka.message.tombstone=Bool(true)",
            "> Database Metadata: system=kafka client.id=shop operation.name=Metadata",
            "< idle",
        ]
    );
}

#[test]
fn errors_are_told_by_their_names() {
    let sent = produce(8, 1, &[("orders", 0, batch(&[record(0, "k", Some("v"), None)]))]);
    let answer = produced(8, 1, &[("orders", 0, 3, -1)]);
    assert_eq!(told(&talk(&[(C, &sent), (S, &answer)]))[1], "< !UNKNOWN_TOPIC_OR_PARTITION");
    let answers = talk(&[(C, &metadata(12, 5)), (S, &looked_up(12, 5, "orders", 0, 29))]);
    assert_eq!(told(&answers)[1], "< !TOPIC_AUTHORIZATION_FAILED");
    let fetched = talk(&[(C, &fetch(11, 6, -1)), (S, &fetched(11, 6, &[("orders", 0, 1, Vec::new())]))]);
    assert_eq!(
        told(&fetched)[1],
        "< !OFFSET_OUT_OF_RANGE poll orders: operation.name=poll operation.type=receive destination.partition.id=0 destination.name=orders"
    );
}

#[test]
fn a_poll_is_told_with_what_it_found_and_not_if_that_is_nothing() {
    let records = [record(7, "order-7", Some(CANARY), Some(TRACEPARENT)), record(8, "order-8", Some(CANARY), None)];
    let pieces = [
        (C, fetch(11, 1, -1)),
        (S, fetched(11, 1, &[("orders", 0, 0, Vec::new())])),
        (C, fetch(11, 2, -1)),
        (S, fetched(11, 2, &[("orders", 0, 0, Vec::new()), ("orders", 1, 0, batch(&records))])),
        (C, fetch(11, 3, -1)),
        (S, fetched(11, 3, &[("orders", 0, 0, batch(&records[..1]))])),
    ];
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let asked = "> Consume poll: system=kafka client.id=shop operation.name=poll operation.type=receive";
    assert_eq!(
        told(&talk(&pieces)),
        [
            asked,
            "< idle",
            asked,
            "< poll orders: operation.name=poll operation.type=receive destination.partition.id=1 destination.name=orders \
             batch.message_count=Int(2) [orders/1@7 trace 4b] [orders/1@8]",
            asked,
            "< poll orders: operation.name=poll operation.type=receive destination.partition.id=0 destination.name=orders \
             kafka.message.key=order-7 kafka.offset=Int(7) [orders/0@7 trace 4b]",
        ]
    );
}

#[test]
fn compressed_messages_are_counted_and_numbered_and_not_unpacked() {
    let many: Vec<_> = (20..24).map(|offset| record(offset, "k", Some("v"), Some(TRACEPARENT))).collect();
    let answer = fetched(12, 1, &[("packed", 3, 0, packed(&many))]);
    assert_eq!(
        told(&talk(&[(C, &fetch(12, 1, -1)), (S, &answer)]))[1],
        "< poll packed: operation.name=poll operation.type=receive destination.partition.id=3 destination.name=packed \
         batch.message_count=Int(4) [packed/3@20] [packed/3@21] [packed/3@22] [packed/3@23]"
    );
}

#[test]
fn marks_of_transactions_are_no_messages() {
    let mut marker = record(9, "k", Some("v"), None);
    marker.control = true;
    let answer = fetched(12, 1, &[("orders", 0, 0, batch(&[marker]))]);
    assert_eq!(told(&talk(&[(C, &fetch(12, 1, -1)), (S, &answer)]))[1], "< idle");
}

#[test]
fn message_sets_of_old_brokers_are_read() {
    let set = [message_set(0, 5, b"order-5", Some(b"v")), message_set(1, 6, b"order-6", None)].concat();
    let answer = fetched(4, 1, &[("orders", 0, 0, set)]);
    assert_eq!(
        told(&talk(&[(C, &fetch(4, 1, -1)), (S, &answer)]))[1],
        "< poll orders: operation.name=poll operation.type=receive destination.partition.id=0 destination.name=orders \
         batch.message_count=Int(2) [orders/0@5] [orders/0@6]"
    );
}

#[test]
fn a_batch_that_a_broker_cut_is_nobodys() {
    let whole = batch(&[record(1, "k", Some("v"), None)]);
    let cut = [&whole[..], &batch(&[record(2, "k", Some("v"), None)])[..40]].concat();
    let answer = fetched(11, 1, &[("orders", 0, 0, cut)]);
    assert!(told(&talk(&[(C, &fetch(11, 1, -1)), (S, &answer)]))[1].ends_with("kafka.message.key=k kafka.offset=Int(1) [orders/0@1]"));
}

#[test]
fn of_a_message_captured_in_part_what_is_there_is_told() {
    let large = "x".repeat(5000);
    let records: Vec<_> = (0..3).map(|offset| record(offset, "k", Some(&large), Some(TRACEPARENT))).collect();
    let sent = produce(9, 1, &[("orders", 0, batch(&records))]);
    for (seen, contexts) in [(sent.len() - 1, 3), (sent.len() - 100, 2), (5300, 1), (200, 0)] {
        let mut decoder = Kafka.decoder(SERVER, false);
        assert_eq!(decoder.decode(C, &sent[..seen], false), crate::protocol::Step::More);
        let take = decoder.unseen(C).expect("its length is known");
        assert_eq!(take.used, sent.len() as u64);
        let Some(Head::Request(request)) = take.head.map(|head| *head) else { panic!("a request") };
        // One batch and nothing behind it: its count is in its head.
        let count = request.attributes.iter().find(|attribute| attribute.key == "messaging.batch.message_count");
        assert_eq!(request.name, "send orders");
        assert_eq!(request.messages.len(), contexts, "{seen}");
        assert_eq!(count.map(|count| &count.value), Some(&Value::Int(3)), "{seen}");
    }
}

#[test]
fn what_a_group_does_is_told_without_its_heartbeats() {
    let pieces = [
        (C, find_coordinator(4, 1)),
        (S, coordinator(4, 1, 15)),
        (C, find_coordinator(4, 2)),
        (S, coordinator(4, 2, 0)),
        (C, join(9, 3)),
        (S, joined(9, 3, 79)),
        (C, join(9, 4)),
        (S, joined(9, 4, 0)),
        (C, heartbeat(4, 5)),
        (S, alive(4, 5)),
        (C, commit(9, 6)),
        (S, committed(9, 6, 22)),
    ];
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    assert_eq!(
        told(&talk(&pieces)),
        [
            "> Database FindCoordinator: system=kafka client.id=shop operation.name=FindCoordinator",
            "< !COORDINATOR_NOT_AVAILABLE",
            "> Database FindCoordinator: system=kafka client.id=shop operation.name=FindCoordinator",
            "< idle",
            "> Database JoinGroup: system=kafka client.id=shop consumer.group.name=billing operation.name=JoinGroup",
            "<",
            "> Database JoinGroup: system=kafka client.id=shop consumer.group.name=billing operation.name=JoinGroup",
            "<",
            "-",
            "-",
            "> Database commit orders: system=kafka client.id=shop consumer.group.name=billing operation.name=commit operation.type=settle \
             destination.partition.id=0 destination.name=orders",
            "< !ILLEGAL_GENERATION",
        ]
    );
}

#[test]
fn what_brokers_copy_is_no_poll() {
    for version in [12, 14, 15, 18] {
        let transcript = talk(&[(C, &fetch(version, 1, 3)), (S, &fetched(version, 1, &[("orders", 0, 0, Vec::new())]))]);
        assert_eq!(told(&transcript), ["-", "-"], "{version}");
    }
}

#[test]
fn topics_named_by_id_have_the_names_that_a_broker_told_on_any_connection() {
    let id = 0x1234_5678_9abc_def0;
    let one = batch(&[record(3, "k", Some("v"), None)]);
    let poll = |id| talk(&[(C, &fetch(13, 1, -1)), (S, &fetched_by_id(13, 1, id, one.clone()))]);
    assert_eq!(
        told(&poll(0x00dd))[1],
        "< poll: operation.name=poll operation.type=receive destination.partition.id=0 kafka.message.key=k kafka.offset=Int(3)"
    );
    talk(&[(C, &metadata(12, 1)), (S, &looked_up(12, 1, "orders", id, 0))]);
    assert_eq!(
        told(&poll(id))[1],
        "< poll orders: operation.name=poll operation.type=receive destination.partition.id=0 destination.name=orders \
         kafka.message.key=k kafka.offset=Int(3) [orders/0@3]"
    );
}

#[test]
fn responses_are_paired_by_their_correlation_and_strangers_are_stepped_over() {
    let answers = [produced(9, 99, &[]), joined(9, 5, 0)].concat();
    let transcript = talk(&[(C, &join(9, 4)), (C, &join(9, 5)), (S, &answers)]);
    let heads: Vec<_> = transcript.messages.iter().map(|message| message.head.as_ref().map(correlation)).collect();
    assert_eq!((heads, transcript.invalid), (vec![Some(Some(4)), Some(Some(5)), None, Some(Some(5))], 0));
}

fn correlation(head: &Head) -> Option<u64> {
    match head {
        Head::Request(request) => request.correlation,
        Head::Response(response) => response.correlation,
    }
}

#[test]
fn keys_are_told_only_if_they_are_identifiers() {
    for (key, is_told) in [
        ("order-1", true),
        ("a/b:c_d.e", true),
        ("someone@example.com", false),
        ("two words", false),
        ("{\"a\":1}", false),
        (&"k".repeat(65), false),
    ] {
        let sent = produce(9, 1, &[("orders", 0, batch(&[record(0, key, Some("v"), None)]))]);
        assert_eq!(told(&talk(&[(C, &sent)]))[0].contains("kafka.message.key="), is_told, "{key}");
    }
}

#[test]
fn secrets_never_leave_the_parser() {
    let mut secret = record(0, &format!("{CANARY} key"), Some(CANARY), Some(TRACEPARENT));
    secret.headers.insert(text(CANARY), Some(CANARY.into()));
    secret.headers.insert(text("token"), Some(CANARY.into()));
    let pieces = [
        (C, sasl_handshake(1, 1)),
        (S, sasl_shaken(1, 1)),
        (C, sasl_authenticate(2, 2)),
        (S, sasl_refused(2, 2)),
        (C, init_producer(4, 3)),
        (C, produce_in_transaction(9, 4, &[("orders", 0, batch(&[secret.clone()]))])),
        (C, commit_in_transaction(3, 5)),
        (C, fetch(11, 6, -1)),
        (S, fetched(11, 6, &[("orders", 0, 0, [batch(&[secret.clone()]), packed(&[secret])].concat())])),
    ];
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let transcript = talk(&pieces);
    assert_eq!(transcript.messages.iter().filter(|message| message.head.is_some()).count(), pieces.len());
    assert!(!format!("{transcript:?}").contains(CANARY), "{transcript:?}");
}

#[test]
fn tokens_that_are_no_messages_are_stepped_over() {
    let token = [&[0, 0, 0, 9][..], b"\0user\0c4n"].concat();
    let pieces = [(C, sasl_handshake(0, 1)), (S, sasl_shaken(0, 1)), (C, token), (S, vec![0; 4]), (C, metadata(1, 2))];
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let transcript = talk(&pieces);
    assert_eq!(transcript.invalid, 0);
    assert_eq!(
        told(&transcript),
        [
            "> Database SaslHandshake: system=kafka client.id=shop operation.name=SaslHandshake",
            "<",
            "-",
            "-",
            "> Database Metadata: system=kafka client.id=shop operation.name=Metadata",
        ]
    );
}

#[test]
fn after_a_loss_the_next_turn_begins_with_a_message() {
    let one = join(9, 4);
    let pieces = [(C, &one[7..]), (S, &joined(9, 3, 0)[..]), (C, &join(9, 5)[..]), (S, &joined(9, 5, 0)[..])];
    let transcript = talk(&pieces);
    assert_eq!(transcript.invalid, 1);
    assert_eq!(told(&transcript).iter().filter(|line| line.starts_with('>') || line.as_str() == "<").count(), 2);
}

#[test]
fn requests_are_recognised_by_what_they_are() {
    let nameless = |mut request: Vec<u8>| {
        request.drain(14..18);
        request[12..14].copy_from_slice(&[0xff; 2]);
        let size = u32::try_from(request.len() - 4).expect("short").to_be_bytes();
        request[..4].copy_from_slice(&size);
        request
    };
    let one = produce(9, 1, &[("orders", 0, batch(&[record(0, "k", Some("v"), None)]))]);
    for (side, bytes, expected) in [
        (C, one.clone(), Guess::Yes),
        (C, metadata(12, 1), Guess::Yes),
        (C, nameless(one.clone()), Guess::Likely),
        (C, nameless(join(9, 1)), Guess::Likely),
        (C, nameless(heartbeat(4, 1)), Guess::Likely),
        (S, produced(9, 1, &[]), Guess::Likely),
        // A session of ZooKeeper, its first request, PostgreSQL, HTTP, Redis, HTTP/2, TLS, MySQL, DNS over TCP, FastCGI.
        (C, [&[0, 0, 0, 0x2d][..], &[0; 14], &[0x75, 0x30], &[0; 29]].concat(), Guess::No),
        (C, [&[0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1][..], b"/\0"].concat(), Guess::No),
        (C, [&[0, 0, 0, 0x54, 0, 3, 0, 0][..], b"user\0postgres\0database\0postgres\0\0", &[0; 60]].concat(), Guess::No),
        (C, b"GET / HTTP/1.1\r\n\r\n".to_vec(), Guess::No),
        (C, b"*1\r\n$4\r\nPING\r\n".to_vec(), Guess::No),
        (S, b"+PONG\r\n".to_vec(), Guess::No),
        (C, [&[0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100][..], &[0; 12]].concat(), Guess::No),
        (C, vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], Guess::No),
        (C, vec![33, 0, 0, 0, 3, b'S', b'E', b'L'], Guess::No),
        (C, vec![0, 29, 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], Guess::No),
        (C, vec![1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], Guess::No),
    ] {
        assert_eq!(Kafka.detect(side, &bytes), expected, "{side:?} {bytes:?}");
    }
    for length in 1..one.len() {
        assert!(Kafka.detect(C, &one[..length]) >= Guess::Maybe, "{length}");
    }
}
