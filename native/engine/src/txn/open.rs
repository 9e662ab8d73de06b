//! A table as transactions know it: rows, lock, and whether it still is there.

use super::lock::{TableLock, TxnCtl};
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering};
use crate::table::{Kind, Table};
use crate::term::{read, Attached, Term};
use std::sync::Arc;

const READ_ONLY: u32 = 1;
const WATCHED: u32 = 2;
const FROZEN: u32 = 4;
const REPLACED: u32 = 8;
const DROPPED: u32 = 16;

pub struct OpenTable {
    /// Name as a flat term, and what lives beside it.
    pub name: Box<[u8]>,
    pub name_beside: Option<Arc<dyn Attached>>,
    /// The VM's word of the name if it is an atom, as nearly every name is; else 0, which is no atom.
    pub atom: u64,
    /// The words of both, if it is a pair of atoms, as those of a plug-in's tables are; else zeros.
    pub pair: [u64; 2],
    pub table: Table,
    pub lock: TableLock,
    /// Large commits that are being applied to it; dirty writes look before they write.
    committing: AtomicU32,
    /// What a writer looks at first: is any bit set?
    mode: AtomicU32,
    /// The age of the transaction that froze it last.
    frozen_by: Mutex<u64>,
    /// The run of a host's own engine for which this table is the one that it reads.
    near: AtomicU64,
}

impl OpenTable {
    pub fn new(name: Box<[u8]>, name_beside: Option<Arc<dyn Attached>>, table: Table) -> OpenTable {
        let word = |term: &[u8]| if let Term::Atom(word) = read(term).0 { word } else { 0 };
        let atom = word(&name);
        let pair = match read(&name).0 {
            Term::Tuple(elements) if elements.count == 2 => {
                let mut words = elements.iter().map(word);
                [words.next().unwrap_or(0), words.next().unwrap_or(0)]
            }
            _ => [0, 0],
        };
        OpenTable {
            name,
            name_beside,
            atom,
            pair,
            table,
            lock: TableLock::default(),
            committing: AtomicU32::new(0),
            mode: AtomicU32::new(0),
            frozen_by: Mutex::new(0),
            near: AtomicU64::new(0),
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
        self.mode.load(Ordering::Acquire) & DROPPED != 0
    }

    pub fn set_dropped(&self, dropped: bool) {
        self.set_mode(DROPPED, dropped);
    }

    #[inline]
    pub fn near(&self) -> u64 {
        self.near.load(Ordering::Relaxed)
    }

    pub fn set_near(&self, run: u64) {
        self.near.store(run, Ordering::Relaxed);
    }

    /// Nothing keeps a writer from writing, and nobody wants to be told of it.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.mode.load(Ordering::Relaxed) == 0
    }

    /// Its records cannot be changed; the host asks before it writes.
    #[inline]
    pub fn is_read_only(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & READ_ONLY != 0
    }

    pub fn set_read_only(&self, read_only: bool) {
        self.set_mode(READ_ONLY, read_only);
    }

    /// Somebody is to be told of each change; the host does that, when it commits.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & WATCHED != 0
    }

    pub fn set_watched(&self, watched: bool) {
        self.set_mode(WATCHED, watched);
    }

    /// It is being rebuilt by the transaction that holds it exclusively, so its rows stay as they are.
    pub(crate) fn freeze(&self) {
        let mut by = self.frozen_by.lock();
        *by = self.lock.exclusive_holder().map_or(0, TxnCtl::age);
        self.set_mode(FROZEN, true);
    }

    /// Whoever froze it may be gone meanwhile: the lock tells.
    pub fn is_frozen(&self) -> bool {
        if self.mode.load(Ordering::Relaxed) & FROZEN == 0 {
            return false;
        }
        let by = self.frozen_by.lock();
        let held = self.lock.exclusive_holder().is_some_and(|holder| holder.age() == *by);
        if !held {
            self.set_mode(FROZEN, false);
        }
        held
    }

    /// Asked under the latch of a part: may a writer who found the table without a lock change it now? `logged`: it is about to tell the
    /// log. Whoever rebuilds a table freezes it, then looks at its parts: what was written before it sees, and what comes after is not
    /// written.
    #[inline]
    pub fn may_change(&self, logged: bool) -> bool {
        // In this order: who froze it lets go of its lock after another table took the place of this one, or none.
        let still = self.is_plain() || !(self.is_frozen() || self.is_replaced() || self.is_dropped());
        still && self.table.logged().is_some() == logged
    }

    /// Another table has taken its place: who waited for its lock runs again.
    pub fn is_replaced(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & REPLACED != 0
    }

    pub fn set_replaced(&self) {
        self.set_mode(REPLACED, true);
    }

    /// Read-only or watched as another table is.
    pub fn take_mode(&self, other: &OpenTable) {
        self.set_mode(READ_ONLY, other.is_read_only());
        self.set_mode(WATCHED, other.is_watched());
    }

    fn set_mode(&self, bit: u32, on: bool) {
        if on {
            self.mode.fetch_or(bit, Ordering::Release);
        } else {
            self.mode.fetch_and(!bit, Ordering::Release);
        }
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
