//! The LMDB environment: opened once, grown, opened again after a failure, lent to readers.
//!
//! LMDB opens one directory twice without complaint and then damages it, so a process-wide register refuses the second open. The
//! map is reserved large once: it costs address space, not memory or disc. Read transactions are kept and renewed, since beginning one takes a
//! lock and memory; none of them is alive between calls of the store, so the old state of no page is ever held for long.

use super::super::StoreError;
use super::format::{tree_name, INFO, OWN};
use crate::sync::global;
use crossbeam::queue::ArrayQueue;
use lmdb::{Database, Environment, EnvironmentFlags, InactiveTransaction, RoTransaction, Transaction};
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the map is larger than 32 bits can address");

pub const FILE: &str = "data.mdb";
const LOCK: &str = "lock.mdb";
/// Where a new environment is made before it takes its place.
const MAKING: &str = "making";
const READERS: u32 = 4096;
/// A reader's slot in the lock file, and what stands before the slots.
const SLOT: usize = 64;
/// The smallest map that is tried where address space is limited.
const SMALLEST_MAP: usize = 64 << 20;
const LARGEST_MAP: usize = 1 << 46;
/// Idle read transactions kept.
const IDLE: usize = 64;
/// A file that is written to find out why LMDB could not write.
const PROBE: &str = "probe";
const PROBE_SIZE: usize = 1 << 18;
const EIO: i32 = 5;
/// How long a reader lets others pass that wait for all readers, unless it is one of those they wait for.
const POLITE: Duration = Duration::from_millis(20);
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Make the directory and the file if they are not there.
    pub create: bool,
    /// The last process that had it open closed it: every page need not be checked.
    pub clean: bool,
    pub directory_mode: u32,
    pub file_mode: u32,
    /// Bytes of address space to reserve. It grows when that is not enough, and is less where the system allows less.
    pub map: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { create: true, clean: false, directory_mode: 0o700, file_mode: 0o600, map: 1 << 40 }
    }
}

/// What an error of LMDB means; `doing` and the path say where.
pub fn translate(doing: &'static str, path: &Path, error: lmdb::Error) -> StoreError {
    match error {
        lmdb::Error::Other(code) => StoreError::io(doing, path, &std::io::Error::from_raw_os_error(code)),
        lmdb::Error::Corrupted | lmdb::Error::PageNotFound | lmdb::Error::CursorFull | lmdb::Error::PageFull => {
            StoreError::corrupt(path, 0, error.to_string())
        }
        lmdb::Error::Invalid | lmdb::Error::VersionMismatch => StoreError::Foreign { path: path.into() },
        _ => StoreError::Base { code: error.to_err_code(), what: format!("{doing}: {error}").into() },
    }
}

/// Directories that are open in this process, by device and file number.
static OPEN: global::Mutex<BTreeSet<(u64, u64)>> = global::Mutex::new(BTreeSet::new());

struct Claim((u64, u64));

impl Claim {
    fn take(directory: &Path) -> Result<Claim, StoreError> {
        let meta = fs::metadata(directory).map_err(|e| StoreError::io("opening", directory, &e))?;
        if !meta.is_dir() {
            return Err(StoreError::io("opening", directory, &ErrorKind::NotADirectory.into()));
        }
        let id = (meta.dev(), meta.ino());
        if OPEN.lock().insert(id) {
            return Ok(Claim(id));
        }
        Err(StoreError::Base { code: EBUSY, what: format!("{} is open already in this process", directory.display()).into() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        OPEN.lock().remove(&self.0);
    }
}

/// The trees of the file.
#[derive(Clone, Copy, Debug)]
pub struct Trees {
    pub info: Database,
    pub tables: [Database; OWN as usize + 1],
}

struct Idle(InactiveTransaction<'static>);

// SAFETY: with NO_TLS a read transaction belongs to no thread; one thread at a time has it, by the queue.
unsafe impl Send for Idle {}

/// An environment that is open. The transactions go before it: fields are dropped in order.
pub struct Opened {
    idle: ArrayQueue<Idle>,
    pub trees: Trees,
    pub env: Environment,
}

/// A read transaction; goes back to the idle ones in the end.
pub struct Reading<'e> {
    txn: Option<RoTransaction<'static>>,
    of: &'e Opened,
}

impl Opened {
    pub fn begin(&self) -> lmdb::Result<Reading<'_>> {
        let txn = match self.idle.pop() {
            Some(idle) => idle.0.renew()?,
            // SAFETY: only the lifetime changes. The transaction ends before `env` is closed: a `Reading` borrows `self`, and
            // `idle` is dropped before `env`.
            None => unsafe { std::mem::transmute::<RoTransaction<'_>, RoTransaction<'static>>(self.env.begin_ro_txn()?) },
        };
        Ok(Reading { txn: Some(txn), of: self })
    }
}

impl Deref for Reading<'_> {
    type Target = RoTransaction<'static>;

