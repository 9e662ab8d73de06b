//! One write transaction: tables emptied, rows changed, small things put, the places of tables and the state last.

use super::super::base::{Batch, Op};
use super::super::StoreError;
use super::chunk::{self, Entry};
use super::env::{number, translate, Opened, Trees};
use super::format::{info_key, kind, seal, tree_name, unseal, Place, State, FORMAT, INFO, LONGEST_VALUE, OWN, PLAIN, SHARED};
use super::rows::Rows;
use lmdb::{Cursor, DatabaseFlags, Environment, RwCursor, RwTransaction, Transaction, WriteFlags};
use lmdb_sys::{MDB_LAST, MDB_NEXT, MDB_SET, MDB_SET_RANGE};
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

/// The first transaction of a new environment: its trees and the state record.
pub fn first(env: &Environment) -> lmdb::Result<()> {
    let mut txn = env.begin_rw_txn()?;
    // SAFETY: nobody else has the environment, so no other transaction opens trees.
    let open = |name: &str| unsafe { txn.create_db(Some(name), DatabaseFlags::empty()) };
    let info = open(INFO)?;
    for tree in 0..=SHARED {
        open(&tree_name(tree))?;
    }
    let state = State { format: FORMAT, txn: number(&txn), position: 0, next_prefix: 0 };
    let mut sealed = Vec::new();
    txn.put(info, &State::KEY, &seal(State::KEY, &state.write(), &mut sealed), WriteFlags::empty())?;
    txn.commit()
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

fn limit(len: usize) -> Result<(), StoreError> {
    match len {
        0..=LONGEST_VALUE => Ok(()),
        _ => Err(StoreError::TooLarge { bytes: len as u64, most: LONGEST_VALUE as u64 }),
    }
}

/// The rows of one table that are being changed.
struct Changing<'a, 't, 's> {
    rows: Rows<'a, 't, RwCursor<'t>>,
    scratch: &'s mut Vec<u8>,
    stored: Vec<u8>,
    /// By how much these have become more.
    rows_in_chunks: i64,
    chunks: i64,
    /// All that comes goes to the end of the tree.
    append: bool,
}

