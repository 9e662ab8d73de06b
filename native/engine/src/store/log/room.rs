//! Room in the log: set aside before a commit, waited for in turn when there is none.
//!
//! Whoever waits stands in a queue. What becomes free is set aside for its first ones, who are told; while somebody stands there, or has been told
//! and has not come yet, all others go to the end of the queue. So a process that runs cannot take again and again what others, who have to be
//! woken first, wait for. Who was told and does not come (it may have died) forfeits the room after a while.

use super::{frame, segment, Log, Reservation, Wait, CLOSED, FAILED, OK, REPAIRING, STARVED};
use crate::store::StoreError;
use crate::sync::{thread_local, Ordering, Waker};
use rapidhash::RapidHashMap;
use segment::credit;
use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Instant;

/// Those who wait for room.
#[derive(Default)]
pub(super) struct Queue {
    /// In the order in which they came.
    waiters: VecDeque<Waiter>,
    /// Room of those who were told, by who they are.
    told: RapidHashMap<u64, Told>,
    /// What `told` have together.
    set_aside: u64,
}

struct Waiter {
    who: u64,
    cost: u64,
    waker: Waker,
}

struct Told {
    cost: u64,
    at: Instant,
}

impl Queue {
    fn len(&self) -> usize {
        self.waiters.len() + self.told.len()
    }

    /// Takes what was set aside for somebody.
    fn claim(&mut self, who: u64) -> Option<u64> {
        let told = self.told.remove(&who)?;
        self.set_aside -= told.cost;
        Some(told.cost)
    }
}

thread_local! {
    /// Room of the one for whom this thread works.
    static ADMITTED: Cell<u64> = const { Cell::new(0) };
}

/// The turn of one who waited: as long as it lives, [`Log::reserve`] on this thread, which it does not leave, takes the room that was set aside.
#[must_use]
pub struct Admitted<'l>(&'l Log, PhantomData<*const ()>);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        match ADMITTED.with(Cell::take) {
            0 => {}
            left => self.0.give_back(left as i64),
        }
    }
}

impl Log {
    /// Sets bytes aside for a transaction with `payload` bytes. None: there is no room now, or others wait for it; wait by [`Log::wait_room`].
    #[inline]
    pub fn reserve(&self, payload: u64) -> Result<Option<Reservation>, StoreError> {
        match self.state.load(Ordering::Acquire) {
            OK => {}
            REPAIRING => return Ok(None),
            // It may have been repaired between the two looks.
            _ => return self.refused().map_or(Ok(None), Err),
        }
        let cost = self.cost(payload);
        if self.unsynced() > self.config.unsynced_bytes {
            self.sync_signal.notify();
            return self.admitted(cost);
        }
        if self.crowd.load(Ordering::Relaxed) > 0 {
            return self.admitted(cost);
        }
        if !self.take(cost) {
            self.demand.fetch_max(cost.min(self.most()), Ordering::Relaxed);
            self.keep_signal.notify();
            return self.admitted(cost);
        }
        Ok(Some(Reservation(cost)))
    }

    #[inline]
    fn take(&self, cost: u64) -> bool {
        let enough = self.room.fetch_sub(cost as i64, Ordering::Relaxed) >= cost as i64;
        if !enough {
            self.room.fetch_add(cost as i64, Ordering::Relaxed);
        }
        enough
    }

    /// What was set aside for the one this thread works for, if it is enough.
    #[cold]
    fn admitted(&self, cost: u64) -> Result<Option<Reservation>, StoreError> {
        let aside = ADMITTED.with(Cell::get);
        if aside < cost {
            return self.possible(cost).map(|()| None);
        }
        ADMITTED.with(|admitted| admitted.set(0));
        if aside > cost {
            self.give_back((aside - cost) as i64);
        }
        Ok(Some(Reservation(cost)))
    }

    /// The log never holds more than its bound.
    fn possible(&self, cost: u64) -> Result<(), StoreError> {
        let most = self.most();
        if cost > most {
            return Err(StoreError::TooLarge { bytes: cost, most });
        }
        Ok(())
    }

    fn most(&self) -> u64 {
        let segments = self.config.log_bytes / self.config.segment_bytes;
        segments.saturating_sub(1) * credit(self.config.segment_bytes) as u64
    }

    /// Bytes of frames for so much payload.
    #[inline]
    fn cost(&self, payload: u64) -> u64 {
        const HEAD: u64 = frame::HEAD as u64 + 16;
        let most = segment::most(self.config.segment_bytes);
        // A small one needs no division.
        payload + HEAD + if payload + HEAD > most { HEAD * (payload / (most - HEAD) + 1) } else { 0 }
    }

    /// Gives a reservation back that was not used.
    pub fn unreserve(&self, reservation: Reservation) {
        self.give_back(reservation.0 as i64);
    }

    pub(super) fn give_back(&self, bytes: i64) {
        self.room.fetch_add(bytes, Ordering::Relaxed);
        if self.crowd.load(Ordering::Relaxed) > 0 {
            self.keep_signal.notify();
        }
    }

