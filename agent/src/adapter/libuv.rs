#![doc = include_str!("libuv.md")]
use super::assembler::Assembler;
use super::exported;
use super::process::{Memory, Process};
use super::{Adapter, Refusal, Study};
use crate::causality::manner::Manner;
use crate::enrich::runtime::Runtime;
use std::ops::Range;
use std::thread;
use std::time::Duration;
use wirespan_abi::walk::{WINDOW, Walk, cell, moment};

/// Numbers of the system calls in which a loop waits on x86-64: `epoll_wait`, `epoll_pwait`, `epoll_pwait2`.
const WAITS: [u64; 3] = [232, 281, 441];
/// How often it is looked which threads wait, and how long apart: a loop waits most of the time, and a busy one now and then.
const LOOKS: u32 = 200;
/// How often at least: for the loops of other threads.
const FEWEST_LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// Threads whose loops are told apart: 3 steps of a walk each.
const LOOPS: usize = 24;
/// Longest file `syscall`, bytes.
const LINE: u64 = 256;
/// Bytes of a waiting thread's stack that are searched for the loop's frames: libuv's own is 12 KB.
const STACK: usize = 32 * 1024;
/// Bytes from the stack pointer of the system call to the frame of libuv's `uv__io_poll`: the C library's wrapper.
const WRAPPER: u64 = 256;
/// Longest function that calls, bytes: a return address is within that of the address that was called.
const FUNCTION: u64 = 32 * 1024;
/// Places that may hold the address in `uv_run` at which its phase returns: one, and what is left of earlier runs of other loops.
const PHASES: usize = 4;
/// Bytes of the stack beyond the loop's frame that are compared: frames of the callback, which in Node 18 to 24 has 480 from a read on
/// that do not change while it runs.
const INSIDE: u64 = 416;
/// Bytes of the loop's own frame that are compared: where it notes which callback runs.
const OUTSIDE: u64 = 512;

/// Loops of libuv: Node, and programs in C and the like.
pub struct Libuv;

impl Adapter for Libuv {
    fn name(&self) -> &'static str {
        "libuv"
    }

    fn knows(&self, runtime: Runtime) -> bool {
        matches!(runtime, Runtime::Node | Runtime::Native)
    }

    fn study(&self, process: &Process) -> Result<Study, Refusal> {
        let library = ["/libuv.so", "/libnode.so"].iter().find_map(|name| process.module(|path| path.contains(name)));
        let module = library.or_else(|| process.maps().first()).ok_or(Refusal::Gone)?;
        let run = exported::function(process, module.range.start, "uv_run").ok_or(Refusal::Other)?;
        let mut loops: Vec<Loop> = Vec::new();
        for look in 0..LOOKS {
            if look >= FEWEST_LOOKS && loops.iter().any(|known| known.tid == process.pid) {
                break;
            }
            for tid in process.threads() {
                if loops.iter().all(|known| known.tid != tid)
                    && let Some(stack) = waiting(process, tid)
                    && let Some(found) = found(process, tid, stack, &run)
                {
                    loops.push(found);
                }
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        // The first thread's loop is the one that serves, if it runs one.
        let first = loops.iter().find(|known| known.tid == process.pid).or(loops.first()).cloned();
        let main = first.ok_or(Refusal::NotYet("its loop has not waited for events"))?;
        loops.retain(|known| known.phases == main.phases);
        loops.truncate(LOOPS);
        let walk = walk(&loops, &main.phases).ok_or_else(|| Refusal::Unknown("its loops do not fit a walk".to_owned()))?;
        let walks = [(); moment::COUNT as usize].map(|()| Some(walk.clone()));
        Ok(Study { manner: Manner::Rounds, walks })
    }
}

/// A thread that runs a loop.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Loop {
    tid: u32,
    /// Where the frame of `uv__io_poll` ends, and those of what it calls begin.
    frame: u64,
    /// Distances from there to places with the address in `uv_run` at which the running phase returns.
    phases: Vec<i32>,
}

