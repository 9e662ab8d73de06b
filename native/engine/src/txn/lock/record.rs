//! Locks of records, index values and global names, by hash of what they lock.
//!
//! Two things with one hash share a lock: that costs a wait once in 2^64, and no memory for keys.

use super::ctl::TxnCtl;
use super::queue::{Lock, Request, Verdict, Waker, Wakes};
use crate::sync::Mutex;
use crossbeam::utils::CachePadded;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What is locked: a table (0: global names) and a hash within it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
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

type Map = ByLock<Lock>;

const SHARDS: usize = if cfg!(test) { 4 } else { 256 };

/// All record locks of a database.
pub struct RecordLocks {
    shards: Box<[CachePadded<Mutex<Map>>]>,
}

impl Default for RecordLocks {
    fn default() -> Self {
        RecordLocks { shards: (0..SHARDS).map(|_| CachePadded::new(Mutex::new(Map::default()))).collect() }
    }
}

impl RecordLocks {
    #[inline]
    fn shard(&self, id: LockId) -> &Mutex<Map> {
        &self.shards[(id.mixed() >> 48) as usize % SHARDS]
    }

    /// Takes a lock if that can be done now.
    #[inline]
    pub fn acquire(&self, id: LockId, request: &Request) -> Verdict {
        let mut shard = self.shard(id).lock();
        match shard.entry(id) {
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Lock::default()).grant(request.ctl, request.want);
                Verdict::Granted
            }
            std::collections::hash_map::Entry::Occupied(mut lock) => {
                let verdict = lock.get().decide(request, false);
                if verdict == Verdict::Granted {
                    lock.get_mut().grant(request.ctl, request.want);
                }
                verdict
            }
        }
    }

    /// The second step of a wait: decides again, and queues if the answer still is to wait.
    pub fn enqueue(&self, id: LockId, request: Request, wake: Waker) -> Verdict {
        let mut shard = self.shard(id).lock();
        let lock = shard.entry(id).or_default();
        let verdict = lock.decide(&request, false);
        match verdict {
            Verdict::Granted => lock.grant(request.ctl, request.want),
            Verdict::Wait => lock.enqueue(request, wake),
            Verdict::Restart => {}
        }
        if lock.is_free() {
            shard.remove(&id);
        }
        verdict
    }

    /// Frees what a transaction holds or waits for here.
    #[inline]
    pub fn release(&self, id: LockId, ctl: &TxnCtl, wakes: &mut Wakes) {
        let mut shard = self.shard(id).lock();
        let Some(lock) = shard.get_mut(&id) else { return };
        lock.remove(ctl);
        lock.advance(wakes, |_| false, |_| true);
        if lock.is_free() {
            shard.remove(&id);
        }
    }

    /// Takes a waiter out of the queue; false if it is not in it.
    pub fn leave(&self, id: LockId, ctl: &TxnCtl, wakes: &mut Wakes) -> bool {
        let mut shard = self.shard(id).lock();
        let Some(lock) = shard.get_mut(&id) else { return false };
        let left = lock.unqueue(ctl);
        lock.advance(wakes, |_| false, |_| true);
        if lock.is_free() {
            shard.remove(&id);
        }
        left
    }

    /// Who holds the lock with a mode that excludes everybody.
    pub fn exclusive_holder(&self, id: LockId) -> Option<&'static TxnCtl> {
        let shard = self.shard(id).lock();
        shard.get(&id)?.exclusive_holder()
    }

    /// Wakes every waiter without its lock, when the database stops.
    pub fn dismiss(&self, wakes: &mut Wakes) {
        for shard in &self.shards {
            shard.lock().retain(|_, lock| {
                lock.dismiss(wakes);
                !lock.is_free()
            });
        }
    }

    /// Locks that are held or waited for.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn check(&self) -> Result<(), String> {
        for shard in &self.shards {
            for lock in shard.lock().values() {
                lock.check()?;
                if lock.is_free() {
                    return Err("a lock without holder and waiter".into());
                }
            }
        }
        Ok(())
    }
}
