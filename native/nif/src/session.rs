//! The transaction object of a process, and the messages that wake waiting processes.

use crate::border::{Call, Fail, DB};
use crate::faults::Point;
use crate::reason::reason;
use crate::select::Select;
use crate::term::{word, Env, RawTerm};
use crate::{atoms, disc};
use parking_lot::Mutex;
use remnesia_engine::reaper;
use remnesia_engine::store::StoreError;
use remnesia_engine::term::Record;
use remnesia_engine::txn::lock::{Waker, Wakes};
use remnesia_engine::txn::report::Counts;
use remnesia_engine::txn::Txn;
use rustler::sys::*;
use std::collections::HashSet;
use std::ffi::{c_void, CString};
use std::mem::MaybeUninit;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::LazyLock;

/// What a handle refers to. Only its owner and its guests use it; the lock is for them, and for the moment the owner dies.
pub struct Session {
    owner: RawTerm,
    /// Processes that take part in the owner's transaction of this number, as the cursor of a query does.
    guests: Mutex<Vec<(RawTerm, u64)>>,
    txn: Mutex<Txn>,
}

static SESSION: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(std::ptr::null_mut());
static SELECT: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(std::ptr::null_mut());
static ROWS: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(std::ptr::null_mut());

/// Opens the resource types; false if the VM refuses.
pub fn open_types(env: Env, flags: ErlNifResourceFlags) -> bool {
    let open = |name: &std::ffi::CStr, dtor: ErlNifResourceDtor, down: Option<ErlNifResourceDown>| {
        let down = down.map_or(std::ptr::null(), |d| d as *const ErlNifResourceDown);
        let init = ErlNifResourceTypeInit {
            dtor: dtor as *const ErlNifResourceDtor,
            stop: std::ptr::null(),
            down,
            members: 3,
            dyncall: std::ptr::null(),
        };
        // SAFETY: called from load or upgrade only; the callbacks live as long as the library, which is never unmapped.
        unsafe { enif_init_resource_type(env, name.as_ptr(), &init, flags, std::ptr::null_mut()) }
    };
    // Another library in the same VM must not take these resources for its own: the address of a static tells the two apart.
    let name = |what: &str| CString::new(format!("remnesia_{what}_{:p}", &raw const SESSION)).unwrap_or_default();
    let session = open(&name("session"), drop_session, Some(owner_down));
    let select = open(&name("select"), drop_select, None);
    SESSION.store(session.cast_mut(), Ordering::Release);
    SELECT.store(select.cast_mut(), Ordering::Release);
    let rows = open(&name("rows"), drop_rows, None);
    ROWS.store(rows.cast_mut(), Ordering::Release);
    ![session, select, rows].iter().any(|kind| kind.is_null())
}

/// Puts a value into a new resource and answers its term.
fn resource<T>(env: Env, kind: &AtomicPtr<ErlNifResourceType>, value: T) -> (RawTerm, *mut T) {
    // SAFETY: the resource has room for a `T`, which is written before anyone sees it; its destructor drops it.
    unsafe {
        let object = enif_alloc_resource(kind.load(Ordering::Acquire), std::mem::size_of::<T>()).cast::<T>();
        object.write(value);
        let term = enif_make_resource(env, object.cast());
        enif_release_resource(object.cast());
        (term, object)
    }
}

fn get<'a, T>(env: Env, term: RawTerm, kind: &AtomicPtr<ErlNifResourceType>) -> Result<&'a T, Fail> {
    let mut object: *const c_void = std::ptr::null();
    // SAFETY: a true answer means that the object is a `T`, alive as long as its term, which outlives the call.
    unsafe {
        if enif_get_resource(env, term, kind.load(Ordering::Acquire), &mut object) == 0 {
            return Err(Fail::BadArg);
        }
        Ok(&*object.cast::<T>())
    }
}

pub fn caller(env: Env) -> Option<ErlNifPid> {
    let mut pid = MaybeUninit::uninit();
    // SAFETY: fills in the pid where there is a calling process.
    unsafe { (!enif_self(env, pid.as_mut_ptr()).is_null()).then(|| pid.assume_init()) }
}

