//! Ranges of keys and index values, as a planner counts and a scan visits them.

use super::index::IndexId;
use super::key::KeyBytes;
use super::{Cursor, Table};
use crate::term::range::Range;
use crate::term::Record;

/// Rows looked at for an estimate.
const SAMPLE: usize = 1024;
/// Parts of a hash table that the sample comes from.
const SAMPLED_PARTS: usize = 4;

impl Table {
    /// Visits up to `max` keys of a range of an ordered_set in order; answers the last one if there may be more.
    pub fn scan_range(
        &self,
        range: &Range,
        after: Option<&[u8]>,
        max: usize,
        f: impl FnMut(&KeyBytes, &[Record]),
    ) -> Option<KeyBytes> {
        self.store.scan_range(range, after, max, f)
    }

    /// Keys in ranges of an ordered_set, counted up to `max`.
    pub fn count_keys(&self, ranges: &[Range], max: usize) -> usize {
        counted(ranges, max, |range, max| self.store.count_range(range, max))
    }

    /// Entries of an index in ranges, counted up to `max`.
    pub fn count_values(&self, index: IndexId, ranges: &[Range], max: usize) -> usize {
        let list = self.indexes.load();
        let Some(index) = list.iter().find(|one| one.id == index) else { return 0 };
        counted(ranges, max, |range, max| index.count_range(range, max))
    }

    /// About how many rows of a hash table have a value of an index in the ranges, by a sample: rows lie there by hash, so
    /// those that come first are as good as any. An ordered_set has no such sample, nor has a table on disc.
    pub fn guess_values(&self, index: IndexId, ranges: &[Range]) -> Option<usize> {
        let index = self.indexes.find(index).filter(|_| !self.is_ordered() && self.disc().is_none())?;
        let (mut seen, mut within) = (0, 0);
        for part in 0..SAMPLED_PARTS {
            let mut cursor = Cursor::Place((part * self.store.parts() / SAMPLED_PARTS) as u32, 0);
            self.scan(&mut cursor, SAMPLE / SAMPLED_PARTS, |rows| {
                for row in rows.iter().take(SAMPLED_PARTS) {
                    let form = index.value(row);
                    seen += 1;
                    within += usize::from(ranges.iter().any(|range| range.contains(&form)));
                }
            });
        }
        // None of the sample is no proof that there is none.
        (seen > 0).then(|| (self.size() as f64 * (within as f64 + 0.5) / (seen as f64 + 1.0)) as usize)
    }
}

/// A range costs a look even if nothing is in it: many of them are not counted one by one.
fn counted(ranges: &[Range], max: usize, count: impl Fn(&Range, usize) -> usize) -> usize {
    if ranges.len() >= max {
        return max;
    }
    ranges.iter().fold(0, |sum, range| if sum < max { sum + count(range, max - sum) } else { sum })
}
