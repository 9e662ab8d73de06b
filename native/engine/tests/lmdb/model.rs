//! The LMDB store against a `BTreeMap`: keys of all lengths with long common beginnings, values of all sizes, tables that come and go.

use crate::support::{backward, forward, Directory, Row};
use proptest::prelude::*;
use remnesia_engine::store::base::{Base, Batch, Op};
use remnesia_engine::store::lmdb::{check, Lmdb, Options, FILE};
use std::collections::BTreeMap;
use std::ops::Bound;

type Model = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

fn rows_of(model: &Model, table: u32) -> Vec<Row> {
    model.iter().filter(|((of, _), _)| *of == table).map(|((_, key), value)| (key.clone(), value.clone())).collect()
}

fn same(store: &Lmdb, model: &Model, tables: u32) {
    for table in 0..tables {
        let rows = rows_of(model, table);
        assert_eq!(store.size(table), rows.len() as u64, "size of {table}");
        assert!(forward(store, table, Bound::Unbounded, usize::MAX) == rows, "table {table} forward");
        let mut back = backward(store, table, Bound::Unbounded, usize::MAX);
        back.reverse();
        assert!(back == rows, "table {table} backward");
    }
}

/// Every bound that could go wrong at a key: it, and its neighbours.
fn bounds(store: &Lmdb, model: &Model, table: u32, key: &[u8]) {
    let rows = rows_of(model, table);
    let after = rows.partition_point(|row| row.0.as_slice() <= key);
    let at = rows.partition_point(|row| row.0.as_slice() < key);
    assert!(forward(store, table, Bound::Included(key), 3) == rows[at..].iter().take(3).cloned().collect::<Vec<_>>());
    assert!(forward(store, table, Bound::Excluded(key), 3) == rows[after..].iter().take(3).cloned().collect::<Vec<_>>());
    assert!(backward(store, table, Bound::Included(key), 3) == rows[..after].iter().rev().take(3).cloned().collect::<Vec<_>>());
    assert!(backward(store, table, Bound::Excluded(key), 3) == rows[..at].iter().rev().take(3).cloned().collect::<Vec<_>>());
    let mut found = None;
    let there = store.get(table, key, &mut |value| found = Some(value.to_vec())).unwrap();
    assert_eq!(there, at < after);
    assert!(found.as_ref() == model.get(&(table, key.to_vec())));
}

/// Keys that share long beginnings: a few letters, repeated to a length around the limits, and a tail.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        4 => 0usize..12,
        4 => 470usize..500,
        2 => Just(480usize),
        1 => 900usize..1100,
        1 => Just(100_000usize)
    ];
    (
        prop_oneof![Just(b'a'), Just(0u8), Just(0xff)],
        length,
        prop::collection::vec(prop_oneof![Just(b'a'), Just(0u8), Just(0xff), Just(b'b')], 0..6),
    )
        .prop_map(|(letter, length, tail)| {
            let mut key = vec![letter; length];
            key.extend(tail);
            key
        })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![6 => 0usize..100, 3 => 1000usize..5000, 1 => 60_000usize..200_000];
    (length, any::<u8>()).prop_map(|(length, byte)| (0..length).map(|i| byte.wrapping_add(i as u8)).collect())
}

#[derive(Clone, Debug)]
enum Step {
    Change(BTreeMap<(u32, Vec<u8>), Option<Vec<u8>>>),
    Clear(u32),
    Reopen,
}

/// More tables than have a tree of their own.
const TABLES: u32 = 20;

