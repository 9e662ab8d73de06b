//! Group commit: one sync for all that was appended before it, then everybody who waited is told. And what happens when it fails.
//!
//! After a failed sync the kernel may have dropped what it could not write and call the pages clean. So the same pages are never
//! synced again: every frame since the last sync, kept in memory for this, goes to new segments, and the old one ends for readers
//! where the new one begins. If that fails as well, the log is read-only until a later try succeeds.

use super::append::{Active, Append};
use super::frame::{self, Kind, DATA};
use super::room::Queue;
use super::segment::{self, credit, Closed, Segment, Spare};
use super::{Log, Wait, CLOSED, FAILED, OK, REPAIRING, STARVED};
use crate::store::StoreError;
use crate::sync::{Ordering, Waker};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a sync waits for the next of those it will be for, if a quarter of a sync is longer.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

/// Who waits for what.
#[derive(Default)]
pub(super) struct Waiting {
    durable: Vec<(u64, Waker)>,
    pub room: Queue,
    /// How many waited at the end of the last sync: those it was for and those who came meanwhile.
    together: usize,
    /// The sync that is about to begin waits until so many wait for it.
    wanted: usize,
    /// Why the log is read-only.
    pub cause: Option<StoreError>,
}

impl Log {
    /// Asks to be told when everything below `position` is on disc. Beyond the tail nothing was committed, so nobody waits for that.
    pub fn wait_durable(&self, position: u64, waker: Waker) -> Wait {
        let position = position.min(self.tail());
        if self.synced() >= position {
            return Wait::Done(waker);
        }
        let mut waiting = self.waiting.lock();
        // Under the latch: the sync thread moves the mark first and looks for waiters then.
        if self.synced() >= position {
            return Wait::Done(waker);
        }
        if matches!(self.state.load(Ordering::Acquire), FAILED | CLOSED) {
            let cause = waiting.cause.clone().unwrap_or(StoreError::Closed);
            return Wait::Failed(waker, cause);
        }
        waiting.durable.push((position, waker));
        let enough = waiting.durable.len() >= waiting.wanted;
        drop(waiting);
        if enough {
            self.sync_signal.notify();
        }
        Wait::Queued
    }

    /// Syncs what was appended. True if there was something.
    pub fn sync_step(&self) -> Result<bool, StoreError> {
        let mut buffer = self.buffer.lock();
        let (target, segments, syncing) = {
            let mut append = self.append.lock();
            let Some(active) = append.active.as_ref().map(|a| a.segment.clone()) else {
                drop(append);
                return self.repair().map(|()| true);
            };
            if append.tail == self.synced() {
                append.idle = true;
                return Ok(false);
            }
            let mut segments = std::mem::take(&mut append.left);
            segments.push(active);
            let empty = std::mem::take(&mut *buffer);
            let syncing = std::mem::replace(&mut append.pending, empty);
            append.pending_from = append.tail;
            (append.tail, segments, syncing)
        };
        let from = Instant::now();
        let mut result = Ok(());
        for segment in &segments {
            result = result.and_then(|()| segment.file.sync());
        }
        self.last_fsync.store(from.elapsed().as_nanos() as u64, Ordering::Relaxed);
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        // What was appended during the sync is younger than its begin.
        self.oldest.store((from - self.begun).as_nanos() as u64, Ordering::Relaxed);
        match result {
            Ok(()) => {
                *buffer = emptied(syncing, self.config.unsynced_bytes);
                self.durable_up_to(target);
                if segments.len() > 1 {
                    self.flush_signal.notify();
                }
                Ok(true)
            }
            Err(cause) => {
                self.append.lock().take_back(self, syncing, cause);
                self.repair().map(|()| true)
            }
        }
    }

    fn durable_up_to(&self, position: u64) {
        self.synced.store(position, Ordering::Release);
        let mut waiting = self.waiting.lock();
        waiting.together = waiting.durable.len();
        let mut rest = Vec::new();
        let mut done = Vec::new();
        for (at, waker) in waiting.durable.drain(..) {
            if at <= position { &mut done } else { &mut rest }.push((at, waker));
        }
        waiting.durable = rest;
        drop(waiting);
        done.into_iter().for_each(|(_, waker)| self.observer.wake(waker, Ok(())));
        if self.wake_room() {
            self.keep_signal.notify();
        }
    }

    /// There is no segment to go on with: nothing is committed until there is one. What was appended is safe.
    pub(super) fn announce_starved(&self, cause: &StoreError) {
        let room = {
            let mut waiting = self.waiting.lock();
            if self.state.compare_exchange(OK, STARVED, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                return;
            }
            waiting.cause = Some(cause.clone());
            self.dismiss(&mut waiting.room)
        };
        let refusal = StoreError::ReadOnly(Box::new(cause.clone()));
        room.into_iter().for_each(|waker| self.observer.wake(waker, Err(refusal.clone())));
        self.observer.failed(cause);
    }

