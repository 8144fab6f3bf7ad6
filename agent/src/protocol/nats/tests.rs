//! Conversations as a specification: what each side says, and the messages that become of it.
use super::Nats;
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::context::{Carried, Finder};
use crate::protocol::testing::{self, SERVER, Transcript};
use crate::protocol::{Guess, Head, Kind, Message, Protocol, Request, Response, Side};
use proptest::prelude::*;
use std::sync::Arc;

const C: Side = Side::Client;
const S: Side = Side::Server;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const INFO: &str = "INFO {\"server_id\":\"NA\",\"version\":\"2.9.10\",\"headers\":true,\"max_payload\":1048576} \r\n";

fn talk(pieces: &[(Side, &str)]) -> Transcript {
    let pieces: Vec<_> = pieces.iter().map(|(side, text)| (*side, text.as_bytes())).collect();
    testing::run(Nats.decoder(SERVER, false).as_mut(), &pieces)
}

/// A message with headers, as either side writes one.
fn with_headers(line: &str, headers: &str, payload: &str) -> String {
    let block = format!("NATS/1.0{headers}\r\n\r\n");
    format!("{line} {} {}\r\n{block}{payload}\r\n", block.len(), block.len() + payload.len())
}

fn parent() -> Option<Arc<Carried>> {
    let mut finder = Finder::default();
    finder.header(b"traceparent", PARENT.as_bytes());
    finder.carried()
}

fn value(attributes: &[Attribute], key: &str) -> String {
    attributes.iter().find(|attribute| attribute.key == key).map_or_else(String::new, |attribute| match &attribute.value {
        Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    })
}

/// Messages in a line each: `>` from the client, `<` from the server; a request's name, `#` and a letter for what joins it with its
/// response, or `!` if nothing does; what a response says; `-` for what yields nothing.
fn told(transcript: &Transcript) -> Vec<String> {
    assert_eq!((transcript.left, transcript.invalid), (None, 0));
    let mut joined: Vec<u64> = Vec::new();
    let mut letter = |correlation: Option<u64>| {
        let correlation = correlation.expect("all are joined by number");
        let place = joined.iter().position(|known| *known == correlation).unwrap_or_else(|| {
            joined.push(correlation);
            joined.len() - 1
        });
        char::from(b'a' + place as u8)
    };
    let mut tell = |head: &Option<Head>| match head {
        None => "-".to_owned(),
        Some(Head::Request(request)) if request.answered => format!("{} #{}", request.name, letter(request.correlation)),
        Some(Head::Request(request)) => format!("{} !", request.name),
        Some(Head::Response(response)) => {
            let error = response.client_error.as_deref().map_or_else(String::new, |error| format!(" {error}"));
            format!("answer #{}{error}", letter(response.correlation))
        }
    };
    let told = transcript.messages.iter().map(|message| {
        let arrow = if message.side == C { '>' } else { '<' };
        format!("{arrow} {}", tell(&message.head))
    });
    told.collect()
}

#[test]
fn a_publish_and_its_delivery_tell_what_they_carry() {
    let publish = with_headers("HPUB orders.4711.new", &format!("\r\nTraceparent: {PARENT}"), "payload");
    let deliver = with_headers("HMSG orders.4711.new 7", &format!("\r\nTraceparent: {PARENT}"), "payload");
    let transcript = talk(&[(S, INFO), (C, "SUB orders.> workers 7\r\n"), (C, &publish), (S, &deliver)]);
    let attributes = |name, class, more: Option<Attribute>| {
        let mut attributes = vec![
            Attribute::both("messaging.system", "nats"),
            Attribute::both("messaging.operation.name", name),
            Attribute::both("messaging.operation.type", class),
            Attribute::both("messaging.destination.name", "orders.4711.new"),
            Attribute::both("messaging.destination.template", "orders.{id}.new"),
            Attribute::both("messaging.message.body.size", 7),
        ];
        attributes.extend(more);
        attributes
    };
    let messages = || Box::new([Message { id: None, carried: parent() }]);
    let Some(Head::Request(published)) = &transcript.messages[2].head else { panic!("{transcript:?}") };
    let expected = Request {
        attributes: attributes("publish", "send", None),
        carried: parent(),
        correlation: published.correlation,
        answered: false,
        messages: messages(),
        ..Request::new(Kind::Publish, "publish orders.{id}.new")
    };
    assert_eq!(*published, expected);
    let Some(Head::Request(delivered)) = &transcript.messages[3].head else { panic!("{transcript:?}") };
    let expected = Request {
        attributes: attributes("process", "process", Some(Attribute::both("messaging.consumer.group.name", "workers".to_owned()))),
        carried: parent(),
        correlation: delivered.correlation,
        answered: false,
        messages: messages(),
        ..Request::new(Kind::Consume, "process orders.{id}.new")
    };
    assert_eq!(*delivered, expected);
}

