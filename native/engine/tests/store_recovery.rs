//! What is found at start: torn tails, damage, recycled bytes, files that are not ours, a second opener.

mod store_common;

use remnesia_engine::store::base::{Base, Batch, MemBase};
use remnesia_engine::store::faulty::FaultyDir;
use remnesia_engine::store::file::Dir;
use remnesia_engine::store::{Callbacks, Config, Store, StoreError};
use std::sync::Arc;
use store_common::*;

/// Where the first counted frame of a segment stands.
const DATA: usize = 4096 + 40;

struct World {
    dir: FaultyDir,
    base: Arc<MemBase>,
    tables: Tables,
    /// Where each transaction ends, and in which segment (its name and where it begins).
    ends: Vec<u64>,
}

/// `synced` transactions that are known to be on disc (a later frame says so), then more that are not.
fn world(synced: i64, more: i64) -> World {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let config = Config { segment_bytes: 32 << 10, ..config() };
    let (store, _) = open_with(&dir, &base, config).expect("opens");
    let tables = create(&store).expect("tables");
    let mut ends = Vec::new();
    for i in 0..synced + more {
        ends.push(commit(&store, &tables, i).expect("room").position);
        if i + 1 == synced {
            store.sync_all().expect("syncs");
        }
    }
    die(store);
    World { dir, base, tables, ends }
}

impl World {
    fn image(&self) -> (FaultyDir, Arc<MemBase>) {
        (self.dir.killed(), Arc::new(self.base.image()))
    }
}

fn segment(dir: &FaultyDir) -> String {
    let mut names: Vec<String> = dir.list().expect("lists").into_iter().filter(|n| n.starts_with("log-")).collect();
    names.sort();
    names[0].clone()
}

/// Place of a position in the one segment.
fn place(position: u64) -> usize {
    DATA + position as usize
}

#[test]
fn torn_at_every_byte() {
    let world = world(5, 3);
    let (from, to) = (place(world.ends[4]), place(world.ends[7]));
    for at in from..to {
        let (dir, base) = world.image();
        dir.edit(&segment(&dir), |bytes| bytes[at..].fill(0));
        let (store, _) = open(&dir, &base).unwrap_or_else(|e| panic!("byte {at}: {e}"));
        let done = check_prefix(&store, &world.tables, 5, "torn");
        let whole = world.ends.iter().filter(|end| place(**end) <= at).count() as i64;
        // The last bytes of a transaction may be the zeros that fill it up.
        assert!(done >= whole && done <= whole + 1, "byte {at}: {done} of {whole}");
    }
}

