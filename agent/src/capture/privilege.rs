//! What this process may do, and what the kernel's lockdown leaves possible.
use std::fs;

/// A capability, by its number in the kernel's `capability.h`.
pub type Capability = (u8, &'static str);

/// Needed to load and attach the kernel side. `CAP_SYS_ADMIN` includes the first two.
pub const TO_ATTACH: &[Capability] = &[(39, "CAP_BPF"), (38, "CAP_PERFMON"), (12, "CAP_NET_ADMIN")];
/// Needed to look at the processes of others.
pub const TO_NAME: &[Capability] = &[(19, "CAP_SYS_PTRACE"), (2, "CAP_DAC_READ_SEARCH")];

const DAC_OVERRIDE: u8 = 1;
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

/// Gives up, in this thread and those it starts later, every capability but those that are needed after attaching. Says which number
/// failed, if the kernel does not take it.
pub fn drop_attach_only() -> std::io::Result<()> {
    let mut header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut sets = [CapData::default(); 2];
    // SAFETY: the header names version 3, for which the kernel writes two elements.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    if got != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let kept = kept(u64::from(sets[1].permitted) << 32 | u64::from(sets[0].permitted));
    for (set, kept) in sets.iter_mut().zip([kept as u32, (kept >> 32) as u32]) {
        *set = CapData { effective: set.effective & kept, permitted: set.permitted & kept, inheritable: 0 };
    }
    // SAFETY: as above; the kernel only reads.
    let put = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
    if put == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Of what is permitted, what is needed after attaching: maps, other people's processes, and files that root may write.
fn kept(permitted: u64) -> u64 {
    let mut kept = 1 << BPF | 1 << DAC_OVERRIDE;
    kept |= TO_NAME.iter().fold(0, |set, (number, _)| set | 1 << number);
    if permitted >> BPF & 1 == 0 {
        // It stands for CAP_BPF, which came with Linux 5.8.
        kept |= 1 << SYS_ADMIN;
    }
    permitted & kept
}

/// `_LINUX_CAPABILITY_VERSION_3` and its structures, as in the kernel's `capability.h`.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
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
    fn what_is_needed_only_to_attach_is_not_kept() {
        let all = u64::MAX;
        assert_eq!(missing_in(kept(all), TO_ATTACH), vec!["CAP_PERFMON", "CAP_NET_ADMIN"]);
        assert_eq!(missing_in(kept(all), TO_NAME), Vec::<&str>::new());
        assert_eq!(kept(0), 0);
        assert_eq!(kept(1 << SYS_ADMIN | 1 << 12), 1 << SYS_ADMIN);
    }

    #[test]
    fn the_lockdown_mode_is_the_one_in_brackets() {
        let modes = ["[none] integrity confidentiality", "none [integrity] confidentiality\n", "none integrity [confidentiality]", ""];
        let expected = [Lockdown::None, Lockdown::Integrity, Lockdown::Confidentiality, Lockdown::None];
        assert_eq!(modes.map(parse_lockdown), expected);
    }
}
