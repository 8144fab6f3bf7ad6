//! A small service with a thread for each connection, and what puts load on it: what tests of links across nodes are made of.
//!
//! `chain serve PORT [NEXT]` answers `GET PATH`, after it has asked `NEXT`, an address, for the same path. `chain load TO RATE SECONDS
//! CONNECTIONS PREFIX` asks for `/PREFIX/NUMBER`, each number once, at an even rate, and prints how many were answered.
//! No header of any request says where it comes from.
use std::io::{Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
/// Longer than a request and than an answer.
const HEAD: usize = 4096;
/// Longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[1..] {
        ["serve", port] => serve(port, None),
        ["serve", port, next] => serve(port, Some(next)),
        ["load", to, rate, seconds, connections, prefix] => {
            load(to, number(rate), number(seconds), number(connections), prefix);
            Ok(())
        }
        _ => Err(std::io::Error::other("chain serve PORT [NEXT] | chain load TO RATE SECONDS CONNECTIONS PREFIX")),
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn serve(port: &str, next: Option<&str>) -> Result<()> {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            scope.spawn(move || attend(stream, next));
        }
    });
    Ok(())
}

/// Answers the requests of one connection.
fn attend(mut stream: TcpStream, next: Option<&str>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut onwards: Option<TcpStream> = None;
    let mut head = [0; HEAD];
    loop {
        let length = read_to(&mut stream, &mut head, b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&head[..length]);
        let Some(path) = text.split(' ').nth(1) else { return Ok(()) };
        if let Some(next) = next {
            let connection = match onwards.take() {
                Some(connection) => connection,
                None => connect(next)?,
            };
            onwards = Some(ask(connection, path)?);
        }
        stream.write_all(OK)?;
    }
}

fn connect(to: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn ask(mut stream: TcpStream, path: &str) -> Result<TcpStream> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: chain\r\n\r\n").as_bytes())?;
    read_to(&mut stream, &mut [0; HEAD], b"\r\n\r\nok\n")?;
    Ok(stream)
}

/// Reads up to `end`, which must be the last that has been sent; gives the length.
fn read_to(stream: &mut TcpStream, buffer: &mut [u8], end: &[u8]) -> Result<usize> {
    let mut length = 0;
    while !buffer[..length].ends_with(end) {
        let count = stream.read(&mut buffer[length..])?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        length += count;
    }
    Ok(length)
}

fn load(to: &str, rate: u64, seconds: u64, connections: u64, prefix: &str) {
    let (begun, next, answered) = (Instant::now(), AtomicU64::new(0), AtomicU64::new(0));
    let all = rate * seconds;
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| -> Result<()> {
                let mut stream = connect(to)?;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= all {
                        return Ok(());
                    }
                    let due = begun + Duration::from_nanos(1_000_000_000 / rate * number);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    stream = ask(stream, &format!("/{prefix}/{number}"))?;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!("{} {:.3}", answered.load(Ordering::Relaxed), begun.elapsed().as_secs_f64());
}
