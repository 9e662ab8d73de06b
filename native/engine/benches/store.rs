//! What durability costs: the disc form of a small record, an asynchronous commit, a synced one beside a bare append and fdatasync.

use criterion::{criterion_group, criterion_main, BatchSize, Criterion, Throughput};
use remnesia_engine::store::base::MemBase;
use remnesia_engine::store::disc::{to_disc, Atoms};
use remnesia_engine::store::disc_atoms::Dictionary;
use remnesia_engine::store::disc_read::from_disc;
use remnesia_engine::store::file::Modes;
use remnesia_engine::store::{log_dir, Callbacks, Config, Store, Table, Wait};
use remnesia_engine::term::atom::plain::intern;
use remnesia_engine::term::{Record, Writer};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::sync_channel;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Five fields, 60 bytes: key, two atoms, a number and a text.
fn row(key: i64) -> Record {
    let mut w = Writer::new();
    let mut starts = vec![0];
    w.int(key);
    for atom in ["active", "admin"] {
        starts.push(w.len() as u32);
        w.atom(intern(atom));
    }
    starts.push(w.len() as u32);
    w.int(1_700_000_000);
    starts.push(w.len() as u32);
    w.binary(b"a name of some thirty letters");
    Record::build(&starts, &w.buf, false, None)
}

fn disc_form(c: &mut Criterion) {
    let (dictionary, mut atoms) = (Dictionary::new(1000), Atoms::default());
    let record = row(123_456);
    let mut out = Vec::new();
    c.bench_function("disc/write", |b| {
        b.iter(|| {
            out.clear();
            atoms.begin();
            to_disc(black_box(&record), &dictionary, &mut atoms, &mut out).expect("writes");
        })
    });
    c.bench_function("disc/read", |b| b.iter(|| from_disc(black_box(&out), &dictionary).expect("reads")));
}

fn open(mapped: bool) -> (Store, Table, std::path::PathBuf) {
    let path = std::env::current_dir().expect("here").join(format!("bench_store_{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let dir = log_dir(&path, Modes { mapped, ..Modes::default() }).expect("directory");
    let config = Config { spares: 4, log_bytes: 4 << 30, ..Config::default() };
    let (store, _) = Store::open(dir, Arc::new(MemBase::default()), config, Arc::new(Callbacks)).expect("opens");
    let table = store.create_table(false, b"bench").expect("makes");
    (store, table, path)
}

fn commit(store: &Store, table: Table, record: &Record) -> u64 {
    loop {
        if let Some(mut commit) = store.begin(120).expect("sound") {
            commit.put(table, std::slice::from_ref(record)).expect("encodes");
            return commit.commit().position;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn synced(store: &Store, position: u64) {
    let (send, receive) = sync_channel(1);
    let waker = Callbacks::waker(move |_| {
        let _ = send.send(());
    });
    if let Wait::Queued = store.wait_durable(position, waker) {
        receive.recv().expect("an answer");
    }
}

fn commits(c: &mut Criterion) {
    let rows: Vec<Record> = (0..1000).map(row).collect();
    for (mapped, name) in [(true, "mapped"), (false, "pwrite")] {
        let (store, table, path) = open(mapped);
        let mut i = 0;
        // Few enough that no flush and no throttle is measured, only what a commit pays itself.
        c.bench_function(&format!("commit/asynchronous/{name}"), |b| {
            b.iter_custom(|n| {
                let mut spent = Duration::ZERO;
                let mut left = n;
                while left > 0 {
                    let some = left.min(20_000);
                    let from = Instant::now();
                    for _ in 0..some {
                        i = (i + 1) % rows.len();
                        black_box(commit(&store, table, &rows[i]));
                    }
                    spent += from.elapsed();
                    left -= some;
                    store.sync_all().expect("syncs");
                }
                spent
            })
        });
        c.bench_function(&format!("commit/synced/{name}"), |b| {
            b.iter(|| {
                i = (i + 1) % rows.len();
                let position = commit(&store, table, &rows[i]);
                synced(&store, position);
            })
        });
        let mut group = c.benchmark_group("commit/synced by 16");
        group.throughput(Throughput::Elements(16 * 100)).sample_size(10);
        group.bench_function(name, |b| {
            b.iter(|| {
                std::thread::scope(|scope| {
                    for row in &rows[..16] {
                        let store = &store;
                        scope.spawn(move || (0..100).for_each(|_| synced(store, commit(store, table, row))));
                    }
                })
            })
        });
        group.finish();
        store.close().expect("closes");
        let _ = std::fs::remove_dir_all(&path);
    }
}

fn bare(c: &mut Criterion) {
    let path = std::env::current_dir().expect("here").join(format!("bench_bare_{}", std::process::id()));
    let file = std::fs::File::create(&path).expect("creates");
    file.write_all_at(&vec![0; 64 << 20], 0).expect("writes");
    file.sync_all().expect("syncs");
    let (page, mut at) = ([7u8; 4096], 0);
    c.bench_function("bare/4 KB and fdatasync", |b| {
        b.iter_batched(
            || {
                at = (at + 4096) % (64 << 20);
                at
            },
            |at| {
                file.write_all_at(&page, at).expect("writes");
                file.sync_data().expect("syncs");
            },
            BatchSize::PerIteration,
        )
    });
    let _ = std::fs::remove_file(&path);
}

criterion_group!(store, disc_form, commits, bare);
criterion_main!(store);
