//! Conversations as a specification: what each side says, and the messages that become of it.
use super::Redis;
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Kind, Protocol, Request, Response, Side};
use std::fmt::Write as _;

pub(super) const C: Side = Side::Client;
pub(super) const S: Side = Side::Server;

/// A command as an array.
pub(super) fn command(words: &[&str]) -> String {
    words.iter().fold(format!("*{}\r\n", words.len()), |mut text, word| {
        let _ = write!(text, "${}\r\n{word}\r\n", word.len());
        text
    })
}

/// A command typed as a line, as an array.
pub(super) fn line(text: &str) -> String {
    command(&text.split(' ').collect::<Vec<_>>())
}

/// What the decoder makes of these pieces.
pub(super) fn talk(joined: bool, pieces: &[(Side, &[u8])]) -> Transcript {
    testing::run(Redis.decoder(SERVER, joined).as_mut(), pieces)
}

fn value(attributes: &[Attribute], key: &str) -> String {
    attributes.iter().find(|attribute| attribute.key == key).map_or_else(String::new, |attribute| match &attribute.value {
        Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    })
}

/// Messages in a line each: `> text @database` with `!` if it is not answered, `< error hit @database`, `<` alone for a plain reply and
/// `-` for what is no message of a pair.
fn told(transcript: &Transcript) -> Vec<String> {
    let tell = |head: &Option<Head>| match head {
        None => "-".to_owned(),
        Some(Head::Request(request)) => {
            let [text, database] = ["db.query.text", "db.namespace"].map(|key| value(&request.attributes, key));
            format!("> {text} @{database}{}", if request.answered { "" } else { " !" })
        }
        Some(Head::Response(response)) => {
            assert_eq!(response.client_error, response.server_error);
            let [hit, database] = ["wirespan.cache.hit", "db.namespace"].map(|key| value(&response.attributes, key));
            let error = response.client_error.as_deref().unwrap_or_default();
            assert_eq!(value(&response.attributes, "db.response.status_code"), error);
            let mut told = "<".to_owned();
            for part in [error, &hit, &if database.is_empty() { database } else { format!("@{database}") }] {
                if !part.is_empty() {
                    told += " ";
                    told += part;
                }
            }
            told
        }
    };
    transcript.messages.iter().map(|message| tell(&message.head)).collect()
}

/// A fresh connection on which client and server take turns, the client first.
fn turns(turns: &[&str]) -> Vec<String> {
    let pieces: Vec<_> = turns.iter().zip([C, S].into_iter().cycle()).map(|(text, side)| (side, text.as_bytes())).collect();
    let transcript = talk(false, &pieces);
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
    told(&transcript)
}

#[test]
fn a_read_and_its_hit_are_one_request_and_one_response() {
    let transcript = talk(false, &[(C, line("get user:7").as_bytes()), (S, b"$5\r\nhello\r\n")]);
    let attributes = vec![
        Attribute::both("db.system.name", "redis"),
        Attribute::both("db.operation.name", "GET"),
        Attribute::both("db.query.text", "GET user:7"),
        Attribute::both("db.namespace", "0"),
    ];
    let request = Request { attributes, ..Request::new(Kind::Database, "GET") };
    let response = Response { attributes: vec![Attribute::both("wirespan.cache.hit", true)], ..Response::default() };
    let message = |side, end, head| testing::Message { side, start: 0, end: Some(end), head: Some(head) };
    let messages = vec![message(C, 25, Head::Request(request)), message(S, 11, Head::Response(response))];
    assert_eq!(transcript, Transcript { messages, left: None, invalid: 0 });
}

