//! Statements that a connection has prepared, by name or number.
use super::Statement;
use rustc_hash::FxHashMap;
use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

/// Statements remembered of one connection. Drivers keep up to 256; pools of `PostgreSQL` proxies a few more.
const MOST: usize = 512;
/// Bytes of text that they may have in all.
const MOST_BYTES: usize = 256 * 1024;

/// Prepared statements; the one that was not used for the longest time goes first.
#[derive(Debug)]
pub(crate) struct Prepared<K> {
    statements: FxHashMap<K, (u64, Arc<Statement>)>,
    bytes: usize,
    used: u64,
}

impl<K> Default for Prepared<K> {
    fn default() -> Self {
        Self { statements: FxHashMap::default(), bytes: 0, used: 0 }
    }
}

impl<K: Eq + Hash + Clone> Prepared<K> {
    /// Remembers a statement, instead of the one that had that key.
    pub(crate) fn insert(&mut self, key: K, statement: Arc<Statement>) {
        self.used += 1;
        self.bytes += size(&statement);
        if let Some((_, before)) = self.statements.insert(key, (self.used, statement)) {
            self.bytes -= size(&before);
        }
        while self.statements.len() > MOST || self.bytes > MOST_BYTES {
            let oldest = self.statements.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            if oldest.is_none_or(|oldest| self.remove(&oldest).is_none()) {
                return;
            }
        }
    }

    /// The statement of that key.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<Arc<Statement>>
    where
        K: Borrow<Q>,
    {
        let (used, statement) = self.statements.get_mut(key)?;
        self.used += 1;
        *used = self.used;
        Some(Arc::clone(statement))
    }

    /// Forgets the statement of that key.
    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<Arc<Statement>>
    where
        K: Borrow<Q>,
    {
        let (_, statement) = self.statements.remove(key)?;
        self.bytes -= size(&statement);
        Some(statement)
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.statements.clear();
        self.bytes = 0;
    }
}

fn size(statement: &Statement) -> usize {
    statement.text.len() + statement.summary.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(length: usize) -> Arc<Statement> {
        Arc::new(Statement { text: "x".repeat(length), ..Statement::default() })
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_is_forgotten_first() {
        let mut prepared = Prepared::default();
        for key in 0..MOST {
            prepared.insert(key, statement(1));
        }
        assert!(prepared.get(&0).is_some());
        prepared.insert(MOST, statement(1));
        assert_eq!([0, 1, 2, MOST].map(|key| prepared.get(&key).is_some()), [true, false, true, true]);
        prepared.insert(MOST, statement(MOST_BYTES));
        assert_eq!((prepared.statements.len(), prepared.bytes), (1, MOST_BYTES));
        prepared.insert(MOST, statement(5));
        assert_eq!(prepared.remove(&MOST).map(|statement| statement.text.len()), Some(5));
        assert_eq!((prepared.remove(&MOST), prepared.bytes), (None, 0));
    }
}
