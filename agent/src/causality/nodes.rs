//! Where nodes lie: by id, in one block of memory.
//!
//! Nodes come and go in the order of traffic, thousands at once. Each on its own would leave holes between what connections keep for
//! long, and the memory of a burst could not be given back.
use super::graph::{FEW, SPARSE};
use crate::exchange::ExchangeId;
use rustc_hash::FxHashMap;

/// Where a node lies.
#[derive(Clone, Copy)]
struct Place {
    slot: u32,
    /// Nothing will come of the node any more. It stands here so that nobody has to look at a node to find out that he need not.
    settled: bool,
}

/// The nodes.
pub(super) struct Nodes<N> {
    places: FxHashMap<ExchangeId, Place>,
    slots: Vec<Option<N>>,
    free: Vec<u32>,
}

impl<N> Default for Nodes<N> {
    fn default() -> Self {
        Self { places: FxHashMap::default(), slots: Vec::new(), free: Vec::new() }
    }
}

impl<N> Nodes<N> {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn get(&self, id: ExchangeId) -> Option<&N> {
        self.slots.get(self.places.get(&id)?.slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: ExchangeId) -> Option<&mut N> {
        self.slots.get_mut(self.places.get(&id)?.slot as usize)?.as_mut()
    }

    /// Adds a node under an id that is new.
    pub(super) fn insert(&mut self, id: ExchangeId, node: N) {
        // The place left last is the one that is still in the CPU's cache.
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = Some(node),
            None => self.slots.push(Some(node)),
        }
        self.places.insert(id, Place { slot, settled: false });
    }

    /// Nothing will come of the node any more.
    pub(super) fn settle(&mut self, id: ExchangeId) {
        if let Some(place) = self.places.get_mut(&id) {
            place.settled = true;
        }
    }

    /// Whether something may still come of the node.
    pub(super) fn is_open(&self, id: ExchangeId) -> bool {
        self.places.get(&id).is_some_and(|place| !place.settled)
    }

    /// Forgets a node where it lies: most of it has long left the CPU's cache, and need not come back for that.
    pub(super) fn remove(&mut self, id: ExchangeId) {
        let Some(Place { slot, .. }) = self.places.remove(&id) else { return };
        if let Some(node) = self.slots.get_mut(slot as usize) {
            *node = None;
            self.free.push(slot);
        }
    }

    /// Gives back the room that a burst needed: moves the nodes together, into as much memory as they take.
    pub(super) fn shrink(&mut self) {
        if self.slots.capacity() <= SPARSE * self.places.len().max(FEW) {
            return;
        }
        let mut slots = Vec::with_capacity(self.places.len());
        for place in self.places.values_mut() {
            let node = self.slots.get_mut(place.slot as usize).and_then(Option::take);
            place.slot = slots.len() as u32;
            slots.push(node);
        }
        self.slots = slots;
        self.free = Vec::new();
        self.places.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn nodes_are_where_they_were_put_whatever_came_and_went(steps in prop::collection::vec((0..40_u64, any::<bool>()), 0..200)) {
            let (mut nodes, mut model) = (Nodes::default(), BTreeMap::new());
            for (number, (id, goes)) in steps.into_iter().enumerate() {
                if goes {
                    nodes.remove(ExchangeId(id));
                    model.remove(&id);
                } else if let std::collections::btree_map::Entry::Vacant(place) = model.entry(id) {
                    place.insert(number);
                    nodes.insert(ExchangeId(id), number);
                }
                prop_assert_eq!(nodes.len(), model.len());
            }
            for id in 0..40 {
                prop_assert_eq!(nodes.get(ExchangeId(id)), model.get(&id));
            }
        }
    }

    #[test]
    fn the_room_of_a_burst_is_given_back_and_what_stays_is_found() {
        let mut nodes = Nodes::default();
        let burst = (SPARSE * FEW * 2) as u64;
        (0..burst).for_each(|id| nodes.insert(ExchangeId(id), id));
        (0..burst).filter(|id| id % 1000 != 7).for_each(|id| nodes.remove(ExchangeId(id)));
        nodes.settle(ExchangeId(7));
        nodes.shrink();
        assert_eq!([7, 8, 1007].map(|id| nodes.is_open(ExchangeId(id))), [false, false, true]);
        assert!(nodes.slots.capacity() < FEW);
        let left: Vec<u64> = (0..burst).filter_map(|id| nodes.get(ExchangeId(id)).copied()).collect();
        assert_eq!(left, (0..burst).filter(|id| id % 1000 == 7).collect::<Vec<_>>());
        nodes.insert(ExchangeId(burst), burst);
        assert_eq!(nodes.get_mut(ExchangeId(burst)), Some(&mut { burst }));
    }
}
