//! Real servers under real load: nginx, Redis and `PostgreSQL` on CPU 0, what asks them on CPU 1, all in the measured cgroup.
use super::process::{Group, PATIENCE, Running, until};
use crate::child;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Loopback addresses that nginx listens on: each has client ports of its own.
const ADDRESSES: u8 = 8;
/// CPU of servers.
pub const SERVER: u32 = 0;
/// CPU of what asks them.
pub const CLIENT: u32 = 1;
/// Pause of every connection between two requests, in milliseconds, where the load shall not depend on the server's speed.
const PAUSE_MS: u32 = 10;

/// Where Debian has the programs of `PostgreSQL`.
const POSTGRESQL: &str = "/usr/lib/postgresql/15/bin";
/// How `setpriv` becomes the user that Debian makes for it.
const AS_POSTGRES: [&str; 4] = ["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"];

/// A server that is listening.
pub struct Server {
    running: Running,
    port: u16,
}

impl Server {
    /// nginx in one process that answers `return 200`.
    pub fn nginx(group: &Group, dir: &Path) -> Result<Self> {
        let port = free_port()?;
        let listen = (1..=ADDRESSES).fold(String::new(), |text, last| text + &format!("listen 127.0.0.{last}:{port} backlog=4096;\n"));
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}/nginx-{name};\n", dir.display()))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {0}/nginx.pid;\nerror_log {0}/nginx.log;\nuser root;\n\
            events {{ worker_connections 16000; }}\n\
            http {{\naccess_log off;\nkeepalive_requests 1000000000;\nkeepalive_timeout 1h;\n{temporary}\
            server {{\n{listen}location / {{ return 200 \"ok\\n\"; }}\n}}\n}}\n",
            dir.display()
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = group.command(SERVER, &program("nginx")?);
        command.arg("-e").arg(dir.join("nginx.log")).arg("-c").arg(file);
        Self::start(&mut command, port)
    }

    /// A Redis server that keeps nothing on disk.
    pub fn redis(group: &Group) -> Result<Self> {
        let port = free_port()?;
        let mut command = group.command(SERVER, &program("redis-server")?);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        Self::start(command.stdout(Stdio::null()), port)
    }

    /// A `PostgreSQL` server that trusts everybody, with the tables of pgbench.
    pub fn postgresql(group: &Group, dir: &Path) -> Result<Self> {
        let port = free_port()?;
        let home = dir.join("postgresql");
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        // It refuses to run as root.
        child::run(Command::new("chown").arg("postgres").arg(&home))?;
        let data = home.join("data");
        let mut initdb = Command::new("setpriv");
        initdb.args(AS_POSTGRES).arg(format!("{POSTGRESQL}/initdb")).arg("-D").arg(&data);
        child::run(initdb.args(["-U", "bench", "--auth=trust", "--no-sync", "--no-locale"]).stdout(Stdio::null()).current_dir(&home))?;
        let mut command = group.command(SERVER, Path::new("setpriv"));
        command.args(AS_POSTGRES).arg(format!("{POSTGRESQL}/postgres")).arg("-D").arg(data);
        command.args(["-p", &port.to_string(), "-h", "127.0.0.1", "-c", "fsync=off", "-c", "autovacuum=off"]);
        command.arg("-c").arg(format!("unix_socket_directories={}", home.display()));
        let server = Self::start(command.current_dir(&home).stderr(Stdio::null()), port)?;
        let mut fill = Command::new(format!("{POSTGRESQL}/pgbench"));
        let ready = || child::output(fill.args(["-i", "-q"]).args(to_postgresql(port)).stderr(Stdio::null())).is_ok();
        if !until(PATIENCE, ready) {
            bail!("pgbench cannot make its tables");
        }
        Ok(server)
    }

    /// Ends it, and waits for that.
    pub fn stop(mut self) -> Result<()> {
        self.running.interrupt()
    }

    fn start(command: &mut Command, port: u16) -> Result<Self> {
        let mut running = Running::start(command)?;
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        if !until(PATIENCE, || listens() || running.has_ended()) || running.has_ended() {
            bail!("{command:?} does not listen");
        }
        Ok(Self { running, port })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// What a load generator reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Answered requests.
    pub requests: u64,
    /// How long it took.
    pub time: Duration,
}

impl Load {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }
}

/// As many requests as `connections` of wrk get through in `time`; with `paced`, a request every [`PAUSE_MS`] on each.
pub fn wrk(group: &Group, (port, path): (u16, &str), connections: u32, time: Duration, paced: Option<&Path>) -> Result<Load> {
    let mut command = group.command(CLIENT, &program("wrk")?);
    // It knows whole seconds only.
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{}s", time.as_secs().max(1)), "--timeout", "30s"]);
    if let Some(dir) = paced {
        let script = dir.join("pace.lua");
        fs::write(&script, format!("delay = function() return {PAUSE_MS} end\n")).context("cannot write wrk's script")?;
        command.arg("-s").arg(script);
    }
    let text = child::output(command.arg(format!("http://127.0.0.1:{port}{path}")))?;
    let load = wrk_load(&text).with_context(|| format!("wrk said {text:?}"))?;
    if text.contains("Socket errors") || text.contains("Non-2xx") {
        bail!("wrk met errors: {text}");
    }
    Ok(load)
}

