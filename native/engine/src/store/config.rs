//! What can be set, and whom the store tells.

use super::file::Modes;
use super::StoreError;
use crate::sync::Waker;
use std::time::Duration;

/// Settings of a store. The defaults suit a machine with a few GB of memory.
#[derive(Clone, Debug)]
pub struct Config {
    /// Length of a segment of the log.
    pub segment_bytes: u64,
    /// Commits wait while more than this is not on disc yet. Twice as much memory is held for it.
    pub unsynced_bytes: u64,
    /// The log grows up to here when the flush cannot keep up; then commits wait.
    pub log_bytes: u64,
    /// The longest time before a commit that nobody waits for is synced.
    pub sync_interval: Duration,
    /// How long until a failed log is tried again.
    pub retry_interval: Duration,
    /// Segments kept ready beside the active one.
    pub spares: usize,
    /// Atoms that reading from disc may make.
    pub atoms: usize,
    /// Keys and bytes of one transaction of the flush.
    pub flush_keys: usize,
    pub flush_bytes: usize,
    /// Bytes of log that one flush takes into memory.
    pub flush_log_bytes: u64,
    /// False: no threads; tests call the steps themselves.
    pub threads: bool,
    pub modes: Modes,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            segment_bytes: 32 << 20,
            unsynced_bytes: 64 << 20,
            log_bytes: 1 << 30,
            sync_interval: Duration::from_millis(100),
            retry_interval: Duration::from_secs(1),
            spares: 1,
            atoms: 500_000,
            flush_keys: 16 * 1024,
            flush_bytes: 16 << 20,
            flush_log_bytes: 128 << 20,
            threads: true,
            modes: Modes::default(),
        }
    }
}

/// Whom the store tells what happens. Called by its threads with no lock held; must not block.
pub trait Observer: Send + Sync {
    /// What a waiter waited for is there, or will not be: what it committed is in memory and queued, not on disc.
    fn wake(&self, waker: Waker, answer: Result<(), StoreError>);
    /// The log failed: nothing is committed from now on.
    fn failed(&self, cause: &StoreError) {
        let _ = cause;
    }
    /// Everything that was queued is on disc, commits go on.
    fn recovered(&self) {}
    /// The base store has everything below this position.
    fn flushed(&self, position: u64) {
        let _ = position;
    }
    /// The flush failed; it is tried again, and the log grows meanwhile.
    fn flush_failed(&self, cause: &StoreError) {
        let _ = cause;
    }
}

/// An observer for whom waiting is a closure: a waker is a `Box<dyn FnOnce(Result<(), StoreError>) + Send>`, boxed once more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Callbacks;

/// What [`Callbacks`] calls.
pub type Callback = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

impl Callbacks {
    /// A waker that calls `f`.
    pub fn waker(f: impl FnOnce(Result<(), StoreError>) + Send + 'static) -> Waker {
        Box::new(Box::new(f) as Callback)
    }
}

impl Observer for Callbacks {
    fn wake(&self, waker: Waker, answer: Result<(), StoreError>) {
        if let Ok(callback) = waker.downcast::<Callback>() {
            callback(answer);
        }
    }
}

/// Figures for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Where the log ends, what of it is on disc, and where the base store stands.
    pub tail: u64,
    pub synced: u64,
    pub flushed: u64,
    pub unsynced_bytes: u64,
    /// Length of all segments.
    pub log_bytes: u64,
    pub fsyncs: u64,
    pub last_fsync: Duration,
    pub flushes: u64,
    /// The oldest commit that is not on disc has waited at most so long.
    pub unsynced_for: Duration,
}
