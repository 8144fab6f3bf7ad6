//! Who waits for what a thread does: from the objects on its stack to the thread that is parked until they are done.
//!
//! - A pool's worker has its task on the stack (`FutureTask`, `CompletableFuture`), and the task knows who waits for it.
//! - The selector of `java.net.http.HttpClient` has the connection on its stack, or the event that this has something to read; from there
//!   the way goes by the exchange to the future of its headers, on which others depend, the last of which knows who waits for it.
//!
//! What lies on a stack may be a left-over. So a task must name this thread as its runner, a future must be undone, and a connection must
//! have the local port of the socket that was read.
use super::super::assembler::{Assembler, Cell, Place};
use super::super::process::Memory;
use super::classes::Classes;
use super::heap::{CLASS, Heap};
use super::threads::Threads;
use std::ops::Range;
use wirespan_abi::walk::{cell, op};

const TASK: &str = "java/util/concurrent/FutureTask";
const TASK_WAIT: &str = "java/util/concurrent/FutureTask$WaitNode";
const FUTURE: &str = "java/util/concurrent/CompletableFuture";
const DEPENDENT: &str = "java/util/concurrent/CompletableFuture$UniCompletion";
const FUTURE_WAIT: &str = "java/util/concurrent/CompletableFuture$Signaller";
const SELECTOR: &str = "jdk/internal/net/http/HttpClientImpl$SelectorManager";
const TUBE: &str = "jdk/internal/net/http/SocketTube";
const EVENT: &str = "jdk/internal/net/http/SocketTube$InternalReadPublisher$ReadEvent";
const PUBLISHER: &str = "jdk/internal/net/http/SocketTube$InternalReadPublisher";
const SUBSCRIPTION: &str = "jdk/internal/net/http/SocketTube$InternalReadPublisher$ReadSubscription";
const SUBSCRIBER: &str = "jdk/internal/net/http/Http1AsyncReceiver$Http1TubeSubscriber";
const RECEIVER: &str = "jdk/internal/net/http/Http1AsyncReceiver";
const READER: &str = "jdk/internal/net/http/Http1Response$HeadersReader";
const CHANNEL: &str = "sun/nio/ch/SocketChannelImpl";
const ADDRESS: &str = "java/net/InetSocketAddress";
const ADDRESS_HOLDER: &str = "java/net/InetSocketAddress$InetSocketAddressHolder";

/// Every class that is looked for.
pub(super) const CLASSES: [&str; 16] = [
    TASK,
    TASK_WAIT,
    FUTURE,
    DEPENDENT,
    FUTURE_WAIT,
    SELECTOR,
    TUBE,
    EVENT,
    PUBLISHER,
    SUBSCRIPTION,
    SUBSCRIBER,
    RECEIVER,
    READER,
    CHANNEL,
    ADDRESS,
    ADDRESS_HOLDER,
];

/// Futures that depend on each other, one after the other: `HttpClient.send` has 17 in JDK 25.
const MAX_FUTURES: u64 = 20;
/// Where Java begins on a thread's stack, at most this far below its thread pointer: a thread's own data, then the frames that start it.
const DEEPEST_START: u64 = 16_384;
/// Of a worker's Java frames, the outermost are looked through, bytes: its task lies in the second to the fourth of them.
const WORKER: u64 = 1024;
/// The same of the selector, whose event lies in the third to the tenth.
const CLIENT: u64 = 3072;
/// What lies between the first object on a stack and the outermost Java frame that is looked through, bytes.
const MARGIN: u64 = 128;
/// `sock_common.skc_num`, the local port: the last two bytes of the eight at this distance from a socket, in every kernel since 3.8.
const LOCAL_PORT: i32 = 8;

/// A task of an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Task {
    class: u32,
    runner: i32,
    waiters: i32,
    waiter: i32,
}

/// A future with dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Future {
    class: u32,
    result: i32,
    dependents: i32,
    next: i32,
    wait: u32,
    waiter: i32,
}

