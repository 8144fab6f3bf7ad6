//! What is looked at in a response's body, which is otherwise stepped over: where the first of a stream of events begins, the trailers that
//! gRPC-Web puts there, and the beginning of what a search server answers.
use crate::protocol::grpc::Call;
use crate::protocol::search::{Answer, System};
use crate::protocol::{More, Response};

/// Types of content that come in pieces, each of which is of use by itself.
const STREAMS: &[&[u8]] = &[
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/jsonl",
    b"application/json-seq",
    b"application/stream+json",
    b"multipart/x-mixed-replace",
];

/// Whether content of this type is a stream of events.
pub(in crate::protocol) fn is_stream(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    STREAMS.iter().any(|known| known.eq_ignore_ascii_case(kind))
}

/// What is looked for.
#[derive(Debug)]
pub(super) enum Watch {
    /// The first event.
    Event,
    /// Messages and trailers.
    Call(Box<Call>),
    /// The proof that a search server answers, and what it says of errors.
    Search(Box<Answer>),
}

/// What bytes of a body led to.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// So many are done with, maybe more than there were.
    Used(u64),
    /// Nothing more needs to be seen.
    Enough,
}

impl Watch {
    /// Looks at the next bytes, of which `left` are known to follow and `shown` are here.
    pub(super) fn look(&mut self, shown: &[u8], left: u64) -> Seen {
        match self {
            Self::Event => Seen::Enough,
            Self::Call(call) => Seen::Used(call.received.feed(shown, left)),
            Self::Search(answer) => {
                if answer.feed(shown) {
                    Seen::Enough
                } else {
                    Seen::Used(shown.len() as u64)
                }
            }
        }
    }

    /// Some of the body was not captured.
    pub(super) fn miss(&mut self) {
        if let Self::Call(call) = self {
            call.received.lose();
        }
    }

    /// What all that was seen says, and the search server that is proven by it. Of events, `seen` says whether there was one.
    pub(super) fn tell(self, seen: bool) -> (Option<More>, Option<System>) {
        match self {
            Self::Event => (seen.then_some(More::Content(None)), None),
            Self::Call(mut call) => (Some(call.trailer(None, true)).filter(|said| *said != Response::default()).map(More::Trailer), None),
            Self::Search(answer) => match answer.outcome() {
                Some((system, response)) => (Some(More::Trailer(response)), Some(system)),
                None => (None, None),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::protocol::attribute::Value;
    use crate::protocol::http1::Http1;
    use crate::protocol::testing::{self, SERVER};
    use crate::protocol::{Head, More, Protocol, Side};
    use crate::semconv;

    use Side::{Client as C, Server as S};

    /// What is said behind the heads, the same however the bytes are cut; nothing is left undecoded.
    fn said(pieces: &[(Side, &[u8])]) -> Vec<More> {
        let bytewise: Vec<(Side, &[u8])> = pieces.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))).collect();
        let whole = testing::run_with_more(Http1.decoder(SERVER, false).as_mut(), pieces);
        assert_eq!(testing::run_with_more(Http1.decoder(SERVER, false).as_mut(), &bytewise), whole);
        assert_eq!(whole.0.invalid, 0);
        assert!(whole.0.messages.iter().all(|message| message.end.is_some()), "{:?}", whole.0);
        whole.1.into_iter().map(|(_, more)| more).collect()
    }

    #[test]
    fn the_first_event_of_a_stream_is_told_once_however_its_body_is_framed() {
        let ask = b"GET /events HTTP/1.1\r\nHost: shop\r\n\r\n".as_slice();
        for (header, body, expected) in [
            ("Transfer-Encoding: chunked", "8\r\ndata: 1\n\r\n8\r\ndata: 2\n\r\n0\r\n\r\n", 1),
            ("Transfer-Encoding: chunked", "0\r\n\r\n", 0),
            ("Content-Length: 8", "data: 1\n", 1),
            ("Content-Length: 0", "", 0),
            ("Connection: close", "data: 1\ndata: 2\n", 1),
        ] {
            for (kind, expected) in [("text/event-stream; charset=utf-8", expected), ("Application/X-NDJSON", expected), ("text/html", 0)] {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{header}\r\n\r\n");
                let found = said(&[(C, ask), (S, answer.as_bytes()), (S, body.as_bytes())]);
                assert_eq!(found, (0..expected).map(|_| More::Content(None)).collect::<Vec<_>>(), "{kind} {header} {body:?}");
            }
        }
    }

