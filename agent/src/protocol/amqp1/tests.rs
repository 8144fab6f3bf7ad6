//! Conversations as a specification: what each side says, and the messages that become of it.
use super::Amqp1;
use crate::protocol::attribute::Attribute;
use crate::protocol::context::Finder;
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Kind, Message, Protocol, Request, Side};
use proptest::prelude::*;

const C: Side = Side::Client;
const S: Side = Side::Server;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NULL: &[u8] = &[0x40];
const YES: &[u8] = &[0x41];
const NO: &[u8] = &[0x42];

fn text(text: &str) -> Vec<u8> {
    [&[0xa1, text.len() as u8][..], text.as_bytes()].concat()
}

fn symbol(text: &str) -> Vec<u8> {
    [&[0xa3, text.len() as u8][..], text.as_bytes()].concat()
}

fn number(number: u8) -> Vec<u8> {
    vec![0x52, number]
}

/// A list, or with `0xd1` a map, with a descriptor.
fn described(descriptor: u8, code: u8, entries: &[Vec<u8>]) -> Vec<u8> {
    let inner = entries.concat();
    let len = (inner.len() + 4) as u32;
    [&[0, 0x53, descriptor, code][..], &len.to_be_bytes(), &(entries.len() as u32).to_be_bytes(), &inner].concat()
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], &[2, kind, 0, 1], body].concat()
}

fn performative(descriptor: u8, entries: &[Vec<u8>]) -> Vec<u8> {
    frame(0, &described(descriptor, 0xd0, entries))
}

/// `attach` of a link: its handle, whether this side receives on it, and its address.
fn attach(handle: u8, receives: bool, address: &str) -> Vec<u8> {
    let end = |descriptor| described(descriptor, 0xd0, &[text(address)]);
    let role = if receives { YES } else { NO }.to_vec();
    performative(0x12, &[text(&format!("link-{address}")), number(handle), role, NULL.to_vec(), NULL.to_vec(), end(0x28), end(0x29)])
}

/// `transfer` with a message.
fn transfer(handle: u8, delivery: u8, settled: bool, more: bool, message: &[u8]) -> Vec<u8> {
    let truth = |yes: bool| if yes { YES } else { NO }.to_vec();
    let list = [number(handle), number(delivery), vec![0xa0, 1, delivery], number(0), truth(settled), truth(more)];
    frame(0, &[described(0x14, 0xd0, &list), message.to_vec()].concat())
}

/// A message with an id and a context, both of which may be empty.
fn message(id: &str, context: &str, body: &str) -> Vec<u8> {
    let header = described(0x70, 0xd0, &[YES.to_vec()]);
    let properties = if id.is_empty() { vec![] } else { described(0x73, 0xd0, &[text(id), NULL.to_vec(), text("to")]) };
    let entries = [text("tries"), number(1), text("traceparent"), text(context)];
    let application = if context.is_empty() { vec![] } else { described(0x74, 0xd1, &entries) };
    [header, properties, application, vec![0, 0x53, 0x75, 0xa0, body.len() as u8], body.as_bytes().to_vec()].concat()
}

/// `disposition` of what this side received, with an outcome.
fn disposition(first: u8, last: u8, outcome: Vec<u8>) -> Vec<u8> {
    performative(0x15, &[YES.to_vec(), number(first), number(last), YES.to_vec(), outcome])
}

fn outcome(descriptor: u8) -> Vec<u8> {
    described(descriptor, 0xd0, &[])
}

fn error(condition: &str, words: &str) -> Vec<u8> {
    described(0x1d, 0xd0, &[symbol(condition), text(words)])
}

fn open(product: &str) -> Vec<u8> {
    let properties =
        [&[0xc1][..], &[(symbol("product").len() + text(product).len() + 1) as u8, 2], &symbol("product"), &text(product)].concat();
    performative(0x10, &[vec![text("id")], vec![NULL.to_vec(); 8], vec![properties]].concat())
}

fn opened() -> Vec<(Side, Vec<u8>)> {
    vec![
        (C, b"AMQP\x03\x01\0\0".to_vec()),
        (S, [b"AMQP\x03\x01\0\0".to_vec(), frame(1, &described(0x40, 0xd0, &[symbol("PLAIN")]))].concat()),
        (C, frame(1, &described(0x41, 0xd0, &[symbol("PLAIN"), vec![0xa0, 3, 0, b'a', 0]]))),
        (S, frame(1, &described(0x44, 0xd0, &[vec![0x50, 0]]))),
        (C, [b"AMQP\0\x01\0\0".to_vec(), open("client"), performative(0x11, &[NULL.to_vec()])].concat()),
        (S, [b"AMQP\0\x01\0\0".to_vec(), open("RabbitMQ"), performative(0x11, &[number(0)])].concat()),
    ]
}

fn talk(turns: &[(Side, Vec<u8>)]) -> Transcript {
    let pieces: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    testing::run(Amqp1.decoder(SERVER, false).as_mut(), &pieces)
}

