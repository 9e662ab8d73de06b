//! Programs of two transactions, and of what is done outside of them while none is open, against a model that copies everything.
//!
//! Nobody waits here: a transaction that would have to is ended, with nothing left of it. So what the other one sees can only be what is
//! committed, and what it did itself.

use super::choose::Choices;
use remnesia_engine::db::Db;
use remnesia_engine::table::{Definition, IndexDefinition, IndexId, Kind};
use remnesia_engine::term::range::Range;
use remnesia_engine::term::{key, read, Record, Term, Writer};
use remnesia_engine::txn::{look_at, LockKind, Plan, Scan, Stop, Txn};

/// The key, whether it is a float, and a value.
type Row = (i64, bool, i64);

const NAME: [u8; 1] = [1];
const KEYS: usize = 6;
const VALUES: usize = 4;

struct Model {
    kind: Kind,
    unique: bool,
}

impl Model {
    fn same_key(&self, a: &Row, b: &Row) -> bool {
        a.0 == b.0 && (self.kind == Kind::OrderedSet || a.1 == b.1)
    }

    fn write(&self, rows: &mut Vec<Row>, row: Row) {
        match self.kind {
            Kind::Bag if rows.contains(&row) => {}
            Kind::Bag | Kind::DuplicateBag => rows.push(row),
            _ => {
                rows.retain(|other| !self.same_key(other, &row));
                rows.push(row);
            }
        }
    }

    fn may_be(&self, rows: &[Row]) -> bool {
        !self.unique || rows.iter().all(|a| rows.iter().all(|b| a.2 != b.2 || self.same_key(a, b)))
    }
}

fn record(row: Row) -> Record {
    let mut writer = Writer::new();
    if row.1 {
        writer.float(row.0 as f64);
    } else {
        writer.int(row.0);
    }
    let start = writer.len() as u32;
    writer.int(row.2);
    Record::build(&[0, start], &writer.buf, false, None)
}

fn row(record: &Record) -> Row {
    let number = |bytes: &[u8]| match read(bytes).0 {
        Term::Int(i) => (i, false),
        Term::Float(f) => (f as i64, true),
        other => panic!("a number was written, got {other:?}"),
    };
    let (key, float) = number(record.field(0));
    (key, float, number(record.field(1)).0)
}

fn form(value: i64) -> Vec<u8> {
    let (mut writer, mut form) = (Writer::new(), Vec::new());
    writer.int(value);
    key::write(&writer.buf, None, &mut form);
    form
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_unstable();
    rows
}

/// A transaction.
#[derive(Default)]
struct Party {
    txn: Txn,
    /// Its changes, by level: none while it has not begun. What it sees of the rest is what is committed.
    changes: Vec<Vec<Change>>,
}

#[derive(Clone, Copy)]
enum Change {
    Write(Row),
    Delete(Row),
    DeleteObject(Row),
}

impl Change {
    fn apply(self, model: &Model, rows: &mut Vec<Row>) {
        match self {
            Change::Write(row) => model.write(rows, row),
            Change::Delete(row) => rows.retain(|other| !model.same_key(other, &row)),
            Change::DeleteObject(row) => rows.retain(|other| *other != row),
        }
    }
}

impl Party {
    fn sees(&self, model: &Model, base: &[Row]) -> Vec<Row> {
        let mut rows = base.to_vec();
        self.changes.iter().flatten().for_each(|change| change.apply(model, &mut rows));
        rows
    }

    /// It would have to wait, or to begin again.
    fn give_up(&mut self, db: &Db) {
        self.txn.kill(db);
        self.txn = Txn::default();
        self.changes.clear();
    }
}

/// Every read of every party, every commit and every refusal is what the model says, and no lock is left.
pub fn program(data: &[u8]) {
    let mut choices = Choices::new(data);
    let kind = [Kind::Set, Kind::OrderedSet, Kind::Bag, Kind::DuplicateBag][choices.below(4)];
    let model = Model { kind, unique: choices.below(3) == 1 };
    let db = Db::default();
    db.start();
    let index = IndexDefinition { fields: vec![1], unique: model.unique };
    assert!(db.create(&NAME, None, Definition { kind, arity: 3, record_name: 27, indexes: vec![index] }, None));
    let mut base: Vec<Row> = Vec::new();
    let mut parties = [Party::default(), Party::default()];
    for _ in 0..data.len().min(200) {
        let nobody = parties.iter().all(|party| party.changes.is_empty());
        let party = &mut parties[choices.below(2)];
        let of = |choices: &mut Choices| (choices.below(KEYS) as i64, choices.below(8) == 1, choices.below(VALUES) as i64);
        let done = match choices.below(16) {
            0 | 1 if party.changes.len() < 4 => {
                party.txn.begin();
                party.changes.push(Vec::new());
                Ok(())
            }
            // What is dirty asks nobody: a transaction that has looked would see something else then.
            _ if nobody => outside(&db, &model, &mut base, of(&mut choices), choices.below(3)),
            _ if party.changes.is_empty() => Ok(()),
            2 | 3 => commit(&db, &model, &mut base, party),
            4 => {
                party.txn.abort(&db);
                party.changes.pop();
                Ok(())
            }
            5..=8 => change(&db, party, Change::Write(of(&mut choices))),
            9 => change(&db, party, Change::Delete(of(&mut choices))),
            10 => change(&db, party, Change::DeleteObject(of(&mut choices))),
            11 | 12 => look(&db, &model, &base, party, of(&mut choices)),
            13 => all(&db, &model, &base, party, 1 + choices.below(5)),
            _ => by_value(&db, &model, &base, party, choices.below(VALUES) as i64, 1 + choices.below(5)),
        };
        match done {
            Ok(()) => {}
            Err(Stop::Wait | Stop::Restart) => party.give_up(&db),
            Err(other) => panic!("{other:?}"),
        }
        assert_eq!(parties.each_ref().map(|party| party.txn.depth()), parties.each_ref().map(|party| party.changes.len()));
        let open = db.open(&NAME).expect("the table is there");
        open.table.check().expect("sound");
        assert_eq!(open.table.size(), base.len());
        if parties.iter().all(|party| party.changes.is_empty()) {
            assert!(db.locks.is_empty() && open.lock.is_free(), "a lock is left");
        }
    }
    parties.iter_mut().for_each(|party| party.give_up(&db));
    assert!(db.locks.is_empty() && db.open(&NAME).expect("there").lock.is_free(), "a lock is left");
}