impl Changing<'_, '_, '_> {
    fn all(&mut self, ops: &[Op<'_>], own_tree: bool) -> Result<(), Failed> {
        let mut last: Option<&[u8]> = None;
        for op in ops {
            if last.is_some_and(|last| last >= op.key) {
                return Err(StoreError::Base { code: 22, what: "a batch is not sorted".into() }.into());
            }
            if last.is_none() && own_tree {
                self.append = self.after_all(op.key)?;
            }
            last = Some(op.key);
            match op.value {
                _ if op.key.len() > PLAIN => self.long(op)?,
                Some(value) => {
                    limit(value.len())?;
                    self.stored.clear();
                    self.stored.extend_from_slice(&self.rows.prefix);
                    self.stored.extend_from_slice(op.key);
                    let flags = if self.append { WriteFlags::APPEND } else { WriteFlags::empty() };
                    let sealed = seal(&self.stored, value, self.scratch);
                    self.rows.cursor.put(&self.stored, &sealed, flags)?;
                }
                None => {
                    let stored = self.rows.stored_key(op.key);
                    self.delete(&stored)?;
                }
            }
        }
        Ok(())
    }

    /// True if a key is after all there are, and thus the rest of a sorted batch too.
    fn after_all(&self, key: &[u8]) -> Result<bool, Failed> {
        match self.rows.cursor.get(None, None, MDB_LAST) {
            Ok((Some(last), _)) => Ok(*last < *self.rows.stored_key(key)),
            Ok((None, _)) => Ok(false),
            Err(lmdb::Error::NotFound) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    fn delete(&mut self, stored: &[u8]) -> Result<(), Failed> {
        match self.rows.cursor.get(Some(stored), None, MDB_SET) {
            Ok(_) => Ok(self.rows.cursor.del(WriteFlags::empty())?),
            Err(lmdb::Error::NotFound) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// A row whose key is too long to be plain: its chunk is read, changed and written.
    fn long(&mut self, op: &Op<'_>) -> Result<(), Failed> {
        self.append = false;
        let (family, rest) = (self.rows.family(op.key), &op.key[PLAIN..]);
        limit(op.value.map_or(0, <[u8]>::len) + rest.len() + 8)?;
        let Some(found) = self.rows.find(&family, rest)? else {
            let Some(value) = op.value else { return Ok(()) };
            self.rows_in_chunks += 1;
            return self.put_chunk(&chunk::stored_key(&family, chunk::FIRST), &[(rest, value)], true);
        };
        let (stored, mut entries) = (found.0.to_vec(), self.rows.entries(found)?);
        match (entries.binary_search_by(|entry| entry.0.cmp(rest)), op.value) {
            (Ok(i), Some(value)) => entries[i].1 = value,
            (Ok(i), None) => {
                entries.remove(i);
                self.rows_in_chunks -= 1;
            }
            (Err(i), Some(value)) => {
                entries.insert(i, (rest, value));
                self.rows_in_chunks += 1;
            }
            (Err(_), None) => return Ok(()),
        }
        if entries.is_empty() {
            self.chunks -= 1;
            return self.delete(&stored);
        }
        match chunk::cut(&entries) {
            None => self.put_chunk(&stored, &entries, false),
            Some(at) => self.split(&family, &stored, &entries, at),
        }
    }

    fn put_chunk(&mut self, stored: &[u8], entries: &[Entry<'_>], new: bool) -> Result<(), Failed> {
        limit(chunk::size(entries))?;
        self.chunks += i64::from(new);
        let sealed = seal(stored, &chunk::write(entries), self.scratch);
        Ok(self.rows.cursor.put(&stored, &sealed, WriteFlags::empty())?)
    }

    /// Writes the entries of a chunk as two, the second under a new number; at the start of a family the first, so that keys that come in
    /// falling order find room as well.
    fn split(&mut self, family: &[u8], stored: &[u8], entries: &[Entry<'_>], at: usize) -> Result<(), Failed> {
        let number = chunk::number(stored);
        let next = self.rows.chunk_from(family, number + 1)?.map(|found| chunk::number(found.0));
        let before = self.rows.chunk_before(family, number)?;
        // The entries lie in a page that the first put may change: both chunks are made before.
        let (left, right) = entries.split_at(at);
        let (left, right) = (chunk::write(left), chunk::write(right));
        let (left, right) = (chunk::read(&left).unwrap_or_default(), chunk::read(&right).unwrap_or_default());
        let new = match (before, next, number.checked_sub(chunk::GAP)) {
            (None, Some(_), Some(earlier)) if earlier > 0 => Some((earlier, number)),
            _ => chunk::number_after(number, next).map(|later| (number, later)),
        };
        let Some((first, second)) = new else { return self.renumber(family, stored, &left, &right) };
        self.put_chunk(&chunk::stored_key(family, first), &left, first != number)?;
        self.put_chunk(&chunk::stored_key(family, second), &right, second != number)
    }

    /// Gives all chunks of a family new numbers, far apart; the one at `stored` has become two.
    fn renumber(&mut self, family: &[u8], stored: &[u8], left: &[Entry<'_>], right: &[Entry<'_>]) -> Result<(), Failed> {
        let mut chunks = Vec::new();
        while let Some(found) = self.rows.chunk_from(family, 0)? {
            if found.0 == stored {
                chunks.extend([chunk::write(left), chunk::write(right)]);
            } else {
                chunks.push(self.rows.value(found)?.to_vec());
            }
            self.rows.cursor.del(WriteFlags::empty())?;
        }
        self.chunks += 1;
        let middle = chunks.len() as u64 / 2;
        for (i, chunk) in chunks.iter().enumerate() {
            let stored = chunk::stored_key(family, chunk::FIRST + chunk::GAP * i as u64 - chunk::GAP * middle);
            let sealed = seal(&stored, chunk, self.scratch);
            self.rows.cursor.put(&stored, &sealed, WriteFlags::empty())?;
        }
        Ok(())
    }
}

/// State, places and garbage as the file has them.
pub fn load(opened: &Opened, path: &Path) -> Result<(Places, Writer), StoreError> {
    let txn = opened.begin().map_err(|e| translate("reading", path, e))?;
    let damaged = |what| StoreError::corrupt(path, 0, what);
    let read = |key: &[u8], stored: &[u8]| unseal(key, stored).map(<[u8]>::to_vec).ok_or_else(|| damaged("a checksum"));
    let state = match txn.get(opened.trees.info, &State::KEY) {
        Ok(stored) => State::read(&read(State::KEY, stored)?).ok_or_else(|| damaged("the state record"))?,
        Err(e) => return Err(translate("reading the state of", path, e)),
    };
    if state.format > FORMAT {
        return Err(StoreError::NewerFormat { path: path.into(), found: state.format, known: FORMAT });
    }
    let (mut places, mut garbage) = (Places::default(), BTreeSet::new());
    let cursor = txn.open_ro_cursor(opened.trees.info).map_err(|e| translate("reading", path, e))?;
    let mut at = cursor.get(Some(&[kind::PLACE]), None, MDB_SET_RANGE);
    while let Ok((Some(key), stored)) = at {
        let value = read(key, stored)?;
        let id = super::format::info_number(key).ok_or_else(|| damaged("a key of the info tree"))?;
        match key[0] {
            kind::PLACE => drop(places.insert(id, Place::read(&value).ok_or_else(|| damaged("a table's place"))?)),
            kind::GARBAGE => drop(garbage.insert(id)),
            _ => return Err(damaged("a key of the info tree")),
        }
        at = cursor.get(None, None, MDB_NEXT);
    }
    match at {
        Ok(_) | Err(lmdb::Error::NotFound) => {
            let used = places.values().filter(|place| place.tree != SHARED).fold(0, |used, place| used | 1 << place.tree);
            Ok((places, Writer { state, garbage, used }))
        }
        Err(e) => Err(translate("reading", path, e)),
    }
}
