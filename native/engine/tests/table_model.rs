//! Tables against a plain model: random programs, every invariant checked after every step.

use proptest::prelude::*;
use remnesia_engine::table::{
    apply, BagStep, Change, Cursor, Definition, IndexDefinition, IndexId, Key, Kind, Nowhere, Step, Table,
};
use remnesia_engine::term::range::Range;
use remnesia_engine::term::{Record, Writer};

mod below_model;

use below_model::Model as Base;

/// A row of the model: key, indexed value, payload. Keys are halves: odd ones are floats, so 2 and 2.0 meet in an ordered_set.
type Row = (u8, u8, u8);

fn write_key(writer: &mut Writer, key: u8) {
    match key % 3 {
        0 => writer.int(i64::from(key / 3)),
        1 => writer.float(f64::from(key / 3)),
        _ => writer.binary(&[key; 20]),
    }
}

fn record(row: Row) -> Record {
    let mut writer = Writer::new();
    write_key(&mut writer, row.0);
    let value = writer.len() as u32;
    writer.int(i64::from(row.1));
    let payload = writer.len() as u32;
    writer.binary(&vec![row.2; usize::from(row.2)]);
    Record::build(&[0, value, payload], &writer.buf, false, None)
}

fn apply_one(table: &Table, key: &Key, mut change: Change) {
    apply(&mut [Step { table, key, change: &mut change }], &mut Nowhere);
}

fn key(table: &Table, key: u8) -> Key {
    let mut writer = Writer::new();
    write_key(&mut writer, key);
    table.key(&writer.buf, false, None)
}

/// Do two model keys name one row?
fn same_key(kind: Kind, a: u8, b: u8) -> bool {
    a == b || (kind == Kind::OrderedSet && a % 3 != 2 && b % 3 != 2 && a / 3 == b / 3)
}

#[derive(Clone, Debug)]
enum Op {
    Write(Row),
    Delete(u8),
    DeleteObject(Row),
    Clear,
    /// Several writes and deletes as one step.
    Batch(Vec<(Row, bool)>),
    /// A step of the flush, for tables on disc.
    Flush,
}

fn row() -> impl Strategy<Value = Row> {
    (0..24u8, 0..4u8, 0..3u8)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => row().prop_map(Op::Write),
        3 => (0..24u8).prop_map(Op::Delete),
        3 => row().prop_map(Op::DeleteObject),
        1 => Just(Op::Clear),
        3 => prop::collection::vec((row(), any::<bool>()), 1..12).prop_map(Op::Batch),
        4 => Just(Op::Flush),
    ]
}

#[derive(Default)]
struct Model(Vec<Row>);

impl Model {
    fn write(&mut self, kind: Kind, row: Row) {
        match kind {
            Kind::Set | Kind::OrderedSet => {
                self.delete(kind, row.0);
                self.0.push(row);
            }
            Kind::Bag if self.0.contains(&row) => {}
            Kind::Bag | Kind::DuplicateBag => self.0.push(row),
        }
    }

    fn delete(&mut self, kind: Kind, key: u8) {
        self.0.retain(|r| !same_key(kind, r.0, key));
    }

    fn of(&self, kind: Kind, key: u8) -> Vec<Row> {
        self.0.iter().copied().filter(|r| same_key(kind, r.0, key)).collect()
    }
}

fn delete_object(table: &Table, row: Row) {
    let wanted = record(row);
    table.update(&key(table, row.0), &mut Nowhere, |rows| {
        if !rows.iter().any(|r| r.same(&wanted)) {
            return None;
        }
        Some(if table.kind().is_bag() {
            Change::Bag { cleared: false, steps: vec![BagStep::Remove(wanted)] }
        } else {
            Change::Delete
        })
    });
}

fn run(kind: Kind, program: &[Op]) {
    let indexes = || vec![1.into(), 2.into(), IndexDefinition { fields: vec![2, 1], unique: false }];
    let definition = || Definition { kind, arity: 4, record_name: 27, indexes: indexes() };
    run_on(&Table::new(1, definition()), &Base::default(), program);
    let base = Base::default();
    run_on(&base.table(definition()), &base, program);
}

fn run_on(table: &Table, base: &Base, program: &[Op]) {
    let kind = table.kind();
    let mut model = Model::default();
    for op in program {
        match op {
            Op::Write(row) => {
                apply_one(table, &key(table, row.0), Change::write(kind, record(*row)));
                model.write(kind, *row);
            }
            Op::Delete(k) => {
                apply_one(table, &key(table, *k), Change::Delete);
                model.delete(kind, *k);
            }
            Op::DeleteObject(row) => {
                delete_object(table, *row);
                model.0.retain(|r| r != row);
            }
            Op::Flush => base.step(table),
            Op::Clear => {
                drop(table.clear(&mut Nowhere));
                model.0.clear();
            }
            Op::Batch(steps) => {
                let mut changes: Vec<_> = steps
                    .iter()
                    .map(|(row, write)| {
                        let change = if *write { Change::write(kind, record(*row)) } else { Change::Delete };
                        (key(table, row.0), change)
                    })
                    .collect();
                let mut steps_: Vec<_> = changes.iter_mut().map(|(key, change)| Step { table, key, change }).collect();
                apply(&mut steps_, &mut Nowhere);
                for (row, write) in steps {
                    if *write {
                        model.write(kind, *row)
                    } else {
                        model.delete(kind, row.0)
                    }
                }
            }
        }
        table.check().expect("every invariant holds");
        assert_eq!(table.size(), model.0.len());
        agree(table, &model);
    }
    drop(table.clear(&mut Nowhere));
    assert_eq!(table.size(), 0);
    table.check().expect("an empty table is sound");
}

