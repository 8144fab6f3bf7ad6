//! A collector that takes everything: reads OTLP/HTTP requests and answers 200.
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Read, Write, copy, sink};
use std::net::{TcpListener, TcpStream};
use std::thread::spawn;

/// Longest line of a request's head.
const LINE: u64 = 16 * 1024;

/// Starts it on loopback and gives its endpoint. It lives as long as this process.
pub fn start() -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
    let port = listener.local_addr().context("the listener has no address")?.port();
    spawn(move || {
        for stream in listener.incoming().flatten() {
            spawn(move || serve(&stream));
        }
    });
    Ok(format!("http://127.0.0.1:{port}"))
}

/// Answers until the client goes away or says something that is no request.
fn serve(stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    let mut writer = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            (&mut reader).take(LINE).read_line(&mut line).ok().filter(|read| *read > 0)?;
            let (name, value) = line.trim_end().split_once(':').unwrap_or((line.trim_end(), ""));
            if name.is_empty() {
                break;
            }
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        copy(&mut (&mut reader).take(length), &mut sink()).ok()?;
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}
