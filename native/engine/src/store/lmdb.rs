//! The base store in LMDB, through the crate lmdb-rkv, which is named here and below alone.
//!
//! What holds between calls:
//!
//! * One environment per directory and process, one file `data.mdb`. A transaction of LMDB writes new pages, syncs them, then writes
//!   and syncs one of two meta pages: after a crash the file is as it was before or after it, whole.
//! * LMDB trusts its file, so [`check`] looks at it with `pread` before it is mapped: always at the meta pages and the way to the state
//!   record, after an unclean stop at every page. Values are sealed with a checksum that each read verifies.
//! * The first tables that have rows have a tree of their own each, all further ones share a tree, see `format.rs`. Where a table is,
//!   and how many rows it has, is a record in the info tree, written in the transaction that changes it; readers go by a
//!   copy in memory, unless the state they read is older or newer than the copy.
//! * The memory map is never written through, so a full disc is an error of a system call, and no page is changed by accident.

mod change;
pub mod check;
mod chunk;
mod env;
mod format;
mod rows;
mod whole;
mod write;

use super::base::{Base, Batch, Row};
use super::StoreError;
use env::{number, Env, Opened, Reading};
use format::{info_key, kind, unseal, Place, PLAIN};
use lmdb::{Cursor, Transaction};
use lmdb_sys::{MDB_NEXT, MDB_SET_RANGE};
use parking_lot::{Mutex, RwLock};
use rows::Rows;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use write::{Failed, Places, Writer, Writing};

pub use env::{Options, FILE};

/// Where tables are, and for which states of LMDB that is true: from `since` up to the transaction that is about to move one.
struct Known {
    places: Places,
    since: u64,
    until: u64,
}

/// A durable [`Base`] in one directory.
///
/// ```
/// use remnesia_engine::store::base::{Base, Batch, Op};
/// use remnesia_engine::store::lmdb::{Lmdb, Options};
/// let directory = std::env::temp_dir().join(format!("remnesia-doc-{}", std::process::id()));
/// let store = Lmdb::open(&directory, &Options::default()).unwrap();
/// let ops = [Op { table: 1, key: b"k", value: Some(b"v") }];
/// store.apply(&Batch { ops: &ops, position: Some(8), ..Batch::default() }).unwrap();
/// assert_eq!((store.position().unwrap(), store.size(1)), (8, 1));
/// assert!(store.get(1, b"k", &mut |v| assert_eq!(v, b"v")).unwrap());
/// drop(store);
/// std::fs::remove_dir_all(directory).unwrap();
/// ```
pub struct Lmdb {
    env: Env,
    known: RwLock<Known>,
    position: AtomicU64,
    /// For the one that writes; its places are those of `known`.
    writer: Mutex<(Places, Writer)>,
}

impl Lmdb {
    /// Opens the store of a directory. The caller keeps other processes out of it.
    ///
    /// Errors: [`StoreError::Missing`] without `create`, [`StoreError::Foreign`] for what is no file of ours, [`StoreError::NewerFormat`],
    /// [`StoreError::Corrupt`] for a damaged one, [`StoreError::Base`] if this process has it open, [`StoreError::Io`].
    pub fn open(directory: &Path, options: &Options) -> Result<Lmdb, StoreError> {
        let look = |file: &Path| if options.clean { check::quick(file) } else { check::walk(file).map(drop) };
        let env = Env::open(directory, options, look)?;
        let (places, writer) = whole::load(&*env.get()?, &env.file)?;
        let position = AtomicU64::new(writer.state.position);
        let known = RwLock::new(Known { places: places.clone(), since: writer.state.txn, until: u64::MAX });
        Ok(Lmdb { env, known, position, writer: Mutex::new((places, writer)) })
    }

