//! The disc: opening and closing it, what is told to it beside rows, and waiting for it.

use crate::arguments::{bytes, elements, list, number, path};
use crate::border::{name, with_scratch, Answer, Call, Fail, DB};
use crate::reason::reason;
use crate::schema::{definition, put_props};
use crate::session::{disc_waker, send_named, with_txn};
use crate::term::{Env, RawTerm};
use crate::{atoms, nif};
use remnesia_engine::store::file::Modes;
use remnesia_engine::store::lmdb::{self, Lmdb, Options};
use remnesia_engine::store::{log_dir, verify, Base, Config, Observer, Store, StoreError, Table, Wait};
use remnesia_engine::table::{Kept, Place};
use remnesia_engine::txn::lock::Waker;
use remnesia_engine::txn::{journal, LockKind, Stop};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nobody looks at a database that is closed for longer than this.
const LOOKED_AT: Duration = Duration::from_secs(30);

/// Every commit waits until it is on disc.
static SYNC: AtomicBool = AtomicBool::new(false);

/// The answer of an operation that changed something: `:ok`, or what has to be waited for first.
#[inline]
pub fn changed_now(call: &Call) -> RawTerm {
    if !SYNC.load(Ordering::Relaxed) {
        return atoms::ok();
    }
    sync_answer(call)
}

/// The same for an operation with a value.
#[inline]
pub fn changed_to(call: &Call, value: RawTerm) -> RawTerm {
    if !SYNC.load(Ordering::Relaxed) {
        return value;
    }
    let position = journal::position();
    position.map_or(value, |position| call.tuple(&[atoms::sync(), call.int(position as i64), value]))
}

#[cold]
fn sync_answer(call: &Call) -> RawTerm {
    committed(call, journal::position())
}

/// The same for a commit that ended there in the log.
#[inline]
pub fn committed(call: &Call, position: Option<u64>) -> RawTerm {
    match position {
        Some(position) if SYNC.load(Ordering::Relaxed) => call.tuple(&[atoms::sync(), call.int(position as i64)]),
        _ => atoms::ok(),
    }
}

/// Tells the VM: the process of this name gets the messages, if it is there.
struct Teller;

impl Observer for Teller {
    fn wake(&self, waker: Waker, answer: Result<(), StoreError>) {
        crate::session::fire_disc(waker, &answer.err());
    }

    fn failed(&self, cause: &StoreError) {
        send_named(|call| call.tuple(&[atoms::disc_failed(), reason(call, cause)]));
    }

    fn recovered(&self) {
        send_named(|_| atoms::disc_recovered());
    }

    fn flushed(&self, position: u64) {
        DB.flushed(position);
    }

    fn flush_failed(&self, cause: &StoreError) {
        send_named(|call| call.tuple(&[atoms::flush_failed(), reason(call, cause)]));
    }
}

/// A file that is there as long as nobody has the database open, and it was closed. It says where the log ended.
fn clean_mark(directory: &Path) -> PathBuf {
    directory.join("clean")
}

/// Whether it was closed, and where the log ended. A mark of other contents is from another version.
fn read_mark(mark: &Path) -> (bool, Option<u64>) {
    let bytes = std::fs::read(mark);
    let end = bytes.as_deref().ok().and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    (bytes.is_ok(), end)
}

fn write_mark(mark: &Path, end: u64, modes: Modes) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(modes.file).open(mark)?;
    file.write_all(&end.to_le_bytes())
}

fn error(call: &Call, what: &StoreError) -> RawTerm {
    call.tuple(&[atoms::error(), reason(call, what)])
}

/// Definitions of tables by number.
type Definitions = Vec<(u32, Vec<u8>)>;

fn open(directory: &Path, config: Config) -> Result<(Store, Definitions), StoreError> {
    let mark = clean_mark(directory);
    let modes = config.modes;
    let log = log_dir(directory, modes)?;
    let (store, recovered) = Store::open_with(
        log,
        || {
            let (clean, end) = read_mark(&mark);
            let options = Options { clean, directory_mode: modes.dir, file_mode: modes.file, ..Options::default() };
            let base = Lmdb::open(directory, &options)?;
            match std::fs::remove_file(&mark) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", &mark, &e)),
                _ => Ok((Arc::new(base) as Arc<dyn Base>, end)),
            }
        },
        config,
        Arc::new(Teller),
    )?;
    Ok((store, recovered.tables.into_iter().map(|(number, definition)| (number, definition.bytes)).collect()))
}