    /// From now on the log is read-only, and everybody is told.
    fn announce(&self, cause: &StoreError) {
        let (durable, room) = {
            let mut waiting = self.waiting.lock();
            waiting.cause = Some(cause.clone());
            if self.state.swap(FAILED, Ordering::SeqCst) == FAILED {
                return;
            }
            (std::mem::take(&mut waiting.durable), self.dismiss(&mut waiting.room))
        };
        durable.into_iter().for_each(|(_, waker)| self.observer.wake(waker, Err(cause.clone())));
        let refusal = StoreError::ReadOnly(Box::new(cause.clone()));
        room.into_iter().for_each(|waker| self.observer.wake(waker, Err(refusal.clone())));
        self.observer.failed(cause);
    }

    /// Writes all that is not synced to new segments, syncs them and goes on there.
    fn repair(&self) -> Result<(), StoreError> {
        let tried = self.try_repair();
        if let Err(cause) = &tried {
            self.announce(cause);
        }
        tried
    }

    fn try_repair(&self) -> Result<(), StoreError> {
        let (bytes, from, doomed) = self.append.lock().clear_away(self);
        let mut rewrite = Rewrite { log: self, numbers: Vec::new(), segments: Vec::new(), at: DATA };
        let position = from + bytes.len() as u64;
        if let Err(cause) = rewrite.all(bytes, from) {
            for number in rewrite.numbers {
                let _ = self.dir.remove(&segment::name(number));
            }
            return Err(cause);
        }
        let credit = rewrite.segments.last().map_or(0, |s| credit(s.len)) - (rewrite.at - DATA) as i64;
        let broken = {
            let mut append = self.append.lock();
            self.room.fetch_add(credit, Ordering::Relaxed);
            self.count_segment(rewrite.segments.len() as isize);
            append.go_on(self, rewrite.segments, rewrite.at, position);
            if append.active.is_none() {
                append.cause.clone()
            } else {
                None
            }
        };
        self.durable_up_to(position);
        // Only now: until here they were what a killed process had left.
        for number in doomed {
            self.forget(number);
            let _ = self.dir.remove(&segment::name(number));
        }
        // What came during the repair could not be written.
        if let Some(cause) = broken {
            return Err(cause);
        }
        let announced = {
            let mut waiting = self.waiting.lock();
            waiting.cause = None;
            let _ = self.state.compare_exchange(REPAIRING, OK, Ordering::SeqCst, Ordering::SeqCst);
            self.state.compare_exchange(FAILED, OK, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        };
        self.wake_room();
        if announced {
            self.observer.recovered();
        }
        self.keep_signal.notify();
        self.flush_signal.notify();
        Ok(())
    }

    /// The thread of group commit.
    pub fn sync_thread(&self) {
        // When the next sync is due; none while everything is synced.
        let mut due: Option<Instant> = None;
        loop {
            self.sync_signal.wait(due);
            if self.state.load(Ordering::Acquire) == CLOSED {
                return;
            }
            let now = Instant::now();
            let until = *due.get_or_insert_with(|| {
                self.oldest.store((now - self.begun).as_nanos() as u64, Ordering::Relaxed);
                now + self.config.sync_interval
            });
            if now < until && !self.hurries() {
                continue;
            }
            self.gather(now);
            due = match self.sync_step() {
                // More may have come meanwhile, and somebody waits for it.
                Ok(_) if self.waits() => Some(now),
                Ok(_) => self.rest(),
                Err(_) => Some(Instant::now() + self.config.retry_interval),
            };
        }
    }

    /// Does somebody wait, or should the sync begin for another reason?
    fn hurries(&self) -> bool {
        self.crowded() || self.waits()
    }

    fn crowded(&self) -> bool {
        let full = self.unsynced() > self.config.unsynced_bytes / 2 || self.crowd.load(Ordering::Relaxed) > 0;
        full || self.state.load(Ordering::Acquire) == REPAIRING
    }

    /// Gives those who waited together before the time to come together again, so that one sync is for all of them: without it the first one
    /// who comes back begins a sync of his own, and the others wait for the next. PostgreSQL's `commit_delay` is the same, with a fixed time.
    /// Here it goes on while some come: who misses this sync waits for another as long, so up to the time of one all gain by it.
    fn gather(&self, now: Instant) {
        let pause = Duration::from_nanos(self.last_fsync.load(Ordering::Relaxed) / 4).min(LONGEST_PAUSE);
        let (mut until, mut came) = (now + pause, 0);
        loop {
            {
                let mut waiting = self.waiting.lock();
                let waits = waiting.durable.len();
                let enough = waits >= waiting.together || waits == 0;
                waiting.wanted = if enough { 0 } else { waiting.together };
                if enough {
                    return;
                }
                if waits > came {
                    came = waits;
                    until = (Instant::now() + pause).min(now + 4 * pause);
                }
            }
            if Instant::now() >= until || self.crowded() || self.state.load(Ordering::Acquire) == CLOSED {
                self.waiting.lock().wanted = 0;
                return;
            }
            self.sync_signal.wait(Some(until));
        }
    }

    fn waits(&self) -> bool {
        !self.waiting.lock().durable.is_empty()
    }

    /// Until when there is nothing to do; for ever if everything is synced.
    fn rest(&self) -> Option<Instant> {
        let mut append = self.append.lock();
        if append.active.is_none() {
            return Some(Instant::now() + self.config.retry_interval);
        }
        append.idle = append.tail == self.synced();
        (!append.idle).then(|| Instant::now() + self.config.sync_interval)
    }

    /// Syncs everything; the last frame says so, so that damage to what was synced is seen at the next start.
    pub fn close(&self) -> Result<(), StoreError> {
        let mut result = self.sync_step();
        if result.is_ok() {
            self.append_empty(Kind::Mark);
            result = self.sync_step();
        }
        self.state.store(CLOSED, Ordering::SeqCst);
        let (durable, room) = {
            let mut waiting = self.waiting.lock();
            (std::mem::take(&mut waiting.durable), self.dismiss(&mut waiting.room))
        };
        let all = durable.into_iter().map(|(_, waker)| waker).chain(room);
        let answer = result.as_ref().err().cloned().unwrap_or(StoreError::Closed);
        all.for_each(|waker| self.observer.wake(waker, Err(answer.clone())));
        for signal in [&self.sync_signal, &self.keep_signal, &self.flush_signal] {
            signal.notify();
        }
        result.map(|_| ())
    }
}

/// An empty buffer, and not one that a burst made too large.
fn emptied(mut buffer: Vec<u8>, usual: u64) -> Vec<u8> {
    if buffer.capacity() as u64 > 2 * usual {
        return Vec::with_capacity(usual as usize);
    }
    buffer.clear();
    buffer
}

impl Append {
    /// The sync of these frames failed.
    fn take_back(&mut self, log: &Log, mut syncing: Vec<u8>, cause: StoreError) {
        self.pending_from -= syncing.len() as u64;
        syncing.append(&mut self.pending);
        self.pending = syncing;
        self.break_off(log, cause);
    }

