//! Conversations as a specification: what each side says, and the messages that become of it.
use super::Amqp;
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::context::Finder;
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Kind, Message, Protocol, Request, Side};
use proptest::prelude::*;

const C: Side = Side::Client;
const S: Side = Side::Server;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &channel.to_be_bytes(), &(payload.len() as u32).to_be_bytes(), payload, &[0xce]].concat()
}

fn method(channel: u16, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes()[..], &number.to_be_bytes(), arguments].concat())
}

/// A short string.
fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8][..], text.as_bytes()].concat()
}

/// A long string or a table.
fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// A table of texts.
fn table(entries: &[(&str, &str)]) -> Vec<u8> {
    long(&entries.iter().flat_map(|(name, value)| [short(name), b"S".to_vec(), long(value.as_bytes())].concat()).collect::<Vec<_>>())
}

fn named(names: &[&str], bits: u8) -> Vec<u8> {
    [vec![0, 0], names.iter().flat_map(|name| short(name)).collect(), vec![bits], long(&[])].concat()
}

/// Header and body of a content, with headers and an id, both of which may be empty.
fn content(channel: u16, headers: &[(&str, &str)], id: &str, body: &str) -> Vec<u8> {
    let mut header = [&[0, 60, 0, 0][..], &(body.len() as u64).to_be_bytes()].concat();
    let flags = if headers.is_empty() { 0 } else { 0x2000 } | if id.is_empty() { 0 } else { 0x0080 } | 0x1000;
    header.extend_from_slice(&u16::to_be_bytes(flags));
    if !headers.is_empty() {
        let others = [short("deep"), b"F".to_vec(), table(&[("traceparent", "nested")]), short("n"), b"I".to_vec(), vec![0; 4]].concat();
        let texts = table(headers);
        header.extend_from_slice(&long(&[&others, &texts[4..]].concat()));
    }
    header.push(2);
    if !id.is_empty() {
        header.extend_from_slice(&short(id));
    }
    let mut all = frame(2, channel, &header);
    // In two frames, as one with a small maximum would send it.
    let (first, second) = body.as_bytes().split_at(body.len() / 2);
    for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
        all.extend(frame(3, channel, part));
    }
    all
}

fn publish(channel: u16, exchange: &str, key: &str, mandatory: bool) -> Vec<u8> {
    method(channel, 60, 40, &[vec![0, 0], short(exchange), short(key), vec![u8::from(mandatory)]].concat())
}

fn deliver(channel: u16, consumer: &str, tag: u64, exchange: &str, key: &str) -> Vec<u8> {
    method(channel, 60, 60, &[short(consumer), tag.to_be_bytes().to_vec(), vec![0], short(exchange), short(key)].concat())
}

/// `basic.ack`, `nack` or `reject`.
fn settle(channel: u16, number: u16, tag: u64, bits: u8) -> Vec<u8> {
    method(channel, 60, number, &[&tag.to_be_bytes()[..], &[bits]].concat())
}

/// `connection.close` or `channel.close`.
fn close(channel: u16, class: u16, number: u16, code: u16) -> Vec<u8> {
    method(channel, class, number, &[&code.to_be_bytes()[..], &short("reason"), &[0, 0, 0, 0]].concat())
}

fn start() -> Vec<u8> {
    let nested = [short("capabilities"), b"F".to_vec(), table(&[("product", "x")])].concat();
    let properties = [nested, table(&[("product", "RabbitMQ"), ("version", "3.10.8")])[4..].to_vec()].concat();
    method(0, 10, 10, &[vec![0, 9], long(&properties), long(b"PLAIN"), long(b"en_US")].concat())
}

