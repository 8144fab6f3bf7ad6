//! What became of every record and every span: the sums are equal, or something was lost silently.
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Counts of one kind of thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many came in.
    pub taken: u64,
    /// How many came out.
    pub given: u64,
    /// How many were dropped, by stage and cause.
    pub dropped: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts one thing that came in, and came out or was dropped.
    pub fn count(&mut self, outcome: Result<(), &'static str>) {
        self.taken += 1;
        match outcome {
            Ok(()) => self.given += 1,
            Err(cause) => self.drop(cause, 1),
        }
    }

    /// Counts `count` drops for `cause`.
    pub fn drop(&mut self, cause: &'static str, count: u64) {
        if count > 0 {
            *self.dropped.entry(cause).or_default() += count;
        }
    }

    /// All drops.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether everything that came in came out or was dropped for a cause.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.taken == self.given + self.lost()
    }
}

/// Records and spans of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// Records: made by the source, used by the pipeline.
    pub records: Tally,
    /// Spans: made by the pipeline, exported.
    pub spans: Tally,
    /// Spans made, without those dropped for `sdk`, by how their links were found; a reason stands behind a colon.
    pub links: BTreeMap<Cow<'static, str>, u64>,
    /// What did not become a span although it might look like one, by stage and cause; for people, not for sums.
    pub remarks: BTreeMap<&'static str, u64>,
}

impl fmt::Display for Accounting {
    /// One line of JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, spans) = (&self.records, &self.spans);
        write!(
            f,
            "{{\"accounting\":{{\"records\":{{\"in\":{},\"used\":{},\"dropped\":{{{}}}}},\"spans\":{{\"made\":{},\"exported\":{},\"dropped\":{{{}}}}},\"links\":{{{}}}}}",
            records.taken,
            records.given,
            object(&records.dropped),
            spans.taken,
            spans.given,
            object(&spans.dropped),
            object(&self.links),
        )?;
        if !self.remarks.is_empty() {
            write!(f, ",\"remarks\":{{{}}}", object(&self.remarks))?;
        }
        f.write_str("}")
    }
}

/// The inside of a JSON object; no name needs an escape.
fn object(counts: &BTreeMap<impl fmt::Display, u64>) -> String {
    let members: Vec<String> = counts.iter().map(|(name, count)| format!("\"{name}\":{count}")).collect();
    members.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_json_says_it_all() {
        let records = Tally { taken: 3, given: 2, dropped: BTreeMap::from([("flow.resync", 1)]) };
        let spans = Tally { taken: 1, given: 1, ..Tally::default() };
        let links = BTreeMap::from([("none:root".into(), 1)]);
        let accounting = Accounting { records, spans, links, remarks: BTreeMap::from([("websocket", 2)]) };
        assert!(accounting.records.is_even() && accounting.spans.is_even());
        assert_eq!(
            accounting.to_string(),
            r#"{"accounting":{"records":{"in":3,"used":2,"dropped":{"flow.resync":1}},"spans":{"made":1,"exported":1,"dropped":{}},"links":{"none:root":1}},"remarks":{"websocket":2}}"#
        );
    }
}
