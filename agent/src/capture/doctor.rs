//! What this kernel and this process's privileges give, check by check, each with what is lost and how to get it.
//!
//! Works without privilege: what cannot be tried is judged by what is there. What is tried is undone at once.
use super::btf::{Btf, KERNEL_BTF};
use super::hooks::{HOOKS, Point};
use super::kernel::{self, KernelConfig};
use super::privilege::{self, Lockdown, TO_ATTACH, TO_NAME};
use super::{cgroup, offsets};

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All is there.
    Ok,
    /// The agent runs with less.
    Degraded,
    /// The agent does not run.
    Missing,
}

impl Status {
    /// As `doctor --json` writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, and what was found.
    pub name: String,
    /// How it went.
    pub status: Status,
    /// What is lost; empty if nothing.
    pub lost: String,
    /// What to do; empty if nothing.
    pub fix: String,
}

impl Check {
    fn ok(name: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Ok, lost: String::new(), fix: String::new() }
    }

    fn bad(name: impl Into<String>, required: bool, lost: impl Into<String>, fix: impl Into<String>) -> Self {
        let status = if required { Status::Missing } else { Status::Degraded };
        Self { name: name.into(), status, lost: lost.into(), fix: fix.into() }
    }
}

/// What is lost when something that everything rests on is missing.
const ALL: &str = "live capture; captures and recordings can still be read";
/// The fix for a kernel that lacks something.
const NEWER: &str = "use Linux 5.10 or newer";
/// The oldest kernel that has a ring buffer, and on which all programs have been tried.
const OLDEST: (u32, u32) = (5, 10);

/// Looks at everything. With `object` (the kernel side, aligned to eight bytes) and enough privilege, the programs are also attached
/// for a moment.
#[must_use]
pub fn checks(object: Option<&[u8]>) -> Vec<Check> {
    let release = privilege::kernel_release();
    let mut checks = vec![kernel_check(&release), lockdown_check(privilege::lockdown()), cgroup_check()];
    checks.push(privileges("privileges to attach", true, TO_ATTACH, ALL));
    checks.push(privileges("privileges to name processes", false, TO_NAME, "service names of processes of other users"));
    let able = checks.iter().all(|check| check.status != Status::Missing);
    let types = kernel::read_btf();
    let btf = types.as_deref().ok().and_then(|bytes| Btf::parse(bytes).ok());
    let Some(btf) = btf else {
        checks.push(Check::bad("type information", true, ALL, format!("use a kernel that has {KERNEL_BTF} (CONFIG_DEBUG_INFO_BTF=y)")));
        return checks;
    };
    checks.push(match offsets::resolve(&btf) {
        Ok(_) => Check::ok(format!("type information: {KERNEL_BTF}")),
        Err((structure, field)) => {
            Check::bad(format!("type information: no {structure}.{field}"), true, ALL, "use a kernel that this version of wirespan knows")
        }
    });
    let tried = object.filter(|_| able).map(attempt);
    for hook in HOOKS {
        let name = format!("hook {}", hook.program);
        let exists = hook.point != Point::Tracepoint || btf.has_tracepoint(hook.program);
        let failure = match &tried {
            Some(Ok(missing)) => missing.iter().find(|(program, _)| *program == hook.program).map(|(_, reason)| reason.clone()),
            _ if exists => None,
            _ => Some(NEWER.to_owned()),
        };
        checks.push(match failure {
            None => Check::ok(name),
            Some(reason) => Check::bad(name, hook.required, hook.lost, reason),
        });
    }
    if let Some(result) = tried {
        checks.push(match result {
            Ok(_) => Check::ok("attaching"),
            Err(reason) => Check::bad("attaching", true, ALL, reason),
        });
    }
    checks
}

/// Attaches everything for a moment; gives the hooks that could not be attached.
fn attempt(object: &[u8]) -> Result<Vec<(&'static str, String)>, String> {
    let config = KernelConfig { object, cgroup: None, ring_bytes: 4096, debug: false, own_pid: std::process::id() };
    let kernel = kernel::Kernel::attach(&config).map_err(|error| error.to_string())?;
    Ok(kernel.degraded().iter().map(|degraded| (degraded.hook.program, degraded.reason.clone())).collect())
}

fn kernel_check(release: &str) -> Check {
    let name = format!("kernel {release}");
    match version(release) {
        Some(version) if version < OLDEST => Check::bad(name, true, ALL, NEWER),
        _ => Check::ok(name),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn lockdown_check(mode: Lockdown) -> Check {
    let name = format!("lockdown {}", format!("{mode:?}").to_lowercase());
    match mode {
        Lockdown::None | Lockdown::Integrity => Check::ok(name),
        Lockdown::Confidentiality => Check::bad(name, true, ALL, "boot with lockdown=integrity or none"),
    }
}

fn cgroup_check() -> Check {
    match cgroup::directory(None) {
        Ok(directory) => Check::ok(format!("cgroup v2 at {}", directory.display())),
        Err(error) => Check::bad("cgroup v2", true, ALL, error.to_string()),
    }
}

fn privileges(name: &str, required: bool, wanted: &[privilege::Capability], lost: &str) -> Check {
    let missing = privilege::missing(wanted);
    if missing.is_empty() {
        Check::ok(name)
    } else {
        Check::bad(name, required, lost, format!("run as root, or give the process {}", missing.join(" and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_old_or_not_and_unknown_ones_are_tried() {
        let releases = ["5.4.0-42-generic", "5.10.223-cloud-amd64", "6.18.44-fc-v669", "7", "of unknown release"];
        let expected = [Status::Missing, Status::Ok, Status::Ok, Status::Ok, Status::Ok];
        assert_eq!(releases.map(|release| kernel_check(release).status), expected);
    }

    #[test]
    fn every_hook_has_a_check_where_the_kernel_has_types_and_every_failure_has_a_fix() {
        let checks = checks(None);
        let hooks = checks.iter().filter(|check| check.name.starts_with("hook ")).count();
        let typed = checks.iter().any(|check| check.name.starts_with("type information: /"));
        assert_eq!(hooks, if typed { HOOKS.len() } else { 0 });
        assert!(checks.iter().all(|check| (check.status == Status::Ok) == (check.fix.is_empty() && check.lost.is_empty())));
    }
}
