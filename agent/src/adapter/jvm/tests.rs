//! A made-up JVM: its tables, flags, classes, threads and a few objects, in memory that a test can spoil.
use super::super::interpreter;
use super::super::process::Memory;
use super::{Refusal, study, waits};
use crate::adapter::Study;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use wirespan_abi::walk::moment;

/// Runs of bytes by address; nothing else is there.
#[derive(Clone, Default)]
struct Bytes(BTreeMap<u64, Vec<u8>>);

impl Memory for Bytes {
    fn read(&self, address: u64, to: &mut [u8]) -> Option<()> {
        let (start, bytes) = self.0.range(..=address).next_back()?;
        let from = usize::try_from(address - start).ok()?;
        to.copy_from_slice(bytes.get(from..from.checked_add(to.len())?)?);
        Some(())
    }
}

impl Bytes {
    fn set(&mut self, address: u64, bytes: &[u8]) {
        let (start, run) = self.0.range_mut(..=address).next_back().expect("made");
        let from = (address - start) as usize;
        run[from..from + bytes.len()].copy_from_slice(bytes);
    }
}

const CLASSES: u64 = 0x7000_0000_0000;
const OBJECTS: u64 = 0x4_0000_0000;
const POINTERS: [u64; 2] = [0x7f00_0001_0000, 0x7f00_0002_0000];
/// Where Java begins on a stack.
const START: u64 = 2000;

/// Fields of Java's classes, the first four bytes behind the class and so on.
const FIELDS: &[(&str, &[&str])] = &[
    ("java/lang/Thread", &["eetop", "tid"]),
    ("java/util/concurrent/FutureTask", &["state", "runner", "waiters"]),
    ("java/util/concurrent/FutureTask$WaitNode", &["thread"]),
    ("java/util/concurrent/CompletableFuture", &["result", "stack"]),
    ("java/util/concurrent/CompletableFuture$UniCompletion", &["next", "dep"]),
    ("java/util/concurrent/CompletableFuture$Signaller", &["next", "thread"]),
    ("jdk/internal/net/http/HttpClientImpl$SelectorManager", &["eetop", "tid"]),
    ("jdk/internal/net/http/SocketTube", &["readPublisher", "channel"]),
    ("jdk/internal/net/http/SocketTube$InternalReadPublisher$ReadEvent", &["channel", "this$1"]),
    ("jdk/internal/net/http/SocketTube$InternalReadPublisher", &["subscription"]),
    ("jdk/internal/net/http/SocketTube$InternalReadPublisher$ReadSubscription", &["subscriber"]),
    ("jdk/internal/net/http/Http1AsyncReceiver$Http1TubeSubscriber", &["this$0"]),
    ("jdk/internal/net/http/Http1AsyncReceiver", &["delegate"]),
    ("jdk/internal/net/http/Http1Response$HeadersReader", &["cf"]),
    ("sun/nio/ch/SocketChannelImpl", &["localAddress"]),
    ("java/net/InetSocketAddress", &["holder"]),
    ("java/net/InetSocketAddress$InetSocketAddressHolder", &["port"]),
];

/// The Java thread of that number.
fn java(number: u64) -> u64 {
    OBJECTS + 0x100 * (number - 1)
}

struct Machine {
    memory: Bytes,
    symbols: HashMap<String, u64>,
    next: u64,
    classes: HashMap<&'static str, u64>,
    objects: u64,
}

impl Machine {
    fn put(&mut self, bytes: &[u8]) -> u64 {
        let address = self.next;
        self.next += bytes.len().next_multiple_of(64) as u64 + 64;
        self.memory.0.insert(address, [bytes, &[0; 64]].concat());
        address
    }

    fn words(&mut self, words: &[u64]) -> u64 {
        self.put(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>())
    }

    fn text(&mut self, text: &str) -> u64 {
        self.put(&[text.as_bytes(), &[0]].concat())
    }

    fn symbol(&mut self, name: &str, value: u64) {
        let at = self.words(&[value]);
        self.symbols.insert(name.to_owned(), at);
    }

