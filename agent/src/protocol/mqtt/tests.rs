//! Conversations as a specification: what each side says, and the messages that become of it.
use super::Mqtt;
use crate::protocol::attribute::Attribute;
use crate::protocol::context::Finder;
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Kind, Message, Protocol, Request, Side};
use proptest::prelude::*;

const C: Side = Side::Client;
const S: Side = Side::Server;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    loop {
        let more = rest >> 7;
        bytes.push((rest & 0x7f) as u8 | if more > 0 { 0x80 } else { 0 });
        rest = more;
        if rest == 0 {
            break;
        }
    }
    [bytes, body.to_vec()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn connect(level: u8) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    packet(0x10, &[text("MQTT"), vec![level, 0xc2, 0, 60], properties.to_vec(), text("client"), text("user"), text("password")].concat())
}

/// `PUBLISH` with its flags, an id if there are to be such, and for version 5 properties.
fn publish(flags: u8, topic: &str, id: u16, properties: Option<&[u8]>, payload: &str) -> Vec<u8> {
    let id = if flags & 6 == 0 { vec![] } else { id.to_be_bytes().to_vec() };
    let properties = properties.map_or_else(Vec::new, |inner| packet(0, inner)[1..].to_vec());
    packet(0x30 | flags, &[text(topic), id, properties, payload.as_bytes().to_vec()].concat())
}

fn user(name: &str, value: &str) -> Vec<u8> {
    [vec![38], text(name), text(value)].concat()
}

/// `PUBACK` and its like, with a reason where one is given.
fn answer(first: u8, id: u16, code: Option<u8>) -> Vec<u8> {
    packet(first, &[&id.to_be_bytes()[..], code.as_slice()].concat())
}

