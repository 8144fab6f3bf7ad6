#![doc = include_str!("../cpython.md")]
mod interpreter;
mod layout;
mod objects;
mod walks;

use super::process::{Memory, Process};
use super::{Adapter, Refusal, Study};
use crate::causality::manner::{Manner, Unit};
use crate::enrich::runtime::Runtime;
use interpreter::{Interpreter, symbol};
use layout::AsyncioTable;
use objects::{Entry, Objects};
use walks::{Current, Facts, Gather};
use wirespan_abi::walk::moment;

/// The type that a type was made from.
const BASE: u64 = 256;
/// Where a slot's place in its instances is, behind its descriptor's definition.
const DEFINITION: u64 = 40;
const OFFSET: u64 = 16;
/// The cell of `gather`'s inner function that holds what the caller waits for: its names are sorted.
const OUTER: i32 = 3;
/// Where `CancelScope._host_task` of anyio 4 is, as long as its module is not loaded.
const HOST_TASK: i32 = 88;

/// CPython with asyncio.
#[derive(Debug)]
pub struct CPython;

impl Adapter for CPython {
    fn name(&self) -> &'static str {
        "cpython"
    }

    fn knows(&self, runtime: Runtime) -> bool {
        runtime == Runtime::PythonAsyncio
    }

    fn study(&self, process: &Process) -> Result<Study, Refusal> {
        let interpreter = Interpreter::find(process)?;
        let table = asyncio_table(process, &interpreter);
        let facts = facts(process, &interpreter, table)?;
        let (call, response) = walks::assemble(&facts).ok_or_else(|| Refusal::Unknown("its walk is too long".to_owned()))?;
        let mut walks = [const { None }; moment::COUNT as usize];
        for (moment, walk) in [(moment::SEND_CALL, call), (moment::SEND_RESPONSE, response)] {
            if let Some(slot) = walks.get_mut(moment as usize) {
                *slot = Some(walk);
            }
        }
        Ok(Study { manner: Manner::Units(Unit::Task), walks })
    }
}

/// What `_asyncio` says of itself, a library or a part of the interpreter.
fn asyncio_table(process: &Process, interpreter: &Interpreter) -> Option<AsyncioTable> {
    if interpreter.layout.minor < 14 {
        return None;
    }
    let library = process.module(|path| path.rsplit('/').next().is_some_and(|name| name.starts_with("_asyncio.")));
    let image = library.map_or(interpreter.image, |library| library.range.start);
    AsyncioTable::read(process, interpreter::section(process, image, b".AsyncioDebug")?)
}

/// Everything that the walks need to know.
fn facts(memory: &dyn Memory, interpreter: &Interpreter, table: Option<AsyncioTable>) -> Result<Facts, Refusal> {
    let Interpreter { image, ref layout, shapes, modules, ref threads } = *interpreter;
    let objects = Objects { memory, shapes };
    let own = |name| symbol(memory, image, name);
    let member = |module, name| objects.member(modules, module, name).ok_or(Refusal::NotYet("asyncio is not loaded"));
    let specific = interpreter.specific(memory).ok_or(Refusal::NotYet("its threads are not found"))?;
    let none = own("_Py_NoneStruct")?;
    let current = if layout.minor < 14 {
        let loops = threads.iter().find_map(|thread| running_loop(objects, *thread, layout.thread_dict));
        let running = loops.ok_or(Refusal::NotYet("no event loop runs"))?;
        let tasks = member("asyncio.tasks", "_current_tasks")?;
        if objects.type_of(tasks) != Some(own("PyDict_Type")?) {
            return Err(Refusal::Unknown("it keeps its current tasks in another way".to_owned()));
        }
        Current::Dictionary { tasks, key: running.key, index: running.index, none }
    } else {
        Current::Thread(table.ok_or_else(|| Refusal::Unknown("its asyncio does not describe itself".to_owned()))?)
    };
    let (task, future) = (member("_asyncio", "Task")?, member("_asyncio", "Future")?);
    let gathering = member("asyncio.tasks", "_GatheringFuture")?;
    if objects.word(gathering, BASE) != Some(future) || objects.word(task, objects::TYPE).is_none() {
        return Err(Refusal::Unknown("its futures are not those of asyncio".to_owned()));
    }
    let code = |function: Option<u64>| objects.word(function?, u64::from(layout.code.unsigned_abs()));
    let method = |name| code(objects.attribute(objects.member(modules, "threading", "Thread")?, name));
    let bootstrap = ["_bootstrap", "_bootstrap_inner", "run"].map(method);
    let bytes = bootstrap.map(|code| layout.frame_bytes(memory, code?));
    Ok(Facts {
        layout: *layout,
        shapes,
        specific,
        current,
        task,
        future,
        gathering,
        builtin: own("PyCFunction_Type")?,
        function: own("PyFunction_Type")?,
        method: own("PyMethod_Type")?,
        integer: own("PyLong_Type")?,
        partial: objects.member(modules, "_functools", "partial"),
        group: objects.member(modules, "asyncio.taskgroups", "TaskGroup"),
        gather: gather(objects, interpreter).map(|code| Gather { code, outer: OUTER }),
        host_task: host_task(objects, modules).unwrap_or(HOST_TASK),
        bootstrap: bootstrap[1],
        frames: [bytes[0].zip(bytes[1]).map(|(first, second)| first + second), bytes[2]],
    })
}

/// The entry of a thread's dictionary that says which loop runs in it.
fn running_loop(objects: Objects<'_>, thread: u64, dictionary: i32) -> Option<Entry> {
    objects.entry(objects.word(thread, u64::from(dictionary.unsigned_abs()))?, "__asyncio_running_event_loop__")
}

/// The code of the callback that `gather` gives to what it waits for.
fn gather(objects: Objects<'_>, interpreter: &Interpreter) -> Option<u64> {
    let layout = interpreter.layout;
    let function = objects.member(interpreter.modules, "asyncio.tasks", "gather")?;
    let code = objects.word(function, u64::from(layout.code.unsigned_abs()))?;
    objects.named_item(objects.word(code, layout.consts)?, objects.type_of(code)?, layout.code_name, "_done_callback")
}

/// Where anyio keeps the task of a group.
fn host_task(objects: Objects<'_>, modules: u64) -> Option<i32> {
    let scope = objects.member(modules, "anyio._backends._asyncio", "CancelScope")?;
    let definition = objects.word(objects.attribute(scope, "_host_task")?, DEFINITION)?;
    i32::try_from(objects.word(definition, OFFSET)?).ok().filter(|offset| (16..4096).contains(offset))
}
