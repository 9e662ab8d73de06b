//! Sets of values that a guard leaves possible, as intervals of the ordered form.
//!
//! An interval remembers the literals that it came from: to show them to a person, and because a hash table can be asked only for
//! the very bytes of a key.

use crate::term::range::{after, Range};

/// One end: a literal of the program, itself included or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub literal: usize,
    pub inclusive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    pub range: Range,
    pub from: Option<End>,
    pub to: Option<End>,
    /// Of one value: only what is `=:=` to it, not what is `==`.
    pub exact: bool,
    /// Not the whole value but its first elements are bound: the literals of these, and how many elements there are. `from`
    /// and `to` then are of the element after them.
    pub prefix: Option<Prefix>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub literals: Vec<usize>,
    pub elements: usize,
}

impl Interval {
    pub fn point(literal: usize, form: Vec<u8>, exact: bool) -> Interval {
        let end = Some(End { literal, inclusive: true });
        Interval { range: Range::of(form), from: end, to: end, exact, prefix: None }
    }

    pub fn above(literal: usize, form: Vec<u8>, inclusive: bool) -> Interval {
        let low = if inclusive { Some(form) } else { after(&form) };
        let from = Some(End { literal, inclusive });
        Interval { range: Range { low: low.unwrap_or_default(), high: None }, from, to: None, exact: false, prefix: None }
    }

    pub fn below(literal: usize, form: Vec<u8>, inclusive: bool) -> Interval {
        let high = if inclusive { after(&form) } else { Some(form) };
        let to = Some(End { literal, inclusive });
        Interval { range: Range { low: Vec::new(), high }, from: None, to, exact: false, prefix: None }
    }

    /// The literal that is the one value in it, but for the type of numbers.
    pub fn value(&self) -> Option<usize> {
        match self.from {
            Some(End { literal, inclusive: true }) if self.prefix.is_none() && self.range.is_prefix() => Some(literal),
            _ => None,
        }
    }

    fn and(&self, other: &Interval) -> Option<Interval> {
        let (lower, upper) = (self.range.low >= other.range.low, ends_before(&self.range, &other.range));
        let (low, high) = (if lower { self } else { other }, if upper { self } else { other });
        let range = Range { low: low.range.low.clone(), high: high.range.high.clone() };
        if range.is_empty() {
            return None;
        }
        if low.range == range {
            // One is within the other; of two that are the same the exact one says more.
            let inner = if self.range == other.range && other.exact { other } else { low };
            return Some(inner.clone());
        }
        if high.range == range {
            return Some(high.clone());
        }
        let prefix = low.prefix.clone().filter(|_| low.prefix == high.prefix);
        if prefix.is_none() && (low.prefix.is_some() || high.prefix.is_some()) {
            // Ends of different things cannot be shown as one interval; the whole of one of them is no less true.
            return Some(if low.prefix.is_some() { low.clone() } else { high.clone() });
        }
        Some(Interval { range, from: low.from, to: high.to, exact: false, prefix })
    }
}

fn ends_before(a: &Range, b: &Range) -> bool {
    match (&a.high, &b.high) {
        (Some(a), Some(b)) => a <= b,
        (end, None) => end.is_some(),
        (None, Some(_)) => false,
    }
}

/// Intervals in any order; [`Intervals::sorted`] makes them rising and disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals {
    list: Vec<Interval>,
    sorted: bool,
}

impl From<Interval> for Intervals {
    fn from(one: Interval) -> Self {
        Intervals { list: vec![one], sorted: true }
    }
}

impl Intervals {
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The values of both. The smaller list moves, so a chain of any length costs no more than its parts.
    pub fn join(&mut self, mut other: Intervals) {
        if other.list.len() > self.list.len() {
            std::mem::swap(self, &mut other);
        }
        self.list.append(&mut other.list);
        self.sorted = self.list.len() < 2;
    }

    pub fn push(&mut self, one: Interval) {
        self.list.push(one);
        self.sorted = self.list.len() < 2;
    }

    /// Rising and disjoint.
    pub fn sorted(&mut self) -> &[Interval] {
        if !self.sorted {
            self.list.retain(|one| !one.range.is_empty());
            self.list.sort_by(|a, b| a.range.low.cmp(&b.range.low));
            let mut merged: Vec<Interval> = Vec::with_capacity(self.list.len());
            for next in self.list.drain(..) {
                match merged.last_mut() {
                    Some(last) if last.range.below_end(&next.range.low) => merge(last, next),
                    _ => merged.push(next),
                }
            }
            self.list = merged;
            self.sorted = true;
        }
        &self.list
    }

    /// The values that are in both.
    pub fn meet(&mut self, mut other: Intervals) {
        let (a, b) = (self.sorted(), other.sorted());
        let (mut i, mut j) = (0, 0);
        let mut list = Vec::new();
        while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
            list.extend(x.and(y));
            if ends_before(&x.range, &y.range) {
                i += 1;
            } else {
                j += 1;
            }
        }
        // What could not be narrowed exactly may overlap.
        *self = Intervals { sorted: list.len() < 2, list };
    }
}

/// Makes `last` hold `next` too, which begins inside of it.
fn merge(last: &mut Interval, next: Interval) {
    if last.range == next.range {
        last.exact &= next.exact && last.from == next.from;
        if last.prefix != next.prefix {
            (last.prefix, last.from, last.to) = (None, None, None);
        }
    } else if !ends_before(&next.range, &last.range) {
        last.range.high = next.range.high;
        last.to = next.to.filter(|_| last.prefix == next.prefix);
        if last.prefix != next.prefix {
            (last.prefix, last.from) = (None, None);
        }
        last.exact = false;
    } else {
        last.exact = false;
    }
}
