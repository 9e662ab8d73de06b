//! Where the rows of a table are: sharded hash or one ordered tree, each part under its own latch.
//!
//! Latches are held for bounded work only. Whoever takes several takes them in rising order of their number.

pub(super) mod range;

use super::disc::Disc;
use super::fill::Filling;
use super::hash::{Shard, FILL};
use super::images::Place;
use super::key::{Key, KeyBytes};
use super::layers::Layers;
use super::rows::Rows;
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::term::Record;
use crossbeam::utils::CachePadded;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

const SHARDS: usize = 64;

/// Tree from ordered key form to rows.
pub type Tree = BTreeMap<KeyBytes, Rows>;

/// One latched part with its exact counts, which are written under the latch and read without it.
#[derive(Default)]
pub struct Part<T> {
    inner: RwLock<T>,
    records: AtomicUsize,
    bytes: AtomicUsize,
}

pub enum Store {
    Hash(Box<[CachePadded<Part<Shard>>; SHARDS]>),
    Ordered(Part<Tree>),
    /// Rows on disc alone, of any kind of table.
    Disc(Box<Disc>),
}

/// Place of a paused scan.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Cursor {
    #[default]
    Start,
    /// Part of a hash table and place in its scan order.
    Place(u32, u32),
    /// Last key visited in a tree.
    After(KeyBytes),
    End,
}

/// The key is not in the table, and the table has no order to tell its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsentKey;

/// A write latch of one part.
pub enum Latched<'a> {
    Hash(&'a Part<Shard>, RwLockWriteGuard<'a, Shard>),
    Ordered(&'a Part<Tree>, RwLockWriteGuard<'a, Tree>),
    Disc(&'a Disc, RwLockWriteGuard<'a, Layers>),
}

/// The places of one part that a step of a scan went through, while its latch is still held.
pub struct Span<'a> {
    pub part: usize,
    pub latch: Reading<'a>,
    pub from: Bound<Place>,
    pub to: Bound<Place>,
}

