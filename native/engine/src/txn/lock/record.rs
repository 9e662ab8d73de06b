//! Locks of records, index values and global names, by hash of what they lock.
//!
//! Two things with one hash share a lock: that costs a wait once in 2^64, and no memory for keys.

use super::ctl::TxnCtl;
use super::queue::{Lock, Request, Verdict, Wakes};
use crate::sync::Mutex;
use crate::sync::Waker;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What is locked: a table (0: global names) and a hash within it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Hash)]
pub struct LockId {
    pub table: u64,
    pub hash: u64,
}

impl LockId {
    fn mixed(self) -> u64 {
        // The hash is good already; tables must not fall on one another.
        self.hash ^ self.table.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Passes the hash through.
#[derive(Default)]
pub struct Passed(u64);

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, word: u64) {
        self.0 = self.0.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word;
    }
}

/// A map by lock, whose hash is there already.
pub type ByLock<T> = HashMap<LockId, T, BuildHasherDefault<Passed>>;

const SLOTS: usize = if cfg!(test) { 4 } else { 1024 };

/// One line of memory: the lock that came first stands in place, so that taking a lock touches no more than this. What else
/// falls on the slot is in the map.
#[derive(Default)]
struct Slot {
    id: LockId,
    /// Free: the place is empty.
    lock: Lock,
    more: Option<Box<ByLock<Lock>>>,
}

#[derive(Default)]
#[repr(align(64))]
struct Latched(Mutex<Slot>);

impl Slot {
    #[inline]
    fn get(&self, id: LockId) -> Option<&Lock> {
        if self.id == id && !self.lock.is_free() {
            return Some(&self.lock);
        }
        self.more.as_ref()?.get(&id)
    }

    #[inline]
    fn get_mut(&mut self, id: LockId) -> Option<&mut Lock> {
        if self.id == id && !self.lock.is_free() {
            return Some(&mut self.lock);
        }
        self.more.as_mut()?.get_mut(&id)
    }

    /// The lock, put in place if it is new: it is free then, and must be given to someone or [`Slot::tidy`] be called.
    #[inline]
    fn obtain(&mut self, id: LockId) -> &mut Lock {
        let elsewhere = self.more.as_ref().is_some_and(|more| more.contains_key(&id));
        if !elsewhere && (self.lock.is_free() || self.id == id) {
            self.id = id;
            return &mut self.lock;
        }
        self.more.get_or_insert_with(Default::default).entry(id).or_default()
    }

    /// Takes the lock away if nobody holds it or waits for it.
    #[inline]
    fn tidy(&mut self, id: LockId) {
        let Some(more) = &mut self.more else { return };
        if more.get(&id).is_some_and(Lock::is_free) {
            more.remove(&id);
            if more.is_empty() {
                self.more = None;
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Lock> {
        let first = Some(&self.lock).filter(|lock| !lock.is_free());
        first.into_iter().chain(self.more.iter().flat_map(|more| more.values()))
    }
}

/// All record locks of a database.
pub struct RecordLocks {
    slots: Box<[Latched]>,
}

impl Default for RecordLocks {
    fn default() -> Self {
        RecordLocks { slots: (0..SLOTS).map(|_| Latched::default()).collect() }
    }
}

impl RecordLocks {
    #[inline]
    fn slot(&self, id: LockId) -> &Mutex<Slot> {
        &self.slots[(id.mixed() >> 48) as usize % SLOTS].0
    }

    /// Takes a lock if that can be done now.
    #[inline]
    pub fn acquire(&self, id: LockId, request: &Request) -> Verdict {
        let mut slot = self.slot(id).lock();
        let lock = slot.obtain(id);
        if lock.is_free() {
            lock.grant(request.ctl, request.want);
            return Verdict::Granted;
        }
        let verdict = lock.decide(request, false);
        if verdict == Verdict::Granted {
            lock.grant(request.ctl, request.want);
        }
        verdict
    }

    /// The second step of a wait: decides again, and queues if the answer still is to wait.
    pub fn enqueue(&self, id: LockId, request: Request, wake: Waker) -> Verdict {
        let mut slot = self.slot(id).lock();
        let lock = slot.obtain(id);
        let verdict = lock.decide(&request, false);
        match verdict {
            Verdict::Granted => lock.grant(request.ctl, request.want),
            Verdict::Wait => lock.enqueue(request, wake),
            Verdict::Restart => {}
        }
        slot.tidy(id);
        verdict
    }

    /// Frees what a transaction holds or waits for here.
    #[inline]
    pub fn release(&self, id: LockId, ctl: &TxnCtl, wakes: &mut Wakes) {
        let mut slot = self.slot(id).lock();
        let Some(lock) = slot.get_mut(id) else { return };
        lock.remove(ctl);
        lock.advance(wakes, |_| false, |_| true);
        slot.tidy(id);
    }

    /// Takes a waiter out of the queue; false if it is not in it.
    pub fn leave(&self, id: LockId, ctl: &TxnCtl, wakes: &mut Wakes) -> bool {
        let mut slot = self.slot(id).lock();
        let Some(lock) = slot.get_mut(id) else { return false };
        let left = lock.unqueue(ctl);
        lock.advance(wakes, |_| false, |_| true);
        slot.tidy(id);
        left
    }

    /// Who holds the lock with a mode that excludes everybody.
    pub fn exclusive_holder(&self, id: LockId) -> Option<&'static TxnCtl> {
        self.slot(id).lock().get(id)?.exclusive_holder()
    }

    /// Wakes every waiter without its lock, when the database stops.
    pub fn dismiss(&self, wakes: &mut Wakes) {
        for slot in &self.slots {
            let slot = &mut *slot.0.lock();
            slot.lock.dismiss(wakes);
            if let Some(more) = &mut slot.more {
                more.retain(|_, lock| {
                    lock.dismiss(wakes);
                    !lock.is_free()
                });
            }
        }
    }

    /// Locks that are held or waited for.
    pub fn len(&self) -> usize {
        self.slots.iter().map(|slot| slot.0.lock().all().count()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn check(&self) -> Result<(), String> {
        for slot in &self.slots {
            let slot = slot.0.lock();
            for lock in slot.all() {
                lock.check()?;
                if lock.is_free() {
                    return Err("a lock without holder and waiter".into());
                }
            }
            if !slot.lock.is_free() && slot.more.as_ref().is_some_and(|more| more.contains_key(&slot.id)) {
                return Err("one lock in two places".into());
            }
        }
        Ok(())
    }
}
