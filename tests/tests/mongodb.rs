//! `MongoDB`'s protocol, as `PyMongo` and a server in Java speak it.
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON};
use wirespan_tests::span::{Kind, Span};

#[test]
fn commands_are_told_with_their_collections_and_errors_and_monitors_are_not() {
    let rig = Rig::new();
    let mongodb = servers::mongodb(&rig);
    let agent = rig.agent(&[]);
    rig.run(PYTHON, &[&servers::program("documents.py"), &mongodb.port.to_string()]);
    let run = agent.stop();
    assert!(!format!("{run:?}").contains("c4n4ry"));
    let mut spans: Vec<&Span> = run.spans.iter().filter(|span| span.name != "endSessions").collect();
    spans.sort_by_key(|span| span.start);
    let tell = |span: &&Span| {
        assert_eq!((span.text("db.system.name"), span.text("db.namespace"), span.kind), ("mongodb", "shop", Kind::Client));
        assert_eq!(span.text("error.type"), span.text("db.response.status_code"));
        let words = [span.name.as_str(), span.text("error.type"), span.text("wirespan.db.error_name")];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let expected = [
        "insert products",
        "insert products",
        "find products",
        "find products",
        "getMore products",
        "getMore products",
        "update products",
        "aggregate products",
        "insert products 11000 DuplicateKey",
        "insert products 11000 DuplicateKey",
        "mongodb 59 CommandNotFound",
        "drop products",
    ];
    assert_eq!(spans.iter().map(tell).collect::<Vec<_>>(), expected);
}