/// Connections with which a paced wrk asks about `rate` times a second.
pub fn paced_connections(rate: f64) -> u32 {
    (rate * f64::from(PAUSE_MS) / 1000.0).round().max(1.0) as u32
}

fn wrk_load(text: &str) -> Option<Load> {
    let (requests, rest) = text.lines().find_map(|line| line.trim().split_once(" requests in "))?;
    let time = rest.split(',').next()?;
    let (number, unit) = time.split_at_checked(time.len() - 1)?;
    let seconds = number.parse::<f64>().ok()? * if unit == "m" { 60.0 } else { 1.0 };
    Some(Load { requests: requests.parse().ok()?, time: Duration::try_from_secs_f64(seconds).ok()? })
}

/// `requests` GETs by redis-benchmark over 20 connections.
pub fn redis_get(group: &Group, port: u16, requests: u64) -> Result<Load> {
    let mut command = group.command(CLIENT, &program("redis-benchmark")?);
    command.args(["-p", &port.to_string(), "-t", "get", "-c", "20", "-q", "-n", &requests.to_string()]);
    let begun = Instant::now();
    child::output(&mut command)?;
    Ok(Load { requests, time: begun.elapsed() })
}

/// `transactions` of pgbench that select one row, over 8 connections.
pub fn pgbench_select(group: &Group, port: u16, transactions: u64) -> Result<Load> {
    const CONNECTIONS: u64 = 8;
    let mut command = group.command(CLIENT, &Path::new(POSTGRESQL).join("pgbench"));
    let each = transactions.div_ceil(CONNECTIONS).max(1);
    command.args(["-n", "-S", "-c", &CONNECTIONS.to_string(), "-t", &each.to_string()]).args(to_postgresql(port));
    let begun = Instant::now();
    child::output(command.stderr(Stdio::null()))?;
    Ok(Load { requests: each * CONNECTIONS, time: begun.elapsed() })
}

/// Where the server of [`Server::postgresql`] is, for its own programs.
fn to_postgresql(port: u16) -> [String; 1] {
    [format!("host=127.0.0.1 port={port} user=bench dbname=postgres sslmode=disable")]
}

/// Starts a process that opens `connections` to nginx, sends one request on each, and holds them; returns when all are answered.
pub fn hold_connections(group: &Group, port: u16, connections: u32) -> Result<Running> {
    let own = std::env::current_exe().context("cannot find xtask itself")?;
    let mut command = group.command(CLIENT, &own);
    command.args(["bench", "--hold", &port.to_string(), &connections.to_string()]);
    let mut running = Running::start(command.stdout(Stdio::piped()))?;
    let mut pipe = running.child().stdout.take().context("the holder has no standard output")?;
    let mut byte = [0];
    pipe.read_exact(&mut byte).context("the connections could not be opened")?;
    Ok(running)
}

/// The other side of [`hold_connections`]: says so when every request is answered, and waits to be killed.
pub fn hold(port: u16, connections: u32) -> Result<()> {
    let mut held = Vec::new();
    for number in 0..connections {
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1 + (number % u32::from(ADDRESSES)) as u8), port));
        let mut stream = TcpStream::connect(address).with_context(|| format!("connection {number} to {address}"))?;
        stream.write_all(format!("GET /held/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
        let mut answer = [0; 1024];
        if stream.read(&mut answer)? == 0 {
            bail!("connection {number} was closed");
        }
        held.push(stream);
    }
    std::io::stdout().write_all(b".")?;
    std::io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}

fn program(name: &str) -> Result<PathBuf> {
    child::find(name).with_context(|| format!("{name} is not installed: run `cargo xtask setup`"))
}

/// A port that nobody listens on now, on any address.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("0.0.0.0", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_says_how_many_requests_were_answered() {
        let text = "Running 1s test @ http://127.0.0.1:80/\n  2 threads\n  73429 requests in 1.10s, 10.99MB read\nRequests/sec:  66752.3\n";
        assert_eq!(wrk_load(text), Some(Load { requests: 73429, time: Duration::from_millis(1100) }));
        let minute = Load { requests: 60, time: Duration::from_mins(1) };
        assert_eq!(wrk_load("  60 requests in 1.00m, 1MB read"), Some(minute));
        assert_eq!(wrk_load("unable to connect"), None);
    }

    #[test]
    fn a_paced_load_needs_a_connection_per_hundred_requests_a_second() {
        assert_eq!(paced_connections(20_000.0), 200);
        assert_eq!(paced_connections(1.0), 1);
    }
}