#[test]
fn damage_below_the_mark_is_an_error_and_nothing_changes() {
    let world = world(5, 3);
    for i in 0..8 {
        let (dir, base) = world.image();
        let at = place(world.ends[i]) - 20;
        dir.edit(&segment(&dir), |bytes| bytes[at] ^= 0x10);
        let before = dir.killed();
        match open(&dir, &base) {
            Ok((store, recovered)) => {
                assert!(i >= 5, "damage at {i} was synced");
                assert_eq!(check_prefix(&store, &world.tables, 5, "cut"), i as i64);
                // What was behind the damage is not there any more, also after a restart.
                assert!(i == 7 || recovered.cut > 0);
                drop(store);
                let (store, _) = open(&dir, &base).expect("opens again");
                assert_eq!(check_prefix(&store, &world.tables, 5, "cut"), i as i64);
            }
            Err(StoreError::Corrupt { at, what, .. }) => {
                assert!(i < 5, "damage at {i} was not synced: {what}");
                assert!(at as usize <= place(world.ends[i]) && what.contains("safe up to"), "{at} {what}");
                let name = segment(&before);
                assert_eq!(contents(&dir, &name), contents(&before, &name), "nothing was changed");
                assert!(matches!(open(&dir, &base), Err(StoreError::Corrupt { .. })), "and it stays so");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn contents(dir: &FaultyDir, name: &str) -> Vec<u8> {
    let file = dir.open(name).expect("is there");
    let mut bytes = vec![0; file.len().expect("has a length") as usize];
    file.read_at(0, &mut bytes).expect("reads");
    bytes
}

#[test]
fn damage_after_a_clean_stop_is_found() {
    for i in 0..6 {
        let world = world(6, 0);
        let (dir, base) = world.image();
        let (store, _) = open(&dir, &base).expect("opens");
        let last = commit(&store, &world.tables, 6).expect("room").position;
        store.close().expect("closes");
        let end = world.ends.get(i + 1).copied().unwrap_or(last);
        let name = segment(&dir);
        dir.edit(&name, |bytes| {
            if i < 5 {
                bytes[place(end) - 20] ^= 1;
            } else {
                bytes.truncate(8000);
            }
        });
        assert!(matches!(open(&dir, &base), Err(StoreError::Corrupt { .. })), "damage {i}");
    }
}

#[test]
fn recycled_segments() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, _) = open(&dir, &base).expect("opens");
    let tables = create(&store).expect("tables");
    // Many segments long, in a few files: all of them full of old frames.
    let mut names = std::collections::BTreeSet::new();
    for i in 0..400 {
        commit(&store, &tables, i).expect("room");
        if i % 5 == 0 {
            store.sync_step().expect("syncs");
            while store.flush_step().expect("flushes") {}
            store.keep_step().expect("keeps");
            names.extend(dir.list().expect("lists"));
        }
    }
    assert!(names.len() > 20 && dir.list().expect("lists").len() < 8, "files are used again");
    for seed in 0..20 {
        let (dir, base) = (dir.power_cut(&mut chance(seed)), Arc::new(base.image()));
        let (store, _) = open(&dir, &base).expect("opens");
        check_prefix(&store, &tables, 396, "recycled");
    }
}

/// Any one bit of any file of the log: an error, or a prefix that has all that was synced.
#[test]
fn flipped_bits() {
    let world = world(5, 3);
    let name = segment(&world.dir);
    let used = place(world.ends[7]) + 64;
    let mut errors = 0;
    for at in (0..64).chain(4096..used) {
        let (dir, base) = world.image();
        dir.edit(&name, |bytes| bytes[at] ^= 1 << (at % 8));
        match open(&dir, &base) {
            Ok((store, _)) => {
                check_prefix(&store, &world.tables, 5, &format!("byte {at}"));
            }
            Err(_) => errors += 1,
        }
    }
    assert!(errors > used / 3 - 4096 / 3, "most of it was synced: {errors} of {used}");
}

#[test]
fn garbage() {
    for seed in 0..300u64 {
        let world = world(5, 3);
        let (dir, base) = world.image();
        let mut bit = chance(seed);
        let mut number = |most: usize| (0..24).fold(0, |n, _| n << 1 | usize::from(bit())) % most;
        dir.edit(&segment(&dir), |bytes| match seed % 3 {
            0 => bytes.truncate(number(20_000)),
            1 => (0..1 + number(50)).for_each(|_| bytes[number(20_000)] = number(256) as u8),
            _ => {
                let (from, len, to) = (number(18_000), number(2_000), number(18_000));
                bytes.copy_within(from..from + len, to);
            }
        });
        if let Ok((store, _)) = open(&dir, &base) {
            // What is written over by thousands of bytes leaves no mark that could tell.
            let least = if seed % 3 == 2 { 0 } else { 5 };
            check_prefix(&store, &world.tables, least, &format!("seed {seed}"));
        }
    }
}

#[test]
fn a_second_opener_is_refused() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, _) = open(&dir, &base).expect("opens");
    assert!(matches!(open(&dir, &base), Err(StoreError::Locked { .. })));
    store.close().expect("closes");
    assert!(open(&dir, &base).is_ok(), "closed");
}

