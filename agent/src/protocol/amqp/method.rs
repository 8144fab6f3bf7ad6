//! Methods and codes by their names (section 1 of the specification's reference, and `RabbitMQ`'s extensions).
use crate::protocol::Side;

/// Class and number of a method.
pub(super) type Id = (u16, u16);

pub(super) const CONNECTION_START: Id = (10, 10);
pub(super) const CONNECTION_START_OK: Id = (10, 11);
pub(super) const CONNECTION_TUNE_OK: Id = (10, 31);
pub(super) const CONNECTION_OPEN_OK: Id = (10, 41);
pub(super) const CONNECTION_CLOSE: Id = (10, 50);
pub(super) const CHANNEL_OPEN: Id = (20, 10);
pub(super) const CHANNEL_CLOSE: Id = (20, 40);
pub(super) const QUEUE_DECLARE: Id = (50, 10);
pub(super) const QUEUE_DECLARE_OK: Id = (50, 11);
pub(super) const BASIC_CONSUME: Id = (60, 20);
pub(super) const BASIC_CONSUME_OK: Id = (60, 21);
pub(super) const BASIC_PUBLISH: Id = (60, 40);
pub(super) const BASIC_RETURN: Id = (60, 50);
pub(super) const BASIC_DELIVER: Id = (60, 60);
pub(super) const BASIC_GET: Id = (60, 70);
pub(super) const BASIC_GET_OK: Id = (60, 71);
pub(super) const BASIC_GET_EMPTY: Id = (60, 72);
pub(super) const BASIC_ACK: Id = (60, 80);
pub(super) const BASIC_REJECT: Id = (60, 90);
pub(super) const BASIC_NACK: Id = (60, 120);
pub(super) const CONFIRM_SELECT: Id = (85, 10);

/// A method that a client calls and the broker answers.
#[derive(Debug)]
pub(super) struct Call {
    /// Which.
    pub(super) id: Id,
    /// The method that answers it.
    pub(super) ok: Id,
    /// Its name, if it is told.
    pub(super) name: Option<&'static str>,
    /// Short strings behind the reserved number, the first of which names what it is about.
    pub(super) strings: u8,
    /// The bit that says, in the byte behind these, that no answer shall come.
    pub(super) no_wait: u8,
}

const fn call(id: Id, ok: u16, name: &'static str, strings: u8, no_wait: u8) -> Call {
    Call { id, ok: (id.0, ok), name: Some(name), strings, no_wait }
}

const fn quiet(id: Id, ok: u16) -> Call {
    Call { id, ok: (id.0, ok), name: None, strings: 0, no_wait: 0 }
}

/// Every call but those of the connection.
const CALLS: [Call; 21] = [
    call(BASIC_GET, 71, "basic.get", 1, 0),
    call(BASIC_CONSUME, 21, "basic.consume", 2, 1 << 3),
    call(QUEUE_DECLARE, 11, "queue.declare", 1, 1 << 4),
    call((50, 20), 21, "queue.bind", 3, 1),
    call((50, 30), 31, "queue.purge", 1, 1),
    call((50, 40), 41, "queue.delete", 1, 1 << 2),
    call((50, 50), 51, "queue.unbind", 3, 0),
    call((40, 10), 11, "exchange.declare", 2, 1 << 4),
    call((40, 20), 21, "exchange.delete", 1, 1 << 1),
    call((40, 30), 31, "exchange.bind", 3, 1),
    call((40, 40), 51, "exchange.unbind", 3, 1),
    call((90, 20), 21, "tx.commit", 0, 0),
    call((90, 30), 31, "tx.rollback", 0, 0),
    quiet((90, 10), 11),
    quiet(CHANNEL_OPEN, 11),
    quiet((20, 20), 21),
    quiet(CHANNEL_CLOSE, 41),
    quiet((60, 10), 11),
    quiet((60, 30), 31),
    quiet((60, 110), 111),
    quiet(CONFIRM_SELECT, 11),
];

/// The call with that number.
pub(super) fn find(id: Id) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.id == id)
}

/// Whether `from` may say this.
pub(super) fn is_known(from: Side, id: Id) -> bool {
    let (client, server): (&[u16], &[u16]) = match id.0 {
        10 => (&[11, 21, 31, 40, 50, 51, 70], &[10, 20, 30, 41, 50, 51, 60, 61, 71]),
        20 => (&[10, 20, 21, 40, 41], &[11, 20, 21, 40, 41]),
        40 => (&[10, 20, 30, 40], &[11, 21, 31, 51]),
        50 => (&[10, 20, 30, 40, 50], &[11, 21, 31, 41, 51]),
        60 => (&[10, 20, 30, 31, 40, 70, 80, 90, 100, 110, 120], &[11, 21, 30, 31, 50, 60, 71, 72, 80, 111, 120]),
        85 => (&[10], &[11]),
        90 => (&[10, 20, 30], &[11, 21, 31]),
        _ => (&[], &[]),
    };
    let known = if from == Side::Client { client } else { server };
    known.contains(&id.1)
}

/// Names of reply codes; 200 is none.
const CODES: [(u16, &str); 18] = [
    (311, "CONTENT_TOO_LARGE"),
    (312, "NO_ROUTE"),
    (313, "NO_CONSUMERS"),
    (320, "CONNECTION_FORCED"),
    (402, "INVALID_PATH"),
    (403, "ACCESS_REFUSED"),
    (404, "NOT_FOUND"),
    (405, "RESOURCE_LOCKED"),
    (406, "PRECONDITION_FAILED"),
    (501, "FRAME_ERROR"),
    (502, "SYNTAX_ERROR"),
    (503, "COMMAND_INVALID"),
    (504, "CHANNEL_ERROR"),
    (505, "UNEXPECTED_FRAME"),
    (506, "RESOURCE_ERROR"),
    (530, "NOT_ALLOWED"),
    (540, "NOT_IMPLEMENTED"),
    (541, "INTERNAL_ERROR"),
];

/// The name of a reply code, if it is an error.
pub(super) fn error(code: u16) -> Option<&'static str> {
    (code != 200).then(|| CODES.iter().find(|(known, _)| *known == code).map_or("_OTHER", |(_, name)| name))
}
