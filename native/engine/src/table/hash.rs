//! One shard of a hash table: linear hashing with buckets of one line of memory.
//!
//! A look-up touches the bucket and the row, two lines of memory: a bucket holds five keys, and few chain to another. The number of
//! buckets grows by one with an insert that needs it (Litwin 1980, as ETS does), so no insert ever rehashes the table, and buckets
//! live in fixed chunks, so growth copies nothing.
//!
//! The order of a scan is the hash read backwards, bit by bit. All keys of a bucket are one interval of that order, and a split
//! cuts the interval in two, so a place in the order means the same however often buckets are split meanwhile: whatever is there
//! all the time is visited exactly once. (The idea is that of the cursor of Redis' `SCAN`, by Pieter Noordhuis.) Scans are in
//! `walk.rs`.

use super::key::Key;
use super::rows::{prefetch, Rows};
use smallvec::SmallVec;

const CHUNK: usize = 16;
pub(super) const NONE: u32 = u32::MAX;
/// Keys of a bucket.
pub(super) const SLOTS: usize = 5;
/// Keys per bucket at which the table grows. While it doubles, buckets not split yet hold up to twice as many.
pub(super) const FILL: u32 = 3;

/// Rows of up to five keys, and the chained bucket that holds more. The slots in use come first, and a bucket that has another one
/// chained to it is full.
#[repr(C, align(64))]
pub(super) struct Bucket {
    pub hashes: [u32; SLOTS],
    /// Next bucket of the chain, or of the free list.
    pub next: u32,
    pub rows: [Option<Rows>; SLOTS],
}

impl Bucket {
    const EMPTY: Bucket = Bucket { hashes: [0; SLOTS], next: NONE, rows: [const { None }; SLOTS] };

    /// The slot of a key.
    #[inline]
    fn find(&self, key: &Key) -> Option<usize> {
        let mut same = self.same(key.hash as u32);
        while same != 0 {
            let slot = same.trailing_zeros() as usize;
            if self.rows[slot].as_ref().is_some_and(|rows| key.is_of(rows.first())) {
                return Some(slot);
            }
            same &= same - 1;
        }
        None
    }

    /// The slots with this hash, as bits.
    #[inline]
    fn same(&self, hash: u32) -> u32 {
        (0..SLOTS).fold(0, |bits, slot| bits | u32::from(self.hashes[slot] == hash) << slot)
    }

    /// Slots in use.
    #[inline]
    fn len(&self) -> usize {
        self.rows.iter().filter(|rows| rows.is_some()).count()
    }
}

/// A vector that grows without moving its elements.
#[allow(clippy::vec_box)] // the chunks must not move when the vector grows
struct Chunks(Vec<Box<[Bucket; CHUNK]>>);

impl Chunks {
    #[inline]
    fn get(&self, i: u32) -> &Bucket {
        &self.0[i as usize / CHUNK][i as usize % CHUNK]
    }
    #[inline]
    fn get_mut(&mut self, i: u32) -> &mut Bucket {
        &mut self.0[i as usize / CHUNK][i as usize % CHUNK]
    }
    fn reserve(&mut self, len: u32) {
        while self.0.len() * CHUNK < len as usize {
            self.0.push(Box::new([const { Bucket::EMPTY }; CHUNK]));
        }
    }
}

/// Buckets, those chained to them, and what is free.
pub struct Shard {
    buckets: Chunks,
    chained: Chunks,
    bucket_count: u32,
    /// Chained buckets ever used, free ones included.
    used: u32,
    free: u32,
    keys: u32,
    /// Keys that are expected while there are none.
    expected: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Shard {
            buckets: Chunks(Vec::new()),
            chained: Chunks(Vec::new()),
            bucket_count: 0,
            used: 0,
            free: NONE,
            keys: 0,
            expected: 0,
        }
    }
}

