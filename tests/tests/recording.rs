//! What was recorded or captured gives the same spans again, also to somebody without privilege.
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use wirespan_tests::agent::{Agent, Run, binary, wirespan, without_telemetry_variables};
use wirespan_tests::load::ask_for_all;
use wirespan_tests::program::output;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON, Server};
use wirespan_tests::span::Span;

/// An agent that records to `file`.
fn recorder(rig: &Rig, file: &Path) -> Agent {
    let mut command = wirespan(["record"]);
    command.arg(file).arg("--cgroup").arg(rig.cgroup());
    Agent::recording(command, &rig.file(""), "recorder")
}

fn by_id(run: Run) -> Vec<Span> {
    let mut spans = run.spans;
    spans.sort_by(|a, b| a.id.cmp(&b.id));
    spans
}

fn shop(rig: &Rig) -> [Server; 3] {
    let stock = servers::script(rig, PYTHON, "stock.py", &[]);
    let redis = servers::redis(rig, &[]);
    let shop = servers::script(rig, PYTHON, "shop.py", &[&stock.port.to_string(), &redis.port.to_string()]);
    [shop, stock, redis]
}

/// The agent as a user without any privilege would run it.
fn as_nobody(rig: &Rig, args: &[&str]) -> Command {
    let program = rig.file("wirespan");
    if !program.exists() {
        // Where it was built need not be open to everybody.
        fs::copy(binary(), &program).expect("a copy of the agent");
        fs::set_permissions(rig.file(""), Permissions::from_mode(0o755)).expect("an open directory");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]).arg(program).args(args);
    command.current_dir("/");
    without_telemetry_variables(&mut command);
    command
}

#[test]
fn a_recording_replays_to_the_spans_that_a_live_agent_told() {
    let rig = Rig::new();
    let [shop, _stock, _redis] = shop(&rig);
    let file = rig.file("recording");
    let recorder = recorder(&rig, &file);
    let agent = rig.agent(&[]);
    ask_for_all(&rig, &shop.url(""), (0..100).map(|id| format!("/order/{id}")), 4);
    let live = by_id(agent.stop());
    let accounting = recorder.stop().accounting;
    assert!(accounting.records > 0 && accounting.records_dropped.is_empty(), "{accounting:?}");
    let mode = fs::metadata(&file).expect("the recording").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "other people's secrets are in it");
    let replayed = by_id(Run::once(wirespan(["replay", "--otlp-file", "-", &file.display().to_string()])));
    let told = |spans: &[Span]| -> Vec<_> {
        let one = |span: &Span| (span.id.clone(), span.trace.clone(), span.parent.clone(), wirespan_tests::tree::line(span));
        spans.iter().map(one).collect()
    };
    assert_eq!(live.len(), 500, "curl and its answer at the shop, the call to the stock and its answer, Redis");
    assert_eq!(told(&replayed), told(&live));
}

#[test]
fn replay_pcap_and_doctor_need_no_privilege() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let file = rig.file("recording");
    let recorder = recorder(&rig, &file);
    rig.curl(&nginx.url("/recorded"));
    let _ = recorder.stop();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("a file that everybody may read");
    let replayed = Run::once(as_nobody(&rig, &["replay", "--otlp-file", "-", &file.display().to_string()]));
    let expected = "client curl GET /recorded 200 none:root\n  server nginx GET /recorded 200 wire\n";
    assert_eq!(wirespan_tests::tree::tree(&replayed.spans), expected);

    let capture = rig.file("capture.pcap");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/http-keep-alive-lo.pcap"), &capture).expect("a copy of a capture");
    let capture = capture.display().to_string();
    let ours = Run::once(wirespan(["pcap", "--otlp-file", "-", &capture]));
    assert!(!ours.spans.is_empty());
    assert_eq!(Run::once(as_nobody(&rig, &["pcap", "--otlp-file", "-", &capture])).spans, ours.spans);

    let doctor = output(as_nobody(&rig, &["doctor", "--json"]));
    assert!(doctor.status.success(), "{doctor:?}");
    let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let checks = report["checks"].as_array().expect("checks");
    for check in checks {
        let status = check["status"].as_str();
        assert!(["ok", "degraded", "missing"].map(Some).contains(&status), "{check}");
        assert!(["name", "lost", "fix"].iter().all(|key| check[key].is_string()), "{check}");
        assert!(status == Some("ok") || check["fix"] != "", "{check} says how to mend it");
    }
    assert!(checks.iter().any(|check| check["status"] == "missing"), "nobody may attach: {report}");
}

#[test]
fn watching_without_privilege_is_refused_with_one_sentence() {
    let rig = Rig::new();
    for command in ["run", "record"] {
        let args = if command == "record" { vec![command, "/tmp/never-written"] } else { vec![command] };
        let refused = output(as_nobody(&rig, &args));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{said}");
        assert_eq!((said.lines().count(), refused.stdout.len()), (1, 0), "{said}");
        assert!(said.starts_with("wirespan: ") && said.contains("CAP_BPF"), "{said}");
    }
}
