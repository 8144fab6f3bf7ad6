//! Why the kernel side cannot be attached: sentences that name the kernel, the program, the reason and the fix.
use super::btf::KERNEL_BTF;
use super::cgroup::CgroupError;
use std::io;

/// Why the agent cannot watch this kernel: which kernel, what failed, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel does not show its type information.
    #[error(
        "Linux {release} does not show its type information in {KERNEL_BTF} ({reason}); wirespan needs a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of current distributions are"
    )]
    NoBtf {
        /// Kernel release.
        release: String,
        /// Why not.
        reason: String,
    },
    /// A structure does not have a field that is needed.
    #[error("Linux {release} has no field {field} in its structure {structure}; this kernel is older or newer than wirespan knows")]
    NoField {
        /// Kernel release.
        release: String,
        /// Structure.
        structure: &'static str,
        /// Field.
        field: &'static str,
    },
    /// There is no cgroup to attach to.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The process may not do it.
    #[error(
        "wirespan may not load programs into Linux {release}: it lacks {missing}; run it as root, or give it CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
    )]
    Privilege {
        /// Kernel release.
        release: String,
        /// The missing capabilities.
        missing: String,
    },
    /// The kernel hides its memory.
    #[error(
        "Linux {release} is locked down in mode \"confidentiality\", in which no program may read kernel memory; boot it with lockdown=integrity or none"
    )]
    Lockdown {
        /// Kernel release.
        release: String,
    },
    /// The object could not be loaded.
    #[error("cannot load wirespan's programs into Linux {release}: {reason}")]
    Object {
        /// Kernel release.
        release: String,
        /// Why not.
        reason: String,
    },
    /// A required program could not be loaded or attached.
    #[error(
        "cannot attach {program} to Linux {release}: {reason}; wirespan needs Linux 5.10 or newer, and without this program it loses {lost}"
    )]
    Program {
        /// Program.
        program: &'static str,
        /// Kernel release.
        release: String,
        /// Why not.
        reason: String,
        /// What is lost.
        lost: &'static str,
    },
    /// The ring buffer cannot be waited for.
    #[error("cannot wait for the kernel's records: {0}")]
    Wait(#[source] io::Error),
}

impl AttachError {
    /// Both attempts failed: this one, and the one for older kernels.
    pub(super) fn or(self, older: Self) -> Self {
        match (self, older) {
            (Self::Program { program, release, reason, lost }, Self::Program { program: other, reason: older, .. }) => {
                let reason = if reason == older { reason } else { format!("{reason}; in the way of older kernels, {other}: {older}") };
                Self::Program { program, release, reason, lost }
            }
            (first, _) => first,
        }
    }
}
