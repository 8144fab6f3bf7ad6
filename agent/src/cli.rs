//! The command line: what a person can ask for. Turns arguments into choices; does nothing.
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Exit statuses, as `--help` lists them.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Something failed.
    pub const FAILURE: u8 = 1;
    /// The command line or the environment cannot be used.
    pub const USAGE: u8 = 2;
    /// The privilege or the kernel does not suffice.
    pub const KERNEL: u8 = 3;
    /// The input cannot be used.
    pub const INPUT: u8 = 4;
}

const AFTER_HELP: &str = "\
Spans go to standard output, everything else to standard error; the last line there is the accounting as JSON.
SIGUSR1 prints the accounting while wirespan runs. SIGINT and SIGTERM detach, flush and end.

Examples:
  wirespan                                    show every request on this machine
  wirespan --otlp http://localhost:4317       send spans to a collector (gRPC; HTTP on port 4318)
  wirespan --port 6379 --duration 10s --otlp-file spans.jsonl
  wirespan pcap --otlp-file - capture.pcapng  spans of a capture, without root
  wirespan explain --trace ac84f0 rec.wirespan  why each span of a trace has its place

Environment: OTEL_EXPORTER_OTLP_*, OTEL_BSP_SCHEDULE_DELAY and OTEL_PROPAGATORS as the OpenTelemetry specification has them.

Exit status: 0 done, 1 failure, 2 usage, 3 privilege or kernel, 4 input.";

/// Distributed traces from TCP sockets, without instrumentation.
#[derive(Debug, Parser)]
#[command(name = "wirespan", version, about, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without a command, `run`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `run`.
    #[command(flatten)]
    pub run: Run,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trace this machine (the default)
    Run(Run),
    /// Make spans from capture files; needs no privilege
    Pcap(Pcap),
    /// Write everything the kernel says to a file
    Record(Record),
    /// Make spans from such a file; needs no privilege
    Replay(Replay),
    /// Say why each span of a recording or capture has its place; needs no privilege
    Explain(Explain),
    /// Say what this kernel gives, what is lost, and how to mend it
    Doctor(Doctor),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Where spans go.
#[derive(Args, Clone, Debug, Default)]
pub struct Output {
    /// Send spans to an OpenTelemetry collector: HTTP on port 4318, else gRPC
    #[arg(long, value_name = "ENDPOINT")]
    pub otlp: Option<String>,
    /// Write spans to a file as OTLP JSON lines; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub otlp_file: Option<String>,
    /// No live lines, no summary
    #[arg(long, short)]
    pub quiet: bool,
}

/// What trace context in requests decides.
#[derive(Args, Clone, Debug, Default)]
pub struct Headers {
    /// Believe headers only from these networks, such as 10.0.0.0/8,192.0.2.7; one from elsewhere starts a new trace
    /// (or `WIRESPAN_TRUSTED_CIDRS`)
    #[arg(long, value_name = "LIST")]
    pub trusted_cidrs: Option<String>,
    /// Processes with an OpenTelemetry SDK of their own: skip them (the default), or join their traces (or `WIRESPAN_SDK`)
    #[arg(long, value_name = "skip|join")]
    pub sdk: Option<String>,
    /// Record these keys of a request's baggage (or `WIRESPAN_BAGGAGE_KEYS`)
    #[arg(long, value_name = "LIST")]
    pub baggage_keys: Option<String>,
}

/// What to look at.
#[derive(Args, Clone, Debug, Default)]
pub struct Select {
    /// Only this process and its descendants (may be repeated)
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// Only connections with this port at either end (may be repeated)
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,
    /// Only sockets made in this cgroup (v2) or below it
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
}

/// How to watch the kernel.
#[derive(Args, Clone, Debug, Default)]
pub struct Watch {
    /// End after this time, such as 10s, 500ms, 2m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Size of the ring buffer in MiB, a power of two
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = ring_size)]
    pub ring: u32,
    /// Do not look at the memory of processes, for links in event loops, tasks and goroutines: of none, or not of these (process
    /// numbers, names of executables; or `WIRESPAN_NO_MEMORY`)
    #[arg(long, value_name = "LIST", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub no_memory: Option<String>,
    /// Show what the kernel programs log
    #[arg(long)]
    pub debug_kernel: bool,
}

