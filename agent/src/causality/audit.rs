//! Evidence is compared in each process with what must agree with it: evidence that is not what it was taken for shows itself.

/// Comparisons within which evidence that is wrong must show itself.
const SOON: u32 = 50;
/// Of so many comparisons one may fail: what a lost record costs.
const TOLERANCE: u32 = 1000;

/// Comparisons so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Audit {
    compared: u32,
    /// Of these, those that failed.
    failed: u32,
}

impl Audit {
    pub(super) fn compare(&mut self, agrees: bool) {
        self.compared = self.compared.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(!agrees));
    }

    /// Whether more failed than a lost record explains.
    pub(super) fn is_refuted(self) -> bool {
        self.failed > 1 && self.failed.saturating_mul(TOLERANCE) > self.compared.max(SOON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_refuted_at_once_and_a_lost_record_refutes_nothing() {
        let after = |outcomes: &[(bool, u32)]| {
            let mut audit = Audit::default();
            for (agrees, times) in outcomes {
                (0..*times).for_each(|_| audit.compare(*agrees));
            }
            audit.is_refuted()
        };
        assert!(after(&[(false, 2)]) && after(&[(true, 48), (false, 2)]) && after(&[(true, 900), (false, 2)]));
        assert!(!after(&[(true, 3), (false, 1)]) && !after(&[(true, 5000), (false, 5)]));
    }
}