#[test]
fn texts_show_keys_and_fields_and_never_values() {
    for (typed, text) in [
        ("PING", "PING"),
        ("set k v EX 10", "SET k ? ? ?"),
        ("HSET h f1 v1 f2 v2", "HSET h f1 ? f2 ?"),
        ("HMGET h f1 f2", "HMGET h f1 f2"),
        ("MSET k1 v1 k2 v2", "MSET k1 ? k2 ?"),
        ("DEL a b c", "DEL a b c"),
        ("BLPOP q1 q2 0", "BLPOP q1 q2 ?"),
        ("EVAL return(1) 2 k1 k2 v", "EVAL ? 2 k1 k2 ?"),
        ("FCALL fn 1 k v", "FCALL fn 1 k ?"),
        ("EVALSHA not;a;digest 1 k v", "EVALSHA ? 1 k ?"),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "ZUNIONSTORE d 2 a b ? ? ?"),
        ("config get max*", "CONFIG GET max*"),
        ("CONFIG SET requirepass hunter2", "CONFIG SET ? ?"),
        ("CONFIG hunter2", "CONFIG ?"),
        ("xinfo stream s FULL", "XINFO STREAM s ?"),
        ("my.command a b", "MY.COMMAND ? ?"),
        ("PUBLISH c m", "PUBLISH c ?"),
        ("GET naïve", "GET naïve"),
        ("GET a\tb", "GET ?"),
        ("GET a\"b", "GET ?"),
    ] {
        assert_eq!(turns(&[&line(typed)]), [format!("> {text} @0")]);
    }
    assert_eq!(turns(&[&command(&["GET", "two words"])]), ["> GET \"two words\" @0"]);
    assert_eq!(turns(&[&command(&["GET", ""])]), ["> GET \"\" @0"]);
    assert_eq!(turns(&[&command(&["GET", &"k".repeat(129)])]), ["> GET ? @0"]);
    assert_eq!(turns(&[&command(&["SET", "k", &"v".repeat(1000), "EX", "1"])]), ["> SET k ? ? ? @0"]);
    assert_eq!(turns(&[&command(&["\x01", "k"])]), ["> ? ? @0"]);
    assert_eq!(turns(&[&line(&format!("DEL{}", " k".repeat(40)))]), [format!("> DEL{} ... @0", " k".repeat(15))]);
    let long = " ".to_owned() + &"k".repeat(100);
    assert_eq!(turns(&[&line(&format!("DEL{}", long.repeat(15)))]), [format!("> DEL{} ... @0", long.repeat(11))]);
}

#[test]
fn a_script_is_named_by_its_digest_and_a_function_by_its_name() {
    let digest = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    for (typed, procedure) in [(format!("EVALSHA {digest} 0"), digest), ("fcall my_fn 0".into(), "my_fn"), ("EVAL return 0".into(), "")] {
        let transcript = talk(false, &[(C, line(&typed).as_bytes())]);
        let Some(Head::Request(request)) = &transcript.messages[0].head else { panic!("no request") };
        assert_eq!(value(&request.attributes, "db.stored_procedure.name"), procedure);
    }
}

#[test]
fn secrets_never_leave_the_parser() {
    let secret = "c4n4ry";
    let positions: &[&[&str]] = &[
        &["AUTH", secret],
        &["AUTH", "user", secret],
        &["HELLO", "3", "AUTH", "user", secret, "SETNAME", secret],
        &["ACL", "SETUSER", "u", "on", &format!(">{secret}"), "~*"],
        &["ACL", secret],
        &["CONFIG", "SET", "requirepass", secret],
        &["CONFIG", "SET", "maxmemory", "1", "masterauth", secret],
        &["MIGRATE", "h", "6379", "", "0", "5000", "AUTH", secret, "KEYS", secret],
        &["MIGRATE", "h", "6379", "", "0", "5000", "AUTH2", secret, secret, "KEYS", "k"],
        &["EVAL", &format!("return '{secret}'"), "0"],
        &["EVAL", secret, "1", "k", secret],
        &["EVALSHA", &format!("return '{secret}'"), "0"],
        &["SCRIPT", "LOAD", secret],
        &["FUNCTION", "LOAD", secret],
        &["CLIENT", "SETINFO", "LIB-NAME", secret],
        &["CLIENT", "SETNAME", secret],
        &["SENTINEL", "SET", "m", "auth-pass", secret],
        &["REPLCONF", "x", secret],
        &["MODULE", "LOADEX", "m", "ARGS", secret],
        &["SET", "k", secret, "EX", secret],
        &["GETSET", "k", secret],
        &["HSET", "h", "f", secret],
        &["MSET", "k", secret],
        &["LPUSH", "l", secret, secret],
        &["SADD", "s", secret],
        &["SISMEMBER", "s", secret],
        &["ZADD", "z", "1", secret],
        &["XADD", "s", "*", "f", secret],
        &["PUBLISH", "c", secret],
        &["ECHO", secret],
        &["PING", secret],
        &["AUHT", secret],
        &["UNKNOWN", "k", secret],
        &["BLMPOP", secret, "x", secret],
    ];
    for words in positions {
        let typed = format!("{}\r\n", words.join(" "));
        let quoted = format!("{} \"x {secret}\" '{secret}'\r\n", words[0]);
        for bytes in [command(words), typed, quoted] {
            let error = format!("-ERR wrong {secret}\r\n");
            let lower = format!("-{secret} {secret}\r\n");
            let pieces = [(C, bytes.as_bytes()), (S, error.as_bytes()), (C, bytes.as_bytes()), (S, lower.as_bytes())];
            let transcript = talk(false, &pieces);
            assert_eq!(transcript.messages.len(), 4, "{bytes:?}");
            assert!(!format!("{transcript:?}").to_lowercase().contains(secret), "{transcript:#?}");
        }
    }
}

