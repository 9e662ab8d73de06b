//! What every NIF shares: panics become errors, long work moves to a dirty scheduler, reasons become terms.

use crate::arguments::elements;
use crate::faults::{self, Point};
use crate::session::caller_word;
use crate::term::{decode, from_word, no_term, word, EncodeError, Encoder, Env, RawTerm};
use crate::{atoms, Nif};
use remnesia_engine::db::Db;
use remnesia_engine::table::{
    below::{failure, TooLong},
    Table,
};
use remnesia_engine::term::Term;
use remnesia_engine::txn::{LockKind, OpenTable, Stop, TableRef, Txn};
use rustler::sys::*;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::ffi::{c_int, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, LazyLock};

/// The one database of the VM.
pub static DB: LazyLock<Db> = LazyLock::new(Db::default);

/// Work on a normal scheduler, in bytes; about a fifth of a millisecond.
pub const BUDGET: usize = 64 * 1024;

/// Bytes that may be read from disc on this thread at once.
pub fn patience() -> usize {
    // SAFETY: no argument, no effect.
    match unsafe { enif_thread_type() } {
        ERL_NIF_THR_NORMAL_SCHEDULER => BUDGET,
        _ => usize::MAX,
    }
}

/// One call.
#[derive(Clone, Copy)]
pub struct Call {
    pub env: Env,
    /// On a dirty scheduler there is no budget.
    pub dirty: bool,
}

/// Why a NIF does not answer a value.
pub enum Fail {
    /// Run again on a dirty scheduler.
    TooLong,
    /// Run again where a wait for the disc disturbs nobody.
    Disc,
    /// Run again: what it went by has changed meanwhile.
    Again,
    BadArg,
    Stop(Stop),
    /// `{:"$error", reason}`
    Reason(RawTerm),
}

impl From<Stop> for Fail {
    fn from(stop: Stop) -> Fail {
        Fail::Stop(stop)
    }
}

impl From<EncodeError> for Fail {
    fn from(error: EncodeError) -> Fail {
        match error {
            EncodeError::TooLong => Fail::TooLong,
            EncodeError::NotRecord | EncodeError::Unsupported => Fail::BadArg,
        }
    }
}

pub type Answer = Result<RawTerm, Fail>;

/// Runs the body of a NIF. `name` is the table of the call, for reasons that say it.
#[inline]
pub fn run<const N: usize>(
    env: Env,
    argc: c_int,
    argv: *const RawTerm,
    this: (&'static CStr, Nif),
    body: impl FnOnce(&Call, &[RawTerm; N]) -> Answer,
) -> RawTerm {
    // SAFETY: the VM gives as many terms as the arity that the function table says, which is N.
    let args: &[RawTerm; N] = unsafe { &*argv.cast() };
    // SAFETY: no argument, no effect.
    let dirty = unsafe { enif_thread_type() } != ERL_NIF_THR_NORMAL_SCHEDULER;
    let call = Call { env, dirty };
    let guarded = || {
        call.fault(Point::Before);
        let done = body(&call, args);
        call.fault(Point::After);
        done
    };
    let failed = match catch_unwind(AssertUnwindSafe(guarded)) {
        Ok(done) => match (failure(), done) {
            (None, Ok(term)) => return term,
            (None, Err(fail)) => fail,
            (Some(failure), _) if failure.is::<TooLong>() => Fail::Disc,
            // It went on without what could not be read.
            (Some(failure), _) => Fail::Reason(crate::reason::unreadable(&call, failure)),
        },
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic");
            Fail::Reason(call.tuple(&[atoms::panic(), call.binary(text.as_bytes())]))
        }
    };
    match failed {
        // SAFETY: the same arguments for the same function.
        Fail::TooLong | Fail::Again => unsafe {
            enif_schedule_nif(env, this.0.as_ptr(), ERL_NIF_DIRTY_JOB_CPU_BOUND as c_int, this.1, argc, argv)
        },
        // SAFETY: as above.
        Fail::Disc => unsafe { enif_schedule_nif(env, this.0.as_ptr(), ERL_NIF_DIRTY_JOB_IO_BOUND as c_int, this.1, argc, argv) },
        // SAFETY: the answer of the call is given back at once.
        Fail::BadArg => unsafe { enif_make_badarg(env) },
        Fail::Reason(reason) => call.tuple(&[atoms::failed(), reason]),
        Fail::Stop(Stop::Wait) => atoms::wait(),
        Fail::Stop(Stop::Restart) => atoms::restart(),
        Fail::Stop(Stop::CommitWait) => atoms::commit_wait(),
        // SAFETY: the same arguments for the same function.
        Fail::Stop(Stop::Room(bytes)) => in_turn(env, bytes, || unsafe { (this.1)(env, argc, argv) })
            .unwrap_or_else(|| call.tuple(&[atoms::room(), call.int(bytes as i64)])),
        Fail::Stop(Stop::Watched) => atoms::watched(),
        Fail::Stop(Stop::Frozen) => atoms::frozen(),
        Fail::Stop(stop) => call.tuple(&[atoms::failed(), call.reason(stop, args)]),
    }
}

