//! `OpenSearch`, with its official client for Python: operations and indices instead of methods and paths.
use std::process::Stdio;
use wirespan_tests::program::{Program, free_port};
use wirespan_tests::rig::Rig;
use wirespan_tests::span::{Kind, Span};
use wirespan_tests::wait::wait_until;
use wirespan_tests::{jvm, python, servers};

#[test]
fn operations_of_a_client_are_told_by_their_names_and_indices() {
    let rig = Rig::new();
    let classes = jvm::classes(&rig, "search", "Search.java");
    let (port, transport) = (free_port(), free_port().to_string());
    let (text, data) = (port.to_string(), rig.file("data").display().to_string());
    let mut node = rig.command("java", &["-Xmx600m", "-cp", &classes, "Search", &text, &transport, &data]);
    node.stdout(Stdio::null()).stderr(Stdio::null());
    let _node = Program::listening(node, port);
    wait_until("OpenSearch has a cluster", || rig.file("data/ready").exists());
    let agent = rig.agent(&[]);
    let said = rig.run(&python::with_opensearch().display().to_string(), &[&servers::program("search/search.py"), &text]);
    assert!(said.ends_with("index_not_found_exception\n"), "{said}");
    let run = agent.stop();
    let mut spans: Vec<&Span> = run.spans.iter().filter(|span| span.text("db.system.name") == "opensearch").collect();
    spans.sort_by_key(|span| span.start);
    let told: Vec<String> = spans.iter().map(|span| format!("{} {}", span.name, span.text("error.type")).trim_end().to_owned()).collect();
    let expected = [
        "search",
        "indices.create products",
        "index products",
        "get products",
        "search products",
        "search products",
        "bulk",
        "bulk",
        "count products",
        "delete products",
        "get products 404",
        "search nothing index_not_found_exception",
        "indices.delete products",
    ];
    assert_eq!(told, expected);
    // Where both ends are seen, one span tells of a database.
    assert!(spans.iter().all(|span| span.kind == Kind::Client));
    let failed: Vec<bool> = spans.iter().filter_map(|span| span.attributes.get("wirespan.bulk.errors")?.as_bool()).collect();
    assert_eq!(failed, [false, true]);
    assert!(!format!("{run:?}").contains("shoe"), "neither queries nor documents");
}
