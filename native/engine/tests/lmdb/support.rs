//! Directories and readers for the tests.

use remnesia_engine::store::base::Base;
use remnesia_engine::store::lmdb::Lmdb;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of a test, in memory where there is room for that; gone with the value.
pub struct Directory(pub PathBuf);

impl Directory {
    /// Its path; nothing is there yet.
    pub fn new() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let shm = PathBuf::from("/dev/shm");
        let root = if shm.is_dir() { shm } else { std::env::temp_dir() };
        let path = root.join(format!("remnesia-lmdb-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let _ = std::fs::remove_dir_all(&path);
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub type Row = (Vec<u8>, Vec<u8>);

pub fn forward(store: &Lmdb, table: u32, from: Bound<&[u8]>, most: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        rows.len() < most
    };
    store.scan(table, from, visit).unwrap();
    rows
}

pub fn backward(store: &Lmdb, table: u32, from: Bound<&[u8]>, most: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        rows.len() < most
    };
    store.scan_back(table, from, visit).unwrap();
    rows
}
