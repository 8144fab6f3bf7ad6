//! Conversations as a specification: what each side says, and the messages that become of it.
use super::MySql;
use super::packet::MAX_PAYLOAD;
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Kind, Protocol, Request, Side, Step};
use proptest::prelude::*;

const C: Side = Side::Client;
const S: Side = Side::Server;
/// An `OK` that says nothing, but that the server is ready.
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
/// A definition of a column; what is behind the catalogue's name is not read.
const COLUMN: &[u8] = b"\x03def\x01d\x01t\x01t\x01c\x01c\x0c\x21\0\0\0\0\0\xfd\0\0\0\0\0";
const MORE: u16 = 8;

fn talk(joined: bool, pieces: &[(Side, Vec<u8>)]) -> Transcript {
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    testing::run(MySql.decoder(SERVER, joined).as_mut(), &pieces)
}

fn value(attributes: &[Attribute], key: &str) -> String {
    attributes.iter().find(|attribute| attribute.key == key).map_or_else(String::new, |attribute| match &attribute.value {
        Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    })
}

/// Messages in a line each: `> name | text @database`, `< code sqlstate`, and `-` for what is no message
/// of a pair.
fn told(transcript: &Transcript) -> Vec<String> {
    let tell = |head: &Option<Head>| match head {
        None => "-".to_owned(),
        Some(Head::Request(request)) => {
            assert_eq!((request.kind, request.answered), (Kind::Database, true));
            let [text, database] = ["db.query.text", "db.namespace"].map(|key| value(&request.attributes, key));
            format!("> {} | {text} @{database}", request.name)
        }
        Some(Head::Response(response)) => {
            assert_eq!(response.client_error, response.server_error);
            let error = response.client_error.as_deref().unwrap_or_default();
            let [code, state] = ["db.response.status_code", "wirespan.db.sqlstate"].map(|key| value(&response.attributes, key));
            assert_eq!(code, error);
            ["<", error, &state].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        }
    };
    transcript.messages.iter().map(|message| tell(&message.head)).collect()
}

/// What is said on a connection, however its bytes are cut.
fn heard(joined: bool, pieces: &[(Side, Vec<u8>)]) -> Vec<String> {
    let transcript = talk(joined, pieces);
    let bytes: Vec<_> = pieces.iter().flat_map(|(side, bytes)| bytes.iter().map(|byte| (*side, vec![*byte]))).collect();
    assert_eq!(talk(joined, &bytes), transcript, "one byte at a time");
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
    told(&transcript)
}

/// Packets, numbered from `seq` on.
fn packets(seq: u8, payloads: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    for (seq, payload) in (seq..).zip(payloads) {
        all.extend(&(payload.len() as u32).to_le_bytes()[..3]);
        all.push(seq);
        all.extend(*payload);
    }
    all
}

fn ask(code: u8, rest: &[u8]) -> (Side, Vec<u8>) {
    (C, packets(0, &[&[&[code], rest].concat()]))
}

fn query(text: &str) -> (Side, Vec<u8>) {
    ask(3, text.as_bytes())
}

fn answer(payloads: &[&[u8]]) -> (Side, Vec<u8>) {
    (S, packets(1, payloads))
}

fn eof(status: u16) -> Vec<u8> {
    [&[0xfe, 0, 0][..], &status.to_le_bytes()].concat()
}

/// The newer end of a result.
fn end(status: u16) -> Vec<u8> {
    [&[0xfe, 0, 0][..], &status.to_le_bytes(), &[0, 0]].concat()
}

fn error(code: u16, state: &str, text: &str) -> Vec<u8> {
    [&[0xff][..], &code.to_le_bytes(), b"#", state.as_bytes(), text.as_bytes()].concat()
}

/// What comes before the first command: `mysql` or `mariadb`, the capabilities of both sides, the user, a proof, a database.
fn beginning(version: &str, capabilities: u32, database: &str) -> Vec<(Side, Vec<u8>)> {
    let flags = capabilities.to_le_bytes();
    let greeting = [
        &[10][..],
        version.as_bytes(),
        b"\0\x07\0\0\0challeng\0",
        &flags[..2],
        &[0x21, 2, 0],
        &flags[2..],
        &[21],
        &[0; 10],
        b"challenge...\0caching_sha2_password\0",
    ];
    let login =
        [&flags[..], &[0, 0, 0, 1, 0x21], &[0; 23], b"c4n4ry\0\x14c4n4ryc4n4ryc4n4ry..", database.as_bytes(), b"\0caching_sha2_password\0"];
    vec![(S, packets(0, &[&greeting.concat()])), (C, packets(1, &[&login.concat()]))]
}

