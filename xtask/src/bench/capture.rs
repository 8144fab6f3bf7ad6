//! A capture file of a million packets as a busy host would give it, made without a network: HTTP and Redis over many connections at
//! once, with handshakes, acknowledgements, bodies of several sizes and proper ends. The same bytes every time.
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Connections open at the same time.
const OPEN: usize = 256;
/// Exchanges on a connection.
const EXCHANGES: u32 = 50;
/// Payload of a full segment on Ethernet with TCP timestamps.
const SEGMENT: usize = 1448;
/// Bodies of HTTP responses, in turn: short answers, a page, an image. A packet has 600 bytes on average, as on the Internet.
const BODIES: [usize; 5] = [2, 180, 900, 2900, 12_000];
/// Nanoseconds between two packets.
const STEP: u64 = 10_000;

const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Packets.
    pub packets: u64,
    /// HTTP exchanges.
    pub http: u64,
    /// Redis commands.
    pub redis: u64,
}

impl Content {
    /// Spans that follow from it: client and server for HTTP, the client alone for Redis.
    pub fn spans(&self) -> u64 {
        2 * self.http + self.redis
    }
}

/// Writes at least `packets` packets to `path`, connections being finished.
pub fn write(path: &Path, packets: u64) -> Result<Content> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut out = Writer { out: BufWriter::with_capacity(1 << 20, file), content: Content::default() };
    out.file_header()?;
    let mut opened = 0;
    let mut open: VecDeque<Connection> = VecDeque::new();
    loop {
        while open.len() < OPEN && out.content.packets < packets {
            let mut connection = Connection::new(opened);
            opened += 1;
            connection.handshake(&mut out)?;
            open.push_back(connection);
        }
        let Some(mut connection) = open.pop_front() else { break };
        if connection.exchanges == EXCHANGES || out.content.packets >= packets {
            connection.end(&mut out)?;
        } else {
            connection.exchange(&mut out)?;
            open.push_back(connection);
        }
    }
    out.out.flush().context("cannot write the capture")?;
    Ok(out.content)
}

struct Connection {
    number: u32,
    exchanges: u32,
    /// Next sequence numbers of the client and of the server.
    next: [u32; 2],
}

impl Connection {
    fn new(number: u32) -> Self {
        Self { number, exchanges: 0, next: [number.wrapping_mul(0x9e37_79b1), number.wrapping_mul(0x85eb_ca77)] }
    }

    /// Every fourth connection speaks Redis.
    fn is_redis(&self) -> bool {
        self.number % 4 == 3
    }

    fn handshake(&mut self, out: &mut Writer) -> Result<()> {
        self.send(out, 0, SYN, b"")?;
        self.send(out, 1, SYN | ACK, b"")?;
        self.send(out, 0, ACK, b"")
    }

    fn end(&mut self, out: &mut Writer) -> Result<()> {
        self.send(out, 0, FIN | ACK, b"")?;
        self.send(out, 1, FIN | ACK, b"")?;
        self.send(out, 0, ACK, b"")
    }

    fn exchange(&mut self, out: &mut Writer) -> Result<()> {
        self.exchanges += 1;
        let key = self.number.wrapping_mul(31).wrapping_add(self.exchanges) % 1000;
        if self.is_redis() {
            out.content.redis += 1;
            self.send(out, 0, PSH | ACK, format!("*2\r\n$3\r\nGET\r\n$8\r\nkey:{key:04}\r\n").as_bytes())?;
            return self.send(out, 1, PSH | ACK, b"$12\r\nhello, world\r\n");
        }
        out.content.http += 1;
        let body = BODIES[self.exchanges as usize % BODIES.len()];
        let request = format!(
            "GET /items/{key}?page={} HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n",
            key % 7
        );
        let mut response = format!(
            "HTTP/1.1 200 OK\r\nServer: shop\r\nDate: Sat, 01 Aug 2026 10:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: {body}\r\n\r\n"
        )
        .into_bytes();
        response.resize(response.len() + body, b'x');
        self.send(out, 0, PSH | ACK, request.as_bytes())?;
        for pair in response.chunks(2 * SEGMENT) {
            for segment in pair.chunks(SEGMENT) {
                self.send(out, 1, PSH | ACK, segment)?;
            }
            self.send(out, 0, ACK, b"")?;
        }
        Ok(())
    }

    /// Writes a packet from the client (0) or the server (1).
    fn send(&mut self, out: &mut Writer, from: usize, flags: u8, payload: &[u8]) -> Result<()> {
        let [a, b] = (20_000 + self.number % 40_000).to_be_bytes()[2..] else { return Ok(()) };
        let client = ([10, 1, (self.number / 40_000) as u8, 1], [a, b]);
        let server = ([10, 2, 0, 1], if self.is_redis() { 6379_u16 } else { 8080 }.to_be_bytes());
        let ends = if from == 0 { (client, server) } else { (server, client) };
        let [client_next, server_next] = self.next;
        let (seq, ack) = if from == 0 { (client_next, server_next) } else { (server_next, client_next) };
        out.packet(ends, seq, if flags & ACK == 0 { 0 } else { ack }, flags, payload)?;
        self.next[from] = seq.wrapping_add(payload.len() as u32).wrapping_add(u32::from(flags & (SYN | FIN) != 0));
        Ok(())
    }
}

/// Address and port, as they stand in headers.
type End = ([u8; 4], [u8; 2]);

struct Writer {
    out: BufWriter<File>,
    content: Content,
}

impl Writer {
    /// pcap with nanoseconds, Ethernet (link type 1).
    fn file_header(&mut self) -> Result<()> {
        for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 1] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        Ok(())
    }

    /// Ethernet, IPv4 and TCP with its timestamps option. Checksums stay zero, as on a host whose network card makes them.
    fn packet(&mut self, (from, to): (End, End), seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Result<()> {
        let time = 1_785_600_000_000_000_000 + self.content.packets * STEP;
        self.content.packets += 1;
        let length = 14 + 20 + 32 + payload.len() as u32;
        for word in [(time / 1_000_000_000) as u32, (time % 1_000_000_000) as u32, length, length] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        let mut head = Vec::with_capacity(66);
        head.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        head.extend([0x45, 0]);
        head.extend(((length - 14) as u16).to_be_bytes());
        head.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        head.extend(from.0);
        head.extend(to.0);
        head.extend(from.1);
        head.extend(to.1);
        head.extend(seq.to_be_bytes());
        head.extend(ack.to_be_bytes());
        head.extend([0x80, flags, 0xff, 0xff, 0, 0, 0, 0]);
        head.extend([1, 1, 8, 10]);
        head.extend((time as u32).to_be_bytes());
        head.extend((time as u32).to_be_bytes());
        self.out.write_all(&head)?;
        self.out.write_all(payload).context("cannot write the capture")
    }
}
