//! Durability: a write-ahead log, a base store behind it, and the flush that moves the one into the other.
//!
//! A commit encodes its operations ([`Reserved`]), under its tables' latches it appends them to the log, and is answered; who
//! needs it on disc waits for its position. After a death of the process the log holds every answered commit, after one of the
//! machine a prefix that has every commit whose wait was answered.
//!
//! * `disc*` records and keys as bytes that mean the same in every VM,
//! * `ops` what a transaction says, `log` where it is said, `newest` what is left of a stretch of it,
//! * `base` what stands below, `flush` writes it, `recovery` starts from it,
//! * `file` the operating system, `faulty` one that fails.

pub mod base;
mod config;
pub mod disc;
pub mod disc_atoms;
pub mod disc_key;
pub mod disc_read;
mod disc_walk;
mod error;
mod fan;
pub mod faulty;
pub mod file;
mod flush;
pub mod lmdb;
mod load;
pub mod log;
mod newest;
mod ops;
pub mod parcel;
mod read;
mod recovery;
mod rekey;
mod reserved;
pub mod verify;

pub use base::Base;
pub use config::{Callback, Callbacks, Config, Metrics, Observer};
pub use error::StoreError;
pub use load::Loaded;
pub use log::{Admitted, Wait};
pub use read::{Held, Stored};
pub use recovery::FORMAT;
pub use reserved::{Committed, Reserved, Table};

use crate::sync::Waker;
use crate::term::Record;
use disc_atoms::Dictionary;
use file::{Dir, Modes, RealDir};
use flush::{meta, Flush};
use log::{Log, Start};
use newest::Newest;
use parking_lot::{Mutex, RwLock};
use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A log position: durable when everything below it is on disc.
pub type Position = u64;

/// What was found at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Tables with their definitions, by number.
    pub tables: BTreeMap<u32, Definition>,
    /// Small values by name.
    pub notes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes of log that were read.
    pub replayed: u64,
    /// Bytes that a death of the machine had left torn.
    pub cut: u64,
}

/// What the store knows of a table, and what its owner wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Keys are those of an ordered_set: numbers by value.
    pub ordered: bool,
    pub bytes: Vec<u8>,
}

/// The durable side of a database. Shared by all threads; see the module.
///
/// ```
/// use remnesia_engine::store::{base::MemBase, faulty::FaultyDir, Callbacks, Config, Store};
/// use remnesia_engine::term::{Record, Writer};
/// use std::sync::Arc;
/// let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
/// let open = || Store::open(Arc::new(dir.clone()), base.clone(), Config::default(), Arc::new(Callbacks)).unwrap();
///
/// let (store, _) = open();
/// let table = store.create_table(false, b"any definition").unwrap();
/// let mut writer = Writer::new();
/// writer.int(7);
/// let row = Record::build(&[0], &writer.buf, false, None);
/// let mut commit = store.begin(100).unwrap().expect("room");
/// commit.put(table, &[row.clone()]).unwrap();
/// commit.commit();
/// store.sync_all().unwrap();
/// store.close().unwrap();
///
/// let (store, recovered) = open();
/// assert_eq!(recovered.tables[&table.number].bytes, b"any definition");
/// let mut rows = Vec::new();
/// store.load(table.number, &mut |row| rows.push(row)).unwrap();
/// assert!(rows.len() == 1 && rows[0].same(&row));
/// ```
pub struct Store {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    log: Log,
    base: Arc<dyn Base>,
    flush: Flush,
    dictionary: Dictionary,
    /// What the log said at start beyond the base store; none once every table is loaded.
    replayed: RwLock<Option<Arc<Newest>>>,
    next_table: AtomicU32,
    observer: Arc<dyn Observer>,
    /// Keeps other openers out until the store is closed.
    lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

/// The directory of the log files of a database that lives in `path`, made if it is not there.
pub fn log_dir(path: &Path, modes: Modes) -> Result<Arc<dyn Dir>, StoreError> {
    Ok(Arc::new(RealDir::open(path, modes)?))
}

impl Store {
    /// Opens the database, or makes it: the log in `dir`, the rest in `base`. Takes as long as reading the log does. Refused with
    /// [`StoreError::Locked`] as long as another opener has the directory.
    pub fn open(
        dir: Arc<dyn Dir>,
        base: Arc<dyn Base>,
        config: Config,
        observer: Arc<dyn Observer>,
    ) -> Result<(Store, Recovered), StoreError> {
        Store::open_with(dir, || Ok((base, None)), config, observer)
    }

