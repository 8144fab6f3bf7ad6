#![doc = include_str!("../go.md")]
mod code;
mod functions;
mod image;
mod layout;
mod walks;

use super::process::{Memory, Process};
use super::{Adapter, Refusal, Study};
use crate::causality::manner::{Manner, Unit};
use crate::enrich::runtime::Runtime;
use functions::{Function, Table};
use image::Image;
use layout::Layout;
use walks::{Program, Start};

/// Functions that goroutines begin with and that call the same function: one for each `go` statement.
const MAX_STARTS: usize = 4;
/// How far below the end of its stack a goroutine's first frame begins: 32 bytes are left free, then comes the address of
/// `runtime.goexit` (`runtime.newproc1`).
const FIRST_FRAME: i64 = 40;

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
    do_request: Vec<Function>,
    /// Parts of functions that begin goroutines.
    dial: Vec<Function>,
    round_trip: Vec<Function>,
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
            name if name.starts_with(b"net/http.(*Transport).dialConn.") => named.dial.push(function),
            name if [&b"net/http.(*http2ClientConn)."[..], b"golang.org/x/net/http2.(*ClientConn)."]
                .iter()
                .any(|receiver| name.strip_prefix(*receiver).is_some_and(|name| memchr::memchr(b'.', name).is_some())) =>
            {
                named.round_trip.push(function);
            }
            _ => {}
        }
    }
    let starts = |callers: &[Function], callees: &mut dyn Iterator<Item = Function>| -> Vec<Start> {
        let callees: Vec<Function> = callees.collect();
        let all = callers.iter().flat_map(|caller| callees.iter().filter_map(|callee| start(caller, callee, table, memory)));
        all.take(MAX_STARTS).collect()
    };
    Some(Program {
        layout,
        goroutine: code::goroutine(&named.morestack?.code(memory)?)?,
        numbers: named.newproc1.and_then(|function| code::numbers(&function.code(memory)?, function.entry)),
        connections: starts(&named.dial, &mut named.read_loop.into_iter().chain(named.write_loop)),
        streams: starts(&named.round_trip, &mut named.do_request.iter().copied()),
    })
}

/// A goroutine's first function, if it calls this one: the callee keeps its first argument right above the address to which it returns.
fn start(caller: &Function, callee: &Function, table: &Table, memory: &dyn Memory) -> Option<Start> {
    let code = caller.code(memory)?;
    let behind = code::calls(&code, caller.entry, callee.entry).next()?;
    let depth = table.depth(caller, behind.checked_sub(1)?)?;
    Some(Start { entry: caller.entry, argument: i32::try_from(FIRST_FRAME + depth).ok()? })
}

#[cfg(test)]
mod tests;
