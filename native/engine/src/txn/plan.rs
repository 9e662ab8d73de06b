//! Choosing how to find the rows of a match spec, and the locks that go with it.
//!
//! Every path visits at least the records that match, and the program runs on each: a choice decides about time only. Paths are compared by the
//! number of rows they visit, which is counted, not guessed, as long as counting costs little beside the visit.

use super::gather::Source;
use super::held::TableRef;
use super::scan::Plan;
use super::{LockKind, Stop, Txn};
use crate::db::Db;
use crate::matchspec::{may_hold_zero, Alternative, Interval, Program, Spans};
use crate::table::index::Index;
use crate::table::{IndexId, Key, Table};
use crate::term::range::Range;
use std::sync::Arc;

/// Rows are counted up to here: about a tenth of a millisecond.
const COUNTED: usize = 16 * 1024;
/// Up to so many keys are looked up without another thought.
const FEW_KEYS: usize = 8;
/// What the visit of a row found by key or index costs, in rows of a scan.
const LOOK: usize = 4;
/// A search that finds no more than these is preferred to a scan of any table: what it locks is less.
const FEW_ROWS: usize = 256;
/// Entries of an index that are walked in the time of a look at a row, or a few more.
const ENTRIES: usize = 2;
/// Searches of a union that are estimated by a sample each.
const MAX_SAMPLES: usize = 4;
/// Alternatives for which a path is looked for one by one.
const MAX_UNION: usize = 64;
/// Who wants so many rows first is served by any way that is known to lead to so many times more; nothing else is counted then.
const ENOUGH: usize = 16;
/// More records or values than these are locked as the whole table.
const LOCKED_KEYS: usize = 64;
const LOCKED_VALUES: usize = 8;

/// What leads to the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Nothing,
    Keys,
    KeyRanges,
    /// Values, of all fields or of the first ones.
    Index(IndexId),
    IndexRanges(IndexId),
    /// One value each of two indexes.
    Both(IndexId, IndexId),
    /// Several of these.
    Union,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Exact(usize),
    /// By a sample.
    About(usize),
    MoreThan(usize),
}

/// A way, and what bounds it: intervals by field.
#[derive(Clone, Debug)]
pub struct Path {
    pub way: Way,
    pub plan: Plan,
    pub bounds: Vec<(usize, Vec<Interval>)>,
}

impl Path {
    fn all() -> Path {
        Path { way: Way::All, plan: Plan::All, bounds: Vec::new() }
    }

    /// Rows that it visits, counted up to `max`.
    pub(super) fn count(&self, table: &Table, max: usize) -> usize {
        match &self.plan {
            Plan::Nothing => 0,
            Plan::Keys(keys) => keys.len(),
            Plan::KeyRanges(ranges) => table.count_keys(ranges, max),
            Plan::Index { index, ranges, .. } => table.count_values(*index, ranges, max),
            Plan::Both { first: (index, range), .. } => table.count_values(*index, std::slice::from_ref(range), max),
            Plan::Gather(sources) => {
                let more = |sum, source| if sum < max { sum + count_source(source, table, max - sum) } else { sum };
                sources.iter().fold(0, more)
            }
            Plan::All => table.size(),
        }
    }

    /// Rows that it visits, in terms of a scan's.
    fn cost(&self, rows: usize) -> usize {
        match self.plan {
            Plan::KeyRanges(_) | Plan::All => rows,
            _ => rows.saturating_mul(LOOK),
        }
    }

    fn guess(&self, table: &Table) -> Option<usize> {
        match &self.plan {
            Plan::Index { index, ranges, .. } => table.guess_values(*index, ranges),
            Plan::Gather(sources) if sources.len() <= MAX_SAMPLES => {
                sources.iter().map(|source| guess_source(source, table)).sum()
            }
            _ => None,
        }
    }

    /// How many rows it visits, for people.
    pub fn rows(&self, table: &Table) -> Count {
        if matches!(self.plan, Plan::All) {
            return Count::Exact(table.size());
        }
        match self.count(table, COUNTED + 1) {
            many if many > COUNTED => self.guess(table).map_or(Count::MoreThan(COUNTED), Count::About),
            few => Count::Exact(few),
        }
    }
}

