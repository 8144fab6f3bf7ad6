//! Conversations as a specification: what each side says in each form, and the calls that become of it.
use super::message::{Form, Kind as Said};
use super::*;
use crate::protocol::attribute::Value;
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Head, Response};
use crate::semconv;
use proptest::prelude::*;

use Side::{Client as C, Server as S};

/// What no output may contain.
const CANARY: &str = "c4n4ry";
const ENCODINGS: [Encoding; 3] = [Encoding::Strict, Encoding::Old, Encoding::Compact];

fn forms() -> impl Iterator<Item = Form> {
    ENCODINGS.into_iter().flat_map(|encoding| [true, false].map(|framed| Form { framed, encoding }))
}

fn number(kind: Said) -> u8 {
    match kind {
        Said::Call => 1,
        Said::Reply => 2,
        Said::Exception => 3,
        Said::OneWay => 4,
    }
}

/// A message with the fields of a struct, which end with `STOP`.
fn message(form: Form, kind: Said, name: &str, sequence: u8, fields: &[u8]) -> Vec<u8> {
    let length = (name.len() as u32).to_be_bytes();
    let sequence = [0, 0, 0, sequence];
    let mut bytes = match form.encoding {
        Encoding::Strict => [&[0x80, 1, 0, number(kind)], &length[..], name.as_bytes(), &sequence].concat(),
        Encoding::Old => [&length[..], name.as_bytes(), &[number(kind)], &sequence].concat(),
        Encoding::Compact => [&[0x82, number(kind) << 5 | 1, sequence[3], name.len() as u8], name.as_bytes()].concat(),
    };
    bytes.extend_from_slice(fields);
    bytes.push(0);
    if form.framed { [&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat() } else { bytes }
}

/// Fields of many kinds: texts, numbers, a map of texts to lists, a set of structs, a truth.
fn fields(encoding: Encoding) -> Vec<u8> {
    let text = |text: &str| match encoding {
        Encoding::Compact => [&[text.len() as u8], text.as_bytes()].concat(),
        _ => [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat(),
    };
    if encoding == Encoding::Compact {
        return [
            &[0x18][..],
            &text(CANARY),
            &[0x15, 0x80, 0x01, 0x17, 1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x1b, 1, 0x89],
            &text(CANARY),
            &[0x25, 2, 4, 0x1a, 0x1c, 0x11, 0, 0x09, 0x10, 0xf1, 17],
            &[1; 17],
        ]
        .concat();
    }
    [
        &[11, 0, 1][..],
        &text(CANARY),
        &[8, 0, 2, 0, 0, 0, 9, 4, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0, 4, 1, 13, 0, 5, 11, 15, 0, 0, 0, 1],
        &text(CANARY),
        &[8, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 14, 0, 6, 12, 0, 0, 0, 1, 3, 0, 1, 7, 0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8],
    ]
    .concat()
}

fn declared(encoding: Encoding) -> Vec<u8> {
    if encoding == Encoding::Compact { vec![0x2c, 0] } else { vec![12, 0, 2, 0] }
}

fn own_exception(encoding: Encoding, kind: u8) -> Vec<u8> {
    if encoding == Encoding::Compact {
        [&[0x18, 6][..], CANARY.as_bytes(), &[0x15, kind * 2]].concat()
    } else {
        [&[11, 0, 1, 0, 0, 0, 6][..], CANARY.as_bytes(), &[8, 0, 2, 0, 0, 0, kind]].concat()
    }
}

/// Decodes pieces, whole and byte by byte, which must make no difference.
fn run(pieces: &[(Side, Vec<u8>)]) -> Transcript {
    let whole: Vec<(Side, &[u8])> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let bytewise: Vec<(Side, &[u8])> = whole.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))).collect();
    let found = testing::run(Thrift.decoder(SERVER, false).as_mut(), &whole);
    assert_eq!(testing::run(Thrift.decoder(SERVER, false).as_mut(), &bytewise), found);
    found
}

fn outcome(response: &Response) -> String {
    let values = response.attributes.iter().map(|attribute| match &attribute.value {
        Value::Text(text) => format!(" {text}"),
        other => format!(" {other:?}"),
    });
    let errors = [&response.client_error, &response.server_error]
        .map(|error| error.as_deref().map_or_else(String::new, |error| format!(" !{error}")));
    values.collect::<String>() + &errors.concat()
}

fn told(pieces: &[(Side, Vec<u8>)]) -> Vec<String> {
    let transcript = run(pieces);
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
    let tell = |message: &testing::Message| {
        assert!(message.end.is_some(), "{message:?}");
        match message.head.as_ref().expect("a head") {
            Head::Request(request) => {
                let answered = if request.answered { "" } else { " alone" };
                format!("{} > {}{answered}", request.correlation.unwrap_or_default(), request.name)
            }
            Head::Response(response) => format!("{} <{}", response.correlation.unwrap_or_default(), outcome(response)),
        }
    };
    transcript.messages.iter().map(tell).collect()
}