    /// A JVM of 21 and newer, or one that describes fields as 17 does, with two threads and all classes; its flags are set or not.
    fn new(streams: bool, flags: &[(&str, bool)]) -> Self {
        let (memory, symbols, classes) = (Bytes::default(), HashMap::new(), HashMap::new());
        let mut machine = Self { memory, symbols, next: 0x10_0000, classes, objects: OBJECTS };
        let mut fields: Vec<(&str, &str, Option<u64>, u64)> = vec![
            ("ThreadsList", "_length", None, 4),
            ("ThreadsList", "_threads", None, 16),
            ("Thread", "_osthread", None, 40),
            ("OSThread", "_pthread_id", None, 16),
            ("JavaThread", "_vthread", None, 48),
            ("ClassLoaderData", "_next", None, 8),
            ("ClassLoaderData", "_klasses", None, 16),
            ("Klass", "_next_link", None, 8),
            ("Klass", "_name", None, 16),
            ("Klass", "_super", None, 24),
            ("InstanceKlass", "_constants", None, 32),
            ("InstanceKlass", if streams { "_fieldinfo_stream" } else { "_fields" }, None, 40),
            ("InstanceKlass", "_java_fields_count", None, 48),
            ("Symbol", "_length", None, 4),
            ("Symbol", "_body", None, 6),
            ("CollectedHeap", "_reserved", None, 8),
            ("MemRegion", "_start", None, 0),
            ("MemRegion", "_word_size", None, 8),
            ("JVMFlag", "_addr", None, 0),
            ("JVMFlag", "_name", None, 8),
        ];
        let mut first = 0;
        for (index, (name, own)) in FIELDS.iter().enumerate() {
            first = machine.class(index as u64, name, own, streams, first);
        }
        let loader = machine.words(&[0, 0, first]);
        let heap = machine.words(&[0, OBJECTS, 0x1000_0000 / 8]);
        let set = machine.put(&[1]);
        let mut described = Vec::new();
        for (name, is_set) in flags {
            described.extend([if *is_set { set } else { set + 1 }, machine.text(name), 0]);
        }
        let list = machine.threads();
        let described = machine.words(&described);
        let statics = [
            ("ThreadsSMRSupport", "_java_thread_list", list),
            ("ClassLoaderDataGraph", "_head", loader),
            ("CompressedOops", "_base", 0),
            ("CompressedOops", "_shift", 3),
            ("CompressedKlassPointers", "_base", CLASSES),
            ("CompressedKlassPointers", "_shift", 0),
            ("Universe", "_collectedHeap", heap),
            ("JVMFlag", "flags", described),
            ("JVMFlag", "numFlags", flags.len() as u64),
        ];
        for (kind, field, value) in statics {
            fields.push((kind, field, Some(machine.words(&[value])), 0));
        }
        let mut table = Vec::new();
        for (kind, field, address, offset) in fields {
            table.extend([machine.text(kind), machine.text(field), address.is_some().into(), offset, address.unwrap_or(0)]);
        }
        let table = machine.words(&table);
        machine.symbol("gHotSpotVMStructs", table);
        let parts = [("ArrayStride", 40), ("TypeNameOffset", 0), ("FieldNameOffset", 8), ("IsStaticOffset", 16), ("OffsetOffset", 24)];
        for (part, value) in parts.into_iter().chain([("AddressOffset", 32)]) {
            machine.symbol(&format!("gHotSpotVMStructEntry{part}"), value);
        }
        let types = [machine.text("ConstantPool"), 16, machine.text("JVMFlag"), 24];
        let types = machine.words(&types);
        machine.symbol("gHotSpotVMTypes", types);
        for (part, value) in [("ArrayStride", 16), ("TypeNameOffset", 0), ("SizeOffset", 8)] {
            machine.symbol(&format!("gHotSpotVMTypeEntry{part}"), value);
        }
        machine
    }

    fn class(&mut self, index: u64, name: &'static str, fields: &[&str], streams: bool, next: u64) -> u64 {
        let symbol = |machine: &mut Self, text: &str| {
            let length = (text.len() as u16).to_le_bytes();
            machine.put(&[&[0; 4], &length[..], text.as_bytes()].concat())
        };
        let mut constants = vec![0, 0];
        for field in fields {
            constants.push(symbol(self, field));
        }
        let constants = self.words(&constants);
        let mut described = Vec::new();
        for (field, offset) in (0..fields.len() as u8).zip((12..).step_by(4)) {
            if streams {
                // Numbers of a stream are one more than they are; every field has an initial value here.
                described.extend([field + 1, 1, offset + 1, 1, 2, 1]);
            } else {
                let halves = [0, field.into(), 0, 0, u16::from(offset) << 2 | 1, 0];
                described.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
            }
        }
        let described = if streams { [&[fields.len() as u8 + 1, 1], &described[..]].concat() } else { described };
        let described = self.put(&[&(described.len() as u32).to_le_bytes()[..], &described].concat());
        let class = CLASSES + 0x1000 * (index + 1);
        let words = [0, next, symbol(self, name), 0, constants, described, fields.len() as u64];
        self.memory.0.insert(class, words.iter().flat_map(|word| word.to_le_bytes()).collect());
        self.classes.insert(name, class);
        class
    }