fn count_source(source: &Source, table: &Table, max: usize) -> usize {
    match source {
        Source::Keys(keys) => keys.len(),
        Source::KeyRanges(ranges) => table.count_keys(ranges, max),
        Source::Index { index, ranges, .. } => table.count_values(*index, ranges, max),
    }
}

fn guess_source(source: &Source, table: &Table) -> Option<usize> {
    match source {
        Source::Keys(keys) => Some(keys.len()),
        Source::Index { index, ranges, .. } => table.guess_values(*index, ranges),
        Source::KeyRanges(_) => None,
    }
}

/// Every way to the rows of a spec, the scan of the whole table last.
pub fn paths(program: &Program, table: &Table) -> Vec<Path> {
    let alternatives = program.alternatives();
    if alternatives.is_empty() {
        return vec![Path { way: Way::Nothing, plan: Plan::Nothing, bounds: Vec::new() }, Path::all()];
    }
    let indexes = if table.indexes.is_empty() { Vec::new() } else { table.indexes.ready() };
    let mut paths = single(program, table, &indexes, &alternatives);
    both(&mut paths, &indexes);
    if alternatives.len() > 1 && alternatives.len() <= MAX_UNION {
        paths.extend(union(program, table, &indexes, &alternatives));
    }
    paths.push(Path::all());
    paths
}

/// The place of the cheapest way in the list.
pub fn cheapest(paths: &[Path], table: &Table) -> usize {
    cheapest_of(paths, table, COUNTED)
}

/// The same for a search that stops after some rows, and may go on. A way that leads to far more of them is not counted to its end, which
/// would take longer than the search: what is found by value is there without a look at all the others.
pub fn cheapest_first(paths: &[Path], table: &Table, limit: usize) -> usize {
    let most = limit.saturating_mul(ENOUGH).max(64);
    if most >= COUNTED {
        return cheapest(paths, table);
    }
    let best = cheapest_of(paths, table, most);
    let at_once = |path: &Path| matches!(path.plan, Plan::Index { .. });
    let value = paths.iter().position(|path| at_once(path) && matches!(path.way, Way::Index(_)));
    match value.or_else(|| paths.iter().position(at_once)) {
        Some(index) if matches!(paths[best].plan, Plan::All) => index,
        _ => best,
    }
}

/// Rows are counted up to `most`.
fn cheapest_of(paths: &[Path], table: &Table, most: usize) -> usize {
    let scan = paths.len() - 1;
    match paths {
        [only, rest @ ..] => match (&only.plan, rest.len()) {
            (Plan::Nothing, _) | (Plan::All, _) | (Plan::KeyRanges(_), 1) => return 0,
            (Plan::Keys(keys), _) if keys.len() <= FEW_KEYS => return 0,
            _ => {}
        },
        [] => return 0,
    }
    let size = table.size();
    // Counted in growing steps, so that the work goes by the smallest of them.
    let mut limit = most.min(64);
    loop {
        let one_by_one = paths[..scan].iter().enumerate().filter(|(_, path)| !matches!(path.plan, Plan::Both { .. }));
        let counted = one_by_one.filter_map(|(i, path)| {
            let rows = path.count(table, limit + 1);
            (rows <= limit).then(|| (path.cost(rows), i))
        });
        if let Some((cost, best)) = counted.min() {
            return if cost <= size.max(FEW_ROWS * LOOK) { with_second(paths, best, table) } else { or_ranges(paths, scan) };
        }
        if limit >= most || limit >= size {
            break;
        }
        limit = most.min(limit * 8);
    }
    // A sample takes as long as counting that much.
    if most < COUNTED {
        return or_ranges(paths, scan);
    }
    let guessed = paths[..scan].iter().enumerate().filter_map(|(i, path)| Some((path.cost(path.guess(table)?), i)));
    match guessed.min() {
        Some((cost, best)) if cost < size => best,
        _ => or_ranges(paths, scan),
    }
}

