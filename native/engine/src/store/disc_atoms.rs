//! The dictionary: on disc an atom is a number, and the number means a text.
//!
//! Numbers are given out in order, to atoms that are written for the first time and to atoms that are read at start, and mean the
//! same for ever in one database. Looking one up, either way, takes no latch: it is done for every atom of every record.

use super::StoreError;
use crate::term::atom::{host, text};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::OnceLock;

/// Numbers are below this, so that on disc every atom takes four bytes.
pub const MOST: usize = 1 << 24;

const PAGE: usize = 1024;
/// Words of the VM below this have a place of their own in `by_word`.
const WORDS: u64 = 1 << 24;
/// Words of neighbouring atoms differ by at least 16 on every VM so far; others meet in one place, which costs time only.
const WORD_SHIFT: u32 = 4;

type Page<T> = OnceLock<Box<[T]>>;
/// Set once.
type Text = OnceLock<Box<[u8]>>;

pub struct Dictionary {
    /// By word: the word (low half) and its number plus one. Zero where nothing was looked up yet.
    by_word: Box<[Page<AtomicU64>]>,
    /// By number: its word plus one; zero as long as the VM was not asked for the atom.
    by_id: Box<[Page<AtomicU64>]>,
    texts: Box<[Page<Text>]>,
    /// Words that have no place in `by_word`, and texts. Also the latch of everybody who changes something.
    index: Mutex<Index>,
    made: AtomicUsize,
    /// Atoms that may be made in the VM.
    limit: usize,
}

#[derive(Default)]
struct Index {
    by_text: HashMap<Box<[u8]>, u32>,
    by_word: HashMap<u64, u32>,
    next: u32,
}

fn pages<T>(count: usize) -> Box<[Page<T>]> {
    (0..count).map(|_| OnceLock::new()).collect()
}

fn place<T: Default>(pages: &[Page<T>], at: usize) -> Option<&T> {
    let page = pages.get(at / PAGE)?;
    page.get_or_init(|| (0..PAGE).map(|_| T::default()).collect()).get(at % PAGE)
}

fn known<T>(pages: &[Page<T>], at: usize) -> Option<&T> {
    pages.get(at / PAGE)?.get()?.get(at % PAGE)
}

impl Dictionary {
    /// An empty one; reading may make `limit` atoms in the VM.
    pub fn new(limit: usize) -> Dictionary {
        Dictionary {
            by_word: pages(((WORDS >> WORD_SHIFT) as usize) / PAGE),
            by_id: pages(MOST / PAGE),
            texts: pages(MOST / PAGE),
            index: Mutex::default(),
            made: AtomicUsize::new(0),
            limit,
        }
    }

    /// The number of an atom of the VM; a new one if it has none.
    #[inline]
    pub fn id(&self, word: u64) -> Result<u32, StoreError> {
        if word < WORDS {
            if let Some(found) = known(&self.by_word, (word >> WORD_SHIFT) as usize) {
                let found = found.load(Ordering::Acquire);
                if found & 0xffff_ffff == word && found != 0 {
                    return Ok((found >> 32) as u32 - 1);
                }
            }
        }
        self.number(word)
    }

    #[cold]
    fn number(&self, word: u64) -> Result<u32, StoreError> {
        let mut index = self.index.lock();
        if let Some(&id) = index.by_word.get(&word) {
            return Ok(id);
        }
        let text = text(word);
        let id = match index.by_text.get(text) {
            Some(&id) => id,
            None => {
                let id = index.next;
                if id as usize >= MOST {
                    return Err(StoreError::TooManyAtoms { limit: MOST });
                }
                self.insert(&mut index, id, text);
                id
            }
        };
        self.pair(&mut index, id, word);
        Ok(id)
    }

    /// Remembers that this number and this word of the VM are one atom.
    fn pair(&self, index: &mut Index, id: u32, word: u64) {
        if let Some(slot) = place(&self.by_id, id as usize) {
            slot.store(word + 1, Ordering::Release);
        }
        let own = if word < WORDS { place(&self.by_word, (word >> WORD_SHIFT) as usize) } else { None };
        match own {
            Some(slot) if slot.load(Ordering::Relaxed) == 0 => slot.store(word | u64::from(id + 1) << 32, Ordering::Release),
            _ => {
                index.by_word.insert(word, id);
            }
        }
    }

