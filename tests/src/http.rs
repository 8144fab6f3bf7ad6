//! A client that sends exactly the bytes it is told, from outside every cgroup: the agent sees the server's end alone.
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, received: Vec::new() }
    }

    /// Connects to a port of the loopback interface.
    pub fn to_port(port: u16) -> Self {
        Self::open(([127, 0, 0, 1], port).into())
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes it");
    }

    /// Reads up to and with `end`, and gives that.
    pub fn receive(&mut self, end: &str) -> String {
        let end = end.as_bytes();
        loop {
            if let Some(place) = self.received.windows(end.len()).position(|window| window == end) {
                let rest = self.received.split_off(place + end.len());
                let whole = std::mem::replace(&mut self.received, rest);
                return String::from_utf8_lossy(&whole).into_owned();
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).expect("the server answers");
            assert!(count > 0, "the server closed the connection");
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    /// Asks for a path with HTTP/1.1 and reads the answer, which ends with `end`.
    pub fn get(&mut self, path: &str, end: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        self.receive(end)
    }
}
