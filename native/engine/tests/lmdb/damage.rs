//! Damaged files: each is refused with a reason or holds the right data, also when it is written to, and the process lives in any case.

use crate::support::{backward, forward, Directory};
use remnesia_engine::store::base::{Base, Batch, Op};
use remnesia_engine::store::lmdb::{check, Lmdb, Options, FILE};
use remnesia_engine::store::StoreError;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::Path;

const PAGE: usize = 4096;
const TABLES: u32 = 22;

type Model = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

/// Numbers from a seed; a failure names its case.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ x >> 31) % limit as u64) as usize
    }
}

fn change(store: &Lmdb, model: &mut Model, changes: BTreeMap<(u32, Vec<u8>), Option<Vec<u8>>>) {
    let ops: Vec<Op> = changes.iter().map(|((table, key), value)| Op { table: *table, key, value: value.as_deref() }).collect();
    let position = Some(store.position().unwrap() + 1);
    store.apply(&Batch { ops: &ops, position, ..Batch::default() }).unwrap();
    for (key, value) in changes {
        match value {
            Some(value) => model.insert(key, value),
            None => model.remove(&key),
        };
    }
}

/// Random changes of all that a file can have: branches, overflow pages, chunks, the shared tree, free pages.
fn mixed(random: &mut Random, count: usize) -> BTreeMap<(u32, Vec<u8>), Option<Vec<u8>>> {
    let one = |_| {
        let (table, key, len) = match random.below(10) {
            0 => (2, vec![random.below(20) as u8; 9], random.below(9000)),
            1 => (3, [vec![b'x'; 500 + random.below(3)], vec![random.below(100) as u8; 2]].concat(), random.below(500)),
            2..4 => (random.below(TABLES as usize) as u32, vec![random.below(40) as u8; 3], 30),
            _ => (1, format!("key of some length {:06}", random.below(3000)).into_bytes(), random.below(60)),
        };
        let byte = random.below(256) as u8;
        let value = (random.below(5) > 0).then(|| vec![byte; len]);
        ((table, key), value)
    };
    (0..count).map(one).collect()
}

/// The sample's log position.
const LAST: u64 = 1000;

/// A file with a bit of everything, what it holds, and what it held before its last transaction.
struct Sample {
    file: Vec<u8>,
    model: Model,
    before: Model,
}

fn sample() -> Sample {
    let directory = Directory::new();
    let (mut random, mut model) = (Random(7), Model::new());
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    for _ in 0..25 {
        change(&store, &mut model, mixed(&mut random, 300));
    }
    let dictionary: [(u32, &[u8]); 2] = [(1, b"atom"), (2, b"other")];
    let meta: [(&[u8], Option<&[u8]>); 1] = [(b"name", Some(b"value"))];
    store.apply(&Batch { dictionary: &dictionary, meta: &meta, position: Some(LAST - 1), ..Batch::default() }).unwrap();
    let before = model.clone();
    store.apply(&Batch { cleared: &[20], position: Some(LAST), ..Batch::default() }).unwrap();
    model.retain(|(table, _), _| *table != 20);
    drop(store);
    let report = check::walk(&directory.0.join(FILE)).unwrap();
    assert!(report.free > 10 && report.tables > 20, "{report:?}");
    Sample { file: fs::read(directory.0.join(FILE)).unwrap(), model, before }
}

fn same(store: &Lmdb, model: &Model, case: &str) {
    for table in 0..TABLES {
        let rows: Vec<_> =
            model.range((table, vec![])..(table + 1, vec![])).map(|((_, key), value)| (key.clone(), value.clone())).collect();
        assert_eq!(store.size(table), rows.len() as u64, "{case}: size of {table}");
        assert!(forward(store, table, Bound::Unbounded, usize::MAX) == rows, "{case}: {table} forward");
        let mut back = backward(store, table, Bound::Unbounded, usize::MAX);
        back.reverse();
        assert!(back == rows, "{case}: {table} backward");
        for (key, value) in &rows {
            assert!(store.get(table, key, &mut |found| assert!(found == value, "{case}")).unwrap(), "{case}");
        }
    }
    assert_eq!(store.meta(b"name").unwrap().as_deref(), Some(&b"value"[..]), "{case}");
}

