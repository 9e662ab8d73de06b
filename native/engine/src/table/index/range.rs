//! Ranges of values.

use super::{forms_len, Entry, Index};
use crate::table::key::KeyBytes;
use crate::table::store::range::{begin, end};
use crate::term::range::Range;
use std::ops::Bound;

impl Index {
    /// Keys of up to `max` entries whose values are in the range, after an entry. Answers the last entry if there may be more.
    pub fn keys_in(&self, range: &Range, after: Option<&[u8]>, max: usize, f: impl FnMut(KeyBytes)) -> Option<Vec<u8>> {
        self.visit(range, None, after, max, f)
    }

    /// The same if `bound` fields are one value in the range: if these are all, it is known where the keys begin.
    #[inline]
    pub fn keys_bound(
        &self,
        range: &Range,
        bound: usize,
        after: Option<&[u8]>,
        max: usize,
        f: impl FnMut(KeyBytes),
    ) -> Option<Vec<u8>> {
        self.visit(range, (bound == self.fields().len()).then_some(range.low.len()), after, max, f)
    }

    #[inline]
    fn visit(
        &self,
        range: &Range,
        key: Option<usize>,
        after: Option<&[u8]>,
        max: usize,
        mut f: impl FnMut(KeyBytes),
    ) -> Option<Vec<u8>> {
        if range.is_empty() {
            return None;
        }
        let entries = self.entries.read();
        let mut last: Option<&Entry> = None;
        let mut visited = 0;
        for entry in entries.range::<Entry, _>((begin(range, after).map(Entry::from), end(range).map(Entry::from))).take(max) {
            f(KeyBytes::from_slice(&entry[key.unwrap_or_else(|| forms_len(entry, self.fields().len()))..]));
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
        for entry in entries.range::<Entry, _>((begin(range, None).map(Entry::from), to.map(Entry::from))).rev().take(max) {
            f(KeyBytes::from_slice(&entry[forms_len(entry, self.fields().len())..]));
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
        let bounds = (begin(range, None).map(Entry::from), end(range).map(Entry::from));
        self.entries.read().range::<Entry, _>(bounds).take(max).count()
    }
}
