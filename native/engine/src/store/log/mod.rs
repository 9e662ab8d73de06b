//! The log: numbered segments of checksummed frames (`frame`), written by the committers themselves (`append`), synced for all of
//! them at once by one thread (`sync`), with the next segment always ready (`keep`).
//!
//! A commit reserves its bytes first (`room`), which may have to wait and leaves nothing behind; the append then finds its room. What
//! waits is told by its waker; nothing in here sleeps but the log's own threads.
//!
//! Latches, in this order: `buffer` (whoever syncs or repairs holds it throughout), then one of `append` (held for a copy of
//! bytes) and `waiting` (for a push or a drain). Committers never take `buffer`, so none waits for a sync.

mod append;
pub mod frame;
mod keep;
mod room;
pub mod segment;
mod signal;
mod sync;

pub use append::Appended;
pub use room::Admitted;
pub use signal::Signal;

use super::config::{Config, Metrics, Observer};
use super::file::{Dir, Modes};
use super::StoreError;
use crate::sync::{AtomicI64, AtomicU64, AtomicU8, AtomicUsize, Mutex, Ordering, Waker};
use append::{Active, Append};
use crossbeam::utils::CachePadded;
use segment::{credit, Closed, Spare};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use sync::Waiting;

const OK: u8 = 0;
/// The active segment failed and nobody was told yet: new commits wait for the repair.
const REPAIRING: u8 = 1;
/// The repair failed too: read-only until a later one succeeds.
const FAILED: u8 = 2;
const CLOSED: u8 = 3;
/// No segment to go on with: read-only until there is one, but what was appended gets synced.
const STARVED: u8 = 4;

/// Where a log begins to write.
pub struct Start {
    pub database: u64,
    pub tail: u64,
    pub next_number: u64,
    /// Segments with frames that the base store may not have.
    pub closed: Vec<Closed>,
    /// Files of segments that are of no use any more.
    pub old: Vec<u64>,
}

/// Answer of [`Log::wait_durable`] and [`Log::wait_room`].
#[derive(Debug)]
pub enum Wait {
    /// No need to wait; the waker back.
    Done(Waker),
    /// It will not be durable: committed in memory and queued.
    Failed(Waker, StoreError),
    /// The waker will be called.
    Queued,
}

/// Bytes set aside for one commit. Given back by [`Log::unreserve`] or [`Log::settle`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reservation(u64);

pub struct Log {
    dir: Arc<dyn Dir>,
    config: Config,
    observer: Arc<dyn Observer>,
    database: u64,
    tail: CachePadded<AtomicU64>,
    synced: CachePadded<AtomicU64>,
    /// Bytes of the active segment and the spares that nobody has reserved.
    room: CachePadded<AtomicI64>,
    state: AtomicU8,
    /// The largest reservation that found no room.
    demand: AtomicU64,
    /// Length of the queue for room, with those who were told that there is some and have not taken it yet.
    crowd: AtomicUsize,
    append: Mutex<Append>,
    waiting: Mutex<Waiting>,
    /// Held by the one who syncs: the buffer that `Append::pending` is exchanged with, empty between syncs.
    buffer: Mutex<Vec<u8>>,
    /// Segments that the flush is done with and that can be used again.
    old: Mutex<Vec<u64>>,
    segments: AtomicUsize,
    /// Those among them that were made in a hurry.
    shorts: Mutex<Vec<u64>>,
    pub sync_signal: Signal,
    pub keep_signal: Signal,
    pub flush_signal: Signal,
    fsyncs: AtomicU64,
    last_fsync: AtomicU64,
    begun: Instant,
    /// Nanoseconds since `begun` at which the oldest unsynced frame was there at the latest.
    oldest: AtomicU64,
}

impl Log {
    /// Begins to write: a first segment is made and synced.
    pub fn start(dir: Arc<dyn Dir>, config: Config, observer: Arc<dyn Observer>, start: Start) -> Result<Log, StoreError> {
        let mut old = start.old;
        let spare = Spare::at_once(&*dir, start.database, start.next_number, config.segment_bytes, old.pop())?;
        let shorts = if spare.len < config.segment_bytes { vec![spare.number] } else { Vec::new() };
        let credit = credit(spare.len);
        let segment = spare.begin(start.tail, start.tail)?;
        let pending = || Vec::with_capacity(config.unsynced_bytes.min(1 << 30) as usize);
        let append = Append {
            active: Some(Active::new(segment)),
            spares: VecDeque::new(),
            left: Vec::new(),
            tail: start.tail,
            pending: pending(),
            pending_from: start.tail,
            defined: Vec::new(),
            next_number: start.next_number + 1,
            idle: true,
            cause: None,
            closed: start.closed.into(),
        };
        let segments = append.closed.len() + 1 + old.len();
        let log = Log {
            buffer: Mutex::new(pending()),
            dir,
            config,
            observer,
            database: start.database,
            tail: CachePadded::new(AtomicU64::new(start.tail)),
            synced: CachePadded::new(AtomicU64::new(start.tail)),
            room: CachePadded::new(AtomicI64::new(credit)),
            state: AtomicU8::new(OK),
            demand: AtomicU64::new(0),
            crowd: AtomicUsize::new(0),
            append: Mutex::new(append),
            waiting: Mutex::default(),
            old: Mutex::new(old),
            segments: AtomicUsize::new(segments),
            shorts: Mutex::new(shorts),
            sync_signal: Signal::default(),
            keep_signal: Signal::default(),
            flush_signal: Signal::default(),
            fsyncs: AtomicU64::new(0),
            last_fsync: AtomicU64::new(0),
            begun: Instant::now(),
            oldest: AtomicU64::new(0),
        };
        log.append_empty(frame::Kind::Restart);
        log.sync_step()?;
        Ok(log)
    }

