//! The truth rig: real programs whose requests and calls carry their truth, and how much of it wirespan and two simple rules find.
//!
//! A workload runs while `wirespan run` tells spans and `wirespan record` writes events of the same moments. Spans are scored as they
//! were exported; the rules are run on the recording. Nothing here is known to wirespan.
pub mod backend;
pub mod baseline;
pub mod install;
pub mod label;
pub mod load;
pub mod report;
pub mod run;
pub mod score;
pub mod serve;
pub mod workload;

use std::path::PathBuf;

/// Where recordings, results and installed programs go.
#[must_use]
pub fn directory() -> PathBuf {
    crate::root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into())).join("truth")
}
