//! The one place that names the synchronisation types.

pub use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
