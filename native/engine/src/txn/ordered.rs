//! Finding rows in an order that is asked for, so that the first few are found without a look at the rest.

use super::gather::Source;
use super::plan::{Path, Way};
use super::scan::Plan;
use super::sorted::By;
use crate::table::{Kind, Table};
use crate::term::range::Range;
use std::sync::Arc;

/// So many rows are rather found by what bounds them, and sorted.
const SORTED: usize = 1024;

/// How to find the rows.
pub struct Course {
    pub plan: Plan,
    pub backward: bool,
    /// They do not come in the order that is asked for.
    pub sort: bool,
}

/// The course for an order, given the best way to the rows. `few`: not all of them are wanted; `written`: the write set has some.
pub fn in_order(paths: &[Path], best: usize, table: &Table, by: &[By], few: bool, written: bool) -> Course {
    let best = &paths[best];
    let as_it_is = |sort| Course { plan: best.plan.clone(), backward: false, sort };
    match by {
        [] => as_it_is(false),
        // No two rows have the same key.
        [By { field: 0, falling: false }, ..] if table.is_ordered() => as_it_is(false),
        [first, rest @ ..] if few && many(best, table) => match walk(paths, best, table, *first, rest, written) {
            Some(plan) => Course { plan, backward: first.falling, sort: false },
            None => as_it_is(true),
        },
        _ => as_it_is(true),
    }
}

fn many(best: &Path, table: &Table) -> bool {
    match best.way {
        Way::KeyRanges | Way::IndexRanges(_) => best.count(table, SORTED + 1) > SORTED,
        Way::All => true,
        _ => false,
    }
}

/// The part of the tree or of an index in which the rows stand in this order.
fn walk(paths: &[Path], best: &Path, table: &Table, first: By, rest: &[By], written: bool) -> Option<Plan> {
    if first.field == 0 && table.is_ordered() {
        return match &best.plan {
            Plan::KeyRanges(_) => Some(best.plan.clone()),
            Plan::All => Some(Plan::KeyRanges([Range::all()].into())),
            _ => None,
        };
    }
    // Entries of one value are in the order of the keys, in an ordered_set. A key of a bag has rows of several values.
    let by_key = |by: &By| table.is_ordered() && by.field == 0 && by.falling == first.falling;
    let fits = rest.is_empty() || by_key(&rest[0]);
    if !fits || written || !matches!(table.kind(), Kind::Set | Kind::OrderedSet) {
        return None;
    }
    let list = table.indexes.load();
    let index = list.iter().find(|index| index.is_ready() && *index.fields() == [first.field])?.id;
    let ranges: Arc<[Range]> = match (best.way, paths.iter().find(|path| path.way == Way::IndexRanges(index))) {
        (Way::IndexRanges(other), _) if other != index => return None,
        (_, Some(Path { plan: Plan::Index { ranges, .. }, .. })) => ranges.clone(),
        (_, Some(Path { plan: Plan::Gather(sources), .. })) => match &sources[..] {
            [Source::Index { ranges, .. }] => ranges.clone().into(),
            _ => return None,
        },
        _ => [Range::all()].into(),
    };
    Some(Plan::Index { index, ranges, bound: 0 })
}
