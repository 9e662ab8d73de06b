//! Locks of index values.
//!
//! A reader locks the values that bound its search: all fields of an index, or the first ones of several. A writer locks every such prefix of
//! what it brings or takes away, so the two meet whatever the reader asked for. Values of one field are the same lock whichever index they
//! are looked up in.

use super::held::TableRef;
use super::lock::{LockId, Modes};
use super::{Stop, Txn};
use crate::db::Db;
use crate::table::index::{forms_len, Index};
use crate::table::key::hash;
use crate::table::IndexId;
use crate::term::range::Range;
use crate::term::Record;
use smallvec::SmallVec;

/// A reader of index values that more records have locks the table.
const MANY_HITS: usize = 256;

/// Lock of the values of some fields: fields must not fall on one another, nor on keys.
fn value_lock(table: u64, fields: &[usize], forms: &[u8]) -> LockId {
    let mix = |hash: u64, field: &usize| hash.rotate_left(*field as u32 + 1) ^ 0x5bd1_e995_9e37_79b9;
    LockId { table, hash: fields.iter().fold(hash(forms), mix) }
}

/// What a writer locks of the values of one record: writers of one value do not disturb each other (IX), unless it may be there only once.
#[inline]
pub(super) fn written(table: u64, index: &Index, forms: &[u8], locks: &mut SmallVec<[(LockId, Modes); 4]>) {
    let fields = index.fields();
    let mut end = 0;
    for count in 1..fields.len() {
        end += forms_len(&forms[end..], 1);
        locks.push((value_lock(table, &fields[..count], &forms[..end]), Modes::IX));
    }
    let modes = if index.is_unique() { Modes::X } else { Modes::IX };
    locks.push((value_lock(table, fields, forms), modes));
}

impl Txn {
    /// Locks a range of an index, in which the first `bound` fields are one value, for a reader: these values, which keeps out whoever would
    /// bring something to the range or take it away, and the records in it, since a writer that leaves the values as they are asks for
    /// its record only. Many are locked as the whole table.
    pub fn lock_range(&mut self, db: &Db, table: TableRef, index: IndexId, range: &Range, bound: usize) -> Result<(), Stop> {
        if self.held.table_modes(table).grants(Modes::S) {
            return Ok(());
        }
        // An index that is gone is found missing by the search itself.
        let list = self.rows_of(table).indexes.load();
        let Some(index) = list.iter().find(|one| one.id == index) else { return Ok(()) };
        self.lock_value(db, table, index, &range.low[..forms_len(&range.low, bound)], bound)?;
        let mut hashes: SmallVec<[u64; 8]> = SmallVec::new();
        index.keys_bound(range, bound, None, MANY_HITS + 1, |key| hashes.push(hash(&key)));
        if hashes.len() > MANY_HITS {
            return self.lock_mode(table, Modes::S);
        }
        let table = self.held.open(table).id();
        hashes.into_iter().try_for_each(|hash| self.acquire(db, LockId { table, hash }, Modes::S))
    }

    /// Locks the value of the first fields of an index for a reader.
    #[inline]
    pub(super) fn lock_value(&mut self, db: &Db, table: TableRef, index: &Index, forms: &[u8], bound: usize) -> Result<(), Stop> {
        let id = self.held.open(table).id();
        self.enter(table, Modes::IS)?;
        self.acquire(db, value_lock(id, &index.fields()[..bound], forms), Modes::S)?;
        self.lock_mode(table, Modes::IS)
    }

    /// Locks the unique values that a record brings, at the write: who brings them too waits here already.
    #[cold]
    pub(super) fn lock_unique(&mut self, db: &Db, table: TableRef, record: &Record) -> Result<(), Stop> {
        if self.held.table_modes(table).contains(Modes::X) {
            return Ok(());
        }
        let open = self.held.open(table).clone();
        for index in open.table.indexes.load().iter().filter(|index| index.is_unique()) {
            self.acquire(db, value_lock(open.id(), index.fields(), &index.value(record)), Modes::X)?;
        }
        Ok(())
    }
}
