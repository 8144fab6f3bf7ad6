//! Where things are: sources, what is built, and what is kept between clones.
use anyhow::{Context, Result};
use std::env;
use std::path::{Path, PathBuf};

/// The only target so far: the kernel side reads x86-64 offsets and the kernels of the tests are amd64.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The places that xtask reads and writes. All paths are absolute.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The workspace.
    pub root: PathBuf,
    /// Cargo's target directory; everything in it can be deleted at any time.
    pub target: PathBuf,
    /// Tools and kernels, named with their version, so that a second clone does not build or fetch them again.
    pub cache: PathBuf,
}

impl Layout {
    /// Finds the workspace that this xtask was built from.
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in no workspace")?.to_owned();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        let cache = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
            (Some(cache), _) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
            (_, Some(home)) => Path::new(&home).join(".cache"),
            _ => target.clone(),
        };
        Ok(Self { root, target, cache: cache.join("wirespan") })
    }

    /// The kernel side as the agent embeds it. `agent/build.rs` knows this path, so it does not follow `CARGO_TARGET_DIR`.
    pub fn bpf_object(&self) -> PathBuf {
        self.root.join("target/bpf/wirespan.o")
    }

    /// The released agent.
    pub fn agent(&self) -> PathBuf {
        self.target.join(TARGET).join("release/wirespan")
    }
}