/// A connection up to its first channel.
fn opened() -> Vec<(Side, Vec<u8>)> {
    let login = [table(&[("product", "test")]), short("PLAIN"), long(b"\0guest\0guest"), short("en_US")].concat();
    vec![
        (C, b"AMQP\0\0\x09\x01".to_vec()),
        (S, start()),
        (C, method(0, 10, 11, &login)),
        (S, method(0, 10, 30, &[0, 0, 0, 2, 0, 0, 0, 60])),
        (C, [method(0, 10, 31, &[0, 0, 0, 2, 0, 0, 0, 60]), method(0, 10, 40, &[short("/"), vec![0, 0]].concat())].concat()),
        (S, method(0, 10, 41, &[0])),
        (C, method(1, 20, 10, &[0])),
        (S, method(1, 20, 11, &[0, 0, 0, 0])),
    ]
}

fn talk(turns: &[(Side, Vec<u8>)]) -> Transcript {
    let pieces: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    testing::run(Amqp.decoder(SERVER, false).as_mut(), &pieces)
}

fn value(attributes: &[Attribute], key: &str) -> String {
    attributes.iter().find(|attribute| attribute.key == key).map_or_else(String::new, |attribute| match &attribute.value {
        Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    })
}

/// What is told, in a line each: `>` from the client, `<` from the server; a request's name, `#` and a letter for what joins it with its
/// response, or `!` if nothing does; what a response says, to whom.
fn told(transcript: &Transcript) -> Vec<String> {
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
    let mut joined: Vec<u64> = Vec::new();
    let mut letter = |correlation: u64| {
        // The set-up comes first in nearly all of them.
        if correlation == 1 {
            return '0';
        }
        let place = joined.iter().position(|known| *known == correlation).unwrap_or_else(|| {
            joined.push(correlation);
            joined.len() - 1
        });
        char::from(b'a' + place as u8)
    };
    let mut tell = |head: &Head| match head {
        Head::Request(request) => {
            let letter = letter(request.correlation.expect("all are joined by number"));
            format!("{} {}", request.name, if request.answered { format!("#{letter}") } else { "!".to_owned() })
        }
        Head::Response(response) => {
            let to: Vec<_> =
                response.correlation.iter().chain(&response.also).map(|correlation| format!("#{}", letter(*correlation))).collect();
            let error = response.client_error.as_deref().map_or_else(String::new, |error| format!(" {error}"));
            format!("answer {}{error}{}", to.join(" "), if response.idle { " idle" } else { "" })
        }
    };
    let messages = transcript.messages.iter().filter_map(|message| Some((message.side, message.head.as_ref()?)));
    messages.map(|(side, head)| format!("{} {}", if side == C { '>' } else { '<' }, tell(head))).collect()
}

/// The same of what follows the first channel.
fn after(turns: &[(Side, Vec<u8>)]) -> Vec<String> {
    told(&talk(&[&opened(), turns].concat()))[2..].to_vec()
}

#[test]
fn a_message_tells_where_it_goes_what_it_is_and_what_it_carries() {
    let context = [("traceparent", PARENT)];
    let consume = [vec![0, 0], short("billing"), short("tag"), vec![0], long(&[])].concat();
    let transcript = talk(
        &[
            opened(),
            vec![
                (C, [publish(1, "orders", "order.4711.created", false), content(1, &context, "id-7", "payload")].concat()),
                (C, method(1, 60, 20, &consume)),
                (S, method(1, 60, 21, &short("tag"))),
                (S, [deliver(1, "tag", 5, "orders", "order.4711.created"), content(1, &context, "id-7", "payload")].concat()),
            ],
        ]
        .concat(),
    );
    let mut finder = Finder::default();
    finder.header(b"traceparent", PARENT.as_bytes());
    let mut requests = transcript.messages.iter().filter_map(|message| match &message.head {
        Some(Head::Request(request)) if request.messages.len() == 1 => Some(request),
        _ => None,
    });
    let (published, delivered) = (requests.next().expect("a publish"), requests.next().expect("a delivery"));
    let id = published.messages[0].id;
    assert!(id.is_some());
    let attributes = |name, class, queue: &str, tag: Option<i64>| {
        let mut attributes = vec![
            Attribute::both("messaging.system", "rabbitmq"),
            Attribute::both("messaging.operation.name", name),
            Attribute::both("messaging.operation.type", class),
            Attribute::both("messaging.destination.name", format!("orders:order.4711.created{queue}")),
            Attribute::both("messaging.destination.template", format!("orders:order.{{id}}.created{queue}")),
            Attribute::both("messaging.rabbitmq.destination.routing_key", "order.4711.created"),
        ];
        attributes.extend(tag.map(|tag| Attribute::both("messaging.rabbitmq.message.delivery_tag", tag)));
        attributes.push(Attribute::both("messaging.message.id", "id-7"));
        attributes.push(Attribute::both("messaging.message.body.size", 7));
        attributes
    };
    let expected = |kind, name: &'static str, attributes, request: &Request| Request {
        attributes,
        carried: finder.carried(),
        correlation: request.correlation,
        answered: kind == Kind::Consume,
        messages: Box::new([Message { id, carried: finder.carried() }]),
        ..Request::new(kind, name)
    };
    let name = "publish orders:order.{id}.created";
    assert_eq!(*published, expected(Kind::Publish, name, attributes("publish", "send", "", None), published));
    let name = "process orders:order.{id}.created:billing";
    assert_eq!(*delivered, expected(Kind::Consume, name, attributes("process", "process", ":billing", Some(5)), delivered));
}

