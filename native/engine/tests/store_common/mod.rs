//! What the tests of the store share: rows, a workload, and a model that knows what every prefix of it leaves.
#![allow(dead_code)]

use remnesia_engine::store::base::MemBase;
use remnesia_engine::store::faulty::FaultyDir;
use remnesia_engine::store::{Callbacks, Committed, Config, Recovered, Store, StoreError, Table};
use remnesia_engine::term::atom::plain::intern;
use remnesia_engine::term::{read, Record, Term, Writer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub fn config() -> Config {
    Config {
        segment_bytes: 16 << 10,
        log_bytes: 1 << 20,
        unsynced_bytes: 1 << 20,
        flush_keys: 8,
        threads: false,
        ..Config::default()
    }
}

/// A row of integer key, an atom that depends on the value, the value.
pub fn row(key: i64, value: i64) -> Record {
    let mut writer = Writer::new();
    writer.int(key);
    let atom = writer.len() as u32;
    writer.atom(intern(&format!("value_{}", value % 50)));
    let at = writer.len() as u32;
    writer.int(value);
    let fill = writer.len() as u32;
    writer.binary(&vec![value as u8; (value % 90) as usize]);
    Record::build(&[0, atom, at, fill], &writer.buf, false, None)
}

fn int(bytes: &[u8]) -> i64 {
    match read(bytes).0 {
        Term::Int(i) => i,
        other => panic!("no integer: {other:?}"),
    }
}

/// Key and value of a row that `row` has made; anything else panics.
pub fn of_row(record: &Record) -> (i64, i64) {
    let (key, value) = (int(record.field(0)), int(record.field(2)));
    assert!(record.same(&row(key, value)), "not a row that was written: {record:?}");
    (key, value)
}

pub type Model = BTreeMap<(usize, i64), i64>;

/// Tables of the workload: two with rows, one with the number of the last transaction.
#[derive(Clone, Copy, Debug)]
pub struct Tables(pub [Table; 3]);

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Put(usize, i64, i64),
    Delete(usize, i64),
    Clear(usize),
}

/// What transaction `i` does; the 17th of each 20 is larger than a segment.
pub fn transaction(i: i64) -> Vec<Step> {
    let mut steps = match i % 20 {
        3 => vec![Step::Delete(0, (i * 3) % 13), Step::Put(1, i % 7, i)],
        11 => vec![Step::Clear(1), Step::Put(1, 100, i)],
        17 => (0..260).map(|k| Step::Put(k as usize % 2, 1000 + k, i * 1000 + k)).collect(),
        _ => vec![Step::Put(0, i % 13, i), Step::Put(1, i % 7, i + 1)],
    };
    steps.push(Step::Put(2, 0, i));
    steps
}

pub fn apply(model: &mut Model, steps: &[Step]) {
    for step in steps {
        match *step {
            Step::Put(table, key, value) => {
                model.insert((table, key), value);
            }
            Step::Delete(table, key) => {
                model.remove(&(table, key));
            }
            Step::Clear(table) => model.retain(|(t, _), _| *t != table),
        }
    }
}

/// What transactions 0 to `n` leave.
pub fn model(n: i64) -> Model {
    let mut model = Model::new();
    (0..n).for_each(|i| apply(&mut model, &transaction(i)));
    model
}

/// Commits one transaction, making room by the steps that the threads would take. None if the store refuses.
pub fn commit(store: &Store, tables: &Tables, i: i64) -> Option<Committed> {
    let steps = transaction(i);
    let bytes = steps.len() as u64 * 180 + 64;
    for _ in 0..20 {
        match store.begin(bytes) {
            Ok(Some(mut commit)) => {
                for step in &steps {
                    let done = match *step {
                        Step::Put(table, key, value) => commit.put(tables.0[table], &[row(key, value)]),
                        Step::Delete(table, key) => commit.delete(tables.0[table], &row(key, 0)),
                        Step::Clear(table) => {
                            commit.clear(tables.0[table]);
                            Ok(())
                        }
                    };
                    done.expect("encodes");
                }
                return Some(commit.commit());
            }
            Ok(None) => {
                let _ = store.sync_step();
                let _ = store.keep_step();
                let _ = store.flush_step();
            }
            Err(_) => {
                let _ = store.keep_step();
                if store.sync_step().is_err() {
                    return None;
                }
            }
        }
    }
    None
}

pub fn open_with(dir: &FaultyDir, base: &Arc<MemBase>, config: Config) -> Result<(Store, Recovered), StoreError> {
    Store::open(Arc::new(dir.clone()), base.clone(), config, Arc::new(Callbacks))
}

pub fn open(dir: &FaultyDir, base: &Arc<MemBase>) -> Result<(Store, Recovered), StoreError> {
    open_with(dir, base, config())
}

/// The process dies: the store is not closed. It is kept where a leak sanitizer finds it.
pub fn die(store: Store) {
    static DEAD: Mutex<Vec<Store>> = Mutex::new(Vec::new());
    DEAD.lock().expect("nobody panics with it").push(store);
}

/// Makes the three tables, synced.
pub fn create(store: &Store) -> Result<Tables, StoreError> {
    let mut tables = Vec::new();
    for name in ["first", "second", "last"] {
        tables.push(store.create_table(false, name.as_bytes())?);
    }
    store.sync_all()?;
    Ok(Tables([tables[0], tables[1], tables[2]]))
}

/// All rows, and how many transactions they are the work of.
pub fn state(store: &Store, tables: &Tables) -> Result<(Model, i64), StoreError> {
    let mut model = Model::new();
    for (n, table) in tables.0.iter().enumerate() {
        store.load(table.number, &mut |record| {
            let (key, value) = of_row(&record);
            assert_eq!(model.insert((n, key), value), None, "a key once");
        })?;
    }
    let done = model.get(&(2, 0)).map_or(0, |last| last + 1);
    Ok((model, done))
}

/// The store holds a prefix of the workload; answers its length.
pub fn check_prefix(store: &Store, tables: &Tables, least: i64, what: &str) -> i64 {
    let (found, done) = state(store, tables).expect("loads");
    assert_eq!(found, model(done), "{what}: a prefix, no part of a transaction");
    assert!(done >= least, "{what}: {done} transactions are there, {least} were promised");
    done
}

/// Numbers that look random.
pub fn chance(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state & 1 == 1
    }
}
