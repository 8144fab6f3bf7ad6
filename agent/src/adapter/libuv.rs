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
const FUNCTION: u64 = 8 * 1024;
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
        let mut elsewhere = true;
        for look in 0..LOOKS {
            if look >= FEWEST_LOOKS && loops.iter().any(|known| known.tid == process.pid) {
                break;
            }
            elsewhere &= matches!(waiting(process, process.pid), Some((call, _)) if !WAITS.contains(&call));
            for tid in process.threads() {
                if loops.iter().all(|known| known.tid != tid)
                    && let Some((call, stack)) = waiting(process, tid)
                    && WAITS.contains(&call)
                    && let Some(found) = found(process, tid, stack, &run)
                {
                    loops.push(found);
                }
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        // The first thread's loop is the one that serves, unless that thread waits for something else all the time. Node has loops of its
        // own in others.
        let main = loops.iter().find(|known| known.tid == process.pid).or(loops.first().filter(|_| elsewhere)).cloned();
        let main = main.ok_or(Refusal::NotYet("its loop has not waited for events"))?;
        loops.retain(|known| known.phases == main.phases);
        loops.sort_by_key(|known| known.tid != process.pid);
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

/// The system call in which a thread waits, and its stack pointer there (`proc_pid_syscall(5)`).
fn waiting(process: &Process, tid: u32) -> Option<(u64, u64)> {
    let line = process.proc_file(&format!("task/{tid}/syscall"), LINE).ok()?;
    let line = String::from_utf8(line).ok()?;
    let mut fields = line.split_ascii_whitespace();
    let call: u64 = fields.next()?.parse().ok()?;
    let stack = fields.nth(6)?.strip_prefix("0x")?;
    Some((call, u64::from_str_radix(stack, 16).ok()?))
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
    let is_poll = |word: u64| polls.iter().copied().filter(|poll| (*poll..poll.saturating_add(FUNCTION)).contains(&word)).max();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::interpreter::walk as take;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const RUN: Range<u64> = 0x40_0000..0x40_0400;
    const POLL: u64 = 0x40_8000;
    const STACK_POINTER: u64 = 0x7fff_0000;

    /// Words at addresses; everything else between two pages of code and the end of the stack is zero.
    #[derive(Default)]
    struct Image(BTreeMap<u64, u8>);

    impl Image {
        fn put(&mut self, address: u64, bytes: &[u8]) {
            self.0.extend((address..).zip(bytes.iter().copied()));
        }

        /// A call of `to` that returns to `back`.
        fn call(&mut self, back: u64, to: u64) {
            let distance = to.wrapping_sub(back) as u32;
            self.put(back - 5, &[&[0xe8][..], &distance.to_le_bytes()].concat());
        }
    }

    impl Memory for Image {
        fn read(&self, address: u64, to: &mut [u8]) -> Option<()> {
            let end = address.checked_add(to.len() as u64)?;
            let there = |range: Range<u64>| range.contains(&address) && end <= range.end;
            (there(0x40_0000..0x41_0000) || there(STACK_POINTER - 0x1000..STACK_POINTER + 0x8000)).then_some(())?;
            to.fill(0);
            for (at, byte) in self.0.range(address..end) {
                *to.get_mut(usize::try_from(at - address).ok()?)? = *byte;
            }
            Some(())
        }
    }

    /// A thread that waits: `uv_run` calls `uv__io_poll` from one of its phases, that the wait through a register.
    fn waits() -> Image {
        let mut image = Image::default();
        image.call(RUN.start + 0x100, POLL);
        image.call(RUN.start + 0x180, POLL - 0x1000);
        image.put(POLL + 0x20e, &[0xff, 0xd0]);
        image.put(STACK_POINTER + 0x18, &(POLL + 0x210).to_le_bytes());
        image.put(STACK_POINTER + 0x3020, &(RUN.start + 0x100).to_le_bytes());
        // What an earlier phase left.
        image.put(STACK_POINTER + 0x900, &(RUN.start + 0x180).to_le_bytes());
        image
    }

    #[test]
    fn the_frames_of_a_loop_that_waits_are_found() {
        let expected = Loop { tid: 7, frame: STACK_POINTER + 0x20, phases: vec![0x3000] };
        assert_eq!(found(&waits(), 7, STACK_POINTER, &RUN), Some(expected));
    }

    #[test]
    fn a_stack_without_these_frames_has_no_loop() {
        let mut elsewhere = waits();
        elsewhere.put(STACK_POINTER + 0x900, &[0; 8]);
        elsewhere.put(RUN.start + 0xfb, &[0x90]);
        assert_eq!(found(&elsewhere, 7, STACK_POINTER, &RUN), None, "what calls is no call");
        assert_eq!(found(&waits(), 7, STACK_POINTER + 0x20, &RUN), None, "the wait returns nowhere");
        assert_eq!(found(&waits(), 7, 0x1000, &RUN), None, "there is no stack");
    }

    #[test]
    fn the_walk_tells_the_phase_and_the_stack_around_the_frames_end() {
        let image = waits();
        let known = found(&image, 7, STACK_POINTER, &RUN).expect("it waits");
        let walk = walk(&[Loop { tid: 6, ..known.clone() }, known.clone()], &known.phases).expect("it fits");
        let left = take(&walk, 0, STACK_POINTER - 64, 7, &image).expect("a note");
        assert_eq!(left.output(), [STACK_POINTER - 64, known.frame - INSIDE, RUN.start + 0x100]);
        assert_eq!(left.window, image.bytes(known.frame - INSIDE, 928).expect("its stack"));
        assert_eq!(take(&walk, 0, STACK_POINTER, 8, &image), None, "a thread without a loop");
    }

    proptest! {
        #[test]
        fn any_memory_is_looked_at_without_harm(
            words in prop::collection::vec((0_u64..0x9000, prop_oneof![any::<u64>(), RUN, POLL..POLL + 0x1000]), 0..64),
            code in prop::collection::vec((0_u64..0xf000, any::<[u8; 6]>()), 0..16),
            stack in prop_oneof![Just(STACK_POINTER), STACK_POINTER..STACK_POINTER + 0x8000, any::<u64>()],
        ) {
            let mut image = waits();
            for (at, word) in &words {
                image.put(STACK_POINTER + at, &word.to_le_bytes());
            }
            for (at, bytes) in &code {
                image.put(0x40_0000 + at, bytes);
            }
            if let Some(found) = found(&image, 7, stack, &RUN) {
                prop_assert!(found.frame > stack && (1..=PHASES).contains(&found.phases.len()));
                prop_assert!(walk(std::slice::from_ref(&found), &found.phases).is_some());
            }
        }
    }
}