#[test]
fn a_connection_is_set_up_once_and_its_end_answers_what_waits() {
    assert_eq!(told(&talk(&opened())), ["> connect #0", "< answer #0"]);
    let mut refused = opened();
    refused.truncate(5);
    refused.push((S, close(0, 10, 50, 403)));
    assert_eq!(told(&talk(&refused)), ["> connect #0", "< answer #0 ACCESS_REFUSED"]);
    let told = after(&[
        (C, method(1, 85, 10, &[0])),
        (S, method(1, 85, 11, &[])),
        (C, [publish(1, "e", "k", false), content(1, &[], "", ""), method(1, 50, 10, &named(&["q"], 0))].concat()),
        (S, close(0, 10, 50, 320)),
        (C, method(0, 10, 51, &[])),
    ]);
    assert_eq!(told, ["> publish e:k #a", "> queue.declare q #b", "< answer #b #a CONNECTION_FORCED"]);
}

#[test]
fn calls_are_named_and_what_sets_a_channel_up_is_not_told() {
    let told = after(&[
        (C, method(1, 40, 10, &[vec![0, 0], short("orders"), short("topic"), vec![0], long(&[])].concat())),
        (S, method(1, 40, 11, &[])),
        (C, method(1, 50, 10, &named(&[""], 0))),
        (S, method(1, 50, 11, &[short("amq.gen-JzTY20BRgKO"), vec![0; 8]].concat())),
        (C, method(1, 50, 20, &named(&["", "orders", "#"], 0))),
        (S, method(1, 50, 21, &[])),
        (C, method(1, 60, 10, &[0, 0, 0, 0, 0, 1, 0])),
        (S, method(1, 60, 11, &[])),
        (C, method(1, 50, 10, &named(&["q.7"], 1 << 4))),
        (C, method(1, 50, 30, &[vec![0, 0], short("missing"), vec![0]].concat())),
        (S, close(1, 20, 40, 404)),
        (C, method(1, 20, 41, &[])),
        (C, frame(8, 0, &[])),
        (S, frame(8, 0, &[])),
    ]);
    let expected = [
        "> exchange.declare orders #a",
        "< answer #a",
        "> queue.declare #b",
        "< answer #b",
        "> queue.bind #c",
        "< answer #c",
        "> queue.declare q.{id} !",
        "> queue.purge missing #e",
        "< answer #e NOT_FOUND",
    ];
    assert_eq!(told, expected);
}

