//! What a table was at one moment, read in steps while it is changed, against a copy that was made at that moment.

use proptest::prelude::*;
use remnesia_engine::db::Db;
use remnesia_engine::table::{Change, Cursor, Definition, Key, Kind, Nowhere, Table};
use remnesia_engine::term::{Record, Writer};
use remnesia_engine::txn::Snapshot;
use std::collections::BTreeMap;

fn record(key: u16, value: u16) -> Record {
    let mut writer = Writer::new();
    writer.int(i64::from(key));
    let at = writer.len() as u32;
    writer.int(i64::from(value));
    Record::build(&[0, at], &writer.buf, false, None)
}

fn key(table: &Table, key: u16) -> Key {
    table.key_of(&record(key, 0))
}

#[derive(Clone, Debug)]
enum Op {
    Write(u16, u16),
    Delete(u16),
    Clear,
    /// A snapshot begins, and one that there is goes a step on.
    Begin,
    Step(u8),
    End(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => (0..2000u16, any::<u16>()).prop_map(|(k, v)| Op::Write(k, v)),
        10 => (0..2000u16).prop_map(Op::Delete),
        1 => Just(Op::Clear),
        2 => Just(Op::Begin),
        6 => any::<u8>().prop_map(Op::Step),
        1 => any::<u8>().prop_map(Op::End),
    ]
}

/// All rows by the bytes of their keys, as debug text is enough to compare.
type Rows = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

fn note(rows: &mut Rows, found: &[Record]) {
    let new = rows.insert(found[0].key().to_vec(), found.iter().map(|r| r.bytes().to_vec()).collect());
    assert!(new.is_none(), "a key is visited twice");
}

fn all(table: &Table) -> Rows {
    let (mut rows, mut cursor) = (Rows::new(), Cursor::default());
    while cursor != Cursor::End {
        table.scan(&mut cursor, 100, |found| note(&mut rows, found));
    }
    rows
}

fn check(kind: Kind, filled: u16, ops: Vec<Op>) {
    let db = Db::default();
    let name = b"name";
    assert!(db.create(name, None, Definition { kind, arity: 3, record_name: 1, indexes: vec![] }, None));
    let open = db.open(name).expect("it is there");
    let table = &open.table;
    for n in 0..filled {
        table.update(&key(table, n), &mut Nowhere, |_| Some(Change::write(kind, record(n, n))));
    }
    let mut taken: Vec<(Snapshot, Rows, Cursor, Rows)> = Vec::new();
    let step = |(snapshot, _, cursor, seen): &mut (Snapshot, Rows, Cursor, Rows)| {
        if *cursor != Cursor::End {
            snapshot.scan(name, cursor, |found| note(seen, found));
        }
    };
    for op in ops {
        match op {
            Op::Write(k, v) => table.update(&key(table, k), &mut Nowhere, |_| Some(Change::write(kind, record(k, v)))),
            Op::Delete(k) => table.update(&key(table, k), &mut Nowhere, |_| Some(Change::Delete)),
            Op::Clear => drop(table.clear(&mut Nowhere)),
            Op::Begin if taken.len() < 4 => {
                let snapshot = Snapshot::begin(vec![open.clone(), open.clone()]).expect("nothing is being committed");
                taken.push((snapshot, all(table), Cursor::default(), Rows::new()));
            }
            Op::Step(n) if !taken.is_empty() => {
                let at = usize::from(n) % taken.len();
                step(&mut taken[at]);
            }
            Op::End(n) if !taken.is_empty() => drop(taken.swap_remove(usize::from(n) % taken.len())),
            _ => {}
        }
        table.check().expect("sound");
    }
    for mut one in taken {
        for n in (0..2000).step_by(97) {
            let key = key(table, n);
            let read = one.0.read(name, &key).expect("a table of it");
            let then = one.1.get(record(n, 0).key()).cloned().unwrap_or_default();
            assert_eq!(read.iter().map(|r| r.bytes().to_vec()).collect::<Vec<_>>(), then);
        }
        while one.2 != Cursor::End {
            step(&mut one);
        }
        assert_eq!(one.3, one.1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn as_it_was(kind in prop::sample::select(vec![Kind::Set, Kind::OrderedSet, Kind::Bag, Kind::DuplicateBag]),
                 filled in 0..1500u16, ops in prop::collection::vec(op(), 0..250)) {
        check(kind, filled, ops);
    }
}
