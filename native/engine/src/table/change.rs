//! What a transaction does to the rows of one key, and what the rows then are.

use super::rows::Rows;
use super::Kind;
use crate::term::Record;

/// One step on a bag.
#[derive(Clone, Debug)]
pub enum BagStep {
    Add(Record),
    Remove(Record),
}

impl BagStep {
    pub fn record(&self) -> &Record {
        match self {
            BagStep::Add(record) | BagStep::Remove(record) => record,
        }
    }
}

/// The wanted state of a key. A bag keeps its steps instead of the resulting rows, so that what others wrote without a lock
/// in the meantime is not lost.
#[derive(Clone, Debug)]
pub enum Change {
    Put(Record),
    Delete,
    /// `cleared`: the rows that were there before go first.
    Bag {
        cleared: bool,
        steps: Vec<BagStep>,
    },
}

impl Change {
    /// A write of one record.
    pub fn write(kind: Kind, record: Record) -> Change {
        if kind.is_bag() {
            Change::Bag { cleared: false, steps: vec![BagStep::Add(record)] }
        } else {
            Change::Put(record)
        }
    }

    /// This change and then `next`, as one.
    pub fn then(self, next: Change) -> Change {
        match (self, next) {
            (Change::Bag { cleared, mut steps }, Change::Bag { cleared: false, steps: more }) => {
                steps.extend(more);
                Change::Bag { cleared, steps }
            }
            (Change::Delete, Change::Bag { steps, .. }) => Change::Bag { cleared: true, steps },
            (_, next) => next,
        }
    }

    /// The rows after this change.
    pub fn apply(self, kind: Kind, before: Option<Rows>) -> Option<Rows> {
        match self {
            Change::Put(record) => Some(Rows::one(record)),
            Change::Delete => None,
            Change::Bag { cleared, steps } => {
                let mut rows = if cleared { Vec::new() } else { before.map_or_else(Vec::new, Rows::into_vec) };
                for step in steps {
                    match step {
                        // A record that a bag has already keeps its place.
                        BagStep::Add(record) if kind == Kind::Bag && rows.iter().any(|r| r.same(&record)) => {}
                        BagStep::Add(record) => rows.push(record),
                        BagStep::Remove(record) => rows.retain(|r| !r.same(&record)),
                    }
                }
                Rows::new(rows)
            }
        }
    }
}
