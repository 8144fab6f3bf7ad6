#![doc = include_str!("../jvm.md")]
mod classes;
mod heap;
mod tables;
#[cfg(test)]
mod tests;
mod threads;
mod waits;

use super::assembler::{Assembler, Cell};
use super::process::{Memory, Process};
use super::{Adapter, Refusal, Study, exported};
use crate::causality::manner::{Manner, Unit};
use crate::enrich::runtime::Runtime;
use classes::Classes;
use heap::Heap;
use std::iter;
use tables::Tables;
use threads::Threads;
use waits::Waits;
use wirespan_abi::walk::cell;

/// The adapter.
pub struct Jvm;

impl Adapter for Jvm {
    fn name(&self) -> &'static str {
        "JVM"
    }

    fn knows(&self, runtime: Runtime) -> bool {
        runtime == Runtime::Java
    }

    fn study(&self, process: &Process) -> Result<Study, Refusal> {
        let library = process.module(|path| path.trim_end_matches(" (deleted)").ends_with("/libjvm.so"));
        let base = library.ok_or(Refusal::NotYet("it has not loaded its virtual machine"))?.range.start;
        study(process, &|name| Some(exported::function(process, base, name)?.start))
    }

    fn goes_on(&self) -> bool {
        true
    }
}

const THREAD: &str = "java/lang/Thread";

/// Cells of the walks: the machine's thread, and the number of the Java thread that it runs. Others are those of [`waits`].
const MACHINE: Cell = cell::FREE;
const NUMBER: Cell = 7;

fn study(memory: &dyn Memory, symbol: &dyn Fn(&str) -> Option<u64>) -> Result<Study, Refusal> {
    let unknown = |what: &str| Refusal::Unknown(what.to_owned());
    let tables = Tables::read(memory, symbol).ok_or_else(|| unknown("its virtual machine does not describe itself"))?;
    let heap = Heap::read(memory, &tables).map_err(unknown)?;
    let threads = Threads::new(&tables).ok_or_else(|| unknown("its threads are described in another way"))?;
    let wanted: Vec<&str> = iter::once(THREAD).chain(waits::CLASSES).collect();
    let classes = Classes::find(memory, &tables, &wanted).ok_or_else(|| unknown("its classes are described in another way"))?;
    let number = classes.field(THREAD, "tid").ok_or_else(|| unknown("its threads have no numbers"))?;
    let slot = threads.slot(memory).ok_or(Refusal::NotYet("its threads have not started"))?;
    let waits = Waits::new(memory, &heap, &classes, &threads);
    let walk = |waits: Option<&Waits>| {
        let mut walk = Assembler::new(0);
        let [stranger, own] = [walk.place(), walk.place()];
        threads.load(&mut walk, slot, MACHINE, waits::WAITER, stranger);
        threads.load_java(&mut walk, waits::RUNNING, MACHINE);
        walk.load(NUMBER, waits::RUNNING, number);
        if let Some(waits) = waits {
            waits.load(&mut walk, &heap, own);
            walk.load(waits::WAITER, waits::WAITER, number).emit(waits::WAITER);
        }
        walk.here(own);
        walk.emit(NUMBER).end();
        walk.here(stranger);
        walk.drop_note();
        walk.finish().ok_or_else(|| unknown("the way to who waits is too long"))
    };
    let [own, answer] = [walk(None)?, walk(waits.as_ref())?];
    // Of the read of a request only its time counts.
    let mut read = Assembler::new(0);
    read.end();
    Ok(Study { manner: Manner::Units(Unit::Thread), walks: [read.finish(), Some(own.clone()), Some(own), Some(answer)] })
}
