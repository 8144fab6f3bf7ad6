//! Thrift, with the library of Python at both ends, in each form in which it writes messages.
use wirespan_tests::program::free_port;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON};
use wirespan_tests::span::{Kind, Span};

#[test]
fn calls_are_told_with_their_outcome_in_every_form() {
    for form in ["strict", "strict-framed", "old", "old-framed", "compact", "compact-framed"] {
        let rig = Rig::new();
        let code = rig.file("").display().to_string();
        rig.run("thrift", &["--gen", "py", "-out", &code, &servers::program("thrift/shop.thrift")]);
        let (script, port) = (servers::program("thrift/shop.py"), free_port());
        let text = port.to_string();
        let _server = rig.serve(PYTHON, &[&script, &text, &code, form], port);
        let agent = rig.agent(&[]);
        let said = rig.run(PYTHON, &[&script, &text, &code, form, "ask"]);
        assert_eq!(said, "1\n6\n", "the kinds of Thrift's own exceptions");
        let run = agent.stop();
        let told = |kind: Kind| {
            let mut spans: Vec<&Span> = run.spans.iter().filter(|span| span.kind == kind).collect();
            spans.sort_by_key(|span| span.start);
            let tell = |span: &&Span| format!("{} {}", span.name, span.text("error.type")).trim_end().to_owned();
            spans.iter().map(tell).collect::<Vec<_>>()
        };
        let ended = |declared: &str| {
            let second = format!("find {declared}").trim_end().to_owned();
            ["find".to_owned(), second, "add".into(), "seen".into(), "thrift UNKNOWN_METHOD".into(), "broken INTERNAL_ERROR".into()]
        };
        assert_eq!(told(Kind::Client), ended("declared_exception"), "{form}");
        assert_eq!(told(Kind::Server), ended(""), "{form}");
        assert!(run.spans.iter().all(|span| span.text("rpc.system.name") == "thrift"));
    }
}
