//! Real threads and real files: group commit, waiting, a failing log.

mod store_common;

use remnesia_engine::store::base::{Base, Batch, MemBase};
use remnesia_engine::store::faulty::{Fault, FaultyDir};
use remnesia_engine::store::file::{Dir, Modes};
use remnesia_engine::store::lmdb::{Lmdb, Options};
use remnesia_engine::store::{log_dir, Callbacks, Config, Observer, Store, StoreError, Table, Wait};
use remnesia_engine::txn::lock::Waker;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store_common::*;

/// A directory of its own that goes with the test.
struct Temp(std::path::PathBuf);

impl Temp {
    fn new(name: &str) -> Temp {
        let path = std::env::temp_dir().join(format!("remnesia_{name}_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Temp(path)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wait(store: &Store, position: u64) -> Result<(), StoreError> {
    let (send, receive) = channel();
    let waker = Callbacks::waker(move |answer| {
        let _ = send.send(answer);
    });
    match store.wait_durable(position, waker) {
        Wait::Done(_) => Ok(()),
        Wait::Failed(_, cause) => Err(cause),
        Wait::Queued => receive.recv_timeout(Duration::from_secs(60)).expect("an answer"),
    }
}

/// Commits one row, waiting for room as often as it takes.
fn put(store: &Store, table: Table, key: i64, value: i64) -> Result<u64, StoreError> {
    static WHO: AtomicU64 = AtomicU64::new(0);
    let who = WHO.fetch_add(1, Ordering::Relaxed);
    let row = row(key, value);
    loop {
        let _admitted = store.admit(200, who);
        if let Some(mut commit) = store.begin(200)? {
            commit.put(table, &[row])?;
            return Ok(commit.commit().position);
        }
        let (send, receive) = channel();
        let waker = Callbacks::waker(move |answer| {
            let _ = send.send(answer);
        });
        match store.wait_room(200, who, waker) {
            Wait::Done(_) => {}
            Wait::Failed(_, cause) => return Err(cause),
            Wait::Queued => receive.recv_timeout(Duration::from_secs(60)).expect("an answer")?,
        }
    }
}

fn sixteen(mapped: bool) {
    let temp = Temp::new(if mapped { "mapped" } else { "written" });
    let modes = Modes { mapped, ..Modes::default() };
    let config = Config {
        segment_bytes: 256 << 10,
        log_bytes: 2 << 20,
        unsynced_bytes: 256 << 10,
        sync_interval: Duration::from_millis(5),
        ..Config::default()
    };
    let base = Arc::new(MemBase::default());
    let open = || Store::open(log_dir(&temp.0, modes).expect("directory"), base.clone(), config.clone(), Arc::new(Callbacks));
    let (store, _) = open().expect("opens");
    let table = store.create_table(false, b"t").expect("makes");
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..1500 {
                    let position = put(store, table, thread * 10_000 + i, i).expect("commits");
                    if i % 10 == 0 {
                        wait(store, position).expect("durable");
                        assert!(store.synced() >= position);
                    }
                }
            });
        }
    });
    let metrics = store.metrics();
    assert!(metrics.fsyncs > 0 && metrics.fsyncs < 16 * 150, "commits share syncs: {metrics:?}");
    assert!(metrics.flushes > 0 && metrics.log_bytes <= 3 << 20, "the flush keeps up: {metrics:?}");
    // Nobody waits: within the interval it is on disc all the same.
    let from = Instant::now();
    while store.synced() < store.tail() {
        assert!(from.elapsed() < Duration::from_secs(10), "{:?}", store.metrics());
        std::thread::sleep(Duration::from_millis(2));
    }
    store.close().expect("closes");
    assert!(matches!(store.begin(10), Err(StoreError::Closed)));
    drop(store);
    let (store, _) = open().expect("opens");
    let mut rows = 0;
    store
        .load(table.number, &mut |record| {
            let (key, value) = of_row(&record);
            assert_eq!(key % 10_000, value);
            rows += 1;
        })
        .expect("loads");
    assert_eq!(rows, 16 * 1500);
}

#[test]
fn sixteen_threads_mapped() {
    sixteen(true);
}

#[test]
fn sixteen_threads_written() {
    sixteen(false);
}

#[test]
fn modes_and_locks() {
    use std::os::unix::fs::PermissionsExt;
    let temp = Temp::new("modes");
    let open = || {
        let dir = log_dir(&temp.0, Modes::default()).expect("directory");
        Store::open(dir, Arc::new(MemBase::default()), config(), Arc::new(Callbacks))
    };
    let (store, _) = open().expect("opens");
    assert!(matches!(open(), Err(StoreError::Locked { .. })));
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&temp.0), 0o700);
    for file in std::fs::read_dir(&temp.0).expect("lists") {
        let path = file.expect("is there").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    drop(store);
    // Another store has been here: its log is not ours.
    assert!(matches!(open(), Err(StoreError::Corrupt { .. })));
}

#[derive(Default)]
struct Watch {
    failed: AtomicUsize,
    recovered: AtomicUsize,
}

