//! The commit of a transaction whose changes somebody is to be told of.
//!
//! The host tells them, so the commit is cut in three: [`Txn::prepare_watched`] does all that may fail or wait, then the host looks at the
//! rows as they are; [`Txn::publish`] changes them; the host sends its messages, still holding the locks, so that
//! messages about one record come in the order of its changes; an abort of the outermost level, of which nothing is left, ends it.

use super::{Stop, TableRef, Txn};
use crate::db::Db;
use crate::table::Key;

impl Txn {
    /// It did something to a watched table.
    pub fn mark_watched(&mut self) {
        self.noted = true;
    }

    /// Is somebody to be told when it commits?
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.noted
    }

    /// Did it change anything at all?
    pub fn has_changes(&self) -> bool {
        !self.overlay.is_empty()
    }

    /// Everything of the outermost commit that can be refused.
    pub fn prepare_watched(&mut self, db: &Db) -> Result<(), Stop> {
        self.ready()?;
        self.prepare(db)
    }

    /// Applies the changes and keeps the locks.
    pub fn publish(&mut self) {
        self.apply();
        self.keep_claims();
        self.overlay.clear();
        self.overlay.push_level();
        self.noted = false;
    }

    /// Nothing has been written to the table.
    pub fn untouched(&self, table: TableRef) -> bool {
        self.overlay.untouched(self.held.open(table))
    }

    /// The keys that it changed in a table, in key order for an ordered_set, else in the order of their first change.
    pub fn changed_keys(&self, table: TableRef) -> Vec<Key> {
        let open = self.held.open(table);
        std::iter::successors(self.overlay.key_after(open, None), |key| self.overlay.key_after(open, Some(key))).collect()
    }
}
