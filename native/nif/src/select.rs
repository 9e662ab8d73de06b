//! Answers of many records: match specs, index look-ups, keys. Sliced, so that no call holds a scheduler for long.

mod continuation;
mod direct;
mod index_read;

pub use continuation::{begin, select_next};
pub use index_read::index_read;

use crate::access::{decode_key, still_there};
use crate::arguments::size;
use crate::border::{name, record_name, table_name, with_scratch, Answer, Call, Fail, BUDGET, DB};
use crate::near::outside;
use crate::session::{no_txn, with_txn};
use crate::spec::{parse, Spec};
use crate::term::{decode, decode_record, RawTerm};
use crate::{atoms, nif};
use continuation::Pending;
use remnesia_engine::matchspec::Outcome;
use remnesia_engine::table::Table;
use remnesia_engine::term::{same, Attached, Record};
use remnesia_engine::txn::overlay::Overlay;
use remnesia_engine::txn::{in_order, plan, By, Course, LockKind, OpenTable, Plan, Scan, Sorted};
use rustler::sys::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time of one slice on a normal scheduler.
const SLICE: Duration = Duration::from_micros(500);
/// Keys visited under one latch: as many as take about the time, since long steps are faster and nothing is known of a spec's
/// cost beforehand.
const STEPS: std::ops::RangeInclusive<usize> = 16..=1024;
/// So many rows on disc are looked at where the caller is.
const NEAR: usize = 256;
const STEP_TIME: Duration = Duration::from_micros(50);

/// What a visited row becomes.
pub enum Want {
    Spec(Spec),
    /// Nothing: it is counted, and so is each that matches.
    Count {
        spec: Spec,
        visited: usize,
        matched: usize,
    },
    /// What the spec says, once all are found, in an order.
    Sort(Spec, Sorted<Hit>),
    /// Its key, once per key.
    Keys,
    /// Itself, if a field is this value.
    Field {
        field: usize,
        value: Vec<u8>,
        negative_zero: bool,
    },
}

/// An answer that waits for its slice.
#[derive(Clone)]
pub enum Hit {
    Whole(Record),
    Key(Record),
    Built(Box<[u8]>, Option<Arc<dyn Attached>>),
}

impl Hit {
    /// The answer of a record that matches.
    #[inline]
    fn of(spec: &Spec, record: &Record, outcome: Outcome) -> Hit {
        match outcome {
            Outcome::NoMatch | Outcome::Whole => Hit::Whole(record.clone()),
            Outcome::Built { attached } => {
                let attached = if attached { record.attached().cloned() } else { None };
                Hit::Built(spec.built().into(), attached)
            }
        }
    }

    fn size(&self) -> usize {
        match self {
            Hit::Whole(record) => record.bytes().len(),
            Hit::Key(record) => record.key().len(),
            Hit::Built(bytes, _) => bytes.len(),
        }
    }
}

/// A select and where it is.
pub struct Select {
    scan: Scan,
    want: Want,
    hits: VecDeque<Hit>,
    /// Keys visited in the next step.
    step: usize,
    /// Answers per chunk; 0 for no limit.
    limit: usize,
    /// Answers still to give in this chunk.
    left: usize,
    /// Answers not to give, before the first.
    skip: usize,
    /// The limit is of all answers, not of a chunk.
    whole: bool,
    /// Not all that were found have been given out in order.
    sorting: bool,
    /// The first slice is over.
    begun: bool,
    /// How far the next step may go to begin with: further and further as long as nothing is found.
    reach: usize,
    /// A chunk is complete: whoever goes on does so with a copy, as the same continuation may be used again.
    paused: bool,
    pending: Pending,
}

impl Want {
    /// There is nothing to visit, and nothing to say of it.
    fn finds_nothing(&self, plan: &Plan) -> bool {
        matches!(plan, Plan::Nothing) && !matches!(self, Want::Count { .. })
    }

    fn visit(&mut self, rows: &[Record], hits: &mut VecDeque<Hit>) {
        match self {
            Want::Keys => hits.extend(rows.first().cloned().map(Hit::Key)),
            Want::Field { field, value, negative_zero } => {
                let equal = |r: &&Record| same(r.field(*field), value, *negative_zero || r.negative_zero());
                hits.extend(rows.iter().filter(equal).cloned().map(Hit::Whole));
            }
            Want::Spec(spec) => {
                for record in rows {
                    let outcome = spec.run(record);
                    if outcome != Outcome::NoMatch {
                        hits.push_back(Hit::of(spec, record, outcome));
                    }
                }
            }
            Want::Sort(spec, sorted) => {
                for record in rows {
                    let outcome = spec.run(record);
                    if outcome != Outcome::NoMatch {
                        sorted.push(record, || Hit::of(spec, record, outcome));
                    }
                }
            }
            Want::Count { .. } => {}
        }
    }
}

