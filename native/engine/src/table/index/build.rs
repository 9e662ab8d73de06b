//! Building an index on a table that is used.
//!
//! From its first moment on writers keep it. The rows that were there before are visited in steps, each put in under the latch of
//! its shard: whatever a writer does to it comes before or after as a whole, and putting in what is there already changes nothing.

use super::{Entry, Index, IndexDefinition, Violation};
use crate::table::store::Latched;
use crate::table::{Cursor, Table};
use crate::term::Record;
use std::sync::Arc;

impl Table {
    pub fn latch_all(&self) -> Vec<Latched<'_>> {
        (0..self.store.parts()).map(|part| self.store.latch(part)).collect()
    }

    /// Begins an index, which nobody reads yet.
    pub fn begin_index(&self, definition: IndexDefinition) -> Arc<Index> {
        let _latches = self.latch_all();
        self.indexes.add(definition)
    }

    /// Puts the rows of about `max` keys in, from the cursor on.
    pub fn build_index(&self, index: &Index, cursor: &mut Cursor, max: usize) -> Result<(), Violation> {
        let mut violation = None;
        self.store.scan_latched(cursor, max, |rows| {
            if violation.is_none() {
                let key = self.key_of(&rows[0]);
                violation = index.put_rows(&key.bytes, rows);
            }
        });
        violation.map_or(Ok(()), |record| Err(Violation::new(self.id, index, record)))
    }

    /// Puts the rows of about `max` keys of a table that nobody uses yet into all its indexes.
    pub fn fill_indexes(&self, cursor: &mut Cursor, max: usize) {
        let indexes = self.indexes.load();
        self.store.scan(cursor, max, |rows| {
            let key = self.key_of(&rows[0]);
            for index in indexes.iter() {
                let mut entries = index.latch();
                for record in rows {
                    entries.put(Entry::joined(&index.value(record), &key.bytes));
                }
            }
        });
    }

    /// From now on it is read.
    pub fn complete_index(&self, index: &Index) {
        let _latches = self.latch_all();
        self.indexes.complete(index);
    }

    /// Takes an index out; whoever reads it now goes on with what it was.
    pub fn drop_index(&self, index: &Index) {
        let _latches = self.latch_all();
        self.indexes.remove(index.id);
    }
}

impl Index {
    /// Answers the record that may not be in it, if there is one.
    fn put_rows(&self, key: &[u8], rows: &[Record]) -> Option<Record> {
        let mut entries = self.latch();
        for record in rows {
            let value = self.value(record);
            let e = Entry::joined(&value, key);
            if self.is_unique() && entries.others(&value, &e).next().is_some() {
                return Some(record.clone());
            }
            entries.put(e);
        }
        None
    }
}