nif!(
    /// Work: reading the log, checking the files.
    disc_open,
    |call, [directory, settings, sync]| {
        call.heavy(true)?;
        let directory = path(call, *directory)?;
        let mut config = Config::default();
        for setting in list(call, *settings) {
            let &[key, value] = elements(call, setting)? else { return Err(Fail::BadArg) };
            let value = number(call, value)?;
            let is = |name: &str| key == call.atom(name);
            match () {
                () if is("sync_interval") => config.sync_interval = Duration::from_millis(value),
                () if is("unsynced_bytes") => config.unsynced_bytes = value,
                () if is("log_bytes") => config.log_bytes = value,
                () if is("segment_bytes") => config.segment_bytes = value,
                () if is("max_atoms") => config.atoms = value as usize,
                () if is("file_mode") => config.modes.file = value as u32,
                () if is("directory_mode") => config.modes.dir = value as u32,
                () => return Err(Fail::BadArg),
            }
        }
        match open(&directory, config) {
            Ok((store, tables)) => {
                SYNC.store(*sync == atoms::true_(), Ordering::Relaxed);
                DB.set_store(Some(Arc::new(store)));
                let tables = tables.iter().map(|(number, bytes)| call.tuple(&[call.int(i64::from(*number)), call.binary(bytes)]));
                Ok(call.tuple(&[atoms::ok(), call.list(&tables.collect::<Vec<_>>())]))
            }
            Err(what) => Ok(error(call, &what)),
        }
    }
);

fn check(directory: &Path) -> Result<Vec<(&'static str, u64)>, StoreError> {
    let file = directory.join("data.mdb");
    // Before anything that makes a directory.
    let report = lmdb::check::walk(&file)?;
    let log = log_dir(directory, Config::default().modes)?;
    let _lock = log.lock()?;
    let base = Lmdb::open(directory, &Options { clean: true, ..Options::default() })?;
    let found = verify::log(&log, &base, &file)?;
    Ok(vec![
        ("pages", report.pages),
        ("free_pages", report.free),
        ("lost_pages", report.lost),
        ("tables", report.tables),
        ("rows", report.rows),
        ("position", found.from),
        ("log_end", found.tail),
        ("log_segments", found.segments),
        ("torn_bytes", found.torn),
    ])
}

nif!(
    /// Looks at every page and every frame of a database that nobody has open. Work: that.
    disc_check,
    |call, [directory]| {
        call.heavy(true)?;
        match check(&path(call, *directory)?) {
            Ok(found) => {
                let items = found.iter().map(|(key, value)| call.tuple(&[call.atom(key), call.int(*value as i64)]));
                Ok(call.tuple(&[atoms::ok(), call.list(&items.collect::<Vec<_>>())]))
            }
            Err(what) => Ok(error(call, &what)),
        }
    }
);

nif!(
    /// Whether no process has the database of a directory open.
    disc_free,
    |call, [directory]| {
        call.heavy(true)?;
        let log = log_dir(&path(call, *directory)?, Config::default().modes);
        match log.and_then(|log| log.lock()) {
            Ok(_lock) => Ok(atoms::ok()),
            Err(what) => Ok(error(call, &what)),
        }
    }
);