/// Opens a file that may be damaged, as after an unclean stop. True if it was refused.
fn try_file(bytes: &[u8], sample: &Sample, case: &str) -> bool {
    let directory = Directory::new();
    fs::create_dir(&directory.0).unwrap();
    fs::write(directory.0.join(FILE), bytes).unwrap();
    // A reason, for people too.
    let store = match Lmdb::open(&directory.0, &Options { create: false, ..Options::default() }) {
        Ok(store) => store,
        Err(StoreError::Corrupt { .. } | StoreError::Foreign { .. } | StoreError::NewerFormat { .. }) => {
            assert!(fs::read(directory.0.join(FILE)).unwrap() == bytes, "{case}: a refused file was changed");
            return true;
        }
        Err(other) => panic!("{case}: {other}"),
    };
    // The number of the newest meta page may have become that of the oldest: then this is the state before, and its position says
    // so to recovery, which asks the log for what follows.
    let mut model = match store.position().unwrap() {
        LAST => sample.model.clone(),
        position => {
            assert_eq!(position, LAST - 1, "{case}");
            sample.before.clone()
        }
    };
    same(&store, &model, case);
    // And it can be written to, in every part.
    let mut random = Random(bytes.len() as u64);
    for _ in 0..3 {
        change(&store, &mut model, mixed(&mut random, 200));
    }
    store.apply(&Batch { cleared: &[1, 21], ..Batch::default() }).unwrap();
    model.retain(|(table, _), _| ![1, 21].contains(table));
    change(&store, &mut model, mixed(&mut random, 200));
    same(&store, &model, case);
    drop(store);
    let report = check::walk(&directory.0.join(FILE));
    assert!(report.is_ok(), "{case}: after writing {report:?}");
    false
}

/// Damages the sample `count` times; answers how often it was refused.
fn damaged(count: usize, seed: u64, damage: impl Fn(&mut Vec<u8>, &mut Random) -> String) -> usize {
    let sample = sample();
    let file = &sample.file;
    assert!(!try_file(file, &sample, "whole"));
    let mut random = Random(seed);
    let one = |_| {
        let mut bytes = file.clone();
        let case = damage(&mut bytes, &mut random);
        try_file(&bytes, &sample, &case)
    };
    (0..count).map(one).filter(|refused| *refused).count()
}

#[test]
fn bytes_that_flipped() {
    let refused = damaged(1000, 1, |bytes, random| {
        let (at, bit) = (random.below(bytes.len()), random.below(8));
        bytes[at] ^= 1 << bit;
        format!("bit {bit} of byte {at}")
    });
    // The others are in free pages and free room.
    assert!(refused > 200, "{refused}");
}

/// Heads of pages and nodes are a small part of the file and the most dangerous.
#[test]
fn bytes_that_changed_in_heads() {
    let refused = damaged(600, 2, |bytes, random| {
        let page = random.below(bytes.len() / PAGE);
        let at = page * PAGE + random.below(if page < 2 { 152 } else { 64 });
        let to = [0, 1, 2, 4, 16, 0x7f, 0x80, 0xff][random.below(8)];
        bytes[at] = to;
        format!("byte {at} is {to}")
    });
    assert!(refused > 100, "{refused}");
}

#[test]
fn numbers_that_changed() {
    let refused = damaged(400, 3, |bytes, random| {
        let at = random.below(bytes.len() / 2) * 2;
        let to = random.below(1 << 16) as u16;
        bytes[at..at + 2].copy_from_slice(&to.to_le_bytes());
        format!("number {to} at {at}")
    });
    assert!(refused > 40, "{refused}");
}

#[test]
fn garbage_in_pages() {
    let refused = damaged(200, 4, |bytes, random| {
        let pages: Vec<usize> = (0..1 + random.below(20)).map(|_| random.below(bytes.len() / PAGE)).collect();
        for page in &pages {
            let fill = random.below(4);
            bytes[page * PAGE..][..PAGE].iter_mut().for_each(|byte| *byte = if fill == 0 { 0 } else { random.below(256) as u8 });
        }
        format!("garbage in {pages:?}")
    });
    assert!(refused > 100, "{refused}");
}

/// What a disc that mixes up its writes leaves: whole pages that are not where they belong, or from earlier.
#[test]
fn pages_in_other_places() {
    let refused = damaged(300, 5, |bytes, random| {
        let (from, to) = (random.below(bytes.len() / PAGE), random.below(bytes.len() / PAGE));
        let page = bytes[from * PAGE..][..PAGE].to_vec();
        bytes[to * PAGE..][..PAGE].copy_from_slice(&page);
        if random.below(2) == 0 {
            // With the number of its place, so that only its contents are wrong.
            bytes[to * PAGE..][..8].copy_from_slice(&(to as u64).to_le_bytes());
        }
        format!("page {from} at {to}")
    });
    assert!(refused > 100, "{refused}");
}

#[test]
fn files_that_were_cut_off() {
    let sample = sample();
    let file = &sample.file;
    let mut random = Random(6);
    let lengths = (0..100).map(|_| random.below(file.len())).chain([
        0,
        1,
        15,
        152,
        PAGE,
        PAGE + 1,
        2 * PAGE,
        file.len() - 1,
        file.len() - PAGE,
    ]);
    for length in lengths {
        let refused = try_file(&file[..length], &sample, &format!("cut off at {length}"));
        // Only free pages may be missing at the end.
        assert!(refused || length + 64 * PAGE > file.len(), "{length}");
    }
}