    fn deref(&self) -> &RoTransaction<'static> {
        self.txn.as_ref().unwrap_or_else(|| unreachable!("it is taken in drop alone"))
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(txn) = self.txn.take() {
            // A full queue hands it back, and it ends.
            let _ = self.of.idle.push(Idle(txn.reset()));
        }
    }
}

/// LMDB's number of a transaction's state: of the newest one in it for a reader, of its own for a writer.
pub fn number(txn: &impl Transaction) -> u64 {
    // SAFETY: the transaction is alive, and the call reads one field of it.
    unsafe { lmdb_sys::mdb_txn_id(txn.txn()) as u64 }
}

thread_local! {
    /// How many guards this thread has.
    static GUARDS: Cell<usize> = const { Cell::new(0) };
}

/// Keeps an environment open.
pub struct Got<'e>(MappedRwLockReadGuard<'e, Opened>);

impl Deref for Got<'_> {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        &self.0
    }
}

impl Drop for Got<'_> {
    fn drop(&mut self) {
        GUARDS.set(GUARDS.get() - 1);
    }
}

/// The environment of one directory.
pub struct Env {
    pub file: PathBuf,
    directory: PathBuf,
    options: Options,
    opened: RwLock<(usize, Option<Opened>)>,
    /// Somebody waits for all readers to be through.
    waiting: AtomicBool,
    _claim: Claim,
}

impl Env {
    /// Opens it after `check` has looked at the file.
    pub fn open(
        directory: &Path,
        options: &Options,
        check: impl FnOnce(&Path) -> Result<(), StoreError>,
    ) -> Result<Env, StoreError> {
        if options.create {
            make_directory(directory, options)?;
        }
        let claim = Claim::take(directory)?;
        let file = directory.join(FILE);
        match fs::symlink_metadata(&file) {
            Ok(meta) if meta.is_file() => check(&file)?,
            Ok(_) => return Err(StoreError::Foreign { path: file }),
            Err(e) if e.kind() == ErrorKind::NotFound && options.create => make(directory, options)?,
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(StoreError::Missing { path: file }),
            Err(e) => return Err(StoreError::io("opening", &file, &e)),
        }
        let opened = open(directory, options, options.map)?;
        let opened = RwLock::new((opened.0, Some(opened.1)));
        let waiting = AtomicBool::new(false);
        Ok(Env { file, directory: directory.into(), options: options.clone(), opened, waiting, _claim: claim })
    }

