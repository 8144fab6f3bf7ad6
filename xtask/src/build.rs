//! Sources into one static binary: the kernel side first, then the agent that embeds it.
use crate::child;
use crate::layout::{Layout, TARGET};
use crate::setup;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the kernel's verifier and loader want from the object: debug information as BTF, and no instruction newer than v2,
/// because Linux 5.10 refuses the atomics of v3.
const BPF_FLAGS: &str = "-C debuginfo=2 -C link-arg=--btf -C target-cpu=v2";

/// The agent needs no file beside it: the C library is linked in.
pub const AGENT_FLAGS: &str = "-C target-feature=+crt-static";

/// The kernel side's target, and how its `core` is made for it.
pub const BPF_ARGS: [&str; 5] = ["--release", "--target", "bpfel-unknown-none", "-Z", "build-std=core"];

/// Builds both sides and gives the agent's path.
pub fn everything(layout: &Layout) -> Result<PathBuf> {
    kernel_side(layout)?;
    agent(layout)
}

/// Builds the eBPF object. The copy that the agent embeds is replaced only when its bytes differ, so that an unchanged kernel side
/// does not build the agent again.
fn kernel_side(layout: &Layout) -> Result<()> {
    let mut cargo = child::cargo(&layout.root.join("ebpf"));
    child::run(bpf_toolchain(&mut cargo, layout).arg("build").args(BPF_ARGS)).context("the kernel side does not build")?;
    let built = bpf_target(layout).join("bpfel-unknown-none/release/wirespan-ebpf");
    let object = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    replace_if_different(&layout.bpf_object(), &object)
}

/// Makes a cargo command compile for the kernel.
///
/// Debian's rustc-web, not a nightly: its library source and its LLVM come from the same signed archive, and it does not change
/// under us; `RUSTC_BOOTSTRAP` opens the nightly features that the target needs.
pub fn bpf_toolchain<'a>(cargo: &'a mut Command, layout: &Layout) -> &'a mut Command {
    cargo
        .env("PATH", child::path_with(&[setup::bpf_linker_dir(layout)]))
        .env("CARGO_TARGET_DIR", bpf_target(layout))
        .env("RUSTC", setup::BPF_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", BPF_FLAGS)
        .env_remove("RUSTUP_TOOLCHAIN")
}

fn bpf_target(layout: &Layout) -> PathBuf {
    layout.target.join("bpf-build")
}

/// Builds the agent. `--target` keeps its flags away from build scripts and procedural macros, which cannot be static.
fn agent(layout: &Layout) -> Result<PathBuf> {
    let mut cargo = child::cargo(&layout.root);
    cargo.args(["build", "--release", "--package", "wirespan", "--bin", "wirespan", "--target", TARGET]);
    child::run(cargo.env("RUSTFLAGS", AGENT_FLAGS)).context("the agent does not build")?;
    Ok(layout.agent())
}

fn replace_if_different(file: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::replace_if_different;
    use std::fs;

    #[test]
    fn an_unchanged_object_keeps_its_time_so_that_the_agent_is_not_built_again() {
        let dir = std::env::temp_dir().join(format!("xtask-build-{}", std::process::id()));
        let file = dir.join("bpf/wirespan.o");
        replace_if_different(&file, b"one").unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
        replace_if_different(&file, b"one").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), long_ago);
        replace_if_different(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_ne!(fs::metadata(&file).unwrap().modified().unwrap(), long_ago);
        fs::remove_dir_all(&dir).unwrap();
    }
}
