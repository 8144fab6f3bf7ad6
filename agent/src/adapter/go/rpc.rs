//! gRPC's own HTTP/2 (`google.golang.org/grpc/internal/transport`), where one goroutine of a connection writes for all requests and
//! another one reads for all: which goroutine waits for the answer on which stream.
//!
//! The transport of a client has a map of its streams. Whoever made a call waits, until its answer begins, at a channel of its stream. So
//! whenever something is sent or read on the connection, the streams that are waited for are told, the newest ones.
use super::Calls;
use super::code::Register;
use super::functions::Function;
use super::layout::SUDOG_G;
use super::types::{Type, Types, Way};
use super::walks::{ANY, CHANNEL, Handlers, ID, Program, START, Start, WAITER, tell};
use crate::adapter::assembler::{Assembler, Cell, Place};
use crate::causality::manner::word;
use wirespan_abi::walk::{cell, op};

/// The package of connections.
const TRANSPORT: &str = "google.golang.org/grpc/internal/transport";
/// Streams that are looked at, those with the highest numbers: when requests are sent, as many as may leave at once where many calls are
/// made at a time, and of these some more, whose callers did not wait yet when they left. When answers are read, as many as may be under
/// way where too few calls are made for that.
const NEWEST_SENT: u64 = 64;
const NEWEST_READ: u64 = 16;
/// Slots of a map that are one group, and what the sizes of its parts must be: a word of control, then eight slots of a key of four bytes
/// and a pointer.
const GROUP: [u64; 3] = [136, 16, 8];
/// The directory of a map, how many tables it has (none where the map is one group), and a table's groups and the number of groups less one.
const DIRECTORY: i32 = 16;
const TABLES: i32 = 24;
const GROUPS: i32 = 16;
const LAST_GROUP: i32 = 24;
/// A distance that leads to where no process has memory: [`op::SCAN`] finds a zero there, whatever the word.
const NOWHERE: i32 = i32::MIN;

/// The transport.
const TRANSPORT_CELL: Cell = cell::FREE + 9;
/// From which number on streams are looked at, and up to which.
const LOWEST: Cell = cell::FREE + 10;
const BEYOND: Cell = cell::FREE + 11;
/// Where in the map the search is, what it found, and where the map ends.
const AT: Cell = cell::FREE + 12;
const FOUND: Cell = cell::FREE + 13;
const END: Cell = cell::FREE + 14;
/// A stream.
const STREAM: Cell = cell::FREE + 15;

/// What is known of gRPC in a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rpc {
    /// `http2Client.activeStreams`.
    pub streams: i32,
    /// `http2Client.nextID`.
    pub next: i32,
    /// `ClientStream.ct`, the transport that it is of.
    pub owner: Way,
    /// `ClientStream.headerChan`, which is closed when the answer begins.
    pub begins: Way,
    /// `ClientStream.id`.
    pub number: Way,
    /// `loopyWriter.ssGoAwayHandler`: a method of the transport.
    pub method: Option<i32>,
    /// Goroutines that read for a client's connection.
    pub readers: Vec<Start>,
    /// Those that write.
    pub writers: Vec<Start>,
}

/// Functions of gRPC.
#[derive(Default)]
pub struct Functions {
    /// What a new client's connection begins goroutines with.
    client: Vec<Function>,
    reader: Vec<Function>,
    run: Vec<Function>,
    /// What a new server's connection begins its goroutine with, and what reads there.
    accept: Vec<Function>,
    serve: Vec<Function>,
    /// What requests begin their goroutines with.
    begin: Vec<Function>,
    handle_stream: Vec<Function>,
}

impl Functions {
    /// Takes a function, if it is one of these.
    pub fn take(&mut self, name: &[u8], function: Function) {
        let Some(name) = name.strip_prefix(b"google.golang.org/grpc") else { return };
        match name {
            b"/internal/transport.(*http2Client).reader" => self.reader.push(function),
            b"/internal/transport.(*loopyWriter).run" => self.run.push(function),
            b".(*Server).serveStreams" => self.serve.push(function),
            b".(*Server).handleStream" => self.handle_stream.push(function),
            name if name.starts_with(b"/internal/transport.newHTTP2Client.")
                || name.starts_with(b"/internal/transport.NewHTTP2Client.") =>
            {
                self.client.push(function);
            }
            name if name.starts_with(b".(*Server).handleRawConn.") => self.accept.push(function),
            name if name.starts_with(b".(*Server).serveStreams.") => self.begin.push(function),
            _ => {}
        }
    }

    /// The goroutines that read for a server's connections.
    pub fn server_readers(&self, calls: &Calls<'_>) -> Vec<Start> {
        // The transport is the second half of an interface, which follows the context since 1.60.
        let [new, old] = [Register::Fifth, Register::Third].map(|register| calls.starts(&[&self.accept, &self.serve], register));
        if new.is_empty() { old } else { new }
    }

    /// The goroutines that work on one request of a server's connection each.
    pub fn handlers(&self, calls: &Calls<'_>, types: &Types<'_>) -> Option<Handlers> {
        let named = |name: &str| types.structure(name, TRANSPORT);
        let stream = named("transport.ServerStream").or_else(|| named("transport.Stream"))?;
        let (number, _) = types.member(stream, "id")?;
        let form = Handlers { way: number.through.into_iter().collect(), number: number.at, ..Handlers::default() };
        // The transport is the second half of an interface.
        calls.handlers(&self.begin, &self.handle_stream, [Register::Third, Register::Fourth], form)
    }
}

