//! For tests only: what the term border makes of a term, seen from the BEAM.

use crate::border::{with_scratch, Answer, Call, Fail, DB};
use crate::select::{search, Want};
use crate::session::with_txn;
use crate::term::host::Scratch as ScratchEnv;
use crate::term::{decode, decode_record, RawTerm};
use crate::{atoms, nif};
use remnesia_engine::store::disc::{to_disc, Atoms};
use remnesia_engine::store::disc_atoms::Dictionary;
use remnesia_engine::store::disc_key::base_key;
use remnesia_engine::store::disc_read::from_disc;
use remnesia_engine::table::key::Key;
use remnesia_engine::term::{key as ordered, order, Attached, Record};
use remnesia_engine::txn::LockKind;
use rustler::sys::{enif_get_int64, enif_get_tuple};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

struct Flat {
    bytes: Vec<u8>,
    negative_zero: bool,
    attached: Option<Arc<dyn Attached>>,
}

impl Flat {
    fn beside(&self) -> order::Beside<'_> {
        self.attached.as_deref()
    }
}

fn flat(call: &Call, term: RawTerm) -> Result<Flat, Fail> {
    with_scratch(|scratch| {
        let encoder = &mut scratch.encoder;
        encoder.begin(call.limit());
        encoder.term(call.env, term)?;
        let attached = encoder.attached();
        Ok(Flat { bytes: encoder.bytes().to_vec(), negative_zero: encoder.writer.negative_zero, attached })
    })
}

fn boolean(is: bool) -> Answer {
    Ok(if is { atoms::true_() } else { atoms::false_() })
}

nif!(encode, |call, [term]| Ok(call.binary(&flat(call, *term)?.bytes)));

nif!(
    /// Through a record, as a table keeps it.
    roundtrip,
    |call, [term]| {
        let flat = flat(call, *term)?;
        let record = Record::build(&[0], &flat.bytes, flat.negative_zero, flat.attached);
        Ok(decode(call.env, record.key(), &[record.attached().map(|a| &**a)]))
    }
);

nif!(
    /// Through the disc form. Also: whether what comes back has the bytes and the base key of what went.
    disc,
    |call, [term]| {
        static DICTIONARY: OnceLock<Dictionary> = OnceLock::new();
        let dictionary = DICTIONARY.get_or_init(|| Dictionary::new(1 << 20));
        let flat = flat(call, *term)?;
        let record = Record::build(&[0], &flat.bytes, flat.negative_zero, flat.attached);
        let (mut atoms, mut bytes, mut keys) = (Atoms::default(), Vec::new(), [Vec::new(), Vec::new()]);
        let read = to_disc(&record, dictionary, &mut atoms, &mut bytes).and_then(|()| from_disc(&bytes, dictionary));
        let read = read.unwrap_or_else(|error| panic!("{error}"));
        for (key, record) in keys.iter_mut().zip([&record, &read]) {
            base_key(false, record, dictionary, &mut atoms, key).unwrap_or_else(|error| panic!("{error}"));
        }
        let term = decode(call.env, read.key(), &[read.attached().map(|a| &**a)]);
        let same = record.bytes() == read.bytes() && keys[0] == keys[1];
        Ok(call.tuple(&[term, boolean(same)?]))
    }
);

nif!(compare, |call, [a, b]| {
    let (a, b) = (flat(call, *a)?, flat(call, *b)?);
    Ok(call.int(order::compare(&a.bytes, &b.bytes, a.beside(), b.beside()) as i64))
});

nif!(key, |call, [term]| {
    let flat = flat(call, *term)?;
    let mut out = Vec::new();
    ordered::write(&flat.bytes, flat.beside(), &mut out);
    Ok(call.binary(&out))
});

nif!(same, |call, [a, b]| {
    let (a, b) = (flat(call, *a)?, flat(call, *b)?);
    boolean(remnesia_engine::term::same(&a.bytes, &b.bytes, a.negative_zero || b.negative_zero))
});

nif!(hash, |call, [term]| {
    let flat = flat(call, *term)?;
    Ok(call.int((Key::exact(&flat.bytes, flat.negative_zero).hash >> 8) as i64))
});

nif!(
    /// Nanoseconds per encoding and per decoding of a record, the best of nine rounds of `n`.
    time,
    |call, [tuple, n]| {
        let (mut arity, mut elements, mut n_) = (0, std::ptr::null(), 0i64);
        // SAFETY: a true answer means that the variables are filled in; the tuple has at least one element.
        let name = unsafe {
            if enif_get_tuple(call.env, *tuple, &mut arity, &mut elements) == 0
                || arity < 2
                || enif_get_int64(call.env, *n, &mut n_) == 0
            {
                return Err(Fail::BadArg);
            }
            *elements
        };
        let arity = arity as usize;
        with_scratch(|scratch| {
            let mut best = [f64::MAX; 3];
            for _ in 0..9 {
                let begun = Instant::now();
                for _ in 0..n_ {
                    scratch.encoder.begin(call.limit());
                    scratch.encoder.fields(call.env, *tuple, arity, name, |_| {})?;
                }
                best[0] = best[0].min(begun.elapsed().as_nanos() as f64 / n_ as f64);
                let begun = Instant::now();
                for _ in 0..n_ {
                    scratch.encoder.begin(call.limit());
                    scratch.encoder.fields(call.env, *tuple, arity, name, |_| {})?;
                    drop(scratch.encoder.record());
                }
                best[1] = best[1].min(begun.elapsed().as_nanos() as f64 / n_ as f64);
                scratch.encoder.begin(call.limit());
                scratch.encoder.fields(call.env, *tuple, arity, name, |_| {})?;
                let record = scratch.encoder.record();
                let env = ScratchEnv::new();
                let begun = Instant::now();
                for _ in 0..n_ {
                    decode_record(env.get(), &record, name, &mut scratch.terms);
                }
                best[2] = best[2].min(begun.elapsed().as_nanos() as f64 / n_ as f64);
            }
            Ok(call.tuple(&best.map(|ns| call.int(ns as i64))))
        })
    }
);

nif!(live, |call, [term]| boolean(flat(call, *term)?.attached.is_some()));

nif!(
    /// Panics: in the transaction of a handle, or (`nil`) outside; with a table's name, while that table is being changed.
    panic,
    |call, [ctx, table]| {
        if *ctx != atoms::nil() {
            return with_txn(call, *ctx, |_| crate::faults::asked_for());
        }
        let name = flat(call, *table)?.bytes;
        let open = DB.sound(&name)?;
        let key = Key::exact(&name, false);
        open.table.update(&key, &mut remnesia_engine::table::Nowhere, |_| Some(remnesia_engine::table::Change::Put(bad_record())));
        Ok(atoms::ok())
    }
);

/// A record of one field, which no index of a table finds its value in.
fn bad_record() -> Record {
    Record::build(&[0], &[0], false, None)
}

nif!(
    /// A select by the plan of this number, of all that are legal; badarg if there are not so many.
    select,
    |call, [ctx, table, spec, number]| {
        let mut number_ = 0i64;
        // SAFETY: sets the integer when the term is one.
        unsafe { enif_get_int64(call.env, *number, &mut number_) };
        let pick = |spec: &crate::spec::Spec, table: &remnesia_engine::table::Table| {
            spec.compiled.paths(table).get(number_ as usize).map(|path| path.plan.clone()).ok_or(Fail::BadArg)
        };
        search(call, [*ctx, *table, *spec], LockKind::Read, 0, pick, Want::Spec)
    }
);
