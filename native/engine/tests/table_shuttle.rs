//! Tables under the model checker: rows change in their shards while somebody scans, while an index is built and published, and while another table takes
//! the place of the first. Interleavings at every latch; a counter or flag beside them changes in one order for all.

mod shuttle_common;

use remnesia_engine::db::Db;
use remnesia_engine::table::{Cursor, Definition, IndexDefinition, Kind};
use remnesia_engine::term::range::Range;
use remnesia_engine::term::Record;
use remnesia_engine::txn::{Built, LockKind, OpenTable, Stop, Txn};
use shuttle::sync::Arc;
use shuttle::thread;
use shuttle_common::{int, record};

const NAME: [u8; 1] = [1];
const KINDS: [Kind; 2] = [Kind::Set, Kind::OrderedSet];
/// Nobody changes these.
const STAYS: [i64; 3] = [100, 101, 102];
const VALUE: usize = 1;

fn database(kind: Kind) -> Arc<Db> {
    let db = Arc::new(Db::default());
    db.start();
    db.create(&NAME, None, definition(kind), None);
    let open = open(&db);
    for key in STAYS {
        db.write(&open, record(key, 7)).expect("a table that nobody uses");
    }
    db
}

fn definition(kind: Kind) -> Definition {
    Definition { kind, arity: 3, record_name: 27, indexes: vec![] }
}

fn open(db: &Db) -> std::sync::Arc<OpenTable> {
    db.open(&NAME).expect("is there")
}

/// Writes as a host does: looks the table up again and tries again when it is told to.
fn write(db: &Db, key: i64, value: i64) {
    loop {
        match db.write(&open(db), record(key, value)) {
            Ok(()) => return,
            Err(Stop::Frozen) => thread::yield_now(),
            Err(stop) => panic!("{stop:?}"),
        }
    }
}

fn rows(table: &OpenTable) -> Vec<(i64, i64)> {
    let mut rows = Vec::new();
    let (mut cursor, mut all) = (Cursor::default(), |found: &[Record]| {
        rows.extend(found.iter().map(|row| (int(row.field(0)), int(row.field(1)))));
    });
    while cursor != Cursor::End {
        table.table.scan(&mut cursor, 1, &mut all);
        thread::yield_now();
    }
    rows
}

fn check(model: impl Fn(Kind) + Send + Sync + Clone + 'static) {
    for kind in KINDS {
        let model = model.clone();
        shuttle_common::check(250, move || model(kind));
    }
}

#[test]
fn a_scan_visits_once_what_stays() {
    check(|kind| {
        let db = database(kind);
        let writers: Vec<_> = (0..2)
            .map(|n| {
                let db = db.clone();
                thread::spawn(move || {
                    // More keys than a bucket has room for, so that the scan meets splits.
                    (0..8).for_each(|key| write(&db, 8 * n + key, key));
                    let gone = open(&db).table.key_of(&record(8 * n, 0));
                    db.delete(&open(&db), &gone).expect("it is there");
                })
            })
            .collect();
        let seen = rows(&open(&db));
        for key in STAYS {
            assert_eq!(seen.iter().filter(|row| **row == (key, 7)).count(), 1);
        }
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        assert_eq!(rows(&open(&db)).len(), STAYS.len() + 14);
        open(&db).table.check().expect("sound");
    });
}

#[test]
fn an_index_that_is_published_has_every_row() {
    check(|kind| {
        let db = database(kind);
        let writer = {
            let db = db.clone();
            thread::spawn(move || {
                for (key, value) in [(1, 1), (2, 2), (1, 3), (3, 3)] {
                    write(&db, key, value);
                }
                let gone = open(&db).table.key_of(&record(2, 0));
                db.delete(&open(&db), &gone).expect("it is there");
            })
        };
        let reader = {
            let db = db.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    let open = open(&db);
                    for index in open.table.indexes.ready() {
                        let (mut keys, mut after) = (Vec::new(), None);
                        loop {
                            after = index.keys_in(&Range::all(), after.as_deref(), 2, |key| keys.push(key));
                            if after.is_none() {
                                break;
                            }
                        }
                        for key in STAYS {
                            let key = open.table.key_of(&record(key, 7)).bytes;
                            assert_eq!(keys.iter().filter(|found| found[..] == key[..]).count(), 1);
                        }
                    }
                    thread::yield_now();
                }
            })
        };
        let mut txn = Txn::default();
        txn.begin();
        let table = txn.table(&db, &NAME).expect("is there");
        let wanted = IndexDefinition { fields: vec![VALUE], unique: false };
        while !matches!(txn.build_index(&db, table, &wanted, 1).expect("nobody else locks"), Built::Whole) {
            thread::yield_now();
        }
        txn.complete_index();
        txn.commit(&db).expect("nothing was written");
        [writer, reader].into_iter().for_each(|thread| thread.join().expect("no panic"));
        let open = open(&db);
        assert_eq!(open.table.indexes.ready().len(), 1);
        // It looks at every entry of every index, both ways.
        open.table.check().expect("sound");
    });
}

#[test]
fn a_successor_loses_no_write_and_no_mode() {
    check(|kind| {
        let db = database(kind);
        let writers: Vec<_> = (0..2)
            .map(|n| {
                let db = db.clone();
                thread::spawn(move || (1..4).for_each(|value| write(&db, n, value)))
            })
            .collect();
        let watcher = {
            let db = db.clone();
            thread::spawn(move || {
                assert!(db.watch(&NAME, true));
                assert!(db.set_access(&NAME, true));
            })
        };
        let mut txn = Txn::default();
        txn.begin();
        let table = txn.table(&db, &NAME).expect("is there");
        txn.lock_table(table, LockKind::Write).expect("nobody else locks");
        let old = open(&db);
        db.freeze(&old);
        db.create_shadow(&old, definition(kind), None);
        let shadow = db.shadow(&NAME).expect("was begun");
        for (key, value) in rows(&old) {
            db.write(&shadow, record(key, value)).expect("nobody else knows it");
        }
        assert!(db.swap_in(&old));
        txn.abort(&db);
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        watcher.join().expect("no panic");
        let open = open(&db);
        let mut found = rows(&open);
        found.sort_unstable();
        assert_eq!(found, [(0, 3), (1, 3), (100, 7), (101, 7), (102, 7)]);
        assert!(open.is_watched() && open.is_read_only());
        open.table.check().expect("sound");
    });
}
