//! The changed keys of one table at one nesting level, in the order of their first change.

use super::grow::{List, Map};
use crate::table::{Change, Key, KeyBytes};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Up to here a key is looked for one by one.
const LINEAR: usize = 8;
/// A set that grew beyond this is not kept for the next transaction.
const KEPT: usize = 256;

/// How keys are found.
#[derive(Clone)]
enum Places {
    /// Place in the list by hash. Keys that share a hash stand at the hash plus one, plus two and so on: nothing is ever taken
    /// out, so there are no gaps. Empty as long as the list is short.
    Hash(Map<u64, usize>),
    /// For an ordered_set: by key.
    Tree(BTreeMap<KeyBytes, usize>),
}

#[derive(Clone)]
pub struct WriteSet {
    list: List<(Key, Change)>,
    places: Places,
}

impl Default for WriteSet {
    fn default() -> Self {
        WriteSet { list: List::default(), places: Places::Hash(Map::default()) }
    }
}

impl WriteSet {
    /// Called while it is empty.
    #[inline]
    pub fn set_ordered(&mut self, ordered: bool) {
        if ordered != matches!(self.places, Places::Tree(_)) {
            self.places = if ordered { Places::Tree(BTreeMap::new()) } else { Places::Hash(Map::default()) };
        }
    }

    /// Empties it; false if it is not worth keeping.
    #[inline]
    pub fn reset(&mut self) -> bool {
        let keep = self.list.len() <= KEPT;
        self.list.clear();
        match &mut self.places {
            Places::Hash(map) if !map.is_empty() => map.clear(),
            Places::Tree(tree) if !tree.is_empty() => tree.clear(),
            _ => {}
        }
        keep
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Place of a key in the order of first change.
    #[inline]
    pub fn position(&self, key: &Key) -> Option<usize> {
        match &self.places {
            Places::Tree(tree) => tree.get(&key.bytes).copied(),
            Places::Hash(_) if self.list.len() <= LINEAR => self.list.first().iter().position(|(k, _)| k == key),
            Places::Hash(map) => {
                let mut hash = key.hash;
                loop {
                    let at = *map.get(&hash)?;
                    if self.list.get(at).is_some_and(|(k, _)| k == key) {
                        return Some(at);
                    }
                    hash = hash.wrapping_add(1);
                }
            }
        }
    }

    #[inline]
    pub fn get(&self, key: &Key) -> Option<&Change> {
        self.list.get(self.position(key)?).map(|(_, change)| change)
    }

    /// Adds a change to what the key has already.
    #[inline]
    pub fn add(&mut self, key: Key, change: Change) {
        if let Some((_, now)) = self.position(&key).and_then(|at| self.list.get_mut(at)) {
            let before = std::mem::replace(now, Change::Delete);
            *now = before.then(change);
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
        (from..self.list.len()).filter_map(|at| self.list.get(at)).map(|(key, _)| key)
    }

    /// The next greater key of an ordered_set, or the first.
    pub fn ordered_after(&self, after: Option<&Key>) -> Option<&Key> {
        let Places::Tree(tree) = &self.places else { return None };
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(&key.bytes));
        tree.range::<KeyBytes, _>((from, Bound::Unbounded)).next().and_then(|(_, at)| self.list.get(*at)).map(|(key, _)| key)
    }

    /// The first key of an ordered_set from these bytes on.
    pub fn ordered_from(&self, low: &[u8]) -> Option<&Key> {
        let Places::Tree(tree) = &self.places else { return None };
        tree.range::<[u8], _>((Bound::Included(low), Bound::Unbounded))
            .next()
            .and_then(|(_, at)| self.list.get(*at))
            .map(|(key, _)| key)
    }

    /// The next smaller key of an ordered_set, or the last.
    pub fn ordered_before(&self, before: Option<&Key>) -> Option<&Key> {
        let Places::Tree(tree) = &self.places else { return None };
        let to = before.map_or(Bound::Unbounded, |key| Bound::Excluded(&key.bytes));
        tree.range::<KeyBytes, _>((Bound::Unbounded, to)).next_back().and_then(|(_, at)| self.list.get(*at)).map(|(key, _)| key)
    }

    /// All of them, in pieces.
    pub fn changes(&self) -> impl Iterator<Item = &[(Key, Change)]> {
        self.list.chunks()
    }

    pub fn changes_mut(&mut self) -> impl Iterator<Item = &mut (Key, Change)> {
        self.list.iter_mut()
    }

    pub fn into_changes(self) -> impl Iterator<Item = (Key, Change)> {
        self.list.into_iter()
    }
}

#[inline]
fn place(map: &mut Map<u64, usize>, hash: u64, at: usize) {
    let mut hash = hash;
    while map.get(&hash).is_some() {
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
        assert!(set.reset(), "small enough to be kept");
        assert_eq!((set.len(), set.position(&key(1, 1))), (0, None));
    }
}
