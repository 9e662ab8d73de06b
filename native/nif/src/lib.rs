//! The NIF border of Remnesia: decode, one call of the engine, encode.
//!
//! Every function of `Remnesia.Native` is here; what they take and answer is the NIF contract in `docs/design.md`.

mod access;
mod arguments;
mod atoms;
mod border;
mod compiled;
mod disc;
mod explain;
mod faults;
mod index;
mod keys;
mod near;
mod reason;
mod report;
mod schema;
mod select;
mod session;
mod shadow;
mod snapshot;
mod spec;

mod term;
mod testing;
mod transfer;
mod txn;
mod watch;

use rustler::sys::*;
use std::ffi::{c_int, c_uint, c_void, CStr};

#[cfg(not(feature = "system_allocator"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Nif = unsafe extern "C" fn(*mut ErlNifEnv, c_int, *const ErlNifTerm) -> ErlNifTerm;

const fn nif(name: &'static CStr, arity: c_uint, function: Nif) -> ErlNifFunc {
    ErlNifFunc { name: name.as_ptr(), arity, function, flags: 0 }
}

struct Functions<const N: usize>([ErlNifFunc; N]);

// SAFETY: names and functions are static and never written.
unsafe impl<const N: usize> Sync for Functions<N> {}

static FUNCTIONS: Functions<112> = Functions([
    nif(c"db_start", 0, schema::db_start),
    nif(c"db_stop", 0, schema::db_stop),
    nif(c"disc_open", 3, disc::disc_open),
    nif(c"disc_check", 1, disc::disc_check),
    nif(c"disc_close", 1, disc::disc_close),
    nif(c"disc_free", 1, disc::disc_free),
    nif(c"disc_number", 1, disc::disc_number),
    nif(c"disc_change", 1, disc::disc_change),
    nif(c"disc_loaded", 0, disc::disc_loaded),
    nif(c"disc_flush", 0, disc::disc_flush),
    nif(c"disc_compact", 0, disc::disc_compact),
    nif(c"disc_metrics", 0, disc::disc_metrics),
    nif(c"table_restore", 5, disc::table_restore),
    nif(c"table_load", 2, disc::table_load),
    nif(c"tables_loading", 0, disc::tables_loading),
    nif(c"table_disc", 1, disc::table_disc),
    nif(c"table_keep", 6, disc::table_keep),
    nif(c"table_number", 2, disc::table_number),
    nif(c"log_wait", 2, disc::log_wait),
    nif(c"log_room", 2, disc::log_room),
    nif(c"log_tail", 0, disc::log_tail),
    nif(c"txn_position", 1, disc::txn_position),
    nif(c"running", 0, schema::running),
    nif(c"tables", 0, schema::tables),
    nif(c"table_create", 5, schema::table_create),
    nif(c"table_define", 6, schema::table_define),
    nif(c"table_delete", 2, schema::table_delete),
    nif(c"table_clear", 2, schema::table_clear),
    nif(c"index_add", 5, index::index_add),
    nif(c"index_drop", 4, index::index_drop),
    nif(c"table_props", 1, schema::table_props),
    nif(c"table_put_props", 2, schema::table_put_props),
    nif(c"table_put_aside", 4, schema::table_put_aside),
    nif(c"table_keep_new", 1, schema::table_keep_new),
    nif(c"table_take_back", 1, schema::table_take_back),
    nif(c"table_access", 2, schema::table_access),
    nif(c"table_size", 1, schema::table_size),
    nif(c"table_memory", 1, schema::table_memory),
    nif(c"table_check", 1, schema::table_check),
    nif(c"txn_new", 0, txn::txn_new),
    nif(c"txn_begin", 1, txn::txn_begin),
    nif(c"txn_commit", 1, txn::txn_commit),
    nif(c"txn_abort", 1, txn::txn_abort),
    nif(c"txn_restart", 1, txn::txn_restart),
    nif(c"txn_wait", 2, txn::txn_wait),
    nif(c"txn_depth", 1, txn::txn_depth),
    nif(c"txn_serial", 1, txn::txn_serial),
    nif(c"txn_counted", 1, txn::txn_counted),
    nif(c"commit_wait", 3, txn::commit_wait),
    nif(c"lock_table", 3, txn::lock_table),
    nif(c"lock_record", 4, txn::lock_record),
    nif(c"lock_global", 3, txn::lock_global),
    nif(c"lock_count", 0, txn::lock_count),
    nif(c"read", 4, access::read),
    nif(c"write", 4, access::write),
    nif(c"write_all", 2, access::write_all),
    nif(c"delete", 3, access::delete),
    nif(c"delete_object", 3, access::delete_object),
    nif(c"update_counter", 4, access::update_counter),
    nif(c"index_read", 4, select::index_read),
    nif(c"select", 5, select::select),
    nif(c"select_in_order", 7, select::select_in_order),
    nif(c"select_next", 2, select::select_next),
    nif(c"select_plan", 2, explain::select_plan),
    nif(c"spec_test", 2, explain::spec_test),
    nif(c"select_count", 4, explain::select_count),
    nif(c"all_keys", 2, select::all_keys),
    nif(c"first", 2, keys::first),
    nif(c"last", 2, keys::last),
    nif(c"next", 3, keys::next),
    nif(c"next_of_gone", 2, keys::next_of_gone),
    nif(c"prev", 3, keys::prev),
    nif(c"last_number", 2, keys::last_number),
    nif(c"watch", 2, watch::watch),
    nif(c"txn_publish", 1, watch::txn_publish),
    nif(c"txn_end", 1, txn::txn_end),
    nif(c"locks", 0, report::locks),
    nif(c"transactions", 0, report::transactions),
    nif(c"txn_join", 1, watch::txn_join),
    nif(c"txn_untouched", 2, watch::txn_untouched),
    nif(c"txn_written_keys", 2, watch::txn_written_keys),
    nif(c"transfer_take", 2, transfer::transfer_take),
    nif(c"transfer_open", 1, transfer::transfer_open),
    nif(c"transfer_put", 4, transfer::transfer_put),
    nif(c"near_begin", 0, near::near_begin),
    nif(c"near_doubt", 0, near::near_doubt),
    nif(c"near_end", 0, near::near_end),
    nif(c"near_run", 0, near::near_run),
    nif(c"near_prove", 2, near::near_prove),
    nif(c"snapshot_begin", 1, snapshot::snapshot_begin),
    nif(c"snapshot_scan", 3, snapshot::snapshot_scan),
    nif(c"snapshot_read", 3, snapshot::snapshot_read),
    nif(c"snapshot_kept", 1, snapshot::snapshot_kept),
    nif(c"snapshot_end", 1, snapshot::snapshot_end),
    nif(c"shadow_create", 5, shadow::shadow_create),
    nif(c"shadow_write", 2, shadow::shadow_write),
    nif(c"shadow_delete", 2, shadow::shadow_delete),
    nif(c"shadow_swap", 3, shadow::shadow_swap),
    nif(c"shadow_drop", 1, shadow::shadow_drop),
    nif(c"test_encode", 1, testing::encode),
    nif(c"test_roundtrip", 1, testing::roundtrip),
    nif(c"test_disc", 1, testing::disc),
    nif(c"test_compare", 2, testing::compare),
    nif(c"test_key", 1, testing::key),
    nif(c"test_same", 2, testing::same),
    nif(c"test_panic", 2, testing::panic),
    nif(c"test_select", 4, testing::select),
    nif(c"test_live", 1, testing::live),
    nif(c"test_hash", 1, testing::hash),
    nif(c"test_time", 2, testing::time),
    nif(c"test_functions", 0, faults::functions),
    nif(c"test_fault", 3, faults::fault),
]);