    /// The same with a base store that may not be opened twice: `base` is called when the directory is locked. It answers as well where the log
    /// ended ([`Store::tail`]) if the database was closed in order and nobody has opened it since.
    pub fn open_with(
        dir: Arc<dyn Dir>,
        base: impl FnOnce() -> Result<(Arc<dyn Base>, Option<Position>), StoreError>,
        config: Config,
        observer: Arc<dyn Observer>,
    ) -> Result<(Store, Recovered), StoreError> {
        let config = Config {
            segment_bytes: (config.segment_bytes.max(16 << 10)).next_multiple_of(4096),
            log_bytes: config.log_bytes.max(4 * config.segment_bytes.max(16 << 10)),
            ..config
        };
        let lock = dir.lock()?;
        let (base, closed) = base()?;
        let database = recovery::identify(&*base, &dir.path(""))?;
        let mut found = recovery::recover(&*dir, &*base, database, closed)?;
        found.newest.finish();
        let dictionary = Dictionary::new(config.atoms);
        let mut atoms = std::collections::HashSet::new();
        let mut wrong = None;
        base.dictionary(&mut |id, text| {
            atoms.insert(id);
            wrong = wrong.or((!dictionary.learn(id, text)).then_some(id));
        })?;
        for (id, text) in &found.newest.atoms {
            wrong = wrong.or((!dictionary.learn(*id, text)).then_some(*id));
        }
        if let Some(id) = wrong {
            return Err(StoreError::corrupt(&dir.path(""), 0, format!("two atoms have the number {id}")));
        }
        let recovered = recovered(&*base, &found)?;
        let next = flush::next_table(&*base)?.max(found.newest.next_table);
        let start = Start { database, tail: found.tail, next_number: found.next_number, closed: found.closed, old: found.old };
        let flush = Flush::new(dir.clone(), base.clone(), config.clone(), atoms)?;
        let log = Log::start(dir, config.clone(), observer.clone(), start)?;
        if base.meta(meta::LOG)?.is_none() {
            base.apply(&base::Batch { meta: &[(meta::LOG, Some(b"1"))], ..Default::default() })?;
        }
        let inner = Arc::new(Inner {
            log,
            base,
            flush,
            dictionary,
            replayed: RwLock::new(Some(Arc::new(found.newest))),
            next_table: AtomicU32::new(next),
            observer,
            lock: Mutex::new(Some(lock)),
        });
        let store = Store { inner, threads: Mutex::default() };
        let base = &*store.inner.base;
        if rekey::wanted(base)? {
            store.flush_all()?;
            rekey::rekey(base, &recovered, &store.inner.dictionary, &config)?;
            *store.inner.replayed.write() = None;
        }
        rekey::done(base)?;
        if config.threads {
            *store.threads.lock() = store.inner.start_threads()?;
        }
        Ok((store, recovered))
    }

    /// Begins a commit of about `bytes` (records, keys, and 16 for each). None: the log has no room now, or others wait for it: ask
    /// [`Store::admit`], then wait by [`Store::wait_room`], with the same bytes; nothing was left behind.
    ///
    /// Errors: [`StoreError::ReadOnly`] with the cause after the log failed, [`StoreError::TooLarge`] for a commit that the log can
    /// never hold, [`StoreError::Closed`].
    #[inline]
    pub fn begin(&self, bytes: u64) -> Result<Option<Reserved<'_>>, StoreError> {
        let reservation = self.inner.log.reserve(bytes)?;
        Ok(reservation.map(|r| Reserved::new(&self.inner.log, &self.inner.dictionary, r)))
    }

    /// Asks to be told when it is the turn of `who`, any number that nobody else has, who then comes back through [`Store::admit`].
    pub fn wait_room(&self, bytes: u64, who: u64, waker: Waker) -> Wait {
        self.inner.log.wait_room(bytes, who, waker)
    }

