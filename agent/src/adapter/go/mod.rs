#![doc = include_str!("../go.md")]
//!
//! The executable and its table of functions become a [`Program`], and that the walks.
mod code;
mod functions;
mod image;
mod layout;
mod rpc;
mod types;
mod walks;

use super::process::{Memory, Process};
use super::{Adapter, Refusal, Study};
use crate::causality::manner::{Manner, Unit};
use crate::enrich::runtime::Runtime;
use code::Register;
use functions::{Function, Table};
use image::Image;
use layout::{FIRST_FRAME, Layout, RESPONSE_STATE, STREAM, STREAM_ID};
use rpc::Rpc;
use types::Types;
use walks::{Handlers, Program, Start};

/// Functions that goroutines begin with and that call the same function: one for each `go` statement.
const MAX_STARTS: usize = 4;
/// Go.
#[derive(Debug)]
pub struct Go;

impl Adapter for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn knows(&self, runtime: Runtime) -> bool {
        runtime == Runtime::Go
    }

    fn study(&self, process: &Process) -> Result<Study, Refusal> {
        let unknown = |what: &str| Refusal::Unknown(what.to_owned());
        let image = Image::open(process).ok_or_else(|| unknown("the executable has no table of functions"))?;
        let version = image.version().unwrap_or_default();
        let layout = Layout::of(&version).ok_or_else(|| Refusal::Unknown(format!("the version {version:?} is not known")))?;
        let module = image.module(process).ok_or_else(|| unknown("it does not describe itself"))?;
        let table = image.functions(process, module).ok_or_else(|| unknown("its table of functions cannot be read"))?;
        let types = Layout::minor(&version).and_then(|minor| Types::new(&image, process, module, minor));
        let program = program(layout, &table, types.as_ref(), process).ok_or_else(|| unknown("it keeps its goroutines elsewhere"))?;
        let walks = program.walks().ok_or_else(|| unknown("it has too many ways to begin a goroutine"))?;
        Ok(Study { manner: Manner::Units(Unit::Goroutine), walks })
    }
}

/// Functions that the walks need to know.
#[derive(Default)]
struct Named {
    morestack: Option<Function>,
    newproc1: Option<Function>,
    loops: Vec<Function>,
    serve: Vec<Function>,
    do_request: Vec<Function>,
    run_handler: Vec<Function>,
    read_frames: Vec<Function>,
    /// Parts of functions that begin goroutines.
    dial: Vec<Function>,
    accept: Vec<Function>,
    round_trip: Vec<Function>,
    server: Vec<Function>,
    rpc: rpc::Functions,
}

fn program(layout: Layout, table: &Table, types: Option<&Types<'_>>, memory: &dyn Memory) -> Option<Program> {
    let mut named = Named::default();
    for (name, function) in table.iter() {
        match name {
            b"runtime.morestack" => named.morestack = Some(function),
            b"runtime.newproc1" => named.newproc1 = Some(function),
            b"net/http.(*persistConn).readLoop" | b"net/http.(*persistConn).writeLoop" => named.loops.push(function),
            b"net/http.(*http2clientStream).doRequest" | b"golang.org/x/net/http2.(*clientStream).doRequest" => {
                named.do_request.push(function);
            }
            b"net/http.(*http2serverConn).runHandler" | b"golang.org/x/net/http2.(*serverConn).runHandler" => {
                named.run_handler.push(function);
            }
            b"net/http.(*http2serverConn).readFrames" | b"golang.org/x/net/http2.(*serverConn).readFrames" => {
                named.read_frames.push(function);
            }
            b"net/http.(*conn).serve" => named.serve.push(function),
            name if name.starts_with(b"net/http.(*Transport).dialConn.") => named.dial.push(function),
            name if name.starts_with(b"net/http.(*Server).Serve.") => named.accept.push(function),
            name if is_part(name, b"net/http.(*http2ClientConn).", b"golang.org/x/net/http2.(*ClientConn).") => {
                named.round_trip.push(function);
            }
            name if is_part(name, b"net/http.(*http2serverConn).", b"golang.org/x/net/http2.(*serverConn).") => named.server.push(function),
            name => named.rpc.take(name, function),
        }
    }
    let calls = Calls { table, memory };
    let mut readers = calls.starts(&[&named.server, &named.read_frames], Register::First);
    readers.extend(named.rpc.server_readers(&calls));
    let http = Handlers { way: vec![RESPONSE_STATE, STREAM], number: STREAM_ID, ..Handlers::default() };
    let handlers = calls.handlers(&named.server, &named.run_handler, [Register::First, Register::Second], http);
    let handlers = handlers.into_iter().chain(types.and_then(|types| named.rpc.handlers(&calls, types)));
    Some(Program {
        layout,
        goroutine: code::goroutine(&named.morestack?.code(memory)?)?,
        numbers: named.newproc1.and_then(|function| code::numbers(&function.code(memory)?, function.entry)),
        connections: calls.starts(&[&named.dial, &named.loops], Register::First),
        streams: calls.starts(&[&named.round_trip, &named.do_request], Register::First),
        servers: calls.starts(&[&named.accept, &named.serve], Register::First),
        handlers: handlers.collect(),
        readers,
        rpc: types.and_then(|types| Rpc::find(&named.rpc, &calls, types)),
    })
}

