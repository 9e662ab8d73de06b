//! Filling a table that nobody else sees yet, many keys at a time.
//!
//! A hash table that is larger than the cache waits for memory with every row, so the places of some keys are asked for before the
//! first of them is filled.

use super::index::Deltas;
use super::key::Key;
use super::rows::Rows;
use super::Table;
use crate::term::Record;
use smallvec::SmallVec;

/// Keys whose places are asked for together.
const GROUP: usize = 16;

impl Table {
    /// Makes room for about so many keys, while there are none.
    pub fn expect(&self, keys: usize) {
        self.store.expect(keys);
    }

    /// Puts rows of keys that are not there yet: `keys` says how many records each has, one after the other.
    pub fn fill(&self, records: Vec<Record>, keys: &[u32]) {
        let mut records = records.into_iter();
        let mut keys = keys.iter();
        loop {
            let mut group: SmallVec<[(Key, Rows); GROUP]> = SmallVec::new();
            for count in keys.by_ref().take(GROUP) {
                let rows = match count {
                    1 => records.next().map(Rows::one),
                    _ => Rows::new(records.by_ref().take(*count as usize).collect()),
                };
                let Some(rows) = rows else { continue };
                let key = self.key_of(rows.first());
                self.prefetch(&key);
                group.push((key, rows));
            }
            if group.is_empty() {
                return;
            }
            self.fill_group(group);
        }
    }

    fn fill_group(&self, group: SmallVec<[(Key, Rows); GROUP]>) {
        let _damage = super::Damage(self);
        let mut held = None;
        for (key, rows) in group {
            let part = self.store.part(&key);
            let mut latched = match held.take() {
                Some((number, latched)) if number == part => latched,
                other => {
                    drop(other);
                    self.store.latch(part)
                }
            };
            let mut deltas = Deltas::new(&self.indexes);
            latched.update(&key, |_| {
                deltas.note(&key.bytes, &[], rows.as_slice());
                Some(rows)
            });
            deltas.apply();
            held = Some((part, latched));
        }
    }
}
