//! Visiting rows in steps: some keys, ranges of keys, by index, or all of them, committed rows and write set merged.
//!
//! A scan holds no latch between steps, so each step can be as short as the scheduler wants. What keeps phantoms out is the lock its
//! transaction has taken for the plan. Rows of an ordered_set come in key order whatever the plan.

use super::gather::{Gather, Source};
use super::open::OpenTable;
use super::overlay::Overlay;
use super::walk::neighbour;
use crate::table::index::Index;
use crate::table::{Cursor, IndexId, Key, KeyBytes, Kind, Table};
use crate::term::range::{after, Range};
use crate::term::Record;
use smallvec::SmallVec;
use std::sync::Arc;

/// Keys whose rows are fetched ahead together.
const BATCH: usize = 16;
/// Entries of another index that are looked at for each key.
const DENSER: usize = 16;

/// How to find the rows. What is visited is more than what matches: the visitor looks at each row.
#[derive(Clone, Debug)]
pub enum Plan {
    /// There are none.
    Nothing,
    /// The rows of these keys; rising in an ordered_set, each once.
    Keys(Arc<[Key]>),
    /// Ranges of an ordered_set, rising and disjoint.
    KeyRanges(Arc<[Range]>),
    /// Rows whose indexed values are in ranges of ordered forms, rising and disjoint, where each key is found once and the order is free: one
    /// value of all fields, or any ranges in a set. `bound`: so many of the first fields are one value in each range.
    Index { index: IndexId, ranges: Arc<[Range]>, bound: usize },
    /// Rows that have one value in an index and one in another: the entries of a value are in the order of the keys.
    Both { first: (IndexId, Range), second: (IndexId, Range) },
    /// The keys of all sources first, then the rows of each once, in the order of the keys.
    Gather(Arc<[Source]>),
    /// Every row.
    All,
}

impl Plan {
    /// Rows whose field has a value of one ordered form, which is this range. `1` and `1.0` share a form: the visitor compares the field. None
    /// if no index begins with the field.
    pub fn of_value(table: &Table, field: usize, value: Range) -> Option<Plan> {
        let list = table.indexes.load();
        let mut first = list.iter().filter(|index| index.fields()[0] == field && index.is_ready());
        let index = first.clone().find(|index| index.fields().len() == 1).or_else(|| first.next())?;
        Some(Plan::by_index(table.kind(), index, vec![value], 1))
    }

    /// Ranges of an index, which bind so many of its first fields to one value.
    pub(super) fn by_index(kind: Kind, index: &Index, ranges: Vec<Range>, bound: usize) -> Plan {
        let one_by_one = kind == Kind::Set || (ranges.len() == 1 && bound == index.fields().len());
        if one_by_one {
            Plan::Index { index: index.id, ranges: ranges.into(), bound }
        } else {
            Plan::Gather([Source::Index { index: index.id, ranges, bound }].into())
        }
    }

    fn indexes(&self) -> SmallVec<[IndexId; 2]> {
        match self {
            Plan::Index { index, .. } => SmallVec::from_slice(&[*index]),
            Plan::Both { first, second } => SmallVec::from_slice(&[first.0, second.0]),
            Plan::Gather(sources) => sources.iter().filter_map(Source::index).collect(),
            Plan::Nothing | Plan::Keys(_) | Plan::KeyRanges(_) | Plan::All => SmallVec::new(),
        }
    }
}

/// The indexes that a scan uses: kept by it, so that it goes on when one is dropped.
pub type Used = SmallVec<[Arc<Index>; 1]>;

pub(super) fn used(indexes: &Used, id: IndexId) -> Option<&Index> {
    indexes.iter().find(|index| index.id == id).map(|index| &**index)
}

/// A scan and where it is.
#[derive(Clone)]
pub struct Scan {
    pub open: Arc<OpenTable>,
    pub plan: Plan,
    indexes: Used,
    place: Place,
}

