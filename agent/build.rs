//! Puts the kernel side's object where the agent embeds it from: `$OUT_DIR/wirespan.o`.
//!
//! The object is not built here, because it needs another compiler than the agent: `cargo xtask build` makes it.
//! `WIRESPAN_BPF=FILE` names another one.
use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    println!("cargo::rerun-if-env-changed=WIRESPAN_BPF");
    let object = env::var_os("WIRESPAN_BPF").map_or_else(built_by_xtask, PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    let embedded = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("wirespan.o");
    if let Err(error) = fs::copy(&object, embedded) {
        println!("cargo::error=the kernel side is not built ({}: {error}): run `cargo xtask build`", object.display());
        process::exit(1);
    }
}

fn built_by_xtask() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/wirespan.o")
}
