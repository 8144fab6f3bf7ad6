//! gRPC over HTTP (the protocol document `PROTOCOL-HTTP2.md` and `PROTOCOL-WEB.md` of the gRPC project): what HTTP carries becomes the
//! names and the outcome of a call. Of messages only their lengths are looked at, and of gRPC-Web the trailers among them.
mod messages;
mod status;

pub(super) use messages::Messages;
pub use status::NAMES as STATUS_NAMES;

use super::attribute::{Attribute, On};
use super::http1::request::Fields;
use super::{Abort, Kind, Request, Response, telemetry};
use crate::semconv;
use status::Status;
use std::borrow::Cow;

/// Name of the system, and of spans whose method is not known.
const GRPC: &str = "grpc";
/// Longest method that names a span: longer ones are no identifiers.
const LONGEST_METHOD: usize = 255;

/// A call that has begun.
#[derive(Debug)]
pub(super) struct Call {
    /// Package, service and method, as the path had them.
    method: Option<Box<str>>,
    /// Nanoseconds that the client gives the server.
    deadline: Option<u64>,
    /// The status is known.
    ended: bool,
    /// What the client sends.
    pub(super) sent: Messages,
    /// What the server sends.
    pub(super) received: Messages,
}

impl Call {
    /// The call that a request makes; `None` if it is no gRPC. Without `path`, the method is not known.
    pub(super) fn read(content_type: &[u8], path: Option<&[u8]>, timeout: Option<&[u8]>) -> Option<Self> {
        let kind = content_type.strip_prefix(b"application/grpc")?;
        let kind = kind.split(|b| b"+;".contains(b)).next().unwrap_or_default();
        let (sent, received) = match kind {
            b"" => (Messages::default(), Messages::default()),
            b"-web" => (Messages::default(), Messages::with_trailers()),
            b"-web-text" => (Messages::uncountable(), Messages::uncountable()),
            _ => return None,
        };
        let method = path.and_then(|path| std::str::from_utf8(path.strip_prefix(b"/")?).ok());
        let method = method.map(|method| method.get(..method.floor_char_boundary(LONGEST_METHOD)).unwrap_or_default().into());
        Some(Self { method, deadline: timeout.and_then(nanos), ended: false, sent, received })
    }

    /// A call whose beginning could not be read.
    pub(super) fn unseen() -> Self {
        Self { method: None, deadline: None, ended: false, sent: Messages::uncountable(), received: Messages::uncountable() }
    }

    /// The request of the call.
    pub(super) fn request(&self, fields: &Fields<'_>, version: &'static str) -> Request {
        let mut attributes = vec![Attribute::both(semconv::WIRESPAN_PROTOCOL, GRPC), Attribute::both(semconv::RPC_SYSTEM_NAME, GRPC)];
        let name = match self.method.as_deref() {
            None => Cow::Borrowed(GRPC),
            Some(method) if is_method(method) => {
                attributes.push(Attribute::both(semconv::RPC_METHOD, method.to_owned()));
                Cow::Owned(method.to_owned())
            }
            Some(_) => {
                attributes.extend(self.unknown_method());
                Cow::Borrowed(GRPC)
            }
        };
        fields.server(&mut attributes);
        attributes.push(Attribute::both(semconv::NETWORK_PROTOCOL_VERSION, version));
        let exports = self.method.as_deref().is_some_and(|method| telemetry::is_trace_export("POST", format!("/{method}").as_bytes()));
        Request { attributes, carried: fields.carried(), exports, ..Request::new(Kind::Service, name) }
    }

    /// What the beginning of a response says. A whole response may be no more than that.
    pub(super) fn answer(&mut self, http_status: Option<u16>, grpc_status: Option<&[u8]>) -> Response {
        match (grpc_status.and_then(Status::read), http_status) {
            (Some(status), _) => self.outcome(status),
            (None, Some(refused)) if refused != 200 => self.outcome(Status::of_http(refused)),
            _ => Response::default(),
        }
    }

    /// What the end of a response says, and how many messages there were. With `certain`, a status would have been seen.
    pub(super) fn trailer(&mut self, grpc_status: Option<&[u8]>, certain: bool) -> Response {
        let in_body = self.received.trailer(b"grpc-status");
        let mut response = match grpc_status.or(in_body).and_then(Status::read) {
            Some(status) => self.outcome(status),
            None if certain && !self.ended && self.received.count().is_some() => self.outcome(Status::UNKNOWN),
            None => Response::default(),
        };
        let counts =
            [(semconv::WIRESPAN_RPC_REQUEST_MESSAGES, self.sent.count()), (semconv::WIRESPAN_RPC_RESPONSE_MESSAGES, self.received.count())];
        response.attributes.extend(counts.into_iter().filter_map(|(key, count)| Some(Attribute::both(key, i64::from(count?)))));
        response
    }

    /// What it means that a side gave the call up with an error code of HTTP/2 (RFC 9113 section 7).
    pub(super) fn abort(&mut self, code: u32, by_client: bool) -> Abort {
        let status = Status::of_reset(code);
        let mut outcome = self.outcome(status);
        if by_client {
            // What the server makes of it is its own affair.
            outcome.attributes.iter_mut().for_each(|attribute| attribute.on = On::Client);
        }
        let late = self.deadline.filter(|_| status == Status::CANCELLED).map(|deadline| {
            // Whose time it is, both sides know. Clients count from before they send, and round what they say.
            (deadline - deadline / 16, self.outcome(Status::DEADLINE_EXCEEDED))
        });
        Abort { outcome, late }
    }

    fn outcome(&mut self, status: Status) -> Response {
        self.ended = true;
        let mut attributes = vec![Attribute::both(semconv::RPC_RESPONSE_STATUS_CODE, status.name())];
        // A method that nobody has: whoever asks may ask for anything.
        let unknown = status == Status::UNIMPLEMENTED && self.method.is_some();
        if unknown {
            attributes.extend(self.unknown_method());
        }
        Response {
            attributes,
            client_error: status.is_client_error().then(|| status.name().into()),
            server_error: status.is_server_error().then(|| status.name().into()),
            name: unknown.then(|| GRPC.into()),
            ..Response::default()
        }
    }

    fn unknown_method(&self) -> impl Iterator<Item = Attribute> + use<> {
        let original = self.method.as_deref().unwrap_or_default().to_owned();
        [Attribute::both(semconv::RPC_METHOD, "_OTHER"), Attribute::both(semconv::RPC_METHOD_ORIGINAL, original)].into_iter()
    }
}

/// Whether it is a service and a method of it; services of Dubbo may be classes within classes.
fn is_method(text: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-$".contains(&b));
    text.len() < LONGEST_METHOD && text.split_once('/').is_some_and(|(service, method)| plain(service) && plain(method))
}

/// A `grpc-timeout`: at most eight digits and a unit.
fn nanos(text: &[u8]) -> Option<u64> {
    let (unit, digits) = text.split_last()?;
    let unit = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    let number: u64 = std::str::from_utf8(digits).ok().filter(|digits| digits.len() <= 8 && !digits.starts_with('+'))?.parse().ok()?;
    number.checked_mul(unit)
}
