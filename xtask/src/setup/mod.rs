//! What this machine lacks, installed: decided as plain data first, then said, then done. Does nothing the second time.
mod install;
mod needs;
mod plan;

pub use needs::{BPF_RUSTC, Purpose, bpf_linker_dir};

use crate::child;
use crate::layout::Layout;
use anyhow::Result;
use std::path::PathBuf;

/// Makes sure that everything `purpose` needs is there. Says nothing where nothing is missing.
pub fn ensure(purpose: Purpose, layout: &Layout) -> Result<()> {
    let plan = plan::plan(needs::of(purpose), |sign| install::is_there(sign, layout));
    if plan.is_empty() {
        return Ok(());
    }
    install::may_install(&plan)?;
    for line in plan.lines() {
        child::say(&line);
    }
    install::execute(&plan, layout)
}

/// Directories with programs that set-up unpacked, to be looked in before `PATH`.
pub fn unpacked_programs(layout: &Layout) -> Vec<PathBuf> {
    [layout.cache.join(needs::GO_BIN)].into_iter().filter(|dir| dir.is_dir()).collect()
}
