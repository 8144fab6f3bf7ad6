//! A small world for tests: programs with threads that connect, send and read, told as the kernel would tell it.
use super::{Explained, Pipeline};
use crate::capture::event::{
    Closed, Datagram, Direction, End, Event, LastRead, Moment, Note, Opened, Read, Role, Segment, Sender, SocketId, Thread,
};
use crate::causality::class::Habit;
use crate::causality::manner::Manner;
use crate::causality::meeting::{Answer, Letter};
use crate::causality::policy::Policy;
use crate::enrich::directory::Directory;
use crate::enrich::span::{Span, SpanKind};
use crate::exchange::ExchangeId;
use crate::protocol::attribute::Value;
use crate::selection::Selection;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use wirespan_abi::{tcp_flag, verdict};

/// A connection as both ends see it.
#[derive(Clone, Copy, Debug)]
pub struct Conn {
    client: SocketId,
    server: SocketId,
}

struct Ends {
    sequence: [u32; 2],
    /// Up to where each end's bytes have been read.
    read: [u32; 2],
    opener: Thread,
    far: Far,
}

/// Which end is on another node: nothing is seen of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Far {
    Neither,
    Client,
    Server,
}

pub struct World {
    pipeline: Pipeline,
    /// Where the programs are.
    client: [u8; 4],
    server: [u8; 4],
    /// Sockets whose arrivals the kernel does not tell.
    mirrored: HashSet<SocketId>,
    /// Arrivals that were not told.
    pub untold: u32,
    pub spans: Vec<Span>,
    now: u64,
    next: u64,
    conns: HashMap<SocketId, Ends>,
    reads: HashMap<Thread, LastRead>,
    /// What the walks of a thread's process put out at whatever it does.
    memory: HashMap<Thread, Vec<u64>>,
    /// The part of its stack that they copy.
    stacks: HashMap<Thread, Vec<u8>>,
}

pub fn thread(pid: u32, tid: u32) -> Thread {
    Thread { pid, tid }
}

impl World {
    pub fn new() -> Self {
        Self::obeying(Policy::default())
    }

    /// The same, where a person decided about headers.
    pub fn obeying(policy: Policy) -> Self {
        let mut pipeline = Pipeline::with_policy(Directory::of_addresses(), Selection::default(), policy, true);
        for pid in 1..100 {
            pipeline.know(pid, Habit::Open);
        }
        let (client, server) = ([192, 168, 0, 1], [192, 168, 0, 2]);
        let (mirrored, conns, reads) = (HashSet::new(), HashMap::new(), HashMap::new());
        let (memory, stacks) = (HashMap::new(), HashMap::new());
        Self { pipeline, client, server, mirrored, untold: 0, spans: Vec::new(), now: 1_000_000_000, next: 0, conns, reads, memory, stacks }
    }

    /// The same, with all programs on one host and talking over loopback.
    pub fn on_loopback() -> Self {
        Self { client: [127, 0, 0, 1], server: [127, 0, 0, 1], ..Self::new() }
    }

    /// The process is known to work like this; otherwise nothing speaks for or against threads.
    pub fn habit(&mut self, pid: u32, habit: Habit) {
        self.pipeline.know(pid, habit);
    }

    /// The process's memory is looked at from now on.
    pub fn adapt(&mut self, pid: u32, manner: Manner) {
        self.pipeline.adapt(pid, manner);
    }

    /// From now on the walks of `thread` put this out.
    pub fn at(&mut self, thread: Thread, output: &[u64]) {
        self.memory.insert(thread, output.to_vec());
    }

    /// From now on `thread` is in this callback of its event loop: its stack says so.
    pub fn calls_back(&mut self, thread: Thread, callback: u8) {
        self.at(thread, &[0x7000, 0x7000]);
        self.stacks.insert(thread, vec![callback; 64]);
    }

