//! What a person asked to see: processes with their descendants, ports. One choice repeated means or, different ones mean and.
use std::collections::BTreeSet;

/// The choice. Empty means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Ports at either end.
    pub ports: BTreeSet<u16>,
    /// Processes; `None` means all.
    pub processes: Option<BTreeSet<u32>>,
}

impl Selection {
    /// Whether a connection with these ports may be looked at.
    #[must_use]
    pub fn wants_ports(&self, local: u16, remote: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&local) || self.ports.contains(&remote)
    }

    /// Whether this process may be looked at.
    #[must_use]
    pub fn wants_process(&self, pid: u32) -> bool {
        self.processes.as_ref().is_none_or(|processes| processes.contains(&pid))
    }

    /// Whether a span of this process, where it is known, is wanted.
    #[must_use]
    pub fn wants_span(&self, pid: Option<u32>) -> bool {
        self.processes.as_ref().is_none_or(|processes| pid.is_some_and(|pid| processes.contains(&pid)))
    }

    /// A child of a wanted process is wanted; a stranger's child that has the number of one that ended is not.
    pub fn forked(&mut self, parent: u32, child: u32) {
        if let Some(processes) = &mut self.processes {
            if processes.contains(&parent) {
                processes.insert(child);
            } else {
                processes.remove(&child);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_of_a_chosen_process_are_chosen() {
        let mut selection = Selection { processes: Some(BTreeSet::from([10])), ..Selection::default() };
        selection.forked(10, 11);
        selection.forked(11, 12);
        selection.forked(1, 13);
        assert_eq!([10, 11, 12, 13].map(|pid| selection.wants_process(pid)), [true, true, true, false]);
    }

    #[test]
    fn either_end_may_have_a_chosen_port() {
        let selection = Selection { ports: BTreeSet::from([80, 6379]), ..Selection::default() };
        assert!(selection.wants_ports(80, 4000) && selection.wants_ports(4000, 6379) && !selection.wants_ports(4000, 443));
        assert!(Selection::default().wants_ports(1, 2));
    }
}
