//! Scans of a shard, see `hash.rs` for their order.

use super::hash::{Shard, NONE, SLOTS};
use super::rows::{prefetch, Rows};

/// Places of the scan order gone through together.
const BATCH: usize = 4;

/// A list that is filled without branches: which slots are empty and which buckets have chains looks random to the processor, and a
/// wrong guess costs more than the work.
struct Batch<T, const N: usize> {
    list: [T; N],
    len: usize,
}

impl<T: Copy, const N: usize> Batch<T, N> {
    #[inline]
    fn of(blank: T) -> Self {
        Batch { list: [blank; N], len: 0 }
    }
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

/// A place stands for a bucket and perhaps its sibling; one more is written than counted.
const BUCKETS: usize = BATCH + 2;
type Numbers = Batch<u32, BUCKETS>;
type Found<'a> = Batch<&'a Option<Rows>, { BUCKETS * SLOTS + 1 }>;
type Links = Batch<u32, { BUCKETS + 1 }>;

static NO_ROWS: Option<Rows> = None;

impl Shard {
    /// The buckets of a walk from `place` on, about `count` of them unless the end comes first, asked for while they are told.
    /// In scan order no two are neighbours in memory. Answers the place after them.
    #[inline]
    fn plan(&self, place: u32, count: usize, numbers: &mut Numbers) -> Option<u32> {
        // `top` buckets are told apart by their low bits; the sibling with one more bit set may be there already.
        let bits = self.buckets().ilog2();
        let top = 1u32 << bits;
        let mut next = Some(place);
        numbers.len = 0;
        while let Some(place) = next.filter(|_| numbers.len < count.min(BATCH)) {
            let bucket = place.reverse_bits() & (top - 1);
            numbers.push_if(bucket, true);
            numbers.push_if(bucket | top, bucket | top < self.buckets());
            next = after(place, bits);
        }
        numbers.as_slice().iter().for_each(|&bucket| prefetch(self.head(bucket)));
        next
    }

    /// Visits the buckets from `place` in scan order on, about `count` of them at most; answers the place after them, `None` at the
    /// end. Buckets, what is chained to them and rows lie all over the memory: each batch is fetched while the one before it is
    /// visited, or each would be waited for.
    pub fn walk<'a>(&'a self, mut place: u32, count: usize, mut visit: impl FnMut(&'a Rows)) -> Option<u32> {
        if self.keys() == 0 {
            return None;
        }
        // A place in the midst of a bucket: the table was cleared since, and is small again.
        while place.trailing_zeros() < 32 - self.buckets().ilog2() {
            let (bucket, bits) = self.bucket_bits(place.reverse_bits());
            self.entries(bucket).filter(|(hash, _)| hash.reverse_bits() >= place).for_each(|(_, rows)| visit(rows));
            place = after(place, bits)?;
        }
        let mut left = count;
        // Buckets that are asked for, and the place after them.
        let (mut asked, mut after_asked) = (Numbers::of(0), Some(place));
        // Rows that are asked for, then visited, and what is chained to their buckets: two of each, in turn.
        let mut found = [Found::of(&NO_ROWS), Found::of(&NO_ROWS)];
        let mut links = [Links::of(NONE), Links::of(NONE)];
        let mut after_found = after_asked;
        for turn in 0.. {
            let (now, coming) = (turn & 1, turn & 1 ^ 1);
            let after_now = after_found;
            (found[coming].len, links[coming].len) = (0, 0);
            for &number in asked.as_slice() {
                let bucket = self.head(number);
                bucket.rows.iter().for_each(|rows| found[coming].push_if(rows, rows.is_some()));
                links[coming].push_if(bucket.next, bucket.next != NONE);
            }
            found[coming].as_slice().iter().for_each(|rows| rows.iter().for_each(Rows::prefetch));
            links[coming].as_slice().iter().for_each(|&link| prefetch(self.link(link)));
            let end = asked.len == 0;
            after_found = after_asked;
            asked.len = 0;
            if let Some(place) = after_asked.filter(|_| left > 0) {
                after_asked = self.plan(place, left, &mut asked);
                left = left.saturating_sub(asked.len);
            }
            found[now].as_slice().iter().for_each(|rows| rows.iter().for_each(&mut visit));
            for &link in links[now].as_slice() {
                let mut at = link;
                while at != NONE {
                    let bucket = self.link(at);
                    bucket.rows.iter().flatten().for_each(&mut visit);
                    at = bucket.next;
                }
            }
            if end && turn > 0 {
                return after_now;
            }
        }
        None
    }
}

/// The place after the interval of `bits` fixed leading bits that `place` is in.
#[inline]
pub(super) fn after(place: u32, bits: u32) -> Option<u32> {
    if bits == 0 {
        return None;
    }
    let width = 1u32 << (32 - bits);
    (place & !(width - 1)).checked_add(width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Key;
    use crate::term::{Record, Writer};

    fn record(n: i64) -> Record {
        let mut writer = Writer::new();
        writer.int(n);
        Record::build(&[0], &writer.buf, false, None)
    }

    /// The interpreter takes its time.
    const MOST: i64 = if cfg!(miri) { 60 } else { 1000 };

    /// Buckets in scan order are all buckets, once, at every number of buckets; and a shard shrinks to nothing as soundly as it grew.
    #[test]
    fn every_bucket_once() {
        let mut shard = Shard::default();
        for n in 0..MOST {
            shard.update(&Key::exact_of(&record(n)), |_| Some(Rows::one(record(n))));
            let (mut place, mut numbers, mut some) = (Some(0u32), Vec::new(), Numbers::of(0));
            while let Some(p) = place {
                place = shard.plan(p, 3, &mut some);
                assert!(some.len > 0);
                numbers.extend_from_slice(some.as_slice());
            }
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..shard.buckets()));
        }
        for n in (0..MOST).map(|n| n * 377 % MOST) {
            shard.check().expect("sound");
            shard.update(&Key::exact_of(&record(n)), |rows| rows.and(None));
            let mut visited = 0;
            let mut place = Some(0);
            while let Some(p) = place {
                place = shard.walk(p, 7, |_| visited += 1);
            }
            assert_eq!(visited, shard.keys());
        }
        assert_eq!(shard.keys(), 0);
    }
}
