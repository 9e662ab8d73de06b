//! Indexes: what they are as terms, and adding and dropping them while the table is used.

use crate::arguments::{elements, list, size};
use crate::border::{name, with_scratch, Call, Fail, DB};
use crate::schema::put_props;
use crate::session::with_txn;
use crate::term::{decode, RawTerm};
use crate::{atoms, nif};
use remnesia_engine::table::IndexDefinition;
use remnesia_engine::term::Record;
use remnesia_engine::txn::{Built, OpenTable, Stop};
use rustler::sys::*;
use std::time::{Duration, Instant};

/// Time of one slice, and the keys put in at once.
const SLICE: Duration = Duration::from_micros(500);
const STEP: usize = 64;

/// A position, or a list of them in the order they are sorted by.
fn fields(call: &Call, positions: RawTerm) -> Result<Vec<usize>, Fail> {
    let field = |term| Ok(size(call, term)?.wrapping_sub(2));
    // SAFETY: only looks at the term.
    match unsafe { enif_is_list(call.env, positions) } {
        0 => Ok(vec![field(positions)?]),
        _ => list(call, positions).into_iter().map(field).collect(),
    }
}

/// Positions, or `{positions, unique}`.
pub fn definition(call: &Call, term: RawTerm) -> Result<IndexDefinition, Fail> {
    let (positions, unique) = match elements(call, term) {
        Ok(&[positions, unique]) => (positions, unique == atoms::true_()),
        _ => (term, false),
    };
    Ok(IndexDefinition { fields: fields(call, positions)?, unique })
}

/// Can a table of this arity have the index? The key alone needs none.
pub fn fits(index: &IndexDefinition, arity: usize) -> bool {
    let fields = &index.fields;
    let apart = (1..fields.len()).all(|i| !fields[..i].contains(&fields[i]));
    !fields.is_empty() && fields[..] != [0] && apart && fields.iter().all(|&field| field < arity - 1)
}

/// `{:unique, table, positions, value}`; the value of several fields is a tuple.
pub fn not_unique(call: &Call, table: RawTerm, fields: &[usize], record: &Record) -> Fail {
    let beside = [record.attached().map(|a| &**a), None];
    let values: Vec<_> = fields.iter().map(|&field| decode(call.env, record.field(field), &beside)).collect();
    let positions: Vec<_> = fields.iter().map(|&field| call.int(field as i64 + 2)).collect();
    let value = if let [one] = values[..] { one } else { call.tuple(&values) };
    Fail::Reason(call.tuple(&[atoms::unique(), table, call.list(&positions), value]))
}

/// Why a write outside of transactions was refused.
#[cold]
pub fn dirty_refusal(call: &Call, stop: Stop, open: &OpenTable, table: RawTerm, record: &Record) -> Fail {
    let Stop::NotUnique(id) = stop else { return stop.into() };
    match open.table.indexes.load().iter().find(|index| index.id == id) {
        Some(index) => not_unique(call, table, index.fields(), record),
        // It was dropped in this moment, or was never finished.
        None => Fail::Again,
    }
}

nif!(
    /// Work: a slice of half a millisecond; `:"$more"` until all records are in the index. With the last one the properties are put.
    index_add,
    |call, [ctx, table, positions, unique, props]| with_scratch(|scratch| {
        let name = name(call, scratch, *table)?;
        let wanted = IndexDefinition { fields: fields(call, *positions)?, unique: *unique == atoms::true_() };
        let begun = Instant::now();
        with_txn(call, *ctx, |txn| {
            let table_ = txn.table(&DB, &name)?;
            if !fits(&wanted, txn.rows_of(table_).definition.arity) {
                return Err(Fail::BadArg);
            }
            let built = loop {
                match txn.build_index(&DB, table_, &wanted, STEP)? {
                    Built::More if begun.elapsed() < SLICE => {}
                    built => break built,
                }
            };
            // SAFETY: called on a scheduler in a NIF.
            unsafe { enif_consume_timeslice(call.env, (begun.elapsed().as_micros() / 10).clamp(1, 100) as i32) };
            match built {
                Built::More => Ok(atoms::more()),
                Built::Refused(violation) => Err(not_unique(call, *table, &violation.fields, &violation.record)),
                Built::Whole => {
                    put_props(call, &mut scratch.encoder, &name, *props)?;
                    txn.complete_index();
                    Ok(atoms::ok())
                }
            }
        })
    })
);

nif!(
    /// Work: the latches of all shards; the entries are freed by a thread of ours. False if there is no such index.
    index_drop,
    |call, [ctx, table, positions, props]| with_scratch(|scratch| {
        let name = name(call, scratch, *table)?;
        let fields = fields(call, *positions)?;
        with_txn(call, *ctx, |txn| {
            let table = txn.table(&DB, &name)?;
            txn.lock_table(table, remnesia_engine::txn::LockKind::Write)?;
            put_props(call, &mut scratch.encoder, &name, *props)?;
            Ok(if txn.drop_index(table, &fields)? { atoms::ok() } else { atoms::false_() })
        })
    })
);
