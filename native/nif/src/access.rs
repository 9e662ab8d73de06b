//! Reading and writing by key.

use crate::arguments::elements;
use crate::border::{is_integer, record_name, with_scratch, Answer, Call, Fail, BUDGET, DB};
use crate::disc::{changed_now, changed_to};
use crate::index::dirty_refusal;
use crate::near::outside;
use crate::report::remember_key;
use crate::session::{no_txn, with_txn};
use crate::term::{decode, decode_record, EncodeError, Encoder, RawTerm, Transient};
use crate::{atoms, nif};
use remnesia_engine::db;
use remnesia_engine::matchspec::count;
use remnesia_engine::table::{Change, Key, Kind, Table};
use remnesia_engine::term::order::Beside;
use remnesia_engine::term::{Attached, Record, Writer};
use remnesia_engine::txn::{LockKind, OpenTable, Stop, TableRef, Txn};
use rustler::sys::enif_consume_timeslice;
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// Living terms of a search key, as the engine wants them.
pub fn beside(transient: &Option<Transient>) -> Beside<'_> {
    transient.as_ref().map(|t| t as &dyn Attached)
}

/// Encodes a key and finds its identity in a table.
#[inline]
pub fn key(call: &Call, encoder: &mut Encoder, term: RawTerm, table: &Table) -> Result<Key, Fail> {
    encoder.begin(call.limit());
    encoder.term(call.env, term)?;
    let living = encoder.transient(call.env);
    Ok(table.key(encoder.bytes(), encoder.writer.negative_zero, beside(&living)))
}

/// What a look under the latch brings out: decoded at once, or the rows when that would hold the latch for long.
pub enum Found {
    Decoded(RawTerm),
    Large(Vec<Record>),
}

#[inline]
pub fn in_hand(call: &Call, rows: &[Record], name: RawTerm, terms: &mut Vec<RawTerm>) -> Found {
    match rows {
        [] => Found::Decoded(call.list(&[])),
        [one] if one.bytes().len() <= BUDGET / 8 => Found::Decoded(call.list(&[decode_record(call.env, one, name, terms)])),
        many => Found::Large(many.to_vec()),
    }
}

impl Found {
    pub fn term(self, call: &Call, name: RawTerm, terms: &mut Vec<RawTerm>) -> Answer {
        match self {
            Found::Decoded(term) => Ok(term),
            Found::Large(rows) => {
                call.heavy(rows.iter().map(|r| r.bytes().len()).sum::<usize>() > BUDGET)?;
                let decoded: Vec<_> = rows.iter().map(|r| decode_record(call.env, r, name, terms)).collect();
                Ok(call.list(&decoded))
            }
        }
    }
}

nif!(
    /// Work: one look-up; decoding beyond the budget is done on a dirty scheduler.
    read,
    |call, [ctx, table, key_term, kind]| with_scratch(|scratch| {
        if no_txn(*ctx) {
            let at = outside(call, scratch, *ctx, *table)?;
            let (encoder, terms, open) = scratch.parts(at);
            call.may_wait(&open.table)?;
            let key = key(call, encoder, *key_term, &open.table)?;
            let name = record_name(open);
            let found = look_now(open, &key, |rows| in_hand(call, rows, name, terms)).ok_or(Fail::Again)?;
            return found.term(call, name, terms);
        }
        let kind = call.kind(*kind)?;
        with_txn(call, *ctx, |txn| {
            let table = scratch.table_in(call, txn, *table)?;
            if kind == LockKind::Write {
                writable(txn.open(table))?;
            }
            call.may_wait(txn.rows_of(table))?;
            let (encoder, terms) = (&mut scratch.encoder, &mut scratch.terms);
            let key = key(call, encoder, *key_term, txn.rows_of(table))?;
            let name = record_name(txn.open(table));
            let found = txn.read(&DB, table, &key, kind, |rows| in_hand(call, rows, name, terms));
            let found = found.map_err(|stop| told(call, txn.open(table), encoder, *key_term, stop))?;
            found.term(call, name, terms)
        })
    })
);

/// A look outside transactions; None if there is nothing because another table may have taken the place of this one since it was looked up, and
/// its rows were let go.
#[inline]
pub fn look_now(open: &OpenTable, key: &Key, see: impl FnOnce(&[Record]) -> Found) -> Option<Found> {
    let mut nothing = false;
    let found = open.table.look(key, |rows| {
        nothing = rows.is_empty();
        see(rows)
    });
    (!(nothing && open.is_dropped())).then_some(found)
}

/// The same after a look at many rows, or at none: all of them were there if the table still is.
#[inline]
pub fn still_there(open: &OpenTable) -> Result<(), Fail> {
    if open.is_dropped() {
        return Err(Fail::Again);
    }
    Ok(())
}

/// Who looks at the queue of a lock sees the key that is waited for.
#[cold]
fn told(call: &Call, open: &OpenTable, encoder: &mut Encoder, key: RawTerm, stop: Stop) -> Fail {
    if matches!(stop, Stop::Wait | Stop::Restart) {
        remember_key(call, open, encoder, key);
    }
    Fail::Stop(stop)
}

