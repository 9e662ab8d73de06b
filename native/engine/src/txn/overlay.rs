//! The write set of a transaction: layers of changes, one per nesting level, over the committed tables.
//!
//! A read sees the committed rows with the changes of every layer applied, oldest first. Aborting a level drops its layer; committing an
//! inner level folds it into the one below.

use super::open::OpenTable;
use crate::table::{Change, Key, KeyBytes, Kind, Rows};
use crate::term::Record;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Rows of one key as a transaction sees them.
pub type Visible = SmallVec<[Record; 2]>;

/// Changed keys of one table, by identity.
#[derive(Default)]
struct Changed(BTreeMap<KeyBytes, (u64, Change)>);

/// Changes of one nesting level.
#[derive(Default)]
struct Layer(SmallVec<[(Arc<OpenTable>, Changed); 1]>);

impl Layer {
    #[inline]
    fn of(&self, table: &OpenTable) -> Option<&Changed> {
        self.0.iter().find(|(t, _)| t.id() == table.id()).map(|(_, c)| c)
    }
}

#[derive(Default)]
pub struct Overlay {
    layers: Vec<Layer>,
}

impl Overlay {
    pub fn push_level(&mut self) {
        self.layers.push(Layer::default());
    }

    /// Number of nesting levels.
    #[inline]
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// Drops the innermost level.
    pub fn drop_level(&mut self) {
        self.layers.pop();
    }

    /// Folds the innermost level into the one below it.
    pub fn merge_level(&mut self) {
        let (Some(top), Some(below)) = (self.layers.pop(), self.layers.last_mut()) else { return };
        for (table, changed) in top.0 {
            if below.of(&table).is_none() {
                below.0.push((table, changed));
                continue;
            }
            for (bytes, (hash, change)) in changed.0 {
                below.add(&table, Key { bytes, hash }, change);
            }
        }
    }

    pub fn clear(&mut self) {
        self.layers.clear();
    }

    /// Nothing has been written to this table.
    #[inline]
    pub fn untouched(&self, table: &OpenTable) -> bool {
        self.layers.iter().all(|l| l.of(table).is_none())
    }

    /// Number of changed keys.
    pub fn len(&self) -> usize {
        self.layers.iter().flat_map(|l| &l.0).map(|(_, changed)| changed.0.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.layers.iter().all(|l| l.0.is_empty())
    }

    /// Adds a change to the innermost level.
    pub fn add(&mut self, table: &Arc<OpenTable>, key: Key, change: Change) {
        if let Some(layer) = self.layers.last_mut() {
            layer.add(table, key, change);
        }
    }

    /// Is this key changed at any level?
    pub fn touches(&self, table: &OpenTable, key: &[u8]) -> bool {
        self.layers.iter().any(|l| l.of(table).is_some_and(|c| c.0.contains_key(key)))
    }

    /// The rows that the transaction sees, given the committed ones.
    pub fn over(&self, table: &OpenTable, key: &[u8], committed: &[Record]) -> Visible {
        let kind = table.kind();
        let mut rows: Option<Rows> = None;
        let mut changed = false;
        for change in self.changes(table, key) {
            if !changed {
                changed = true;
                rows = committed_rows(kind, change, committed);
            }
            rows = change.clone().apply(kind, rows.take());
        }
        if !changed {
            return committed.iter().cloned().collect();
        }
        rows.map_or_else(SmallVec::new, |r| r.as_slice().iter().cloned().collect())
    }

    fn changes<'a>(&'a self, table: &'a OpenTable, key: &'a [u8]) -> impl Iterator<Item = &'a Change> {
        self.layers.iter().filter_map(move |l| l.of(table)?.0.get(key).map(|(_, c)| c))
    }

    /// The next changed key of a table in identity order.
    pub fn key_after(&self, table: &OpenTable, after: Option<&[u8]>) -> Option<Key> {
        let bound = after.map_or(Bound::Unbounded, Bound::Excluded);
        let next = |l: &Layer| {
            let (bytes, (hash, _)) = l.of(table)?.0.range::<[u8], _>((bound, Bound::Unbounded)).next()?;
            Some((bytes.clone(), *hash))
        };
        self.layers.iter().filter_map(next).min().map(|(bytes, hash)| Key { bytes, hash })
    }

    /// The changed key of a table before this one.
    pub fn key_before(&self, table: &OpenTable, before: Option<&[u8]>) -> Option<Key> {
        let bound = before.map_or(Bound::Unbounded, Bound::Excluded);
        let next = |l: &Layer| {
            let (bytes, (hash, _)) = l.of(table)?.0.range::<[u8], _>((Bound::Unbounded, bound)).next_back()?;
            Some((bytes.clone(), *hash))
        };
        self.layers.iter().filter_map(next).max().map(|(bytes, hash)| Key { bytes, hash })
    }

    /// Takes everything out, for the commit of the outermost level.
    pub fn take_all(&mut self) -> Vec<(Arc<OpenTable>, Key, Change)> {
        while self.layers.len() > 1 {
            self.merge_level();
        }
        let Some(layer) = self.layers.pop() else { return Vec::new() };
        let mut all = Vec::new();
        for (table, changed) in layer.0 {
            all.extend(changed.0.into_iter().map(|(bytes, (hash, change))| (table.clone(), Key { bytes, hash }, change)));
        }
        all
    }
}

/// A change that replaces everything needs no copy of what was there.
fn committed_rows(kind: Kind, change: &Change, committed: &[Record]) -> Option<Rows> {
    match change {
        Change::Bag { cleared: false, .. } if kind.is_bag() => Rows::new(committed.to_vec()),
        _ => None,
    }
}

impl Layer {
    fn add(&mut self, table: &Arc<OpenTable>, key: Key, change: Change) {
        let at = match self.0.iter().position(|(t, _)| t.id() == table.id()) {
            Some(at) => at,
            None => {
                self.0.push((table.clone(), Changed::default()));
                self.0.len() - 1
            }
        };
        use std::collections::btree_map::Entry::{Occupied, Vacant};
        match self.0[at].1 .0.entry(key.bytes) {
            Vacant(place) => {
                place.insert((key.hash, change));
            }
            Occupied(mut place) => {
                let before = std::mem::replace(&mut place.get_mut().1, Change::Delete);
                place.get_mut().1 = before.then(change);
            }
        }
    }
}
