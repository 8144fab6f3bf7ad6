//! Looks at a process at work, again and again, until it is known where its tasks keep what the walks need.
//!
//! Nothing here trusts one sample. A place is believed when independent samples agree on it, and every walk checks again what it finds.
use super::ground::words;
use super::layout::{Foreign, Kind, Layout, Path, Root};
use super::sockets::Polled;
use super::task::{HAS_JOINER, JOINER, Oneshot, Order, Shapes, Task, Waker};
use rustc_hash::{FxHashMap, FxHashSet};
use std::hash::Hash;

/// Samples that have to agree on a place.
const ENOUGH: u32 = 12;
/// Tasks whose numbers one thread's variable must have been: one may be there by chance and for ever.
const CHANGES: usize = 2;
/// Numbers that are kept of one variable: enough to tell it from any other.
const MAX_IDS: usize = 8;
/// Places of a thread's variables at which numbers of tasks are counted: by chance there are a few.
const MAX_PLACES: usize = 64;
/// Kinds of tasks, and of wakers, that are counted: as many as a walk has room for, and those that turn out to be others.
const MAX_KINDS: usize = 64;
/// Samples of a kind of task of which one in so many may have no way to who asked it: more, and it does other work besides.
const STRAY: u32 = 50;
/// Of a place's samples one in so many may speak for another one.
const DOUBT: u32 = 4;
/// Bytes of a `ScheduledIo` in which its wakers are looked for.
const IO: usize = 256;
/// Bytes of a task, and of what it has boxed, that are looked through.
const BODY: usize = 8192;
/// Boxes of a task that are looked into: a spawned boxed future is one.
const BOXES: usize = 2;
/// Tasks that are looked through in one turn.
const SEARCHED: usize = 24;
/// Most bytes from a box to the trailer in a task that is nothing but a box.
const BOX: i64 = 40;
/// Tasks that are followed from one to whoever joins it.
const DEPTH: usize = 4;
/// Words of a header, in which no future begins.
const HEADER: usize = 4;
/// Distances, in words, from what a foreign waker points to, at which it has the address of what holds the real waker.
const NEAR: std::ops::Range<i32> = -2..25;
/// Bytes of that in which the real waker is looked for.
const HOLDER: usize = 400;
/// Places that are counted of one thing: hostile memory may offer any number.
const CANDIDATES: usize = 256;

/// Counts how often each of several answers was given.
#[derive(Clone, Debug)]
struct Votes<T>(FxHashMap<T, u32>);

impl<T> Default for Votes<T> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

impl<T: Copy + Eq + Hash + Ord> Votes<T> {
    fn add(&mut self, answer: T) {
        if self.0.len() < CANDIDATES || self.0.contains_key(&answer) {
            *self.0.entry(answer).or_default() += 1;
        }
    }

    fn extend(&mut self, answers: Vec<T>) {
        for answer in answers {
            self.add(answer);
        }
    }

    /// The answers, the most frequent one first; of equals the smaller one.
    fn ranked(&self) -> Vec<(T, u32)> {
        let mut ranked: Vec<(T, u32)> = self.0.iter().map(|(answer, count)| (*answer, *count)).collect();
        ranked.sort_by_key(|(answer, count)| (std::cmp::Reverse(*count), *answer));
        ranked
    }

    /// The answer that at least `enough` samples gave, if nearly all gave it.
    fn winner(&self, enough: u32) -> Option<T> {
        let ranked = self.ranked();
        let (answer, count) = *ranked.first()?;
        let other = ranked.get(1).map_or(0, |(_, count)| *count);
        (count >= enough && other * DOUBT <= count).then_some(answer)
    }
}

/// Where a `ScheduledIo` has the waker of its reader, and what tokio's wakers look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reader {
    /// Distance of the task's address.
    pub data: i32,
    /// Distance of the waker's table's address.
    pub place: i32,
    /// The table of tokio's wakers.
    pub table: u64,
}

impl Reader {
    fn order(self) -> Order {
        if self.place < self.data { Order::TableFirst } else { Order::DataFirst }
    }
}

/// An address of what a task has allocated, and where the task has it.
type Pointer = (Root, i32, u64);

/// A task that nobody joins, as it waits for an answer: its kind, ways to oneshots at which a task that serves waits for it in turn, and
/// to what may be one at which nobody waits yet.
type Asking = (Kind, Vec<Path>, Vec<Path>);

