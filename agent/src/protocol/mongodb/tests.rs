//! Conversations as a specification: what each side says, and the messages that become of it. Documents are made with the `bson` crate.
use super::MongoDb;
use super::bson::{Element, Value as Bson, elements};
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Kind, Protocol, Request, Side, Step};
use bson::{Document, doc};
use proptest::prelude::*;

const C: Side = Side::Client;
const S: Side = Side::Server;
const MORE_TO_COME: u32 = 1 << 1;
const EXHAUST: u32 = 1 << 16;

fn talk(pieces: &[(Side, Vec<u8>)]) -> Transcript {
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    testing::run(MongoDb.decoder(SERVER, false).as_mut(), &pieces)
}

fn value(attributes: &[Attribute], key: &str) -> String {
    attributes.iter().find(|attribute| attribute.key == key).map_or_else(String::new, |attribute| match &attribute.value {
        Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    })
}

/// Messages in a line each: `> number name @database`, with `!` if it is not answered, `< number code name`, with `idle` if it says
/// nothing, and `-` for what is no message of a pair.
fn told(transcript: &Transcript) -> Vec<String> {
    let tell = |head: &Option<Head>| match head {
        None => "-".to_owned(),
        Some(Head::Request(request)) => {
            let database = value(&request.attributes, "db.namespace");
            format!(
                "> {} {} @{database}{}",
                request.correlation.unwrap_or_default(),
                request.name,
                if request.answered { "" } else { " !" }
            )
        }
        Some(Head::Response(response)) => {
            assert_eq!(response.client_error, response.server_error);
            let [code, name] = ["db.response.status_code", "wirespan.db.error_name"].map(|key| value(&response.attributes, key));
            assert_eq!(code, response.client_error.as_deref().unwrap_or_default());
            let number = response.correlation.unwrap_or_default().to_string();
            let words = [number.as_str(), &code, &name, if response.idle { "idle" } else { "" }];
            words.into_iter().filter(|word| !word.is_empty()).fold("<".to_owned(), |all, word| all + " " + word)
        }
    };
    transcript.messages.iter().map(|message| tell(&message.head)).collect()
}

/// What is said, however it is cut.
fn heard(pieces: &[(Side, Vec<u8>)]) -> Vec<String> {
    let transcript = talk(pieces);
    let bytes: Vec<_> = pieces.iter().flat_map(|(side, bytes)| bytes.iter().map(|byte| (*side, vec![*byte]))).collect();
    assert_eq!(talk(&bytes), transcript, "one byte at a time");
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
    told(&transcript)
}

fn message(id: i32, answers: i32, kind: i32, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(16 + body.len() as i32).to_le_bytes()[..], &id.to_le_bytes(), &answers.to_le_bytes(), &kind.to_le_bytes(), &body].concat()
}

fn bytes(document: &Document) -> Vec<u8> {
    document.to_vec().expect("a document")
}

/// A section with the documents of a write.
fn documents(name: &str, all: &[Document]) -> Vec<u8> {
    let inside = [name.as_bytes(), b"\0", &all.iter().flat_map(bytes).collect::<Vec<_>>()].concat();
    [&[1][..], &(4 + inside.len() as i32).to_le_bytes(), &inside].concat()
}

fn ask_with(id: i32, flags: u32, command: &Document) -> (Side, Vec<u8>) {
    (C, message(id, 0, 2013, &[&flags.to_le_bytes(), b"\0", &bytes(command)]))
}

fn ask(id: i32, command: &Document) -> (Side, Vec<u8>) {
    ask_with(id, 0, command)
}

fn answer(id: i32, answers: i32, document: &Document) -> (Side, Vec<u8>) {
    (S, message(id, answers, 2013, &[&[0; 4], b"\0", &bytes(document)]))
}

fn ok() -> Document {
    doc! { "ok": 1.0 }
}

