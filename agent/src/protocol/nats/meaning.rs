//! What subjects, headers and answers mean: which were made up for one answer, what a message carries, and what went wrong.
use super::jetstream::{self, Answer};
use super::line;
use crate::protocol::context::{Carried, Finder};
use crate::protocol::messaging::{Destination, text};
use crate::protocol::{Message, Response};
use std::borrow::Cow;
use std::sync::Arc;

/// How subjects begin that clients make up for answers.
pub(super) const INBOX: &[u8] = b"_INBOX.";
/// Last words of a subject that are this long are unique.
const UNIQUE: usize = 16;
/// Errors by the beginning of their texts, as clients of all languages compare them.
const ERRORS: [&str; 17] = [
    "Account Authentication Expired",
    "Attempted To Connect To Route Port",
    "Authorization Timeout",
    "Authorization Violation",
    "Failed Account Registration",
    "Invalid Client Protocol",
    "Invalid Subject",
    "Maximum Connections Exceeded",
    "Maximum Control Line Exceeded",
    "Maximum Payload Violation",
    "Maximum Subscriptions Exceeded",
    "Parser Error",
    "Permissions Violation",
    "Secure Connection - TLS Required",
    "Slow Consumer",
    "Stale Connection",
    "Unknown Protocol Operation",
];

/// What a message on an awaited inbox says.
pub(super) fn answer(correlation: u64, block: Option<&[u8]>, payload: &[u8]) -> Response {
    let mut response = Response { correlation: Some(correlation), ..Response::default() };
    let status = block.and_then(line::status);
    let error = match (status, jetstream::answer(payload)) {
        (Some(b"503"), _) => Some("no_responders".into()),
        (Some(status), _) if !matches!(status, b"100" | b"200" | b"204") => text(status).map(|status| status.to_owned().into()),
        (_, Some(Answer::Failed(name))) => Some(name),
        (_, Some(Answer::Stored(id))) => {
            response.messages = Box::new([Message { id: Some(id), carried: None }]);
            None
        }
        _ => block.and_then(service_error),
    };
    response.client_error = error;
    response
}

/// Whether a subject belongs to `JetStream` itself: acknowledgements of what nobody saw, and flow control.
pub(super) fn is_flow(subject: &[u8]) -> bool {
    subject.starts_with(jetstream::ACKNOWLEDGE) || subject.starts_with(b"$JS.FC.")
}

/// Whether a subject was made for one answer.
pub(super) fn is_inbox(reply: &[u8]) -> bool {
    reply.starts_with(b"_INBOX") || reply.rsplit(|byte| *byte == b'.').next().is_some_and(|last| last.len() >= UNIQUE)
}

/// Keys of a bucket are of high cardinality by their nature.
pub(super) fn destination(subject: &[u8]) -> Destination<'_> {
    let mut destination = Destination::of_segments(subject);
    if let Some((bucket, _)) = destination.name.as_deref().and_then(|name| name.strip_prefix("$KV.")).and_then(|rest| rest.split_once('.'))
    {
        destination.template = Some(format!("$KV.{bucket}.{{key}}"));
    }
    destination
}

/// What a header block carries.
pub(super) fn carried(block: Option<&[u8]>) -> Option<Arc<Carried>> {
    let mut finder = Finder::default();
    line::headers(block?).for_each(|(name, value)| finder.header(name, value));
    finder.carried()
}

/// The error that a service's answer names in a header (ADR-32): a number.
pub(super) fn service_error(block: &[u8]) -> Option<Cow<'static, str>> {
    let (_, code) = line::headers(block).find(|(name, _)| name.eq_ignore_ascii_case(b"Nats-Service-Error-Code"))?;
    let plain = !code.is_empty() && code.len() <= 5 && code.iter().all(u8::is_ascii_digit);
    plain.then(|| text(code)).flatten().map(|code| code.to_owned().into())
}

/// The name of an error that the server says.
pub(super) fn error_name(text: &[u8]) -> &'static str {
    let is = |name: &&&str| text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes()));
    ERRORS.iter().find(is).copied().unwrap_or("_OTHER")
}