impl Select {
    /// Fails if an index of the plan is gone.
    pub fn new(open: &Arc<OpenTable>, plan: Plan, want: Want, limit: usize) -> Result<Select, Fail> {
        let scan = Scan::new(open.clone(), plan).ok_or(Fail::Again)?;
        // What is looked at beyond the first chunk may be for nothing.
        let step = if limit > 0 { limit.clamp(*STEPS.start(), 128) } else { 128 };
        Ok(Select {
            scan,
            want,
            hits: VecDeque::new(),
            step,
            limit,
            left: limit,
            skip: 0,
            whole: false,
            sorting: false,
            begun: false,
            reach: 0,
            paused: false,
            pending: Pending::Now,
        })
    }

    /// In an order, from the answer after `skip` on, no more than `limit` of them if it is not 0.
    fn in_order(open: &Arc<OpenTable>, course: Course, by: &[By], spec: Spec, limit: usize, skip: usize) -> Result<Select, Fail> {
        let most = (limit > 0).then(|| limit.saturating_add(skip));
        let want = if course.sort { Want::Sort(spec, Sorted::new(by.into(), most)) } else { Want::Spec(spec) };
        let begin = if course.backward { Scan::backward } else { Scan::new };
        let scan = begin(open.clone(), course.plan).ok_or(Fail::Again)?;
        // What is looked at beyond the last answer is for nothing.
        let step = most.unwrap_or(128).clamp(*STEPS.start(), 128);
        Ok(Select {
            scan,
            want,
            hits: VecDeque::new(),
            step,
            limit,
            left: limit,
            skip,
            whole: true,
            sorting: course.sort,
            begun: false,
            reach: 0,
            paused: false,
            pending: Pending::Now,
        })
    }

    /// All records of a table that has no pending writes are counted already.
    fn count_at_once(&mut self, overlay: Option<&Overlay>) {
        let open = &self.scan.open;
        if let Want::Count { spec, matched, .. } = &mut self.want {
            if spec.compiled.program.always() && overlay.is_none_or(|overlay| overlay.untouched(open)) {
                *matched = open.table.size();
                self.scan.finish();
            }
        }
    }

    /// Rows on disc alone that are many, or were waited for lately.
    fn may_wait(&self) -> bool {
        let Some(disc) = self.scan.open.table.disc() else { return false };
        // What fails here has to begin anew, which only the first slice can.
        if self.begun {
            return true;
        }
        let many = disc.records() > NEAR && (self.limit == 0 || self.limit > NEAR);
        disc.is_slow() || (many && matches!(self.scan.plan, Plan::All | Plan::KeyRanges(_) | Plan::Gather(_)))
    }

    fn decode(&self, call: &Call, hit: &Hit, terms: &mut Vec<RawTerm>) -> RawTerm {
        match hit {
            Hit::Whole(record) => decode_record(call.env, record, record_name(&self.scan.open), terms),
            Hit::Key(record) => decode_key(call, record),
            Hit::Built(bytes, attached) => {
                let spec = match &self.want {
                    Want::Spec(spec) | Want::Sort(spec, _) => spec.compiled.program.attached().map(|a| &**a),
                    _ => None,
                };
                decode(call.env, bytes, &[attached.as_deref(), spec])
            }
        }
    }

    /// Refuses to go on with a table that was dropped, or whose place another has taken: its rows may have been let go. The first slice begins anew with
    /// what is there.
    fn still_there(&self, call: &Call) -> Result<(), Fail> {
        let open = &self.scan.open;
        if !self.begun {
            return still_there(open);
        }
        if open.is_dropped() {
            // Of a continuation no argument names the table.
            let gone = || call.tuple(&[atoms::no_exists(), table_name(call, open)]);
            return Err(Fail::Reason(if DB.is_running() { gone() } else { atoms::not_running() }));
        }
        Ok(())
    }

