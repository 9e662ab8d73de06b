//! The database and its tables.

use crate::arguments::{elements, list, size};
use crate::border::{name, table_name, with_scratch, Answer, Call, Fail, DB};
use crate::disc::{change, changed_now, disc_place};
use crate::index::{definition as index_definition, fits as index_fits};
use crate::session::{fire, no_txn, with_txn};
use crate::term::{decode, word, Encoder, Env, RawTerm};
use crate::{atoms, nif};
use parking_lot::Mutex;
use remnesia_engine::reaper;
use remnesia_engine::table::{Definition, Kind};
use remnesia_engine::term::Attached;
use remnesia_engine::txn::lock::Wakes;
use remnesia_engine::txn::{LockKind, Stop};
use rustler::sys::*;
use std::collections::HashMap;
use std::sync::Arc;

/// Properties of the tables: a term of the caller's, kept for it.
type Props = HashMap<Box<[u8]>, (Box<[u8]>, Option<Arc<dyn Attached>>)>;

static PROPS: Mutex<Option<Props>> = Mutex::new(None);

nif!(db_start, |call, []| {
    if DB.start() {
        return Ok(atoms::ok());
    }
    Ok(call.tuple(&[atoms::error(), atoms::already_started()]))
});

/// False when it did not run.
pub fn stop(env: Env) -> bool {
    let mut wakes = Wakes::new();
    crate::snapshot::stop();
    let was = DB.stop(&mut wakes);
    fire(env, wakes);
    *PROPS.lock() = None;
    was
}

nif!(db_stop, |call, []| Ok(if stop(call.env) { atoms::ok() } else { call.tuple(&[atoms::error(), atoms::not_started()]) }));

nif!(running, |_call, []| Ok(if DB.is_running() { atoms::true_() } else { atoms::false_() }));

nif!(tables, |call, []| {
    let names: Vec<_> = DB.all().iter().map(|open| table_name(call, open)).collect();
    Ok(call.list(&names))
});

fn kind(term: RawTerm) -> Result<Kind, Fail> {
    let kinds = [
        (atoms::set(), Kind::Set),
        (atoms::ordered_set(), Kind::OrderedSet),
        (atoms::bag(), Kind::Bag),
        (atoms::duplicate_bag(), Kind::DuplicateBag),
    ];
    kinds.into_iter().find(|(atom, _)| *atom == term).map(|(_, kind)| kind).ok_or(Fail::BadArg)
}

pub fn put_props(call: &Call, encoder: &mut Encoder, name: &[u8], props: RawTerm) -> Result<(), Fail> {
    encoder.begin(call.limit());
    encoder.term(call.env, props)?;
    let attached = encoder.attached();
    PROPS.lock().get_or_insert_with(HashMap::new).insert(name.into(), (encoder.bytes().into(), attached));
    Ok(())
}

/// What the engine is to know of a table: its shape, `{type, arity, record_name, indexes}`.
pub fn definition(call: &Call, shape: RawTerm) -> Result<Definition, Fail> {
    let &[type_, arity, record_name, index] = elements(call, shape)? else { return Err(Fail::BadArg) };
    let arity = size(call, arity)?;
    let indexes = list(call, index).into_iter().map(|index| index_definition(call, index)).collect::<Result<Vec<_>, _>>()?;
    // SAFETY: only looks at the term.
    let named = unsafe { enif_is_atom(call.env, record_name) } != 0;
    if !named || !(3..=65_535).contains(&arity) || !indexes.iter().all(|index| index_fits(index, arity)) {
        return Err(Fail::BadArg);
    }
    Ok(Definition { kind: kind(type_)?, arity, record_name: word(record_name), indexes })
}

fn create(call: &Call, [table, shape, props, number, rows]: [RawTerm; 5], changes: Option<RawTerm>) -> Answer {
    with_scratch(|scratch| {
        let name = name(call, scratch, table)?;
        let beside = scratch.encoder.attached();
        let definition = definition(call, shape)?;
        if !DB.is_running() {
            return Err(Fail::Reason(atoms::not_running()));
        }
        let taken = || Fail::Reason(call.tuple(&[atoms::already_exists(), table]));
        if DB.knows(&name) {
            return Err(taken());
        }
        let disc = disc_place(call, number, rows)?;
        put_props(call, &mut scratch.encoder, &name, props)?;
        if let Some(changes) = changes {
            change(call, changes)?;
        }
        if DB.create(&name, beside, definition, disc) {
            Ok(atoms::ok())
        } else {
            Err(taken())
        }
    })
}

nif!(
    /// Work: the size of the properties.
    /// `number` is that of its definition on disc, `rows` whether they go there too; `nil` if it is in memory alone.
    table_create,
    |call, [table, shape, props, number, rows]| create(call, [*table, *shape, *props, *number, *rows], None)
);

nif!(
    /// The same, and these changes on disc with it, as in `disc_change`: nobody who kills the process comes between.
    table_define,
    |call, [table, shape, props, number, rows, changes]| {
        create(call, [*table, *shape, *props, *number, *rows], Some(*changes))
    }
);