nif!(
    /// Everything is on disc when it answers. Work: that.
    disc_close,
    |call, [directory]| {
        call.heavy(true)?;
        let directory = path(call, *directory)?;
        SYNC.store(false, Ordering::Relaxed);
        let Some(store) = DB.set_store(None) else { return Ok(atoms::ok()) };
        let closed = store.flush_all().and(store.close());
        let (end, modes) = (store.tail(), store.modes());
        // Others may still look at it for a moment; the files are closed with the last of them, and who opens them again finds them closed.
        let since = Instant::now();
        while Arc::strong_count(&store) > 1 && since.elapsed() < LOOKED_AT {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(store);
        match closed.and_then(|()| {
            let mark = clean_mark(&directory);
            write_mark(&mark, end, modes).map_err(|e| StoreError::io("write", &mark, &e))
        }) {
            Ok(()) => Ok(atoms::ok()),
            Err(what) => Ok(error(call, &what)),
        }
    }
);

fn store() -> Result<Arc<Store>, Fail> {
    DB.store().ok_or_else(|| Fail::Stop(journal::refuse(StoreError::Closed)))
}

/// Number of a table on disc.
fn table_number_of(call: &Call, term: RawTerm) -> Result<u32, Fail> {
    u32::try_from(number(call, term)?).map_err(|_| Fail::BadArg)
}

fn table(call: &Call, number: RawTerm, ordered: RawTerm) -> Result<Table, Fail> {
    Ok(Table { number: table_number_of(call, number)?, ordered: ordered == atoms::true_() })
}

/// Number and rows of a table on disc, as the host says them; none for `nil`. Rows: `false` for those in memory alone, `true` for those that
/// are in both places, `:only` for those on disc alone.
pub fn disc_place(call: &Call, number_term: RawTerm, rows: RawTerm) -> Result<Place, Fail> {
    if number_term == atoms::nil() {
        return Ok(None);
    }
    let kept = match () {
        () if rows == call.atom("only") => Kept::OnDisc,
        () if rows == atoms::true_() => Kept::InBoth,
        () => Kept::InMemory,
    };
    Ok(Some((table_number_of(call, number_term)?, kept)))
}

nif!(
    /// A number for a new table.
    disc_number,
    |call, [ordered]| Ok(call.int(i64::from(store()?.new_table(*ordered == atoms::true_()).number)))
);

/// Commits what changes beside rows, all at once; answers its position.
pub fn change(call: &Call, changes: RawTerm) -> Result<i64, Fail> {
    let store = store()?;
    let changes = list(call, changes).into_iter().map(|change| elements(call, change)).collect::<Result<Vec<_>, _>>()?;
    let definition = |change: &&[RawTerm]| change.last().and_then(|last| bytes(call, *last).ok()).map_or(0, <[u8]>::len);
    let weight = changes.iter().map(|change| 64 + definition(change) as u64).sum();
    let refused = |error| Fail::Stop(journal::refuse(error));
    let Some(mut commit) = store.begin(weight).map_err(refused)? else { return Err(Stop::Room(weight).into()) };
    for change in changes {
        match *change {
            [what, number, ordered, definition] if what == call.atom("define") => {
                commit.define(table(call, number, ordered)?, bytes(call, definition)?).map_err(refused)?
            }
            [what, number] if what == call.atom("drop") => commit.drop_table(table(call, number, atoms::nil())?),
            [what, number] if what == call.atom("clear") => commit.clear(table(call, number, atoms::nil())?),
            _ => return Err(Fail::BadArg),
        }
    }
    // If it is not in a file now it is queued: who waits for the position is told.
    Ok(commit.commit().position as i64)
}

nif!(
    /// What changes beside rows, in one commit; answers its position, which has to be waited for. Changes:
    /// `{:define, number, ordered, binary}`, `{:drop, number}`, `{:clear, number}`.
    disc_change,
    |call, [changes]| Ok(call.int(change(call, *changes)?))
);

nif!(
    /// A table of the disc; `rows` as in [`disc_place`]. It is there once it is loaded.
    table_restore,
    |call, [table, shape, number_term, rows, props]| with_scratch(|scratch| {
        let definition = definition(call, *shape)?;
        let name = name(call, scratch, *table)?;
        let place = disc_place(call, *number_term, *rows)?;
        put_props(call, &mut scratch.encoder, &name, *props)?;
        DB.restore(&name, definition, place);
        Ok(atoms::ok())
    })
);

nif!(
    /// `dumped`: a table in memory, whose rows were brought to disc once. Work: reading all rows.
    table_load,
    |call, [table, dumped]| {
        call.heavy(true)?;
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        DB.load(&name, *dumped == atoms::true_())?;
        Ok(atoms::ok())
    }
);

nif!(
    /// Names of the tables that are not loaded yet, with the rows that they have so far.
    tables_loading,
    |call, []| {
        let all: Vec<_> = DB
            .loading()
            .iter()
            .map(|open| call.tuple(&[crate::border::table_name(call, open), call.int(open.table.size() as i64)]))
            .collect();
        Ok(call.list(&all))
    }
);

nif!(
    /// All tables are loaded.
    disc_loaded,
    |_call, []| {
        store()?.loaded();
        Ok(atoms::ok())
    }
);

nif!(
    /// Number of the table on disc, and where its rows are, as in [`disc_place`]; `nil` if it is in memory alone.
    table_disc,
    |call, [table]| {
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        let open = DB.open(&name).ok_or(Stop::NoTable)?;
        let Some(number) = open.table.number() else { return Ok(atoms::nil()) };
        let rows = match open.table.logged() {
            Some(_) if open.table.disc().is_some() => call.atom("only"),
            Some(_) => atoms::true_(),
            None => atoms::false_(),
        };
        Ok(call.tuple(&[call.int(i64::from(number)), rows]))
    }
);

nif!(
    /// A table in memory, whose rows are on disc too from now on, or not any more; `log` brings those that are there to disc. What changes of
    /// its definition goes with it, on disc as in `disc_change` and in memory: nobody who kills the process comes between. Holds the table
    /// exclusively. Work: all rows.
    table_keep,
    |call, [ctx, table, log, rows, changes, props]| {
        call.heavy(true)?;
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        with_txn(call, *ctx, |txn| {
            let table = txn.table(&DB, &name)?;
            txn.lock_table(table, LockKind::Write)?;
            let open = txn.open(table);
            DB.freeze(open);
            let number = open.table.number().ok_or(Stop::NoTable)?;
            if *log == atoms::true_() {
                DB.log_rows(open)?;
            }
            // Not begun anew with all rows if there is no room just now.
            while let Err(stop) = change(call, *changes) {
                let Fail::Stop(Stop::Room(_)) = stop else { return Err(stop) };
                std::thread::sleep(Duration::from_millis(1));
            }
            let kept = if *rows == atoms::true_() { Kept::InBoth } else { Kept::InMemory };
            open.table.set_place(Some((number, kept)));
            with_scratch(|scratch| put_props(call, &mut scratch.encoder, &name, *props))?;
            Ok(atoms::ok())
        })
    }
);

nif!(
    /// The definition of a table that is in memory alone is on disc from now on, under this number; or not any more, for `nil`.
    table_number,
    |call, [table, number_term]| {
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        DB.open(&name).ok_or(Stop::NoTable)?.table.set_place(disc_place(call, *number_term, atoms::false_())?);
        Ok(atoms::ok())
    }
);

/// Waits for something of the disc: `:ok` if there is nothing to wait for, `:queued` if `{reference, :ok | {:error, reason}}` will come.
fn wait(call: &Call, reference: RawTerm, ask: impl FnOnce(&Store, Waker) -> Wait) -> Answer {
    let Some(store) = DB.store() else { return Ok(atoms::ok()) };
    match ask(&store, disc_waker(call, reference)?) {
        Wait::Done(_) => Ok(atoms::ok()),
        Wait::Queued => Ok(atoms::queued()),
        Wait::Failed(_, error) => Err(Fail::Stop(journal::refuse(error))),
    }
}

nif!(
    /// Until everything below a position is on disc.
    log_wait,
    |call, [position, reference]| {
        let position = number(call, *position)?;
        wait(call, *reference, |store, waker| store.wait_durable(position, waker))
    }
);

nif!(
    /// Until the log may have room for so many bytes.
    log_room,
    |call, [size, reference]| {
        let size = number(call, *size)?;
        let who = crate::session::caller_word(call.env).ok_or(Fail::BadArg)?;
        wait(call, *reference, |store, waker| store.wait_room(size, who, waker))
    }
);

nif!(
    /// Where the log ends; `nil` without a disc.
    log_tail,
    |call, []| Ok(DB.store().map_or(atoms::nil(), |store| call.int(store.tail() as i64)))
);

nif!(
    /// The end of the transaction's last commit in the log; `nil` if it changed nothing on disc.
    txn_position,
    |call, [handle]| with_txn(call, *handle, |txn| Ok(txn.position.map_or(atoms::nil(), |p| call.int(p as i64))))
);

nif!(
    /// Moves all that is in the log to its place. Work: that.
    disc_flush,
    |call, []| {
        call.heavy(true)?;
        match store()?.flush_all() {
            Ok(()) => Ok(atoms::ok()),
            Err(what) => Ok(error(call, &what)),
        }
    }
);

nif!(
    /// Writes the tables' file anew. Work: that.
    disc_compact,
    |call, []| {
        call.heavy(true)?;
        let Some(store) = DB.store() else { return Ok(call.tuple(&[atoms::ok(), call.tuple(&[call.int(0), call.int(0)])])) };
        let (before, after) = store.compact().map_err(|error| Fail::Stop(journal::refuse(error)))?;
        Ok(call.tuple(&[atoms::ok(), call.tuple(&[call.int(before as i64), call.int(after as i64)])]))
    }
);

nif!(
    /// Figures, as a list of pairs; why commits are refused at present is one of them. `nil` without a disc.
    disc_metrics,
    |call, []| {
        let Some(store) = DB.store() else { return Ok(atoms::nil()) };
        let m = store.metrics();
        let mut pairs: Vec<_> = [
            ("tail", m.tail),
            ("synced", m.synced),
            ("flushed", m.flushed),
            ("unsynced_bytes", m.unsynced_bytes),
            ("unsynced_microseconds", m.unsynced_for.as_micros() as u64),
            ("log_bytes", m.log_bytes),
            ("fsyncs", m.fsyncs),
            ("last_fsync_microseconds", m.last_fsync.as_micros() as u64),
            ("flushes", m.flushes),
        ]
        .map(|(key, value)| call.tuple(&[call.atom(key), call.int(value as i64)]))
        .into();
        if let Some(refused) = store.refused() {
            pairs.push(call.tuple(&[call.atom("refused"), reason(call, &refused)]));
        }
        Ok(call.list(&pairs))
    }
);

/// For [`send_named`].
pub fn call_in(env: Env) -> Call {
    Call { env, dirty: true }
}
