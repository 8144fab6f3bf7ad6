use super::interpreter::Interpreter;
use super::layout::{AsyncioTable, Layout, Table};
use super::objects::{Objects, Shapes};
use super::walks::{Current, Facts, assemble};
use super::{CPython, facts};
use crate::adapter::interpreter::walk;
use crate::adapter::process::{Memory, Process};
use crate::adapter::{Adapter, Refusal};
use rustc_hash::FxHashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wirespan_abi::walk::moment;

/// Longer than Python takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// What the program below does in its innermost task: says which tasks there are, in the order of a call's units, and stays.
const PROGRAM: &str = r"
import asyncio, sys, threading, time
def stay():
    print(threading.get_ident(), *map(id, units), flush=True)
    time.sleep(600)
async def child(here):
    if here:
        units.insert(0, asyncio.current_task())
    await asyncio.sleep(0)
    stay()
async def middle():
    units.insert(0, asyncio.current_task())
    await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(child(True))), 600)
async def idle():
    await asyncio.sleep(600)
async def main():
    units.append(asyncio.current_task())
    match sys.argv[1]:
        case 'task': await child(False)
        case 'awaiters': await asyncio.gather(idle(), middle())
        case 'worker': await asyncio.get_running_loop().run_in_executor(None, stay)
units = []
asyncio.run(main())
";

struct Python(Child);

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The units of a call that a real program would make now, and those that it names itself, all
/// without the numbers of their names.
fn units(variant: &str) -> (Vec<u64>, Vec<u64>) {
    let mut command = Command::new("/usr/bin/python3");
    let child = command.args(["-c", PROGRAM, variant]).stdout(Stdio::piped()).spawn().expect("Python");
    let mut python = Python(child);
    let mut said = String::new();
    BufReader::new(python.0.stdout.take().expect("its output")).read_line(&mut said).expect("a line");
    let mut numbers = said.split_ascii_whitespace().map(|number| number.parse::<u64>().expect("a number"));
    let thread = numbers.next().expect("a thread");
    let began = Instant::now();
    let (process, study) = loop {
        let process = Process::open(Path::new("/proc"), python.0.id()).expect("alive");
        match CPython.study(&process) {
            Ok(study) => break (process, study),
            Err(Refusal::NotYet(_)) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
            Err(refusal) => panic!("{refusal}"),
        }
    };
    let call = study.walks[moment::SEND_CALL as usize].as_ref().expect("a walk");
    let left = walk(call, thread, 0, python.0.id(), &process).expect("told");
    (left.output().iter().map(|unit| unit & ((1 << 48) - 1)).collect(), numbers.collect())
}

#[test]
fn the_task_that_runs_is_found_in_a_real_program() {
    let (found, named) = units("task");
    assert_eq!(found, named);
}

#[test]
fn those_who_wait_are_found_through_shield_wait_for_and_gather() {
    let (found, named) = units("awaiters");
    assert_eq!(found, named);
}

#[test]
fn a_worker_thread_works_for_the_task_that_waits_for_it() {
    let (found, named) = units("worker");
    assert_eq!(found, named);
}

/// Memory of words that a test made up.
#[derive(Default)]
struct Words(FxHashMap<u64, u64>);

impl Words {
    fn put(&mut self, at: u64, words: &[(u64, u64)]) {
        self.0.extend(words.iter().map(|(distance, word)| (at + distance, *word)));
    }
}

impl Memory for Words {
    fn read(&self, address: u64, to: &mut [u8]) -> Option<()> {
        for (at, byte) in (address..).zip(to) {
            let word = self.0.get(&(at & !7)).copied().unwrap_or(0);
            *byte = word.to_le_bytes()[(at & 7) as usize];
        }
        Some(())
    }
}

const TABLE: AsyncioTable = AsyncioTable { task_name: 136, awaited_by: 96, awaited_by_set: 109, running_loop: 864, running_task: 872 };
const TASK: u64 = 0x1000_0000;
const FUTURE: u64 = 0x1000_1000;
const INTEGER: u64 = 0x1000_2000;
const THREAD: u64 = 0x2000_0000;
const STATE: u64 = 0x2000_1000;

/// Those of 3.14.
fn made_up() -> Facts {
    let mut words = Words::default();
    words.put(0x3000_0000, &[(0, u64::from_le_bytes(*b"xdebugpy")), (8, 0x030e_00f0), (27 * 8, 152), (29 * 8, 232), (35 * 8, 80)]);
    let table = Table::read(&words, 0x3000_0000).expect("a table");
    Facts {
        layout: Layout::of(14, Some(&table)).expect("known"),
        shapes: Shapes { text: 40, new_dicts: true },
        specific: 0x310,
        current: Current::Thread(TABLE),
        task: TASK,
        future: FUTURE,
        gathering: 0x1000_3000,
        builtin: 0x1000_4000,
        woken: 24,
        function: 0x1000_5000,
        method: 0x1000_6000,
        integer: INTEGER,
        partial: None,
        group: None,
        gather: None,
        host_task: 88,
        bootstrap: None,
        frames: [None, None],
    }
}