#[test]
fn calls_and_their_outcomes_are_the_same_in_every_form() {
    for form in forms() {
        let encoding = form.encoding;
        let pieces = [
            (C, message(form, Said::Call, "getOrder", 7, &fields(encoding))),
            (S, message(form, Said::Reply, "getOrder", 7, &fields(encoding))),
            (C, [message(form, Said::Call, "Orders:add", 8, b""), message(form, Said::Call, "find", 0, b"")].concat()),
            (S, message(form, Said::Reply, "add", 8, b"")),
            (S, message(form, Said::Reply, "find", 0, &declared(encoding))),
            (C, message(form, Said::OneWay, "ping", 9, &fields(encoding))),
            (C, [message(form, Said::Call, "nobody", 10, b""), message(form, Said::Call, "find", 11, b"")].concat()),
            (S, message(form, Said::Exception, "nobody", 10, &own_exception(encoding, 1))),
            (S, message(form, Said::Exception, "find", 11, &own_exception(encoding, 6))),
        ];
        let expected = [
            "7 > getOrder",
            "7 <",
            "8 > Orders/add",
            "0 > find",
            "8 <",
            "0 < Int(2) !declared_exception",
            "9 > ping alone",
            "10 > nobody",
            "11 > find",
            "10 < UNKNOWN_METHOD _OTHER nobody !UNKNOWN_METHOD !UNKNOWN_METHOD",
            "11 < INTERNAL_ERROR !INTERNAL_ERROR !INTERNAL_ERROR",
        ];
        // A reply's first field decides: the one with a success in it is numbered zero.
        let mut told = told(&pieces);
        if let Some(reply) = told.get_mut(1) {
            assert!(reply.starts_with("7 < Int(1)"), "{form:?} {reply}");
            *reply = "7 <".to_owned();
        }
        assert_eq!(told, expected, "{form:?}");
        assert!(!format!("{:?}", run(&pieces)).contains(CANARY));
    }
}

#[test]
fn a_value_may_be_longer_than_what_is_there() {
    let form = Form { framed: false, encoding: Encoding::Strict };
    let mut decoder = Thrift.decoder(SERVER, false);
    let call = message(form, Said::Call, "put", 1, &[11, 0, 1, 0, 1, 0, 0]);
    let crate::protocol::Step::Take(head) = decoder.decode(C, &call, false) else { panic!("a head") };
    let rest = &call[head.used as usize..];
    let crate::protocol::Step::Take(body) = decoder.decode(C, rest, false) else { panic!("a body") };
    assert_eq!((body.used, body.end), (7 + 0x1_0000, false));
}

#[test]
fn levels_without_end_are_refused() {
    for (encoding, field) in [(Encoding::Strict, &[12, 0, 1][..]), (Encoding::Compact, &[0x1c])] {
        let form = Form { framed: false, encoding };
        assert_eq!(run(&[(C, message(form, Said::Call, "deep", 1, &field.repeat(100)))]).invalid, 1);
    }
}

#[test]
fn detection_trusts_versions_and_asks_both_sides_otherwise() {
    use Guess::{Likely, Maybe, No, Yes};
    for form in forms() {
        let expected = if form.encoding == Encoding::Strict { Yes } else { Likely };
        let (call, reply) = (message(form, Said::Call, "find", 1, b""), message(form, Said::Reply, "find", 1, b""));
        assert_eq!([Thrift.detect(C, &call), Thrift.detect(S, &reply)], [expected; 2], "{form:?}");
        assert_eq!([Thrift.detect(S, &call), Thrift.detect(C, &reply)], [No; 2], "{form:?}");
        assert_eq!(Thrift.detect(C, &call[..6]), Maybe, "{form:?}");
    }
    for other in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\0\0\0\x21\0\x12\0\x03\0\0\0\x01\0\x08consumer",
        b"\0\0\0\x2d\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64",
        b"\x16\x03\x01\x02\0",
        b"\x10\x0c\0\x04MQTT\x04",
        b"AMQP\0\0\x09\x01",
        b"\x80\x01\0\x01\0\0\0\x04fi\0d",
        b"\0\0\0\x04find\x07\0\0\0\x01",
        b"JRMI\0\x02K",
    ] {
        assert_eq!(Thrift.detect(C, other), No, "{}", other.escape_ascii());
    }
}

proptest! {
    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..300), fields in prop::collection::vec(0..20u8, 0..60)) {
        testing::fuzz(&Thrift, &bytes);
        for form in forms() {
            let call = message(form, Said::Call, "f", 1, &fields);
            testing::run(Thrift.decoder(SERVER, true).as_mut(), &[(C, &call), (S, &bytes)]);
        }
    }

    #[test]
    fn damaged_conversations_do_not_depend_on_cuts(which in 0..6usize, place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let form = forms().nth(which).expect("a form");
        let mut call = message(form, Said::Call, "find", 1, &fields(form.encoding));
        let at = place.index(call.len());
        call[at] = byte;
        run(&[(C, call), (S, message(form, Said::Exception, "find", 1, &own_exception(form.encoding, 6)))]);
    }
}

/// The keys of what is told are those of the conventions.
#[test]
fn a_call_has_the_attributes_of_the_conventions() {
    let form = Form { framed: true, encoding: Encoding::Strict };
    let transcript = run(&[(C, message(form, Said::Call, "Orders:add", 1, b""))]);
    let Some(Head::Request(request)) = transcript.messages.first().and_then(|message| message.head.as_ref()) else { panic!("a request") };
    let told: Vec<_> = request.attributes.iter().map(|attribute| (attribute.key, attribute.value.clone())).collect();
    assert_eq!(told, [(semconv::RPC_SYSTEM_NAME, Value::from("thrift")), (semconv::RPC_METHOD, Value::from("Orders/add"))]);
}