#[test]
fn confirms_answer_publishes_alone_or_together_and_a_return_fails_one() {
    let publish = |key: &str| [publish(1, "", key, true), content(1, &[], "", "x")].concat();
    let told = after(&[
        (C, publish("before")),
        (C, method(1, 85, 10, &[1])),
        (C, ["a", "b", "c", "d", "e"].map(publish).concat()),
        (S, settle(1, 80, 2, 1)),
        (
            S,
            [
                method(1, 60, 50, &[&312u16.to_be_bytes()[..], &short("NO_ROUTE"), &short(""), &short("c")].concat()),
                content(1, &[], "", "x"),
            ]
            .concat(),
        ),
        (S, settle(1, 80, 3, 0)),
        (S, settle(1, 120, 0, 1)),
        (S, settle(1, 80, 9, 0)),
    ]);
    let expected = [
        "> publish before !",
        "> publish a #b",
        "> publish b #c",
        "> publish c #d",
        "> publish d #e",
        "> publish e #f",
        "< answer #b #c",
        "< answer #d NO_ROUTE",
        "< answer #e #f nack",
    ];
    assert_eq!(told, expected);
}

#[test]
fn consumers_settle_deliveries_alone_or_together() {
    let deliver = |tag: u64, consumer: &str| [deliver(1, consumer, tag, "", "q"), content(1, &[], "", "")].concat();
    let consume = |tag: &str, bits: u8| [vec![0, 0], short("q"), short(tag), vec![bits], long(&[])].concat();
    let told = after(&[
        (C, method(1, 60, 20, &consume("", 0))),
        (S, method(1, 60, 21, &short("amq.ctag-1"))),
        (C, method(1, 60, 20, &consume("free", 0b1010))),
        (
            S,
            [deliver(1, "amq.ctag-1"), deliver(2, "amq.ctag-1"), deliver(3, "free"), deliver(4, "amq.ctag-1"), deliver(5, "amq.ctag-1")]
                .concat(),
        ),
        (C, settle(1, 80, 2, 1)),
        (C, settle(1, 90, 4, 1)),
        (C, settle(1, 120, 5, 2)),
        (C, settle(1, 80, 5, 0)),
    ]);
    let expected = [
        "> basic.consume q #a",
        "< answer #a",
        "> basic.consume q !",
        "< process q #c",
        "< process q #d",
        "< process q !",
        "< process q #f",
        "< process q #g",
        "> answer #c #d",
        "> answer #f reject",
        "> answer #g nack",
    ];
    assert_eq!(told, expected);
}

#[test]
fn of_unknown_consumers_those_are_waited_for_that_acknowledge() {
    let deliver = |tag: u64| [deliver(1, "old", tag, "", "q"), content(1, &[], "", "")].concat();
    let pieces = [(S, deliver(1)), (C, settle(1, 80, 1, 0)), (S, deliver(2)), (C, settle(1, 80, 2, 0))];
    let pieces: Vec<_> = pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let told = told(&testing::run(Amqp.decoder(SERVER, true).as_mut(), &pieces));
    assert_eq!(told, ["< process q !", "< process q #b", "> answer #b"]);
}

#[test]
fn a_message_that_is_asked_for_is_told_and_none_is_idle() {
    let get = method(1, 60, 70, &[vec![0, 0], short("q"), vec![1]].concat());
    let got = method(1, 60, 71, &[7u64.to_be_bytes().to_vec(), vec![0], short("orders"), short("k"), vec![0; 4]].concat());
    let turns = [
        opened(),
        vec![
            (C, get.clone()),
            (S, method(1, 60, 72, &short(""))),
            (C, get),
            (S, [got, content(1, &[("traceparent", PARENT)], "id-7", "body")].concat()),
        ],
    ]
    .concat();
    let transcript = talk(&turns);
    assert_eq!(told(&transcript)[2..], ["> receive q #a", "< answer #a idle", "> receive q #b", "< answer #b"]);
    let Some(Head::Response(found)) = &transcript.messages.last().expect("an answer").head else { panic!("{transcript:?}") };
    let described = ["messaging.rabbitmq.destination.routing_key", "messaging.message.id"].map(|key| value(&found.attributes, key));
    assert_eq!(described, ["k", "id-7"]);
    assert!(found.messages[0].id.is_some() && found.messages[0].carried.is_some());
}