/// What was seen of a kind of task that nobody joins.
#[derive(Debug, Default)]
struct Asked {
    /// How often it waited for an answer.
    seen: u32,
    /// Routes to a oneshot at which somebody waited for it in turn.
    waits: Votes<Path>,
    /// Routes to what was a oneshot, as far as one could see: it may be too early that somebody waits.
    open: Votes<Path>,
}

/// What is being learnt.
#[derive(Debug, Default)]
pub struct Learner {
    readers: Votes<Reader>,
    reader: Option<Reader>,
    /// Distances below the thread pointer at which there was the number of a task, and which were there in each thread.
    variables: FxHashMap<u64, FxHashMap<u64, FxHashSet<u64>>>,
    /// Routes from each kind of task of a connection to the task that waits for its answer.
    paths: FxHashMap<Kind, Votes<Path>>,
    foreign: FxHashMap<u64, Votes<Foreign>>,
    /// Tasks that nobody joins, but that wait for answers.
    askers: FxHashMap<Kind, Asked>,
    /// It calls on connections of its own tasks.
    calls_itself: bool,
}

/// The tasks that stood behind connections at one moment.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Tasks that read connections which the process made, and no others.
    callers: Vec<Task>,
    /// Headers of those.
    calling: FxHashSet<u64>,
    /// Headers of tasks that read connections which the process accepted.
    serving: FxHashSet<u64>,
    /// The numbers of all.
    ids: FxHashSet<u64>,
}

impl Learner {
    /// Takes a look at what is behind sockets: where do they keep their readers' wakers?
    pub fn sockets(&mut self, shapes: &mut Shapes<'_>, sockets: &[Polled]) {
        for socket in sockets {
            let Some(bytes) = shapes.memory.bytes(socket.token, IO) else { continue };
            for (at, first, second) in pairs(&bytes) {
                for order in [Order::TableFirst, Order::DataFirst] {
                    let waker = order.waker(first, second);
                    let (place, data) = order.places(at);
                    if shapes.is_waker(waker.table) && shapes.task(waker.data).is_some() {
                        self.readers.add(Reader { data, place, table: waker.table });
                    }
                }
            }
        }
        let reader = self.readers.winner(2);
        if reader != self.reader {
            *self = Self { readers: std::mem::take(&mut self.readers), reader, ..Self::default() };
        }
    }

    /// The tasks behind the sockets now; `None` as long as it is not known where they are.
    pub fn scene(&mut self, shapes: &mut Shapes<'_>, sockets: &[Polled]) -> Option<Scene> {
        let reader = self.reader?;
        let mut scene = Scene::default();
        for socket in sockets {
            let header = socket.token.checked_add_signed(reader.data.into()).and_then(|at| shapes.memory.word(at));
            let Some(task) = header.and_then(|header| shapes.task(header)) else { continue };
            scene.ids.insert(task.id);
            if socket.accepted {
                scene.serving.insert(task.header);
            } else {
                scene.callers.push(task);
            }
        }
        let all = scene.callers.len();
        scene.callers.retain(|task| !scene.serving.contains(&task.header));
        self.calls_itself |= scene.callers.len() < all;
        scene.calling = scene.callers.iter().map(|task| task.header).collect();
        Some(scene)
    }

    /// Looks at every thread's variables: which of them is the number of a task that is known?
    pub fn threads(&mut self, shapes: &Shapes<'_>, scene: &Scene) {
        let block = shapes.ground.block;
        for thread in &shapes.ground.threads {
            let start = thread.saturating_sub(block);
            let Some(bytes) = shapes.memory.bytes(start, block as usize) else { continue };
            for (distance, word) in (0..block).step_by(8).zip(words(&bytes)) {
                let below = block - distance;
                if scene.ids.contains(&word) && has_room(&self.variables, &below, MAX_PLACES) {
                    let ids = self.variables.entry(below).or_default().entry(*thread).or_default();
                    if ids.len() < MAX_IDS {
                        ids.insert(word);
                    }
                }
            }
        }
    }