/// Encodes a record of a table.
#[inline]
pub fn record(call: &Call, encoder: &mut Encoder, term: RawTerm, open: &OpenTable) -> Result<Record, Fail> {
    encoder.begin(call.limit());
    let key = |flat: &[u8]| open.table.prefetch_flat(flat);
    let done = encoder.fields(call.env, term, open.table.definition.arity, record_name(open), key);
    done.map_err(|error| match error {
        EncodeError::NotRecord => Fail::Reason(call.tuple(&[atoms::bad_type(), term])),
        other => other.into(),
    })?;
    Ok(encoder.record())
}

/// Refuses to change a table that is read-only, before anything else is looked at.
#[inline]
pub fn writable(open: &OpenTable) -> Result<(), Fail> {
    if open.is_plain() || !open.is_read_only() {
        Ok(())
    } else {
        Err(Fail::Stop(Stop::ReadOnly))
    }
}

/// Refuses outside transactions a table that is being rebuilt, as nobody knows yet what a record of it will have to look like, and a change
/// that somebody is to be told of, which only [`atoms::watched`] callers make.
#[inline]
fn settled(open: &OpenTable, ctx: RawTerm) -> Result<(), Fail> {
    if open.is_plain() {
        return Ok(());
    }
    if open.is_frozen() {
        return Err(Fail::Stop(Stop::Frozen));
    }
    if open.is_watched() && ctx != atoms::watched() {
        return Err(Fail::Stop(Stop::Watched));
    }
    Ok(())
}

/// What a change within a transaction answers: the caller keeps account of those that somebody is to be told of.
#[inline]
fn changed(txn: &mut Txn, table: TableRef) -> RawTerm {
    let open = txn.open(table);
    if open.is_plain() || !open.is_watched() {
        return atoms::ok();
    }
    txn.mark_watched();
    atoms::watched()
}

/// A call that takes a record: `dirty` outside transactions, `transactional` inside.
#[inline]
fn with_record(
    call: &Call,
    [ctx, table, term]: [RawTerm; 3],
    dirty: fn(&db::Db, &OpenTable, Record) -> Result<(), Stop>,
    transactional: impl FnOnce(&mut remnesia_engine::txn::Txn, remnesia_engine::txn::TableRef, Record) -> Result<(), Stop>,
) -> Answer {
    with_scratch(|scratch| {
        if no_txn(ctx) {
            let at = scratch.table_of(call, table)?;
            let (encoder, _, open) = scratch.parts(at);
            settled(open, ctx)?;
            call.may_wait(&open.table)?;
            let record = record(call, encoder, term, open)?;
            writable(open)?;
            if open.table.indexes.any_unique() {
                let done = dirty(&DB, open, record.clone());
                return done.map(|()| changed_now(call)).map_err(|stop| dirty_refusal(call, stop, open, table, &record));
            }
            dirty(&DB, open, record)?;
            return Ok(changed_now(call));
        }
        with_txn(call, ctx, |txn| {
            let table = scratch.table_in(call, txn, table)?;
            writable(txn.open(table))?;
            let record = record(call, &mut scratch.encoder, term, txn.open(table))?;
            let done = transactional(txn, table, record);
            // A record was made of it: it has a key.
            let key = || elements(call, term).map_or(term, |elements| elements[1]);
            done.map_err(|stop| told(call, txn.open(table), &mut scratch.encoder, key(), stop))?;
            Ok(changed(txn, table))
        })
    })
}

nif!(
    /// Work: the size of the record.
    write,
    |call, [ctx, table, term, _kind]| {
        match with_record(call, [*ctx, *table, *term], db::Db::write, |txn, table, record| txn.write(&DB, table, record)) {
            Err(Fail::Stop(Stop::Watched)) => write_seen(call, *table, *term),
            answer => answer,
        }
    }
);

/// A write of a watched table outside transactions, which answers `{watched, what was there, answer}` for those who are told of it. Where it would
/// take long to show what was there, nothing is written: the caller looks by himself.
#[cold]
fn write_seen(call: &Call, table: RawTerm, term: RawTerm) -> Answer {
    with_scratch(|scratch| {
        let at = scratch.table_of(call, table)?;
        let (encoder, terms, open) = scratch.parts(at);
        call.may_wait(&open.table)?;
        let record = record(call, encoder, term, open)?;
        writable(open)?;
        let name = record_name(open);
        let key = open.table.key_of(&record);
        let mut seen: Option<SmallVec<[Record; 2]>> = None;
        let done = DB.update(open, &key, record.bytes().len() as u64, |rows| {
            if rows.iter().map(|row| row.bytes().len()).sum::<usize>() > BUDGET {
                return None;
            }
            seen = Some(rows.into());
            Some(Change::write(open.kind(), record.clone()))
        });
        if let Err(stop) = done {
            return Err(dirty_refusal(call, stop, open, table, &record));
        }
        let Some(rows) = seen else { return Err(Fail::Stop(Stop::Watched)) };
        let rows: SmallVec<[RawTerm; 2]> = rows.iter().map(|row| decode_record(call.env, row, name, terms)).collect();
        Ok(call.tuple(&[atoms::watched(), call.list(&rows), changed_now(call)]))
    })
}