/// What is told, in a line each: `>` from the client, `<` from the server; a request's name, `#` and a letter for what joins it with its
/// response, or `!` if nothing does; what a response says, to whom.
fn told(transcript: &Transcript) -> Vec<String> {
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
    let mut joined: Vec<(bool, u64)> = Vec::new();
    let mut letter = |pushed: bool, correlation: u64| {
        let place = joined.iter().position(|known| *known == (pushed, correlation)).unwrap_or_else(|| {
            joined.push((pushed, correlation));
            joined.len() - 1
        });
        char::from(b'a' + place as u8)
    };
    let mut tell = |side: Side, head: &Head| match head {
        Head::Request(request) if request.answered => {
            format!("{} #{}", request.name, letter(side == S, request.correlation.expect("joined by number")))
        }
        Head::Request(request) => format!("{} !", request.name),
        Head::Response(response) => {
            let to = response.correlation.iter().chain(&response.also).map(|correlation| format!(" #{}", letter(side == C, *correlation)));
            let error = response.client_error.as_deref().map_or_else(String::new, |error| format!(" {error}"));
            format!("answer{}{error}", to.collect::<String>())
        }
    };
    let messages = transcript.messages.iter().filter_map(|message| Some((message.side, message.head.as_ref()?)));
    messages.map(|(side, head)| format!("{} {}", if side == C { '>' } else { '<' }, tell(side, head))).collect()
}

/// The same of what follows the set-up.
fn after(turns: &[(Side, Vec<u8>)]) -> Vec<String> {
    told(&talk(&[&opened(), turns].concat()))[2..].to_vec()
}

#[test]
fn a_message_tells_where_it_goes_what_it_is_and_what_it_carries() {
    let given = message("id-7", PARENT, "payload");
    let turns = [
        opened(),
        vec![
            (C, attach(0, false, "orders/4711")),
            (S, attach(3, true, "orders/4711")),
            (C, transfer(0, 0, false, false, &given)),
            (C, attach(1, true, "orders/4711/taken")),
            (S, attach(4, false, "orders/4711/taken")),
            (S, transfer(4, 0, false, false, &given)),
        ],
    ]
    .concat();
    let transcript = talk(&turns);
    let mut finder = Finder::default();
    finder.header(b"traceparent", PARENT.as_bytes());
    let requests: Vec<&Request> = transcript
        .messages
        .iter()
        .filter_map(|message| match &message.head {
            Some(Head::Request(request)) if !request.messages.is_empty() => Some(request),
            _ => None,
        })
        .collect();
    let id = requests[0].messages[0].id;
    assert!(id.is_some());
    let expected = |kind, name: &str, class: &'static str, address: &str, request: &Request| Request {
        attributes: vec![
            Attribute::both("messaging.system", "rabbitmq"),
            Attribute::both("messaging.operation.name", if kind == Kind::Publish { "publish" } else { "process" }),
            Attribute::both("messaging.operation.type", class),
            Attribute::both("messaging.destination.name", address.to_owned()),
            Attribute::both("messaging.destination.template", address.replace("4711", "{id}")),
            Attribute::both("messaging.message.id", "id-7".to_owned()),
            Attribute::both("messaging.message.body.size", 7),
        ],
        carried: finder.carried(),
        correlation: request.correlation,
        messages: Box::new([Message { id, carried: finder.carried() }]),
        ..Request::new(kind, name.to_owned())
    };
    assert_eq!(*requests[0], expected(Kind::Publish, "publish orders/{id}", "send", "orders/4711", requests[0]));
    assert_eq!(*requests[1], expected(Kind::Consume, "process orders/{id}/taken", "process", "orders/4711/taken", requests[1]));
}

