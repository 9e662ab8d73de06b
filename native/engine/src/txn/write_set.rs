//! The changed keys of one table at one nesting level, in the order of their first change.

use super::lock::Passed;
use crate::table::{Change, Key, KeyBytes};
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::ops::Bound;

/// Up to here a key is looked for one by one.
const LINEAR: usize = 8;
/// A set that grew beyond this is not kept for the next transaction.
const KEPT: usize = 256;

/// How keys are found.
enum Places {
    /// Place in the list by hash. Keys that share a hash stand at the hash plus one, plus two and so on: nothing is ever taken
    /// out, so there are no gaps. Empty as long as the list is short.
    Hash(HashMap<u64, usize, BuildHasherDefault<Passed>>),
    /// For an ordered_set: by key.
    Tree(BTreeMap<KeyBytes, usize>),
}

pub struct WriteSet {
    list: Vec<(Key, Change)>,
    places: Places,
}

impl Default for WriteSet {
    fn default() -> Self {
        WriteSet { list: Vec::new(), places: Places::Hash(HashMap::default()) }
    }
}

impl WriteSet {
    /// Called while it is empty.
    #[inline]
    pub fn set_ordered(&mut self, ordered: bool) {
        if ordered != matches!(self.places, Places::Tree(_)) {
            self.places = if ordered { Places::Tree(BTreeMap::new()) } else { Places::Hash(HashMap::default()) };
        }
    }

    /// Empties it; false if it is not worth keeping.
    #[inline]
    pub fn reset(&mut self) -> bool {
        self.list.clear();
        match &mut self.places {
            Places::Hash(map) if !map.is_empty() => map.clear(),
            Places::Tree(tree) if !tree.is_empty() => tree.clear(),
            _ => {}
        }
        self.list.capacity() <= KEPT
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Place of a key in the order of first change.
    #[inline]
    pub fn position(&self, key: &Key) -> Option<usize> {
        match &self.places {
            Places::Tree(tree) => tree.get(&key.bytes).copied(),
            Places::Hash(_) if self.list.len() <= LINEAR => self.list.iter().position(|(k, _)| k == key),
            Places::Hash(map) => {
                let mut hash = key.hash;
                loop {
                    let at = *map.get(&hash)?;
                    if self.list[at].0 == *key {
                        return Some(at);
                    }
                    hash = hash.wrapping_add(1);
                }
            }
        }
    }

    #[inline]
    pub fn get(&self, key: &Key) -> Option<&Change> {
        self.position(key).map(|at| &self.list[at].1)
    }

    /// Adds a change to what the key has already.
    #[inline]
    pub fn add(&mut self, key: Key, change: Change) {
        if let Some(at) = self.position(&key) {
            let before = std::mem::replace(&mut self.list[at].1, Change::Delete);
            self.list[at].1 = before.then(change);
            return;
        }
        let at = self.list.len();
        match &mut self.places {
            Places::Tree(tree) => {
                tree.insert(key.bytes.clone(), at);
            }
            Places::Hash(map) if at >= LINEAR => {
                if at == LINEAR {
                    self.list.iter().enumerate().for_each(|(at, (key, _))| place(map, key.hash, at));
                }
                place(map, key.hash, at);
            }
            Places::Hash(_) => {}
        }
        self.list.push((key, change));
    }

    /// Keys from a place on.
    pub fn keys_from(&self, from: usize) -> impl Iterator<Item = &Key> {
        self.list.get(from..).unwrap_or(&[]).iter().map(|(key, _)| key)
    }

    /// The next greater key of an ordered_set, or the first.
    pub fn ordered_after(&self, after: Option<&Key>) -> Option<&Key> {
        let Places::Tree(tree) = &self.places else { return None };
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(&key.bytes));
        tree.range::<KeyBytes, _>((from, Bound::Unbounded)).next().map(|(_, at)| &self.list[*at].0)
    }

    /// The next smaller key of an ordered_set, or the last.
    pub fn ordered_before(&self, before: Option<&Key>) -> Option<&Key> {
        let Places::Tree(tree) = &self.places else { return None };
        let to = before.map_or(Bound::Unbounded, |key| Bound::Excluded(&key.bytes));
        tree.range::<KeyBytes, _>((Bound::Unbounded, to)).next_back().map(|(_, at)| &self.list[*at].0)
    }

    pub fn changes(&self) -> &[(Key, Change)] {
        &self.list
    }

    pub fn changes_mut(&mut self) -> &mut [(Key, Change)] {
        &mut self.list
    }

    pub fn into_changes(self) -> impl Iterator<Item = (Key, Change)> {
        self.list.into_iter()
    }
}

#[inline]
fn place(map: &mut HashMap<u64, usize, BuildHasherDefault<Passed>>, hash: u64, at: usize) {
    let mut hash = hash;
    while map.contains_key(&hash) {
        hash = hash.wrapping_add(1);
    }
    map.insert(hash, at);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64, hash: u64) -> Key {
        Key { bytes: KeyBytes::from_slice(&n.to_le_bytes()), hash }
    }

    /// Keys that share a hash, or stand where another's hash points, are told apart.
    #[test]
    fn shared_hashes() {
        let mut set = WriteSet::default();
        for n in 0..100 {
            set.add(key(n, n % 7), Change::Delete);
            for m in 0..=n {
                assert_eq!(set.position(&key(m, m % 7)), Some(m as usize));
            }
            assert_eq!(set.position(&key(n + 1, (n + 1) % 7)), None);
        }
        assert_eq!(set.len(), 100);
        assert!(set.reset());
        assert_eq!((set.len(), set.position(&key(1, 1))), (0, None));
    }
}
