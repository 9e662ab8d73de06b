//! Reads a whole table with several threads, which make records of what one of them finds in the base store.

use super::base::{Row, STRETCH};
use super::disc_read::rows_from_disc;
use super::fan::fan;
use super::newest::Newest;
use super::{Store, StoreError};
use crate::term::Record;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows of some keys, those of a key beside each other.
#[derive(Default)]
pub struct Loaded {
    pub records: Vec<Record>,
    /// For each key how many records it has.
    pub keys: Vec<u32>,
}

impl Loaded {
    fn of(keys: usize) -> Loaded {
        Loaded { records: Vec::with_capacity(keys), keys: Vec::with_capacity(keys) }
    }
}

impl Store {
    /// Gives every row of a table to `keep`, as [`Store::load`] does, but from `threads` threads, in no order, many keys at a time, until it
    /// answers `false`.
    ///
    /// Errors end it; some rows were given then.
    pub fn load_many(&self, table: u32, threads: usize, keep: &(dyn Fn(Loaded) -> bool + Sync)) -> Result<(), StoreError> {
        let failed = Mutex::new(None);
        let stop = AtomicBool::new(false);
        let made = |loaded: Result<Loaded, StoreError>| {
            match loaded {
                Ok(loaded) => {
                    if !keep(loaded) {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    failed.lock().get_or_insert(error);
                }
            }
            !stop.load(Ordering::Relaxed)
        };
        let replayed = self.replayed();
        let mut cleared = false;
        if let Some(newest) = &replayed {
            let work = |values: Vec<&[u8]>| {
                if !stop.load(Ordering::Relaxed) {
                    made(self.made(values.len(), values.into_iter()));
                }
            };
            fan(threads, &work, |deal| newest.values(table, STRETCH).for_each(deal));
            cleared = newest.is_cleared(table);
        }
        if !cleared && !stop.load(Ordering::Relaxed) {
            let base = &self.inner.base;
            base.scan_many(table, threads, &|rows| made(self.made(rows.len(), below(replayed.as_deref(), table, rows))))?;
        }
        failed.into_inner().map_or(Ok(()), Err)
    }

    fn made<'r>(&self, keys: usize, values: impl Iterator<Item = &'r [u8]>) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::of(keys);
        for value in values {
            let before = loaded.records.len();
            rows_from_disc(value, self.dictionary(), &mut |record| loaded.records.push(record))?;
            loaded.keys.push((loaded.records.len() - before) as u32);
        }
        Ok(loaded)
    }
}

/// The values of rows, in order of their keys, that the log says nothing of.
fn below<'r>(newest: Option<&'r Newest>, table: u32, rows: &'r [Row<'r>]) -> impl Iterator<Item = &'r [u8]> {
    let first = rows.first().map_or(&[][..], |(key, _)| key);
    let mut over = newest.into_iter().flat_map(move |newest| newest.starting_at(table, first)).peekable();
    let below = rows.iter().filter(move |(key, _)| {
        while over.next_if(|state| *state.key < **key).is_some() {}
        over.peek().is_none_or(|state| *state.key != **key)
    });
    below.map(|(_, value)| *value)
}
