//! Handshakes of rustls, and hostile bytes.
use super::Tls;
use crate::protocol::attribute::{Attribute, Value};
use crate::protocol::testing::{self, SERVER};
use crate::protocol::{Abort, Guess, Head, Kind, More, Protocol, Request, Response, Side};
use crate::semconv;
use proptest::prelude::*;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::sync::Arc;

const C: Side = Side::Client;
const S: Side = Side::Server;

type Said = Vec<(Side, Vec<u8>)>;

/// Everything that both sides send until the handshake is over, and a little more. The client believes the certificate or not.
fn handshake(version: &'static SupportedProtocolVersion, believes: bool) -> Said {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = rcgen::generate_simple_self_signed(["shop.test".to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    if believes {
        roots.add(made.cert.der().clone()).expect("a root");
    }
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version]).expect("a version");
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).expect("a version");
    let mut server = server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).expect("a server");
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("shop.test").expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
    let mut said = Said::new();
    for _ in 0..4 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("written");
        }
        let _ = server.read_tls(&mut bytes.as_slice());
        let _ = server.process_new_packets();
        said.extend((!bytes.is_empty()).then_some((C, bytes)));
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("written");
        }
        let _ = client.read_tls(&mut bytes.as_slice());
        let _ = client.process_new_packets();
        said.extend((!bytes.is_empty()).then_some((S, bytes)));
    }
    said
}

fn told(said: &Said) -> (Vec<Head>, Vec<(Side, More)>, Option<&'static str>) {
    let pieces: Vec<_> = said.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let (transcript, more) = testing::run_with_more(Tls.decoder(SERVER, false).as_mut(), &pieces);
    assert_eq!(transcript.invalid, 0);
    (transcript.messages.into_iter().filter_map(|message| message.head).collect(), more, transcript.left)
}

fn asked() -> Head {
    let offered = Value::Texts(["h2".to_owned(), "http/1.1".to_owned()].into());
    let attributes = vec![
        Attribute::both(semconv::SERVER_ADDRESS, "shop.test".to_owned()),
        Attribute::both(semconv::SERVER_PORT, 8080),
        Attribute::both(semconv::WIRESPAN_TLS_OFFERED, offered),
    ];
    Head::Request(Request { attributes, correlation: Some(1), ..Request::new(Kind::Connection, "TLS handshake") })
}

fn answered(version: &'static str, chosen: Option<&str>) -> Head {
    let mut attributes = vec![Attribute::both(semconv::TLS_PROTOCOL_NAME, "tls"), Attribute::both(semconv::TLS_PROTOCOL_VERSION, version)];
    attributes.extend(chosen.map(|chosen| Attribute::both(semconv::TLS_NEXT_PROTOCOL, chosen.to_owned())));
    Head::Response(Response { attributes, correlation: Some(1), ..Response::default() })
}

fn over(side: Side, error: Option<&'static str>) -> (Side, More) {
    let attributes = vec![Attribute::both(semconv::TLS_ESTABLISHED, error.is_none())];
    let (client_error, server_error) = (error.map(Into::into), error.map(Into::into));
    let outcome = Response { attributes, client_error, server_error, correlation: Some(1), ..Response::default() };
    (side, More::Abort(Abort { outcome, late: None }))
}

#[test]
fn a_handshake_of_either_version_is_told_by_its_hellos_and_over_when_the_keys_are_there() {
    let expected = (vec![asked(), answered("1.3", None)], vec![over(C, None)], Some("encrypted"));
    assert_eq!(told(&handshake(&TLS13, true)), expected);
    let (heads, more, _) = told(&handshake(&TLS12, true));
    assert_eq!((heads, more), (vec![asked(), answered("1.2", Some("http/1.1"))], vec![over(S, None)]));
}

#[test]
fn the_alert_that_ends_a_handshake_is_its_error_also_where_only_its_length_is_seen() {
    assert_eq!(told(&handshake(&TLS12, false)).1, [over(C, Some("unknown_ca"))]);
    assert_eq!(told(&handshake(&TLS13, false)).1, [over(C, Some("encrypted_alert"))]);
    let mut refused = handshake(&TLS13, true);
    refused.truncate(1);
    refused.push((S, b"\x15\x03\x03\0\x02\x02\x28".to_vec()));
    assert_eq!(told(&refused).1, [over(S, Some("handshake_failure"))]);
    assert_eq!(Tls.detect(S, b"\x15\x03\x03\0\x02\x02\x28"), Guess::Likely);
}

#[test]
fn cuts_change_nothing_and_a_hello_is_known_by_eleven_bytes() {
    let said = handshake(&TLS12, true);
    let whole = told(&said);
    let (side, hello) = said[0].clone();
    for at in 0..hello.len() {
        let (front, back) = hello.split_at(at);
        assert_eq!(Tls.detect(C, front), if at < 11 { Guess::Maybe } else { Guess::Yes }, "{at}");
        let mut cut = said.clone();
        cut.splice(0..1, [(side, front.to_vec()), (side, back.to_vec())]);
        assert_eq!(told(&cut), whole, "cut after {at} bytes");
    }
    assert_eq!(Tls.detect(S, &said[1].1), Guess::Yes);
    assert_eq!((Tls.detect(S, &hello), Tls.detect(C, &said[1].1)), (Guess::No, Guess::No));
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        testing::fuzz(&Tls, &bytes);
        let mut hello = [b"\x16\x03\x01\0\x80\x01\0\0\x7c\x03\x03".as_slice(), &[0; 32], b"\0\0\x02\x13\x01\x01\0\0\x51", &bytes].concat();
        let at = at.index(hello.len());
        hello[at] = byte;
        testing::fuzz(&Tls, &hello);
    }
}
