//! What this process may do, and what the kernel's lockdown leaves possible.
use std::fs;

/// A capability, by its number in the kernel's `capability.h`.
pub type Capability = (u8, &'static str);

/// Needed to load and attach the kernel side. `CAP_SYS_ADMIN` includes the first two.
pub const TO_ATTACH: &[Capability] = &[(39, "CAP_BPF"), (38, "CAP_PERFMON"), (12, "CAP_NET_ADMIN")];
/// Needed to look at the processes of others.
pub const TO_NAME: &[Capability] = &[(19, "CAP_SYS_PTRACE"), (2, "CAP_DAC_READ_SEARCH")];

const SYS_ADMIN: u8 = 21;
const PERFMON: u8 = 38;
const BPF: u8 = 39;

/// How much of itself the kernel hides from root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Nothing, or the file that would say so is not there.
    None,
    /// Its memory may not be written: no matter here.
    Integrity,
    /// Its memory may not be read.
    Confidentiality,
}

/// The kernel's release, such as `6.1.0-18-amd64`.
#[must_use]
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| "of unknown release".to_owned(), |text| text.trim().to_owned())
}

/// The kernel's lockdown mode.
#[must_use]
pub fn lockdown() -> Lockdown {
    parse_lockdown(&fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default())
}

/// Those of `wanted` that this process does not have. If it cannot be told, none.
#[must_use]
pub fn missing(wanted: &[Capability]) -> Vec<&'static str> {
    let Some(effective) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(effective) else { return Vec::new() };
    missing_in(effective, wanted)
}

fn missing_in(effective: u64, wanted: &[Capability]) -> Vec<&'static str> {
    let has = |number: u8| effective >> number & 1 == 1;
    let granted = |number: u8| has(number) || (has(SYS_ADMIN) && matches!(number, BPF | PERFMON));
    wanted.iter().filter(|(number, _)| !granted(*number)).map(|(_, name)| *name).collect()
}

/// The effective capabilities in the text of a `status` file (proc(5)).
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// The mode in brackets: `none [integrity] confidentiality`.
fn parse_lockdown(text: &str) -> Lockdown {
    match text.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        Some(("integrity", _)) => Lockdown::Integrity,
        Some(("confidentiality", _)) => Lockdown::Confidentiality,
        _ => Lockdown::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named_and_sys_admin_stands_for_the_bpf_ones() {
        assert_eq!(effective("Name:\tcat\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n"), Some(0x01ff_ffff_ffff));
        assert_eq!(effective("Name:\tcat\n"), None);
        assert_eq!(missing_in(u64::MAX, TO_ATTACH), Vec::<&str>::new());
        assert_eq!(missing_in(0, TO_ATTACH), vec!["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]);
        assert_eq!(missing_in(1 << SYS_ADMIN, TO_ATTACH), vec!["CAP_NET_ADMIN"]);
        assert_eq!(missing_in(1 << SYS_ADMIN, TO_NAME), vec!["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
    }

    #[test]
    fn the_lockdown_mode_is_the_one_in_brackets() {
        let modes = ["[none] integrity confidentiality", "none [integrity] confidentiality\n", "none integrity [confidentiality]", ""];
        let expected = [Lockdown::None, Lockdown::Integrity, Lockdown::Confidentiality, Lockdown::None];
        assert_eq!(modes.map(parse_lockdown), expected);
    }
}
