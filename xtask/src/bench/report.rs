//! The table: what was measured, what it must be, what it should be, and the verdict.
use serde_json::{Value, json};

/// How a number compares with its bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As good as it should be.
    Goal,
    /// As good as it must be.
    Must,
    /// Not as good as it must be.
    Missed,
}

impl Verdict {
    /// Of a number that should be small.
    pub fn at_most(value: f64, must: f64, goal: f64) -> Self {
        if value <= goal {
            Self::Goal
        } else if value <= must {
            Self::Must
        } else {
            Self::Missed
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Goal => "goal met",
            Self::Must => "must met",
            Self::Missed => "MISSED",
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// What.
    pub measure: String,
    /// The number with its unit, for people.
    pub measured: String,
    /// The bars, for people.
    pub must: &'static str,
    /// See `must`.
    pub goal: &'static str,
    /// The comparison.
    pub verdict: Verdict,
    /// Everything that was measured, for the results file.
    pub details: Value,
}

/// The rows as a Markdown table.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from("| measure | measured | must | goal | verdict |\n|---|---|---|---|---|\n");
    for row in rows {
        let cells = [&row.measure, &row.measured, row.must, row.goal, row.verdict.name()];
        text.push_str(&["| ", &cells.join(" | "), " |\n"].concat());
    }
    text
}

/// The rows for the results file.
pub fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "measure": row.measure, "measured": row.measured, "must": row.must, "goal": row.goal, "verdict": row.verdict.name(),
            "details": row.details,
        })
    };
    rows.iter().map(row).collect()
}

/// The machine that the numbers belong to.
pub fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.trim_start_matches(['\t', ' ', ':']).into());
    let mitigations: Vec<String> = std::fs::read_dir("/sys/devices/system/cpu/vulnerabilities")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| format!("{}: {}", entry.file_name().to_string_lossy(), read(&entry.path().to_string_lossy())))
        .filter(|line| line.contains("Mitigation"))
        .collect();
    let lockdown = read("/sys/kernel/security/lockdown");
    json!({
        "kernel": read("/proc/sys/kernel/osrelease"), "cpu": cpu, "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "load": read("/proc/loadavg"), "mitigations": mitigations,
        "lockdown": if lockdown.is_empty() { "unknown (securityfs is not mounted)".to_owned() } else { lockdown },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_the_best_bar_that_is_met() {
        assert_eq!(
            [1.0, 1.1, 1.2, 1.3].map(|value| Verdict::at_most(value, 1.2, 1.1)),
            [Verdict::Goal, Verdict::Goal, Verdict::Must, Verdict::Missed]
        );
        assert_eq!(Verdict::at_most(f64::NAN, 1.2, 1.1), Verdict::Missed);
    }

    #[test]
    fn the_table_is_markdown() {
        let row =
            Row { measure: "a".into(), measured: "1.15".into(), must: "1.20", goal: "1.10", verdict: Verdict::Must, details: json!({}) };
        assert_eq!(
            table(&[row]),
            "| measure | measured | must | goal | verdict |\n|---|---|---|---|---|\n| a | 1.15 | 1.20 | 1.10 | must met |\n"
        );
    }
}
