//! The base store: tables as the log left them at some position. The flush writes it, recovery and reads of disc-only tables read
//! it.
//!
//! Keys and values are bytes without meaning here. Tables are numbers that are never used again.

use super::fan::fan;
use super::StoreError;
use parking_lot::RwLock;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

/// One key of one table: its new value, or none to delete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op<'a> {
    pub table: u32,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// What one transaction of the base store does, in this order: it empties tables, then changes keys, then the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// Tables that are emptied (or dropped: a table that has no key is not there).
    pub cleared: &'a [u32],
    /// Sorted by table and key; each key at most once; none of it touched by `cleared`.
    pub ops: &'a [Op<'a>],
    /// New atoms; an id that is there already comes with the same text.
    pub dictionary: &'a [(u32, &'a [u8])],
    /// Small values by name; none to delete one.
    pub meta: &'a [(&'a [u8], Option<&'a [u8]>)],
    /// The log position that the state stands at from now on. None keeps it: an earlier part of a flush.
    pub position: Option<u64>,
}

/// A key and its value, where the store has them.
pub type Row<'r> = (Cow<'r, [u8]>, &'r [u8]);
/// Rows that are handed out together: enough to be worth a thread, and what is made of them stays in the cache.
pub const STRETCH: usize = 2_048;

/// A durable, ordered store. All methods may be called from several threads at once; one thread calls `apply`.
pub trait Base: Send + Sync {
    /// The log position the state stands at; 0 for a new store.
    fn position(&self) -> Result<u64, StoreError>;
    /// A small value by name: table definitions, counters, format.
    fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// All small values whose names begin with `prefix`, in order of name.
    fn metas(&self, prefix: &[u8], f: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError>;
    /// All atoms: id, text.
    fn dictionary(&self, f: &mut dyn FnMut(u32, &[u8])) -> Result<(), StoreError>;
    /// One transaction, durable when it returns: everything or nothing.
    fn apply(&self, batch: &Batch<'_>) -> Result<(), StoreError>;
    /// The keys of a table in order from `from` on, until `f` answers false.
    fn scan(&self, table: u32, from: Bound<&[u8]>, f: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError>;
    /// As `scan`, against the order of keys, from `from` down.
    fn scan_back(&self, table: u32, from: Bound<&[u8]>, f: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError>;
    /// Gives all keys of a table to `f`, up to [`STRETCH`] at a time, from up to `threads` threads, in no order of the stretches but in order
    /// within each, until one is answered by false.
    fn scan_many(&self, table: u32, threads: usize, f: &(dyn Fn(&[Row<'_>]) -> bool + Sync)) -> Result<(), StoreError>;
    /// Number of keys of a table, as of the last transaction; at once.
    fn size(&self, table: u32) -> u64;
    /// Bytes of disc that a table takes, as far as that is known.
    fn bytes(&self, table: u32) -> Result<u64, StoreError> {
        let _ = table;
        Ok(0)
    }
    /// Writes everything anew without free room, and answers the bytes before and after. Errors leave what was there.
    fn compact(&self) -> Result<(u64, u64), StoreError> {
        Ok((0, 0))
    }
    /// Gives the value of a key to `f`; false if there is none.
    fn get(&self, table: u32, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError>;
}

/// A base store in memory, for tests. A clone of its contents is what a crash leaves ([`MemBase::image`]).
///
/// ```
/// use remnesia_engine::store::base::{Base, Batch, MemBase, Op};
/// let base = MemBase::default();
/// let ops = [Op { table: 1, key: b"k", value: Some(b"v") }];
/// base.apply(&Batch { ops: &ops, position: Some(8), ..Batch::default() }).unwrap();
/// assert_eq!(base.position().unwrap(), 8);
/// assert!(base.get(1, b"k", &mut |v| assert_eq!(v, b"v")).unwrap());
/// ```
#[derive(Default)]
pub struct MemBase {
    state: RwLock<State>,
    /// How many more transactions succeed; then each fails.
    left: RwLock<Option<usize>>,
}

#[derive(Clone, Default)]
struct State {
    position: u64,
    meta: BTreeMap<Vec<u8>, Vec<u8>>,
    dictionary: BTreeMap<u32, Vec<u8>>,
    rows: BTreeMap<(u32, Vec<u8>), Vec<u8>>,
}

impl MemBase {
    /// A store with the contents that this one has now.
    pub fn image(&self) -> MemBase {
        MemBase { state: RwLock::new(self.state.read().clone()), left: RwLock::new(None) }
    }

    /// From the `n`-th transaction on each fails; None ends that.
    pub fn fail_after(&self, n: Option<usize>) {
        *self.left.write() = n;
    }

    /// Number of keys of all tables.
    pub fn len(&self) -> usize {
        self.state.read().rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Base for MemBase {
    fn position(&self) -> Result<u64, StoreError> {
        Ok(self.state.read().position)
    }

    fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.read().meta.get(key).cloned())
    }

    fn metas(&self, prefix: &[u8], f: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        let state = self.state.read();
        let from = state.meta.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(key, _)| key.starts_with(prefix)).for_each(|(key, value)| f(key, value));
        Ok(())
    }

    fn dictionary(&self, f: &mut dyn FnMut(u32, &[u8])) -> Result<(), StoreError> {
        self.state.read().dictionary.iter().for_each(|(id, text)| f(*id, text));
        Ok(())
    }

    fn apply(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        if let Some(left) = &mut *self.left.write() {
            *left = left.checked_sub(1).ok_or(StoreError::Base { code: 28, what: "no more".into() })?;
        }
        debug_assert!(batch.ops.windows(2).all(|w| (w[0].table, w[0].key) < (w[1].table, w[1].key)), "sorted");
        let mut state = self.state.write();
        state.rows.retain(|(table, _), _| !batch.cleared.contains(table));
        for op in batch.ops {
            let key = (op.table, op.key.to_vec());
            match op.value {
                Some(value) => state.rows.insert(key, value.to_vec()),
                None => state.rows.remove(&key),
            };
        }
        state.dictionary.extend(batch.dictionary.iter().map(|(id, text)| (*id, text.to_vec())));
        for (key, value) in batch.meta {
            match value {
                Some(value) => state.meta.insert(key.to_vec(), value.to_vec()),
                None => state.meta.remove(*key),
            };
        }
        state.position = batch.position.unwrap_or(state.position);
        Ok(())
    }

    fn scan(&self, table: u32, from: Bound<&[u8]>, f: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let state = self.state.read();
        let from = match from {
            Bound::Included(key) => Bound::Included((table, key.to_vec())),
            Bound::Excluded(key) => Bound::Excluded((table, key.to_vec())),
            Bound::Unbounded => Bound::Included((table, Vec::new())),
        };
        let rows = state.rows.range((from, Bound::Unbounded));
        for ((_, key), value) in rows.take_while(|((of, _), _)| *of == table) {
            if !f(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(&self, table: u32, from: Bound<&[u8]>, f: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let state = self.state.read();
        let from = match from {
            Bound::Included(key) => Bound::Included((table, key.to_vec())),
            Bound::Excluded(key) => Bound::Excluded((table, key.to_vec())),
            Bound::Unbounded => table.checked_add(1).map_or(Bound::Unbounded, |next| Bound::Excluded((next, Vec::new()))),
        };
        let rows = state.rows.range((Bound::Unbounded, from)).rev();
        for ((_, key), value) in rows.take_while(|((of, _), _)| *of == table) {
            if !f(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn scan_many(&self, table: u32, threads: usize, f: &(dyn Fn(&[Row<'_>]) -> bool + Sync)) -> Result<(), StoreError> {
        let state = self.state.read();
        let rows = state.rows.range((table, Vec::new())..).take_while(|((of, _), _)| *of == table);
        let rows: Vec<Row<'_>> = rows.map(|((_, key), value)| (Cow::from(key), &value[..])).collect();
        let stop = AtomicBool::new(false);
        let work = |stretch: &[Row<'_>]| {
            if !stop.load(Ordering::Relaxed) && !f(stretch) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        fan(threads, &work, |deal| rows.chunks(STRETCH).for_each(deal));
        Ok(())
    }

    fn size(&self, table: u32) -> u64 {
        self.state.read().rows.range((table, Vec::new())..).take_while(|((of, _), _)| *of == table).count() as u64
    }

    fn get(&self, table: u32, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
        let state = self.state.read();
        Ok(state.rows.get(&(table, key.to_vec())).map(|value| f(value)).is_some())
    }
}
