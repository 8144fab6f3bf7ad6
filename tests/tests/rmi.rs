//! Java RMI, with the JDK at both ends.
use wirespan_tests::program::free_port;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::{Kind, Span};

#[test]
fn calls_of_the_registry_have_names_and_those_of_objects_their_numbers() {
    let rig = Rig::new();
    let classes = rig.file("").display().to_string();
    rig.run("javac", &["-d", &classes, &servers::program("rmi/Shop.java")]);
    let port = free_port();
    let text = port.to_string();
    let _server = rig.serve("java", &["-cp", &classes, "Shop", &text], port);
    let agent = rig.agent(&[]);
    let said = rig.run("java", &["-cp", &classes, "Shop", &text, "ask"]);
    assert_eq!(said, "shoe\nmissing\n100000\nshoe\nunbound\n");
    let run = agent.stop();
    for kind in [Kind::Client, Kind::Server] {
        let mut spans: Vec<&Span> = run.spans.iter().filter(|span| span.kind == kind).collect();
        spans.sort_by_key(|span| span.start);
        let told: Vec<String> =
            spans.iter().map(|span| format!("{} {}", span.name, span.text("error.type")).trim_end().to_owned()).collect();
        let expected = [
            "java.rmi.registry.Registry/lookup",
            "java_rmi",
            "java_rmi Shop$NoSuchOrder",
            "java_rmi",
            "java_rmi",
            "java.rmi.registry.Registry/lookup java.rmi.NotBoundException",
        ];
        assert_eq!(told, expected);
        // The same method has the same hash, another one another.
        let hashes: Vec<&str> = spans[1..5].iter().map(|span| span.text("wirespan.rmi.method_hash")).collect();
        assert!(hashes[0].len() == 16 && hashes[0] == hashes[1] && hashes[0] == hashes[3] && hashes[0] != hashes[2], "{hashes:?}");
    }
}
