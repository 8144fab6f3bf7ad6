//! Redis, with its own clients: one span for each command, however it was sent.
use rustix::process::Signal;
use std::process::Stdio;
use wirespan_tests::agent::Run;
use wirespan_tests::http::Connection;
use wirespan_tests::program::{Program, command, run};
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::Span;
use wirespan_tests::tree::{line, tree};
use wirespan_tests::wait::wait_until;

/// A secret that no output may contain.
const CANARY: &str = "c4n4ry-in-a-coal-mine";

/// Lines of redis-cli's spans in order of time, without what is the same in all of them, nor the `COMMAND` that it asks of itself.
fn lines(run: &Run) -> Vec<String> {
    let mut spans: Vec<&Span> =
        run.spans.iter().filter(|span| span.service() == "redis-cli" && !span.name.starts_with("COMMAND")).collect();
    spans.sort_by_key(|span| span.start);
    spans.iter().map(|span| line(span).trim_start_matches("client redis-cli ").trim_end_matches(" none:root").to_owned()).collect()
}

/// Sends lines to redis-cli, with arguments.
fn redis_cli(rig: &Rig, port: u16, args: &str, lines: &[&str]) -> String {
    let script = format!("redis-cli -p {port} {args} <<'END'\n{}\nEND\n", lines.join("\n"));
    rig.run("sh", &["-c", &script])
}

