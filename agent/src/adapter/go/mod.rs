#![doc = include_str!("../go.md")]
//!
//! The executable and its table of functions become a [`Program`], and that the walks.
mod code;
mod functions;
mod image;
mod layout;
mod walks;

use super::process::{Memory, Process};
use super::{Adapter, Refusal, Study};
use crate::causality::manner::{Manner, Unit};
use crate::enrich::runtime::Runtime;
use code::Register;
use functions::{Function, Table};
use image::Image;
use layout::{FIRST_FRAME, Layout};
use walks::{Program, Start};

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
        let table = image.functions(process).ok_or_else(|| unknown("its table of functions cannot be read"))?;
        let program = program(layout, &table, process).ok_or_else(|| unknown("it keeps its goroutines elsewhere"))?;
        let walks = program.walks().ok_or_else(|| unknown("it has too many ways to begin a goroutine"))?;
        Ok(Study { manner: Manner::Units(Unit::Goroutine), walks })
    }
}

/// Functions that the walks need to know.
#[derive(Default)]
struct Named {
    morestack: Option<Function>,
    newproc1: Option<Function>,
    read_loop: Option<Function>,
    write_loop: Option<Function>,
    serve: Vec<Function>,
    do_request: Vec<Function>,
    run_handler: Vec<Function>,
    read_frames: Vec<Function>,
    /// Parts of functions that begin goroutines.
    dial: Vec<Function>,
    accept: Vec<Function>,
    round_trip: Vec<Function>,
    server: Vec<Function>,
}

fn program(layout: Layout, table: &Table, memory: &dyn Memory) -> Option<Program> {
    let mut named = Named::default();
    for (name, function) in table.iter() {
        match name {
            b"runtime.morestack" => named.morestack = Some(function),
            b"runtime.newproc1" => named.newproc1 = Some(function),
            b"net/http.(*persistConn).readLoop" => named.read_loop = Some(function),
            b"net/http.(*persistConn).writeLoop" => named.write_loop = Some(function),
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
            _ => {}
        }
    }
    let starts = |callers: &[Function], functions: &[Function], register| -> Vec<Start> {
        let all = callers.iter().flat_map(|caller| functions.iter().filter_map(|called| start(caller, called, register, table, memory)));
        all.take(MAX_STARTS).collect()
    };
    let loops: Vec<Function> = named.read_loop.into_iter().chain(named.write_loop).collect();
    Some(Program {
        layout,
        goroutine: code::goroutine(&named.morestack?.code(memory)?)?,
        numbers: named.newproc1.and_then(|function| code::numbers(&function.code(memory)?, function.entry)),
        connections: starts(&named.dial, &loops, Register::First),
        streams: starts(&named.round_trip, &named.do_request, Register::First),
        servers: starts(&named.accept, &named.serve, Register::First),
        handlers: alike(starts(&named.server, &named.run_handler, Register::First)),
        responses: alike(starts(&named.server, &named.run_handler, Register::Second)),
        readers: starts(&named.server, &named.read_frames, Register::First),
    })
}

/// Whether a function is a part of a method of one of these types, as what a `go` statement begins is.
fn is_part(name: &[u8], one: &[u8], other: &[u8]) -> bool {
    let method = name.strip_prefix(one).or_else(|| name.strip_prefix(other));
    method.is_some_and(|method| memchr::memchr(b'.', method).is_some())
}

/// Those that keep the argument where the first one does.
fn alike(mut starts: Vec<Start>) -> Vec<Start> {
    let argument = starts.first().map(|start| start.argument);
    starts.retain(|start| Some(start.argument) == argument);
    starts
}

/// A goroutine's first function, if it calls this one, and where that keeps one of its arguments.
fn start(first: &Function, next: &Function, register: Register, table: &Table, memory: &dyn Memory) -> Option<Start> {
    let code = first.code(memory)?;
    let behind = code::calls(&code, first.entry, next.entry).next()?;
    let (distance, at) = code::kept(&next.code(memory)?, register)?;
    // Down to where the next was entered, with the address to which it returns, then to where its stack pointer is.
    let entered = FIRST_FRAME + table.depth(first, behind.checked_sub(1)?)? + 8;
    let depth = table.depth(next, next.entry.checked_add(at as u64)?)?;
    let argument = entered + depth - i64::from(distance);
    // Without a frame of its own it is about to get a larger stack, and keeps nothing.
    if depth == 0 {
        return None;
    }
    Some(Start { entry: first.entry, argument: i32::try_from(argument).ok()? })
}

#[cfg(test)]
mod tests;
