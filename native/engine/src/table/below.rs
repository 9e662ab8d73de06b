//! What lies below a table whose rows are on disc alone, as the table knows it.
//!
//! A read may fail there, and the functions of a table have no way to say so: they go on as if nothing were there, and leave the failure
//! behind for the host, which asks for it before it answers anything.

use super::key::KeyBytes;
use super::rows::Rows;
use crate::term::order::Beside;
use std::cell::RefCell;
use std::error::Error;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

pub type Failure = Box<dyn Error + Send + Sync>;

/// The rows of one table as they are on disc up to some place of the log, by the keys that they have there.
pub trait Below: Send + Sync {
    /// What a key is called there.
    fn key(&self, flat: &[u8], negative_zero: bool, beside: Beside) -> Result<KeyBytes, Failure>;
    fn rows(&self, key: &[u8]) -> Result<Option<Rows>, Failure>;
    /// Visits keys in order from `from` on, or backward, with their rows if they are asked for, until `f` answers false.
    fn scan(
        &self,
        from: Bound<&[u8]>,
        backward: bool,
        rows: bool,
        f: &mut dyn FnMut(&[u8], Option<Rows>) -> bool,
    ) -> Result<(), Failure>;
    /// How many rows there are. Counts them one by one if `many` rows may have one key.
    fn count(&self, many: bool) -> Result<usize, Failure>;
    /// Bytes that they take.
    fn bytes(&self) -> usize;
    /// Where the log ends.
    fn tail(&self) -> u64;
}

/// Rows so large that reading them here would hold others up: the host asks again where it does not.
#[derive(Debug)]
pub struct TooLong;

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too long to be read here")
    }
}

impl Error for TooLong {}

static LIMIT: OnceLock<fn() -> usize> = OnceLock::new();

/// Installs what says how many bytes the present thread may read at once.
pub fn install_limit(limit: fn() -> usize) {
    // A library that is loaded again has it already.
    let _ = LIMIT.set(limit);
}

/// Bytes that the present thread may read at once.
pub fn limit() -> usize {
    LIMIT.get().map_or(usize::MAX, |limit| limit())
}

/// Failures that nobody has asked for yet.
static FAILED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static FAILURE: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

/// Leaves the first failure of this thread.
#[cold]
pub fn fail(failure: Failure) {
    FAILURE.with_borrow_mut(|left| {
        if left.is_none() {
            *left = Some(failure);
            FAILED.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// Has a read of this thread failed since it was asked last?
#[inline]
pub fn failed() -> bool {
    FAILED.load(Ordering::Relaxed) != 0 && FAILURE.with_borrow(Option::is_some)
}

/// What a read of this thread has failed with since it was asked last.
#[inline]
pub fn failure() -> Option<Failure> {
    if FAILED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    taken()
}

#[cold]
fn taken() -> Option<Failure> {
    let taken = FAILURE.take();
    if taken.is_some() {
        FAILED.fetch_sub(1, Ordering::Relaxed);
    }
    taken
}
