//! What a table was at one moment, for whoever reads it slowly while others write.
//!
//! From that moment on a writer keeps the rows of a key as they were before it changes them for the first time, under the latch that it
//! holds anyway. A reader takes such a before-image where there is one, and the rows of the table where there is none, under the
//! read latch of the same part: so it never sees a key of two moments. (One key of a table on disc alone is read without: rows first,
//! images then, and a writer keeps an image before it writes.)
//!
//! A scan goes through the table in its scan order. Images stand in that order too, so each step tells the images of just the places
//! that it goes through, and a key is told once, whenever it is changed. A table that is emptied hands all its rows over; one on disc
//! alone reads them into memory for that.

use super::key::{Key, KeyBytes};
use super::rows::Rows;
use super::store::{Latched, Span, Store};
use super::{Cursor, Table};
use crate::reaper;
use crate::sync::{AtomicBool, Mutex, Ordering, RwLock};
use crate::term::Record;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Place of a key in the scan order of its part: the hash read backwards, and in a tree the key alone.
pub type Place = (u32, KeyBytes);
type Part = Mutex<BTreeMap<Place, Option<Rows>>>;

/// Keys visited under one latch.
const STEP: usize = 256;

/// The before-images of one table since one moment.
pub struct Images {
    parts: Box<[Part]>,
    /// The rows of the table since it was emptied; it changes no more.
    base: OnceLock<Arc<Store>>,
}

/// All that keep images of a table.
pub struct All {
    /// What writers look at.
    any: AtomicBool,
    list: RwLock<Vec<Arc<Images>>>,
}

impl Default for All {
    fn default() -> Self {
        All { any: AtomicBool::new(false), list: RwLock::default() }
    }
}

impl All {
    /// Does anybody keep what is changed?
    #[inline]
    pub fn any(&self) -> bool {
        // Written under the latches of all parts, read under one of them.
        self.any.load(Ordering::Relaxed)
    }

    /// Keeps the rows of a key that is about to be changed, under the latch of its part.
    #[cold]
    pub fn keep(&self, part: usize, key: &Key, hashed: bool, rows: &Option<Rows>) {
        for images in self.list.read().iter() {
            if images.base.get().is_none() {
                images.parts[part].lock().entry(place(key, hashed)).or_insert_with(|| rows.clone());
            }
        }
    }

    /// The table is about to be emptied; these are its latches.
    pub fn take(&self, latches: &mut [Latched]) {
        let list = self.list.read();
        let mut wanted = list.iter().filter(|images| images.base.get().is_none()).peekable();
        if wanted.peek().is_some() {
            let rows = Arc::new(Store::taken_from(latches));
            wanted.for_each(|images| _ = images.base.set(rows.clone()));
        }
    }
}

fn place(key: &Key, hashed: bool) -> Place {
    (if hashed { (key.hash as u32).reverse_bits() } else { 0 }, key.bytes.clone())
}

impl Table {
    /// Begins to keep images. The caller holds the latches of all parts.
    pub fn keep_images(&self) -> Arc<Images> {
        let images =
            Arc::new(Images { parts: (0..self.store.parts()).map(|_| Part::default()).collect(), base: OnceLock::new() });
        self.images.list.write().push(images.clone());
        self.images.any.store(true, Ordering::Relaxed);
        images
    }

    /// A table on disc alone is about to be replaced or dropped, after which its rows are not there to be read.
    pub fn hand_over(&self) {
        if self.disc().is_some() && self.images.any() {
            self.images.take(&mut self.latch_all());
        }
    }

    pub fn drop_images(&self, images: Arc<Images>) {
        {
            let mut list = self.images.list.write();
            list.retain(|other| !Arc::ptr_eq(other, &images));
            if list.is_empty() {
                self.images.any.store(false, Ordering::Relaxed);
            }
        }
        reaper::drop_later(images);
    }

    /// The rows of a key as they were.
    pub fn look_back(&self, images: &Images, key: &Key) -> Vec<Record> {
        let (part, place) = (self.store.part(key), place(key, self.store.is_hashed()));
        let live = self.store.look(key, |rows| images.base.get().is_none().then(|| images.rows(part, &place, rows)));
        live.unwrap_or_else(|| {
            images.base.get().map_or_else(Vec::new, |base| base.look(key, |rows| images.rows(part, &place, rows)))
        })
    }

    /// Visits some keys as they were, from the cursor on.
    pub fn scan_back(&self, images: &Images, cursor: &mut Cursor, mut f: impl FnMut(&[Record])) {
        let hashed = self.store.is_hashed();
        let mut visit = |part: usize, rows: &Rows| {
            let kept = images.parts[part].lock();
            if kept.is_empty() || !kept.contains_key(&place(&self.key_of(rows.first()), hashed)) {
                f(rows.as_slice());
            }
        };
        let live = || images.base.get().is_none();
        let mut span = self.store.scan_part(cursor, STEP, live, &mut visit);
        if let (None, Some(base)) = (&span, images.base.get()) {
            span = base.scan_part(cursor, STEP, || true, &mut visit);
        }
        let Some(Span { part, latch: _latch, from, to }) = span else { return *cursor = Cursor::End };
        // Still under the latch.
        let kept = images.parts[part].lock();
        kept.range((from, to)).filter_map(|(_, rows)| rows.as_ref()).for_each(|rows| f(rows.as_slice()));
    }
}

impl Images {
    fn rows(&self, part: usize, place: &Place, now: &[Record]) -> Vec<Record> {
        match self.parts[part].lock().get(place) {
            Some(rows) => rows.as_ref().map_or_else(Vec::new, |rows| rows.as_slice().to_vec()),
            None => now.to_vec(),
        }
    }

    /// Keys that were changed since.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
