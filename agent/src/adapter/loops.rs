#![doc = include_str!("loops.md")]
use super::assembler::Assembler;
use super::process::Process;
use super::{Adapter, Refusal, Study};
use crate::causality::manner::Manner;
use crate::enrich::runtime::Runtime;
use wirespan_abi::walk::{LARGEST_WINDOW, Walk, cell, moment, op};

/// Part of the stack that is copied, in bytes before the thread pointer, which is where the stack of a thread of the C library begins:
/// the frames of Netty's loop end 3,500 to 4,100 bytes from there, those of its callbacks 300 to 1,300 bytes further.
const FROM: u64 = 5120;
const UPTO: u64 = 1024;
/// Parts of the names of threads that run loops: Netty's (two generations), reactor-netty's and Vert.x'.
const NAMES: [&str; 5] = ["EventLoop", "eventloop", "eventloo", "IoEvent", "reactor-http"];

/// Event loops of JVMs: Netty and what is built on it.
pub struct Loops;

impl Adapter for Loops {
    fn name(&self) -> &'static str {
        "loop"
    }

    fn knows(&self, runtime: Runtime) -> bool {
        runtime == Runtime::Java
    }

    fn study(&self, process: &Process) -> Result<Study, Refusal> {
        let name = |tid: u32| process.proc_file(&format!("task/{tid}/comm"), 16).unwrap_or_default();
        let runs_loop = |tid: u32| NAMES.iter().any(|part| memchr::memmem::find(&name(tid), part.as_bytes()).is_some());
        if !process.threads().into_iter().any(runs_loop) {
            // The adapter of the JVM looks again from time to time, and then this one is asked first.
            return Err(Refusal::Other);
        }
        let walk = walk().ok_or_else(|| Refusal::Unknown("its walk is too long".to_owned()))?;
        Ok(Study { manner: Manner::LearntRounds, walks: [(); moment::COUNT as usize].map(|()| Some(walk.clone())) })
    }
}

/// The stack pointer, and the part of the stack that holds the ends of the loop's frames.
fn walk() -> Option<Box<Walk>> {
    const LOWEST: u8 = cell::FREE;
    let mut walk = Assembler::new(LARGEST_WINDOW);
    walk.add(LOWEST, cell::THREAD_POINTER, -FROM.cast_signed()).emit(cell::STACK_POINTER).emit(LOWEST);
    walk.step(op::COPY, LOWEST, 0, 0, FROM - UPTO).end();
    walk.finish()
}
