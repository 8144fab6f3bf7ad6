//! Walks and tables over memory that was made up.
use super::code::{self, Register};
use super::functions::Table;
use super::layout::Layout;
use super::rpc::Rpc;
use super::types::Way;
use super::walks::{Handlers, Program, Start};
use super::{Calls, MAX_STARTS};
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
const SERVE: u64 = 0x40_3000;
const HANDLER: u64 = 0x40_6000;
const READER: u64 = 0x40_7000;
const RPC_READER: u64 = 0x40_a000;
const RPC_WRITER: u64 = 0x40_b000;
const NUMBERS: u64 = 0x60_0000;

fn layout() -> Layout {
    Layout::of("go1.26.8").expect("a known version")
}

fn program() -> Program {
    let connections = vec![Start { entry: WRITE_LOOP, argument: 56 }];
    let streams = vec![Start { entry: DO_REQUEST, argument: 72 }];
    let servers = vec![Start { entry: SERVE, argument: 56 }];
    let readers = vec![Start { entry: READER, argument: 80 }];
    let handlers = vec![Handlers { entries: vec![HANDLER], connection: 80, request: 72, way: vec![0, 0], number: 8 }];
    let [rpc_readers, writers] = [RPC_READER, RPC_WRITER].map(|entry| vec![Start { entry, argument: 96 }]);
    let way = |at| Way { through: None, at };
    let (owner, begins, number) = (Way { through: Some(0), at: 8 }, way(16), way(24));
    let rpc = Some(Rpc { streams: 40, next: 48, owner, begins, number, method: Some(56), readers: rpc_readers, writers });
    Program { layout: layout(), goroutine: -8, numbers: Some(NUMBERS), connections, streams, servers, handlers, readers, rpc }
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
        (at(PROCESSOR, goidcache + 8), 48),
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
    let own = [20, said(word::END, 48), said(word::NEXT, 33)];
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
    let own = [20, said(word::END, 48), said(word::NEXT, 33), 9];
    let waiter = [17, said(word::PARENT, 5), said(word::PLACE, 0x40_5000)];
    assert_eq!(output(&words, moment::SEND_CALL), Some([&own[..], &waiter].concat()));
    // It has not begun to wait yet.
    words.0.remove(&ANSWER.wrapping_add_signed(recvq.into()));
    assert_eq!(output(&words, moment::SEND_CALL), Some(own.into()));
    // Where C code runs, the thread keeps a goroutine without a number, and the other one is found.
    words.0.insert(WRITER.wrapping_add_signed(goid.into()), 0);
    words.0.insert(MACHINE.wrapping_add_signed(layout().curg.into()), WAITER);
    assert_eq!(output(&words, moment::SEND_RESPONSE), Some(vec![17, said(word::END, 48), said(word::NEXT, 33)]));
}

#[test]
fn whoever_waits_no_more_or_for_something_else_is_not_told() {
    let Layout { sudog_c, .. } = layout();
    let own = Some(vec![20, said(word::END, 48), said(word::NEXT, 33)]);
    for (address, value) in [(SUDOG.wrapping_add_signed(sudog_c.into()), CONNECTION), (REQUESTS, 0), (STACK - 56, 0), (WRITER + 8, 0)] {
        let mut words = waiting();
        words.0.insert(address, value);
        assert_eq!(output(&words, moment::SEND_CALL), own, "{address:x}");
    }
    let mut words = waiting();
    words.0.remove(&(THREAD_POINTER - 8));
    assert_eq!(output(&words, moment::SEND_CALL), None, "there is no goroutine");
}