#[test]
fn a_thousand_pipelined_commands_in_one_segment_are_a_thousand_requests() {
    let all: String = (0..1000).map(|i| line(&format!("GET key:{i}"))).collect();
    let replies: String = (0..1000).map(|i| if i % 3 == 0 { "$-1\r\n".into() } else { format!("$3\r\n{i:03}\r\n") }).collect();
    let told = turns(&[&all, &replies]);
    let expected: Vec<String> =
        (0..1000).map(|i| format!("> GET key:{i} @0")).chain((0..1000).map(|i| format!("< Bool({})", i % 3 != 0))).collect();
    assert_eq!(told, expected);
}

#[test]
fn only_reads_hit_or_miss() {
    let typed = ["GET k", "GET k", "HGET h f", "LRANGE l 0 1", "MGET a b", "LPOP l", "ZSCORE z m", "GET k", "SET k v"].map(line).concat();
    let replies = "$-1\r\n_\r\n*-1\r\n*0\r\n*2\r\n$-1\r\n$-1\r\n$-1\r\n,1.5\r\n-WRONGTYPE Operation\r\n+OK\r\n";
    let told = turns(&[&typed, replies]);
    assert_eq!(told[9..], ["< Bool(false)", "< Bool(false)", "< Bool(false)", "<", "<", "<", "< Bool(true)", "< WRONGTYPE", "<"]);
}

#[test]
fn errors_are_known_by_their_first_word() {
    let replies = "-ERR unknown command\r\n-MOVED 1 h:1\r\n!21\r\nSYNTAX invalid syntax\r\n-CUSTOM_2\r\n-lower case\r\n-\r\n!0\r\n\r\n";
    let told = turns(&[&line("GET k").repeat(7), replies]);
    assert_eq!(told[7..], ["< ERR", "< MOVED", "< SYNTAX", "< CUSTOM_2", "< _OTHER", "< _OTHER", "< _OTHER"]);
}

#[test]
fn the_database_follows_the_replies() {
    assert_eq!(
        turns(&[
            &(line("SELECT 3") + &line("GET a") + &line("SELECT 99") + &line("GET b")),
            "+OK\r\n$1\r\nx\r\n-ERR index\r\n$1\r\nx\r\n",
            &line("GET c")
        ]),
        ["> SELECT 3 @0", "> GET a @", "> SELECT 99 @", "> GET b @", "<", "< Bool(true) @3", "< ERR @3", "< Bool(true) @3", "> GET c @3"]
    );
    assert_eq!(turns(&[&line("SELECT 20"), "+OK\r\n", &line("RESET"), "+RESET\r\n", &line("GET c")])[3..], ["<", "> GET c @0"]);
    let transaction = [line("MULTI"), line("SELECT 2"), line("GET a"), line("EXEC"), line("GET b")].concat();
    let replies = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$-1\r\n$-1\r\n";
    assert_eq!(turns(&[&transaction, replies, &line("GET c")])[5..], ["<", "<", "< @0", "< @0", "< Bool(false)", "> GET c @"]);
    let joined = talk(
        true,
        &[(C, line("GET a").as_bytes()), (S, b"$-1\r\n"), (C, line("SELECT 1").as_bytes()), (S, b"+OK\r\n"), (C, line("GET b").as_bytes())],
    );
    assert_eq!(told(&joined), ["> GET a @", "< Bool(false)", "> SELECT 1 @", "<", "> GET b @1"]);
}

