//! A client's message becomes a command: which, about what, and whether it is answered.
use super::bson::{self, Value};
use super::command::{self, Command, Target};
use super::header::{self, Header, Kind};

const CHECKSUM: u32 = 1;
const MORE_TO_COME: u32 = 1 << 1;
/// Flags of the lower half that somebody does not know make a message invalid.
const UNKNOWN: u32 = 0xffff & !(CHECKSUM | MORE_TO_COME);
/// Longest name of a database or collection.
const MAX_NAME: usize = 255;

/// A command, as far as it could be read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query<'a> {
    /// Which.
    pub(super) command: Option<Command>,
    /// The database.
    pub(super) database: Option<&'a str>,
    /// The collection.
    pub(super) collection: Option<&'a str>,
    /// Whether nobody answers it.
    pub(super) unanswered: bool,
    /// Whether it is compressed.
    pub(super) compressed: bool,
}

/// The sections of an `OP_MSG`: its flags, and the one document that says what it is.
pub(super) fn body(message: &[u8], len: u32) -> Option<(Flags, &[u8])> {
    let (flags, mut sections) = message.get(header::LENGTH..)?.split_first_chunk()?;
    let flags = Flags(u32::from_le_bytes(*flags));
    // A checksum stands behind the last section.
    let behind = if flags.0 & CHECKSUM != 0 { 4 } else { 0 };
    if let Some(inside) = message.get(..len.saturating_sub(behind) as usize) {
        sections = inside.get(header::LENGTH + 4..)?;
    }
    // Documents of a write may stand before the command, each kind in a section of its own.
    while let Some((kind, section)) = sections.split_first() {
        match kind {
            0 => return Some((flags, section)),
            1 => sections = bson::length(section).filter(|len| *len >= 5).and_then(|len| section.get(len as usize..))?,
            _ => return None,
        }
    }
    None
}

/// Flags of an `OP_MSG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(pub(super) u32);

impl Flags {
    /// Whether all of them are known that have to be.
    pub(super) fn are_known(self) -> bool {
        self.0 & UNKNOWN == 0
    }

    /// Whether another message follows without being asked for, or no answer is wanted.
    pub(super) fn more_to_come(self) -> bool {
        self.0 & MORE_TO_COME != 0
    }
}

/// The command in a client's message, of which the first bytes are there.
pub(super) fn read<'a>(header: &Header, message: &'a [u8]) -> Query<'a> {
    let mut query = Query::default();
    match header.kind {
        Kind::Message => {
            if let Some((flags, document)) = body(message, header.len) {
                query.unanswered = flags.more_to_come();
                query.command(document);
            }
        }
        Kind::Compressed => query.compressed = true,
        Kind::Query => {
            // Flags, then the collection, how many to leave out and to give, and the document.
            if let Some((namespace, rest)) = message.get(header::LENGTH + 4..).and_then(bson::text) {
                query.namespace(namespace);
                let document = rest.get(8..).unwrap_or_default();
                if query.collection == Some("$cmd") {
                    query.collection = None;
                    query.command(document);
                } else {
                    query.command = command::find(b"find");
                }
            }
        }
        Kind::GetMore => query.older("getMore", message, Some(4)),
        Kind::Unanswered(name, before) => {
            query.unanswered = true;
            query.older(name, message, before);
        }
        Kind::Reply => {}
    }
    query
}

impl<'a> Query<'a> {
    fn older(&mut self, name: &str, message: &'a [u8], before: Option<usize>) {
        self.command = command::find(name.as_bytes());
        let namespace = before.and_then(|before| message.get(header::LENGTH + before..)).and_then(bson::text);
        if let Some((namespace, _)) = namespace {
            self.namespace(namespace);
        }
    }

    /// `DATABASE.COLLECTION`.
    fn namespace(&mut self, namespace: &'a [u8]) {
        let parts = std::str::from_utf8(namespace).ok().and_then(|namespace| namespace.split_once('.'));
        if let Some((database, collection)) = parts {
            (self.database, self.collection) = (name(database), name(collection));
        }
    }

    /// The document of a command: its first name is the command's, and its database stands behind everything else.
    fn command(&mut self, document: &'a [u8]) {
        let mut elements = bson::elements(document).peekable();
        // Around a command there may be a document with options, from older drivers.
        if let Some(bson::Element { key: b"$query" | b"query", value: Value::Document(inner) }) = elements.peek() {
            elements = bson::elements(inner).peekable();
        }
        let Some(first) = elements.next() else { return };
        self.command = command::find(first.key);
        let target = self.command.map_or(Target::None, |command| command.target);
        if let (Target::First, Value::Text(text)) = (target, first.value) {
            self.collection = name(text);
        }
        for element in elements {
            match (element.key, element.value) {
                (b"$db", Value::Text(text)) => {
                    self.database = name(text);
                    break;
                }
                (b"collection", Value::Text(text)) if target == Target::Field => self.collection = name(text),
                _ => {}
            }
        }
    }
}

/// A name of a database or collection, if it is one.
fn name(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty() && text.len() <= MAX_NAME && !text.contains(char::is_control))
}