/// A read latch of one part, kept for what it keeps away.
#[allow(dead_code)]
pub enum Reading<'a> {
    Hash(RwLockReadGuard<'a, Shard>),
    Ordered(RwLockReadGuard<'a, Tree>),
    Disc(RwLockReadGuard<'a, Layers>),
}

/// Rows fetched ahead of the visitor.
const BATCH: usize = 16;
/// How many rows before its turn the bucket of one is fetched when a table is filled.
const AHEAD: usize = 8;

impl Store {
    pub fn hash() -> Store {
        Store::Hash(Box::new(std::array::from_fn(|_| CachePadded::default())))
    }

    pub fn ordered() -> Store {
        Store::Ordered(Part::default())
    }

    /// Are keys where their hash says?
    pub fn is_hashed(&self) -> bool {
        matches!(self, Store::Hash(_))
    }

    /// Number of the part that holds a key.
    #[inline]
    pub fn part(&self, key: &Key) -> usize {
        match self {
            Store::Hash(_) => Store::part_of(key.hash),
            Store::Ordered(_) | Store::Disc(_) => 0,
        }
    }

    /// Number of the part of a hash table that holds keys with this hash.
    #[inline]
    pub fn part_of(hash: u64) -> usize {
        (hash >> 58) as usize
    }

    pub fn parts(&self) -> usize {
        match self {
            Store::Hash(_) => SHARDS,
            Store::Ordered(_) | Store::Disc(_) => 1,
        }
    }

    #[inline]
    pub fn latch(&self, part: usize) -> Latched<'_> {
        match self {
            Store::Hash(parts) => Latched::Hash(&parts[part], parts[part].inner.write()),
            Store::Ordered(tree) => Latched::Ordered(tree, tree.inner.write()),
            Store::Disc(disc) => Latched::Disc(disc, disc.latch()),
        }
    }

    /// Looks at the rows of a key under the read latch.
    #[inline]
    pub fn look<R>(&self, key: &Key, f: impl FnOnce(&[Record]) -> R) -> R {
        match self {
            Store::Hash(parts) => {
                let shard = parts[(key.hash >> 58) as usize].inner.read();
                f(shard.get(key).map_or(&[], Rows::as_slice))
            }
            Store::Ordered(tree) => f(tree.inner.read().get(&key.bytes).map_or(&[], Rows::as_slice)),
            Store::Disc(disc) => disc.look(&key.bytes, f),
        }
    }

    /// Asks for the bucket of a key, which will be looked at soon. A tree has no such place.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Store::Hash(parts) = self {
            if let Some(shard) = parts[(hash >> 58) as usize].inner.try_read() {
                shard.prefetch(hash);
            }
        }
    }

    /// Asks for the rows of a key; its bucket should be there already.
    #[inline]
    pub fn prefetch_rows(&self, hash: u64) {
        if let Store::Hash(parts) = self {
            if let Some(shard) = parts[(hash >> 58) as usize].inner.try_read() {
                shard.prefetch_rows(hash);
            }
        }
    }

    /// Makes room for about so many keys, while there are none.
    pub fn expect(&self, keys: usize) {
        if let Store::Hash(parts) = self {
            for part in parts.iter() {
                part.inner.write().expect(keys / SHARDS);
            }
        }
    }

    pub fn records(&self) -> usize {
        match self {
            Store::Hash(parts) => parts.iter().map(|p| p.records.load(Ordering::Relaxed)).sum(),
            Store::Ordered(tree) => tree.records.load(Ordering::Relaxed),
            Store::Disc(disc) => disc.records(),
        }
    }

    /// Bytes of rows and structure, on disc if they are there alone.
    pub fn memory(&self) -> usize {
        match self {
            Store::Hash(parts) => parts.iter().map(|p| p.bytes.load(Ordering::Relaxed) + p.inner.read().memory()).sum(),
            // Key and row pointer, nodes two thirds full.
            Store::Ordered(tree) => tree.bytes.load(Ordering::Relaxed) + tree.inner.read().len() * 48,
            Store::Disc(disc) => disc.below().bytes(),
        }
    }

    /// Visits up to `max` keys from the cursor on, in hash or key order, under one read latch.
    pub fn scan(&self, cursor: &mut Cursor, max: usize, mut f: impl FnMut(&[Record])) {
        match self {
            Store::Hash(parts) => {
                let (mut part, mut place) = match cursor {
                    Cursor::Start => (0, 0),
                    Cursor::Place(part, place) => (*part as usize, *place),
                    _ => return *cursor = Cursor::End,
                };
                let mut left = max;
                while part < SHARDS && left > 0 {
                    let shard = parts[part].inner.read();
                    // Buckets are counted, as empty ones cost time too.
                    let (buckets, all) = (left.div_ceil(FILL as usize), shard.buckets() as usize);
                    match shard.walk(place, buckets, |rows| f(rows.as_slice())) {
                        Some(next) => (left, place) = (0, next),
                        None => (left, part, place) = (left.saturating_sub(all.max(1) * FILL as usize), part + 1, 0),
                    }
                }
                *cursor = if part < SHARDS { Cursor::Place(part as u32, place) } else { Cursor::End };
            }
            Store::Ordered(tree) => {
                let from = match cursor {
                    Cursor::Start => Bound::Unbounded,
                    Cursor::After(key) => Bound::Excluded(&*key),
                    _ => return *cursor = Cursor::End,
                };
                let tree = tree.inner.read();
                let mut last = None;
                let mut visited = 0;
                let mut range = tree.range::<KeyBytes, _>((from, Bound::Unbounded)).take(max);
                loop {
                    let batch: SmallVec<[(&KeyBytes, &Rows); BATCH]> = range.by_ref().take(BATCH).collect();
                    batch.iter().for_each(|(_, rows)| rows.prefetch());
                    let Some((key, _)) = batch.last() else { break };
                    last = Some(*key);
                    visited += batch.len();
                    batch.into_iter().for_each(|(_, rows)| f(rows.as_slice()));
                }
                *cursor = match last {
                    Some(key) if visited == max => Cursor::After(key.clone()),
                    _ => Cursor::End,
                };
            }
            Store::Disc(disc) => disc.scan(cursor, max, false, f),
        }
    }

    /// The same, and no writer comes between the look at a key and its visit.
    pub fn scan_latched(&self, cursor: &mut Cursor, max: usize, f: impl FnMut(&[Record])) {
        match self {
            Store::Disc(disc) => disc.scan(cursor, max, true, f),
            _ => self.scan(cursor, max, f),
        }
    }

    /// Visits about `max` keys of one part from the cursor on, if `wanted` still says so under its latch. `None` if not, or at the end.
    pub fn scan_part(
        &self,
        cursor: &mut Cursor,
        max: usize,
        wanted: impl FnOnce() -> bool,
        mut f: impl FnMut(usize, &Rows),
    ) -> Option<Span<'_>> {
        match self {
            Store::Hash(parts) => {
                let (part, place) = match cursor {
                    Cursor::Start => (0, 0),
                    Cursor::Place(part, place) => (*part as usize, *place),
                    _ => return None,
                };
                let shard = parts.get(part)?.inner.read();
                if !wanted() {
                    return None;
                }
                let next = shard.walk(place, max.div_ceil(FILL as usize), |rows| f(part, rows));
                *cursor = match next {
                    Some(next) => Cursor::Place(part as u32, next),
                    None if part + 1 < SHARDS => Cursor::Place(part as u32 + 1, 0),
                    None => Cursor::End,
                };
                let to = next.map_or(Bound::Unbounded, |next| Bound::Excluded((next, KeyBytes::new())));
                Some(Span { part, latch: Reading::Hash(shard), from: Bound::Included((place, KeyBytes::new())), to })
            }
            Store::Ordered(tree) => {
                let from = match cursor {
                    Cursor::Start => Bound::Unbounded,
                    Cursor::After(key) => Bound::Excluded(key.clone()),
                    _ => return None,
                };
                let tree = tree.inner.read();
                if !wanted() {
                    return None;
                }
                let mut last = None;
                for (visited, (key, rows)) in tree.range((from.clone(), Bound::Unbounded)).take(max).enumerate() {
                    f(0, rows);
                    last = (visited + 1 == max).then(|| key.clone());
                }
                *cursor = last.clone().map_or(Cursor::End, Cursor::After);
                let to = last.map_or(Bound::Unbounded, |key| Bound::Included((0, key)));
                Some(Span { part: 0, latch: Reading::Ordered(tree), from: from.map(|key| (0, key)), to })
            }
            Store::Disc(disc) => disc.scan_span(cursor, max, wanted, |rows| f(0, rows)),
        }
    }

    /// All that is in a table, whose latches these are, as a store of its own.
    pub fn taken_from(latches: &mut [Latched]) -> Store {
        let taken = |records: &AtomicUsize| AtomicUsize::new(records.swap(0, Ordering::Relaxed));
        match latches {
            [Latched::Ordered(part, tree)] => {
                let inner = RwLock::new(std::mem::take(&mut **tree));
                return Store::Ordered(Part { inner, records: taken(&part.records), bytes: taken(&part.bytes) });
            }
            [Latched::Disc(disc, layers)] => {
                return Store::Ordered(Part { inner: RwLock::new(disc.all(layers)), ..Part::default() });
            }
            _ => {}
        }
        let mut latches = latches.iter_mut();
        Store::Hash(Box::new(std::array::from_fn(|_| match latches.next() {
            Some(Latched::Hash(part, shard)) => {
                let inner = RwLock::new(std::mem::take(&mut **shard));
                CachePadded::new(Part { inner, records: taken(&part.records), bytes: taken(&part.bytes) })
            }
            _ => CachePadded::default(),
        })))
    }

    /// The key's neighbour in scan order; `None` at the end. A table that is not ordered knows no place of an absent key, and goes forward only.
    pub fn neighbour(&self, key: Option<&Key>, backward: bool, ordered: bool) -> Result<Option<Record>, AbsentKey> {
        self.step(key, backward, ordered, |shard, key| shard.get(key).map(|_| ()).ok_or(AbsentKey))
    }

    /// The next one after a key that may be gone meanwhile.
    pub fn neighbour_of_gone(&self, key: &Key) -> Option<Record> {
        self.step(Some(key), false, true, |_, _| Ok(())).ok().flatten()
    }

    fn step(
        &self,
        key: Option<&Key>,
        backward: bool,
        any: bool,
        check: impl FnOnce(&Shard, &Key) -> Result<(), AbsentKey>,
    ) -> Result<Option<Record>, AbsentKey> {
        match self {
            Store::Hash(parts) => {
                let first = match key {
                    None => 0,
                    Some(key) => {
                        let part = self.part(key);
                        let shard = parts[part].inner.read();
                        check(&shard, key)?;
                        if let Some(rows) = shard.next(Some(key)) {
                            return Ok(Some(rows.first().clone()));
                        }
                        part + 1
                    }
                };
                for part in &parts[first..] {
                    if let Some(rows) = part.inner.read().next(None) {
                        return Ok(Some(rows.first().clone()));
                    }
                }
                Ok(None)
            }
            Store::Ordered(tree) => {
                let tree = tree.inner.read();
                let bound = key.map(|k| Bound::Excluded(&k.bytes)).unwrap_or(Bound::Unbounded);
                let hit = if backward {
                    tree.range::<KeyBytes, _>((Bound::Unbounded, bound)).next_back()
                } else {
                    tree.range::<KeyBytes, _>((bound, Bound::Unbounded)).next()
                };
                Ok(hit.map(|(_, rows)| rows.first().clone()))
            }
            Store::Disc(disc) => disc.neighbour(key.map(|key| &key.bytes[..]), backward, any),
        }
    }

    /// The last row whose ordered key is below `bytes`; hash tables have no order.
    pub fn last_below(&self, bytes: &[u8]) -> Option<Record> {
        let tree = match self {
            Store::Ordered(tree) => tree.inner.read(),
            Store::Disc(disc) => return disc.last_below(bytes),
            Store::Hash(_) => return None,
        };
        let below = (Bound::Unbounded, Bound::Excluded(KeyBytes::from_slice(bytes)));
        tree.range(below).next_back().map(|(_, rows)| rows.first().clone())
    }

    /// Structure and counts agree.
    pub fn check(&self, mut each: impl FnMut(&[Record]) -> Result<(), String>) -> Result<(), String> {
        let count = |rows: &Rows, records: &mut usize, bytes: &mut usize| {
            *records += rows.as_slice().len();
            *bytes += rows.memory();
        };
        let agree = |what: &str, counted: usize, noted: &AtomicUsize| {
            let noted = noted.load(Ordering::Relaxed);
            if counted == noted {
                Ok(())
            } else {
                Err(format!("{what}: counted {counted}, noted {noted}"))
            }
        };
        match self {
            Store::Hash(parts) => {
                for part in parts.iter() {
                    let (mut records, mut bytes) = (0, 0);
                    let shard = part.inner.read();
                    shard.check()?;
                    let mut all = Vec::with_capacity(shard.keys() as usize);
                    shard.walk(0, usize::MAX, |rows| all.push(rows));
                    if all.len() != shard.keys() as usize {
                        return Err(format!("a walk visits {} of {} keys", all.len(), shard.keys()));
                    }
                    for rows in all {
                        count(rows, &mut records, &mut bytes);
                        each(rows.as_slice())?;
                    }
                    agree("records", records, &part.records)?;
                    agree("bytes", bytes, &part.bytes)?;
                }
                Ok(())
            }
            Store::Ordered(part) => {
                let (mut records, mut bytes) = (0, 0);
                for (key, rows) in part.inner.read().iter() {
                    count(rows, &mut records, &mut bytes);
                    if Key::ordered(rows.first().key(), rows.first().attached().map(|a| &**a)).bytes != *key {
                        return Err("a row is not under its key".into());
                    }
                    each(rows.as_slice())?;
                }
                agree("records", records, &part.records)?;
                agree("bytes", bytes, &part.bytes)
            }
            Store::Disc(disc) => disc.check(|_, rows| each(rows)),
        }
    }
}

