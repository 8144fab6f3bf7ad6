//! What somebody says of a run's calls, compared with the truth: right, wrong, orphan, missing.
use super::label::{Call, Label, MEASURED, WARM_UP};
use crate::span::{Kind, Span};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Parents followed from a call to its request: a workload has at most a few levels.
const DEPTH: usize = 32;

/// What happened: every request that was answered, and every call that came to the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Requests `u1` to that.
    pub warm_up: u32,
    /// Requests `m1` to that.
    pub measured: u32,
    /// All calls.
    pub calls: BTreeSet<Call>,
}

/// Whose a call is, as somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This request's.
    Request(String),
    /// Nobody's, or it is not known whose.
    Nobody,
    /// That of a span which was not exported.
    Unexported,
}

/// What somebody says of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The call.
    pub call: Call,
    /// Whose it is.
    pub owner: Owner,
    /// Why, in a word.
    pub rule: String,
}

/// What somebody says of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The requests that were seen.
    pub requests: BTreeSet<String>,
    /// The calls that were seen.
    pub calls: Vec<Said>,
}

impl Links {
    /// Those of exported spans: a call's owner is the SERVER span that its parents lead to.
    #[must_use]
    pub fn of_spans(spans: &[Span]) -> Self {
        let by_id: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
        let mut links = Self::default();
        for span in spans {
            match (span.kind, label(span)) {
                (Kind::Server, Some(Label::Request(id))) => drop(links.requests.insert(id)),
                (Kind::Client, Some(Label::Call(call))) => {
                    links.calls.push(Said { call, owner: owner_of(span, &by_id), rule: span.link() });
                }
                _ => {}
            }
        }
        links
    }
}

/// What the span is of, by what it says of its request.
fn label(span: &Span) -> Option<Label> {
    let target = span.target();
    Label::read(if target.is_empty() { span.text("rpc.method") } else { &target })
}

fn owner_of(span: &Span, by_id: &BTreeMap<&str, &Span>) -> Owner {
    let mut span = span;
    for _ in 0..DEPTH {
        let Some(parent) = &span.parent else { return Owner::Nobody };
        let Some(above) = by_id.get(parent.as_str()) else { return Owner::Unexported };
        if let (Kind::Server, Some(Label::Request(id))) = (above.kind, label(above)) {
            return Owner::Request(id);
        }
        span = above;
    }
    Owner::Unexported
}

/// Which requests are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first ones.
    WarmUp,
    /// The ones that count, with the calls that no request caused.
    Measured,
}

/// Calls by what was said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// It is the right request's; or nobody's, where that is the truth.
    pub right: u64,
    /// It is another's.
    pub wrong: u64,
    /// Nobody's, though a request caused it.
    pub orphan: u64,
}

/// How good what was said is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Calls that requests caused.
    pub calls: Tally,
    /// Of the calls that no request caused, those that were left alone are right.
    pub background: Tally,
    /// Calls that were made but not seen, or whose parent was not.
    pub missing: u64,
    /// Requests that were answered but not seen.
    pub unseen: u64,
    /// Requests.
    pub traces: u64,
    /// Requests that were seen with all of their calls and no other.
    pub whole: u64,
    /// Calls by the evidence or the reason that was given.
    pub rules: BTreeMap<String, Tally>,
}

impl Score {
    /// Compares what was said with the truth.
    #[must_use]
    pub fn of(truth: &Truth, links: &Links, phase: Phase) -> Self {
        let (prefix, requests) = match phase {
            Phase::WarmUp => (WARM_UP, truth.warm_up),
            Phase::Measured => (MEASURED, truth.measured),
        };
        let counts = |call: &Call| call.request.starts_with(prefix) || (phase == Phase::Measured && call.is_background());
        let mut missing: BTreeSet<&Call> = truth.calls.iter().filter(|call| counts(call)).collect();
        let mut broken: BTreeSet<&str> = BTreeSet::new();
        let mut score = Self { traces: requests.into(), ..Self::default() };
        for said in links.calls.iter().filter(|said| counts(&said.call)) {
            // The same call sent twice, on a connection that broke, is looked at once.
            if said.owner != Owner::Unexported && missing.remove(&said.call) {
                score.add(said, &mut broken);
            }
        }
        score.missing = missing.len() as u64;
        broken.extend(missing.iter().map(|call| call.request.as_str()));
        for number in 1..=requests {
            let id = format!("{prefix}{number}");
            let seen = links.requests.contains(&id);
            score.unseen += u64::from(!seen);
            score.whole += u64::from(seen && !broken.contains(id.as_str()));
        }
        score
    }