/// The JDK's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Client {
    selector: u32,
    /// The connection: its class, its channel and what publishes what is read.
    tube: (u32, i32, i32),
    /// The event that there is something to read: the same.
    event: (u32, i32, i32),
    local: i32,
    holder: i32,
    port: i32,
    /// From what publishes to the object that reads the answer.
    path: [i32; 4],
    reader: u32,
    future: i32,
}

/// What is known of those who wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    start: u64,
    range: Range<u64>,
    task: Option<Task>,
    future: Option<Future>,
    client: Option<Client>,
}

/// Cells of a walk that [`Waits::load`] uses: the running Java thread, and spare ones.
pub(super) const RUNNING: Cell = 6;
const SPARE: Cell = 5;
/// The Java thread that waits.
pub(super) const WAITER: Cell = SPARE;
/// Where the stack is looked through, what was found there, where that ends.
const PLACE: Cell = 8;
const FOUND: Cell = 9;
const END: Cell = 10;
/// Where objects are.
const RANGE: Cell = 11;
const CLASS_OF: Cell = 13;
const LEFT: Cell = 14;
const ZERO: Cell = 15;

impl Waits {
    /// What can be found with the classes that are loaded by now; `None` if that is nothing.
    pub(super) fn new(memory: &dyn Memory, heap: &Heap, classes: &Classes, threads: &Threads) -> Option<Self> {
        let class = |name| heap.class(classes.class(name)?);
        let field = |class, name| classes.field(class, name);
        let task = || {
            let (runner, waiters) = (field(TASK, "runner")?, field(TASK, "waiters")?);
            Some(Task { class: class(TASK)?, runner, waiters, waiter: field(TASK_WAIT, "thread")? })
        };
        let future = || {
            let (result, dependents) = (field(FUTURE, "result")?, field(FUTURE, "stack")?);
            let (next, waiter) = (field(DEPENDENT, "dep")?, field(FUTURE_WAIT, "thread")?);
            Some(Future { class: class(FUTURE)?, result, dependents, next, wait: class(FUTURE_WAIT)?, waiter })
        };
        let client = || {
            let path = [
                field(PUBLISHER, "subscription")?,
                field(SUBSCRIPTION, "subscriber")?,
                field(SUBSCRIBER, "this$0")?,
                field(RECEIVER, "delegate")?,
            ];
            Some(Client {
                selector: class(SELECTOR)?,
                tube: (class(TUBE)?, field(TUBE, "channel")?, field(TUBE, "readPublisher")?),
                event: (class(EVENT)?, field(EVENT, "channel")?, field(EVENT, "this$1")?),
                local: field(CHANNEL, "localAddress")?,
                holder: field(ADDRESS, "holder")?,
                port: field(ADDRESS_HOLDER, "port")?,
                path,
                reader: class(READER)?,
                future: field(READER, "cf")?,
            })
        };
        let (task, future) = (task(), future());
        let client = client().filter(|_| future.is_some());
        (task.is_some() || future.is_some()).then_some(())?;
        let start = start(memory, threads)?;
        Some(Self { start, range: heap.range.clone(), task, future, client })
    }

