//! Conversations as a specification: what each side says, and the messages that become of it.
use super::PostgreSql;
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::testing::{self, SERVER, Said, Transcript};
use crate::protocol::{Guess, Head, More, PROTOCOLS, Protocol, Response, Side};
use proptest::prelude::*;

const C: Side = Side::Client;
const S: Side = Side::Server;
const READY: &[u8] = b"Z\0\0\0\x05I";

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}
fn text(kind: u8, body: &str) -> Vec<u8> {
    message(kind, format!("{body}\0").as_bytes())
}
fn startup(parameters: &str) -> Vec<u8> {
    let body = [&[0, 3, 0, 0][..], parameters.replace(' ', "\0").as_bytes(), b"\0\0"].concat();
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}
fn query(sql: &str) -> Vec<u8> {
    text(b'Q', sql)
}
fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}
fn bind(portal: &str, name: &str, value: &str) -> Vec<u8> {
    let value = [&(value.len() as u32).to_be_bytes()[..], value.as_bytes()].concat();
    message(b'B', &[format!("{portal}\0{name}\0\0\0\0\x01").as_bytes(), &value, b"\0\0"].concat())
}
fn describe(name: &str) -> Vec<u8> {
    text(b'D', name)
}
fn execute(portal: &str) -> Vec<u8> {
    message(b'E', format!("{portal}\0\0\0\0\0").as_bytes())
}
fn sync() -> Vec<u8> {
    message(b'S', b"")
}
fn columns() -> Vec<u8> {
    message(b'T', b"\0\x01?column?\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0")
}
fn row(value: &str) -> Vec<u8> {
    message(b'D', &[&[0, 1][..], &(value.len() as u32).to_be_bytes(), value.as_bytes()].concat())
}
fn done(tag: &str) -> Vec<u8> {
    text(b'C', tag)
}
fn error(severity: &str, code: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0Mwhat canary says\0\0").as_bytes())
}
fn say(kinds: &[u8]) -> Vec<u8> {
    kinds.iter().flat_map(|kind| message(*kind, b"")).collect()
}
fn greeting() -> Vec<u8> {
    [message(b'R', &[0; 4]), text(b'S', "server_version\x0015.18"), message(b'K', &[7; 8]), READY.to_vec()].concat()
}

fn talk(joined: bool, pieces: &[(Side, Vec<u8>)]) -> (Transcript, Vec<Said>) {
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    testing::run_with_more(PostgreSql.decoder(SERVER, joined).as_mut(), &pieces)
}

fn value(attributes: &[Attribute], key: &str) -> String {
    attributes.iter().find(|attribute| attribute.key == key).map_or_else(String::new, |attribute| match &attribute.value {
        Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    })
}

fn answer(response: &Response) -> String {
    assert_eq!(response.client_error, response.server_error);
    assert_eq!(value(&response.attributes, "db.response.status_code"), response.client_error.as_deref().unwrap_or_default());
    let idle = if response.idle { "idle" } else { "" };
    format!("< {}{idle}", response.client_error.as_deref().unwrap_or_default()).trim_end().to_owned()
}

/// Messages in a line each: `> name | text @database`, `< error` or `< idle`, and at the end `+ error` for what was said of one later.
fn told(joined: bool, pieces: &[(Side, Vec<u8>)]) -> Vec<String> {
    let (transcript, more) = talk(joined, pieces);
    assert_eq!(transcript.invalid, 0, "{transcript:?}");
    let tell = |head: &Head| match head {
        Head::Request(request) => {
            let [text, database] = ["db.query.text", "db.namespace"].map(|key| value(&request.attributes, key));
            format!("> {} | {text} @{database}", request.name)
        }
        Head::Response(response) => answer(response),
    };
    let messages = transcript.messages.iter().filter_map(|message| {
        assert!(message.end.is_some() || message.head.is_none(), "{message:?}");
        message.head.as_ref().map(tell)
    });
    let later = more.iter().map(|(_, more)| match more {
        More::Trailer(response) => answer(response).replace('<', "+"),
        More::Content(_) | More::Abort(_) => unreachable!("nobody gives anything up, nor sends events"),
    });
    messages.chain(later).chain(transcript.left.map(|name| format!("left {name}"))).collect()
}