/// What tells the calling process from all others that are alive.
pub fn caller_word(env: Env) -> Option<u64> {
    caller(env).map(|pid| word(pid_term(env, pid)))
}

/// The term of a local pid: an immediate word.
pub fn pid_term(env: Env, pid: ErlNifPid) -> RawTerm {
    // SAFETY: the pid was filled in by the VM.
    unsafe { enif_make_pid(env, pid) }
}

/// All sessions, for those who want to know what goes on; each is taken out before it is dropped.
static SESSIONS: LazyLock<Mutex<HashSet<usize>>> = LazyLock::new(Mutex::default);

/// How transactions of processes that are gone ended.
static GONE: Mutex<Counts> = Mutex::new(Counts { commits: 0, failures: 0, restarts: 0 });

pub fn counts_of_the_gone() -> Counts {
    *GONE.lock()
}

/// Looks at the transaction of every process, but for those that are at work this moment.
pub fn each_session(mut f: impl FnMut(RawTerm, &Txn)) {
    for session in SESSIONS.lock().iter() {
        // SAFETY: an address of a session; whoever drops one takes it out before, under this lock.
        let session = unsafe { &*(*session as *const Session) };
        if let Some(txn) = session.txn.try_lock_for(std::time::Duration::from_millis(1)) {
            f(session.owner, &txn);
        }
    }
}

/// A new handle for the calling process, watched until it dies.
pub fn new_session(call: &Call) -> Result<RawTerm, Fail> {
    let owner = caller(call.env).ok_or(Fail::BadArg)?;
    let session = Session { owner: pid_term(call.env, owner), guests: Mutex::default(), txn: Mutex::new(Txn::default()) };
    let (term, object) = resource(call.env, &SESSION, session);
    SESSIONS.lock().insert(object as usize);
    // SAFETY: the object is alive through `term`.
    let watched = unsafe { enif_monitor_process(call.env, object.cast(), &owner, std::ptr::null_mut()) };
    if watched == 0 {
        Ok(term)
    } else {
        Err(Fail::BadArg)
    }
}

impl Session {
    #[cold]
    fn is_guest(&self, pid: Option<RawTerm>, txn: &Txn) -> bool {
        txn.depth() > 0 && self.guests.lock().iter().any(|(guest, serial)| Some(*guest) == pid && *serial == txn.serial())
    }
}

/// Lets the calling process take part in the transaction of another, until that ends; false if it has none.
pub fn join(call: &Call, handle: RawTerm) -> Result<bool, Fail> {
    let session: &Session = get(call.env, handle, &SESSION)?;
    let guest = caller(call.env).map(|pid| pid_term(call.env, pid)).ok_or(Fail::BadArg)?;
    let txn = session.txn.lock();
    let mut guests = session.guests.lock();
    guests.retain(|(_, serial)| *serial == txn.serial());
    guests.push((guest, txn.serial()));
    Ok(txn.depth() > 0)
}