/// Does once more what found no room in the log, if it is the turn of the calling process.
#[cold]
fn in_turn(env: Env, bytes: u64, again: impl FnOnce() -> RawTerm) -> Option<RawTerm> {
    let store = DB.store()?;
    let _admitted = store.admit(bytes, caller_word(env)?)?;
    Some(again())
}

/// Declares a NIF: `nif!(name, |call, [a, b]| body)`.
#[macro_export]
macro_rules! nif {
    ($(#[$doc:meta])* $name:ident, |$call:ident, $args:pat_param| $body:expr) => {
        $(#[$doc])*
        pub unsafe extern "C" fn $name(
            env: $crate::term::Env,
            argc: std::ffi::c_int,
            argv: *const $crate::term::RawTerm,
        ) -> $crate::term::RawTerm {
            const NAME: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => c"remnesia",
            };
            $crate::border::run(env, argc, argv, (NAME, $name), |$call, $args| $body)
        }
    };
}

impl Call {
    /// Where a test may ask for a panic.
    #[inline]
    pub fn fault(&self, point: Point) {
        if self.dirty {
            faults::at(self.env, point);
        }
    }

    pub fn limit(&self) -> usize {
        if self.dirty {
            usize::MAX
        } else {
            BUDGET
        }
    }

    /// Goes to a dirty scheduler if this is more work than a normal one should do.
    pub fn heavy(&self, is: bool) -> Result<(), Fail> {
        if is && !self.dirty {
            Err(Fail::TooLong)
        } else {
            Ok(())
        }
    }

    /// Goes where it may wait for the disc, if a look at this table is likely to wait.
    #[inline]
    pub fn may_wait(&self, table: &Table) -> Result<(), Fail> {
        if table.is_slow() && !self.dirty {
            Err(Fail::Disc)
        } else {
            Ok(())
        }
    }

    /// For what is not answered often; else see [`atoms`].
    pub fn atom(&self, name: &str) -> RawTerm {
        crate::term::host::atom(self.env, name)
    }

    #[inline]
    pub fn tuple(&self, terms: &[RawTerm]) -> RawTerm {
        // SAFETY: the terms are alive in the environment of the call.
        unsafe { enif_make_tuple_from_array(self.env, terms.as_ptr(), terms.len() as u32) }
    }

    pub fn list(&self, terms: &[RawTerm]) -> RawTerm {
        // SAFETY: as above.
        unsafe { enif_make_list_from_array(self.env, terms.as_ptr(), terms.len() as u32) }
    }

    pub fn int(&self, i: i64) -> RawTerm {
        // SAFETY: makes a new term.
        unsafe { enif_make_int64(self.env, i) }
    }

    /// The integer of a term, if it is one of 64 bits.
    pub fn get_int(&self, term: RawTerm) -> Option<i64> {
        let mut int = 0;
        // SAFETY: sets the integer when the term is one.
        (unsafe { enif_get_int64(self.env, term, &mut int) } != 0).then_some(int)
    }

    /// Head and tail of a list that is not empty.
    pub fn cell(&self, term: RawTerm) -> Option<(RawTerm, RawTerm)> {
        let (mut head, mut tail) = (no_term(), no_term());
        // SAFETY: sets both when the term is such a list.
        (unsafe { enif_get_list_cell(self.env, term, &mut head, &mut tail) } != 0).then_some((head, tail))
    }

    pub fn binary(&self, bytes: &[u8]) -> RawTerm {
        let mut term = no_term();
        // SAFETY: as much memory as is asked for, written in full.
        unsafe {
            let data = enif_make_new_binary(self.env, bytes.len(), &mut term);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
        }
        term
    }

    /// Mnesia's reason for a stop; the table's name is the argument that a name is expected in.
    fn reason<const N: usize>(&self, stop: Stop, args: &[RawTerm; N]) -> RawTerm {
        // Functions of tables take `(name, ..)` or `(ctx, name, ..)`; a context is `nil` or a reference.
        // SAFETY: only looks at the term.
        let first_is_context =
            N > 1 && (args[0] == atoms::nil() || args[0] == atoms::watched() || unsafe { enif_is_ref(self.env, args[0]) } != 0);
        let name = args.get(usize::from(first_is_context)).copied().unwrap_or(atoms::nil());
        if !DB.is_running() {
            return atoms::not_running();
        }
        match stop {
            Stop::NoTable => self.tuple(&[atoms::no_exists(), name]),
            Stop::ReadOnly => self.tuple(&[atoms::read_only(), name]),
            Stop::Damaged => self.tuple(&[atoms::table_damaged(), name]),
            Stop::Refused => crate::reason::refusal(self),
            Stop::NoTransaction => atoms::no_transaction(),
            Stop::NoKey => {
                let key = args.last().copied().unwrap_or(atoms::nil());
                self.tuple(&[atoms::badarg(), self.list(&[name, key])])
            }
            Stop::Wait | Stop::Restart | Stop::CommitWait | Stop::Room(_) | Stop::Watched | Stop::Frozen | Stop::NotUnique(_) => {
                atoms::badarg()
            }
        }
    }

    pub fn kind(&self, term: RawTerm) -> Result<LockKind, Fail> {
        if term == atoms::read() {
            Ok(LockKind::Read)
        } else if term == atoms::write() {
            Ok(LockKind::Write)
        } else {
            Err(Fail::BadArg)
        }
    }
}

/// Name of a table as flat bytes.
pub type Name = SmallVec<[u8; 16]>;

/// Flat bytes of a name; an atom, nearly always.
#[inline]
pub fn name(call: &Call, scratch: &mut Scratch, term: RawTerm) -> Result<Name, Fail> {
    scratch.encoder.begin(call.limit());
    scratch.encoder.term(call.env, term)?;
    Ok(SmallVec::from_slice(scratch.encoder.bytes()))
}

/// Per-thread memory that calls use again.
#[derive(Default)]
pub struct Scratch {
    pub encoder: Encoder,
    pub terms: Vec<RawTerm>,
    /// Tables this thread used last: no shared counter is touched to find one again.
    tables: Vec<Arc<OpenTable>>,
    /// Short calls since the scheduler was told of their time.
    calls: u32,
}

const REMEMBERED: usize = 16;
/// So many short calls, of half a microsecond or more each, are about this part of the time a process has.
const SHORT_CALLS: u32 = 32;
const PERCENT: c_int = 2;

impl Scratch {
    /// A table by name, for operations outside transactions.
    #[inline]
    pub fn table(&mut self, name: &[u8]) -> Result<usize, Stop> {
        let known = self.tables.iter().position(|t| *t.name == *name && !t.is_dropped());
        let at = match known {
            Some(at) => at,
            None => {
                self.tables.retain(|t| !t.is_dropped());
                if self.tables.len() >= REMEMBERED {
                    self.tables.remove(0);
                }
                self.tables.push(DB.open(name).ok_or(Stop::NoTable)?);
                self.tables.len() - 1
            }
        };
        if self.tables[at].table.is_damaged() {
            Err(Stop::Damaged)
        } else {
            Ok(at)
        }
    }

    /// A table by its name as a term: the name's bytes are made only if this thread has not used it before.
    #[inline]
    pub fn table_of(&mut self, call: &Call, term: RawTerm) -> Result<usize, Fail> {
        self.tick(call);
        let word = word(term);
        match self.tables.iter().position(|t| t.atom == word && !t.is_dropped() && !t.table.is_damaged()) {
            Some(at) => Ok(at),
            None => self.table_of_other(call, term),
        }
    }

    fn table_of_other(&mut self, call: &Call, term: RawTerm) -> Result<usize, Fail> {
        if let Ok(&[first, second]) = elements(call, term) {
            if let Some(at) = self.known_pair(first, second) {
                return Ok(at);
            }
        }
        let name = name(call, self, term)?;
        Ok(self.table(&name)?)
    }

    #[inline]
    fn known_pair(&self, first: RawTerm, second: RawTerm) -> Option<usize> {
        let pair = [word(first), word(second)];
        self.tables.iter().position(|t| t.pair == pair && !t.is_dropped() && !t.table.is_damaged())
    }

    /// A table whose name is the pair of these two.
    #[inline]
    pub fn pair_of(&mut self, call: &Call, first: RawTerm, second: RawTerm) -> Result<usize, Fail> {
        self.tick(call);
        match self.known_pair(first, second) {
            Some(at) => Ok(at),
            None => self.table_of_other(call, call.tuple(&[first, second])),
        }
    }

    /// The same, to be kept beyond the call.
    pub fn open(&mut self, call: &Call, term: RawTerm) -> Result<Arc<OpenTable>, Fail> {
        let at = self.table_of(call, term)?;
        Ok(self.tables[at].clone())
    }

    /// A table of a transaction by its name as a term.
    #[inline]
    pub fn table_in(&mut self, call: &Call, txn: &mut Txn, term: RawTerm) -> Result<TableRef, Fail> {
        self.tick(call);
        match txn.known(&DB, word(term))? {
            Some(table) => Ok(table),
            None => {
                let name = name(call, self, term)?;
                Ok(txn.table(&DB, &name)?)
            }
        }
    }

    /// Counts a short call. The VM takes a native call for one reduction: a process that makes a hundred thousand of them in a loop
    /// would keep others waiting five times longer than it may.
    #[inline]
    pub fn tick(&mut self, call: &Call) {
        self.calls += 1;
        if self.calls >= SHORT_CALLS {
            self.calls = 0;
            if !call.dirty {
                // SAFETY: called on a scheduler in a NIF.
                unsafe { enif_consume_timeslice(call.env, PERCENT) };
            }
        }
    }

    /// The encoder and a table at once.
    #[inline]
    pub fn parts(&mut self, at: usize) -> (&mut Encoder, &mut Vec<RawTerm>, &Arc<OpenTable>) {
        (&mut self.encoder, &mut self.terms, &self.tables[at])
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The memory of this thread. Calls do not nest.
#[inline]
pub fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with(|s| f(&mut s.borrow_mut()))
}

/// The small integer or atom of a flat term that the engine made.
pub fn is_number(flat: &[u8]) -> bool {
    matches!(remnesia_engine::term::read(flat).0, Term::Int(_) | Term::Big { .. } | Term::Float(_))
}

pub fn is_integer(flat: &[u8]) -> bool {
    matches!(remnesia_engine::term::read(flat).0, Term::Int(_) | Term::Big { .. })
}

/// The name of a table, as a term.
pub fn table_name(call: &Call, open: &OpenTable) -> RawTerm {
    decode(call.env, &open.name, &[open.name_beside.as_deref()])
}

/// The record name of a table, as a term.
#[inline]
pub fn record_name(open: &OpenTable) -> RawTerm {
    from_word(open.table.definition.record_name)
}