#[test]
fn each_command_of_a_transaction_has_its_own_reply() {
    let typed = ["WATCH k", "MULTI", "GET k", "SET k v", "EXEC", "MULTI", "NOPE", "EXEC", "MULTI", "DISCARD"].map(line).concat();
    let replies = "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n+OK\r\n-ERR unknown\r\n-EXECABORT no\r\n+OK\r\n+OK\r\n";
    assert_eq!(turns(&[&typed, replies])[10..], ["<", "<", "<", "<", "<", "< @0", "< ERR @0", "< EXECABORT @0", "< @0", "< @0"]);
}

#[test]
fn published_messages_and_later_confirmations_answer_nothing() {
    let confirm = |word: &str, channel: &str, count: u32| {
        format!("*3\r\n${}\r\n{word}\r\n${}\r\n{channel}\r\n:{count}\r\n", word.len(), channel.len())
    };
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$2\r\nhi\r\n";
    let two = confirm("subscribe", "a", 1) + &confirm("subscribe", "b", 2) + message + &confirm("subscribe", "c", 3);
    let both = line("SUBSCRIBE a b") + &line("SUBSCRIBE c");
    assert_eq!(turns(&[&both, &two])[2..], ["<", "-", "-", "-", "<"]);
    let all = [line("UNSUBSCRIBE"), line("LRANGE l 0 2")].concat();
    let replies = [
        &two,
        message,
        &confirm("unsubscribe", "a", 2),
        &confirm("unsubscribe", "b", 1),
        &confirm("unsubscribe", "c", 0),
        "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n",
    ]
    .concat();
    assert_eq!(turns(&[&both, "", &all, &replies])[4..], ["<", "-", "-", "-", "<", "-", "-", "<", "-", "-", "<"]);
    let pushes = [&two, message].concat().replace('*', ">").replace(">\r\n", "*\r\n");
    assert_eq!(
        turns(&[&(line("SUBSCRIBE a b") + &line("GET k")), &(pushes + "$1\r\nx\r\n")])[2..],
        ["<", "-", "-", "-", "-", "-", "-", "< Bool(true)"]
    );
    assert_eq!(
        turns(&[
            &line("LRANGE l 0 2"),
            &confirm("subscribe", "x", 1),
            &line("PING"),
            &(message.to_owned() + "*2\r\n$4\r\npong\r\n$0\r\n\r\n")
        ])[1..],
        ["<", "> PING @0", "-", "-", "<"]
    );
}

#[test]
fn pushes_and_attributes_stand_beside_replies() {
    let replies = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n|1\r\n+ttl\r\n:60\r\n$?\r\n;2\r\nab\r\n;0\r\n>1\r\n+x\r\n_\r\n";
    let transcript = talk(false, &[(C, line("GET a").repeat(2).as_bytes()), (S, replies.as_bytes())]);
    assert_eq!(told(&transcript)[2..], ["-", "< Bool(true)", "-", "< Bool(false)"]);
    let places: Vec<_> = transcript.messages[2..].iter().map(|message| (message.start, message.end)).collect();
    assert_eq!(places, [(0, Some(32)), (32, Some(63)), (63, Some(71)), (71, Some(74))]);
}