    /// Tells what is in the memory of a thread that has just read or written these bytes.
    fn note(&mut self, thread: Thread, socket: SocketId, moment: Moment, from: u32, upto: u32) {
        if let Some(memory) = self.memory.get(&thread) {
            let output = std::array::from_fn(|index| memory.get(index).copied().unwrap_or(0));
            let window = self.stacks.get(&thread).cloned().unwrap_or_default();
            self.tell(&Event::Note(Note { at: self.now, socket, thread, moment, from, upto, output, more: &[], window: &window }));
        }
    }

    pub fn pass(&mut self, nanos: u64) {
        self.now += nanos;
        let spans = &mut self.spans;
        self.pipeline.tick(self.now, &mut |span| spans.push(span));
    }

    fn tell(&mut self, event: &Event<'_>) {
        let spans = &mut self.spans;
        let _ = self.pipeline.event(event, &mut |span| spans.push(span));
        for (socket, verdict) in self.pipeline.take_verdicts() {
            if verdict.flags & verdict::MIRRORED == 0 {
                self.mirrored.remove(&socket);
            } else {
                self.mirrored.insert(socket);
            }
        }
        self.now += 1000;
    }

    /// `by` connects to the service at `port`.
    pub fn connect(&mut self, by: Thread, port: u16) -> Conn {
        self.connected(by, self.client, port, Far::Neither)
    }

    /// Somebody on another node connects to the service at `port`.
    pub fn arrive(&mut self, from: [u8; 4], port: u16) -> Conn {
        self.connected(thread(0, 0), from, port, Far::Client)
    }

    /// The same, where the other node is one of these worlds, which called [`Self::depart`].
    pub fn arrive_from(&mut self, world: &Self, conn: Conn, port: u16) -> Conn {
        let arrived = self.arrive([10, 0, 0, 1], port);
        let sequence = world.conns[&conn.client].sequence;
        let ends = self.conns.get_mut(&arrived.client).expect("connected");
        (ends.sequence, ends.read) = (sequence, sequence);
        arrived
    }

    /// `by` connects to the service at `port` of another node.
    pub fn depart(&mut self, by: Thread, port: u16) -> Conn {
        self.connected(by, [10, 0, 0, 1], port, Far::Server)
    }

    /// From now on other nodes are asked and told.
    pub fn meet(&mut self, wait: u64) {
        self.pipeline.meet(wait);
    }

    /// What is to be sent to them.
    pub fn letters(&mut self) -> Vec<Letter> {
        self.pipeline.take_letters()
    }

    /// What they say.
    pub fn hear(&mut self, id: ExchangeId, answer: Answer) {
        let spans = &mut self.spans;
        self.pipeline.answer(id, answer, &mut |span| spans.push(span));
    }

    fn connected(&mut self, by: Thread, from: [u8; 4], port: u16, far: Far) -> Conn {
        let (conn, client, server) = self.sockets(by, from, 40_000 + self.next as u16, port, far);
        if far != Far::Client {
            self.tell(&Event::Opened(client));
        }
        if far != Far::Server {
            self.tell(&Event::Opened(server));
        }
        conn
    }

    /// Two connections at the same moment with the same addresses, each in a network namespace of its own.
    pub fn connect_in_two_namespaces(&mut self, by: [Thread; 2], port: u16) -> [Conn; 2] {
        let both = by.map(|by| self.sockets(by, self.client, 40_000, port, Far::Neither));
        for (_, client, _) in both {
            self.tell(&Event::Opened(client));
        }
        for (_, _, server) in both {
            self.tell(&Event::Opened(server));
        }
        both.map(|(conn, ..)| conn)
    }