/// Capabilities that nearly every client has: 4.1, a proof with a length, a database, a plug-in; and the older ends of results.
const USUAL: u32 = 1 << 3 | 1 << 9 | 1 << 15 | 1 << 19;
const DEPRECATE_EOF: u32 = 1 << 24;

fn connected(capabilities: u32, more: &[(Side, Vec<u8>)]) -> Vec<(Side, Vec<u8>)> {
    [beginning("8.4.0", capabilities, "shop"), vec![(S, packets(2, &[OK]))], more.to_vec()].concat()
}

#[test]
fn a_connection_and_its_first_statement_are_two_pairs() {
    let pieces = [
        beginning("5.5.5-10.11.6-MariaDB-1", USUAL, "shop"),
        vec![(S, packets(2, &[OK])), query("SELECT name FROM users WHERE id = 7 AND pin = 'c4n4ry'")],
        vec![answer(&[&[1], COLUMN, &eof(2), b"\x03bob", b"\xfb", &eof(2)])],
    ];
    let transcript = talk(false, &pieces.concat());
    assert_eq!(told(&transcript)[..3], ["-", "> COM_CONNECT |  @shop", "<"]);
    let Some(Head::Request(request)) = &transcript.messages[3].head else { panic!("no request") };
    let attributes = vec![
        Attribute::both("db.system.name", "mariadb"),
        Attribute::both("db.namespace", "shop".to_owned()),
        Attribute::both("db.query.text", "SELECT name FROM users WHERE id = ? AND pin = ?".to_owned()),
        Attribute::both("db.query.summary", "SELECT users".to_owned()),
    ];
    assert_eq!(*request, Request { attributes, ..Request::new(Kind::Database, "SELECT users".to_owned()) });
    assert_eq!(
        (transcript.messages.len(), transcript.messages[4].end, told(&transcript)[4].as_str()),
        (5, Some(173), "<"),
        "{transcript:?}"
    );
}

#[test]
fn another_proof_may_be_asked_for_and_a_refusal_is_an_error() {
    let refused = error(1045, "28000", "Access denied for user 'c4n4ry'");
    let pieces = [
        beginning("8.4.0", USUAL, ""),
        vec![(S, packets(2, &[b"\xfemysql_native_password\0challenge\0"])), (C, packets(3, &[b"c4n4ry"])), (S, packets(4, &[b"\x01\x04"]))],
        vec![(C, packets(5, &[b"c4n4ry\0"])), (S, packets(6, &[&refused]))],
    ];
    assert_eq!(
        heard(false, &pieces.concat()),
        ["-", "> COM_CONNECT |  @", "< 1045 28000", "-", "-"].into_iter().map(String::from).collect::<Vec<_>>()
    );
}

#[test]
fn tls_compression_and_replication_are_said() {
    let mut pieces = beginning("8.4.0", USUAL | 1 << 11, "shop");
    pieces[1].1 = packets(1, &[&[&(USUAL | 1 << 11).to_le_bytes()[..], &[0; 28]].concat()]);
    pieces.push((C, b"\x16\x03\x01".to_vec()));
    assert_eq!(talk(false, &pieces).left, Some("tls"));
    let compressed = [beginning("8.4.0", USUAL | 1 << 5, "shop"), vec![(S, packets(2, &[OK])), query("SELECT 1")]].concat();
    let transcript = talk(false, &compressed);
    assert_eq!((transcript.left, told(&transcript).len()), (Some("mysql-compressed"), 3));
    let replica = talk(false, &connected(USUAL, &[ask(0x12, &[0; 20]), answer(&[&[0; 30]])]));
    assert_eq!((replica.left, told(&replica)[3..].to_vec()), (Some("mysql-replication"), vec!["-".to_owned()]));
}