/// A connection that begins, and a conversation on it.
fn after_startup(pieces: &[(Side, Vec<u8>)]) -> Vec<String> {
    let begin = [(C, startup("user canary database shop application_name canary")), (S, greeting())];
    told(false, &[&begin, pieces].concat())
}

#[test]
fn a_simple_query_is_one_request_whatever_is_in_it() {
    let two = [columns(), row("secret"), row("x"), done("SELECT 2"), done("INSERT 0 1"), READY.to_vec()].concat();
    let notice = message(b'N', b"SNOTICE\0C00000\0\0");
    let async_messages = [notice, message(b'A', b"\0\0\0\x01channel\0payload\0"), text(b'S', "TimeZone\0UTC")].concat();
    assert_eq!(
        after_startup(&[
            (C, query("SELECT 'secret' FROM a; INSERT INTO b VALUES (1)")),
            (S, two),
            (C, query("BEGIN")),
            (S, [async_messages.clone(), done("BEGIN"), async_messages, READY.to_vec()].concat()),
            (C, query("SELEKT")),
            (S, [error("ERROR", "42601"), READY.to_vec()].concat()),
            (C, query("")),
            (S, [say(b"I"), READY.to_vec()].concat()),
            (C, query("SELECT 1 / x FROM a")),
            (S, [columns(), row("1"), error("ERROR", "22012"), READY.to_vec()].concat()),
            (C, query("CALL p(1)")),
            (S, error("FATAL", "57P01")),
        ]),
        [
            "> SELECT a INSERT b | SELECT ? FROM a; INSERT INTO b VALUES (?) @shop",
            "<",
            "> BEGIN | BEGIN @shop",
            "<",
            "> SELEKT | SELEKT @shop",
            "< 42601",
            "> shop |  @shop",
            "< idle",
            "> SELECT a | SELECT ? / x FROM a @shop",
            "<",
            "> CALL p | CALL p(?) @shop",
            "< 57P01",
            "+ 22012",
        ]
    );
}

#[test]
fn what_was_prepared_is_told_by_its_text_when_it_is_executed() {
    let prepare = [parse("p1", "SELECT a FROM t WHERE b = $1 AND c = 'x'"), describe("Sp1"), sync()].concat();
    let run = [bind("", "p1", "secret"), describe("P"), execute(""), sync()].concat();
    let answer = [say(b"2"), columns(), row("secret"), done("SELECT 1"), READY.to_vec()].concat();
    let select = "> SELECT t | SELECT a FROM t WHERE b = $1 AND c = ? @shop";
    assert_eq!(
        after_startup(&[
            (C, prepare),
            (S, [say(b"1"), message(b't', b"\0\x01\0\0\0\x17"), columns(), READY.to_vec()].concat()),
            (C, run.clone()),
            (S, answer.clone()),
            (C, [parse("", "UPDATE t SET a = $1"), bind("", "", "secret"), describe("P"), execute(""), sync()].concat()),
            (S, [say(b"12n"), done("UPDATE 1"), READY.to_vec()].concat()),
            // Rows in portions: the second one needs no further `Bind`.
            (C, [bind("cursor", "p1", "1"), execute("cursor"), message(b'H', b"")].concat()),
            (S, [say(b"2"), row("1"), say(b"s")].concat()),
            (C, [execute("cursor"), text(b'C', "Pcursor"), sync()].concat()),
            (S, [row("2"), done("SELECT 1"), say(b"3"), READY.to_vec()].concat()),
            (C, [text(b'C', "Sp1"), sync()].concat()),
            (S, [say(b"3"), READY.to_vec()].concat()),
            (C, run),
            (S, [error("ERROR", "26000"), READY.to_vec()].concat()),
        ]),
        [
            select,
            "< idle",
            select,
            "<",
            "> UPDATE t | UPDATE t SET a = $1 @shop",
            "<",
            select,
            "<",
            select,
            "<",
            "> shop |  @shop",
            "< 26000",
        ]
    );
}

