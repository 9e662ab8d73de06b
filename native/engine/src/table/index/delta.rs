//! What changes of rows do to the indexes: noted under the latches of the shards, applied under those of the indexes.

use super::{Entry, Index, Indexes};
use crate::term::Record;
use arc_swap::Guard;
use smallvec::SmallVec;
use std::sync::Arc;

/// Entries to put in (true) or take out, in order.
type Delta = SmallVec<[(bool, Entry); 2]>;

/// Of all indexes of a table. Made and applied while a shard of the table is latched, so the indexes stay the same in between.
pub struct Deltas(Option<Noted>);

struct Noted {
    indexes: Guard<Arc<Vec<Arc<Index>>>>,
    /// One per index.
    deltas: SmallVec<[Delta; 2]>,
    /// Used again for each value.
    form: Vec<u8>,
}

impl Deltas {
    #[inline]
    pub fn new(indexes: &Indexes) -> Deltas {
        if indexes.is_empty() {
            return Deltas(None);
        }
        let indexes = indexes.load();
        let deltas = indexes.iter().map(|_| Delta::default()).collect();
        Deltas(Some(Noted { indexes, deltas, form: Vec::new() }))
    }

    /// There is no index.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Notes that the rows of `key` go from `before` to `after`.
    pub fn note(&mut self, key: &[u8], before: &[Record], after: &[Record]) {
        let Some(noted) = &mut self.0 else { return };
        for (index, delta) in noted.indexes.iter().zip(&mut noted.deltas) {
            index.note(key, before, after, delta, &mut noted.form);
        }
    }

    /// Applies what puts entries in only: in the order of the index, which is faster for many.
    pub fn put_all(mut self) {
        if let Some(noted) = &mut self.0 {
            noted.deltas.iter_mut().for_each(|delta| delta.sort_unstable());
        }
        self.apply();
    }

    #[inline]
    pub fn apply(self) {
        let Some(noted) = self.0 else { return };
        for (index, delta) in noted.indexes.iter().zip(noted.deltas) {
            if !delta.is_empty() {
                index.apply(delta);
            }
        }
    }
}

impl Index {
    fn note(&self, key: &[u8], before: &[Record], after: &[Record], delta: &mut Delta, form: &mut Vec<u8>) {
        match (before, after) {
            ([], []) => {}
            ([b], [a]) if self.same_value(b, a) => {}
            ([] | [_], [] | [_]) => {
                let mut one = |rows: &[Record]| {
                    let record = rows.first()?;
                    form.clear();
                    form.reserve(32);
                    self.write_value(record, form);
                    Some(Entry::joined(form, key))
                };
                let (old, new) = (one(before), one(after));
                if old != new {
                    delta.extend(old.map(|e| (false, e)));
                    delta.extend(new.map(|e| (true, e)));
                }
            }
            _ => {
                let forms = |rows: &[Record]| {
                    let mut forms: Vec<_> = rows.iter().map(|r| self.value(r)).collect();
                    forms.sort_unstable();
                    forms.dedup();
                    forms
                };
                let (old, new) = (forms(before), forms(after));
                delta.extend(old.iter().filter(|v| new.binary_search(v).is_err()).map(|v| (false, Entry::joined(v, key))));
                delta.extend(new.iter().filter(|v| old.binary_search(v).is_err()).map(|v| (true, Entry::joined(v, key))));
            }
        }
    }

    fn apply(&self, delta: Delta) {
        let mut entries = self.latch();
        for (put, e) in delta {
            if put {
                entries.put(e);
            } else {
                entries.remove(&e);
            }
        }
    }
}