#[test]
fn meta_pages() {
    let sample = sample();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sample.file.clone();
        change(&mut bytes);
        try_file(&bytes, &sample, "meta pages")
    };
    assert!(with(&|bytes| (0..PAGE).for_each(|i| bytes.swap(i, PAGE + i))), "swapped");
    assert!(with(&|bytes| bytes.copy_within(0..PAGE, PAGE)), "two of one");
    assert!(with(&|bytes| bytes.copy_within(PAGE..2 * PAGE, 0)), "two of one");
    // The number of the transaction, the last page: as numbers that a flip makes.
    for page in 0..2 {
        for at in [136, 144] {
            for bit in 0..64 {
                with(&|bytes| bytes[page * PAGE + at + bit / 8] ^= 1 << (bit % 8));
            }
        }
    }
    // Both by the same: still two that follow each other.
    for bit in 1..64 {
        let refused = with(&|bytes| [0, PAGE].iter().for_each(|page| bytes[page + 144 + bit / 8] ^= 1 << (bit % 8)));
        assert!(refused, "bit {bit} of both numbers");
    }
}

/// Damage of a value after a clean stop, which the short look at the file does not see: an error of the read, not another value.
#[test]
fn a_damaged_value_is_an_error_of_its_read() {
    let directory = Directory::new();
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    let big = [b'b'; 10_000];
    let ops = [
        Op { table: 1, key: b"big", value: Some(&big) },
        Op { table: 1, key: b"other", value: Some(b"a value that is whole") },
        Op { table: 1, key: b"small", value: Some(b"a value that is damaged") },
    ];
    store.apply(&Batch { ops: &ops, ..Batch::default() }).unwrap();
    drop(store);
    let path = directory.0.join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    for text in [&b"is damaged"[..], &big[..5000]] {
        let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
        bytes[at + 3] ^= 1;
    }
    fs::write(&path, bytes).unwrap();
    assert!(matches!(check::walk(&path), Err(StoreError::Corrupt { .. })));
    let store = Lmdb::open(&directory.0, &Options { clean: true, ..Options::default() }).unwrap();
    for key in [&b"small"[..], b"big"] {
        let got = store.get(1, key, &mut |_| panic!("a damaged value"));
        assert!(matches!(got, Err(StoreError::Corrupt { .. })), "{got:?}");
    }
    assert_eq!(store.get(1, b"other", &mut |value| assert_eq!(value, b"a value that is whole")), Ok(true));
    assert!(matches!(store.scan(1, Bound::Unbounded, &mut |_, _| true), Err(StoreError::Corrupt { .. })));
}

fn refused(directory: &Path) -> StoreError {
    match Lmdb::open(directory, &Options { create: false, ..Options::default() }) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[test]
fn what_is_no_store() {
    let directory = Directory::new();
    let path = directory.0.join(FILE);
    assert!(matches!(refused(&directory.0), StoreError::Io { .. }), "no directory");
    fs::create_dir(&directory.0).unwrap();
    assert_eq!(refused(&directory.0), StoreError::Missing { path: path.clone() });
    fs::write(&path, b"").unwrap();
    assert!(matches!(refused(&directory.0), StoreError::Corrupt { .. }), "an empty file");
    fs::write(&path, vec![b'x'; 50_000]).unwrap();
    assert_eq!(refused(&directory.0), StoreError::Foreign { path: path.clone() });
    assert!(Lmdb::open(&directory.0, &Options::default()).is_err(), "create does not write over it");
    assert_eq!(fs::read(&path).unwrap().len(), 50_000);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(refused(&directory.0), StoreError::Foreign { path: path.clone() });
    fs::remove_dir(&path).unwrap();
    fs::write(directory.0.join("other"), "").unwrap();
    assert!(matches!(refused(&directory.0.join("other")), StoreError::Io { .. }), "a file in the directory's place");
}

/// An LMDB file, but not ours; and ours of a later format.
#[test]
fn files_of_others() {
    let directory = Directory::new();
    fs::create_dir(&directory.0).unwrap();
    let other = lmdb::Environment::new().open(&directory.0).unwrap();
    assert!(matches!(refused(&directory.0), StoreError::Corrupt { .. } | StoreError::Foreign { .. }), "without data");
    let tree = other.open_db(None).unwrap();
    for key in [b"one", b"two"] {
        let mut txn = other.begin_rw_txn().unwrap();
        txn.put(tree, key, b"value", lmdb::WriteFlags::empty()).unwrap();
        lmdb::Transaction::commit(txn).unwrap();
    }
    drop(other);
    assert_eq!(refused(&directory.0), StoreError::Foreign { path: directory.0.join(FILE) });
}