/// Runs `f` on the caller's transaction; wakes whom it woke. A panic ends the transaction, so that no lock stays.
#[inline]
pub fn with_txn<R>(call: &Call, handle: RawTerm, f: impl FnOnce(&mut Txn) -> Result<R, Fail>) -> Result<R, Fail> {
    let session: &Session = get(call.env, handle, &SESSION)?;
    let pid = caller(call.env).map(|pid| pid_term(call.env, pid));
    let mut txn = session.txn.lock();
    if pid != Some(session.owner) && !session.is_guest(pid, &txn) {
        return Err(Fail::BadArg);
    }
    let guarded = || {
        call.fault(Point::Begun);
        let done = f(&mut txn);
        call.fault(Point::Done);
        done
    };
    let answer = catch_unwind(AssertUnwindSafe(guarded));
    if answer.is_err() {
        txn.lose(&DB);
    }
    if !txn.wakes.is_empty() {
        let wakes = std::mem::take(&mut txn.wakes);
        drop(txn);
        fire(call.env, wakes);
    }
    answer.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Is this a reference, but no handle of this library? Then it is of one whose place this one has taken, or was made up.
pub fn is_foreign(call: &Call, handle: RawTerm) -> bool {
    // SAFETY: only looks at the term.
    get::<Session>(call.env, handle, &SESSION).is_err() && unsafe { enif_is_ref(call.env, handle) } != 0
}

/// A continuation of a select.
pub fn new_select(call: &Call, select: Select) -> RawTerm {
    resource(call.env, &SELECT, Mutex::new(select)).0
}

pub fn get_select<'a>(call: &Call, term: RawTerm) -> Result<&'a Mutex<Select>, Fail> {
    get(call.env, term, &SELECT)
}

/// Rows on their way into a table.
pub fn new_rows(call: &Call, rows: Vec<Record>) -> RawTerm {
    resource(call.env, &ROWS, rows).0
}

pub fn get_rows<'a>(call: &Call, term: RawTerm) -> Result<&'a [Record], Fail> {
    get::<Vec<Record>>(call.env, term, &ROWS).map(Vec::as_slice)
}

unsafe extern "C" fn drop_rows(_env: Env, object: *mut c_void) {
    let drop = AssertUnwindSafe(|| {
        // SAFETY: the VM calls this once, when no term refers to the object any more.
        reaper::drop_later(unsafe { std::ptr::read(object.cast::<Vec<Record>>()) });
    });
    let _ = catch_unwind(drop);
}

unsafe extern "C" fn drop_select(_env: Env, object: *mut c_void) {
    let drop = AssertUnwindSafe(|| {
        // SAFETY: the VM calls this once, when no term refers to the object any more.
        unsafe { std::ptr::drop_in_place(object.cast::<Mutex<Select>>()) };
    });
    let _ = catch_unwind(drop);
}

unsafe extern "C" fn drop_session(env: Env, object: *mut c_void) {
    let drop = AssertUnwindSafe(|| {
        let session = object.cast::<Session>();
        SESSIONS.lock().remove(&(session as usize));
        // SAFETY: the VM calls this once, when no term refers to the object any more.
        unsafe {
            let txn = (*session).txn.get_mut();
            GONE.lock().add(txn.counts);
            txn.kill(&DB);
            fire(env, std::mem::take(&mut txn.wakes));
            std::ptr::drop_in_place(session);
        }
    });
    let _ = catch_unwind(drop);
}

/// More than this is not freed inside a monitor callback.
const FEW: usize = 64;

/// The owner is gone: nothing of its transaction stays.
unsafe extern "C" fn owner_down(env: Env, object: *mut c_void, _pid: *const ErlNifPid, _monitor: *const ErlNifMonitor) {
    let end = AssertUnwindSafe(|| {
        // SAFETY: the VM keeps the object alive during the callback.
        let session = unsafe { &*object.cast::<Session>() };
        if let Some(mut txn) = session.txn.try_lock() {
            if txn.weight() <= FEW {
                txn.kill(&DB);
                let wakes = std::mem::take(&mut txn.wakes);
                drop(txn);
                return fire(env, wakes);
            }
        }
        // Much to free, or a dirty call of the dead process is not over yet: a thread of ours waits for that.
        // SAFETY: kept here, released by the job.
        unsafe { enif_keep_resource(object) };
        let object = object as usize;
        reaper::run(move || {
            let object = object as *mut c_void;
            // SAFETY: kept alive for this job.
            let session = unsafe { &*object.cast::<Session>() };
            let mut txn = session.txn.lock();
            txn.kill(&DB);
            let wakes = std::mem::take(&mut txn.wakes);
            drop(txn);
            fire(std::ptr::null_mut(), wakes);
            // SAFETY: kept above.
            unsafe { enif_release_resource(object) };
        });
    });
    let _ = catch_unwind(end);
}

/// A message `{ref, what}` for a waiting process.
struct Message {
    env: Env,
    to: ErlNifPid,
    term: RawTerm,
}

// SAFETY: the environment belongs to no process; the message moves as a whole.
unsafe impl Send for Message {}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: ours alone.
        unsafe { enif_free_env(self.env) };
    }
}

