//! A list and a map that grow without ever moving much at once.
//!
//! A transaction may write a million records, one short call after the other. A `Vec` or `HashMap` that doubles copies all it holds in
//! one of these calls: 20 ms were measured, on a scheduler that others wait for.

use super::lock::Passed;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash};

const CHUNK: usize = 1024;

/// A list in chunks. The first one grows as a `Vec` does and is kept when the list is cleared.
#[derive(Clone)]
pub struct List<T> {
    first: Vec<T>,
    /// Full ones, but for the last.
    more: Vec<Vec<T>>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List { first: Vec::new(), more: Vec::new() }
    }
}

impl<T> List<T> {
    #[inline]
    pub fn len(&self) -> usize {
        match self.more.last() {
            None => self.first.len(),
            Some(last) => self.more.len() * CHUNK + last.len(),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    #[inline]
    pub fn push(&mut self, item: T) {
        if self.first.len() < CHUNK {
            return self.first.push(item);
        }
        match self.more.last_mut().filter(|last| last.len() < CHUNK) {
            Some(last) => last.push(item),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(item);
                self.more.push(chunk);
            }
        }
    }

    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        match at.checked_sub(CHUNK) {
            None => self.first.get(at),
            Some(at) => self.more.get(at / CHUNK)?.get(at % CHUNK),
        }
    }

    #[inline]
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        match at.checked_sub(CHUNK) {
            None => self.first.get_mut(at),
            Some(at) => self.more.get_mut(at / CHUNK)?.get_mut(at % CHUNK),
        }
    }

    /// The first items; all, where the list is known to be short.
    #[inline]
    pub fn first(&self) -> &[T] {
        &self.first
    }

    pub fn chunks(&self) -> impl Iterator<Item = &[T]> {
        std::iter::once(&self.first[..]).chain(self.more.iter().map(|chunk| &chunk[..]))
    }

    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.more.iter().flatten())
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().chain(self.more.iter_mut().flatten())
    }

    pub fn into_iter(self) -> impl Iterator<Item = T> {
        self.first.into_iter().chain(self.more.into_iter().flatten())
    }

    #[inline]
    pub fn clear(&mut self) {
        self.first.clear();
        if !self.more.is_empty() {
            self.more = Vec::new();
        }
    }
}

/// From here on the map is many.
const WHOLE: usize = 4096;
const PARTS: usize = 64;

type Part<K, V> = HashMap<K, V, BuildHasherDefault<Passed>>;

/// A map of keys that are hashes already. A large one is many maps, which grow one by one.
#[derive(Clone)]
pub struct Map<K, V> {
    whole: Part<K, V>,
    parts: Vec<Part<K, V>>,
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Map { whole: Part::default(), parts: Vec::new() }
    }
}

impl<K: Hash + Eq, V> Map<K, V> {
    #[inline]
    fn part(&self, key: &K) -> usize {
        // Bits that the map itself looks at last.
        (self.whole.hasher().hash_one(key) >> 40) as usize % PARTS
    }

    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        if self.parts.is_empty() {
            return self.whole.get(key);
        }
        self.parts[self.part(key)].get(key)
    }

    #[inline]
    pub fn insert(&mut self, key: K, value: V) {
        if self.parts.is_empty() {
            if self.whole.len() < WHOLE {
                self.whole.insert(key, value);
                return;
            }
            self.parts.resize_with(PARTS, Part::default);
            for (key, value) in std::mem::take(&mut self.whole) {
                let part = self.part(&key);
                self.parts[part].insert(key, value);
            }
        }
        let part = self.part(&key);
        self.parts[part].insert(key, value);
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.parts.is_empty()
    }

    /// Keeps the memory of a small map only.
    pub fn clear(&mut self) {
        self.parts = Vec::new();
        if self.whole.capacity() > 2 * CHUNK {
            self.whole = Part::default();
        } else {
            self.whole.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_and_map_hold_what_was_put_in() {
        let (mut list, mut map) = (List::default(), Map::default());
        for n in 0..10_000u64 {
            assert_eq!((list.len() as u64, list.get(n as usize), map.get(&n.wrapping_mul(0x9e37_79b9))), (n, None, None));
            list.push(n);
            map.insert(n.wrapping_mul(0x9e37_79b9), n);
        }
        assert!((0..10_000).all(|n| list.get(n as usize) == Some(&n) && map.get(&n.wrapping_mul(0x9e37_79b9)) == Some(&n)));
        assert!(list.iter().copied().eq(0..10_000));
        assert_eq!(list.chunks().map(<[u64]>::len).sum::<usize>(), 10_000);
        list.clear();
        map.clear();
        assert!(list.is_empty() && map.is_empty() && map.get(&0).is_none());
        assert!(list.into_iter().next().is_none());
    }
}
