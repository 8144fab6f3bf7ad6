//! Conversations as a specification: what each side says, and the messages that become of it.
use super::Memcached;
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Kind, Protocol, Request, Response, Side};
use proptest::prelude::*;

const C: Side = Side::Client;
const S: Side = Side::Server;

fn talk(joined: bool, pieces: &[(Side, &[u8])]) -> Transcript {
    testing::run(Memcached.decoder(SERVER, joined).as_mut(), pieces)
}

fn value(attributes: &[Attribute], key: &str) -> String {
    attributes.iter().find(|attribute| attribute.key == key).map_or_else(String::new, |attribute| match &attribute.value {
        Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    })
}

/// Messages in a line each: `> name | text` with `!` if it is not answered, `< error hit`, and `-` for what
/// is no message of a pair.
fn told(transcript: &Transcript) -> Vec<String> {
    let tell = |head: &Option<Head>| match head {
        None => "-".to_owned(),
        Some(Head::Request(request)) => {
            assert_eq!((request.kind, value(&request.attributes, "db.system.name").as_str()), (Kind::Database, "memcached"));
            let [text, size] = ["db.query.text", "db.operation.batch.size"].map(|key| value(&request.attributes, key));
            format!("> {} | {text}{size}{}", request.name, if request.answered { "" } else { " !" })
        }
        Some(Head::Response(response)) => {
            assert_eq!(response.client_error, response.server_error);
            let error = response.client_error.as_deref().unwrap_or_default();
            assert_eq!(value(&response.attributes, "db.response.status_code"), error);
            let hit = value(&response.attributes, "wirespan.cache.hit");
            ["<", error, &hit].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        }
    };
    transcript.messages.iter().map(|message| tell(&message.head)).collect()
}

/// A fresh connection on which client and server take turns, however their bytes are cut.
fn turns<T: AsRef<[u8]>>(turns: &[T]) -> Vec<String> {
    let pieces: Vec<_> = turns.iter().zip([C, S].into_iter().cycle()).map(|(bytes, side)| (side, bytes.as_ref())).collect();
    let transcript = talk(false, &pieces);
    let bytes: Vec<_> = pieces.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))).collect();
    assert_eq!(talk(false, &bytes), transcript, "one byte at a time");
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
    told(&transcript)
}