fn talk(joined: bool, turns: &[(Side, Vec<u8>)]) -> Transcript {
    let pieces: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    testing::run(Mqtt.decoder(SERVER, joined).as_mut(), &pieces)
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

fn requests(transcript: &Transcript) -> Vec<&Request> {
    let request = |head: &'_ Head| matches!(head, Head::Request(_));
    let heads = transcript.messages.iter().filter_map(|message| message.head.as_ref()).filter(|head| request(head));
    heads.filter_map(|head| if let Head::Request(request) = head { Some(request) } else { None }).collect()
}

#[test]
fn a_publish_and_its_delivery_tell_what_they_carry() {
    let properties = [user("traceparent", PARENT), user("other", "x"), vec![9], text("4711")].concat();
    let transcript = talk(
        false,
        &[
            (C, connect(5)),
            (S, packet(0x20, &[0, 0, 0])),
            (C, publish(2, "home/4711/door", 7, Some(&properties), "open")),
            (S, answer(0x40, 7, None)),
            (S, publish(2, "home/4711/door", 1, Some(&properties), "open")),
            (C, answer(0x40, 1, Some(0))),
        ],
    );
    let mut finder = Finder::default();
    finder.header(b"traceparent", PARENT.as_bytes());
    let requests = requests(&transcript);
    let id = requests[1].messages[0].id;
    assert!(id.is_some());
    for (request, kind, name, class) in
        [(requests[1], Kind::Publish, "publish", "send"), (requests[2], Kind::Consume, "process", "process")]
    {
        let expected = Request {
            attributes: vec![
                Attribute::both("messaging.system", "mqtt"),
                Attribute::both("messaging.operation.name", name),
                Attribute::both("messaging.operation.type", class),
                Attribute::both("messaging.destination.name", "home/4711/door".to_owned()),
                Attribute::both("messaging.destination.template", "home/{id}/door".to_owned()),
                Attribute::both("messaging.message.body.size", 4),
            ],
            carried: finder.carried(),
            correlation: request.correlation,
            messages: Box::new([Message { id, carried: finder.carried() }]),
            ..Request::new(kind, format!("{name} home/{{id}}/door"))
        };
        assert_eq!(*request, expected);
    }
    assert_eq!(told(&transcript)[2..], ["> publish home/{id}/door #b", "< answer #b", "< process home/{id}/door #c", "> answer #c"]);
}

#[test]
fn each_quality_of_service_is_answered_in_its_own_way_in_both_directions() {
    let three = |flags, id| publish(flags, "t", id, None, "x");
    let transcript = talk(
        false,
        &[
            (C, connect(4)),
            (S, packet(0x20, &[0, 0])),
            (C, [three(0, 0), three(2, 1), three(4, 2)].concat()),
            (S, [three(0, 0), three(2, 1), three(4, 2)].concat()),
            (C, [three(0xa, 1), answer(0x50, 2, None), answer(0x40, 1, None)].concat()),
            (S, [answer(0x40, 1, None), answer(0x50, 2, None), answer(0x62, 2, None)].concat()),
            (C, [answer(0x62, 2, None), answer(0x70, 2, None), answer(0x40, 9, None)].concat()),
            (S, answer(0x70, 2, None)),
        ],
    );
    let expected = [
        "> connect #a",
        "< answer #a",
        "> publish t !",
        "> publish t #b",
        "> publish t #c",
        "< process t !",
        "< process t #d",
        "< process t #e",
        "> answer #d",
        "< answer #b",
        "> answer #e",
        "< answer #c",
    ];
    assert_eq!(told(&transcript), expected);
}

#[test]
fn reasons_are_told_by_their_names() {
    let subscribe = |id: u16| packet(0x82, &[&id.to_be_bytes()[..], &[0], &text("home/#"), &[1]].concat());
    let transcript = talk(
        false,
        &[
            (C, connect(5)),
            (S, packet(0x20, &[0, 0, 0])),
            (C, [subscribe(1), subscribe(2)].concat()),
            (S, [packet(0x90, &[0, 1, 0, 1]), packet(0x90, &[0, 2, 0, 0x87])].concat()),
            (C, packet(0xa2, &[&[0, 3, 0][..], &text("home/#")].concat())),
            (S, packet(0xb0, &[0, 3, 0, 0x11])),
            (C, [publish(2, "t", 4, Some(&[]), ""), publish(4, "t", 5, Some(&[]), ""), publish(2, "t", 6, Some(&[]), "")].concat()),
            (S, [answer(0x40, 4, Some(0x10)), answer(0x50, 5, Some(0x97))].concat()),
            (S, packet(0xe0, &[0x8e])),
        ],
    );
    let expected = [
        "> connect #a",
        "< answer #a",
        "> subscribe home/# #b",
        "> subscribe home/# #c",
        "< answer #b",
        "< answer #c Not authorized",
        "> unsubscribe home/# #d",
        "< answer #d",
        "> publish t #e",
        "> publish t #f",
        "> publish t #g",
        "< answer #e",
        "< answer #f Quota exceeded",
        "< answer #g Session taken over",
    ];
    assert_eq!(told(&transcript), expected);
    for (level, code, expected) in [(4, 5, " Not authorized"), (4, 0, ""), (5, 0x86, " Bad User Name or Password")] {
        let connack = if level == 5 { vec![0, code, 0] } else { vec![0, code] };
        assert_eq!(told(&talk(false, &[(C, connect(level)), (S, packet(0x20, &connack))]))[1], format!("< answer #a{expected}"));
    }
}

#[test]
fn heartbeats_and_logins_yield_nothing() {
    let transcript = talk(
        false,
        &[
            (C, packet(0xc0, &[])),
            (S, packet(0xd0, &[])),
            (S, packet(0xf0, &[0x18, 0])),
            (C, packet(0xf0, &[0x18, 0])),
            (C, packet(0xe0, &[])),
        ],
    );
    assert_eq!((transcript.messages.len(), told(&transcript)), (5, vec![]));
}

#[test]
fn an_alias_stands_for_its_topic_on_its_side() {
    let alias = [35, 0, 3];
    let transcript = talk(
        false,
        &[
            (C, [connect(5), publish(0, "long/topic", 0, Some(&alias), ""), publish(0, "", 0, Some(&alias), "")].concat()),
            (S, publish(0, "", 0, Some(&alias), "")),
        ],
    );
    assert_eq!(told(&transcript), ["> connect #a", "> publish long/topic !", "> publish long/topic !"]);
}

#[test]
fn of_an_unknown_version_only_what_can_be_nothing_else_is_read() {
    let five = publish(0, "t", 0, Some(&user("traceparent", PARENT)), "x");
    let three = publish(0, "t", 0, None, "\u{26}plain payload that is long enough for all its pretended properties");
    let transcript = talk(true, &[(C, five), (C, three), (C, publish(0, "t", 0, None, ""))]);
    let carried: Vec<_> = requests(&transcript).iter().map(|request| (request.carried.is_some(), request.attributes.len())).collect();
    assert_eq!(carried, [(true, 4), (false, 4), (false, 4)]);
}

#[test]
fn secrets_never_leave_the_parser() {
    let secret = "c4n4ry";
    for level in [4, 5] {
        let properties = [user(secret, secret), user("authorization", secret), vec![9], text(secret), vec![3], text(secret)].concat();
        let properties = (level == 5).then_some(&properties[..]);
        let login = [
            text("MQTT"),
            vec![level, 0xc6, 0, 60],
            if level == 5 { packet(0, &[vec![21], text(secret), vec![22], text(secret)].concat())[1..].to_vec() } else { vec![] },
            text(secret),
            if level == 5 { vec![0] } else { vec![] },
            text(secret),
            text(secret),
            text(secret),
            text(secret),
        ];
        let reason = packet(0, &[vec![31], text(secret)].concat())[1..].to_vec();
        let mut turns = vec![
            (C, packet(0x10, &login.concat())),
            (C, publish(2, "t", 1, properties, secret)),
            (S, publish(2, "t", 1, properties, secret)),
        ];
        if level == 5 {
            turns.push((S, packet(0xf0, &[vec![0x18], reason.clone()].concat())));
            turns.push((S, packet(0x20, &[vec![0, 0x87], reason.clone()].concat())));
            turns.push((S, packet(0x40, &[vec![0, 1, 0x87], reason.clone()].concat())));
            turns.push((S, packet(0xe0, &[vec![0x87], reason].concat())));
        }
        let transcript = talk(false, &turns);
        assert_eq!(transcript.messages.len(), turns.len());
        assert!(!format!("{transcript:?}").contains(secret), "{transcript:#?}");
    }
}

#[test]
fn greetings_are_proof_and_other_packets_need_the_other_side() {
    for (side, bytes, expected) in [
        (C, connect(4), Guess::Yes),
        (C, connect(5), Guess::Yes),
        (C, packet(0x10, &[text("MQIsdp"), vec![3, 2, 0, 60], text("c")].concat()), Guess::Yes),
        (C, connect(6), Guess::No),
        (S, connect(4), Guess::No),
        (S, packet(0x20, &[0, 0]), Guess::Likely),
        (C, packet(0xc0, &[]), Guess::Likely),
        (S, packet(0xd0, &[]), Guess::Likely),
        (C, [publish(0, "t", 0, None, "x"), packet(0xc0, &[])].concat(), Guess::Likely),
        (C, [publish(0, "t", 0, None, "x"), b"nonsense".to_vec()].concat(), Guess::No),
        (C, publish(0, "t#", 0, None, "x"), Guess::No),
        (C, b"GET / HTTP/1.1\r\n".to_vec(), Guess::No),
        (C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), Guess::No),
        (C, b"PUB a 5\r\nhello\r\n".to_vec(), Guess::No),
        (C, b"PING\r\n".to_vec(), Guess::No),
        (S, b":1000\r\n".to_vec(), Guess::No),
        (C, b"P\0\0\0\x20select".to_vec(), Guess::No),
        (C, b"P\xac\xed\0\x05w\"".to_vec(), Guess::No),
        (C, vec![0x16, 3, 1, 2, 0], Guess::No),
        (C, b"AMQP\0\0\x09\x01".to_vec(), Guess::No),
        (C, vec![0x10], Guess::Maybe),
    ] {
        assert_eq!(Mqtt.detect(side, &bytes), expected, "{bytes:?}");
    }
}