#[test]
fn a_command_and_its_reply_are_a_pair_by_their_numbers() {
    let find = doc! { "find": "products", "filter": { "secret": "c4n4ry" }, "lsid": { "id": 1 }, "$db": "shop" };
    let found = doc! { "cursor": { "firstBatch": [{ "secret": "c4n4ry" }], "id": 0i64, "ns": "shop.products" }, "ok": 1.0 };
    let pieces = [ask(7, &find), answer(1, 7, &found)];
    let transcript = talk(&pieces);
    let attributes = vec![
        Attribute::both("db.system.name", "mongodb"),
        Attribute::both("db.operation.name", "find"),
        Attribute::both("db.collection.name", "products".to_owned()),
        Attribute::both("db.namespace", "shop".to_owned()),
    ];
    let request = Request { attributes, correlation: Some(7), ..Request::new(Kind::Database, "find products".to_owned()) };
    assert_eq!(transcript.messages[0].head, Some(Head::Request(request)));
    assert_eq!(heard(&pieces), ["> 7 find products @shop", "< 7"]);
    let both = [ask(8, &find).1, ask(9, &doc! { "count": 1, "$db": "admin" }).1].concat();
    let answers = [answer(2, 9, &ok()).1, answer(3, 8, &found).1].concat();
    assert_eq!(heard(&[(C, both), (S, answers)]), ["> 8 find products @shop", "> 9 count @admin", "< 9", "< 8"]);
}

#[test]
fn commands_say_what_they_are_about_in_their_own_ways() {
    for (command, name) in [
        (doc! { "insert": "c", "ordered": true, "documents": [{ "a": 1 }], "$db": "d" }, "insert c"),
        (doc! { "aggregate": "c", "pipeline": [{ "$match": {} }], "cursor": {}, "$db": "d" }, "aggregate c"),
        (doc! { "aggregate": 1, "pipeline": [], "$db": "d" }, "aggregate"),
        (doc! { "getMore": 77i64, "collection": "c", "$db": "d" }, "getMore c"),
        (doc! { "findandmodify": "c", "$db": "d" }, "findAndModify c"),
        (doc! { "listCollections": 1, "$db": "d" }, "listCollections"),
        (doc! { "saslStart": 1, "payload": "c4n4ry", "$db": "d" }, "saslStart"),
        (doc! { "commitTransaction": 1, "$db": "d" }, "commitTransaction"),
        (doc! { "noSuchCommand": "c", "$db": "d" }, "mongodb"),
        (doc! { "find": "line\nbreak", "$db": "d" }, "find"),
    ] {
        assert_eq!(heard(&[ask(1, &command)]), [format!("> 1 {name} @d")]);
    }
}

#[test]
fn sections_come_in_any_order_and_a_checksum_behind_them() {
    let insert = bytes(&doc! { "insert": "c", "ordered": true, "$db": "d" });
    let written = documents("documents", &[doc! { "a": 1 }, doc! { "find": "c4n4ry" }]);
    let body = [&[0][..], &insert].concat();
    for parts in [[&body, &written], [&written, &body]] {
        let unchecked = message(1, 0, 2013, &[&[0; 4], parts[0], parts[1]]);
        let checked = message(2, 0, 2013, &[&1u32.to_le_bytes(), parts[0], parts[1], &[0xaa; 4]]);
        assert_eq!(heard(&[(C, unchecked), (C, checked)]), ["> 1 insert c @d", "> 2 insert c @d"]);
    }
}

#[test]
fn what_wants_no_answer_gets_none() {
    let insert = doc! { "insert": "c", "writeConcern": { "w": 0 }, "$db": "d" };
    let pieces = [ask_with(1, MORE_TO_COME, &insert), ask(2, &doc! { "count": "c", "$db": "d" }), answer(5, 2, &ok())];
    assert_eq!(heard(&pieces), ["> 1 insert c @d !", "> 2 count c @d", "< 2"]);
}

