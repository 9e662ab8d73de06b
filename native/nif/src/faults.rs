//! Panics that a test asks for, in any NIF: before or after its work, or within the transaction it works on. They are met on dirty schedulers
//! only, where a test can send any NIF: no other call pays for them.

use crate::arguments::{bytes, list};
use crate::border::{Answer, Call, Fail};
use crate::session::{caller, pid_term};
use crate::term::{Env, RawTerm};
use crate::{nif, FUNCTIONS};
use parking_lot::Mutex;
use rustler::sys::*;
use std::ffi::CStr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Copy, PartialEq)]
pub enum Point {
    Before,
    /// The transaction is held, nothing is done.
    Begun,
    /// The same, when its work is done.
    Done,
    After,
}

/// Whose next call it is, and where.
static FAULT: Mutex<Option<(RawTerm, Point)>> = Mutex::new(None);
static ARMED: AtomicBool = AtomicBool::new(false);

/// A place of a call on a dirty scheduler.
#[inline]
pub fn at(env: Env, point: Point) {
    if ARMED.load(Ordering::Relaxed) {
        meet(env, point);
    }
}

#[cold]
fn meet(env: Env, point: Point) {
    let me = caller(env).map(|pid| pid_term(env, pid));
    let mut fault = FAULT.lock();
    if fault.is_some_and(|(pid, at)| Some(pid) == me && at == point) {
        *fault = None;
        drop(fault);
        ARMED.store(false, Ordering::Relaxed);
        asked_for();
    }
}

/// A panic that is no news: nothing is printed, for what is printed in a test run should be what failed.
pub fn asked_for() -> ! {
    resume_unwind(Box::new("a test asked for it"))
}

fn name_of(function: &ErlNifFunc) -> &'static CStr {
    // SAFETY: all names are static.
    unsafe { CStr::from_ptr(function.name) }
}

nif!(
    /// The functions of this library, `{name, arity}` each.
    functions,
    |call, []| {
        let all = FUNCTIONS.0.iter().map(|f| {
            let name = call.atom(&name_of(f).to_string_lossy());
            call.tuple(&[name, call.int(i64::from(f.arity))])
        });
        Ok(call.list(&all.collect::<Vec<_>>()))
    }
);

fn point(call: &Call, term: RawTerm) -> Result<Option<Point>, Fail> {
    let points = [("before", Point::Before), ("begun", Point::Begun), ("done", Point::Done), ("after", Point::After)];
    if term == call.atom("none") {
        return Ok(None);
    }
    points.into_iter().find(|(name, _)| term == call.atom(name)).map(|(_, point)| Some(point)).ok_or(Fail::BadArg)
}

nif!(
    /// Calls a function of this library, by the text of its name, on a dirty scheduler; it panics there at this point, or nowhere.
    fault,
    |call, [name, arguments, at]| run(call, *name, *arguments, *at)
);

fn run(call: &Call, name: RawTerm, arguments: RawTerm, at: RawTerm) -> Answer {
    let (name, arguments) = (bytes(call, name)?, list(call, arguments));
    let fits = |f: &&ErlNifFunc| name_of(f).to_bytes() == name && f.arity as usize == arguments.len();
    let function = FUNCTIONS.0.iter().find(fits).ok_or(Fail::BadArg)?;
    let me = caller(call.env).ok_or(Fail::BadArg)?;
    let point = point(call, at)?;
    *FAULT.lock() = point.map(|point| (pid_term(call.env, me), point));
    ARMED.store(point.is_some(), Ordering::Relaxed);
    let (kind, argc) = (ERL_NIF_DIRTY_JOB_CPU_BOUND as i32, arguments.len() as i32);
    // SAFETY: name and function are static, the arguments are terms of this call, as many as the function takes.
    Ok(unsafe { enif_schedule_nif(call.env, function.name, kind, function.function, argc, arguments.as_ptr()) })
}