/// Reads by key, by index and by scan give what the model has, in order for bags.
fn agree(table: &Table, model: &Model) {
    let kind = table.kind();
    for k in 0..24 {
        let wanted: Vec<_> = model.of(kind, k).into_iter().map(record).collect();
        let got = table.rows(&key(table, k));
        assert_eq!(got.len(), wanted.len(), "rows of key {k}");
        assert!(got.iter().zip(&wanted).all(|(g, w)| g.same(w)), "rows of key {k}: {got:?}, expected {wanted:?}");
    }
    for value in 0..4u8 {
        let index = table.indexes.find(IndexId(0)).expect("field 1 is indexed");
        let mut form = Vec::new();
        remnesia_engine::term::key::write(&[value], None, &mut form);
        let mut found = 0;
        let mut after = None;
        // In steps of two, as a scan would go.
        loop {
            let mut keys = Vec::new();
            after = index.keys_in(&Range::of(form.clone()), after.as_deref(), 2, |key| keys.push(key));
            for bytes in keys {
                found += table.look(&Key::of(bytes), |rows| rows.iter().filter(|r| r.field(1) == [value]).count());
            }
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, model.0.iter().filter(|r| r.1 == value).count(), "rows with value {value}");
    }
    let (mut cursor, mut seen, mut last) = (Cursor::Start, 0, Vec::new());
    while cursor != Cursor::End {
        table.scan(&mut cursor, 3, |rows| {
            seen += rows.len();
            if kind == Kind::OrderedSet {
                let key = table.key_of(&rows[0]).bytes.to_vec();
                assert!(last < key, "an ordered_set is visited in order");
                last = key;
            }
        });
    }
    assert_eq!(seen, model.0.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn set(program in prop::collection::vec(op(), 1..60)) { run(Kind::Set, &program); }

    #[test]
    fn ordered_set(program in prop::collection::vec(op(), 1..60)) { run(Kind::OrderedSet, &program); }

    #[test]
    fn bag(program in prop::collection::vec(op(), 1..60)) { run(Kind::Bag, &program); }

    #[test]
    fn duplicate_bag(program in prop::collection::vec(op(), 1..60)) { run(Kind::DuplicateBag, &program); }
}

/// A row with an integer key, which the stability test can have thousands of.
fn plain(key: i64) -> Record {
    let mut writer = Writer::new();
    writer.int(key);
    let start = writer.len() as u32;
    writer.int(0);
    Record::build(&[0, start], &writer.buf, false, None)
}

/// A scan that pauses visits what stays exactly once, whatever comes and goes meanwhile.
#[test]
fn scans_are_stable() {
    for (kind, on_disc) in [Kind::Set, Kind::Bag, Kind::OrderedSet].into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let definition = Definition { kind, arity: 3, record_name: 27, indexes: vec![] };
        let base = Base::default();
        let table = if on_disc { base.table(definition) } else { Table::new(1, definition) };
        let write = |key: i64| {
            let record = plain(key);
            apply_one(&table, &table.key_of(&record), Change::write(kind, record.clone()));
        };
        let delete = |key: i64| apply_one(&table, &table.key_of(&plain(key)), Change::Delete);
        // Keys below 2,000 stay; those above come and go.
        (0..4_000).for_each(write);
        let mut seen = std::collections::HashMap::new();
        let (mut cursor, mut step) = (Cursor::Start, 0i64);
        while cursor != Cursor::End {
            table.scan(&mut cursor, 50, |rows| *seen.entry(rows[0].key().to_vec()).or_insert(0) += 1);
            delete(2_000 + step % 2_000);
            (0..20).for_each(|i| write(10_000 + step * 20 + i));
            write(step % 2_000);
            base.step(&table);
            step += 1;
            assert!(step < 100_000, "the scan must end");
        }
        for key in 0..2_000 {
            assert_eq!(seen.get(plain(key).key()), Some(&1), "{kind:?}: key {key}");
        }
        assert!(seen.values().all(|&n| n == 1), "{kind:?}: nothing is visited twice");
        table.check().expect("sound");
    }
}

/// First to last by neighbours is the scan.
#[test]
fn neighbours_walk_the_table() {
    for (kind, on_disc) in [Kind::Set, Kind::OrderedSet].into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let definition = Definition { kind, arity: 3, record_name: 27, indexes: vec![] };
        let base = Base::default();
        let table = if on_disc { base.table(definition) } else { Table::new(1, definition) };
        for key in (0..500).rev() {
            table.update(&table.key_of(&plain(key)), &mut Nowhere, |_| Some(Change::Put(plain(key))));
            if key % 50 == 0 {
                base.step(&table);
            }
        }
        let (mut at, mut count) = (None, 0);
        while let Some(record) = table.neighbour(at.as_ref(), false).expect("the key is there") {
            if kind == Kind::OrderedSet {
                assert!(record.same(&plain(count)));
            }
            at = Some(table.key_of(&record));
            count += 1;
        }
        assert_eq!(count, 500);
        if kind == Kind::OrderedSet {
            let mut at = None;
            while let Some(record) = table.neighbour(at.as_ref(), true).expect("an order") {
                count -= 1;
                assert!(record.same(&plain(count)), "backward");
                at = Some(table.key_of(&record));
            }
            assert_eq!(count, 0);
            let range = |low: i64, high: i64| Range {
                low: table.key_of(&plain(low)).bytes.to_vec(),
                high: Some(table.key_of(&plain(high)).bytes.to_vec()),
            };
            assert_eq!(table.count_keys(&[range(10, 320), range(400, 450)], 1_000), 360);
            assert_eq!(table.count_keys(&[range(10, 320)], 100), 100);
        }
        let absent = table.key_of(&plain(1_000));
        assert_eq!(table.neighbour(Some(&absent), false).is_err(), kind == Kind::Set);
    }
}