/// Time of one slice of [`write_all`], and the records between two looks at the clock.
const SLICE: Duration = Duration::from_micros(500);
const STEP: usize = 16;

nif!(
    /// Writes the records of a list, outside transactions; answers those that are left when its time is up. Work: a slice.
    write_all,
    |call, [table, list]| with_scratch(|scratch| {
        let begun = Instant::now();
        let mut rest = *list;
        let mut written = 0;
        while let Some((term, tail)) = call.cell(rest) {
            let at = scratch.table_of(call, *table)?;
            let (encoder, _, open) = scratch.parts(at);
            let done = record(call, encoder, term, open).and_then(|record| Ok(DB.write(open, record)?));
            match done {
                Ok(()) => rest = tail,
                // What is wrong with it is said when it is the first.
                Err(_) if written > 0 => break,
                Err(fail) => return Err(fail),
            }
            written += 1;
            if written % STEP == 0 && begun.elapsed() > SLICE {
                break;
            }
        }
        // SAFETY: called on a scheduler in a NIF.
        unsafe { enif_consume_timeslice(call.env, (begun.elapsed().as_micros() / 10).clamp(1, 100) as i32) };
        Ok(rest)
    })
);

nif!(delete_object, |call, [ctx, table, term]| {
    with_record(call, [*ctx, *table, *term], db::Db::delete_object, |txn, table, record| txn.delete_object(&DB, table, record))
});

nif!(delete, |call, [ctx, table, key_term]| with_scratch(|scratch| {
    if no_txn(*ctx) {
        let at = scratch.table_of(call, *table)?;
        let (encoder, _, open) = scratch.parts(at);
        settled(open, *ctx)?;
        writable(open)?;
        call.may_wait(&open.table)?;
        let key = key(call, encoder, *key_term, &open.table)?;
        DB.delete(open, &key)?;
        return Ok(changed_now(call));
    }
    with_txn(call, *ctx, |txn| {
        let table = scratch.table_in(call, txn, *table)?;
        writable(txn.open(table))?;
        let key = key(call, &mut scratch.encoder, *key_term, txn.rows_of(table))?;
        let done = txn.delete(&DB, table, key);
        done.map_err(|stop| told(call, txn.open(table), &mut scratch.encoder, *key_term, stop))?;
        Ok(changed(txn, table))
    })
}));

nif!(
    /// Mnesia's dirty counter: never below 0, an absent key starts at 0, a sum that is none counts as the increment.
    update_counter,
    |call, [ctx, table, key_term, increment]| with_scratch(|scratch| {
        let at = scratch.table_of(call, *table)?;
        let (encoder, _, open) = scratch.parts(at);
        settled(open, *ctx)?;
        writable(open)?;
        call.may_wait(&open.table)?;
        let definition = &open.table.definition;
        if !matches!(definition.kind, Kind::Set | Kind::OrderedSet) || definition.arity != 3 {
            let reason = [atoms::combine_error(), *table, atoms::update_counter()];
            return Err(Fail::Reason(call.tuple(&reason)));
        }
        encoder.begin(call.limit());
        encoder.term(call.env, *increment)?;
        if !is_integer(encoder.bytes()) {
            return Err(Fail::Reason(call.tuple(&[atoms::bad_type(), *table, *increment])));
        }
        let by: SmallVec<[u8; 16]> = SmallVec::from_slice(encoder.bytes());
        encoder.begin(call.limit());
        encoder.term(call.env, *key_term)?;
        let attached = encoder.attached();
        let key = open.table.key(encoder.bytes(), encoder.writer.negative_zero, attached.as_deref());
        let (flat, negative_zero) = (encoder.bytes().to_vec(), encoder.writer.negative_zero);
        let mut written: Option<Record> = None;
        let done = DB.update(open, &key, (flat.len() + by.len()) as u64 + 64, |rows| {
            // The row keeps the key it has: in an ordered_set that may be the other form of the number.
            let (key, attached) = match rows.first() {
                Some(row) => (row.key().to_vec(), row.attached().cloned()),
                None => (flat, attached),
            };
            let mut writer = Writer { buf: key, ..Writer::default() };
            let start = writer.len() as u32;
            count(rows.first().map(|row| row.field(1)), &by, &mut writer);
            let record = Record::build(&[0, start], &writer.buf, negative_zero, attached);
            written = Some(record.clone());
            Some(Change::Put(record))
        });
        match (done, written) {
            (Ok(()), Some(record)) => Ok(changed_to(call, decode(call.env, record.field(1), &[]))),
            (Ok(()), None) => Err(Fail::BadArg),
            (Err(stop), Some(record)) => Err(dirty_refusal(call, stop, open, *table, &record)),
            (Err(stop), None) => Err(stop.into()),
        }
    })
);

/// The key of a record, decoded.
pub fn decode_key(call: &Call, record: &Record) -> RawTerm {
    decode(call.env, record.key(), &[record.attached().map(|a| &**a), None])
}
