//! The engine of Remnesia: an ordered_set in memory and on disc.

use crate::{KeyValue, VALUE};
use remnesia_engine::db::Db;
use remnesia_engine::store::file::Modes;
use remnesia_engine::store::lmdb::{Lmdb, Options};
use remnesia_engine::store::{log_dir, Callbacks, Config, Store, Wait};
use remnesia_engine::table::{Definition, Kept, Kind};
use remnesia_engine::term::range::Range;
use remnesia_engine::term::{Record, Writer};
use remnesia_engine::txn::{journal, OpenTable, Stop, Txn};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::Arc;

struct Remnesia {
    db: Db,
    store: Arc<Store>,
    open: Arc<OpenTable>,
    txn: Txn,
}

pub fn open(directory: &Path, _rows: i64) -> Box<dyn KeyValue> {
    let log = log_dir(directory, Modes::default()).expect("a directory");
    let base = Arc::new(Lmdb::open(directory, &Options::default()).expect("opens"));
    let (store, _) = Store::open(log, base, Config::default(), Arc::new(Callbacks)).expect("opens");
    let store = Arc::new(store);
    let table = store.create_table(true, b"bench").expect("makes");
    let db = Db::default();
    db.start();
    db.set_store(Some(store.clone()));
    let definition = Definition { kind: Kind::OrderedSet, arity: 3, record_name: 27, indexes: vec![] };
    assert!(db.create(b"bench", None, definition, Some((table.number, Kept::InBoth))));
    let open = db.open(b"bench").expect("is there");
    Box::new(Remnesia { db, store, open, txn: Txn::default() })
}

fn record(key: i64, value: &[u8; VALUE]) -> Record {
    let mut writer = Writer::new();
    writer.int(key);
    let start = writer.len() as u32;
    writer.binary(value);
    Record::build(&[0, start], &writer.buf, false, None)
}

/// The bytes of a binary lie behind its tag and length.
fn bytes(row: &Record) -> u64 {
    let field = row.field(1);
    std::hint::black_box(&field[field.len() - VALUE..]).len() as u64
}

impl Remnesia {
    fn key(&self, key: i64) -> remnesia_engine::table::Key {
        let mut writer = Writer::new();
        writer.int(key);
        self.open.table.key(&writer.buf, false, None)
    }

    fn try_write(&mut self, keys: &[i64], value: &[u8; VALUE]) -> Result<(), Stop> {
        self.txn.begin();
        let table = self.txn.table(&self.db, b"bench")?;
        keys.iter().try_for_each(|key| self.txn.write(&self.db, table, record(*key, value)))?;
        self.txn.commit(&self.db)
    }
}

impl KeyValue for Remnesia {
    fn name(&self) -> &'static str {
        "Remnesia"
    }

    fn read(&mut self, key: i64) -> u64 {
        let key = self.key(key);
        self.open.table.look(&key, |rows| rows.first().map_or(0, bytes))
    }

    fn range(&mut self, from: i64, rows: i64) -> u64 {
        let mut sum = 0;
        let before = self.key(from - 1);
        self.open
            .table
            .scan_range(&Range::all(), Some(&before.bytes), rows as usize, |_, rows| sum += rows.first().map_or(0, bytes));
        sum
    }

    fn write(&mut self, keys: &[i64], value: &[u8; VALUE], synced: bool) {
        loop {
            match self.try_write(keys, value) {
                Ok(()) => break,
                // The log waits for the flush.
                Err(Stop::Room(_)) => {
                    self.txn.abort(&self.db);
                    std::thread::sleep(std::time::Duration::from_micros(100));
                }
                Err(stop) => panic!("{stop:?}"),
            }
        }
        if let (true, Some(position)) = (synced, journal::position()) {
            let (tell, told) = sync_channel(1);
            let waker = Callbacks::waker(move |answer| tell.send(answer).expect("somebody waits"));
            if let Wait::Queued = self.store.wait_durable(position, waker) {
                told.recv().expect("is told").expect("a sound disc");
            }
        }
    }
}
