//! The facade: a database is its tables by name and the locks of its transactions.
//!
//! Operations outside transactions are here: each is atomic, takes no lock and sees committed rows only.

use crate::reaper;
use crate::sync::{AtomicBool, AtomicU64, Ordering, RwLock};
use crate::table::{BagStep, Change, Definition, Key, Nowhere, Table};
use crate::term::{Attached, Record};
use crate::txn::lock::{CommitWait, LockId, RecordLocks, TxnCtl, Waker, Wakes};
use crate::txn::{OpenTable, Stop};
use std::collections::HashMap;
use std::sync::Arc;

/// No operation outside transactions looks at a table for longer than this after it found it.
const LOOKED_UP: std::time::Duration = std::time::Duration::from_millis(20);

pub struct Db {
    running: AtomicBool,
    tables: RwLock<HashMap<Box<[u8]>, Arc<OpenTable>>>,
    /// Tables that are being built to take the place of those of the same name.
    shadows: RwLock<HashMap<Box<[u8]>, Arc<OpenTable>>>,
    next_id: AtomicU64,
    /// Somebody is to be told of every transaction that commits.
    watched: AtomicBool,
    pub locks: RecordLocks,
}

impl Default for Db {
    fn default() -> Self {
        Db {
            running: AtomicBool::new(false),
            tables: RwLock::default(),
            shadows: RwLock::default(),
            watched: AtomicBool::new(false),
            // 0 stands for names that belong to no table.
            next_id: AtomicU64::new(1),
            locks: RecordLocks::default(),
        }
    }
}

impl Db {
    /// False if it was running.
    pub fn start(&self) -> bool {
        !self.running.swap(true, Ordering::SeqCst)
    }

    /// Forgets every table and sends off whoever waits for a lock; false if it was not running.
    pub fn stop(&self, wakes: &mut Wakes) -> bool {
        let was = self.running.swap(false, Ordering::SeqCst);
        let tables = std::mem::take(&mut *self.tables.write());
        for open in tables.values() {
            open.set_dropped();
            open.lock.dismiss(wakes);
            // Emptied, not only let go: processes remember tables they used, and may sleep for years.
            self.clear(open);
        }
        self.locks.dismiss(wakes);
        self.set_watched(false);
        reaper::drop_later((tables, std::mem::take(&mut *self.shadows.write())));
        was
    }

    #[inline]
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// All tables.
    pub fn all(&self) -> Vec<Arc<OpenTable>> {
        self.tables.read().values().cloned().collect()
    }

    /// The table of a name.
    #[inline]
    pub fn open(&self, name: &[u8]) -> Option<Arc<OpenTable>> {
        self.tables.read().get(name).cloned()
    }

    /// The table of a name, if it can be trusted.
    pub fn sound(&self, name: &[u8]) -> Result<Arc<OpenTable>, Stop> {
        let open = self.open(name).ok_or(Stop::NoTable)?;
        if open.table.is_damaged() {
            Err(Stop::Damaged)
        } else {
            Ok(open)
        }
    }