/// Forgets what the host keeps with a table.
fn drop_props(name: &[u8]) {
    if let Some(props) = &mut *PROPS.lock() {
        props.remove(name);
    }
}

nif!(
    /// Work: the latches of all shards; the rows are freed by a thread of ours. Without a context for tables that no transaction uses.
    table_delete,
    |call, [ctx, table]| {
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        if no_txn(*ctx) {
            let open = DB.open(&name).ok_or(Stop::NoTable)?;
            DB.drop_table(&open)?;
            drop_props(&name);
            return Ok(atoms::ok());
        }
        with_txn(call, *ctx, |txn| {
            let table = txn.any_table(&DB, &name)?;
            txn.lock_table(table, LockKind::Write)?;
            DB.drop_table(txn.open(table))?;
            drop_props(&name);
            Ok(atoms::ok())
        })
    }
);

nif!(table_clear, |call, [ctx, table]| {
    let name = with_scratch(|scratch| name(call, scratch, *table))?;
    if no_txn(*ctx) {
        DB.clear(&*DB.sound(&name)?)?;
        return Ok(changed_now(call));
    }
    with_txn(call, *ctx, |txn| {
        let table = txn.table(&DB, &name)?;
        txn.lock_table(table, LockKind::Write)?;
        DB.clear(txn.open(table))?;
        Ok(changed_now(call))
    })
});

nif!(table_props, |call, [table]| {
    let name = with_scratch(|scratch| name(call, scratch, *table))?;
    if !DB.knows(&name) {
        return Ok(atoms::error());
    }
    let props = PROPS.lock();
    let Some((bytes, attached)) = props.as_ref().and_then(|p| p.get(&name[..])) else { return Ok(atoms::error()) };
    Ok(call.tuple(&[atoms::ok(), decode(call.env, bytes, &[attached.as_deref()])]))
});

nif!(table_put_props, |call, [table, props]| with_scratch(|scratch| {
    let name = name(call, scratch, *table)?;
    if DB.open(&name).is_none() {
        return Ok(atoms::error());
    }
    put_props(call, &mut scratch.encoder, &name, *props)?;
    Ok(atoms::ok())
}));

nif!(
    /// An empty table of this shape and number in the place of one that no transaction uses; that one is kept until `table_keep_new` or
    /// `table_take_back`.
    table_put_aside,
    |call, [table, shape, number, rows]| with_scratch(|scratch| {
        let definition = definition(call, *shape)?;
        let name = name(call, scratch, *table)?;
        let beside = scratch.encoder.attached();
        DB.put_aside(&name, beside, definition, disc_place(call, *number, *rows)?);
        Ok(atoms::ok())
    })
);

fn settled(call: &Call, table: RawTerm, settle: impl FnOnce(&[u8]) -> bool) -> Answer {
    let name = with_scratch(|scratch| name(call, scratch, table))?;
    Ok(if settle(&name) { atoms::true_() } else { atoms::false_() })
}

nif!(
    /// The table that was put aside goes; false if there is none. Its rows are freed by a thread of ours.
    table_keep_new,
    |call, [table]| settled(call, *table, |name| DB.keep_new(name))
);

nif!(
    /// The table that was put aside is there again; false if there is none.
    table_take_back,
    |call, [table]| settled(call, *table, |name| DB.take_back(name))
);

nif!(
    /// `:read_only` or `:read_write`.
    table_access,
    |call, [table, mode]| {
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        if DB.set_access(&name, *mode == atoms::read_only()) { Ok(atoms::ok()) } else { Err(Fail::Stop(Stop::NoTable)) }
    }
);

fn measure(call: &Call, table: RawTerm, of: impl FnOnce(&remnesia_engine::table::Table) -> usize) -> Answer {
    let name = with_scratch(|scratch| name(call, scratch, table))?;
    match DB.open(&name) {
        Some(open) => Ok(call.int(of(&open.table) as i64)),
        None => Ok(atoms::error()),
    }
}

nif!(table_size, |call, [table]| measure(call, *table, |t| t.size()));

nif!(
    /// In words of eight bytes; of a table on disc alone the bytes there.
    table_memory,
    |call, [table]| measure(call, *table, |t| if t.disc().is_some() { t.memory() } else { t.memory().div_ceil(8) })
);

nif!(
    /// Walks the whole table, on a dirty scheduler.
    table_check,
    |call, [table]| {
        call.heavy(true)?;
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        let open = DB.open(&name).ok_or(Fail::Stop(Stop::NoTable))?;
        let checked = open.table.check().and_then(|()| open.lock.check()).and_then(|()| DB.locks.check());
        match checked {
            Ok(()) => Ok(atoms::ok()),
            Err(text) => {
                reaper::drop_later(open);
                Ok(call.tuple(&[atoms::error(), call.binary(text.as_bytes())]))
            }
        }
    }
);