#[test]
fn frames_of_other_channels_may_stand_between_those_of_a_message() {
    let other = [publish(2, "", "other", false), content(2, &[], "", "12345678")].concat();
    let whole = [publish(1, "", "one", false), content(1, &[], "", "12345678")].concat();
    let method_len = publish(1, "", "one", false).len();
    let header_len = method_len + content(1, &[], "", "").len();
    let body_len = header_len + 12;
    for cut in [method_len, header_len, body_len] {
        let mixed = [&whole[..cut], &other, &whole[cut..]].concat();
        let mut told = after(&[(C, mixed)]);
        told.sort();
        assert_eq!(told, ["> publish one !", "> publish other !"], "{cut}");
    }
}

#[test]
fn a_body_that_was_never_captured_is_stepped_over() {
    let body = "x".repeat(300_000);
    let message = [publish(1, "", "one", false), content(1, &[], "", &body)].concat();
    let header = publish(1, "", "one", false).len() + content(1, &[], "", "").len();
    let mut decoder = Amqp.decoder(SERVER, false);
    let transcript = testing::run(decoder.as_mut(), &[(C, &message[..header])]);
    assert_eq!(transcript.messages.len(), 2);
    // Three frames of at most 128 KiB.
    let take = decoder.unseen(C).expect("a body is under way");
    assert_eq!((take.used, take.end), (300_000 + 3 * 8, true));
    assert_eq!(decoder.unseen(C), None);
}

#[test]
fn after_a_loss_the_next_method_is_found_and_nothing_is_paired_across() {
    let bytes = [&b"dy of\x01\x00 a message\xce\x01\x01"[..], &publish(1, "", "q", false), &content(1, &[], "", "body")].concat();
    for cut in 0..bytes.len() {
        let mut decoder = Amqp.decoder(SERVER, true);
        decoder.lost(C);
        let told = told(&testing::run(decoder.as_mut(), &[(C, &bytes[..cut]), (C, &bytes[cut..])]));
        assert_eq!(told, ["> publish q !"], "{cut}");
    }
}

#[test]
fn secrets_never_leave_the_parser() {
    let secret = "c4n4ry";
    let login = [table(&[("product", secret)]), short("PLAIN"), long(secret.as_bytes()), short(secret)].concat();
    let error = [&404u16.to_be_bytes()[..], &short(secret), &[0, 0, 0, 0]].concat();
    let headers = [("authorization", secret), ("x-token", secret)];
    let transcript = talk(&[
        (C, b"AMQP\0\0\x09\x01".to_vec()),
        (
            S,
            method(
                0,
                10,
                10,
                &[vec![0, 9], table(&[("product", secret), ("cluster_name", secret)]), long(b"PLAIN"), long(b"en_US")].concat(),
            ),
        ),
        (C, method(0, 10, 11, &login)),
        (S, method(0, 10, 20, &long(secret.as_bytes()))),
        (C, method(0, 10, 21, &long(secret.as_bytes()))),
        (C, method(0, 10, 70, &[long(secret.as_bytes()), short(secret)].concat())),
        (C, [publish(1, "e", "k", false), content(1, &headers, "", secret)].concat()),
        (S, [deliver(1, secret, 1, "e", "k"), content(1, &headers, "", secret)].concat()),
        (C, method(1, 50, 10, &[vec![0, 0], short("q"), vec![0], table(&[("x", secret)])].concat())),
        (S, method(1, 20, 40, &error)),
        (S, method(0, 10, 50, &error)),
    ]);
    assert_eq!(told(&transcript).len(), 6);
    assert!(!format!("{transcript:?}").contains(secret), "{transcript:#?}");
}

