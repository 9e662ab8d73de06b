//! What is in memory is what the log says, under the model checker, while others write without locks: tables that end, or that another one takes
//! the place of for a while, and commits that are applied in steps. Nothing of a table comes after its end.

mod shuttle_common;

use remnesia_engine::db::Db;
use remnesia_engine::store::base::MemBase;
use remnesia_engine::store::faulty::FaultyDir;
use remnesia_engine::store::{Callbacks, Config, Store, Table};
use remnesia_engine::table::{Cursor, Definition, Kept, Kind};
use remnesia_engine::term::Record;
use remnesia_engine::txn::{LockKind, OpenTable, Stop, Txn};
use shuttle::rand::Rng;
use shuttle::thread::{self, JoinHandle};
use shuttle_common::{check, int, record};
use std::sync::Arc;

const NAME: [u8; 1] = [1];
const VALUES: i64 = 3;

fn definition() -> Definition {
    Definition { kind: Kind::Set, arity: 3, record_name: 27, indexes: vec![] }
}

struct World {
    dir: FaultyDir,
    base: Arc<MemBase>,
    store: Arc<Store>,
    db: Arc<Db>,
    /// Of the table at the begin.
    first: Table,
}

fn open(dir: &FaultyDir, base: &Arc<MemBase>) -> Store {
    let config = Config { segment_bytes: 64 << 10, unsynced_bytes: 64 << 10, atoms: 100, threads: false, ..Config::default() };
    Store::open(Arc::new(dir.clone()), base.clone(), config, Arc::new(Callbacks)).expect("opens").0
}

fn rows(table: &OpenTable) -> Vec<(i64, i64)> {
    let mut rows = Vec::new();
    let mut all = |found: &[Record]| rows.extend(found.iter().map(|row| (int(row.field(0)), int(row.field(1)))));
    let mut cursor = Cursor::default();
    while cursor != Cursor::End {
        table.table.scan(&mut cursor, 100, &mut all);
    }
    rows.sort_unstable();
    rows
}

impl World {
    fn new(on_disc: bool) -> World {
        let (dir, base, db) = (FaultyDir::default(), Arc::new(MemBase::default()), Arc::new(Db::default()));
        let store = Arc::new(open(&dir, &base));
        db.start();
        db.set_store(Some(store.clone()));
        let first = store.create_table(false, b"first").expect("room");
        db.create(&NAME, None, definition(), on_disc.then_some((first.number, Kept::InBoth)));
        World { dir, base, store, db, first }
    }

    /// Write as a host does, which looks the table up again when it is told to, until there is none.
    fn writers(&self) -> Vec<JoinHandle<()>> {
        let write = |db: Arc<Db>, key| {
            for value in 0..VALUES {
                loop {
                    let Some(open) = db.open(&NAME) else { return };
                    match db.write(&open, record(key, value)) {
                        Ok(()) => break,
                        Err(Stop::Frozen | Stop::CommitWait) => thread::yield_now(),
                        Err(stop) => panic!("{stop:?}"),
                    }
                }
            }
        };
        let spawn = |key| {
            let db = self.db.clone();
            thread::spawn(move || write(db, key))
        };
        (0..2).map(spawn).collect()
    }

    fn change(&self, dropped: Option<Table>, defined: Option<Table>) {
        let mut commit = self.store.begin(64).expect("sound").expect("room");
        dropped.into_iter().for_each(|table| commit.drop_table(table));
        defined.into_iter().for_each(|table| commit.define(table, b"new").expect("encodes"));
        commit.commit();
    }

    /// What is in the log under a number.
    fn on_disc(&self, table: Table) -> Vec<(i64, i64)> {
        let store = open(&self.dir.killed(), &Arc::new(self.base.image()));
        let mut rows = Vec::new();
        store.load(table.number, &mut |row| rows.push((int(row.field(0)), int(row.field(1))))).expect("loads");
        rows.sort_unstable();
        rows
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

fn none(rows: &[(i64, i64)], place: &str) {
    assert!(rows.is_empty(), "rows of a table that is gone stay {place}: {rows:?}");
}

#[test]
fn nothing_comes_after_the_end_of_a_table() {
    check(150, || {
        let mut rng = shuttle::rand::thread_rng();
        let world = World::new(rng.gen());
        let writers = world.writers();
        let open = world.db.open(&NAME).expect("is there");
        if rng.gen() {
            let mut txn = Txn::default();
            txn.begin();
            let table = txn.table(&world.db, &NAME).expect("is there");
            txn.lock_table(table, LockKind::Write).expect("nobody else locks");
            world.db.drop_table(&open).expect("room");
            txn.abort(&world.db);
        } else {
            world.db.drop_table(&open).expect("room");
        }
        join(writers);
        assert!(world.db.open(&NAME).is_none());
        none(&rows(&open), "in memory");
        none(&world.on_disc(world.first), "on disc");
    });
}

#[test]
fn a_table_that_is_put_aside_comes_back_or_goes() {
    check(150, || {
        let world = World::new(true);
        let former = world.db.open(&NAME).expect("is there");
        let writers = world.writers();
        let second = world.store.new_table(false);
        world.db.put_aside(&NAME, None, definition(), Some((second.number, Kept::InBoth)));
        world.db.write(&world.db.open(&NAME).expect("is there"), record(100, 0)).expect("room");
        let (lives, gone) = if shuttle::rand::thread_rng().gen() {
            world.change(Some(world.first), Some(second));
            assert!(world.db.keep_new(&NAME));
            (second, world.first)
        } else {
            assert!(world.db.take_back(&NAME));
            world.change(Some(second), None);
            (world.first, second)
        };
        join(writers);
        let open = world.db.open(&NAME).expect("is there");
        assert_eq!(Arc::ptr_eq(&open, &former), lives == world.first);
        assert_eq!(world.on_disc(lives), rows(&open), "memory and disc differ");
        none(&world.on_disc(gone), "on disc");
        if lives == second {
            none(&rows(&former), "in memory");
        }
        open.table.check().expect("sound");
    });
}

/// Under the model checker a step has four changes.
#[test]
fn a_commit_in_steps_is_one_in_the_log_too() {
    check(150, || {
        let world = World::new(true);
        let writers = world.writers();
        let mut txn = Txn::default();
        txn.begin();
        let table = txn.table(&world.db, &NAME).expect("is there");
        for key in 0..6 {
            txn.write(&world.db, table, record(key, 100)).expect("nobody else locks");
        }
        txn.commit(&world.db).expect("room");
        join(writers);
        let open = world.db.open(&NAME).expect("is there");
        assert_eq!(world.on_disc(world.first), rows(&open), "memory and disc differ");
        open.table.check().expect("sound");
    });
}