    /// The threads 1 and 2, each with a stack of which Java begins [`START`] below the thread pointer, and with a Java thread.
    fn threads(&mut self) -> u64 {
        let mut threads = [0; 2];
        for (pointer, (number, thread)) in POINTERS.into_iter().zip((1..).zip(&mut threads)) {
            self.memory.0.insert(pointer - 0x8000, vec![0; 0x8100]);
            let java = self.object("java/lang/Thread", &[0, number]);
            let handle = self.words(&[java]);
            let system = self.words(&[0, 0, pointer]);
            *thread = self.words(&[0, 0, 0, 0, 0, system, handle]);
            let block = self.words(&[0, 0, 0, 0, *thread]);
            let blocks = self.words(&[0, 0, 0, 0, block]);
            self.memory.set(pointer + 8, &blocks.to_le_bytes());
            self.memory.set(pointer - START, &java.to_le_bytes());
        }
        let threads = self.words(&threads);
        self.words(&[2 << 32, 0, threads])
    }

    /// An object whose fields are these numbers or objects.
    fn object(&mut self, class: &str, fields: &[u64]) -> u64 {
        let fields = fields.iter().map(|field| if *field >= OBJECTS { field >> 3 } else { *field });
        let class = (self.classes[class] - CLASSES) as u32;
        let fields = fields.flat_map(|field| (field as u32).to_le_bytes());
        let bytes: Vec<u8> = [0; 8].into_iter().chain(class.to_le_bytes()).chain(fields).chain([0; 64]).collect();
        let address = self.objects;
        self.objects += 0x100;
        self.memory.0.insert(address, bytes);
        address
    }

    /// Puts words on the first thread's stack, from the outermost inwards.
    fn push(&mut self, words: &[u64]) {
        for (word, depth) in words.iter().zip((START + 64..).step_by(24)) {
            self.memory.set(POINTERS[0] - depth, &word.to_le_bytes());
        }
    }

    fn study(&self) -> Result<Study, Refusal> {
        study(&self.memory, &|name| self.symbols.get(name).copied())
    }

    /// Whom the walk of a moment names when the first thread takes it.
    fn units(&self, moment: u32) -> Option<Vec<u64>> {
        let study = self.study().expect("a known machine");
        let walk = study.walks[moment as usize].as_ref().expect("a walk");
        Some(interpreter::walk(walk, POINTERS[0], POINTERS[0] - 0x4000, 1, &self.memory)?.output())
    }
}

const PLAIN: &[(&str, bool)] = &[("UseG1GC", true), ("UseZGC", false), ("UseCompressedOops", true), ("UseCompressedClassPointers", true)];

#[test]
fn a_thread_is_the_java_thread_that_it_runs() {
    for streams in [false, true] {
        let mut machine = Machine::new(streams, PLAIN);
        let units = [moment::SEND_RESPONSE, moment::SEND_CALL, moment::READ_ANSWER].map(|moment| machine.units(moment));
        assert_eq!(units, [const { Some([1]) }; 3].map(|units| units.map(Vec::from)), "{streams}");
        // A thread that does not find itself where the others do is none of the machine's.
        let study = machine.study().expect("a known machine");
        machine.memory.set(POINTERS[0] + 8, &[0; 8]);
        let walk = study.walks[moment::SEND_CALL as usize].as_ref().expect("a walk");
        assert_eq!(interpreter::walk(walk, POINTERS[0], 0, 1, &machine.memory), None);
    }
}

#[test]
fn who_waits_for_the_task_of_this_thread_comes_first() {
    let mut machine = Machine::new(true, PLAIN);
    let (own, other) = (java(1), java(2));
    let node = machine.object("java/util/concurrent/FutureTask$WaitNode", &[other]);
    // Left over from what another thread runs.
    let strange = machine.object("java/util/concurrent/FutureTask", &[0, other, node]);
    let task = machine.object("java/util/concurrent/FutureTask", &[0, own, node]);
    machine.push(&[own, strange, 7, u64::MAX, OBJECTS + 0x0fff_fff8, task]);
    assert_eq!(machine.units(moment::READ_ANSWER), Some(vec![2, 1]));
    assert_eq!(machine.units(moment::SEND_CALL), Some(vec![1]));
    machine.push(&[own, strange, 0, 0, 0, 0]);
    assert_eq!(machine.units(moment::READ_ANSWER), Some(vec![1]));
}

/// A future on which `depth` others depend, one after the other; the last is waited for by the second thread.
fn futures(machine: &mut Machine, depth: usize) -> u64 {
    let waiter = java(2);
    let signaller = machine.object("java/util/concurrent/CompletableFuture$Signaller", &[0, waiter]);
    let mut future = machine.object("java/util/concurrent/CompletableFuture", &[0, signaller]);
    for _ in 0..depth {
        let dependent = machine.object("java/util/concurrent/CompletableFuture$UniCompletion", &[0, future]);
        future = machine.object("java/util/concurrent/CompletableFuture", &[0, dependent]);
    }
    future
}