/// A dirty operation: one that is refused changes nothing.
fn outside(db: &Db, model: &Model, base: &mut Vec<Row>, row: Row, what: usize) -> Result<(), Stop> {
    let open = db.open(&NAME).expect("the table is there");
    let (change, done) = match what {
        0 => (Change::Write(row), db.write(&open, record(row))),
        1 => (Change::Delete(row), db.delete(&open, &open.table.key_of(&record(row)))),
        _ => (Change::DeleteObject(row), db.delete_object(&open, record(row))),
    };
    let mut after = base.clone();
    change.apply(model, &mut after);
    match done {
        Ok(()) => {
            assert!(model.may_be(&after), "a value twice: {after:?}");
            *base = after;
        }
        Err(Stop::NotUnique(IndexId(0))) => assert!(!model.may_be(&after), "refused: {after:?}"),
        Err(other) => return Err(other),
    }
    Ok(())
}

fn change(db: &Db, party: &mut Party, change: Change) -> Result<(), Stop> {
    let table = party.txn.table(db, &NAME)?;
    match change {
        Change::Write(row) => party.txn.write(db, table, record(row))?,
        Change::Delete(row) => {
            let key = party.txn.rows_of(table).key_of(&record(row));
            party.txn.delete(db, table, key)?;
        }
        Change::DeleteObject(row) => party.txn.delete_object(db, table, record(row))?,
    }
    party.changes.last_mut().expect("it has begun").push(change);
    Ok(())
}

fn commit(db: &Db, model: &Model, base: &mut Vec<Row>, party: &mut Party) -> Result<(), Stop> {
    let after = party.sees(model, base);
    let done = party.txn.commit(db);
    let last = party.changes.pop().expect("it has begun");
    match (done, party.changes.last_mut()) {
        (Ok(()), Some(outer)) => outer.extend(last),
        (Ok(()), None) => {
            assert!(model.may_be(&after), "a value twice: {after:?}");
            *base = after;
        }
        (Err(Stop::NotUnique(IndexId(0))), None) => assert!(!model.may_be(&after), "refused: {after:?}"),
        (Err(stop), _) => {
            party.changes.push(last);
            return Err(stop);
        }
    }
    Ok(())
}

fn look(db: &Db, model: &Model, base: &[Row], party: &mut Party, row_: Row) -> Result<(), Stop> {
    let table = party.txn.table(db, &NAME)?;
    let key = party.txn.rows_of(table).key_of(&record(row_));
    let found = party.txn.read(db, table, &key, LockKind::Read, |rows| rows.iter().map(row).collect::<Vec<_>>())?;
    let mut wanted = party.sees(model, base);
    wanted.retain(|other| model.same_key(other, &row_));
    // A record of a bag that was deleted and written again moves to the end; which order two parties' writes have is the table's.
    assert_eq!(sorted(found), sorted(wanted));
    Ok(())
}

fn all(db: &Db, model: &Model, base: &[Row], party: &mut Party, step: usize) -> Result<(), Stop> {
    let table = party.txn.table(db, &NAME)?;
    party.txn.lock_table(table, LockKind::Read)?;
    let scan = Scan::new(party.txn.open(table).clone(), Plan::All).expect("a scan of everything");
    let found = walk(scan, party, step);
    if model.kind == Kind::OrderedSet {
        assert!(found.is_sorted_by_key(|row| row.0), "in order: {found:?}");
    }
    assert_eq!(sorted(found), sorted(party.sees(model, base)));
    Ok(())
}

fn by_value(db: &Db, model: &Model, base: &[Row], party: &mut Party, value: i64, step: usize) -> Result<(), Stop> {
    let table = party.txn.table(db, &NAME)?;
    let open = party.txn.open(table).clone();
    let range = Range::of(form(value));
    // A few rows are found and locked in one go, before or without the plan.
    let few = party.txn.lock_few(db, table, 1, &range)?;
    let few = few.map(|keys| {
        let mut rows = Vec::new();
        look_at(&open, &keys, &mut |found| rows.extend(found.iter().map(row)));
        rows
    });
    let plan = Plan::of_value(&open.table, 1, range).expect("it has an index");
    party.txn.lock_plan(db, table, &plan, LockKind::Read)?;
    let found = walk(Scan::new(open, plan).expect("the index is there"), party, step);
    let mut wanted = party.sees(model, base);
    wanted.retain(|row| row.2 == value);
    for mut found in few.into_iter().chain([found]) {
        found.retain(|row| row.2 == value);
        assert_eq!(sorted(found), sorted(wanted.clone()));
    }
    Ok(())
}

fn walk(mut scan: Scan, party: &Party, step: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    while !scan.is_done() {
        scan.step(Some(party.txn.overlay()), step, &mut |found| rows.extend(found.iter().map(row)));
    }
    rows
}
