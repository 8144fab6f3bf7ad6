//! One connection: messages of both sides become calls and their outcomes.
use super::message::{Form, Kind, LONGEST_EXCEPTION, Message, Stop, exception, result};
use super::walk::Walk;
use crate::protocol::attribute::Attribute;
use crate::protocol::{Decoder, Head, Request, Response, Side, Step, Take};
use crate::semconv;
use std::borrow::Cow;

/// Name of the system, and of spans whose method is not known.
const THRIFT: &str = "thrift";
/// Names of what a `TApplicationException` says, by number.
const EXCEPTIONS: [&str; 11] = [
    "UNKNOWN",
    "UNKNOWN_METHOD",
    "INVALID_MESSAGE_TYPE",
    "WRONG_METHOD_NAME",
    "BAD_SEQUENCE_ID",
    "MISSING_RESULT",
    "INTERNAL_ERROR",
    "PROTOCOL_ERROR",
    "INVALID_TRANSFORM",
    "INVALID_PROTOCOL",
    "UNSUPPORTED_CLIENT_TYPE",
];
/// The number of a method that nobody has.
const UNKNOWN_METHOD: u32 = 1;

/// A connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// How its messages are written, once one was seen.
    form: Option<Form>,
    /// By side, the struct at hand, where no length says where it ends.
    walks: [Option<Walk>; 2],
}

impl Session {
    fn message(&mut self, from: Side, bytes: &[u8]) -> Result<Take, Stop> {
        let message = Message::read(bytes)?;
        if self.form.is_some_and(|form| form != message.form) {
            return Err(Stop::Invalid);
        }
        let whole = message.whole.and_then(|whole| usize::try_from(whole).ok()).and_then(|whole| bytes.get(..whole)).unwrap_or(bytes);
        let body = whole.get(message.used..).unwrap_or_default();
        let head = match (from, message.kind) {
            (Side::Client, Kind::Call | Kind::OneWay) => Head::Request(request(&message)),
            (Side::Server, Kind::Reply | Kind::Exception) => Head::Response(response(&message, body)?),
            _ => return Err(Stop::Invalid),
        };
        self.form = Some(message.form);
        if message.whole.is_none()
            && let Some(walk) = self.walks.get_mut(from as usize)
        {
            *walk = Some(Walk::new(message.form.encoding));
        }
        let head_len = message.used as u64;
        let used = message.whole.unwrap_or(head_len);
        Ok(Take { used, start: true, head: Some(Box::new(head)), head_len, end: message.whole.is_some(), ..Take::default() })
    }
}

/// Which answer belongs to which call: several may be open. Clients that do not count say zero, and have one at a time.
fn correlation(message: &Message<'_>) -> Option<u64> {
    (message.sequence != 0).then(|| message.sequence.into())
}

fn request(message: &Message<'_>) -> Request {
    // Where several services are behind one port, the client says which.
    let method = match message.name.split_once(':') {
        Some((service, method)) => format!("{service}/{method}"),
        None => message.name.to_owned(),
    };
    let attributes = vec![Attribute::both(semconv::RPC_SYSTEM_NAME, THRIFT), Attribute::both(semconv::RPC_METHOD, method.clone())];
    Request {
        attributes,
        correlation: correlation(message),
        answered: message.kind == Kind::Call,
        ..Request::new(crate::protocol::Kind::Service, method)
    }
}

fn response(message: &Message<'_>, body: &[u8]) -> Result<Response, Stop> {
    let mut response = Response { correlation: correlation(message), ..Response::default() };
    let encoding = message.form.encoding;
    let enough = body.len() >= LONGEST_EXCEPTION || message.whole.is_some_and(|whole| body.len() as u64 + message.used as u64 >= whole);
    if message.kind == Kind::Reply {
        let field = match result(encoding, body) {
            Err(Stop::More) if enough => 0,
            found => found?,
        };
        if field != 0 {
            // What the service declares is an answer like others to the server.
            response.client_error = Some("declared_exception".into());
            response.attributes.push(Attribute::both(semconv::WIRESPAN_THRIFT_EXCEPTION_FIELD, i64::from(field)));
        }
        return Ok(response);
    }
    let number = match exception(encoding, body) {
        Err(Stop::More) if !enough => return Err(Stop::More),
        found => found.ok().flatten(),
    };
    let name = number.and_then(|number| EXCEPTIONS.get(number as usize)).copied().unwrap_or("UNKNOWN");
    response.attributes.push(Attribute::both(semconv::RPC_RESPONSE_STATUS_CODE, name));
    response.client_error = Some(Cow::Borrowed(name));
    response.server_error = Some(Cow::Borrowed(name));
    if number == Some(UNKNOWN_METHOD) {
        // Whoever asks for what is not there may ask for anything.
        response.name = Some(Cow::Borrowed(THRIFT));
        response.attributes.push(Attribute::both(semconv::RPC_METHOD, "_OTHER"));
        response.attributes.push(Attribute::both(semconv::RPC_METHOD_ORIGINAL, message.name.to_owned()));
    }
    Ok(response)
}

impl Decoder for Session {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        let taken = match self.walks.get_mut(from as usize) {
            Some(Some(walk)) => walk.step(bytes).and_then(|used| {
                let end = walk.is_over();
                if used == 0 && !end { Err(Stop::More) } else { Ok(Take { used, end, ..Take::default() }) }
            }),
            _ => self.message(from, bytes),
        };
        match taken {
            Ok(take) => {
                if let (true, Some(walk)) = (take.end, self.walks.get_mut(from as usize)) {
                    *walk = None;
                }
                Step::Take(take)
            }
            Err(Stop::More) => Step::More,
            Err(Stop::Invalid) => Step::Invalid,
        }
    }

    fn lost(&mut self, from: Side) {
        if let Some(walk) = self.walks.get_mut(from as usize) {
            *walk = None;
        }
    }
}