    /// Steps that go on with the Java thread that waits for what the thread of [`RUNNING`] does in [`WAITER`], or go to `none`.
    pub(super) fn load(&self, walk: &mut Assembler, heap: &Heap, none: Place) {
        let [dependents, waits] = [walk.place(), walk.place()];
        walk.set(RANGE, self.range.start).set(RANGE + 1, self.range.end);
        if let Some(client) = &self.client {
            let worker = walk.place();
            walk.step(op::LOAD_4, SPARE, RUNNING, CLASS, 0).if_unequal(SPARE, client.selector.into(), worker);
            let next = self.begin(walk, CLIENT);
            let [event, channel] = [walk.place(), walk.place()];
            walk.scan(PLACE, RANGE, CLASS, [client.tube.0, client.event.0]).if_equal(FOUND, 0, none);
            walk.step(op::LOAD_4, CLASS_OF, FOUND, CLASS, 0).if_equal(CLASS_OF, client.event.0.into(), event);
            for (place, (_, of_channel, publisher)) in [(None, client.tube), (Some(event), client.event)] {
                if let Some(place) = place {
                    walk.jump(channel);
                    walk.here(place);
                }
                heap.load(walk, SPARE, FOUND, of_channel, next);
                heap.load(walk, FOUND, FOUND, publisher, next);
            }
            walk.here(channel);
            heap.load(walk, SPARE, SPARE, client.local, next);
            heap.load(walk, SPARE, SPARE, client.holder, next);
            let this = walk.place();
            walk.step(op::LOAD_4, SPARE, SPARE, client.port, 0).step(op::LOAD_KERNEL, CLASS_OF, cell::SOCKET, LOCAL_PORT, 0);
            walk.step(op::SHR, CLASS_OF, CLASS_OF, 0, 48).if_same(SPARE, CLASS_OF, this).jump(next);
            walk.here(this);
            for step in client.path {
                heap.load(walk, FOUND, FOUND, step, none);
            }
            walk.step(op::LOAD_4, CLASS_OF, FOUND, CLASS, 0).if_unequal(CLASS_OF, client.reader.into(), none);
            heap.load(walk, FOUND, FOUND, client.future, none);
            walk.jump(dependents);
            walk.here(worker);
        }
        let wanted = [self.task.map(|task| task.class), self.future.map(|future| future.class)];
        let [Some(first), Some(second)] = [wanted[0].or(wanted[1]), wanted[1].or(wanted[0])] else { return };
        let next = self.begin(walk, WORKER);
        walk.scan(PLACE, RANGE, CLASS, [first, second]).if_equal(FOUND, 0, none);
        if let Some(task) = self.task {
            let (other, own) = (walk.place(), walk.place());
            walk.step(op::LOAD_4, CLASS_OF, FOUND, CLASS, 0).if_unequal(CLASS_OF, task.class.into(), other);
            heap.load(walk, SPARE, FOUND, task.runner, next);
            walk.if_same(SPARE, RUNNING, own).jump(next);
            walk.here(own);
            heap.load(walk, SPARE, FOUND, task.waiters, none);
            heap.load(walk, SPARE, SPARE, task.waiter, none);
            walk.jump(waits);
            walk.here(other);
        }
        if let Some(future) = self.future {
            walk.step(op::LOAD_4, CLASS_OF, FOUND, future.result, 0).if_unequal(CLASS_OF, 0, next);
            walk.here(dependents);
            walk.set(LEFT, MAX_FUTURES);
            let (up, found) = (walk.place(), walk.place());
            walk.here(up);
            heap.load(walk, SPARE, FOUND, future.dependents, none);
            walk.step(op::LOAD_4, CLASS_OF, SPARE, CLASS, 0).if_equal(CLASS_OF, future.wait.into(), found);
            heap.load(walk, FOUND, SPARE, future.next, none);
            walk.jump_step(op::LOOP, LEFT, ZERO, u64::MAX, up).jump(none);
            walk.here(found);
            heap.load(walk, SPARE, SPARE, future.waiter, none);
        }
        walk.here(waits);
    }

    /// Steps that begin to look through the outer `length` bytes of the Java frames; gives the place to go on from.
    fn begin(&self, walk: &mut Assembler, length: u64) -> Place {
        let next = walk.place();
        walk.add(PLACE, cell::THREAD_POINTER, -self.start.cast_signed()).add(END, PLACE, -length.cast_signed());
        walk.here(next);
        next
    }
}

/// How far below the thread pointer the outermost Java frame lies: that runs a method of the thread, so the thread is the first object.
fn start(memory: &dyn Memory, threads: &Threads) -> Option<u64> {
    let depth = |(pointer, thread): (u64, u64)| {
        let own = threads.java(memory, thread)?;
        let bytes = memory.bytes(pointer.checked_sub(DEEPEST_START)?, DEEPEST_START as usize)?;
        let place = bytes.as_chunks().0.iter().rposition(|word| u64::from_le_bytes(*word) == own)?;
        Some(DEEPEST_START - place as u64 * 8)
    };
    let mut depths: Vec<u64> = threads.all(memory).into_iter().filter_map(depth).collect();
    depths.sort_unstable();
    // Some threads of the machine's own run Java only now and then.
    let shallow = depths.get(depths.len() / 4)?;
    Some(shallow.saturating_sub(MARGIN))
}
