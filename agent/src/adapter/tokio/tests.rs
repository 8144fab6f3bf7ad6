//! A made-up process of tokio's shape, as memory: what is learnt of it, what its walks give, and what they make of lies.
use super::ground::Ground;
use super::kernel::Polling;
use super::layout::{Foreign, Kind, Layout, Path, Root};
use super::learn::{Learner, Reader};
use super::sockets::Polled;
use super::task::{Oneshot, Order, Shapes};
use super::walks;
use crate::adapter::interpreter::walk_at;
use crate::adapter::process::{Mapping, Memory};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

const CODE: u64 = 0x40_0000;
const CONSTANTS: u64 = 0x50_0000;
const THREADS: u64 = 0x7000_0000;
const THREAD: u64 = THREADS + 0x800;
const HEAP: u64 = 0x6000_0000;
const KERNEL: u64 = 0xffff_8880_0000_0000;
const PAGE: u64 = 0x1000;
const PAGES: u64 = 64;

/// Where tables are.
const CONNECTION: u64 = CONSTANTS + 0x100;
const SERVER: u64 = CONSTANTS + 0x200;
const SPAWNED: u64 = CONSTANTS + 0x300;
const BOXED: u64 = CONSTANTS + 0x400;
const WAKER: u64 = CONSTANTS + 0x500;
const SET: u64 = CONSTANTS + 0x600;

/// Where tokio 1.54 and hyper 1 have things in a build of today.
const CURRENT: u64 = 328;
const READER: u64 = 56;
const ONESHOT: u64 = 600;

const POLLING: Polling = Polling { queue: 16, head: 8, first: 8, back: 24, item: -8, number: 40 };

/// Memory by page.
#[derive(Clone, Default)]
struct Image(RefCell<BTreeMap<u64, Vec<u8>>>);

impl Memory for Image {
    fn read(&self, address: u64, to: &mut [u8]) -> Option<()> {
        for (at, byte) in (0..).zip(to) {
            let address = address.checked_add(at)?;
            *byte = *self.0.borrow().get(&(address / PAGE))?.get((address % PAGE) as usize)?;
        }
        Some(())
    }
}

impl Image {
    fn put(&self, address: u64, words: &[u64]) {
        for (at, byte) in (0..).zip(words.iter().flat_map(|word| word.to_le_bytes())) {
            let mut pages = self.0.borrow_mut();
            let page = pages.entry((address + at) / PAGE).or_insert_with(|| vec![0; PAGE as usize]);
            page[((address + at) % PAGE) as usize] = byte;
        }
    }

    /// A task with a header, a number, and a trailer at its table's distance.
    fn task(&self, header: u64, table: u64, id: u64) -> u64 {
        self.put(header, &[64, 0, table, 1, 0, 0, id]);
        header
    }
}

/// A process in which connections are read by tasks and a request waits for each call.
struct Made {
    image: Image,
    maps: Vec<Mapping>,
    sockets: Vec<Polled>,
    /// Of each call: kernel's socket, header of the connection's task, its number, header of the serving task, its number.
    calls: Vec<(u64, u64, u64, u64, u64)>,
}

fn mapping(start: u64, flags: &str, offset: u64, inode: u64) -> Mapping {
    let [readable, writable, executable] = [0, 1, 2].map(|at| flags.as_bytes()[at] != b'-');
    Mapping { range: start..start + PAGES * PAGE, offset, readable, writable, executable, inode, path: "/srv".into() }
}

