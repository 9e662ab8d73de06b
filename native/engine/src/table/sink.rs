//! Where the changes of durable tables go, as they happen.

use super::Table;
use crate::term::Record;

/// Told what becomes of each key under the latch of its part, and of the end while all latches are still held: so for every record
/// the order here is the order in memory.
pub trait Sink {
    /// Is anything to be told at all?
    const TOLD: bool;
    /// The rows of a key as they were and as they are from now on; none if it is gone. False refuses: they stay as they were.
    fn changed(&mut self, table: &Table, before: &[Record], after: &[Record]) -> bool;
    /// The table is empty from now on.
    fn cleared(&mut self, table: &Table);
    /// Everything has been told.
    fn done(&mut self);
}

/// For tables that are in memory alone: nobody is told.
pub struct Nowhere;

impl Sink for Nowhere {
    const TOLD: bool = false;
    #[inline(always)]
    fn changed(&mut self, _: &Table, _: &[Record], _: &[Record]) -> bool {
        true
    }
    #[inline(always)]
    fn cleared(&mut self, _: &Table) {}
    #[inline(always)]
    fn done(&mut self) {}
}