    /// How its files are made.
    pub fn modes(&self) -> Modes {
        self.config.modes
    }

    /// Where the log ends.
    pub fn tail(&self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }

    /// Everything below is on disc.
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    #[inline]
    fn unsynced(&self) -> u64 {
        self.tail.load(Ordering::Relaxed).saturating_sub(self.synced.load(Ordering::Relaxed))
    }

    /// Why commits are refused, if they are.
    pub fn refused(&self) -> Option<StoreError> {
        // State and cause change together, under the latch.
        let waiting = self.waiting.lock();
        match self.state.load(Ordering::Acquire) {
            CLOSED => Some(StoreError::Closed),
            FAILED | STARVED => Some(StoreError::ReadOnly(Box::new(waiting.cause.clone().unwrap_or(StoreError::Closed)))),
            _ => None,
        }
    }

    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// Closed segments whose frames are all on disc, in order, and no more than `most` bytes of frames of them (but one at least).
    pub fn flushable(&self, most: u64) -> Vec<Closed> {
        let synced = self.synced();
        let append = self.append.lock();
        let mut bytes = 0;
        // Something after it is synced, so the header of the segment after it is as well.
        let ready = append.closed.iter().take_while(|c| c.end < synced);
        let some = ready.enumerate().take_while(|(i, c)| {
            bytes += c.end - c.first;
            *i == 0 || bytes <= most
        });
        some.map(|(_, c)| *c).collect()
    }

    /// The base store has everything below `position`: segments that end there or before are not needed any more.
    pub fn flushed(&self, position: u64) -> Result<(), StoreError> {
        let done: Vec<Closed> = {
            let mut append = self.append.lock();
            let n = append.closed.iter().take_while(|c| c.end <= position).count();
            append.closed.drain(..n).collect()
        };
        let mut result = Ok(());
        for closed in done {
            // One is kept for the next segment.
            let mut old = self.old.lock();
            if old.is_empty() {
                old.push(closed.number);
                continue;
            }
            drop(old);
            self.forget(closed.number);
            result = result.and(self.dir.remove(&segment::name(closed.number)));
        }
        self.keep_signal.notify();
        self.observer.flushed(position);
        result
    }

    /// Closes the active segment, so that the flush can have it.
    pub fn rotate(&self) {
        let mut append = self.append.lock();
        if append.active.as_ref().is_some_and(|a| a.at > frame::DATA) {
            append.rotate(self);
        }
    }

    /// Appends a frame that says nothing but what is synced.
    pub fn mark(&self) {
        self.append_empty(frame::Kind::Mark);
    }

    fn count_segment(&self, n: isize) {
        self.segments.fetch_add(n as usize, Ordering::Relaxed);
    }

    fn count_short(&self, spare: &Spare) {
        self.count_segment(1);
        if spare.len < self.config.segment_bytes {
            self.shorts.lock().push(spare.number);
        }
    }

    /// A segment is there no more.
    fn forget(&self, number: u64) {
        self.count_segment(-1);
        self.shorts.lock().retain(|short| *short != number);
    }

    pub(in crate::store) fn log_bytes(&self) -> u64 {
        let full = self.config.segment_bytes;
        let missing = self.shorts.lock().len() as u64 * (full - segment::short(full));
        self.segments.load(Ordering::Relaxed) as u64 * full - missing
    }

    /// Figures; `flushed` and `flushes` are left empty.
    pub fn metrics(&self) -> Metrics {
        use std::time::Duration;
        let (tail, synced) = (self.tail(), self.synced());
        let oldest = Duration::from_nanos(self.oldest.load(Ordering::Relaxed));
        Metrics {
            tail,
            synced,
            unsynced_bytes: tail.saturating_sub(synced),
            log_bytes: self.log_bytes(),
            fsyncs: self.fsyncs.load(Ordering::Relaxed),
            last_fsync: Duration::from_nanos(self.last_fsync.load(Ordering::Relaxed)),
            unsynced_for: if tail > synced { self.begun.elapsed().saturating_sub(oldest) } else { Duration::ZERO },
            ..Metrics::default()
        }
    }
}