    /// Looks through the tasks of connections for the ways to those who wait for answers.
    pub fn tasks(&mut self, shapes: &mut Shapes<'_>, scene: &Scene, turn: usize) {
        let (Some(reader), count) = (self.reader, scene.callers.len().max(1)) else { return };
        for task in scene.callers.iter().cycle().skip(turn * SEARCHED % count).take(SEARCHED.min(scene.callers.len())) {
            let Some((kind, pointers)) = pointers(shapes, task) else { continue };
            for (root, at, pointer) in pointers {
                let Some((oneshot, waker)) = waited_for(shapes, reader, scene, task, pointer) else { continue };
                if has_room(&self.paths, &kind, MAX_KINDS) {
                    self.paths.entry(kind).or_default().add(Path { root, at, oneshot, own: true });
                }
                if let Some((kind, waits, open)) = self.follow(shapes, reader, scene, waker)
                    // It may have got its answer meanwhile, and gone on.
                    && waited_for(shapes, reader, scene, task, pointer) == Some((oneshot, waker))
                    && has_room(&self.askers, &kind, MAX_KINDS)
                {
                    let asked = self.askers.entry(kind).or_default();
                    asked.seen += 1;
                    asked.waits.extend(waits);
                    asked.open.extend(open);
                }
            }
        }
    }

    /// Follows from a waker to tasks and on to whoever joins those, to learn what wakers of other libraries hide, and whom tasks work for
    /// that nobody joins: gives the ways from such a one to tasks that serve.
    fn follow(&mut self, shapes: &mut Shapes<'_>, reader: Reader, scene: &Scene, mut waker: Waker) -> Option<Asking> {
        for _ in 0..DEPTH {
            if waker.table != reader.table {
                self.hidden(shapes, reader, waker);
                return None;
            }
            let task = shapes.task(waker.data)?;
            if task.state & HAS_JOINER == 0 {
                return (!scene.serving.contains(&task.header)).then(|| asked(shapes, reader, scene, &task)).flatten();
            }
            let bytes = shapes.memory.bytes(task.header.checked_add(task.trailer + JOINER)?, 16)?;
            let (_, first, second) = pairs(&bytes).next()?;
            waker = reader.order().waker(first, second);
        }
        None
    }

    /// A waker that is not tokio's stands before one that is: near what it points to is the address of what holds that.
    fn hidden(&mut self, shapes: &mut Shapes<'_>, reader: Reader, waker: Waker) {
        if !shapes.is_waker(waker.table) {
            return;
        }
        let mut found = Vec::new();
        let mut tasks = FxHashSet::default();
        for near in NEAR {
            let Some(holder) = waker.data.checked_add_signed(i64::from(near * 8)).and_then(|at| shapes.memory.word(at)) else { continue };
            let Some(bytes) = shapes.ground.is_allocated(holder).then(|| shapes.memory.bytes(holder, HOLDER)).flatten() else { continue };
            for (at, first, second) in pairs(&bytes) {
                let real = reader.order().waker(first, second);
                if real.table == reader.table && shapes.task(real.data).is_some() {
                    tasks.insert(real.data);
                    found.push(Foreign { holder: near * 8, waker: at });
                }
            }
        }
        // Several tasks may share one answer: nobody knows whose it is then.
        if tasks.len() == 1 && has_room(&self.foreign, &waker.table, MAX_KINDS) {
            let votes = self.foreign.entry(waker.table).or_default();
            votes.extend(found);
        }
    }

    /// The distance of the current task's number below the thread pointer.
    fn current(&self) -> Option<u64> {
        let most = |threads: &FxHashMap<u64, FxHashSet<u64>>| threads.values().map(FxHashSet::len).max().unwrap_or_default();
        let mut ranked: Vec<(usize, u64)> = self.variables.iter().map(|(below, threads)| (most(threads), *below)).collect();
        ranked.sort_unstable_by(|one, other| other.cmp(one));
        let (most, below) = *ranked.first()?;
        let other = ranked.get(1).map_or(0, |(changes, _)| *changes);
        (most >= CHANGES && other * 2 <= most).then_some(below)
    }

    /// What was learnt; `None` if it is too little to find any caller.
    pub fn layout(&self) -> Option<Layout> {
        let (reader, current) = (self.reader?, self.current()?);
        let first = |votes: &Votes<Path>| votes.ranked().first().copied().filter(|(_, count)| *count >= ENOUGH);
        let mut paths: Vec<(Kind, Path)> = Vec::new();
        paths.extend(self.paths.iter().filter_map(|(kind, votes)| Some((*kind, first(votes)?.0))));
        if paths.is_empty() && !self.calls_itself {
            return None;
        }
        paths.sort_unstable();
        let asked = |(kind, asked): (&Kind, &Asked)| {
            let (path, _) = first(&asked.waits)?;
            let open = asked.open.0.get(&path).copied().unwrap_or_default();
            (open + asked.seen / STRAY >= asked.seen).then_some((*kind, path))
        };
        let mut askers: Vec<(Kind, Path)> = self.askers.iter().filter_map(asked).collect();
        askers.sort_unstable();
        paths.extend(askers);
        let mut foreign: Vec<(u64, Foreign)> =
            self.foreign.iter().filter_map(|(table, votes)| Some((*table, votes.winner(ENOUGH)?))).collect();
        foreign.sort_unstable();
        Some(Layout { current, reader, order: reader.order(), paths, foreign })
    }
}

