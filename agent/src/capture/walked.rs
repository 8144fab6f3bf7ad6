//! Which processes the kernel side walks, and how. The program that tells writes is attached only while there are some.
use super::hooks::WRITES;
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, MapError};
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::programs::{BtfTracePoint, ProgramError};
use rustc_hash::FxHashSet;
use wirespan_abi::walk::{MAX_WALKED, WALKED, Walk, key, moment};

/// What to read at each [`moment`].
pub type Walks = [Option<Box<Walk>>; moment::COUNT as usize];

/// Why a process is not walked.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// Nothing is attached any more.
    #[error("the programs are detached")]
    Detached,
    /// There are too many.
    #[error("{MAX_WALKED} processes are walked already, or one whose number ends in the same bits")]
    Full,
    /// The kernel does not take the walk.
    #[error("the kernel does not take its walk: {0}")]
    Map(#[from] MapError),
    /// The program that tells writes cannot be attached.
    #[error("attach {WRITES}: {0}")]
    Attach(#[from] ProgramError),
}

/// The walk as the map wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct WalkValue(Walk);

// SAFETY: integers without padding, transparent.
unsafe impl aya::Pod for WalkValue {}

/// The processes that are walked.
pub(super) struct Walked {
    table: Array<MapData, u32>,
    walks: HashMap<MapData, u64, WalkValue>,
    pids: FxHashSet<u32>,
    writes: Option<BtfTracePointLinkId>,
}

impl Walked {
    pub(super) fn new(table: Array<MapData, u32>, walks: HashMap<MapData, u64, WalkValue>) -> Self {
        Self { table, walks, pids: FxHashSet::default(), writes: None }
    }

    /// Begins to walk a process, or walks it in another way.
    pub(super) fn begin(&mut self, ebpf: &mut Ebpf, pid: u32, walks: &Walks) -> Result<(), WalkError> {
        let slot = pid % WALKED as u32;
        let other = self.table.get(&slot, 0)?;
        if self.pids.len() >= MAX_WALKED && !self.pids.contains(&pid) || (other != 0 && other != pid) {
            return Err(WalkError::Full);
        }
        for (moment, walk) in (0..).zip(walks) {
            match walk {
                Some(walk) => self.walks.insert(key(pid, moment), WalkValue(**walk), 0)?,
                // There may be none to remove.
                None => drop(self.walks.remove(&key(pid, moment))),
            }
        }
        self.pids.insert(pid);
        self.table.set(slot, pid, 0)?;
        if self.writes.is_none() {
            self.writes = Some(program(ebpf)?.attach()?);
        }
        Ok(())
    }

    /// Walks a process no more.
    pub(super) fn end(&mut self, ebpf: &mut Ebpf, pid: u32) {
        if !self.pids.remove(&pid) {
            return;
        }
        // What cannot be removed costs memory until the agent ends, no more: the process is gone.
        let _ = self.table.set(pid % WALKED as u32, 0, 0);
        for moment in 0..moment::COUNT {
            let _ = self.walks.remove(&key(pid, moment));
        }
        if self.pids.is_empty()
            && let Some(link) = self.writes.take()
            && let Ok(program) = program(ebpf)
        {
            let _ = program.detach(link);
        }
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut BtfTracePoint, ProgramError> {
    ebpf.program_mut(WRITES).ok_or_else(|| ProgramError::InvalidName { name: WRITES.to_owned() })?.try_into()
}
