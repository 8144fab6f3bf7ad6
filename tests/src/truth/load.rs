//! The clients of a workload: each has one connection, which it keeps, and asks again as soon as it was answered.
//!
//! They run in the rig's own process, outside the cgroup that wirespan watches: to wirespan the workload's requests come from elsewhere.
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Stack of a client's thread: it calls nothing deep.
const STACK: usize = 256 * 1024;

/// Sends `count` requests `/w/PREFIX1`, `/w/PREFIX2` and so on to `port`, `concurrency` at a time; gives how many were answered with 200.
pub fn ask(port: u16, prefix: &str, count: u32, concurrency: u32) -> u32 {
    let next = AtomicU32::new(1);
    let answered = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..concurrency {
            let client = || {
                let mut connection = None;
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number <= count
                {
                    if exchange(&mut connection, port, &format!("/w/{prefix}{number}")).is_ok() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        connection = None;
                    }
                }
            };
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, client).expect("a thread for a client");
        }
    });
    answered.into_inner()
}

/// One request and its answer. A connection that cannot be used again is taken away.
fn exchange(connection: &mut Option<BufReader<TcpStream>>, port: u16, path: &str) -> io::Result<()> {
    let stream = match connection.as_mut() {
        Some(stream) => stream,
        None => connection.insert(connect(port)?),
    };
    stream.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nHost: workload\r\n\r\n").as_bytes())?;
    if !answer(stream)? {
        *connection = None;
    }
    Ok(())
}

fn connect(port: u16) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Reads a whole answer, which must say 200; gives whether the connection can be used again.
fn answer(from: &mut impl BufRead) -> io::Result<bool> {
    let (mut length, mut chunked, mut keep) = (None, false, true);
    let status = line(from)?;
    loop {
        let header = line(from)?.to_ascii_lowercase();
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", value)) => length = value.parse().ok(),
            Some(("transfer-encoding", value)) => chunked = value == "chunked",
            Some(("connection", value)) => keep = value != "close",
            Some(_) => {}
            None => break,
        }
    }
    if chunked {
        while let size = u64::from_str_radix(&line(from)?, 16).map_err(io::Error::other)?
            && size > 0
        {
            skip(from, size)?;
            line(from)?;
        }
        line(from)?;
    } else if let Some(length) = length {
        skip(from, length)?;
    } else {
        keep = false;
        skip(from, u64::MAX)?;
    }
    if status.split(' ').nth(1) == Some("200") { Ok(keep) } else { Err(io::Error::other(status)) }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    if from.read_line(&mut text)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text.trim_end().to_owned())
}

fn skip(from: &mut impl BufRead, length: u64) -> io::Result<()> {
    io::copy(&mut from.take(length), &mut io::sink()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::answer;

    fn read(text: &str) -> Option<bool> {
        let mut rest = text.as_bytes();
        let keep = answer(&mut rest).ok()?;
        assert_eq!(rest, b"");
        Some(keep)
    }

    #[test]
    fn whole_answers_are_read_whatever_ends_them() {
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Some(true));
        assert_eq!(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), Some(true));
        assert_eq!(read("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"), Some(false));
        assert_eq!(read("HTTP/1.0 200 OK\r\n\r\nok"), Some(false));
    }

    #[test]
    fn anything_but_200_is_no_answer() {
        assert_eq!(read("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"), None);
        assert_eq!(read(""), None);
    }
}