#[test]
fn results_end_where_they_end_in_either_form() {
    for ends in [false, true] {
        let edge: &[&[u8]] = if ends { &[&[0xfe, 0, 0, 2, 0]] } else { &[] };
        let last = if ends { eof } else { end };
        let result = |status: u16, rows: &[&[u8]]| -> Vec<Vec<u8>> {
            let last = last(status);
            let all = [&[&[1][..], COLUMN], edge, rows, &[&last]].concat();
            all.into_iter().map(<[u8]>::to_vec).collect()
        };
        let say = |results: &[Vec<Vec<u8>>]| {
            let all: Vec<&[u8]> = results.iter().flatten().map(Vec::as_slice).collect();
            answer(&all)
        };
        let pieces = [
            query("SELECT c FROM t"),
            say(&[result(2, &[b"\x01x", b"\xfb"])]),
            query("CALL p(1)"),
            say(&[result(MORE, &[]), result(MORE, &[b"\x01x"]), vec![OK.to_vec()]]),
            query("SELECT c FROM t"),
            say(&[result(2, &[])]),
            query("SELECT sleep(1) FROM t"),
            say(&[
                vec![vec![1], COLUMN.to_vec()],
                edge.iter().map(|part| part.to_vec()).collect(),
                vec![b"\x010".to_vec(), error(1317, "70100", "Query")],
            ]),
            ask(14, b""),
            answer(&[OK]),
        ];
        let capabilities = USUAL | if ends { 0 } else { DEPRECATE_EOF };
        let told = [
            "> SELECT t | SELECT c FROM t @shop",
            "<",
            "> CALL p | CALL p(?) @shop",
            "<",
            "> SELECT t | SELECT c FROM t @shop",
            "<",
            "> SELECT t | SELECT sleep(?) FROM t @shop",
            "< 1317 70100",
            "-",
            "-",
        ];
        assert_eq!(heard(false, &connected(capabilities, &pieces))[3..], told);
        assert_eq!(heard(true, &pieces), told.map(|line| line.replace("@shop", "@")));
    }
}

