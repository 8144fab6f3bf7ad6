//! `cargo xtask truth`: sets up, builds the agent, and hands over to the truth rig in `tests`.
use crate::layout::{Layout, TARGET};
use crate::setup::{self, Purpose};
use crate::{build, child};
use anyhow::{Context, Result};
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the rig with these arguments and gives its exit status.
pub fn run(layout: &Layout, args: &[String]) -> Result<ExitCode> {
    setup::ensure(Purpose::Truth, layout)?;
    let agent = match env::var_os("WIRESPAN_BIN") {
        Some(binary) => PathBuf::from(binary),
        None => build::everything(layout)?,
    };
    // Compiled like the agent, so that both share what is compiled of the library.
    let mut cargo = child::cargo(&layout.root);
    cargo.args(["run", "--quiet", "--release", "--package", "wirespan-tests", "--bin", "truth", "--target", TARGET, "--"]).args(args);
    cargo.env("RUSTFLAGS", build::AGENT_FLAGS).env("WIRESPAN_BIN", agent);
    cargo.env("PATH", child::path_with(&setup::unpacked_programs(layout))).env("GOTOOLCHAIN", "auto");
    let status = cargo.status().context("cannot start cargo")?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