/// What one loaded library tells another of itself, through the private data that the VM keeps with the module. The layout is for
/// all versions.
#[repr(C)]
struct Library {
    magic: [u8; 16],
    is_running: extern "C" fn() -> bool,
    /// Stops the database; the environment is that of the calling process.
    stop: unsafe extern "C" fn(*mut ErlNifEnv),
}

const MAGIC: [u8; 16] = *b"remnesia library";

static LIBRARY: Library = Library { magic: MAGIC, is_running, stop };

extern "C" fn is_running() -> bool {
    border::DB.is_running()
}

unsafe extern "C" fn stop(env: *mut ErlNifEnv) {
    // A panic has nowhere to go in the other library; the database does not run any more, whatever was left undone.
    let _ = std::panic::catch_unwind(|| schema::stop(env));
}

/// Answers of `upgrade` that are no success.
const FAILED: c_int = 1;
/// Another library is loaded, and its database is running; `Remnesia.Native.load/0` knows the number.
const ANOTHER_RUNS: c_int = 2;

unsafe extern "C" fn load(env: *mut ErlNifEnv, data: *mut *mut c_void, info: ErlNifTerm) -> c_int {
    // SAFETY: the VM gives a place for the pointer, which is to a static of a library that is never unmapped.
    unsafe { *data = std::ptr::from_ref(&LIBRARY).cast_mut().cast() };
    open(env, ErlNifResourceFlags::ERL_NIF_RT_CREATE, info)
}

