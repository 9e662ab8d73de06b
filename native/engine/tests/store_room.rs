//! Room in the log goes to those who wait for it in the order in which they came; what they leave goes to the next.

mod store_common;

use parking_lot::Mutex;
use remnesia_engine::store::base::MemBase;
use remnesia_engine::store::faulty::FaultyDir;
use remnesia_engine::store::{Callbacks, Config, Store, StoreError, Table, Wait};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store_common::*;

const BYTES: u64 = 6_000;

/// Who was told, in order.
type Told = Arc<Mutex<Vec<u64>>>;

/// A store without threads whose log is full.
fn full(config: Config) -> (FaultyDir, Store, Table) {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, _) = open_with(&dir, &base, config).expect("a new one");
    let table = create(&store).expect("sound").0[0];
    while let Some(mut commit) = store.begin(200).expect("sound") {
        commit.put(table, &[row(1, 89)]).expect("encodes");
        commit.commit();
    }
    (dir, store, table)
}

fn small() -> Config {
    Config { log_bytes: 64 << 10, retry_interval: Duration::from_secs(3_600), ..config() }
}

fn wait(store: &Store, who: u64, told: &Told) -> Wait {
    let told = told.clone();
    store.wait_room(BYTES, who, Callbacks::waker(move |answer| told.lock().push(if answer.is_ok() { who } else { 1_000 + who })))
}

fn steps(store: &Store) {
    store.sync_step().expect("sound");
    store.keep_step().expect("sound");
    store.flush_step().expect("sound");
    store.keep_step().expect("sound");
}

/// Commits something, if it is the turn of `who`.
fn commit(store: &Store, table: Table, who: u64) -> bool {
    let Some(_admitted) = store.admit(BYTES, who) else { return false };
    let mut commit = store.begin(BYTES).expect("sound").expect("what was set aside");
    commit.put(table, &[row(who as i64, 1)]).expect("encodes");
    commit.commit();
    true
}

/// Twelve stand in the queue, and so many of them are told of room that is free at once.
fn twelve(store: &Store) -> (Told, u64) {
    let told = Told::default();
    for who in 1..=12 {
        assert!(matches!(wait(store, who, &told), Wait::Queued));
    }
    store.sync_step().expect("sound");
    store.keep_step().expect("sound");
    let first = told.lock().len() as u64;
    (told, first)
}

#[test]
fn in_turn() {
    let (_dir, store, table) = full(small());
    let (told, first) = twelve(&store);
    assert!((2..12).contains(&first), "some, by the length of the log: {first}");
    // The others, and who comes now, do not get what these were told of.
    assert!(store.begin(1).expect("sound").is_none());
    assert!(!commit(&store, table, 12) && !commit(&store, table, 99));
    for who in (1..=first).rev() {
        assert!(commit(&store, table, who), "{who}");
        assert!(!commit(&store, table, who), "once");
    }
    for _ in 0..20 {
        steps(&store);
        let some: Vec<u64> = told.lock().clone();
        for who in &some[first as usize..] {
            commit(&store, table, *who);
        }
    }
    assert_eq!(*told.lock(), (1..=12).collect::<Vec<_>>());
    // Nobody waits any more.
    assert!(store.begin(1).expect("sound").is_some());
}

