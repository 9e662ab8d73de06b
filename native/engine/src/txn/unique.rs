//! Unique values at commit: whether they are free is decided over all that the transaction changes, so values may be swapped.
//!
//! From the claim to the end of the commit, writes outside of transactions that meet a changed key wait, or they could take a claim away. A
//! commit that ends in between gives its claims back.

use super::{OpenTable, Stop, Txn, FETCHED, STEP};
use crate::db::Db;
use crate::table::index::{claim, undo, Claim, Violation};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// What a commit has claimed, in tables that are marked as being committed to.
pub(super) struct Claimed {
    tables: Vec<Arc<OpenTable>>,
    claims: Vec<Claim>,
}

impl Txn {
    /// Claims the unique values that the write set brings. Refused, the transaction is over.
    pub(super) fn claim(&mut self, db: &Db) -> Result<(), Stop> {
        let held = &self.held;
        let tables = self.overlay.sets().iter().map(|(_, table, _)| held.open(*table));
        let tables: Vec<_> = tables.filter(|open| open.table.indexes.any_unique()).cloned().collect();
        if tables.is_empty() || self.claimed.is_some() {
            return Ok(());
        }
        self.ctl.begin_commit();
        tables.iter().for_each(|open| open.begin_commit());
        self.claimed = Some(Claimed { tables, claims: Vec::new() });
        let claims = catch_unwind(AssertUnwindSafe(|| {
            let mut claims = self.claims();
            claim(&mut claims, STEP).map(|()| claims)
        }));
        match claims {
            Ok(Ok(claims)) => {
                if let Some(claimed) = &mut self.claimed {
                    claimed.claims = claims;
                }
                Ok(())
            }
            Ok(Err(violation)) => {
                let stop = Stop::NotUnique(violation.index);
                let mut tables = self.claimed.iter().flat_map(|claimed| &claimed.tables);
                self.blamed = tables.find(|open| open.id() == violation.table).cloned();
                self.violation = Some(violation);
                self.end(db);
                Err(stop)
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    fn claims(&mut self) -> Vec<Claim> {
        let held = &self.held;
        let mut sets: Vec<_> = self.overlay.sets().iter().collect();
        sets.sort_unstable_by_key(|(id, ..)| *id);
        let mut claims: Vec<Claim> = Vec::new();
        for (_, table, set) in sets {
            let open = held.open(*table);
            let list = open.table.indexes.load();
            let first = claims.len();
            claims.extend(list.iter().filter(|index| index.is_unique()).map(|index| Claim::new(open.id(), index.clone())));
            if first == claims.len() {
                continue;
            }
            for batch in set.changes().flat_map(|chunk| chunk.chunks(FETCHED)) {
                batch.iter().for_each(|(key, _)| open.table.prefetch_rows(key));
                for (key, change) in batch {
                    open.table.look(key, |old| claims[first..].iter_mut().for_each(|c| c.add(open.kind(), key, old, change)));
                }
            }
        }
        claims
    }

    /// The changes are applied.
    #[inline]
    pub(super) fn keep_claims(&mut self) {
        if self.claimed.is_some() {
            self.end_claims(false);
        }
    }

    /// They never will be.
    #[inline]
    pub(super) fn give_claims_back(&mut self) {
        if self.claimed.is_some() {
            self.end_claims(true);
        }
    }

    #[cold]
    fn end_claims(&mut self, back: bool) {
        let Some(Claimed { tables, mut claims }) = self.claimed.take() else { return };
        if back {
            undo(&mut claims, STEP);
        }
        tables.iter().for_each(|open| open.end_commit());
        self.ctl.end_commit(&mut self.wakes);
    }

    /// What the last commit was refused for, if it was a value that is there already.
    pub fn violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }
}