#[derive(Clone)]
enum Place {
    /// In a list of keys.
    Key(usize),
    /// In a range of an ordered_set, after this key.
    Range(usize, Option<KeyBytes>),
    /// In the committed rows of a hash table.
    Base(Cursor),
    /// In a range of an index, after this entry.
    Index(usize, Option<Vec<u8>>),
    Gather(Box<Gather>),
    /// Backward: so many ranges are left, in the last of them before this key or entry.
    Back(usize, Option<Vec<u8>>),
    /// In keys of the write set that were not met before, after this one.
    Added(Option<Key>),
    Done,
}

impl Scan {
    /// None if an index of the plan is gone: plan again.
    pub fn new(open: Arc<OpenTable>, plan: Plan) -> Option<Scan> {
        let indexes = open.table.indexes.all_of(&plan.indexes())?;
        let plan = match plan {
            Plan::All if open.table.is_ordered() => Plan::KeyRanges([Range::all()].into()),
            plan => plan,
        };
        let place = match plan {
            Plan::Nothing => Place::Done,
            Plan::Keys(_) => Place::Key(0),
            Plan::KeyRanges(_) => Place::Range(0, None),
            Plan::Index { .. } | Plan::Both { .. } => Place::Index(0, None),
            Plan::Gather(_) => Place::Gather(Box::default()),
            Plan::All => Place::Base(Cursor::Start),
        };
        Some(Scan { open, plan, indexes, place })
    }

    /// From the end to the beginning: ranges of an ordered_set, or, for a table without pending writes, of an index.
    pub fn backward(open: Arc<OpenTable>, plan: Plan) -> Option<Scan> {
        let mut scan = Scan::new(open, plan)?;
        if let Plan::KeyRanges(ranges) | Plan::Index { ranges, .. } = &scan.plan {
            scan.place = Place::Back(ranges.len(), None);
        }
        Some(scan)
    }

    /// Goes no further.
    pub fn finish(&mut self) {
        self.place = Place::Done;
    }

    pub fn is_done(&self) -> bool {
        matches!(self.place, Place::Done)
    }

