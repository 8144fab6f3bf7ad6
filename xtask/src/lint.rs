//! Formatting, clippy on both sides with warnings denied, and the rules for dependencies.
use crate::build::{self, BPF_ARGS};
use crate::child::{self, say};
use crate::layout::Layout;
use crate::setup::{self, Purpose};
use crate::test::Sum;
use anyhow::Result;
use std::process::{Command, ExitCode};

/// `cargo xtask lint`.
pub fn command(layout: &Layout) -> Result<ExitCode> {
    setup::ensure(Purpose::Lint, layout)?;
    build::everything(layout)?;
    let mut sum = Sum::default();
    run(layout, &mut sum);
    Ok(sum.report())
}

/// Runs every check; the agent must have been built, because it embeds the kernel side.
pub fn run(layout: &Layout, sum: &mut Sum) {
    let (root, ebpf) = (&layout.root, layout.root.join("ebpf"));
    sum.check("formatting", child::run(child::cargo(root).args(["fmt", "--all", "--check"])));
    sum.check("formatting of the kernel side", child::run(child::cargo(&ebpf).args(["fmt", "--check"])));
    let clippy = child::run(child::cargo(root).args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    sum.check("clippy", clippy);
    sum.check("clippy of the kernel side", child::run(&mut kernel_side_clippy(layout)));
    if child::find("cargo-deny").is_some() {
        // Without `advisories`: their database comes from the network, and a new one must not break an old commit.
        for (what, dir) in [("cargo-deny", root), ("cargo-deny of the kernel side", &ebpf)] {
            sum.check(what, child::run(child::cargo(dir).args(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"])));
        }
    } else {
        say("cargo-deny is not installed: deny.toml is not checked");
    }
}

/// Debian's clippy, because clippy is a part of the compiler it comes with, and the kernel side has Debian's compiler.
fn kernel_side_clippy(layout: &Layout) -> Command {
    let mut clippy = Command::new("/usr/bin/cargo-clippy");
    child::clean(&mut clippy);
    build::bpf_toolchain(&mut clippy, layout).current_dir(layout.root.join("ebpf"));
    clippy.args(["clippy", "--quiet"]).args(BPF_ARGS).args(["--", "-D", "warnings"]);
    clippy
}
