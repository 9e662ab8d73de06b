//! How long the file is, measured at what it holds.

use crate::store_common::row;
use crate::support::Directory;
use remnesia_engine::store::base::Base;
use remnesia_engine::store::faulty::FaultyDir;
use remnesia_engine::store::lmdb::{Lmdb, Options, FILE};
use remnesia_engine::store::{Callbacks, Config, Store, Table};
use std::sync::Arc;

const ROWS: i64 = 60_000;

fn put(store: &Store, table: Table, keys: impl Iterator<Item = i64>, value: i64) {
    let keys: Vec<i64> = keys.collect();
    for some in keys.chunks(200) {
        let mut commit = loop {
            match store.begin(200 * 200).expect("sound") {
                Some(commit) => break commit,
                None => store.flush_all().expect("sound"),
            }
        };
        for key in some {
            // A binary of one length, so that no page is split.
            commit.put(table, &[row(*key, 90 * (value + 10) + 50)]).expect("encodes");
        }
        commit.commit();
    }
    store.flush_all().expect("sound");
}

/// Changes that lie far apart write every page anew; room for all of them beside the old ones would make the file three times as long.
#[test]
fn changes_far_apart() {
    let directory = Directory::new();
    let base = Arc::new(Lmdb::open(&directory.0, &Options::default()).expect("a new one"));
    let length = || std::fs::metadata(directory.0.join(FILE)).expect("there").len();
    let config = Config { segment_bytes: 1 << 20, log_bytes: 64 << 20, threads: false, ..Config::default() };
    let (store, _) = Store::open(Arc::new(FaultyDir::default()), base.clone(), config, Arc::new(Callbacks)).expect("opens");
    let table = store.create_table(false, b"t").expect("room");
    put(&store, table, 0..ROWS, 0);
    let (loaded, tree) = (length(), base.bytes(table.number).expect("known"));
    for round in 1..5 {
        put(&store, table, (0..ROWS).step_by(16).map(|key| (key + round * 5) % ROWS), round);
    }
    assert_eq!(base.bytes(table.number), Ok(tree), "no page more");
    assert!(length() < loaded + tree / 2, "{loaded} bytes became {}", length());
}