#[test]
fn what_is_prepared_is_known_when_it_is_executed() {
    let prepared: &[u8] = &[0, 5, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
    for ends in [false, true] {
        let eof: &[&[u8]] = if ends { &[&[0xfe, 0, 0, 2, 0]] } else { &[] };
        let definitions = [&[prepared, COLUMN, COLUMN], eof, &[COLUMN], eof].concat();
        let execute = |id: u32| ask(0x17, &[&id.to_le_bytes()[..], b"\0\x01\0\0\0\0\x01\xfd\0\x06c4n4ry"].concat());
        let pieces = [
            ask(0x16, b"SELECT c FROM t WHERE a = ? AND b = ?"),
            answer(&definitions),
            execute(5),
            answer(&[&[1], COLUMN, &[0xfe, 0, 0, 0x42, 0, 0, 0][..if ends { 5 } else { 7 }]]),
            ask(0x1c, &[5, 0, 0, 0, 1, 0, 0, 0]),
            answer(&[&[0, 0, 1], &[0xfe, 0, 0, 0x82, 0]]),
            ask(0x18, &[5, 0, 0, 0, 0, 0, 1]),
            ask(0x1a, &[5, 0, 0, 0]),
            answer(&[OK]),
            ask(0xfa, &[5, 0, 0, 0, 0x80, 0]),
            answer(&[OK]),
            ask(0x19, &[5, 0, 0, 0]),
            execute(5),
            answer(&[&error(1243, "HY000", "Unknown")]),
            ask(0x16, b"SELEKT"),
            answer(&[&error(1064, "42000", "Syntax")]),
        ];
        let capabilities = USUAL | if ends { 0 } else { DEPRECATE_EOF };
        let text = "SELECT c FROM t WHERE a = ? AND b = ?";
        assert_eq!(
            heard(false, &connected(capabilities, &pieces))[3..],
            [
                format!("> PREPARE SELECT t | {text} @shop"),
                "<".into(),
                format!("> SELECT t | {text} @shop"),
                "<".into(),
                "> COM_STMT_FETCH |  @shop".into(),
                "<".into(),
                "-".into(),
                "> COM_STMT_RESET |  @shop".into(),
                "<".into(),
                format!("> BATCH SELECT t | {text} @shop"),
                "<".into(),
                "-".into(),
                "> COM_STMT_EXECUTE |  @shop".into(),
                "< 1243 HY000".into(),
                "> PREPARE SELEKT | SELEKT @shop".into(),
                "< 1064 42000".into(),
            ]
        );
    }
}

#[test]
fn mariadb_prepares_and_executes_in_one_turn() {
    let both = [ask(0x16, b"DELETE FROM t WHERE a = ?").1, ask(0x17, b"\xff\xff\xff\xff\0\x01\0\0\0").1].concat();
    let answers = [answer(&[&[0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]).1, answer(&[OK]).1].concat();
    assert_eq!(
        heard(false, &connected(USUAL | DEPRECATE_EOF, &[(C, both), (S, answers)]))[3..],
        ["> PREPARE DELETE t | DELETE FROM t WHERE a = ? @shop", "> DELETE t | DELETE FROM t WHERE a = ? @shop", "<", "<"]
    );
}

#[test]
fn the_database_follows_what_succeeded() {
    let changed = [&[0, 0, 0, 2, 0x40, 0, 0, 0][..], b"\x0a\x01\x08\x07tracked"].concat();
    let pieces = [
        ask(2, b"first"),
        answer(&[OK]),
        query("USE `second`"),
        answer(&[OK]),
        ask(2, b"none"),
        answer(&[&error(1049, "42000", "Unknown database")]),
        query("SELECT 1; USE x"),
        answer(&[&changed]),
        ask(0x11, b"c4n4ry\0\x03\x01\x02\x03fourth\0\x21\0"),
        (S, packets(1, &[b"\xfeplugin\0c"])),
        (C, packets(2, &[b"c4n4ry"])),
        (S, packets(3, &[OK])),
        query("SELECT 1"),
        answer(&[OK]),
    ];
    let told = heard(false, &connected(USUAL, &pieces));
    let requests: Vec<&str> = told.iter().filter_map(|line| line.rsplit_once('@')).map(|(_, database)| database).collect();
    assert_eq!(requests, ["shop", "shop", "first", "second", "second", "tracked", "fourth"]);
}

#[test]
fn files_are_stepped_over() {
    let pieces = [
        query("LOAD DATA LOCAL INFILE '/etc/c4n4ry' INTO TABLE t"),
        answer(&[b"\xfb/etc/c4n4ry"]),
        (C, packets(2, &[b"c4n4ry,1\n", b"\x03c4n4ry", b""])),
        (S, packets(5, &[OK])),
        query("DO 1"),
        answer(&[OK]),
    ];
    let told = heard(false, &connected(USUAL, &pieces));
    assert_eq!(told[4..8], ["<", "-", "-", "-"]);
    assert_eq!(told[9..], ["<"]);
}

#[test]
fn attributes_of_a_query_carry_its_context() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let with = |attributes: &[u8]| {
        let transcript = talk(true, &[ask(3, &[attributes, b"SELECT 1"].concat())]);
        let Some(Head::Request(request)) = &transcript.messages[0].head else { panic!("no request") };
        let carried = request.carried.as_ref().and_then(|carried| carried.contexts().next().map(|context| context.trace_id[0]));
        (value(&request.attributes, "db.query.text"), carried)
    };
    assert_eq!(with(&[0, 1]), ("SELECT ?".to_owned(), None));
    let one = [b"\x03\x01\x02\x01\x08\0\x01n\xfe\0\x04null\xfe\0\x0btraceparent\x2a\0\0\0\0\0\0\0\x37", parent.as_bytes()].concat();
    assert_eq!(with(&one), ("SELECT ?".to_owned(), Some(0x4b)));
    let comment = format!("/* traceparent='{parent}' */ ");
    assert_eq!(with(comment.as_bytes()), ("SELECT ?".to_owned(), Some(0x4b)));
}

#[test]
fn payloads_of_16_mib_and_large_rows_are_stepped_over_unseen() {
    let mut decoder = MySql.decoder(SERVER, true);
    let mut step = |side, bytes: &[u8]| match decoder.decode(side, bytes, false) {
        Step::Take(take) => (take.used, take.start, take.head.is_some(), take.end),
        other => panic!("{other:?}"),
    };
    let long = |seq: u8, len: u32, start: &[u8]| [&len.to_le_bytes()[..3], &[seq], start].concat();
    let text = [b"\x03INSERT INTO t VALUES ('".as_slice(), &[b'x'; 9000]].concat();
    assert_eq!(step(C, &long(0, MAX_PAYLOAD, &text)), (4 + u64::from(MAX_PAYLOAD), true, true, false));
    assert_eq!(step(C, &long(1, 5, b"more")), (9, false, false, true));
    // The command had two packets, so the answer's first has the number 2.
    assert_eq!(step(S, &packets(2, &[OK])), (11, true, true, true));
    assert_eq!(step(C, &query("SELECT c FROM t").1), (20, true, true, true));
    let start = packets(1, &[&[1], COLUMN]);
    let rows = [start.as_slice(), &long(3, MAX_PAYLOAD, b"\xfe")].concat();
    assert_eq!(step(S, &rows), (start.len() as u64 + 4 + u64::from(MAX_PAYLOAD), true, false, false));
    let rest = [long(4, 3, b"\xfe\xff\0"), long(5, 70_000, b"\xfd")].concat();
    assert_eq!(step(S, &rest), (7 + 70_004, false, false, false));
    assert_eq!(step(S, &packets(6, &[&end(2)])), (11, false, true, true));
}

#[test]
fn a_loss_forgets_what_waits_and_what_was_prepared() {
    let mut decoder = MySql.decoder(SERVER, true);
    decoder.decode(C, &query("SELECT 1").1, false);
    decoder.lost(S);
    decoder.lost(C);
    let pieces = [answer(&[b"\x01x", b"\x01y"]), query("SELECT 2"), answer(&[OK])];
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let transcript = testing::run(decoder.as_mut(), &pieces);
    assert_eq!((told(&transcript), transcript.invalid), (["-", "> SELECT | SELECT ? @", "<"].map(String::from).to_vec(), 1));
}

#[test]
fn secrets_never_leave_the_parser() {
    let secret = "c4n4ry";
    let pieces = connected(
        USUAL,
        &[
            query(&format!("SELECT '{secret}', \"{secret}\", 0x{}, X'633463' -- {secret}", "63346e347279")),
            answer(&[&[1], &[b"\x03def\x06", secret.as_bytes()].concat(), &eof(2), &[b"\x06", secret.as_bytes()].concat(), &eof(2)]),
            query(&format!("SET PASSWORD = '{secret}'")),
            answer(&[&error(1064, "42000", secret)]),
            query(&format!("INSERT INTO t VALUES ('unfinished {secret}")),
            answer(&[&error(1064, "#c4n4", secret)]),
            ask(0x16, format!("INSERT INTO t VALUES (?, '{secret}')").as_bytes()),
            answer(&[&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]),
            ask(0x17, &[b"\x01\0\0\0\0\x01\0\0\0\0\x01\xfd\0\x06", secret.as_bytes()].concat()),
            answer(&[&[OK, secret.as_bytes()].concat()]),
            ask(0xfa, &[b"\x01\0\0\0\x40\0\xfd\0\0\x06", secret.as_bytes()].concat()),
            answer(&[OK]),
            ask(0x18, &[b"\x01\0\0\0\0\0", secret.as_bytes()].concat()),
            ask(3, &[b"\x01\x01\0\x01\xfe\0\x06c4n4ry\x06c4n4ry", b"SELECT 1".as_slice()].concat()),
            answer(&[OK]),
            ask(0x11, &[secret.as_bytes(), b"\0\x06c4n4ry\0\x21\0"].concat()),
            (S, packets(1, &[OK])),
            ask(9, b""),
            answer(&[secret.as_bytes()]),
        ],
    );
    let transcript = talk(false, &pieces);
    assert_eq!((told(&transcript).len(), transcript.invalid), (22, 0), "{:#?}", told(&transcript));
    let text = format!("{transcript:?}").to_lowercase();
    assert!(!text.contains(secret) && !text.contains("63346e347279"), "{transcript:#?}");
}

#[test]
fn a_greeting_a_statement_and_a_result_are_proof() {
    use Guess::{Likely, Maybe, No, Yes};
    let begun = beginning("8.4.0", USUAL, "shop");
    let result = answer(&[&[1], COLUMN]).1;
    let mongodb = b"\x3f\0\0\0\x03\0\0\0\0\0\0\0\xdd\x07\0\0".to_vec();
    for (side, bytes, guess) in [
        (S, begun[0].1.clone(), Yes),
        (C, begun[1].1.clone(), Likely),
        (C, query("select 1").1, Yes),
        (C, query("  (SELECT 1)").1, Yes),
        (C, query("/* x */ SELECT 1").1, Yes),
        (C, ask(0x16, b"INSERT INTO t VALUES (?)").1, Yes),
        (C, query("hello world").1, No),
        (C, ask(14, b"").1, Likely),
        (C, ask(1, b"").1, Maybe),
        (C, ask(2, b"shop").1, Likely),
        (C, ask(0x17, b"\x01\0\0\0\0\x01\0\0\0").1, Likely),
        (C, mongodb, No),
        (C, b"GET / HTTP/1.1\r\n".to_vec(), No),
        (C, b"*1\r\n$4\r\nPING\r\n".to_vec(), No),
        (C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), No),
        (C, b"\0\0\0\x54\0\x03\0\0user\0x\0".to_vec(), No),
        (C, b"\x04\0\0\0\x05\0\0\0\0".to_vec(), No),
        (C, [&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..], &[0x5a; 32]].concat(), No),
        (C, b"\0\0\0\x2c\0\x12\0\x04\0\0\0\x01".to_vec(), No),
        (S, result, Yes),
        (S, answer(&[OK]).1, Likely),
        (S, answer(&[&error(1064, "42000", "x")]).1, Likely),
        (S, b"HTTP/1.1 200 OK\r\n".to_vec(), No),
        (S, b"+OK\r\n".to_vec(), No),
        (S, b"\0\0\0\x04\x08\0\0\0\0".to_vec(), No),
        (S, b"R\0\0\0\x08\0\0\0\0".to_vec(), No),
        (S, b"220 mail ready\r\n".to_vec(), No),
    ] {
        assert_eq!(MySql.detect(side, &bytes), guess, "{side:?} {}", bytes.escape_ascii());
        for cut in 0..bytes.len() {
            let part = MySql.detect(side, &bytes[..cut]);
            assert!(
                guess == No || (part >= Maybe && (part <= guess || guess >= Likely)),
                "{} cut at {cut}: {part:?}",
                bytes.escape_ascii()
            );
        }
    }
}

