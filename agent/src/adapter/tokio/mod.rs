#![doc = include_str!("../tokio.md")]
mod ground;
mod kernel;
mod layout;
mod learn;
mod sockets;
mod task;
#[cfg(test)]
mod tests;
mod walks;

use super::process::Process;
use super::{Adapter, Refusal, Study};
use crate::causality::manner::{Manner, Unit};
use crate::enrich::runtime::Runtime;
use ground::Ground;
use kernel::Polling;
use learn::Learner;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use task::Shapes;

/// How long a process is watched at most until its calls can be linked.
const LONGEST: Duration = Duration::from_millis(900);
/// How long one is watched that shows nothing of interest, or of which enough is known, for what was not seen yet.
const SHORTEST: Duration = Duration::from_millis(40);
/// Time between two looks at what is polled.
const LOOK: Duration = Duration::from_millis(20);
/// Looks at the threads' variables between two at the tasks.
const GLANCES: u32 = 200;
/// Pause between turns, so that the processes which do the work get on.
const PAUSE: Duration = Duration::from_micros(500);
/// Processes of which is remembered what was learnt so far, at some 100 KiB each: as many as are studied within a minute.
const MAX_REMEMBERED: usize = 64;

/// The adapter for tokio.
#[derive(Debug)]
pub struct Tokio;

/// What was learnt of processes in earlier studies. A process keeps its ground as long as it lives.
static REMEMBERED: Mutex<VecDeque<(u32, Ground, Learner)>> = Mutex::new(VecDeque::new());

impl Adapter for Tokio {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn knows(&self, runtime: Runtime) -> bool {
        runtime == Runtime::Tokio
    }

    /// Kinds of tasks and of wakers show themselves only when they are used.
    fn goes_on(&self) -> bool {
        true
    }

    fn study(&self, process: &Process) -> Result<Study, Refusal> {
        let kernel =
            Polling::of_this_kernel().ok_or_else(|| Refusal::Unknown("this kernel's types do not tell how it polls".to_owned()))?;
        let ground = Ground::survey(process, process.maps());
        if ground.block == 0 || ground.threads.is_empty() {
            return Err(Refusal::Unknown("its threads' variables are not where programs have them".to_owned()));
        }
        let mut learner = recall(process.pid, &ground);
        let watched = watch(process, &ground, &mut learner);
        let layout = learner.layout();
        remember(process.pid, ground, learner);
        watched?;
        let layout = layout.ok_or(Refusal::NotYet("too few calls were under way"))?;
        let (call, response) = (walks::call(&layout, kernel), walks::response(&layout));
        if call.is_none() || response.is_none() {
            return Err(Refusal::Unknown("its walk does not fit".to_owned()));
        }
        Ok(Study { manner: Manner::Units(Unit::Task), walks: [None, response, call.clone(), call] })
    }
}

/// Watches a process until enough is known of it, or for long enough.
fn watch(process: &Process, ground: &Ground, learner: &mut Learner) -> Result<(), Refusal> {
    let mut shapes = Shapes::new(process, ground);
    let (begun, was_known) = (Instant::now(), learner.layout().is_some());
    let mut looked: Option<Instant> = None;
    let mut sockets = Vec::new();
    for turn in 0.. {
        if looked.is_none_or(|looked| looked.elapsed() > LOOK) {
            sockets = sockets::polled(process);
            looked = Some(Instant::now());
            if sockets.iter().any(|socket| (2..0x1_0000).contains(&socket.token)) {
                return Err(Refusal::Unknown("it is older than tokio 1.30".to_owned()));
            }
            learner.sockets(&mut shapes, &sockets);
        }
        let scene = learner.scene(&mut shapes, &sockets);
        if let Some(scene) = &scene {
            learner.tasks(&mut shapes, scene, turn);
            for _ in 0..GLANCES {
                learner.threads(&shapes, scene);
            }
        }
        let enough = scene.is_none() || was_known || learner.layout().is_some();
        if begun.elapsed() > if enough { SHORTEST } else { LONGEST } {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn recall(pid: u32, ground: &Ground) -> Learner {
    let mut remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = remembered.iter().position(|(of, on, _)| *of == pid && on.is_of_same(ground));
    found.and_then(|at| remembered.remove(at)).map_or_else(Learner::default, |(_, _, learner)| learner)
}

fn remember(pid: u32, ground: Ground, learner: Learner) {
    let mut remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    remembered.retain(|(of, _, _)| *of != pid);
    if remembered.len() >= MAX_REMEMBERED {
        remembered.pop_front();
    }
    remembered.push_back((pid, ground, learner));
}
