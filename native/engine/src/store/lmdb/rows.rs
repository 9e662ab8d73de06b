//! The rows of one table: look-up and walks in both directions over plain keys and chunks.

use super::super::base::{Row, STRETCH};
use super::super::fan::fan;
use super::super::StoreError;
use super::chunk;
use super::format::{unseal, Place, Prefix, NUMBER, PLAIN, SHARED};
use lmdb::Cursor;
use lmdb_sys::{MDB_LAST, MDB_NEXT, MDB_PREV, MDB_SET_RANGE};
use parking_lot::Mutex;
use std::marker::PhantomData;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Gets a key and its value; false ends the walk.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> bool;
/// What is stored: a key of the tree and a sealed value.
type Stored<'t> = (&'t [u8], &'t [u8]);

/// A cursor on a table's part of its tree.
pub struct Rows<'a, 't, C> {
    pub cursor: C,
    pub path: &'a Path,
    pub prefix: Prefix,
    place: Place,
    _txn: PhantomData<&'t ()>,
}

impl<'a, 't, C: Cursor<'t>> Rows<'a, 't, C> {
    pub fn new(cursor: C, path: &'a Path, place: &Place) -> Self {
        Rows { cursor, path, prefix: place.prefix(), place: *place, _txn: PhantomData }
    }

    fn step(&self, key: Option<&[u8]>, operation: u32) -> Result<Option<Stored<'t>>, StoreError> {
        match self.cursor.get(key, None, operation) {
            Ok((Some(key), value)) => Ok(Some((key, value))),
            Ok((None, _)) => Err(StoreError::corrupt(self.path, 0, "a cursor without a key")),
            Err(lmdb::Error::NotFound) => Ok(None),
            Err(e) => Err(super::env::translate("reading", self.path, e)),
        }
    }

    fn mine(&self, stored: Option<Stored<'t>>) -> Option<Stored<'t>> {
        stored.filter(|(key, _)| key.starts_with(&self.prefix))
    }

    /// The first stored key from `key` on.
    fn seek(&self, key: &[u8]) -> Result<Option<Stored<'t>>, StoreError> {
        Ok(self.mine(self.step(Some(key), MDB_SET_RANGE)?))
    }

    /// The last stored key before `key`.
    fn seek_before(&self, key: &[u8]) -> Result<Option<Stored<'t>>, StoreError> {
        let operation = if self.step(Some(key), MDB_SET_RANGE)?.is_some() { MDB_PREV } else { MDB_LAST };
        Ok(self.mine(self.step(None, operation)?))
    }

    fn last(&self) -> Result<Option<Stored<'t>>, StoreError> {
        if self.place.tree != SHARED {
            return Ok(self.mine(self.step(None, MDB_LAST)?));
        }
        // Prefixes are numbered up to one less than the greatest number.
        self.seek_before(&(self.place.prefix + 1).to_be_bytes())
    }

    pub fn value(&self, stored: Stored<'t>) -> Result<&'t [u8], StoreError> {
        value(self.path, stored)
    }

    pub fn entries(&self, stored: Stored<'t>) -> Result<Vec<chunk::Entry<'t>>, StoreError> {
        entries(self.path, stored)
    }

    pub fn stored_key(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix, key].concat()
    }

    /// What the long keys that begin like this one have in common, with the table's prefix.
    pub fn family(&self, key: &[u8]) -> Vec<u8> {
        self.stored_key(&key[..PLAIN])
    }

    /// The first stored chunk of a family from a number on.
    pub fn chunk_from(&self, family: &[u8], number: u64) -> Result<Option<Stored<'t>>, StoreError> {
        Ok(self.seek(&chunk::stored_key(family, number))?.filter(|found| found.0.starts_with(family)))
    }

    /// The last stored chunk of a family before a number.
    pub fn chunk_before(&self, family: &[u8], number: u64) -> Result<Option<Stored<'t>>, StoreError> {
        let found = self.seek_before(&chunk::stored_key(family, number))?;
        Ok(found.filter(|found| found.0.starts_with(family) && found.0.len() > family.len()))
    }

    /// The chunk that a long key is in, if it is there: the last that does not begin after it, else the first. The cursor stands on it.
    pub fn find(&self, family: &[u8], rest: &[u8]) -> Result<Option<Stored<'t>>, StoreError> {
        let Some(first) = self.chunk_from(family, 0)? else { return Ok(None) };
        let Some(last) = self.chunk_before(family, u64::MAX)? else { return Ok(None) };
        // By halving the numbers between `low`, which is right or too early, and `high`, which no later one is better than.
        let (mut low, mut high) = (chunk::number(first.0), chunk::number(last.0));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let Some(found) = self.chunk_from(family, middle)? else { break };
            if chunk::first(self.value(found)?).is_some_and(|first| first <= rest) {
                low = chunk::number(found.0);
            } else {
                let Some(before) = self.chunk_before(family, chunk::number(found.0))? else { break };
                high = chunk::number(before.0);
            }
        }
        self.chunk_from(family, low)
    }

    /// The value of a key too long to be plain.
    pub fn get_long(&self, key: &[u8]) -> Result<Option<&'t [u8]>, StoreError> {
        let (family, rest) = (self.family(key), &key[PLAIN..]);
        let Some(found) = self.find(&family, rest)? else { return Ok(None) };
        let entries = self.entries(found)?;
        Ok(entries.binary_search_by(|entry| entry.0.cmp(rest)).ok().map(|i| entries[i].1))
    }

    /// Visits the rows from `from` on in key order.
    pub fn forward(&self, from: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        let start = match from {
            Bound::Unbounded => self.seek(&self.prefix)?,
            Bound::Included(key) | Bound::Excluded(key) if key.len() <= PLAIN => self.seek(&self.stored_key(key))?,
            Bound::Included(key) | Bound::Excluded(key) => {
                let family = self.family(key);
                match self.find(&family, &key[PLAIN..])? {
                    None => self.seek(&chunk::stored_key(&family, 0))?,
                    found => found,
                }
            }
        };
        let outside = |key: &[u8]| match from {
            Bound::Included(bound) => key < bound,
            Bound::Excluded(bound) => key <= bound,
            Bound::Unbounded => false,
        };
        self.walk(start, MDB_NEXT, &outside, visit)
    }

    /// Visits the rows from `from` on against key order.
    pub fn backward(&self, from: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        let start = match from {
            Bound::Unbounded => self.last()?,
            Bound::Included(key) | Bound::Excluded(key) if key.len() <= PLAIN => {
                let stored = self.stored_key(key);
                match self.seek(&stored)? {
                    Some(found) if found.0 == stored => Some(found),
                    _ => self.seek_before(&stored)?,
                }
            }
            Bound::Included(key) | Bound::Excluded(key) => {
                let family = self.family(key);
                match self.find(&family, &key[PLAIN..])? {
                    None => self.seek_before(&chunk::stored_key(&family, 0))?,
                    found => found,
                }
            }
        };
        let outside = |key: &[u8]| match from {
            Bound::Included(bound) => key > bound,
            Bound::Excluded(bound) => key >= bound,
            Bound::Unbounded => false,
        };
        self.walk(start, MDB_PREV, &outside, visit)
    }

    /// Gives all rows to `f`, stretches in no order: this thread finds where they are, others look at them.
    pub fn many(&self, threads: usize, f: &(dyn Fn(&[Row<'_>]) -> bool + Sync)) -> Result<(), StoreError> {
        let (path, prefix) = (self.path, self.prefix.len());
        let (stop, failed) = (AtomicBool::new(false), Mutex::new(None));
        let work = |stretch: Vec<Stored<'t>>| {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let go_on = read_all(path, prefix, &stretch).map(|rows| f(&rows)).unwrap_or_else(|error| {
                failed.lock().get_or_insert(error);
                false
            });
            if !go_on {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let walked = fan(threads, &work, |deal| {
            let mut at = self.seek(&self.prefix)?;
            let mut stretch = Vec::with_capacity(STRETCH);
            while let Some(stored) = at {
                if stretch.len() == STRETCH {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    deal(std::mem::replace(&mut stretch, Vec::with_capacity(STRETCH)));
                }
                stretch.push(stored);
                at = self.mine(self.step(None, MDB_NEXT)?);
            }
            deal(stretch);
            Ok(())
        });
        walked.and(failed.into_inner().map_or(Ok(()), Err))
    }

    /// From where the cursor stands; keys `outside` the bound can only come first.
    fn walk(
        &self,
        mut at: Option<Stored<'t>>,
        step: u32,
        outside: &dyn Fn(&[u8]) -> bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut inside = false;
        let mut buffer = Vec::new();
        while let Some(stored) = at {
            let key = &stored.0[self.prefix.len()..];
            if key.len() <= PLAIN {
                let value = self.value(stored)?;
                inside = inside || !outside(key);
                if inside && !visit(key, value) {
                    return Ok(());
                }
            } else {
                possible(self.path, key)?;
                let mut entries = self.entries(stored)?;
                if step == MDB_PREV {
                    entries.reverse();
                }
                for (rest, value) in entries {
                    buffer.clear();
                    buffer.extend_from_slice(&key[..PLAIN]);
                    buffer.extend_from_slice(rest);
                    inside = inside || !outside(&buffer);
                    if inside && !visit(&buffer, value) {
                        return Ok(());
                    }
                }
            }
            at = self.mine(self.step(None, step)?);
        }
        Ok(())
    }
}

fn value<'t>(path: &Path, stored: Stored<'t>) -> Result<&'t [u8], StoreError> {
    unseal(stored.0, stored.1)
        .ok_or_else(|| StoreError::corrupt(path, 0, "a value has another checksum than it was written with"))
}

