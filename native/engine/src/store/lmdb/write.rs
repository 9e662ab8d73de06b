//! One write transaction: tables emptied, rows changed, small things put, the places of tables and the state last.

use super::super::base::{Batch, Op};
use super::super::StoreError;
use super::change::Changing;
use super::env::{number, Opened, Trees};
use super::format::{info_key, kind, seal, Place, State, LONGEST_VALUE, OWN, SHARED};
use super::rows::Rows;
use lmdb::{Cursor, RwTransaction, Transaction, WriteFlags};
use lmdb_sys::MDB_SET_RANGE;
use rapidhash::RapidHashMap;
use std::collections::BTreeSet;
use std::path::Path;

pub type Places = RapidHashMap<u32, Place>;
/// Rows of emptied tables in the shared tree that one transaction deletes.
const GARBAGE: u64 = 4096;
/// Numbers of prefixes end before this one.
const PREFIXES: u32 = u32::MAX - 1;

/// What a failed transaction was about.
pub enum Failed {
    /// LMDB's, to be grown away, opened anew or handed on.
    Lmdb(lmdb::Error),
    Store(StoreError),
}

impl From<lmdb::Error> for Failed {
    fn from(error: lmdb::Error) -> Failed {
        Failed::Lmdb(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::Store(error)
    }
}

/// What the writer knows from one transaction to the next.
#[derive(Clone, Debug)]
pub struct Writer {
    pub state: State,
    /// Prefixes in the shared tree whose rows are still to be deleted.
    pub garbage: BTreeSet<u32>,
    /// Trees that some table has, one bit each.
    pub used: u32,
}

/// A transaction that is being written.
pub struct Writing<'e, 'p> {
    txn: RwTransaction<'e>,
    trees: Trees,
    path: &'p Path,
    places: &'p Places,
    /// Places that differ from `places`; None for a table that has no rows any more.
    pub moved: RapidHashMap<u32, Option<Place>>,
    pub writer: Writer,
    scratch: Vec<u8>,
}

impl<'e, 'p> Writing<'e, 'p> {
    pub fn begin(opened: &'e Opened, path: &'p Path, places: &'p Places, writer: &Writer) -> Result<Self, Failed> {
        let (txn, trees) = (opened.env.begin_rw_txn()?, opened.trees);
        Ok(Writing { txn, trees, path, places, moved: RapidHashMap::default(), writer: writer.clone(), scratch: Vec::new() })
    }

    pub fn number(&self) -> u64 {
        number(&self.txn)
    }

    /// True if some table is in another place than before, so that readers must not go by what they remember.
    pub fn moves(&self) -> bool {
        let stays = |(table, new): (&u32, &Option<Place>)| match (self.places.get(table), new) {
            (Some(old), Some(new)) => (old.tree, old.prefix) == (new.tree, new.prefix),
            _ => false,
        };
        !self.moved.iter().all(stays)
    }

    pub fn commit(self) -> Result<(), Failed> {
        Ok(self.txn.commit()?)
    }

    fn place(&self, table: u32) -> Option<Place> {
        self.moved.get(&table).copied().unwrap_or_else(|| self.places.get(&table).copied())
    }

    pub fn write(&mut self, batch: &Batch<'_>) -> Result<(), Failed> {
        for table in batch.cleared {
            self.clear(*table)?;
        }
        for ops in batch.ops.chunk_by(|a, b| a.table == b.table) {
            self.change(ops)?;
        }
        for (id, text) in batch.dictionary {
            self.put_info(&info_key(kind::ATOM, &id.to_be_bytes())?, text)?;
        }
        for (name, value) in batch.meta {
            let key = info_key(kind::META, name)?;
            match value {
                Some(value) => self.put_info(&key, value)?,
                None => self.delete_info(&key)?,
            }
        }
        self.tidy()?;
        self.finish(batch.position)
    }

