//! What a transaction holds and wants, and how many there were: for people who look, not for the engine.

use super::{Modes, OpenTable, Place, Txn};
use crate::table::Cursor;
use crate::term::Record;
use std::collections::HashMap;
use std::sync::Arc;

/// How transactions of a process ended.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Counts {
    pub commits: u64,
    pub failures: u64,
    pub restarts: u64,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.commits += other.commits;
        self.failures += other.failures;
        self.restarts += other.restarts;
    }
}

/// What a lock is on; a record by the hash of its key.
pub enum Item {
    Table(Arc<OpenTable>),
    Record(Arc<OpenTable>, u64),
    /// A name that belongs to no table.
    Global(u64),
}

impl Txn {
    /// The locks of tables as a whole, of records, and of names, with whether they exclude everybody.
    pub fn locks(&self) -> Vec<(Item, bool)> {
        let tables = self.held.tables().filter(|(_, modes)| modes.intersects(Modes::S.union(Modes::X)));
        let tables = tables.map(|(open, modes)| (Item::Table(open.clone()), modes.contains(Modes::X)));
        let records = self.held.records().filter_map(|(id, modes)| {
            let item = if id.table == 0 {
                Item::Global(id.hash)
            } else {
                Item::Record(self.held.tables().find(|(open, _)| open.id() == id.table)?.0.clone(), id.hash)
            };
            Some((item, modes.contains(Modes::X)))
        });
        tables.chain(records).collect()
    }

    /// The lock that it is queued for.
    pub fn queued(&self) -> Option<(Item, bool)> {
        let wanted = self.wanted.filter(|wanted| wanted.queued)?;
        let item = match wanted.place {
            Place::Table(table) => {
                let open = self.held.open(table).clone();
                let intention = wanted.modes.intersects(Modes::IS.union(Modes::IX));
                match self.meant.filter(|id| intention && id.table == open.id()) {
                    Some(id) => Item::Record(open, id.hash),
                    None => Item::Table(open),
                }
            }
            Place::Record(id) if id.table == 0 => Item::Global(id.hash),
            Place::Record(id) => Item::Record(self.held.tables().find(|(open, _)| open.id() == id.table)?.0.clone(), id.hash),
        };
        Some((item, wanted.modes.intersects(Modes::X.union(Modes::IX))))
    }

    /// A record with this key's hash that only the transaction has.
    pub fn written(&self, open: &OpenTable, hash: u64) -> Option<Record> {
        let keys = std::iter::successors(self.overlay.key_after(open, None), |key| self.overlay.key_after(open, Some(key)));
        keys.filter(|key| key.hash == hash).find_map(|key| self.overlay.over(open, &key, &open.table.rows(&key)).first().cloned())
    }
}

/// Finds records by the hashes of their keys: a walk through the whole table, as hashes lead to no key.
pub fn records_of(open: &OpenTable, hashes: &[u64]) -> HashMap<u64, Record> {
    let mut found = HashMap::new();
    let mut cursor = Cursor::default();
    while !matches!(cursor, Cursor::End) {
        open.table.scan(&mut cursor, 256, |rows| {
            if let Some(record) = rows.first() {
                let hash = open.table.key_of(record).hash;
                if hashes.contains(&hash) {
                    found.insert(hash, record.clone());
                }
            }
        });
    }
    found
}
