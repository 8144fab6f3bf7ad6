//! The table, for people, and everything that was counted, for machines.
use super::run::Outcome;
use super::score::Score;
use super::workload::{Bar, Workload};
use serde_json::{Value, json};

/// Least right links of [`Bar::Right`], in percent.
pub const RIGHT: f64 = 99.9;
/// Most wrong links of every workload, in percent.
pub const WRONG: f64 = 0.1;

/// A workload with what came of its runs.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub workload: &'static Workload,
    /// Its runs; nothing, and why, if it did not run.
    pub outcomes: Result<Vec<Outcome>, String>,
}

impl Row {
    /// Whether every run is as good as it has to be.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.outcomes.as_ref().is_ok_and(|outcomes| outcomes.iter().all(|outcome| meets(self.workload.bar, &outcome.wirespan)))
    }
}

/// Whether a score is as good as the bar.
#[must_use]
pub fn meets(bar: Bar, score: &Score) -> bool {
    score.wrong() <= WRONG && (bar == Bar::NotWrong || (score.right() >= RIGHT && score.missing == 0 && score.unseen == 0))
}

/// The rows as a Markdown table; the runs of a workload stand beside each other, `·` between them.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let at =
        rows.iter().find_map(|row| row.outcomes.as_ref().ok()).map(|outcomes| each(outcomes, |outcome| outcome.concurrency.to_string()));
    let at = at.unwrap_or_default();
    let head = ["workload", &format!("wirespan: right / wrong at {at}"), "whole traces", "evidence", "warm-up", "one slot", "last read"];
    let mut text = line(&head) + &line(&head.map(|_| "---"));
    for row in rows {
        match &row.outcomes {
            Err(reason) => text += &line(&[row.workload.title, reason, "", "", "", "", ""]),
            Ok(outcomes) if outcomes.iter().all(|outcome| !outcome.wirespan.is_decoded()) => {
                text += &line(&[row.workload.title, "not decoded yet", "", "", "", "", ""]);
            }
            Ok(outcomes) => {
                let mark = if row.passes() { "" } else { " **missed**" };
                let cells = [
                    row.workload.title,
                    &(each(outcomes, |outcome| links(&outcome.wirespan)) + mark),
                    &each(outcomes, |outcome| low(outcome.wirespan.whole())),
                    &outcomes.last().map(|outcome| evidence(&outcome.wirespan)).unwrap_or_default(),
                    &each(outcomes, |outcome| links(&outcome.warm_up)),
                    &each(outcomes, |outcome| links(&outcome.one_slot)),
                    &each(outcomes, |outcome| links(&outcome.last_read)),
                ];
                text += &line(&cells);
            }
        }
    }
    text
}

