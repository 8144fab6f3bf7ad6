//! The text of a statement becomes what a span may say of it: the text without its literals, a summary, and the trace context of its
//! comments, in one pass over its bytes.
//!
//! Follows "Sanitization of db.query.text" and "Generating a summary of the query" of the semantic conventions, and the grammar of
//! comments that `SQLCommenter` specifies. Literals never leave this module, and neither do comments. Text that is prepared with
//! placeholders is treated like any other: nobody promised that there is nothing but placeholders in it.
//!
//! Not followed: names that a statement itself defines (`WITH x AS …`) count as targets like tables do; ISO 8601 durations of CQL
//! (`P1Y`), which have no quotes, look like names.
mod comment;
mod keyword;
mod lexer;
mod prepared;
#[cfg(test)]
mod published;
mod summary;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use prepared::Prepared;

use super::context::{Carried, Finder};
use lexer::{Kind, Lexer};
use std::sync::Arc;
use summary::{Summary, What};
use text::Text;

/// Whose grammar of literals and names a statement follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// Also of those that speak its protocol.
    PostgreSql,
    /// And `MariaDB`.
    MySql,
    /// Apache Cassandra's CQL, and Scylla's.
    Cql,
}

/// How the bytes of a statement are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    system: System,
    /// A backslash in an ordinary string is an escape: the next character does not end it.
    backslash: bool,
}

impl Dialect {
    /// As servers are unless told otherwise.
    pub(crate) const POSTGRESQL: Self = Self { system: System::PostgreSql, backslash: false };
    /// As servers are unless told otherwise.
    pub(crate) const MYSQL: Self = Self { system: System::MySql, backslash: true };
    /// CQL has no escapes.
    #[allow(dead_code, reason = "for the decoder that speaks it")]
    pub(crate) const CQL: Self = Self { system: System::Cql, backslash: false };

    /// The same where a server said whether backslashes are escapes: `standard_conforming_strings` of `PostgreSQL`, and
    /// `NO_BACKSLASH_ESCAPES` of `MySQL`.
    #[must_use]
    pub(crate) fn with_backslash(self, backslash: bool) -> Self {
        Self { backslash, ..self }
    }
}

/// What may be said of a statement, or of several in one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Statement {
    /// `db.query.text`: `?` for every literal; bounded, and cut behind a token.
    pub(crate) text: String,
    /// `db.query.summary`, which is the span's name too: operations and their targets, in order. Empty if no operation was found.
    pub(crate) summary: String,
    /// What its comments say about its trace.
    pub(crate) carried: Option<Arc<Carried>>,
    /// Where the operation ends in the summary and what the target is, if there is one of each.
    single: Option<(usize, What)>,
}

impl Statement {
    /// The operation, if there is one only: `SELECT`, `CREATE TABLE`.
    pub(crate) fn operation(&self) -> Option<&str> {
        self.summary.get(..self.single?.0)
    }

    /// The table, if there is one operation on one table.
    #[allow(dead_code, reason = "for languages in which a statement has one target")]
    pub(crate) fn collection(&self) -> Option<&str> {
        self.target(What::Collection)
    }

    /// The procedure that it calls.
    pub(crate) fn procedure(&self) -> Option<&str> {
        self.target(What::Procedure).filter(|_| !self.operation().is_some_and(|operation| operation.contains(' ')))
    }

    /// The database, schema or keyspace that it makes the current one (`USE`), as it was written, quotes included.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.target(What::Namespace)
    }

    fn target(&self, wanted: What) -> Option<&str> {
        let (end, what) = self.single?;
        self.summary.get(end + 1..).filter(|target| what == wanted && !target.is_empty())
    }
}

/// Reads a statement. Unless it is `whole`, more would have followed, and what was cut is left out.
pub(crate) fn read(bytes: &[u8], dialect: Dialect, whole: bool) -> Statement {
    let mut text = Text::new(bytes.len());
    let mut summary = Summary::new(dialect.system);
    let mut finder = Finder::default();
    for token in Lexer::new(bytes, dialect) {
        let raw = bytes.get(token.start..token.end).unwrap_or_default();
        let cut = !whole && token.end == bytes.len() && matches!(token.kind, Kind::Word | Kind::Quoted | Kind::Placeholder | Kind::Dot);
        if cut {
            // Nobody knows what it would have become.
            summary.cut();
            break;
        }
        match token.kind {
            Kind::Space | Kind::Mark => {}
            Kind::Comment => comment::read(raw, &mut finder),
            kind => summary.token(kind, token.keyword, bytes, token.start, token.end),
        }
        text.token(token.kind, token.keyword, raw);
    }
    let (summary, single) = summary.finish(bytes);
    Statement { text: text.finish(), summary, carried: finder.carried(), single }
}
