//! Processes that begin, change their program and end become [`wirespan_abi::Process`]. Threads are only forgotten.
use crate::{first_argument, kernel::now, last_read, offsets::load, ring};
use aya_ebpf::programs::BtfTracePointContext;
use wirespan_abi::{Head, Process, Thread, kind, offset};

/// `sched_process_fork(parent, child)`.
#[inline(always)]
pub fn forked(context: &BtfTracePointContext) -> Option<()> {
    let child: *const u8 = context.arg(1);
    if child.is_null() {
        return None;
    }
    // SAFETY: both are tasks of the tracepoint.
    let (parent, child) = unsafe { (thread(first_argument(context)?), thread(child)) };
    if child.pid != parent.pid {
        report(kind::FORK, child, parent);
    }
    Some(())
}

/// `sched_process_exec(task, old_pid, bprm)`.
#[inline(always)]
pub fn executed(context: &BtfTracePointContext) -> Option<()> {
    // SAFETY: a task of the tracepoint.
    let thread = unsafe { thread(first_argument(context)?) };
    let before: i32 = context.arg(1);
    if before as u32 != thread.tid {
        // Not the first thread of its process: it goes on under the number of that one, and its own is free.
        last_read::forget(before as u32);
    }
    report(kind::EXEC, thread, Thread::default());
    Some(())
}

/// `sched_process_exit(task, …)`, of every thread. The process ends with its last one.
#[inline(always)]
pub fn exited(context: &BtfTracePointContext) -> Option<()> {
    let task = first_argument(context)?;
    // SAFETY: a task of the tracepoint; its signal structure is shared by the threads of the process and counts those alive.
    let (thread, alive) = unsafe {
        let signal: *const u8 = load::<{ offset::SIGNAL }, _>(task);
        if signal.is_null() {
            return None;
        }
        (thread(task), load::<{ offset::LIVE }, u32>(signal))
    };
    last_read::forget(thread.tid);
    if alive == 0 {
        report(kind::EXIT, thread, Thread::default());
    }
    Some(())
}

/// # Safety
/// `task` is a pointer that the verifier tracks as `struct task_struct`.
#[inline(always)]
unsafe fn thread(task: *const u8) -> Thread {
    // SAFETY: by the contract; both are ints.
    unsafe { Thread { pid: load::<{ offset::TGID }, u32>(task), tid: load::<{ offset::PID }, u32>(task) } }
}

#[inline(always)]
fn report(kind: u8, thread: Thread, parent: Thread) {
    ring::write(|| Process { head: Head { at: now(), kind, ..Head::default() }, thread, parent });
}