    /// One slice: `{:done, list}`, `{:slice, list, cont}` or `{:limit, list, cont}`.
    fn slice(&mut self, call: &Call, overlay: Option<&Overlay>, terms: &mut Vec<RawTerm>) -> Result<(RawTerm, RawTerm), Fail> {
        self.still_there(call)?;
        if self.scan.open.table.is_damaged() {
            let name = table_name(call, &self.scan.open);
            return Err(Fail::Reason(call.tuple(&[atoms::table_damaged(), name])));
        }
        if !call.dirty && !self.scan.is_done() && self.may_wait() {
            return Err(Fail::Disc);
        }
        let then = match &self.pending {
            Pending::Now => None,
            Pending::Then(then) => Some(then.clone()),
        };
        let overlay = then.as_ref().map_or(overlay, Option::as_deref);
        let begun = Instant::now();
        let mut answers = Vec::new();
        let mut bytes = 0;
        let mut now = begun;
        let state = 'slice: loop {
            let skipped = self.skip.min(self.hits.len());
            self.hits.drain(..skipped);
            self.skip -= skipped;
            while let Some(hit) = self.hits.front() {
                if self.limit > 0 && self.left == 0 {
                    break 'slice if self.whole { atoms::done() } else { atoms::limit() };
                }
                bytes += hit.size() + 64;
                if bytes > BUDGET * 4 && !call.dirty {
                    if answers.is_empty() {
                        return Err(Fail::TooLong);
                    }
                    break 'slice atoms::slice();
                }
                answers.push(self.decode(call, hit, terms));
                self.hits.pop_front();
                self.left = self.left.saturating_sub(1);
            }
            if self.scan.is_done() && !self.sorting {
                if let Want::Count { visited, matched, .. } = self.want {
                    answers.push(call.tuple(&[call.int(visited as i64), call.int(matched as i64)]));
                }
                break atoms::done();
            }
            if self.limit > 0 && self.left == 0 {
                break if self.whole { atoms::done() } else { atoms::limit() };
            }
            if now.duration_since(begun) > SLICE {
                break atoms::slice();
            }
            // What is found beyond a chunk may not be there any more when its turn comes.
            let most = if self.limit > 0 && !self.whole { self.left.max(self.reach) } else { usize::MAX };
            let (want, hits) = (&mut self.want, &mut self.hits);
            match want {
                Want::Sort(_, sorted) if self.scan.is_done() => {
                    self.sorting = sorted.take(self.step, |hit| hits.push_back(hit));
                }
                // Nothing but the count is done with a row: that is little beside the way to what is done.
                Want::Count { spec, visited, matched } => self.scan.step(overlay, self.step, &mut |rows| {
                    *visited += rows.len();
                    *matched += rows.iter().filter(|record| spec.run(record) != Outcome::NoMatch).count();
                }),
                _ => self.scan.step(overlay, self.step.min(most), &mut |rows| want.visit(rows, hits)),
            }
            self.reach = if self.hits.is_empty() { most.saturating_mul(2) } else { 0 };
            let before = std::mem::replace(&mut now, Instant::now());
            let took = now.duration_since(before);
            self.step = if took > STEP_TIME { self.step / 2 } else { self.step * 2 }.clamp(*STEPS.start(), *STEPS.end());
        };
        self.still_there(call)?;
        self.paused = state == atoms::limit();
        if self.paused {
            self.left = self.limit;
        }
        let percent = (begun.elapsed().as_micros() / 10).clamp(1, 100) as i32;
        // SAFETY: called on a scheduler in a NIF.
        unsafe { enif_consume_timeslice(call.env, percent) };
        Ok((state, call.list(&answers)))
    }
}

/// Begins a search as [`search`], with answers in an order, from one on, no more than some.
fn search_in_order(
    call: &Call,
    [ctx, table, spec]: [RawTerm; 3],
    kind: LockKind,
    by: &[By],
    limit: usize,
    skip: usize,
) -> Answer {
    let course = |spec: &Spec, open: &OpenTable, written: bool| {
        if by.iter().any(|by| by.field + 1 >= open.table.definition.arity) {
            return Err(Fail::BadArg);
        }
        let paths = spec.compiled.paths(&open.table);
        let cheapest = match limit {
            1.. if by.is_empty() => plan::cheapest_first(paths, &open.table, limit.saturating_add(skip)),
            _ => plan::cheapest(paths, &open.table),
        };
        Ok(in_order(paths, cheapest, &open.table, by, limit > 0, written))
    };
    with_scratch(|scratch| {
        if no_txn(ctx) {
            let open = scratch.open(call, table)?;
            let spec = parse(call, scratch, spec, &open.table, table)?;
            let course = course(&spec, &open, false)?;
            return begin(call, Select::in_order(&open, course, by, spec, limit, skip)?, None, &mut scratch.terms);
        }
        with_txn(call, ctx, |txn| {
            let table_ = scratch.table_in(call, txn, table)?;
            let spec = parse(call, scratch, spec, txn.rows_of(table_), table)?;
            let course = course(&spec, txn.open(table_), !txn.overlay().untouched(txn.open(table_)))?;
            txn.lock_plan(&DB, table_, &course.plan, kind)?;
            let select = Select::in_order(txn.open(table_), course, by, spec, limit, skip)?;
            begin(call, select, Some(txn.overlay()), &mut scratch.terms)
        })
    })
}