fn step() -> impl Strategy<Value = Step> {
    let table = || prop_oneof![4 => 0..2u32, 1 => 0..TABLES];
    let change = prop::collection::btree_map((table(), key()), prop::option::weighted(0.7, value()), 1..20);
    prop_oneof![
        10 => change.prop_map(Step::Change),
        1 => (0..TABLES).prop_map(Step::Clear),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60), ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_sorted_map(steps in prop::collection::vec(step(), 1..25), probes in prop::collection::vec((0..2u32, key()), 10)) {
        let directory = Directory::new();
        let mut store = Lmdb::open(&directory.0, &Options::default()).unwrap();
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Change(changes) => {
                    let ops: Vec<Op> = changes.iter().map(|((table, key), value)| Op { table: *table, key, value: value.as_deref() }).collect();
                    store.apply(&Batch { ops: &ops, ..Batch::default() }).unwrap();
                    for (key, value) in changes {
                        match value {
                            Some(value) => model.insert(key, value),
                            None => model.remove(&key),
                        };
                    }
                }
                Step::Clear(table) => {
                    store.apply(&Batch { cleared: &[table], ..Batch::default() }).unwrap();
                    model.retain(|(of, _), _| *of != table);
                }
                Step::Reopen => {
                    drop(store);
                    store = Lmdb::open(&directory.0, &Options::default()).unwrap();
                }
            }
        }
        same(&store, &model, TABLES);
        let known: Vec<_> = model.keys().take(20).cloned().collect();
        for (table, key) in known.iter().chain(&probes) {
            bounds(&store, &model, *table, key);
        }
        drop(store);
        let report = check::walk(&directory.0.join(FILE));
        prop_assert!(report.is_ok(), "{:?}", report);
        let report = report.unwrap();
        prop_assert_eq!(report.rows, model.len() as u64);
        prop_assert_eq!(report.lost, 0);
        let store = Lmdb::open(&directory.0, &Options { clean: true, ..Options::default() }).unwrap();
        same(&store, &model, TABLES);
    }
}