/// `calls` requests that wait for a call each, directly or through a task in a set of tasks.
fn made(calls: u64, spawned: bool) -> Made {
    let image = Image::default();
    let maps = vec![mapping(CODE, "r-x", 0, 7), mapping(CONSTANTS, "r--", 0x10_0000, 7), mapping(THREADS, "rw-", 0, 0)];
    for page in 0..PAGES {
        image.put(CONSTANTS + page * PAGE, &[0]);
        image.put(THREADS + page * PAGE, &[0]);
        image.put(HEAP + page * PAGE, &[0]);
    }
    // A header of an ELF file with one segment: 400 bytes of thread-local variables.
    image.put(CODE, &[u64::from_le_bytes(*b"\x7fELF\x02\x01\x01\0"), 0, 0, 0, 64, 0, 0, 1]);
    image.put(CODE + 56, &[1]);
    image.put(CODE + 64, &[7, 0, 0, 0, 0, 400, 16]);
    image.put(THREAD, &[THREAD, 0, THREAD]);
    let functions = [CODE + 0x100; 7];
    for (table, trailer) in [(CONNECTION, 80), (SERVER, 256), (SPAWNED, 128)] {
        image.put(table, &[&functions[..], &[trailer, 40, 48]].concat());
    }
    image.put(BOXED, &[CODE + 0x100, 704, 8]);
    image.put(WAKER, &functions[..4]);
    image.put(SET, &functions[..4]);
    let mut made = Made { image, maps, sockets: Vec::new(), calls: Vec::new() };
    for call in 0..calls {
        let at = HEAP + call * 0x2000;
        let (polled, accepted, boxed, oneshot) = (at, at + 0x100, at + 0x400, at + 0x800);
        let (id, owner) = (100 + call * 10, 101 + call * 10);
        let image = &made.image;
        let connection = image.task(at + 0x200, CONNECTION, id);
        let server = image.task(at + 0x280, SERVER, owner);
        image.put(connection + 56, &[boxed, BOXED]);
        image.put(polled + READER - 8, &[WAKER, connection]);
        image.put(accepted + READER - 8, &[WAKER, server]);
        image.put(boxed + ONESHOT, &[oneshot]);
        let waits = if spawned {
            // Joined through an entry of a set, which has the waker of whoever waits for the set.
            let task = image.task(at + 0xb00, SPAWNED, 102 + call * 10);
            let (entry, set) = (at + 0xc00, at + 0xd00);
            image.put(task, &[64 | 16]);
            image.put(task + 128 + 16, &[SET, entry]);
            image.put(entry, &[set]);
            image.put(set + 56, &[WAKER, server]);
            task
        } else {
            server
        };
        image.put(oneshot, &[2, 1, WAKER, connection, WAKER, waits, 9]);
        // The kernel's side: socket, queue, entry, item.
        let socket = KERNEL + call * 0x1000;
        let (queue, link, item) = (socket + 0x100, socket + 0x200, socket + 0x300);
        image.put(socket + 16, &[queue]);
        image.put(queue + 16, &[link]);
        image.put(link - 8, &[item]);
        image.put(link + 24, &[queue + 8]);
        image.put(item + 40, &[polled]);
        made.sockets.extend([(polled, false), (accepted, true)].map(|(token, accepted)| Polled { token, accepted }));
        made.calls.push((socket, connection, id, server, owner));
    }
    made
}

impl Made {
    /// What is learnt while its thread works on one task after the other.
    fn learn(&self) -> Option<Layout> {
        let ground = Ground::survey(&self.image, &self.maps);
        assert_eq!((&ground.threads[..], ground.block), (&[THREAD][..], 400));
        let mut shapes = Shapes::new(&self.image, &ground);
        let mut learner = Learner::default();
        for turn in 0..8 {
            let (_, _, id, _, served) = self.calls[turn % self.calls.len()];
            learner.sockets(&mut shapes, &self.sockets);
            let scene = learner.scene(&mut shapes, &self.sockets)?;
            for current in [id, served, 1] {
                self.image.put(THREAD - CURRENT, &[current]);
                learner.threads(&shapes, &scene);
            }
            learner.tasks(&mut shapes, &scene, turn);
        }
        learner.layout()
    }

    /// What the walk gives for the first call while `current` is at work.
    fn walk(&self, layout: &Layout, current: u64) -> Option<Vec<u64>> {
        self.image.put(THREAD - CURRENT, &[current]);
        let walk = walks::call(layout, POLLING).expect("it fits");
        walk_at(&walk, [THREAD, 0, self.calls[0].0, 1], &self.image).map(|left| left.output())
    }
}

fn expected(foreign: Vec<(u64, Foreign)>) -> Layout {
    let kind = Kind { table: CONNECTION, boxed: Some((56, BOXED)) };
    Layout {
        current: CURRENT,
        reader: Reader { data: READER as i32, place: READER as i32 - 8, table: WAKER },
        order: Order::TableFirst,
        paths: vec![(kind, Path { root: Root::Boxed(56), at: ONESHOT as i32, oneshot: Oneshot::ORDERS[0], own: true })],
        foreign,
    }
}

