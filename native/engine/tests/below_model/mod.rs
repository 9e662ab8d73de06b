//! What lies below a table on disc, in memory, with a flush that is behind the table.
#![allow(dead_code)]

use remnesia_engine::sync::global::Mutex;
use remnesia_engine::table::below::{Below, Failure};
use remnesia_engine::table::{Cursor, Definition, Key, KeyBytes, Kind, Rows, Table};
use remnesia_engine::term::order::Beside;
use remnesia_engine::term::Record;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

type All = BTreeMap<KeyBytes, Vec<Record>>;

#[derive(Default, Clone)]
pub struct Model(Arc<Inner>);

#[derive(Default)]
struct Inner {
    all: Mutex<All>,
    tail: AtomicU64,
    /// What the next step of the flush brings, and up to where.
    coming: Mutex<Option<(All, u64, bool)>>,
    fails: AtomicBool,
    /// Microseconds that each read takes.
    waits: AtomicU64,
}

struct Stratum(Arc<Inner>, bool);

impl Model {
    pub fn table(&self, definition: Definition) -> Table {
        let ordered = definition.kind == Kind::OrderedSet;
        Table::on_disc(1, definition, Box::new(Stratum(self.0.clone(), ordered)))
    }

    /// From now on each read fails, or none.
    pub fn fail(&self, fails: bool) {
        self.0.fails.store(fails, Ordering::Relaxed);
    }

    /// From now on each read takes so long.
    pub fn wait(&self, time: Duration) {
        self.0.waits.store(time.as_micros() as u64, Ordering::Relaxed);
    }

    /// In turn: a layer is closed, what is in it comes to the disc, and it is dropped.
    pub fn step(&self, table: &Table) {
        let Some(disc) = table.disc() else { return };
        let mut coming = self.0.coming.lock();
        *coming = match coming.take() {
            None => {
                let (mut all, mut cursor) = (All::new(), Cursor::Start);
                while cursor != Cursor::End {
                    table.scan(&mut cursor, 7, |rows| drop(all.insert(table.key_of(&rows[0]).bytes, rows.to_vec())));
                }
                disc.flushed(0);
                Some((all, self.0.tail.load(Ordering::Relaxed), false))
            }
            Some((all, tail, false)) => {
                *self.0.all.lock() = all;
                Some((All::new(), tail, true))
            }
            Some((_, tail, true)) => {
                disc.flushed(tail);
                None
            }
        };
    }
}

impl Below for Stratum {
    fn key(&self, flat: &[u8], negative_zero: bool, beside: Beside) -> Result<KeyBytes, Failure> {
        Ok(if self.1 { Key::ordered(flat, beside).bytes } else { Key::exact(flat, negative_zero).bytes })
    }

    fn rows(&self, key: &[u8]) -> Result<Option<Rows>, Failure> {
        if self.0.fails.load(Ordering::Relaxed) {
            return Err("a page cannot be read".into());
        }
        std::thread::sleep(Duration::from_micros(self.0.waits.load(Ordering::Relaxed)));
        Ok(self.0.all.lock().get(key).and_then(|rows| Rows::new(rows.clone())))
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        backward: bool,
        rows: bool,
        f: &mut dyn FnMut(&[u8], Option<Rows>) -> bool,
    ) -> Result<(), Failure> {
        let all = self.0.all.lock();
        let rows = |found: &Vec<Record>| if rows { Rows::new(found.clone()) } else { None };
        match backward {
            true => all.range::<[u8], _>((Bound::Unbounded, from)).rev().all(|(key, found)| f(key, rows(found))),
            false => all.range::<[u8], _>((from, Bound::Unbounded)).all(|(key, found)| f(key, rows(found))),
        };
        Ok(())
    }

    fn count(&self, _many: bool) -> Result<usize, Failure> {
        Ok(self.0.all.lock().values().map(Vec::len).sum())
    }

    fn bytes(&self) -> usize {
        0
    }

    fn tail(&self) -> u64 {
        // As if something had been written before.
        self.0.tail.fetch_add(1, Ordering::Relaxed) + 1
    }
}