/// The stack pointer of a thread that waits for events (`proc_pid_syscall(5)`).
fn waiting(process: &Process, tid: u32) -> Option<u64> {
    let line = process.proc_file(&format!("task/{tid}/syscall"), LINE).ok()?;
    let line = String::from_utf8(line).ok()?;
    let mut fields = line.split_ascii_whitespace();
    let call: u64 = fields.next()?.parse().ok()?;
    let stack = fields.nth(6)?.strip_prefix("0x")?;
    WAITS.contains(&call).then(|| u64::from_str_radix(stack, 16).ok())?
}

/// The frames of the loop on the stack of a thread that waits for events in it: `uv_run` calls `uv__io_poll`, and that the wait.
fn found(memory: &dyn Memory, tid: u32, stack: u64, run: &Range<u64>) -> Option<Loop> {
    let mut bytes = vec![0; STACK];
    // Near the stack's end there are fewer.
    while memory.read(stack, &mut bytes).is_none() {
        bytes.truncate(bytes.len() / 2);
        if bytes.is_empty() {
            return None;
        }
    }
    let words = || (stack..).step_by(8).zip(bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes)));
    let in_run = |word: u64| run.contains(&word).then(|| called(memory, word)).flatten();
    // The one that `uv_run` calls is a function around the address to which the wait returns.
    let polls: Vec<u64> = words().filter_map(|(_, word)| in_run(word)).collect();
    let is_poll = |word: u64| polls.iter().copied().find(|poll| (*poll..poll.saturating_add(FUNCTION)).contains(&word));
    let returns = |word: u64| is_poll(word).filter(|_| is_return(memory, word));
    let (at, poll) = words().take((WRAPPER / 8) as usize).find_map(|(at, word)| Some((at, returns(word)?)))?;
    let frame = at.checked_add(8)?;
    let phases = words().filter(|(at, word)| *at >= frame && in_run(*word) == Some(poll));
    let phases: Vec<i32> = phases.filter_map(|(at, _)| i32::try_from(at - frame).ok()).take(PHASES).collect();
    (!phases.is_empty()).then_some(Loop { tid, frame, phases })
}

/// The address that was called by the instruction before `back`, if that is a call of a fixed address.
fn called(memory: &dyn Memory, back: u64) -> Option<u64> {
    let mut code = [0; 5];
    memory.read(back.checked_sub(5)?, &mut code)?;
    let [0xe8, distance @ ..] = code else { return None };
    back.checked_add_signed(i32::from_le_bytes(distance).into())
}

/// Whether the instruction before `back` is a call: of a fixed address, or of one in memory or a register.
fn is_return(memory: &dyn Memory, back: u64) -> bool {
    let mut code = [0; 7];
    let read = back.checked_sub(7).and_then(|from| memory.read(from, &mut code));
    // `FF /2`: the opcode, then a byte that says by its bits 3 to 5 that it calls.
    read.is_some() && (code[2] == 0xe8 || [0, 1, 3, 4, 5].iter().any(|at| code[*at] == 0xff && code[at + 1] >> 3 & 7 == 2))
}

/// At every moment the same: the thread's loop, its phase, and the stack around the end of the loop's frame.
fn walk(loops: &[Loop], phases: &[i32]) -> Option<Box<Walk>> {
    const FRAME: u8 = cell::FREE;
    const VALUE: u8 = cell::FREE + 1;
    let mut walk = Assembler::new(WINDOW);
    let tell = walk.place();
    for known in loops {
        let next = walk.place();
        walk.if_unequal(cell::TID, known.tid.into(), next).set(FRAME, known.frame).jump(tell);
        walk.here(next);
    }
    walk.drop_note();
    walk.here(tell);
    walk.emit(cell::STACK_POINTER).add(VALUE, FRAME, -(INSIDE as i64)).emit(VALUE);
    for phase in phases {
        walk.load(VALUE, FRAME, *phase).emit(VALUE);
    }
    walk.step(wirespan_abi::walk::op::COPY, FRAME, 0, -(INSIDE as i32), INSIDE + OUTSIDE).end();
    walk.finish()
}
