//! Changes of the rows of one table in a write transaction, with keys of any length.

use super::super::base::Op;
use super::super::StoreError;
use super::chunk::{self, Entry};
use super::format::{seal, PLAIN};
use super::rows::Rows;
use super::write::{limit, Failed};
use lmdb::{Cursor, RwCursor, WriteFlags};
use lmdb_sys::{MDB_LAST, MDB_SET};

/// The rows of one table that are being changed.
pub struct Changing<'a, 't, 's> {
    pub rows: Rows<'a, 't, RwCursor<'t>>,
    pub scratch: &'s mut Vec<u8>,
    pub stored: Vec<u8>,
    /// By how much these have become more.
    pub rows_in_chunks: i64,
    pub chunks: i64,
    /// All that comes goes to the end of the tree.
    pub append: bool,
}

impl Changing<'_, '_, '_> {
    pub fn all(&mut self, ops: &[Op<'_>], own_tree: bool) -> Result<(), Failed> {
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
