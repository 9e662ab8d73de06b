//! The log under the model checker: committers that wait for the disc and for room, the threads of the store, discs that fail, and the end.
//! Nobody waits for ever, and what was answered is on disc.

mod shuttle_common;

use remnesia_engine::store::base::MemBase;
use remnesia_engine::store::faulty::{Fault, FaultyDir};
use remnesia_engine::store::{Config, Observer, Store, StoreError, Table, Wait};
use remnesia_engine::sync::Waker;
use remnesia_engine::term::{Record, Writer};
use shuttle::rand::Rng;
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread::{self, JoinHandle};
use shuttle_common::{check, int};
use std::time::Duration;

/// A process's mailbox.
type Mailbox = Arc<(Mutex<Option<Result<(), StoreError>>>, Condvar)>;

struct Host;

impl Observer for Host {
    fn wake(&self, waker: Waker, answer: Result<(), StoreError>) {
        let mailbox = waker.downcast::<Mailbox>().expect("a mailbox");
        *mailbox.0.lock().expect("whole") = Some(answer);
        mailbox.1.notify_one();
    }
}

/// Waits as a process does that is told to.
fn wait(ask: impl FnOnce(Waker) -> Wait) -> Result<(), StoreError> {
    let mailbox = Mailbox::default();
    match ask(Box::new(mailbox.clone())) {
        Wait::Done(_) => Ok(()),
        Wait::Failed(_, cause) => Err(cause),
        Wait::Queued => {
            let mut come = mailbox.0.lock().expect("whole");
            loop {
                match come.take() {
                    Some(answer) => return answer,
                    None => come = mailbox.1.wait(come).expect("whole"),
                }
            }
        }
    }
}

fn config() -> Config {
    Config {
        segment_bytes: 16 << 10,
        log_bytes: 64 << 10,
        unsynced_bytes: 8 << 10,
        sync_interval: Duration::ZERO,
        retry_interval: Duration::ZERO,
        atoms: 100,
        flush_keys: 8,
        threads: false,
        ..Config::default()
    }
}

type Left = (FaultyDir, std::sync::Arc<MemBase>);

#[derive(Clone)]
struct World {
    dir: FaultyDir,
    base: std::sync::Arc<MemBase>,
    store: Arc<Store>,
    table: Table,
    /// Keys that were answered, and what a power cut would have left at that moment.
    answered: Arc<Mutex<Vec<(i64, Left)>>>,
}

fn open(dir: &FaultyDir, base: &std::sync::Arc<MemBase>) -> Store {
    Store::open(std::sync::Arc::new(dir.clone()), base.clone(), config(), std::sync::Arc::new(Host)).expect("opens").0
}

fn row(key: i64, bytes: usize) -> Record {
    let mut writer = Writer::new();
    writer.int(key);
    let start = writer.len() as u32;
    writer.binary(&vec![0; bytes]);
    Record::build(&[0, start], &writer.buf, false, None)
}

impl World {
    fn new() -> (World, Vec<JoinHandle<()>>) {
        let (dir, base) = (FaultyDir::default(), std::sync::Arc::new(MemBase::default()));
        let store = open(&dir, &base);
        let table = store.create_table(false, b"t").expect("room");
        let threads = store.works().map(thread::spawn).collect();
        (World { dir, base, store: Arc::new(store), table, answered: Arc::default() }, threads)
    }

    /// Commits a row. An error: the log takes none.
    fn commit(&self, key: i64, bytes: usize) -> Result<u64, StoreError> {
        let row = row(key, bytes);
        let size = row.memory() as u64 + 64;
        loop {
            let _admitted = self.store.admit(size, key as u64);
            if let Some(mut commit) = self.store.begin(size)? {
                commit.put(self.table, &[row]).expect("encodes");
                return Ok(commit.commit().position);
            }
            wait(|waker| self.store.wait_room(size, key as u64, waker))?;
        }
    }

    /// Commits a row and waits until it is on disc.
    fn durable(&self, key: i64, bytes: usize) -> Result<(), StoreError> {
        let position = self.commit(key, bytes)?;
        wait(|waker| self.store.wait_durable(position, waker))?;
        self.answered.lock().expect("whole").push((key, self.left()));
        Ok(())
    }

