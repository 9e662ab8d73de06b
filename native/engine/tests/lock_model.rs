//! Many transactions on one thread, stepped in random order: whatever they lock, in whatever order, all of them end, and no two
//! hold what conflicts (`check`). A deadlock or a lost wake-up shows as a state in which nobody can go on.

use proptest::prelude::*;
use remnesia_engine::db::Db;
use remnesia_engine::table::{Definition, IndexId, Kind};
use remnesia_engine::term::range::Range;
use remnesia_engine::txn::lock::Wakes;
use remnesia_engine::txn::{LockKind, Stop, Txn, Waited};

#[derive(Clone, Copy, Debug)]
enum Want {
    Record(u64, LockKind),
    Table(LockKind),
    /// An index value, as a reader does.
    Value(u8),
    Global(LockKind),
}

fn kind() -> impl Strategy<Value = LockKind> {
    prop_oneof![Just(LockKind::Read), Just(LockKind::Write)]
}

fn want() -> impl Strategy<Value = Want> {
    prop_oneof![
        6 => (0..4u64, kind()).prop_map(|(r, k)| Want::Record(r, k)),
        2 => kind().prop_map(Want::Table),
        1 => (0..2u8).prop_map(Want::Value),
        1 => kind().prop_map(Want::Global),
    ]
}

struct Worker {
    txn: Txn,
    program: Vec<Want>,
    at: usize,
    waiting: bool,
    restarts: usize,
    done: bool,
}

const NAME: [u8; 1] = [1];

impl Worker {
    fn lock(&mut self, db: &Db) -> Result<(), Stop> {
        let want = self.program[self.at];
        if let Want::Global(kind) = want {
            return self.txn.lock_global(db, &[7], kind);
        }
        let table = self.txn.table(db, &NAME)?;
        match want {
            Want::Record(hash, kind) => self.txn.lock_record(db, table, hash, kind),
            Want::Table(kind) => self.txn.lock_table(table, kind),
            Want::Value(value) => {
                let mut form = Vec::new();
                remnesia_engine::term::key::write(&[value], None, &mut form);
                self.txn.lock_range(db, table, IndexId(0), &Range::of(form), 1)
            }
            Want::Global(_) => Ok(()),
        }
    }

    /// One call, as a process would make it. `id` is what its waker says.
    fn step(&mut self, id: usize, db: &Db) {
        if self.txn.depth() == 0 {
            self.txn.begin();
        }
        if self.at == self.program.len() {
            self.txn.commit(db).expect("all locks are held");
            self.done = true;
            return;
        }
        match self.lock(db) {
            Ok(()) => self.at += 1,
            Err(Stop::Wait) => self.wait(id, db),
            Err(Stop::Restart) => self.restart(id, db),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn wait(&mut self, id: usize, db: &Db) {
        match self.txn.wait(db, Box::new(id)) {
            Waited::Granted => {}
            Waited::Queued => self.waiting = true,
            Waited::Restart => self.restart(id, db),
        }
    }

    fn restart(&mut self, id: usize, db: &Db) {
        self.restarts += 1;
        self.at = 0;
        match self.txn.restart(db) {
            Ok(()) => {}
            Err(Stop::Wait) => self.wait(id, db),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn wake(workers: &mut [Worker], wakes: Wakes) {
    for waker in wakes {
        let id = *waker.downcast::<usize>().expect("a worker's number");
        workers[id].waiting = false;
    }
}

fn run(programs: Vec<Vec<Want>>, choices: Vec<usize>, kills: bool) {
    let db = Db::default();
    db.start();
    db.create(&NAME, None, Definition { kind: Kind::Set, arity: 3, record_name: 27, indexes: vec![1.into()] }, None);
    let open = db.open(&NAME).expect("there");
    let worker = |program| Worker { txn: Txn::default(), program, at: 0, waiting: false, restarts: 0, done: false };
    let mut workers: Vec<_> = programs.into_iter().map(worker).collect();
    let mut choices = choices.into_iter().cycle();
    for step in 0.. {
        let ready: Vec<_> = (0..workers.len()).filter(|&i| !workers[i].waiting && !workers[i].done).collect();
        if ready.is_empty() {
            let stuck: Vec<_> = (0..workers.len()).filter(|&i| !workers[i].done).collect();
            assert!(stuck.is_empty(), "deadlock: {stuck:?} wait for ever");
            break;
        }
        let choice = choices.next().unwrap_or(0);
        let id = ready[choice % ready.len()];
        workers[id].step(id, &db);
        // A process dies, most often while it waits.
        let victim = choice / 7 % workers.len();
        if kills && choice.is_multiple_of(13) && !workers[victim].done {
            workers[victim].txn.kill(&db);
            workers[victim].done = true;
            workers[victim].waiting = false;
        }
        for i in 0..workers.len() {
            let wakes = std::mem::take(&mut workers[i].txn.wakes);
            wake(&mut workers, wakes);
        }
        open.lock.check().expect("sound");
        db.locks.check().expect("sound");
        assert!(step < 20_000, "livelock: restarts {:?}", workers.iter().map(|w| w.restarts).collect::<Vec<_>>());
    }
    assert!(db.locks.is_empty() && open.lock.is_free(), "a lock is left");
}

fn programs() -> impl Strategy<Value = Vec<Vec<Want>>> {
    prop::collection::vec(prop::collection::vec(want(), 1..7), 2..7)
}

fn choices() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..1_000usize, 20..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn everybody_ends(programs in programs(), choices in choices()) { run(programs, choices, false); }

    #[test]
    fn the_killed_leave_nothing(programs in programs(), choices in choices()) { run(programs, choices, true); }
}
