#![doc = include_str!("../jvm.md")]
mod classes;
mod heap;
mod tables;
mod threads;

use super::assembler::Assembler;
use super::process::{Memory, Process};
use super::{Adapter, Refusal, Study};
use crate::causality::manner::Manner;
use crate::enrich::runtime::Runtime;
use classes::Classes;
use heap::Heap;
use tables::Tables;
use threads::Threads;
use wirespan_abi::walk::{Walk, cell};

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
        study(process, base)
    }
}

const THREAD: &str = "java/lang/Thread";

fn study(memory: &dyn Memory, base: u64) -> Result<Study, Refusal> {
    let unknown = |what: &str| Refusal::Unknown(what.to_owned());
    let tables = Tables::read(memory, base).ok_or(unknown("it does not describe its structures"))?;
    let heap = Heap::read(memory, &tables).map_err(unknown)?;
    let threads = Threads::new(&tables).ok_or(unknown("its threads are not where they were"))?;
    let classes = Classes::find(memory, &tables, &[THREAD]).ok_or(unknown("its classes are not where they were"))?;
    let number = classes.field(THREAD, "tid").ok_or(unknown("its threads have no numbers"))?;
    let slot = threads.slot(memory).ok_or(Refusal::NotYet("its threads have not started"))?;
    let mut walk = Assembler::new(0);
    let stranger = walk.place();
    threads.load(&mut walk, slot, 4, 5, stranger);
    threads.load_java(&mut walk, 6, 4);
    walk.load(7, 6, number).emit(7).end();
    walk.here(stranger);
    walk.drop_note();
    let walk = walk.finish();
    Ok(Study { manner: Manner::Units, walks: [walk.clone(), walk.clone(), walk.clone(), walk] })
}

#[cfg(test)]
mod live {
    use super::*;
    use std::path::Path;
    #[test]
    fn live() {
        let Ok(pid) = std::env::var("JVM_PID") else { return };
        let process = Process::open(Path::new("/proc"), pid.parse().unwrap()).unwrap();
        let at = std::time::Instant::now();
        let study = Jvm.study(&process);
        println!("{:?}", at.elapsed());
        let library = process.module(|path| path.ends_with("/libjvm.so")).unwrap();
        let tables = Tables::read(&process, library.range.start).unwrap();
        println!("tables {:?}", at.elapsed());
        let heap = Heap::read(&process, &tables).unwrap();
        println!("{heap:x?} {:?}", at.elapsed());
        let threads = Threads::new(&tables).unwrap();
        println!("{threads:x?} {:x?} {:?}", threads.slot(&process), at.elapsed());
        let study = study.unwrap();
        for (pointer, _) in threads.all(&process) {
            print!("{:?} ", crate::adapter::interpreter::walk(study.walks[0].as_ref().unwrap(), pointer, 0, 0, &process).map(|left| left.output()));
        }
    }
}
