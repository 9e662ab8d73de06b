//! Where the changes of durable tables go, as they happen.

use super::{Key, Table};
use crate::term::Record;

/// Told what becomes of each key under the latch of its part, and of the end while all latches are still held: so for every record
/// the order here is the order in memory.
pub trait Sink {
    /// The rows of a key from now on; none if it is gone.
    fn changed(&mut self, table: &Table, key: &Key, after: &[Record]);
    /// The table is empty from now on.
    fn cleared(&mut self, table: &Table);
    /// Everything has been told.
    fn done(&mut self);
}

/// For tables that are in memory alone: nobody is told.
pub struct Nowhere;

impl Sink for Nowhere {
    #[inline(always)]
    fn changed(&mut self, _: &Table, _: &Key, _: &[Record]) {}
    #[inline(always)]
    fn cleared(&mut self, _: &Table) {}
    #[inline(always)]
    fn done(&mut self) {}
}
