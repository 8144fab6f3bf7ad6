//! What `JetStream` writes into subjects and answers: calls of its API, the place of a message in its stream, and errors.
use crate::protocol::Message;
use crate::protocol::messaging::text;
use memchr::memmem;
use std::borrow::Cow;

/// Bytes of an answer's payload that are looked at: what is needed stands at the beginning.
pub(super) const LOOKED_AT: usize = 256;

/// Calls by the words that follow `$JS.API.`; what comes behind those are names.
const CALLS: [&str; 27] = [
    "ACCOUNT.PURGE",
    "CONSUMER.CREATE",
    "CONSUMER.DELETE",
    "CONSUMER.DURABLE.CREATE",
    "CONSUMER.INFO",
    "CONSUMER.LEADER.STEPDOWN",
    "CONSUMER.LIST",
    "CONSUMER.NAMES",
    "CONSUMER.PAUSE",
    "CONSUMER.UNPIN",
    "DIRECT.GET",
    "INFO",
    "META.LEADER.STEPDOWN",
    "SERVER.REMOVE",
    "STREAM.CREATE",
    "STREAM.DELETE",
    "STREAM.INFO",
    "STREAM.LEADER.STEPDOWN",
    "STREAM.LIST",
    "STREAM.MSG.DELETE",
    "STREAM.MSG.GET",
    "STREAM.NAMES",
    "STREAM.PEER.REMOVE",
    "STREAM.PURGE",
    "STREAM.RESTORE",
    "STREAM.SNAPSHOT",
    "STREAM.UPDATE",
];

/// Names of the errors that applications meet, by `err_code` (`errors.json` of the server).
const ERRORS: [(u32, &str); 24] = [
    (10_002, "JSAccountResourcesExceededErr"),
    (10_003, "JSBadRequestErr"),
    (10_008, "JSClusterNotAvailErr"),
    (10_009, "JSClusterNotLeaderErr"),
    (10_013, "JSConsumerNameExistErr"),
    (10_014, "JSConsumerNotFoundErr"),
    (10_023, "JSInsufficientResourcesErr"),
    (10_025, "JSInvalidJSONErr"),
    (10_026, "JSMaximumConsumersLimitErr"),
    (10_027, "JSMaximumStreamsLimitErr"),
    (10_037, "JSNoMessageFoundErr"),
    (10_039, "JSNotEnabledForAccountErr"),
    (10_047, "JSStorageResourcesExceededErr"),
    (10_052, "JSStreamInvalidConfigF"),
    (10_054, "JSStreamMessageExceedsMaximumErr"),
    (10_058, "JSStreamNameExistErr"),
    (10_059, "JSStreamNotFoundErr"),
    (10_060, "JSStreamNotMatchErr"),
    (10_065, "JSStreamSubjectOverlapErr"),
    (10_070, "JSStreamWrongLastMsgIDErrF"),
    (10_071, "JSStreamWrongLastSequenceErrF"),
    (10_076, "JSNotEnabledErr"),
    (10_077, "JSStreamStoreFailedF"),
    (10_148, "JSConsumerAlreadyExists"),
];

/// What a subject of the API asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Api<'a> {
    /// Messages, which come by themselves: the consumer, as [`Delivery::consumer_key`] says.
    Pull(u64),
    /// A call and the stream that it concerns.
    Call(&'static str, Option<&'a [u8]>),
}

/// Reads a subject of the API, with or without a domain; `None` if it is another one.
pub(super) fn api(subject: &[u8]) -> Option<Api<'_>> {
    let rest = subject.strip_prefix(b"$JS.")?;
    let rest = match rest.strip_prefix(b"API.") {
        Some(rest) => rest,
        None => rest.splitn(2, |byte| *byte == b'.').nth(1)?.strip_prefix(b"API.")?,
    };
    if let Some(names) = rest.strip_prefix(b"CONSUMER.MSG.NEXT.") {
        let mut names = names.splitn(2, |byte| *byte == b'.');
        return Some(Api::Pull(Message::identity((names.next()?, names.next()?))));
    }
    let call = CALLS.into_iter().find_map(|call| {
        let behind = rest.strip_prefix(call.as_bytes())?;
        let stream = behind.strip_prefix(b".");
        (behind.is_empty() || stream.is_some()).then_some((call, stream))
    });
    Some(match call {
        Some((call, names)) => Api::Call(call, names.and_then(|names| names.split(|byte| *byte == b'.').next())),
        None => Api::Call("$JS.API", None),
    })
}

/// A delivery, as the subject says that its acknowledgement goes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery<'a> {
    /// The stream.
    pub(super) stream: &'a [u8],
    /// The consumer.
    pub(super) consumer: &'a [u8],
    /// The message's number in the stream.
    pub(super) sequence: u64,
}

impl Delivery<'_> {
    /// The consumer among all of them.
    pub(super) fn consumer_key(&self) -> u64 {
        Message::identity((self.stream, self.consumer))
    }
}

/// How subjects begin to which acknowledgements go.
pub(super) const ACKNOWLEDGE: &[u8] = b"$JS.ACK.";