impl Latched<'_> {
    /// Replaces the rows of a key and keeps the counts.
    #[inline]
    pub fn update(&mut self, key: &Key, change: impl FnOnce(Option<Rows>) -> Option<Rows>) {
        let (mut out, mut put) = ((0, 0), (0, 0));
        let measure = |rows: &Option<Rows>| rows.as_ref().map_or((0, 0), |r| (r.as_slice().len(), r.memory()));
        let counted = |before: Option<Rows>| {
            out = measure(&before);
            let after = change(before);
            put = measure(&after);
            after
        };
        let (records, bytes) = match self {
            Latched::Hash(part, shard) => {
                shard.update(key, counted);
                (&part.records, &part.bytes)
            }
            Latched::Ordered(part, tree) => {
                use std::collections::btree_map::Entry::{Occupied, Vacant};
                match tree.entry(key.bytes.clone()) {
                    Vacant(place) => {
                        if let Some(rows) = counted(None) {
                            place.insert(rows);
                        }
                    }
                    Occupied(place) => {
                        let (bytes, rows) = place.remove_entry();
                        if let Some(rows) = counted(Some(rows)) {
                            tree.insert(bytes, rows);
                        }
                    }
                }
                (&part.records, &part.bytes)
            }
            Latched::Disc(disc, layers) => return disc.update(layers, &key.bytes, counted),
        };
        // Written under the latch only, so plain loads and stores are enough.
        records.store(records.load(Ordering::Relaxed) + put.0 - out.0, Ordering::Relaxed);
        bytes.store(bytes.load(Ordering::Relaxed) + put.1 - out.1, Ordering::Relaxed);
    }

    /// Makes the room that was asked for, while there are no keys.
    pub fn make_room(&mut self) {
        if let Latched::Hash(_, shard) = self {
            shard.make_room();
        }
    }

    /// Puts rows of keys that are not there yet into a part of a hash table.
    pub fn fill(&mut self, filling: Filling) {
        let Latched::Hash(part, shard) = self else { return };
        shard.make_room();
        let Filling { rows, mut records, mut bytes } = filling;
        let hashes: Vec<u64> = rows.iter().map(|(hash, _)| *hash).collect();
        hashes.iter().take(AHEAD).for_each(|hash| shard.prefetch(*hash));
        for (i, (hash, rows)) in rows.into_iter().enumerate() {
            hashes.get(i + AHEAD).into_iter().for_each(|hash| shard.prefetch(*hash));
            if let Some(gone) = shard.put(hash, rows) {
                records -= gone.as_slice().len();
                bytes -= gone.memory();
            }
        }
        part.records.store(part.records.load(Ordering::Relaxed) + records, Ordering::Relaxed);
        part.bytes.store(part.bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// Empties the part; the caller drops what was in it where that may take time.
    pub fn take(&mut self) -> Box<dyn Send> {
        match self {
            Latched::Hash(part, shard) => {
                part.records.store(0, Ordering::Relaxed);
                part.bytes.store(0, Ordering::Relaxed);
                Box::new(std::mem::take(&mut **shard))
            }
            Latched::Ordered(part, tree) => {
                part.records.store(0, Ordering::Relaxed);
                part.bytes.store(0, Ordering::Relaxed);
                Box::new(std::mem::take(&mut **tree))
            }
            Latched::Disc(disc, layers) => disc.clear(layers),
        }
    }
}
