//! Walks and tables over memory that was made up.
use super::functions::Table;
use super::layout::Layout;
use super::walks::{Program, Start};
use super::{code, start};
use crate::adapter::interpreter;
use crate::adapter::process::Memory;
use crate::causality::manner::word;
use proptest::prelude::*;
use std::collections::BTreeMap;
use wirespan_abi::walk::moment;

/// Words by address; nothing else is there.
#[derive(Default)]
struct Words(BTreeMap<u64, u64>);

impl Memory for Words {
    fn read(&self, address: u64, to: &mut [u8]) -> Option<()> {
        to.iter_mut().zip(address..).try_for_each(|(byte, at)| {
            *byte = self.0.get(&(at & !7))?.to_le_bytes()[(at & 7) as usize];
            Some(())
        })
    }
}

const THREAD_POINTER: u64 = 0x7000_0000;
const WRITER: u64 = 0xc000_0000;
const WAITER: u64 = 0xc000_1000;
const MACHINE: u64 = 0xc000_2000;
const PROCESSOR: u64 = 0xc000_3000;
const STACK: u64 = 0xc001_0000;
const CONNECTION: u64 = 0xc002_0000;
const REQUESTS: u64 = 0xc003_0000;
const REQUEST: u64 = 0xc004_0000;
const ANSWER: u64 = 0xc005_0000;
const SUDOG: u64 = 0xc006_0000;
const WRITE_LOOP: u64 = 0x40_1000;
const DO_REQUEST: u64 = 0x40_2000;
const NUMBERS: u64 = 0x60_0000;

fn layout() -> Layout {
    Layout::of("go1.26.8").expect("a known version")
}

fn program() -> Program {
    let connections = vec![Start { entry: WRITE_LOOP, argument: 56 }];
    let streams = vec![Start { entry: DO_REQUEST, argument: 72 }];
    Program { layout: layout(), goroutine: -8, numbers: Some(NUMBERS), connections, streams }
}

/// Goroutine 20 writes on a connection of HTTP/1 for goroutine 17, which goroutine 5 created, and which waits for the answer.
fn waiting() -> Words {
    let Layout { goid, parent, gopc, startpc, p, goidcache, recvq, sudog_c, answer, .. } = layout();
    let at = |base: u64, distance: i32| base.wrapping_add_signed(distance.into());
    let parent = parent.expect("known since 1.21");
    Words(BTreeMap::from([
        (THREAD_POINTER - 8, WRITER),
        (at(WRITER, goid), 20),
        (at(WRITER, startpc), WRITE_LOOP),
        (at(WRITER, parent), 9),
        (at(WRITER, gopc), 0x40_4000),
        (WRITER + 8, STACK),
        (WRITER + 48, MACHINE),
        (at(MACHINE, p), PROCESSOR),
        (at(PROCESSOR, goidcache), 33),
        (NUMBERS, 48),
        (STACK - 56, CONNECTION),
        (CONNECTION + 128, REQUESTS),
        (REQUESTS, 1),
        (REQUESTS + 16, REQUEST),
        (at(REQUEST, answer), ANSWER),
        (at(ANSWER, recvq), SUDOG),
        (SUDOG, WAITER),
        (at(SUDOG, sudog_c), ANSWER),
        (at(WAITER, goid), 17),
        (at(WAITER, parent), 5),
        (at(WAITER, gopc), 0x40_5000),
    ]))
}

fn output(memory: &Words, moment: u32) -> Option<Vec<u64>> {
    let walks = program().walks().expect("it fits");
    let walk = walks[moment as usize].as_ref().expect("a walk for every moment");
    interpreter::walk(walk, THREAD_POINTER, 0, 1, memory).map(|left| left.output())
}

fn said(kind: u64, value: u64) -> u64 {
    kind << word::SHIFT | value
}

#[test]
fn a_call_on_a_connection_is_of_the_goroutine_that_waits_for_its_answer() {
    let own = [20, said(word::NEXT, 33)];
    let waiter = [17, said(word::PARENT, 5), said(word::PLACE, 0x40_5000)];
    let creation = [said(word::PARENT, 9), said(word::PLACE, 0x40_4000)];
    let both = [&own[..], &waiter].concat();
    assert_eq!(output(&waiting(), moment::SEND_CALL), Some(both.clone()));
    assert_eq!(output(&waiting(), moment::READ_ANSWER), Some(both));
    assert_eq!(output(&waiting(), moment::READ_REQUEST), Some([&own[..], &[said(word::COUNT, 48)]].concat()));
    assert_eq!(output(&waiting(), moment::SEND_RESPONSE), Some(own.into()));
    // A goroutine of the program's own: who created it is told, and who waits for it is not known.
    let mut plain = waiting();
    plain.0.insert(WRITER.wrapping_add_signed(layout().startpc.into()), 0x40_9000);
    assert_eq!(output(&plain, moment::SEND_CALL), Some([&own[..], &creation].concat()));
}