/// A second index may tell which rows of the first need no look. That pays if walking its entries costs less than the looks that it
/// saves: of 10,000 rows and 10,000 entries with 100 in common it takes 0.66 ms instead of 1.1.
fn with_second(paths: &[Path], best: usize, table: &Table) -> usize {
    let Way::Index(index) = paths[best].way else { return best };
    let seconds = || paths.iter().enumerate().filter(|(_, path)| matches!(path.way, Way::Both(first, _) if first == index));
    if seconds().next().is_none() {
        return best;
    }
    let (size, rows) = (table.size().max(1), paths[best].count(table, COUNTED));
    if rows <= FEW_ROWS {
        return best;
    }
    let entries = |path: &Path| match &path.plan {
        Plan::Both { second: (index, range), .. } => table.count_values(*index, std::slice::from_ref(range), ENTRIES * rows),
        _ => usize::MAX,
    };
    let second = seconds().map(|(i, path)| (entries(path), i)).min();
    match second {
        // As many rows are expected to remain as if the two had nothing to do with each other.
        Some((entries, second)) if entries / ENTRIES + rows * entries / size < rows / 4 * 3 => second,
        _ => best,
    }
}

/// A part of an ordered_set is never worse than all of it.
fn or_ranges(paths: &[Path], scan: usize) -> usize {
    paths.iter().position(|path| path.way == Way::KeyRanges).unwrap_or(scan)
}

/// Ways that hold for all alternatives at once: by key, and by each index.
fn single(program: &Program, table: &Table, indexes: &[Arc<Index>], alternatives: &[Alternative]) -> Vec<Path> {
    let mut paths = Vec::new();
    if let Some(bounds) = program.ranges(alternatives, 0) {
        paths.extend(by_key(program, table, bounds));
    }
    for index in indexes {
        if let Some(Spans { bounds, ranges, bound, values }) = program.spans(alternatives, index.fields()) {
            let way = if values { Way::Index(index.id) } else { Way::IndexRanges(index.id) };
            paths.push(Path { way, plan: Plan::by_index(table.kind(), index, ranges, bound), bounds });
        }
    }
    paths
}

fn by_key(program: &Program, table: &Table, bounds: Vec<Interval>) -> Option<Path> {
    // What is of this node has another name on disc than in ranges.
    if table.is_ordered() && table.disc().is_some() && program.of_this_node() {
        return None;
    }
    let points = bounds.iter().all(|interval| interval.value().is_some());
    let (way, plan) = if table.is_ordered() && points {
        let keys = bounds.iter().map(|interval| Key::of(interval.range.low.as_slice().into()));
        (Way::Keys, Plan::Keys(keys.collect()))
    } else if table.is_ordered() {
        (Way::KeyRanges, Plan::KeyRanges(ranges(&bounds).into()))
    } else {
        let flat = program.keys(&bounds)?;
        let beside = program.attached().map(|a| &**a);
        let mut keys: Vec<Key> = flat.iter().map(|flat| table.key(flat, may_hold_zero(flat), beside)).collect();
        if keys.len() > 1 {
            keys.sort_unstable_by(|a, b| a.bytes.cmp(&b.bytes));
            keys.dedup();
        }
        (Way::Keys, Plan::Keys(keys.into()))
    };
    Some(Path { way, plan, bounds: vec![(0, bounds)] })
}

/// Pairs of single values of two indexes.
fn both(paths: &mut Vec<Path>, indexes: &[Arc<Index>]) {
    let whole = |id: IndexId, bound: usize| indexes.iter().any(|index| index.id == id && index.fields().len() == bound);
    let one = |path: &Path| match &path.plan {
        Plan::Index { index, ranges, bound } if ranges.len() == 1 && whole(*index, *bound) => Some((*index, ranges[0].clone())),
        _ => None,
    };
    let ones: Vec<_> = paths.iter().filter_map(|path| Some((one(path)?, path.bounds.clone()))).collect();
    for (first, bounds) in &ones {
        // Two that share a field say nothing about each other.
        let apart =
            |more: &[(usize, Vec<Interval>)]| more.iter().all(|(field, _)| bounds.iter().all(|(other, _)| other != field));
        for (second, more) in ones.iter().filter(|(_, more)| apart(more)) {
            let plan = Plan::Both { first: first.clone(), second: second.clone() };
            let bounds = [bounds.clone(), more.clone()].concat();
            paths.push(Path { way: Way::Both(first.0, second.0), plan, bounds });
        }
    }
}

