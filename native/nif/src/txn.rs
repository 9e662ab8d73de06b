//! Beginning, ending and waiting of transactions; explicit locks.

use crate::access::writable;
use crate::border::{name, table_name, with_scratch, Fail, DB};
use crate::disc::committed;
use crate::index::not_unique;
use crate::session::{is_foreign, new_session, waker, with_txn};
use crate::{atoms, nif, report};
use remnesia_engine::txn::{journal, LockKind, Stop, Waited};

/// Above this many locks and changes, at 100 to 200 ns each, the end of a transaction is no work for a normal scheduler. Moving
/// to a dirty one costs more than 10 us, so a commit of some hundred writes had better stay.
const HEAVY: usize = 2048;

nif!(txn_new, |call, []| new_session(call));

nif!(txn_begin, |call, [handle]| {
    if !DB.is_running() {
        return Err(Fail::Reason(atoms::not_running()));
    }
    match with_txn(call, *handle, |txn| Ok(call.int(txn.begin() as i64))) {
        // Whoever kept it makes a new one.
        Err(Fail::BadArg) if is_foreign(call, *handle) => Err(Fail::Stop(Stop::NoTransaction)),
        begun => begun,
    }
});

nif!(
    /// Work: one lock and one change each; many go to a dirty scheduler.
    txn_commit,
    |call, [handle]| with_txn(call, *handle, |txn| {
        call.heavy(txn.weight() > HEAVY)?;
        if txn.may_wait() && !call.dirty {
            return Err(Fail::Disc);
        }
        journal::forget_position();
        let watched = txn.is_watched() || (DB.is_watched() && txn.has_changes());
        let commit = if watched && txn.depth() == 1 { txn.prepare_watched(&DB) } else { txn.commit(&DB) };
        txn.position = journal::position();
        match (commit, txn.blamed()) {
            (Ok(()), _) => {
                txn.counts.commits += 1;
                Ok(if watched { atoms::watched() } else { committed(call, txn.position) })
            }
            (Err(Stop::NotUnique(_)), Some(open)) => Err(match txn.violation() {
                Some(violation) => not_unique(call, table_name(call, &open), &violation.fields, &violation.record),
                None => Fail::BadArg,
            }),
            (Err(stop), Some(open)) if DB.is_running() => {
                let what = if stop == Stop::Damaged { atoms::table_damaged() } else { atoms::no_exists() };
                Err(Fail::Reason(call.tuple(&[what, table_name(call, &open)])))
            }
            (Err(stop), _) => Err(Fail::Stop(stop)),
        }
    })
);

nif!(txn_abort, |call, [handle]| with_txn(call, *handle, |txn| {
    call.heavy(txn.weight() > HEAVY)?;
    txn.counts.failures += 1;
    txn.abort(&DB);
    Ok(atoms::ok())
}));

nif!(
    /// Closes a level that has been published: what is left are its locks.
    txn_end,
    |call, [handle]| with_txn(call, *handle, |txn| {
        call.heavy(txn.weight() > HEAVY)?;
        txn.abort(&DB);
        Ok(atoms::ok())
    })
);

nif!(txn_restart, |call, [handle]| with_txn(call, *handle, |txn| {
    call.heavy(txn.weight() > HEAVY)?;
    txn.counts.restarts += 1;
    txn.restart(&DB)?;
    Ok(atoms::ok())
}));

nif!(txn_wait, |call, [handle, reference]| {
    let waker = waker(call, *reference, atoms::granted())?;
    with_txn(call, *handle, |txn| match txn.wait(&DB, waker) {
        Waited::Granted => Ok(atoms::ok()),
        Waited::Queued => Ok(atoms::queued()),
        Waited::Restart => Err(Fail::Stop(Stop::Restart)),
    })
});

nif!(txn_depth, |call, [handle]| {
    match with_txn(call, *handle, |txn| Ok(call.int(txn.depth() as i64))) {
        Err(Fail::BadArg) if is_foreign(call, *handle) => Ok(call.int(0)),
        depth => depth,
    }
});

nif!(
    /// The transaction runs a number of times, no more: it does not wait for one that is older.
    txn_counted,
    |call, [handle]| with_txn(call, *handle, |txn| {
        txn.count_runs();
        Ok(atoms::ok())
    })
);

nif!(txn_serial, |call, [handle]| with_txn(call, *handle, |txn| Ok(call.int(txn.serial() as i64))));

nif!(commit_wait, |call, [table, key, reference]| with_scratch(|scratch| {
    let name = name(call, scratch, *table)?;
    let open = DB.sound(&name)?;
    scratch.encoder.begin(call.limit());
    scratch.encoder.term(call.env, *key)?;
    let beside = scratch.encoder.transient(call.env);
    let flat = scratch.encoder.bytes();
    let key = open.table.key(flat, scratch.encoder.writer.negative_zero, crate::access::beside(&beside));
    let queued = DB.wait_for_commit(&open, &key, waker(call, *reference, atoms::committed())?);
    Ok(if queued { atoms::queued() } else { atoms::ok() })
}));

nif!(lock_table, |call, [handle, table, kind]| {
    let name = with_scratch(|scratch| name(call, scratch, *table))?;
    let kind = call.kind(*kind)?;
    with_txn(call, *handle, |txn| {
        let table = txn.table(&DB, &name)?;
        if kind == LockKind::Write {
            writable(txn.open(table))?;
        }
        txn.lock_table(table, kind)?;
        Ok(atoms::ok())
    })
});

nif!(lock_record, |call, [handle, table, key, kind]| with_scratch(|scratch| {
    let name = name(call, scratch, *table)?;
    let kind = call.kind(*kind)?;
    with_txn(call, *handle, |txn| {
        let table = txn.table(&DB, &name)?;
        if kind == LockKind::Write {
            writable(txn.open(table))?;
        }
        let hash = crate::access::key(call, &mut scratch.encoder, *key, txn.rows_of(table))?.hash;
        report::remember_key(call, txn.open(table), &mut scratch.encoder, *key);
        txn.lock_record(&DB, table, hash, kind)?;
        Ok(atoms::ok())
    })
}));

nif!(lock_global, |call, [handle, global, kind]| {
    let name = with_scratch(|scratch| name(call, scratch, *global))?;
    let kind = call.kind(*kind)?;
    with_txn(call, *handle, |txn| {
        txn.lock_global(&DB, &name, kind)?;
        report::remember(&name);
        Ok(atoms::ok())
    })
});

nif!(
    /// Locks held or waited for, in the whole database.
    lock_count,
    |call, []| Ok(call.int(DB.lock_count() as i64))
);