#[test]
fn the_way_to_whoever_waits_is_learnt_and_walked() {
    let made = made(3, false);
    let layout = made.learn().expect("enough samples");
    assert_eq!(layout, expected(Vec::new()));
    assert_eq!(made.walk(&layout, 100), Some(vec![100, 101]));
    let response = walks::response(&layout).expect("it fits");
    made.image.put(THREAD - CURRENT, &[101]);
    assert_eq!(walk_at(&response, [THREAD, 0, 0, 1], &made.image).map(|left| left.output()), Some(vec![101]));
}

#[test]
fn tasks_in_a_set_lead_to_whoever_waits_for_the_set() {
    let made = made(3, true);
    let layout = made.learn().expect("enough samples");
    assert_eq!(layout, expected(vec![(SET, Foreign { holder: 0, waker: 56 })]));
    assert_eq!(made.walk(&layout, 100), Some(vec![100, 102, 101]));
    // The set has woken whoever waits for it, and has no waker until that one waits again.
    made.image.put(HEAP + 0xd00 + 56, &[0]);
    assert_eq!(made.walk(&layout, 100), Some(vec![100, 102]));
}

#[test]
fn nothing_is_learnt_without_work() {
    assert_eq!(made(1, false).learn().map(|layout| layout.current), None);
}

#[test]
fn a_lie_on_the_way_ends_the_walk() {
    let made = made(3, false);
    let layout = made.learn().expect("enough samples");
    let (socket, connection, _, _, other) = made.calls[0];
    // Another task sends on the connection than the one that reads it.
    assert_eq!(made.walk(&layout, other), Some(vec![other]));
    // The oneshot is not of this connection any more: it was freed, and is another one's now.
    let oneshot = HEAP + 0x800;
    made.image.put(oneshot + 24, &[made.calls[1].1]);
    assert_eq!(made.walk(&layout, 100), Some(vec![100]));
    made.image.put(oneshot + 24, &[connection]);
    assert_eq!(made.walk(&layout, 100), Some(vec![100, 101]));
    // Nobody waits yet: what is where the waker comes is what was there before.
    made.image.put(oneshot + 48, &[8]);
    assert_eq!(made.walk(&layout, 100), Some(vec![100]));
    made.image.put(oneshot + 48, &[9]);
    // Somebody else than epoll waits for the socket.
    made.image.put(socket + 0x200 + 24, &[0]);
    assert_eq!(made.walk(&layout, 100), Some(vec![100]));
    // Every wrong distance is noticed, and no thread without a task tells anything.
    for wrong in [Layout { current: 320, ..layout.clone() }, Layout { current: 8, ..layout.clone() }] {
        assert_eq!(made.walk(&wrong, 100), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_memory_makes_it_panic(damage in proptest::collection::vec((0..0x8000_u64, 0..8_u64, any::<u64>()), 1..400)) {
        let made = made(2, true);
        for (at, what, value) in damage {
            let region = [HEAP, HEAP, CONSTANTS, THREAD - 400, KERNEL, HEAP, HEAP, CODE][what as usize];
            // Mostly addresses of what is there, so that lies look like truth.
            let value = if what % 2 == 0 { HEAP + value % 0x8000 / 8 * 8 } else { value };
            made.image.put(region + (at % if what == 3 { 400 } else { 0x6000 }) / 8 * 8, &[value]);
        }
        let ground = Ground::survey(&made.image, &made.maps);
        let mut shapes = Shapes::new(&made.image, &ground);
        let mut learner = Learner::default();
        for turn in 0..3 {
            learner.sockets(&mut shapes, &made.sockets);
            let Some(scene) = learner.scene(&mut shapes, &made.sockets) else { continue };
            learner.threads(&shapes, &scene);
            learner.tasks(&mut shapes, &scene, turn);
        }
        let layout = learner.layout().unwrap_or_else(|| expected(vec![(SET, Foreign { holder: 0, waker: 56 })]));
        let walk = walks::call(&layout, POLLING).expect("it fits");
        let _ = walk_at(&walk, [THREAD, 0, KERNEL, 1], &made.image);
    }
}