/// How requests are linked across nodes whose traffic must not be changed.
#[derive(Args, Clone, Debug, Default)]
pub struct Links {
    /// Link requests across nodes by way of this Redis or Valkey: `redis://HOST`, `redis+sentinel://HOST,HOST/MASTER`,
    /// `redis-cluster://HOST,HOST`; `rediss` for TLS (or `WIRESPAN_LINKS_STORE`)
    #[arg(long, value_name = "URL")]
    pub links_store: Option<String>,
    /// File with the store's password (or `WIRESPAN_LINKS_PASSWORD_FILE`, or the password itself in `WIRESPAN_LINKS_PASSWORD`)
    #[arg(long, value_name = "FILE")]
    pub links_password_file: Option<PathBuf>,
    /// How long a request waits for its link, 1500ms unless told otherwise (or `WIRESPAN_LINKS_WAIT`)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub links_wait: Option<Duration>,
}

/// `wirespan run`.
#[derive(Args, Clone, Debug, Default)]
pub struct Run {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: Select,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub watch: Watch,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub headers: Headers,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub links: Links,
}

/// `wirespan pcap`.
#[derive(Args, Clone, Debug)]
pub struct Pcap {
    /// Capture files (pcap or pcapng), read in this order; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// As which host to tell: the client, the server, or both
    #[arg(long, value_enum, default_value_t = Side::Both)]
    pub vantage: Side,
    /// Only connections with this port at either end (may be repeated)
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub headers: Headers,
}

/// `--vantage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// The host that connected.
    Client,
    /// The host that accepted.
    Server,
    /// Both.
    Both,
}

/// `wirespan record`.
#[derive(Args, Clone, Debug)]
pub struct Record {
    /// File to write; an existing one is replaced
    pub file: PathBuf,
    /// Only sockets made in this cgroup (v2) or below it
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub watch: Watch,
}

/// `wirespan replay`.
#[derive(Args, Clone, Debug)]
pub struct Replay {
    /// File written by `wirespan record`
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: ReplaySelect,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub headers: Headers,
}

/// What to look at in a recording.
#[derive(Args, Clone, Debug, Default)]
pub struct ReplaySelect {
    /// Only this process and the descendants it got while recording (may be repeated)
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// Only connections with this port at either end (may be repeated)
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,
}

/// `wirespan explain`.
#[derive(Args, Clone, Debug)]
pub struct Explain {
    /// A file written by `wirespan record`, or capture files (pcap or pcapng); `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only traces whose id begins like this, in hex
    #[arg(long, value_name = "TRACE_ID")]
    pub trace: Option<String>,
    /// As JSON, one line for each span
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub headers: Headers,
}

/// `wirespan doctor`.
#[derive(Args, Clone, Copy, Debug)]
pub struct Doctor {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// A time with its unit: `500ms`, `10s`, `2m`, `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write a number with a unit: 500ms, 10s, 2m, 1h".to_owned()),
    };
    let seconds = number.parse::<f64>().map_err(|_| format!("{number:?} is not a number"))? * scale;
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| error.to_string())
        .and_then(|time| if time.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(time) })
}

fn ring_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(size) if size.is_power_of_two() && size <= 1024 => Ok(size),
        _ => Err("it must be a power of two from 1 to 1024".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_runs() {
        let cli = Cli::try_parse_from(["wirespan", "--port", "80", "--port", "6379", "--duration", "500ms"]).expect("valid");
        assert!(cli.command.is_none());
        assert_eq!((cli.run.select.port, cli.run.watch.duration), (vec![80, 6379], Some(Duration::from_millis(500))));
    }

    #[test]
    fn times_need_a_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["10", "s", "", "-1s", "0s", "1e400s", "10 s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
