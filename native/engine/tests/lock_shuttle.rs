//! The locks under the model checker: threads that lock, upgrade, restart and die at every point of interleaving. Run with
//! `cargo test --features shuttle --test lock_shuttle`.

mod shuttle_common;

use remnesia_engine::db::Db;
use remnesia_engine::table::{Definition, Kind};
use remnesia_engine::txn::lock::Wakes;
use remnesia_engine::txn::{LockKind, Stop, Txn, Waited};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

/// A process's mailbox: has its grant come?
type Mailbox = Arc<(Mutex<bool>, Condvar)>;

#[derive(Clone, Copy)]
enum Want {
    Record(u64, LockKind),
    Table(LockKind),
}
use LockKind::{Read, Write};
use Want::{Record, Table};

const NAME: [u8; 1] = [1];

fn fire(wakes: &mut Wakes) {
    for waker in wakes.drain(..) {
        let mailbox = waker.downcast::<Mailbox>().expect("a mailbox");
        *mailbox.0.lock().expect("whole") = true;
        mailbox.1.notify_one();
    }
}

/// Who is inside: readers count up, a writer is -1; one place per record and one for the table.
struct Inside(Vec<Mutex<i64>>);

impl Inside {
    fn enter(&self, at: usize, kind: LockKind) {
        let mut inside = self.0[at].lock().expect("whole");
        match kind {
            Read => {
                assert!(*inside >= 0, "a reader beside a writer");
                *inside += 1;
            }
            Write => {
                assert!(*inside == 0, "a writer beside others");
                *inside = -1;
            }
        }
    }

    fn leave(&self, at: usize, kind: LockKind) {
        *self.0[at].lock().expect("whole") += if kind == Read { -1 } else { 1 };
    }
}

fn wait(txn: &mut Txn, db: &Db) -> Waited {
    let mailbox: Mailbox = Arc::new((Mutex::new(false), Condvar::new()));
    let waited = txn.wait(db, Box::new(mailbox.clone()));
    fire(&mut txn.wakes);
    if waited == Waited::Queued {
        let mut come = mailbox.0.lock().expect("whole");
        while !*come {
            come = mailbox.1.wait(come).expect("whole");
        }
        return Waited::Granted;
    }
    waited
}

/// Restarts until the lost lock is held.
fn restart(txn: &mut Txn, db: &Db) {
    loop {
        let restarted = txn.restart(db);
        fire(&mut txn.wakes);
        match restarted {
            Ok(()) => return,
            Err(Stop::Wait) if wait(txn, db) == Waited::Granted => return,
            _ => {}
        }
    }
}

fn transaction(db: &Db, program: &[Want], inside: &Inside, dies: bool) {
    let mut txn = Txn::default();
    txn.begin();
    'run: loop {
        for want in program {
            loop {
                let table = txn.table(db, &NAME);
                let locked = table.and_then(|table| match *want {
                    Record(hash, kind) => txn.lock_record(db, table, hash, kind),
                    Table(kind) => txn.lock_table(table, kind),
                });
                fire(&mut txn.wakes);
                match locked {
                    Ok(()) => break,
                    Err(Stop::Wait) => {
                        if wait(&mut txn, db) == Waited::Restart {
                            restart(&mut txn, db);
                            continue 'run;
                        }
                    }
                    Err(Stop::Restart) => {
                        restart(&mut txn, db);
                        continue 'run;
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        break;
    }
    // Records are entered with the strongest mode that the program took; the table by its own.
    for at in 0..3 {
        let modes = program.iter().filter_map(|w| match *w {
            Record(hash, kind) if hash as usize == at => Some(kind),
            Table(kind) if at == 2 => Some(kind),
            _ => None,
        });
        let modes: Vec<_> = modes.collect();
        if let Some(kind) = modes.iter().copied().find(|k| *k == Write).or(modes.first().copied()) {
            inside.enter(at, kind);
            thread::yield_now();
            inside.leave(at, kind);
        }
    }
    if dies {
        txn.kill(db);
    } else {
        txn.commit(db).expect("all locks are held");
    }
    fire(&mut txn.wakes);
}

fn check(schedules: usize, programs: &'static [&'static [Want]]) {
    let run = move || {
        let db = Arc::new(Db::default());
        db.start();
        db.create(&NAME, None, Definition { kind: Kind::OrderedSet, arity: 3, record_name: 27, indexes: vec![] }, None);
        let inside = Arc::new(Inside((0..3).map(|_| Mutex::new(0)).collect()));
        let threads: Vec<_> = programs
            .iter()
            .enumerate()
            .map(|(i, program)| {
                let (db, inside) = (db.clone(), inside.clone());
                thread::spawn(move || transaction(&db, program, &inside, i == 1))
            })
            .collect();
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        let open = db.open(&NAME).expect("there");
        assert!(db.locks.is_empty() && open.lock.is_free(), "a lock is left");
        open.lock.check().expect("sound");
    };
    shuttle_common::check(schedules, run);
}

#[test]
fn opposite_order() {
    check(1_500, &[&[Record(0, Write), Record(1, Write)], &[Record(1, Write), Record(0, Write)]]);
}

#[test]
fn upgrades() {
    const UPGRADE: &[Want] = &[Record(0, Read), Record(0, Write)];
    check(600, &[UPGRADE, UPGRADE, UPGRADE]);
}

#[test]
fn table_against_records() {
    check(600, &[&[Table(Write)], &[Record(0, Write)], &[Record(1, Read), Record(0, Read)]]);
}

#[test]
fn reader_of_the_table_then_writer_of_a_record() {
    const BOTH: &[Want] = &[Table(Read), Record(0, Write)];
    check(600, &[BOTH, BOTH, &[Record(0, Write), Record(1, Write)]]);
}

#[test]
fn a_hot_record() {
    const WRITE: &[Want] = &[Record(0, Write)];
    check(600, &[WRITE, WRITE, WRITE, &[Record(0, Read), Record(1, Write)]]);
}
