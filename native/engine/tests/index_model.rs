//! Indexes on several fields, unique ones, and such that come and go, against a model: random programs of writes in and outside of
//! transactions, every invariant checked after every step.

mod disc_db;

use disc_db::{config, Disc};
use proptest::prelude::*;
use remnesia_engine::db::Db;
use remnesia_engine::table::{Definition, IndexDefinition, Kind};
use remnesia_engine::term::range::Range;
use remnesia_engine::term::{Record, Writer};
use remnesia_engine::txn::{Built, Stop, Txn};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Key and two fields.
type Row = [i64; 3];

const NAME: [u8; 1] = [1];

#[derive(Clone, Debug)]
enum Write {
    Put(Row),
    Delete(i64),
    DeleteObject(Row),
}

#[derive(Clone, Debug)]
enum Op {
    Dirty(Write),
    Transaction(Vec<Write>),
    /// Rows change places: their values are swapped.
    Swap(i64, i64),
    /// Some steps of an index, with writes outside of transactions between them; given up in the end, or finished.
    Add {
        index: usize,
        unique: bool,
        between: Vec<Write>,
        finish: bool,
    },
    Drop(usize),
}

fn definitions() -> Vec<Vec<usize>> {
    vec![vec![1], vec![2], vec![1, 2], vec![2, 1], vec![1, 0], vec![0, 2]]
}

fn row() -> impl Strategy<Value = Row> {
    (0..8i64, 0..4i64, 0..3i64).prop_map(|(key, a, b)| [key, a, b])
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        5 => row().prop_map(Write::Put),
        1 => (0..8i64).prop_map(Write::Delete),
        1 => row().prop_map(Write::DeleteObject),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => write().prop_map(Op::Dirty),
        4 => prop::collection::vec(write(), 1..6).prop_map(Op::Transaction),
        1 => (0..8i64, 0..8i64).prop_map(|(a, b)| Op::Swap(a, b)),
        3 => (0..6usize, any::<bool>(), prop::collection::vec(write(), 0..4), any::<bool>())
            .prop_map(|(index, unique, between, finish)| Op::Add { index, unique, between, finish }),
        1 => (0..6usize).prop_map(Op::Drop),
    ]
}

fn record(row: Row) -> Record {
    let mut writer = Writer::new();
    let starts = row.map(|value| {
        let start = writer.len() as u32;
        writer.int(value);
        start
    });
    Record::build(&starts, &writer.buf, false, None)
}

struct Model {
    kind: Kind,
    rows: Vec<Row>,
    indexes: HashMap<Vec<usize>, bool>,
}

impl Model {
    fn after(&self, writes: &[Write]) -> Vec<Row> {
        let mut rows = self.rows.clone();
        for write in writes {
            match write {
                Write::Put(row) if self.kind == Kind::Bag && rows.contains(row) => {}
                Write::Put(row) => {
                    if !self.kind.is_bag() {
                        rows.retain(|other| other[0] != row[0]);
                    }
                    rows.push(*row);
                }
                Write::Delete(key) => rows.retain(|row| row[0] != *key),
                Write::DeleteObject(row) => rows.retain(|other| other != row),
            }
        }
        rows
    }

    fn is_legal(&self, rows: &[Row]) -> bool {
        self.indexes.iter().all(|(fields, unique)| !unique || is_unique(rows, fields))
    }
}

/// Has each value one key?
fn is_unique(rows: &[Row], fields: &[usize]) -> bool {
    let mut keys: HashMap<Vec<i64>, i64> = HashMap::new();
    rows.iter().all(|row| *keys.entry(fields.iter().map(|&field| row[field]).collect()).or_insert(row[0]) == row[0])
}

fn dirty(db: &Db, write: &Write) -> Result<(), Stop> {
    let open = db.open(&NAME).expect("there");
    match write {
        Write::Put(row) => db.write(&open, record(*row)),
        Write::Delete(key) => db.delete(&open, &open.table.key_of(&record([*key, 0, 0]))),
        Write::DeleteObject(row) => db.delete_object(&open, record(*row)),
    }
}

fn transaction(db: &Db, txn: &mut Txn, writes: &[Write]) -> Result<(), Stop> {
    txn.begin();
    let table = txn.table(db, &NAME).expect("there");
    for write in writes {
        match write {
            Write::Put(row) => txn.write(db, table, record(*row)),
            Write::Delete(key) => {
                let key = txn.rows_of(table).key_of(&record([*key, 0, 0]));
                txn.delete(db, table, key)
            }
            Write::DeleteObject(row) => txn.delete_object(db, table, record(*row)),
        }
        .expect("nobody is in the way");
    }
    let done = txn.commit(db);
    assert_eq!(txn.violation().is_some(), matches!(done, Err(Stop::NotUnique(_))));
    done
}