/// A packet of the binary protocol.
fn packet(magic: u8, code: u8, status: u16, parts: [&[u8]; 3]) -> Vec<u8> {
    let [extras, key, value] = parts;
    let [k0, k1] = (key.len() as u16).to_be_bytes();
    let [s0, s1] = status.to_be_bytes();
    let mut all = vec![magic, code, k0, k1, extras.len() as u8, 0, s0, s1];
    all.extend(((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
    all.extend([0; 12]);
    all.extend(parts.concat());
    all
}

fn ask(code: u8, parts: [&[u8]; 3]) -> Vec<u8> {
    packet(0x80, code, 0, parts)
}

fn answer(code: u8, status: u16, value: &str) -> Vec<u8> {
    packet(0x81, code, status, [b"", b"", value.as_bytes()])
}

#[test]
fn a_read_and_its_hit_are_one_request_and_one_response() {
    let transcript = talk(false, &[(C, b"get user:7\r\n"), (S, b"VALUE user:7 0 5\r\nhello\r\nEND\r\n")]);
    let attributes = vec![
        Attribute::both("db.system.name", "memcached"),
        Attribute::both("db.operation.name", "get"),
        Attribute::both("db.query.text", "get ?"),
    ];
    let request = Request { attributes, ..Request::new(Kind::Database, "get") };
    let response = Response { attributes: vec![Attribute::both("wirespan.cache.hit", true)], ..Response::default() };
    let message = |side, end, head| testing::Message { side, start: 0, end: Some(end), head: Some(head) };
    let messages = vec![message(C, 12, Head::Request(request)), message(S, 30, Head::Response(response))];
    assert_eq!(transcript, Transcript { messages, left: None, invalid: 0 });
}

#[test]
fn commands_are_told_by_their_names_and_numbers_of_keys() {
    let typed = "set k 0 0 5\r\nhello\r\nset k 0 -1 0 noreply\r\n\r\ncas k 0 0 1 77\r\nx\r\ngets a b c\r\ngat 10 a\r\ndelete k\r\n\
                 delete k 0\r\nincr n 5\r\ntouch k 10 noreply\r\nversion\r\nstats items\r\nflush_all noreply\r\nfoo bar\r\nquit\r\n";
    let replies = "STORED\r\nEXISTS\r\nVALUE a 0 1 5\r\nx\r\nVALUE c 0 5 6\r\nEND\r\n\r\nEND\r\nEND\r\nDELETED\r\nNOT_FOUND\r\n6\r\n\
                   VERSION 1.6.18\r\nSTAT a 1\r\nSTAT b 2\r\nEND\r\nERROR\r\n";
    assert_eq!(
        turns(&[typed, replies]),
        [
            "> set | set ?",
            "> set | set ? !",
            "> cas | cas ?",
            "> gets | gets ? ? ?",
            "> gat | gat ?",
            "> delete | delete ?",
            "> delete | delete ?",
            "> incr | incr ?",
            "> touch | touch ? !",
            "> version | version",
            "> stats | stats",
            "> flush_all | flush_all !",
            "> memcached | ",
            "> quit | quit !",
            "<",
            "<",
            "<",
            "< false",
            "<",
            "<",
            "<",
            "<",
            "<",
            "< ERROR",
        ]
        .map(|line| line.replace("false", "Bool(false)"))
    );
}

#[test]
fn several_keys_are_a_hit_if_all_are_there_and_a_miss_if_none_is() {
    let a = "VALUE a 0 1\r\nx\r\n";
    for (values, told) in [(a.repeat(2), "< Bool(true)"), (a.to_owned(), "<"), (String::new(), "< Bool(false)")] {
        assert_eq!(turns(&["get a b\r\n", &format!("{values}END\r\n")]), ["> get | get ? ?", told]);
    }
    let keys = " key".repeat(10_000);
    assert_eq!(
        turns(&[&format!("get{keys}\r\nget a\r\n"), &format!("END\r\n{a}END\r\n")]),
        ["> get | get ? ...", "> get | get ?", "<", "< Bool(true)"]
    );
}

#[test]
fn errors_are_known_by_their_first_word() {
    let typed = "get a\r\nset k 0 0 1\r\nx\r\nincr k 1\r\n";
    let replies = "VALUE a 0 1\r\nx\r\nSERVER_ERROR out of memory\r\nSERVER_ERROR object too large for cache\r\nCLIENT_ERROR no number\r\n";
    assert_eq!(turns(&[typed, replies])[3..], ["< SERVER_ERROR", "< SERVER_ERROR", "< CLIENT_ERROR"]);
}

#[test]
fn meta_commands_hit_and_miss() {
    let typed = "mg a v t\r\nmg b\r\nmg c v\r\nms a 2 T90\r\nhi\r\nmd a\r\nma n\r\nme a\r\nmg a v k Oq\r\n";
    let replies = "VA 2 t90\r\nhi\r\nHD\r\nEN\r\nHD\r\nNF\r\nVA 1\r\n5\r\nME a exp=-1\r\nVA 2 ka Oq\r\nhi\r\n";
    let told = turns(&[typed, replies]);
    assert_eq!(
        told[..8],
        ["> mg | mg ?", "> mg | mg ?", "> mg | mg ?", "> ms | ms ?", "> md | md ?", "> ma | ma ?", "> me | me ?", "> mg | mg ?"]
    );
    assert_eq!(told[8..], ["< Bool(true)", "< Bool(true)", "< Bool(false)", "<", "<", "<", "<", "< Bool(true)"]);
}

#[test]
fn quiet_reads_are_one_batch_with_what_ends_them() {
    let hits = "VA 1 kb\r\nx\r\nHD kc\r\n";
    assert_eq!(
        turns(&["mg a q v k\r\nmg b q v k\r\nmg c q k\r\nmn\r\nget d\r\n", &format!("{hits}MN\r\nEND\r\n")]),
        ["> BATCH mg | Int(3)", "> get | get ?", "<", "< Bool(false)"]
    );
    assert_eq!(
        turns(&["mg a q v O1\r\nmg b v O2\r\nmd x\r\n", "VA 1 O1\r\nx\r\nVA 1 O2\r\nx\r\nHD\r\n"]),
        ["> BATCH mg | Int(2)", "> md | md ?", "< Bool(true)", "<"]
    );
    let typed =
        [ask(0x0d, [b"", b"a", b""]), ask(0x0d, [b"", b"b", b""]), ask(0x0a, [b"", b"", b""]), ask(0x00, [b"", b"c", b""])].concat();
    let replies = [packet(0x81, 0x0d, 0, [b"\0\0\0\0", b"b", b"x"]), answer(0x0a, 0, ""), answer(0x00, 1, "Not found")].concat();
    assert_eq!(turns(&[typed, replies]), ["> BATCH get | Int(2)", "> get | get ?", "<", "< Bool(false)"]);
    let early = [ask(0x0d, [b"", b"a", b""]), answer(0x0d, 0, "x"), ask(0x0a, [b"", b"", b""]), answer(0x0a, 0, "")];
    assert_eq!(turns(&early), ["> get | get ?", "< Bool(true)"]);
    let one = [ask(0x0d, [b"", b"a", b""]), ask(0x0a, [b"", b"", b""])].concat();
    assert_eq!(turns(&[one, answer(0x0a, 0, "")]), ["> get | get ?", "< Bool(false)"]);
}

#[test]
fn quiet_changes_are_requests_that_nobody_answers() {
    let set = ask(0x11, [&[0; 8], b"k", b"v"]);
    let typed = [set.clone(), ask(0x14, [b"", b"k", b""]), ask(0x00, [b"", b"k", b""])].concat();
    let replies = [answer(0x11, 0x82, "Out of memory"), answer(0x00, 0, "v")].concat();
    assert_eq!(turns(&[typed, replies]), ["> set | set ? !", "> delete | delete ? !", "> get | get ?", "-", "< Bool(true)"]);
    assert_eq!(
        turns(&["ms k 1 q\r\nx\r\nmd k q\r\nmn\r\nmg k\r\n", "NS\r\nMN\r\nEN\r\n"]),
        ["> ms | ms ? !", "> md | md ? !", "-", "> mg | mg ?", "-", "-", "< Bool(false)"]
    );
}

#[test]
fn a_lone_noop_is_a_ping() {
    assert_eq!(turns(&["mn\r\n", "MN\r\n"]), ["-", "-"]);
    assert_eq!(turns(&[ask(0x0a, [b"", b"", b""]), answer(0x0a, 0, "")]), ["-", "-"]);
}

#[test]
fn binary_answers_are_known_by_their_status() {
    let typed = [
        ask(0x01, [&[0; 8], b"k", b"v"]),
        ask(0x02, [&[0; 8], b"k", b"v"]),
        ask(0x05, [&[0; 20], b"k", b""]),
        ask(0x21, [b"", b"PLAIN", b"\0user\0secret"]),
        ask(0x10, [b"", b"", b""]),
        ask(0x07, [b"", b"", b""]),
    ]
    .concat();
    let stat = |key: &[u8]| packet(0x81, 0x10, 0, [b"", key, key]);
    let replies = [
        answer(0x01, 0, ""),
        answer(0x02, 2, ""),
        answer(0x05, 6, ""),
        answer(0x21, 0x20, ""),
        stat(b"pid"),
        stat(b"x"),
        stat(b""),
        answer(7, 0, ""),
    ]
    .concat();
    let told = turns(&[typed, replies]);
    assert_eq!(
        told[..6],
        ["> set | set ?", "> add | add ?", "> incr | incr ?", "> sasl_auth | sasl_auth", "> stats | stats", "> quit | quit !"]
    );
    assert_eq!(told[6..], ["<", "<", "< DELTA_BADVAL", "< AUTH_ERROR", "<", "-"]);
}

#[test]
fn a_log_is_left_alone() {
    let transcript = talk(false, &[(C, b"watch fetchers\r\n"), (S, b"OK\r\nts=1 gid=1 type=item_get key=x\r\n")]);
    assert_eq!((told(&transcript), transcript.left), (vec!["> watch | watch".to_owned(), "<".to_owned()], Some("memcached-watch")));
}

#[test]
fn large_values_are_stepped_over_unseen() {
    let mut decoder = Memcached.decoder(SERVER, false);
    let mut step = |side, bytes: &[u8]| {
        let crate::protocol::Step::Take(take) = decoder.decode(side, bytes, false) else { panic!("no step") };
        (take.used, take.start, take.head.is_some(), take.end)
    };
    assert_eq!(step(C, b"set k 0 0 1000000\r\nabc"), (19 + 1_000_002, true, true, true));
    assert_eq!(step(S, b"STORED\r\n"), (8, true, true, true));
    assert_eq!(step(C, b"get k\r\n"), (7, true, true, true));
    assert_eq!(step(S, b"VALUE k 0 1000000\r\n"), (19 + 1_000_002, true, false, false));
    assert_eq!(step(C, &ask(1, [&[0; 8], b"k", &vec![0; 70_000]])[..24]), (24 + 70_009, true, true, true));
}

#[test]
fn after_a_loss_nothing_is_paired_across_it() {
    let mut decoder = Memcached.decoder(SERVER, false);
    decoder.decode(C, b"get k\r\n", false);
    decoder.lost(S);
    let pieces = [(S, &b"END\r\n"[..]), (C, b"half of a value\r\nget k\r\n"), (C, b"get k\r\n"), (S, b"END\r\n")];
    assert_eq!(told(&testing::run(decoder.as_mut(), &pieces))[0], "<");
    let joined = talk(true, &[(C, b"some text of a value\r\n"), (S, b"STORED\r\n"), (C, b"get k\r\n"), (S, b"END\r\n")]);
    assert_eq!((told(&joined), joined.invalid), (vec!["<".to_owned(), "> get | get ?".to_owned(), "< Bool(false)".to_owned()], 1));
}

#[test]
fn secrets_never_leave_the_parser() {
    let secret = "c4n4ry";
    let lines = [
        format!("get {secret}\r\n"),
        format!("set {secret} 0 0 6\r\n{secret}\r\n"),
        format!("set k 0 0 6 noreply\r\n{secret}\r\n"),
        format!("{secret} {secret}\r\n"),
        format!("stats {secret}\r\n"),
        format!("flush_all {secret}\r\n"),
        format!("mg {secret} v O{secret}\r\n"),
        format!("ms {secret} 6 F{secret}\r\n{secret}\r\n"),
        format!("delete {secret} {secret}\r\n"),
    ];
    let replies = [
        format!("VALUE {secret} 0 6\r\n{secret}\r\nEND\r\n"),
        format!("CLIENT_ERROR {secret}\r\n"),
        format!("STAT {secret} {secret}\r\nEND\r\n"),
        format!("VA 6 O{secret} k{secret}\r\n{secret}\r\n"),
        format!("VERSION {secret}\r\n"),
    ];
    for line in &lines {
        for reply in &replies {
            let transcript = talk(false, &[(C, line.as_bytes()), (S, reply.as_bytes())]);
            assert_eq!(transcript.messages.len(), 2, "{line:?} {reply:?}");
            assert!(!format!("{transcript:?}").contains(secret), "{transcript:#?}");
        }
    }
    let key = secret.as_bytes();
    let sent = [ask(1, [&[0; 8], key, key]), ask(0x21, [b"", b"PLAIN", key]), ask(0x22, [b"", b"PLAIN", key]), ask(0x10, [b"", key, b""])]
        .concat();
    let back =
        [packet(0x81, 1, 4, [b"", b"", key]), answer(0x21, 0x21, secret), answer(0x22, 0x20, secret), answer(0x10, 4, secret)].concat();
    let transcript = talk(false, &[(C, &sent), (S, &back)]);
    assert_eq!(transcript.messages.len(), 8);
    assert!(!format!("{transcript:?}").contains(secret), "{transcript:#?}");
}

#[test]
fn lines_count_together_and_packets_alone() {
    use Guess::{Likely, Maybe, No, Yes};
    let get = ask(0, [b"", b"k", b""]);
    let missed = answer(0, 1, "Not found");
    let cases: &[(Side, &[u8], Guess)] = &[
        (C, b"get k\r\n", Likely),
        (C, b"gets a b\r\n", Likely),
        (C, b"set k 0 0 5\r\nhello\r\n", Likely),
        (C, b"set k 0 0 5 noreply\r\nhello\r\n", Yes),
        (C, b"set k 0 0 5 noreply\r\nhello world", No),
        (C, b"mg k v\r\n", Likely),
        (C, b"version\r\n", Likely),
        (C, b"delete 12\r\n", Maybe),
        (C, b"quit\r\n", Maybe),
        (C, b"set k v\r\n", No),
        (C, b"get\r\n", No),
        (C, b"GET k\r\n", No),
        (C, b"GET / HTTP/1.1\r\n", No),
        (C, b"*2\r\n$3\r\nget\r\n", No),
        (C, b"EHLO x\r\n", No),
        (C, b"PUB x 2\r\nhi\r\n", No),
        (C, b"\x80\x01\x00\x01\0\0\0\x04ping\0\0\0\0\0\0\0\0\0\0\0\0", No),
        (C, b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0", No),
        (C, &get, Yes),
        (S, b"VALUE k 0 5\r\n", Likely),
        (S, b"END\r\n", Likely),
        (S, b"STORED\r\n", Likely),
        (S, b"12\r\n", Likely),
        (S, b"HD\r\n", Likely),
        (S, b"CLIENT_ERROR bad\r\n", Likely),
        (S, b"+OK\r\n", No),
        (S, b"$5\r\nhello\r\n", No),
        (S, b"HTTP/1.1 200 OK\r\n", No),
        (S, b"220 mail ready\r\n", No),
        (S, b"INFO {}\r\n", No),
        (S, b"PONG\r\n", No),
        (S, b"\x81\x05hello", No),
        (S, &missed, Likely),
    ];
    for (side, bytes, guess) in cases {
        assert_eq!(Memcached.detect(*side, bytes), *guess, "{side:?} {}", bytes.escape_ascii());
        if *guess >= Likely {
            for cut in 0..bytes.len() {
                let part = Memcached.detect(*side, &bytes[..cut]);
                assert!(part >= Maybe && part <= *guess, "{} cut at {cut}: {part:?}", bytes.escape_ascii());
            }
        }
    }
}

proptest! {
    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        testing::fuzz(&Memcached, &bytes);
    }

    #[test]
    fn hostile_lines_neither_panic_nor_loop(text in "((get|set|mg|ms|VALUE|VA|HD|END|MN|mn|[a-z]{1,3}|[0-9]{1,21}|q|k|noreply)( |\r\n)){0,60}") {
        testing::fuzz(&Memcached, text.as_bytes());
    }

    #[test]
    fn cuts_change_nothing(
        words in prop::collection::vec((any::<bool>(), prop::sample::select(vec![
            "get a\r\n", "get a b\r\n", "set k 0 0 3\r\nabc\r\n", "mg a q\r\n", "mn\r\n", "md k q\r\n", "foo\r\n", "VALUE a 0 3\r\nabc\r\n", "END\r\n",
            "STORED\r\n", "VA 3\r\nabc\r\n", "HD\r\n", "NS\r\n", "MN\r\n", "ERROR\r\n", "\u{1}\r\n",
        ])), 0..30),
    ) {
        let pieces: Vec<_> = words.iter().map(|(client, text)| (if *client { C } else { S }, text.as_bytes())).collect();
        let bytes: Vec<_> = pieces.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))).collect();
        prop_assert_eq!(talk(false, &bytes), talk(false, &pieces));
    }
}
