//! Conversations as a specification: what the JDK says, and the calls that become of it.
use super::*;
use crate::protocol::attribute::Value;
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Head, Response};
use proptest::prelude::*;

use Side::{Client as C, Server as S};

/// What no output may contain.
const CANARY: &str = "c4n4ry";
const GREETING: &[u8] = b"JRMI\0\x02\x4b";
const WELCOME: &[u8] = b"\x4e\0\x09127.0.0.1\0\0\x12\x34";
const MYSELF: &[u8] = b"\0\x09198.18.01\0\0\0\0";
const REGISTRY_HASH: i64 = 4_905_912_898_345_647_071;

/// A call: an object with the rest of its identity, an operation, a hash, and an argument.
fn call(object: i64, identity: u8, operation: i32, hash: i64) -> Vec<u8> {
    let block = [&object.to_be_bytes()[..], &[identity; 14], &operation.to_be_bytes(), &hash.to_be_bytes()].concat();
    [session::CALL, &[34], &block, b"\x74\0\x06", CANARY.as_bytes()].concat()
}

/// A return with what follows its block.
fn back(how: u8, value: &[u8]) -> Vec<u8> {
    [session::RETURN, &[15, how], &[7; 14], value].concat()
}

fn exception(class: &str) -> Vec<u8> {
    [b"\x73\x72\0".as_slice(), &[class.len() as u8], class.as_bytes(), &[1; 8], CANARY.as_bytes()].concat()
}

/// Decodes pieces, whole and byte by byte, which must make no difference.
fn run(pieces: &[(Side, Vec<u8>)]) -> Transcript {
    let whole: Vec<(Side, &[u8])> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let bytewise: Vec<(Side, &[u8])> = whole.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))).collect();
    let found = testing::run(Jrmp.decoder(SERVER, false).as_mut(), &whole);
    assert_eq!(testing::run(Jrmp.decoder(SERVER, false).as_mut(), &bytewise), found);
    found
}

fn told(pieces: &[(Side, Vec<u8>)]) -> Vec<String> {
    let transcript = run(pieces);
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
    let tell = |head: &Head| match head {
        Head::Request(request) => {
            let values = request.attributes.iter().skip(1).map(|attribute| match &attribute.value {
                Value::Text(text) => format!(" {text}"),
                other => format!(" {other:?}"),
            });
            format!("> {}{}", request.name, values.collect::<String>())
        }
        Head::Response(Response { client_error, server_error, .. }) => {
            assert_eq!(client_error, server_error);
            format!("< {}", client_error.as_deref().unwrap_or_default()).trim_end().to_owned()
        }
    };
    transcript.messages.iter().filter_map(|message| message.head.as_ref()).map(tell).collect()
}

#[test]
fn calls_are_told_with_what_the_bytes_carry_of_their_names() {
    let pieces = [
        (C, GREETING.to_vec()),
        (S, WELCOME.to_vec()),
        (C, [MYSELF, &call(0, 0, 2, REGISTRY_HASH)].concat()),
        (S, back(1, &exception("some.Stub"))),
        (C, vec![0x52]),
        (S, vec![0x53]),
        (C, [b"\x54".as_slice(), &[9; 14], &call(77, 3, -1, 0x1234)].concat()),
        (S, back(2, &exception("shop.NoSuchOrder"))),
        (C, call(0, 0, 2, 5)),
        (S, back(2, b"\x7b")),
    ];
    let expected = [
        "> java.rmi.registry.Registry/lookup java.rmi.registry.Registry/lookup",
        "<",
        "> java_rmi Int(77) 0000000000001234",
        "< shop.NoSuchOrder",
        "> java_rmi Int(0) Int(2) 0000000000000005",
        "< _OTHER",
    ];
    assert_eq!(told(&pieces), expected);
    assert!(!format!("{:?}", run(&pieces)).contains(CANARY));
}

#[test]
fn pings_and_calls_of_the_garbage_collector_are_no_messages() {
    let pieces = [
        (C, [GREETING, b"\x52"].concat()),
        (S, [WELCOME, b"\x53"].concat()),
        (C, call(2, 0, 1, -669_196_253_586_618_813)),
        (S, back(1, &exception("java.rmi.dgc.Lease"))),
    ];
    assert_eq!(told(&pieces), [""; 0]);
}

#[test]
fn what_follows_a_message_is_passed_over_until_the_other_side_speaks() {
    let long = [back(1, b""), call(5, 5, -1, 5)].concat();
    let pieces = [(C, [call(1, 1, -1, 1), call(2, 2, -1, 2)].concat()), (S, long), (C, call(3, 3, -1, 3)), (S, back(1, b""))];
    assert_eq!(told(&pieces), ["> java_rmi Int(1) 0000000000000001", "<", "> java_rmi Int(3) 0000000000000003", "<"]);
}

#[test]
fn after_a_loss_nothing_is_paired_with_what_came_before() {
    let mut decoder = Jrmp.decoder(SERVER, true);
    assert!(matches!(decoder.decode(C, &call(1, 1, -1, 1), false), crate::protocol::Step::Take(_)));
    decoder.lost(S);
    let crate::protocol::Step::Take(take) = decoder.decode(S, &back(1, b""), false) else { panic!("a step") };
    assert_eq!((take.head, take.end), (None, true));
}

#[test]
fn detection_knows_the_first_word_and_ordinary_messages() {
    use Guess::{Likely, Maybe, No, Yes};
    for (side, bytes, expected) in [
        (C, GREETING, Yes),
        (C, b"JRM", Maybe),
        (C, b"JRML\0", No),
        (C, session::CALL, Maybe),
        (C, b"\x50\xac\xed\0\x05\x77\x22", Yes),
        (C, b"\x50\x01", No),
        (C, b"POST / HTTP/1.1\r\n", No),
        (C, b"\x52", Maybe),
        (C, b"\x52\0", No),
        (S, WELCOME, Likely),
        (S, b"\x4e\0\x03a b\0\0\0\0", No),
        (S, b"NOTICE", No),
        (S, b"\x51\xac\xed\0\x05\x77\x0f", Yes),
        (S, b"HTTP/1.1 200 OK\r\n", No),
    ] {
        assert_eq!(Jrmp.detect(side, bytes), expected, "{side:?} {}", bytes.escape_ascii());
    }
}

proptest! {
    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..300), how in any::<u8>()) {
        testing::fuzz(&Jrmp, &bytes);
        testing::run(Jrmp.decoder(SERVER, true).as_mut(), &[(C, &call(1, 1, 1, 1)), (S, &back(how, &bytes)), (C, &bytes)]);
    }

    #[test]
    fn damaged_conversations_do_not_depend_on_cuts(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut asked = [GREETING, MYSELF, &call(1, 1, -1, 1)].concat();
        let mut said = [WELCOME, &back(2, &exception("a.B"))].concat();
        let at = place.index(asked.len() + said.len());
        *asked.iter_mut().chain(&mut said).nth(at).expect("a byte") = byte;
        run(&[(C, asked), (S, said)]);
    }
}
