//! LMDB by its own calls: one database, keys in big endian, so that they are in order.

use crate::{KeyValue, VALUE};
use lmdb::{Cursor, Database, DatabaseFlags, Environment, EnvironmentFlags, Transaction, WriteFlags};
use std::path::Path;

struct Lmdb {
    env: Environment,
    database: Database,
}

pub fn open(directory: &Path, rows: i64) -> Box<dyn KeyValue> {
    // Written by the system when it likes; `write` syncs where it is asked to.
    let flags = EnvironmentFlags::NO_SYNC;
    let size = (1 << 30) + rows as usize * 400;
    let env = Environment::new().set_flags(flags).set_map_size(size).open(directory).expect("opens");
    let database = env.create_db(None, DatabaseFlags::empty()).expect("makes");
    Box::new(Lmdb { env, database })
}

impl KeyValue for Lmdb {
    fn name(&self) -> &'static str {
        "LMDB"
    }

    fn read(&mut self, key: i64) -> u64 {
        let txn = self.env.begin_ro_txn().expect("begins");
        let value = txn.get(self.database, &key.to_be_bytes()).expect("is there");
        std::hint::black_box(value).len() as u64
    }

    fn range(&mut self, from: i64, rows: i64) -> u64 {
        let txn = self.env.begin_ro_txn().expect("begins");
        let mut cursor = txn.open_ro_cursor(self.database).expect("opens");
        let found = cursor.iter_from(from.to_be_bytes()).take(rows as usize);
        found.map(|row| std::hint::black_box(row.expect("reads").1).len() as u64).sum()
    }

    fn write(&mut self, keys: &[i64], value: &[u8; VALUE], synced: bool) {
        let mut txn = self.env.begin_rw_txn().expect("begins");
        for key in keys {
            txn.put(self.database, &key.to_be_bytes(), value, WriteFlags::empty()).expect("writes");
        }
        txn.commit().expect("commits");
        if synced {
            self.env.sync(true).expect("a sound disc");
        }
    }
}
