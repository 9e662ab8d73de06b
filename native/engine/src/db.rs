//! The facade: a database is its tables by name and the locks of its transactions.
//!
//! Operations outside transactions are here: each is atomic, takes no lock and sees committed rows only.

mod below;
mod many;

use crate::reaper;
use crate::store::{Loaded, Store, StoreError, Table as LogTable, Wait};
use crate::sync::{AtomicBool, AtomicU64, Ordering, RwLock};
use crate::table::below::failure;
use crate::table::{BagStep, Change, Cursor, Definition, Kept, Key, Kind, Nowhere, Place, Sink, Table};
use crate::term::{Attached, Record};
use crate::txn::journal::{log_table, place_in_log, refuse, unreadable, Journal};
use crate::txn::lock::{CommitWait, LockId, RecordLocks, TxnCtl, Waker, Wakes};
use crate::txn::{OpenTable, Stop};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// No operation outside transactions looks at a table for longer than this after it found it.
const LOOKED_UP: std::time::Duration = std::time::Duration::from_millis(20);

/// Threads that read one table.
const MOST_LOADERS: usize = 4;

/// Keys of one commit when a table goes to disc as a whole.
const LOGGED_AT_ONCE: usize = 1_000;

pub struct Db {
    running: AtomicBool,
    tables: RwLock<HashMap<Box<[u8]>, Arc<OpenTable>>>,
    /// Tables that are being built to take the place of those of the same name.
    shadows: RwLock<HashMap<Box<[u8]>, Arc<OpenTable>>>,
    /// Tables that another one of their name has taken the place of, for as long as it is not complete.
    aside: RwLock<HashMap<Box<[u8]>, Arc<OpenTable>>>,
    /// Tables on disc whose rows are being read.
    loading: RwLock<HashMap<Box<[u8]>, Arc<OpenTable>>>,
    /// The disc, if there is one.
    store: RwLock<Option<Arc<Store>>>,
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
            aside: RwLock::default(),
            loading: RwLock::default(),
            store: RwLock::default(),
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
        let (tables, loading) = {
            // Both under the latch: none that is loaded now comes from there to here.
            let mut tables = self.tables.write();
            (std::mem::take(&mut *tables), std::mem::take(&mut *self.loading.write()))
        };
        for open in tables.values() {
            open.set_dropped(true);
            open.lock.dismiss(wakes);
            // Emptied, not only let go: processes remember tables they used, and may sleep for years.
            reaper::drop_later(open.table.clear(&mut Nowhere));
        }
        self.locks.dismiss(wakes);
        self.set_watched(false);
        reaper::drop_later((
            tables,
            loading,
            std::mem::take(&mut *self.shadows.write()),
            std::mem::take(&mut *self.aside.write()),
        ));
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