    /// The environment for as long as the guard lives. A callback may ask again: who waits for all readers waits for this thread already,
    /// so it goes on at once. Others let him pass, or he would wait for ever.
    pub fn get(&self) -> Result<Got<'_>, StoreError> {
        let polite = GUARDS.get() == 0 && self.waiting.load(Ordering::Relaxed);
        let polite = if polite { self.opened.try_read_for(POLITE) } else { None };
        let guard = polite.unwrap_or_else(|| self.opened.read_recursive());
        let opened = RwLockReadGuard::try_map(guard, |opened| opened.1.as_ref()).map_err(|_| StoreError::Closed)?;
        GUARDS.set(GUARDS.get() + 1);
        Ok(Got(opened))
    }

    /// Waits for all readers.
    fn alone(&self) -> RwLockWriteGuard<'_, (usize, Option<Opened>)> {
        self.waiting.store(true, Ordering::Relaxed);
        let opened = self.opened.write();
        self.waiting.store(false, Ordering::Relaxed);
        opened
    }

    /// Opens it anew with a larger map, when all readers are through.
    pub fn grow(&self) -> Result<(), StoreError> {
        let mut opened = self.alone();
        let old = opened.0;
        if old >= LARGEST_MAP {
            return Err(StoreError::TooLarge { bytes: old as u64 * 2, most: LARGEST_MAP as u64 });
        }
        opened.1 = None;
        let larger = open(&self.directory, &self.options, old * 2);
        let grown = larger.as_ref().is_ok_and(|(size, _)| *size > old);
        let (size, again) = larger.or_else(|_| open(&self.directory, &self.options, old))?;
        *opened = (size, Some(again));
        let limit = || StoreError::io("reserving address space for", &self.file, &std::io::Error::from_raw_os_error(ENOMEM));
        grown.then_some(()).ok_or_else(limit)
    }

    /// Opens it anew after a failure that LMDB does not go on from, when `check` finds the file in order.
    pub fn reopen(&self, check: impl FnOnce(&Path) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut opened = self.alone();
        opened.1 = None;
        check(&self.file)?;
        let (size, again) = open(&self.directory, &self.options, opened.0)?;
        *opened = (size, Some(again));
        Ok(())
    }

    /// Lets `copy` write the contents into a new file, which then takes the place of this one. Answers the lengths of both.
    pub fn replace(&self, copy: impl FnOnce(&Opened, &Environment) -> Result<(), StoreError>) -> Result<(u64, u64), StoreError> {
        let making = self.directory.join(MAKING);
        let length = |file: &Path| fs::metadata(file).map(|meta| meta.len()).map_err(|e| StoreError::io("reading", file, &e));
        let before = length(&self.file)?;
        {
            let opened = self.get()?;
            fill(&making, &self.options, self.options.map, |env| copy(&opened, env))?;
        }
        let after = length(&making.join(FILE))?;
        let mut opened = self.alone();
        opened.1 = None;
        let placed = take_place(&making, &self.directory);
        let (size, again) = open(&self.directory, &self.options, opened.0)?;
        *opened = (size, Some(again));
        placed.map(|()| (before, after))
    }

    pub fn error(&self, doing: &'static str, error: lmdb::Error) -> StoreError {
        match error {
            lmdb::Error::Other(EIO) => self.why(doing).unwrap_or_else(|| translate(doing, &self.file, error)),
            _ => translate(doing, &self.file, error),
        }
    }

    /// LMDB answers EIO where the system wrote only a part, as it does when the disc is about to be full: a further write says why.
    fn why(&self, doing: &'static str) -> Option<StoreError> {
        let probe = self.directory.join(PROBE);
        let written = fs::write(&probe, vec![0; PROBE_SIZE]);
        let _ = fs::remove_file(&probe);
        written.err().map(|e| StoreError::io(doing, &self.file, &e))
    }
}

fn make_directory(directory: &Path, options: &Options) -> Result<(), StoreError> {
    match DirBuilder::new().mode(options.directory_mode).create(directory) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(StoreError::io("making", directory, &e)),
        _ => Ok(()),
    }
}

/// Makes an empty environment beside its place and moves it there whole, so that a file in its place is never half made.
fn make(directory: &Path, options: &Options) -> Result<(), StoreError> {
    let making = directory.join(MAKING);
    fill(&making, options, SMALLEST_MAP, |env| super::whole::first(env).map_err(|e| translate("making", &making, e)))?;
    take_place(&making, directory)
}

