//! Answers in an order that the rows do not come in: all of them, or no more than the first few.
//!
//! The order is that of forms (see `term::key`), made of fields of the record: rising ones as they are, falling ones with every bit turned, which
//! turns their order too, as no form is the beginning of another. If only the first few are wanted, no more are kept. Otherwise runs are sorted
//! one by one and merged while they are read, so that no step is long however many there are.

use crate::term::{key, Record};
use smallvec::SmallVec;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::vec::IntoIter;

/// Answers that are sorted at once.
const RUN: usize = 1024;

type Form = SmallVec<[u8; 24]>;

/// A field, and whether from the greatest to the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    pub field: usize,
    pub falling: bool,
}

/// An answer in its place. Equal ones stay in the order in which they came.
struct Placed<T> {
    form: Form,
    number: u64,
    item: T,
}

impl<T> Placed<T> {
    fn place(&self) -> (&[u8], u64) {
        (&self.form, self.number)
    }
}

impl<T> PartialEq for Placed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl<T> Eq for Placed<T> {}

impl<T> PartialOrd for Placed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Placed<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

pub struct Sorted<T> {
    by: Box<[By]>,
    form: Vec<u8>,
    number: u64,
    kept: Kept<T>,
}

enum Kept<T> {
    /// No more than so many; the last of them on top.
    First(usize, BinaryHeap<Placed<T>>),
    All {
        run: Vec<Placed<T>>,
        runs: Vec<IntoIter<Placed<T>>>,
    },
    /// What is left of the first few, the next one last.
    Few(BinaryHeap<Placed<T>>, Vec<T>),
    /// The next of every run, and the runs.
    Merged(BinaryHeap<Reverse<(Placed<T>, usize)>>, Vec<IntoIter<Placed<T>>>),
}

impl<T> Sorted<T> {
    /// `most`: how many are wanted, if not all.
    pub fn new(by: Box<[By]>, most: Option<usize>) -> Sorted<T> {
        let kept = match most {
            Some(most) => Kept::First(most, BinaryHeap::new()),
            None => Kept::All { run: Vec::new(), runs: Vec::new() },
        };
        Sorted { by, form: Vec::new(), number: 0, kept }
    }

    /// Takes the answer of a record to its place; it is not even made if it comes too late.
    pub fn push(&mut self, record: &Record, item: impl FnOnce() -> T) {
        self.form.clear();
        let beside = record.attached().map(|a| &**a);
        for by in &self.by {
            let from = self.form.len();
            key::write(record.field(by.field), beside, &mut self.form);
            if by.falling {
                self.form[from..].iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
        let (form, number) = (&self.form[..], self.number);
        self.number += 1;
        let placed = || Placed { form: form.into(), number, item: item() };
        match &mut self.kept {
            Kept::First(most, heap) if heap.len() < *most => heap.push(placed()),
            Kept::First(_, heap) => {
                if let Some(mut last) = heap.peek_mut() {
                    if form < &last.form[..] {
                        *last = placed();
                    }
                }
            }
            Kept::All { run, runs } => {
                run.push(placed());
                if run.len() >= RUN {
                    runs.push(sorted(run));
                }
            }
            Kept::Few(..) | Kept::Merged(..) => {}
        }
    }

    /// After the last `push`: works about `max` answers further, giving out those whose place is certain. False at the end.
    pub fn take(&mut self, max: usize, mut out: impl FnMut(T)) -> bool {
        match &mut self.kept {
            Kept::First(_, heap) => self.kept = Kept::Few(std::mem::take(heap), Vec::new()),
            Kept::All { run, runs } => {
                if !run.is_empty() {
                    runs.push(sorted(run));
                }
                let mut runs = std::mem::take(runs);
                let first = |(number, run): (usize, &mut IntoIter<_>)| Some(Reverse((run.next()?, number)));
                self.kept = Kept::Merged(runs.iter_mut().enumerate().filter_map(first).collect(), runs);
            }
            Kept::Few(heap, few) if !heap.is_empty() => {
                few.extend(std::iter::from_fn(|| heap.pop()).take(max).map(|placed| placed.item));
            }
            Kept::Few(_, few) => {
                std::iter::from_fn(|| few.pop()).take(max).for_each(out);
                return !few.is_empty();
            }
            Kept::Merged(next, runs) => {
                for _ in 0..max {
                    let Some(Reverse((placed, number))) = next.pop() else { return false };
                    out(placed.item);
                    next.extend(runs[number].next().map(|placed| Reverse((placed, number))));
                }
            }
        }
        true
    }
}

fn sorted<T>(run: &mut Vec<Placed<T>>) -> IntoIter<Placed<T>> {
    let mut run = std::mem::take(run);
    run.sort_unstable();
    run.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::Writer;

    fn record(key: i64, value: i64) -> Record {
        let mut w = Writer::new();
        w.int(key);
        let start = w.len() as u32;
        w.int(value);
        Record::build(&[0, start], &w.buf, false, None)
    }

    /// Every number of answers wanted, in one direction and the other, by one field and by two.
    #[test]
    fn as_a_sort_of_all() {
        let rows: Vec<(i64, i64)> = (0..3000).map(|n| (n, n * 7919 % 101 - 50)).collect();
        let by = |field, falling| By { field, falling };
        for by in [vec![by(1, false)], vec![by(1, true)], vec![by(1, true), by(0, false)], vec![by(0, true)], vec![]] {
            let mut expected = rows.clone();
            expected.sort_by(|a, b| {
                let one = |by: &By| {
                    let order = if by.field == 0 { a.0.cmp(&b.0) } else { a.1.cmp(&b.1) };
                    if by.falling {
                        order.reverse()
                    } else {
                        order
                    }
                };
                by.iter().map(one).fold(Ordering::Equal, Ordering::then)
            });
            for most in [None, Some(0), Some(1), Some(10), Some(2999), Some(5000)] {
                let mut sorted = Sorted::new(by.clone().into(), most);
                rows.iter().for_each(|&(key, value)| sorted.push(&record(key, value), || (key, value)));
                let mut all = Vec::new();
                while sorted.take(100, |item| all.push(item)) {}
                assert_eq!(all, expected[..most.unwrap_or(3000).min(3000)], "{by:?} {most:?}");
            }
        }
    }
}
