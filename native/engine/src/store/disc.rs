//! The disc form of records: the flat form without a word of the VM in it.
//!
//! A record is its number of fields (u16), its fields, and the contents of its large binaries in the order in which the fields
//! name them, each once. In the fields an atom is `ATOM3` with its number in the dictionary; pids, ports and references of this
//! node have the form of other nodes', under the node's name of [`atom::home`](crate::term::atom::home); a closure is its tag,
//! u32 length and its external form. Pairs of a map stand in any order: where it depends on atoms, reading sorts them again.
//!
//! Most records need their atoms patched and nothing else, so they are copied and patched in place. The rest goes through a
//! [`Writer`].

use super::disc_atoms::Dictionary;
use super::disc_walk::{named, rewrite};
use super::StoreError;
use crate::term::atom::host;
use crate::term::tag::*;
use crate::term::{read, Attached, Record, Term, Writer};
use std::cell::RefCell;

/// Numbers of the atoms that were written, each once; made once per thread and used again.
#[derive(Default)]
pub struct Atoms {
    /// In order of first use.
    pub used: Vec<u32>,
    /// By number: the round in which it was used last.
    seen: Vec<u32>,
    round: u32,
}

impl Atoms {
    /// Forgets what was used.
    pub fn begin(&mut self) {
        self.used.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seen.clear();
            self.round = 1;
        }
    }

    #[inline]
    fn add(&mut self, id: u32) {
        match self.seen.get_mut(id as usize) {
            Some(seen) if *seen == self.round => {}
            Some(seen) => {
                *seen = self.round;
                self.used.push(id);
            }
            None => {
                self.seen.resize(id as usize + 1, 0);
                self.seen[id as usize] = self.round;
                self.used.push(id);
            }
        }
    }

    /// Number of an atom of the VM.
    #[inline]
    pub fn of(&mut self, word: u64, dictionary: &Dictionary) -> Result<u32, StoreError> {
        let id = dictionary.id(word)?;
        self.add(id);
        Ok(id)
    }
}

