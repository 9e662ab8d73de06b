//! What a start costs: a table of 1,000,000 records of five fields from LMDB into memory.

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use remnesia_engine::db::Db;
use remnesia_engine::store::file::Modes;
use remnesia_engine::store::lmdb::{Lmdb, Options};
use remnesia_engine::store::{log_dir, Callbacks, Config, Store};
use remnesia_engine::table::{Definition, Kept, Kind};
use remnesia_engine::term::atom::plain::intern;
use remnesia_engine::term::{Record, Writer};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RECORDS: i64 = 1_000_000;

fn row(key: i64) -> Record {
    let mut w = Writer::new();
    let mut starts = vec![0];
    w.int(key);
    starts.push(w.len() as u32);
    w.int(key / 10);
    starts.push(w.len() as u32);
    w.binary(format!("name {key}").as_bytes());
    starts.push(w.len() as u32);
    w.atom(intern("plain"));
    starts.push(w.len() as u32);
    w.float(key as f64 * 0.5);
    Record::build(&starts, &w.buf, false, None)
}

fn load(c: &mut Criterion) {
    let path = std::env::current_dir().expect("here").join(format!("bench_load_{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let dir = log_dir(&path, Modes::default()).expect("directory");
    let base = Lmdb::open(&path, &Options::default()).expect("base");
    let (store, _) = Store::open(dir, Arc::new(base), Config::default(), Arc::new(Callbacks)).expect("opens");
    let mut group = c.benchmark_group("load");
    group.throughput(Throughput::Elements(RECORDS as u64)).sample_size(10).measurement_time(Duration::from_secs(10));
    let store = Arc::new(store);
    for (name, kind) in [("set", Kind::Set), ("ordered_set", Kind::OrderedSet)] {
        let table = store.create_table(kind == Kind::OrderedSet, b"bench").expect("makes");
        for from in (0..RECORDS).step_by(1000) {
            let mut commit = loop {
                match store.begin(150_000).expect("sound") {
                    Some(commit) => break commit,
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            };
            for key in from..from + 1000 {
                commit.put(table, &[row(key)]).expect("encodes");
            }
            commit.commit();
        }
        store.flush_all().expect("flushes");
        store.loaded();
        let db = Db::default();
        db.start();
        db.set_store(Some(store.clone()));
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let mut time = Duration::ZERO;
                for _ in 0..rounds {
                    let definition = Definition { kind, arity: 6, record_name: intern("t"), indexes: vec![] };
                    db.restore(b"t", definition, Some((table.number, Kept::InBoth)));
                    let begun = Instant::now();
                    db.load(b"t", false).expect("loads");
                    time += begun.elapsed();
                    let open = db.open(b"t").expect("is there");
                    assert_eq!(open.table.size(), RECORDS as usize);
                    drop(open.table.clear(&mut remnesia_engine::table::Nowhere));
                }
                time
            })
        });
    }
    group.finish();
    store.close().expect("closes");
    std::fs::remove_dir_all(path).expect("gone");
}

criterion_group!(benches, load);
criterion_main!(benches);
