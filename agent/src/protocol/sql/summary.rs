//! Tokens become a summary: operations and their targets in the order in which they stand, as they were written.
//!
//! A state machine with a bounded memory: what the last operation looks for, and for each open parenthesis whether a query stands in it
//! and whether its commas separate tables.
use super::System;
use super::keyword::Keyword;
use super::lexer::Kind;

/// Longest summary (`db.query.summary`).
const LONGEST: usize = 255;
/// Room that most summaries need.
const USUAL: usize = 48;
/// Longest operation, and longest kind of object.
const LONGEST_OPERATION: usize = 24;
/// Words between `CREATE` and the kind of object, or between it and its name.
const MOST_BETWEEN: u8 = 12;

/// What the one target of a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Collection,
    Procedure,
    Namespace,
    /// An index, a user and so on.
    Object,
}

/// What the next tokens are looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// The operation of a statement.
    Operation,
    /// Operations and clauses within a query.
    Query,
    /// A table.
    Target,
    /// The kind of the object, for at most so many more words.
    Object(u8),
    /// The name of the object.
    Name(u8),
    /// `TRANSACTION` or `BATCH`, which belongs to the operation.
    Unit,
    /// Nothing before the next statement.
    Nothing,
    /// Nothing at all: what follows are the statements in the object.
    Body,
}

/// Where a statement may have operations besides `SELECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operations {
    /// At its beginning.
    First,
    /// Behind what introduces them (`EXPLAIN`, `BEGIN BATCH`), of which nothing is one.
    Introduced,
    /// In parentheses and behind them (`WITH`), or behind `AS`.
    Nested,
}

/// A summary in the making.
pub(super) struct Summary {
    system: System,
    text: String,
    full: bool,
    want: Want,
    /// The operation that came last in this statement.
    operation: Option<Keyword>,
    /// Where else than at its beginning operations may stand.
    more: Operations,
    /// Where the name begins and ends that may go on, and whether a point is behind it.
    name: Option<(usize, usize, bool)>,
    what: What,
    /// The kind of the last token, and what it decided.
    last: (Kind, Option<Keyword>),
    /// The next `SELECT` is part of the one before.
    united: bool,
    /// Of each open parenthesis, the innermost lowest: a query stands in it; its commas separate tables.
    query: u64,
    tables: u64,
    operations: u32,
    targets: u32,
    /// Where the first operation ends.
    operation_end: usize,
    /// Where the last statement and the one before begin.
    statement: usize,
    previous: (usize, usize),
}

impl Summary {
    pub(super) fn new(system: System) -> Self {
        Self {
            system,
            text: String::with_capacity(USUAL),
            full: false,
            want: Want::Operation,
            operation: None,
            more: Operations::First,
            name: None,
            what: What::Object,
            last: (Kind::Semicolon, None),
            united: false,
            query: 0,
            tables: 0,
            operations: 0,
            targets: 0,
            operation_end: 0,
            statement: 0,
            previous: (0, 0),
        }
    }

    /// What follows was cut: a name that it may belong to is not one.
    pub(super) fn cut(&mut self) {
        self.name = None;
    }

    /// Takes the next token that is neither space nor comment.
    pub(super) fn token(&mut self, kind: Kind, keyword: Option<Keyword>, bytes: &[u8], start: usize, end: usize) {
        if self.goes_on(kind, start, end) {
            return;
        }
        self.end_name(bytes);
        let raw = bytes.get(start..end).unwrap_or_default();
        match kind {
            Kind::Semicolon if self.want != Want::Body => self.end_statement(),
            Kind::Word => self.word(keyword, raw, start, end),
            Kind::Quoted if matches!(self.want, Want::Target | Want::Name(_)) => self.begin_name(start, end),
            _ => self.sign(kind),
        }
        self.last = (kind, keyword);
    }

    /// Whether the token belongs to the name before it: `schema.table`.
    fn goes_on(&mut self, kind: Kind, start: usize, end: usize) -> bool {
        let goes_on = |(from, behind, dotted)| {
            let fits = if dotted { matches!(kind, Kind::Word | Kind::Quoted) } else { kind == Kind::Dot };
            (fits && behind == start).then_some((from, end, !dotted))
        };
        let longer = self.name.and_then(goes_on);
        self.name = longer.or(self.name);
        longer.is_some()
    }

    fn begin_name(&mut self, start: usize, end: usize) {
        self.name = Some((start, end, false));
        self.want = match self.want {
            Want::Name(_) if self.operation == Some(Keyword::Define) && self.what == What::Procedure => Want::Body,
            Want::Name(_) => Want::Nothing,
            _ => Want::Query,
        };
    }