#[test]
fn replies_that_were_turned_off_are_not_waited_for() {
    let typed = ["CLIENT REPLY SKIP", "SET a 1", "GET b", "CLIENT REPLY OFF", "GET c", "CLIENT REPLY SKIP", "client reply on", "GET d"]
        .map(line)
        .concat();
    let told = turns(&[&typed, "$-1\r\n+OK\r\n$1\r\nx\r\n"]);
    let answered: Vec<bool> = told[..8].iter().map(|told| !told.ends_with('!')).collect();
    assert_eq!(answered, [false, false, true, false, false, false, true, true]);
    assert_eq!(told[8..], ["< Bool(false)", "<", "< Bool(true)"]);
    let typed = ["CLIENT REPLY SKIP", "SELECT 1", "GET a"].map(line).concat();
    assert_eq!(turns(&[&typed]), ["> CLIENT REPLY ? @0 !", "> SELECT 1 @0 !", "> GET a @"]);
}

#[test]
fn inline_commands_and_blank_ones_are_understood() {
    assert_eq!(
        turns(&["\r\n\nping\r\n  set  k v\n*0\r\n*-1\r\nnope x\r\n"]),
        ["-", "-", "> PING @0", "> SET k ? @0", "-", "-", "> NOPE ? @0"]
    );
    assert_eq!(turns(&["GET \"a b\"\r\n"]), ["> GET ? ? @0"]);
}

#[test]
fn a_log_and_a_replication_stream_are_left_alone() {
    let monitor = [(C, line("MONITOR")), (S, "+OK\r\n+1 [0 x] \"AUTH\" \"secret\"\r\n".into())];
    let rdb = [(C, line("PSYNC ? -1")), (S, "\n\n+FULLRESYNC abc 0\r\n$9\r\nREDIS0011".into())];
    let sync = [(C, line("SYNC")), (S, "\n$EOF:0123\r\nREDIS0011".into())];
    let refused = [(C, line("PSYNC ? -1")), (S, "-NOMASTERLINK no\r\n+OK\r\n".into())];
    for (pieces, left, heard) in [
        (monitor, Some("redis-monitor"), &["> MONITOR @0", "<"][..]),
        (rdb, Some("redis-replication"), &["> PSYNC ? ? @0", "-", "<"]),
        (sync, Some("redis-replication"), &["> SYNC @0", "-", "<"]),
        (refused, None, &["> PSYNC ? ? @0", "< NOMASTERLINK", "<"]),
    ] {
        let pieces: Vec<_> = pieces.iter().map(|(side, text)| (*side, text.as_bytes())).collect();
        let transcript = talk(false, &pieces);
        assert_eq!(
            (transcript.left, transcript.invalid, told(&transcript)),
            (left, 0, heard.iter().map(|told| (*told).to_owned()).collect())
        );
    }
}

#[test]
fn large_values_are_stepped_over_unseen() {
    let mut decoder = Redis.decoder(SERVER, false);
    let crate::protocol::Step::Take(take) = decoder.decode(C, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n", false) else {
        panic!("no step")
    };
    assert_eq!((take.used, take.start, take.head.is_some(), take.end), (30 + 1_048_576 + 2, true, true, true));
    let crate::protocol::Step::Take(take) = decoder.decode(S, b"$1048576\r\nabc", false) else { panic!("no step") };
    assert_eq!((take.used, take.start, take.head.is_some(), take.end), (10 + 1_048_576 + 2, true, true, true));
}

#[test]
fn nonsense_is_invalid_and_a_loss_forgets_what_waits() {
    for (side, bytes) in [
        (C, "*1\r\n$-1\r\n"),
        (C, "*?\r\n"),
        (C, "*1\r\n+GET\r\n"),
        (C, "*1\r\n$3\r\nGETxx"),
        (C, "\x16\x03\x01"),
        (C, "*99999999999\r\n"),
        (S, "hello\r\n"),
        (S, "$9223372036854775807\r\n"),
    ] {
        let transcript = talk(false, &[(side, bytes.as_bytes())]);
        assert_eq!((transcript.messages.len(), transcript.invalid), (0, 1), "{bytes:?}");
    }
    let lines = talk(true, &[(C, b"some text of a value\r\n"), (S, b"+OK\r\n"), (C, b"GET k\r\n"), (S, b"$-1\r\n")]);
    assert_eq!((told(&lines), lines.invalid), (["<", "> GET k @", "< Bool(false)"].map(String::from).to_vec(), 1));
    let mut decoder = Redis.decoder(SERVER, false);
    decoder.decode(C, line("GET k").as_bytes(), false);
    decoder.lost(S);
    let pieces = [(S, &b"$-1\r\n"[..]), (C, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), (S, b"$-1\r\n")];
    assert_eq!(told(&testing::run(decoder.as_mut(), &pieces)), ["<", "> GET k @0", "< Bool(false)"]);
}

