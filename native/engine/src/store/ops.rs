//! What a transaction says in the log: absolute operations, one after the other.
//!
//! Each begins with a byte that names it; tables and lengths are u32, all little endian: put (table, length of key, length of
//! value, key, value), delete (table, length, key), clear (table), define (table, length, definition), drop (table), note (length
//! of name, length of value, name, value), forget (length, name).

use super::StoreError;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const CLEAR: u8 = 3;
const DEFINE: u8 = 4;
const DROP: u8 = 5;
const NOTE: u8 = 6;
const FORGET: u8 = 7;

/// Bytes of a put besides key and value.
pub const PUT_HEAD: usize = 13;

/// One operation. Keys and values are places in the bytes it was read from: the value follows the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    Put { table: u32, key_at: usize, key_len: u32, value_len: u32 },
    Delete { table: u32, key_at: usize, key_len: u32 },
    Clear { table: u32 },
    Define { table: u32, definition: &'a [u8] },
    Drop { table: u32 },
    Note { name: &'a [u8], value: &'a [u8] },
    Forget { name: &'a [u8] },
}

fn head(out: &mut Vec<u8>, op: u8, numbers: &[u32]) {
    out.push(op);
    numbers.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
}

fn length(bytes: usize) -> Result<u32, StoreError> {
    let most = u32::MAX - 1;
    u32::try_from(bytes).ok().filter(|&n| n <= most).ok_or(StoreError::TooLarge { bytes: bytes as u64, most: most.into() })
}

/// Appends a put whose key and value are appended by the two functions. Nothing is appended on error.
pub fn put(
    out: &mut Vec<u8>,
    table: u32,
    key: impl FnOnce(&mut Vec<u8>) -> Result<(), StoreError>,
    value: impl FnOnce(&mut Vec<u8>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let start = out.len();
    let write = |out: &mut Vec<u8>| {
        head(out, PUT, &[table, 0, 0]);
        key(out)?;
        let key_len = length(out.len() - start - PUT_HEAD)?;
        value(out)?;
        let value_len = length(out.len() - start - PUT_HEAD - key_len as usize)?;
        out[start + 5..start + 9].copy_from_slice(&key_len.to_le_bytes());
        out[start + 9..start + 13].copy_from_slice(&value_len.to_le_bytes());
        Ok(())
    };
    let written = write(out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends a delete; nothing on error.
pub fn delete(out: &mut Vec<u8>, table: u32, key: impl FnOnce(&mut Vec<u8>) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let start = out.len();
    head(out, DELETE, &[table, 0]);
    let written = key(out).and_then(|()| length(out.len() - start - 9));
    match written {
        Ok(len) => {
            out[start + 5..start + 9].copy_from_slice(&len.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

pub fn clear(out: &mut Vec<u8>, table: u32) {
    head(out, CLEAR, &[table]);
}

pub fn define(out: &mut Vec<u8>, table: u32, definition: &[u8]) -> Result<(), StoreError> {
    head(out, DEFINE, &[table, length(definition.len())?]);
    out.extend_from_slice(definition);
    Ok(())
}

pub fn drop_table(out: &mut Vec<u8>, table: u32) {
    head(out, DROP, &[table]);
}

pub fn note(out: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
    match value {
        Some(value) => head(out, NOTE, &[length(name.len())?, length(value.len())?]),
        None => head(out, FORGET, &[length(name.len())?]),
    }
    out.extend_from_slice(name);
    out.extend_from_slice(value.unwrap_or_default());
    Ok(())
}

/// Reads operations from part of some bytes. An error is the place of what is no operation.
pub struct Reader<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    pub end: usize,
}

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u32> {
        let n = self.bytes.get(self.at..self.end)?.first_chunk::<4>()?;
        self.at += 4;
        Some(u32::from_le_bytes(*n))
    }

    /// The place of the next `len` bytes.
    fn skip(&mut self, len: u32) -> Option<usize> {
        let at = self.at;
        self.at = at.checked_add(len as usize).filter(|&end| end <= self.end)?;
        Some(at)
    }

    fn take(&mut self, len: u32) -> Option<&'a [u8]> {
        let at = self.skip(len)?;
        self.bytes.get(at..self.at)
    }

    fn op(&mut self) -> Option<Op<'a>> {
        let op = *self.bytes.get(self.at..self.end)?.first()?;
        self.at += 1;
        Some(match op {
            PUT => {
                let (table, key_len, value_len) = (self.number()?, self.number()?, self.number()?);
                let key_at = self.skip(key_len)?;
                self.skip(value_len)?;
                Op::Put { table, key_at, key_len, value_len }
            }
            DELETE => {
                let (table, key_len) = (self.number()?, self.number()?);
                Op::Delete { table, key_at: self.skip(key_len)?, key_len }
            }
            CLEAR => Op::Clear { table: self.number()? },
            DEFINE => {
                let (table, len) = (self.number()?, self.number()?);
                Op::Define { table, definition: self.take(len)? }
            }
            DROP => Op::Drop { table: self.number()? },
            NOTE => {
                let (name, value) = (self.number()?, self.number()?);
                Op::Note { name: self.take(name)?, value: self.take(value)? }
            }
            FORGET => {
                let name = self.number()?;
                Op::Forget { name: self.take(name)? }
            }
            _ => return None,
        })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Op<'a>, usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let at = self.at;
        let op = self.op().ok_or(at);
        if op.is_err() {
            self.at = self.end;
        }
        Some(op)
    }
}
