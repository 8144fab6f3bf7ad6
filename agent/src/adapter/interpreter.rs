//! Runs a walk over memory as the kernel side does, for tests.
use super::process::Memory;
use wirespan_abi::walk::{CELLS, LOWEST, MAX_TAKEN, MORE, OUTPUT, SCANNED, STEPS, Walk, cell, op};

/// What a walk left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub cells: [u64; CELLS],
    pub window: Vec<u8>,
    /// What was put out beyond the cells.
    pub more: Vec<u64>,
}

impl Left {
    /// What was emitted, up to the first zero.
    pub fn output(&self) -> Vec<u64> {
        self.cells[OUTPUT..].iter().chain(&self.more).copied().take_while(|value| *value != 0).collect()
    }
}

/// Walks; `None` if nothing is to be told.
pub fn walk(walk: &Walk, thread_pointer: u64, stack_pointer: u64, tid: u32, memory: &dyn Memory) -> Option<Left> {
    walk_at(walk, [thread_pointer, stack_pointer, 0, tid.into()], memory)
}

/// The same with all that the kernel side puts into the first cells. The kernel's memory is what `memory` has at its addresses.
pub fn walk_at(walk: &Walk, first: [u64; cell::FREE as usize], memory: &dyn Memory) -> Option<Left> {
    let mut left = Left { cells: [0; CELLS], window: Vec::new(), more: Vec::new() };
    left.cells[..first.len()].copy_from_slice(&first);
    let (mut next, mut emitted) = (0_i64, OUTPUT);
    for _ in 0..MAX_TAKEN {
        let Some(step) = usize::try_from(next).ok().filter(|next| *next < STEPS.min(walk.len as usize)).map(|next| walk.steps[next]) else {
            return Some(left);
        };
        next += 1;
        let get = |index: u8| left.cells[usize::from(index) % CELLS];
        let (a, b) = (get(step.a), get(step.b));
        let load = |size: usize| {
            let mut bytes = [0; 8];
            let _ = (b >= LOWEST).then(|| memory.read(b.wrapping_add_signed(step.at.into()), &mut bytes[..size]));
            u64::from_le_bytes(bytes)
        };
        let result = match step.op {
            op::END => return Some(left),
            op::DROP => return None,
            op::SET => step.value,
            op::ADD => b.wrapping_add(step.value),
            op::SUM => a.wrapping_add(b),
            op::AND => b & step.value,
            op::SHL => b << (step.value & 63),
            op::SHR => b >> (step.value & 63),
            op::POWER => step.value << (b & 63),
            op::MUL => b.wrapping_mul(step.value),
            op::LOAD | op::LOAD_KERNEL => load(8),
            op::LOAD_4 => load(4),
            op::LOAD_1 => load(1),
            op::LOOP => a.wrapping_add(step.value),
            op::EMIT => {
                if let Some(cell) = left.cells.get_mut(emitted) {
                    *cell = a.wrapping_add(step.value);
                    emitted += 1;
                } else if left.more.len() < MORE {
                    left.more.push(a.wrapping_add(step.value));
                }
                continue;
            }
            op::SCAN => {
                let cell = |index: u8, more: usize| (usize::from(index) + more) % CELLS;
                let (end, beyond) = (left.cells[cell(step.a, 2)], left.cells[cell(step.b, 1)]);
                let places = (1..=SCANNED as u64).map(|index| a.wrapping_sub(8 * index));
                let mut words = places.map(|place| (place, memory.word(place).unwrap_or_default()));
                let pointer = words.find(|(_, word)| (b..beyond).contains(word));
                let class = pointer.and_then(|(_, word)| memory.half(word.wrapping_add_signed(step.at.into()))).unwrap_or_default();
                let matches = [step.value as u32, (step.value >> 32) as u32].contains(&class);
                let place = pointer.map_or(a.wrapping_sub(8 * SCANNED as u64), |(place, _)| place);
                let found = pointer.map_or(0, |(_, word)| if matches { word } else { 0 });
                left.cells[cell(step.a, 0)] = place;
                left.cells[cell(step.a, 1)] = found;
                next -= i64::from(found == 0 && place > end);
                continue;
            }
            op::COPY => {
                left.window =
                    memory.bytes(a.wrapping_add_signed(step.at.into()), step.value.min(walk.room.into()) as usize).unwrap_or_default();
                continue;
            }
            _ => a,
        };
        let jumps = match step.op {
            op::IF_EQUAL => a == step.value,
            op::IF_UNEQUAL => a != step.value,
            op::IF_BELOW => a < step.value,
            op::IF_SAME => a == b,
            op::LOOP => result != b,
            op => op == op::JUMP,
        };
        left.cells[usize::from(step.a) % CELLS] = result;
        if jumps {
            next += i64::from(step.at);
        }
    }
    Some(left)
}