fn entries<'t>(path: &Path, stored: Stored<'t>) -> Result<Vec<chunk::Entry<'t>>, StoreError> {
    chunk::read(value(path, stored)?).ok_or_else(|| StoreError::corrupt(path, 0, "a chunk of long keys has no entries"))
}

/// A key that is not plain is that of a chunk.
fn possible(path: &Path, key: &[u8]) -> Result<(), StoreError> {
    let ok = key.len() == PLAIN + NUMBER;
    ok.then_some(()).ok_or_else(|| StoreError::corrupt(path, 0, "a key of an impossible length"))
}

/// The rows of a stretch; `prefix` bytes of each key are the table's.
fn read_all<'t>(path: &Path, prefix: usize, stretch: &[Stored<'t>]) -> Result<Vec<Row<'t>>, StoreError> {
    let mut rows: Vec<Row<'t>> = Vec::with_capacity(stretch.len());
    for &stored in stretch {
        let key = &stored.0[prefix..];
        if key.len() <= PLAIN {
            rows.push((key.into(), value(path, stored)?));
            continue;
        }
        possible(path, key)?;
        rows.extend(entries(path, stored)?.into_iter().map(|(rest, value)| ([&key[..PLAIN], rest].concat().into(), value)));
    }
    Ok(rows)
}
