//! `cargo xtask run`: from a fresh clone to the live view with one command.
use crate::setup::{self, Purpose};
use crate::{build, layout::Layout};
use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Sets up, builds and becomes wirespan with `args` (a leading `--` is not one of them). Returns only if that fails.
pub fn run(layout: &Layout, args: &[String]) -> Result<ExitCode> {
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    setup::ensure(Purpose::Build, layout)?;
    let agent = build::everything(layout)?;
    // In place of xtask, so that signals and the exit status are wirespan's own.
    Err(Command::new(&agent).args(args).exec()).with_context(|| format!("cannot start {}", agent.display()))
}
