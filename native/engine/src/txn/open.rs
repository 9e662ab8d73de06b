//! A table as transactions know it: rows, lock, and whether it still is there.

use super::lock::TableLock;
use crate::sync::{AtomicBool, AtomicU32, Ordering};
use crate::table::{Kind, Table};
use crate::term::{read, Attached, Term};
use std::sync::Arc;

pub struct OpenTable {
    /// Name as a flat term, and what lives beside it.
    pub name: Box<[u8]>,
    pub name_beside: Option<Arc<dyn Attached>>,
    /// The VM's word of the name if it is an atom, as nearly every name is; else 0, which is no atom.
    pub atom: u64,
    pub table: Table,
    pub lock: TableLock,
    /// Large commits that are being applied to it; dirty writes look before they write.
    committing: AtomicU32,
    dropped: AtomicBool,
    read_only: AtomicBool,
}

impl OpenTable {
    pub fn new(name: Box<[u8]>, name_beside: Option<Arc<dyn Attached>>, table: Table) -> OpenTable {
        let atom = match read(&name).0 {
            Term::Atom(word) => word,
            _ => 0,
        };
        OpenTable {
            name,
            name_beside,
            atom,
            table,
            lock: TableLock::default(),
            committing: AtomicU32::new(0),
            dropped: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
        }
    }

    #[inline]
    pub fn id(&self) -> u64 {
        self.table.id
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        self.table.kind()
    }

    /// The table was deleted; whoever still has it must look its name up again.
    #[inline]
    pub fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    pub fn set_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Its records cannot be changed; the host asks before it writes.
    #[inline]
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    pub fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Relaxed);
    }

    #[inline]
    pub fn is_committing(&self) -> bool {
        self.committing.load(Ordering::SeqCst) != 0
    }

    pub(super) fn begin_commit(&self) {
        self.committing.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end_commit(&self) {
        self.committing.fetch_sub(1, Ordering::SeqCst);
    }
}
