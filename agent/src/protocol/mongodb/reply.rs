//! A server's message becomes an answer: whether it failed, and whether it brought anything.
use super::bson::{self, Element, Value};
use super::header::{self, Header, Kind};
use super::query;

/// Longest name of an error.
const MAX_NAME: usize = 64;
/// The older kind of reply: the query failed.
const QUERY_FAILURE: u32 = 1 << 1;

/// Errors that come without their names, from `error_codes.yml` of the server.
const NAMES: [(i64, &str); 20] = [
    (2, "BadValue"),
    (9, "FailedToParse"),
    (13, "Unauthorized"),
    (14, "TypeMismatch"),
    (18, "AuthenticationFailed"),
    (26, "NamespaceNotFound"),
    (28, "PathNotViable"),
    (43, "CursorNotFound"),
    (48, "NamespaceExists"),
    (50, "MaxTimeMSExpired"),
    (52, "DollarPrefixedFieldName"),
    (57, "DottedFieldName"),
    (59, "CommandNotFound"),
    (64, "WriteConcernTimeout"),
    (66, "ImmutableField"),
    (112, "WriteConflict"),
    (121, "DocumentValidationFailure"),
    (251, "NoSuchTransaction"),
    (10107, "NotWritablePrimary"),
    (11000, "DuplicateKey"),
];

/// An error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Its number; zero if the server gave none.
    pub(super) code: i64,
    /// Its name, if it is known.
    pub(super) name: Option<String>,
}

/// An answer, as far as it could be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The error.
    pub(super) failure: Option<Failure>,
    /// It is a batch of a cursor that is still open, with nothing in it.
    pub(super) empty: bool,
    /// More replies follow that nobody asks for.
    pub(super) more_to_come: bool,
}

/// The answer in a server's message, of which the first bytes are there.
pub(super) fn read(header: &Header, message: &[u8]) -> Reply {
    let mut reply = Reply::default();
    match header.kind {
        Kind::Message => {
            if let Some((flags, document)) = query::body(message, header.len) {
                reply.more_to_come = flags.more_to_come();
                reply.document(document);
            }
        }
        Kind::Reply => {
            // Flags, the cursor, where it starts, how many documents, and these.
            let flags = message.get(header::LENGTH..).and_then(bson::length).unwrap_or(0);
            reply.document(message.get(header::LENGTH + 20..).unwrap_or_default());
            if flags & QUERY_FAILURE != 0 && reply.failure.is_none() {
                reply.failure = Some(Failure { code: 0, name: None });
            }
        }
        _ => {}
    }
    reply
}

impl Reply {
    fn document(&mut self, document: &[u8]) {
        let (mut failed, mut code, mut codename, mut write) = (false, 0, None, None);
        for Element { key, value } in bson::elements(document) {
            match (key, value) {
                (b"ok", Value::Number(ok)) => failed = ok == 0,
                (b"code", Value::Number(number)) => code = number,
                (b"codeName", Value::Text(text)) => codename = Some(text),
                // The errors of a write, of which the first counts.
                (b"writeErrors", Value::Document(errors)) => {
                    write = bson::elements(errors).next().map(|first| failure(first.value)).or(write);
                }
                (b"writeConcernError", value @ Value::Document(_)) => write = write.or(Some(failure(value))),
                (b"cursor", Value::Document(cursor)) => self.empty = is_empty(cursor),
                _ => {}
            }
        }
        self.failure = if failed { Some(Failure { code, name: name(code, codename) }) } else { write };
    }
}

/// An error that stands in a document of its own.
fn failure(value: Value<'_>) -> Failure {
    let (mut code, mut codename) = (0, None);
    if let Value::Document(document) = value {
        for element in bson::elements(document) {
            match (element.key, element.value) {
                (b"code", Value::Number(number)) => code = number,
                (b"codeName", Value::Text(text)) => codename = Some(text),
                _ => {}
            }
        }
    }
    Failure { code, name: name(code, codename) }
}

/// Whether a cursor is open and its next batch empty.
fn is_empty(cursor: &[u8]) -> bool {
    let (mut open, mut empty) = (false, false);
    for element in bson::elements(cursor) {
        match (element.key, element.value) {
            (b"id", Value::Number(id)) => open = id != 0,
            (b"nextBatch", Value::Document(batch)) => empty = bson::length(batch) == Some(5),
            _ => {}
        }
    }
    open && empty
}

fn name(code: i64, said: Option<&str>) -> Option<String> {
    let is_name = |name: &&str| !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let known = NAMES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name);
    known.or(said.filter(is_name)).map(str::to_owned)
}
