//! The command line: what it takes, what it says, and how it ends.
use rustix::process::Signal;
use std::fs;
use wirespan_tests::agent::{Accounting, Run, wirespan};
use wirespan_tests::program::{Program, output};
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON};
use wirespan_tests::span;
use wirespan_tests::tree::tree;
use wirespan_tests::wait::{wait_for, wait_until};

/// The header of a pcap file with link type 147, which means nothing to anybody else (`LINKTYPE_USER0`).
const STRANGE: &[u8] = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x93\0\0\0";

#[test]
fn what_cannot_be_used_is_refused_with_a_sentence_and_a_status() {
    let rig = Rig::new();
    let text = rig.file("notes.txt");
    fs::write(&text, "this is no capture, whatever its name").expect("a file");
    fs::write(rig.file("empty"), "").expect("a file");
    fs::write(rig.file("strange.pcap"), STRANGE).expect("a file");
    let path = |name: &str| rig.file(name).display().to_string();
    for (args, status, said) in [
        (vec!["--nonsense".to_owned()], 2, "--nonsense"),
        (vec!["--duration".to_owned(), "10".to_owned()], 2, "unit"),
        (vec!["--otlp".to_owned(), "gopher://x".to_owned()], 2, "http"),
        (vec!["pcap".to_owned()], 2, "FILE"),
        (vec!["run".to_owned(), "--cgroup".to_owned(), "/no/such/cgroup".to_owned()], 3, "/no/such/cgroup"),
        (vec!["pcap".to_owned(), path("missing")], 4, "missing"),
        (vec!["pcap".to_owned(), path("notes.txt")], 4, "notes.txt"),
        (vec!["pcap".to_owned(), path("empty")], 4, "empty"),
        (vec!["pcap".to_owned(), path("")], 4, "directory"),
        (vec!["pcap".to_owned(), path("strange.pcap")], 4, "link type 147"),
        (vec!["replay".to_owned(), path("notes.txt")], 4, "notes.txt"),
        (vec!["replay".to_owned(), path("")], 4, "directory"),
    ] {
        let output = output(wirespan(&args));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
        assert!(stderr.contains(said) && !stderr.contains("panicked"), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}: {:?}", output.stdout);
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for (args, said) in [(["--help"], "Exit status"), (["--version"], "wirespan "), (["help"], "doctor")] {
        let output = output(wirespan(args));
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains(said), "{output:?}");
    }
}

#[test]
fn a_capture_that_ends_in_the_middle_gives_what_is_before_that_and_says_so() {
    let rig = Rig::new();
    let whole = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/captures/http-keep-alive-lo.pcap")).expect("a capture");
    let file = rig.file("cut.pcap");
    fs::write(&file, &whole[..whole.len() - 10]).expect("a file");
    let run = Run::once(wirespan(["pcap", "--otlp-file", "-", &file.display().to_string()]));
    assert!(!run.spans.is_empty());
    assert!(run.messages.contains("in the middle of a packet"), "{}", run.messages);
}

#[test]
fn it_ends_by_itself_after_the_time_given() {
    let rig = Rig::new();
    let run = rig.agent(&["--duration", "300ms"]).wait();
    assert_eq!(run.spans, []);
}

#[test]
fn live_lines_go_to_standard_output_and_everything_else_to_standard_error() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let agent = rig.agent_from("live", rig.watching(&["--otlp-file", &rig.file("spans.jsonl").display().to_string()]));
    rig.curl(&nginx.url("/live"));
    let messages = agent.stop_without_spans();
    Accounting::last_in(&messages).assert_even();
    let lines = fs::read_to_string(rig.file("live.jsonl")).expect("live lines");
    assert_eq!(lines.lines().filter(|line| line.contains("/live")).count(), 2, "{lines}");
    for words in ["curl → nginx", "nginx ← curl", "GET", "200"] {
        assert!(lines.contains(words), "{words} in {lines}");
    }
    assert!(!messages.contains("/live"), "{messages}");
    let spans = span::parse(&fs::read_to_string(rig.file("spans.jsonl")).expect("spans"));
    assert_eq!(tree(&spans), "client curl GET /live 200 none:root\n  server nginx GET /live 200 wire\n");
}

#[test]
fn quiet_says_nothing_but_the_accounting() {
    let rig = Rig::new();
    let output = output(rig.watching(&["--quiet", "--duration", "300ms"]));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    Accounting::last_in(&stderr).assert_even();
}

