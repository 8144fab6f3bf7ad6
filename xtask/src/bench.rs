//! `cargo xtask bench`: what tracing costs, measured on this machine.
use crate::layout::Layout;
use anyhow::{Result, bail};
use std::process::ExitCode;

/// Measures and prints the table.
pub fn run(_layout: &Layout, _args: &[String]) -> Result<ExitCode> {
    bail!("there are no measurements yet")
}