    /// False if the name is taken. `beside`: the living terms of the name.
    pub fn create(&self, name: &[u8], beside: Option<Arc<dyn Attached>>, definition: Definition) -> bool {
        let mut tables = self.tables.write();
        if tables.contains_key(name) {
            return false;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        tables.insert(name.into(), Arc::new(OpenTable::new(name.into(), beside, Table::new(id, definition))));
        true
    }

    /// Is somebody to be told of every transaction?
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Ordering::Relaxed);
    }

    /// Begins a table that is to take the place of one; a former attempt is dropped.
    pub fn create_shadow(&self, open: &OpenTable, definition: Definition) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let shadow = OpenTable::new(open.name.clone(), open.name_beside.clone(), Table::new(id, definition));
        let former = self.shadows.write().insert(open.name.clone(), Arc::new(shadow));
        reaper::drop_later(former);
    }

    pub fn shadow(&self, name: &[u8]) -> Option<Arc<OpenTable>> {
        self.shadows.read().get(name).cloned()
    }

    pub fn drop_shadow(&self, name: &[u8]) {
        let former = self.shadows.write().remove(name);
        reaper::drop_later(former);
    }

    /// Puts the shadow in the place of a table that the caller's transaction holds exclusively; false if there is none.
    pub fn swap_in(&self, open: &Arc<OpenTable>) -> bool {
        let Some(shadow) = self.shadows.write().remove(&open.name) else { return false };
        shadow.take_mode(open);
        open.set_replaced();
        self.tables.write().insert(open.name.clone(), shadow);
        open.set_dropped();
        // Whoever looked the old one up a moment ago still finds its rows there.
        let open = open.clone();
        reaper::run(move || {
            std::thread::sleep(LOOKED_UP);
            drop(open.table.clear(&mut Nowhere));
        });
        true
    }

    /// Takes a table out. The caller's transaction holds it exclusively.
    pub fn drop_table(&self, open: &OpenTable) {
        open.set_dropped();
        let mut tables = self.tables.write();
        if tables.get(&open.name).is_some_and(|t| t.id() == open.id()) {
            tables.remove(&open.name);
        }
        drop(tables);
        self.clear(open);
    }

    /// Empties a table.
    pub fn clear(&self, open: &OpenTable) {
        reaper::drop_later(open.table.clear(&mut Nowhere));
    }

    /// Writes one record.
    #[inline]
    pub fn write(&self, open: &OpenTable, record: Record) -> Result<(), Stop> {
        let key = open.table.key_of(&record);
        let change = Change::write(open.kind(), record);
        self.update(open, &key, |_| Some(change))
    }

    pub fn delete(&self, open: &OpenTable, key: &Key) -> Result<(), Stop> {
        self.update(open, key, |rows| (!rows.is_empty()).then_some(Change::Delete))
    }

    /// Deletes a record, if exactly it is there.
    pub fn delete_object(&self, open: &OpenTable, record: Record) -> Result<(), Stop> {
        let key = open.table.key_of(&record);
        let bag = open.kind().is_bag();
        self.update(open, &key, |rows| {
            if !rows.iter().any(|r| r.same(&record)) {
                return None;
            }
            Some(if bag { Change::Bag { cleared: false, steps: vec![BagStep::Remove(record)] } } else { Change::Delete })
        })
    }

    /// Changes the rows of one key in one step, unless a large commit is writing it just now.
    #[inline]
    pub fn update(&self, open: &OpenTable, key: &Key, decide: impl FnOnce(&[Record]) -> Option<Change>) -> Result<(), Stop> {
        let mut stop = None;
        open.table.update(key, &mut Nowhere, |rows| {
            // Under the latch: a commit that begins later comes after this write as a whole.
            if open.is_committing() && self.committer(open, key).is_some() {
                stop = Some(Stop::CommitWait);
                return None;
            }
            let change = decide(rows)?;
            if open.table.indexes.any_unique() {
                if let Err(violation) = open.table.claim_one(key, rows, &change) {
                    stop = Some(Stop::NotUnique(violation.index));
                    return None;
                }
            }
            Some(change)
        });
        stop.map_or(Ok(()), Err)
    }

    /// The large commit that is writing this key, told by its lock on the record or on the whole table.
    fn committer(&self, open: &OpenTable, key: &Key) -> Option<&'static TxnCtl> {
        let record = self.locks.exclusive_holder(LockId { table: open.id(), hash: key.hash });
        let holder = record.or_else(|| open.lock.exclusive_holder())?;
        holder.is_committing().then_some(holder)
    }

    /// Locks that are held or waited for; a table counts as one, however many use it.
    pub fn lock_count(&self) -> usize {
        self.locks.len() + self.tables.read().values().filter(|t| !t.lock.is_free()).count()
    }

    /// After [`Stop::CommitWait`]: fires the waker when the commit is over; answers false if it is over already.
    pub fn wait_for_commit(&self, open: &OpenTable, key: &Key, waker: Waker) -> bool {
        match self.committer(open, key).map(|ctl| ctl.wait_for_commit(waker)) {
            Some(CommitWait::Queued) => true,
            Some(CommitWait::Over(_)) | None => false,
        }
    }
}
