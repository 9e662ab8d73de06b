//! Parts of a tree.

use super::{Store, BATCH};
use crate::table::key::KeyBytes;
use crate::table::rows::Rows;
use crate::term::range::Range;
use crate::term::Record;
use smallvec::SmallVec;
use std::ops::Bound;

/// Where a walk through a range begins: after a key, or at the low end.
pub fn begin<'a>(range: &'a Range, after: Option<&'a [u8]>) -> Bound<&'a [u8]> {
    match after {
        Some(key) => Bound::Excluded(key),
        None => Bound::Included(&range.low),
    }
}

pub fn end(range: &Range) -> Bound<&[u8]> {
    range.high.as_deref().map_or(Bound::Unbounded, Bound::Excluded)
}

impl Store {
    /// Visits up to `max` keys of a range of an ordered_set, under one read latch; answers the last one if there may be more. `after`
    /// must be in the range.
    pub fn scan_range(
        &self,
        range: &Range,
        after: Option<&[u8]>,
        max: usize,
        mut f: impl FnMut(&KeyBytes, &[Record]),
    ) -> Option<KeyBytes> {
        if range.is_empty() {
            return None;
        }
        let tree = match self {
            Store::Ordered(tree) => tree.inner.read(),
            Store::Disc(disc) => return disc.scan_range((begin(range, after), end(range)), max, f),
            Store::Hash(_) => return None,
        };
        let mut keys =
            tree.range::<KeyBytes, _>((begin(range, after).map(KeyBytes::from), end(range).map(KeyBytes::from))).take(max);
        let (mut last, mut visited) = (None, 0);
        loop {
            let batch: SmallVec<[(&KeyBytes, &Rows); BATCH]> = keys.by_ref().take(BATCH).collect();
            batch.iter().for_each(|(_, rows)| rows.prefetch());
            let Some((key, _)) = batch.last() else { break };
            last = Some(*key);
            visited += batch.len();
            batch.into_iter().for_each(|(key, rows)| f(key, rows.as_slice()));
        }
        last.filter(|_| visited == max).cloned()
    }

    /// Keys in a range of an ordered_set, counted up to `max`.
    pub fn count_range(&self, range: &Range, max: usize) -> usize {
        match self {
            Store::Ordered(tree) if !range.is_empty() => {
                let bounds = (begin(range, None).map(KeyBytes::from), end(range).map(KeyBytes::from));
                tree.inner.read().range::<KeyBytes, _>(bounds).take(max).count()
            }
            Store::Disc(disc) if !range.is_empty() => disc.count_range(range, max),
            _ => 0,
        }
    }
}
