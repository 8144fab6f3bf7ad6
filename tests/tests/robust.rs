//! What happens to the agent must not happen to the programs that it watches, and must not make it tell anything wrong.
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::Duration;
use wirespan_tests::agent::{Agent, Run};
use wirespan_tests::load::Load;
use wirespan_tests::program::{command, output};
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::Kind;
use wirespan_tests::tree::tree;
use wirespan_tests::wait::wait_until;

/// How long the load runs, in seconds.
const LOAD: u32 = 4;

fn wait_for_spans(agent: &Agent) {
    wait_until("there are spans", || !agent.spans().is_empty());
}

/// The kernel's objects that a process holds, as bpftool names them: `prog id 7`.
fn objects(pid: u32) -> BTreeSet<[String; 3]> {
    let mut objects = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("a process").flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for (field, kind) in [("prog_id:", "prog"), ("map_id:", "map"), ("link_id:", "link")] {
            if let Some(id) = text.lines().find_map(|line| line.strip_prefix(field)) {
                objects.insert([kind.to_owned(), "id".to_owned(), id.trim().to_owned()]);
            }
        }
    }
    objects
}

fn exists([kind, id, number]: &[String; 3]) -> bool {
    output(command("bpftool", &[kind, "show", id, number])).status.success()
}

/// Spans of a server whose parent is about another request.
fn wrong(run: &Run) -> Vec<String> {
    let clients: BTreeMap<&str, String> =
        run.spans.iter().filter(|span| span.kind == Kind::Client).map(|span| (span.id.as_str(), span.target())).collect();
    let servers = run.spans.iter().filter(|span| span.kind == Kind::Server);
    let wrong = servers.filter(|span| {
        let parent = span.parent.as_deref().and_then(|parent| clients.get(parent));
        parent.is_some_and(|target| *target != span.target())
            || span.number("http.response.status_code").is_some_and(|status| status != 200)
    });
    wrong.map(|span| format!("{span:?}")).collect()
}

#[test]
fn an_agent_that_is_killed_harms_nobody_and_leaves_nothing_behind() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let mut agent = rig.agent(&[]);
    let load = Load::start(&rig, &nginx, LOAD);
    wait_for_spans(&agent);
    let objects = objects(agent.program().pid());
    let kinds: BTreeSet<&str> = objects.iter().map(|[kind, ..]| kind.as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["link", "map", "prog"]), "{objects:?}");
    assert!(objects.iter().all(exists));
    agent.program().end(Signal::KILL);
    load.finish().assert_unharmed();
    wait_until("the kernel has let everything go", || !objects.iter().any(exists));
    let second = rig.agent_named("second", &[]);
    rig.curl(&nginx.url("/again"));
    assert_eq!(tree(&second.stop().spans), "client curl GET /again 200 none:root\n  server nginx GET /again 200 wire\n");
}

#[test]
fn an_agent_that_ends_under_load_tells_everything_and_harms_nobody() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let agent = rig.agent(&[]);
    let load = Load::start(&rig, &nginx, LOAD);
    wait_for_spans(&agent);
    let run = agent.stop();
    load.finish().assert_unharmed();
    assert_eq!(wrong(&run), Vec::<String>::new());
    assert!(run.accounting.made > 0, "{:?}", run.accounting);
}

#[test]
fn an_agent_that_was_stopped_counts_what_it_missed_and_tells_nothing_wrong() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    // A ring that is full long before the agent goes on.
    let mut agent = rig.agent(&["--ring", "1"]);
    let load = Load::start(&rig, &nginx, LOAD);
    wait_for_spans(&agent);
    agent.program().signal(Signal::STOP);
    thread::sleep(Duration::from_secs(3));
    agent.program().signal(Signal::CONT);
    load.finish().assert_unharmed();
    // Connections whose bytes were lost find their feet again, and new ones have nothing to do with it.
    rig.curl(&nginx.url("/afterwards"));
    let run = agent.stop();
    println!("{:?}", run.accounting);
    assert!(run.accounting.records_dropped.get("kernel.ring_full").is_some_and(|count| *count > 0), "{:?}", run.accounting);
    assert_eq!(wrong(&run), Vec::<String>::new());
    let afterwards: Vec<_> = run.spans.iter().filter(|span| span.target() == "/afterwards").cloned().collect();
    assert_eq!(tree(&afterwards), "client curl GET /afterwards 200 none:root\n  server nginx GET /afterwards 200 wire\n");
}

#[test]
fn two_agents_at_once_tell_the_same() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let agents = [rig.agent_named("first", &[]), rig.agent_named("second", &[])];
    for id in 0..20 {
        rig.curl(&nginx.url(&format!("/{id}")));
    }
    let [first, second] = agents.map(|agent| {
        let mut spans = agent.stop().spans;
        spans.sort_by(|a, b| a.id.cmp(&b.id));
        spans.into_iter().map(|span| (span.trace, span.id, span.parent, span.name)).collect::<Vec<_>>()
    });
    assert_eq!(first.len(), 40);
    assert_eq!(first, second);
}