#[test]
fn a_stream_of_its_own_goroutine_is_of_the_one_that_created_it() {
    let Layout { startpc, recvq, goid, .. } = layout();
    let mut words = waiting();
    words.0.insert(WRITER.wrapping_add_signed(startpc.into()), DO_REQUEST);
    words.0.insert(STACK - 72, CONNECTION);
    words.0.insert(CONNECTION + 248, ANSWER);
    let own = [20, said(word::NEXT, 33), 9];
    let waiter = [17, said(word::PARENT, 5), said(word::PLACE, 0x40_5000)];
    assert_eq!(output(&words, moment::SEND_CALL), Some([&own[..], &waiter].concat()));
    // It has not begun to wait yet.
    words.0.remove(&ANSWER.wrapping_add_signed(recvq.into()));
    assert_eq!(output(&words, moment::SEND_CALL), Some(own.into()));
    // Where C code runs, the thread keeps a goroutine without a number, and the other one is found.
    words.0.insert(WRITER.wrapping_add_signed(goid.into()), 0);
    words.0.insert(MACHINE.wrapping_add_signed(layout().curg.into()), WAITER);
    assert_eq!(output(&words, moment::SEND_RESPONSE), Some(vec![17, said(word::NEXT, 33)]));
}

#[test]
fn whoever_waits_no_more_or_for_something_else_is_not_told() {
    let Layout { sudog_c, .. } = layout();
    let own = Some(vec![20, said(word::NEXT, 33)]);
    for (address, value) in [(SUDOG.wrapping_add_signed(sudog_c.into()), CONNECTION), (REQUESTS, 0), (STACK - 56, 0), (WRITER + 8, 0)] {
        let mut words = waiting();
        words.0.insert(address, value);
        assert_eq!(output(&words, moment::SEND_CALL), own, "{address:x}");
    }
    let mut words = waiting();
    words.0.remove(&(THREAD_POINTER - 8));
    assert_eq!(output(&words, moment::SEND_CALL), None, "there is no goroutine");
}

/// A table of two functions at 0x1000 and 0x1020, the second of which lowers the stack pointer by 16 bytes after its fourth byte.
fn table() -> Table {
    let mut functions: Vec<u8> = [0_u32, 24, 0x20, 44, 0x40, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    for about in [[0_u32, 1, 0, 0, 0], [0x20, 6, 0, 0, 0]] {
        functions.extend(about.iter().flat_map(|word| word.to_le_bytes()));
    }
    // From -1 to 0 for 4 bytes, then to 16 for 28.
    Table { names: b"\0main\0main.called\0".into(), changes: [2, 4, 32, 28, 0].into(), functions, count: 3, text: 0x1000 }
}

#[test]
fn functions_are_found_with_their_frames() {
    let table = table();
    let found: Vec<_> = table.iter().map(|(name, function)| (name, function.entry, function.end)).collect();
    assert_eq!(found, [(&b"main"[..], 0x1000, 0x1020), (b"main.called", 0x1020, 0x1040)]);
    let (_, called) = table.iter().nth(1).expect("two");
    assert_eq!([0x1020, 0x1023, 0x1024, 0x103f, 0x1040].map(|pc| table.depth(&called, pc)), [Some(0), Some(0), Some(16), Some(16), None]);
}

#[test]
fn the_first_argument_of_what_a_goroutine_calls_lies_below_its_first_frame() {
    let table = table();
    let [caller, callee] = [1, 0].map(|index| table.iter().nth(index).expect("two").1);
    // call 0x1000, at 0x1028.
    let mut code = [0x90_u8; 32];
    code[8..13].copy_from_slice(&[0xe8, 0xd3, 0xff, 0xff, 0xff]);
    let words = code.chunks(8).zip((0x1020..).step_by(8)).map(|(word, at)| (at, u64::from_le_bytes(word.try_into().expect("eight"))));
    let memory = Words(words.collect());
    assert_eq!(start(&caller, &callee, &table, &memory), Some(Start { entry: 0x1020, argument: 40 + 16 }));
    assert_eq!(start(&callee, &caller, &table, &memory), None);
}

proptest! {
    #[test]
    fn no_table_and_no_code_does_harm(
        functions: Vec<u8>, names: Vec<u8>, changes: Vec<u8>, code: Vec<u8>, count in 0_usize..100_000, text: u64, pc: u64,
    ) {
        let table = Table { names, changes, functions, count, text };
        for (_, function) in table.iter() {
            let _ = (table.depth(&function, pc), function.code(&Words::default()));
        }
        let _ = (code::goroutine(&code), code::numbers(&code, text), code::calls(&code, text, pc).count());
    }

    #[test]
    fn no_memory_does_harm(words in prop::collection::btree_map((0_u64..1 << 16).prop_map(|word| word * 8), 0_u64..1 << 19, 0..2000)) {
        let mut words = Words(words);
        words.0.insert(THREAD_POINTER - 8, 0x2000);
        for moment in 0..moment::COUNT {
            let _ = output(&words, moment);
        }
    }
}