/// Appends the disc form of a record; nothing is appended on error.
///
/// ```
/// use remnesia_engine::store::disc::{to_disc, Atoms};
/// use remnesia_engine::store::disc_atoms::Dictionary;
/// use remnesia_engine::store::disc_read::from_disc;
/// use remnesia_engine::term::{atom::plain::intern, Record, Writer};
/// let mut writer = Writer::new();
/// writer.int(7);
/// writer.atom(intern("seven"));
/// let record = Record::build(&[0, 1], &writer.buf, false, None);
/// let (dictionary, mut bytes) = (Dictionary::new(100), Vec::new());
/// to_disc(&record, &dictionary, &mut Atoms::default(), &mut bytes).unwrap();
/// assert!(from_disc(&bytes, &dictionary).unwrap().same(&record));
/// ```
pub fn to_disc(record: &Record, dictionary: &Dictionary, atoms: &mut Atoms, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let start = out.len();
    let written = write(record, dictionary, atoms, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

#[inline]
fn write(record: &Record, dictionary: &Dictionary, atoms: &mut Atoms, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let body = record.body();
    out.extend_from_slice(&(record.fields() as u16).to_le_bytes());
    let start = out.len();
    out.extend_from_slice(body);
    let attached = record.attached().map(|a| &**a);
    match patch(&mut out[start..], dictionary, atoms)? {
        Patched::Whole => {}
        Patched::Blobs => contents(body, attached, out)?,
        Patched::Not => {
            out.truncate(start);
            portable(body, attached, dictionary, atoms, out)?;
            // Pairs of maps may stand in another order now, and a reader goes by that.
            let written = out[start..].to_vec();
            contents(&written, attached, out)?;
        }
    }
    Ok(())
}

/// What patching atoms in place has come to.
enum Patched {
    Whole,
    /// Whole, but there are large binaries.
    Blobs,
    /// Something has another length on disc.
    Not,
}

/// Puts numbers in the place of atoms.
#[inline]
fn patch(body: &mut [u8], dictionary: &Dictionary, atoms: &mut Atoms) -> Result<Patched, StoreError> {
    let mut blobs = false;
    let mut at = 0;
    while at < body.len() {
        // Containers are stepped into: their elements follow the head.
        at += match body[at] {
            0..=0x7f | NIL => 1,
            ATOM3 => {
                let word = u64::from(body[at + 1]) << 16 | u64::from(body[at + 2]) << 8 | u64::from(body[at + 3]);
                let id = atoms.of(word, dictionary)?;
                body[at + 1..at + 4].copy_from_slice(&id.to_be_bytes()[1..]);
                4
            }
            LIST | IMPROPER | TUPLE | MAP => 3,
            LIST_L | IMPROPER_L | TUPLE_L | MAP_L => 9,
            // Their atoms are stepped over to.
            EXT_PID | EXT_PORT | EXT_REF => 7 + 4 * usize::from(body[at + 6]),
            EXPORT => 2,
            BLOB => {
                blobs = true;
                41
            }
            ATOM8 | PID | PORT | REF | FUN => return Ok(Patched::Not),
            _ => crate::term::form_size(&body[at..]),
        };
    }
    Ok(if blobs { Patched::Blobs } else { Patched::Whole })
}

/// The same for terms whose forms have other lengths on disc.
fn portable(
    body: &[u8],
    attached: Option<&dyn Attached>,
    dictionary: &Dictionary,
    atoms: &mut Atoms,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let mut writer = Writer::new();
    std::mem::swap(&mut writer.buf, out);
    let result = rewrite(body, &mut writer, None, &mut |one, writer| {
        if one[0] != FUN {
            return leaf(one, dictionary, atoms, writer);
        }
        let external = attached.and_then(|a| host().external(a, one)).ok_or(StoreError::NotPortable)?;
        writer.buf.push(FUN);
        writer.buf.extend_from_slice(&(external.len() as u32).to_le_bytes());
        writer.buf.extend_from_slice(&external);
        Ok(())
    });
    std::mem::swap(&mut writer.buf, out);
    result
}

/// Appends bytes that identify a term in every VM: its disc form, but closures are what they are by, not their external form.
pub(super) fn identity(flat: &[u8], dictionary: &Dictionary, atoms: &mut Atoms, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let mut writer = Writer::new();
    let atoms = RefCell::new(atoms);
    let mut module = |word| Ok(u64::from(atoms.borrow_mut().of(word, dictionary)?));
    rewrite(flat, &mut writer, Some(&mut module), &mut |one, writer| leaf(one, dictionary, &mut atoms.borrow_mut(), writer))?;
    out.extend_from_slice(&writer.buf);
    Ok(())
}

/// Writes a term that is no container and no closure.
fn leaf(one: &[u8], dictionary: &Dictionary, atoms: &mut Atoms, writer: &mut Writer) -> Result<(), StoreError> {
    match read(one).0 {
        Term::Atom(word) => writer.atom(u64::from(atoms.of(word, dictionary)?)),
        Term::Export { module, function, arity } => {
            let (module, function) = (atoms.of(module, dictionary)?, atoms.of(function, dictionary)?);
            writer.export(u64::from(module), u64::from(function), arity as u8);
        }
        _ => match named(one) {
            Some(named) => {
                let node = match named.node {
                    Ok(word) => atoms.of(word, dictionary)?,
                    Err(text) => {
                        let id = dictionary.id_of_text(text)?;
                        atoms.add(id);
                        id
                    }
                };
                writer.external(named.tag, named.creation, &named.numbers, u64::from(node));
            }
            None => writer.buf.extend_from_slice(one),
        },
    }
    Ok(())
}

/// Appends the contents of the large binaries that the flat bytes name.
fn contents(body: &[u8], attached: Option<&dyn Attached>, out: &mut Vec<u8>) -> Result<(), StoreError> {
    for identity in blobs(body) {
        let content = attached.and_then(|a| a.content(identity)).ok_or(StoreError::NotPortable)?;
        out.extend_from_slice(content);
    }
    Ok(())
}

/// Flat bytes of the large binaries, each once. A closure keeps its own.
pub(super) fn blobs(body: &[u8]) -> Vec<&[u8]> {
    let mut found: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    while at < body.len() {
        at += match body[at] {
            LIST | IMPROPER | TUPLE | MAP => 3,
            LIST_L | IMPROPER_L | TUPLE_L | MAP_L => 9,
            BLOB => {
                let identity = &body[at..at + 41];
                if !found.contains(&identity) {
                    found.push(identity);
                }
                41
            }
            _ => crate::term::form_size(&body[at..]),
        };
    }
    found
}

/// Appends the rows of one key: a one and the row, or a zero, their number (u32) and each with its length (u32) before it.
pub fn rows_to_disc(rows: &[Record], dictionary: &Dictionary, atoms: &mut Atoms, out: &mut Vec<u8>) -> Result<(), StoreError> {
    if let [row] = rows {
        out.push(1);
        return to_disc(row, dictionary, atoms, out);
    }
    out.push(0);
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    for row in rows {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        to_disc(row, dictionary, atoms, out)?;
        let len = (out.len() - at - 4) as u64;
        let len = u32::try_from(len).map_err(|_| StoreError::TooLarge { bytes: len, most: u64::from(u32::MAX) })?;
        out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }
    Ok(())
}