#[test]
fn who_waits_for_the_last_of_several_futures_is_found() {
    let mut machine = Machine::new(false, PLAIN);
    let done = machine.object("java/util/concurrent/CompletableFuture", &[OBJECTS, OBJECTS]);
    let future = futures(&mut machine, 5);
    machine.push(&[done, future]);
    assert_eq!(machine.units(moment::READ_ANSWER), Some(vec![2, 1]));
    let endless = futures(&mut machine, 30);
    machine.push(&[done, endless]);
    assert_eq!(machine.units(moment::READ_ANSWER), Some(vec![1]));
}

#[test]
fn the_client_s_selector_works_for_who_waits_for_the_headers_on_this_socket() {
    let mut machine = Machine::new(true, PLAIN);
    // There is no kernel here: the local port of the socket that is read is zero.
    let tube = |machine: &mut Machine, port| {
        let mut object = futures(machine, 16);
        for class in [
            "jdk/internal/net/http/Http1Response$HeadersReader",
            "jdk/internal/net/http/Http1AsyncReceiver",
            "jdk/internal/net/http/Http1AsyncReceiver$Http1TubeSubscriber",
            "jdk/internal/net/http/SocketTube$InternalReadPublisher$ReadSubscription",
            "jdk/internal/net/http/SocketTube$InternalReadPublisher",
        ] {
            object = machine.object(class, &[object]);
        }
        let holder = machine.object("java/net/InetSocketAddress$InetSocketAddressHolder", &[port]);
        let address = machine.object("java/net/InetSocketAddress", &[holder]);
        let channel = machine.object("sun/nio/ch/SocketChannelImpl", &[address]);
        let event = machine.object("jdk/internal/net/http/SocketTube$InternalReadPublisher$ReadEvent", &[channel, object]);
        [event, machine.object("jdk/internal/net/http/SocketTube", &[object, channel])]
    };
    let [own, strange] = [0, 40_001].map(|port| tube(&mut machine, port));
    let class = (machine.classes["jdk/internal/net/http/HttpClientImpl$SelectorManager"] - CLASSES) as u32;
    machine.memory.set(OBJECTS + 8, &class.to_le_bytes());
    for own in own {
        machine.push(&[strange[0], strange[1], own]);
        assert_eq!(machine.units(moment::READ_ANSWER), Some(vec![2, 1]));
    }
    machine.push(&[strange[0], strange[1], 0]);
    assert_eq!(machine.units(moment::READ_ANSWER), Some(vec![1]));
}

#[test]
fn what_is_not_known_is_said() {
    let unknown = |text: &str| Err(Refusal::Unknown(text.to_owned()));
    let zgc = Machine::new(true, &[("UseZGC", true)]);
    assert_eq!(zgc.study(), unknown("references of its garbage collector (ZGC) are not plain addresses"));
    let compact = Machine::new(true, &[("UseCompactObjectHeaders", true)]);
    assert_eq!(compact.study(), unknown("its objects have compact headers"));
    let mut bare = Machine::new(true, PLAIN);
    bare.symbols.clear();
    assert_eq!(bare.study(), unknown("its virtual machine does not describe itself"));
    let mut early = Machine::new(true, PLAIN);
    early.memory.set(POINTERS[1] + 8, &[0; 8]);
    assert_eq!(early.study(), Err(Refusal::NotYet("its threads have not started")));
}

#[test]
fn every_class_of_the_tests_is_looked_for() {
    let known: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).filter(|name| *name != super::THREAD).collect();
    assert_eq!(known, waits::CLASSES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is spoiled, a study and its walks end and never panic.
    #[test]
    fn spoiled_memory_does_no_harm(streams: bool, spoiled in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u64>()), 1..40)) {
        let mut machine = Machine::new(streams, PLAIN);
        let future = futures(&mut machine, 3);
        machine.push(&[future]);
        let starts: Vec<u64> = machine.memory.0.keys().copied().collect();
        for (run, place, word) in spoiled {
            let run = machine.memory.0.get_mut(run.get(&starts)).expect("made");
            let place = place.index(run.len() / 8) * 8;
            run[place..place + 8].copy_from_slice(&word.to_le_bytes());
        }
        if let Ok(study) = machine.study() {
            for walk in study.walks.iter().flatten() {
                let _ = interpreter::walk(walk, POINTERS[0], POINTERS[0] - 0x4000, 1, &machine.memory);
            }
        }
    }
}
