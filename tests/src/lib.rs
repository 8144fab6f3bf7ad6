//! What the end-to-end tests are made of: a cgroup for each test, real programs in it, the agent that watches it, and its spans.
//!
//! Needs root and the environment variable `WIRESPAN_BIN`; `cargo xtask test` sees to both. A rig that cannot do its work panics:
//! there is no test without it.
#![allow(clippy::must_use_candidate, reason = "a test does most things for their effect; what it has to look at, it asks for")]
pub mod agent;
pub mod capture;
pub mod cgroup;
pub mod collector;
pub mod http;
pub mod jvm;
pub mod load;
pub mod nat;
pub mod network;
pub mod program;
pub mod python;
pub mod rig;
pub mod servers;
pub mod span;
pub mod tree;
pub mod truth;
pub mod wait;

use std::path::Path;

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}