struct Watching(Arc<Watch>);

impl Observer for Watching {
    fn wake(&self, waker: Waker, answer: Result<(), StoreError>) {
        Callbacks.wake(waker, answer);
    }
    fn failed(&self, _: &StoreError) {
        self.0.failed.fetch_add(1, Ordering::SeqCst);
    }
    fn recovered(&self) {
        self.0.recovered.fetch_add(1, Ordering::SeqCst);
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let from = Instant::now();
    while !done() {
        assert!(from.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn watched(dir: &FaultyDir, base: &Arc<MemBase>, log_bytes: u64) -> (Store, Table, Arc<Watch>) {
    let config = Config {
        threads: true,
        log_bytes,
        sync_interval: Duration::from_millis(3),
        retry_interval: Duration::from_millis(10),
        ..config()
    };
    let watch = Arc::new(Watch::default());
    let (store, _) = Store::open(Arc::new(dir.clone()), base.clone(), config, Arc::new(Watching(watch.clone()))).expect("opens");
    store.loaded();
    let table = store.create_table(false, b"t").expect("makes");
    store.sync_all().expect("syncs");
    (store, table, watch)
}

/// A place that the log has not come to, of another database perhaps: nothing was committed there, so nobody waits for it.
#[test]
fn beyond_the_tail() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, table, _watch) = watched(&dir, &base, 1 << 20);
    put(&store, table, 1, 1).expect("commits");
    assert_eq!(wait(&store, store.tail() + 1_000), Ok(()));
    assert_eq!(store.synced(), store.tail(), "what there is was waited for");
}

/// A disc that takes nothing: waiters are told, commits are refused, and all is well when it does again.
#[test]
fn read_only_and_back() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, table, watch) = watched(&dir, &base, 1 << 20);
    put(&store, table, 1, 1).expect("commits");
    dir.broken(false, true);
    let position = put(&store, table, 2, 2).expect("committed before anybody knew");
    let told = wait(&store, position);
    assert!(matches!(told, Err(StoreError::Io { doing: "sync", .. })), "{told:?}");
    until("told", || watch.failed.load(Ordering::SeqCst) == 1);
    assert!(matches!(put(&store, table, 3, 3), Err(StoreError::ReadOnly(_))));
    assert!(matches!(store.refused(), Some(StoreError::ReadOnly(_))));
    assert!(wait(&store, position).is_err(), "still");
    dir.broken(false, false);
    until("recovers", || watch.recovered.load(Ordering::SeqCst) == 1);
    assert!(store.synced() >= position, "what was queued is on disc");
    put(&store, table, 3, 3).expect("commits again");
    store.close().expect("closes");
    assert_eq!(watch.failed.load(Ordering::SeqCst), 1, "told once");
    let (store, _) = open(&dir.power_cut(&mut || false), &base).expect("opens");
    let mut keys = Vec::new();
    store.load(table.number, &mut |row| keys.push(of_row(&row).0)).expect("loads");
    assert_eq!(keys, [1, 2, 3]);
}

/// A full disc: what is appended is safe, new commits are refused until there is room.
#[test]
fn full_disc() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, table, watch) = watched(&dir, &base, 1 << 20);
    base.fail_after(Some(0));
    until("a spare", || dir.list().expect("lists").len() >= 2);
    dir.quota(Some(3 * (16 << 10)));
    let mut last = 0;
    let mut done = 0;
    let refused = loop {
        match put(&store, table, done, done) {
            Ok(position) => {
                last = position;
                done += 1;
            }
            Err(refused) => break refused,
        }
        assert!(done < 5_000);
    };
    assert!(matches!(&refused, StoreError::ReadOnly(cause) if matches!(**cause, StoreError::Io { .. })), "{refused:?}");
    assert_eq!(wait(&store, last), Ok(()), "what was committed is safe");
    until("told", || watch.failed.load(Ordering::SeqCst) == 1);
    dir.quota(None);
    until("recovers", || watch.recovered.load(Ordering::SeqCst) == 1);
    put(&store, table, done, done).expect("commits again");
    store.close().expect("closes");
    let (store, _) = open(&dir.killed(), &Arc::new(base.image())).expect("opens");
    let mut rows = 0;
    store.load(table.number, &mut |_| rows += 1).expect("loads");
    assert_eq!(rows, done + 1);
}

/// A base store that takes nothing: the log grows to its bound, then commits wait, and go on when it does again.
#[test]
fn a_slow_flush_stalls_nobody_until_the_bound() {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, table, watch) = watched(&dir, &base, 256 << 10);
    base.fail_after(Some(0));
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                for i in 0..1000 {
                    put(store, table, thread * 10_000 + i, i).expect("commits");
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let mut before = usize::MAX;
        until("everybody waits", || {
            std::thread::sleep(Duration::from_millis(50));
            let now = done.load(Ordering::SeqCst);
            std::mem::replace(&mut before, now) == now && now > 500
        });
        assert!(store.metrics().log_bytes <= (256 << 10) + (16 << 10), "{:?}", store.metrics());
        assert!(done.load(Ordering::SeqCst) < 4000);
        base.fail_after(None);
    });
    assert_eq!((done.load(Ordering::SeqCst), watch.failed.load(Ordering::SeqCst)), (4000, 0));
}