    /// Both ends of a new connection.
    fn sockets(&mut self, by: Thread, from: [u8; 4], from_port: u16, port: u16, far: Far) -> (Conn, Opened, Opened) {
        self.next += 2;
        let conn = Conn { client: SocketId(self.next), server: SocketId(self.next + 1) };
        let from = SocketAddr::from((from, from_port));
        let to = SocketAddr::from((self.server, port));
        let opener = Some(Sender { thread: by, last_read: self.reads.get(&by).copied() });
        let client = Opened {
            at: self.now,
            socket: conn.client,
            local: from,
            remote: to,
            role: Role::Client,
            fresh: true,
            cgroup: 0,
            opener,
            comm: [0; 16],
        };
        let server = Opened { socket: conn.server, local: to, remote: from, role: Role::Server, opener: None, ..client };
        // As far apart as those that a kernel chooses.
        let sequence = [0x9e37_79b1, 0x85eb_ca77].map(|step: u32| step.wrapping_mul(self.next as u32));
        self.conns.insert(conn.client, Ends { sequence, read: sequence, opener: by, far });
        (conn, client, server)
    }

    /// `by` sends from the client's end.
    pub fn ask(&mut self, by: Thread, conn: Conn, bytes: &(impl AsRef<[u8]> + ?Sized)) {
        let bytes = bytes.as_ref();
        self.send(by, conn, bytes, bytes.len(), true);
    }

    /// `by` sends from the server's end.
    pub fn answer(&mut self, by: Thread, conn: Conn, bytes: &(impl AsRef<[u8]> + ?Sized)) {
        let bytes = bytes.as_ref();
        self.send(by, conn, bytes, bytes.len(), false);
    }

    /// The same, with so many bytes behind these that are not captured.
    pub fn answer_partly_seen(&mut self, by: Thread, conn: Conn, bytes: &[u8], unseen: usize) {
        self.send(by, conn, bytes, bytes.len() + unseen, false);
    }

    fn send(&mut self, by: Thread, conn: Conn, bytes: &[u8], length: usize, client: bool) {
        let ends = self.conns.get_mut(&conn.client).expect("connected");
        let (ours, theirs) = if client { (0, 1) } else { (1, 0) };
        let (seq, ack) = (ends.sequence[ours], ends.sequence[theirs]);
        ends.sequence[ours] = seq.wrapping_add(length as u32);
        let far = ends.far;
        let (from, to) = if client { (conn.client, conn.server) } else { (conn.server, conn.client) };
        let out = Segment {
            at: self.now,
            socket: from,
            direction: Direction::Out,
            seq,
            ack,
            flags: tcp_flag::ACK,
            len: length as u32,
            bytes,
            sender: Some(Sender { thread: by, last_read: self.reads.get(&by).copied() }),
            srtt_us: 0,
            retransmits: 0,
        };
        let (sender, receiver) = if client { (Far::Client, Far::Server) } else { (Far::Server, Far::Client) };
        // It arrives before anybody has looked at what was told of its leaving.
        let mirrored = self.mirrored.contains(&to);
        if far != sender {
            self.tell(&Event::Segment(out));
            let moment = if client { Moment::SendCall } else { Moment::SendResponse };
            self.note(by, from, moment, seq, seq.wrapping_add(length as u32));
        }
        if mirrored {
            self.untold += 1;
        } else if far != receiver {
            let arrived = Segment { at: self.now, socket: to, direction: Direction::In, sender: None, ..out };
            self.tell(&Event::Segment(arrived));
        }
    }

    /// `by` reads everything at the server's end.
    pub fn take(&mut self, by: Thread, conn: Conn) {
        self.read(by, conn, 0, conn.server, Moment::ReadRequest);
    }

    /// `by` reads everything at the client's end.
    pub fn receive(&mut self, by: Thread, conn: Conn) {
        self.read(by, conn, 1, conn.client, Moment::ReadAnswer);
    }

    fn read(&mut self, by: Thread, conn: Conn, from: usize, socket: SocketId, moment: Moment) {
        let ends = self.conns.get_mut(&conn.client).expect("connected");
        let upto = ends.sequence[from];
        let before = std::mem::replace(&mut ends.read[from], upto);
        // The kernel tells both of the same moment.
        let at = self.now;
        self.note(by, socket, moment, before, upto);
        self.tell(&Event::Read(Read { at, socket, upto, thread: by }));
        self.reads.insert(by, LastRead { socket, at, upto });
    }