fn any_turn() -> impl Strategy<Value = (Side, Vec<u8>)> {
    let topic = || prop::sample::select(vec!["t", "home/7/door", ""]);
    let side = || prop::sample::select(vec![C, S]);
    let properties =
        || prop::sample::select(vec![vec![], user("traceparent", PARENT), vec![35, 0, 1], [user("a", "b"), vec![9, 0, 1, 7]].concat()]);
    prop_oneof![
        (side(), prop::sample::select(vec![0u8, 1, 2, 4, 10]), topic(), 1u16..4, properties(), "[a-z&]{0,80}")
            .prop_map(|(side, flags, topic, id, properties, payload)| (side, publish(flags, topic, id, Some(&properties), &payload))),
        (side(), prop::sample::select(vec![0u8, 2, 4]), topic(), 1u16..4, "[a-z&]{0,80}")
            .prop_map(|(side, flags, topic, id, payload)| (side, publish(flags, topic, id, None, &payload))),
        (
            side(),
            prop::sample::select(vec![0x40u8, 0x50, 0x62, 0x70]),
            1u16..4,
            prop::option::of(prop::sample::select(vec![0u8, 0x10, 0x87]))
        )
            .prop_map(|(side, first, id, code)| (side, answer(first, id, code))),
        prop::sample::select(vec![
            (C, connect(4)),
            (C, connect(5)),
            (S, packet(0x20, &[0, 0])),
            (S, packet(0xe0, &[0x8e])),
            (C, packet(0xc0, &[]))
        ]),
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
        prop_assert_eq!(talk(false, &single), talk(false, &turns));
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        testing::fuzz(&Mqtt, &bytes);
    }
}