/// Makes an environment in a directory of its own, which is gone again if that fails.
fn fill(
    making: &Path,
    options: &Options,
    map: usize,
    write: impl FnOnce(&Environment) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if fs::symlink_metadata(making).is_ok() {
        fs::remove_dir_all(making).map_err(|e| StoreError::io("clearing", making, &e))?;
    }
    let filled = make_directory(making, options).and_then(|()| write(&start(making, options, map)?.1));
    if filled.is_err() {
        let _ = fs::remove_dir_all(making);
    }
    filled
}

/// Moves a file that is made to its place, over the one there.
fn take_place(making: &Path, directory: &Path) -> Result<(), StoreError> {
    let io = |doing, path: &Path, e: std::io::Error| StoreError::io(doing, path, &e);
    fs::rename(making.join(FILE), directory.join(FILE)).map_err(|e| io("making", directory, e))?;
    File::open(directory).and_then(|d| d.sync_all()).map_err(|e| io("syncing", directory, e))?;
    // What stays there is cleared before the next time.
    let _ = fs::remove_dir_all(making);
    Ok(())
}

/// Opens LMDB with a map of `size` bytes, or of less where the system allows less.
fn start(directory: &Path, options: &Options, mut size: usize) -> Result<(usize, Environment), StoreError> {
    reserve_lock_file(directory, options)?;
    let file = directory.join(FILE);
    let env = loop {
        let mut builder = Environment::new();
        builder.set_flags(EnvironmentFlags::NO_TLS).set_max_readers(READERS).set_max_dbs(u32::from(OWN) + 2);
        match builder.set_map_size(size).open_with_permissions(directory, options.file_mode) {
            Ok(env) => break env,
            Err(lmdb::Error::Other(ENOMEM)) if size > SMALLEST_MAP => size /= 2,
            Err(e) => return Err(translate("opening", &file, e)),
        }
    };
    let mut dead = 0;
    // SAFETY: the environment is open, and `dead` outlives the call.
    let code = unsafe { lmdb_sys::mdb_reader_check(env.env(), &mut dead) };
    if code != lmdb_sys::MDB_SUCCESS {
        return Err(translate("clearing readers of", &file, lmdb::Error::from_err_code(code)));
    }
    Ok((size, env))
}

/// As [`start`], with the trees of a file that is made.
fn open(directory: &Path, options: &Options, size: usize) -> Result<(usize, Opened), StoreError> {
    let (size, env) = start(directory, options, size)?;
    let trees = trees(&env).map_err(|e| translate("opening", &directory.join(FILE), e))?;
    Ok((size, Opened { idle: ArrayQueue::new(IDLE), trees, env }))
}

/// LMDB maps its lock file for writing: where that has holes and the disc is full, a write to it is a SIGBUS. So it gets its blocks first.
/// What it says is worth nothing while no process has it open, and the caller holds the lock of the directory.
fn reserve_lock_file(directory: &Path, options: &Options) -> Result<(), StoreError> {
    let path = directory.join(LOCK);
    let zeros = vec![0; (READERS as usize + 4) * SLOT];
    let file = OpenOptions::new().create(true).write(true).truncate(false).mode(options.file_mode).open(&path);
    file.and_then(|mut file| file.write_all(&zeros)).map_err(|e| StoreError::io("opening", &path, &e))
}

pub fn trees(env: &Environment) -> lmdb::Result<Trees> {
    let txn = env.begin_ro_txn()?;
    // SAFETY: the environment was opened by this thread just now: no other transaction opens trees.
    let open = |name: &str| unsafe { txn.open_db(Some(name)) };
    let info = open(INFO)?;
    let mut tables = [info; OWN as usize + 1];
    for (i, tree) in tables.iter_mut().enumerate() {
        *tree = open(&tree_name(i as u8))?;
    }
    txn.commit()?;
    Ok(Trees { info, tables })
}
