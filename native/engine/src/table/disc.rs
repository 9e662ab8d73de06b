//! Rows that are on disc alone: what may not be there yet is in [`Layers`], everything else [`Below`] them.
//!
//! The identity of a key is what it is called on disc. Rows of a hash table are in the order of these bytes too: a scan goes on after
//! the last key it saw, so it visits what is there throughout exactly once.
//!
//! A read looks at the layers first and below them afterwards, without a latch: a layer is dropped only when everything in it is below, so
//! what is found is what was there at some moment in between. A page that is not in memory costs a wait for the disc; [`Disc::is_slow`]
//! says that some reads had to wait lately, so that the host can do the next ones where waiting disturbs nobody.

use super::below::{fail, Below, Failure};
use super::key::KeyBytes;
use super::layers::{Layers, Part};
use super::rows::Rows;
use super::store::{AbsentKey, Cursor, Reading, Span, Tree};
use crate::sync::{RwLock, RwLockWriteGuard};
use crate::term::range::Range;
use crate::term::Record;
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A read that takes longer has waited for the disc.
const WAITED: Duration = Duration::from_micros(200);
/// So many operations are done elsewhere after that.
const ELSEWHERE: u32 = 64;
/// Bytes of rows that are read at once.
const BATCH: usize = 128 << 10;
/// Keys looked at for a neighbour: first, and at most at once.
const NEAR: usize = 4;
const FAR: usize = 1024;

pub struct Disc {
    below: Box<dyn Below>,
    layers: RwLock<Layers>,
    records: AtomicUsize,
    slow: AtomicU32,
}

/// What the layers say of a range: some keys, whether there may be more, and whether nothing below counts.
struct Above {
    part: Part,
    more: bool,
    hides: bool,
}

/// Part of a table, and the key to go on after if there may be more.
struct Batch {
    part: Part,
    last: Option<KeyBytes>,
}

impl Disc {
    pub fn new(below: Box<dyn Below>) -> Disc {
        Disc { below, layers: RwLock::default(), records: AtomicUsize::new(0), slow: AtomicU32::new(0) }
    }

    pub fn below(&self) -> &dyn Below {
        &*self.below
    }

    /// Counts the rows that are there when nothing is in the layers.
    pub fn count(&self, many: bool) -> Result<(), Failure> {
        self.records.store(self.below.count(many)?, Ordering::Relaxed);
        Ok(())
    }

    pub fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes in memory.
    pub fn held(&self) -> usize {
        self.layers.read().bytes()
    }

    /// Is the next operation better done where it may wait?
    #[inline]
    pub fn is_slow(&self) -> bool {
        match self.slow.load(Ordering::Relaxed) {
            0 => false,
            n => {
                self.slow.store(n - 1, Ordering::Relaxed);
                true
            }
        }
    }

    fn timed<R>(&self, f: impl FnOnce() -> R) -> R {
        let begun = Instant::now();
        let result = f();
        if begun.elapsed() > WAITED {
            self.slow.store(ELSEWHERE, Ordering::Relaxed);
        }
        result
    }

    fn fetch(&self, key: &[u8]) -> Result<Option<Rows>, Failure> {
        self.timed(|| self.below.rows(key))
    }

    /// The rows of a key.
    pub fn rows(&self, key: &[u8]) -> Result<Option<Rows>, Failure> {
        if let Some(found) = self.layers.read().find(key) {
            return Ok(found.cloned());
        }
        self.fetch(key)
    }

    #[inline(never)]
    pub fn look<R>(&self, key: &[u8], f: impl FnOnce(&[Record]) -> R) -> R {
        let rows = self.rows(key).unwrap_or_else(|failure| {
            fail(failure);
            None
        });
        f(rows.as_ref().map_or(&[], Rows::as_slice))
    }

    pub fn latch(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write()
    }

    /// Replaces the rows of a key. If they cannot be read nothing happens.
    #[inline(never)]
    pub fn update(&self, layers: &mut Layers, key: &KeyBytes, change: impl FnOnce(Option<Rows>) -> Option<Rows>) {
        let before = match layers.find(key) {
            Some(found) => found.cloned(),
            None => match self.fetch(key) {
                Ok(rows) => rows,
                Err(failure) => return fail(failure),
            },
        };
        let old = before.clone();
        let after = change(before);
        let (out, put) = (slice(&old), slice(&after));
        // Rows that stay as they are stay where they are.
        if out.len() == put.len() && out.iter().zip(put).all(|(a, b)| a.is(b)) {
            return;
        }
        self.records.store(self.records() + put.len() - out.len(), Ordering::Relaxed);
        layers.put(key.clone(), after);
    }

    pub fn clear(&self, layers: &mut Layers) -> Box<dyn Send> {
        self.records.store(0, Ordering::Relaxed);
        layers.clear()
    }

