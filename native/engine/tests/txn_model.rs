//! Transactions on one thread against a model that copies the whole table at every level.

mod disc_db;

use disc_db::{config, Disc};
use proptest::prelude::*;
use remnesia_engine::db::Db;
use remnesia_engine::store::Config;
use remnesia_engine::table::{Definition, IndexId, Kind};
use remnesia_engine::term::range::Range;
use remnesia_engine::term::{Record, Writer};
use remnesia_engine::txn::{walk, LockKind, OpenTable, Plan, Scan, Source, Stop, Txn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

type Row = (i64, i64);

#[derive(Clone, Debug)]
enum Op {
    Begin,
    Commit,
    Abort,
    Write(Row),
    Delete(i64),
    DeleteObject(Row),
    /// Of the log to disc, for tables that are there.
    Flush,
}

fn op() -> impl Strategy<Value = Op> {
    let row = || (0..8i64, 0..3i64);
    prop_oneof![
        2 => Just(Op::Begin),
        2 => Just(Op::Commit),
        1 => Just(Op::Abort),
        6 => row().prop_map(Op::Write),
        2 => (0..8i64).prop_map(Op::Delete),
        2 => row().prop_map(Op::DeleteObject),
        1 => Just(Op::Flush),
    ]
}

fn record((key, value): Row) -> Record {
    let mut writer = Writer::new();
    writer.int(key);
    let start = writer.len() as u32;
    writer.int(value);
    Record::build(&[0, start], &writer.buf, false, None)
}

fn row(record: &Record) -> Row {
    let int = |bytes: &[u8]| match remnesia_engine::term::read(bytes).0 {
        remnesia_engine::term::Term::Int(i) => i,
        other => panic!("an integer was written, got {other:?}"),
    };
    (int(record.field(0)), int(record.field(1)))
}

fn write(kind: Kind, rows: &mut Vec<Row>, row: Row) {
    match kind {
        Kind::Bag if rows.contains(&row) => {}
        Kind::Bag | Kind::DuplicateBag => rows.push(row),
        _ => {
            rows.retain(|r| r.0 != row.0);
            rows.push(row);
        }
    }
}

fn scan(open: &Scan, txn: &Txn, step: usize) -> Vec<Row> {
    let (mut scan, mut rows) = (open.clone(), Vec::new());
    while !scan.is_done() {
        scan.step(Some(txn.overlay()), step, &mut |found| rows.extend(found.iter().map(row)));
    }
    rows
}

fn run(kind: Kind, program: &[Op]) {
    run_on(kind, program, false);
    run_on(kind, program, true);
}

fn run_on(kind: Kind, program: &[Op], on_disc: bool) {
    let name = [1u8];
    let definition = Definition { kind, arity: 3, record_name: 27, indexes: vec![1.into()] };
    let mut disc = Disc::new(&name, definition, on_disc, config());
    let db = disc.db.clone();
    let mut txn = Txn::default();
    // Levels: committed rows, then one copy per open level.
    let mut levels: Vec<Vec<Row>> = vec![Vec::new()];
    for op in program {
        let depth = levels.len() - 1;
        assert_eq!(txn.depth(), depth);
        match op {
            Op::Begin if depth < 4 => {
                txn.begin();
                levels.push(levels.last().cloned().unwrap_or_default());
            }
            Op::Commit if depth > 0 => {
                txn.commit(&db).expect("nobody is in the way");
                let top = levels.pop().unwrap_or_default();
                *levels.last_mut().expect("a level is below") = top;
            }
            Op::Abort if depth > 0 => {
                txn.abort(&db);
                levels.pop();
            }
            Op::Write(r) if depth > 0 => {
                let table = txn.table(&db, &name).expect("the table is there");
                txn.write(&db, table, record(*r)).expect("nobody is in the way");
                write(kind, levels.last_mut().expect("a level"), *r);
            }
            Op::Delete(key) if depth > 0 => {
                let table = txn.table(&db, &name).expect("the table is there");
                let key_ = txn.rows_of(table).key_of(&record((*key, 0)));
                txn.delete(&db, table, key_).expect("nobody is in the way");
                levels.last_mut().expect("a level").retain(|r| r.0 != *key);
            }
            Op::DeleteObject(r) if depth > 0 => {
                let table = txn.table(&db, &name).expect("the table is there");
                txn.delete_object(&db, table, record(*r)).expect("nobody is in the way");
                levels.last_mut().expect("a level").retain(|o| o != r);
            }
            Op::Flush => disc.flush(),
            _ => {}
        }
        if txn.depth() > 0 {
            agree(&db, &mut txn, &name, kind, levels.last().expect("a level"));
        } else {
            assert!(db.locks.is_empty(), "a lock is left");
        }
        let open = db.open(&name).expect("the table is there");
        open.table.check().expect("sound");
        open.lock.check().expect("sound");
        db.locks.check().expect("sound");
        assert_eq!(open.table.size(), levels[0].len());
    }
    txn.kill(&db);
    assert!(db.locks.is_empty() && db.open(&name).expect("there").lock.is_free(), "a lock is left");
    if on_disc {
        disc.restart(config());
        disc.db.open(&name).expect("loaded").table.check().expect("sound");
        let mut txn = Txn::default();
        txn.begin();
        agree(&disc.db, &mut txn, &name, kind, &levels[0]);
        txn.kill(&disc.db);
    }
}

/// Every kind of read sees the model.
fn agree(db: &Db, txn: &mut Txn, name: &[u8], kind: Kind, model: &[Row]) {
    let table = txn.table(db, name).expect("the table is there");
    for key in 0..8 {
        let wanted: Vec<_> = model.iter().copied().filter(|r| r.0 == key).collect();
        let id = txn.rows_of(table).key_of(&record((key, 0)));
        let got = txn.read(db, table, &id, LockKind::Read, |rows| rows.iter().map(row).collect::<Vec<_>>());
        assert_eq!(got, Ok(wanted), "rows of key {key}");
    }
    let open = txn.open(table).clone();
    let sorted = |mut rows: Vec<Row>| {
        rows.sort_unstable();
        rows
    };
    for step in [1, 3, 100] {
        let all = scan(&Scan::new(open.clone(), Plan::All).expect("there"), txn, step);
        if kind == Kind::OrderedSet {
            assert!(all.is_sorted(), "an ordered_set is visited in order: {all:?}");
        }
        assert_eq!(sorted(all), sorted(model.to_vec()), "scan in steps of {step}");
        for value in 0..3i64 {
            let mut form = Vec::new();
            remnesia_engine::term::key::write(&[value as u8], None, &mut form);
            let found = scan(
                &Scan::new(open.clone(), Plan::of_value(&open.table, 1, Range::of(form)).expect("indexed")).expect("there"),
                txn,
                step,
            );
            let found = found.into_iter().filter(|r| r.1 == value).collect();
            let wanted = model.iter().copied().filter(|r| r.1 == value).collect();
            assert_eq!(sorted(found), sorted(wanted), "rows with value {value}");
        }
    }
    parts(&open, txn, kind, model);
    for backward in [false, true] {
        let (mut at, mut keys) = (None, Vec::new());
        while let Some(record) = walk::neighbour(&open, Some(txn.overlay()), at, backward).expect("the key is there") {
            keys.push(row(&record).0);
            at = Some(open.table.key_of(&record));
        }
        if kind == Kind::OrderedSet && backward {
            keys.reverse();
        }
        let mut wanted: Vec<_> = model.iter().map(|r| r.0).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if kind != Kind::OrderedSet {
            keys.sort_unstable();
        }
        assert_eq!(keys, wanted, "keys by neighbours");
    }
    let last = walk::last_number(&open, Some(txn.overlay())).map(|r| row(&r).0);
    let wanted = if kind == Kind::OrderedSet { model.iter().map(|r| r.0).max() } else { None };
    assert_eq!(last, wanted, "greatest key");
}

fn form(value: i64) -> Vec<u8> {
    let mut form = Vec::new();
    remnesia_engine::term::key::write(&[value as u8], None, &mut form);
    form
}

fn range(from: i64, to: i64) -> Range {
    Range { low: form(from), high: Some(form(to)) }
}

/// Plans that visit parts of the table, in steps of any size: what is in the part, each row once, an ordered_set in order.
fn parts(open: &Arc<OpenTable>, txn: &Txn, kind: Kind, model: &[Row]) {
    let key = |key: i64| open.table.key_of(&record((key, 0)));
    let index = |ranges: Vec<Range>, values| Source::Index { index: IndexId(0), ranges, bound: usize::from(values) };
    let in_ranges = |r: &Row| (1..4).contains(&r.0) || (5..7).contains(&r.0);
    type Within = Box<dyn Fn(&Row) -> bool>;
    let mut plans: Vec<(Plan, Within)> = vec![
        (Plan::Nothing, Box::new(|_| false)),
        (Plan::Keys([key(1), key(4), key(6)].into()), Box::new(|r| [1, 4, 6].contains(&r.0))),
        (Plan::Gather([index(vec![range(0, 2)], false)].into()), Box::new(|r| r.1 < 2)),
        (Plan::Gather([index(vec![range(0, 1), range(2, 3)], false)].into()), Box::new(|r| r.1 != 1)),
        (
            Plan::Gather([Source::Keys(vec![key(7), key(2)]), index(vec![Range::of(form(1))], true)].into()),
            Box::new(|r| r.0 == 7 || r.0 == 2 || r.1 == 1),
        ),
    ];
    // One index stands for two here: the values are the same.
    for other in [1, 2] {
        let second = (IndexId(0), Range::of(form(other)));
        plans.push((Plan::Both { first: (IndexId(0), Range::of(form(1))), second }, Box::new(move |r| r.1 == 1 && other == 1)));
    }
    if kind == Kind::OrderedSet {
        plans.push((Plan::KeyRanges([range(1, 4), range(5, 7)].into()), Box::new(in_ranges)));
        let sources = [Source::KeyRanges(vec![range(1, 4), range(5, 7)]), index(vec![range(2, 3)], false)];
        plans.push((Plan::Gather(sources.into()), Box::new(move |r| in_ranges(r) || r.1 == 2)));
    }
    if kind == Kind::Set {
        let ranges = [range(0, 1), range(2, 3)].into();
        plans.push((Plan::Index { index: IndexId(0), ranges, bound: 0 }, Box::new(|r| r.1 != 1)));
    }
    for step in [1, 2, 3, 100] {
        for (plan, within) in &plans {
            let mut found: Vec<Row> = scan(&Scan::new(open.clone(), plan.clone()).expect("there"), txn, step);
            if kind == Kind::OrderedSet {
                assert!(found.is_sorted(), "{plan:?} visits an ordered_set in order: {found:?}");
            }
            found.retain(within);
            found.sort_unstable();
            let mut wanted: Vec<Row> = model.iter().copied().filter(within).collect();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{plan:?} in steps of {step}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn set(program in prop::collection::vec(op(), 1..50)) { run(Kind::Set, &program); }

    #[test]
    fn ordered_set(program in prop::collection::vec(op(), 1..50)) { run(Kind::OrderedSet, &program); }

    #[test]
    fn bag(program in prop::collection::vec(op(), 1..50)) { run(Kind::Bag, &program); }

    #[test]
    fn duplicate_bag(program in prop::collection::vec(op(), 1..50)) { run(Kind::DuplicateBag, &program); }
}

/// A commit above the step size goes in steps and is whole; its locks are gone.
#[test]
fn large_commit() {
    [false, true].into_iter().for_each(large_commit_on);
}

fn large_commit_on(on_disc: bool) {
    let name = [1u8];
    let definition = Definition { kind: Kind::Set, arity: 3, record_name: 27, indexes: vec![1.into()] };
    let disc = Disc::new(&name, definition, on_disc, Config { segment_bytes: 16 << 20, ..config() });
    let db = disc.db.clone();
    let mut txn = Txn::default();
    txn.begin();
    for key in 0..10_000 {
        let table = txn.table(&db, &name).expect("there");
        txn.write(&db, table, record((key, key % 7))).expect("nobody is in the way");
    }
    let open = db.open(&name).expect("there");
    assert_eq!(open.table.size(), 0, "nothing is seen before the commit");
    txn.commit(&db).expect("nobody is in the way");
    assert_eq!(open.table.size(), 10_000);
    open.table.check().expect("sound");
    assert!(db.locks.is_empty() && open.lock.is_free() && !open.is_committing());
}

/// The log goes to disc all the time, also while a large commit is applied: what it adds to a bag is there once, and indexes and
/// counts are right.
#[test]
fn large_commits_beside_the_flush() {
    let name = [1u8];
    let definition = Definition { kind: Kind::DuplicateBag, arity: 3, record_name: 27, indexes: vec![1.into()] };
    let config = || Config { segment_bytes: 64 << 10, threads: true, ..config() };
    let mut disc = Disc::new(&name, definition, true, config());
    let db = disc.db.clone();
    let over = Over::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.0.load(Ordering::Relaxed) {
                disc.flush();
            }
        });
        let _over = End(&over);
        rounds(&db, &name);
    });
    drop(db);
    disc.restart(config());
    let open = disc.db.open(&name).expect("loaded");
    assert_eq!(open.table.size(), 12_000);
    open.table.check().expect("sound");
    let rows = open.table.rows(&open.table.key_of(&record((7, 0))));
    assert_eq!(rows.iter().map(|r| row(r).1).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[derive(Default)]
struct Over(AtomicBool);

/// Tells the others, also of a panic.
struct End<'a>(&'a Over);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0 .0.store(true, Ordering::Relaxed);
    }
}

fn rounds(db: &Db, name: &[u8]) {
    let mut txn = Txn::default();
    for round in 0..4i64 {
        txn.begin();
        for key in 0..3_000 {
            let table = txn.table(db, name).expect("there");
            txn.write(db, table, record((key, round % 5))).expect("nobody is in the way");
        }
        while let Err(Stop::Room(_)) = txn.commit(db) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let open = db.open(name).expect("there");
        assert_eq!(open.table.size() as i64, 3_000 * (round + 1));
        open.table.check().expect("sound");
    }
}