#[test]
fn greetings_and_frames_are_recognised() {
    let ack = settle(1, 80, 1, 0);
    let heartbeat = frame(8, 0, &[]);
    let message = [publish(1, "", "q", false), content(1, &[], "", "body")].concat();
    for (side, bytes, expected) in [
        (C, b"AMQP\0\0\x09\x01".to_vec(), Guess::Yes),
        (C, b"AMQP".to_vec(), Guess::Maybe),
        (C, b"AMQP\0\x01\0\0".to_vec(), Guess::No),
        (C, b"AMQP\x03\x01\0\0".to_vec(), Guess::No),
        (S, start(), Guess::Likely),
        (C, start(), Guess::No),
        (C, ack.clone(), Guess::Likely),
        (C, [ack, heartbeat.clone()].concat(), Guess::Yes),
        (S, heartbeat, Guess::Likely),
        (C, message.clone(), Guess::Yes),
        (S, message, Guess::No),
        (C, frame(3, 1, b"body"), Guess::Maybe),
        (C, vec![1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 80, 0], Guess::No),
        (C, vec![1, 0], Guess::Maybe),
        (C, b"GET / HTTP/1.1\r\n".to_vec(), Guess::No),
        (S, b"\x05\0\0\0\x0a5.5".to_vec(), Guess::No),
    ] {
        assert_eq!(Amqp.detect(side, &bytes), expected, "{bytes:?}");
    }
}

fn any_turn() -> impl Strategy<Value = (Side, Vec<u8>)> {
    let key = || prop::sample::select(vec!["q", "orders.7", "", "amq.gen-x"]);
    let body = || prop::sample::select(vec!["", "x", "longer body"]);
    let headers = || prop::sample::select(vec![&[][..], &[("traceparent", PARENT)][..], &[("a", "b"), ("c", "d")][..]]);
    prop_oneof![
        (1u16..3, key(), any::<bool>(), headers(), body()).prop_map(|(channel, key, mandatory, headers, body)| (
            C,
            [publish(channel, "e", key, mandatory), content(channel, headers, key, body)].concat()
        )),
        (1u16..3, key(), 0u64..9, headers(), body()).prop_map(|(channel, key, tag, headers, body)| (
            S,
            [deliver(channel, key, tag, "e", key), content(channel, headers, key, body)].concat()
        )),
        (1u16..3, prop::sample::select(vec![80u16, 90, 120]), 0u64..9, 0u8..4)
            .prop_map(|(channel, number, tag, bits)| (C, settle(channel, number, tag, bits))),
        (1u16..3, prop::sample::select(vec![80u16, 120]), 0u64..9, 0u8..4)
            .prop_map(|(channel, number, tag, bits)| (S, settle(channel, number, tag, bits))),
        (1u16..3, key(), 0u8..32).prop_map(|(channel, key, bits)| (
            C,
            method(channel, 60, 20, &[vec![0, 0], short(key), short(key), vec![bits], long(&[])].concat())
        )),
        (1u16..3, key()).prop_map(|(channel, tag)| (S, method(channel, 60, 21, &short(tag)))),
        (1u16..3).prop_map(|channel| (C, method(channel, 85, 10, &[0]))),
        (1u16..3).prop_map(|channel| (C, method(channel, 20, 10, &[0]))),
        (1u16..3).prop_map(|channel| (S, close(channel, 20, 40, 406))),
        prop::sample::select(vec![0usize, 1, 2, 3, 4, 5]).prop_map(|index| opened()[index].clone()),
        Just((S, close(0, 10, 50, 541))),
        Just((C, frame(8, 0, &[]))),
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
        testing::fuzz(&Amqp, &bytes);
    }

    #[test]
    fn hostile_methods_neither_panic_nor_loop(methods in prop::collection::vec((0u16..3, prop::sample::select(vec![10u16, 20, 40, 50, 60, 85, 90]), 0u16..130, prop::collection::vec(any::<u8>(), 0..40)), 1..6)) {
        let bytes: Vec<u8> = methods.iter().flat_map(|(channel, class, number, arguments)| method(*channel, *class, *number, arguments)).collect();
        for side in [C, S] {
            testing::run(Amqp.decoder(SERVER, true).as_mut(), &[(side, &bytes)]);
        }
    }
}
