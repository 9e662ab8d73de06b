//! How a thread of the store is told that there is work.

use crate::sync::{Condvar, Mutex};
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
                None => raised = self.condition.wait(raised),
                Some(until) => {
                    let (guard, late) = self.condition.wait_until(&self.raised, raised, until);
                    raised = guard;
                    if late {
                        break;
                    }
                }
            }
        }
        *raised = false;
    }
}
