//! A secondary index: an ordered set of `ordered form of the value ++ key`.
//!
//! The value form is prefix-free, so all entries of one value are one range, and values are in term order. The key behind it makes entries of equal
//! values different, and names the row. `1` and `1.0` share a value form: readers compare the field itself.

mod range;

use super::key::KeyBytes;
use crate::sync::RwLock;
use crate::term::{key, Record};
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

type Entry = SmallVec<[u8; 24]>;

pub struct Index {
    /// Field of the record (0 is the key).
    pub field: usize,
    entries: RwLock<BTreeSet<Entry>>,
    bytes: AtomicUsize,
}

/// Entries to put in (true) or take out, in order; made under the shard latch, applied under the index latch.
#[derive(Default)]
pub struct Delta(Vec<(bool, Entry)>);

fn entry(value: &[u8], key: &[u8]) -> Entry {
    let mut e = Entry::with_capacity(value.len() + key.len());
    e.extend_from_slice(value);
    e.extend_from_slice(key);
    e
}

/// A tree node holds six entries or more; this is what one costs on average.
fn cost(e: &Entry) -> usize {
    44 + if e.spilled() { e.len() + 8 } else { 0 }
}

impl Index {
    pub fn new(field: usize) -> Index {
        Index { field, entries: RwLock::new(BTreeSet::new()), bytes: AtomicUsize::new(0) }
    }

    /// Ordered form of the indexed value of a record.
    pub fn value(&self, record: &Record) -> Vec<u8> {
        let mut form = Vec::with_capacity(24);
        key::write(record.field(self.field), record.attached().map(|a| &**a), &mut form);
        form
    }

    /// Notes what changes when the rows of `key` go from `before` to `after`.
    pub fn note(&self, key: &[u8], before: &[Record], after: &[Record], delta: &mut Delta) {
        if let ([b], [a]) = (before, after) {
            if a.field(self.field) == b.field(self.field) {
                return;
            }
        }
        let forms = |rows: &[Record]| {
            let mut forms: Vec<_> = rows.iter().map(|r| self.value(r)).collect();
            forms.sort_unstable();
            forms.dedup();
            forms
        };
        let (old, new) = (forms(before), forms(after));
        delta.0.extend(old.iter().filter(|v| new.binary_search(v).is_err()).map(|v| (false, entry(v, key))));
        delta.0.extend(new.iter().filter(|v| old.binary_search(v).is_err()).map(|v| (true, entry(v, key))));
    }

    pub fn apply(&self, delta: Delta) {
        if delta.0.is_empty() {
            return;
        }
        let mut entries = self.entries.write();
        let mut bytes = self.bytes.load(Ordering::Relaxed);
        for (put, e) in delta.0 {
            let size = cost(&e);
            if put {
                bytes += if entries.insert(e) { size } else { 0 };
            } else if entries.remove(&e) {
                bytes -= size;
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Up to `max` keys whose value has this form, after key `after`.
    pub fn keys(&self, value: &[u8], after: Option<&[u8]>, max: usize) -> Vec<KeyBytes> {
        let entries = self.entries.read();
        let from = match after {
            Some(key) => Bound::Excluded(entry(value, key)),
            None => Bound::Included(SmallVec::from_slice(value)),
        };
        let range = entries.range((from, Bound::Unbounded));
        range.take_while(|e| e.starts_with(value)).take(max).map(|e| SmallVec::from_slice(&e[value.len()..])).collect()
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
        self.entries.read().contains(&entry(value, key))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.read().len()
    }
}
