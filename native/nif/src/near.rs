//! Reads of a cluster's tables that are known to be those that Mnesia would read here.
//!
//! Mnesia's table of facts says of each table which node it is read on; to ask it takes as long as the read. Once it has said "this one" that stays so as long
//! as this run of Mnesia lasts and no copy of the table is loaded or dropped, of which the plug-in is told. So the answer is kept with the number
//! of the run, and each of these events begins another number (`Remnesia.Engine.Cluster.Near`, `Remnesia.Backend.Run`).

use crate::atoms;
use crate::border::{with_scratch, Call, Fail, Scratch};
use crate::nif;
use crate::term::RawTerm;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number that answers are good for; 0 while Mnesia does not run.
static RUN: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicU64 = AtomicU64::new(0);

fn another() -> u64 {
    LAST.fetch_add(1, Ordering::AcqRel) + 1
}

nif!(
    /// Mnesia runs.
    near_begin,
    |_call, []| {
        RUN.store(another(), Ordering::Release);
        Ok(atoms::ok())
    }
);

nif!(
    /// Answers that were kept count no more.
    near_doubt,
    |_call, []| {
        let next = another();
        // None where Mnesia does not run, which is as good.
        let _ = RUN.fetch_update(Ordering::AcqRel, Ordering::Acquire, |run| (run != 0).then_some(next));
        Ok(atoms::ok())
    }
);

nif!(
    /// Mnesia does not run any more.
    near_end,
    |_call, []| {
        RUN.store(0, Ordering::Release);
        Ok(atoms::ok())
    }
);

nif!(
    /// The number to be asked for before Mnesia is.
    near_run,
    |call, []| Ok(call.int(RUN.load(Ordering::Acquire) as i64))
);

nif!(
    /// Mnesia reads this table here, it said after it was asked for this number.
    near_prove,
    |call, [table, run]| {
        let run = call.get_int(*run).ok_or(Fail::BadArg)?;
        with_scratch(|scratch| {
            let at = scratch.pair_of(call, atoms::mnesia(), *table)?;
            scratch.parts(at).2.set_near(run as u64);
            Ok(atoms::ok())
        })
    }
);

/// The table that a call outside of transactions is for.
#[inline]
pub fn outside(call: &Call, scratch: &mut Scratch, ctx: RawTerm, table: RawTerm) -> Result<usize, Fail> {
    if ctx != atoms::near() {
        return scratch.table_of(call, table);
    }
    let at = scratch.pair_of(call, atoms::mnesia(), table)?;
    let run = RUN.load(Ordering::Acquire);
    if run == 0 || scratch.parts(at).2.near() != run {
        return Err(Fail::Reason(atoms::far()));
    }
    Ok(at)
}