    /// After [`Store::begin`] found no room for so many bytes: the turn of `who` to call it once more on this thread, if it has come.
    pub fn admit(&self, bytes: u64, who: u64) -> Option<Admitted<'_>> {
        self.inner.log.admit(bytes, who)
    }

    /// Asks to be told when everything below the position is on disc, or will not be.
    pub fn wait_durable(&self, position: Position, waker: Waker) -> Wait {
        self.inner.log.wait_durable(position, waker)
    }

    /// Everything below is on disc.
    pub fn synced(&self) -> Position {
        self.inner.log.synced()
    }

    /// How its files are made.
    pub fn modes(&self) -> Modes {
        self.inner.log.modes()
    }

    /// Where the log ends.
    pub fn tail(&self) -> Position {
        self.inner.log.tail()
    }

    /// Why commits are refused at present, if they are.
    pub fn refused(&self) -> Option<StoreError> {
        self.inner.log.refused()
    }

    /// Syncs all that was committed before the call. Blocks.
    pub fn sync_all(&self) -> Result<(), StoreError> {
        let tail = self.tail();
        while self.synced() < tail {
            self.inner.log.sync_step()?;
        }
        Ok(())
    }

    /// A number that no other table gets, now or later. The table exists when a commit has defined it ([`Reserved::define`]).
    pub fn new_table(&self, ordered: bool) -> Table {
        Table { number: self.inner.next_table.fetch_add(1, Ordering::Relaxed), ordered }
    }

    /// Makes a table in a commit of its own. Answers [`StoreError::ReadOnly`] also when there is no room at the moment.
    pub fn create_table(&self, ordered: bool, definition: &[u8]) -> Result<Table, StoreError> {
        let table = self.new_table(ordered);
        let Some(mut commit) = self.begin(definition.len() as u64 + 64)? else {
            return Err(StoreError::ReadOnly(Box::new(StoreError::TooLarge { bytes: definition.len() as u64, most: 0 })));
        };
        commit.define(table, definition)?;
        commit.commit();
        Ok(table)
    }

    /// Gives every row of a table to `f`, by key, as it was at start: for tables that live in memory.
    ///
    /// Call it before the table is written, and [`Store::loaded`] when all tables were read.
    pub fn load(&self, table: u32, f: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        let mut result = Ok(());
        let f = &mut |_: &[u8], value: &[u8]| {
            result = disc_read::rows_from_disc(value, &self.inner.dictionary, f);
            result.is_ok()
        };
        let Some(newest) = self.replayed() else {
            self.inner.base.scan(table, Bound::Unbounded, f)?;
            return result;
        };
        let mut over = newest.of_table(table).peekable();
        let mut more = true;
        if !newest.is_cleared(table) {
            self.inner.base.scan(table, Bound::Unbounded, &mut |key, value| {
                while let Some(state) = over.next_if(|s| s.key < key) {
                    more = more && state.value.is_none_or(|value| f(state.key, value));
                }
                match over.next_if(|s| s.key == key) {
                    Some(state) => more = more && state.value.is_none_or(|value| f(key, value)),
                    None => more = more && f(key, value),
                }
                more
            })?;
        }
        for state in over {
            more = more && state.value.is_none_or(|value| f(state.key, value));
        }
        result
    }

    /// What the log said at start beyond the base store, as long as it is wanted.
    fn replayed(&self) -> Option<Arc<Newest>> {
        self.inner.replayed.read().clone()
    }

    /// Keys that a table has in the base store.
    pub fn rows(&self, table: u32) -> usize {
        self.inner.base.size(table) as usize
    }

    /// All tables are loaded: what the log said at start is let go, and the next segment is made, for which a start does not wait.
    pub fn loaded(&self) {
        let gone = self.inner.replayed.write().take();
        crate::reaper::drop_later(gone);
        self.inner.log.keep_signal.notify();
    }

    pub fn dictionary(&self) -> &Dictionary {
        &self.inner.dictionary
    }

    /// Moves all that is synced to the base store. Blocks.
    pub fn flush_all(&self) -> Result<(), StoreError> {
        self.inner.log.keep_step()?;
        self.inner.log.rotate();
        // The next segment has to be known to be on disc before the one before it goes.
        self.inner.log.mark();
        self.sync_all()?;
        while self.flush_step()? {}
        Ok(())
    }

    /// The log is moved to the base store a little later: many rows are being written, and whoever writes them is waited for. No matter how often
    /// this is called, half of the log's room is kept free.
    pub fn put_off_flush(&self) {
        self.inner.flush.put_off();
    }

    /// Moves all that is synced to the base store, and writes that anew without free room. Answers its bytes before and after. Commits go on,
    /// until the log is at its bound. Blocks.
    pub fn compact(&self) -> Result<(u64, u64), StoreError> {
        self.flush_all()?;
        self.inner.base.compact()
    }

    /// The works of the threads, for tests that have threads of their own. Each is over when the store is closed.
    #[cfg(feature = "shuttle")]
    pub fn works(&self) -> impl Iterator<Item = impl FnOnce() + Send + 'static> {
        let inner = self.inner.clone();
        WORKS.into_iter().map(move |(_, work)| {
            let inner = inner.clone();
            move || work(&inner)
        })
    }

    /// One step of each thread, for tests without threads.
    pub fn sync_step(&self) -> Result<bool, StoreError> {
        self.inner.log.sync_step()
    }

    pub fn keep_step(&self) -> Result<(), StoreError> {
        self.inner.log.keep_step()
    }

    pub fn flush_step(&self) -> Result<bool, StoreError> {
        self.inner.flush.step(&self.inner.log)
    }

    pub fn metrics(&self) -> Metrics {
        let flush = &self.inner.flush;
        Metrics {
            flushed: flush.position.load(Ordering::Acquire),
            flushes: flush.flushes.load(Ordering::Relaxed),
            ..self.inner.log.metrics()
        }
    }

    /// Syncs everything and ends. Commits after this are refused; an error says that the last ones may not be on disc.
    pub fn close(&self) -> Result<(), StoreError> {
        if self.inner.log.is_closed() {
            return Ok(());
        }
        let result = self.inner.log.close();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
        self.inner.lock.lock().take();
        result
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

/// What a thread of the store does until it is closed.
type Work = fn(&Inner);
const WORKS: [(&str, Work); 3] = [
    ("remnesia_sync", |inner| inner.log.sync_thread()),
    ("remnesia_keep", |inner| inner.log.keep_thread()),
    ("remnesia_flush", |inner| inner.flush.thread(&inner.log, &|error| inner.observer.flush_failed(error))),
];

impl Inner {
    fn start_threads(self: &Arc<Inner>) -> Result<Vec<JoinHandle<()>>, StoreError> {
        let mut threads = Vec::new();
        for (name, work) in WORKS {
            let inner = self.clone();
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(&inner));
            threads.push(thread.map_err(|e| StoreError::io("start thread", Path::new(name), &e))?);
        }
        self.log.flush_signal.notify();
        Ok(threads)
    }
}