fn ranges(bounds: &[Interval]) -> Vec<Range> {
    bounds.iter().map(|interval| interval.range.clone()).collect()
}

/// The best way of each alternative, if each has one.
fn union(program: &Program, table: &Table, indexes: &[Arc<Index>], alternatives: &[Alternative]) -> Option<Path> {
    let (mut sources, mut bounds) = (Vec::new(), Vec::new());
    for alternative in alternatives.chunks(1) {
        let mut paths = single(program, table, indexes, alternative);
        paths.push(Path::all());
        let best = paths.swap_remove(cheapest_of(&paths, table, COUNTED / alternatives.len()));
        sources.push(match best.plan {
            Plan::Keys(keys) => Source::Keys(keys.to_vec()),
            Plan::KeyRanges(ranges) => Source::KeyRanges(ranges.to_vec()),
            Plan::Index { index, ranges, bound } => Source::Index { index, ranges: ranges.to_vec(), bound },
            Plan::Gather(parts) => match &parts[..] {
                [one] => one.clone(),
                _ => return None,
            },
            Plan::Nothing | Plan::Both { .. } | Plan::All => return None,
        });
        bounds.extend(best.bounds);
    }
    Some(Path { way: Way::Union, plan: Plan::Gather(sources.into()), bounds })
}

/// What a plan locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covers {
    Nothing,
    /// Records, and values of indexes with the records that have them.
    Parts,
    Table,
}

impl Plan {
    pub fn covers(&self, kind: LockKind) -> Covers {
        let parts = match self {
            Plan::Nothing => return Covers::Nothing,
            Plan::Keys(keys) => keys.len() <= LOCKED_KEYS,
            // A write lock on a value there is not: what has the value is the writer's to change, and what comes to it as well.
            Plan::Index { ranges, bound, .. } => *bound > 0 && ranges.len() <= LOCKED_VALUES && kind == LockKind::Read,
            Plan::Both { .. } => kind == LockKind::Read,
            Plan::Gather(sources) => {
                let count = |source: &Source| match source {
                    Source::Keys(keys) => (keys.len() <= LOCKED_KEYS).then_some(0),
                    Source::Index { ranges, bound: 1.., .. } if kind == LockKind::Read => Some(ranges.len()),
                    _ => None,
                };
                sources.iter().map(count).sum::<Option<usize>>().is_some_and(|values| values <= LOCKED_VALUES)
            }
            Plan::KeyRanges(_) | Plan::All => false,
        };
        if parts {
            Covers::Parts
        } else {
            Covers::Table
        }
    }
}

impl Txn {
    /// Takes the locks that keep phantoms out of a plan: a key locks its record, whether it is there or not, a value of an index itself and
    /// the records that have it, everything else the table.
    pub fn lock_plan(&mut self, db: &Db, table: TableRef, plan: &Plan, kind: LockKind) -> Result<(), Stop> {
        match plan.covers(kind) {
            Covers::Nothing => return Ok(()),
            Covers::Table => return self.lock_table(table, kind),
            Covers::Parts => {}
        }
        match plan {
            Plan::Keys(keys) => keys.iter().try_for_each(|key| self.lock_record(db, table, key.hash, kind)),
            Plan::Index { index, ranges, bound } => {
                ranges.iter().try_for_each(|range| self.lock_range(db, table, *index, range, *bound))
            }
            // What has both values has the first.
            Plan::Both { first: (index, range), .. } => {
                let bound = self.rows_of(table).indexes.find(*index).map_or(0, |index| index.fields().len());
                self.lock_range(db, table, *index, range, bound)
            }
            Plan::Gather(sources) => sources.iter().try_for_each(|source| match source {
                Source::Keys(keys) => keys.iter().try_for_each(|key| self.lock_record(db, table, key.hash, kind)),
                Source::Index { index, ranges, bound } => {
                    ranges.iter().try_for_each(|range| self.lock_range(db, table, *index, range, *bound))
                }
                Source::KeyRanges(_) => self.lock_table(table, kind),
            }),
            Plan::Nothing | Plan::KeyRanges(_) | Plan::All => self.lock_table(table, kind),
        }
    }
}