#[test]
fn only_a_known_command_in_an_array_is_proof() {
    use Guess::{Likely, Maybe, No, Yes};
    for (side, bytes, guess) in [
        (C, "*2\r\n$3\r\nget\r\n", Yes),
        (C, "*1\r\n$4\r\nPING\r\n", Yes),
        (C, "*2\r\n$7\r\nMY.MOD1\r\n$1\r\nx\r\n", Likely),
        (C, "*2\r\n$3\r\n<b>\r\n", No),
        (C, "*0\r\n", No),
        (C, "*2\r\n$3000\r\n", No),
        (C, "*2\r\n:3\r\n", No),
        (C, "* bold *\r\n", No),
        (C, "PING\r\n", Likely),
        (C, "GET / HTTP/1.1\r\nHost: a\r\n", No),
        (C, "POST / HTTP/1.1\r\n", No),
        (C, "QUIT\r\n", No),
        (C, "AUTH LOGIN\r\n", No),
        (C, "EHLO x\r\n", No),
        (C, "USER x\r\n", No),
        (C, "get x\r\n", Likely),
        (C, "CONNECT {\"verbose\":false}\r\nPING\r\n", No),
        (C, "PUB subject 2\r\nhi\r\n", No),
        (C, "\0\0\0\x54\0\x03\0\0user\0", No),
        (C, "\x16\x03\x01\x02", No),
        (S, "+OK\r\n", Likely),
        (S, "+PONG\r\n", Likely),
        (S, "+FULLRESYNC abc 0\r\n", Likely),
        (S, "+OK POP3 ready\r\n", No),
        (S, "-ERR unknown command\r\n", Likely),
        (S, "-err\r\n", No),
        (S, ":1\r\n", Likely),
        (S, ":irc.example PONG\r\n", No),
        (S, "$5\r\nhello\r\n", Likely),
        (S, "$5\r\nhello world", No),
        (S, "$5000\r\nhello", Likely),
        (S, "*1\r\n$1\r\na\r\n", Likely),
        (S, "*1\r\nhello\r\n", No),
        (S, "*-1\r\n", Likely),
        (S, "%7\r\n$6\r\nserver\r\n", Likely),
        (S, ">3\r\n$7\r\nmessage\r\n", Likely),
        (S, "_\r\n", Likely),
        (S, ";1\r\n", No),
        (S, "END\r\n", No),
        (S, "VALUE x 0 1\r\n1\r\nEND\r\n", No),
        (S, "HTTP/1.1 200 OK\r\n", No),
        (S, "220 mail ready\r\n", No),
        (S, "INFO {\"server_id\":\"x\"}\r\n", No),
        (S, "PONG\r\n", No),
        (S, "N", No),
        (S, "S", No),
        (S, "R\0\0\0\x08", No),
    ] {
        assert_eq!(Redis.detect(side, bytes.as_bytes()), guess, "{side:?} {bytes:?}");
        if guess == Yes {
            for cut in 0..bytes.len() {
                assert_eq!(Redis.detect(side, &bytes.as_bytes()[..cut]), Maybe, "{bytes:?} cut at {cut}");
            }
        }
        if guess == Likely {
            for cut in 0..bytes.len() {
                assert_ne!(Redis.detect(side, &bytes.as_bytes()[..cut]), No, "{bytes:?} cut at {cut}");
            }
        }
    }
}
