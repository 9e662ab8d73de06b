//! The write set of a transaction: layers of changes, one per nesting level, over the committed tables.
//!
//! A read sees the committed rows with the changes of every layer applied, oldest first. Aborting a level drops its layer; committing an
//! inner level folds it into the one below.

use super::held::TableRef;
use super::open::OpenTable;
use super::write_set::WriteSet;
use crate::table::{Change, Key, Kind, Rows};
use crate::term::Record;
use smallvec::SmallVec;

/// Rows of one key as a transaction sees them.
pub type Visible = SmallVec<[Record; 2]>;

/// Changes of one nesting level. Tables are told apart by their ids; the transaction keeps them alive.
#[derive(Default)]
struct Layer(SmallVec<[(u64, TableRef, WriteSet); 1]>);

impl Layer {
    #[inline]
    fn of(&self, table: &OpenTable) -> Option<&WriteSet> {
        self.0.iter().find(|(id, ..)| *id == table.id()).map(|(.., set)| set)
    }
}

#[derive(Default)]
pub struct Overlay {
    layers: Vec<Layer>,
    /// Write sets to use again: most transactions write few records.
    spare: Vec<WriteSet>,
}

/// Write sets kept for the next transaction of the process.
const SPARE: usize = 4;

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
        if let Some(layer) = self.layers.pop() {
            self.recycle(layer);
        }
    }

    fn recycle(&mut self, layer: Layer) {
        for (.., mut set) in layer.0 {
            if self.spare.len() < SPARE && set.reset() {
                self.spare.push(set);
            }
        }
    }

    /// Folds the innermost level into the one below it.
    pub fn merge_level(&mut self) {
        let (Some(top), Some(below)) = (self.layers.pop(), self.layers.last_mut()) else { return };
        for (id, table, set) in top.0 {
            match below.0.iter_mut().find(|(other, ..)| *other == id) {
                Some((.., into)) => set.into_changes().for_each(|(key, change)| into.add(key, change)),
                None => below.0.push((id, table, set)),
            }
        }
    }

    #[inline]
    pub fn clear(&mut self) {
        while let Some(layer) = self.layers.pop() {
            self.recycle(layer);
        }
    }

    /// Nothing has been written to this table.
    #[inline]
    pub fn untouched(&self, table: &OpenTable) -> bool {
        self.layers.iter().all(|l| l.of(table).is_none())
    }

    /// A copy of what has been written to this table; None if that is nothing.
    pub fn of_table(&self, table: &OpenTable) -> Option<Overlay> {
        let sets = |layer: &Layer| layer.0.iter().filter(|(id, ..)| *id == table.id()).cloned().collect();
        let layers = || self.layers.iter().map(|layer| Layer(sets(layer)));
        (!self.untouched(table)).then(|| Overlay { layers: layers().collect(), spare: Vec::new() })
    }

    /// Number of changed keys of a table.
    pub fn len_of(&self, table: &OpenTable) -> usize {
        self.layers.iter().filter_map(|layer| layer.of(table)).map(WriteSet::len).sum()
    }

    /// Tables that are written to, some more than once.
    #[inline]
    pub fn tables(&self) -> impl Iterator<Item = TableRef> + '_ {
        self.layers.iter().flat_map(|layer| layer.0.iter().map(|(_, table, _)| *table))
    }

    /// Number of changed keys.
    pub fn len(&self) -> usize {
        self.layers.iter().flat_map(|l| &l.0).map(|(.., set)| set.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.layers.iter().all(|l| l.0.is_empty())
    }

    /// Adds a change to the innermost level.
    #[inline]
    pub fn add(&mut self, open: &OpenTable, table: TableRef, key: Key, change: Change) {
        let Some(layer) = self.layers.last_mut() else { return };
        let id = open.id();
        let at = layer.0.iter().position(|(other, ..)| *other == id).unwrap_or_else(|| {
            let mut set = self.spare.pop().unwrap_or_default();
            set.set_ordered(open.kind() == Kind::OrderedSet);
            layer.0.push((id, table, set));
            layer.0.len() - 1
        });
        layer.0[at].2.add(key, change);
    }

    /// Is this key changed at any level?
    #[inline]
    pub fn touches(&self, table: &OpenTable, key: &Key) -> bool {
        self.layers.iter().any(|l| l.of(table).is_some_and(|set| set.get(key).is_some()))
    }

    /// The rows that the transaction sees, given the committed ones.
    pub fn over(&self, table: &OpenTable, key: &Key, committed: &[Record]) -> Visible {
        let kind = table.kind();
        let mut rows: Option<Rows> = None;
        let mut changed = false;
        for change in self.layers.iter().filter_map(|l| l.of(table)?.get(key)) {
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

    /// The changed key of a table after this one: in key order for an ordered_set, else in the order of the first change, level by
    /// level. Each is answered once.
    pub fn key_after(&self, table: &OpenTable, after: Option<&Key>) -> Option<Key> {
        if table.table.is_ordered() {
            let sets = self.layers.iter().filter_map(|l| l.of(table));
            return sets.filter_map(|set| set.ordered_after(after)).min_by(|a, b| a.bytes.cmp(&b.bytes)).cloned();
        }
        let sets = || self.layers.iter().filter_map(|l| l.of(table));
        // A key that is not there any more was of a level that was given up, and those come last.
        let (first, mut from) = match after {
            Some(key) => sets().enumerate().find_map(|(layer, set)| Some((layer, set.position(key)? + 1)))?,
            None => (0, 0),
        };
        for (layer, set) in sets().enumerate().skip(first) {
            let mut keys = set.keys_from(from);
            if let Some(key) = keys.find(|key| !sets().take(layer).any(|below| below.get(key).is_some())) {
                return Some(key.clone());
            }
            from = 0;
        }
        None
    }

    /// The first changed key of an ordered_set from these bytes on.
    pub fn key_from(&self, table: &OpenTable, low: &[u8]) -> Option<Key> {
        let sets = self.layers.iter().filter_map(|l| l.of(table));
        sets.filter_map(|set| set.ordered_from(low)).min_by(|a, b| a.bytes.cmp(&b.bytes)).cloned()
    }

    /// The changed key of an ordered_set before this one.
    pub fn key_before(&self, table: &OpenTable, before: Option<&Key>) -> Option<Key> {
        let sets = self.layers.iter().filter_map(|l| l.of(table));
        sets.filter_map(|set| set.ordered_before(before)).max_by(|a, b| a.bytes.cmp(&b.bytes)).cloned()
    }

    /// The write sets by table once all levels are one, for the commit of the outermost level.
    pub fn sets(&mut self) -> &mut [(u64, TableRef, WriteSet)] {
        while self.layers.len() > 1 {
            self.merge_level();
        }
        self.layers.first_mut().map_or(&mut [], |layer| &mut layer.0)
    }
}

/// A change that replaces everything needs no copy of what was there.
fn committed_rows(kind: Kind, change: &Change, committed: &[Record]) -> Option<Rows> {
    match change {
        Change::Bag { cleared: false, .. } if kind.is_bag() => Rows::new(committed.to_vec()),
        _ => None,
    }
}
