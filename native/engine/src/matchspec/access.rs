//! From bounds to what a table can be asked for: ranges of a field's ordered form, and the very keys of a hash table.

use super::bounds::Alternative;
use super::interval::{Interval, Intervals, Prefix};
use super::program::{Operand, Program, Step};
use super::variants::variants;
use crate::term::key::class;
use crate::term::range::{after, Range};
use crate::term::tag::*;
use crate::term::{form_size, read, skip, Term};

/// More keys than this in one search are not looked up one by one.
const MAX_KEYS: usize = 16 * 1024;

impl Program {
    /// Ranges that the field is in, in all of these alternatives: rising and disjoint. None if it can be anything in one of them.
    pub fn ranges(&self, alternatives: &[Alternative], field: usize) -> Option<Vec<Interval>> {
        let mut all = Intervals::default();
        for alternative in alternatives {
            all.join(self.field_values(alternative, field)?);
        }
        let ranges = all.sorted();
        let open = ranges.iter().any(|one| one.range == Range::all());
        (!open).then(|| ranges.to_vec())
    }

    /// Is a pid, port, reference or closure of this node named anywhere?
    pub fn of_this_node(&self) -> bool {
        self.literals.iter().any(|flat| {
            let mut at = 0;
            while let Some(&tag) = flat.get(at) {
                at += match tag {
                    PID | PORT | REF | FUN => return true,
                    LIST | IMPROPER | TUPLE | MAP => 3,
                    LIST_L | IMPROPER_L | TUPLE_L | MAP_L => 9,
                    _ => form_size(&flat[at..]),
                };
            }
            false
        })
    }

    /// Bytes of all keys that are in these intervals, if each is one value and they are not too many.
    pub fn keys(&self, intervals: &[Interval]) -> Option<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        for interval in intervals {
            let literal = &self.literals[interval.value()?];
            if interval.exact {
                keys.push(literal.to_vec());
            } else {
                keys.append(&mut variants(literal)?);
            }
            if keys.len() > MAX_KEYS {
                return None;
            }
        }
        Some(keys)
    }

    /// Fields that every alternative bounds: an index on one of them could be used.
    pub fn bounded_fields(&self, alternatives: &[Alternative], fields: usize) -> Vec<usize> {
        let bounded = |field: &usize| alternatives.iter().all(|a| self.field_values(a, *field).is_some());
        (0..fields).filter(|field| !alternatives.is_empty() && bounded(field)).collect()
    }

    pub(super) fn field_values(&self, alternative: &Alternative, field: usize) -> Option<Intervals> {
        let whole = alternative.conditions.iter().find(|c| c.place == Operand::Field(field)).map(|c| c.values.clone());
        let clause = &self.clauses[alternative.clause];
        let pattern = clause.patterns.iter().find(|(f, _)| *f == field);
        let within = pattern.and_then(|(_, steps)| self.prefix_values(steps, alternative));
        match (whole, within) {
            (Some(mut whole), Some(within)) => {
                whole.meet(within);
                Some(whole)
            }
            (whole, within) => whole.or(within),
        }
    }

    /// What a pattern says: a tuple of this size, these elements first, then one in a range. Within lists and maps it is not
    /// looked, but for the kind of the term.
    fn prefix_values(&self, steps: &[Step], alternative: &Alternative) -> Option<Intervals> {
        let elements = match steps.first()? {
            Step::Tuple(count) => *count,
            Step::Map => return Some(of_kind(class::MAP)),
            Step::List(_) | Step::Improper(_) | Step::Cells(_) => return Some(of_kind(class::CONS)),
            _ => return None,
        };
        let mut form = vec![class::TUPLE];
        form.extend_from_slice(&u32::try_from(elements).ok()?.to_be_bytes());
        let mut prefix = Prefix { literals: Vec::new(), elements };
        for step in &steps[1..] {
            let place = match *step {
                Step::Literal(literal) | Step::Check(Operand::Literal(literal)) => {
                    form.append(&mut self.form(literal));
                    prefix.literals.push(literal);
                    continue;
                }
                Step::Bind(slot) => Operand::Slot(slot),
                Step::Check(place) => place,
                _ => break,
            };
            let Some(condition) = alternative.conditions.iter().find(|c| c.place == place) else { break };
            let mut values = condition.values.clone();
            match values.sorted() {
                [one] if one.value().is_some() => {
                    form.extend_from_slice(&one.range.low);
                    prefix.literals.extend(one.value());
                }
                many => {
                    let mut all = Intervals::default();
                    many.iter().for_each(|one| all.push(under(&form, &prefix, one)));
                    return Some(all);
                }
            }
        }
        let range = Range::of(form);
        Some(Interval { range, from: None, to: None, exact: false, prefix: Some(prefix) }.into())
    }

    /// A literal, to be shown.
    pub fn shown(&self, literal: usize) -> &[u8] {
        &self.literals[literal]
    }
}

/// An interval of the element that follows a prefix.
fn under(form: &[u8], prefix: &Prefix, one: &Interval) -> Interval {
    let low = [form, &one.range.low].concat();
    let high = match &one.range.high {
        Some(high) => Some([form, high].concat()),
        None => after(form),
    };
    // Of prefixes within prefixes only the outer one is shown.
    let shown = one.prefix.is_none();
    Interval {
        range: Range { low, high },
        from: one.from.filter(|_| shown),
        to: one.to.filter(|_| shown),
        exact: false,
        prefix: Some(prefix.clone()),
    }
}

fn of_kind(class: u8) -> Intervals {
    let prefix = Some(Prefix { literals: Vec::new(), elements: 0 });
    Interval { range: Range::of(vec![class]), from: None, to: None, exact: false, prefix }.into()
}

/// Could a key with these bytes need the care for `-0.0`?
pub fn may_hold_zero(flat: &[u8]) -> bool {
    match read(flat).0 {
        Term::Float(f) => f == 0.0,
        Term::Tuple(_) | Term::List(_) | Term::Improper(_) | Term::Map(_) | Term::Fun(_) => true,
        _ => {
            debug_assert!(skip(flat).is_empty());
            false
        }
    }
}
