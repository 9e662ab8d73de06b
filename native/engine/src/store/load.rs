//! Reads a whole table with several threads: one walks the base store and hands out stretches of it as bytes, the others make
//! records of them. Stretches are bounded, and few wait at a time, so memory is.

use super::disc_read::rows_from_disc;
use super::{Store, StoreError};
use crate::term::Record;
use crossbeam::channel::{bounded, SendError};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a stretch, about.
const STRETCH: usize = 128 << 10;
/// Rows that are not worth a thread.
const FEW: usize = 4_000;

/// Rows of some keys, those of a key beside each other.
#[derive(Default)]
pub struct Loaded {
    pub records: Vec<Record>,
    /// For each key how many records it has.
    pub keys: Vec<u32>,
}

/// Rows as the base store has them.
struct Stretch {
    bytes: Vec<u8>,
    /// Where the rows of each key end.
    ends: Vec<usize>,
}

impl Stretch {
    fn new() -> Stretch {
        Stretch { bytes: Vec::with_capacity(STRETCH + STRETCH / 4), ends: Vec::with_capacity(FEW) }
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= STRETCH || self.ends.len() >= FEW
    }

    fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }
}

impl Store {
    /// Gives every row of a table to `keep`, as [`Store::load`] does, but from `threads` threads, in no order, many keys at a time.
    ///
    /// Errors end it; some rows were given then.
    pub fn load_many(&self, table: u32, threads: usize, keep: &(dyn Fn(Loaded) + Sync)) -> Result<(), StoreError> {
        let failed = Mutex::new(None);
        let stop = AtomicBool::new(false);
        let make = &|stretch: &Stretch| {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            match self.records(stretch) {
                Ok(loaded) => keep(loaded),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    failed.lock().get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            let (send, receive) = bounded::<Stretch>(threads);
            let mut receive = Some(receive);
            let mut stretch = Stretch::new();
            self.load_raw(table, &mut |_, value| {
                stretch.push(value);
                if stretch.is_full() {
                    // A small table gets no threads.
                    if let Some(receive) = receive.take() {
                        for _ in 0..threads {
                            let receive = receive.clone();
                            let thread = std::thread::Builder::new().name("remnesia_load".into());
                            // One that cannot be had is done without.
                            let _ = thread.spawn_scoped(scope, move || receive.iter().for_each(|stretch| make(&stretch)));
                        }
                    }
                    if let Err(SendError(stretch)) = send.send(std::mem::replace(&mut stretch, Stretch::new())) {
                        make(&stretch);
                    }
                }
                !stop.load(Ordering::Relaxed)
            })?;
            make(&stretch);
            Ok(())
        })?;
        failed.into_inner().map_or(Ok(()), Err)
    }

    fn records(&self, stretch: &Stretch) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded { records: Vec::with_capacity(stretch.ends.len()), keys: Vec::with_capacity(stretch.ends.len()) };
        let mut from = 0;
        for &end in &stretch.ends {
            let before = loaded.records.len();
            rows_from_disc(&stretch.bytes[from..end], self.dictionary(), &mut |record| loaded.records.push(record))?;
            loaded.keys.push((loaded.records.len() - before) as u32);
            from = end;
        }
        Ok(loaded)
    }
}
