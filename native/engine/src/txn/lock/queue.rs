//! One lock: who holds it, who waits, and the rule that decides.

use super::ctl::TxnCtl;
use super::mode::Modes;
use crate::sync::Waker;
use smallvec::SmallVec;

/// Wakers to call when no lock is held any more.
pub type Wakes = SmallVec<[Waker; 1]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Granted,
    /// Not now: enqueue.
    Wait,
    /// Waiting could be a deadlock: give everything up and run again.
    Restart,
}

/// What a waiter is waiting with.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub ctl: &'static TxnCtl,
    pub want: Modes,
    /// Modes of this lock that it has already.
    pub own: Modes,
    /// It holds this or any other lock, or would not wait without one either.
    pub holds: bool,
    /// Its runs are counted: whoever had the lock first is the older one, if neither has an age yet.
    pub counted: bool,
}

impl std::fmt::Debug for TxnCtl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Txn({})", self.age())
    }
}

struct Waiter {
    request: Request,
    wake: Waker,
}

impl Request {
    fn precedes(&self, other: &TxnCtl) -> bool {
        if self.counted {
            other.age();
        }
        self.ctl.older_than(other)
    }

    /// Does a waiter with request `self` stand before a newcomer? First those that hold locks, the youngest first; then those that
    /// hold nothing, in order of arrival. One that wants more of this lock needs no place of its own: whoever waits for what it
    /// has is older, so it stands before them already.
    fn stands_before(&self, newcomer: &Request) -> bool {
        match (self.holds, newcomer.holds) {
            (true, true) => newcomer.ctl.older_than(self.ctl),
            (mine, its) => mine || !its,
        }
    }
}

/// Holders and queue.
#[derive(Default)]
pub struct Lock {
    holders: SmallVec<[(&'static TxnCtl, Modes); 1]>,
    // One holder in place, boxed queue: a record lock with its slot is one line of memory.
    #[allow(clippy::box_collection)]
    queue: Option<Box<Vec<Waiter>>>,
}

impl Lock {
    /// Is some waiter or holder here at all?
    pub fn is_free(&self) -> bool {
        self.holders.is_empty() && self.queue.is_none()
    }

    fn waiters(&self) -> &[Waiter] {
        self.queue.as_ref().map_or(&[], |q| q.as_slice())
    }

    /// Decides a request that is not in the queue. `anonymous`: others whose names are not known (intention counters) hold what
    /// conflicts.
    pub fn decide(&self, request: &Request, anonymous: bool) -> Verdict {
        let ctl = request.ctl;
        let holders = self.holders.iter().filter(|(c, m)| *c != ctl && request.want.conflicts(*m));
        let before = self.waiters().iter().map(|w| &w.request);
        let before = before.filter(|w| w.ctl != ctl && w.stands_before(request) && request.want.conflicts(w.want));
        let mut conflicts = holders.map(|(c, _)| *c).chain(before.map(|w| w.ctl)).peekable();
        if conflicts.peek().is_none() && !anonymous {
            // Passing an older one that waits to upgrade would be safe, but could starve it.
            let upgrader = |w: &Waiter| !w.request.own.is_empty() && w.request.ctl.older_than(ctl);
            let starves = |w: &Waiter| w.request.ctl != ctl && request.want.conflicts(w.request.want) && upgrader(w);
            let passes = request.holds && self.waiters().iter().any(starves);
            if passes {
                Verdict::Restart
            } else {
                Verdict::Granted
            }
        } else if !request.holds || (!anonymous && conflicts.all(|other| request.precedes(other))) {
            Verdict::Wait
        } else {
            Verdict::Restart
        }
    }

    pub fn grant(&mut self, ctl: &'static TxnCtl, want: Modes) {
        match self.holders.iter_mut().find(|(c, _)| *c == ctl) {
            Some((_, modes)) => *modes = modes.union(want),
            None => self.holders.push((ctl, want)),
        }
    }

    pub fn enqueue(&mut self, request: Request, wake: Waker) {
        request.ctl.set_granted(false);
        let queue = self.queue.get_or_insert_with(Default::default);
        let at = queue.iter().position(|w| !w.request.stands_before(&request)).unwrap_or(queue.len());
        queue.insert(at, Waiter { request, wake });
    }

    /// Takes a holder and waiter out; true if it was in the queue.
    pub fn remove(&mut self, ctl: &TxnCtl) -> bool {
        self.holders.retain(|(c, _)| *c != ctl);
        self.unqueue(ctl)
    }

    pub fn unqueue(&mut self, ctl: &TxnCtl) -> bool {
        let Some(queue) = &mut self.queue else { return false };
        let before = queue.len();
        queue.retain(|w| w.request.ctl != ctl);
        let was = queue.len() != before;
        if queue.is_empty() {
            self.queue = None;
        }
        was
    }

    /// Wakes every waiter without its lock: what it waits for is gone. It asks again and is told so.
    pub fn dismiss(&mut self, wakes: &mut Wakes) {
        for waiter in self.queue.take().into_iter().flat_map(|queue| *queue) {
            waiter.request.ctl.set_dismissed();
            wakes.push(waiter.wake);
        }
    }

    pub fn drop_holder(&mut self, ctl: &TxnCtl) {
        self.holders.retain(|(c, _)| *c != ctl);
    }

    /// Grants whatever can be granted now, in queue order. `anonymous` says of a request whether unnamed holders conflict with
    /// it; `granted` notes a grant (and is the one to record intentions, which are not named here).
    pub fn advance(
        &mut self,
        wakes: &mut Wakes,
        anonymous: impl Fn(&Request) -> bool,
        mut granted: impl FnMut(&Request) -> bool,
    ) {
        let Some(mut queue) = self.queue.take() else { return };
        let mut still: Vec<Waiter> = Vec::new();
        for waiter in queue.drain(..) {
            let Request { ctl, want, .. } = waiter.request;
            let held = self.holders.iter().any(|(c, m)| *c != ctl && want.conflicts(*m));
            let behind = still.iter().any(|w| want.conflicts(w.request.want));
            if held || behind || anonymous(&waiter.request) {
                still.push(waiter);
                continue;
            }
            if granted(&waiter.request) {
                self.grant(ctl, want);
            }
            ctl.set_granted(true);
            wakes.push(waiter.wake);
        }
        if !still.is_empty() {
            *queue = still;
            self.queue = Some(queue);
        }
    }

    pub fn queued(&self) -> usize {
        self.waiters().len()
    }

    pub fn holders(&self) -> &[(&'static TxnCtl, Modes)] {
        &self.holders
    }

    /// Who holds it with a mode that excludes everybody.
    pub fn exclusive_holder(&self) -> Option<&'static TxnCtl> {
        self.holders.iter().find(|(_, m)| m.contains(Modes::X)).map(|(c, _)| *c)
    }

    /// No two holders conflict, and whoever waits while holding locks waits for younger ones only.
    pub fn check(&self) -> Result<(), String> {
        for (i, (a, ma)) in self.holders.iter().enumerate() {
            for (b, mb) in &self.holders[i + 1..] {
                if ma.conflicts(*mb) {
                    return Err(format!("{a:?} with {ma:?} and {b:?} with {mb:?} hold one lock"));
                }
            }
        }
        for w in self.waiters().iter().filter(|w| w.request.holds) {
            for (h, m) in &self.holders {
                if *h != w.request.ctl && w.request.want.conflicts(*m) && !w.request.ctl.older_than(h) {
                    return Err(format!("{:?} waits for the older {h:?}", w.request.ctl));
                }
            }
        }
        Ok(())
    }
}
