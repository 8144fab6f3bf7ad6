//! Apache `ZooKeeper`, with its own client and kazoo: one span for each operation, and none for pings and watches.
use std::thread;
use std::time::Duration;
use wirespan_tests::agent::Run;
use wirespan_tests::jvm;
use wirespan_tests::python;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::{Kind, Span};

/// A secret that no output may contain.
const CANARY: &str = "c4n4ry-in-a-coal-mine";

/// The client spans of a service in order of time: name, text if there is one, and the error.
fn lines(run: &Run, service: &str) -> Vec<String> {
    let mut spans: Vec<&Span> = run.spans.iter().filter(|span| span.kind == Kind::Client && span.service() == service).collect();
    spans.sort_by_key(|span| span.start);
    let line = |span: &&Span| {
        let error = if span.failed { format!("!{}", span.text("error.type")) } else { String::new() };
        let words = [span.name.as_str(), &span.target(), span.text("db.response.status_code"), &error];
        words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ")
    };
    spans.iter().map(line).collect()
}

#[test]
fn operations_of_two_clients_are_told_with_their_paths_and_without_their_data() {
    let rig = Rig::new();
    let (python, class_path) = (python::with_brokers().display().to_string(), jvm::jars("zookeeper"));
    let server = servers::zookeeper(&rig);
    let address = format!("127.0.0.1:{}", server.port);
    let agent = rig.agent(&[]);
    rig.run(&python, &[&servers::program("zookeeper/calls.py"), &address]);
    // The shell of the Java client reads its commands from its input, and pings while it waits for them.
    let java = jvm::java(&class_path, "org.apache.zookeeper.ZooKeeperMain", &["-server", &address]).join("' '");
    let commands = format!(
        "(echo create /cli {CANARY}; echo get /cli; sleep 3; echo ls /nowhere; echo delete /cli; echo quit) | java '{java}' >/dev/null 2>&1"
    );
    rig.run("sh", &["-c", &commands]);
    thread::sleep(Duration::from_millis(200));
    let run = agent.stop();
    assert_eq!(
        lines(&run, "calls"),
        [
            "createSession",
            "auth",
            "create create /shop",
            "create create /shop NODEEXISTS !NODEEXISTS",
            "getData getData /shop",
            "setData setData /shop",
            "exists exists /shop/none NONODE",
            "delete delete /shop/none NONODE !NONODE",
            "multi create /shop/order; check /shop; setData /shop BADVERSION !BADVERSION",
            "multi create /shop/order; check /shop; setData /shop",
            "getChildren getChildren /shop",
            "closeSession",
        ]
    );
    let java: Vec<Span> = run.spans.iter().filter(|span| span.service() != "calls").cloned().collect();
    let mut names: Vec<&Span> = java.iter().filter(|span| span.kind == Kind::Client).collect();
    names.sort_by_key(|span| span.start);
    let names: Vec<String> = names.iter().map(|span| format!("{} {}", span.name, span.text("error.type")).trim_end().to_owned()).collect();
    assert_eq!(names, ["createSession", "create", "getData", "getChildren2 NONODE", "delete", "closeSession"]);
    assert!(!format!("{run:?}").contains(CANARY));
    assert!(run.spans.iter().all(|span| span.kind == Kind::Client), "the clients are traced");
}