    /// The disc has everything below a position.
    pub fn flushed(&self, position: u64) -> Option<Box<dyn Send>> {
        let mut layers = self.layers.write();
        // Under the latch: whatever is in the newest layer is in the log before this.
        let tail = self.below.tail();
        layers.flushed(position, tail)
    }

    /// What the layers say of up to `max` keys from one bound to the other, in order or backward.
    fn above(&self, layers: &Layers, range: (Bound<&[u8]>, Bound<&[u8]>), backward: bool, max: usize) -> Above {
        let (part, more) = layers.part(range.0, range.1, backward, max);
        Above { part, more, hides: layers.hides_below() }
    }

    /// The same keys with what is below. Without `rows` those from there come without rows.
    fn merge(
        &self,
        above: Above,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        backward: bool,
        (max, rows): (usize, bool),
    ) -> Result<Batch, Failure> {
        let (start, end) = if backward { (to, from) } else { (from, to) };
        let beyond = |key: &[u8]| match end {
            Bound::Unbounded => false,
            Bound::Included(end) if backward => key < end,
            Bound::Excluded(end) if backward => key <= end,
            Bound::Included(end) => key > end,
            Bound::Excluded(end) => key >= end,
        };
        let (mut base, mut cut, mut bytes) = (Part::new(), false, 0);
        if !above.hides {
            self.timed(|| {
                self.below.scan(start, backward, rows, &mut |key, rows| {
                    if beyond(key) {
                        return false;
                    }
                    bytes += rows.as_ref().map_or(0, Rows::memory);
                    base.push((KeyBytes::from_slice(key), rows));
                    cut = base.len() == max || bytes > BATCH;
                    !cut
                })
            })?;
        }
        let before = |a: &KeyBytes, b: &KeyBytes| if backward { a > b } else { a < b };
        // Beyond the last key of a list that was cut off nothing is known.
        let mut last = above.part.last().filter(|_| above.more).map(|(key, _)| key.clone());
        if let Some((key, _)) = base.last().filter(|_| cut) {
            last = Some(last.filter(|last| before(last, key)).unwrap_or_else(|| key.clone()));
        }
        let mut part = Part::with_capacity(above.part.len() + base.len());
        let (mut above, mut base) = (above.part.into_iter().peekable(), base.into_iter().peekable());
        loop {
            let ours = match (above.peek(), base.peek()) {
                (None, None) => break,
                (Some((a, _)), Some((b, _))) => !before(b, a),
                (above, _) => above.is_some(),
            };
            let next = if ours { above.next() } else { base.next() };
            let Some((key, found)) = next else { break };
            if last.as_ref().is_some_and(|last| before(last, &key)) {
                break;
            }
            if ours {
                base.next_if(|(same, _)| *same == key);
            }
            // What is gone is in the layers.
            if found.is_some() || !ours {
                part.push((key, found));
            }
        }
        Ok(Batch { part, last })
    }

    fn batch(&self, range: (Bound<&[u8]>, Bound<&[u8]>), backward: bool, what: (usize, bool)) -> Result<Batch, Failure> {
        let above = self.above(&self.layers.read(), range, backward, what.0);
        self.merge(above, range, backward, what)
    }

    /// Visits up to about `max` keys from the cursor on. `latched`: no writer comes in between.
    #[inline(never)]
    pub fn scan(&self, cursor: &mut Cursor, max: usize, latched: bool, mut f: impl FnMut(&[Record])) {
        let from = match cursor {
            Cursor::Start => Bound::Unbounded,
            Cursor::After(key) => Bound::Excluded(&key[..]),
            _ => return *cursor = Cursor::End,
        };
        let range = (from, Bound::Unbounded);
        let layers = self.layers.read();
        let above = self.above(&layers, range, false, max);
        let latch = latched.then_some(layers);
        let Batch { part, last } = or_fail(self.merge(above, range, false, (max, true)));
        part.iter().for_each(|(_, rows)| f(slice(rows)));
        drop(latch);
        *cursor = last.map_or(Cursor::End, Cursor::After);
    }