    /// Visits the rows of up to about `max` keys. The visitor may run under a read latch: it does bounded work and calls nothing
    /// of the table.
    pub fn step(&mut self, overlay: Option<&Overlay>, max: usize, visit: &mut dyn FnMut(&[Record])) {
        let open = self.open.clone();
        let overlay = overlay.filter(|o| !o.untouched(&open));
        let indexes = &self.indexes;
        match (&self.plan, &mut self.place) {
            (Plan::Keys(keys), Place::Key(at)) => {
                let end = keys.len().min(*at + max);
                look(&open, overlay, &keys[*at..end], visit);
                *at = end;
                if end == keys.len() {
                    self.place = Place::Done;
                }
            }
            (Plan::KeyRanges(ranges), Place::Range(at, after)) => {
                let Some(range) = ranges.get(*at) else { return self.place = Place::Done };
                let last = match overlay {
                    None => open.table.scan_range(range, after.as_deref(), max, |_, rows| visit(rows)),
                    Some(overlay) => {
                        let mut base = Vec::new();
                        let last = open.table.scan_range(range, after.as_deref(), max, |key, rows| {
                            base.extend(rows.iter().map(|row| (key.clone(), Some(row.clone()))))
                        });
                        merge(&open, overlay, range, after.as_ref(), Batch { base, last, max }, visit)
                    }
                };
                match last {
                    Some(last) => *after = Some(last),
                    None => (*at, *after) = (*at + 1, None),
                }
            }
            (Plan::All, Place::Base(cursor)) => {
                match overlay {
                    None => open.table.scan(cursor, max, visit),
                    Some(overlay) => {
                        // Rows are looked up again outside the latch only when the write set has their key.
                        open.table.scan(cursor, max, |rows| {
                            let key = open.table.key_of(&rows[0]);
                            if overlay.touches(&open, &key) {
                                visit(&overlay.over(&open, &key, rows));
                            } else {
                                visit(rows);
                            }
                        });
                    }
                }
                if *cursor == Cursor::End {
                    self.place = if overlay.is_some() { Place::Added(None) } else { Place::Done };
                }
            }
            (plan @ (Plan::Index { .. } | Plan::Both { .. }), Place::Index(at, after)) => {
                let (id, range, bound) = match plan {
                    Plan::Index { index, ranges, bound } => (*index, ranges.get(*at), *bound),
                    Plan::Both { first: (index, range), .. } => (*index, Some(range).filter(|_| *at == 0), 0),
                    _ => return self.place = Place::Done,
                };
                let (Some(index), Some(range)) = (used(indexes, id), range) else {
                    let merged = overlay.is_none() || open.table.is_ordered();
                    return self.place = if merged { Place::Done } else { Place::Added(None) };
                };
                let mut keys: Vec<KeyBytes> = Vec::new();
                let mut last = index.keys_bound(range, bound, after.as_deref(), max, |key| keys.push(key));
                if let Plan::Both { second: (second, range), .. } = plan {
                    keep_common(&open, overlay, used(indexes, *second), range, &mut keys);
                }
                match overlay.filter(|_| open.table.is_ordered()) {
                    Some(overlay) => {
                        // One value: its entries are in the order of the keys, and the key is what follows the value.
                        let value = range.low.len();
                        let key_of = |entry: &Vec<u8>| KeyBytes::from_slice(&entry[value..]);
                        let (from, more) = (after.as_ref().map(key_of), last.as_ref().map(key_of));
                        let base = keys.into_iter().map(|key| (key, None)).collect();
                        let met = merge(&open, overlay, &Range::all(), from.as_ref(), Batch { base, last: more, max }, visit);
                        last = met.map(|key| [&range.low, &key[..]].concat());
                    }
                    None => {
                        let keys: Vec<Key> = keys.into_iter().map(Key::of).collect();
                        look(&open, overlay, &keys, visit);
                    }
                }
                match last {
                    Some(last) => *after = Some(last),
                    None => (*at, *after) = (*at + 1, None),
                }
            }
            (Plan::Gather(sources), Place::Gather(gather)) => {
                if !gather.is_complete() {
                    return gather.gather(sources, indexes, &open, overlay, max);
                }
                let keys: Vec<Key> = std::iter::from_fn(|| gather.next()).take(max).map(Key::of).collect();
                look(&open, overlay, &keys, visit);
                if keys.len() < max {
                    self.place = Place::Done;
                }
            }
            (Plan::KeyRanges(ranges), Place::Back(left, before)) => {
                for _ in 0..max {
                    let Some(range) = left.checked_sub(1).and_then(|at| ranges.get(at)) else { return self.place = Place::Done };
                    let from = before.as_ref().or(range.high.as_ref()).map(|key| Key::of(KeyBytes::from_slice(key)));
                    let found = neighbour(&open, overlay, from, true).ok().flatten();
                    match found.map(|row| (open.table.key_of(&row), row)).filter(|(key, _)| key.bytes[..] >= range.low[..]) {
                        Some((key, row)) => {
                            visit(&[row]);
                            *before = Some(key.bytes.to_vec());
                        }
                        None => (*left, *before) = (*left - 1, None),
                    }
                }
            }
            (Plan::Index { index, ranges, .. }, Place::Back(left, before)) => {
                let range = left.checked_sub(1).and_then(|at| ranges.get(at));
                let (Some(index), Some(range)) = (used(indexes, *index), range) else { return self.place = Place::Done };
                let mut keys = Vec::new();
                let last = index.keys_back(range, before.as_deref(), max, |key| keys.push(Key::of(key)));
                look(&open, overlay, &keys, visit);
                match last {
                    Some(last) => *before = Some(last),
                    None => (*left, *before) = (*left - 1, None),
                }
            }
            (plan, Place::Added(after)) => {
                let Some(overlay) = overlay else { return self.place = Place::Done };
                for _ in 0..max {
                    let Some(key) = overlay.key_after(&open, after.as_ref()) else { return self.place = Place::Done };
                    let committed = open.table.rows(&key);
                    if !was_met(plan, indexes, &committed) {
                        visit(&overlay.over(&open, &key, &committed));
                    }
                    *after = Some(key);
                }
            }
            _ => self.place = Place::Done,
        }
    }
}

/// Has the scan come by these committed rows?
fn was_met(plan: &Plan, indexes: &Used, committed: &[Record]) -> bool {
    match plan {
        Plan::Both { first: (index, range), .. } => {
            used(indexes, *index).is_some_and(|index| committed.iter().any(|row| range.contains(&index.value(row))))
        }
        Plan::Index { index, ranges, .. } => used(indexes, *index).is_some_and(|index| {
            committed.iter().any(|row| {
                let form = index.value(row);
                ranges.iter().any(|range| range.contains(&form))
            })
        }),
        _ => !committed.is_empty(),
    }
}

