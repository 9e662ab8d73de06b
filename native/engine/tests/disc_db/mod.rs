//! A database whose table is in memory, or on disc alone: then over a log and a base store in memory, without threads.
#![allow(dead_code)]

use remnesia_engine::db::Db;
use remnesia_engine::store::base::MemBase;
use remnesia_engine::store::faulty::FaultyDir;
use remnesia_engine::store::{Callbacks, Config, Observer, Store, StoreError};
use remnesia_engine::table::{Definition, Kept, Kind};
use remnesia_engine::txn::lock::Waker;
use std::sync::{Arc, Weak};

struct Teller(Weak<Db>);

impl Observer for Teller {
    fn wake(&self, waker: Waker, answer: Result<(), StoreError>) {
        Callbacks.wake(waker, answer);
    }

    fn flushed(&self, position: u64) {
        if let Some(db) = self.0.upgrade() {
            db.flushed(position);
        }
    }
}

pub struct Disc {
    pub db: Arc<Db>,
    pub store: Option<Arc<Store>>,
    dir: FaultyDir,
    base: Arc<MemBase>,
    name: Vec<u8>,
    definition: Definition,
    number: u32,
}

pub fn config() -> Config {
    Config { segment_bytes: 256 << 10, log_bytes: 64 << 20, flush_keys: 8, threads: false, ..Config::default() }
}

impl Disc {
    pub fn new(name: &[u8], definition: Definition, on_disc: bool, config: Config) -> Disc {
        let db = Arc::new(Db::default());
        db.start();
        let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
        let mut disc = Disc { db, store: None, dir, base, name: name.to_vec(), definition, number: 0 };
        if !on_disc {
            disc.db.create(name, None, disc.definition.clone(), None);
            return disc;
        }
        disc.open(config);
        let store = disc.store.as_ref().expect("open");
        disc.number = store.create_table(disc.definition.kind == Kind::OrderedSet, b"it").expect("room").number;
        disc.db.create(name, None, disc.definition.clone(), Some((disc.number, Kept::OnDisc)));
        disc
    }

    fn open(&mut self, config: Config) {
        let teller = Arc::new(Teller(Arc::downgrade(&self.db)));
        let opened = Store::open(Arc::new(self.dir.clone()), self.base.clone(), config, teller);
        let store = Arc::new(opened.expect("a sound store").0);
        self.db.set_store(Some(store.clone()));
        self.store = Some(store);
    }

    /// What is in the log goes to its place.
    pub fn flush(&self) {
        self.store.iter().for_each(|store| store.flush_all().expect("flushes"));
    }

    /// The next process finds the files; in memory nothing is left.
    pub fn restart(&mut self, config: Config) {
        let Some(store) = self.store.take() else { return };
        store.close().expect("closes");
        self.db.set_store(None);
        drop(store);
        self.db = Arc::new(Db::default());
        self.db.start();
        self.open(config);
        self.db.restore(&self.name, self.definition.clone(), Some((self.number, Kept::OnDisc)));
        self.db.load(&self.name, false).expect("loads");
        self.store.iter().for_each(|store| store.loaded());
    }
}
