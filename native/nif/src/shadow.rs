//! Rebuilding a table: the new one is filled beside the old one, then takes its place in one step.
//!
//! The transaction that does it holds the old table exclusively; writers outside transactions wait while it is frozen.

use crate::access::record;
use crate::arguments::{elements, list};
use crate::border::{name, with_scratch, Answer, Call, Fail, DB};
use crate::disc::{change, disc_place};
use crate::index::dirty_refusal;
use crate::schema::{definition, put_props};
use crate::session::with_txn;
use crate::term::RawTerm;
use crate::{atoms, nif};
use remnesia_engine::txn::{LockKind, Stop};

fn ok(_: ()) -> Answer {
    Ok(atoms::ok())
}

nif!(
    /// Freezes the table and begins its successor.
    shadow_create,
    |call, [ctx, table, shape, number, rows]| {
        let definition = definition(call, *shape)?;
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        with_txn(call, *ctx, |txn| {
            let table = txn.table(&DB, &name)?;
            txn.lock_table(table, LockKind::Write)?;
            DB.freeze(txn.open(table));
            DB.create_shadow(txn.open(table), definition, disc_place(call, *number, *rows)?);
            ok(())
        })
    }
);

fn write(call: &Call, table: RawTerm, term: RawTerm) -> Answer {
    with_scratch(|scratch| {
        let name = name(call, scratch, table)?;
        let shadow = DB.shadow(&name).ok_or(Stop::NoTable)?;
        let record = record(call, &mut scratch.encoder, term, &shadow)?;
        DB.write(&shadow, record.clone()).map_err(|stop| dirty_refusal(call, stop, &shadow, table, &record))?;
        ok(())
    })
}

nif!(
    /// Writes into the successor. Work: the size of the record.
    shadow_write,
    |call, [table, term]| write(call, *table, *term)
);

nif!(
    /// Deletes a key of the successor.
    shadow_delete,
    |call, [table, key_term]| with_scratch(|scratch| {
        let name = name(call, scratch, *table)?;
        let shadow = DB.shadow(&name).ok_or(Stop::NoTable)?;
        let key = crate::access::key(call, &mut scratch.encoder, *key_term, &shadow.table)?;
        ok(DB.delete(&shadow, &key)?)
    })
);

nif!(
    /// Puts successors, `{table, properties}` each, in the place of their tables, and changes definitions on disc: in one call, so that whoever
    /// is killed has done both or nothing. Answers the position to be waited for, or `:ok` without changes.
    shadow_swap,
    |call, [ctx, swaps, changes]| {
        let swaps = list(call, *swaps).into_iter().map(|swap| match *elements(call, swap)? {
            [table, props] => Ok((with_scratch(|scratch| name(call, scratch, table))?, props)),
            _ => Err(Fail::BadArg),
        });
        let swaps = swaps.collect::<Result<Vec<_>, Fail>>()?;
        with_txn(call, *ctx, |txn| {
            let mut tables = Vec::new();
            for (name, props) in &swaps {
                let table = txn.table(&DB, name)?;
                txn.lock_table(table, LockKind::Write)?;
                DB.shadow(name).ok_or(Stop::NoTable)?;
                tables.push((txn.open(table).clone(), name, *props));
            }
            let position = match list(call, *changes).is_empty() {
                true => None,
                false => Some(change(call, *changes)?),
            };
            for (open, name, props) in tables {
                DB.swap_in(&open);
                with_scratch(|scratch| put_props(call, &mut scratch.encoder, name, props))?;
            }
            Ok(position.map_or(atoms::ok(), |position| call.int(position)))
        })
    }
);

nif!(
    /// Gives the successor up.
    shadow_drop,
    |call, [table]| {
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        DB.drop_shadow(&name);
        ok(())
    }
);
