//! What was written to a table on disc and may not be there yet: in memory, in layers.
//!
//! Writers write to the newest layer. When the log has been moved to its place on disc up to some position, layers that were closed at or
//! before it are dropped as a whole, and the newest one is closed: so memory is bounded by what the log holds. A key of a layer hides
//! the same key below it; a layer that begins with an empty table hides everything below it.

use super::key::KeyBytes;
use super::rows::Rows;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// Closed layers that may be there at a time.
const CLOSED: usize = 2;
/// What an entry costs beside key and rows.
const ENTRY: usize = 64;

#[derive(Default)]
struct Layer {
    /// None: the key is gone.
    rows: BTreeMap<KeyBytes, Option<Rows>>,
    /// The table was emptied before it.
    hides: bool,
    bytes: usize,
    /// The log ended here when it was closed.
    tail: u64,
}

#[derive(Default)]
pub struct Layers {
    newest: Layer,
    /// The newer ones first.
    closed: VecDeque<Layer>,
}

/// Keys and what became of them.
pub type Part = Vec<(KeyBytes, Option<Rows>)>;

impl Layers {
    /// Those that count, the newest first.
    fn all(&self) -> impl Iterator<Item = &Layer> {
        let mut hidden = false;
        std::iter::once(&self.newest).chain(&self.closed).take_while(move |layer| {
            let seen = !hidden;
            hidden |= layer.hides;
            seen
        })
    }

    /// The rows of a key, or none if it is gone; nothing if what is below counts.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<Option<&Rows>> {
        if self.newest.rows.is_empty() && self.closed.is_empty() && !self.newest.hides {
            return None;
        }
        for layer in self.all() {
            if let Some(rows) = layer.rows.get(key) {
                return Some(rows.as_ref());
            }
        }
        self.hides_below().then_some(None)
    }

    /// What is below the layers does not count.
    pub fn hides_below(&self) -> bool {
        self.newest.hides || self.closed.iter().any(|layer| layer.hides)
    }

    pub fn put(&mut self, key: KeyBytes, rows: Option<Rows>) {
        let Layer { rows: all, bytes, .. } = &mut self.newest;
        let cost = |rows: &Option<Rows>| rows.as_ref().map_or(0, Rows::memory);
        *bytes += cost(&rows);
        let len = key.len();
        match all.insert(key, rows) {
            Some(before) => *bytes = bytes.saturating_sub(cost(&before)),
            None => *bytes += len + ENTRY,
        }
    }

    /// Up to `max` keys from one bound to the other, or backward, the last change of each; true if there may be more.
    pub fn part(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, backward: bool, max: usize) -> (Part, bool) {
        let mut part = Part::new();
        if is_empty(from, to) {
            return (part, false);
        }
        for layer in self.all().filter(|layer| !layer.rows.is_empty()) {
            let range = layer.rows.range::<[u8], _>((from, to));
            let copy = |(key, rows): (&KeyBytes, &Option<Rows>)| (key.clone(), rows.clone());
            match backward {
                true => part.extend(range.rev().take(max).map(copy)),
                false => part.extend(range.take(max).map(copy)),
            }
        }
        // Stable: of one key the newer comes first.
        match backward {
            true => part.sort_by(|a, b| b.0.cmp(&a.0)),
            false => part.sort_by(|a, b| a.0.cmp(&b.0)),
        }
        part.dedup_by(|later, first| later.0 == first.0);
        part.truncate(max);
        let more = part.len() == max;
        (part, more)
    }

    /// Empties the table; what was here goes to the caller.
    pub fn clear(&mut self) -> Box<dyn Send> {
        let gone = (std::mem::take(&mut self.newest), std::mem::take(&mut self.closed));
        self.newest.hides = true;
        Box::new(gone)
    }

    /// The disc has everything below a position, and the log ends at `tail`. What is dropped goes to the caller.
    pub fn flushed(&mut self, position: u64, tail: u64) -> Option<Box<dyn Send>> {
        let keep = self.closed.iter().position(|layer| layer.tail <= position).unwrap_or(self.closed.len());
        let gone = self.closed.split_off(keep);
        if self.closed.len() < CLOSED && (!self.newest.rows.is_empty() || self.newest.hides) {
            let mut closed = std::mem::take(&mut self.newest);
            closed.tail = tail;
            self.closed.push_front(closed);
        }
        (!gone.is_empty()).then(|| Box::new(gone) as Box<dyn Send>)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.newest.bytes + self.closed.iter().map(|layer| layer.bytes).sum::<usize>()
    }
}

/// A tree takes no such range.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to)) | (Bound::Excluded(from), Bound::Included(to)) => {
            from >= to
        }
        _ => false,
    }
}