/// Reads `$JS.ACK.[domain.account.]stream.consumer.delivered.sequence.…`.
pub(super) fn delivery(subject: &[u8]) -> Option<Delivery<'_>> {
    let rest = subject.strip_prefix(ACKNOWLEDGE)?;
    let words = || rest.split(|byte| *byte == b'.');
    // Servers since 2.8 may name a domain and an account, and then add a word at the end.
    let skipped = match words().count() {
        7 => 0,
        9.. => 2,
        _ => return None,
    };
    let mut words = words().skip(skipped);
    let (stream, consumer) = (words.next()?, words.next()?);
    let sequence = number(words.nth(1)?)?;
    Some(Delivery { stream, consumer, sequence })
}

/// The identity of a message in a stream.
pub(super) fn identity(stream: &[u8], sequence: u64) -> u64 {
    Message::identity(("nats", stream, sequence))
}

/// What an answer of `JetStream` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The message was stored: its identity.
    Stored(u64),
    /// An error: its name, or its number.
    Failed(Cow<'static, str>),
}

/// Reads the beginning of an answer; `None` if it is anything else.
pub(super) fn answer(payload: &[u8]) -> Option<Answer> {
    let payload = payload.get(..LOOKED_AT).unwrap_or(payload);
    if let Some(rest) = payload.strip_prefix(b"{\"stream\":\"") {
        let stream = rest.get(..memchr::memchr(b'"', rest)?)?;
        let sequence = field(rest.get(stream.len()..)?, b"\"seq\":")?;
        return Some(Answer::Stored(identity(stream, sequence)));
    }
    let rest = match payload.strip_prefix(b"{\"type\":\"io.nats.jetstream.api.") {
        Some(rest) => rest.get(memchr::memchr(b',', rest)? + 1..)?,
        None => payload.strip_prefix(b"{")?,
    };
    let error = rest.strip_prefix(b"\"error\":{\"code\":")?;
    let code = field(error, b"\"err_code\":")?;
    let known = ERRORS.iter().find(|(known, _)| u64::from(*known) == code);
    Some(Answer::Failed(known.map_or_else(|| Cow::Owned(code.to_string()), |(_, name)| Cow::Borrowed(*name))))
}

/// The number behind a key.
fn field(json: &[u8], key: &[u8]) -> Option<u64> {
    let rest = json.get(memmem::find(json, key)? + key.len()..)?;
    number(rest.split(|byte| !byte.is_ascii_digit()).next()?)
}

fn number(digits: &[u8]) -> Option<u64> {
    text(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_the_names_in_their_subjects() {
        for (subject, expected) in [
            ("$JS.API.STREAM.CREATE.ORDERS", Some(Api::Call("STREAM.CREATE", Some(b"ORDERS")))),
            ("$JS.API.CONSUMER.CREATE.ORDERS.c.orders.>", Some(Api::Call("CONSUMER.CREATE", Some(b"ORDERS")))),
            ("$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.c", Some(Api::Call("CONSUMER.DURABLE.CREATE", Some(b"ORDERS")))),
            ("$JS.hub.API.DIRECT.GET.KV_b.$KV.b.k", Some(Api::Call("DIRECT.GET", Some(b"KV_b")))),
            ("$JS.API.INFO", Some(Api::Call("INFO", None))),
            ("$JS.API.INFORMAL", Some(Api::Call("$JS.API", None))),
            ("$JS.API.CONSUMER.MSG.NEXT.ORDERS.c", Some(Api::Pull(Message::identity((&b"ORDERS"[..], &b"c"[..]))))),
            ("$JS.ACK.ORDERS.c.1.2.3.4.5", None),
            ("orders.$JS.API.INFO", None),
        ] {
            assert_eq!(api(subject.as_bytes()), expected, "{subject}");
        }
    }

    #[test]
    fn the_place_of_a_delivery_is_read_with_and_without_a_domain() {
        let expected = Some(Delivery { stream: b"ORDERS", consumer: b"c", sequence: 42 });
        assert_eq!(delivery(b"$JS.ACK.ORDERS.c.1.42.7.1700000000000000000.0"), expected);
        assert_eq!(delivery(b"$JS.ACK.hub.AbCd.ORDERS.c.1.42.7.1700000000000000000.0"), expected);
        assert_eq!(delivery(b"$JS.ACK.hub.AbCd.ORDERS.c.1.42.7.1700000000000000000.0.x7"), expected);
        for wrong in ["$JS.ACK.ORDERS.c.1.42.7.17", "$JS.ACK.ORDERS.c.1.x.7.17.0", "$JS.ACK.", "orders"] {
            assert_eq!(delivery(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn answers_tell_where_a_message_was_stored_or_why_not() {
        let stored = Some(Answer::Stored(identity(b"ORDERS", 42)));
        assert_eq!(answer(br#"{"stream":"ORDERS", "seq":42}"#), stored);
        assert_eq!(answer(br#"{"stream":"ORDERS","domain":"hub","seq":42,"duplicate":true}"#), stored);
        let failed = |name: &'static str| Some(Answer::Failed(name.into()));
        let missing =
            br#"{"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":404,"err_code":10059,"description":"x"}}"#;
        assert_eq!(answer(missing), failed("JSStreamNotFoundErr"));
        assert_eq!(answer(br#"{"error":{"code":503,"err_code":19999,"description":"x"},"stream":"","seq":0}"#), failed("19999"));
        for other in
            [&br#"{"type":"io.nats.jetstream.api.v1.stream_info_response","config":{"error":{"code":1,"err_code":2}}}"#[..], b"{", b"+ACK"]
        {
            assert_eq!(answer(other), None);
        }
    }
}
