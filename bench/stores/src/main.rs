//! The same work on three embedded stores, each driven from Rust as its users do: Remnesia's engine, LMDB and SQLite. One thread, rows of an
//! 8-byte integer key and 40 bytes. `bin/bench --stores [rows] [directory]`.
//!
//! What is not the same, and cannot be: Remnesia holds its table in memory beside the disc (`disc_copies`), LMDB maps its file, SQLite has a cache
//! as large as the table. A transaction of Remnesia takes locks on records, theirs the whole store. "Synced" means that the commit is on disc when
//! it is answered; else it survives the death of the process, not that of the machine, in all three.

mod lmdb_store;
mod remnesia_store;
mod sqlite_store;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const VALUE: usize = 40;
/// Rows of a range and of a large commit.
const RANGE: i64 = 100;
const MANY: usize = 1_000;
/// For each line.
const TIME: Duration = Duration::from_millis(1_500);

pub trait KeyValue {
    fn name(&self) -> &'static str;
    /// Reads a row and adds up its bytes, in a read transaction of its own where the store has them.
    fn read(&mut self, key: i64) -> u64;
    /// The same for the rows from a key on.
    fn range(&mut self, from: i64, rows: i64) -> u64;
    /// Writes these rows in one transaction.
    fn write(&mut self, keys: &[i64], value: &[u8; VALUE], synced: bool);
}

/// Numbers that look random, the same for every store.
struct Keys {
    state: u64,
    rows: i64,
}

impl Keys {
    fn next(&mut self) -> i64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % self.rows as u64) as i64
    }
}

/// Nanoseconds of one operation, the best of three runs.
fn time(mut operation: impl FnMut()) -> f64 {
    let run = |operation: &mut dyn FnMut()| {
        let (begun, mut count) = (Instant::now(), 0u64);
        while count % 8 != 0 || begun.elapsed() < TIME / 3 {
            operation();
            count += 1;
        }
        begun.elapsed().as_nanos() as f64 / count as f64
    };
    (0..3).map(|_| run(&mut operation)).fold(f64::INFINITY, f64::min)
}

fn measure(store: &mut dyn KeyValue, rows: i64) -> Vec<f64> {
    let all: Vec<i64> = (0..rows).collect();
    all.chunks(MANY).for_each(|keys| store.write(keys, &[1; VALUE], false));
    let mut keys = Keys { state: 0x9e37_79b9_7f4a_7c15, rows };
    let mut value = [0u8; VALUE];
    assert_eq!(store.read(rows / 2), VALUE as u64);
    assert_eq!(store.range(0, RANGE), RANGE as u64 * VALUE as u64);
    let read = time(|| assert_eq!(store.read(keys.next()), VALUE as u64));
    let range = time(|| {
        let from = keys.next() % (rows - RANGE);
        assert_eq!(store.range(from, RANGE), RANGE as u64 * VALUE as u64);
    });
    let mut write = |many: usize, synced| {
        time(|| {
            value[0] = value[0].wrapping_add(1);
            let some: Vec<i64> = (0..many).map(|_| keys.next()).collect();
            store.write(&some, &value, synced);
        })
    };
    let (one, many) = (write(1, false), write(MANY, false));
    let (synced, many_synced) = (write(1, true), write(MANY, true));
    vec![read, range / RANGE as f64, one, many / MANY as f64, synced, many_synced / MANY as f64]
}

const LINES: [&str; 6] = [
    "read a row",
    "read 100 rows in order, each",
    "write a row",
    "write 1,000, each",
    "write a row, synced",
    "write 1,000 synced, each",
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rows: i64 = arguments.next().map_or(100_000, |n| n.parse().expect("a number of rows"));
    assert!(rows >= 1_000, "1,000 rows at least");
    let root =
        arguments.next().map_or_else(std::env::temp_dir, PathBuf::from).join(format!("remnesia-stores-{}", std::process::id()));
    type Open = fn(&Path, i64) -> Box<dyn KeyValue>;
    let stores: [Open; 3] = [remnesia_store::open, lmdb_store::open, sqlite_store::open];
    let mut columns = Vec::new();
    for (n, open) in stores.into_iter().enumerate() {
        let directory = root.join(n.to_string());
        std::fs::create_dir_all(&directory).expect("a directory");
        let mut store = open(&directory, rows);
        let figures = measure(&mut *store, rows);
        columns.push((store.name(), figures));
    }
    std::fs::remove_dir_all(&root).expect("removes");
    println!("{rows} rows of an 8-byte key and {VALUE} bytes, one thread, each store driven from Rust; nanoseconds, the best of three.\n");
    println!("| | {} |", columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---|".repeat(columns.len()));
    for (line, what) in LINES.iter().enumerate() {
        let figures: Vec<String> = columns.iter().map(|(_, figures)| format!("{:.0}", figures[line])).collect();
        println!("| {what} | {} |", figures.join(" | "));
    }
}