#[test]
fn a_request_is_answered_on_its_inbox_at_both_ends() {
    let requester = talk(&[
        (S, INFO),
        (C, "CONNECT {\"verbose\":false}\r\nPING\r\n"),
        (S, "PONG\r\n"),
        (C, "SUB _INBOX.a.* 1\r\nPUB add _INBOX.a.1 3\r\n1+1\r\n"),
        (S, "MSG _INBOX.a.1 1 1\r\n2\r\n"),
        (C, "PUB nobody _INBOX.a.2 0\r\n\r\n"),
        (S, "HMSG _INBOX.a.2 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"),
        (C, "PUB fails _INBOX.a.3 0\r\n\r\n"),
        (S, &with_headers("HMSG _INBOX.a.3 1", "\r\nNats-Service-Error: boom\r\nNats-Service-Error-Code: 500", "")),
        (S, "MSG _INBOX.a.3 1 1\r\n2\r\n"),
    ]);
    let expected = [
        "< -",
        "> connect #a",
        "> -",
        "< answer #a",
        "> -",
        "> publish add #b",
        "< answer #b",
        "> publish nobody #c",
        "< answer #c no_responders",
        "> publish fails #d",
        "< answer #d 500",
        "< -",
    ];
    assert_eq!(told(&requester), expected);
    let service =
        talk(&[(S, "MSG add 1 _INBOX.a.1 3\r\n1+1\r\n"), (C, "PUB log 1\r\nx\r\nPUB _INBOX.a.1 1\r\n2\r\nPUB _INBOX.a.1 1\r\n3\r\n")]);
    assert_eq!(told(&service), ["< process add #a", "> publish log !", "> answer #a", "> -"]);
    let id = |transcript: &Transcript, name: &str| {
        transcript.messages.iter().find_map(|message| match &message.head {
            Some(Head::Request(request)) if request.name == name => request.messages.first()?.id,
            _ => None,
        })
    };
    assert!(id(&requester, "publish add").is_some());
    assert_eq!(id(&requester, "publish add"), id(&service, "process add"));
    assert_ne!(id(&requester, "publish add"), id(&requester, "publish fails"));
}

#[test]
fn both_ends_of_an_inbox_may_be_on_one_connection() {
    let transcript = talk(&[
        (C, "PUB add _INBOX.a.1 1\r\n1\r\n"),
        (S, "MSG add 1 _INBOX.a.1 1\r\n1\r\n"),
        (C, "PUB _INBOX.a.1 1\r\n2\r\n"),
        (S, "MSG _INBOX.a.1 2 1\r\n2\r\n"),
    ]);
    assert_eq!(told(&transcript), ["> publish add #a", "< process add #b", "> answer #b", "< answer #a"]);
}

