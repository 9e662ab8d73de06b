//! Filling a table that nobody else sees yet, many keys at a time.
//!
//! A hash table that is larger than the cache waits for memory with every row. So rows are sorted by the part they belong to, which is latched once
//! for all of them, and the bucket of a row is asked for some rows before its turn. Entries of indexes are sorted for the same reason.

use super::index::Deltas;
use super::key::Key;
use super::rows::Rows;
use super::{Store, Table};
use crate::term::Record;

/// Rows of one part of a hash table, and what is counted of them while they are in the cache.
pub struct Filling {
    /// With the hashes of their keys.
    pub rows: Vec<(u64, Rows)>,
    pub records: usize,
    pub bytes: usize,
}

impl Filling {
    fn of(capacity: usize) -> Filling {
        Filling { rows: Vec::with_capacity(capacity), records: 0, bytes: 0 }
    }

    fn push(&mut self, hash: u64, rows: Rows) {
        self.records += rows.as_slice().len();
        self.bytes += rows.memory();
        self.rows.push((hash, rows));
    }
}

impl Table {
    /// Makes room for about so many keys, while there are none.
    pub fn expect(&self, keys: usize) {
        self.store.expect(keys);
    }

    /// Makes room for about so many keys, unless there are some.
    pub fn make_room(&self, keys: usize) {
        self.store.expect(keys);
        (0..self.store.parts()).for_each(|part| self.store.latch(part).make_room());
    }

    /// Puts rows of keys that are not there yet: `keys` says how many records each has, one after the other.
    pub fn fill(&self, records: Vec<Record>, keys: &[u32]) {
        let _damage = super::Damage(self);
        let mut records = records.into_iter();
        let rows = keys.iter().filter_map(|count| match count {
            1 => records.next().map(Rows::one),
            _ => Rows::new(records.by_ref().take(*count as usize).collect()),
        });
        let mut deltas = Deltas::new(&self.indexes);
        let mut note = |rows: &Rows| {
            if !deltas.is_empty() {
                deltas.note(&self.key_of(rows.first()).bytes, &[], rows.as_slice());
            }
        };
        match &self.store {
            Store::Hash(_) => {
                let mut parts: Vec<Filling> = Vec::new();
                parts.resize_with(self.store.parts(), || Filling::of(2 * keys.len() / self.store.parts()));
                for rows in rows {
                    note(&rows);
                    let hash = Key::exact_hash(rows.first());
                    parts[Store::part_of(hash)].push(hash, rows);
                }
                let parts = parts.into_iter().enumerate().filter(|(_, filling)| !filling.rows.is_empty());
                parts.for_each(|(part, filling)| self.store.latch(part).fill(filling));
            }
            Store::Ordered(_) | Store::Disc(_) => {
                let mut latched = self.store.latch(0);
                for rows in rows {
                    note(&rows);
                    latched.update(&self.key_of(rows.first()), |_| Some(rows));
                }
            }
        }
        deltas.put_all();
    }
}
