//! Transactions: strict two-phase locking over tables, with a write set that is applied as one step at the end.
//!
//! A [`Txn`] belongs to one process and is used for one transaction after the other. Every operation may answer [`Stop::Wait`]:
//! the caller waits as told by [`Txn::wait`] and calls the same operation again; all an operation does before its last
//! step is take locks, which are then held already.

mod build;
mod commit;
mod few;
mod gather;
mod grow;
mod held;
pub mod journal;
pub mod lock;
mod locking;
pub mod open;
mod ordered;
pub mod overlay;

pub mod plan;
pub mod report;
pub mod scan;
pub mod snapshot;
pub mod sorted;
mod unique;
mod values;
pub mod walk;
mod watch;
mod write_set;

pub use build::Built;
pub use few::{few_keys, look_at, Keys};
pub use gather::Source;
pub use held::TableRef;
pub use locking::LockKind;
pub use open::OpenTable;
pub use ordered::{in_order, Course};
pub use scan::{Plan, Scan};
pub use snapshot::Snapshot;
pub use sorted::{By, Sorted};

use crate::db::Db;
use crate::table::{index::Violation, BagStep, Change, IndexId, Key, Table};
use crate::term::Record;
use held::Held;
use lock::{LockId, Modes, TxnCtl, Verdict, Waker, Wakes};
use overlay::{Overlay, Visible};
use std::sync::Arc;

/// Why an operation did not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Wait for a lock, then call again.
    Wait,
    /// Run the whole transaction again.
    Restart,
    /// A large commit is writing this key: wait for its end (operations outside transactions only).
    CommitWait,
    /// No such table.
    NoTable,
    /// The table may be damaged by a panic.
    Damaged,
    /// The table is read-only.
    ReadOnly,
    /// The log has no room for so many bytes now: wait for it, then ask again. Nothing was changed.
    Room(u64),
    /// The disc refuses, or could not take what is in memory now; [`journal::refusal`] says why.
    Refused,
    /// Somebody is to be told of the change: the host asks again, in the way that does it.
    Watched,
    /// The table is being rebuilt: ask again later (operations outside transactions only).
    Frozen,
    /// No transaction is open.
    NoTransaction,
    /// The key is not there and the table has no order.
    NoKey,
    /// A value that is in this unique index already.
    NotUnique(IndexId),
}

/// Answer of [`Txn::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Granted,
    /// The waker will be fired.
    Queued,
    Restart,
}

/// The lock a transaction is to wait for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    place: Place,
    modes: Modes,
    queued: bool,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Table(TableRef),
    Record(LockId),
}

/// Changes applied under one set of latches; a larger commit goes in steps of this size.
const STEP: usize = if cfg!(feature = "shuttle") { 4 } else { 256 };
/// Rows on disc that are changed where it is, as long as reads need not wait.
const FEW: usize = 64;
/// Rows fetched ahead together.
const FETCHED: usize = 16;

pub struct Txn {
    ctl: &'static TxnCtl,
    held: Held,
    overlay: Overlay,
    wanted: Option<Wanted>,
    /// The record that the intention on a table is wanted for: for people who look.
    meant: Option<LockId>,
    /// Number of the transaction, over the life of the process.
    serial: u64,
    /// It was told to restart; nothing else is answered until it does.
    doomed: bool,
    /// A panic ended it while levels were open: those only remain to be closed.
    lost: bool,
    /// Its runs are counted, so it does not wait for an older one, also where it holds nothing: that one may never end.
    counted: bool,
    /// It did something that somebody is to be told of.
    noted: bool,
    /// How those of this process ended; the host counts.
    pub counts: report::Counts,
    /// The table that a commit was refused for.
    blamed: Option<Arc<OpenTable>>,
    /// And the value, if that was it.
    violation: Option<Violation>,
    /// The index that it is building.
    build: Option<build::Build>,
    /// The unique values that its commit has claimed.
    claimed: Option<unique::Claimed>,
    /// Where the last commit ends in the log, if it changed anything there; the host keeps it.
    pub position: Option<u64>,
    /// Wakers to fire once no lock is held; the host takes them after each call.
    pub wakes: Wakes,
}

impl Default for Txn {
    fn default() -> Self {
        Txn {
            ctl: TxnCtl::obtain(),
            held: Held::default(),
            overlay: Overlay::default(),
            wanted: None,
            meant: None,
            serial: 0,
            doomed: false,
            lost: false,
            counted: false,
            noted: false,
            counts: report::Counts::default(),
            blamed: None,
            violation: None,
            build: None,
            claimed: None,
            position: None,
            wakes: Wakes::new(),
        }
    }
}

impl Txn {
    /// Opens a level; 1 is the outermost.
    #[inline]
    pub fn begin(&mut self) -> usize {
        self.overlay.push_level();
        let depth = self.overlay.depth();
        self.serial += u64::from(depth == 1);
        self.counted &= depth > 1;
        depth
    }

