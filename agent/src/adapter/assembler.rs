//! Writes walks: steps for the kernel side, with named places to jump to instead of distances.
use wirespan_abi::walk::{STEPS, Step, Walk, op};

/// A cell of a walk.
pub type Cell = u8;

/// A place in a walk that steps jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

/// A walk that is being written. Steps beyond [`STEPS`] make [`Assembler::finish`] give nothing.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    steps: Vec<Step>,
    /// Where each place is, once it is known.
    places: Vec<Option<usize>>,
    /// Steps that jump, and where to.
    jumps: Vec<(usize, Place)>,
    room: u32,
}

impl Assembler {
    /// A walk without steps, with room for a copy of memory: 0, [`wirespan_abi::walk::WINDOW`] or
    /// [`wirespan_abi::walk::LARGEST_WINDOW`] bytes.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { room: room as u32, ..Self::default() }
    }

    /// A place that is not in the walk yet.
    pub fn place(&mut self) -> Place {
        self.places.push(None);
        Place(self.places.len() - 1)
    }

    /// The next step is at `place`.
    pub fn here(&mut self, place: Place) {
        if let Some(at) = self.places.get_mut(place.0) {
            *at = Some(self.steps.len());
        }
    }

    /// Any step that does not jump: see [`op`].
    pub fn step(&mut self, op: u8, a: Cell, b: Cell, at: i32, value: u64) -> &mut Self {
        self.steps.push(Step { op, a, b, reserved: 0, at, value });
        self
    }

    /// a = value.
    pub fn set(&mut self, a: Cell, value: u64) -> &mut Self {
        self.step(op::SET, a, 0, 0, value)
    }

    /// a = b + value.
    pub fn add(&mut self, a: Cell, b: Cell, value: i64) -> &mut Self {
        self.step(op::ADD, a, b, 0, value.cast_unsigned())
    }

    /// a = the eight bytes of the process at b + at.
    pub fn load(&mut self, a: Cell, b: Cell, at: i32) -> &mut Self {
        self.step(op::LOAD, a, b, at, 0)
    }

    /// Puts a into the output.
    pub fn emit(&mut self, a: Cell) -> &mut Self {
        self.emit_sum(a, 0)
    }

    /// Puts a + value into the output.
    pub fn emit_sum(&mut self, a: Cell, value: u64) -> &mut Self {
        self.step(op::EMIT, a, 0, 0, value)
    }

    /// The walk ends and tells.
    pub fn end(&mut self) -> &mut Self {
        self.step(op::END, 0, 0, 0, 0)
    }

    /// The walk ends and tells nothing.
    pub fn drop_note(&mut self) -> &mut Self {
        self.step(op::DROP, 0, 0, 0, 0)
    }

    /// Goes to `place`.
    pub fn jump(&mut self, place: Place) -> &mut Self {
        self.jump_step(op::JUMP, 0, 0, 0, place)
    }

    /// Goes to `place` if a = value.
    pub fn if_equal(&mut self, a: Cell, value: u64, place: Place) -> &mut Self {
        self.jump_step(op::IF_EQUAL, a, 0, value, place)
    }

    /// Goes to `place` if a != value.
    pub fn if_unequal(&mut self, a: Cell, value: u64, place: Place) -> &mut Self {
        self.jump_step(op::IF_UNEQUAL, a, 0, value, place)
    }

    /// Goes to `place` if a = b.
    pub fn if_same(&mut self, a: Cell, b: Cell, place: Place) -> &mut Self {
        self.jump_step(op::IF_SAME, a, b, 0, place)
    }

    /// Puts into `found[0]` and `found[1]` the next place below `found[0]`, and above `found[2]`, and its word, that points into the range of
    /// the two cells from `range` on, to where `at` bytes on one of two numbers stands: see [`op::SCAN`].
    pub fn scan(&mut self, found: Cell, range: Cell, at: i32, wanted: [u32; 2]) -> &mut Self {
        let [low, high] = wanted.map(u64::from);
        self.step(op::SCAN, found, range, at, high << 32 | low)
    }

    /// A step that jumps: see [`op`].
    pub fn jump_step(&mut self, op: u8, a: Cell, b: Cell, value: u64, place: Place) -> &mut Self {
        self.jumps.push((self.steps.len(), place));
        self.step(op, a, b, 0, value)
    }

    /// The walk; `None` if it has too many steps, or jumps to a place that it does not have.
    #[must_use]
    pub fn finish(mut self) -> Option<Box<Walk>> {
        for (from, place) in self.jumps {
            let to = (*self.places.get(place.0)?)?;
            self.steps.get_mut(from)?.at = i32::try_from(to).ok()? - i32::try_from(from).ok()? - 1;
        }
        let mut walk = Walk { len: self.steps.len() as u32, room: self.room, steps: [Step::default(); STEPS] };
        walk.steps.get_mut(..self.steps.len())?.copy_from_slice(&self.steps);
        Some(Box::new(walk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_counted_from_the_next_step() {
        let mut walk = Assembler::new(0);
        let (again, out) = (walk.place(), walk.place());
        walk.set(4, 3);
        walk.here(again);
        walk.if_equal(4, 0, out).add(4, 4, -1).jump(again);
        walk.here(out);
        walk.end();
        let walk = walk.finish().expect("it fits");
        assert_eq!((walk.len, walk.steps[1].at, walk.steps[3].at), (5, 2, -3));
    }

    #[test]
    fn a_walk_that_does_not_fit_or_jumps_nowhere_is_none() {
        let mut long = Assembler::new(0);
        for _ in 0..=STEPS {
            long.end();
        }
        assert_eq!(long.finish(), None);
        let mut lost = Assembler::new(0);
        let nowhere = lost.place();
        lost.jump(nowhere);
        assert_eq!(lost.finish(), None);
    }
}
