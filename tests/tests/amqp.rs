//! `RabbitMQ` with its clients for Go and Python, and Qpid Proton: confirms, acknowledgements, answers, errors, and which message came from whom.
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::{Kind, Span};

/// `KIND NAME`, with `!` and the error if it failed, sorted.
fn told(spans: &[Span]) -> Vec<String> {
    let line = |span: &Span| {
        format!("{} {}{}", span.kind, span.name, if span.failed { format!(" !{}", span.text("error.type")) } else { String::new() })
    };
    let mut told: Vec<String> = spans.iter().map(line).collect();
    told.sort();
    told
}

fn sorted(lines: &[(usize, &str)]) -> Vec<String> {
    let mut all: Vec<String> = lines.iter().flat_map(|(times, line)| std::iter::repeat_n((*line).to_owned(), *times)).collect();
    all.sort();
    all
}

/// One broker for all: it takes its time to start.
#[test]
fn clients_of_both_versions_are_told_with_their_messages_and_what_became_of_them() {
    let rig = Rig::new();
    let broker = servers::rabbitmq(&rig, "rabbitmq_amqp1_0");
    orders_are_confirmed_acknowledged_rejected_and_returned(&rig, broker.port);
    a_caller_and_its_worker_are_linked_by_the_correlation_of_their_messages(&rig, broker.port);
    version_1_tells_messages_and_their_outcomes(&rig, broker.port);
}

fn orders_are_confirmed_acknowledged_rejected_and_returned(rig: &Rig, port: u16) {
    let (brokers, url) = (servers::go("brokers"), format!("amqp://guest:guest@127.0.0.1:{port}"));
    let agent = rig.agent(&[]);
    let consumer = servers::role(rig, "amqp-consumer", &url);
    rig.run(&brokers, &["amqp-producer", &url]);
    drop(consumer);
    let run = agent.stop();
    let expected = sorted(&[
        (2, "client connect"),
        (1, "client exchange.declare orders"),
        (1, "client queue.declare billing"),
        (1, "client queue.declare handled"),
        (1, "client queue.bind billing"),
        (1, "client basic.consume billing"),
        (4, "producer publish orders:order.{id}.created"),
        (1, "producer publish orders:order.lost !NO_ROUTE"),
        (3, "consumer process orders:order.{id}.created:billing"),
        (1, "consumer process orders:order.{id}.created:billing !reject"),
        (4, "producer publish handled"),
        (4, "consumer receive handled"),
        (1, "client queue.declare missing !NOT_FOUND"),
    ]);
    assert_eq!(told(&run.spans), expected);
    for taken in run.spans.iter().filter(|span| span.name.starts_with("process orders")) {
        let id = taken.text("messaging.message.id");
        let given =
            run.spans.iter().find(|span| span.kind == Kind::Producer && span.text("messaging.message.id") == id).expect("its publish");
        if given.text("wirespan.link").starts_with("header") {
            assert_eq!((&taken.trace, &taken.parent, taken.text("wirespan.link")), (&given.trace, &given.parent, "header:tracecontext"));
        } else {
            assert_eq!((&taken.trace, taken.parent.as_ref(), taken.text("wirespan.link")), (&given.trace, Some(&given.id), "message"));
        }
        assert!(taken.end > taken.start, "it lasts until it is acknowledged: {taken:?}");
    }
    assert!(run.spans.iter().all(|span| span.text("messaging.system") == "rabbitmq"), "{:?}", run.spans);
}

fn a_caller_and_its_worker_are_linked_by_the_correlation_of_their_messages(rig: &Rig, port: u16) {
    let (port, program) = (port.to_string(), servers::program("amqp_talk.py"));
    let agent = rig.agent_named("calls", &[]);
    rig.run(servers::PYTHON, &[&program, &port]);
    let run = agent.stop();
    let expected = sorted(&[
        (2, "client connect"),
        (1, "client queue.declare prices"),
        (1, "client queue.declare"),
        (1, "client basic.consume prices"),
        (1, "client basic.consume"),
        (3, "producer publish prices"),
        (3, "consumer process prices"),
        (3, "producer publish"),
        (3, "consumer process"),
    ]);
    assert_eq!(told(&run.spans), expected);
    let mut by_message: Vec<&str> =
        run.spans.iter().filter(|span| span.kind == Kind::Consumer).map(|span| span.text("wirespan.link")).collect();
    by_message.sort_unstable();
    assert_eq!(by_message, ["header:tracecontext", "message", "message", "message", "message", "message"]);
    let large = run.spans.iter().filter(|span| span.number("messaging.message.body.size") == Some(150_000)).count();
    assert_eq!(large, 2, "bodies beyond the capture budget are stepped over");
}

fn version_1_tells_messages_and_their_outcomes(rig: &Rig, port: u16) {
    let (port, program) = (port.to_string(), servers::program("amqp1_talk.py"));
    let agent = rig.agent_named("version-1", &[]);
    rig.run(servers::PYTHON, &[&program, &port]);
    let run = agent.stop();
    let expected = sorted(&[
        (1, "client connect"),
        (2, "client attach /queue/orders"),
        (3, "producer publish /queue/orders"),
        (2, "consumer process /queue/orders"),
        (1, "consumer process /queue/orders !rejected"),
    ]);
    assert_eq!(told(&run.spans), expected);
    let mut links: Vec<&str> = run.spans.iter().filter(|span| span.kind == Kind::Consumer).map(|span| span.text("wirespan.link")).collect();
    links.sort_unstable();
    assert_eq!(links, ["header:tracecontext", "message", "message"]);
}