#[test]
fn what_cannot_be_prepared_is_an_error_and_what_a_pipeline_leaves_out_is_no_span() {
    let one = |sql: &str| [parse("", sql), bind("", "", "1"), describe("P"), execute("")].concat();
    let ok = [say(b"12n"), done("INSERT 0 1")].concat();
    assert_eq!(
        after_startup(&[
            (C, [parse("bad", "SELECT nothing FROM nowhere"), describe("Sbad"), sync()].concat()),
            (S, [error("ERROR", "42P01"), READY.to_vec()].concat()),
            (
                C,
                [
                    one("INSERT INTO a VALUES ($1)"),
                    one("INSERT INTO b VALUES ($1)"),
                    one("INSERT INTO c VALUES ($1)"),
                    parse("x", "SELECT 1"),
                    sync(),
                    one("COMMIT"),
                    sync()
                ]
                .concat()
            ),
            (S, [ok.clone(), say(b"12"), error("ERROR", "23505"), READY.to_vec(), ok, READY.to_vec()].concat()),
        ]),
        [
            "> SELECT nowhere | SELECT nothing FROM nowhere @shop",
            "< 42P01",
            "> INSERT a | INSERT INTO a VALUES ($1) @shop",
            "> INSERT b | INSERT INTO b VALUES ($1) @shop",
            "> INSERT c | INSERT INTO c VALUES ($1) @shop",
            "> SELECT | SELECT ? @shop",
            "> COMMIT | COMMIT @shop",
            "<",
            "< 23505",
            "< idle",
            "< idle",
            "<",
        ]
    );
}

#[test]
fn rows_are_copied_both_ways_within_one_exchange() {
    let rows = |count: usize| (0..count).flat_map(|_| message(b'd', b"secret\tsecret\n")).collect::<Vec<u8>>();
    assert_eq!(
        after_startup(&[
            (C, query("COPY t FROM STDIN")),
            (S, message(b'G', b"\0\0\x01\0\0")),
            (C, [rows(3), message(b'c', b"")].concat()),
            (S, [done("COPY 3"), READY.to_vec()].concat()),
            (C, [parse("", "COPY t FROM STDIN"), bind("", "", ""), describe("P"), execute(""), sync()].concat()),
            (S, [say(b"12n"), message(b'G', b"\0\0\x01\0\0")].concat()),
            (C, [rows(2), text(b'f', "canary"), sync()].concat()),
            (S, [error("ERROR", "57014"), READY.to_vec()].concat()),
            (C, query("COPY t TO STDOUT")),
            (S, [message(b'H', b"\0\0\x01\0\0"), rows(5), message(b'c', b""), done("COPY 5"), READY.to_vec()].concat()),
            (C, query("SELECT 1")),
            (S, [columns(), row("1"), done("SELECT 1"), READY.to_vec()].concat()),
        ]),
        [
            "> COPY t | COPY t FROM STDIN @shop",
            "<",
            "> COPY t | COPY t FROM STDIN @shop",
            "<",
            "> COPY t | COPY t TO STDOUT @shop",
            "<",
            "> SELECT | SELECT ? @shop",
            "<",
            "+ 57014",
        ]
    );
}

#[test]
fn a_function_call_and_a_cancel_are_what_they_are() {
    assert_eq!(
        after_startup(&[
            (C, message(b'F', b"\0\0\0\x01\0\0\0\x01\0\0\0\x01x\0\0")),
            (S, [message(b'V', b"\0\0\0\x01x"), READY.to_vec()].concat()),
            (C, message(b'X', b"")),
        ]),
        ["> FUNCTION CALL |  @shop", "<"]
    );
    let cancel = [&[0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e][..], &[1; 8]].concat();
    assert_eq!(told(false, &[(C, cancel)]), Vec::<String>::new());
}

