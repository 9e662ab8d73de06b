//! What a search would do, in terms that Elixir makes readable, and what it did.

use crate::border::{name, with_scratch, Answer, Call, Fail, DB};
use crate::select::{best, search, Want};
use crate::spec::{compile, encode, parse, Spec, MAX_SPEC};
use crate::term::{decode, word, RawTerm};
use crate::{atoms, nif};
use remnesia_engine::matchspec::{Interval, Outcome, Prefix};
use remnesia_engine::table::{IndexId, Table};
use remnesia_engine::txn::plan::{self, Count, Covers, Path, Way};
use remnesia_engine::txn::LockKind;
use rustler::sys::{enif_get_tuple, enif_is_atom};

fn literal(call: &Call, spec: &Spec, literal: usize) -> RawTerm {
    decode(call.env, spec.compiled.program.shown(literal), &[spec.compiled.program.attached().map(|a| &**a), None])
}

/// `{prefix, from, to}`: `nil` or `{size, [first elements]}`, `nil` or `{value, inclusive}`.
fn interval(call: &Call, spec: &Spec, interval: &Interval) -> RawTerm {
    let end = |end: Option<remnesia_engine::matchspec::End>| match end {
        None => atoms::nil(),
        Some(end) => {
            let inclusive = if end.inclusive { atoms::true_() } else { atoms::false_() };
            call.tuple(&[literal(call, spec, end.literal), inclusive])
        }
    };
    let prefix = match &interval.prefix {
        None => atoms::nil(),
        Some(Prefix { literals, elements }) => {
            let first: Vec<_> = literals.iter().map(|&l| literal(call, spec, l)).collect();
            call.tuple(&[call.int(*elements as i64), call.list(&first)])
        }
    };
    call.tuple(&[prefix, end(interval.from), end(interval.to)])
}

/// Positions are those of the record tuple, as in `table_create`.
fn position(call: &Call, field: usize) -> RawTerm {
    call.int(field as i64 + 2)
}

/// Of an index on several fields a list.
fn positions(call: &Call, table: &Table, index: IndexId) -> Answer {
    let index = table.indexes.find(index).ok_or(Fail::Again)?;
    Ok(match index.fields() {
        [field] => position(call, *field),
        fields => call.list(&fields.iter().map(|&field| position(call, field)).collect::<Vec<_>>()),
    })
}

fn way(call: &Call, table: &Table, way: Way) -> Answer {
    Ok(match way {
        Way::Nothing => atoms::nothing(),
        Way::Keys => atoms::key(),
        Way::KeyRanges => atoms::key_range(),
        Way::Index(index) => call.tuple(&[atoms::index(), positions(call, table, index)?]),
        Way::IndexRanges(index) => call.tuple(&[atoms::index_range(), positions(call, table, index)?]),
        Way::Both(one, two) => call.tuple(&[atoms::both(), positions(call, table, one)?, positions(call, table, two)?]),
        Way::Union => atoms::union(),
        Way::All => atoms::scan(),
    })
}

fn count(call: &Call, count: Count) -> RawTerm {
    let (kind, rows) = match count {
        Count::Exact(rows) => (atoms::exact(), rows),
        Count::About(rows) => (atoms::about(), rows),
        Count::MoreThan(rows) => (atoms::more_than(), rows),
    };
    call.tuple(&[kind, call.int(rows as i64)])
}

nif!(
    /// Of the best plan its way, bounds, locks and rows; then all ways with their rows; then the positions that every way to fulfil
    /// the spec bounds. Work: counting up to a bound per way.
    select_plan,
    |call, [table, spec]| with_scratch(|scratch| {
        let name = name(call, scratch, *table)?;
        let open = DB.sound(&name)?;
        let spec = parse(call, scratch, *spec, &open.table, *table)?;
        let paths = spec.compiled.paths(&open.table);
        let best = &paths[plan::cheapest(paths, &open.table)];
        let bounds = |path: &Path| {
            let of_field = |(field, intervals): &(usize, Vec<Interval>)| {
                let intervals: Vec<_> = intervals.iter().map(|i| interval(call, &spec, i)).collect();
                call.tuple(&[position(call, *field), call.list(&intervals)])
            };
            call.list(&path.bounds.iter().map(of_field).collect::<Vec<_>>())
        };
        let locks = match best.plan.covers(LockKind::Read) {
            Covers::Nothing => atoms::nothing(),
            Covers::Parts => atoms::record(),
            Covers::Table => atoms::table(),
        };
        let other = |path: &Path| Ok(call.tuple(&[way(call, &open.table, path.way)?, count(call, path.rows(&open.table))]));
        let others = paths.iter().map(other).collect::<Result<Vec<_>, Fail>>()?;
        let fields = open.table.definition.arity - 1;
        let bounded = spec.compiled.program.bounded_fields(&spec.compiled.program.alternatives(), fields);
        let bounded: Vec<_> = bounded.into_iter().map(|field| position(call, field)).collect();
        let rows = count(call, best.rows(&open.table));
        Ok(call.tuple(&[way(call, &open.table, best.way)?, bounds(best), locks, rows, call.list(&others), call.list(&bounded)]))
    })
);

nif!(
    /// Rows visited and rows that match, in slices as `select`: the list is `[{visited, matched}]` at the end. If all match, the number
    /// of records of the table is the answer, with none visited.
    select_count,
    |call, [ctx, table, spec, kind]| {
        let want = |spec| Want::Count { spec, visited: 0, matched: 0 };
        search(call, [*ctx, *table, *spec], call.kind(*kind)?, 0, best, want)
    }
);

nif!(
    /// Runs a spec on one record, which need be in no table: `{:ok, result | false}` or `{:error, reason}`. Work: the record, the spec.
    spec_test,
    |call, [record, spec]| with_scratch(|scratch| {
        let (mut arity, mut elements) = (0, std::ptr::null());
        // SAFETY: a true answer means that the variables are filled in.
        let name = match unsafe { enif_get_tuple(call.env, *record, &mut arity, &mut elements) } {
            0 => return Err(Fail::BadArg),
            // SAFETY: the tuple has this many elements.
            _ if arity >= 2 && unsafe { enif_is_atom(call.env, *elements) } != 0 => unsafe { *elements },
            _ => return Err(Fail::BadArg),
        };
        scratch.encoder.begin(call.limit());
        scratch.encoder.fields(call.env, *record, arity as usize, name, |_| {})?;
        let row = scratch.encoder.record();
        if !encode(call, scratch, *spec)? {
            return Ok(call.tuple(&[atoms::error(), call.binary(b"The match specification is too large.")]));
        }
        call.heavy(scratch.encoder.bytes().len() > MAX_SPEC)?;
        let mut spec = match compile(call, scratch, arity as usize, word(name), true) {
            Ok(spec) => spec,
            Err(bad) => return Ok(call.tuple(&[atoms::error(), call.binary(bad.0.as_bytes())])),
        };
        let result = match spec.run(&row) {
            Outcome::NoMatch => atoms::false_(),
            Outcome::Whole => *record,
            Outcome::Built { .. } => {
                let beside = [row.attached().map(|a| &**a), spec.compiled.program.attached().map(|a| &**a)];
                decode(call.env, spec.built(), &beside)
            }
        };
        Ok(call.tuple(&[atoms::ok(), result]))
    })
);
