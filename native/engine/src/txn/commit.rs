//! The end of a transaction that is kept: its write set becomes the tables'.
//!
//! What can be refused or has to wait comes first and leaves everything as it was. Then one step changes all, under the latches of all it
//! touches, or for a large write set a row of steps that dirty writers wait for.

use super::journal::Journal;
use super::{OpenTable, Stop, Txn, STEP};
use crate::db::Db;
use crate::table::{apply, below, Nowhere, Sink, Step};
use smallvec::SmallVec;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

impl Txn {
    /// Ends the innermost level. The outermost is applied to the tables: after this call it is there as a whole.
    pub fn commit(&mut self, db: &Db) -> Result<(), Stop> {
        self.ready()?;
        if self.depth() > 1 {
            self.overlay.merge_level();
            return Ok(());
        }
        let mut applied = Ok(());
        if !self.overlay.is_empty() {
            self.prepare(db)?;
            applied = self.apply(db)?;
            self.keep_claims();
        }
        self.end(db);
        applied
    }

    /// Does of an outermost commit what may fail or wait.
    pub(super) fn prepare(&mut self, db: &Db) -> Result<(), Stop> {
        let bad = self.overlay.sets().iter().map(|(_, table, _)| self.held.open(*table));
        let bad = bad.into_iter().find(|open| open.is_dropped() || open.table.is_damaged()).cloned();
        if let Some(open) = bad {
            let stop = if open.is_dropped() { Stop::NoTable } else { Stop::Damaged };
            self.blamed = Some(open);
            self.end(db);
            return Err(stop);
        }
        self.lock_changed_values(db)?;
        self.claim(db)
    }

    /// Applies the write set. Above [`STEP`] changes that is done in steps, and dirty writers wait for the end. An error means that
    /// nothing was changed; one within that it is in memory and not on disc.
    pub(super) fn apply(&mut self, db: &Db) -> Result<Result<(), Stop>, Stop> {
        let (held, sets) = (&self.held, self.overlay.sets());
        let mut steps: SmallVec<[Step; 4]> = SmallVec::new();
        let mut tables: SmallVec<[&OpenTable; 2]> = SmallVec::new();
        for (_, table, set) in sets {
            tables.push(held.open(*table));
            if set.len() > 1 && held.open(*table).table.indexes.is_empty() {
                // With an index they have been fetched for the locks.
                set.changes().flatten().take(STEP).for_each(|(key, _)| held.open(*table).table.prefetch_rows(key));
            }
            let table = &held.open(*table).table;
            steps.extend(set.changes_mut().map(|(key, change)| Step { table, key, change }));
        }
        let logged = tables.iter().any(|open| open.table.logged().is_some());
        let store = if logged { Some(db.durable()?) } else { None };
        // What cannot be read is found out before anything is changed; the host asks for the reason.
        for (step, disc) in steps.iter().filter_map(|step| Some((step, step.table.disc()?))) {
            disc.rows(&step.key.bytes).map_or_else(below::fail, drop);
            if below::failed() {
                return Err(Stop::Refused);
            }
        }
        let mut journal = store.as_ref().map(|store| Journal::of(store, &steps)).transpose()?;
        if steps.len() <= STEP {
            let Some(mut journal) = journal else {
                apply(&mut steps, &mut Nowhere);
                return Ok(Ok(()));
            };
            apply(&mut steps, &mut journal);
            return Ok(journal.finish());
        }
        // The rows on disc stay as they were before, until the last step is applied.
        let on_disc = tables.iter().any(|open| open.table.disc().is_some());
        let _held = store.as_ref().filter(|_| on_disc).map(|store| store.hold());
        self.ctl.begin_commit();
        tables.iter().for_each(|t| t.begin_commit());
        // Those who wait for the end are woken also when it is a panic.
        let applied = catch_unwind(AssertUnwindSafe(|| {
            let logged = match &mut journal {
                Some(journal) => {
                    // A dirty writer who looked before this has told the log when the latches were ours once: else what he wrote would come
                    // after this commit in the log, and before it in memory.
                    tables.iter().for_each(|open| drop(open.table.latch_all()));
                    journal.encode_rest(&steps)?;
                    // The commit point. Nobody else changes these keys before they are changed here.
                    journal.done();
                    journal.finish()
                }
                None => Ok(()),
            };
            steps.chunks_mut(STEP).for_each(|step| apply(step, &mut Nowhere));
            Ok(logged)
        }));
        tables.iter().for_each(|t| t.end_commit());
        self.ctl.end_commit(&mut self.wakes);
        applied.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