#[test]
fn one_who_does_not_come() {
    let (_dir, store, table) = full(Config { retry_interval: Duration::from_millis(20), ..small() });
    let told = Told::default();
    for who in 1..=20 {
        assert!(matches!(wait(&store, who, &told), Wait::Queued));
    }
    let begun = Instant::now();
    while told.lock().len() < 20 && begun.elapsed() < Duration::from_secs(60) {
        steps(&store);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(*told.lock(), (1..=20).collect::<Vec<_>>(), "the room of the dead goes to the next");
    while store.begin(1).expect("sound").is_none() && begun.elapsed() < Duration::from_secs(60) {
        steps(&store);
        std::thread::sleep(Duration::from_millis(1));
    }
    // All that was set aside is there again: as much as an empty log has.
    assert!(!commit(&store, table, 5), "there is no queue, so nobody is in it");
    let mut some = Vec::new();
    while let Some(commit) = store.begin(BYTES).expect("sound") {
        some.push(commit);
    }
    assert!(some.len() >= 2, "{}", some.len());
}

#[test]
fn an_admission_that_is_not_used() {
    let (_dir, store, _) = full(small());
    let told = Told::default();
    assert!(matches!(wait(&store, 1, &told), Wait::Queued));
    steps(&store);
    assert_eq!(*told.lock(), [1]);
    drop(store.admit(BYTES, 1).expect("its turn"));
    assert!(store.begin(BYTES).expect("sound").is_some(), "it was given back");
    assert!(store.admit(BYTES, 1).is_none());
}

#[test]
fn more_than_the_log_holds() {
    let (_dir, store, _) = full(small());
    let told = Told::default();
    assert!(matches!(wait(&store, 1, &told), Wait::Queued));
    assert!(matches!(store.begin(1 << 20), Err(StoreError::TooLarge { .. })), "also while others wait");
    let waker = Callbacks::waker(|_| ());
    assert!(matches!(store.wait_room(1 << 20, 2, waker), Wait::Failed(_, StoreError::TooLarge { .. })));
}

/// The disc fails while some wait and others were told: all hear of it, and room is there again afterwards.
#[test]
fn a_disc_that_fails() {
    let (dir, store, table) = full(small());
    let (told, first) = twelve(&store);
    assert!(commit(&store, table, 1));
    dir.broken(true, true);
    assert!(store.sync_step().is_err());
    assert!(matches!(store.begin(1), Err(StoreError::ReadOnly(_))));
    let refused: Vec<u64> = (1_001 + first..=1_012).collect();
    assert_eq!(told.lock()[first as usize..], refused[..]);
    dir.broken(false, false);
    for _ in 0..5 {
        let _ = store.sync_step();
        steps(&store);
    }
    assert!((2..=first).all(|who| commit(&store, table, who)), "what they were told of is theirs still");
    assert!(store.begin(1).expect("sound").is_some());
}

/// The first segment of a new database is a short one, as somebody waits for it.
#[test]
fn the_first_is_short() {
    const FULL: u64 = 8 << 20;
    let config = || Config { segment_bytes: FULL, log_bytes: 4 * FULL, unsynced_bytes: 4 * FULL, ..config() };
    let lengths = |dir: &FaultyDir| -> Vec<u64> {
        let names = remnesia_engine::store::file::Dir::list(dir).expect("sound");
        let logs = names.iter().filter(|name| name.starts_with("log-"));
        logs.map(|name| remnesia_engine::store::file::Dir::open(dir, name).expect("there").len().expect("sound")).collect()
    };
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, _) = open_with(&dir, &base, config()).expect("a new one");
    assert_eq!((lengths(&dir), store.metrics().log_bytes), (vec![FULL / 4], FULL / 4));
    let table = create(&store).expect("sound").0[0];
    steps(&store);
    // More than is in it, at once.
    let mut commit = store.begin(5 << 20).expect("sound").expect("room in a spare");
    let rows: Vec<_> = (0..50_000).map(|key| row(key, 7)).collect();
    rows.iter().for_each(|row| commit.put(table, std::slice::from_ref(row)).expect("encodes"));
    let end = commit.commit();
    store.sync_step().expect("sound");
    assert_eq!(store.metrics().log_bytes, lengths(&dir).iter().sum::<u64>());
    // A restart that finds it, and one whose flush has let it go.
    for flush in [false, true] {
        if flush {
            store.flush_all().expect("sound");
            steps(&store);
            assert_eq!(store.metrics().log_bytes, lengths(&dir).iter().sum::<u64>());
        }
        let copy = dir.killed();
        let base = Arc::new(base.image());
        let (again, found) = open_with(&copy, &base, config()).expect("sound");
        assert!(!found.tables.is_empty());
        let mut keys = 0;
        again.load(table.number, &mut |_| keys += 1).expect("sound");
        assert_eq!(keys, 50_000, "{end:?}");
    }
}
