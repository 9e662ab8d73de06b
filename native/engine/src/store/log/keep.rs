//! Keeping the next segment ready, so that a committer that fills one goes on without waiting.

use super::segment::{credit, Spare};
use super::{Log, CLOSED, FAILED, OK, REPAIRING, STARVED};
use crate::store::StoreError;
use crate::sync::Ordering;
use std::time::Instant;

impl Log {
    /// Makes the spares that are wanted and allowed, and tells who waits for room.
    pub fn keep_step(&self) -> Result<(), StoreError> {
        // Those who wait in turn are let in one by one, and the next may want more room.
        while self.make_spares()? && self.wake_room() && self.can_go_on() {}
        Ok(())
    }

    fn can_go_on(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), OK | STARVED)
    }

    /// False if there are fewer than wanted, because the log is as long as it may be.
    fn make_spares(&self) -> Result<bool, StoreError> {
        while self.can_go_on() && self.wants_spare() {
            let old = self.old.lock().pop();
            if old.is_none() && self.log_bytes() + self.config.segment_bytes > self.config.log_bytes {
                // The flush notifies when it is done with a segment; it must have one to begin with.
                let (nothing, spare) = {
                    let append = self.append.lock();
                    (append.closed.is_empty(), !append.spares.is_empty())
                };
                if nothing && spare {
                    self.rotate();
                    self.mark();
                    self.sync_signal.notify();
                }
                if !nothing || spare {
                    self.wake_room();
                    return Ok(false);
                }
            }
            let number = self.append.lock().take_number();
            let spare = match Spare::prepare(&*self.dir, self.database, number, self.config.segment_bytes, old) {
                Ok(spare) => spare,
                Err(cause) => {
                    // What is left of the old segment is found and removed at the next start.
                    old.into_iter().for_each(|old| self.forget(old));
                    self.starved(&cause);
                    return Err(cause);
                }
            };
            match old {
                // It has another number and the whole length now.
                Some(old) => self.shorts.lock().retain(|short| *short != old),
                None => self.count_segment(1),
            }
            self.add_spare(spare);
        }
        self.demand.store(0, Ordering::Relaxed);
        if self.state.compare_exchange(STARVED, OK, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.observer.recovered();
        }
        Ok(true)
    }

    fn wants_spare(&self) -> bool {
        let spares = self.append.lock().spares.len();
        spares < self.config.spares || self.room.load(Ordering::Relaxed) < self.demand.load(Ordering::Relaxed) as i64
    }

    fn add_spare(&self, spare: Spare) {
        let (number, credit) = (spare.number, credit(spare.len));
        {
            let mut append = self.append.lock();
            // Segments are used in the order of their numbers; one that comes too late waits for another number.
            if append.active.as_ref().is_some_and(|a| a.segment.number < number) {
                append.spares.push_back(spare);
                self.room.fetch_add(credit, Ordering::Relaxed);
                return;
            }
        }
        self.old.lock().push(number);
    }

    /// No spare can be made, and somebody waits for one: nothing can be committed.
    fn starved(&self, cause: &StoreError) {
        if self.crowd.load(Ordering::Relaxed) > 0 || self.demand.load(Ordering::Relaxed) > 0 {
            self.announce_starved(cause);
        }
    }

    /// The thread that keeps segments ready.
    pub fn keep_thread(&self) {
        let mut again = None;
        loop {
            self.keep_signal.wait(again);
            match self.state.load(Ordering::Acquire) {
                CLOSED => return,
                FAILED | REPAIRING => again = None,
                // Looked at again when room that was set aside for somebody may be forfeit.
                _ => again = (self.keep_step().is_err() || self.owes_room()).then(|| Instant::now() + self.config.retry_interval),
            }
        }
    }
}
