//! Reads of the base store, for tables whose rows are on disc alone: what it knows of them, which is behind the log.

use super::disc::Atoms;
use super::disc_key::base_key_of;
use super::disc_read::rows_from_disc;
use super::{Store, StoreError, Table};
use crate::term::{Attached, Record};
use std::ops::Bound;

/// Keeps the flush from taking anything that is appended while this lives.
pub struct Held<'a>(#[allow(dead_code)] crate::sync::RwLockReadGuard<'a, ()>);

/// Gets a key and its rows; false ends the visits.
pub type Visit<'f> = dyn FnMut(&[u8], Stored) -> Result<bool, StoreError> + 'f;

/// The rows of one key as they are on disc: read when they are wanted.
pub struct Stored<'a> {
    bytes: &'a [u8],
    store: &'a Store,
}

impl Stored<'_> {
    pub fn each(&self, f: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        rows_from_disc(self.bytes, &self.store.inner.dictionary, f)
    }

    /// Bytes on disc.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// How many they are; they are not looked at.
    pub fn count(&self) -> usize {
        match self.bytes.split_first() {
            Some((0, rest)) => rest.first_chunk::<4>().map_or(0, |count| u32::from_le_bytes(*count) as usize),
            _ => 1,
        }
    }
}

impl Store {
    /// The name of a key in the base store.
    pub fn key_of(
        &self,
        table: Table,
        flat: &[u8],
        negative_zero: bool,
        attached: Option<&dyn Attached>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        base_key_of(table.ordered, flat, negative_zero, attached, &self.inner.dictionary, &mut Atoms::default(), out)
    }

    /// Gives the rows of a key to `f`; false if the base store has none.
    pub fn stored(
        &self,
        table: u32,
        key: &[u8],
        f: &mut dyn FnMut(Stored) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let mut done = Ok(());
        let found = self.inner.base.get(table, key, &mut |bytes| done = f(Stored { bytes, store: self }))?;
        done.map(|()| found)
    }

    /// Visits the keys of a table from one on, or backward, until `f` answers false.
    pub fn scan_stored(&self, table: u32, from: Bound<&[u8]>, backward: bool, f: &mut Visit) -> Result<(), StoreError> {
        let mut done = Ok(());
        let each = &mut |key: &[u8], bytes: &[u8]| {
            f(key, Stored { bytes, store: self }).unwrap_or_else(|error| {
                done = Err(error);
                false
            })
        };
        match backward {
            true => self.inner.base.scan_back(table, from, each)?,
            false => self.inner.base.scan(table, from, each)?,
        }
        done
    }

    /// Bytes that a table takes in the base store.
    pub fn stored_bytes(&self, table: u32) -> Result<u64, StoreError> {
        self.inner.base.bytes(table)
    }

    /// Brings what the log said of a table at start to the base store. Blocks.
    pub fn settle(&self, table: u32) -> Result<(), StoreError> {
        let replayed = self.inner.replayed.read().clone();
        match replayed.filter(|newest| newest.is_cleared(table) || newest.of_table(table).next().is_some()) {
            Some(_) => self.flush_all(),
            None => Ok(()),
        }
    }

    /// The base store goes no further than the log is now until this is let go.
    pub fn hold(&self) -> Held<'_> {
        Held(self.inner.flush.held.read())
    }
}
