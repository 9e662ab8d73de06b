//! The one place that names the synchronisation types.
//!
//! With the feature `shuttle` they are those of the model checker, so that `tests/*_shuttle.rs` can drive every interleaving.
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
pub use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicU8, AtomicUsize};

#[cfg(not(feature = "shuttle"))]
pub use real::Condvar;
#[cfg(feature = "shuttle")]
pub use shuttle::thread_local;
#[cfg(not(feature = "shuttle"))]
pub use std::thread_local;

#[cfg(feature = "shuttle")]
pub use checked::{Condvar, Mutex, RwLock};
#[cfg(feature = "shuttle")]
pub use shuttle::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicU8, AtomicUsize};
#[cfg(feature = "shuttle")]
pub use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

#[cfg(not(feature = "shuttle"))]
mod real {
    use super::{Mutex, MutexGuard};
    use std::time::Instant;

    /// Takes and gives guards, as that of the standard library does.
    #[derive(Default)]
    pub struct Condvar(parking_lot::Condvar);

    impl Condvar {
        #[inline]
        pub fn notify_one(&self) {
            self.0.notify_one();
        }
        #[inline]
        pub fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(&mut guard);
            guard
        }
        /// True if it came to the time without a notice. The guard is that of the mutex.
        #[inline]
        pub fn wait_until<'a, T>(
            &self,
            _mutex: &'a Mutex<T>,
            mut guard: MutexGuard<'a, T>,
            until: Instant,
        ) -> (MutexGuard<'a, T>, bool) {
            let late = self.0.wait_until(&mut guard, until).timed_out();
            (guard, late)
        }
    }
}

/// Shuttle's types with the interface of parking_lot: no poisoning.
#[cfg(feature = "shuttle")]
mod checked {
    use super::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
    use std::sync::PoisonError;
    use std::time::Instant;

    #[derive(Default)]
    pub struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub fn notify_one(&self) {
            self.0.notify_one();
        }
        pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
        }
        /// There is no time in the model: it is over as soon as others had a turn.
        pub fn wait_until<'a, T>(
            &self,
            mutex: &'a Mutex<T>,
            guard: MutexGuard<'a, T>,
            _until: Instant,
        ) -> (MutexGuard<'a, T>, bool) {
            drop(guard);
            shuttle::thread::yield_now();
            (mutex.lock(), true)
        }
    }

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