    /// As [`super::store::Store::scan_part`].
    pub fn scan_span(
        &self,
        cursor: &mut Cursor,
        max: usize,
        wanted: impl FnOnce() -> bool,
        mut f: impl FnMut(&Rows),
    ) -> Option<Span<'_>> {
        let from = match cursor {
            Cursor::Start => Bound::Unbounded,
            Cursor::After(key) => Bound::Excluded(key.clone()),
            _ => return None,
        };
        let layers = self.layers.read();
        if !wanted() {
            return None;
        }
        let range = (from.as_ref().map(|key| &key[..]), Bound::Unbounded);
        let Batch { part, last } = or_fail(self.merge(self.above(&layers, range, false, max), range, false, (max, true)));
        part.iter().filter_map(|(_, rows)| rows.as_ref()).for_each(&mut f);
        *cursor = last.clone().map_or(Cursor::End, Cursor::After);
        let to = last.map_or(Bound::Unbounded, |key| Bound::Included((0, key)));
        Some(Span { part: 0, latch: Reading::Disc(layers), from: from.map(|key| (0, key)), to })
    }

    /// All rows, under the latch of the caller.
    pub fn all(&self, layers: &Layers) -> Tree {
        let (mut all, mut at) = (Tree::new(), None::<KeyBytes>);
        loop {
            let range = (at.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..])), Bound::Unbounded);
            let Batch { part, last } = or_fail(self.merge(self.above(layers, range, false, FAR), range, false, (FAR, true)));
            all.extend(part.into_iter().filter_map(|(key, rows)| Some((key, rows?))));
            match last {
                Some(last) => at = Some(last),
                None => return all,
            }
        }
    }

    /// Visits up to about `max` keys of a range; answers the last one if there may be more.
    #[inline(never)]
    pub fn scan_range(
        &self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        max: usize,
        mut f: impl FnMut(&KeyBytes, &[Record]),
    ) -> Option<KeyBytes> {
        let Batch { part, last } = or_fail(self.batch(range, false, (max, true)));
        part.iter().for_each(|(key, rows)| f(key, slice(rows)));
        last
    }

    /// Keys in a range, counted up to `max`.
    pub fn count_range(&self, range: &Range, max: usize) -> usize {
        let (mut from, mut count) = (Bound::Included(KeyBytes::from_slice(&range.low)), 0);
        let to = range.high.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        while count < max {
            let start = match &from {
                Bound::Excluded(key) => Bound::Excluded(&key[..]),
                Bound::Included(key) => Bound::Included(&key[..]),
                Bound::Unbounded => Bound::Unbounded,
            };
            let wanted = (max - count).min(FAR);
            let batch = or_fail(self.batch((start, to), false, (wanted, false)));
            count += batch.part.len();
            match batch.last {
                Some(last) => from = Bound::Excluded(last),
                None => break,
            }
        }
        count.min(max)
    }

    /// The first row between two bounds, or the last.
    fn nearest(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, backward: bool) -> Option<Record> {
        let (mut at, mut max) = (None::<KeyBytes>, NEAR);
        loop {
            let (from, to) = match &at {
                None => (from, to),
                Some(key) if backward => (from, Bound::Excluded(&key[..])),
                Some(key) => (Bound::Excluded(&key[..]), to),
            };
            let Batch { part, last } = or_fail(self.batch((from, to), backward, (max, true)));
            if let Some((_, rows)) = part.first() {
                return slice(rows).first().cloned();
            }
            at = Some(last?);
            max = (max * 4).min(FAR);
            if max == FAR {
                self.slow.store(ELSEWHERE, Ordering::Relaxed);
            }
        }
    }

    /// The key's neighbour; `any` for one that need not be there.
    #[inline(never)]
    pub fn neighbour(&self, key: Option<&[u8]>, backward: bool, any: bool) -> Result<Option<Record>, AbsentKey> {
        let Some(key) = key else { return Ok(self.nearest(Bound::Unbounded, Bound::Unbounded, backward)) };
        if !any && self.look(key, |rows| rows.is_empty()) {
            return Err(AbsentKey);
        }
        Ok(match backward {
            true => self.nearest(Bound::Unbounded, Bound::Excluded(key), true),
            false => self.nearest(Bound::Excluded(key), Bound::Unbounded, false),
        })
    }

    /// The last row below some bytes.
    pub fn last_below(&self, bytes: &[u8]) -> Option<Record> {
        self.nearest(Bound::Unbounded, Bound::Excluded(bytes), true)
    }

    /// All rows, and their number.
    pub fn check(&self, mut each: impl FnMut(&KeyBytes, &[Record]) -> Result<(), String>) -> Result<(), String> {
        let (mut at, mut counted) = (None::<KeyBytes>, 0);
        loop {
            let from = at.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
            let batch = self.batch((from, Bound::Unbounded), false, (FAR, true));
            let Batch { part, last } = batch.map_err(|failure| failure.to_string())?;
            for (key, rows) in &part {
                counted += slice(rows).len();
                each(key, slice(rows))?;
            }
            match last {
                Some(last) => at = Some(last),
                None if counted == self.records() => return Ok(()),
                None => return Err(format!("records: counted {counted}, noted {}", self.records())),
            }
        }
    }
}

fn or_fail(batch: Result<Batch, Failure>) -> Batch {
    batch.unwrap_or_else(|failure| {
        fail(failure);
        Batch { part: Part::new(), last: None }
    })
}

fn slice(rows: &Option<Rows>) -> &[Record] {
    rows.as_ref().map_or(&[], Rows::as_slice)
}
