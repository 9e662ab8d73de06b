//! Keys from several places, each once and in order.
//!
//! Used where rows cannot be visited as they are found: those of an ordered_set must come in key order, and a key that two searches
//! find, or two rows of a bag, must come once. Keys are gathered in runs that are sorted one by one, then merged while they
//! are visited, so that no step is long however many they are.

use super::open::OpenTable;
use super::overlay::Overlay;
use super::scan::{used, Used};
use crate::table::{IndexId, Key, KeyBytes};
use crate::term::range::Range;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Keys that are sorted at once.
const RUN: usize = 1024;

/// Where keys come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Keys(Vec<Key>),
    KeyRanges(Vec<Range>),
    /// `bound`: so many of the first fields are one value in each range.
    Index {
        index: IndexId,
        ranges: Vec<Range>,
        bound: usize,
    },
}

impl Source {
    pub fn index(&self) -> Option<IndexId> {
        match self {
            Source::Index { index, .. } => Some(*index),
            Source::Keys(_) | Source::KeyRanges(_) => None,
        }
    }
}

/// How far it has come with the source at hand.
#[derive(Clone, Default)]
struct Place {
    source: usize,
    range: usize,
    after: Option<Vec<u8>>,
}

/// Sorted keys and how many of them have been given out; a copy shares the keys.
#[derive(Clone)]
struct Run {
    keys: Arc<[KeyBytes]>,
    given: usize,
}

impl Run {
    fn next(&mut self) -> Option<KeyBytes> {
        let key = self.keys.get(self.given)?.clone();
        self.given += 1;
        Some(key)
    }
}

#[derive(Clone, Default)]
pub struct Gather {
    place: Place,
    /// The last key of the write set that was taken.
    changed: Option<Key>,
    run: Vec<KeyBytes>,
    runs: Vec<Run>,
    /// The next key of every run, once all is gathered.
    next: BinaryHeap<Reverse<(KeyBytes, usize)>>,
    last: Option<KeyBytes>,
    complete: bool,
}

impl Gather {
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Takes up to about `max` keys more. The keys of the write set are a source too: whoever looks at them sees what became of them.
    pub fn gather(&mut self, sources: &[Source], indexes: &Used, open: &OpenTable, overlay: Option<&Overlay>, max: usize) {
        match sources.get(self.place.source) {
            Some(Source::Keys(keys)) => {
                self.run.extend(keys.iter().map(|key| key.bytes.clone()));
                self.place = Place { source: self.place.source + 1, ..Place::default() };
            }
            Some(Source::KeyRanges(ranges)) => match ranges.get(self.place.range) {
                Some(range) => {
                    let run = &mut self.run;
                    let last = open.table.scan_range(range, self.place.after.as_deref(), max, |key, _| run.push(key.clone()));
                    self.advance(last.map(|key| key.to_vec()));
                }
                None => self.place = Place { source: self.place.source + 1, ..Place::default() },
            },
            Some(Source::Index { index, ranges, .. }) => match (ranges.get(self.place.range), used(indexes, *index)) {
                (Some(range), Some(index)) => {
                    let run = &mut self.run;
                    let last = index.keys_in(range, self.place.after.as_deref(), max, |key| run.push(key));
                    self.advance(last);
                }
                _ => self.place = Place { source: self.place.source + 1, ..Place::default() },
            },
            None => {
                let Some(overlay) = overlay else { return self.finish() };
                for _ in 0..max {
                    let Some(key) = overlay.key_after(open, self.changed.as_ref()) else { return self.finish() };
                    self.run.push(key.bytes.clone());
                    self.changed = Some(key);
                }
            }
        }
        if self.run.len() >= RUN {
            self.close_run();
        }
    }

    fn advance(&mut self, last: Option<Vec<u8>>) {
        match last {
            Some(last) => self.place.after = Some(last),
            None => (self.place.range, self.place.after) = (self.place.range + 1, None),
        }
    }

    fn close_run(&mut self) {
        let mut run = std::mem::take(&mut self.run);
        run.sort_unstable();
        self.runs.push(Run { keys: run.into(), given: 0 });
    }

    fn finish(&mut self) {
        self.close_run();
        for (number, run) in self.runs.iter_mut().enumerate() {
            self.next.extend(run.next().map(|key| Reverse((key, number))));
        }
        self.complete = true;
    }

    /// The next key; none at the end.
    pub fn next(&mut self) -> Option<KeyBytes> {
        loop {
            let Reverse((key, number)) = self.next.pop()?;
            self.next.extend(self.runs[number].next().map(|next| Reverse((next, number))));
            if self.last.as_ref() != Some(&key) {
                self.last = Some(key.clone());
                return Some(key);
            }
        }
    }
}