#[test]
fn encryption_is_left_alone_and_goes_on_in_the_clear_if_the_server_has_none() {
    let ask = vec![0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
    assert_eq!(told(false, &[(C, ask.clone()), (S, b"S".to_vec()), (C, vec![22, 3, 1, 0, 1, 1])]), ["left tls"]);
    let plain = [
        (C, ask),
        (S, b"N".to_vec()),
        (C, startup("user u")),
        (S, greeting()),
        (C, query("SELECT 1")),
        (S, [done("SELECT 1"), READY.to_vec()].concat()),
    ];
    assert_eq!(told(false, &plain), ["> SELECT | SELECT ? @", "<"]);
}

#[test]
fn backslashes_are_escapes_where_the_server_says_so() {
    let off = text(b'S', "standard_conforming_strings\0off");
    let pieces = [(C, startup("user u")), (S, [greeting(), off].concat()), (C, query(r"SELECT 'it\'s', secret FROM t"))];
    assert_eq!(told(false, &pieces), ["> SELECT t | SELECT ?, secret FROM t @"]);
}

#[test]
fn context_of_a_comment_is_carried_by_each_execution() {
    let sql = "SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/";
    let (transcript, _) = talk(true, &[(C, [query(sql), parse("p", sql), bind("", "p", "1"), execute("")].concat())]);
    let carried: Vec<_> = transcript
        .messages
        .iter()
        .filter_map(|message| match message.head.as_ref()? {
            Head::Request(request) => Some(request.carried.clone()),
            Head::Response(_) => None,
        })
        .collect();
    let expected = testing_context("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert!(expected.is_some());
    assert_eq!(carried, [expected.clone(), expected]);
}

fn testing_context(traceparent: &str) -> Option<std::sync::Arc<crate::protocol::context::Carried>> {
    crate::protocol::context::testing::carried(&[("traceparent", traceparent)])
}

#[test]
fn a_connection_that_was_joined_pairs_from_its_next_query_on() {
    assert_eq!(
        told(
            true,
            &[
                (S, [row("1"), row("2"), done("SELECT 2"), READY.to_vec()].concat()),
                (C, [bind("", "unknown", "secret"), describe("P"), execute(""), sync()].concat()),
                (S, [say(b"2"), columns(), row("1"), done("SELECT 1"), READY.to_vec()].concat()),
            ]
        ),
        ["> postgresql |  @", "<"]
    );
}

#[test]
fn nothing_is_paired_across_a_loss() {
    let mut decoder = PostgreSql.decoder(SERVER, true);
    let ask = |decoder: &mut dyn crate::protocol::Decoder, sql: &str| testing::run(decoder, &[(C, &query(sql))]).messages.len();
    assert_eq!(ask(decoder.as_mut(), "SELECT 1"), 1);
    decoder.lost(S);
    let late = [columns(), row("1"), done("SELECT 1"), READY.to_vec()].concat();
    let heads = |transcript: &Transcript| transcript.messages.iter().filter(|message| message.head.is_some()).count();
    let transcript = testing::run(decoder.as_mut(), &[(S, &late)]);
    assert_eq!((heads(&transcript), transcript.invalid), (0, 0));
    assert_eq!(ask(decoder.as_mut(), "SELECT 2"), 1);
    let transcript = testing::run(decoder.as_mut(), &[(S, &late)]);
    assert_eq!((heads(&transcript), transcript.invalid), (1, 0));
}

/// A conversation with everything in it, in turns.
fn conversation() -> Vec<(Side, Vec<u8>)> {
    vec![
        (C, startup("user canary database shop options canary")),
        (S, [message(b'R', b"\0\0\0\x03"), message(b'N', b"SNOTICE\0Mcanary\0\0")].concat()),
        (C, text(b'p', "canary")),
        (S, greeting()),
        (C, query("SELECT 'canary', \"x\" FROM t -- canary")),
        (S, [columns(), row("canary"), row("canary"), done("SELECT 2"), READY.to_vec()].concat()),
        (C, [parse("p1", "SELECT E'canary', $1 /* canary */"), bind("c", "p1", "canary"), describe("Pc"), execute("c"), sync()].concat()),
        (S, [say(b"12"), columns(), row("canary"), error("ERROR", "22P02"), READY.to_vec()].concat()),
        (C, [bind("", "p1", "canary"), execute(""), bind("", "p1", "canary"), execute(""), sync()].concat()),
        (S, [say(b"2"), error("ERROR", "22P02"), READY.to_vec()].concat()),
        (C, query("COPY t FROM STDIN")),
        (S, message(b'G', b"\0\0\x01\0\0")),
        (C, [message(b'd', b"canary"), text(b'f', "canary")].concat()),
        (S, [error("ERROR", "57014"), READY.to_vec()].concat()),
        (C, query("ALTER ROLE r PASSWORD 'canary'")),
        (S, [message(b'A', b"\0\0\0\x01c\0canary\0"), error("FATAL", "57P01")].concat()),
    ]
}

#[test]
fn secrets_never_leave_the_parser() {
    let (transcript, more) = talk(false, &conversation());
    assert_eq!(transcript.messages.iter().filter(|message| message.head.is_some()).count(), 12);
    let output = format!("{transcript:?} {more:?}");
    assert!(!output.contains("canary"), "{output}");
}

#[test]
fn cuts_change_nothing() {
    let whole = conversation();
    let expected = talk(false, &whole);
    let bytes: Vec<_> = whole.iter().flat_map(|(side, bytes)| bytes.iter().map(|byte| (*side, vec![*byte]))).collect();
    assert_eq!(talk(false, &bytes), expected);
    for (index, (side, turn)) in whole.iter().enumerate() {
        for cut in 1..turn.len() {
            let mut pieces = whole.clone();
            pieces.splice(index..=index, [(*side, turn[..cut].to_vec()), (*side, turn[cut..].to_vec())]);
            assert_eq!(talk(false, &pieces), expected, "turn {index} cut at {cut}");
        }
    }
}

#[test]
fn it_is_recognised_by_its_startup_or_by_both_sides() {
    let guess = |from, bytes: &[u8]| PostgreSql.detect(from, bytes);
    let first = startup("user u database d");
    for cut in 0..first.len() {
        assert_eq!(guess(C, &first[..cut]), Guess::Maybe, "{cut}");
    }
    assert_eq!(guess(C, &first), Guess::Yes);
    assert_eq!(guess(C, &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]), Guess::Yes);
    // A Kafka client that asks for metadata.
    assert_eq!(guess(C, b"\0\0\0\x14\0\x03\0\0\0\0\0\x01\0\x06client\0\0\0\0"), Guess::No);
    assert_eq!(guess(C, &query("SELECT 1")), Guess::Likely);
    assert_eq!(guess(C, &[bind("", "p", "x"), execute(""), sync()].concat()), Guess::Likely);
    assert_eq!(guess(S, &[columns(), row("1"), done("SELECT 1"), READY.to_vec()].concat()), Guess::Yes);
    assert_eq!(guess(S, &[say(b"12n"), done("INSERT 0 1")].concat()), Guess::Likely);
    assert_eq!(guess(S, &greeting()), Guess::Yes);
    for foreign in [
        &b"QUIT\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"+OK\r\n",
        b"Z\0\0\0\x05x",
        b"Q\0\0\0\x08a\0b\0",
        b"EHLO there\r\n",
        b"\x16\x03\x01\x02\0\x01",
    ] {
        assert_eq!([guess(C, foreign), guess(S, foreign)].iter().filter(|guess| **guess != Guess::No).count(), 0, "{foreign:?}");
    }
    for other in PROTOCOLS.iter().filter(|other| other.name() != "postgresql") {
        assert_ne!(other.detect(C, &first), Guess::Yes);
        assert_ne!(other.detect(C, &query("SELECT 1")), Guess::Yes);
    }
}

proptest! {
    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        testing::fuzz(&PostgreSql, &bytes);
    }

    #[test]
    fn hostile_messages_change_nothing_with_their_cuts(turns in prop::collection::vec((any::<bool>(), prop::collection::vec((prop::sample::select(b"QPBDECSHFXpdcfRKZTtn123IsGHWVNA".to_vec()), "[a-zS'\0 ]{0,12}"), 1..8)), 1..8)) {
        let turns: Vec<_> = turns.iter().map(|(client, messages)| {
            (if *client { C } else { S }, messages.iter().flat_map(|(kind, body)| message(*kind, body.as_bytes())).collect::<Vec<u8>>())
        }).collect();
        let bytes: Vec<_> = turns.iter().flat_map(|(side, bytes)| bytes.iter().map(|byte| (*side, vec![*byte]))).collect();
        prop_assert_eq!(talk(true, &bytes), talk(true, &turns));
    }
}