#[test]
fn streams_number_messages_and_consumers_acknowledge_them() {
    let missing = r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":404,"err_code":10059,"description":"no"}}"#;
    let transcript = talk(&[
        (C, "PUB $JS.API.STREAM.INFO.NONE _INBOX.a.0 0\r\n\r\n"),
        (S, &format!("MSG _INBOX.a.0 1 {}\r\n{missing}\r\n", missing.len())),
        (C, "PUB orders.new _INBOX.a.1 1\r\nx\r\n"),
        (S, "MSG _INBOX.a.1 1 28\r\n{\"stream\":\"ORDERS\",\"seq\":42}\r\n"),
        (C, "PUB $JS.API.CONSUMER.MSG.NEXT.ORDERS.c _INBOX.a.2 0\r\n\r\n"),
        (S, "MSG orders.new 1 $JS.ACK.ORDERS.c.1.42.1.1700000000000000000.2 1\r\nx\r\n"),
        (C, "PUB $JS.ACK.ORDERS.c.1.42.1.1700000000000000000.2 4\r\n+WPI\r\n"),
        (C, "PUB $JS.ACK.ORDERS.c.1.42.1.1700000000000000000.2 0\r\n\r\n"),
        (S, "MSG orders.new 1 $JS.ACK.ORDERS.c.1.43.2.1700000000000000000.1 1\r\nx\r\n"),
        (C, "PUB $JS.ACK.ORDERS.c.1.43.2.1700000000000000000.1 4\r\n-NAK\r\n"),
        (S, "MSG orders.new 1 $JS.ACK.ORDERS.c.1.44.3.1700000000000000000.0 1\r\nx\r\n"),
        (C, "PUB $JS.ACK.ORDERS.c.1.44.3.1700000000000000000.0 _INBOX.a.3 5\r\n+TERM\r\n"),
        (S, "MSG _INBOX.a.3 1 0\r\n\r\n"),
        (C, "PUB $JS.API.CONSUMER.MSG.NEXT.ORDERS.c _INBOX.a.4 0\r\n\r\n"),
        (S, "HMSG _INBOX.a.4 1 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n"),
    ]);
    let expected = [
        "> STREAM.INFO NONE #a",
        "< answer #a JSStreamNotFoundErr",
        "> publish orders.new #b",
        "< answer #b",
        "> -",
        "< process orders.new #c",
        "> -",
        "> answer #c",
        "< process orders.new #d",
        "> answer #d nak",
        "< process orders.new #e",
        "> answer #e term",
        "< -",
        "> -",
        "< -",
    ];
    assert_eq!(told(&transcript), expected);
    let Some(Head::Response(stored)) = &transcript.messages[3].head else { panic!("{transcript:?}") };
    let Some(Head::Request(delivered)) = &transcript.messages[5].head else { panic!("{transcript:?}") };
    assert_eq!(*stored, Response { correlation: stored.correlation, messages: stored.messages.clone(), ..Response::default() });
    assert_eq!(stored.messages, delivered.messages);
    assert!(stored.messages[0].id.is_some());
    assert_eq!(value(&delivered.attributes, "messaging.destination.subscription.name"), "c");
}

#[test]
fn who_never_replies_or_acknowledges_is_not_waited_for() {
    let bus: String = (0..20).map(|number| format!("MSG add 1 _INBOX.a.{number} 0\r\n\r\n")).collect::<Vec<_>>().concat();
    let told = told(&talk(&[(S, &bus), (C, "PUB _INBOX.a.3 0\r\n\r\n"), (S, "MSG add 1 _INBOX.a.20 0\r\n\r\n")]));
    let unanswered = told.iter().filter(|line| *line == "< process add !").count();
    assert_eq!((unanswered, told[20].as_str(), told[21].as_str()), (4, "> answer #d", "< process add #q"), "{told:#?}");
    let delivery = |number: u32| format!("MSG a 1 $JS.ACK.S.watcher.1.{number}.1.17.0 0\r\n\r\n");
    let acknowledgement = "PUB $JS.ACK.S.watcher.1.2.1.17.0 0\r\n\r\n";
    let told = self::told(&talk(&[(S, &(delivery(1) + &delivery(2))), (C, acknowledgement), (S, &delivery(3))]));
    assert_eq!(told, ["< process a !", "< process a !", "> -", "< process a #a"]);
}

