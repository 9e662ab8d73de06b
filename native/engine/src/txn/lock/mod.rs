//! Locks of transactions: strict two-phase locking with wait-die.
//!
//! Tables take intention locks (Gray 1976), records and index values take locks by hash. Nobody ever waits in a cycle:
//!
//! * a transaction that holds locks waits only for *younger* ones (wait-die, Rosenkrantz, Stearns and Lewis 1978), else it is
//!   told to restart: it gives everything up, waits for the lock while it holds nothing, and runs again with it;
//! * a transaction that holds nothing waits for anybody: nobody but others that hold nothing ever waits for it.
//!
//! Plain FIFO queues would break the first rule, since a waiter also waits for those before it. So a queue is ordered: first
//! those that hold locks, the youngest first, so that each waits for younger ones only; then those that hold nothing, in order of
//! arrival. See [`queue`].
//!
//! Waiting takes two calls: [`Verdict::Wait`] leaves nothing behind; the caller then makes a waker and enqueues. No waiter
//! sleeps in here, and no waker is called under a lock: grants are handed back and fired by the caller.

mod ctl;
mod mode;
mod queue;
mod record;
mod table;

pub use crate::sync::Waker;
pub use ctl::{CommitWait, TxnCtl};
pub use mode::Modes;
pub use queue::{Request, Verdict, Wakes};
pub use record::{ByLock, LockId, Passed, RecordLocks};
pub use table::TableLock;