fn run(kind: Kind, program: &[Op]) {
    run_on(kind, program, false);
    run_on(kind, program, true);
}

fn run_on(kind: Kind, program: &[Op], on_disc: bool) {
    let definition = Definition { kind, arity: 4, record_name: 27, indexes: vec![1.into()] };
    let disc = Disc::new(&NAME, definition, on_disc, config());
    let db = disc.db.clone();
    let mut model = Model { kind, rows: Vec::new(), indexes: HashMap::from([(vec![1], false)]) };
    let mut txn = Txn::default();
    for (number, op) in program.iter().enumerate() {
        if number % 7 == 6 {
            disc.flush();
        }
        match op {
            Op::Dirty(write) => {
                let after = model.after(std::slice::from_ref(write));
                let done = dirty(&db, write);
                assert_eq!(done.is_ok(), model.is_legal(&after), "{write:?}: {done:?}");
                if done.is_ok() {
                    model.rows = after;
                }
            }
            Op::Transaction(writes) => commit(&db, &mut txn, &mut model, writes),
            Op::Swap(a, b) => {
                let moved = |row: &Row| match row[0] {
                    key if key == *a => Some(Write::Put([*b, row[1], row[2]])),
                    key if key == *b => Some(Write::Put([*a, row[1], row[2]])),
                    _ => None,
                };
                let mut writes = vec![Write::Delete(*a), Write::Delete(*b)];
                writes.extend(model.rows.iter().filter_map(moved));
                if a != b && !model.indexes.keys().any(|fields| fields.contains(&0)) {
                    assert!(model.is_legal(&model.after(&writes)), "a swap is legal");
                }
                commit(&db, &mut txn, &mut model, &writes);
            }
            Op::Add { index, unique, between, finish } => {
                add(
                    &db,
                    &mut txn,
                    &mut model,
                    &IndexDefinition { fields: definitions()[*index].clone(), unique: *unique },
                    between,
                    *finish,
                );
            }
            Op::Drop(index) => {
                let fields = &definitions()[*index];
                txn.begin();
                let table = txn.table(&db, &NAME).expect("there");
                let dropped = txn.drop_index(table, fields).expect("nobody is in the way");
                assert_eq!(dropped, model.indexes.remove(fields).is_some());
                txn.commit(&db).expect("nothing was written");
            }
        }
        agree(&db, &model);
    }
}

fn commit(db: &Db, txn: &mut Txn, model: &mut Model, writes: &[Write]) {
    let after = model.after(writes);
    let done = transaction(db, txn, writes);
    assert_eq!(done.is_ok(), model.is_legal(&after), "{writes:?}: {done:?}");
    if done.is_ok() {
        model.rows = after;
    }
}

fn add(db: &Db, txn: &mut Txn, model: &mut Model, wanted: &IndexDefinition, between: &[Write], finish: bool) {
    if model.indexes.contains_key(&wanted.fields) {
        return;
    }
    txn.begin();
    let table = txn.table(db, &NAME).expect("there");
    let mut between = between.iter();
    let refused = loop {
        match txn.build_index(db, table, wanted, 1).expect("nobody is in the way") {
            Built::Refused(_) => break true,
            Built::Whole => break false,
            Built::More => {}
        }
        let Some(write) = between.next() else { continue };
        let after = model.after(std::slice::from_ref(write));
        let legal = model.is_legal(&after);
        match dirty(db, write) {
            Ok(()) => {
                assert!(legal);
                model.rows = after;
            }
            // The coming index keeps its values apart already.
            Err(_) => assert!(!legal || (wanted.unique && !is_unique(&after, &wanted.fields))),
        }
        db.open(&NAME).expect("there").table.check().expect("sound while it is built");
    };
    let allowed = !wanted.unique || is_unique(&model.rows, &wanted.fields);
    assert_eq!(refused, !allowed, "{wanted:?}");
    if !refused && finish {
        txn.complete_index();
        model.indexes.insert(wanted.fields.clone(), wanted.unique);
        txn.commit(db).expect("nothing was written");
    } else {
        txn.abort(db);
    }
}

