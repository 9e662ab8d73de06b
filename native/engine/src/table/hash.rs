//! One shard of a hash table: linear hashing with the first entry of every bucket in place.
//!
//! A look-up touches the bucket and the row, two lines of memory. The number of buckets grows by one with an insert that needs
//! it (Litwin 1980, as ETS does), so no insert ever rehashes the table, and buckets live in fixed chunks, so growth copies
//! nothing.
//!
//! The order of a scan is the hash read backwards, bit by bit. All keys of a bucket are one interval of that order, and a split
//! cuts the interval in two, so a place in the order means the same however often buckets are split meanwhile: whatever is there
//! all the time is visited exactly once. (The idea is that of the cursor of Redis' `SCAN`, by Pieter Noordhuis.)

use super::key::Key;
use super::rows::{prefetch, Rows};
use smallvec::SmallVec;

const CHUNK: usize = 64;
const NONE: u32 = u32::MAX;
/// Buckets fetched ahead by a walk.
const BATCH: usize = 32;

/// A list that is filled without branches: which buckets are empty and which have chains looks random to the processor, and a wrong
/// guess costs more than the work.
struct Batch<T> {
    list: [T; 2 * BATCH],
    len: usize,
}

impl<T: Copy> Batch<T> {
    #[inline]
    fn of(blank: T) -> Batch<T> {
        Batch { list: [blank; 2 * BATCH], len: 0 }
    }
    #[inline]
    fn clear(&mut self) {
        self.len = 0;
    }
    /// A batch has room for two entries of each of its [`BATCH`] places.
    #[inline]
    fn push_if(&mut self, item: T, is: bool) {
        self.list[self.len] = item;
        self.len += usize::from(is);
    }
    #[inline]
    fn as_slice(&self) -> &[T] {
        &self.list[..self.len]
    }
}

/// Rows of a key, in a bucket or chained to one. An empty bucket has no chain.
struct Entry {
    rows: Option<Rows>,
    hash: u32,
    /// Next entry of the chain, or of the free list.
    next: u32,
}

static NO_ENTRY: Entry = Entry::EMPTY;

impl Entry {
    const EMPTY: Entry = Entry { rows: None, hash: 0, next: NONE };

    #[inline]
    fn is(&self, key: &Key) -> bool {
        self.hash == key.hash as u32 && self.rows.as_ref().is_some_and(|r| key.is_of(r.first()))
    }
}

/// A vector that grows without moving its elements.
#[allow(clippy::vec_box)] // the chunks must not move when the vector grows
struct Chunks(Vec<Box<[Entry; CHUNK]>>);

impl Chunks {
    #[inline]
    fn get(&self, i: u32) -> &Entry {
        &self.0[i as usize / CHUNK][i as usize % CHUNK]
    }
    #[inline]
    fn get_mut(&mut self, i: u32) -> &mut Entry {
        &mut self.0[i as usize / CHUNK][i as usize % CHUNK]
    }
    fn reserve(&mut self, len: u32) {
        while self.0.len() * CHUNK < len as usize {
            self.0.push(Box::new([const { Entry::EMPTY }; CHUNK]));
        }
    }
}

/// Buckets, the entries chained to them, and what is free.
pub struct Shard {
    buckets: Chunks,
    chained: Chunks,
    bucket_count: u32,
    /// Chained entries ever used, free ones included.
    used: u32,
    free: u32,
    keys: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Shard { buckets: Chunks(Vec::new()), chained: Chunks(Vec::new()), bucket_count: 0, used: 0, free: NONE, keys: 0 }
    }
}