impl Shard {
    /// The bucket of a hash, and how many low bits of the hash all its keys share.
    #[inline]
    pub(super) fn bucket_bits(&self, hash: u32) -> (u32, u32) {
        let bits = self.bucket_count.next_power_of_two().trailing_zeros();
        let bucket = hash & ((1u32 << bits) - 1);
        if bucket < self.bucket_count {
            // Its sibling, the bucket with the highest bit set, may not have been split off yet.
            let sibling = bucket | 1 << bits.saturating_sub(1);
            (bucket, if sibling < self.bucket_count { bits } else { bits.saturating_sub(1) })
        } else {
            (bucket & ((1 << (bits - 1)) - 1), bits - 1)
        }
    }

    #[inline]
    fn bucket(&self, hash: u32) -> u32 {
        let mask = self.bucket_count.next_power_of_two() - 1;
        let bucket = hash & mask;
        if bucket < self.bucket_count {
            bucket
        } else {
            bucket & (mask >> 1)
        }
    }

    #[inline]
    pub(super) fn head(&self, bucket: u32) -> &Bucket {
        self.buckets.get(bucket)
    }

    #[inline]
    pub(super) fn link(&self, at: u32) -> &Bucket {
        self.chained.get(at)
    }

    /// A bucket and what is chained to it.
    fn chain(&self, bucket: u32) -> impl Iterator<Item = &Bucket> {
        std::iter::successors(Some(self.head(bucket)), |bucket| (bucket.next != NONE).then(|| self.link(bucket.next)))
    }

    /// Hashes and rows of a bucket.
    pub(super) fn entries(&self, bucket: u32) -> impl Iterator<Item = (u32, &Rows)> {
        self.chain(bucket).flat_map(|b| b.hashes.iter().zip(&b.rows)).filter_map(|(hash, rows)| Some((*hash, rows.as_ref()?)))
    }

    /// The rows of a key.
    #[inline]
    pub fn get(&self, key: &Key) -> Option<&Rows> {
        if self.bucket_count == 0 {
            return None;
        }
        let mut bucket = self.head(self.bucket(key.hash as u32));
        loop {
            if let Some(slot) = bucket.find(key) {
                return bucket.rows[slot].as_ref();
            }
            if bucket.next == NONE {
                return None;
            }
            bucket = self.link(bucket.next);
        }
    }

