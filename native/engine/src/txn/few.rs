//! The rows of one value of an index, if they are few: found, locked and looked at without a plan or a scan.

use super::held::TableRef;
use super::lock::{LockId, Modes};
use super::scan::look;
use super::{OpenTable, Stop, Txn};
use crate::db::Db;
use crate::table::index::Index;
use crate::table::{Key, Table};
use crate::term::range::Range;
use crate::term::Record;
use smallvec::SmallVec;
use std::sync::Arc;

/// More are what a scan is for.
const FEW: usize = 32;

pub type Keys = SmallVec<[Key; 12]>;

/// Can the rows be had at once? Those on disc may have to be waited for.
#[inline]
fn index_of<'a>(list: &'a [Arc<Index>], table: &Table, field: usize) -> Option<&'a Index> {
    let index = list.iter().find(|index| index.fields() == [field] && index.is_ready())?;
    table.disc().is_none().then_some(&**index)
}

fn keys(index: &Index, range: &Range) -> Option<Keys> {
    let mut keys = Keys::new();
    index.keys_bound(range, 1, None, FEW + 1, |key| keys.push(Key::of(key)));
    (keys.len() <= FEW).then_some(keys)
}

/// The keys in an index on the field alone, outside transactions; none if there is no such index, or too much in it.
pub fn few_keys(table: &Table, field: usize, value: &Range) -> Option<Keys> {
    let list = table.indexes.load();
    keys(index_of(&list, table, field)?, value)
}

/// Visits the committed rows of keys.
pub fn look_at(open: &OpenTable, keys: &[Key], visit: &mut dyn FnMut(&[Record])) {
    look(open, None, keys, visit)
}

impl Txn {
    /// The same within a transaction that has not written to the table: locks the value and the records, as [`Txn::lock_range`] does. Where it
    /// answers none, what it has locked is a part of what the search has to lock.
    pub fn lock_few(&mut self, db: &Db, table: TableRef, field: usize, value: &Range) -> Result<Option<Keys>, Stop> {
        if !self.overlay.untouched(self.open(table)) {
            return Ok(None);
        }
        let list = self.rows_of(table).indexes.load();
        let Some(index) = index_of(&list, self.rows_of(table), field) else { return Ok(None) };
        let whole = self.held.table_modes(table).grants(Modes::S);
        if !whole {
            self.lock_value(db, table, index, &value.low, 1)?;
        }
        let Some(keys) = keys(index, value) else { return Ok(None) };
        let open = self.held.open(table);
        keys.iter().for_each(|key| open.table.prefetch(key));
        if !whole {
            let table = open.id();
            keys.iter().try_for_each(|key| self.acquire(db, LockId { table, hash: key.hash }, Modes::S))?;
        }
        Ok(Some(keys))
    }
}