/// Begins a search: the best plan, or the one that `pick` takes, and its locks.
pub fn search(
    call: &Call,
    [ctx, table, spec]: [RawTerm; 3],
    kind: LockKind,
    limit: usize,
    pick: impl FnOnce(&Spec, &Table) -> Result<Plan, Fail>,
    want: impl FnOnce(Spec) -> Want,
) -> Answer {
    with_scratch(|scratch| {
        if no_txn(ctx) {
            let at = outside(call, scratch, ctx, table)?;
            let open = scratch.parts(at).2.clone();
            let spec = parse(call, scratch, spec, &open.table, table)?;
            let plan = pick(&spec, &open.table)?;
            let want = want(spec);
            if want.finds_nothing(&plan) {
                return Ok(call.tuple(&[atoms::done(), call.list(&[])]));
            }
            return begin(call, Select::new(&open, plan, want, limit)?, None, &mut scratch.terms);
        }
        with_txn(call, ctx, |txn| {
            let table_ = scratch.table_in(call, txn, table)?;
            let spec = parse(call, scratch, spec, txn.rows_of(table_), table)?;
            if kind == LockKind::Write {
                crate::access::writable(txn.open(table_))?;
            }
            let plan = pick(&spec, txn.rows_of(table_))?;
            let want = want(spec);
            if want.finds_nothing(&plan) {
                return Ok(call.tuple(&[atoms::done(), call.list(&[])]));
            }
            txn.lock_plan(&DB, table_, &plan, kind)?;
            let select = Select::new(txn.open(table_), plan, want, limit)?;
            begin(call, select, Some(txn.overlay()), &mut scratch.terms)
        })
    })
}

pub fn best(spec: &Spec, table: &Table) -> Result<Plan, Fail> {
    let paths = spec.compiled.paths(table);
    Ok(paths[plan::cheapest(paths, table)].plan.clone())
}

/// For a search that may stop after so many answers, if that is not 0.
fn best_first(limit: usize) -> impl Fn(&Spec, &Table) -> Result<Plan, Fail> {
    move |spec, table| {
        if limit == 0 {
            return best(spec, table);
        }
        let paths = spec.compiled.paths(table);
        Ok(paths[plan::cheapest_first(paths, table, limit)].plan.clone())
    }
}

nif!(
    /// Work: a slice of half a millisecond.
    select,
    |call, [ctx, table, spec, kind, limit]| {
        let limit = size(call, *limit)?;
        let kind = call.kind(*kind)?;
        if no_txn(*ctx) && limit == 0 {
            let read = with_scratch(|scratch| {
                let at = outside(call, scratch, *ctx, *table)?;
                direct::read_by(call, scratch, at, *spec)
            })?;
            if let Some(records) = read {
                return Ok(call.tuple(&[atoms::done(), records]));
            }
        }
        search(call, [*ctx, *table, *spec], kind, limit, best_first(limit), Want::Spec)
    }
);

nif!(
    /// A select in an order: a list of positions, negative ones from the greatest to the smallest. Of the answers it gives `limit` (all if 0)
    /// from number `offset` on. Work: as `select`.
    select_in_order,
    |call, [ctx, table, spec, kind, order, limit, offset]| {
        let mut by = Vec::new();
        let mut rest = *order;
        while let Some((position, tail)) = call.cell(rest) {
            let position = call.get_int(position).ok_or(Fail::BadArg)?;
            let field = usize::try_from(position.unsigned_abs()).ok().and_then(|p| p.checked_sub(2)).ok_or(Fail::BadArg)?;
            by.push(By { field, falling: position < 0 });
            rest = tail;
        }
        let (limit, offset) = (size(call, *limit)?, size(call, *offset)?);
        search_in_order(call, [*ctx, *table, *spec], call.kind(*kind)?, &by, limit, offset)
    }
);

nif!(all_keys, |call, [ctx, table]| with_scratch(|scratch| {
    let name = name(call, scratch, *table)?;
    if no_txn(*ctx) {
        let open = DB.sound(&name)?;
        return begin(call, Select::new(&open, Plan::All, Want::Keys, 0)?, None, &mut scratch.terms);
    }
    with_txn(call, *ctx, |txn| {
        let table = txn.table(&DB, &name)?;
        txn.lock_table(table, LockKind::Read)?;
        let select = Select::new(txn.open(table), Plan::All, Want::Keys, 0)?;
        begin(call, select, Some(txn.overlay()), &mut scratch.terms)
    })
}));