fn line(cells: &[&str]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn each(outcomes: &[Outcome], cell: impl Fn(&Outcome) -> String) -> String {
    outcomes.iter().map(cell).collect::<Vec<_>>().join(" · ")
}

/// `99.9/0`, and what was not seen at all.
fn links(score: &Score) -> String {
    let missing = match score.missing + score.unseen {
        0 => String::new(),
        missing => format!(" ({missing} missing)"),
    };
    format!("{}/{}{missing}", low(score.right()), high(score.wrong()))
}

/// The three most frequent kinds of evidence, or reasons why there is none.
fn evidence(score: &Score) -> String {
    let mut rules: Vec<(&String, u64)> = score.rules.iter().map(|(rule, tally)| (rule, tally.sum())).collect();
    rules.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let sum: u64 = rules.iter().map(|(_, count)| count).sum();
    let shares = rules.iter().take(3).map(|(rule, count)| (rule, low(*count as f64 * 100.0 / sum as f64)));
    let shown = shares.filter(|(_, share)| share != "0").map(|(rule, share)| format!("{rule} {share}"));
    shown.collect::<Vec<_>>().join(", ")
}

/// A share of what is good, never rounded up.
fn low(percent: f64) -> String {
    plain((percent * 10.0 + 1e-6).floor() / 10.0)
}

/// A share of what is bad, never rounded down.
fn high(percent: f64) -> String {
    plain((percent * 100.0 - 1e-6).max(0.0).ceil() / 100.0)
}

fn plain(number: f64) -> String {
    format!("{number}")
}

/// Everything that was counted.
#[must_use]
pub fn json(rows: &[Row]) -> Value {
    rows.iter().map(row_json).collect()
}

fn row_json(row: &Row) -> Value {
    let runs: Value = match &row.outcomes {
        Err(reason) => json!({"did_not_run": reason}),
        Ok(outcomes) => outcomes.iter().map(outcome_json).collect(),
    };
    json!({"workload": row.workload.name, "title": row.workload.title, "passes": row.passes(), "runs": runs})
}

fn outcome_json(outcome: &Outcome) -> Value {
    json!({
        "concurrency": outcome.concurrency, "wirespan": outcome.wirespan.json(), "warm_up": outcome.warm_up.json(),
        "one_slot": outcome.one_slot.json(), "last_read": outcome.last_read.json(),
        "records": outcome.accounting.records, "records_dropped": outcome.accounting.records_dropped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::score::Tally;
    use crate::truth::workload::WORKLOADS;

    fn score(right: u64, wrong: u64, orphan: u64) -> Score {
        let calls = Tally { right, wrong, orphan };
        let rules = [("thread".to_owned(), calls)].into();
        Score { calls, traces: 1000, whole: right, rules, ..Score::default() }
    }

    #[test]
    fn a_wrong_link_in_a_thousand_is_too_many_and_so_is_an_orphan_where_there_is_no_excuse() {
        assert!(meets(Bar::Right, &score(999, 0, 1)) && meets(Bar::Right, &score(999, 1, 0)));
        assert!(!meets(Bar::Right, &score(998, 0, 2)) && !meets(Bar::NotWrong, &score(998, 2, 0)));
        assert!(meets(Bar::NotWrong, &score(0, 0, 1000)));
        assert!(!meets(Bar::Right, &Score { missing: 1, ..score(1000, 0, 0) }));
    }

    #[test]
    fn good_shares_are_rounded_down_and_bad_ones_up() {
        assert_eq!([99.999, 100.0, 99.9, 0.0].map(low), ["99.9", "100", "99.9", "0"]);
        assert_eq!([0.0001, 0.0, 0.1, 33.333].map(high), ["0.01", "0", "0.1", "33.34"]);
    }

    #[test]
    fn the_table_has_a_line_for_each_workload() {
        let outcome = Outcome {
            concurrency: 8,
            wirespan: score(1000, 0, 0),
            warm_up: score(200, 0, 0),
            one_slot: score(990, 2, 8),
            last_read: Score { missing: 3, ..score(997, 0, 0) },
            accounting: crate::agent::Accounting::default(),
        };
        let row = |workload, outcomes| Row { workload, outcomes };
        let [first, second, third, fourth, ..] = WORKLOADS else { panic!("four workloads") };
        let wrong = Outcome { wirespan: score(990, 10, 0), ..outcome.clone() };
        let rows = [row(first, Ok(vec![outcome.clone(), outcome])), row(second, Ok(vec![wrong]))];
        let undecoded =
            Outcome { wirespan: Score { missing: 3000, ..Score::default() }, ..rows[0].outcomes.clone().expect("a run").remove(0) };
        let rows = [rows, [row(third, Ok(vec![undecoded])), row(fourth, Err("did not start".into()))]].concat();
        assert_eq!(
            table(&rows),
            "| workload | wirespan: right / wrong at 8 · 8 | whole traces | evidence | warm-up | one slot | last read |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n\
             | Python `http.server`, a thread per connection | 100/0 · 100/0 | 100 · 100 | thread 100 | 100/0 · 100/0 | 99/0.2 · 99/0.2 | \
             100/0 (3 missing) · 100/0 (3 missing) |\n\
             | the same, two calls in sequence | 99/1 **missed** | 99 | thread 100 | 100/0 | 99/0.2 | 100/0 (3 missing) |\n\
             | the same, Redis | not decoded yet |  |  |  |  |  |\n\
             | JDK server, a thread per request, `HttpURLConnection` | did not start |  |  |  |  |  |\n"
        );
    }
}
