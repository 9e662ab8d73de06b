//! The base store in LMDB on 1,000,000 small rows: apply, load, point reads. `REMNESIA_BENCH_DIR` names the disc, else the temporary directory.

use criterion::{criterion_group, criterion_main, BatchSize, Criterion, Throughput};
use remnesia_engine::store::base::{Base, Batch, Op};
use remnesia_engine::store::lmdb::{check, Lmdb, Options, FILE};
use std::hint::black_box;
use std::ops::Bound;
use std::path::PathBuf;
use std::time::Duration;

const ROWS: u32 = 1_000_000;
/// As a row `{t, int, "name-string", int, atom, float}` is about.
const KEY: usize = 9;
const VALUE: usize = 44;

fn key(n: u32) -> [u8; KEY] {
    let mut key = [b'i'; KEY];
    key[KEY - 4..].copy_from_slice(&n.to_be_bytes());
    key
}

fn scattered(n: u32) -> u32 {
    (u64::from(n) * 2_654_435_761 % u64::from(ROWS)) as u32
}

fn directory() -> PathBuf {
    let root = std::env::var_os("REMNESIA_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let path = root.join(format!("remnesia-bench-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn apply(store: &Lmdb, numbers: &[u32], byte: u8) {
    let keys: Vec<_> = numbers.iter().map(|n| key(*n)).collect();
    let value = [byte; VALUE];
    let ops: Vec<Op> = keys.iter().map(|key| Op { table: 1, key, value: Some(&value) }).collect();
    if let Err(error) = store.apply(&Batch { ops: &ops, ..Batch::default() }) {
        panic!("{error}");
    }
}

fn bench(c: &mut Criterion) {
    let directory = directory();
    let store = Lmdb::open(&directory, &Options::default()).unwrap_or_else(|error| panic!("{error}"));
    let all: Vec<u32> = (0..ROWS).collect();
    all.chunks(100_000).for_each(|some| apply(&store, some, 0));
    let mut round = 0u32;
    let mut group = c.benchmark_group("lmdb");
    group.sample_size(10).measurement_time(Duration::from_secs(5)).warm_up_time(Duration::from_secs(1));

    group.throughput(Throughput::Elements(u64::from(ROWS)));
    group.bench_function("scan", |b| {
        b.iter(|| {
            let mut bytes = 0;
            let done = store.scan(1, Bound::Unbounded, &mut |key, value| {
                bytes += key.len() + value.len();
                true
            });
            assert!(done.is_ok() && bytes == ROWS as usize * (KEY + VALUE));
        });
    });
    group.bench_function("scan_back", |b| {
        b.iter(|| store.scan_back(1, Bound::Unbounded, &mut |key, _| black_box(key[0]) == b'i').is_ok());
    });
    group.bench_function("check", |b| b.iter(|| check::walk(&directory.join(FILE)).is_ok()));
    group.throughput(Throughput::Elements(1));
    for (name, scatter) in [("get random", true), ("get hot", false)] {
        let mut n = 0u32;
        group.bench_function(name, |b| {
            b.iter(|| {
                n = (n + 1) % ROWS;
                store.get(1, &key(if scatter { scattered(n) } else { n % 16 }), &mut |value| {
                    assert!(black_box(value.len()) == VALUE)
                })
            });
        });
    }
    for count in [1u32, 1024, 8192, 100_000] {
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(format!("apply {count} random"), |b| {
            let numbers = || {
                round += 1;
                let mut numbers: Vec<u32> = (0..count).map(|n| scattered((round * 7919).wrapping_add(n * 31) % ROWS)).collect();
                numbers.sort_unstable();
                numbers.dedup();
                numbers
            };
            b.iter_batched(numbers, |numbers| apply(&store, &numbers, 1), BatchSize::PerIteration);
        });
    }
    group.finish();
    drop(store);
    let _ = std::fs::remove_dir_all(directory);
}

criterion_group!(benches, bench);
criterion_main!(benches);