    fn make(&self, name: &[u8], beside: Option<Arc<dyn Attached>>, definition: Definition, place: Place) -> Arc<OpenTable> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let table = match place {
            Some((number, Kept::OnDisc)) => {
                let table = LogTable { number, ordered: definition.kind == Kind::OrderedSet };
                let store = self.store().as_ref().map(Arc::downgrade).unwrap_or_default();
                Table::on_disc(id, definition, Box::new(below::Stratum { store, table }))
            }
            _ => Table::new(id, definition),
        };
        table.set_place(place);
        Arc::new(OpenTable::new(name.into(), beside, table))
    }

    /// False if the name is taken. `beside`: the living terms of the name.
    pub fn create(&self, name: &[u8], beside: Option<Arc<dyn Attached>>, definition: Definition, place: Place) -> bool {
        let mut tables = self.tables.write();
        if tables.contains_key(name) {
            return false;
        }
        tables.insert(name.into(), self.make(name, beside, definition, place));
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

    /// Is somebody to be told of the changes of this table? False if there is none.
    pub fn watch(&self, name: &[u8], watched: bool) -> bool {
        // Under the latch, see `swap_in`. One that is being loaded is the same table afterwards.
        let tables = self.tables.read();
        let open = tables.get(name).cloned().or_else(|| self.loading.read().get(name).cloned());
        open.map(|open| open.set_watched(watched)).is_some()
    }

    /// Can its records be changed? False if there is no such table.
    pub fn set_access(&self, name: &[u8], read_only: bool) -> bool {
        // Under the latch, see `swap_in`. One that is being loaded is the same table afterwards.
        let tables = self.tables.read();
        let open = tables.get(name).cloned().or_else(|| self.loading.read().get(name).cloned());
        open.map(|open| open.set_read_only(read_only)).is_some()
    }

    /// Keeps a table as it is, which the caller's transaction holds exclusively: writes outside of transactions wait from now on.
    pub fn freeze(&self, open: &OpenTable) {
        open.freeze();
        open.table.hand_over();
    }

    /// Begins a table that is to take the place of one; a former attempt is dropped.
    pub fn create_shadow(&self, open: &OpenTable, definition: Definition, place: Place) {
        let shadow = self.make(&open.name, open.name_beside.clone(), definition, place);
        let former = self.shadows.write().insert(open.name.clone(), shadow);
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
        open.set_replaced();
        let mut tables = self.tables.write();
        // Under the latch: whoever changes the mode of the table of this name changes that of the one or the other.
        shadow.take_mode(open);
        tables.insert(open.name.clone(), shadow);
        drop(tables);
        open.set_dropped(true);
        // Whoever looked the old one up a moment ago still finds its rows there.
        let (open, replaced) = (open.clone(), Instant::now());
        reaper::run_later(move || {
            // What else is to be let go of waits for this: not longer for many than for one.
            std::thread::sleep(LOOKED_UP.saturating_sub(replaced.elapsed()));
            drop(open.table.clear(&mut Nowhere));
        });
        true
    }

    /// Begins an empty table in the place of one, which is kept as it is until [`Db::keep_new`] or [`Db::take_back`]. One that was begun
    /// before and not kept is dropped. No transaction uses the table.
    pub fn put_aside(&self, name: &[u8], beside: Option<Arc<dyn Attached>>, definition: Definition, place: Place) {
        let new = self.make(name, beside, definition, place);
        let Some(former) = self.tables.write().insert(name.into(), new) else { return };
        self.retire(&former);
        let mut aside = self.aside.write();
        if aside.contains_key(name) {
            drop(aside);
            reaper::drop_later(former.table.clear(&mut Nowhere));
        } else {
            aside.insert(name.into(), former);
        }
    }

    /// The table that was put aside goes.
    pub fn keep_new(&self, name: &[u8]) -> bool {
        let Some(former) = self.aside.write().remove(name) else { return false };
        reaper::drop_later(former.table.clear(&mut Nowhere));
        true
    }

    /// The table that was put aside is in its place again, the other one goes.
    pub fn take_back(&self, name: &[u8]) -> bool {
        let Some(former) = self.aside.write().remove(name) else { return false };
        former.set_dropped(false);
        if let Some(new) = self.tables.write().insert(name.into(), former) {
            new.set_dropped(true);
            reaper::drop_later(new.table.clear(&mut Nowhere));
        }
        true
    }

    /// Takes a table out. The caller's transaction holds it exclusively. Whether that is durable is known when the log's end is.
    pub fn drop_table(&self, open: &OpenTable) -> Result<(), Stop> {
        if let Some(table) = place_in_log(&open.table) {
            let store = self.durable()?;
            let mut commit = store.begin(0).map_err(refuse)?.ok_or(Stop::Room(0))?;
            self.freeze(open);
            self.retire(open);
            commit.drop_table(table);
            commit.commit();
        }
        self.take_out(open);
        Ok(())
    }

    /// Nobody who found it writes to it from now on, and who was writing has written: a row that came after the end of its table in the log
    /// would stay on disc for ever.
    fn retire(&self, open: &OpenTable) {
        open.set_dropped(true);
        drop(open.table.latch_all());
    }

    fn take_out(&self, open: &OpenTable) {
        open.set_dropped(true);
        let mut tables = self.tables.write();
        if tables.get(&open.name).is_some_and(|t| t.id() == open.id()) {
            tables.remove(&open.name);
        }
        drop(tables);
        reaper::drop_later(open.table.clear(&mut Nowhere));
    }

    /// Empties a table.
    pub fn clear(&self, open: &OpenTable) -> Result<(), Stop> {
        if log_table(&open.table).is_none() {
            reaper::drop_later(open.table.clear(&mut Nowhere));
            return Ok(());
        }
        let store = self.durable()?;
        let mut journal = Journal::begin(&store, 0)?;
        reaper::drop_later(open.table.clear(&mut journal));
        journal.finish()
    }

    /// Writes one record.
    #[inline]
    pub fn write(&self, open: &OpenTable, record: Record) -> Result<(), Stop> {
        let key = open.table.key_of(&record);
        if open.table.logged().is_some() {
            let store = self.durable()?;
            let mut journal = Journal::of_write(&store, &open.table, &record)?;
            self.update_telling(open, &key, &mut journal, |_| Some(Change::write(open.kind(), record)))?;
            return journal.finish();
        }
        let change = Change::write(open.kind(), record);
        self.update_telling(open, &key, &mut Nowhere, |_| Some(change))
    }

    pub fn delete(&self, open: &OpenTable, key: &Key) -> Result<(), Stop> {
        self.update(open, key, 0, |rows| (!rows.is_empty()).then_some(Change::Delete))
    }

    /// Deletes a record, if exactly it is there.
    pub fn delete_object(&self, open: &OpenTable, record: Record) -> Result<(), Stop> {
        let key = open.table.key_of(&record);
        let bag = open.kind().is_bag();
        self.update(open, &key, 0, |rows| {
            if !rows.iter().any(|r| r.same(&record)) {
                return None;
            }
            Some(if bag { Change::Bag { cleared: false, steps: vec![BagStep::Remove(record)] } } else { Change::Delete })
        })
    }

    /// Changes the rows of one key in one step, unless a large commit is writing it just now.
    #[inline]
    pub fn update(
        &self,
        open: &OpenTable,
        key: &Key,
        bytes: u64,
        decide: impl FnOnce(&[Record]) -> Option<Change>,
    ) -> Result<(), Stop> {
        if open.table.logged().is_some() {
            let store = self.durable()?;
            let mut journal = Journal::begin(&store, bytes)?;
            self.update_telling(open, key, &mut journal, decide)?;
            return journal.finish();
        }
        self.update_telling(open, key, &mut Nowhere, decide)
    }

    #[inline]
    fn update_telling<S: Sink>(
        &self,
        open: &OpenTable,
        key: &Key,
        sink: &mut S,
        decide: impl FnOnce(&[Record]) -> Option<Change>,
    ) -> Result<(), Stop> {
        let mut stop = None;
        open.table.update(key, sink, |rows| {
            // Under the latch: a commit that begins later comes after this write as a whole.
            if open.is_committing() && self.committer(open, key).is_some() {
                stop = Some(Stop::CommitWait);
                return None;
            }
            if !open.may_change(S::TOLD) {
                stop = Some(Stop::Frozen);
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

    // --- the disc ---

    pub fn store(&self) -> Option<Arc<Store>> {
        self.store.read().clone()
    }

    /// The disc that a table on it needs.
    pub(crate) fn durable(&self) -> Result<Arc<Store>, Stop> {
        self.store().ok_or_else(|| refuse(StoreError::Closed))
    }

    /// From now on there is a disc, or none; the former one.
    pub fn set_store(&self, store: Option<Arc<Store>>) -> Option<Arc<Store>> {
        std::mem::replace(&mut *self.store.write(), store)
    }

    /// Is there a table of this name, or will there be one when it is loaded?
    pub fn knows(&self, name: &[u8]) -> bool {
        // Under the latch, else it might come from there to here between the two looks.
        let tables = self.tables.read();
        tables.contains_key(name) || self.loading.read().contains_key(name)
    }

    /// The tables that are not there yet, with the number of rows that they have so far.
    pub fn loading(&self) -> Vec<Arc<OpenTable>> {
        self.loading.read().values().cloned().collect()
    }

    /// Begins a table whose rows come from the disc, see [`Db::load`]; anew if they come already, and not if all of them are there.
    pub fn restore(&self, name: &[u8], definition: Definition, place: Place) {
        let tables = self.tables.read();
        if !tables.contains_key(name) {
            self.loading.write().insert(name.into(), self.make(name, None, definition, place));
        }
    }

    /// Reads the rows of a table; it is there from then on, unless the database is stopped meanwhile. Takes as long as that takes.
    ///
    /// `dumped`: a table in memory, whose rows were brought to disc once and do not go there any more.
    pub fn load(&self, name: &[u8], dumped: bool) -> Result<(), Stop> {
        let open = self.loading.read().get(name).cloned().ok_or(Stop::NoTable)?;
        if let (Some(number), Some(disc)) = (open.table.logged(), open.table.disc()) {
            self.durable()?.settle(number).map_err(refuse)?;
            disc.count(open.kind().is_bag()).map_err(unreadable)?;
            let mut cursor = if open.table.indexes.is_empty() { Cursor::End } else { Cursor::Start };
            while cursor != Cursor::End && self.is_running() {
                open.table.fill_indexes(&mut cursor, LOGGED_AT_ONCE);
                failure().map_or(Ok(()), |failure| Err(unreadable(failure)))?;
            }
        } else if let Some(number) = open.table.logged() {
            let store = self.durable()?;
            open.table.expect(store.rows(number));
            let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_LOADERS));
            let keep = |loaded: Loaded| {
                open.table.fill(loaded.records, &loaded.keys);
                self.is_running()
            };
            store.load_many(number, threads, &keep).map_err(refuse)?;
            if dumped {
                open.table.set_place(Some((number, Kept::InMemory)));
            }
        }
        let mut tables = self.tables.write();
        let mut loading = self.loading.write();
        // A database that was stopped, and perhaps started again, has another one of this name or none.
        if !loading.get(name).is_some_and(|now| Arc::ptr_eq(now, &open)) {
            return Err(Stop::NoTable);
        }
        loading.remove(name);
        tables.insert(name.into(), open);
        Ok(())
    }

    /// Writes all rows of a table to the log, under the number it has; nothing else says yet that they are there. The caller's transaction holds
    /// the table exclusively, and it is frozen. Takes as long as that takes; waits for room.
    pub fn log_rows(&self, open: &OpenTable) -> Result<(), Stop> {
        let store = self.durable()?;
        let Some(table) = place_in_log(&open.table) else { return Err(Stop::NoTable) };
        let mut cursor = Cursor::default();
        let mut first = true;
        while cursor != Cursor::End {
            let mut rows: Vec<Vec<Record>> = Vec::new();
            open.table.scan(&mut cursor, LOGGED_AT_ONCE, |r| rows.push(r.to_vec()));
            let bytes = rows.iter().flatten().map(|r| r.memory() as u64 + 64).sum();
            // In the queue by the number of the table's place in memory, which no process has.
            let who = std::ptr::from_ref(&open.table) as u64;
            let mut queued = false;
            let mut commit = loop {
                let _admitted = store.admit(bytes, who);
                if let Some(commit) = store.begin(bytes).map_err(refuse)? {
                    break commit;
                }
                if !queued {
                    queued = matches!(store.wait_room(bytes, who, Box::new(())), Wait::Queued);
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            };
            if std::mem::take(&mut first) {
                // What an attempt that was cut off may have left.
                commit.clear(table);
            }
            for rows in &rows {
                commit.put(table, rows).map_err(refuse)?;
            }
            commit.commit().not_durable.map_or(Ok(()), |error| Err(refuse(error)))?;
        }
        Ok(())
    }

    /// The disc has everything below this position of the log: what is in memory of it for tables on disc alone can go.
    pub fn flushed(&self, position: u64) {
        let mut all = self.all();
        all.extend(self.shadows.read().values().cloned());
        for open in all {
            if let Some(gone) = open.table.disc().and_then(|disc| disc.flushed(position)) {
                reaper::drop_later(gone);
            }
        }
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