    fn put_info(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failed> {
        limit(value.len())?;
        let sealed = seal(key, value, &mut self.scratch);
        Ok(self.txn.put(self.trees.info, &key, &sealed, WriteFlags::empty())?)
    }

    fn delete_info(&mut self, key: &[u8]) -> Result<(), Failed> {
        match self.txn.del(self.trees.info, &key, None) {
            Err(lmdb::Error::NotFound) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Empties a table: its own tree at once, which costs a look at its branch pages; its part of the shared tree bit by bit.
    fn clear(&mut self, table: u32) -> Result<(), Failed> {
        let Some(place) = self.place(table) else { return Ok(()) };
        if place.tree == SHARED {
            self.put_info(&info_key(kind::GARBAGE, &place.prefix.to_be_bytes())?, &[])?;
            self.writer.garbage.insert(place.prefix);
        } else {
            self.txn.clear_db(self.trees.tables[usize::from(place.tree)])?;
        }
        self.leave(table, place);
        Ok(())
    }

    /// A tree that no table has, else a new part of the shared one.
    fn new_place(&mut self) -> Result<Place, Failed> {
        let tree = self.writer.used.trailing_ones() as u8;
        if tree < OWN {
            self.writer.used |= 1 << tree;
            return Ok(Place { tree, prefix: 0, rows: 0 });
        }
        let prefix = self.writer.state.next_prefix;
        if prefix >= PREFIXES {
            return Err(StoreError::TooLarge { bytes: prefix.into(), most: PREFIXES.into() }.into());
        }
        self.writer.state.next_prefix += 1;
        Ok(Place { tree: SHARED, prefix, rows: 0 })
    }

    /// Changes rows of one table. They are counted by LMDB's count of the tree's entries, before and after.
    fn change(&mut self, ops: &[Op<'_>]) -> Result<(), Failed> {
        let table = ops[0].table;
        let mut place = match self.place(table) {
            Some(place) => place,
            None if ops.iter().all(|op| op.value.is_none()) => return Ok(()),
            None => self.new_place()?,
        };
        let tree = self.trees.tables[usize::from(place.tree)];
        let before = self.txn.stat(tree)?.entries() as i64;
        let rows = Rows::new(self.txn.open_rw_cursor(tree)?, self.path, &place);
        let mut changing =
            Changing { rows, scratch: &mut self.scratch, rows_in_chunks: 0, chunks: 0, append: false, stored: Vec::new() };
        changing.all(ops, place.tree != SHARED)?;
        let (rows_in_chunks, chunks) = (changing.rows_in_chunks, changing.chunks);
        drop(changing);
        let after = self.txn.stat(tree)?.entries() as i64;
        place.rows = place.rows.saturating_add_signed(after - before - chunks + rows_in_chunks);
        match place.rows {
            0 => self.leave(table, place),
            _ => drop(self.moved.insert(table, Some(place))),
        }
        Ok(())
    }

    /// A table without rows has no place.
    fn leave(&mut self, table: u32, place: Place) {
        if place.tree != SHARED {
            self.writer.used &= !(1 << place.tree);
        }
        self.moved.insert(table, None);
    }

    /// Deletes some rows of emptied tables from the shared tree.
    fn tidy(&mut self) -> Result<(), Failed> {
        let mut left = GARBAGE;
        while let Some(prefix) = self.writer.garbage.first().copied() {
            let mut cursor = self.txn.open_rw_cursor(self.trees.tables[usize::from(SHARED)])?;
            let first = prefix.to_be_bytes();
            let mut done = false;
            while left > 0 && !done {
                match cursor.get(Some(&first), None, MDB_SET_RANGE) {
                    Ok((Some(key), _)) if key.starts_with(&first) => cursor.del(WriteFlags::empty())?,
                    Ok(_) | Err(lmdb::Error::NotFound) => done = true,
                    Err(e) => return Err(e.into()),
                }
                left -= 1;
            }
            drop(cursor);
            if !done {
                break;
            }
            self.delete_info(&info_key(kind::GARBAGE, &first)?)?;
            self.writer.garbage.remove(&prefix);
        }
        Ok(())
    }

    /// Writes down where tables are now, and the state.
    fn finish(&mut self, position: Option<u64>) -> Result<(), Failed> {
        let moved: Vec<_> = self.moved.iter().map(|(table, place)| (*table, *place)).collect();
        for (table, place) in moved {
            let key = info_key(kind::PLACE, &table.to_be_bytes())?;
            match place {
                Some(place) => self.put_info(&key, &place.write())?,
                None => self.delete_info(&key)?,
            }
        }
        let state = State { txn: self.number(), position: position.unwrap_or(self.writer.state.position), ..self.writer.state };
        self.put_info(State::KEY, &state.write())?;
        self.writer.state = state;
        Ok(())
    }
}

pub fn limit(len: usize) -> Result<(), StoreError> {
    match len {
        0..=LONGEST_VALUE => Ok(()),
        _ => Err(StoreError::TooLarge { bytes: len as u64, most: LONGEST_VALUE as u64 }),
    }
}
