//! Every write and every sync of log and flush fails once, or is the last thing that happens; then the store is opened again.

mod store_common;

use remnesia_engine::store::base::MemBase;
use remnesia_engine::store::faulty::{Fault, FaultyDir};
use std::sync::Arc;
use store_common::*;

const TRANSACTIONS: i64 = 42;

struct Ran {
    dir: FaultyDir,
    base: Arc<MemBase>,
    tables: Tables,
    /// Transactions that were committed, answered, known to be on disc.
    committed: i64,
    answered: i64,
    durable: i64,
}

/// Runs the workload with one fault, which counts from after the tables were made.
fn run(fault: impl FnOnce(&FaultyDir)) -> Ran {
    let (dir, base) = (FaultyDir::default(), Arc::new(MemBase::default()));
    let (store, _) = open(&dir, &base).expect("opens");
    let tables = create(&store).expect("tables");
    fault(&dir);
    let mut ran = Ran { dir: dir.clone(), base, tables, committed: 0, answered: 0, durable: 0 };
    let mut positions = Vec::new();
    let mut all_answered = true;
    for i in 0..TRANSACTIONS {
        let Some(committed) = commit(&store, &tables, i) else { break };
        positions.push(committed.position);
        ran.committed = i + 1;
        all_answered &= committed.not_durable.is_none();
        if all_answered {
            ran.answered = i + 1;
        }
        if i % 3 == 0 {
            let _ = store.sync_step();
        }
        if i % 4 == 0 {
            let _ = store.keep_step();
        }
        // A base store beyond a power cut would be of another world.
        if i % 7 == 0 && !dir.is_frozen() {
            let _ = store.flush_step();
        }
        ran.durable = positions.iter().take_while(|p| **p <= store.synced()).count() as i64;
        // Once all is on disc it is answered, whatever was before.
        if ran.durable == ran.committed {
            all_answered = true;
            ran.answered = ran.committed;
        }
        if dir.is_frozen() {
            break;
        }
    }
    // Not closed: the process dies.
    die(store);
    ran
}

fn check(ran: &Ran, what: &str) {
    let images = if ran.dir.is_frozen() { Vec::new() } else { vec![(ran.dir.killed(), ran.answered, "killed".to_string())] };
    let cuts = (0..4u64).map(|seed| {
        let image = match seed {
            0 => ran.dir.power_cut(&mut || false),
            1 => ran.dir.power_cut(&mut || true),
            _ => ran.dir.power_cut(&mut chance(seed)),
        };
        (image, ran.durable, format!("power cut {seed}"))
    });
    for (dir, least, how) in images.into_iter().chain(cuts) {
        let what = format!("{what}, {how}");
        let base = Arc::new(ran.base.image());
        let (store, recovered) = open(&dir, &base).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(recovered.tables.len(), 3, "{what}");
        let done = check_prefix(&store, &ran.tables, least, &what);
        // It goes on, and is there after another start.
        commit(&store, &ran.tables, done).unwrap_or_else(|| panic!("{what}: refuses"));
        store.flush_all().unwrap_or_else(|e| panic!("{what}: {e}"));
        commit(&store, &ran.tables, done + 1).unwrap_or_else(|| panic!("{what}: refuses"));
        store.close().expect("closes");
        let (store, recovered) = open(&dir, &base).unwrap_or_else(|e| panic!("{what}, again: {e}"));
        assert_eq!(recovered.cut, 0, "{what}: closed in order");
        assert_eq!(check_prefix(&store, &ran.tables, done + 2, &what), done + 2);
    }
}

fn counts() -> (usize, usize, usize, usize) {
    let mut before = None;
    let ran = run(|dir| before = Some(dir.counts()));
    assert_eq!((ran.committed, ran.answered), (TRANSACTIONS, TRANSACTIONS), "without a fault");
    check(&ran, "no fault");
    let (before, after) = (before.expect("ran"), ran.dir.counts());
    assert!(after.writes > before.writes + 60 && after.syncs > before.syncs + 15);
    (before.writes, after.writes, before.syncs, after.syncs)
}

#[test]
fn every_write() {
    let (from, to, _, _) = counts();
    for n in from..to {
        for fault in [[Fault::Error, Fault::Short][n % 2], Fault::Freeze] {
            let ran = run(|dir| dir.at_write(n, fault));
            if fault != Fault::Freeze {
                assert_eq!(ran.committed, TRANSACTIONS, "write {n} {fault:?}: one error is repaired");
            }
            check(&ran, &format!("write {n} {fault:?}"));
        }
    }
}

#[test]
fn every_sync() {
    let (_, _, from, to) = counts();
    for n in from..to {
        for fault in [[Fault::Error, Fault::Short, Fault::Drop][n % 3], Fault::Freeze] {
            let ran = run(|dir| dir.at_sync(n, fault));
            if fault != Fault::Freeze {
                assert_eq!(ran.committed, TRANSACTIONS, "sync {n} {fault:?}: one error is repaired");
            }
            check(&ran, &format!("sync {n} {fault:?}"));
        }
    }
}

/// Two faults in a row: the repair fails as well, or a sync and a write.
#[test]
fn pairs() {
    let (from_w, to_w, from_s, to_s) = counts();
    for n in (from_s..to_s).step_by(3) {
        let both = [(Fault::Drop, Fault::Error), (Fault::Drop, Fault::Freeze), (Fault::Error, Fault::Drop)];
        for (first, second) in both {
            let ran = run(|dir| {
                dir.at_sync(n, first);
                dir.at_sync(n + 1, second);
            });
            check(&ran, &format!("syncs {n} {first:?} {second:?}"));
        }
        let write = from_w + (n * 7) % (to_w - from_w);
        let ran = run(|dir| {
            dir.at_sync(n, Fault::Drop);
            dir.at_write(write, Fault::Short);
        });
        check(&ran, &format!("sync {n}, write {write}"));
    }
}

/// Opening is interrupted at every step.
#[test]
fn recovery_interrupted() {
    let ran = run(|_| {});
    for seed in 0..4 {
        let (syncs, writes) = {
            let dir = ran.dir.power_cut(&mut chance(seed));
            let _ = open(&dir, &Arc::new(ran.base.image())).expect("opens");
            (dir.counts().syncs, dir.counts().writes)
        };
        for n in 0..syncs.max(writes) {
            for (write, fault) in [(true, Fault::Freeze), (false, Fault::Freeze), (true, Fault::Short), (false, Fault::Drop)] {
                let dir = ran.dir.power_cut(&mut chance(seed));
                let base = Arc::new(ran.base.image());
                if write {
                    dir.at_write(n, fault);
                } else {
                    dir.at_sync(n, fault);
                }
                let _ = open(&dir, &base);
                for again in 0..3 {
                    let (dir, base) = (dir.power_cut(&mut chance(again)), Arc::new(base.image()));
                    let what = format!("seed {seed}, step {n}, write {write}, {fault:?}");
                    let (store, _) = open(&dir, &base).unwrap_or_else(|e| panic!("{what}: {e}"));
                    check_prefix(&store, &ran.tables, ran.durable, &what);
                }
            }
        }
    }
}
