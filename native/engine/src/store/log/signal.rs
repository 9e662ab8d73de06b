//! How a thread of the store is told that there is work.

use parking_lot::{Condvar, Mutex};
use std::time::Instant;

/// A flag to wait for. Notices that come while nobody waits are one notice.
#[derive(Default)]
pub struct Signal {
    raised: Mutex<bool>,
    condition: Condvar,
}

impl Signal {
    pub fn notify(&self) {
        let mut raised = self.raised.lock();
        if !*raised {
            *raised = true;
            self.condition.notify_one();
        }
    }

    /// Returns when there was a notice, or at `until`.
    pub fn wait(&self, until: Option<Instant>) {
        let mut raised = self.raised.lock();
        while !*raised {
            match until {
                None => self.condition.wait(&mut raised),
                Some(until) => {
                    if self.condition.wait_until(&mut raised, until).timed_out() {
                        break;
                    }
                }
            }
        }
        *raised = false;
    }
}