    /// A datagram passes a socket on `port` of the client, or the one on port 53 of the server: `by` sends it, or it arrives.
    pub fn datagram(&mut self, by: Option<Thread>, at_client: bool, port: u16, bytes: &[u8]) {
        let (client, server) = (SocketAddr::from((self.client, port)), SocketAddr::from((self.server, 53)));
        let (local, remote) = if at_client { (client, server) } else { (server, client) };
        let socket = SocketId(1 << 32 | u64::from(local.port()));
        let direction = if by.is_some() { Direction::Out } else { Direction::In };
        let sender = by.map(|by| Sender { thread: by, last_read: self.reads.get(&by).copied() });
        let (at, comm) = (self.now, [0; 16]);
        self.tell(&Event::Datagram(Datagram { at, socket, direction, local, remote, bytes, cgroup: 0, sender, comm }));
    }

    pub fn close(&mut self, conn: Conn, end: End) {
        for socket in [conn.client, conn.server] {
            self.tell(&Event::Closed(Closed { at: self.now, socket, end, established: true }));
        }
    }

    /// A whole exchange of a client that nobody traces further, with `work` at the server.
    pub fn serve(&mut self, conn: Conn, path: &str, server: Thread, work: impl FnOnce(&mut Self)) {
        self.serve_request(conn, &get(path), server, work);
    }

    /// The same with a request of any kind.
    pub fn serve_request(&mut self, conn: Conn, request: &str, server: Thread, work: impl FnOnce(&mut Self)) {
        let Ends { opener: client, far, .. } = self.conns[&conn.client];
        self.ask(client, conn, request);
        self.take(server, conn);
        work(self);
        self.answer(server, conn, OK);
        if far != Far::Client {
            self.receive(client, conn);
        }
    }

    /// What did not become a span so far, and spans that were not made because their processes trace themselves.
    pub fn remarks(&self) -> (BTreeMap<&'static str, u64>, u64) {
        (self.pipeline.remarks(), self.pipeline.skipped())
    }

    /// From now on it is kept what is behind each span.
    pub fn explain(&mut self) {
        self.pipeline.explain();
    }

    /// What is behind the spans so far.
    pub fn explained(&mut self) -> Vec<Explained> {
        self.pipeline.take_explained()
    }

    /// Spans so far by how their links were found.
    pub fn links(&self) -> BTreeMap<String, u64> {
        self.pipeline.links().into_iter().map(|(name, count)| (name.into_owned(), count)).collect()
    }

    /// Everything that is left is told.
    pub fn end(mut self) -> Vec<Span> {
        let spans = &mut self.spans;
        self.pipeline.finish(&mut |span| spans.push(span));
        self.spans
    }
}

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A request that carries these headers.
pub fn get_with(path: &str, headers: &[&str]) -> String {
    let headers = headers.iter().fold(String::new(), |text, header| text + header + "\r\n");
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n")
}

/// Text of an attribute; numbers and truth as text too.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    span.attributes.iter().find(|attribute| attribute.key == key).map(|attribute| match &attribute.value {
        Value::Text(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Texts(texts) => texts.join(","),
    })
}

/// The span of this kind whose path or target is `path`.
pub fn find<'a>(spans: &'a [Span], kind: SpanKind, path: &str) -> &'a Span {
    let matches = |span: &&Span| {
        let target = attribute(span, "url.path").or_else(|| attribute(span, "url.full")).or_else(|| attribute(span, "db.query.text"));
        span.kind == kind && target.is_some_and(|target| target.ends_with(path))
    };
    spans.iter().find(matches).unwrap_or_else(|| panic!("no {kind:?} span of {path} in {spans:#?}"))
}