/// A waker that sends `{reference, what}` to the caller.
pub fn waker(call: &Call, reference: RawTerm, what: RawTerm) -> Result<Waker, Fail> {
    let to = caller(call.env).ok_or(Fail::BadArg)?;
    // SAFETY: a fresh environment; the reference is copied into it.
    let message = unsafe {
        let env = enif_alloc_env();
        let pair = [enif_make_copy(env, reference), what];
        Message { env, to, term: enif_make_tuple_from_array(env, pair.as_ptr(), 2) }
    };
    Ok(Box::new(message))
}

/// Sends the messages. `env`: the caller's, or null on a thread of ours. No lock is held here.
pub fn fire(env: Env, wakes: Wakes) {
    for wake in wakes {
        if let Ok(message) = wake.downcast::<Message>() {
            // SAFETY: the message's environment is ours and not used afterwards. A dead receiver is no error.
            let sent = unsafe { enif_send(env, &message.to, message.env, message.term) };
            // A caller that was killed on a dirty scheduler cannot send any more; a thread of ours can.
            if sent == 0 && !env.is_null() {
                reaper::run(move || {
                    let message = message;
                    // SAFETY: not sent, so still ours.
                    unsafe { enif_send(std::ptr::null_mut(), &message.to, message.env, message.term) };
                });
            }
        }
    }
}

/// Who waits for the disc.
struct DiscMessage {
    env: Env,
    to: ErlNifPid,
    reference: RawTerm,
}

// SAFETY: as for `Message`.
unsafe impl Send for DiscMessage {}

impl Drop for DiscMessage {
    fn drop(&mut self) {
        // SAFETY: ours alone.
        unsafe { enif_free_env(self.env) };
    }
}

/// A waker that sends `{reference, :ok}` or `{reference, {:error, reason}}` to the caller.
pub fn disc_waker(call: &Call, reference: RawTerm) -> Result<Waker, Fail> {
    let to = caller(call.env).ok_or(Fail::BadArg)?;
    // SAFETY: a fresh environment; the reference is copied into it.
    let (env, reference) = unsafe {
        let env = enif_alloc_env();
        (env, enif_make_copy(env, reference))
    };
    Ok(Box::new(DiscMessage { env, to, reference }))
}

/// Wakes who waited for the disc, from a thread of ours.
pub fn fire_disc(waker: Waker, failed: &Option<StoreError>) {
    let Ok(message) = waker.downcast::<DiscMessage>() else { return };
    let call = disc::call_in(message.env);
    let answer = match failed {
        None => atoms::ok(),
        Some(error) => call.tuple(&[atoms::error(), reason(&call, error)]),
    };
    let term = call.tuple(&[message.reference, answer]);
    // SAFETY: a thread that is no scheduler's; the environment is ours and not used afterwards. A dead receiver is no error.
    unsafe { enif_send(std::ptr::null_mut(), &message.to, message.env, term) };
}

/// Sends a message to the process that hears of the disc, if there is one, from a thread of ours.
pub fn send_named(term: impl FnOnce(&Call) -> RawTerm) {
    // SAFETY: a fresh environment, freed below; looking up a name needs none on a thread that is no scheduler's.
    unsafe {
        let env = enif_alloc_env();
        let mut pid = MaybeUninit::uninit();
        if enif_whereis_pid(std::ptr::null_mut(), atoms::disc_process(), pid.as_mut_ptr()) != 0 {
            let term = term(&disc::call_in(env));
            enif_send(std::ptr::null_mut(), &pid.assume_init(), env, term);
        }
        enif_free_env(env);
    }
}

/// Is this the context of no transaction?
#[inline]
pub fn no_txn(ctx: RawTerm) -> bool {
    ctx == atoms::nil() || ctx == atoms::watched() || ctx == atoms::near()
}
