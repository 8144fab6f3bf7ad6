//! Where nodes lie: by id, in one block of memory.
//!
//! Nodes come and go in the order of traffic, thousands at once. Each on its own would leave holes between what connections keep for
//! long, and the memory of a burst could not be given back.
use super::graph::{FEW, SPARSE};
use crate::exchange::ExchangeId;
use rustc_hash::FxHashMap;

/// The nodes.
pub(super) struct Nodes<N> {
    places: FxHashMap<ExchangeId, u32>,
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
        self.slots.get(*self.places.get(&id)? as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: ExchangeId) -> Option<&mut N> {
        self.slots.get_mut(*self.places.get(&id)? as usize)?.as_mut()
    }

    /// Adds a node under an id that is new.
    pub(super) fn insert(&mut self, id: ExchangeId, node: N) {
        // The place left last is the one that is still in the CPU's cache.
        let place = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(place as usize) {
            Some(slot) => *slot = Some(node),
            None => self.slots.push(Some(node)),
        }
        self.places.insert(id, place);
    }

    pub(super) fn remove(&mut self, id: ExchangeId) -> Option<N> {
        let place = self.places.remove(&id)?;
        let node = self.slots.get_mut(place as usize)?.take();
        self.free.push(place);
        node
    }

    /// Gives back the room that a burst needed: moves the nodes together, into as much memory as they take.
    pub(super) fn shrink(&mut self) {
        if self.slots.capacity() <= SPARSE * self.places.len().max(FEW) {
            return;
        }
        let mut slots = Vec::with_capacity(self.places.len());
        for place in self.places.values_mut() {
            let node = self.slots.get_mut(*place as usize).and_then(Option::take);
            *place = slots.len() as u32;
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
                    prop_assert_eq!(nodes.remove(ExchangeId(id)), model.remove(&id));
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
        (0..burst).filter(|id| id % 1000 != 7).for_each(|id| assert_eq!(nodes.remove(ExchangeId(id)), Some(id)));
        nodes.shrink();
        assert!(nodes.slots.capacity() < FEW);
        let left: Vec<u64> = (0..burst).filter_map(|id| nodes.get(ExchangeId(id)).copied()).collect();
        assert_eq!(left, (0..burst).filter(|id| id % 1000 == 7).collect::<Vec<_>>());
        nodes.insert(ExchangeId(burst), burst);
        assert_eq!(nodes.get_mut(ExchangeId(burst)), Some(&mut { burst }));
    }
}
