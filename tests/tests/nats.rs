//! NATS with its Go client: requests and their answers on inboxes, streams and their consumers, and which message came from whom.
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::{Kind, Span};

/// `KIND NAME`, with `!` and the error if it failed, of every span in order of time.
fn told(spans: &[Span]) -> Vec<String> {
    let mut spans: Vec<&Span> = spans.iter().collect();
    spans.sort_by_key(|span| (span.start, span.kind));
    let line = |span: &&Span| {
        format!("{} {}{}", span.kind, span.name, if span.failed { format!(" !{}", span.text("error.type")) } else { String::new() })
    };
    spans.iter().map(line).collect()
}

#[test]
fn requests_and_streams_are_told_at_both_ends_and_messages_have_the_publish_as_parent() {
    let rig = Rig::new();
    let nats = servers::nats(&rig);
    let (brokers, url) = (servers::go("brokers"), format!("nats://127.0.0.1:{}", nats.port));
    let agent = rig.agent(&[]);
    let service = servers::role(&rig, "nats-service", &url);
    rig.run(&brokers, &["nats-client", &url]);
    drop(service);
    let run = agent.stop();
    let mut expected: Vec<String> = [
        "client connect",
        "client STREAM.CREATE ORDERS",
        "client STREAM.NAMES",
        "client CONSUMER.INFO ORDERS !JSConsumerNotFoundErr",
        "client CONSUMER.CREATE ORDERS",
        "client connect",
        "producer publish prices.get",
        "consumer process prices.get",
        "producer publish nobody.home !no_responders",
        "client STREAM.INFO NONE !JSStreamNotFoundErr",
        "consumer process orders.{id}.created !term",
    ]
    .map(str::to_owned)
    .to_vec();
    expected.extend(["consumer process orders.{id}.created"; 2].map(str::to_owned));
    for line in ["producer publish orders.{id}.created", "producer publish handled", "consumer process handled"] {
        expected.extend([line; 3].map(str::to_owned));
    }
    let mut told = told(&run.spans);
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    for name in ["prices.get", "orders.{id}.created"] {
        for taken in run.spans.iter().filter(|span| span.kind == Kind::Consumer && span.name == format!("process {name}")) {
            let given = run.spans.iter().filter(|span| span.kind == Kind::Producer && span.trace == taken.trace).find(|given| {
                given.name == format!("publish {name}") && (taken.parent.as_ref() == Some(&given.id) || taken.parent == given.parent)
            });
            let given = given.unwrap_or_else(|| panic!("who published {taken:?}"));
            let expected = if given.text("wirespan.link").starts_with("header") { "header:tracecontext" } else { "message" };
            assert_eq!(taken.text("wirespan.link"), expected);
            assert!(given.start <= taken.start, "{given:?} {taken:?}");
        }
    }
    let price = |kind| run.spans.iter().find(|span| span.kind == kind && span.name.ends_with("prices.get")).expect("the price");
    assert!(price(Kind::Consumer).end <= price(Kind::Producer).end, "a request lasts until its answer");
    assert_eq!(price(Kind::Consumer).text("messaging.consumer.group.name"), "pricing");
    assert!(run.spans.iter().all(|span| span.service() == "brokers"), "the broker's own ends are not told again");
}