fn reopened(change: impl FnOnce(&FaultyDir, &MemBase)) -> Result<(), StoreError> {
    let world = world(5, 0);
    let (dir, base) = world.image();
    open(&dir, &base).expect("opens").0.close().expect("closes");
    change(&dir, &base);
    open(&dir, &base).map(|_| ())
}

#[test]
fn files_that_are_wrong() {
    assert_eq!(reopened(|_, _| {}), Ok(()));
    let missing = reopened(|dir, _| {
        dir.list().expect("lists").iter().filter(|n| n.starts_with("log-")).for_each(|n| dir.remove(n).expect("removes"));
    });
    assert!(matches!(missing, Err(StoreError::Missing { .. })), "{missing:?}");
    let newer = reopened(|dir, _| dir.edit(&segment(dir), |bytes| bytes[8] = 9));
    assert!(matches!(newer, Err(StoreError::NewerFormat { found: 9, known: 1, .. })), "{newer:?}");
    let foreign = reopened(|dir, _| dir.edit(&segment(dir), |bytes| bytes[..4].copy_from_slice(b"ELF!")));
    assert!(matches!(foreign, Err(StoreError::Foreign { .. })), "{foreign:?}");
    let empty = reopened(|dir, _| dir.edit(&segment(dir), Vec::clear));
    assert!(matches!(empty, Err(StoreError::Corrupt { .. })), "{empty:?}");
    let name = reopened(|dir, _| dir.rename(&segment(dir), "log-00000000000000ff").expect("renames"));
    assert!(matches!(name, Err(StoreError::Corrupt { .. })), "{name:?}");
    let base = reopened(|_, base| {
        base.apply(&Batch { meta: &[(b"format", Some(&7u32.to_le_bytes()))], ..Batch::default() }).expect("applies");
    });
    assert!(matches!(base, Err(StoreError::NewerFormat { found: 7, known: 1, .. })), "{base:?}");
    let other = reopened(|_, base| {
        base.apply(&Batch { meta: &[(b"database", Some(&[1; 8]))], ..Batch::default() }).expect("applies");
    });
    assert!(matches!(other, Err(StoreError::Corrupt { .. })), "{other:?}");
    // The first segment, of two that are needed.
    let gap = reopened(|dir, _| dir.remove(&segment(dir)).expect("removes"));
    assert!(matches!(gap, Err(StoreError::Corrupt { .. })), "{gap:?}");
}

/// Rules of the VM changed since the keys were written: they are written again.
#[test]
fn other_rules() {
    let world = world(12, 0);
    let (dir, base) = world.image();
    let (store, _) = open(&dir, &base).expect("opens");
    store.flush_all().expect("flushes");
    store.close().expect("closes");
    // As if every key had been another.
    let table = world.tables.0[0].number;
    let mut rows = Vec::new();
    let all = &mut |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        true
    };
    base.scan(table, std::ops::Bound::Unbounded, all).expect("scans");
    assert!(!rows.is_empty());
    for (key, value) in &rows {
        let other = [key, &b"other"[..]].concat();
        for (key, value) in [(key, None), (&other, Some(&value[..]))] {
            let ops = [remnesia_engine::store::base::Op { table, key, value }];
            base.apply(&Batch { ops: &ops, ..Batch::default() }).expect("applies");
        }
    }
    base.apply(&Batch { meta: &[(b"rules", Some(&[0xff]))], ..Batch::default() }).expect("applies");
    let (store, _) = open(&dir, &base).expect("opens");
    assert_eq!(check_prefix(&store, &world.tables, 12, "rules"), 12);
    assert!(rows.iter().all(|(key, _)| base.get(table, key, &mut |_| {}).expect("gets")));
    // And it can be changed under those keys.
    commit(&store, &world.tables, 12).expect("room");
    store.close().expect("closes");
    let (store, _) = open(&dir, &base).expect("opens");
    assert_eq!(check_prefix(&store, &world.tables, 13, "rules"), 13);
}

