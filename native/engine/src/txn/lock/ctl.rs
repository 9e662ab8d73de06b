//! The control block of a transaction: what others need to know of it.

use super::queue::Wakes;
use crate::sync::Waker;
use crate::sync::{global, AtomicBool, AtomicU64, Mutex, Ordering};

/// One per process that runs transactions. Blocks are leaked and used again, so that lock tables hold plain references: there are
/// never more than there were processes in transactions at one time.
pub struct TxnCtl {
    /// Order of seniority, smaller is older; 0 until the first conflict asks for it, so transactions that never meet share no
    /// counter. Kept over restarts.
    age: AtomicU64,
    /// Which intention counters it uses.
    pub stripe: usize,
    /// The lock it was queued for has been given to it.
    granted: AtomicBool,
    /// It was sent off from the queue without its lock.
    dismissed: AtomicBool,
    /// A large commit is being applied; those in the list wait for its end.
    committing: Mutex<Option<Vec<Waker>>>,
}

/// Answer of [`TxnCtl::wait_for_commit`].
pub enum CommitWait {
    Over(Waker),
    Queued,
}

static NEXT_AGE: global::AtomicU64 = global::AtomicU64::new(1);
static NEXT_STRIPE: global::AtomicUsize = global::AtomicUsize::new(0);
static FREE: global::Mutex<Vec<&'static TxnCtl>> = global::Mutex::new(Vec::new());

impl TxnCtl {
    /// A block of its own for a process.
    pub fn obtain() -> &'static TxnCtl {
        let free = FREE.lock().pop();
        free.unwrap_or_else(|| Box::leak(Box::new(TxnCtl::new())))
    }

    pub(super) fn new() -> TxnCtl {
        TxnCtl {
            age: AtomicU64::new(0),
            stripe: NEXT_STRIPE.fetch_add(1, Ordering::Relaxed),
            granted: AtomicBool::new(false),
            dismissed: AtomicBool::new(false),
            committing: Mutex::new(None),
        }
    }

    /// Gives the block back; it must hold and want nothing.
    pub fn recycle(&'static self) {
        self.reset_age();
        // A checked block belongs to one execution of the model checker.
        if cfg!(not(feature = "shuttle")) {
            FREE.lock().push(self);
        }
    }

    /// Seniority, taken now if there is none yet.
    pub fn age(&self) -> u64 {
        match self.age.load(Ordering::Relaxed) {
            0 => {
                let new = NEXT_AGE.fetch_add(1, Ordering::Relaxed);
                match self.age.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => new,
                    Err(taken) => taken,
                }
            }
            age => age,
        }
    }

    /// A new transaction begins, which holds nothing.
    pub fn reset_age(&self) {
        if self.age.load(Ordering::Relaxed) != 0 {
            self.age.store(0, Ordering::Relaxed);
        }
    }

    pub fn older_than(&self, other: &TxnCtl) -> bool {
        self.age() < other.age()
    }

    pub(super) fn set_granted(&self, granted: bool) {
        self.dismissed.store(false, Ordering::Release);
        self.granted.store(granted, Ordering::Release);
    }

    pub(super) fn set_dismissed(&self) {
        self.dismissed.store(true, Ordering::Release);
    }

    /// Was it sent off from the queue without its lock?
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// Has the lock it was queued for been given to it?
    pub fn is_granted(&self) -> bool {
        self.granted.load(Ordering::Acquire)
    }

    /// A commit in slices begins.
    pub fn begin_commit(&self) {
        self.committing.lock().get_or_insert_with(Vec::new);
    }

    /// Is a commit in slices going on?
    pub fn is_committing(&self) -> bool {
        self.committing.lock().is_some()
    }

    /// The commit is applied; those who waited for it are to be woken.
    pub fn end_commit(&self, wakes: &mut Wakes) {
        if let Some(waiting) = self.committing.lock().take() {
            wakes.extend(waiting);
        }
    }

    /// Queues a dirty operation behind the commit, if one is going on.
    pub fn wait_for_commit(&self, wake: Waker) -> CommitWait {
        match &mut *self.committing.lock() {
            Some(waiting) => {
                waiting.push(wake);
                CommitWait::Queued
            }
            None => CommitWait::Over(wake),
        }
    }
}

impl PartialEq for TxnCtl {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
