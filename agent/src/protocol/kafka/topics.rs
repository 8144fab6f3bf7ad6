//! Names of topics by their ids, as brokers tell them.
//!
//! A client looks topics up on one connection and names them by id on another, so this is the one thing that connections share. A topic's
//! id is its own for ever and no other topic has it, so what one connection tells holds for all of them.
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Topics that are remembered, the newest ones: several clusters of a thousand topics each, at some 100 bytes a topic.
const MOST: usize = 8 * 1024;

/// What is remembered.
#[derive(Debug, Default)]
struct Topics {
    names: HashMap<u128, Arc<str>>,
    /// Their ids, the oldest one first.
    order: VecDeque<u128>,
}

static TOPICS: Mutex<Option<Topics>> = Mutex::new(None);

impl Topics {
    fn learn(&mut self, id: u128, name: &str) {
        if self.names.get(&id).is_some_and(|known| **known == *name) {
            return;
        }
        if self.names.insert(id, name.into()).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
    }
}

/// Remembers what a topic is called; the id of zero is no topic's.
pub(super) fn learn(id: u128, name: &str) {
    if id != 0 {
        TOPICS.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().learn(id, name);
    }
}

/// What a topic is called, if a broker has said so.
pub(super) fn name(id: u128) -> Option<Arc<str>> {
    TOPICS.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.names.get(&id).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_topics_are_remembered_under_their_newest_names() {
        let mut topics = Topics::default();
        for id in 0..MOST as u128 + 3 {
            topics.learn(id, "old");
            topics.learn(id, "new");
        }
        assert_eq!((topics.names.len(), topics.order.len()), (MOST, MOST));
        let known = |id| topics.names.get(&id).map(ToString::to_string);
        assert_eq!((known(2), known(3), known(MOST as u128 + 2)), (None, Some("new".to_owned()), Some("new".to_owned())));
    }
}
