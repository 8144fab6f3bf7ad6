//! The set of capabilities that `deploy/` asks for: it suffices, each of them is needed, and what is needed only to attach is given up.
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use wirespan_tests::agent::{Agent, binary};
use wirespan_tests::program::{free_port, output};
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::PYTHON;
use wirespan_tests::span::{Kind, Span};
use wirespan_tests::wait::wait_until;

/// As in `deploy/wirespan.service` and `deploy/daemonset.yaml`, with their numbers in the kernel's `capability.h`.
const SET: [(&str, u8); 5] = [("bpf", 39), ("perfmon", 38), ("net_admin", 12), ("sys_ptrace", 19), ("dac_read_search", 2)];
/// Those that are kept for as long as the agent runs.
const KEPT: [&str; 3] = ["bpf", "dac_read_search", "sys_ptrace"];
/// Who runs the agent, a server and the client. None may look at another's processes because it is the same user.
const ROOT: u32 = 0;
const OTHER: u32 = 41_001;
const SERVER: &str = "41002";
const CLIENT: &str = "41003";

/// The command as another user with exactly `capabilities`, and no way to get more.
fn confined(command: &Command, user: u32, capabilities: &[&str]) -> Command {
    let added: Vec<String> = capabilities.iter().map(|name| format!("+{name}")).collect();
    let added = added.join(",");
    let mut confined = Command::new("setpriv");
    confined.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned(), "--no-new-privs".to_owned()]);
    for set in ["--bounding-set", "--inh-caps", "--ambient-caps"] {
        confined.arg(format!("{set}=-all,{added}"));
    }
    confined.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => confined.env(name, value),
            None => confined.env_remove(name),
        };
    }
    confined
}

/// An agent's command that watches the rig's cgroup. The executable is a copy that anybody may start: a clone may lie in root's home.
fn watching(rig: &Rig) -> Command {
    let executable = rig.file("wirespan");
    if !executable.exists() {
        fs::copy(binary(), &executable).expect("a copy of the agent");
    }
    let usual = rig.watching(&[]);
    let mut command = Command::new(executable);
    command.args(usual.get_args()).args(["--otlp-file", "-"]);
    for (name, _) in usual.get_envs() {
        command.env_remove(name);
    }
    command
}

/// The effective capabilities of every thread of a process, of those in [`SET`] by name. Any other is a panic.
fn effective(pid: u32) -> BTreeSet<Vec<&'static str>> {
    let mut sets = BTreeSet::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("threads") {
        let status = fs::read_to_string(thread.expect("a thread").path().join("status")).expect("a status");
        let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("capabilities").trim();
        let bits = u64::from_str_radix(bits, 16).expect("hexadecimal digits");
        let mut names: Vec<&str> = SET.iter().filter(|(_, number)| bits >> number & 1 == 1).map(|(name, _)| *name).collect();
        assert_eq!(bits.count_ones() as usize, names.len(), "only capabilities of the set: {bits:x}");
        names.sort_unstable();
        sets.insert(names);
    }
    sets
}

fn requests_of_others_are_seen_and_named_by(user: u32) {
    let rig = Rig::new();
    let (front, shop) = (free_port(), free_port());
    let config = rig.file("nginx.conf");
    let text = format!(
        "daemon off; user www-data; pid {0}/nginx.pid; error_log {0}/nginx.log; events {{}}
         http {{ access_log off; server {{ listen 127.0.0.1:{front}; location / {{ return 204; }} }} }}",
        rig.file("").display()
    );
    fs::write(&config, text).expect("nginx's configuration");
    let _nginx = rig.serve("nginx", &["-c", &config.display().to_string()], front);
    let as_user = |user| [format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()];
    let (server, client) = (as_user(SERVER), as_user(CLIENT));
    let (port, page) = (shop.to_string(), format!("http://127.0.0.1:{shop}/missing"));
    let program = ["env", "OTEL_SERVICE_NAME=shop", PYTHON, "-m", "http.server", "--bind", "127.0.0.1", &port];
    let _shop = rig.serve("setpriv", &[&server.each_ref().map(String::as_str)[..], &program].concat(), shop);

    let mut agent = Agent::start(confined(&watching(&rig), user, &SET.map(|(name, _)| name)), &rig.file(""), "agent");
    // What everybody may read gives a name too. The executable needs SYS_PTRACE, and the shop's environment DAC_READ_SEARCH.
    let expected = [("nginx", "/usr/sbin/nginx"), ("shop", "/usr/bin/python3")];
    let is_named = |spans: &[Span], (service, executable): (&str, &str)| {
        let mut servers = spans.iter().filter(|span| span.kind == Kind::Server && span.service() == service);
        servers.any(|span| {
            span.resource.get("process.executable.path").and_then(Value::as_str).is_some_and(|path| path.starts_with(executable))
        })
    };
    // More than once: on a busy machine the first span of a process may leave before the process has been looked at.
    wait_until("both servers are named", || {
        for url in [format!("http://127.0.0.1:{front}/"), page.clone()] {
            let curl = ["curl", "--silent", "--max-time", "30", "--output", "/dev/null", &url];
            rig.run("setpriv", &[&client.each_ref().map(String::as_str)[..], &curl].concat());
        }
        expected.iter().all(|server| is_named(&agent.spans(), *server))
    });
    assert_eq!(effective(agent.program().pid()), BTreeSet::from([KEPT.to_vec()]), "of every thread, as user {user}");
    let run = agent.stop();
    let clients = run.spans.iter().filter(|span| span.kind == Kind::Client);
    assert_eq!(clients.map(Span::service).collect::<BTreeSet<_>>(), BTreeSet::from(["curl"]));
}

#[test]
fn deploy_asks_for_the_set_and_nothing_else() {
    let line = |file: &str, key: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file);
        let text = fs::read_to_string(path).expect("a file of deploy");
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key).map(str::to_lowercase)).expect("a line with capabilities");
        let words = line.split([' ', ',', '[', ']']).filter(|word| !word.is_empty());
        words.map(|word| word.trim_start_matches("cap_").to_owned()).collect::<BTreeSet<_>>()
    };
    let set: BTreeSet<String> = SET.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(line("wirespan.service", "CapabilityBoundingSet="), set);
    assert_eq!(line("wirespan.service", "AmbientCapabilities="), set);
    assert_eq!(line("daemonset.yaml", "add:"), set);
}

#[test]
fn the_set_suffices_for_root_without_its_other_powers() {
    requests_of_others_are_seen_and_named_by(ROOT);
}

#[test]
fn the_set_suffices_for_any_user() {
    requests_of_others_are_seen_and_named_by(OTHER);
}

#[test]
fn without_one_of_those_needed_to_attach_it_says_which() {
    let rig = Rig::new();
    for missing in ["bpf", "perfmon", "net_admin"] {
        let rest: Vec<&str> = SET.iter().map(|(name, _)| *name).filter(|name| *name != missing).collect();
        let ended = output(confined(&watching(&rig), OTHER, &rest));
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(3), "{said}");
        assert!(said.contains(&format!("it lacks CAP_{};", missing.to_uppercase())), "{said}");
    }
}
