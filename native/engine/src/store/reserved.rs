//! A commit on its way to the log.

use super::disc::{rows_to_disc, Atoms};
use super::disc_atoms::Dictionary;
use super::disc_key::{base_key, base_key_of};
use super::log::{Log, Reservation};
use super::{ops, Position, StoreError};
use crate::term::{Attached, Record};
use std::cell::RefCell;

/// A table as the log knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    pub number: u32,
    /// Numbers in keys by value.
    pub ordered: bool,
}

/// What a commit has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// On disc when everything below this is.
    pub position: Position,
    /// The log is broken: the commit is in memory and queued for the log, in no file yet. It may not be answered as done.
    pub not_durable: Option<StoreError>,
}

/// Buffers of a commit, used again by the next of the same thread.
#[derive(Default)]
struct Scratch {
    payload: Vec<u8>,
    atoms: Atoms,
}

thread_local! {
    static SCRATCH: RefCell<Option<Box<Scratch>>> = const { RefCell::new(None) };
}

/// Buffers larger than this are not kept.
const KEEP: usize = 1 << 20;

/// Operations of one commit: encoded here, then appended in one step under the latches of the tables they change. Dropped without
/// [`Reserved::commit`] it has done nothing.
pub struct Reserved<'a> {
    log: &'a Log,
    dictionary: &'a Dictionary,
    reservation: Reservation,
    scratch: Option<Box<Scratch>>,
}

impl<'a> Reserved<'a> {
    #[inline]
    pub(super) fn new(log: &'a Log, dictionary: &'a Dictionary, reservation: Reservation) -> Reserved<'a> {
        let scratch = SCRATCH.with_borrow_mut(Option::take);
        let mut scratch = scratch.unwrap_or_default();
        scratch.payload.clear();
        scratch.atoms.begin();
        Reserved { log, dictionary, reservation, scratch: Some(scratch) }
    }

    fn parts(&mut self) -> (&mut Vec<u8>, &mut Atoms) {
        // Taken by `drop` alone.
        let Scratch { payload, atoms } = &mut **self.scratch.get_or_insert_default();
        (payload, atoms)
    }

    /// The key of these rows has them from now on: one of a set, any number of a bag, in their order. On error nothing is added.
    #[inline]
    pub fn put(&mut self, table: Table, rows: &[Record]) -> Result<(), StoreError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let dictionary = self.dictionary;
        let (payload, atoms) = self.parts();
        // Both write into one buffer, one after the other.
        let atoms = RefCell::new(atoms);
        ops::put(
            payload,
            table.number,
            |out| base_key(table.ordered, first, dictionary, &mut atoms.borrow_mut(), out),
            |out| rows_to_disc(rows, dictionary, &mut atoms.borrow_mut(), out),
        )
    }

    /// The key of this record, which was there, has no rows from now on.
    pub fn delete(&mut self, table: Table, record: &Record) -> Result<(), StoreError> {
        let dictionary = self.dictionary;
        let (payload, atoms) = self.parts();
        ops::delete(payload, table.number, |out| base_key(table.ordered, record, dictionary, atoms, out))
    }

    /// The same for a flat key; `attached` holds the contents of its large binaries, `negative_zero` says that a `-0.0` may be in
    /// it.
    pub fn delete_key(
        &mut self,
        table: Table,
        flat: &[u8],
        negative_zero: bool,
        attached: Option<&dyn Attached>,
    ) -> Result<(), StoreError> {
        let dictionary = self.dictionary;
        let (payload, atoms) = self.parts();
        ops::delete(payload, table.number, |out| {
            base_key_of(table.ordered, flat, negative_zero, attached, dictionary, atoms, out)
        })
    }

    /// The table is empty from here on.
    pub fn clear(&mut self, table: Table) {
        ops::clear(self.parts().0, table.number);
    }

    /// The table is there, with this definition: a new one, or a change.
    pub fn define(&mut self, table: Table, definition: &[u8]) -> Result<(), StoreError> {
        let bytes = [&[u8::from(table.ordered)], definition].concat();
        ops::define(self.parts().0, table.number, &bytes)
    }

    /// The table is gone, with all its rows.
    pub fn drop_table(&mut self, table: Table) {
        ops::drop_table(self.parts().0, table.number);
    }

    /// A small value by name, or none.
    pub fn note(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        ops::note(self.parts().0, name, value)
    }

    /// Bytes so far, as [`super::Store::begin`] counts them.
    pub fn bytes(&mut self) -> u64 {
        self.parts().0.len() as u64
    }

    /// Appends the operations: they are committed, and survive the death of the process, when this returns.
    #[inline]
    pub fn commit(mut self) -> Committed {
        let (log, dictionary, reservation) = (self.log, self.dictionary, self.reservation);
        let (payload, atoms) = self.parts();
        if payload.is_empty() {
            return Committed { position: log.tail(), not_durable: None };
        }
        let appended = log.append(payload, &atoms.used, dictionary);
        log.settle(reservation, &appended);
        self.reservation = Reservation::default();
        Committed { position: appended.position, not_durable: appended.unfiled }
    }
}

impl Drop for Reserved<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.reservation != Reservation::default() {
            self.log.unreserve(self.reservation);
        }
        if let Some(scratch) = self.scratch.take().filter(|s| s.payload.capacity() <= KEEP) {
            // While the thread ends there is no place to keep it.
            let _ = SCRATCH.try_with(|kept| *kept.borrow_mut() = Some(scratch));
        }
    }
}