/// Tables and notes: the base store's, and over them what the log says.
fn recovered(base: &dyn Base, found: &recovery::Found) -> Result<Recovered, StoreError> {
    let mut all = Recovered { replayed: found.tail.saturating_sub(found.from), cut: found.cut, ..Recovered::default() };
    base.metas(meta::TABLE, &mut |name, bytes| {
        if let (Some(number), Some((ordered, bytes))) = (name.last_chunk::<4>(), bytes.split_first()) {
            let definition = Definition { ordered: *ordered != 0, bytes: bytes.to_vec() };
            all.tables.insert(u32::from_be_bytes(*number), definition);
        }
    })?;
    base.metas(meta::NOTE, &mut |name, value| {
        all.notes.insert(name[meta::NOTE.len()..].to_vec(), value.to_vec());
    })?;
    for (number, definition) in &found.newest.definitions {
        match definition.as_deref().and_then(<[u8]>::split_first) {
            Some((ordered, bytes)) => {
                let definition = Definition { ordered: *ordered != 0, bytes: bytes.to_vec() };
                all.tables.insert(*number, definition)
            }
            None => all.tables.remove(number),
        };
    }
    for (name, value) in &found.newest.notes {
        match value {
            Some(value) => all.notes.insert(name.clone(), value.clone()),
            None => all.notes.remove(name),
        };
    }
    Ok(all)
}
