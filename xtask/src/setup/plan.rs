//! Which needs are not met, and so what will be installed: a decision with no effect.
use super::needs::{Need, Sign, Source};

/// What will be installed, in order: packages of the system in one go, then the rest, which may use them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Why, one text for each unmet need.
    pub reasons: Vec<&'static str>,
    /// Debian packages.
    pub packages: Vec<&'static str>,
    /// Services to switch off after the packages are in.
    pub units: Vec<&'static str>,
    /// What does not come by apt-get install.
    pub rest: Vec<Source>,
}

impl Plan {
    /// Whether everything is there.
    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Whether only root can do it.
    pub fn needs_root(&self) -> bool {
        !self.packages.is_empty()
    }

    /// The plan in words.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("missing: {}", self.reasons.join(", "))];
        if !self.packages.is_empty() {
            lines.push(format!("installing Debian packages: {}", self.packages.join(" ")));
        }
        lines
    }
}

/// Plans for the needs that `is_there` says are not met.
pub fn plan<'a>(needs: impl IntoIterator<Item = &'a Need>, is_there: impl Fn(&Sign) -> bool) -> Plan {
    let mut plan = Plan::default();
    for need in needs.into_iter().filter(|need| !need.signs.iter().any(&is_there)) {
        plan.reasons.push(need.what);
        match need.source {
            Source::Debian(packages) => plan.packages.extend(packages),
            Source::Service { package, unit } => {
                plan.packages.push(package);
                plan.units.push(unit);
            }
            other => plan.rest.push(other),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::super::needs::{self, Purpose};
    use super::*;

    const NEEDS: &[Need] = &[
        Need { what: "a", signs: &[Sign::Program("a"), Sign::File("/a")], source: Source::Debian(&["a-bin", "a-data"]) },
        Need { what: "b", signs: &[Sign::Program("b")], source: Source::Service { package: "b-server", unit: "b.service" } },
        Need { what: "c", signs: &[Sign::Cached("c")], source: Source::Component("c") },
    ];

    #[test]
    fn nothing_is_planned_where_any_sign_of_each_need_is_seen() {
        let plan = plan(NEEDS, |sign| matches!(sign, Sign::File(_) | Sign::Program("b") | Sign::Cached(_)));
        assert_eq!(plan, Plan::default());
        assert!(plan.is_empty());
    }

    #[test]
    fn what_is_missing_is_named_and_packages_come_before_the_rest() {
        let plan = plan(NEEDS, |_| false);
        let expected = Plan {
            reasons: vec!["a", "b", "c"],
            packages: vec!["a-bin", "a-data", "b-server"],
            units: vec!["b.service"],
            rest: vec![Source::Component("c")],
        };
        assert_eq!(plan, expected);
        assert!(plan.needs_root());
        assert_eq!(plan.lines(), ["missing: a, b, c", "installing Debian packages: a-bin a-data b-server"]);
    }

    #[test]
    fn starting_wirespan_installs_no_server_and_no_emulator() {
        let plan = plan(needs::of(Purpose::Build), |_| false);
        assert_eq!(plan.packages, ["rustc-web", "rust-web-src", "llvm-22-dev"]);
        assert_eq!((plan.units.len(), plan.rest.len()), (0, 1));
    }

    #[test]
    fn testing_needs_whatever_the_others_need() {
        let all: Vec<_> = needs::of(Purpose::Test).collect();
        for purpose in [Purpose::Build, Purpose::Lint, Purpose::Vm] {
            assert!(needs::of(purpose).all(|need| all.contains(&need)), "{purpose:?}");
        }
    }
}