/// One family of long keys, filled in rising, falling and random order, in the middle of one gap, and emptied.
#[test]
fn a_large_family_of_long_keys() {
    for order in ["rising", "falling", "random", "squeezed"] {
        let directory = Directory::new();
        let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
        let mut numbers: Vec<u64> = (0..4000).collect();
        match order {
            "falling" => numbers.reverse(),
            "random" => numbers.sort_by_key(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            // From both ends to the middle: new chunks always between the same two.
            "squeezed" => numbers = (0..2000).flat_map(|n| [n, 3999 - n]).collect(),
            _ => (),
        }
        let key = |n: u64| [vec![b'p'; 700], format!("{n:08}").into_bytes(), vec![b's'; 300]].concat();
        let mut model = Model::new();
        for some in numbers.chunks(7) {
            let keys: BTreeMap<Vec<u8>, Vec<u8>> = some.iter().map(|n| (key(*n), n.to_le_bytes().to_vec())).collect();
            let ops: Vec<Op> = keys.iter().map(|(key, value)| Op { table: 1, key, value: Some(value) }).collect();
            store.apply(&Batch { ops: &ops, ..Batch::default() }).unwrap();
            model.extend(keys.into_iter().map(|(key, value)| ((1, key), value)));
        }
        same(&store, &model, 2);
        for n in [0, 1, 1999, 2000, 3999, 4000] {
            bounds(&store, &model, 1, &key(n));
        }
        assert_eq!(check::walk(&directory.0.join(FILE)).unwrap().rows, 4000);
        for some in numbers.chunks(100) {
            let keys: std::collections::BTreeSet<_> = some.iter().map(|n| key(*n)).collect();
            let ops: Vec<Op> = keys.iter().map(|key| Op { table: 1, key, value: None }).collect();
            store.apply(&Batch { ops: &ops, ..Batch::default() }).unwrap();
        }
        same(&store, &Model::new(), 2);
        assert_eq!(check::walk(&directory.0.join(FILE)).unwrap().rows, 0);
    }
}

#[test]
fn values_of_many_megabytes() {
    let directory = Directory::new();
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    let big: Vec<u8> = (0..20_000_000u32).map(|i| (i / 251) as u8).collect();
    let long = vec![b'k'; 5000];
    let ops = [Op { table: 1, key: b"big", value: Some(&big) }, Op { table: 1, key: &long, value: Some(&big[7..]) }];
    store.apply(&Batch { ops: &ops, ..Batch::default() }).unwrap();
    assert!(store.get(1, b"big", &mut |value| assert!(value == big)).unwrap());
    assert!(store.get(1, &long, &mut |value| assert!(value == &big[7..])).unwrap());
    let ops = [Op { table: 1, key: b"big", value: Some(b"small") }, Op { table: 1, key: &long, value: None }];
    store.apply(&Batch { ops: &ops, ..Batch::default() }).unwrap();
    assert!(store.get(1, b"big", &mut |value| assert!(value == b"small")).unwrap());
    assert_eq!(store.size(1), 1);
    assert_eq!(check::walk(&directory.0.join(FILE)).unwrap().rows, 1);
}

#[test]
fn small_things_and_the_position() {
    let directory = Directory::new();
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    assert_eq!((store.position(), store.meta(b"a"), store.size(7)), (Ok(0), Ok(None), 0));
    let meta: [(&[u8], Option<&[u8]>); 3] = [(b"a", Some(b"1")), (b"ab", Some(b"")), (b"b", Some(&[9; 9000]))];
    let dictionary: [(u32, &[u8]); 2] = [(256, b"later"), (3, b"first")];
    store.apply(&Batch { meta: &meta, dictionary: &dictionary, position: Some(77), ..Batch::default() }).unwrap();
    store.apply(&Batch { meta: &[(b"zz", None)], ..Batch::default() }).unwrap();
    let long = vec![b'n'; 600];
    assert!(store.apply(&Batch { meta: &[(&long, Some(b"x"))], position: Some(78), ..Batch::default() }).is_err());
    drop(store);
    let store = Lmdb::open(&directory.0, &Options { create: false, ..Options::default() }).unwrap();
    assert_eq!((store.position(), store.meta(b"b")), (Ok(77), Ok(Some(vec![9; 9000]))));
    let mut names = Vec::new();
    store.metas(b"a", &mut |name, value| names.push((name.to_vec(), value.to_vec()))).unwrap();
    assert_eq!(names, [(b"a".to_vec(), b"1".to_vec()), (b"ab".to_vec(), vec![])]);
    let mut atoms = Vec::new();
    store.dictionary(&mut |id, text| atoms.push((id, text.to_vec()))).unwrap();
    assert_eq!(atoms, [(3, b"first".to_vec()), (256, b"later".to_vec())]);
}

/// Tables beyond those with a tree of their own; cleared ones make room, and garbage goes in later transactions.
#[test]
fn many_tables() {
    let directory = Directory::new();
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    let keys: Vec<[u8; 4]> = (0..5000u32).map(u32::to_be_bytes).collect();
    let fill = |table: u32| {
        let ops: Vec<Op> = keys.iter().map(|key| Op { table, key, value: Some(b"value") }).collect();
        store.apply(&Batch { ops: &ops, ..Batch::default() }).unwrap();
    };
    (0..40).for_each(fill);
    store
        .apply(&Batch { cleared: &[3, 30, 31], ops: &[Op { table: 30, key: b"new", value: Some(b"1") }], ..Batch::default() })
        .unwrap();
    assert_eq!([3, 30, 31, 32].map(|table| store.size(table)), [0, 1, 0, 5000]);
    assert_eq!(forward(&store, 30, Bound::Unbounded, 9), [(b"new".to_vec(), b"1".to_vec())]);
    assert_eq!(forward(&store, 31, Bound::Unbounded, 9), []);
    fill(31);
    assert_eq!(check::walk(&directory.0.join(FILE)).unwrap().tables, 39);
    for _ in 0..4 {
        store.apply(&Batch::default()).unwrap();
    }
    drop(store);
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    assert_eq!([3, 30, 31, 32].map(|table| store.size(table)), [0, 1, 5000, 5000]);
    assert!(store.bytes(0).unwrap() > 5000 * 10 && store.bytes(32).unwrap() > 5000 * 10);
}

/// Readers beside a writer that moves tables: what they see is always one state, of the table they asked for.
#[test]
fn readers_see_whole_states_while_tables_move() {
    let directory = Directory::new();
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    let keys: Vec<[u8; 4]> = (0..50u32).map(u32::to_be_bytes).collect();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..400u32 {
                let (table, other) = (round % 2, (round + 1) % 2);
                let value = [table as u8 + 1];
                let ops: Vec<Op> = keys.iter().map(|key| Op { table, key, value: Some(&value) }).collect();
                store.apply(&Batch { cleared: &[other], ops: &ops, ..Batch::default() }).unwrap();
            }
        });
        while !writer.is_finished() {
            for table in 0..2 {
                let rows = forward(&store, table, Bound::Unbounded, usize::MAX);
                assert!(rows.is_empty() || rows.len() == 50, "{} rows", rows.len());
                assert!(rows.iter().all(|row| row.1 == [table as u8 + 1]), "rows of another table");
                store.get(table, &keys[7], &mut |value| assert_eq!(value, [table as u8 + 1])).unwrap();
            }
        }
    });
}

#[test]
fn a_batch_that_is_not_sorted_changes_nothing() {
    let directory = Directory::new();
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    let ops = [Op { table: 1, key: b"b", value: Some(b"") }, Op { table: 1, key: b"a", value: Some(b"") }];
    assert!(store.apply(&Batch { ops: &ops, position: Some(5), ..Batch::default() }).is_err());
    assert_eq!((store.size(1), store.position()), (0, Ok(0)));
    assert_eq!(forward(&store, 1, Bound::Unbounded, 9), []);
}
