//! The servers of the tests, with the configurations that they get.
use crate::jvm;
use crate::program::{Program, command, free_port, run};
use crate::rig::Rig;
use std::fs;
use std::path::Path;

/// Debian's Python: what comes first in `PATH` may be a script that starts another one.
pub const PYTHON: &str = "/usr/bin/python3";

/// A server, its port, and its process.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub port: u16,
    /// Its process.
    pub program: Program,
}

impl Server {
    /// An URL of it on the loopback interface.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// nginx with one worker for each CPU of a small machine. `http` is the inside of `http { … }`, with `PORT` for its port.
pub fn nginx(rig: &Rig, http: &str) -> Server {
    nginx_in(rig, None, http)
}

/// The same in a network namespace.
pub fn nginx_in(rig: &Rig, namespace: Option<&str>, http: &str) -> Server {
    nginx_on(rig, namespace, free_port(), http)
}

/// The same on a port that was chosen before.
pub fn nginx_on(rig: &Rig, namespace: Option<&str>, port: u16, http: &str) -> Server {
    let dir = rig.file("");
    let dir = dir.display();
    let http = http.replace("PORT", &port.to_string());
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {dir}/nginx-{port}-{kind};\n")).concat();
    let text = format!(
        "daemon off; user root; worker_processes 2; pid {dir}/nginx-{port}.pid; error_log {dir}/nginx-{port}.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000; {temporary} {http} }}\n"
    );
    let config = rig.file(&format!("nginx-{port}.conf"));
    fs::write(&config, text).expect("nginx's configuration");
    let config = config.display().to_string();
    let args = ["-c", &config];
    let program = match namespace {
        Some(namespace) => rig.serve_in(namespace, "nginx", &args, port),
        None => rig.serve("nginx", &args, port),
    };
    Server { port, program }
}

/// nginx that answers everything itself.
pub fn static_nginx(rig: &Rig) -> Server {
    nginx(
        rig,
        "server { listen 127.0.0.1:PORT reuseport; location / { return 200 'hello\\n'; } location /missing { return 404; } location /broken { return 500; } }",
    )
}

/// redis-server without persistence, with further arguments.
pub fn redis(rig: &Rig, args: &[&str]) -> Server {
    let port = free_port();
    let text = port.to_string();
    let all = [&["--port", &text, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"], args].concat();
    Server { port, program: rig.serve("redis-server", &all, port) }
}

/// memcached, which leaves root's rights behind.
pub fn memcached(rig: &Rig) -> Server {
    let port = free_port();
    Server { port, program: rig.serve("memcached", &["-u", "nobody", "-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()], port) }
}

/// `MariaDB` with a database `shop`, whose user `tester` has the password `c4n4ry`.
pub fn mariadb(rig: &Rig) -> Server {
    let port = free_port();
    let dir = rig.file("mariadb");
    fs::create_dir(&dir).expect("a directory for MariaDB");
    let [data, socket, init] = ["", "socket", "init.sql"].map(|name| dir.join(name).display().to_string());
    let statements = "CREATE DATABASE shop;\nCREATE USER tester IDENTIFIED BY 'c4n4ry';\nGRANT ALL ON *.* TO tester;\n";
    // Its tables are made outside of the cgroup: nobody traces that.
    let directory = format!("--datadir={data}");
    let install = ["--no-defaults", &directory, "--user=root", "--skip-test-db", "--auth-root-authentication-method=normal"];
    run(command("mariadb-install-db", &install));
    fs::write(dir.join("init.sql"), statements).expect("MariaDB's first statements");
    let args = [
        "--no-defaults",
        &directory,
        "--user=root",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--local-infile=1",
        "--innodb-buffer-pool-size=16M",
        &format!("--port={port}"),
        &format!("--socket={socket}"),
        &format!("--init-file={init}"),
    ];
    Server { port, program: rig.serve("mariadbd", &args, port) }
}

/// A `MongoDB` of the JVM, which keeps everything in memory.
pub fn mongodb(rig: &Rig) -> Server {
    let (port, class_path, source) = (free_port(), jvm::jars("mongodb"), program("mongodb/Server.java"));
    let text = port.to_string();
    Server { port, program: rig.serve("java", &jvm::java(&class_path, &source, &[&text]), port) }
}

/// A program of `tests/programs`, which gets its port as its first argument.
pub fn script(rig: &Rig, interpreter: &str, name: &str, args: &[&str]) -> Server {
    let port = free_port();
    let (file, text) = (program(name), port.to_string());
    let all = [&[file.as_str(), &text], args].concat();
    Server { port, program: rig.serve(interpreter, &all, port) }
}

/// Path of a program of `tests/programs`.
pub fn program(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name).display().to_string()
}

/// Builds a Go program of `tests/programs`, and gives the path of it; Go does nothing the second time.
pub fn go(name: &str) -> String {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let into = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target).join(name).display().to_string();
    let mut go = command("go", &["build", "-trimpath", "-o", &into, "."]);
    go.current_dir(program(name));
    run(go);
    into
}
