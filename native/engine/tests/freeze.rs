//! A table goes to disc and back while others write to it without locks: what the log says is what is in memory.

mod store_common;

use remnesia_engine::db::Db;
use remnesia_engine::store::base::MemBase;
use remnesia_engine::store::faulty::FaultyDir;
use remnesia_engine::table::{Definition, Kept, Kind};
use remnesia_engine::txn::{LockKind, OpenTable, Stop, Txn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use store_common::{of_row, open as open_store, row};

fn definition(kind: Kind) -> Definition {
    Definition { kind, arity: row(0, 0).fields() + 1, record_name: 27, indexes: vec![] }
}

/// Writes as a host does: again when it is told to.
fn write(db: &Db, open: &OpenTable, key: i64, value: i64) {
    loop {
        match db.write(open, row(key, value)) {
            Ok(()) => return,
            Err(Stop::Frozen | Stop::Room(_)) => std::thread::yield_now(),
            Err(stop) => panic!("{stop:?}"),
        }
    }
}

fn sorted(mut rows: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    rows.sort_unstable();
    rows
}

#[test]
fn writers_meet_a_table_on_its_way() {
    for kind in [Kind::Set, Kind::OrderedSet] {
        for round in 0..6 {
            let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
            let (store, _) = open_store(&dir, &base).expect("opens");
            let store = Arc::new(store);
            let table = store.create_table(kind == Kind::OrderedSet, b"t").expect("makes");
            let db = Db::default();
            db.start();
            db.set_store(Some(store.clone()));
            assert!(db.create(b"t", None, definition(kind), Some((table.number, Kept::InMemory))));
            let open = db.open(b"t").expect("is there");
            (0..200).for_each(|key| write(&db, &open, key, 0));
            let (stop, written, writers) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(3));
            std::thread::scope(|scope| {
                for writer in 0..3 {
                    let (db, open, stop, written, writers) = (&db, &open, &stop, &written, &writers);
                    scope.spawn(move || {
                        let mut value = 1;
                        while !stop.load(Ordering::Relaxed) {
                            write(db, open, 1_000 * writer + value % 50, value);
                            written.fetch_add(1, Ordering::Relaxed);
                            value += 1;
                        }
                        writers.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                let (store, writers) = (&store, &writers);
                scope.spawn(move || {
                    // The last writes may need the room that it makes.
                    while writers.load(Ordering::Relaxed) > 0 {
                        store.flush_all().expect("flushes");
                        std::thread::yield_now();
                    }
                });
                let mut txn = Txn::default();
                for step in 0..(2 * (round % 3) + 1) {
                    let wanted = written.load(Ordering::Relaxed) + 20;
                    while written.load(Ordering::Relaxed) < wanted {
                        std::thread::yield_now();
                    }
                    txn.begin();
                    let held = txn.table(&db, b"t").expect("is there");
                    txn.lock_table(held, LockKind::Write).expect("nobody else locks");
                    db.freeze(&open);
                    if step % 2 == 0 {
                        db.log_rows(&open).expect("logs");
                        open.table.set_place(Some((table.number, Kept::InBoth)));
                    } else {
                        open.table.set_place(Some((table.number, Kept::InMemory)));
                    }
                    txn.abort(&db);
                }
                let wanted = written.load(Ordering::Relaxed) + 20;
                while written.load(Ordering::Relaxed) < wanted {
                    std::thread::yield_now();
                }
                stop.store(true, Ordering::Relaxed);
            });
            open.table.check().expect("sound");
            let mut in_memory = Vec::new();
            open.table.scan(&mut Default::default(), usize::MAX, |rows| in_memory.extend(rows.iter().map(of_row)));
            store.close().expect("closes");
            let (store, _) = open_store(&dir.killed(), &Arc::new(base.image())).expect("opens");
            let mut on_disc = Vec::new();
            store.load(table.number, &mut |record| on_disc.push(of_row(&record))).expect("loads");
            assert_eq!(sorted(on_disc), sorted(in_memory), "{kind:?}, round {round}");
        }
    }
}

#[test]
fn who_comes_late_is_sent_away() {
    let db = Db::default();
    db.start();
    db.create(b"t", None, definition(Kind::Set), None);
    let open = db.open(b"t").expect("is there");
    let mut txn = Txn::default();
    let lock = |txn: &mut Txn| {
        txn.begin();
        let held = txn.table(&db, b"t").expect("is there");
        txn.lock_table(held, LockKind::Write).expect("nobody else locks");
    };
    lock(&mut txn);
    write(&db, &open, 1, 1);
    db.freeze(&open);
    assert_eq!(db.write(&open, row(1, 2)), Err(Stop::Frozen));
    txn.abort(&db);
    write(&db, &open, 1, 3);
    // Held by one who did not freeze it.
    db.freeze(&open);
    lock(&mut txn);
    db.freeze(&open);
    txn.abort(&db);
    lock(&mut txn);
    write(&db, &open, 1, 4);
    txn.abort(&db);
    // Replaced by another.
    lock(&mut txn);
    db.freeze(&open);
    db.create_shadow(&open, definition(Kind::Set), None);
    db.write(&db.shadow(b"t").expect("begun"), row(1, 5)).expect("nobody else sees it");
    assert!(db.swap_in(&open));
    txn.abort(&db);
    assert_eq!(db.write(&open, row(1, 6)), Err(Stop::Frozen));
    let new = db.open(b"t").expect("is there");
    let rows: Vec<_> = new.table.rows(&new.table.key_of(&row(1, 0))).iter().map(of_row).collect();
    assert_eq!(rows, [(1, 5)]);
}
