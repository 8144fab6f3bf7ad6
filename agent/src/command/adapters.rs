//! Has processes studied as they are met, and tells the kernel side what to look at in them.
use super::{Failure, exit};
use crate::adapter::studies::{Found, Studies};
use crate::capture::kernel::Kernel;
use crate::causality::manner::Manner;
use crate::enrich::process::ProcessInfo;
use std::path::PathBuf;

/// The adapters of a run.
pub(super) struct Adapters(Option<Studies>);

impl Adapters {
    /// Starts to study processes, where the kernel can look at them.
    pub(super) fn start(kernel: &Kernel) -> Result<Self, Failure> {
        if !kernel.walks() {
            return Ok(Self(None));
        }
        Studies::start(PathBuf::from("/proc")).map(|studies| Self(Some(studies))).map_err(|error| Failure::new(exit::FAILURE, error))
    }

    /// These processes were met, those are gone. Gives the processes that are looked at from now on, and how their notes are taken.
    pub(super) fn tick(&self, kernel: &mut Kernel, met: &[ProcessInfo], gone: &[u32]) -> Vec<(u32, Manner)> {
        let Some(studies) = &self.0 else { return Vec::new() };
        for pid in gone {
            studies.forget(*pid);
            kernel.stop_walking(*pid);
        }
        for info in met {
            studies.meet(info.pid, info.runtime);
        }
        let mut begun = Vec::new();
        for found in studies.take() {
            match found {
                Found::Study { pid, adapter, study } => match kernel.walk(pid, &study.walks) {
                    Ok(()) => begun.push((pid, study.manner)),
                    Err(error) => eprintln!("wirespan: no links by memory for process {pid} ({adapter}): {error}"),
                },
                Found::Notice(notice) => eprintln!("wirespan: {notice}"),
            }
        }
        begun
    }
}
