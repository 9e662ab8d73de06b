//! The locks of a transaction: which it asks for, in which order, and what an answer means.

use super::held::TableRef;
use super::lock::{LockId, Modes, Request, Verdict};
use super::{values, Place, Stop, Txn, Wanted, FETCHED};
use crate::db::Db;
use crate::table::key::hash;
use smallvec::SmallVec;

/// Kind of lock that an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    Read,
    Write,
}

impl LockKind {
    fn mode(self) -> Modes {
        match self {
            LockKind::Read => Modes::S,
            LockKind::Write => Modes::X,
        }
    }
}

impl Txn {
    #[inline]
    pub(super) fn request(&self, want: Modes, own: Modes) -> Request {
        Request { ctl: self.ctl, want, own, holds: self.counted || !self.held.is_empty(), counted: self.counted }
    }

    fn verdict(&mut self, verdict: Verdict, place: Place, modes: Modes) -> Result<(), Stop> {
        match verdict {
            Verdict::Granted => {
                self.note(Wanted { place, modes, queued: false });
                Ok(())
            }
            Verdict::Wait => {
                self.wanted = Some(Wanted { place, modes, queued: false });
                Err(Stop::Wait)
            }
            Verdict::Restart => {
                self.wanted = Some(Wanted { place, modes, queued: false });
                self.doomed = true;
                Err(Stop::Restart)
            }
        }
    }

    #[inline]
    pub(super) fn lock_mode(&mut self, table: TableRef, want: Modes) -> Result<(), Stop> {
        let own = self.held.table_modes(table);
        if own.grants(want) {
            return Ok(());
        }
        let request = self.request(want, own);
        let verdict = self.held.open(table).lock.acquire(&request, &mut self.wakes);
        self.verdict(verdict, Place::Table(table), want)?;
        // It may have been deleted while we waited, or another have taken its place.
        match self.held.open(table).is_dropped() {
            false => Ok(()),
            true if self.held.open(table).is_replaced() => {
                self.doomed = true;
                Err(Stop::Restart)
            }
            true => Err(Stop::NoTable),
        }
    }

    pub(super) fn acquire(&mut self, db: &Db, id: LockId, want: Modes) -> Result<(), Stop> {
        let own = self.held.record_modes(id);
        if own.grants(want) {
            return Ok(());
        }
        let request = self.request(want, own);
        let verdict = db.locks.acquire(id, &request);
        self.verdict(verdict, Place::Record(id), want)
    }

    /// Locks the whole table.
    pub fn lock_table(&mut self, table: TableRef, kind: LockKind) -> Result<(), Stop> {
        self.ready()?;
        self.lock_mode(table, kind.mode())
    }

    /// Locks a record. The record comes before the intention on its table: as its first lock a transaction may then
    /// wait for it in a fair queue, holding nothing.
    #[inline]
    pub fn lock_record(&mut self, db: &Db, table: TableRef, hash: u64, kind: LockKind) -> Result<(), Stop> {
        if self.held.table_modes(table).grants(kind.mode()) {
            return Ok(());
        }
        let intention = if kind == LockKind::Read { Modes::IS } else { Modes::IX };
        let id = LockId { table: self.held.open(table).id(), hash };
        self.enter(table, intention).map_err(|stop| self.for_record(id, stop))?;
        self.acquire(db, id, kind.mode())?;
        self.lock_mode(table, intention).map_err(|stop| self.for_record(id, stop))
    }

    #[cold]
    fn for_record(&mut self, id: LockId, stop: Stop) -> Stop {
        self.meant = Some(id);
        stop
    }

    /// Whoever holds a lock goes past one that waits for the whole table, which so could wait for ever. A transaction that holds
    /// nothing yet therefore takes the intention first where a table is wanted as a whole: it waits its turn.
    #[inline]
    pub(super) fn enter(&mut self, table: TableRef, intention: Modes) -> Result<(), Stop> {
        if self.held.open(table).lock.is_wanted() && self.held.is_empty() {
            self.lock_mode(table, intention)
        } else {
            Ok(())
        }
    }

    /// Locks a name that belongs to no table.
    pub fn lock_global(&mut self, db: &Db, name: &[u8], kind: LockKind) -> Result<(), Stop> {
        self.ready()?;
        self.leave(db);
        self.acquire(db, LockId { table: 0, hash: hash(name) }, kind.mode())
    }

    /// Locks the index values that the commit takes away or brings, before anything is changed.
    ///
    /// It can be this late because changes are applied this late: until then nobody but this transaction sees them, and its own
    /// searches take the reader's lock. So it is still two-phase locking, and the old rows are fetched once, all together.
    pub(super) fn lock_changed_values(&mut self, db: &Db) -> Result<(), Stop> {
        let mut locks: SmallVec<[(LockId, Modes); 4]> = SmallVec::new();
        for (_, table, set) in self.overlay.sets() {
            let open = self.held.open(*table);
            if open.table.indexes.is_empty() || self.held.table_modes(*table).contains(Modes::X) {
                continue;
            }
            let id = open.id();
            for batch in set.changes().flat_map(|chunk| chunk.chunks(FETCHED)) {
                batch.iter().for_each(|(key, _)| open.table.prefetch_rows(key));
                for (key, change) in batch {
                    open.table.look(key, |old| {
                        open.table.changed_values(old, change, |index, forms| values::written(id, index, forms, &mut locks))
                    });
                }
            }
        }
        locks.into_iter().try_for_each(|(id, modes)| self.acquire(db, id, modes))
    }
}