impl Rpc {
    /// What a program says of itself; `None` if it has no gRPC, or one that keeps its streams in another way.
    pub fn find(functions: &Functions, calls: &Calls<'_>, types: &Types<'_>) -> Option<Self> {
        let transport = types.structure("transport.http2Client", TRANSPORT)?;
        let plain =
            |of: Type, name: &str| types.member(of, name).filter(|(way, _)| way.through.is_none()).map(|(way, kind)| (way.at, kind));
        let (streams, map) = plain(transport, "activeStreams")?;
        let (stream, sizes) = types.slots(map)?;
        if sizes != GROUP {
            return None;
        }
        let stream = types.pointee(stream)?;
        let way = |name: &str| types.member(stream, name).map(|(way, _)| way);
        let writer = types.structure("transport.loopyWriter", TRANSPORT);
        Some(Self {
            streams,
            next: plain(transport, "nextID")?.0,
            owner: way("ct")?,
            begins: way("headerChan")?,
            number: way("id")?,
            method: writer.and_then(|writer| plain(writer, "ssGoAwayHandler")).map(|(at, _)| at),
            readers: calls.starts(&[&functions.client, &functions.reader], Register::First),
            writers: calls.starts(&[&functions.client, &functions.run], Register::First),
        })
    }
}

impl Program {
    /// Tells, in a goroutine of a client's connection, who waits for answers there; goes to `end` from there, and on behind it in any
    /// other one. [`START`] is where the goroutine began, and [`ANY`] where its stack ends.
    pub(super) fn tell_streams(&self, walk: &mut Assembler, answered: bool, end: Place) {
        let Some(rpc) = &self.rpc else { return };
        let (known, other) = (walk.place(), walk.place());
        let starts = match (answered, rpc.method) {
            (true, _) => &rpc.readers[..],
            (false, Some(_)) => &rpc.writers,
            (false, None) => return,
        };
        for start in starts {
            let next = walk.place();
            walk.if_unequal(START, start.entry, next).load(TRANSPORT_CELL, ANY, -start.argument);
            if let (false, Some(method)) = (answered, rpc.method) {
                walk.load(ANY, TRANSPORT_CELL, method).load(TRANSPORT_CELL, ANY, 8);
            }
            walk.jump(known);
            walk.here(next);
        }
        walk.jump(other);
        walk.here(known);
        self.look_through(walk, rpc, if answered { NEWEST_READ } else { NEWEST_SENT }, end);
        walk.here(other);
    }

    fn look_through(&self, walk: &mut Assembler, rpc: &Rpc, newest: u64, end: Place) {
        let (few, one, again) = (walk.place(), walk.place(), walk.place());
        walk.if_equal(TRANSPORT_CELL, 0, end);
        walk.step(op::LOAD_4, BEYOND, TRANSPORT_CELL, rpc.next, 0).set(LOWEST, 1).jump_step(op::IF_BELOW, BEYOND, 0, 2 * newest + 1, few);
        walk.add(LOWEST, BEYOND, -(2 * newest.cast_signed()));
        walk.here(few);
        walk.load(ANY, TRANSPORT_CELL, rpc.streams).load(AT, ANY, TABLES).load(END, ANY, DIRECTORY).set(FOUND, 1).if_equal(AT, 0, one);
        // Of a directory the first table, which is the only one up to 896 streams.
        walk.load(ANY, END, 0).load(FOUND, ANY, LAST_GROUP).add(FOUND, FOUND, 1).load(END, ANY, GROUPS);
        walk.here(one);
        walk.if_equal(END, 0, end);
        walk.step(op::MUL, AT, FOUND, 0, GROUP[0]).step(op::SUM, AT, END, 0, 0);
        walk.here(again);
        self.tell_next(walk, rpc, again, end);
    }

    /// Looks for the next stream, tells of it, and goes on with `again`, or where there is none with `end`.
    fn tell_next(&self, walk: &mut Assembler, rpc: &Rpc, again: Place, end: Place) {
        let load = |walk: &mut Assembler, to: Cell, way: Way| {
            let from = way.through.map_or(STREAM, |through| {
                walk.load(to, STREAM, through);
                to
            });
            walk.load(to, from, way.at);
        };
        let (own, waits) = (walk.place(), walk.place());
        walk.scan(AT, LOWEST, NOWHERE, [0; 2]).if_equal(FOUND, 0, end).load(STREAM, AT, 8);
        load(walk, ANY, rpc.owner);
        walk.if_same(ANY, TRANSPORT_CELL, own).jump(again);
        walk.here(own);
        load(walk, CHANNEL, rpc.begins);
        walk.load(ANY, CHANNEL, self.layout.recvq).load(WAITER, ANY, SUDOG_G).load(ID, WAITER, self.layout.goid);
        // Looked at last, since it may have stopped waiting meanwhile.
        walk.load(ANY, ANY, self.layout.sudog_c).if_same(ANY, CHANNEL, waits).jump(again);
        walk.here(waits);
        let from = rpc.number.through.map_or(STREAM, |through| {
            walk.load(ANY, STREAM, through);
            ANY
        });
        walk.step(op::LOAD_4, ANY, from, rpc.number.at, 0);
        tell(walk, word::AWAITER, ID);
        tell(walk, word::AWAITED, ANY);
        walk.load(START, WAITER, self.layout.startpc);
        for server in &self.servers {
            walk.if_equal(START, server.entry, again);
        }
        let other = walk.place();
        self.tell_request(walk, WAITER, again, other);
        walk.here(other);
        self.tell_parent(walk, WAITER);
        walk.jump(again);
    }
}