#[test]
fn in_verbose_mode_confirmations_answer_what_nothing_else_answers() {
    let transcript = talk(&[
        (C, "CONNECT {\"verbose\":true}\r\nSUB a 1\r\nPUB a 1\r\nx\r\nPUB b _INBOX.a.1 1\r\nx\r\nPUB c 1\r\nx\r\n"),
        (S, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n-ERR 'Permissions Violation for Publish to \"c\"'\r\n"),
    ]);
    let expected = [
        "> connect #a",
        "> -",
        "> publish a #b",
        "> publish b #c",
        "> publish c #d",
        "< answer #a",
        "< -",
        "< answer #b",
        "< -",
        "< answer #d Permissions Violation",
    ];
    assert_eq!(told(&transcript), expected);
}

#[test]
fn heartbeats_and_errors_that_answer_nothing_yield_nothing() {
    let transcript = talk(&[
        (C, "CONNECT {}\r\n"),
        (S, "-ERR 'Authorization Violation'\r\n"),
        (C, "PING\r\n"),
        (S, "PONG\r\nPING\r\n-ERR 'Slow Consumer'\r\n-ERR 'new one'\r\nMSG _INBOX.x 1 0\r\n\r\n"),
        (C, "pong\r\nUNSUB 1 5\r\nPUB $JS.FC.x 0\r\n\r\n"),
    ]);
    let expected = ["> connect #a", "< answer #a Authorization Violation", "> -", "< -", "< -", "< -", "< -", "< -", "> -", "> -", "> -"];
    assert_eq!(told(&transcript), expected);
}

#[test]
fn keys_do_not_name_spans_and_answers_to_what_nobody_saw_are_none() {
    let names = |subject: &str| told(&talk(&[(C, &format!("PUB {subject} 0\r\n\r\n"))]));
    assert_eq!(names("$KV.settings.user-ann"), ["> publish $KV.settings.{key} !"]);
    assert_eq!(names("_INBOX.Q8gRbJzWcNnPmLkHtYvXdF.1"), ["> -"]);
}

#[test]
fn after_a_loss_the_next_whole_line_is_found() {
    let bytes = b"f a payload\r\nMSG a 1 bad\r\nMSG a 1 5\r\nshort\nMSG b 1 1\r\nx\r\n";
    for cut in 0..bytes.len() {
        let mut decoder = Nats.decoder(SERVER, true);
        decoder.lost(S);
        let transcript = testing::run(decoder.as_mut(), &[(S, &bytes[..cut]), (S, &bytes[cut..])]);
        let found: Vec<_> = transcript.messages.iter().filter_map(|message| message.head.as_ref()).collect();
        assert!(matches!(found[..], [Head::Request(request)] if request.name == "process b"), "{cut}: {found:?}");
    }
}

#[test]
fn secrets_never_leave_the_parser() {
    let secret = "c4n4ry";
    let connect = format!(
        "CONNECT {{\"verbose\":true,\"user\":\"{secret}\",\"pass\":\"{secret}\",\"auth_token\":\"{secret}\",\"jwt\":\"{secret}\",\"sig\":\"{secret}\"}}\r\n"
    );
    let api =
        format!("{{\"type\":\"io.nats.jetstream.api.v1.x\",\"error\":{{\"code\":404,\"err_code\":10059,\"description\":\"{secret}\"}}}}");
    let transcript = talk(&[
        (S, &format!("INFO {{\"server_id\":\"{secret}\",\"nonce\":\"{secret}\"}}\r\n")),
        (C, &connect),
        (S, &format!("-ERR '{secret}'\r\n")),
        (C, &with_headers("HPUB a _INBOX.1", &format!("\r\nAuthorization: {secret}\r\nNats-Msg-Id: {secret}"), secret)),
        (
            S,
            &with_headers(
                "HMSG _INBOX.1 1",
                &format!("\r\nX: {secret}\r\nNats-Service-Error: {secret}\r\nNats-Service-Error-Code: {secret}"),
                secret,
            ),
        ),
        (C, "PUB a _INBOX.2 0\r\n\r\n"),
        (S, &format!("MSG _INBOX.2 1 {}\r\n{api}\r\n", api.len())),
        (S, &with_headers("HMSG a 1 _INBOX.3", &format!(" {secret}\r\nX: {secret}"), secret)),
        (S, &format!("MSG a 1 _INBOX.3 {}\r\n{secret}\r\n", secret.len())),
        (C, &format!("PUB _INBOX.3 {}\r\n{secret}\r\n", secret.len())),
        (C, "PUB $JS.API.CONSUMER.MSG.NEXT.S.c 0\r\n\r\n"),
        (S, &format!("MSG a 1 $JS.ACK.S.c.1.2.3.4.5 {}\r\n{secret}\r\n", secret.len())),
        (C, &format!("PUB $JS.ACK.S.c.1.2.3.4.5 {}\r\n{secret}\r\n", secret.len())),
    ]);
    assert_eq!(transcript.messages.len(), 13);
    assert!(!format!("{transcript:?}").contains(secret), "{transcript:#?}");
}

#[test]
fn greetings_and_payloads_that_fit_are_recognised() {
    let publish = "PUB a.b 5\r\nhello\r\n";
    for (side, text, expected) in [
        (S, INFO, Guess::Yes),
        (S, "INFO {", Guess::Maybe),
        (C, "CONNECT {\"verbose\":false}\r\n", Guess::Yes),
        (C, "CONNECT host:443 HTTP/1.1\r\n", Guess::No),
        (C, "CONNECT\naccept-version:1.2\n\n\0", Guess::No),
        (C, publish, Guess::Likely),
        (C, &publish.repeat(2), Guess::Yes),
        (C, "PUB a.b 5\r\nhello!\r\n", Guess::No),
        (S, "HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n", Guess::Yes),
        (C, "HPUB a 12 12\r\nHTTP/1.0\r\n\r\n\r\n", Guess::No),
        (C, "PING\r\n", Guess::Likely),
        (S, "PONG\r\n", Guess::Likely),
        (S, "+OK\r\n", Guess::Maybe),
        (S, "+PONG\r\n", Guess::No),
        (C, "GET / HTTP/1.1\r\n\r\n", Guess::No),
        (C, "SUBSCRIBE news\r\n", Guess::No),
        (C, "*1\r\n$4\r\nPING\r\n", Guess::No),
        (C, "PUB", Guess::Maybe),
        (C, "PUT a 1\r\n", Guess::No),
        (C, "", Guess::Maybe),
    ] {
        assert_eq!(Nats.detect(side, text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn a_client_that_goes_on_with_tls_is_left_alone() {
    let transcript = testing::run(Nats.decoder(SERVER, false).as_mut(), &[(S, INFO.as_bytes()), (C, &[0x16, 3, 1, 0, 5])]);
    assert_eq!(transcript.left, Some("tls"));
}

fn any_line() -> impl Strategy<Value = (Side, String)> {
    let subject = || prop::sample::select(vec!["a", "orders.7", "_INBOX.a.1", "_INBOX.a.2", "$JS.ACK.S.c.1.2.3.4.5", "$JS.API.INFO"]);
    let reply = || prop::sample::select(vec!["", "_INBOX.a.1 ", "_INBOX.a.2 ", "$JS.ACK.S.c.1.2.3.4.5 "]);
    let payload = || prop::sample::select(vec!["", "x", "-NAK", "+WPI", "{\"stream\":\"S\",\"seq\":2}", "two\r\nlines"]);
    let headers = || prop::sample::select(vec!["", " 503", " 404 No Messages", "\r\nA: b"]);
    prop_oneof![
        (subject(), reply(), payload())
            .prop_map(|(subject, reply, text)| (C, format!("PUB {subject} {reply}{}\r\n{text}\r\n", text.len()))),
        (subject(), reply(), payload())
            .prop_map(|(subject, reply, text)| (S, format!("MSG {subject} 1 {reply}{}\r\n{text}\r\n", text.len()))),
        (subject(), reply(), headers(), payload())
            .prop_map(|(subject, reply, more, text)| (C, with_headers(format!("HPUB {subject} {reply}").trim_end(), more, text))),
        (subject(), reply(), headers(), payload())
            .prop_map(|(subject, reply, more, text)| (S, with_headers(format!("HMSG {subject} 1 {reply}").trim_end(), more, text))),
        prop::sample::select(vec![
            "PING\r\n",
            "CONNECT {\"verbose\":true}\r\n",
            "CONNECT {}\r\n",
            "SUB a 1\r\n",
            "SUB a g 1\r\n",
            "UNSUB 1\r\n"
        ])
        .prop_map(|line| (C, line.to_owned())),
        prop::sample::select(vec!["PONG\r\n", INFO, "+OK\r\n", "-ERR 'Stale Connection'\r\n", "PING\r\n"])
            .prop_map(|line| (S, line.to_owned())),
    ]
}

proptest! {
    #[test]
    fn cuts_change_nothing(turns in prop::collection::vec(any_line(), 1..12), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
        let mut turns: Vec<(Side, Vec<u8>)> = turns.into_iter().map(|(side, text)| (side, text.into_bytes())).collect();
        for (place, byte) in damage {
            let turn = &mut place.get_mut(&mut turns).1;
            *place.get_mut(turn.as_mut_slice()) = byte;
        }
        let whole: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let single: Vec<_> = whole.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))).collect();
        let run = |pieces: &[(Side, &[u8])]| testing::run(Nats.decoder(SERVER, false).as_mut(), pieces);
        prop_assert_eq!(run(&single), run(&whole));
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        testing::fuzz(&Nats, &bytes);
    }

    #[test]
    fn hostile_lines_neither_panic_nor_loop(text in "(PUB|HPUB|MSG|HMSG|SUB|CONNECT|INFO|-ERR|[ a-z0-9.$_>*{}'\"]|\r\n|NATS/1.0| [0-9]{1,12}){0,80}") {
        testing::fuzz(&Nats, text.as_bytes());
    }
}
