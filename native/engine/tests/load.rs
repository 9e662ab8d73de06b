//! A table read by several threads is the table that was written, and what is not a row is an error.

mod store_common;

use remnesia_engine::store::base::{Batch, MemBase, Op};
use remnesia_engine::store::faulty::FaultyDir;
use remnesia_engine::store::{Base, StoreError};
use remnesia_engine::table::{Change, Definition, Kind, Nowhere, Table};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use store_common::{of_row, open, row};

const KEYS: i64 = 20_000;

/// Rows of a key of a bag.
fn values(key: i64) -> std::ops::Range<i64> {
    0..1 + key % 4
}

/// A bag in the base store, and the last tenth of it in the log alone.
fn filled(base: &Arc<MemBase>, dir: &FaultyDir) -> u32 {
    let (store, _) = open(dir, base).expect("opens");
    let table = store.create_table(false, b"bag").expect("makes");
    for key in 0..KEYS {
        let rows: Vec<_> = values(key).map(|value| row(key, value)).collect();
        loop {
            if let Some(mut commit) = store.begin(1000).expect("sound") {
                commit.put(table, &rows).expect("encodes");
                commit.commit();
                break;
            }
            store.flush_all().expect("flushes");
        }
        if key == KEYS - KEYS / 10 {
            store.flush_all().expect("flushes");
        }
    }
    store.sync_all().expect("syncs");
    table.number
}

#[test]
fn all_rows_from_all_threads() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let number = filled(&base, &dir);
    for threads in [1, 2, 5] {
        let (store, _) = open(&dir.killed(), &Arc::new(base.image())).expect("opens");
        let all = Mutex::new(Vec::new());
        let keep = |loaded: remnesia_engine::store::Loaded| {
            assert_eq!(loaded.keys.iter().sum::<u32>() as usize, loaded.records.len());
            let mut records = loaded.records.iter().map(of_row);
            for count in loaded.keys {
                let rows: Vec<_> = records.by_ref().take(count as usize).collect();
                all.lock().expect("whole").push(rows);
            }
            true
        };
        store.load_many(number, threads, &keep).expect("loads");
        let mut all = all.into_inner().expect("whole");
        all.sort_unstable();
        let wanted: Vec<Vec<_>> = (0..KEYS).map(|key| values(key).map(|value| (key, value)).collect()).collect();
        assert!(all == wanted, "{threads} threads: {} keys", all.len());
    }
}

#[test]
fn what_is_no_row_is_an_error() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let number = filled(&base, &dir);
    let (store, _) = open(&dir.killed(), &base).expect("opens");
    for key in [&b"\0"[..], b"\xff"] {
        let garbage = Op { table: number, key, value: Some(b"\x01\x05\x00nonsense") };
        base.apply(&Batch { ops: &[garbage], ..Batch::default() }).expect("written");
        let found = store.load_many(number, 2, &|_| true);
        assert!(matches!(found, Err(StoreError::BadTerm { .. })), "{found:?}");
        base.apply(&Batch { ops: &[Op { value: None, ..garbage }], ..Batch::default() }).expect("written");
        store.load_many(number, 2, &|_| true).expect("sound again");
    }
}

/// Who has enough is given no more, but for what is under way.
#[test]
fn until_it_is_enough() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let number = filled(&base, &dir);
    for (base, threads) in [(base.clone(), 1), (Arc::new(base.image()), 1), (base, 3)] {
        let (store, _) = open(&dir.killed(), &base).expect("opens");
        let given = AtomicUsize::new(0);
        let keep = |_: remnesia_engine::store::Loaded| given.fetch_add(1, Ordering::Relaxed) + 1 < 2;
        store.load_many(number, threads, &keep).expect("ends well");
        let given = given.into_inner();
        assert!(given <= 2 + threads + 1, "{given} pieces, {threads} threads");
    }
}

#[test]
#[should_panic(expected = "a consumer that breaks")]
fn a_panic_ends_it() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let number = filled(&base, &dir);
    let (store, _) = open(&dir.killed(), &base).expect("opens");
    // Not in another thread, whose panic would have another text.
    let here = std::thread::current().id();
    let _ = store.load_many(number, 2, &|_| {
        if std::thread::current().id() == here {
            panic!("a consumer that breaks");
        }
        true
    });
}

/// A filled table is like one that was written row by row, whatever size was expected.
#[test]
fn filled_like_written() {
    for kind in [Kind::Set, Kind::OrderedSet, Kind::Bag, Kind::DuplicateBag] {
        for indexes in [vec![], vec![1.into()]] {
            for (keys, expected) in [(0, 0), (1, 0), (40, 100_000), (5_000, 5_000), (5_000, 10), (9_000, 8_000)] {
                let definition = Definition { kind, arity: of_row_arity(), record_name: 27, indexes: indexes.clone() };
                let table = Table::new(1, definition);
                table.expect(expected);
                let count = |key: i64| if kind.is_bag() { values(key).end } else { 1 };
                let records = (0..keys).flat_map(|key| (0..count(key)).map(move |value| row(key, value))).collect();
                let counts: Vec<u32> = (0..keys).map(|key| count(key) as u32).collect();
                table.fill(records, &counts);
                table.check().unwrap_or_else(|e| panic!("{kind:?}, {keys} keys, {expected} expected: {e}"));
                assert_eq!(table.size() as i64, (0..keys).map(count).sum::<i64>());
                for key in (0..keys).step_by(37) {
                    let rows: Vec<_> = table.rows(&table.key_of(&row(key, 0))).iter().map(of_row).collect();
                    assert_eq!(rows, (0..count(key)).map(|value| (key, value)).collect::<Vec<_>>());
                }
                // It goes on as a table does.
                for key in 0..keys.min(500) {
                    table.update(&table.key_of(&row(key, 0)), &mut Nowhere, |_| Some(Change::Delete));
                    table.update(&table.key_of(&row(-key - 1, 0)), &mut Nowhere, |_| Some(Change::write(kind, row(-key - 1, 9))));
                }
                table.check().unwrap_or_else(|e| panic!("{kind:?}, changed: {e}"));
            }
        }
    }
}

fn of_row_arity() -> usize {
    row(0, 0).fields() + 1
}