    /// It may run a number of times, no more.
    pub fn count_runs(&mut self) {
        self.counted = true;
    }

    /// Tells the transactions of one process apart.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    #[inline]
    pub fn depth(&self) -> usize {
        self.overlay.depth()
    }

    /// Locks and changes: what ending this transaction costs.
    pub fn weight(&self) -> usize {
        self.held.len() + self.overlay.len()
    }

    /// The commit may have to wait for the disc: rows that it changes are there alone.
    #[inline]
    pub fn may_wait(&self) -> bool {
        self.overlay.tables().any(|table| {
            let table = self.rows_of(table);
            table.disc().is_some() && (table.is_slow() || self.overlay.len() > FEW)
        })
    }

    #[inline]
    fn ready(&mut self) -> Result<(), Stop> {
        if self.depth() == 0 || self.lost {
            return Err(Stop::NoTransaction);
        }
        if self.doomed {
            return Err(Stop::Restart);
        }
        if self.wanted.is_some() {
            self.settle();
        }
        Ok(())
    }

    /// Notes a lock that was granted while the process waited, or that it was sent off without it.
    fn settle(&mut self) {
        if let Some(wanted) = self.wanted.filter(|w| w.queued) {
            if self.ctl.is_granted() {
                self.note(wanted);
                self.wanted = None;
            } else if self.ctl.is_dismissed() {
                self.wanted = None;
            }
        }
    }

    fn note(&mut self, wanted: Wanted) {
        match wanted.place {
            Place::Table(table) => self.held.add_table(table, wanted.modes),
            Place::Record(id) => self.held.add_record(id, wanted.modes),
        }
    }

    /// A table that may be damaged: good for being deleted.
    #[inline]
    pub fn any_table(&mut self, db: &Db, name: &[u8]) -> Result<TableRef, Stop> {
        self.ready()?;
        self.leave(db);
        self.held.table(name, || db.open(name)).ok_or(Stop::NoTable)
    }

    /// A table of this transaction by its name.
    #[inline]
    pub fn table(&mut self, db: &Db, name: &[u8]) -> Result<TableRef, Stop> {
        let table = self.any_table(db, name)?;
        if self.held.open(table).table.is_damaged() {
            Err(Stop::Damaged)
        } else {
            Ok(table)
        }
    }

    /// A table that this process used before, by the VM's word of its name: saves making the name's bytes.
    #[inline]
    pub fn known(&mut self, db: &Db, word: u64) -> Result<Option<TableRef>, Stop> {
        self.ready()?;
        self.leave(db);
        match self.held.known(word) {
            Some(table) if self.held.open(table).table.is_damaged() => Err(Stop::Damaged),
            known => Ok(known),
        }
    }

    #[inline]
    pub fn open(&self, table: TableRef) -> &Arc<OpenTable> {
        self.held.open(table)
    }

    #[inline]
    pub fn rows_of(&self, table: TableRef) -> &Table {
        &self.held.open(table).table
    }

    /// The rows of a key as this transaction sees them.
    pub fn visible(&self, table: TableRef, key: &Key) -> Visible {
        let open = self.held.open(table);
        let committed = open.table.rows(key);
        self.overlay.over(open, key, &committed)
    }

    /// Reads a key. `f` gets the rows, under the read latch where possible: it does bounded work.
    #[inline]
    pub fn read<R>(
        &mut self,
        db: &Db,
        table: TableRef,
        key: &Key,
        kind: LockKind,
        f: impl FnOnce(&[Record]) -> R,
    ) -> Result<R, Stop> {
        self.rows_of(table).prefetch(key);
        self.lock_record(db, table, key.hash, kind)?;
        let open = self.held.open(table);
        if self.overlay.untouched(open) {
            Ok(open.table.look(key, f))
        } else {
            Ok(f(&self.visible(table, key)))
        }
    }

    /// Writes a record. The caller has asked for its bucket, see [`Table::prefetch_flat`].
    #[inline]
    pub fn write(&mut self, db: &Db, table: TableRef, record: Record) -> Result<(), Stop> {
        let key = self.rows_of(table).key_of(&record);
        self.lock_record(db, table, key.hash, LockKind::Write)?;
        if self.rows_of(table).indexes.any_unique() {
            self.lock_unique(db, table, &record)?;
        }
        let open = self.held.open(table);
        // If this is the only write the commit comes soon, and the old rows have come from far by then; those of several are
        // fetched all together by the commit.
        if self.overlay.untouched(open) {
            open.table.prefetch_rows(&key);
        }
        self.overlay.add(open, table, key, Change::write(open.kind(), record));
        Ok(())
    }

    /// Deletes all records of a key.
    pub fn delete(&mut self, db: &Db, table: TableRef, key: Key) -> Result<(), Stop> {
        self.lock_record(db, table, key.hash, LockKind::Write)?;
        self.overlay.add(self.held.open(table), table, key, Change::Delete);
        Ok(())
    }