/// A packet that could be one of either side, numbered as it should be or not.
fn any_packet() -> impl Strategy<Value = (Side, Vec<u8>)> {
    let payload = prop::sample::select(vec![
        b"\x03SELECT 1".to_vec(),
        b"\x16SELECT ?".to_vec(),
        b"\x17\x01\0\0\0\0\x01\0\0\0".to_vec(),
        b"\x19\x01\0\0\0".to_vec(),
        b"\x02db".to_vec(),
        b"\x0e".to_vec(),
        b"\x01".to_vec(),
        OK.to_vec(),
        COLUMN.to_vec(),
        eof(2),
        eof(MORE),
        end(2),
        end(MORE),
        error(1, "42000", "x"),
        b"\xfb/file".to_vec(),
        b"\0\x01\0\0\0\x01\0\x01\0\0\0\0".to_vec(),
        Vec::new(),
    ]);
    (any::<bool>(), 0u8..6, payload).prop_map(|(client, seq, payload)| (if client { C } else { S }, packets(seq, &[&payload])))
}

proptest! {
    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        testing::fuzz(&MySql, &bytes);
    }

    #[test]
    fn cuts_change_nothing(pieces in prop::collection::vec(any_packet(), 0..40), joined in any::<bool>()) {
        let bytes: Vec<_> = pieces.iter().flat_map(|(side, bytes)| bytes.iter().map(|byte| (*side, vec![*byte]))).collect();
        prop_assert_eq!(talk(joined, &bytes), talk(joined, &pieces));
    }
}