#[test]
fn errors_are_told_by_number_and_name() {
    let duplicate = doc! { "index": 0, "code": 11000, "errmsg": "E11000 c4n4ry" };
    for (reply, expected) in [
        (doc! { "ok": 0.0, "errmsg": "c4n4ry", "code": 59, "codeName": "CommandNotFound" }, "< 1 59 CommandNotFound"),
        (doc! { "ok": 0, "errmsg": "c4n4ry", "code": 16500i64, "codeName": "Location16500" }, "< 1 16500 Location16500"),
        (doc! { "ok": 0, "code": 4321, "codeName": "c4n4ry: no name" }, "< 1 4321"),
        (doc! { "ok": 0, "errmsg": "c4n4ry" }, "< 1 _OTHER"),
        (doc! { "n": 0, "writeErrors": [duplicate, { "code": 2 }], "ok": 1.0 }, "< 1 11000 DuplicateKey"),
        (doc! { "n": 1, "writeConcernError": { "code": 64, "codeName": "WriteConcernTimeout" }, "ok": 1.0 }, "< 1 64 WriteConcernTimeout"),
        (doc! { "n": 1, "ok": 1 }, "< 1"),
    ] {
        let heard = heard(&[ask(1, &doc! { "insert": "c", "$db": "d" }), answer(2, 1, &reply)]);
        assert_eq!(heard[1], expected);
        assert!(!heard.concat().contains("c4n4ry"));
    }
}

#[test]
fn monitors_are_no_pairs() {
    let hello = doc! { "hello": 1, "$db": "admin" };
    let watching = doc! { "hello": 1, "topologyVersion": {}, "maxAwaitTimeMS": 10000, "$db": "admin" };
    let streamed = |id, answers| (S, message(id, answers, 2013, &[&MORE_TO_COME.to_le_bytes(), b"\0", &bytes(&ok())]));
    let pieces = [
        ask(1, &hello),
        answer(10, 1, &ok()),
        ask_with(2, EXHAUST, &watching),
        streamed(11, 2),
        streamed(12, 11),
        streamed(13, 12),
        ask(3, &doc! { "isMaster": 1, "$db": "admin" }),
        answer(14, 3, &ok()),
        ask(4, &doc! { "ping": 1, "$db": "admin" }),
        answer(15, 4, &doc! { "ok": 0, "code": 13, "codeName": "Unauthorized" }),
        ask(5, &doc! { "count": "c", "$db": "d" }),
        answer(16, 5, &ok()),
    ];
    let expected = ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "> 5 count c @d", "< 5"];
    assert_eq!(heard(&pieces), expected);
}

#[test]
fn a_batch_with_nothing_in_it_is_idle_while_the_cursor_is_open() {
    let more = doc! { "getMore": 7i64, "collection": "c", "$db": "d" };
    let batch = |id: i64, documents: &[Document]| doc! { "cursor": { "nextBatch": documents, "id": id, "ns": "d.c" }, "ok": 1.0 };
    let pieces = [
        ask(1, &more),
        answer(10, 1, &batch(7, &[])),
        ask(2, &more),
        answer(11, 2, &batch(7, &[doc! { "a": 1 }])),
        ask(3, &more),
        answer(12, 3, &batch(0, &[])),
    ];
    assert_eq!(heard(&pieces), ["> 1 getMore c @d", "< 1 idle", "> 2 getMore c @d", "< 2", "> 3 getMore c @d", "< 3"]);
}

#[test]
fn older_messages_are_understood() {
    let query = |id, namespace: &str, document: &Document| {
        (C, message(id, 0, 2004, &[&[0; 4], namespace.as_bytes(), b"\0", &[0; 8], &bytes(document)]))
    };
    let reply = |id, answers, flags: u8, document: &Document| {
        (S, message(id, answers, 1, &[&[flags, 0, 0, 0], &[0; 12], &[1, 0, 0, 0], &bytes(document)]))
    };
    let pieces = [
        query(1, "admin.$cmd", &doc! { "ismaster": 1, "helloOk": true }),
        reply(10, 1, 8, &ok()),
        query(2, "shop.$cmd", &doc! { "$query": { "count": "c", "query": {} }, "$readPreference": {} }),
        reply(11, 2, 8, &doc! { "ok": 0.0, "code": 13 }),
        query(3, "shop.users", &doc! { "name": "c4n4ry" }),
        reply(12, 3, 2, &doc! { "$err": "c4n4ry", "code": 2 }),
        (C, message(4, 0, 2002, &[&[0; 4], b"shop.users\0", &bytes(&doc! { "name": "c4n4ry" })])),
        (C, message(5, 0, 2005, &[&[0; 4], b"shop.users\0", &[0; 12]])),
        (C, message(6, 0, 2007, &[&[0; 4], &[1, 0, 0, 0], &[0; 8]])),
    ];
    let expected = [
        "-",
        "-",
        "> 2 count c @shop",
        "< 2 13 Unauthorized",
        "> 3 find users @shop",
        "< 3 _OTHER",
        "> 4 insert users @shop !",
        "> 5 getMore users @shop",
        "> 6 killCursors @ !",
    ];
    assert_eq!(heard(&pieces), expected);
}