#[test]
fn dispositions_answer_transfers_alone_or_together_with_their_outcome() {
    let plain = message("", "", "x");
    let send = |delivery: u8| transfer(0, delivery, false, false, &plain);
    let rejected = described(0x25, 0xd0, &[error("amqp:not-found", "words")]);
    let told = after(&[
        (C, attach(0, false, "q")),
        (S, attach(0, true, "q")),
        (C, [send(0), send(1), send(2), send(3), transfer(0, 4, true, false, &plain)].concat()),
        (S, [disposition(0, 1, outcome(0x24)), disposition(2, 2, rejected), disposition(3, 9, outcome(0x26))].concat()),
        (S, [attach(1, false, "r"), transfer(1, 0, false, false, &plain), transfer(1, 1, false, false, &plain)].concat()),
        (C, [disposition(0, 0, outcome(0x24)), disposition(1, 1, outcome(0x27))].concat()),
    ]);
    let expected = [
        "> attach q #b",
        "< answer #b",
        "> publish q #c",
        "> publish q #d",
        "> publish q #e",
        "> publish q #f",
        "> publish q !",
        "< answer #c #d",
        "< answer #e amqp:not-found",
        "< answer #f released",
        "< process r #g",
        "< process r #h",
        "> answer #g",
        "> answer #h modified",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_message_in_several_frames_is_told_once() {
    let long = message("", "", "first part");
    let told = after(&[
        (C, attach(0, false, "q")),
        (C, [transfer(0, 0, false, true, &long), transfer(0, 0, false, true, b"second"), transfer(0, 0, false, false, b"third")].concat()),
        (C, transfer(0, 1, false, false, &long)),
    ]);
    assert_eq!(told, ["> attach q #b", "> publish q #c", "> publish q #d"]);
}

#[test]
fn an_end_with_an_error_answers_what_waits() {
    let told = after(&[(C, attach(0, false, "missing")), (S, performative(0x17, &[error("amqp:not-found", "no queue")]))]);
    assert_eq!(told, ["> attach missing #b", "< answer #b amqp:not-found"]);
    let mut refused = opened();
    refused[3] = (S, frame(1, &described(0x44, 0xd0, &[vec![0x50, 1]])));
    refused.truncate(4);
    assert_eq!(self::told(&talk(&refused)), ["> connect #a", "< answer #a auth"]);
    assert_eq!(after(&[(C, vec![0, 0, 0, 8, 2, 0, 0, 0]), (S, performative(0x18, &[NULL.to_vec()]))]).len(), 0);
}

#[test]
fn secrets_never_leave_the_parser() {
    let secret = "c4n4ry";
    let login = frame(1, &described(0x41, 0xd0, &[symbol("PLAIN"), [&[0xa0, 6][..], secret.as_bytes()].concat(), text(secret)]));
    let hidden = [
        described(0x72, 0xd1, &[symbol(secret), text(secret)]),
        described(0x74, 0xd1, &[text("authorization"), text(secret)]),
        vec![0, 0x53, 0x75, 0xa0, 6],
        secret.as_bytes().to_vec(),
    ]
    .concat();
    let transcript = talk(&[
        (C, b"AMQP\x03\x01\0\0".to_vec()),
        (C, login),
        (C, [b"AMQP\0\x01\0\0".to_vec(), open(secret)].concat()),
        (S, open(secret)),
        (C, [attach(0, false, "q"), transfer(0, 0, false, false, &hidden)].concat()),
        (S, [attach(0, false, "q"), transfer(0, 0, false, false, &hidden)].concat()),
        (S, performative(0x17, &[error("amqp:not-found", secret)])),
    ]);
    let expected = ["> connect #a", "< answer #a", "> attach q #b", "> publish q #c", "< process q #d", "< answer #b #c amqp:not-found"];
    assert_eq!(told(&transcript), expected);
    assert!(!format!("{transcript:?}").contains(secret), "{transcript:#?}");
}

#[test]
fn greetings_and_frames_are_recognised() {
    let heartbeat = vec![0, 0, 0, 8, 2, 0, 0, 0];
    for (side, bytes, expected) in [
        (C, b"AMQP\0\x01\0\0".to_vec(), Guess::Yes),
        (C, b"AMQP\x03\x01\0\0".to_vec(), Guess::Yes),
        (S, b"AMQP\x03\x01\0\0".to_vec(), Guess::Likely),
        (C, b"AMQP\0\0\x09\x01".to_vec(), Guess::No),
        (C, attach(0, false, "q"), Guess::Likely),
        (C, [attach(0, false, "q"), heartbeat.clone()].concat(), Guess::Yes),
        (S, heartbeat, Guess::Likely),
        (C, vec![0, 0, 0, 20, 2, 0, 0, 0, 0, 0x53, 0x70, 0xd0], Guess::No),
        (C, vec![0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe], Guess::No),
        (C, b"GET / HTTP/1.1\r\n".to_vec(), Guess::No),
    ] {
        assert_eq!(Amqp1.detect(side, &bytes), expected, "{bytes:?}");
    }
}

fn any_turn() -> impl Strategy<Value = (Side, Vec<u8>)> {
    let side = || prop::sample::select(vec![C, S]);
    let given = || {
        prop::sample::select(vec![message("", "", ""), message("id", PARENT, "body"), message("id", "", "longer body"), b"odd".to_vec()])
    };
    prop_oneof![
        (side(), 0u8..3, any::<bool>()).prop_map(|(side, handle, receives)| (side, attach(handle, receives, "q.7"))),
        (side(), 0u8..3, 0u8..4, any::<bool>(), any::<bool>(), given())
            .prop_map(|(side, handle, delivery, settled, more, given)| (side, transfer(handle, delivery, settled, more, &given))),
        (side(), 0u8..4, 0u8..4, 0x23u8..0x28).prop_map(|(side, first, last, state)| (side, disposition(first, last, outcome(state)))),
        prop::sample::select(vec![0usize, 1, 2, 3, 4, 5]).prop_map(|index| opened()[index].clone()),
        Just((S, performative(0x18, &[error("amqp:internal-error", "words")]))),
    ]
}

proptest! {
    #[test]
    fn cuts_change_nothing(turns in prop::collection::vec(any_turn(), 1..12), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
        let mut turns = turns;
        for (place, byte) in damage {
            let turn = &mut place.get_mut(&mut turns).1;
            *place.get_mut(turn.as_mut_slice()) = byte;
        }
        let single: Vec<_> = turns.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte.to_vec()))).collect();
        prop_assert_eq!(talk(&single), talk(&turns));
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        testing::fuzz(&Amqp1, &bytes);
    }
}
