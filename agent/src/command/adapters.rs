//! Has processes studied as they are met, and tells the kernel side what to look at in them.
use super::{Failure, exit};
use crate::adapter::studies::{Found, Studies};
use crate::capture::kernel::Kernel;
use crate::causality::manner::Manner;
use crate::enrich::process::ProcessInfo;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The environment's word for `--no-memory`.
const NO_MEMORY: &str = "WIRESPAN_NO_MEMORY";

/// The adapters of a run.
pub(super) struct Adapters {
    /// `None` where the kernel cannot look at processes, or a person does not want it.
    studies: Option<Studies>,
    /// Processes that nobody looks at.
    spared: Spared,
}

impl Adapters {
    /// Starts to study processes, where the kernel can look at them, but not those that `spared` or else the environment names.
    pub(super) fn start(kernel: &Kernel, spared: Option<&String>, env: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let spared = Spared::parse(spared.or_else(|| env.get(NO_MEMORY)).map_or("", String::as_str));
        if !kernel.walks() || spared == Spared::All {
            return Ok(Self { studies: None, spared });
        }
        let studies = Studies::start(PathBuf::from("/proc")).map_err(|error| Failure::new(exit::FAILURE, error))?;
        Ok(Self { studies: Some(studies), spared })
    }

    /// These processes were met, those are gone. Gives the processes that are looked at from now on, and how their notes are taken.
    pub(super) fn tick(&self, kernel: &mut Kernel, met: &[ProcessInfo], gone: &[u32]) -> Vec<(u32, Manner)> {
        let Some(studies) = &self.studies else { return Vec::new() };
        for pid in gone {
            studies.forget(*pid);
            kernel.stop_walking(*pid);
        }
        for info in met.iter().filter(|info| !self.spared.names(info.pid, info.executable_name())) {
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

/// Processes whose memory nobody looks at.
#[derive(Debug, PartialEq, Eq)]
enum Spared {
    All,
    Some { pids: Vec<u32>, names: Vec<String> },
}

impl Spared {
    fn parse(list: &str) -> Self {
        let words: Vec<&str> = list.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.contains(&"all") {
            return Self::All;
        }
        let pids = words.iter().filter_map(|word| word.parse().ok()).collect();
        let names = words.iter().filter(|word| word.parse::<u32>().is_err()).map(|word| (*word).to_owned()).collect();
        Self::Some { pids, names }
    }

    fn names(&self, pid: u32, executable: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some { pids, names } => pids.contains(&pid) || names.iter().any(|name| name == executable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_spared_by_number_or_by_the_name_of_their_executable() {
        let spared = Spared::parse("71, node");
        let which = [(71, "python3"), (72, "node"), (72, "python3")].map(|(pid, name)| spared.names(pid, name));
        assert_eq!(which, [true, true, false]);
        assert_eq!(Spared::parse("all"), Spared::All);
        assert!(!Spared::parse("").names(1, "init"));
    }
}