/// Each index has the rows that the model has, in order.
fn agree(db: &Db, model: &Model) {
    let open = db.open(&NAME).expect("there");
    open.table.check().expect("sound");
    assert!(db.locks.is_empty() && open.lock.is_free() && !open.is_committing());
    assert_eq!(open.table.size(), model.rows.len());
    let found: HashMap<Vec<usize>, bool> =
        open.table.indexes.load().iter().map(|index| (index.fields().to_vec(), index.is_unique())).collect();
    assert_eq!(found, model.indexes);
    for index in open.table.indexes.ready() {
        let entry = |row: &Row| (index.value(&record(*row)), open.table.key_of(&record(*row)).bytes);
        let mut wanted: Vec<_> = model.rows.iter().map(entry).collect();
        wanted.sort();
        wanted.dedup();
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            after = index.keys_in(&Range::all(), after.as_deref(), 2, |key| keys.push(key));
            if after.is_none() {
                break;
            }
        }
        assert_eq!(keys, wanted.into_iter().map(|(_, key)| key).collect::<Vec<_>>(), "the index on {:?}", index.fields());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn set(program in prop::collection::vec(op(), 1..40)) { run(Kind::Set, &program); }

    #[test]
    fn ordered_set(program in prop::collection::vec(op(), 1..40)) { run(Kind::OrderedSet, &program); }

    #[test]
    fn bag(program in prop::collection::vec(op(), 1..40)) { run(Kind::Bag, &program); }

    #[test]
    fn duplicate_bag(program in prop::collection::vec(op(), 1..40)) { run(Kind::DuplicateBag, &program); }
}

/// A commit above the step size claims its values in steps, and gives all of them back when the last is taken.
#[test]
fn large_commits() {
    let db = Db::default();
    db.start();
    let unique = IndexDefinition { fields: vec![1], unique: true };
    db.create(&NAME, None, Definition { kind: Kind::Set, arity: 4, record_name: 27, indexes: vec![unique] }, None);
    let (open, mut txn) = (db.open(&NAME).expect("there"), Txn::default());
    dirty(&db, &Write::Put([-1, 2_999, 0])).expect("free");
    let writes: Vec<_> = (0..3_000).map(|key| Write::Put([key, key, 0])).collect();
    assert!(matches!(transaction(&db, &mut txn, &writes), Err(Stop::NotUnique(_))));
    open.table.check().expect("sound");
    assert_eq!(open.table.size(), 1);
    dirty(&db, &Write::Delete(-1)).expect("nothing is new");
    transaction(&db, &mut txn, &writes).expect("free now");
    // All values move on by one at once.
    let moved: Vec<_> = (0..3_000).map(|key| Write::Put([key, (key + 1) % 3_000, 0])).collect();
    transaction(&db, &mut txn, &moved).expect("each value is given up by its key");
    open.table.check().expect("sound");
    assert!(matches!(transaction(&db, &mut txn, &[Write::Put([5, 7, 0])]), Err(Stop::NotUnique(_))));
    assert!(db.locks.is_empty() && open.lock.is_free() && !open.is_committing());
}

/// Indexes come and go under writers that take no locks, unique ones too: what is refused is not there, what is there is indexed.
#[test]
fn threads() {
    for kind in [Kind::Set, Kind::OrderedSet, Kind::Bag] {
        let db = Db::default();
        db.start();
        let unique = IndexDefinition { fields: vec![2, 1], unique: true };
        db.create(&NAME, None, Definition { kind, arity: 4, record_name: 27, indexes: vec![unique] }, None);
        let stop = AtomicBool::new(false);
        let built = std::thread::scope(|scope| {
            for seed in 1..=2u64 {
                let (db, stop) = (&db, &stop);
                scope.spawn(move || {
                    let mut random = seed;
                    let mut next = |below: u64| {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        (random >> 33) % below
                    };
                    while !stop.load(Ordering::Relaxed) {
                        let row = [next(300) as i64, next(200) as i64, next(200) as i64];
                        let write = if next(4) == 0 { Write::Delete(row[0]) } else { Write::Put(row) };
                        // Refused or not: `check` tells whether that was right.
                        let _ = dirty(db, &write);
                    }
                });
            }
            let (mut txn, mut built) = (Txn::default(), HashSet::new());
            for round in 0..400usize {
                let wanted = IndexDefinition { fields: definitions()[round % 6].clone(), unique: round % 5 == 0 };
                txn.begin();
                let table = txn.table(&db, &NAME).expect("there");
                let done = loop {
                    match txn.build_index(&db, table, &wanted, 16).expect("nobody holds a lock") {
                        Built::More => {}
                        Built::Whole => break true,
                        Built::Refused(_) => break false,
                    }
                };
                if done {
                    txn.complete_index();
                    built.insert(wanted.fields.clone());
                }
                txn.commit(&db).expect("nothing was written");
                if done && round % 3 > 0 {
                    txn.begin();
                    let table = txn.table(&db, &NAME).expect("there");
                    assert_eq!(txn.drop_index(table, &wanted.fields), Ok(true));
                    txn.commit(&db).expect("nothing was written");
                } else if done && round > 380 {
                    continue;
                } else if done {
                    txn.begin();
                    let table = txn.table(&db, &NAME).expect("there");
                    txn.drop_index(table, &wanted.fields).expect("nobody holds a lock");
                    txn.commit(&db).expect("nothing was written");
                }
            }
            stop.store(true, Ordering::Relaxed);
            built
        });
        assert_eq!(built.len(), 6, "{kind:?}: every index was built at some time");
        let open = db.open(&NAME).expect("there");
        open.table.check().unwrap_or_else(|text| panic!("{kind:?}: {text}"));
        assert!(open.table.indexes.load().len() > 2);
    }
}