#[test]
fn whoever_waits_alone_for_a_workers_result_is_told_when_the_answer_is_read() {
    const RESULT: u64 = 0xc007_0000;
    const ITS_SUDOG: u64 = 0xc008_0000;
    const HANDLED_BY: u64 = 0xc000_4000;
    const ITS_STACK: u64 = 0xc009_0000;
    let Layout { goid, startpc, recvq, sudog_c, .. } = layout();
    let at = |base: u64, distance: i32| base.wrapping_add_signed(distance.into());
    let mut words = waiting();
    words.0.extend([
        (WAITER + 8, ITS_STACK),
        // Something else, then the channel.
        (ITS_STACK - 48, REQUESTS),
        (ITS_STACK - 64, RESULT),
        (RESULT + 8, 1),
        (at(RESULT, recvq), ITS_SUDOG),
        (at(RESULT, recvq + 8), ITS_SUDOG),
        (ITS_SUDOG, HANDLED_BY),
        (at(ITS_SUDOG, sudog_c), RESULT),
        (at(HANDLED_BY, goid), 11),
    ]);
    let before = output(&waiting(), moment::READ_ANSWER).expect("a goroutine");
    let told = |words: &Words, moment| output(words, moment).expect("a goroutine").split_off(before.len());
    assert_eq!(told(&words, moment::READ_ANSWER), [said(word::CHANNEL, 11)]);
    assert_eq!(told(&words, moment::SEND_CALL), Vec::<u64>::new());
    // A channel that keeps several things, one at which several wait, the wrong one's queue, a goroutine that works for nobody.
    let others = [(RESULT + 8, 2), (at(RESULT, recvq + 8), SUDOG), (at(ITS_SUDOG, sudog_c), ANSWER), (at(WAITER, startpc), SERVE)];
    for (address, value) in others {
        let mut words = Words(words.0.clone());
        words.0.insert(address, value);
        assert_eq!(told(&words, moment::READ_ANSWER), Vec::<u64>::new(), "{address:x}");
    }
}

#[test]
fn a_request_of_http2_is_named_by_its_reader_and_by_whoever_works_on_it() {
    const RESPONSE: u64 = 0xc00a_0000;
    const STATE: u64 = 0xc00b_0000;
    const STREAM: u64 = 0xc00c_0000;
    let at = |base: u64| base.wrapping_add_signed(layout().startpc.into());
    let mut words = waiting();
    words.0.extend([(at(WRITER), READER), (STACK - 80, CONNECTION), (STACK - 72, RESPONSE), (RESPONSE, STATE), (STATE, STREAM)]);
    words.0.insert(STREAM + 8, 9 | 7 << 32);
    let own = [20, said(word::END, 48), said(word::NEXT, 33)];
    let reads = [said(word::COUNT, 48), said(word::CONNECTION, CONNECTION)];
    assert_eq!(output(&words, moment::READ_REQUEST), Some([&own[..], &reads].concat()));
    words.0.insert(at(WRITER), HANDLER);
    let creation = [said(word::PARENT, 9), said(word::PLACE, 0x40_4000), said(word::CONNECTION, CONNECTION), said(word::REQUEST, 9)];
    assert_eq!(output(&words, moment::SEND_CALL), Some([&own[..], &creation].concat()));
}

const TRANSPORT: u64 = 0xc00d_0000;
const STREAMS: u64 = 0xc00e_0000;
const GROUP: u64 = 0xc00f_0000;
const CALL: u64 = 0xc010_0000;
const SHARED: u64 = 0xc011_0000;
const BEGINS: u64 = 0xc012_0000;
const WAITS: u64 = 0xc013_0000;
const TABLE: u64 = 0xc017_0000;
const DIRECTORY: u64 = 0xc016_0000;
const METHOD: u64 = 0xc015_0000;
const LOOPY: u64 = 0xc014_0000;

/// The goroutine that reads for a client's connection of gRPC, on which goroutine 17 waits for the answer on stream 7, the last of four.
fn streams() -> Words {
    let Layout { startpc, recvq, sudog_c, .. } = layout();
    let at = |base: u64, distance: i32| base.wrapping_add_signed(distance.into());
    let mut words = waiting();
    words.0.extend([
        (at(WRITER, startpc), RPC_READER),
        (STACK - 96, TRANSPORT),
        (TRANSPORT + 40, STREAMS),
        (TRANSPORT + 48, 9),
        // A map of one group, whose third slot is used.
        (STREAMS + 16, GROUP),
        (GROUP, 0x8080_8080_8007_8080),
        (GROUP + 8 + 32, 7),
        (GROUP + 8 + 40, CALL),
        (CALL, SHARED),
        (SHARED + 8, TRANSPORT),
        (CALL + 16, BEGINS),
        (CALL + 24, 7),
        (at(BEGINS, recvq), WAITS),
        (WAITS, WAITER),
        (at(WAITS, sudog_c), BEGINS),
        (at(WAITER, startpc), SERVE),
    ]);
    words.0.extend((0..8).map(|slot| (GROUP + 8 + 16 * slot, 0)).filter(|(at, _)| *at != GROUP + 8 + 32));
    words
}

