//! Bounds of an index on several fields: values of the first ones, then a range of the next.

use super::bounds::Alternative;
use super::interval::Interval;
use super::program::Program;
use crate::term::range::{after, Range};

/// Values of several fields are not multiplied out beyond this many ranges.
const MAX_SPANS: usize = 1024;

/// What a spec asks of an index.
pub struct Spans {
    /// By field, as far as they are used.
    pub bounds: Vec<(usize, Vec<Interval>)>,
    /// Of the forms of the fields, one after the other: rising and disjoint.
    pub ranges: Vec<Range>,
    /// So many fields are one value in each range.
    pub bound: usize,
    /// Nothing but values bounds them.
    pub values: bool,
}

/// Of one alternative.
struct Span {
    ranges: Vec<Range>,
    bound: usize,
    /// Fields that are used.
    used: usize,
}

impl Program {
    /// Where to look in an index on these fields; none if the first can be anything.
    pub fn spans(&self, alternatives: &[Alternative], fields: &[usize]) -> Option<Spans> {
        let (&first, rest) = fields.split_first()?;
        let intervals = self.ranges(alternatives, first)?;
        let values = intervals.iter().all(|interval| interval.value().is_some());
        if rest.is_empty() || !values {
            let ranges = intervals.iter().map(|interval| interval.range.clone()).collect();
            return Some(Spans { bounds: vec![(first, intervals)], ranges, bound: usize::from(values), values });
        }
        let spans: Vec<Span> = alternatives.iter().map(|alternative| self.span(alternative, fields)).collect();
        let least = |of: fn(&Span) -> usize| spans.iter().map(of).min().unwrap_or(0);
        let (bound, used) = (least(|span| span.bound), least(|span| span.used));
        let bounds = fields[..used].iter().filter_map(|&field| Some((field, self.ranges(alternatives, field)?))).collect();
        let values = spans.iter().all(|span| span.bound == span.used);
        Some(Spans { bounds, ranges: disjoint(spans.into_iter().flat_map(|span| span.ranges).collect()), bound, values })
    }

    fn span(&self, alternative: &Alternative, fields: &[usize]) -> Span {
        let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
        let whole =
            |prefixes: Vec<Vec<u8>>, bound| Span { ranges: prefixes.into_iter().map(Range::of).collect(), bound, used: bound };
        for (depth, &field) in fields.iter().enumerate() {
            let Some(mut values) = self.field_values(alternative, field) else { return whole(prefixes, depth) };
            let values = values.sorted();
            let open = values.iter().any(|one| one.range == Range::all());
            if open || (depth > 0 && prefixes.len() * values.len() > MAX_SPANS) {
                return whole(prefixes, depth);
            }
            let pairs = prefixes.iter().flat_map(|prefix| values.iter().map(move |value| (prefix, &value.range)));
            if !values.iter().all(|one| one.value().is_some()) {
                return Span {
                    ranges: pairs.map(|(prefix, range)| under(prefix, range)).collect(),
                    bound: depth,
                    used: depth + 1,
                };
            }
            prefixes = pairs.map(|(prefix, range)| [&prefix[..], &range.low].concat()).collect();
        }
        whole(prefixes, fields.len())
    }
}

/// A range of what follows a prefix.
fn under(prefix: &[u8], range: &Range) -> Range {
    let high = match &range.high {
        Some(high) => Some([prefix, high].concat()),
        None => after(prefix),
    };
    Range { low: [prefix, &range.low].concat(), high }
}

fn disjoint(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by(|a, b| a.low.cmp(&b.low));
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for next in ranges {
        match merged.last_mut() {
            Some(last) if last.below_end(&next.low) => {
                let longer = match (&last.high, &next.high) {
                    (Some(a), Some(b)) => b > a,
                    (high, None) => high.is_some(),
                    (None, Some(_)) => false,
                };
                if longer {
                    last.high = next.high;
                }
            }
            _ => merged.push(next),
        }
    }
    merged
}
