//! Ranges of values.

use super::{forms_len, Entry, Index};
use crate::table::key::KeyBytes;
use crate::table::store::range::{begin, end};
use crate::term::range::Range;
use smallvec::SmallVec;
use std::ops::Bound;

impl Index {
    /// Keys of up to `max` entries whose values are in the range, after an entry. Answers the last entry if there may be more.
    pub fn keys_in(&self, range: &Range, after: Option<&[u8]>, max: usize, mut f: impl FnMut(KeyBytes)) -> Option<Vec<u8>> {
        if range.is_empty() {
            return None;
        }
        let entries = self.entries.read();
        let mut last: Option<&Entry> = None;
        let mut visited = 0;
        for entry in entries.range::<[u8], _>((begin(range, after), end(range))).take(max) {
            f(SmallVec::from_slice(&entry[forms_len(entry, self.fields().len())..]));
            last = Some(entry);
            visited += 1;
        }
        last.filter(|_| visited == max).map(|entry| entry.to_vec())
    }

    /// As [`Index::keys_in`], from the last entry to the first.
    pub fn keys_back(&self, range: &Range, before: Option<&[u8]>, max: usize, mut f: impl FnMut(KeyBytes)) -> Option<Vec<u8>> {
        if range.is_empty() {
            return None;
        }
        let entries = self.entries.read();
        let to = before.map_or(end(range), Bound::Excluded);
        let mut last: Option<&Entry> = None;
        let mut visited = 0;
        for entry in entries.range::<[u8], _>((begin(range, None), to)).rev().take(max) {
            f(SmallVec::from_slice(&entry[forms_len(entry, self.fields().len())..]));
            last = Some(entry);
            visited += 1;
        }
        last.filter(|_| visited == max).map(|entry| entry.to_vec())
    }

    /// Entries in a range, counted up to `max`.
    pub fn count_range(&self, range: &Range, max: usize) -> usize {
        if range.is_empty() {
            return 0;
        }
        self.entries.read().range::<[u8], _>((begin(range, None), end(range))).take(max).count()
    }
}
