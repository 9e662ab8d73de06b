//! Unique indexes: a value is of one key.
//!
//! Whoever brings values claims them first: under the latch of the index it is looked whether another key has them, and the entries are put in
//! before the rows are. So of two who bring one value at the same time one is refused. Values that compare equal are one value (`1` and
//! `1.0`), `nil` is a value like others, and all rows of one key of a bag may have the same.
//!
//! A claim names a key whose row does not have the value yet, which readers do not mind: they look at the row.

use super::{Entries, Entry, Index, IndexId};
use crate::table::rows::Rows;
use crate::table::{Change, Key, Kind, Table};
use crate::term::Record;
use smallvec::SmallVec;
use std::ops::Bound;
use std::sync::Arc;

/// A record that has a value which another key has.
#[derive(Clone, Debug)]
pub struct Violation {
    pub table: u64,
    pub index: IndexId,
    /// The fields that are unique together.
    pub fields: Vec<usize>,
    pub record: Record,
}

impl Violation {
    pub(super) fn new(table: u64, index: &Index, record: Record) -> Violation {
        Violation { table, index: index.id, fields: index.fields().to_vec(), record }
    }
}

impl Entries<'_> {
    /// Entries of a value but for this one.
    pub(super) fn others<'a>(&'a self, value: &'a [u8], own: &'a Entry) -> impl Iterator<Item = &'a Entry> {
        let from = self.tree.range::<Entry, _>((Bound::Included(Entry::from_slice(value)), Bound::Unbounded));
        from.take_while(move |e| e.starts_with(value)).filter(move |e| *e != own)
    }
}

/// What changes bring to a unique index and take away from it.
pub struct Claim {
    table: u64,
    index: Arc<Index>,
    new: Vec<New>,
    gone: Vec<Entry>,
    claimed: Vec<Entry>,
}

struct New {
    entry: Entry,
    /// How much of the entry is the value.
    value: usize,
    record: Record,
}

impl Claim {
    pub fn new(table: u64, index: Arc<Index>) -> Claim {
        Claim { table, index, new: Vec::new(), gone: Vec::new(), claimed: Vec::new() }
    }

    /// Adds what becomes of one key.
    pub fn add(&mut self, kind: Kind, key: &Key, old: &[Record], change: &Change) {
        if let (Change::Put(new), [one]) = (change, old) {
            if self.index.same_value(new, one) {
                return;
            }
        }
        let after = after(kind, old, change);
        let values = |rows: &[Record]| rows.iter().map(|row| self.index.value(row)).collect::<SmallVec<[Vec<u8>; 1]>>();
        let (before, now) = (values(old), values(&after));
        for (value, record) in now.iter().zip(&after).filter(|(value, _)| !before.contains(value)) {
            self.new.push(New { entry: Entry::joined(value, &key.bytes), value: value.len(), record: record.clone() });
        }
        self.gone.extend(before.iter().filter(|value| !now.contains(value)).map(|value| Entry::joined(value, &key.bytes)));
    }

    /// Puts some of the new entries in, up to the first that must not be. What the same changes take away from other keys is free.
    fn put(&self, part: &[New], entries: &mut Entries, claimed: &mut Vec<Entry>) -> Result<(), Violation> {
        for New { entry, value, record } in part {
            if entries.others(&entry[..*value], entry).any(|other| self.gone.binary_search(other).is_err()) {
                return Err(Violation::new(self.table, &self.index, record.clone()));
            }
            if entries.put(entry.clone()) {
                claimed.push(entry.clone());
            }
        }
        Ok(())
    }

    fn undo(&mut self, entries: &mut Entries) {
        self.claimed.drain(..).for_each(|e| entries.remove(&e));
    }
}

/// Claims what is new in all of these indexes, each named once and in order of table and index, or nothing. Up to `step` values are claimed
/// at once; of more others may see some and be refused, although in the end they are not taken.
pub fn claim(claims: &mut [Claim], step: usize) -> Result<(), Violation> {
    claims.iter_mut().for_each(|claim| claim.gone.sort_unstable());
    if claims.iter().map(|claim| claim.new.len()).sum::<usize>() <= step {
        let indexes: SmallVec<[Arc<Index>; 2]> = claims.iter().map(|claim| claim.index.clone()).collect();
        let mut latched: SmallVec<[Entries; 2]> = indexes.iter().map(|index| index.latch()).collect();
        let put = claims.iter_mut().zip(&mut latched).try_for_each(|(claim, entries)| {
            let mut claimed = Vec::new();
            let put = claim.put(&claim.new, entries, &mut claimed);
            claim.claimed = claimed;
            put
        });
        if put.is_err() {
            claims.iter_mut().zip(&mut latched).for_each(|(claim, entries)| claim.undo(entries));
        }
        return put;
    }
    let put = claims.iter_mut().try_for_each(|claim| {
        let mut claimed = Vec::new();
        let put = claim.new.chunks(step).try_for_each(|part| claim.put(part, &mut claim.index.latch(), &mut claimed));
        claim.claimed = claimed;
        put
    });
    if put.is_err() {
        undo(claims, step);
    }
    put
}

/// Gives back what was claimed.
pub fn undo(claims: &mut [Claim], step: usize) {
    for claim in claims {
        while !claim.claimed.is_empty() {
            let part = claim.claimed.split_off(claim.claimed.len().saturating_sub(step));
            let mut entries = claim.index.latch();
            part.iter().for_each(|e| entries.remove(e));
        }
    }
}

impl Table {
    /// Claims what a change outside of transactions brings. Called under the latch of the key's shard.
    pub fn claim_one(&self, key: &Key, old: &[Record], change: &Change) -> Result<(), Violation> {
        let list = self.indexes.load();
        let mut claims: SmallVec<[Claim; 1]> =
            list.iter().filter(|index| index.is_unique()).map(|index| Claim::new(self.id, index.clone())).collect();
        claims.iter_mut().for_each(|claim| claim.add(self.kind(), key, old, change));
        claims.retain(|claim| !claim.new.is_empty());
        claim(&mut claims, usize::MAX)
    }
}

/// The rows after a change.
fn after(kind: Kind, old: &[Record], change: &Change) -> SmallVec<[Record; 1]> {
    match change {
        Change::Put(record) => SmallVec::from_elem(record.clone(), 1),
        Change::Delete => SmallVec::new(),
        bag @ Change::Bag { .. } => {
            let rows = bag.clone().apply(kind, Rows::new(old.to_vec()));
            rows.map_or_else(SmallVec::new, |rows| rows.as_slice().iter().cloned().collect())
        }
    }
}