    fn insert(&self, index: &mut Index, id: u32, text: &[u8]) {
        if let Some(slot) = place(&self.texts, id as usize) {
            let _ = slot.set(text.into());
        }
        index.by_text.insert(text.into(), id);
        index.next = index.next.max(id + 1);
    }

    /// Learns an atom from disc: false if the number means another text, or cannot be one.
    pub fn learn(&self, id: u32, text: &[u8]) -> bool {
        if id as usize >= MOST || text.len() > 4 * 255 || std::str::from_utf8(text).is_err() {
            return false;
        }
        let mut index = self.index.lock();
        match known(&self.texts, id as usize).and_then(OnceLock::get) {
            Some(known) => **known == *text,
            None => {
                self.insert(&mut index, id, text);
                true
            }
        }
    }

    /// Text of a number that was given out or learnt; empty for any other.
    pub fn text(&self, id: u32) -> &[u8] {
        known(&self.texts, id as usize).and_then(OnceLock::get).map_or(&[], |text| text)
    }

    /// The VM's word of an atom. Makes the atom if the VM has not been asked before and the limit allows it; None for a
    /// number that means nothing.
    #[inline]
    pub fn word(&self, id: u32) -> Result<Option<u64>, StoreError> {
        match known(&self.by_id, id as usize).map_or(0, |slot| slot.load(Ordering::Acquire)) {
            0 => self.make(id),
            word => Ok(Some(word - 1)),
        }
    }

    #[cold]
    fn make(&self, id: u32) -> Result<Option<u64>, StoreError> {
        let Some(text) = known(&self.texts, id as usize).and_then(OnceLock::get) else { return Ok(None) };
        let mut index = self.index.lock();
        if let Some(word) = known(&self.by_id, id as usize).map(|s| s.load(Ordering::Acquire)).filter(|&w| w != 0) {
            return Ok(Some(word - 1));
        }
        if self.made.load(Ordering::Relaxed) >= self.limit {
            return Err(StoreError::TooManyAtoms { limit: self.limit });
        }
        let Some(word) = host().atom_word(text) else { return Ok(None) };
        self.made.fetch_add(1, Ordering::Relaxed);
        self.pair(&mut index, id, word);
        Ok(Some(word))
    }

    /// Makes an atom in the VM if the limit allows it and it was not made before.
    pub fn admit(&self, text: &[u8]) -> Result<(), StoreError> {
        self.word(self.id_of_text(text)?).map(drop)
    }

    /// The number of a text, a new one if it has none. Makes no atom.
    pub fn id_of_text(&self, text: &[u8]) -> Result<u32, StoreError> {
        let mut index = self.index.lock();
        if let Some(&id) = index.by_text.get(text) {
            return Ok(id);
        }
        let id = index.next;
        if id as usize >= MOST {
            return Err(StoreError::TooManyAtoms { limit: MOST });
        }
        self.insert(&mut index, id, text);
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::atom::plain::intern;

    #[test]
    fn both_ways() {
        let written = Dictionary::new(10);
        let words: Vec<u64> = (0..2000).map(|i| intern(&format!("dictionary_{i}"))).collect();
        let ids: Vec<u32> = words.iter().map(|&w| written.id(w).expect("room")).collect();
        assert_eq!(ids, (0..2000).collect::<Vec<u32>>());
        assert_eq!(written.word(7), Ok(Some(words[7])), "known already: counts for nothing");
        let read = Dictionary::new(10);
        assert!(read.learn(7, b"dictionary_7") && read.learn(7, b"dictionary_7") && !read.learn(7, b"other"));
        assert_eq!(read.word(7), Ok(Some(words[7])));
        assert_eq!(read.word(8), Ok(None));
        assert_eq!(read.id(words[0]), Ok(8), "numbers go on after those that were learnt");
        (20..40).for_each(|id| assert!(read.learn(id, written.text(id))));
        let made = (20..40).take_while(|&id| read.word(id).is_ok()).count();
        assert_eq!(made, 9, "ten with the first");
        assert_eq!(read.word(39), Err(StoreError::TooManyAtoms { limit: 10 }));
    }
}