#[test]
fn compressed_messages_are_named_and_paired() {
    let compressed = |id, answers| message(id, answers, 2012, &[&2013i32.to_le_bytes(), &100i32.to_le_bytes(), &[2], b"c4n4ry"]);
    let transcript = talk(&[(C, compressed(1, 0)), (S, compressed(9, 1))]);
    assert_eq!(told(&transcript), ["> 1 mongodb @", "< 1"]);
    let Some(Head::Request(request)) = &transcript.messages[0].head else { panic!("no request") };
    assert_eq!(value(&request.attributes, "wirespan.incomplete"), "compression");
}

#[test]
fn large_messages_are_stepped_over_unseen() {
    let large = doc! { "insert": "c", "documents": [{ "a": "x".repeat(1_000_000) }], "$db": "d" };
    let (_, bytes) = ask(1, &large);
    let mut decoder = MongoDb.decoder(SERVER, false);
    let Step::Take(take) = decoder.decode(C, &bytes[..super::header::MAX_SHOWN], false) else { panic!("no step") };
    assert_eq!((take.used, take.start, take.head.is_some(), take.end), (bytes.len() as u64, true, true, true));
}

#[test]
fn secrets_never_leave_the_parser() {
    let secret = "c4n4ry";
    let anywhere = doc! {
        "filter": { secret: secret }, secret: secret, "documents": [{ secret: secret }], "comment": secret, "pipeline": [secret],
        "lsid": { "id": secret }, "payload": secret, "pwd": secret, "updates": [{ "q": { secret: secret }, "u": secret }],
    };
    let with = |mut first: Document| {
        first.extend(anywhere.clone());
        first.insert("$db", "d");
        first
    };
    let commands = [
        doc! { "find": "c" },
        doc! { "saslStart": 1 },
        doc! { "saslContinue": 1 },
        doc! { "createUser": secret },
        doc! { "hello": 1, "speculativeAuthenticate": { "payload": secret } },
        doc! { secret: secret },
        doc! { "getMore": 1i64 },
        doc! { "explain": { "find": secret } },
    ];
    for (id, command) in (1..).zip(commands) {
        let reply =
            with(doc! { "cursor": { "firstBatch": [secret], "id": 0i64 }, "ok": 0, "errmsg": secret, "code": 1, "codeName": "No c4n4ry" });
        let section = documents(secret, &[doc! { secret: secret }]);
        let body = [&[0][..], &bytes(&with(command))].concat();
        let transcript = talk(&[(C, message(id, 0, 2013, &[&[0; 4], &section, &body])), answer(99, id, &reply)]);
        assert_eq!((transcript.messages.len(), transcript.invalid), (2, 0));
        assert!(!format!("{transcript:?}").contains(secret), "{transcript:#?}");
    }
}

