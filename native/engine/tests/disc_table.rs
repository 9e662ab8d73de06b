//! What only tables on disc do: reads that fail, reads that wait, memory that is let go, and what is never put into memory.

mod below_model;
mod disc_db;

use below_model::Model as Base;
use disc_db::{config, Disc};
use remnesia_engine::store::Config;
use remnesia_engine::table::below::failure;
use remnesia_engine::table::{Change, Definition, Key, Kind, Nowhere, Table};
use remnesia_engine::term::{Record, Writer};
use remnesia_engine::txn::{Stop, Txn};
use std::time::Duration;

fn record(key: i64, text: &[u8]) -> Record {
    let mut writer = Writer::new();
    writer.int(key);
    let at = writer.len() as u32;
    writer.binary(text);
    Record::build(&[0, at], &writer.buf, false, None)
}

fn definition(kind: Kind) -> Definition {
    Definition { kind, arity: 3, record_name: 27, indexes: vec![] }
}

fn key(table: &Table, n: i64) -> Key {
    table.key_of(&record(n, b""))
}

fn put(table: &Table, n: i64) {
    let row = record(n, b"text");
    table.update(&table.key_of(&row), &mut Nowhere, |_| Some(Change::Put(row)));
}

/// Everything written so far is below, and nothing is in memory.
fn settle(base: &Base, table: &Table) {
    (0..6).for_each(|_| base.step(table));
    assert_eq!(table.disc().expect("on disc").held(), 0, "nothing is in memory");
}

/// A read that fails leaves its reason, once, and what it should have changed stays as it was.
#[test]
fn reads_that_fail() {
    let base = Base::default();
    let table = base.table(definition(Kind::Set));
    (0..10).for_each(|n| put(&table, n));
    settle(&base, &table);
    base.fail(true);
    assert!(failure().is_none());
    assert_eq!(table.look(&key(&table, 3), |rows| rows.len()), 0);
    assert_eq!(failure().expect("a reason").to_string(), "a page cannot be read");
    assert!(failure().is_none(), "it is told once");
    let mut called = false;
    table.update(&key(&table, 3), &mut Nowhere, |_| {
        called = true;
        Some(Change::Delete)
    });
    assert!(!called && failure().is_some());
    // Others do not hear of it.
    table.look(&key(&table, 4), |_| ());
    std::thread::scope(|scope| assert!(scope.spawn(|| failure().is_none()).join().expect("no panic")));
    assert!(failure().is_some());
    base.fail(false);
    assert_eq!((table.size(), table.look(&key(&table, 3), |rows| rows.len())), (10, 1));
    table.check().expect("sound");
    assert!(failure().is_none());
}

/// What changes nothing takes no memory.
#[test]
fn nothing_is_kept_of_what_changes_nothing() {
    let base = Base::default();
    let table = base.table(definition(Kind::Bag));
    for n in 0..10 {
        table.update(&key(&table, n), &mut Nowhere, |_| Some(Change::write(Kind::Bag, record(n, b"text"))));
    }
    settle(&base, &table);
    let disc = table.disc().expect("on disc");
    for n in 0..1_000 {
        table.update(&key(&table, n), &mut Nowhere, |_| None);
        table.update(&key(&table, n + 10), &mut Nowhere, |_| Some(Change::Delete));
    }
    // The same record again is none more in a bag.
    table.update(&key(&table, 1), &mut Nowhere, |_| Some(Change::write(Kind::Bag, record(1, b"text"))));
    assert_eq!((disc.held(), table.size()), (0, 10));
    put(&table, 5);
    assert!(disc.held() > 0);
}

/// After a slow read the next operations go elsewhere, not for ever.
#[test]
fn slow_reads_are_noticed() {
    let base = Base::default();
    let table = base.table(definition(Kind::OrderedSet));
    put(&table, 1);
    settle(&base, &table);
    assert!(!table.is_slow());
    base.wait(Duration::from_millis(2));
    table.look(&key(&table, 1), |rows| assert_eq!(rows.len(), 1));
    base.wait(Duration::ZERO);
    let slow = (0..1_000).filter(|_| table.is_slow()).count();
    assert!((1..200).contains(&slow), "{slow}");
}

/// What the log has moved to its place is let go, however much is written.
#[test]
fn memory_is_bounded_by_the_log() {
    let log = Config { segment_bytes: 256 << 10, log_bytes: 2 << 20, threads: true, ..config() };
    let disc = Disc::new(&[1], definition(Kind::Set), true, log);
    let open = disc.db.open(&[1]).expect("there");
    let mut most = 0;
    for n in 0..40_000 {
        let row = || record(n, &[n as u8; 500]);
        while disc.db.write(&open, row()) == Err(Stop::Room(row().memory() as u64 + 64)) {
            std::thread::sleep(Duration::from_micros(100));
        }
        most = most.max(open.table.disc().expect("on disc").held());
    }
    assert_eq!(open.table.size(), 40_000);
    // 24 MB were written.
    assert!(most < 6 << 20, "{most} bytes in memory");
    disc.flush();
    disc.flush();
    assert!(open.table.disc().expect("on disc").held() < 1 << 20);
    open.table.check().expect("sound");
}

/// A commit that finds that it cannot read what it changes changes nothing.
#[test]
fn a_commit_without_a_store_is_refused() {
    let disc = Disc::new(&[1], definition(Kind::Bag), true, config());
    let mut txn = Txn::default();
    txn.begin();
    let table = txn.table(&disc.db, &[1]).expect("there");
    txn.write(&disc.db, table, record(1, b"x")).expect("nobody is in the way");
    disc.db.set_store(None);
    assert_eq!(txn.commit(&disc.db), Err(Stop::Refused));
    txn.kill(&disc.db);
    assert_eq!(disc.db.open(&[1]).expect("there").table.size(), 0);
}