    /// Takes what is not synced, and the numbers of files that hold nothing else.
    fn clear_away(&mut self, log: &Log) -> (Vec<u8>, u64, Vec<u64>) {
        let synced = log.synced();
        self.left.clear();
        for spare in self.spares.drain(..) {
            log.forget(spare.number);
            let _ = log.dir.remove(&segment::name(spare.number));
        }
        // A segment without frames of its own below the mark is rewritten as a whole.
        let doomed = self.closed.iter().filter(|c| c.first >= synced).map(|c| c.number).collect();
        (self.pending.clone(), self.pending_from, doomed)
    }

    /// The frames up to `position` are in these segments, and synced.
    fn go_on(&mut self, log: &Log, segments: Vec<Segment>, at: u64, position: u64) {
        let synced = log.synced();
        self.closed.retain(|c| c.first < synced);
        for closed in &mut self.closed {
            closed.end = closed.end.min(synced);
        }
        for pair in segments.windows(2) {
            self.closed.push_back(Closed { number: pair[0].number, first: pair[0].first, end: pair[1].first });
        }
        let done = (position - self.pending_from) as usize;
        let late = self.pending.split_off(done);
        self.pending.clear();
        self.pending_from = position;
        self.tail = position;
        self.cause = None;
        self.active = segments.into_iter().last().map(|segment| Active { segment: Arc::new(segment), at });
        self.refile(log, &late);
    }
}

/// Frames on their way to new segments.
struct Rewrite<'a> {
    log: &'a Log,
    /// Of files that may have been made.
    numbers: Vec<u64>,
    segments: Vec<Segment>,
    /// Where the next frame goes in the last of them.
    at: u64,
}

impl Rewrite<'_> {
    fn all(&mut self, mut bytes: Vec<u8>, from: u64) -> Result<(), StoreError> {
        let mut start = 0;
        loop {
            let segment = self.next(from + start as u64)?;
            let mut end = start;
            while end < bytes.len() {
                let size = frame::length(&bytes[end..]);
                if DATA + (end + size - start) as u64 > segment.len {
                    break;
                }
                end += size;
            }
            frame::resalt(&mut bytes[start..end], segment.salt, DATA);
            segment.file.write_at(DATA, &bytes[start..end])?;
            segment.file.sync()?;
            self.at = DATA + (end - start) as u64;
            self.segments.push(segment);
            start = end;
            if start == bytes.len() {
                return Ok(());
            }
        }
    }

    fn next(&mut self, first: u64) -> Result<Segment, StoreError> {
        let log = self.log;
        let number = log.append.lock().take_number();
        self.numbers.push(number);
        let spare = Spare::prepare(&*log.dir, log.database, number, log.config.segment_bytes, None)?;
        spare.begin(first, log.synced())
    }
}