    fn end_name(&mut self, bytes: &[u8]) {
        let Some((start, end, dotted)) = self.name.take() else { return };
        let end = end - usize::from(dotted);
        self.targets += 1;
        self.push(bytes.get(start..end).unwrap_or_default());
    }

    /// Adds an operation or a target, unless one did not fit before.
    fn push(&mut self, piece: &[u8]) {
        let piece = String::from_utf8_lossy(piece);
        let space = usize::from(!self.text.is_empty());
        self.full = self.full || self.text.len() + space + piece.len() > LONGEST;
        if !self.full {
            if space > 0 {
                self.text.push(' ');
            }
            self.text.push_str(&piece);
        }
    }

    fn operation(&mut self, raw: &[u8]) {
        self.operations += 1;
        self.push(raw);
        if self.operations == 1 {
            self.operation_end = self.text.len();
        }
    }

    /// Adds a word to the operation before it: `CREATE TABLE`.
    fn extend(&mut self, raw: &[u8]) {
        self.push(raw);
        if self.operations == 1 {
            self.operation_end = self.text.len();
        }
    }

    /// A statement that says what the one before said is not told twice: how many there were is a matter of data.
    fn end_statement(&mut self) {
        let (start, end) = self.previous;
        let this = self.text.get(self.statement..).unwrap_or_default().trim_start();
        if !this.is_empty() {
            if self.text.get(start..end).is_some_and(|previous| previous.trim_start() == this) {
                self.text.truncate(self.statement);
            } else {
                self.previous = (self.statement, self.text.len());
            }
        }
        self.statement = self.text.len();
        self.want = Want::Operation;
        self.operation = None;
        self.more = Operations::First;
        self.united = false;
        (self.query, self.tables) = (0, 0);
    }

    fn word(&mut self, keyword: Option<Keyword>, raw: &[u8], start: usize, end: usize) {
        match self.want {
            Want::Operation => self.first(keyword, raw),
            Want::Query => self.in_query(keyword, raw),
            Want::Target => match keyword {
                Some(Keyword::Between) => {}
                // `TRUNCATE TABLE x`.
                Some(Keyword::Object) if self.last.1 == Some(Keyword::Table) => {}
                Some(Keyword::Select | Keyword::Values | Keyword::With | Keyword::Clause | Keyword::From | Keyword::Insert) => {
                    self.want = Want::Query;
                    self.tables &= !1;
                    self.in_query(keyword, raw);
                }
                _ => self.begin_name(start, end),
            },
            Want::Object(left) => match keyword {
                Some(Keyword::Object | Keyword::Routine) if raw.len() <= LONGEST_OPERATION => {
                    self.what = match keyword {
                        Some(Keyword::Routine) => What::Procedure,
                        _ if raw.eq_ignore_ascii_case(b"table") => What::Collection,
                        _ => What::Object,
                    };
                    self.extend(raw);
                    self.want = Want::Name(MOST_BETWEEN);
                }
                _ => self.want = left.checked_sub(1).map_or(Want::Nothing, Want::Object),
            },
            Want::Name(left) => match keyword {
                Some(Keyword::Between) => self.want = left.checked_sub(1).map_or(Want::Nothing, Want::Name),
                Some(Keyword::On) => self.want = Want::Nothing,
                _ => self.begin_name(start, end),
            },
            Want::Unit => {
                self.want = if keyword == Some(Keyword::Unit) {
                    self.extend(raw);
                    if raw.eq_ignore_ascii_case(b"batch") {
                        self.more = Operations::Introduced;
                        Want::Operation
                    } else {
                        Want::Nothing
                    }
                } else if self.system == System::Cql {
                    Want::Unit
                } else {
                    Want::Nothing
                };
            }
            Want::Nothing | Want::Body => {}
        }
    }