    /// Status and number of messages of a call.
    fn outcome(more: &More) -> Vec<String> {
        let More::Trailer(response) = more else { panic!("{more:?}") };
        let value = |value: &Value| match value {
            Value::Text(text) => text.to_string(),
            other => format!("{other:?}"),
        };
        response.attributes.iter().map(|attribute| value(&attribute.value)).collect()
    }

    #[test]
    fn the_status_of_grpc_web_is_found_in_the_body_also_in_base64() {
        let ask = |kind: &str| {
            format!("POST /p.S/M HTTP/1.1\r\nHost: shop\r\nContent-Type: application/{kind}\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0")
        };
        let binary = b"\0\0\0\0\x05hello\x80\0\0\0\x0egrpc-status: 5".as_slice();
        for (kind, body, expected) in [
            ("grpc-web+proto", binary, vec!["NOT_FOUND", "Int(1)"]),
            ("grpc-web-text", b"AAAAAAVoZWxsbw==gAAAAA5ncnBjLXN0YXR1czogNQ==", vec!["NOT_FOUND", "Int(1)"]),
            ("grpc-web", b"\0\0\0\0\x05hello", vec!["UNKNOWN", "Int(1)"]),
            ("grpc-web", b"<html>", vec![]),
            ("grpc-web-text", b"!!!!", vec![]),
        ] {
            let ask = ask(kind);
            let whole = format!("HTTP/1.1 200 OK\r\nContent-Type: application/{kind}\r\nContent-Length: {}\r\n\r\n", body.len());
            let (first, second) = body.split_at(2);
            let chunks = [
                format!("{:x}\r\n", first.len()).as_bytes(),
                first,
                format!("\r\n{:X};x\r\n", second.len()).as_bytes(),
                second,
                b"\r\n0\r\n\r\n",
            ]
            .concat();
            let chunked = format!("HTTP/1.1 200 OK\r\nContent-Type: application/{kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
            for (answer, body) in [(&whole, body), (&chunked, &chunks)] {
                let found = said(&[(C, ask.as_bytes()), (S, answer.as_bytes()), (S, body)]);
                assert_eq!(found.iter().flat_map(outcome).collect::<Vec<_>>(), expected, "{kind} {}", body.escape_ascii());
            }
        }
    }

    #[test]
    fn content_that_was_not_captured_is_stepped_over() {
        let mut decoder = Http1.decoder(SERVER, false);
        let mut take = |side, bytes: &[u8]| match decoder.decode(side, bytes, false) {
            crate::protocol::Step::Take(take) => take,
            other => panic!("{other:?}"),
        };
        take(C, b"POST /p.S/M HTTP/1.1\r\nContent-Type: application/grpc-web\r\n\r\n");
        let head = take(S, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        assert!(head.start && !head.end && matches!(head.head.as_deref(), Some(Head::Response(_))));
        let unseen = decoder.unseen(S).expect("a way over it");
        assert_eq!((unseen.used, unseen.end, unseen.more), (1000, true, None));
        assert_eq!(decoder.unseen(S), None);
    }

    #[test]
    fn a_switch_says_what_the_connection_becomes_if_that_was_asked_for() {
        let ask = |upgrade: &str| format!("GET /chat HTTP/1.1\r\nHost: shop\r\n{upgrade}\r\n");
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".as_slice();
        for (upgrade, expected) in [("Upgrade: websocket\r\n", "websocket"), ("Upgrade: foo, WebSocket\r\n", "websocket"), ("", "upgrade")]
        {
            let ask = ask(upgrade);
            let transcript = testing::run(Http1.decoder(SERVER, false).as_mut(), &[(C, ask.as_bytes()), (S, switch), (S, b"\x81\x02hi")]);
            let Some(Head::Response(response)) = transcript.messages.last().and_then(|message| message.head.as_ref()) else {
                panic!("a response")
            };
            let marked = response.attributes.iter().find(|attribute| attribute.key == semconv::WIRESPAN_UPGRADE).map(|found| &found.value);
            assert_eq!((marked, transcript.left, transcript.invalid), (Some(&Value::from(expected)), Some(expected), 0));
        }
    }
}
