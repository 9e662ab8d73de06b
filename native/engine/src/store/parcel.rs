//! Rows on their way to another VM: many in one parcel, in their disc form, with the texts of the atoms in them.
//!
//! Length of the texts (u32), for each its number (u32), length (u16) and itself; then for each key the length of its rows (u32) and these, all
//! little endian. A pid, port, reference or closure means what it does by the VM it is in: rows with one are not taken.

use super::disc::{rows_to_disc, Atoms};
use super::disc_atoms::Dictionary;
use super::disc_read::rows_from_disc;
use super::StoreError;
use crate::term::tag::*;
use crate::term::{form_size, Record};

/// A parcel that is being filled.
pub struct Packing {
    dictionary: Dictionary,
    atoms: Atoms,
    rows: Vec<u8>,
}

impl Packing {
    /// For about so many bytes.
    pub fn new(bytes: usize) -> Packing {
        let mut atoms = Atoms::default();
        atoms.begin();
        Packing { dictionary: Dictionary::new(0), atoms, rows: Vec::with_capacity(bytes + bytes / 8) }
    }

    /// Takes the rows of a key; false if they have to go as terms.
    pub fn add(&mut self, rows: &[Record]) -> bool {
        if !rows.iter().all(|row| is_the_same_everywhere(row.body())) {
            return false;
        }
        let at = self.rows.len();
        self.rows.extend_from_slice(&[0; 4]);
        let written = rows_to_disc(rows, &self.dictionary, &mut self.atoms, &mut self.rows);
        match u32::try_from(self.rows.len() - at - 4) {
            Ok(len) if written.is_ok() => {
                self.rows[at..at + 4].copy_from_slice(&len.to_le_bytes());
                true
            }
            _ => {
                self.rows.truncate(at);
                false
            }
        }
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.rows.len()
    }

    /// The parcel; empty if nothing was put in.
    pub fn finish(self) -> Vec<u8> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let mut texts = Vec::new();
        for &id in &self.atoms.used {
            let text = self.dictionary.text(id);
            texts.extend_from_slice(&id.to_le_bytes());
            texts.extend_from_slice(&(text.len() as u16).to_le_bytes());
            texts.extend_from_slice(text);
        }
        [&(texts.len() as u32).to_le_bytes(), &texts[..], &self.rows[..]].concat()
    }
}

fn is_the_same_everywhere(body: &[u8]) -> bool {
    let mut at = 0;
    while at < body.len() {
        at += match body[at] {
            LIST | IMPROPER | TUPLE | MAP => 3,
            LIST_L | IMPROPER_L | TUPLE_L | MAP_L => 9,
            PID | PORT | REF | FUN | EXT_PID | EXT_PORT | EXT_REF => return false,
            _ => form_size(&body[at..]),
        };
    }
    true
}

/// A parcel that has come, which may be anything.
pub struct Parcel<'a> {
    dictionary: Dictionary,
    bytes: &'a [u8],
    first: usize,
}

impl<'a> Parcel<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Parcel<'a>, StoreError> {
        let bad = || StoreError::BadTerm { at: 0, what: "the atoms of a parcel are cut off" };
        // Whoever is in the cluster may make atoms here without us, too.
        let dictionary = Dictionary::new(usize::MAX);
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(bad)?;
        let mut texts = rest.get(..u32::from_le_bytes(*len) as usize).ok_or_else(bad)?;
        let first = 4 + texts.len();
        while !texts.is_empty() {
            let (id, rest) = texts.split_first_chunk::<4>().ok_or_else(bad)?;
            let (len, rest) = rest.split_first_chunk::<2>().ok_or_else(bad)?;
            let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len))).ok_or_else(bad)?;
            if !dictionary.learn(u32::from_le_bytes(*id), text) {
                return Err(StoreError::BadTerm {
                    at: bytes.len() - rest.len(),
                    what: "an atom of a parcel has no number of its own",
                });
            }
            texts = rest;
        }
        Ok(Parcel { dictionary, bytes, first })
    }

    /// Where the first rows are.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Gives the rows of the key at this place to `f`; the place of the next, none at the end.
    pub fn rows(&self, at: usize, f: &mut dyn FnMut(Record)) -> Result<Option<usize>, StoreError> {
        let bad = || StoreError::BadTerm { at, what: "a parcel is cut off" };
        let rest = self.bytes.get(at..).ok_or_else(bad)?;
        if rest.is_empty() {
            return Ok(None);
        }
        let (len, rest) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
        let rows = rest.get(..u32::from_le_bytes(*len) as usize).ok_or_else(bad)?;
        rows_from_disc(rows, &self.dictionary, f)?;
        Ok(Some(at + 4 + rows.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::atom::plain::intern;
    use crate::term::Writer;

    fn record(key: i64, atom: &str) -> Record {
        let mut writer = Writer::new();
        writer.int(key);
        let start = writer.len() as u32;
        writer.atom(intern(atom));
        Record::build(&[0, start], &writer.buf, false, None)
    }

    fn unpacked(bytes: &[u8]) -> Result<Vec<Record>, StoreError> {
        let parcel = Parcel::open(bytes)?;
        let (mut rows, mut at) = (Vec::new(), parcel.first());
        while let Some(next) = parcel.rows(at, &mut |row| rows.push(row))? {
            at = next;
        }
        Ok(rows)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let sent: Vec<Record> = (0..100).map(|i| record(i, &format!("parcel_{}", i % 7))).collect();
        let mut packing = Packing::new(1000);
        assert!(packing.add(&sent[..1]) && packing.add(&sent[1..3]));
        sent[3..].iter().for_each(|row| assert!(packing.add(std::slice::from_ref(row))));
        let bytes = packing.finish();
        let got = unpacked(&bytes).expect("a parcel");
        assert!(got.len() == sent.len() && got.iter().zip(&sent).all(|(a, b)| a.same(b)));
        assert!(Packing::new(0).finish().is_empty());
        // Cut off anywhere it is refused, but for the ends of rows.
        let whole = (0..bytes.len()).filter(|&len| unpacked(&bytes[..len]).is_ok()).count();
        assert_eq!(whole, 99, "between the 99 keys, and before the first");
    }

    #[test]
    fn what_is_of_one_vm_is_not_taken() {
        let mut writer = Writer::new();
        writer.int(1);
        let start = writer.len() as u32;
        writer.local_pid(4711);
        let mut packing = Packing::new(100);
        assert!(!packing.add(&[record(1, "parcel"), Record::build(&[0, start], &writer.buf, false, None)]));
        assert!(packing.finish().is_empty());
    }
}