impl Shard {
    /// The bucket of a hash, and how many low bits of the hash all its keys share.
    #[inline]
    fn bucket_bits(&self, hash: u32) -> (u32, u32) {
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

    /// The rows of a key.
    #[inline]
    pub fn get(&self, key: &Key) -> Option<&Rows> {
        if self.bucket_count == 0 {
            return None;
        }
        let mut entry = self.buckets.get(self.bucket(key.hash as u32));
        loop {
            if entry.is(key) {
                return entry.rows.as_ref();
            }
            if entry.next == NONE {
                return None;
            }
            entry = self.chained.get(entry.next);
        }
    }

    /// Asks for the bucket of a key.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if self.bucket_count > 0 {
            prefetch(self.buckets.get(self.bucket(hash as u32)));
        }
    }

    /// Asks for the rows that come first in the bucket, which are those of the key more often than not.
    #[inline]
    pub fn prefetch_rows(&self, key: &Key) {
        if self.bucket_count > 0 {
            if let Some(rows) = &self.buckets.get(self.bucket(key.hash as u32)).rows {
                rows.prefetch();
            }
        }
    }

    /// Entries of a bucket.
    fn chain(&self, bucket: u32) -> impl Iterator<Item = (u32, &Rows)> {
        let mut next = Some(self.buckets.get(bucket));
        std::iter::from_fn(move || {
            let entry = next?;
            next = (entry.next != NONE).then(|| self.chained.get(entry.next));
            Some((entry.hash, entry.rows.as_ref()?))
        })
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
            let bucket = self.bucket(hash);
            let head = self.buckets.get_mut(bucket);
            if head.is(key) {
                head.rows = change(head.rows.take());
                if head.rows.is_none() {
                    self.keys -= 1;
                    self.refill(bucket);
                }
                return;
            }
            let (mut before, mut at) = (NONE, head.next);
            while at != NONE {
                let entry = self.chained.get_mut(at);
                if entry.is(key) {
                    entry.rows = change(entry.rows.take());
                    if entry.rows.is_none() {
                        let next = std::mem::replace(&mut entry.next, self.free);
                        self.free = at;
                        let link = if before == NONE { self.buckets.get_mut(bucket) } else { self.chained.get_mut(before) };
                        link.next = next;
                        self.keys -= 1;
                    }
                    return;
                }
                (before, at) = (at, entry.next);
            }
        }
        if let Some(rows) = change(None) {
            self.grow();
            self.keys += 1;
            self.place(self.bucket(hash), hash, rows);
        }
    }

    /// Moves the next entry of a chain into its bucket, which is empty.
    fn refill(&mut self, bucket: u32) {
        let at = self.buckets.get(bucket).next;
        if at != NONE {
            let moved = std::mem::replace(self.chained.get_mut(at), Entry { next: self.free, ..Entry::EMPTY });
            self.free = at;
            *self.buckets.get_mut(bucket) = moved;
        }
    }

    /// Adds an entry to a bucket.
    fn place(&mut self, bucket: u32, hash: u32, rows: Rows) {
        let head = self.buckets.get_mut(bucket);
        if head.rows.is_none() {
            *head = Entry { rows: Some(rows), hash, next: NONE };
            return;
        }
        let next = head.next;
        let at = if self.free == NONE {
            assert!(self.used < NONE - 1, "a shard holds at most 2^32 - 2 keys");
            self.used += 1;
            self.chained.reserve(self.used);
            self.used - 1
        } else {
            let at = self.free;
            self.free = self.chained.get(at).next;
            at
        };
        *self.chained.get_mut(at) = Entry { rows: Some(rows), hash, next };
        self.buckets.get_mut(bucket).next = at;
    }

    /// Keeps about one key per bucket: adds one bucket and moves to it what belongs there.
    fn grow(&mut self) {
        if self.keys < self.bucket_count {
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
        let mut moved: SmallVec<[(u32, Rows); 8]> = SmallVec::new();
        while let Some(rows) = self.buckets.get_mut(old).rows.take() {
            moved.push((self.buckets.get(old).hash, rows));
            self.refill(old);
        }
        // Placing puts an entry right behind the head; backwards the order of the chain is kept.
        for (hash, rows) in moved.into_iter().rev() {
            self.place(self.bucket(hash), hash, rows);
        }
    }

    /// The buckets of a walk from `place` on, about `count` of them unless the end comes first, asked for while they are told.
    /// In scan order no two are neighbours in memory. Answers the place after them.
    #[inline]
    fn plan(&self, place: u32, count: usize, buckets: &mut Batch<u32>) -> Option<u32> {
        buckets.clear();
        let mut next = Some(place);
        if self.is_inside(place) {
            let (bucket, bits) = self.bucket_bits(place.reverse_bits());
            buckets.push_if(bucket, true);
            next = after(place, bits);
        } else {
            // `top` buckets are told apart by their low bits; the sibling with one more bit set may be there already.
            let bits = self.bucket_count.ilog2();
            let top = 1u32 << bits;
            while let Some(place) = next.filter(|_| buckets.len < count.min(BATCH)) {
                let bucket = place.reverse_bits() & (top - 1);
                buckets.push_if(bucket, true);
                buckets.push_if(bucket | top, bucket | top < self.bucket_count);
                next = after(place, bits);
            }
        }
        buckets.as_slice().iter().for_each(|&bucket| prefetch(self.buckets.get(bucket)));
        next
    }

    /// Is the place in the midst of a bucket? That is so when the table was cleared since, and is small again.
    #[inline]
    fn is_inside(&self, place: u32) -> bool {
        self.bucket_count < 2 || place.trailing_zeros() < 32 - self.bucket_count.ilog2()
    }

    /// Visits the buckets from `place` in scan order on, about `count` of them at most; answers the place after them, `None` at the
    /// end. Buckets, what is chained to them and rows lie all over the memory: each batch is fetched while the one before it is
    /// visited, or each would be waited for.
    pub fn walk<'a>(&'a self, place: u32, count: usize, mut visit: impl FnMut(&'a Rows)) -> Option<u32> {
        if self.keys == 0 {
            return None;
        }
        // Whatever was visited before the table shrank is left out.
        let begin = if self.is_inside(place) { place } else { 0 };
        let mut visit = |entry: &'a Entry| {
            if begin == 0 || entry.hash.reverse_bits() >= begin {
                entry.rows.iter().for_each(&mut visit);
            }
        };
        let mut left = count;
        // Buckets that are asked for, and the place after them.
        let (mut asked, mut after_asked) = (Batch::of(0), Some(place));
        // Entries whose rows are asked for, then visited, with what is chained to them: two of each, in turn.
        let mut entries = [Batch::of(&NO_ENTRY), Batch::of(&NO_ENTRY)];
        let mut links = [Batch::of(NONE), Batch::of(NONE)];
        let mut after_entries = after_asked;
        for turn in 0.. {
            let (now, coming) = (turn & 1, turn & 1 ^ 1);
            let after_now = after_entries;
            for &bucket in asked.as_slice() {
                let entry = self.buckets.get(bucket);
                entries[coming].push_if(entry, entry.rows.is_some());
                links[coming].push_if(entry.next, entry.next != NONE);
            }
            entries[coming].as_slice().iter().for_each(|entry| entry.rows.iter().for_each(Rows::prefetch));
            links[coming].as_slice().iter().for_each(|&link| prefetch(self.chained.get(link)));
            let end = asked.len == 0;
            after_entries = after_asked;
            asked.clear();
            if let Some(place) = after_asked.filter(|_| left > 0) {
                after_asked = self.plan(place, left, &mut asked);
                left = left.saturating_sub(asked.len);
            }
            let (entries, links) = (&mut entries[now], &mut links[now]);
            while entries.len > 0 {
                let mut further = Batch::of(NONE);
                let mut chained = Batch::of(&NO_ENTRY);
                for &link in links.as_slice() {
                    let entry = self.chained.get(link);
                    entry.rows.iter().for_each(Rows::prefetch);
                    chained.push_if(entry, true);
                    further.push_if(entry.next, entry.next != NONE);
                }
                entries.as_slice().iter().for_each(|entry| visit(entry));
                (*entries, *links) = (chained, further);
            }
            if end && turn > 0 {
                return after_now;
            }
        }
        None
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
            let later = self.chain(bucket).filter(|(hash, _)| hash.reverse_bits() >= place);
            let later = later.map(|(hash, rows)| (order(hash, rows), rows));
            let later = later.filter(|(o, _)| from.as_ref().is_none_or(|from| o > from));
            if let Some((_, rows)) = later.min_by(|a, b| a.0.cmp(&b.0)) {
                return Some(rows);
            }
            place = after(place, bits)?;
        }
    }

    /// Bytes of the structure itself.
    pub fn memory(&self) -> usize {
        (self.buckets.0.len() + self.chained.0.len()) * (CHUNK * std::mem::size_of::<Entry>() + 8)
    }

    /// Every key is in the bucket of its hash, every chained entry is in one chain or free, the counts are right.
    pub fn check(&self) -> Result<(), String> {
        let (mut keys, mut chained) = (0u32, 0u32);
        for bucket in 0..self.bucket_count {
            let head = self.buckets.get(bucket);
            if head.rows.is_none() && head.next != NONE {
                return Err(format!("bucket {bucket} is empty and has a chain"));
            }
            let (mut entry, mut linked) = (head, 0);
            while let Some(rows) = &entry.rows {
                if self.bucket(entry.hash) != bucket || Key::exact_of(rows.first()).hash as u32 != entry.hash {
                    return Err(format!("an entry of bucket {bucket} has another hash"));
                }
                keys += 1;
                if entry.next == NONE {
                    break;
                }
                linked += 1;
                if linked > self.used {
                    return Err("a chain is a ring".into());
                }
                entry = self.chained.get(entry.next);
                if entry.rows.is_none() {
                    return Err(format!("an empty entry in the chain of bucket {bucket}"));
                }
            }
            chained += linked;
        }
        let (mut free, mut at) = (0, self.free);
        while at != NONE {
            free += 1;
            if free > self.used || self.chained.get(at).rows.is_some() {
                return Err("the free list is a ring, or holds rows".into());
            }
            at = self.chained.get(at).next;
        }
        if keys != self.keys || chained + free != self.used {
            return Err(format!("{keys} keys, {chained} chained, {free} free; noted {} and {}", self.keys, self.used));
        }
        Ok(())
    }
}

/// The place after the interval of `bits` fixed leading bits that `place` is in.
#[inline]
fn after(place: u32, bits: u32) -> Option<u32> {
    if bits == 0 {
        return None;
    }
    let width = 1u32 << (32 - bits);
    (place & !(width - 1)).checked_add(width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{Record, Writer};

    /// Buckets in scan order are all buckets, once, at every number of buckets.
    #[test]
    fn every_bucket_once() {
        let mut shard = Shard::default();
        for n in 0..300 {
            let mut writer = Writer::new();
            writer.int(n);
            let record = Record::build(&[0], &writer.buf, false, None);
            shard.update(&Key::exact_of(&record), |_| Some(Rows::one(record.clone())));
            let (mut place, mut buckets, mut some) = (Some(0u32), Vec::new(), Batch::of(0));
            while let Some(p) = place {
                place = shard.plan(p, 3, &mut some);
                assert!(some.len > 0);
                buckets.extend_from_slice(some.as_slice());
            }
            buckets.sort_unstable();
            assert!(buckets.into_iter().eq(0..shard.bucket_count));
        }
    }
}
