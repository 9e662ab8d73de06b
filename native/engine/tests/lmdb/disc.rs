//! Discs that are full or read-only, limits of the system, second opens: each an error that says what is wrong, and nothing is lost.

use crate::support::{forward, Directory};
use remnesia_engine::store::base::{Base, Batch, Op};
use remnesia_engine::store::lmdb::{check, Lmdb, Options, FILE};
use remnesia_engine::store::StoreError;
use std::fs;
use std::ops::Bound;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Rows of some kilobytes under the keys of `numbers`.
fn put(store: &Lmdb, numbers: std::ops::Range<u32>, byte: u8) -> Result<(), StoreError> {
    let keys: Vec<[u8; 4]> = numbers.map(u32::to_be_bytes).collect();
    let value = [byte; 3000];
    let ops: Vec<Op> = keys.iter().map(|key| Op { table: 1, key, value: Some(&value) }).collect();
    store.apply(&Batch { ops: &ops, position: Some(u64::from(byte)), ..Batch::default() })
}

/// All rows have the byte of the position.
fn holds(store: &Lmdb, rows: usize) {
    let byte = store.position().unwrap() as u8;
    let found = forward(store, 1, Bound::Unbounded, usize::MAX);
    assert_eq!((found.len(), store.size(1)), (rows, rows as u64));
    assert!(found.iter().all(|row| row.1 == [byte; 3000]));
}

/// A small file system of its own. None if that is not allowed here.
struct Mounted(Directory);

impl Mounted {
    fn new(size: &str) -> Option<Mounted> {
        let directory = Directory::new();
        fs::create_dir(&directory.0).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(&directory.0).status();
        if done.is_ok_and(|status| status.success()) {
            return Some(Mounted(directory));
        }
        eprintln!("not tested: mounting is not allowed");
        None
    }

    fn path(&self) -> &Path {
        &self.0 .0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn is_full<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Io { code: Some(28), .. }))
}

#[test]
fn a_full_disc() {
    let Some(mounted) = Mounted::new("size=8m") else { return };
    let (directory, ballast) = (mounted.path().join("store"), mounted.path().join("ballast"));
    fs::write(&ballast, vec![1; 3 << 20]).unwrap();
    let store = Lmdb::open(&directory, &Options::default()).unwrap();
    put(&store, 0..500, 1).unwrap();
    let failed = (2..9).find_map(|byte| put(&store, 0..500, byte).err().map(|error| (byte, error)));
    let (byte, error) = failed.unwrap();
    assert!(is_full(&Err::<(), _>(error.clone())), "{error}");
    assert_eq!(store.position().unwrap(), u64::from(byte) - 1);
    holds(&store, 500);
    // The same again, and after a start: refused again, and nothing is lost.
    assert!(is_full(&put(&store, 0..500, byte)));
    drop(store);
    check::walk(&directory.join(FILE)).unwrap();
    let store = Lmdb::open(&directory, &Options::default()).unwrap();
    holds(&store, 500);
    // With room it goes on.
    fs::remove_file(&ballast).unwrap();
    put(&store, 0..500, byte).unwrap();
    holds(&store, 500);
    drop(store);
    assert_eq!(check::walk(&directory.join(FILE)).unwrap().rows, 500);
}

#[test]
fn a_disc_that_is_full_at_the_first_open() {
    let Some(mounted) = Mounted::new("size=1m") else { return };
    let (directory, ballast) = (mounted.path().join("store"), mounted.path().join("ballast"));
    fs::write(&ballast, vec![1; (1 << 20) - 100_000]).unwrap();
    assert!(is_full(&Lmdb::open(&directory, &Options::default()).map(|_| ())));
    assert!(!directory.join(FILE).exists());
    fs::remove_file(&ballast).unwrap();
    let store = Lmdb::open(&directory, &Options::default()).unwrap();
    put(&store, 0..3, 1).unwrap();
    holds(&store, 3);
    // LMDB's lock file has its blocks: where the disc is full now, readers do not die of it.
    drop(store);
    let mut filler = vec![1; 4096];
    while fs::write(mounted.path().join(format!("f{}", filler.len())), &filler).is_ok() {
        filler.resize(filler.len() + 4096, 1);
    }
    let store = Lmdb::open(&directory, &Options::default()).unwrap();
    std::thread::scope(|scope| (0..50).for_each(|_| drop(scope.spawn(|| holds(&store, 3)))));
    assert!(is_full(&put(&store, 0..100, 2)));
    holds(&store, 3);
}

#[test]
fn a_read_only_disc() {
    let Some(mounted) = Mounted::new("size=4m") else { return };
    let directory = mounted.path().join("store");
    put(&Lmdb::open(&directory, &Options::default()).unwrap(), 0..3, 1).unwrap();
    let remount = |how| assert!(Command::new("mount").args(["-o", how]).arg(mounted.path()).status().unwrap().success());
    remount("remount,ro");
    let opened = Lmdb::open(&directory, &Options::default()).map(|_| ());
    assert!(matches!(opened, Err(StoreError::Io { code: Some(30), .. })), "{opened:?}");
    check::walk(&directory.join(FILE)).unwrap();
    remount("remount,rw");
    holds(&Lmdb::open(&directory, &Options::default()).unwrap(), 3);
}

#[test]
fn a_map_that_becomes_too_small() {
    let directory = Directory::new();
    let store = Lmdb::open(&directory.0, &Options { map: 1 << 18, ..Options::default() }).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..60).for_each(|byte| put(&store, 0..u32::from(byte) * 30, byte).unwrap()));
        // Readers stand in the way of a new map, and never see one that is gone.
        while !writer.is_finished() {
            let rows = forward(&store, 1, Bound::Unbounded, usize::MAX);
            assert!(rows.windows(2).all(|two| two[0].1 == two[1].1));
        }
    });
    holds(&store, 59 * 30);
}

