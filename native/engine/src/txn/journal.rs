//! Changes of durable tables on their way to the log.
//!
//! The commit point is the append, which happens under the latches of all rows that change: so for every record the order in the log
//! is the order in memory. What can fail is done before: room is set aside, and new records are brought into their form. A bag's rows
//! and what a deletion finds are known under the latches only; they were in that form before.

use super::Stop;
use crate::store::{Reserved, Store, StoreError, Table as LogTable};
use crate::table::below::Failure;
use crate::table::{Change, Rows, Sink, Step, Table};
use crate::term::Record;
use std::cell::{Cell, RefCell};

thread_local! {
    static POSITION: Cell<Option<u64>> = const { Cell::new(None) };
    static REFUSAL: RefCell<Option<StoreError>> = const { RefCell::new(None) };
}

/// Keeps the reason of a refusal for the host, which asks for it on the same thread.
#[cold]
pub fn refuse(error: StoreError) -> Stop {
    REFUSAL.set(Some(error));
    Stop::Refused
}

/// The same for rows that cannot be read.
#[cold]
pub fn unreadable(failure: Failure) -> Stop {
    refuse(cause(failure))
}

/// What a read of the disc has failed with.
pub fn cause(failure: Failure) -> StoreError {
    match failure.downcast::<StoreError>() {
        Ok(error) => *error,
        Err(other) => StoreError::Base { code: 0, what: other.to_string().into() },
    }
}

/// Why the last operation of this thread answered [`Stop::Refused`].
pub fn refusal() -> Option<StoreError> {
    REFUSAL.take()
}

/// Where in the log the last commit of this thread ends; asked once. None: it changed nothing on disc.
pub fn position() -> Option<u64> {
    POSITION.take()
}

/// What was left of an operation that nobody asked about must not be taken for the next one's.
#[inline]
pub fn forget_position() {
    POSITION.set(None);
}

/// The table as the log knows it, if its rows are on disc.
pub fn log_table(table: &Table) -> Option<LogTable> {
    table.logged().map(|number| LogTable { number, ordered: table.is_ordered() })
}

/// The same if only its definition may be there.
pub fn place_in_log(table: &Table) -> Option<LogTable> {
    table.number().map(|number| LogTable { number, ordered: table.is_ordered() })
}

/// Room for one operation beside its records.
const OPERATION: u64 = 64;

/// One commit.
pub struct Journal<'a> {
    reserved: Option<Reserved<'a>>,
    /// New records of sets have been encoded already.
    encoded: bool,
    /// Something changed, so there is something to append.
    happened: bool,
    error: Option<StoreError>,
}

impl<'a> Journal<'a> {
    /// Sets room aside for about `bytes` of records.
    pub fn begin(store: &'a Store, bytes: u64) -> Result<Journal<'a>, Stop> {
        match store.begin(bytes + OPERATION) {
            Ok(Some(reserved)) => Ok(Journal { reserved: Some(reserved), encoded: false, happened: false, error: None }),
            Ok(None) => Err(Stop::Room(bytes + OPERATION)),
            Err(error) => Err(refuse(error)),
        }
    }

    /// The same for the changes of a transaction; what is known of them already is encoded.
    pub fn of(store: &'a Store, steps: &[Step]) -> Result<Journal<'a>, Stop> {
        let bytes = steps.iter().filter(|step| step.table.logged().is_some()).map(|step| OPERATION + weight(step.change)).sum();
        let mut journal = Journal::begin(store, bytes)?;
        for step in steps {
            if let (Change::Put(record), Some(table)) = (&*step.change, log_table(step.table)) {
                journal.with(|reserved| reserved.put(table, std::slice::from_ref(record)))?;
            }
        }
        (journal.encoded, journal.happened) = (true, true);
        Ok(journal)
    }

    /// The same for the write of one record.
    pub fn of_write(store: &'a Store, table: &Table, record: &Record) -> Result<Journal<'a>, Stop> {
        let mut journal = Journal::begin(store, record.memory() as u64)?;
        if let (false, Some(table)) = (table.kind().is_bag(), log_table(table)) {
            journal.with(|reserved| reserved.put(table, std::slice::from_ref(record)))?;
            journal.encoded = true;
        }
        Ok(journal)
    }

    fn with(&mut self, f: impl FnOnce(&mut Reserved<'a>) -> Result<(), StoreError>) -> Result<(), Stop> {
        self.reserved.as_mut().map_or(Ok(()), f).map_err(refuse)
    }

    /// Encodes the rest of a large commit, whose keys nobody else changes until it is applied.
    pub fn encode_rest(&mut self, steps: &[Step]) -> Result<(), Stop> {
        for step in steps {
            if step.table.logged().is_none() || matches!(step.change, Change::Put(_)) {
                continue;
            }
            let before = step.table.rows(step.key);
            let after = step.change.clone().apply(step.table.kind(), Rows::new(before.to_vec()));
            if !self.changed(step.table, &before, after.as_ref().map_or(&[], Rows::as_slice)) {
                return self.finish();
            }
        }
        Ok(())
    }

    /// What is wrong, if anything is: a refusal when nothing was appended, else a commit that is in memory and not on disc.
    pub fn finish(&mut self) -> Result<(), Stop> {
        self.error.take().map_or(Ok(()), |error| Err(refuse(error)))
    }
}

/// Bytes of the records that a change brings.
pub fn weight(change: &Change) -> u64 {
    let bytes = |record: &Record| record.memory() as u64;
    match change {
        Change::Put(record) => bytes(record),
        Change::Delete => 0,
        Change::Bag { steps, .. } => steps.iter().map(|step| bytes(step.record())).sum(),
    }
}

impl Sink for Journal<'_> {
    const TOLD: bool = true;

    fn changed(&mut self, table: &Table, before: &[Record], after: &[Record]) -> bool {
        let (Some(log), Some(reserved)) = (log_table(table), &mut self.reserved) else { return true };
        self.happened = true;
        let told = match (before, after) {
            ([], []) => Ok(()),
            ([old, ..], []) => reserved.delete(log, old),
            (_, rows) if table.kind().is_bag() || !self.encoded => reserved.put(log, rows),
            _ => Ok(()),
        };
        // A transaction that has come here goes on: what is refused now can only be too large for the log.
        let goes_on = told.is_ok() || self.encoded;
        self.error = self.error.take().or(told.err());
        goes_on
    }

    fn cleared(&mut self, table: &Table) {
        if let (Some(log), Some(reserved)) = (log_table(table), &mut self.reserved) {
            reserved.clear(log);
            self.happened = true;
        }
    }

    fn done(&mut self) {
        if !self.happened || (self.error.is_some() && !self.encoded) {
            return;
        }
        if let Some(reserved) = self.reserved.take() {
            let committed = reserved.commit();
            POSITION.set(Some(committed.position));
            self.error = self.error.take().or(committed.not_durable);
        }
    }
}
