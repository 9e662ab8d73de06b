//! SQLite: a table by its integer key, statements prepared once, a write-ahead log, and no other process at the file.

use crate::{KeyValue, VALUE};
use rusqlite::{params, Connection};
use std::path::Path;

struct Sqlite {
    connection: Connection,
    synced: bool,
}

pub fn open(directory: &Path, rows: i64) -> Box<dyn KeyValue> {
    let connection = Connection::open(directory.join("bench.sqlite")).expect("opens");
    let cache = 64 * 1024 + rows / 5;
    let pragmas = format!(
        "PRAGMA journal_mode = WAL; PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF; PRAGMA cache_size = -{cache};
         CREATE TABLE bench (key INTEGER PRIMARY KEY, value BLOB NOT NULL);"
    );
    connection.execute_batch(&pragmas).expect("makes");
    Box::new(Sqlite { connection, synced: false })
}

impl KeyValue for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn read(&mut self, key: i64) -> u64 {
        let mut read = self.connection.prepare_cached("SELECT value FROM bench WHERE key = ?").expect("prepares");
        let length = read.query_row([key], |row| Ok(row.get_ref(0)?.as_blob()?.len())).expect("is there");
        std::hint::black_box(length) as u64
    }

    fn range(&mut self, from: i64, rows: i64) -> u64 {
        let sql = "SELECT value FROM bench WHERE key >= ? ORDER BY key LIMIT ?";
        let mut read = self.connection.prepare_cached(sql).expect("prepares");
        let mut found = read.query([from, rows]).expect("reads");
        let mut sum = 0;
        while let Some(row) = found.next().expect("reads") {
            sum += std::hint::black_box(row.get_ref(0).expect("a column").as_blob().expect("a blob")).len() as u64;
        }
        sum
    }

    fn write(&mut self, keys: &[i64], value: &[u8; VALUE], synced: bool) {
        if synced != self.synced {
            let how = if synced { "FULL" } else { "OFF" };
            self.connection.execute_batch(&format!("PRAGMA synchronous = {how}")).expect("sets");
            self.synced = synced;
        }
        let txn = self.connection.transaction().expect("begins");
        {
            let mut write = txn.prepare_cached("INSERT OR REPLACE INTO bench VALUES (?, ?)").expect("prepares");
            for key in keys {
                write.execute(params![key, &value[..]]).expect("writes");
            }
        }
        txn.commit().expect("commits");
    }
}