    /// Gives back what an append did not need.
    #[inline]
    pub fn settle(&self, reservation: Reservation, appended: &super::Appended) {
        if reservation.0 != appended.bytes {
            self.give_back(reservation.0 as i64 - appended.bytes as i64);
        }
    }

    /// After [`Log::reserve`] found no room for so much payload: asks to be told when it is the turn of `who`. It comes back through
    /// [`Log::admit`] then.
    pub fn wait_room(&self, payload: u64, who: u64, waker: Waker) -> Wait {
        let cost = self.cost(payload);
        if let Err(error) = self.possible(cost) {
            return Wait::Failed(waker, error);
        }
        let mut waiting = self.waiting.lock();
        let first = waiting.room.waiters.is_empty() && self.within(&waiting.room, cost);
        match self.state.load(Ordering::Acquire) {
            OK if first && self.room.load(Ordering::Relaxed) >= cost as i64 => return Wait::Done(waker),
            FAILED | STARVED | CLOSED => {
                let cause = waiting.cause.clone();
                return Wait::Failed(waker, cause.map_or(StoreError::Closed, |c| StoreError::ReadOnly(Box::new(c))));
            }
            _ => {}
        }
        waiting.room.waiters.push_back(Waiter { who, cost, waker });
        self.crowd.store(waiting.room.len(), Ordering::Relaxed);
        drop(waiting);
        self.demand.fetch_max(cost, Ordering::Relaxed);
        self.sync_signal.notify();
        self.keep_signal.notify();
        Wait::Queued
    }

    /// May so much more be committed before a sync? One may, however much it brings.
    fn within(&self, queue: &Queue, cost: u64) -> bool {
        let most = self.config.unsynced_bytes;
        let unsynced = self.unsynced();
        unsynced <= most && (queue.set_aside == 0 || unsynced + queue.set_aside + cost <= most)
    }

    /// The turn of `who` to commit so much payload, after [`Log::reserve`] refused it: if room was set aside for it, or if there is room and nobody
    /// stands in the queue. Not where it was admitted already and that was not enough.
    pub fn admit(&self, payload: u64, who: u64) -> Option<Admitted<'_>> {
        if self.crowd.load(Ordering::Relaxed) == 0 || ADMITTED.with(Cell::get) > 0 {
            return None;
        }
        let cost = self.cost(payload);
        let mut waiting = self.waiting.lock();
        let queue = &mut waiting.room;
        let aside = match queue.claim(who) {
            Some(aside) if aside < cost => {
                self.room.fetch_add(aside as i64, Ordering::Relaxed);
                None
            }
            Some(aside) => Some(aside),
            None if queue.waiters.is_empty() && self.within(queue, cost) && self.take(cost) => Some(cost),
            None => None,
        };
        self.crowd.store(queue.len(), Ordering::Relaxed);
        drop(waiting);
        aside.map(|aside| {
            ADMITTED.with(|admitted| admitted.set(aside));
            Admitted(self, PhantomData)
        })
    }

    /// Sets room aside for those who have waited longest, as far as there is any, and tells them. True if the first of the others needs more than
    /// there is.
    pub(super) fn wake_room(&self) -> bool {
        if self.crowd.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut woken = Vec::new();
        let mut short = false;
        {
            let mut waiting = self.waiting.lock();
            let queue = &mut waiting.room;
            let now = Instant::now();
            self.forfeit(queue, now);
            while let Some(first) = queue.waiters.front() {
                if !self.within(queue, first.cost) {
                    break;
                }
                if !self.take(first.cost) {
                    self.demand.fetch_max(first.cost, Ordering::Relaxed);
                    short = true;
                    break;
                }
                let Some(Waiter { who, cost, waker }) = queue.waiters.pop_front() else { break };
                if let Some(earlier) = queue.claim(who) {
                    self.room.fetch_add(earlier as i64, Ordering::Relaxed);
                }
                queue.set_aside += cost;
                queue.told.insert(who, Told { cost, at: now });
                woken.push(waker);
            }
            self.crowd.store(queue.len(), Ordering::Relaxed);
        }
        if !woken.is_empty() {
            self.keep_signal.notify();
        }
        woken.into_iter().for_each(|waker| self.observer.wake(waker, Ok(())));
        short
    }

    /// Takes back what was set aside for those who do not come.
    fn forfeit(&self, queue: &mut Queue, now: Instant) {
        let (room, set_aside) = (&self.room, &mut queue.set_aside);
        queue.told.retain(|_, told| {
            let stays = now.duration_since(told.at) < self.config.retry_interval;
            if !stays {
                *set_aside -= told.cost;
                room.fetch_add(told.cost as i64, Ordering::Relaxed);
            }
            stays
        });
    }

    /// Is there room that somebody was told of and has not taken?
    pub(super) fn owes_room(&self) -> bool {
        self.crowd.load(Ordering::Relaxed) > 0 && !self.waiting.lock().room.told.is_empty()
    }

    /// Empties the queue. What was set aside stays so until it is taken or forfeit.
    pub(super) fn dismiss(&self, queue: &mut Queue) -> Vec<Waker> {
        let wakers = queue.waiters.drain(..).map(|waiter| waiter.waker).collect();
        self.crowd.store(queue.len(), Ordering::Relaxed);
        wakers
    }
}