    fn left(&self) -> Left {
        (self.dir.power_cut(&mut || false), std::sync::Arc::new(self.base.image()))
    }

    fn spawn(&self, work: impl FnOnce(&World) + Send + 'static) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || work(&world))
    }

    /// The keys that are there at the next start.
    fn keys(&self, (dir, base): &Left) -> Vec<i64> {
        let store = open(dir, base);
        let mut keys = Vec::new();
        store.load(self.table.number, &mut |row| keys.push(int(row.field(0)))).expect("loads");
        keys
    }

    /// Ends it; one of those that were answered is looked for on the disc of that moment, and all on the last one.
    fn end(self, threads: Vec<JoinHandle<()>>) {
        self.store.close().expect("closes");
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        let answered = self.answered.lock().expect("whole");
        let last = self.keys(&self.left());
        for (key, _) in answered.iter() {
            assert!(last.contains(key), "{key} was answered and is not on disc");
        }
        if !answered.is_empty() {
            let (key, left) = &answered[shuttle::rand::thread_rng().gen_range(0..answered.len())];
            assert!(self.keys(left).contains(key), "{key} was answered before it was on disc");
        }
    }
}

fn join(committers: Vec<JoinHandle<()>>) {
    committers.into_iter().for_each(|committer| committer.join().expect("no panic"));
}

#[test]
fn who_waits_for_the_disc_is_told_when_it_is_there() {
    check(60, || {
        let (world, threads) = World::new();
        let committers =
            (0..3).map(|n| world.spawn(move |w| (0..2).for_each(|i| w.durable(10 * n + i, 8).expect("a sound disc"))));
        join(committers.collect());
        world.end(threads);
    });
}

#[test]
fn who_waits_for_room_gets_it() {
    check(40, || {
        let (world, threads) = World::new();
        // More than the log has room for, and more than may be unsynced.
        let committers = (0..2).map(|n| {
            world.spawn(move |w| {
                for i in 0..14 {
                    w.commit(100 * n + i, 2_600).expect("a sound disc");
                }
            })
        });
        join(committers.collect());
        let same = world.clone();
        world.end(threads);
        assert_eq!(same.keys(&same.left()).len(), 28);
    });
}

#[test]
fn a_disc_that_fails_once_costs_nobody_his_commit() {
    check(60, || {
        let (world, threads) = World::new();
        let mut rng = shuttle::rand::thread_rng();
        let counts = world.dir.counts();
        let fault = [Fault::Error, Fault::Short, Fault::Drop][rng.gen_range(0..3)];
        if rng.gen() {
            world.dir.at_sync(counts.syncs + rng.gen_range(0..4), fault);
        } else {
            world.dir.at_write(counts.writes + rng.gen_range(0..6), fault);
        }
        let committers = (0..3).map(|n| {
            world.spawn(move |w| {
                for i in 0..2 {
                    // Who is refused, or told that it is not on disc, tries again.
                    while w.durable(10 * n + i, 1_500).is_err() {
                        thread::yield_now();
                    }
                }
            })
        });
        join(committers.collect());
        world.end(threads);
    });
}

#[test]
fn a_disc_that_fails_and_comes_back() {
    check(60, || {
        let (world, threads) = World::new();
        let committers: Vec<_> = (0..2)
            .map(|n| {
                world.spawn(move |w| {
                    for i in 0..2 {
                        while w.durable(10 * n + i, 1_500).is_err() {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        world.dir.broken(true, true);
        thread::yield_now();
        world.dir.broken(false, false);
        join(committers);
        assert_eq!(world.store.refused(), None);
        world.end(threads);
    });
}

#[test]
fn whoever_waits_when_it_is_closed_is_told() {
    check(60, || {
        let (world, threads) = World::new();
        let committers: Vec<_> = (0..3)
            .map(|n| {
                world.spawn(move |w| {
                    for i in 0..3 {
                        match w.durable(10 * n + i, 2_600) {
                            Ok(()) => {}
                            Err(StoreError::Closed) => return,
                            Err(other) => panic!("{other}"),
                        }
                    }
                })
            })
            .collect();
        world.store.close().expect("closes");
        join(committers);
        world.end(threads);
    });
}
