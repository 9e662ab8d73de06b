//! The one place that names the synchronisation types.
//!
//! With the feature `shuttle` they are those of the model checker, so that `tests/lock_shuttle.rs` can drive every interleaving.
//! [`global`] holds the real ones in both cases, for statics, which outlive a checked execution.

pub use std::sync::atomic::Ordering;

/// The host's way to tell a waiting process that what it waits for is there; opaque here.
pub type Waker = Box<dyn std::any::Any + Send>;

/// For statics.
pub mod global {
    pub use parking_lot::Mutex;
    pub use std::sync::atomic::{AtomicU64, AtomicUsize};
}

#[cfg(not(feature = "shuttle"))]
pub use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(feature = "shuttle"))]
pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

#[cfg(feature = "shuttle")]
pub use checked::{Mutex, RwLock};
#[cfg(feature = "shuttle")]
pub use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
#[cfg(feature = "shuttle")]
pub use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// Shuttle's types with the interface of parking_lot: no poisoning.
#[cfg(feature = "shuttle")]
mod checked {
    use super::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
    use std::sync::PoisonError;

    #[derive(Default, Debug)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Mutex(shuttle::sync::Mutex::new(value))
        }
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[derive(Default, Debug)]
    pub struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub fn new(value: T) -> Self {
            RwLock(shuttle::sync::RwLock::new(value))
        }
        pub fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }
        pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
            self.0.try_read().ok()
        }
        pub fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