#[test]
fn a_signal_asks_for_the_accounting_while_it_runs() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let mut agent = rig.agent(&[]);
    rig.curl(&nginx.url("/"));
    wait_until("there are spans", || agent.spans().len() == 2);
    agent.program().signal(Signal::USR1);
    let line = wait_for("it says what it has done", || {
        agent.messages().lines().find(|line| line.starts_with(r#"{"accounting""#) && line.ends_with('}')).map(str::to_owned)
    });
    let now = Accounting::parse(&line);
    now.assert_even();
    assert_eq!((now.made, now.exported), (2, 2));
    let last = agent.stop().accounting;
    assert!(last.records >= now.records && last.made == 2, "{last:?}");
}

#[test]
fn a_process_is_chosen_with_its_descendants_old_and_new() {
    let rig = Rig::new();
    let (chosen, other) = (servers::static_nginx(&rig), servers::static_nginx(&rig));
    let agent = rig.agent(&["--pid", &chosen.program.pid().to_string()]);
    rig.curl(&chosen.url("/old"));
    rig.curl(&other.url("/other"));
    let workers = |pid: u32| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let before = workers(chosen.program.pid());
    chosen.program.signal(Signal::HUP);
    wait_until("nginx has new workers only", || {
        let now = workers(chosen.program.pid());
        !now.is_empty() && before.split(' ').filter(|pid| !pid.is_empty()).all(|old| now.split(' ').all(|new| new != old))
    });
    rig.curl(&chosen.url("/new"));
    assert_eq!(tree(&agent.stop().spans), "server nginx GET /old 200 none:root\nserver nginx GET /new 200 none:root\n");
}

#[test]
fn ports_and_processes_are_chosen_together() {
    let rig = Rig::new();
    let (one, two, three) = (servers::static_nginx(&rig), servers::static_nginx(&rig), servers::static_nginx(&rig));
    let [first, second] = [one.port, two.port].map(|port| port.to_string());
    let ports = rig.agent_named("ports", &["--port", &first, "--port", &second]);
    let both = rig.agent_named("both", &["--port", &first, "--port", &second, "--pid", &two.program.pid().to_string()]);
    for server in [&one, &two, &three] {
        rig.curl(&server.url("/"));
    }
    let by_port = |run: &Run| {
        let mut ports: Vec<_> = run.spans.iter().map(|span| (span.number("server.port"), span.kind)).collect();
        ports.sort();
        ports.into_iter().map(|(port, kind)| (port.unwrap_or_default(), kind.to_string())).collect::<Vec<_>>()
    };
    let pair = |port: u16| [(i64::from(port), "server".to_owned()), (i64::from(port), "client".to_owned())];
    assert_eq!(by_port(&ports.stop()), [pair(one.port), pair(two.port)].concat());
    assert_eq!(by_port(&both.stop()), pair(two.port)[..1]);
}

#[test]
fn a_cgroup_is_chosen_with_what_is_in_it_and_nothing_else() {
    let (rig, other) = (Rig::new(), Rig::new());
    let (inside, outside) = (servers::static_nginx(&rig), servers::static_nginx(&other));
    let agent = rig.agent(&[]);
    for (client, server) in [(&rig, &inside), (&rig, &outside), (&other, &inside), (&other, &outside)] {
        client.curl(&server.url("/"));
    }
    let run = agent.stop();
    let mut told: Vec<_> = run.spans.iter().map(|span| (span.number("server.port").unwrap_or_default(), span.kind.to_string())).collect();
    told.sort();
    let (inside, outside) = (i64::from(inside.port), i64::from(outside.port));
    let mut expected =
        [(inside, "client"), (inside, "server"), (inside, "server"), (outside, "client")].map(|(port, kind)| (port, kind.to_owned()));
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let rig = Rig::new();
    let server = servers::script(&rig, PYTHON, "stock.py", &[]);
    let wirespan = wirespan_tests::agent::binary();
    let script = format!(
        "{} --cgroup {} --otlp-file - 2>{} | head -n 1 >/dev/null; echo ended",
        wirespan.display(),
        rig.cgroup().display(),
        rig.file("reader.err").display()
    );
    let mut shell = wirespan_tests::program::command("sh", &["-c", &script]);
    shell.stdout(std::process::Stdio::null());
    let mut pipe = Program::start(shell);
    wait_until("it watches", || fs::read_to_string(rig.file("reader.err")).unwrap_or_default().contains("watching"));
    wait_until("it has ended", || {
        rig.curl(&server.url("/"));
        pipe.has_ended()
    });
}