/// A base store of a known database that never takes anything from the log.
fn bare_base() -> Arc<MemBase> {
    let base = MemBase::default();
    base.apply(&Batch { meta: &[(b"database", Some(&[7; 8]))], ..Batch::default() }).expect("applies");
    Arc::new(base)
}

/// With a base store that takes nothing, or in LMDB with a flush that is always at work.
fn open_killed(path: &std::path::Path, lmdb: bool) -> Store {
    let config = Config {
        segment_bytes: 64 << 10,
        sync_interval: Duration::from_millis(if lmdb { 2 } else { 60_000 }),
        ..Config::default()
    };
    let dir = log_dir(path, Modes::default()).expect("directory");
    if lmdb {
        let base = || Ok((Arc::new(Lmdb::open(&path.join("base"), &Options::default())?) as Arc<dyn Base>, None));
        return Store::open_with(dir, base, config, Arc::new(Callbacks)).expect("opens").0;
    }
    let base = bare_base();
    let store = Store::open(dir, base.clone(), config, Arc::new(Callbacks)).expect("opens").0;
    base.fail_after(Some(0));
    store
}

/// The other process of `killed`: says each commit when it is answered, on and on.
#[test]
fn killed_child() {
    let Ok(path) = std::env::var("REMNESIA_TEST_KILLED") else { return };
    let store = open_killed(std::path::Path::new(&path), std::env::var("REMNESIA_TEST_LMDB").is_ok());
    let table = store.create_table(false, b"t").expect("makes");
    for i in 0.. {
        put(&store, table, i, i).expect("commits");
        // Past the buffer of the test runner, in one system call.
        use std::io::Write;
        let _ = std::fs::OpenOptions::new().append(true).open(format!("{path}/answered")).expect("opens").write_all(&[1]);
    }
}

/// An answered commit survives SIGKILL, though nothing was synced.
#[test]
fn killed_without_a_sync() {
    killed(false);
}

/// And while segments are flushed and used again.
#[test]
fn killed_in_a_flush() {
    killed(true);
}

fn killed(lmdb: bool) {
    for round in 0..5 {
        let temp = Temp::new(&format!("killed_{lmdb}_{round}"));
        std::fs::create_dir_all(&temp.0).expect("makes");
        let answered = temp.0.join("answered");
        std::fs::write(&answered, []).expect("writes");
        let count = || std::fs::metadata(&answered).expect("is there").len();
        let mut command = std::process::Command::new(std::env::current_exe().expect("a program"));
        command.args(["--exact", "killed_child"]).env("REMNESIA_TEST_KILLED", &temp.0).stdout(std::process::Stdio::null());
        if lmdb {
            command.env("REMNESIA_TEST_LMDB", "1");
        }
        let mut child = command.spawn().expect("starts");
        until("commits", || count() > 500 + 1700 * round);
        child.kill().expect("dies");
        child.wait().expect("is dead");
        let store = open_killed(&temp.0, lmdb);
        let mut rows = Vec::new();
        store.load(1, &mut |row| rows.push(of_row(&row).0)).expect("loads");
        rows.sort_unstable();
        assert_eq!(rows, (0..rows.len() as i64).collect::<Vec<_>>(), "a prefix");
        assert!(rows.len() as u64 >= count(), "{} of {} that were answered", rows.len(), count());
    }
}

/// Every few syncs fail and forget what they should have written, while four threads commit: the log goes on in new segments each time.
#[test]
fn syncs_fail_under_load() {
    for round in 0..4 {
        let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
        let (store, table, _) = watched(&dir, &base, 1 << 20);
        let from = dir.counts().syncs;
        (from..from + 4000).step_by(5 + round).for_each(|n| dir.at_sync(n, Fault::Drop));
        // Writes as well, in one round of two.
        let writes = dir.counts().writes;
        (writes..writes + 4000).step_by(97).filter(|_| round % 2 == 1).for_each(|n| dir.at_write(n, Fault::Short));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..200 {
                        // Refused while a repair failed too: again.
                        while put(store, table, thread * 10_000 + i, i).is_err() {
                            std::thread::sleep(Duration::from_millis(2));
                        }
                    }
                });
            }
        });
        let tail = store.tail();
        until("all of it is on disc", || store.synced() >= tail);
        die(store);
        let mut keys = Vec::new();
        let (store, _) = open(&dir.power_cut(&mut || false), &Arc::new(base.image())).expect("opens");
        store.load(table.number, &mut |row| keys.push(of_row(&row).0)).expect("loads");
        keys.sort_unstable();
        let all: Vec<i64> = (0..4).flat_map(|thread| (0..200).map(move |i| thread * 10_000 + i)).collect();
        assert_eq!(keys, all, "round {round}");
    }
}