/// The module is loaded again while its old version is there (`recompile` in a shell). If the library file is the same, so is the
/// library in memory: tables and transactions are in its statics, so they go on, and resources are taken over. Another file is
/// another library with statics of its own. It may not take the place of one whose database is running, or the tables would seem
/// to be gone; afterwards it begins anew, with resources of its own, as the layout of those of the other is not known here.
///
/// A database that runs without its application is one that the application could not stop, as the module was gone by then: who
/// stopped the application meant it too.
unsafe extern "C" fn upgrade(env: *mut ErlNifEnv, data: *mut *mut c_void, old: *mut *mut c_void, info: ErlNifTerm) -> c_int {
    // SAFETY: the old version's private data, which is null or was set by `load` of some version of this file.
    let other = unsafe { (*old).cast::<Library>() };
    if std::ptr::eq(other, &LIBRARY) {
        // SAFETY: as in `load`.
        unsafe { *data = other.cast() };
        return open(env, ErlNifResourceFlags::ERL_NIF_RT_TAKEOVER, info);
    }
    // SAFETY: whoever sets the pointer has the magic in front, and is never unmapped.
    if !other.is_null() && unsafe { (*other).magic == MAGIC && ((*other).is_running)() } {
        let wanted = std::panic::catch_unwind(|| flags(env, info)[1]);
        if wanted.unwrap_or(true) {
            return ANOTHER_RUNS;
        }
        // SAFETY: as above; the environment is that of the process that loads the module.
        unsafe { ((*other).stop)(env) };
    }
    // SAFETY: the arguments are those the VM gave.
    unsafe { load(env, data, info) }
}

/// What the module says when it loads us: whether ETS looks up a map in the key of a head as it is, whether the application runs.
fn flags(env: *mut ErlNifEnv, info: ErlNifTerm) -> [bool; 2] {
    atoms::init(env);
    let (mut arity, mut elements) = (0, std::ptr::null());
    // SAFETY: sets the elements when the term is a tuple; they live as long as it.
    match unsafe { enif_get_tuple(env, info, &mut arity, &mut elements) } {
        // SAFETY: there are two.
        1 if arity == 2 => [0, 1].map(|i| unsafe { *elements.add(i) } == atoms::true_()),
        _ => [false, true],
    }
}

fn open(env: *mut ErlNifEnv, types: ErlNifResourceFlags, info: ErlNifTerm) -> c_int {
    let opened = std::panic::catch_unwind(|| {
        term::host::install(flags(env, info)[0]);
        remnesia_engine::table::below::install_limit(border::patience);
        session::open_types(env, types)
    });
    match opened {
        Ok(true) => 0,
        _ => FAILED,
    }
}

struct Entry(ErlNifEntry);

// SAFETY: written never, read by the VM.
unsafe impl Sync for Entry {}

static ENTRY: Entry = {
    let mut entry = ErlNifEntry::new(c"Elixir.Remnesia.Native", &FUNCTIONS.0, load);
    entry.upgrade = Some(upgrade);
    Entry(entry)
};

/// What the VM asks for when it loads the library.
#[no_mangle]
pub extern "C" fn nif_init() -> *const ErlNifEntry {
    // SAFETY: fills in the table of VM functions where the platform needs one, before any of them is called.
    unsafe { internal_write_symbols() };
    &ENTRY.0
}
