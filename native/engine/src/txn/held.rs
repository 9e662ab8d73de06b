//! The locks that one transaction holds, and the tables its process used last.

use super::grow::{List, Map};
use super::lock::{LockId, Modes, RecordLocks, TxnCtl, Wakes};
use super::open::OpenTable;
use std::sync::Arc;

/// From this many record locks on they are found by a map.
const LINEAR: usize = 16;
/// Tables remembered between transactions, which saves the look-up by name and traffic on the reference count.
const REMEMBERED: usize = 8;

struct TableHold {
    open: Arc<OpenTable>,
    modes: Modes,
}

/// A table in the transaction's list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableRef(usize);

#[derive(Default)]
pub struct Held {
    tables: Vec<TableHold>,
    records: List<(LockId, Modes)>,
    by_id: Map<LockId, usize>,
}

impl Held {
    /// Nothing at all is held.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.tables.iter().all(|t| t.modes.is_empty())
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// A table by name: remembered, or looked up by `find`.
    #[inline]
    pub fn table(&mut self, name: &[u8], find: impl FnOnce() -> Option<Arc<OpenTable>>) -> Option<TableRef> {
        if let Some(at) = self.tables.iter().position(|t| *t.open.name == *name && !t.open.is_dropped()) {
            return Some(TableRef(at));
        }
        self.tables.push(TableHold { open: find()?, modes: Modes::NONE });
        Some(TableRef(self.tables.len() - 1))
    }

    /// A remembered table by the VM's word of its name.
    #[inline]
    pub fn known(&self, word: u64) -> Option<TableRef> {
        self.tables.iter().position(|t| t.open.atom == word && !t.open.is_dropped()).map(TableRef)
    }

    #[inline]
    pub fn open(&self, table: TableRef) -> &Arc<OpenTable> {
        &self.tables[table.0].open
    }

    #[inline]
    pub fn table_modes(&self, table: TableRef) -> Modes {
        self.tables[table.0].modes
    }

    pub fn add_table(&mut self, table: TableRef, modes: Modes) {
        let hold = &mut self.tables[table.0];
        hold.modes = hold.modes.union(modes);
    }

    #[inline]
    fn position(&self, id: LockId) -> Option<usize> {
        if self.records.len() <= LINEAR {
            self.records.first().iter().position(|(i, _)| *i == id)
        } else {
            self.by_id.get(&id).copied()
        }
    }

    #[inline]
    pub fn record_modes(&self, id: LockId) -> Modes {
        self.position(id).and_then(|at| self.records.get(at)).map_or(Modes::NONE, |(_, modes)| *modes)
    }

    #[inline]
    pub fn add_record(&mut self, id: LockId, modes: Modes) {
        if let Some((_, own)) = self.position(id).and_then(|at| self.records.get_mut(at)) {
            *own = own.union(modes);
            return;
        }
        self.records.push((id, modes));
        let len = self.records.len();
        if len == LINEAR + 1 {
            self.records.iter().enumerate().for_each(|(i, (id, _))| self.by_id.insert(*id, i));
        } else if len > LINEAR {
            self.by_id.insert(id, len - 1);
        }
    }

    /// The tables it uses, with the modes it holds of each.
    pub fn tables(&self) -> impl Iterator<Item = (&Arc<OpenTable>, Modes)> {
        self.tables.iter().map(|hold| (&hold.open, hold.modes))
    }

    pub fn records(&self) -> impl Iterator<Item = (LockId, Modes)> + '_ {
        self.records.iter().copied()
    }

    /// Frees everything.
    #[inline]
    pub fn release_all(&mut self, ctl: &TxnCtl, locks: &RecordLocks, wakes: &mut Wakes) {
        for (id, _) in self.records.chunks().flatten() {
            locks.release(*id, ctl, wakes);
        }
        self.records.clear();
        if !self.by_id.is_empty() {
            self.by_id.clear();
        }
        for hold in &mut self.tables {
            if !hold.modes.is_empty() {
                hold.open.lock.release(ctl, hold.modes, wakes);
                hold.modes = Modes::NONE;
            }
        }
    }

    /// Between transactions: forgets what is gone or too much.
    #[inline]
    pub fn tidy(&mut self) {
        if self.tables.len() > REMEMBERED || self.tables.iter().any(|t| t.open.is_dropped()) {
            self.tables.retain(|t| !t.open.is_dropped());
            self.tables.truncate(REMEMBERED);
        }
    }
}