/// Between the claims of a commit and its end nobody takes a claim away: not by writing to its keys, not by bringing its values.
#[test]
fn claims_are_kept() {
    const KEYS: i64 = 1_500;
    let db = Db::default();
    db.start();
    let unique = IndexDefinition { fields: vec![1], unique: true };
    db.create(&NAME, None, Definition { kind: Kind::Set, arity: 4, record_name: 27, indexes: vec![unique] }, None);
    let mut txn = Txn::default();
    let (mut refused, mut took) = (0, Duration::ZERO);
    for round in 1..=60 {
        // The commit brings values that nobody has.
        let value = |key: i64| round * 2 * KEYS + key;
        let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (db, begun, over) = (&db, &begun, &over);
            scope.spawn(move || {
                while !begun.load(Ordering::Relaxed) {}
                // Sooner or later in the course of a commit.
                std::thread::sleep(took.mul_f64((round % 10) as f64 / 10.0));
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = n % 5;
                    // As the commit will have it, then not, and someone else; whoever gets that far leaves it so.
                    let taken = [[key, value(key), 0], [key, -key - 1, 0], [KEYS + key, value(key), 0]];
                    if taken.into_iter().all(|row| dirty(db, &Write::Put(row)).is_ok()) {
                        break;
                    }
                }
            });
            txn.begin();
            let table = txn.table(db, &NAME).expect("there");
            for key in 0..KEYS {
                txn.write(db, table, record([key, value(key), round])).expect("nobody holds a lock");
            }
            begun.store(true, Ordering::Relaxed);
            let now = Instant::now();
            refused += usize::from(txn.commit(db).is_err());
            took = now.elapsed();
            over.store(true, Ordering::Relaxed);
        });
        db.open(&NAME).expect("there").table.check().unwrap_or_else(|text| panic!("round {round}: {text}"));
    }
    assert!(refused < 60, "some commits come through");
}

/// A commit that is told to others before it is there holds its claims meanwhile, and gives them back if it never is.
#[test]
fn prepared_commits() {
    for ending in ["publish", "abort", "kill"] {
        let db = Db::default();
        db.start();
        let unique = IndexDefinition { fields: vec![1], unique: true };
        db.create(&NAME, None, Definition { kind: Kind::OrderedSet, arity: 4, record_name: 27, indexes: vec![unique] }, None);
        let (open, mut txn) = (db.open(&NAME).expect("there"), Txn::default());
        dirty(&db, &Write::Put([1, 1, 0])).expect("free");
        txn.begin();
        let table = txn.table(&db, &NAME).expect("there");
        txn.write(&db, table, record([1, 2, 0])).expect("nobody is in the way");
        txn.write(&db, table, record([2, 1, 0])).expect("nobody is in the way");
        assert_eq!(txn.prepare_watched(&db), Ok(()));
        assert_eq!(dirty(&db, &Write::Put([2, 5, 0])), Err(Stop::CommitWait));
        assert!(matches!(dirty(&db, &Write::Put([3, 2, 0])), Err(Stop::NotUnique(_))));
        match ending {
            "publish" => {
                txn.publish(&db).expect("nothing on disc");
                txn.abort(&db);
            }
            "abort" => txn.abort(&db),
            _ => txn.kill(&db),
        }
        open.table.check().unwrap_or_else(|text| panic!("{ending}: {text}"));
        assert!(db.locks.is_empty() && open.lock.is_free() && !open.is_committing());
        let free = dirty(&db, &Write::Put([3, 2, 0])).is_ok();
        assert_eq!(free, ending != "publish", "{ending}");
        assert_eq!(open.table.size(), 2);
    }
}