    /// Asks for the bucket of a key.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if self.bucket_count > 0 {
            prefetch(self.head(self.bucket(hash as u32)));
        }
    }

    /// Asks for the rows of a key with this hash, or for the chained bucket where they may be.
    #[inline]
    pub fn prefetch_rows(&self, hash: u64) {
        if self.bucket_count == 0 {
            return;
        }
        let bucket = self.head(self.bucket(hash as u32));
        match bucket.same(hash as u32) {
            0 if bucket.next != NONE => prefetch(self.link(bucket.next)),
            0 => {}
            same => bucket.rows[same.trailing_zeros() as usize].iter().for_each(Rows::prefetch),
        }
    }

    pub fn buckets(&self) -> u32 {
        self.bucket_count
    }

    pub fn keys(&self) -> u32 {
        self.keys
    }

    /// Replaces the rows of a key: `change` gets what was there and answers what shall be.
    pub fn update(&mut self, key: &Key, change: impl FnOnce(Option<Rows>) -> Option<Rows>) {
        let hash = key.hash as u32;
        if self.bucket_count > 0 {
            let head = self.bucket(hash);
            let mut at = None;
            loop {
                let bucket = self.at_mut(head, at);
                if let Some(slot) = bucket.find(key) {
                    let rows = change(bucket.rows[slot].take());
                    bucket.rows[slot] = rows;
                    if bucket.rows[slot].is_none() {
                        self.keys -= 1;
                        self.fill(head, at, slot);
                    }
                    return;
                }
                if bucket.next == NONE {
                    break;
                }
                at = Some(bucket.next);
            }
        }
        if let Some(rows) = change(None) {
            self.grow();
            self.keys += 1;
            self.place(self.bucket(hash), hash, rows);
        }
    }

    /// A bucket of a chain: the chained one, or the head.
    #[inline]
    fn at_mut(&mut self, head: u32, link: Option<u32>) -> &mut Bucket {
        match link {
            None => self.buckets.get_mut(head),
            Some(at) => self.chained.get_mut(at),
        }
    }

    /// Moves the last entry of a chain into a slot that has become free.
    fn fill(&mut self, head: u32, hole: Option<u32>, slot: usize) {
        // The last bucket, and the one it is chained to.
        let (mut before, mut last) = (None, hole);
        let mut next = self.at_mut(head, hole).next;
        while next != NONE {
            (before, last) = (Some(last), Some(next));
            next = self.chained.get(next).next;
        }
        let bucket = self.at_mut(head, last);
        // Counted with the hole, if it is in this bucket.
        let len = bucket.len() + usize::from(last == hole);
        let from = len - 1;
        let (hash, rows) = (bucket.hashes[from], bucket.rows[from].take());
        bucket.hashes[from] = 0;
        if (last, from) != (hole, slot) {
            let bucket = self.at_mut(head, hole);
            (bucket.hashes[slot], bucket.rows[slot]) = (hash, rows);
        }
        if let (0, Some(empty)) = (from, last) {
            // Whoever it was chained to: known, unless the hole was in it, then it is looked for.
            let before = before.unwrap_or_else(|| self.before(head, empty));
            self.at_mut(head, before).next = NONE;
            self.chained.get_mut(empty).next = self.free;
            self.free = empty;
        }
    }

    /// The bucket that a chained one is chained to.
    fn before(&self, head: u32, link: u32) -> Option<u32> {
        let mut before = None;
        let mut next = self.head(head).next;
        while next != link && next != NONE {
            (before, next) = (Some(next), self.link(next).next);
        }
        before
    }

    /// Adds an entry to a bucket.
    fn place(&mut self, head: u32, hash: u32, rows: Rows) {
        let mut at = None;
        loop {
            let bucket = self.at_mut(head, at);
            if let Some(slot) = bucket.rows.iter().position(Option::is_none) {
                (bucket.hashes[slot], bucket.rows[slot]) = (hash, Some(rows));
                return;
            }
            if bucket.next == NONE {
                break;
            }
            at = Some(bucket.next);
        }
        let new = if self.free == NONE {
            assert!(self.used < NONE - 1, "a shard has at most 2^32 - 2 chained buckets");
            self.used += 1;
            self.chained.reserve(self.used);
            self.used - 1
        } else {
            let new = self.free;
            self.free = self.chained.get(new).next;
            new
        };
        let bucket = self.chained.get_mut(new);
        bucket.next = NONE;
        (bucket.hashes[0], bucket.rows[0]) = (hash, Some(rows));
        self.at_mut(head, at).next = new;
    }

    /// About so many keys will be put in; room for them is made with the first.
    pub fn expect(&mut self, keys: usize) {
        self.expected = keys.min(NONE as usize / 2) as u32;
    }

    /// Makes the buckets that were asked for, while there are no keys.
    pub fn make_room(&mut self) {
        let buckets = std::mem::take(&mut self.expected) / FILL;
        if self.keys == 0 && self.bucket_count < buckets {
            self.buckets.reserve(buckets);
            self.bucket_count = buckets;
        }
    }

    /// Puts in rows of a key with this hash. Answers what was there.
    pub fn put(&mut self, hash: u64, rows: Rows) -> Option<Rows> {
        let hash = hash as u32;
        if self.bucket_count > 0 {
            let head = self.bucket(hash);
            let mut at = None;
            loop {
                let bucket = self.at_mut(head, at);
                let mut same = bucket.same(hash);
                while same != 0 {
                    let place = &mut bucket.rows[same.trailing_zeros() as usize];
                    if place.as_ref().is_some_and(|there| Key::exact_of(rows.first()).is_of(there.first())) {
                        return place.replace(rows);
                    }
                    same &= same - 1;
                }
                if bucket.next == NONE {
                    break;
                }
                at = Some(bucket.next);
            }
        }
        self.grow();
        self.keys += 1;
        self.place(self.bucket(hash), hash, rows);
        None
    }

    /// Keeps about [`FILL`] keys per bucket: adds one bucket and moves to it what belongs there.
    fn grow(&mut self) {
        if self.keys < self.bucket_count * FILL {
            return;
        }
        let new = self.bucket_count;
        self.buckets.reserve(new + 1);
        self.bucket_count = new + 1;
        if new == 0 {
            return;
        }
        // The bucket that held these keys until now: the new number without its highest bit.
        let old = new & !(1 << (31 - new.leading_zeros()));
        let mut moved: SmallVec<[(u32, Rows); 3 * SLOTS]> = SmallVec::new();
        let mut at = None;
        loop {
            let bucket = self.at_mut(old, at);
            let Bucket { hashes, next, rows } = std::mem::replace(bucket, Bucket::EMPTY);
            moved.extend(hashes.into_iter().zip(rows).filter_map(|(hash, rows)| Some((hash, rows?))));
            if let Some(at) = at {
                self.chained.get_mut(at).next = self.free;
                self.free = at;
            }
            if next == NONE {
                break;
            }
            at = Some(next);
        }
        for (hash, rows) in moved {
            self.place(self.bucket(hash), hash, rows);
        }
    }

    /// The next rows in scan order after a key, or the first.
    pub fn next(&self, key: Option<&Key>) -> Option<&Rows> {
        if self.keys == 0 {
            return None;
        }
        let order = |hash: u32, rows: &'_ Rows| (hash.reverse_bits(), Key::exact_of(rows.first()).bytes);
        let from = key.map(|k| ((k.hash as u32).reverse_bits(), k.bytes.clone()));
        let mut place = from.as_ref().map_or(0, |f| f.0);
        loop {
            let (bucket, bits) = self.bucket_bits(place.reverse_bits());
            let later = self.entries(bucket).filter(|(hash, _)| hash.reverse_bits() >= place);
            let later = later.map(|(hash, rows)| (order(hash, rows), rows));
            let later = later.filter(|(o, _)| from.as_ref().is_none_or(|from| o > from));
            if let Some((_, rows)) = later.min_by(|a, b| a.0.cmp(&b.0)) {
                return Some(rows);
            }
            place = super::walk::after(place, bits)?;
        }
    }

    /// Bytes of the structure itself.
    pub fn memory(&self) -> usize {
        (self.buckets.0.len() + self.chained.0.len()) * (CHUNK * std::mem::size_of::<Bucket>() + 8)
    }

    /// Every key is in the bucket of its hash, slots are filled in order, every chained bucket is in one chain or free, the counts
    /// are right.
    pub fn check(&self) -> Result<(), String> {
        let (mut keys, mut chained) = (0u32, 0u32);
        for number in 0..self.bucket_count {
            for (link, bucket) in self.chain(number).enumerate() {
                let len = bucket.len();
                keys += len as u32;
                chained += u32::from(link > 0);
                if chained > self.used {
                    return Err("a chain is a ring".into());
                }
                if bucket.rows[..len].iter().any(Option::is_none) {
                    return Err(format!("bucket {number} has a hole"));
                }
                if (bucket.next != NONE && len < SLOTS) || (link > 0 && len == 0) {
                    return Err(format!("a chain of bucket {number} has room before its end"));
                }
            }
            for (hash, rows) in self.entries(number) {
                if self.bucket(hash) != number || Key::exact_of(rows.first()).hash as u32 != hash {
                    return Err(format!("an entry of bucket {number} has another hash"));
                }
            }
        }
        let (mut free, mut at) = (0, self.free);
        while at != NONE {
            free += 1;
            if free > self.used || self.link(at).len() > 0 {
                return Err("the free list is a ring, or holds rows".into());
            }
            at = self.link(at).next;
        }
        if keys != self.keys || chained + free != self.used {
            return Err(format!("{keys} keys, {chained} chained, {free} free; noted {} and {}", self.keys, self.used));
        }
        Ok(())
    }
}
