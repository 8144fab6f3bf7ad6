//! Apache Kafka, with its own client and librdkafka's: what is sent and polled, and who it is from.
use wirespan_tests::agent::Run;
use wirespan_tests::jvm;
use wirespan_tests::python;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::{Kind, Span};

/// A secret that no output may contain.
const CANARY: &str = "c4n4ry-in-a-coal-mine";
/// The trace that `Calls.java` names in the headers of its first message, and its span there.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CREATED: &str = "00f067aa0ba902b7";

/// Spans of a client that calls itself `client`, in order of time: kind, name, how many messages, which one, and the error.
fn lines(run: &Run, client: &str) -> Vec<String> {
    let mut spans: Vec<&Span> = run.spans.iter().filter(|span| span.text("messaging.client.id") == client).collect();
    spans.sort_by_key(|span| span.start);
    let line = |span: &&Span| {
        let count = span.number("messaging.batch.message_count").map(|count| format!(" x{count}"));
        let offset = span.number("messaging.kafka.offset").map(|offset| format!(" @{offset}"));
        let key = Some(span.text("messaging.kafka.message.key")).filter(|key| !key.is_empty()).map(|key| format!(" {key}"));
        let error = span.failed.then(|| format!(" !{}", span.text("error.type")));
        let parts = [count, offset, key, error].into_iter().flatten().collect::<String>();
        format!("{} {}{parts}", span.kind, span.name)
    };
    spans.iter().map(line).collect()
}

/// Whether the client must not be bothered with these while a broker is young.
fn is_early(line: &str) -> bool {
    ["COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR", "CONCURRENT_TRANSACTIONS"]
        .iter()
        .any(|error| line.ends_with(error))
}

#[test]
fn what_two_clients_send_and_poll_is_told_and_whose_messages_they_got() {
    let rig = Rig::new();
    let (class_path, python) = (jvm::jars("kafka"), python::with_brokers());
    let broker = servers::kafka(&rig);
    let address = format!("127.0.0.1:{}", broker.port);
    let (calls, calls_py) = (servers::program("kafka/Calls.java"), servers::program("kafka/calls.py"));
    let agent = rig.agent(&[]);
    let java = |words: &[&str]| rig.run("java", &jvm::java(&class_path, &calls, &[&[address.as_str()], words].concat()));
    let librdkafka = |words: &[&str]| rig.run(&python.display().to_string(), &[&[calls_py.as_str(), &address], words].concat());
    java(&["create", "send", "take", "7", "within", "missing", "quiet"]);
    librdkafka(&["send", "take", "8"]);
    let run = agent.stop();

    let mut shop = lines(&run, "shop");
    shop.retain(|line| !is_early(line));
    let missing = shop.iter().filter(|line| *line == "client Metadata !UNKNOWN_TOPIC_OR_PARTITION").count();
    assert!(missing > 0, "{shop:?}");
    shop.retain(|line| !line.starts_with("client Metadata"));
    assert_eq!(
        shop,
        [
            "client InitProducerId",
            "producer send orders @0 order-1",
            "producer send orders x3",
            "producer send orders @4",
            "client InitProducerId",
            "producer send packed x2",
            "client InitProducerId",
            "producer send orders @5 order-5",
            "client EndTxn",
            "client InitProducerId",
        ]
    );
    assert_eq!(lines(&run, "shop-setup"), ["client CreateTopics"]);
    assert_eq!(lines(&run, "shop-python"), ["producer send orders x2"]);
    let mut shipping = lines(&run, "shipping-1");
    shipping.retain(|line| !is_early(line));
    assert_eq!(
        shipping,
        [
            "client JoinGroup",
            "client JoinGroup",
            "client SyncGroup",
            "consumer poll orders x8",
            "client commit orders",
            "client LeaveGroup"
        ]
    );
    // Messages of both topics may come in one answer or in two; nothing is told of the polls that found nothing.
    let polls: Vec<&Span> =
        run.spans.iter().filter(|span| span.kind == Kind::Consumer && span.text("messaging.client.id") == "billing-1").collect();
    let polled: i64 = polls.iter().map(|span| span.number("messaging.batch.message_count").unwrap_or(1)).sum();
    assert_eq!(polled, 7, "{polls:?}");

    // The first message says in its headers who made it; the others are known by their numbers.
    let mut links: Vec<(&str, &str)> =
        polls.iter().flat_map(|span| &span.links).map(|link| (link.id.as_str(), link.why.as_str())).collect();
    links.sort_unstable();
    links.dedup();
    let sent = |name: &str, nth: usize| {
        let mut spans: Vec<&Span> = run.spans.iter().filter(|span| span.kind == Kind::Producer && span.name == name).collect();
        spans.sort_by_key(|span| span.start);
        spans[nth].id.as_str()
    };
    let mut expected = vec![
        (CREATED, "header"),
        (sent("send orders", 1), "message"),
        (sent("send orders", 2), "message"),
        (sent("send packed", 0), "message"),
    ];
    expected.sort_unstable();
    assert_eq!(links, expected);
    assert!(polls.iter().flat_map(|span| &span.links).any(|link| link.trace == TRACE));
    assert!(!format!("{run:?}").contains(CANARY));
    assert!(run.spans.iter().all(|span| span.kind != Kind::Server), "the clients are traced");
}