/// Whether a table of so many entries at most takes this one.
fn has_room<K: Eq + Hash, V>(table: &FxHashMap<K, V>, key: &K, most: usize) -> bool {
    table.len() < most || table.contains_key(key)
}

/// Every two neighbouring words of some bytes, and where they are.
fn pairs(bytes: &[u8]) -> impl Iterator<Item = (i32, u64, u64)> {
    (0..).step_by(8).zip(words(bytes).zip(words(bytes).skip(1))).map(|(at, (first, second))| (at, first, second))
}

/// The kind of a task, and where it has addresses of what it has allocated: in itself, or in what it has boxed.
fn pointers(shapes: &Shapes<'_>, task: &Task) -> Option<(Kind, Vec<Pointer>)> {
    let body = shapes.memory.bytes(task.header, (task.trailer as usize).min(BODY))?;
    let mut kind = Kind { table: task.table, boxed: None };
    let mut roots = vec![];
    for (at, pointer, table) in pairs(&body).skip(HEADER) {
        let Some(size) = shapes.boxed(pointer, table).filter(|_| roots.len() < BOXES) else { continue };
        // What a task runs that is nothing but a box is told by the box's table.
        if (task.trailer as i64) - i64::from(at) <= BOX {
            kind.boxed = Some((at, table));
        }
        roots.extend(shapes.memory.bytes(pointer, size.min(BODY)).map(|content| (Root::Boxed(at), content)));
    }
    roots.push((Root::Inline, body));
    let mut pointers = Vec::new();
    for (root, content) in roots {
        let allocated = (0..).step_by(8).zip(words(&content)).filter(|(_, word)| shapes.ground.is_allocated(*word));
        pointers.extend(allocated.filter(|(_, word)| !shapes.ground.is_constant(*word)).map(|(at, word)| (root, at, word)));
    }
    Some((kind, pointers))
}

/// Whether what a task of a connection points to is the oneshot of its answer: the task has left its own waker there, and somebody waits.
fn waited_for(shapes: &mut Shapes<'_>, reader: Reader, scene: &Scene, task: &Task, pointer: u64) -> Option<(Oneshot, Waker)> {
    let bytes = shapes.memory.bytes(pointer, Oneshot::SIZE)?;
    let own = Waker { table: reader.table, data: task.header };
    Oneshot::ORDERS.into_iter().find_map(|oneshot| {
        let (_, receiver) = oneshot.wakers(&bytes, reader.order()).filter(|(sender, _)| *sender == own)?;
        let waits = if receiver.table == reader.table {
            !scene.calling.contains(&receiver.data) && shapes.task(receiver.data).is_some()
        } else {
            shapes.is_waker(receiver.table)
        };
        waits.then_some((oneshot, receiver))
    })
}

/// A task that nobody joins waits for an answer. Perhaps it has a oneshot for whoever asked it to, a task that serves. Gives its kind and
/// the ways to such, and to what may be one at which nobody waits yet.
fn asked(shapes: &mut Shapes<'_>, reader: Reader, scene: &Scene, task: &Task) -> Option<Asking> {
    let (kind, pointers) = pointers(shapes, task)?;
    let (mut waits, mut open) = (Vec::new(), Vec::new());
    for (root, at, pointer) in pointers {
        let Some(bytes) = shapes.memory.bytes(pointer, Oneshot::SIZE) else { continue };
        for oneshot in Oneshot::ORDERS {
            let path = Path { root, at, oneshot, own: false };
            open.extend(oneshot.is_open(&bytes).then_some(path));
            let receiver = oneshot.wakers(&bytes, reader.order()).map(|(_, receiver)| receiver);
            let serves = |receiver: Waker| receiver.table == reader.table && scene.serving.contains(&receiver.data);
            waits.extend(receiver.is_some_and(serves).then_some(path));
        }
    }
    Some((kind, waits, open))
}
