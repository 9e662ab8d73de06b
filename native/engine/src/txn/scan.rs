//! Visiting rows in steps: by key, by index value, or all of them, committed rows and write set merged.
//!
//! A scan holds no latch between steps, so each step can be as short as the scheduler wants. What keeps phantoms out is the lock its
//! transaction has taken for the plan.

use super::open::OpenTable;
use super::overlay::Overlay;
use crate::table::{Cursor, Key, KeyBytes};
use crate::term::Record;
use smallvec::SmallVec;
use std::sync::Arc;

/// Keys of an index whose rows are fetched ahead together.
const BATCH: usize = 16;

/// How to find the rows.
#[derive(Clone, Debug)]
pub enum Plan {
    /// The rows of one key.
    Key(Key),
    /// Rows whose field has a value of this ordered form. `1` and `1.0` share a form: the visitor compares the field.
    Index { field: usize, form: Vec<u8> },
    /// Every row.
    All,
}

/// A scan and where it is.
#[derive(Clone)]
pub struct Scan {
    pub open: Arc<OpenTable>,
    pub plan: Plan,
    place: Place,
}

#[derive(Clone)]
enum Place {
    /// In the committed rows of a hash table or tree.
    Base(Cursor),
    /// In the index, after this key.
    Index(Option<KeyBytes>),
    /// In keys that only the write set has, after this one.
    Added(Option<Key>),
    Done,
}

impl Scan {
    pub fn new(open: Arc<OpenTable>, plan: Plan) -> Scan {
        let place = match plan {
            Plan::Index { .. } => Place::Index(None),
            _ => Place::Base(Cursor::Start),
        };
        Scan { open, plan, place }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.place, Place::Done)
    }

    /// Visits the rows of up to about `max` keys. The visitor may run under a read latch: it does bounded work and calls nothing
    /// of the table.
    pub fn step(&mut self, overlay: Option<&Overlay>, max: usize, visit: &mut dyn FnMut(&[Record])) {
        let open = self.open.clone();
        let overlay = overlay.filter(|o| !o.untouched(&open));
        match (&self.plan, &mut self.place) {
            (_, Place::Done) => {}
            (Plan::Key(key), _) => {
                match overlay {
                    Some(overlay) => visit(&overlay.over(&open, key, &open.table.rows(key))),
                    None => open.table.look(key, visit),
                }
                self.place = Place::Done;
            }
            (Plan::All, Place::Base(cursor)) => {
                match overlay {
                    None => open.table.scan(cursor, max, visit),
                    Some(overlay) if open.table.is_ordered() => return self.ordered_step(overlay, max, visit),
                    Some(overlay) => {
                        // Rows are looked up again outside the latch only when the write set has their key.
                        open.table.scan(cursor, max, |rows| {
                            let key = open.table.key_of(&rows[0]);
                            if overlay.touches(&open, &key) {
                                visit(&overlay.over(&open, &key, rows));
                            } else {
                                visit(rows);
                            }
                        });
                    }
                }
                if *cursor == Cursor::End {
                    self.place = if overlay.is_some() { Place::Added(None) } else { Place::Done };
                }
            }
            (Plan::Index { field, form }, Place::Index(after)) => {
                let Some(index) = open.table.index(*field) else { return self.place = Place::Done };
                let keys = index.keys(form, after.as_deref(), max);
                let end = keys.len() < max;
                // Rows lie all over the memory: what will be read is fetched ahead.
                for batch in keys.chunks(BATCH) {
                    let batch: SmallVec<[Key; BATCH]> = batch.iter().map(|bytes| Key::of(bytes.clone())).collect();
                    batch.iter().for_each(|key| open.table.prefetch(key));
                    batch.iter().for_each(|key| open.table.prefetch_rows(key));
                    for key in batch.iter().filter(|key| !overlay.is_some_and(|o| o.touches(&open, key))) {
                        open.table.look(key, &mut *visit);
                    }
                }
                *after = keys.into_iter().next_back();
                if end {
                    self.place = if overlay.is_some() { Place::Added(None) } else { Place::Done };
                }
            }
            (plan, Place::Added(after)) => {
                let by_index = matches!(plan, Plan::Index { .. });
                let Some(overlay) = overlay else { return self.place = Place::Done };
                for _ in 0..max {
                    let Some(key) = overlay.key_after(&open, after.as_ref()) else { return self.place = Place::Done };
                    let committed = open.table.rows(&key);
                    // A full scan has visited the keys that are committed; an index scan left every touched key for here.
                    if by_index || committed.is_empty() {
                        visit(&overlay.over(&open, &key, &committed));
                    }
                    *after = Some(key);
                }
            }
            _ => self.place = Place::Done,
        }
    }

    /// One step through an ordered_set: rows of tree and write set in one order.
    fn ordered_step(&mut self, overlay: &Overlay, max: usize, visit: &mut dyn FnMut(&[Record])) {
        let Place::Base(cursor) = &mut self.place else { return };
        let from = match cursor {
            Cursor::After(key) => Some(Key::of(key.clone())),
            _ => None,
        };
        let table = &self.open.table;
        let mut base: Vec<(KeyBytes, Record)> = Vec::with_capacity(max);
        table.scan(cursor, max, |rows| base.push((table.key_of(&rows[0]).bytes, rows[0].clone())));
        // The write set is merged up to the last key seen, or to its end when the tree has ended.
        let end = match cursor {
            Cursor::After(last) => Some(last.clone()),
            _ => None,
        };
        let mut base = base.into_iter().peekable();
        let mut after = from;
        loop {
            let changed = overlay.key_after(&self.open, after.as_ref());
            let changed = changed.filter(|k| end.as_ref().is_none_or(|end| k.bytes <= *end));
            let limit = changed.as_ref().map(|k| &k.bytes);
            while let Some((_, record)) = base.next_if(|(k, _)| limit.is_none_or(|l| k < l)) {
                visit(&[record]);
            }
            let Some(key) = changed else { break };
            let committed = base.next_if(|(k, _)| *k == key.bytes).map(|(_, r)| r);
            visit(&overlay.over(&self.open, &key, committed.as_slice()));
            after = Some(key);
        }
        if *cursor == Cursor::End {
            self.place = Place::Done;
        }
    }
}