    /// A read transaction and where the table is in it.
    fn begin<'o>(&self, opened: &'o Opened, table: u32) -> Result<(Reading<'o>, Option<Place>), StoreError> {
        let txn = opened.begin().map_err(|e| self.env.error("reading", e))?;
        let state = number(&*txn);
        let known = self.known.read();
        if known.since <= state && state < known.until {
            let place = known.places.get(&table).copied();
            drop(known);
            return Ok((txn, place));
        }
        drop(known);
        let key = info_key(kind::PLACE, &table.to_be_bytes())?;
        let place = match self.small(opened, &txn, &key)? {
            Some(bytes) => Some(Place::read(bytes).ok_or_else(|| self.damaged("a table's place"))?),
            None => None,
        };
        Ok((txn, place))
    }

    fn rows(
        &self,
        table: u32,
        read: impl for<'a, 't> FnOnce(&Rows<'a, 't, lmdb::RoCursor<'t>>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let opened = self.env.get()?;
        let (txn, place) = self.begin(&opened, table)?;
        let Some(place) = place else { return Ok(()) };
        let cursor =
            txn.open_ro_cursor(opened.trees.tables[usize::from(place.tree)]).map_err(|e| self.env.error("reading", e))?;
        let rows = Rows::new(cursor, &self.env.file, &place);
        read(&rows)
    }

    fn damaged(&self, what: &'static str) -> StoreError {
        StoreError::corrupt(&self.env.file, 0, what)
    }

    fn whole<'v>(&self, key: &[u8], stored: &'v [u8]) -> Result<&'v [u8], StoreError> {
        unseal(key, stored).ok_or_else(|| self.damaged("a value has another checksum than it was written with"))
    }

    /// A record of the info tree.
    fn small<'t>(&self, opened: &Opened, txn: &'t Reading<'_>, key: &[u8]) -> Result<Option<&'t [u8]>, StoreError> {
        match txn.get(opened.trees.info, &key) {
            Ok(stored) => self.whole(key, stored).map(Some),
            Err(lmdb::Error::NotFound) => Ok(None),
            Err(e) => Err(self.env.error("reading", e)),
        }
    }

    /// Records of the info tree whose keys begin with `prefix`.
    fn smalls(&self, prefix: &[u8], mut f: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let opened = self.env.get()?;
        let txn = opened.begin().map_err(|e| self.env.error("reading", e))?;
        let cursor = txn.open_ro_cursor(opened.trees.info).map_err(|e| self.env.error("reading", e))?;
        let mut at = cursor.get(Some(prefix), None, MDB_SET_RANGE);
        while let Ok((Some(key), stored)) = at {
            if !key.starts_with(prefix) {
                return Ok(());
            }
            f(&key[1..], self.whole(key, stored)?)?;
            at = cursor.get(None, None, MDB_NEXT);
        }
        match at {
            Ok(_) | Err(lmdb::Error::NotFound) => Ok(()),
            Err(e) => Err(self.env.error("reading", e)),
        }
    }

    /// Writes all rows anew, in key order, into a file without free pages and half-filled ones, which takes the place of this one. Readers
    /// wait for the last step of it, [`Base::apply`] for all. Answers the file's length before and after. Needs room for both.
    ///
    /// Errors leave the old file in its place.
    pub fn compact(&self) -> Result<(u64, u64), StoreError> {
        let mut writer = self.writer.lock();
        let compacted = self.env.replace(|from, to| whole::copy(from, to, &self.env.file, &writer.1))?;
        self.believe(&mut writer)?;
        Ok(compacted)
    }

    /// One try of a transaction. Tables that move are announced before the commit, and known in their new places after it.
    fn attempt(&self, batch: &Batch<'_>, writer: &mut (Places, Writer)) -> Result<(), Failed> {
        let opened = self.env.get()?;
        let (places, writer) = writer;
        let mut writing = Writing::begin(&opened, &self.env.file, places, writer)?;
        writing.write(batch)?;
        let (number, moves) = (writing.number(), writing.moves());
        let (changed, after) = (std::mem::take(&mut writing.moved), writing.writer.clone());
        if moves {
            self.known.write().until = number;
        }
        let committed = writing.commit();
        let mut known = self.known.write();
        known.until = u64::MAX;
        committed?;
        for (table, place) in changed {
            for places in [&mut known.places, &mut *places] {
                match place {
                    Some(place) => places.insert(table, place),
                    None => places.remove(&table),
                };
            }
        }
        if moves {
            known.since = number;
        }
        self.position.store(after.state.position, Ordering::Release);
        *writer = after;
        Ok(())
    }

    /// Opens the environment anew after LMDB gave up on it, and believes the file.
    fn recover(&self, writer: &mut (Places, Writer)) -> Result<(), StoreError> {
        self.env.reopen(check::quick)?;
        self.believe(writer)
    }

    /// Takes what the file says for what is.
    fn believe(&self, writer: &mut (Places, Writer)) -> Result<(), StoreError> {
        let (places, found) = whole::load(&*self.env.get()?, &self.env.file)?;
        self.position.store(found.state.position, Ordering::Release);
        *self.known.write() = Known { places: places.clone(), since: found.state.txn, until: u64::MAX };
        *writer = (places, found);
        Ok(())
    }
}

impl Base for Lmdb {
    fn position(&self) -> Result<u64, StoreError> {
        Ok(self.position.load(Ordering::Acquire))
    }

    fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let opened = self.env.get()?;
        let txn = opened.begin().map_err(|e| self.env.error("reading", e))?;
        let value = self.small(&opened, &txn, &info_key(kind::META, key)?)?;
        Ok(value.map(<[u8]>::to_vec))
    }

    fn metas(&self, prefix: &[u8], f: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.smalls(&info_key(kind::META, prefix)?, |name, value| {
            f(name, value);
            Ok(())
        })
    }

    fn dictionary(&self, f: &mut dyn FnMut(u32, &[u8])) -> Result<(), StoreError> {
        self.smalls(&[kind::ATOM], |id, text| {
            let id: &[u8; 4] = id.try_into().map_err(|_| self.damaged("an atom's number"))?;
            f(u32::from_be_bytes(*id), text);
            Ok(())
        })
    }

    /// Errors leave everything as it was, except one while LMDB writes the last page: then [`Base::position`] says which state the disc
    /// has after the next `apply`.
    fn apply(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let mut recovered = false;
        loop {
            match self.attempt(batch, &mut writer) {
                Ok(()) => return Ok(()),
                Err(Failed::Lmdb(lmdb::Error::MapFull)) => self.env.grow()?,
                Err(Failed::Lmdb(lmdb::Error::Panic)) if !recovered => {
                    recovered = true;
                    self.recover(&mut writer)?;
                }
                Err(Failed::Lmdb(e)) => return Err(self.env.error("writing", e)),
                Err(Failed::Store(e)) => return Err(e),
            }
        }
    }

    fn scan(&self, table: u32, from: Bound<&[u8]>, f: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.rows(table, |rows| rows.forward(from, f))
    }

    fn scan_back(&self, table: u32, from: Bound<&[u8]>, f: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.rows(table, |rows| rows.backward(from, f))
    }

    fn scan_many(&self, table: u32, threads: usize, f: &(dyn Fn(&[Row<'_>]) -> bool + Sync)) -> Result<(), StoreError> {
        self.rows(table, |rows| rows.many(threads, f))
    }

    fn compact(&self) -> Result<(u64, u64), StoreError> {
        Lmdb::compact(self)
    }

    fn size(&self, table: u32) -> u64 {
        self.known.read().places.get(&table).map_or(0, |place| place.rows)
    }

    /// Bytes of disc that a table takes, free room in its pages included; a table in the shared tree is charged by its rows.
    fn bytes(&self, table: u32) -> Result<u64, StoreError> {
        let opened = self.env.get()?;
        let (txn, place) = self.begin(&opened, table)?;
        let Some(place) = place else { return Ok(0) };
        let stat = txn.stat(opened.trees.tables[usize::from(place.tree)]).map_err(|e| self.env.error("reading", e))?;
        let pages = stat.branch_pages() + stat.leaf_pages() + stat.overflow_pages();
        let bytes = pages as u64 * u64::from(stat.page_size());
        let share = place.rows as f64 / (stat.entries().max(1) as f64);
        Ok(if place.tree == format::SHARED { (bytes as f64 * share.min(1.0)) as u64 } else { bytes })
    }

    fn get(&self, table: u32, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
        let opened = self.env.get()?;
        let (txn, place) = self.begin(&opened, table)?;
        let Some(place) = place else { return Ok(false) };
        let tree = opened.trees.tables[usize::from(place.tree)];
        if key.len() > PLAIN {
            let cursor = txn.open_ro_cursor(tree).map_err(|e| self.env.error("reading", e))?;
            let value = Rows::new(cursor, &self.env.file, &place).get_long(key)?;
            return Ok(value.map(f).is_some());
        }
        let mut stored = smallvec::SmallVec::<[u8; 128]>::from_slice(&place.prefix());
        stored.extend_from_slice(key);
        match txn.get(tree, &stored) {
            Ok(sealed) => {
                f(self.whole(&stored, sealed)?);
                Ok(true)
            }
            Err(lmdb::Error::NotFound) => Ok(false),
            Err(e) => Err(self.env.error("reading", e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::base::Op;
    use super::*;

    /// After a failed write of a meta page LMDB refuses all further transactions; the store opens the file anew and goes on.
    #[test]
    fn goes_on_after_lmdb_gave_up() {
        let directory = std::env::temp_dir().join(format!("remnesia-recover-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let store = Lmdb::open(&directory, &Options::default()).expect("a new store");
        let put = |table: u32| {
            store.apply(&Batch {
                ops: &[Op { table, key: b"k", value: Some(b"v") }],
                position: Some(table.into()),
                ..Batch::default()
            })
        };
        put(1).expect("room");
        // As if a commit had failed half-way: what is remembered is not what the file says.
        store.known.write().places.clear();
        store.position.store(99, Ordering::Release);
        let mut writer = store.writer.lock();
        writer.0.clear();
        store.recover(&mut writer).expect("the file is in order");
        drop(writer);
        assert_eq!((store.position(), store.size(1)), (Ok(1), 1));
        put(2).expect("room");
        assert_eq!((store.position(), store.size(1), store.size(2)), (Ok(2), 1, 1));
        drop(store);
        std::fs::remove_dir_all(directory).expect("gone");
    }
}