    /// Deletes one record, if exactly it is there.
    pub fn delete_object(&mut self, db: &Db, table: TableRef, record: Record) -> Result<(), Stop> {
        let key = self.rows_of(table).key_of(&record);
        self.lock_record(db, table, key.hash, LockKind::Write)?;
        let open = self.held.open(table);
        let change = if open.kind().is_bag() {
            Change::Bag { cleared: false, steps: vec![BagStep::Remove(record)] }
        } else if self.visible(table, &key).iter().any(|r| r.same(&record)) {
            Change::Delete
        } else {
            return Ok(());
        };
        self.overlay.add(self.held.open(table), table, key, change);
        Ok(())
    }

    /// The write set, for scans that merge it in.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// Drops the innermost level; the outermost frees all locks.
    pub fn abort(&mut self, db: &Db) {
        self.overlay.drop_level();
        if self.depth() == 0 {
            self.end(db);
        }
    }

    /// Gives everything up and begins anew at depth 1 with the lock that was lost against, taken while nothing is held.
    pub fn restart(&mut self, db: &Db) -> Result<(), Stop> {
        if self.depth() == 0 {
            return Err(Stop::NoTransaction);
        }
        self.leave(db);
        self.lost = false;
        self.cancel_build();
        self.overlay.clear();
        self.held.release_all(self.ctl, &db.locks, &mut self.wakes);
        self.doomed = false;
        self.overlay.push_level();
        let Some(Wanted { place, modes, .. }) = self.wanted.take() else { return Ok(()) };
        match place {
            Place::Table(table) => self.lock_mode(table, modes),
            Place::Record(id) => self.acquire(db, id, modes),
        }
        .or_else(|stop| if stop == Stop::NoTable { Ok(()) } else { Err(stop) })
    }

    /// After [`Stop::Wait`]: queues for the lock, unless it can be had now.
    pub fn wait(&mut self, db: &Db, waker: Waker) -> Waited {
        self.settle();
        // Asked twice: the new waker takes the place of the old one.
        if let Some(before) = self.wanted.filter(|w| w.queued) {
            self.leave(db);
            if !self.ctl.is_granted() {
                self.wanted = Some(Wanted { queued: false, ..before });
            }
        }
        let Some(wanted) = self.wanted else { return Waited::Granted };
        let Wanted { place, modes, .. } = wanted;
        let verdict = match place {
            Place::Table(table) => {
                let request = self.request(modes, self.held.table_modes(table));
                self.held.open(table).lock.enqueue(&request, waker, &mut self.wakes)
            }
            Place::Record(id) => db.locks.enqueue(id, self.request(modes, self.held.record_modes(id)), waker),
        };
        match verdict {
            Verdict::Granted => {
                self.note(wanted);
                self.wanted = None;
                Waited::Granted
            }
            Verdict::Wait => {
                self.wanted = Some(Wanted { queued: true, ..wanted });
                Waited::Queued
            }
            Verdict::Restart => {
                self.doomed = true;
                Waited::Restart
            }
        }
    }

    fn end(&mut self, db: &Db) {
        self.leave(db);
        self.wanted = None;
        self.cancel_build();
        self.give_claims_back();
        self.overlay.clear();
        self.doomed = false;
        self.lost = false;
        self.noted = false;
        self.held.release_all(self.ctl, &db.locks, &mut self.wakes);
        self.held.tidy();
        self.ctl.reset_age();
    }

    /// Leaves the queue it is in, if it is in one. A grant that it has not seen yet counts.
    #[inline]
    fn leave(&mut self, db: &Db) {
        let Some(wanted) = self.wanted.filter(|w| w.queued) else { return };
        self.wanted = None;
        let left = match wanted.place {
            Place::Record(id) => db.locks.leave(id, self.ctl, &mut self.wakes),
            Place::Table(table) => self.held.open(table).lock.leave(self.ctl, &mut self.wakes),
        };
        // Neither in the queue nor granted: the database was stopped, and who waited was sent off.
        if !left && self.ctl.is_granted() {
            self.note(wanted);
        }
    }

    /// The process is gone: whatever it was doing, nothing of it stays.
    pub fn kill(&mut self, db: &Db) {
        self.end(db);
    }

    /// After a panic: frees and forgets everything. The levels stay open, since whoever opened them will close them: were they
    /// gone, an inner transaction that begins next would be taken for an outermost one, and committed.
    pub fn lose(&mut self, db: &Db) {
        let depth = self.depth();
        self.end(db);
        for _ in 0..depth {
            self.overlay.push_level();
        }
        self.lost = depth > 0;
    }

    /// The table that the last commit was refused for.
    pub fn blamed(&mut self) -> Option<Arc<OpenTable>> {
        self.blamed.take()
    }
}

impl Drop for Txn {
    fn drop(&mut self) {
        if self.held.is_empty() && self.wanted.is_none() {
            self.ctl.recycle();
        }
    }
}