/// Of rising keys keeps those that have the other value too, as far as that is known cheaply, and those of the write set, whose rows may
/// be others by now.
fn keep_common(open: &OpenTable, overlay: Option<&Overlay>, second: Option<&Index>, value: &Range, keys: &mut Vec<KeyBytes>) {
    let (Some(index), Some(first), Some(last)) = (second, keys.first(), keys.last()) else { return };
    let entry = |key: &KeyBytes| [&value.low, &key[..]].concat();
    let most = DENSER * keys.len();
    let span = Range { low: entry(first), high: after(&entry(last)) };
    let mut others: Vec<KeyBytes> = Vec::new();
    if index.keys_in(&span, None, most, |key| others.push(key)).is_some() {
        return;
    }
    let mut others = others.into_iter().peekable();
    keys.retain(|key| {
        while others.next_if(|other| other < key).is_some() {}
        others.peek() == Some(key) || overlay.is_some_and(|o| o.touches(open, &Key::of(key.clone())))
    });
}

/// Visits the rows of keys, in their order. Rows lie all over the memory: what will be read is fetched ahead.
pub(super) fn look(open: &OpenTable, overlay: Option<&Overlay>, keys: &[Key], visit: &mut dyn FnMut(&[Record])) {
    for batch in keys.chunks(BATCH) {
        batch.iter().for_each(|key| open.table.prefetch(key));
        batch.iter().for_each(|key| open.table.prefetch_rows(key));
        for key in batch {
            match overlay.filter(|overlay| overlay.touches(open, key)) {
                Some(overlay) => visit(&overlay.over(open, key, &open.table.rows(key))),
                None => open.table.look(key, &mut *visit),
            }
        }
    }
}

/// Committed keys of an ordered_set in order, with their row where it is at hand; `last` if there may be more after them.
struct Batch {
    base: Vec<(KeyBytes, Option<Record>)>,
    last: Option<KeyBytes>,
    max: usize,
}

/// Visits committed keys and those of the write set in one order, from `after` or the low end of the range on; answers where to go on.
fn merge(
    open: &OpenTable,
    overlay: &Overlay,
    range: &Range,
    after: Option<&KeyBytes>,
    batch: Batch,
    visit: &mut dyn FnMut(&[Record]),
) -> Option<KeyBytes> {
    // The write set is merged up to the last key seen, or to the end of the range when the committed keys have ended.
    let Batch { base, last: end, max } = batch;
    let within = |key: &Key| range.below_end(&key.bytes) && end.as_ref().is_none_or(|end| key.bytes <= *end);
    let mut changed = match after {
        Some(key) => overlay.key_after(open, Some(&Key::of(key.clone()))),
        None => overlay.key_from(open, &range.low),
    };
    changed = changed.filter(within);
    let mut base = base.into_iter().peekable();
    let mut last = None;
    for _ in 0..max {
        let (key, row, ours) = match (&changed, base.peek()) {
            (None, None) => return end,
            (Some(key), Some((committed, _))) if key.bytes > *committed => (None, base.next(), false),
            (Some(key), Some((committed, _))) if key.bytes == *committed => (Some(key.clone()), base.next(), true),
            (Some(key), _) => (Some(key.clone()), None, true),
            (None, Some(_)) => (None, base.next(), false),
        };
        match (key, row) {
            (Some(key), _) if ours => {
                visit(&overlay.over(open, &key, &open.table.rows(&key)));
                changed = overlay.key_after(open, Some(&key)).filter(within);
                last = Some(key.bytes);
            }
            (_, Some((key, Some(row)))) => {
                visit(&[row]);
                last = Some(key);
            }
            (_, Some((key, None))) => {
                open.table.look(&Key::of(key.clone()), &mut *visit);
                last = Some(key);
            }
            _ => {}
        }
    }
    if changed.is_none() && base.peek().is_none() {
        end
    } else {
        last
    }
}
