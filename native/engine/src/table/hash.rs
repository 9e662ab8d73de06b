//! One shard of a hash table: linear hashing over a slab of slots.
//!
//! A key keeps its slot number until it is deleted, so a scan by slot number may stop and go on: whatever is there all the time is visited
//! exactly once. The number of buckets grows by one with an insert that needs it (Litwin 1980, as ETS does), so no insert ever
//! rehashes the table. Slots and buckets live in fixed chunks: growth copies nothing.

use super::key::Key;
use super::rows::Rows;

const CHUNK: usize = 64;
const NONE: u32 = u32::MAX;

struct Slot {
    rows: Option<Rows>,
    hash: u32,
    /// Next slot of the bucket, or of the free list.
    next: u32,
}

/// A vector that grows without moving its elements.
struct Chunks<T>(Vec<Box<[T; CHUNK]>>);

impl<T> Chunks<T> {
    #[inline]
    fn get(&self, i: u32) -> &T {
        &self.0[i as usize / CHUNK][i as usize % CHUNK]
    }
    #[inline]
    fn get_mut(&mut self, i: u32) -> &mut T {
        &mut self.0[i as usize / CHUNK][i as usize % CHUNK]
    }
    fn reserve(&mut self, len: u32, empty: impl Fn() -> T) {
        while self.0.len() * CHUNK < len as usize {
            self.0.push(Box::new(std::array::from_fn(|_| empty())));
        }
    }
}

/// Slots, buckets and what is free.
pub struct Shard {
    slots: Chunks<Slot>,
    buckets: Chunks<u32>,
    /// Slots ever used, free ones included.
    used: u32,
    free: u32,
    keys: u32,
    bucket_count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Shard { slots: Chunks(Vec::new()), buckets: Chunks(Vec::new()), used: 0, free: NONE, keys: 0, bucket_count: 0 }
    }
}

impl Shard {
    #[inline]
    fn bucket(&self, hash: u32) -> u32 {
        let mask = self.bucket_count.next_power_of_two() - 1;
        let bucket = hash & mask;
        if bucket < self.bucket_count {
            bucket
        } else {
            hash & (mask >> 1)
        }
    }

    /// The slot of a key.
    #[inline]
    pub fn find(&self, key: &Key) -> Option<u32> {
        if self.bucket_count == 0 {
            return None;
        }
        let hash = key.hash as u32;
        let mut at = *self.buckets.get(self.bucket(hash));
        while at != NONE {
            let slot = self.slots.get(at);
            if slot.hash == hash && slot.rows.as_ref().is_some_and(|r| key.is_of(r.first())) {
                return Some(at);
            }
            at = slot.next;
        }
        None
    }

    #[inline]
    pub fn get(&self, key: &Key) -> Option<&Rows> {
        self.find(key).and_then(|at| self.slot(at))
    }

    /// Rows in slot `at`, if it is in use.
    #[inline]
    pub fn slot(&self, at: u32) -> Option<&Rows> {
        self.slots.get(at).rows.as_ref()
    }

    /// Slots to visit in a scan.
    pub fn slot_count(&self) -> u32 {
        self.used
    }

    pub fn keys(&self) -> u32 {
        self.keys
    }

    /// Replaces the rows of a key: `change` gets what was there and answers what shall be.
    pub fn update(&mut self, key: &Key, change: impl FnOnce(Option<Rows>) -> Option<Rows>) {
        if let Some(at) = self.find(key) {
            let slot = self.slots.get_mut(at);
            let before = slot.rows.take();
            match change(before) {
                Some(after) => slot.rows = Some(after),
                None => self.remove(at),
            }
        } else if let Some(rows) = change(None) {
            self.insert(key.hash as u32, rows);
        }
    }

    fn insert(&mut self, hash: u32, rows: Rows) {
        self.grow();
        let at = if self.free == NONE {
            assert!(self.used < NONE - 1, "a shard holds at most 2^32 - 2 keys");
            self.used += 1;
            self.slots.reserve(self.used, || Slot { rows: None, hash: 0, next: NONE });
            self.used - 1
        } else {
            let at = self.free;
            self.free = self.slots.get(at).next;
            at
        };
        let bucket = self.bucket(hash);
        let head = self.buckets.get_mut(bucket);
        *self.slots.get_mut(at) = Slot { rows: Some(rows), hash, next: *head };
        *head = at;
        self.keys += 1;
    }

    /// Takes a slot whose rows are gone out of its bucket.
    fn remove(&mut self, at: u32) {
        let (hash, next) = (self.slots.get(at).hash, self.slots.get(at).next);
        let bucket = self.bucket(hash);
        let mut before = *self.buckets.get(bucket);
        if before == at {
            *self.buckets.get_mut(bucket) = next;
        } else {
            while self.slots.get(before).next != at {
                before = self.slots.get(before).next;
            }
            self.slots.get_mut(before).next = next;
        }
        self.slots.get_mut(at).next = self.free;
        self.free = at;
        self.keys -= 1;
    }

    /// Keeps about one key per bucket: adds one bucket and moves to it what belongs there.
    fn grow(&mut self) {
        if self.keys < self.bucket_count {
            return;
        }
        let new = self.bucket_count;
        self.buckets.reserve(new + 1, || NONE);
        *self.buckets.get_mut(new) = NONE;
        self.bucket_count = new + 1;
        if new == 0 {
            return;
        }
        // The bucket that held these keys until now: the new number without its highest bit.
        let old = new & !(1 << (31 - new.leading_zeros()));
        let mut at = std::mem::replace(self.buckets.get_mut(old), NONE);
        while at != NONE {
            let (hash, next) = (self.slots.get(at).hash, self.slots.get(at).next);
            let bucket = self.bucket(hash);
            let head = std::mem::replace(self.buckets.get_mut(bucket), at);
            self.slots.get_mut(at).next = head;
            at = next;
        }
    }

    /// Bytes of the structure itself.
    pub fn memory(&self) -> usize {
        self.slots.0.len() * (CHUNK * std::mem::size_of::<Slot>() + 8) + self.buckets.0.len() * (CHUNK * 4 + 8)
    }

    /// Every key is in the bucket of its hash, every slot is in one bucket or free, the counts are right.
    pub fn check(&self) -> Result<(), String> {
        let (mut seen, mut chained) = (0u32, 0u32);
        for bucket in 0..self.bucket_count {
            let mut at = *self.buckets.get(bucket);
            while at != NONE {
                let slot = self.slots.get(at);
                let Some(rows) = &slot.rows else { return Err(format!("bucket {bucket} holds the empty slot {at}")) };
                if rows.as_slice().is_empty() {
                    return Err(format!("slot {at} has no rows"));
                }
                if self.bucket(slot.hash) != bucket {
                    return Err(format!("slot {at} is in bucket {bucket}, not in that of its hash"));
                }
                chained += 1;
                if chained > self.used {
                    return Err("a bucket is a ring".into());
                }
                at = slot.next;
            }
        }
        let mut free = self.free;
        while free != NONE {
            if self.slots.get(free).rows.is_some() {
                return Err(format!("free slot {free} has rows"));
            }
            seen += 1;
            if seen > self.used {
                return Err("the free list is a ring".into());
            }
            free = self.slots.get(free).next;
        }
        if chained != self.keys || seen + chained != self.used {
            return Err(format!("{chained} keys in buckets, {seen} free, expected {} of {}", self.keys, self.used));
        }
        Ok(())
    }
}
