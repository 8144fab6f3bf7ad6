//! The words that decide how a statement is read.

/// The longest of them.
const LONGEST: usize = 13;

/// A word that decides something. Words that decide the same are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Select,
    /// `INSERT`, `REPLACE` and `MERGE`: the next name is the target.
    Insert,
    Merge,
    Update,
    Delete,
    With,
    /// `CREATE` and `ALTER`: a kind of object and its name follow.
    Define,
    Drop,
    /// A kind of object.
    Object,
    /// A kind of object that has statements in it.
    Routine,
    /// `CALL`, `EXEC`, `EXECUTE`.
    Call,
    Use,
    /// `COPY`, `TRUNCATE`, `DESCRIBE`: a table follows.
    Table,
    Explain,
    Prepare,
    /// `BEGIN`, `START`, `APPLY`.
    Begin,
    /// `TRANSACTION`, `BATCH`: belongs to the operation before it.
    Unit,
    From,
    Join,
    Using,
    Union,
    Distinct,
    As,
    /// Begins a clause in which commas separate no tables.
    Clause,
    Values,
    In,
    /// `TRUE` and `FALSE`, which are literals.
    Boolean,
    /// Stands between an operation and its target without being one: `INTO`, `ONLY`, `IF NOT EXISTS`.
    Between,
    /// Ends the search for a name: `ON`.
    On,
}

/// What a word decides, in any case; `None` for names and all else.
pub(super) fn find(word: &[u8]) -> Option<Keyword> {
    let mut lower = [0; LONGEST];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"select" => Keyword::Select,
        b"insert" | b"replace" => Keyword::Insert,
        b"merge" => Keyword::Merge,
        b"update" => Keyword::Update,
        b"delete" => Keyword::Delete,
        b"with" => Keyword::With,
        b"create" | b"alter" => Keyword::Define,
        b"drop" => Keyword::Drop,
        b"table" | b"view" | b"index" | b"database" | b"schema" | b"keyspace" | b"sequence" | b"user" | b"role" | b"type" | b"domain"
        | b"extension" | b"policy" | b"publication" | b"subscription" | b"server" | b"tablespace" | b"collation" | b"statistics" => {
            Keyword::Object
        }
        b"procedure" | b"function" | b"trigger" | b"event" | b"rule" | b"aggregate" => Keyword::Routine,
        b"call" | b"exec" | b"execute" => Keyword::Call,
        b"use" => Keyword::Use,
        b"copy" | b"truncate" | b"describe" | b"desc" => Keyword::Table,
        b"explain" => Keyword::Explain,
        b"prepare" | b"declare" => Keyword::Prepare,
        b"begin" | b"start" | b"apply" => Keyword::Begin,
        b"transaction" | b"batch" => Keyword::Unit,
        b"from" => Keyword::From,
        b"join" | b"straight_join" => Keyword::Join,
        b"using" => Keyword::Using,
        b"union" | b"except" | b"intersect" | b"minus" => Keyword::Union,
        b"distinct" => Keyword::Distinct,
        b"as" => Keyword::As,
        b"where" | b"group" | b"order" | b"having" | b"limit" | b"offset" | b"fetch" | b"window" | b"for" | b"returning" | b"set" => {
            Keyword::Clause
        }
        b"values" => Keyword::Values,
        b"in" => Keyword::In,
        b"true" | b"false" => Keyword::Boolean,
        b"into" | b"only" | b"lateral" | b"ignore" | b"low_priority" | b"high_priority" | b"delayed" | b"if" | b"not" | b"exists"
        | b"concurrently" => Keyword::Between,
        b"on" => Keyword::On,
        _ => return None,
    })
}