/// How often the server itself says that it has run a command.
fn calls(port: u16, name: &str) -> usize {
    let text = run(command("redis-cli", &["-p", &port.to_string(), "INFO", "commandstats"]));
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
    line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn every_command_of_a_benchmark_is_one_span_also_in_pipelines_of_1000() {
    for (pipeline, commands, clients) in [(1, 3_000, 10), (16, 8_000, 10), (1000, 20_000, 4)] {
        let rig = Rig::new();
        let redis = servers::redis(&rig, &[]);
        let agent = rig.agent(&[]);
        let numbers = [redis.port, pipeline, commands, clients].map(|number| number.to_string());
        let [port, pipeline, commands, clients] = numbers.each_ref().map(String::as_str);
        rig.run("redis-benchmark", &["-p", port, "-P", pipeline, "-n", commands, "-c", clients, "-t", "get", "-q"]);
        let run = agent.stop();
        let gets = run.spans.iter().filter(|span| span.name == "GET").count();
        assert_eq!(gets, calls(redis.port, "get"), "-P {pipeline}: {:?}", run.accounting);
        assert!(run.spans.iter().all(|span| span.service() == "redis-benchmark" && !span.failed), "-P {pipeline}");
        assert!(
            run.accounting.spans_dropped.is_empty() && run.accounting.records_dropped.is_empty(),
            "-P {pipeline}: {:?}",
            run.accounting
        );
    }
}

#[test]
fn commands_are_told_with_their_keys_and_without_their_values() {
    let rig = Rig::new();
    let redis = servers::redis(&rig, &[]);
    let agent = rig.agent(&[]);
    redis_cli(
        &rig,
        redis.port,
        "",
        &[
            "SET user:1 secret-value",
            "GET user:1",
            "GET nobody",
            "HSET map field value",
            "LPUSH user:1 x",
            "NONSENSE a b",
            "SELECT 3",
            "GET user:1",
        ],
    );
    let run = agent.stop();
    assert_eq!(
        lines(&run),
        [
            "SET SET user:1 ? ok",
            "GET GET user:1 ok",
            "GET GET nobody ok",
            "HSET HSET map field ? ok",
            "LPUSH LPUSH user:1 ? !WRONGTYPE",
            "NONSENSE NONSENSE ? ? !ERR",
            "SELECT SELECT 3 ok",
            "GET GET user:1 ok",
        ]
    );
    let mut spans = run.spans;
    spans.sort_by_key(|span| span.start);
    let of_gets = |key: &str| -> Vec<String> {
        spans
            .iter()
            .filter(|span| span.name == "GET")
            .map(|span| span.attributes.get(key).cloned().unwrap_or_default().to_string())
            .collect()
    };
    assert_eq!(of_gets("wirespan.cache.hit"), ["true", "false", "false"]);
    assert_eq!(of_gets("db.namespace"), ["\"0\"", "\"0\"", "\"3\""]);
}

#[test]
fn each_command_of_a_transaction_is_a_span() {
    let rig = Rig::new();
    let redis = servers::redis(&rig, &[]);
    let agent = rig.agent(&[]);
    redis_cli(&rig, redis.port, "", &["MULTI", "SET a 1", "INCR a", "EXEC", "MULTI", "INCR a", "DISCARD"]);
    let run = agent.stop();
    let expected =
        ["MULTI MULTI ok", "SET SET a ? ok", "INCR INCR a ok", "EXEC EXEC ok", "MULTI MULTI ok", "INCR INCR a ok", "DISCARD DISCARD ok"];
    assert_eq!(lines(&run), expected);
}

#[test]
fn a_blocking_command_lasts_until_it_is_answered_and_messages_of_a_channel_are_no_spans() {
    let rig = Rig::new();
    let redis = servers::redis(&rig, &[]);
    let port = redis.port.to_string();
    let agent = rig.agent(&[]);
    let waiting = |args: &[&str]| {
        let mut client = rig.command("redis-cli", &[&["-p", &port], args].concat());
        client.stdout(Stdio::null());
        Program::start(client)
    };
    let mut blocked = waiting(&["BLPOP", "queue", "30"]);
    let mut subscriber = waiting(&["SUBSCRIBE", "news"]);
    let info = |section: &str| run(command("redis-cli", &["-p", &port, "INFO", section]));
    wait_until("the clients wait", || info("clients").contains("blocked_clients:1") && info("stats").contains("pubsub_channels:1"));
    redis_cli(&rig, redis.port, "", &["PUBLISH news first", "PUBLISH news second", "LPUSH queue job"]);
    blocked.wait();
    subscriber.end(Signal::TERM);
    let run = agent.stop();
    let mut told = lines(&run);
    told.sort();
    let expected = [
        "BLPOP BLPOP queue ? ok",
        "LPUSH LPUSH queue ? ok",
        "PUBLISH PUBLISH news ? ok",
        "PUBLISH PUBLISH news ? ok",
        "SUBSCRIBE SUBSCRIBE news ok",
    ];
    assert_eq!(told, expected);
    let one = |name: &str| run.spans.iter().find(|span| span.name == name && span.service() == "redis-cli").expect(name);
    let (pop, push) = (one("BLPOP"), one("LPUSH"));
    assert!(pop.start < push.start && push.start < pop.end, "BLPOP ends when there is something to pop");
}

#[test]
fn resp3_is_understood() {
    let rig = Rig::new();
    let redis = servers::redis(&rig, &[]);
    let agent = rig.agent(&[]);
    redis_cli(&rig, redis.port, "-3", &["HSET map a 1 b 2", "HGETALL map", "GET nobody", "ZADD scores 1.5 x", "ZSCORE scores x", "BAD"]);
    let run = agent.stop();
    let told = lines(&run);
    let expected = [
        "HELLO HELLO ? ok",
        "HSET HSET map a ? b ? ok",
        "HGETALL HGETALL map ok",
        "GET GET nobody ok",
        "ZADD ZADD scores ? ? ok",
        "ZSCORE ZSCORE scores ? ok",
        "BAD BAD !ERR",
    ];
    assert_eq!(told, expected);
}

#[test]
fn secrets_never_leave_the_agent() {
    let rig = Rig::new();
    let redis = servers::redis(&rig, &["--requirepass", CANARY]);
    let agent = rig.agent(&[]);
    let wrong = format!("AUTH wrong-{CANARY}");
    let right = format!("AUTH default {CANARY}");
    let hello = format!("HELLO 3 AUTH default {CANARY}");
    let config = format!("CONFIG SET requirepass {CANARY}");
    let acl = format!("ACL SETUSER reader on >{CANARY} ~* +get");
    let migrate = format!("MIGRATE 127.0.0.1 1 key 0 10 AUTH {CANARY}");
    let eval = format!("EVAL \"return '{CANARY}'\" 0");
    redis_cli(&rig, redis.port, "", &["PING", &wrong, &right, &hello, &config, &acl, &migrate, &eval]);
    rig.run("redis-cli", &["-p", &redis.port.to_string(), "--no-auth-warning", "-a", CANARY, "SET", "key", CANARY]);
    let run = agent.stop();
    let names: Vec<String> = lines(&run);
    let first_words: Vec<&str> = names.iter().filter_map(|name| name.split(' ').next()).collect();
    assert_eq!(first_words, ["PING", "AUTH", "AUTH", "HELLO", "CONFIG", "ACL", "MIGRATE", "EVAL", "AUTH", "SET"], "{names:?}");
    assert_eq!(names.first().map(String::as_str), Some("PING PING !NOAUTH"));
    assert!(names.get(1).is_some_and(|name| name.ends_with("!WRONGPASS")), "{names:?}");
    assert!(!format!("{run:?}").contains(CANARY), "{}", tree(&run.spans));
}

#[test]
fn where_the_client_is_not_traced_the_server_tells_its_commands() {
    let rig = Rig::new();
    let redis = servers::redis(&rig, &[]);
    let agent = rig.agent(&[]);
    let mut connection = Connection::to_port(redis.port);
    let pipeline = (0..1000).map(|id| format!("*3\r\n$3\r\nSET\r\n$7\r\nkey:{id:03}\r\n$1\r\nx\r\n")).collect::<Vec<_>>().concat();
    connection.send(pipeline.as_bytes());
    connection.receive(&"+OK\r\n".repeat(1000));
    let mut typed = Connection::to_port(redis.port);
    typed.send(b"SET inline 1\r\n");
    typed.receive("+OK\r\n");
    let run = agent.stop();
    let mut told: Vec<String> = run.spans.iter().map(line).collect();
    told.sort();
    let keys = (0..1000).map(|id| format!("key:{id:03}")).chain(["inline".to_owned()]);
    let mut expected: Vec<String> = keys.map(|key| format!("server redis-server SET SET {key} ? ok none:root")).collect();
    expected.sort();
    assert_eq!(told, expected);
}
