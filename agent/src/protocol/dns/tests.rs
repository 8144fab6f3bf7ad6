//! DNS messages as specifications, against a library, and against hostile bytes.
use super::Dns;
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::testing::{self, SERVER};
use crate::protocol::{Datagram, Guess, Head, Kind, Protocol, Request, Response, Side};
use crate::semconv;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;
use std::str::FromStr as _;

fn name(text: &str) -> Name {
    Name::from_str(text).expect("a name")
}

fn question(id: u16, of: &str, kind: RecordType) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(of), kind));
    message
}

fn answer(question: &Message, code: ResponseCode, records: &[(&str, RData)]) -> Message {
    let mut message = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.response_code = code;
    message.metadata.recursion_available = true;
    message.add_queries(question.queries.iter().cloned());
    message.add_answers(records.iter().map(|(of, data)| Record::from_rdata(name(of), 60, data.clone())));
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message")
}

fn prefixed(message: &Message) -> Vec<u8> {
    let bytes = bytes(message);
    [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()
}

fn asks(of: &str, kind: &'static str, span: &'static str, transport: &'static str, correlation: Option<u64>) -> Head {
    let attributes = vec![
        Attribute::both(semconv::DNS_QUESTION_NAME, of.to_owned()),
        Attribute::both(semconv::WIRESPAN_DNS_QUESTION_TYPE, kind),
        Attribute::both(semconv::NETWORK_PROTOCOL_NAME, "dns"),
        Attribute::both(semconv::NETWORK_TRANSPORT, transport),
    ];
    Head::Request(Request { attributes, correlation, ..Request::new(Kind::Database, span) })
}

fn answers(code: &'static str, records: i64, addresses: &[&str], errors: [Option<&'static str>; 2], correlation: Option<u64>) -> Head {
    let mut attributes =
        vec![Attribute::both(semconv::WIRESPAN_DNS_RESPONSE_CODE, code), Attribute::both(semconv::WIRESPAN_DNS_ANSWERS, records)];
    if !addresses.is_empty() {
        let texts = addresses.iter().map(ToString::to_string).collect();
        attributes.push(Attribute::both(semconv::DNS_ANSWERS, Value::Texts(texts)));
    }
    let [client_error, server_error] = errors.map(|error| error.map(Into::into));
    Head::Response(Response { attributes, client_error, server_error, correlation, ..Response::default() })
}

#[test]
fn a_datagram_says_what_is_asked_and_its_answer_which_addresses_there_are() {
    let asked = question(7, "www.example.test.", RecordType::A);
    let (alias, v4) = (RData::CNAME(CNAME(name("host.test."))), RData::A(A::new(198, 18, 0, 9)));
    let v6 = RData::AAAA(AAAA("fd00::9".parse().expect("an address")));
    let all = [("www.example.test.", alias), ("host.test.", v4), ("host.test.", v6)];
    let answered = answer(&asked, ResponseCode::NoError, &all);
    let said = [asked, answered].map(|message| Dns.datagram(&bytes(&message)).expect("a message"));
    assert_eq!(said[0].subject, said[1].subject);
    assert_ne!(said[0].subject, 0);
    let subject = said[0].subject;
    let expected = [
        Datagram { head: asks("www.example.test", "A", "DNS A", "udp", None), id: 7, subject },
        Datagram { head: answers("NOERROR", 3, &["198.18.0.9", "fd00::9"], [None; 2], None), id: 7, subject },
    ];
    assert_eq!(said, expected);
}

#[test]
fn every_code_is_an_error_of_the_client_and_a_failure_of_the_server_its_own_too() {
    let asked = question(1, "x.test.", RecordType::AAAA);
    let told = |code| {
        let head = Dns.datagram(&bytes(&answer(&asked, code, &[]))).map(|datagram| datagram.head);
        let Some(Head::Response(response)) = head else { panic!("no answer") };
        (response.client_error, response.server_error)
    };
    assert_eq!(told(ResponseCode::NXDomain), (Some("nxdomain".into()), None));
    assert_eq!(told(ResponseCode::Refused), (Some("refused".into()), None));
    assert_eq!(told(ResponseCode::ServFail), (Some("servfail".into()), Some("servfail".into())));
}