#[test]
fn a_header_and_what_follows_it_are_proof() {
    use Guess::{No, Yes};
    let (_, find) = ask(1, &doc! { "find": "c", "$db": "d" });
    let (_, reply) = answer(2, 1, &ok());
    let hello = message(1, 0, 2004, &[&[0; 4], b"admin.$cmd\0", &[0; 8], &bytes(&doc! { "ismaster": 1 })]);
    let older = message(2, 1, 1, &[&[0; 20], &bytes(&ok())]);
    let unknown = message(1, 0, 2013, &[&4u32.to_le_bytes(), b"\0", &bytes(&ok())]);
    for (side, bytes, guess) in [
        (C, find.clone(), Yes),
        (S, find, No),
        (S, reply.clone(), Yes),
        (C, reply, No),
        (C, hello, Yes),
        (S, older, Yes),
        (C, unknown, No),
        (C, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), No),
        (C, b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n".to_vec(), No),
        (C, b"\x0d\0\0\0\x03SELECT 1 FROM t".to_vec(), No),
        (C, b"\0\0\0\x2c\0\x12\0\x04\0\0\0\x01\0\x07client".to_vec(), No),
        (C, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03aaaaaaaaaaaa".to_vec(), No),
    ] {
        assert_eq!(MongoDb.detect(side, &bytes), guess, "{side:?} {}", bytes.escape_ascii());
        for cut in 0..bytes.len() {
            assert!(guess == No || MongoDb.detect(side, &bytes[..cut]) != No, "{} cut at {cut}", bytes.escape_ascii());
        }
    }
}

/// A value of any type.
fn any_bson() -> impl Strategy<Value = bson::Bson> {
    let leaf = prop_oneof![
        any::<f64>().prop_map(bson::Bson::Double),
        "[a-z]{0,20}".prop_map(bson::Bson::String),
        any::<bool>().prop_map(bson::Bson::Boolean),
        any::<i32>().prop_map(bson::Bson::Int32),
        any::<i64>().prop_map(bson::Bson::Int64),
        any::<i64>().prop_map(|ms| bson::Bson::DateTime(bson::DateTime::from_millis(ms))),
        Just(bson::Bson::Null),
        Just(bson::Bson::MinKey),
        Just(bson::Bson::Undefined),
        any::<[u8; 12]>().prop_map(|id| bson::Bson::ObjectId(bson::oid::ObjectId::from_bytes(id))),
        any::<[u8; 16]>().prop_map(|bytes| bson::Bson::Decimal128(bson::Decimal128::from_bytes(bytes))),
        prop::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| bson::Bson::Binary(bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes })),
        "[a-z]{0,9}".prop_map(bson::Bson::JavaScriptCode),
        "[a-z]{0,9}".prop_map(|code| bson::Bson::JavaScriptCodeWithScope(bson::JavaScriptCodeWithScope { code, scope: doc! { "a": 1 } })),
        any::<(u32, u32)>().prop_map(|(time, increment)| bson::Bson::Timestamp(bson::Timestamp { time, increment })),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(bson::Bson::Array),
            prop::collection::vec(("[a-z]{1,5}", inner), 0..4).prop_map(|pairs| bson::Bson::Document(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_bson_crate_agrees_about_every_element(pairs in prop::collection::vec(("[a-z]{1,8}", any_bson()), 0..12)) {
        let document: Document = pairs.into_iter().collect();
        let encoded = bytes(&document);
        let found: Vec<_> = elements(&encoded).collect();
        prop_assert_eq!(found.len(), document.len());
        for (Element { key, value }, (name, wanted)) in found.into_iter().zip(&document) {
            prop_assert_eq!(key, name.as_bytes());
            let same = match (value, wanted) {
                (Bson::Text(text), bson::Bson::String(wanted)) => text == wanted,
                (Bson::Number(number), bson::Bson::Int32(wanted)) => number == i64::from(*wanted),
                (Bson::Number(number), bson::Bson::Int64(wanted)) => number == *wanted,
                (Bson::Number(number), bson::Bson::Double(wanted)) => number == *wanted as i64,
                (Bson::Number(number), bson::Bson::Boolean(wanted)) => number == i64::from(*wanted),
                (Bson::Document(inner), bson::Bson::Document(wanted)) => inner == bytes(wanted),
                (Bson::Document(_), bson::Bson::Array(_)) | (Bson::Other, _) => true,
                _ => false,
            };
            prop_assert!(same, "{:?} {:?}", value, wanted);
        }
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_loop(input in prop::collection::vec(any::<u8>(), 0..600)) {
        testing::fuzz(&MongoDb, &input);
    }

    #[test]
    fn damaged_messages_change_nothing_with_their_cuts(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (_, mut request) = ask(1, &doc! { "insert": "c", "documents": [{ "a": 1 }], "$db": "d" });
        let index = at.index(request.len());
        request[index] = byte;
        let pieces = [(C, request.clone()), answer(2, 1, &ok())];
        let single: Vec<_> = pieces.iter().flat_map(|(side, bytes)| bytes.iter().map(|byte| (*side, vec![*byte]))).collect();
        prop_assert_eq!(talk(&single), talk(&pieces));
    }
}