    /// The first word of a statement, or what follows `EXPLAIN`.
    fn first(&mut self, keyword: Option<Keyword>, raw: &[u8]) {
        if self.more == Operations::Introduced
            && !matches!(keyword, Some(Keyword::Select | Keyword::Insert | Keyword::Update | Keyword::Delete | Keyword::With))
        {
            return;
        }
        self.operation = keyword;
        if matches!(keyword, Some(Keyword::With | Keyword::Prepare)) {
            self.more = Operations::Nested;
        }
        self.want = match keyword {
            // Its queries and the operation behind them are told instead.
            Some(Keyword::With) => {
                self.want = Want::Query;
                return;
            }
            Some(Keyword::Select | Keyword::Insert | Keyword::Merge | Keyword::Update | Keyword::Delete) => {
                return self.manipulation(keyword, raw);
            }
            Some(Keyword::Define | Keyword::Drop) => Want::Object(MOST_BETWEEN),
            Some(Keyword::Call) => {
                self.what = What::Procedure;
                Want::Name(0)
            }
            Some(Keyword::Use) => {
                self.what = What::Namespace;
                Want::Name(0)
            }
            Some(Keyword::Table) => {
                self.what = What::Collection;
                self.tables |= 1;
                Want::Target
            }
            Some(Keyword::Explain) => {
                self.more = Operations::Introduced;
                Want::Operation
            }
            Some(Keyword::Prepare) => Want::Query,
            Some(Keyword::Begin) => Want::Unit,
            _ if raw.len() > LONGEST_OPERATION || !raw.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_') => {
                self.want = Want::Nothing;
                return;
            }
            _ => Want::Nothing,
        };
        self.operation(raw);
    }

    /// `SELECT`, `INSERT`, `UPDATE`, `DELETE` and those that are like them.
    fn manipulation(&mut self, keyword: Option<Keyword>, raw: &[u8]) {
        self.operation(raw);
        self.what = What::Collection;
        self.query |= 1;
        self.tables &= !1;
        self.want = match keyword {
            Some(Keyword::Insert | Keyword::Merge) => Want::Target,
            Some(Keyword::Update) => {
                self.tables |= 1;
                Want::Target
            }
            _ => Want::Query,
        };
        self.operation = keyword;
    }

    /// A word within a query.
    fn in_query(&mut self, keyword: Option<Keyword>, raw: &[u8]) {
        let Some(keyword) = keyword else { return };
        match keyword {
            Keyword::Select if std::mem::take(&mut self.united) => self.query |= 1,
            Keyword::Select => self.manipulation(Some(keyword), raw),
            Keyword::Insert | Keyword::Update | Keyword::Delete | Keyword::Merge if self.may_begin() => {
                self.manipulation(Some(keyword), raw);
            }
            Keyword::From if self.query & 1 > 0 && self.last.1 != Some(Keyword::Distinct) => {
                self.tables |= 1;
                self.want = Want::Target;
            }
            Keyword::Join if self.query & 1 > 0 => self.want = Want::Target,
            // `MERGE INTO a USING b`, `DELETE FROM a USING b`; CQL has `USING TIMESTAMP` there.
            Keyword::Using
                if matches!(self.operation, Some(Keyword::Merge | Keyword::Delete)) && self.query & 1 > 0 && self.system != System::Cql =>
            {
                self.tables |= 1;
                self.want = Want::Target;
            }
            Keyword::Union => {
                self.united = true;
                self.tables &= !1;
            }
            Keyword::Clause | Keyword::Values => self.tables &= !1,
            _ => {}
        }
    }

    /// Whether a word that is the name of an operation begins one here, and is not part of a clause such as `FOR UPDATE`.
    fn may_begin(&self) -> bool {
        self.more == Operations::Nested && matches!(self.last, (Kind::Open | Kind::Close, _) | (_, Some(Keyword::As)))
    }

    /// A token that is neither word nor name.
    fn sign(&mut self, kind: Kind) {
        match kind {
            Kind::Open => {
                // The columns of `JOIN a USING (b)`.
                if self.last.1 == Some(Keyword::Using) {
                    self.want = Want::Query;
                }
                // Of a parenthesis around tables, the inside is like the outside.
                let inside = u64::from(self.want == Want::Target);
                self.query = self.query << 1 | inside;
                self.tables = self.tables << 1 | inside;
            }
            Kind::Close => {
                self.query >>= 1;
                self.tables >>= 1;
                if self.want == Want::Target {
                    self.want = Want::Query;
                }
            }
            Kind::Comma if self.want == Want::Query && self.tables & 1 > 0 => self.want = Want::Target,
            Kind::Comma if self.want == Want::Nothing && self.operation == Some(Keyword::Drop) && self.last.0 != Kind::Close => {
                self.want = Want::Name(0);
            }
            _ => match self.want {
                Want::Target => self.want = Want::Query,
                Want::Name(_) => self.want = Want::Nothing,
                Want::Operation if self.more != Operations::Introduced => self.want = Want::Nothing,
                _ => {}
            },
        }
    }

    /// The summary, and if it has one operation and at most one target, where the operation ends and what the target is.
    pub(super) fn finish(mut self, bytes: &[u8]) -> (String, Option<(usize, What)>) {
        self.end_name(bytes);
        self.end_statement();
        let single = self.operations == 1 && self.targets <= 1 && !self.full;
        (self.text, single.then_some((self.operation_end, self.what)))
    }
}
