//! Many requests at once.
use crate::program::Program;
use crate::rig::Rig;
use crate::servers::Server;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::PathBuf;

/// Asks for every path once, `concurrency` at a time, and panics unless each is answered with 200.
///
/// curl's own parallelism keeps connections; a process for each request would measure the starting of processes.
pub fn ask_for_all(rig: &Rig, base: &str, paths: impl IntoIterator<Item = String>, concurrency: usize) {
    let mut config = String::from("silent\nshow-error\nfail\nparallel\nparallel-immediate\nmax-time = 60\n");
    let _ = writeln!(config, "parallel-max = {concurrency}");
    for path in paths {
        let _ = writeln!(config, "url = \"{base}{path}\"\noutput = \"/dev/null\"");
    }
    let file = rig.file("curl.conf");
    fs::write(&file, config).expect("curl's list");
    rig.run("curl", &["--config", &file.display().to_string()]);
}

/// Connections of wrk.
const CONNECTIONS: usize = 8;
/// Gives each request a path of its own, so that a wrong pair shows.
const SCRIPT: &str = "local number = 0
request = function()
  number = number + 1
  return wrk.format('GET', '/request/' .. number)
end
";

/// wrk, which asks as fast as it can.
#[derive(Debug)]
pub struct Load {
    program: Program,
    output: PathBuf,
}

/// What wrk said at its end.
#[derive(Clone, Debug)]
pub struct Report {
    /// Answered requests.
    pub requests: usize,
    /// Connections that it had.
    pub connections: usize,
    text: String,
}

impl Load {
    /// Asks `server` for this many seconds.
    pub fn start(rig: &Rig, server: &Server, seconds: u32) -> Self {
        Self::start_with(rig, server, seconds, &[])
    }

    /// The same, each request on a connection of its own.
    pub fn churn(rig: &Rig, server: &Server, seconds: u32) -> Self {
        Self::start_with(rig, server, seconds, &["-H", "Connection: close"])
    }

    fn start_with(rig: &Rig, server: &Server, seconds: u32, args: &[&str]) -> Self {
        let (script, output) = (rig.file("wrk.lua"), rig.file("wrk.out"));
        fs::write(&script, SCRIPT).expect("wrk's script");
        let (script, url) = (script.display().to_string(), server.url("/"));
        let (connections, duration) = (CONNECTIONS.to_string(), format!("{seconds}s"));
        let mut wrk = rig.command("wrk", &["-t", "1", "-c", &connections, "-d", &duration, "-s", &script]);
        wrk.args(args).arg(url);
        wrk.stdout(File::create(&output).expect("a file"));
        Self { program: Program::start(wrk), output }
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Report {
        assert!(self.program.wait().success(), "wrk failed");
        let text = fs::read_to_string(&self.output).expect("wrk's output");
        let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
        Report { requests: requests.unwrap_or_else(|| panic!("no count in {text}")), connections: CONNECTIONS, text }
    }
}

impl Report {
    /// Panics if any request of the application went wrong.
    pub fn assert_unharmed(&self) {
        assert!(!self.text.contains("Socket errors") && !self.text.contains("Non-2xx"), "{}", self.text);
        assert!(self.requests > 0, "{}", self.text);
    }
}
