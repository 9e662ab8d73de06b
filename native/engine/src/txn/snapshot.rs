//! Several tables as they were at one moment.
//!
//! The moment is one at which all latches of all these tables are held and no large commit is being applied to any of them: small commits
//! and writes outside transactions happen under latches, so each is there as a whole or not at all. Nobody's locks are asked for, and
//! writers wait only for as long as it takes to take and give back the latches.

use super::OpenTable;
use crate::table::{Cursor, Images, Key};
use crate::term::Record;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Snapshot {
    tables: Vec<(Arc<OpenTable>, Arc<Images>)>,
    /// How long the latches were held.
    pub pause: Duration,
}

impl Snapshot {
    /// None while a large commit is being applied to one of them, or it is about to go: try again.
    pub fn begin(mut tables: Vec<Arc<OpenTable>>) -> Option<Snapshot> {
        // The order of latches.
        tables.sort_by_key(|open| open.id());
        tables.dedup_by_key(|open| open.id());
        let begun = Instant::now();
        let latches: Vec<_> = tables.iter().map(|open| open.table.latch_all()).collect();
        // One that begins later changes its first row when we are done.
        // One on disc alone that is being replaced has handed its rows over already.
        if tables.iter().any(|open| open.is_committing() || (open.table.disc().is_some() && open.is_frozen())) {
            return None;
        }
        let images: Vec<_> = tables.iter().map(|open| open.table.keep_images()).collect();
        drop(latches);
        let pause = begun.elapsed();
        Some(Snapshot { tables: tables.into_iter().zip(images).collect(), pause })
    }

    fn find(&self, name: &[u8]) -> Option<&(Arc<OpenTable>, Arc<Images>)> {
        self.tables.iter().find(|(open, _)| *open.name == *name)
    }

    /// The table of a name, as it was called then.
    pub fn table(&self, name: &[u8]) -> Option<&Arc<OpenTable>> {
        self.find(name).map(|(open, _)| open)
    }

    /// The rows of a key.
    pub fn read(&self, name: &[u8], key: &Key) -> Option<Vec<Record>> {
        self.find(name).map(|(open, images)| open.table.look_back(images, key))
    }

    /// Visits some keys of a table from the cursor on; `None` if it is none of these.
    pub fn scan(&self, name: &[u8], cursor: &mut Cursor, f: impl FnMut(&[Record])) -> Option<()> {
        self.find(name).map(|(open, images)| open.table.scan_back(images, cursor, f))
    }

    /// Keys that were changed since.
    pub fn kept(&self) -> usize {
        self.tables.iter().map(|(_, images)| images.len()).sum()
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.tables.drain(..).for_each(|(open, images)| open.table.drop_images(images));
    }
}