    fn add<'a>(&mut self, said: &'a Said, broken: &mut BTreeSet<&'a str>) {
        let background = said.call.is_background();
        let one = match &said.owner {
            Owner::Nobody if background => Tally { right: 1, ..Tally::default() },
            Owner::Request(id) if *id == said.call.request => Tally { right: 1, ..Tally::default() },
            Owner::Request(other) => {
                broken.extend([other.as_str(), said.call.request.as_str()]);
                Tally { wrong: 1, ..Tally::default() }
            }
            Owner::Nobody | Owner::Unexported => {
                broken.insert(&said.call.request);
                Tally { orphan: 1, ..Tally::default() }
            }
        };
        if background { &mut self.background } else { &mut self.calls }.add(one);
        self.rules.entry(said.rule.clone()).or_default().add(one);
    }

    /// Whether any call was seen.
    #[must_use]
    pub fn is_decoded(&self) -> bool {
        self.calls.sum() > 0 || self.missing == 0
    }

    /// Right links per hundred calls that requests caused and that were seen; 100 if there were none.
    #[must_use]
    pub fn right(&self) -> f64 {
        percent(self.calls.right, self.calls.sum()).unwrap_or(100.0)
    }

    /// Wrong links per hundred calls that were seen, whoever caused them.
    #[must_use]
    pub fn wrong(&self) -> f64 {
        percent(self.calls.wrong + self.background.wrong, self.calls.sum() + self.background.sum()).unwrap_or(0.0)
    }

    /// Whole traces per hundred.
    #[must_use]
    pub fn whole(&self) -> f64 {
        percent(self.whole, self.traces).unwrap_or(100.0)
    }

    /// Everything, for machines.
    #[must_use]
    pub fn json(&self) -> Value {
        let rules: serde_json::Map<String, Value> = self.rules.iter().map(|(rule, tally)| (rule.clone(), tally.json())).collect();
        json!({
            "calls": self.calls.json(), "background": self.background.json(), "missing_calls": self.missing, "missing_requests": self.unseen,
            "decoded": self.is_decoded(), "traces": self.traces, "whole": self.whole, "right_percent": self.right(), "wrong_percent": self.wrong(), "rules": rules,
        })
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.orphan += other.orphan;
    }

    /// All of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.right + self.wrong + self.orphan
    }

    fn json(self) -> Value {
        json!({"right": self.right, "wrong": self.wrong, "orphan": self.orphan})
    }
}

fn percent(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 * 100.0 / of as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(request: &str, number: u32) -> Call {
        Call { request: request.into(), number }
    }

    fn said(request: &str, number: u32, owner: Owner, rule: &str) -> Said {
        Said { call: call(request, number), owner, rule: rule.into() }
    }

    #[test]
    fn each_call_is_right_wrong_orphan_or_missing_and_a_trace_is_whole_if_all_of_its_calls_are_right() {
        let owner = |id: &str| Owner::Request(id.into());
        let calls = [("m1", 1), ("m2", 1), ("m3", 1), ("m3", 2), ("m4", 1), ("m5", 1), ("m6", 1), ("u1", 1), ("bg1", 1), ("bg2", 1)];
        let truth = Truth { warm_up: 1, measured: 6, calls: calls.map(|(request, number)| call(request, number)).into() };
        let links = Links {
            requests: ["u1", "m1", "m2", "m3", "m4", "m6"].map(str::to_owned).into(),
            calls: vec![
                said("m1", 1, owner("m1"), "thread"),
                said("m2", 1, owner("m1"), "thread"),
                said("m3", 1, owner("m3"), "thread"),
                said("m3", 2, Owner::Nobody, "none:handoff"),
                said("m5", 1, Owner::Unexported, "thread"),
                said("m6", 1, owner("m6"), "thread"),
                said("m6", 1, Owner::Nobody, "none:root"),
                said("bg1", 1, Owner::Nobody, "none:root"),
                said("bg2", 1, owner("m4"), "thread"),
                said("u1", 1, owner("u1"), "thread"),
            ],
        };
        let tally = |right, wrong, orphan| Tally { right, wrong, orphan };
        let expected = Score {
            calls: tally(3, 1, 1),
            background: tally(1, 1, 0),
            missing: 2,
            unseen: 1,
            traces: 6,
            whole: 1,
            rules: [("none:handoff", tally(0, 0, 1)), ("none:root", tally(1, 0, 0)), ("thread", tally(3, 2, 0))]
                .map(|(rule, tally)| (rule.to_owned(), tally))
                .into(),
        };
        let score = Score::of(&truth, &links, Phase::Measured);
        assert_eq!(score, expected);
        assert!((score.right() - 60.0).abs() < 1e-9 && (score.wrong() - 200.0 / 7.0).abs() < 1e-9);
        let warm_up = Score::of(&truth, &links, Phase::WarmUp);
        assert_eq!((warm_up.calls, warm_up.whole, warm_up.traces), (tally(1, 0, 0), 1, 1));
    }
}