#[test]
fn one_open_per_process() {
    let directory = Directory::new();
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    let link = Directory::new();
    symlink(&directory.0, &link.0).unwrap();
    for path in [&directory.0, &link.0] {
        let second = Lmdb::open(path, &Options::default()).map(|_| ());
        assert!(matches!(&second, Err(StoreError::Base { code: 16, .. })), "{second:?}");
    }
    fs::remove_file(&link.0).unwrap();
    put(&store, 0..3, 1).unwrap();
    drop(store);
    holds(&Lmdb::open(&directory.0, &Options::default()).unwrap(), 3);
}

#[test]
fn files_are_for_the_owner() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = Directory::new();
    drop(Lmdb::open(&directory.0, &Options::default()).unwrap());
    assert_eq!(mode(&directory.0), 0o700);
    let files: Vec<_> = fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    files.iter().for_each(|file| assert_eq!(mode(&file.path()), 0o600));
    let directory = Directory::new();
    drop(Lmdb::open(&directory.0, &Options { directory_mode: 0o750, file_mode: 0o640, ..Options::default() }).unwrap());
    assert_eq!((mode(&directory.0), mode(&directory.0.join(FILE))), (0o750, 0o640));
}

/// A start that died while it made the file; garbage in LMDB's lock file.
#[test]
fn remains_of_a_death() {
    let directory = Directory::new();
    fs::create_dir_all(directory.0.join("making")).unwrap();
    fs::write(directory.0.join("making").join(FILE), "half").unwrap();
    fs::write(directory.0.join("lock.mdb"), vec![0xa5; 10_000]).unwrap();
    put(&Lmdb::open(&directory.0, &Options::default()).unwrap(), 0..3, 1).unwrap();
    fs::write(directory.0.join("lock.mdb"), vec![0xff; 1_000_000]).unwrap();
    holds(&Lmdb::open(&directory.0, &Options::default()).unwrap(), 3);
    assert!(!directory.0.join("making").exists());
}

/// Old states are given up when nobody reads them: rewriting the same rows does not make the file grow, readers or not.
#[test]
fn pages_are_used_again() {
    let directory = Directory::new();
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    let length = || fs::metadata(directory.0.join(FILE)).unwrap().len();
    (1..5).for_each(|byte| put(&store, 0..300, byte).unwrap());
    let before = length();
    for byte in 5..100 {
        put(&store, 0..300, byte).unwrap();
        holds(&store, 300);
    }
    assert!(length() <= before + before / 2, "{before} bytes became {}", length());
}

/// Runs an ignored test of this file in a process of its own, after `prepare`, in a directory that exists.
fn child(test: &str, prepare: &str, directory: &Path, user: Option<u32>) {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{prepare} exec \"$0\" --exact disc::{test} --ignored"), &program.display().to_string()]);
    command.env("REMNESIA_TEST_DIRECTORY", directory);
    if let Some(user) = user {
        command.uid(user);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn directory_of_child() -> std::path::PathBuf {
    std::env::var_os("REMNESIA_TEST_DIRECTORY").unwrap().into()
}

#[test]
fn little_address_space() {
    let directory = Directory::new();
    child("in_little_address_space", "ulimit -v 3000000;", &directory.0, None);
}

#[test]
#[ignore = "run by little_address_space"]
fn in_little_address_space() {
    let store = Lmdb::open(&directory_of_child(), &Options::default()).unwrap();
    put(&store, 0..300, 1).unwrap();
    holds(&store, 300);
}

#[test]
fn files_that_may_not_grow() {
    let directory = Directory::new();
    child("in_small_files", "trap '' XFSZ; ulimit -f 4000;", &directory.0, None);
    let store = Lmdb::open(&directory.0, &Options::default()).unwrap();
    assert!(store.size(1) > 0);
    holds(&store, store.size(1) as usize);
}

#[test]
#[ignore = "run by files_that_may_not_grow"]
fn in_small_files() {
    let store = Lmdb::open(&directory_of_child(), &Options::default()).unwrap();
    let failed = (1..200).find_map(|byte| put(&store, 0..u32::from(byte) * 20, byte).err());
    // A write that was cut short is EIO in LMDB, one that was refused EFBIG.
    assert!(matches!(failed, Some(StoreError::Io { code: Some(5 | 27), .. })), "{failed:?}");
    holds(&store, store.size(1) as usize);
    // What needs no more room still goes.
    store.apply(&Batch { meta: &[(b"name", Some(b"value"))], ..Batch::default() }).unwrap();
}

#[test]
fn a_directory_of_somebody_else() {
    let directory = Directory::new();
    drop(Lmdb::open(&directory.0, &Options::default()).unwrap());
    let by_nobody = |mode: u32| {
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(mode)).unwrap();
        let opened = Command::new("sh").args(["-c", "true"]).uid(65534).status();
        if opened.is_ok() {
            child("without_permission", "", &directory.0, Some(65534));
        }
    };
    by_nobody(0o700);
    by_nobody(0o755);
    drop(Lmdb::open(&directory.0, &Options::default()).unwrap());
}

#[test]
#[ignore = "run by a_directory_of_somebody_else"]
fn without_permission() {
    let opened = Lmdb::open(&directory_of_child(), &Options::default()).map(|_| ());
    assert!(matches!(opened, Err(StoreError::Io { code: Some(13), .. })), "{opened:?}");
}
