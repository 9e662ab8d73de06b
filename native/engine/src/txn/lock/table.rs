//! The lock of a table: counted intentions that scale, table-wide modes that are rare.
//!
//! IS and IX are counters, striped so that two cores share none. Only a table-wide S or X has a name. While one is held or
//! wanted the gate is up, and intentions take the slow way under the mutex.
//!
//! Why no wake-up is lost: an intention does `count += 1; read gate`, a table-wide request does `gate += 1; read counts`, all sequentially
//! consistent, so at least one sees the other. The release does `count -= 1; read gate`: if it sees the gate down, the request came
//! later and reads the lower count.
//!
//! The owners of counted intentions are not known, so neither are their ages: a table-wide request that meets them waits only
//! if it holds nothing, else it restarts. Those that are let past a waiting request are younger than it (see [`super::queue`]).

use super::ctl::TxnCtl;
use super::mode::Modes;
use super::queue::{Lock, Request, Verdict, Wakes};
use crate::sync::Waker;
use crate::sync::{AtomicU32, Mutex, Ordering};
use crossbeam::utils::CachePadded;

const STRIPES: usize = if cfg!(test) { 2 } else { 16 };
const INTENTIONS: Modes = Modes::IS.union(Modes::IX);

#[derive(Default)]
struct Stripe {
    is: AtomicU32,
    ix: AtomicU32,
}

#[derive(Default)]
pub struct TableLock {
    stripes: [CachePadded<Stripe>; STRIPES],
    /// Table-wide holders and waiters, and requests being decided.
    gate: AtomicU32,
    slow: Mutex<Lock>,
}

impl TableLock {
    #[inline]
    fn count(&self, ctl: &TxnCtl, want: Modes) -> &AtomicU32 {
        let stripe = &self.stripes[ctl.stripe % STRIPES];
        if want == Modes::IX {
            &stripe.ix
        } else {
            &stripe.is
        }
    }

    /// Takes one more mode; `request.own` are the modes held already.
    #[inline]
    pub fn acquire(&self, request: &Request, wakes: &mut Wakes) -> Verdict {
        if !request.want.intersects(INTENTIONS) {
            return self.decide(request, wakes, None);
        }
        let count = self.count(request.ctl, request.want);
        count.fetch_add(1, Ordering::SeqCst);
        if self.gate.load(Ordering::SeqCst) == 0 {
            return Verdict::Granted;
        }
        count.fetch_sub(1, Ordering::SeqCst);
        self.decide(request, wakes, None)
    }

    /// The second step of a wait.
    pub fn enqueue(&self, request: &Request, wake: Waker, wakes: &mut Wakes) -> Verdict {
        self.decide(request, wakes, Some(wake))
    }

    fn decide(&self, request: &Request, wakes: &mut Wakes, wake: Option<Waker>) -> Verdict {
        let mut lock = self.slow.lock();
        self.gate.fetch_add(1, Ordering::SeqCst);
        let verdict = lock.decide(request, self.counted_conflict(request));
        match (verdict, wake) {
            (Verdict::Granted, _) if self.note(request) => lock.grant(request.ctl, request.want),
            (Verdict::Wait, Some(wake)) => lock.enqueue(*request, wake),
            _ => {}
        }
        self.settle(&mut lock, wakes);
        verdict
    }

    /// Do others' intentions conflict with a table-wide request?
    fn counted_conflict(&self, request: &Request) -> bool {
        let sum = |get: fn(&Stripe) -> &AtomicU32, own: Modes| -> bool {
            let all: u32 = self.stripes.iter().map(|s| get(s).load(Ordering::SeqCst)).sum();
            all > u32::from(request.own.contains(own))
        };
        match request.want {
            Modes::S => sum(|s| &s.ix, Modes::IX),
            Modes::X => sum(|s| &s.ix, Modes::IX) || sum(|s| &s.is, Modes::IS),
            _ => false,
        }
    }

    /// Counts a granted intention; true if the mode is one with a name instead.
    fn note(&self, request: &Request) -> bool {
        let named = !request.want.intersects(INTENTIONS);
        if !named {
            self.count(request.ctl, request.want).fetch_add(1, Ordering::SeqCst);
        }
        named
    }

    /// Grants what can be granted and sets the gate to what is left.
    fn settle(&self, lock: &mut Lock, wakes: &mut Wakes) {
        lock.advance(wakes, |r| self.counted_conflict(r), |r| self.note(r));
        let named = lock.holders().len() + lock.queued();
        self.gate.store(named as u32, Ordering::SeqCst);
    }

    /// Frees the modes that a transaction holds.
    #[inline]
    pub fn release(&self, ctl: &TxnCtl, modes: Modes, wakes: &mut Wakes) {
        for intention in [Modes::IS, Modes::IX] {
            if modes.contains(intention) {
                self.count(ctl, intention).fetch_sub(1, Ordering::SeqCst);
            }
        }
        let named = modes.intersects(Modes::S.union(Modes::X));
        if named || self.gate.load(Ordering::SeqCst) != 0 {
            let mut lock = self.slow.lock();
            if named {
                lock.drop_holder(ctl);
            }
            self.settle(&mut lock, wakes);
        }
    }

    /// Takes a waiter out of the queue; false if it is not in it.
    pub fn leave(&self, ctl: &TxnCtl, wakes: &mut Wakes) -> bool {
        let mut lock = self.slow.lock();
        let left = lock.unqueue(ctl);
        self.settle(&mut lock, wakes);
        left
    }

    /// Wakes every waiter without its lock, when the table is gone.
    pub fn dismiss(&self, wakes: &mut Wakes) {
        let mut lock = self.slow.lock();
        lock.dismiss(wakes);
        self.settle(&mut lock, wakes);
    }

    /// Does somebody hold or want the table as a whole?
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.gate.load(Ordering::Relaxed) != 0
    }

    /// Who holds the table with a mode that excludes everybody.
    pub fn exclusive_holder(&self) -> Option<&'static TxnCtl> {
        self.slow.lock().exclusive_holder()
    }

    /// Nobody holds or wants anything.
    pub fn is_free(&self) -> bool {
        let counts = |s: &CachePadded<Stripe>| s.is.load(Ordering::SeqCst) == 0 && s.ix.load(Ordering::SeqCst) == 0;
        self.slow.lock().is_free() && self.stripes.iter().all(counts)
    }

    pub fn check(&self) -> Result<(), String> {
        let lock = self.slow.lock();
        lock.check()?;
        let named = (lock.holders().len() + lock.queued()) as u32;
        let gate = self.gate.load(Ordering::SeqCst);
        if gate == named {
            Ok(())
        } else {
            Err(format!("gate {gate}, but {named} table-wide holders and waiters"))
        }
    }
}