/// What the call's walk finds if this task runs.
fn found(words: &mut Words, task: u64) -> Vec<u64> {
    words.put(THREAD, &[(0x310, STATE)]);
    words.put(STATE, &[(872, task)]);
    let (call, _) = assemble(&made_up()).expect("it fits");
    walk(&call, THREAD, 0, 1, words).expect("told").output()
}

#[test]
fn a_unit_is_the_same_whether_its_name_is_a_number_or_a_text_and_another_for_another_task_at_its_address() {
    let task = 0x4000_0000;
    let mut number = Words::default();
    number.put(task, &[(8, TASK), (136, 0x5000_0000)]);
    number.put(0x5000_0000, &[(8, INTEGER), (16, 8), (24, 71_203)]);
    let mut text = Words::default();
    text.put(task, &[(8, TASK), (136, 0x5000_0000)]);
    let [first, second] = [*b"Task-712", *b"03\0\0\0\0\0\0"].map(u64::from_le_bytes);
    text.put(0x5000_0000, &[(8, 0x1000_7000), (16, 10), (40, first), (48, second)]);
    assert_eq!(found(&mut number, task), [task | (5667 << 48)]);
    assert_eq!(found(&mut text, task), [task | (5667 << 48)]);
    number.put(0x5000_0000, &[(24, 71_204)]);
    assert_eq!(found(&mut number, task), [task | (5668 << 48)]);
    // The name that somebody gave it may be anything.
    text.put(0x5000_0000, &[(16, 60)]);
    assert_eq!(found(&mut text, task), [task]);
}

#[test]
fn awaiters_are_followed_through_futures_and_what_is_no_task_is_no_unit() {
    let (task, future, other) = (0x4000_0000, 0x4000_1000, 0x4000_2000);
    let mut words = Words::default();
    words.put(task, &[(8, TASK), (96, future)]);
    words.put(future, &[(8, FUTURE), (96, other)]);
    words.put(other, &[(8, TASK)]);
    assert_eq!(found(&mut words, task), [task, other]);
    words.put(other, &[(8, 0x1234_5678)]);
    assert_eq!(found(&mut words, task), [task]);
    // A ring of awaiters has an end.
    words.put(other, &[(8, TASK), (96, task)]);
    assert_eq!(found(&mut words, task)[..3], [task, other, task]);
    words.put(task, &[(8, FUTURE), (96, task)]);
    assert_eq!(found(&mut words, task), [0; 0]);
}

#[test]
fn versions_that_are_not_known_have_no_layout() {
    let mut words = Words::default();
    words.put(0x3000_0000, &[(0, u64::from_le_bytes(*b"xdebugpy")), (8, 0x0310_00f0)]);
    assert_eq!(Table::read(&words, 0x3000_0000), None);
    assert_eq!((Layout::of(16, None), Layout::of(8, None)), (None, None));
    // Nor those that should say where things are, and do not.
    assert_eq!(Layout::of(14, None), None);
}

/// Memory in which every word looks like the address of another one.
struct Noise(u64);

impl Memory for Noise {
    fn read(&self, address: u64, to: &mut [u8]) -> Option<()> {
        for (at, byte) in (address..).zip(to) {
            let word = (at >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.0;
            let word = 0x1000_0000 + (word.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 52) * 8;
            *byte = word.to_le_bytes()[(at & 7) as usize];
        }
        Some(())
    }
}

#[test]
fn whatever_memory_says_a_study_ends_without_a_walk_and_a_walk_ends() {
    for seed in 0..32 {
        let noise = Noise(seed);
        for minor in 9..=15 {
            let layout = Layout::of(minor, None).unwrap_or(made_up().layout);
            for shapes in Shapes::ALL {
                let interpreter = Interpreter { image: 0x1000_0000, layout, shapes, modules: 0x1000_0800, threads: vec![0x1000_1000; 3] };
                assert!(facts(&noise, &interpreter, Some(TABLE)).is_err());
                let _ = Objects { memory: &noise, shapes }.entries(0x1000_0800);
            }
            let facts = Facts { layout, task: 0x1000_0100, future: 0x1000_0108, builtin: 0x1000_0110, ..made_up() };
            let (call, response) = assemble(&facts).expect("it fits");
            assert!([call, response].iter().all(|steps| walk(steps, 0x1000_0000, 0, 1, &noise).is_some()));
        }
    }
}