/// Tables, notes and numbers that are never used again.
#[test]
fn definitions() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, _) = open(&dir, &base).expect("opens");
    let (a, b) = (store.create_table(true, b"a").expect("makes"), store.create_table(false, b"b").expect("makes"));
    let mut change = store.begin(1000).expect("sound").expect("room");
    change.put(a, &[row(1, 1)]).expect("encodes");
    change.define(a, b"a2").expect("encodes");
    change.note(b"counter", Some(b"7")).expect("encodes");
    change.note(b"gone", Some(b"7")).expect("encodes");
    change.drop_table(b);
    change.commit();
    let again = |store: Store, flush: bool| {
        if flush {
            store.flush_all().expect("flushes");
        }
        store.close().expect("closes");
        open(&dir, &base).expect("opens")
    };
    let (store, recovered) = again(store, false);
    for recovered in [recovered, again(store, true).1] {
        assert_eq!(recovered.tables.len(), 1);
        assert_eq!((recovered.tables[&a.number].ordered, &recovered.tables[&a.number].bytes[..]), (true, &b"a2"[..]));
        assert_eq!(recovered.notes[&b"counter"[..]], b"7");
    }
    let (store, _) = open(&dir, &base).expect("opens");
    let mut change = store.begin(1000).expect("sound").expect("room");
    change.note(b"gone", None).expect("encodes");
    change.drop_table(a);
    change.commit();
    let c = store.new_table(false);
    assert!(c.number > b.number);
    let (store, recovered) = again(store, true);
    assert!(recovered.tables.is_empty() && recovered.notes.len() == 1);
    assert!(store.new_table(false).number > b.number, "numbers of dropped tables are not used again");
    assert!(base.is_empty(), "no rows of dropped tables are left");
}

/// A start that was not told of all tables, then one that was: what the log says lies over the base store.
#[test]
fn load_merges() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, _) = open(&dir, &base).expect("opens");
    let tables = create(&store).expect("tables");
    for i in 0..100 {
        commit(&store, &tables, i).expect("room");
        if i == 45 {
            store.flush_all().expect("flushes");
        }
    }
    store.close().expect("closes");
    let (store, _) = open(&dir, &base).expect("opens");
    assert_eq!(check_prefix(&store, &tables, 100, "merged"), 100);
    // Also while the flush is at work beneath it, and after the log is let go.
    store.flush_all().expect("flushes");
    assert_eq!(check_prefix(&store, &tables, 100, "flushed"), 100);
    store.loaded();
    assert_eq!(check_prefix(&store, &tables, 100, "from the base store"), 100);
}

/// Where the log ended when it was closed spares the next opener the search for marks; a log that ends elsewhere is looked through.
#[test]
fn the_end_of_a_closed_log_is_believed_if_it_is_there() {
    let opened = |dir: &FaultyDir, base: &Arc<MemBase>, end| {
        let (dir, base) = (Arc::new(dir.clone()), base.clone());
        Store::open_with(
            dir,
            || Ok((base as Arc<dyn Base>, end)),
            Config { segment_bytes: 32 << 10, ..config() },
            Arc::new(Callbacks),
        )
    };
    let world = world(6, 0);
    let (dir, base) = world.image();
    let (store, _) = opened(&dir, &base, None).expect("opens");
    store.close().expect("closes");
    let end = store.tail();
    let image = || (dir.killed(), Arc::new(base.image()));
    for said in [Some(end), Some(end + 8), Some(0), None] {
        let (dir, base) = image();
        let (store, recovered) = opened(&dir, &base, said).expect("opens");
        assert_eq!((check_prefix(&store, &world.tables, 6, "closed"), recovered.cut), (6, 0));
        assert!(store.tail() > end);
        drop(store);
        // Damage moves the end, so that the mark of the closing is found.
        let (dir, base) = image();
        dir.edit(&segment(&dir), |bytes| bytes[place(world.ends[3]) - 20] ^= 0x10);
        assert!(matches!(opened(&dir, &base, said), Err(StoreError::Corrupt { .. })));
    }
}