#[test]
fn whoever_waits_for_an_answer_of_grpc_is_told_with_its_stream() {
    let own = [20, said(word::END, 48), said(word::NEXT, 33)];
    let awaiter = [said(word::AWAITER, 17), said(word::AWAITED, 7)];
    let told = |words: &Words, moment| output(words, moment).map(|output| output[own.len().min(output.len())..].to_vec());
    assert_eq!(output(&streams(), moment::READ_ANSWER), Some([&own[..], &awaiter].concat()));
    // It waits no more, the stream is of another connection, its number is too old to be looked at.
    let changes = [(WAITS + layout().sudog_c as u64, ANSWER), (SHARED + 8, CONNECTION), (GROUP + 8 + 32, 0), (TRANSPORT + 48, 100)];
    for (address, value) in changes {
        let mut words = streams();
        words.0.insert(address, value);
        assert_eq!(told(&words, moment::READ_ANSWER), Some(vec![]), "{address:x}");
    }
    // Who created it is told if it serves no connection.
    let mut child = streams();
    child.0.insert(WAITER + layout().startpc as u64, 0x40_5008);
    let creation = [said(word::PARENT, 5), said(word::PLACE, 0x40_5000)];
    assert_eq!(told(&child, moment::READ_ANSWER), Some([&awaiter[..], &creation].concat()));
    // The one that writes has the transport as the receiver of a method.
    let mut writer = streams();
    let start = WRITER + layout().startpc as u64;
    writer.0.extend([(start, RPC_WRITER), (STACK - 96, LOOPY), (LOOPY + 56, METHOD), (METHOD + 8, TRANSPORT)]);
    assert_eq!(told(&writer, moment::SEND_CALL), Some(awaiter.into()));
    // A table of two groups: the second one's first slot.
    let mut many = streams();
    let groups = [(STREAMS + 16, DIRECTORY), (STREAMS + 24, 1), (DIRECTORY, TABLE), (TABLE + 16, GROUP - 136), (TABLE + 24, 1)];
    many.0.extend(groups);
    many.0.extend((1..=17).map(|word| (GROUP - 8 * word, 0)));
    assert_eq!(told(&many, moment::READ_ANSWER), Some(awaiter.into()));
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
fn the_argument_of_what_a_goroutine_calls_lies_below_its_first_frame() {
    let table = table();
    let [first, next] = [1, 0].map(|index| table.iter().nth(index).expect("two").1);
    // mov %rax,24(%rsp) at 0x1008; call 0x1000 at 0x1028.
    let mut code = [0x90_u8; 64];
    code[8..13].copy_from_slice(&[0x48, 0x89, 0x44, 0x24, 24]);
    code[40..45].copy_from_slice(&[0xe8, 0xd3, 0xff, 0xff, 0xff]);
    let words = code.chunks(8).zip((0x1000..).step_by(8)).map(|(word, at)| (at, u64::from_le_bytes(word.try_into().expect("eight"))));
    let memory = Words(words.collect());
    let calls = Calls { table: &table, memory: &memory };
    let starts = |first, next, register| calls.starts(&[&[first], &[next]], register);
    assert_eq!(starts(first, next, Register::First), [Start { entry: 0x1020, argument: 40 + 16 + 8 + 16 - 24 }]);
    assert_eq!(starts(first, next, Register::Second), []);
    assert_eq!(starts(next, first, Register::First), []);
    let many = vec![first; MAX_STARTS + 1];
    assert_eq!(calls.starts(&[&many, &[next]], Register::First).len(), MAX_STARTS);
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
