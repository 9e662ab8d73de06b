//! The rows of one value of an index. A few are answered at once, without what a search in slices needs.

use super::{begin, Select, Want};
use crate::access::{beside, still_there};
use crate::border::{record_name, with_scratch, Call, Fail, BUDGET, DB};
use crate::near::outside;
use crate::session::{no_txn, with_txn};
use crate::term::{decode_record, Encoder, RawTerm};
use crate::{atoms, nif};
use remnesia_engine::table::Key;
use remnesia_engine::term::range::Range;
use remnesia_engine::term::{key, same};
use remnesia_engine::txn::{few_keys, look_at, LockKind, OpenTable, Plan};
use smallvec::SmallVec;

/// Bytes of rows that are decoded where they are found.
const NEAR: usize = BUDGET / 8;

/// A value as flat bytes.
struct Value<'a> {
    field: usize,
    bytes: &'a [u8],
    negative_zero: bool,
}

/// The rows of these keys that have the value; none if they are too large.
fn few(call: &Call, open: &OpenTable, keys: &[Key], value: &Value, terms: &mut Vec<RawTerm>) -> Option<RawTerm> {
    let mut found: SmallVec<[RawTerm; 32]> = SmallVec::new();
    let mut bytes = 0;
    look_at(open, keys, &mut |rows| {
        for row in rows {
            bytes += row.bytes().len();
            if bytes > NEAR {
                return;
            }
            if same(row.field(value.field), value.bytes, value.negative_zero || row.negative_zero()) {
                found.push(decode_record(call.env, row, record_name(open), terms));
            }
        }
    });
    (bytes <= NEAR).then(|| call.tuple(&[atoms::done(), call.list(&found)]))
}

/// Encodes a value; answers the range of its ordered form. The table has been looked for: that may need the encoder too.
fn encode(call: &Call, encoder: &mut Encoder, value: RawTerm) -> Result<Range, Fail> {
    encoder.begin(call.limit());
    encoder.term(call.env, value)?;
    let living = encoder.transient(call.env);
    let mut form = Vec::with_capacity(24);
    key::write(encoder.bytes(), beside(&living), &mut form);
    Ok(Range::of(form))
}

nif!(
    /// Rows whose field is `=:=` the value.
    index_read,
    |call, [ctx, table, value, position]| with_scratch(|scratch| {
        let position_ = call.get_int(*position).unwrap_or(0);
        let field = usize::try_from(position_ - 2).map_err(|_| Fail::BadArg)?;
        let unindexed = || Fail::Reason(call.tuple(&[atoms::badarg(), call.list(&[*table, *value, *position])]));
        let plan = |open: &OpenTable, range: Range| Plan::of_value(&open.table, field, range).ok_or_else(unindexed);
        let search = |value: &Value| Want::Field { field, value: value.bytes.to_vec(), negative_zero: value.negative_zero };
        if no_txn(*ctx) {
            let at = outside(call, scratch, *ctx, *table)?;
            let (encoder, terms, open) = scratch.parts(at);
            let range = encode(call, encoder, *value)?;
            let value = Value { field, bytes: encoder.bytes(), negative_zero: encoder.writer.negative_zero };
            let keys = few_keys(&open.table, field, &range);
            if let Some(found) = keys.and_then(|keys| few(call, open, &keys, &value, terms)) {
                still_there(open)?;
                return Ok(found);
            }
            return begin(call, Select::new(open, plan(open, range)?, search(&value), 0)?, None, terms);
        }
        with_txn(call, *ctx, |txn| {
            let table = scratch.table_in(call, txn, *table)?;
            let (encoder, terms) = (&mut scratch.encoder, &mut scratch.terms);
            let range = encode(call, encoder, *value)?;
            let value = Value { field, bytes: encoder.bytes(), negative_zero: encoder.writer.negative_zero };
            let keys = txn.lock_few(&DB, table, field, &range)?;
            if let Some(found) = keys.and_then(|keys| few(call, txn.open(table), &keys, &value, terms)) {
                return Ok(found);
            }
            let plan = plan(txn.open(table), range)?;
            txn.lock_plan(&DB, table, &plan, LockKind::Read)?;
            begin(call, Select::new(txn.open(table), plan, search(&value), 0)?, Some(txn.overlay()), terms)
        })
    })
);
