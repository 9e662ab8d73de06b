//! Walking a table key by key.

use crate::access::{decode_key, key, still_there};
use crate::border::{is_number, name, with_scratch, Answer, Call, Fail, DB};
use crate::session::{no_txn, with_txn};
use crate::term::RawTerm;
use crate::{atoms, nif};
use remnesia_engine::table::{AbsentKey, Table};
use remnesia_engine::term::Record;
use remnesia_engine::txn::{walk, LockKind, Stop};

fn answer(call: &Call, found: Option<Record>) -> RawTerm {
    match found {
        Some(record) => call.tuple(&[atoms::ok(), decode_key(call, &record)]),
        None => atoms::end_of_table(),
    }
}

/// Where keys have an order all of them have neighbours, but for the mark of the end, as in ETS.
fn may_have_neighbours(from: Option<RawTerm>, table: &Table) -> Result<(), Fail> {
    let end = from == Some(atoms::end_of_table()) && table.is_ordered();
    if end {
        Err(Fail::Stop(Stop::NoKey))
    } else {
        Ok(())
    }
}

/// The neighbour of a key, or the end of the table on one side. A transaction locks the whole table.
fn step(call: &Call, ctx: RawTerm, table: RawTerm, from: Option<RawTerm>, backward: bool) -> Answer {
    with_scratch(|scratch| {
        if no_txn(ctx) {
            let at = scratch.table_of(call, table)?;
            let (encoder, _, open) = scratch.parts(at);
            call.may_wait(&open.table)?;
            may_have_neighbours(from, &open.table)?;
            let key = from.map(|term| key(call, encoder, term, &open.table)).transpose()?;
            let found = walk::neighbour(open, None, key, backward);
            still_there(open)?;
            return Ok(answer(call, found.map_err(|AbsentKey| Fail::Stop(Stop::NoKey))?));
        }
        with_txn(call, ctx, |txn| {
            let table = scratch.table_in(call, txn, table)?;
            let encoder = &mut scratch.encoder;
            txn.lock_table(table, LockKind::Read)?;
            call.may_wait(txn.rows_of(table))?;
            may_have_neighbours(from, txn.rows_of(table))?;
            let key = from.map(|term| key(call, encoder, term, txn.rows_of(table))).transpose()?;
            let found = walk::neighbour(txn.open(table), Some(txn.overlay()), key, backward);
            Ok(answer(call, found.map_err(|AbsentKey| Fail::Stop(Stop::NoKey))?))
        })
    })
}

nif!(first, |call, [ctx, table]| step(call, *ctx, *table, None, false));
nif!(last, |call, [ctx, table]| step(call, *ctx, *table, None, true));
nif!(next, |call, [ctx, table, key]| step(call, *ctx, *table, Some(*key), false));
nif!(prev, |call, [ctx, table, key]| step(call, *ctx, *table, Some(*key), true));

nif!(
    /// As `next` without a transaction, for a key that may be gone meanwhile.
    next_of_gone,
    |call, [table, from]| with_scratch(|scratch| {
        let at = scratch.table_of(call, *table)?;
        let (encoder, _, open) = scratch.parts(at);
        let key = key(call, encoder, *from, &open.table)?;
        let found = open.table.neighbour_of_gone(&key);
        still_there(open)?;
        Ok(answer(call, found))
    })
);

nif!(
    /// The greatest numeric key of an ordered_set: numbers sort before everything else, so it is one look in the tree.
    last_number,
    |call, [ctx, table]| {
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        let found = if no_txn(*ctx) {
            let open = DB.sound(&name)?;
            let found = walk::last_number(&open, None);
            still_there(&open)?;
            found
        } else {
            with_txn(call, *ctx, |txn| {
                let table = txn.table(&DB, &name)?;
                txn.lock_table(table, LockKind::Read)?;
                Ok(walk::last_number(txn.open(table), Some(txn.overlay())))
            })?
        };
        Ok(found.filter(|r| is_number(r.key())).map_or(atoms::nil(), |r| decode_key(call, &r)))
    }
);