#[test]
fn messages_over_tcp_are_joined_by_their_number_however_they_are_cut() {
    let (one, two) = (question(1, "a.test.", RecordType::A), question(2, "a.test.", RecordType::MX));
    let from_server = [answer(&two, ResponseCode::NXDomain, &[]), answer(&one, ResponseCode::NoError, &[])];
    let [client, server] = [
        [&one, &two].into_iter().map(prefixed).collect::<Vec<_>>().concat(),
        from_server.iter().map(prefixed).collect::<Vec<_>>().concat(),
    ];
    assert_eq!((Dns.detect(Side::Client, &client), Dns.detect(Side::Server, &server)), (Guess::Yes, Guess::Yes));
    assert_eq!((Dns.detect(Side::Server, &client), Dns.detect(Side::Client, &server)), (Guess::No, Guess::No));
    let whole = testing::run(Dns.decoder(SERVER, false).as_mut(), &[(Side::Client, &client), (Side::Server, &server)]);
    let heads: Vec<_> = whole.messages.iter().filter_map(|message| message.head.as_ref()).collect();
    let expected = [
        asks("a.test", "A", "DNS A", "tcp", Some(1)),
        asks("a.test", "MX", "DNS MX", "tcp", Some(2)),
        answers("NXDOMAIN", 0, &[], [Some("nxdomain"), None], Some(2)),
        answers("NOERROR", 0, &[], [None; 2], Some(1)),
    ];
    assert_eq!(heads, expected.iter().collect::<Vec<_>>());
    let first = prefixed(&one).len();
    for at in 0..client.len() {
        let (front, back) = client.split_at(at);
        assert!(front.len() >= first || Dns.detect(Side::Client, front) == Guess::Maybe, "{at}");
        let cut =
            testing::run(Dns.decoder(SERVER, false).as_mut(), &[(Side::Client, front), (Side::Client, back), (Side::Server, &server)]);
        assert_eq!(cut, whole, "cut after {at} bytes");
    }
}

#[test]
fn what_only_looks_like_a_name_is_no_question() {
    let head = |question: &[u8]| [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], question].concat();
    let hostile: [&[u8]; 6] = [
        // A pointer to itself, a label longer than any, one that ends behind the message, no end, another class, nothing.
        &[0xc0, 12, 0, 1, 0, 1],
        &[64, 0, 0, 1, 0, 1],
        &[9, b'a', 0, 0, 1, 0, 1],
        &[1; 300],
        &[1, b'a', 0, 0, 1, 0, 3],
        &[],
    ];
    for question in hostile {
        assert_eq!(Dns.datagram(&head(question)), None, "{question:?}");
    }
    let odd = Dns.datagram(&head(&[5, b'a', b'.', 0, b'"', 0xff, 0, 0xfd, 0xe9, 0, 1])).map(|datagram| datagram.head);
    let mut expected = asks("a\\.\\000\\\"\\255", "TYPE65001", "DNS", "udp", None);
    let Head::Request(request) = &mut expected else { panic!("a question") };
    request.attributes[1].value = Value::Text("TYPE65001".to_owned().into());
    assert_eq!(odd, Some(expected));
}

#[test]
fn other_protocols_do_not_begin_so() {
    for other in
        ["GET / HTTP/1.1\r\n", "*1\r\n$4\r\nPING\r\n", "\0\0\0\x08\x04\x52\x16\x2f", "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03xxxx"]
    {
        assert_eq!(Dns.detect(Side::Client, other.as_bytes()), Guess::No, "{other:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..700), like in any::<bool>()) {
        if like && let Some(start) = bytes.first_chunk_mut::<14>() {
            start.copy_from_slice(&[1, 0, 0, 1, 0x81, 0x80, 0, 1, 0, 5, 0, 0, 0, 0]);
        }
        testing::fuzz(&Dns, &bytes);
        let _ = Dns.datagram(&bytes);
        let _ = Dns.datagram(bytes.get(2..).unwrap_or_default());
    }

    #[test]
    fn names_and_addresses_are_those_that_a_library_finds(
        labels in prop::collection::vec("[a-z0-9]{1,20}", 1..6),
        v4 in prop::collection::vec(any::<[u8; 4]>(), 0..12),
    ) {
        let of = labels.join(".");
        let asked = question(9, &format!("{of}."), RecordType::A);
        let records: Vec<_> = v4.iter().map(|octets| RData::A(A::from(std::net::Ipv4Addr::from(*octets)))).collect();
        let full = format!("{of}.");
        let records: Vec<(&str, RData)> = records.into_iter().map(|data| (full.as_str(), data)).collect();
        let answered = answer(&asked, ResponseCode::NoError, &records);
        let addresses: Vec<String> = v4.iter().map(|octets| std::net::Ipv4Addr::from(*octets).to_string()).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let heads = [asked, answered].map(|message| Dns.datagram(&bytes(&message)).map(|datagram| datagram.head));
        let expected = [asks(&of, "A", "DNS A", "udp", None), answers("NOERROR", v4.len() as i64, &addresses, [None; 2], None)];
        prop_assert_eq!(heads, expected.map(Some));
    }
}
