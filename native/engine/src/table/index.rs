//! A secondary index: an ordered set of `ordered forms of the values ++ key`.
//!
//! A form is prefix-free, so all entries of one value are one range, of the first of several values too, and values are in term order. The
//! key behind them makes entries of equal values different, and names the row. `1` and `1.0` share a form: readers compare the fields
//! themselves.

mod build;
mod delta;
mod live;
mod range;
mod unique;

pub use delta::Deltas;
pub use live::Indexes;
pub use unique::{claim, undo, Claim, Violation};

use super::bytes::Bytes;
use crate::reaper;
use crate::sync::{RwLock, RwLockWriteGuard};
use crate::term::{form_len, key, Record};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The forms of the values, then the key.
type Entry = Bytes<24>;

/// What an index is, as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDefinition {
    /// Fields of the record (0 is the key) in the order they are sorted by.
    pub fields: Vec<usize>,
    /// No two keys have the same values.
    pub unique: bool,
}

impl From<usize> for IndexDefinition {
    fn from(field: usize) -> Self {
        IndexDefinition { fields: vec![field], unique: false }
    }
}

/// Number of an index in its table; never used again there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexId(pub u32);

pub struct Index {
    pub id: IndexId,
    pub definition: IndexDefinition,
    /// All rows are in it: it may be read.
    ready: AtomicBool,
    entries: RwLock<BTreeSet<Entry>>,
    bytes: AtomicUsize,
}

/// A tree node holds six entries or more; this is what one costs on average.
fn cost(e: &Entry) -> usize {
    44 + if e.is_elsewhere() { e.len() + 8 } else { 0 }
}

/// Length of the first `count` forms.
pub fn forms_len(bytes: &[u8], count: usize) -> usize {
    (0..count).fold(0, |at, _| at + form_len(&bytes[at..]))
}

impl Index {
    pub(super) fn new(id: IndexId, definition: IndexDefinition, ready: bool) -> Index {
        let (ready, bytes) = (AtomicBool::new(ready), AtomicUsize::new(0));
        Index { id, definition, ready, entries: RwLock::new(BTreeSet::new()), bytes }
    }

    pub fn fields(&self) -> &[usize] {
        &self.definition.fields
    }

    pub fn is_unique(&self) -> bool {
        self.definition.unique
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Ordered forms of the indexed values of a record, one after the other.
    pub fn value(&self, record: &Record) -> Vec<u8> {
        let mut form = Vec::with_capacity(24);
        self.write_value(record, &mut form);
        form
    }

    #[inline]
    pub(super) fn write_value(&self, record: &Record, form: &mut Vec<u8>) {
        let beside = record.attached().map(|a| &**a);
        self.fields().iter().for_each(|&field| key::write(record.field(field), beside, form));
    }

    /// Are the indexed fields of two records the same bytes?
    #[inline]
    pub fn same_value(&self, a: &Record, b: &Record) -> bool {
        self.fields().iter().all(|&field| a.field(field) == b.field(field))
    }

    /// The entries under the write latch.
    fn latch(&self) -> Entries<'_> {
        Entries { tree: self.entries.write(), bytes: &self.bytes }
    }

    /// Takes all entries away; the caller drops them where that may take time.
    pub fn take(&self) -> impl Send {
        let mut entries = self.entries.write();
        self.bytes.store(0, Ordering::Relaxed);
        std::mem::take(&mut *entries)
    }

    pub fn memory(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn contains(&self, value: &[u8], key: &[u8]) -> bool {
        self.entries.read().contains(&Entry::joined(value, key))
    }

    pub fn len(&self) -> usize {
        self.entries.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes are counted right, and a value of a unique index has one key.
    pub(super) fn check(&self) -> Result<(), String> {
        let entries = self.entries.read();
        let counted: usize = entries.iter().map(cost).sum();
        if counted != self.memory() {
            return Err(format!("the index on {:?} counted {counted} bytes, noted {}", self.fields(), self.memory()));
        }
        let values = entries.iter().map(|e| &e[..forms_len(e, self.fields().len())]);
        let repeated = values.clone().zip(values.skip(1)).any(|(a, b)| a == b);
        if self.is_unique() && repeated {
            return Err(format!("two keys have one value in the unique index on {:?}", self.fields()));
        }
        Ok(())
    }
}

/// Entries under the write latch, with the count of their bytes.
struct Entries<'a> {
    tree: RwLockWriteGuard<'a, BTreeSet<Entry>>,
    bytes: &'a AtomicUsize,
}

impl Entries<'_> {
    /// False if it is there already.
    #[inline]
    fn put(&mut self, e: Entry) -> bool {
        let size = cost(&e);
        let new = self.tree.insert(e);
        if new {
            self.bytes.store(self.bytes.load(Ordering::Relaxed) + size, Ordering::Relaxed);
        }
        new
    }

    #[inline]
    fn remove(&mut self, e: &Entry) {
        if self.tree.remove(e) {
            self.bytes.store(self.bytes.load(Ordering::Relaxed) - cost(e), Ordering::Relaxed);
        }
    }
}

/// Indexes with fewer entries are freed by whoever is the last to have them.
const FEW: usize = 1024;

impl Drop for Index {
    fn drop(&mut self) {
        if self.entries.read().len() > FEW {
            reaper::drop_later(self.take());
        }
    }
}