/// Whether a function is a part of a method of one of these types, as what a `go` statement begins is.
fn is_part(name: &[u8], one: &[u8], other: &[u8]) -> bool {
    let method = name.strip_prefix(one).or_else(|| name.strip_prefix(other));
    method.is_some_and(|method| memchr::memchr(b'.', method).is_some())
}

/// The code of a program, to see who calls whom.
struct Calls<'a> {
    table: &'a Table,
    memory: &'a dyn Memory,
}

impl Calls<'_> {
    /// The goroutines that begin with one of the first functions, which call one of the next, and so on, and where the last of these keeps
    /// one of its arguments.
    fn starts(&self, path: &[&[Function]], register: Register) -> Vec<Start> {
        let [firsts, rest @ ..] = path else { return Vec::new() };
        let all = firsts.iter().filter_map(|first| {
            let argument = self.argument(first, rest, register, FIRST_FRAME)?;
            Some(Start { entry: first.entry, argument: i32::try_from(argument).ok()? })
        });
        all.take(MAX_STARTS).collect()
    }

    /// How far below the end of the stack an argument of the last function is that the path from this one leads to; `above` is how far the
    /// stack pointer was when this one was entered.
    fn argument(&self, function: &Function, path: &[&[Function]], register: Register, above: i64) -> Option<i64> {
        let code = function.code(self.memory)?;
        let [nexts, rest @ ..] = path else {
            let (distance, at) = code::kept(&code, register)?;
            let depth = self.table.depth(function, function.entry.checked_add(at as u64)?)?;
            // Without a frame of its own it is about to get a larger stack, and keeps nothing.
            return (depth > 0).then_some(above + depth - i64::from(distance));
        };
        nexts.iter().find_map(|next| {
            let behind = code::calls(&code, function.entry, next.entry).next()?;
            // Down to where the next was entered, with the address to which it returns.
            let entered = above + self.table.depth(function, behind.checked_sub(1)?)? + 8;
            self.argument(next, rest, register, entered)
        })
    }

    /// The goroutines that begin with one of these functions and call one of those, which keep a connection and what leads to the number of
    /// a request, all of the same form.
    fn handlers(&self, firsts: &[Function], nexts: &[Function], registers: [Register; 2], form: Handlers) -> Option<Handlers> {
        let [connections, requests] = registers.map(|register| self.starts(&[firsts, nexts], register));
        let (connection, request) = (connections.first()?.argument, requests.first()?.argument);
        let both = connections.iter().zip(&requests);
        let alike = both.filter(|(one, other)| one.entry == other.entry && (one.argument, other.argument) == (connection, request));
        Some(Handlers { entries: alike.map(|(start, _)| start.entry).collect(), connection, request, ..form })
    }
}

#[cfg(test)]
mod tests;
