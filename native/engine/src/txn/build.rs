//! Indexes added and dropped by a transaction that holds the table exclusively.
//!
//! An index is built in steps, between which the host may do something else. Until it is complete it belongs to the transaction: it
//! goes with it, however that ends.

use super::held::TableRef;
use super::{LockKind, OpenTable, Stop, Txn};
use crate::db::Db;
use crate::table::index::{Index, Violation};
use crate::table::{Cursor, IndexDefinition};
use std::sync::Arc;

/// An index under construction.
pub(super) struct Build {
    open: Arc<OpenTable>,
    index: Arc<Index>,
    cursor: Cursor,
}

/// How far it is.
#[derive(Debug)]
pub enum Built {
    /// Call again.
    More,
    /// All rows are in it; [`Txn::complete_index`] makes it known.
    Whole,
    /// Two keys have one value; the index is gone.
    Refused(Violation),
}

impl Txn {
    /// Does one step, of about `max` keys, for the index that is being built, which the first call begins.
    pub fn build_index(&mut self, db: &Db, table: TableRef, wanted: &IndexDefinition, max: usize) -> Result<Built, Stop> {
        self.lock_table(table, LockKind::Write)?;
        let open = self.held.open(table).clone();
        // The database may have been stopped.
        if open.is_dropped() || !db.is_running() {
            self.cancel_build();
            return Err(Stop::NoTable);
        }
        if !self.build.as_ref().is_some_and(|b| Arc::ptr_eq(&b.open, &open) && b.index.definition == *wanted) {
            self.cancel_build();
            let index = open.table.begin_index(wanted.clone());
            self.build = Some(Build { open, index, cursor: Cursor::Start });
        }
        let Some(Build { open, index, cursor }) = &mut self.build else { return Ok(Built::More) };
        match open.table.build_index(index, cursor, max) {
            Err(violation) => {
                self.cancel_build();
                Ok(Built::Refused(violation))
            }
            Ok(()) if *cursor == Cursor::End => Ok(Built::Whole),
            Ok(()) => Ok(Built::More),
        }
    }

    /// Makes the index known that was built.
    pub fn complete_index(&mut self) {
        if let Some(Build { open, index, cursor: Cursor::End }) = self.build.take() {
            open.table.complete_index(&index);
        }
    }

    /// Drops the index on exactly these fields; false if there is none.
    pub fn drop_index(&mut self, table: TableRef, fields: &[usize]) -> Result<bool, Stop> {
        self.lock_table(table, LockKind::Write)?;
        let open = self.held.open(table);
        let index = open.table.indexes.ready().into_iter().find(|index| index.fields() == fields);
        Ok(index.is_some_and(|index| {
            open.table.drop_index(&index);
            true
        }))
    }

    #[inline]
    pub(super) fn cancel_build(&mut self) {
        if self.build.is_none() {
            return;
        }
        if let Some(Build { open, index, .. }) = self.build.take() {
            open.table.drop_index(&index);
        }
    }
}
