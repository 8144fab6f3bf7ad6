//! What every workload calls: servers that answer each call after 0 to 5 ms and remember that it came, for HTTP/1.1, Redis and `PostgreSQL`
//! here, for HTTP/2 and gRPC in a program of their own.
//!
//! They run in the rig's own process, outside the cgroup that wirespan watches, so that only the workload's end of a call is seen. The
//! delay is a hash of the call, so that the same call takes the same time in every run.
use super::install::Kind;
use super::label::{Call, Label};
use crate::program::{Program, free_port};
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest delay of an answer, in microseconds.
const LONGEST: u64 = 5_000;
/// Longest line that a client sends.
const LINE: u64 = 64 * 1024;

/// Servers that run until the rig's process ends, and what they were asked.
#[derive(Debug)]
pub struct Backend {
    /// Port of the HTTP server.
    pub http: u16,
    /// Port of the Redis server.
    pub redis: u16,
    /// Port of the `PostgreSQL` server.
    pub sql: u16,
    calls: Calls,
}

type Calls = Arc<Mutex<BTreeSet<Call>>>;

impl Backend {
    /// Starts them.
    pub fn start() -> Self {
        let calls = Calls::default();
        let http = listen(&calls, |stream, calls| serve_http(&stream, calls));
        let redis = listen(&calls, serve_redis);
        let sql = listen(&calls, |stream, calls| serve_sql(&stream, calls));
        Self { http, redis, sql, calls }
    }

    /// How many calls have come so far.
    pub fn count(&self) -> usize {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Starts the backend of HTTP/2 calls, which runs until what is given goes out of scope, and gives its port.
    pub fn start_http2(&self) -> (Program, u16) {
        let port = free_port();
        let mut command = Command::new(Kind::Go.installed().join("server"));
        command.args(["backend", &port.to_string()]).stdout(Stdio::piped());
        let mut program = Program::listening(command, port);
        let calls = Arc::clone(&self.calls);
        let said = program.take_stdout().expect("what it says");
        thread::spawn(move || {
            for target in BufReader::new(said).lines().map_while(Result::ok) {
                remember(&target, &calls);
            }
        });
        (program, port)
    }

    /// The calls that have come since the last time.
    pub fn take(&self) -> BTreeSet<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn listen(calls: &Calls, serve: fn(TcpStream, &Calls) -> io::Result<()>) -> u16 {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port for the backend");
    let calls = Arc::clone(calls);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let calls = Arc::clone(&calls);
            // A connection that breaks is the workload's affair: its calls are counted where they are sent.
            thread::spawn(move || stream.set_nodelay(true).and_then(|()| serve(stream, &calls)));
        }
    });
    port
}

/// Remembers a call; says whether it is one.
fn remember(target: &str, calls: &Calls) -> bool {
    let Some(Label::Call(call)) = Label::read(target) else { return false };
    calls.lock().unwrap_or_else(PoisonError::into_inner).insert(call);
    true
}

/// Remembers a call and says how long its answer takes; what is no call is answered at once.
fn delay(target: &str, calls: &Calls) -> Duration {
    if !remember(target, calls) {
        return Duration::ZERO;
    }
    // FNV-1a, then the finaliser of MurmurHash3: ids that differ in a digit shall not differ by little.
    let hash = target.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    Duration::from_micros((hash ^ (hash >> 33)) % (LONGEST + 1))
}

fn serve_http(stream: &TcpStream, calls: &Calls) -> io::Result<()> {
    let mut from = BufReader::new(stream);
    let mut to = stream;
    while let Some(request) = line(&mut from)? {
        while line(&mut from)?.is_some_and(|header| !header.is_empty()) {}
        thread::sleep(delay(request.split(' ').nth(1).unwrap_or_default(), calls));
        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")?;
    }
    Ok(())
}

/// Answers in order, as Redis does, but each command's delay begins when it comes, not when the one before it has been answered.
fn serve_redis(stream: TcpStream, calls: &Calls) -> io::Result<()> {
    let (answer, answers) = channel::<(Instant, &'static [u8])>();
    let to = stream.try_clone()?;
    thread::spawn(move || answer_redis(to, &answers));
    let mut from = BufReader::new(stream);
    while let Some(count) = line(&mut from)? {
        let count = count.strip_prefix('*').and_then(|count| count.parse().ok()).unwrap_or(0);
        let words = (0..count).map(|_| bulk(&mut from)).collect::<io::Result<Vec<String>>>()?;
        let due = Instant::now() + delay(&words.join(" "), calls);
        let reply: &[u8] = match words.first().map(|word| word.to_ascii_uppercase()).as_deref() {
            Some("GET") => b"$2\r\nok\r\n",
            Some("PING") => b"+PONG\r\n",
            Some("HELLO") if words.get(1).is_some_and(|version| version == "3") => {
                b"%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:3\r\n"
            }
            Some("HELLO") => b"*6\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:2\r\n",
            _ => b"+OK\r\n",
        };
        if answer.send((due, reply)).is_err() {
            break;
        }
    }
    Ok(())
}

fn answer_redis(mut to: TcpStream, answers: &Receiver<(Instant, &'static [u8])>) -> io::Result<()> {
    for (due, reply) in answers {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        to.write_all(reply)?;
    }
    Ok(())
}

/// Answers simple queries of the `PostgreSQL` protocol, version 3, with one row, and lets everybody in.
fn serve_sql(stream: &TcpStream, calls: &Calls) -> io::Result<()> {
    let mut from = BufReader::new(stream);
    let mut to = stream;
    message(&mut from)?;
    // Authenticated; ready.
    to.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")?;
    loop {
        let mut tag = [0];
        from.read_exact(&mut tag)?;
        let body = message(&mut from)?;
        if tag != *b"Q" {
            return Ok(());
        }
        thread::sleep(delay(body.trim_end_matches('\0'), calls));
        // One column, an int4 without a name; a row with "1" in it; the end of the command; ready.
        to.write_all(
            b"T\0\0\0\x21\0\x01?column?\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0D\0\0\0\x0b\0\x01\0\0\0\x011C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I",
        )?;
    }
}

/// The rest of a `PostgreSQL` message: a length that counts itself, and what follows.
fn message(from: &mut impl BufRead) -> io::Result<String> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut body = Vec::new();
    from.take(u64::from(u32::from_be_bytes(length)).saturating_sub(4).min(LINE)).read_to_end(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// A bulk string: `$LENGTH`, and that many bytes.
fn bulk(from: &mut impl BufRead) -> io::Result<String> {
    let head = line(from)?.unwrap_or_default();
    let length: u64 = head.strip_prefix('$').and_then(|length| length.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let mut text = Vec::new();
    from.take(length.min(LINE)).read_to_end(&mut text)?;
    line(from)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The next line without its end; `None` at the end of the connection.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = Vec::new();
    from.take(LINE).read_until(b'\n', &mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok((!text.is_empty()).then(|| text.trim_end().to_owned()))
}
