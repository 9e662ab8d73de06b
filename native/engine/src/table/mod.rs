//! Tables: rows by key, with secondary indexes, counted exactly.
//!
//! A table knows nothing of transactions. Reads look under a read latch; [`apply`] changes any number of keys of any number of
//! tables as one step, holding the latches of all their parts, taken in the order (table, part), then (table, index).

pub mod below;
mod bytes;
pub mod change;
pub mod disc;
mod fill;
pub mod hash;
pub mod images;
pub mod index;
pub mod key;
mod layers;
mod range;
pub mod rows;
pub mod sink;
pub mod store;
mod walk;

pub use below::Below;
pub use change::{BagStep, Change};
pub use images::Images;
pub use index::{IndexDefinition, IndexId};
pub use key::{Key, KeyBytes};
pub use rows::Rows;
pub use sink::{Nowhere, Sink};
pub use store::{AbsentKey, Cursor, Store};

use crate::term::order::Beside;
use crate::term::Record;
use disc::Disc;
use index::{Deltas, Index, Indexes};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use store::Latched;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Set,
    OrderedSet,
    Bag,
    DuplicateBag,
}

impl Kind {
    pub fn is_bag(self) -> bool {
        matches!(self, Kind::Bag | Kind::DuplicateBag)
    }
}

/// What a table is made of, as plain data. The indexes are those of the beginning, see [`Table::indexes`].
#[derive(Clone, Debug)]
pub struct Definition {
    pub kind: Kind,
    /// Elements of the record tuple, the record name counted.
    pub arity: usize,
    /// Atom word of the record name.
    pub record_name: u64,
    pub indexes: Vec<IndexDefinition>,
}

/// Where the rows of a table are whose definition is on disc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    InMemory,
    InBoth,
    OnDisc,
}

/// Where a table is on disc: its number there, and where its rows are. None: it is in memory alone.
pub type Place = Option<(u32, Kept)>;

pub struct Table {
    /// Never used again.
    pub id: u64,
    pub definition: Definition,
    store: Store,
    /// They come and go.
    pub indexes: Indexes,
    damaged: AtomicBool,
    /// Its number on disc plus one, and whether its rows are there too; 0 for a table that is in memory alone.
    disc: AtomicU64,
    /// What was there before, for those who still read that.
    images: images::All,
}

/// Of [`Table::disc`]: the rows are on disc.
const LOGGED: u64 = 1 << 63;

impl Table {
    pub fn new(id: u64, definition: Definition) -> Table {
        let store = if definition.kind == Kind::OrderedSet { Store::ordered() } else { Store::hash() };
        let indexes = Indexes::new(&definition.indexes);
        Table {
            id,
            definition,
            store,
            indexes,
            damaged: AtomicBool::new(false),
            disc: AtomicU64::new(0),
            images: images::All::default(),
        }
    }

    /// A table whose rows are on disc alone.
    pub fn on_disc(id: u64, definition: Definition, below: Box<dyn Below>) -> Table {
        Table { store: Store::Disc(Box::new(Disc::new(below))), ..Table::new(id, definition) }
    }

    /// What is on disc alone, if this is such a table.
    #[inline]
    pub fn disc(&self) -> Option<&Disc> {
        match &self.store {
            Store::Disc(disc) => Some(disc),
            _ => None,
        }
    }

    /// A look at it may have to wait for the disc.
    #[inline]
    pub fn is_slow(&self) -> bool {
        self.disc().is_some_and(Disc::is_slow)
    }

    /// The number under which its rows are on disc, if they are.
    #[inline]
    pub fn logged(&self) -> Option<u32> {
        let disc = self.disc.load(Ordering::Acquire);
        (disc & LOGGED != 0).then(|| (disc & !LOGGED) as u32 - 1)
    }

    /// The number under which its definition is on disc, if it is.
    pub fn number(&self) -> Option<u32> {
        (self.disc.load(Ordering::Acquire) & !LOGGED).checked_sub(1).map(|number| number as u32)
    }

    /// Where it is on disc from now on. Nobody writes to it meanwhile.
    pub fn set_place(&self, place: Place) {
        let logged = |kept| if kept == Kept::InMemory { 0 } else { LOGGED };
        let disc = place.map_or(0, |(number, kept)| (u64::from(number) + 1) | logged(kept));
        self.disc.store(disc, Ordering::Release);
    }

    pub fn kind(&self) -> Kind {
        self.definition.kind
    }

    pub fn is_ordered(&self) -> bool {
        self.definition.kind == Kind::OrderedSet
    }

    /// A panic struck while this table was being changed; nothing it says can be trusted.
    #[inline]
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Identity of a key given as flat bytes.
    #[inline]
    pub fn key(&self, flat: &[u8], negative_zero: bool, beside: Beside) -> Key {
        if let Some(disc) = self.disc() {
            return Table::key_on_disc(disc, flat, negative_zero, beside);
        }
        if self.is_ordered() {
            Key::ordered(flat, beside)
        } else {
            Key::exact(flat, negative_zero)
        }
    }

    #[cold]
    fn key_on_disc(disc: &Disc, flat: &[u8], negative_zero: bool, beside: Beside) -> Key {
        // What cannot be written cannot be there either: a name that nothing has.
        let bytes = disc.below().key(flat, negative_zero, beside).unwrap_or_else(|_| [&[u8::MAX], flat].concat().into());
        Key::of(bytes)
    }

    /// Identity of a record's key.
    #[inline]
    pub fn key_of(&self, record: &Record) -> Key {
        self.key(record.key(), record.negative_zero(), record.attached().map(|a| &**a))
    }

    /// Looks at the rows of a key under the latch; `f` does bounded work.
    #[inline]
    pub fn look<R>(&self, key: &Key, f: impl FnOnce(&[Record]) -> R) -> R {
        self.store.look(key, f)
    }

    /// Asks for the memory that the look at a key touches first, and with [`Table::prefetch_rows`] for the rows themselves: a look
    /// that comes later, after other work, waits less.
    #[inline]
    pub fn prefetch(&self, key: &Key) {
        self.store.prefetch(key.hash);
    }

    /// The same for a flat key, before its identity is known for certain.
    #[inline]
    pub fn prefetch_flat(&self, flat: &[u8]) {
        if matches!(self.store, Store::Hash(_)) {
            self.store.prefetch(key::hash(flat));
        }
    }

    #[inline]
    pub fn prefetch_rows(&self, key: &Key) {
        self.store.prefetch_rows(key.hash);
    }

    pub fn rows(&self, key: &Key) -> SmallVec<[Record; 2]> {
        self.store.look(key, |rows| rows.iter().cloned().collect())
    }

    pub fn size(&self) -> usize {
        self.store.records()
    }

    /// Bytes held; of rows that are on disc alone, those that they take there.
    pub fn memory(&self) -> usize {
        if let Some(disc) = self.disc() {
            return disc.below().bytes();
        }
        self.store.memory() + self.indexes.load().iter().map(|index| index.memory()).sum::<usize>()
    }

    pub fn scan(&self, cursor: &mut Cursor, max: usize, f: impl FnMut(&[Record])) {
        self.store.scan(cursor, max, f);
    }

    pub fn neighbour(&self, key: Option<&Key>, backward: bool) -> Result<Option<Record>, AbsentKey> {
        self.store.neighbour(key, backward, self.is_ordered())
    }

    pub fn neighbour_of_gone(&self, key: &Key) -> Option<Record> {
        self.store.neighbour_of_gone(key)
    }

    pub fn last_below(&self, bytes: &[u8]) -> Option<Record> {
        self.store.last_below(bytes)
    }

    /// Changes one key as one step: `decide` sees its rows under the latch.
    #[inline]
    pub fn update(&self, key: &Key, sink: &mut impl Sink, decide: impl FnOnce(&[Record]) -> Option<Change>) {
        let mut latched = self.store.latch(self.store.part(key));
        let _damage = Damage(self);
        let mut deltas = Deltas::new(&self.indexes);
        self.change_one(&mut latched, key, sink, decide, &mut deltas);
        deltas.apply();
        sink.done();
    }

    /// Empties the table; the rows come back for a thread that has the time to drop them.
    pub fn clear(&self, sink: &mut impl Sink) -> Vec<Box<dyn Send>> {
        let _damage = Damage(self);
        let mut latches = self.latch_all();
        if self.images.any() {
            self.images.take(&mut latches);
        }
        let mut garbage: Vec<Box<dyn Send>> = latches.iter_mut().map(Latched::take).collect();
        for index in self.indexes.load().iter() {
            garbage.push(Box::new(index.take()));
        }
        sink.cleared(self);
        sink.done();
        garbage
    }

    /// The index values that a change takes away from the rows of a key, or brings, as ordered forms. A bag may name some that stay.
    pub fn changed_values(&self, old: &[Record], change: &Change, mut f: impl FnMut(&Index, &[u8])) {
        let mut form = Vec::new();
        for index in self.indexes.load().iter() {
            let mut value = |record: &Record| {
                form.clear();
                index.write_value(record, &mut form);
                f(index, &form)
            };
            match (change, old) {
                (Change::Put(new), [before]) if index.same_value(before, new) => {}
                (Change::Put(new), _) => old.iter().chain([new]).for_each(value),
                (Change::Delete, _) => old.iter().for_each(value),
                (Change::Bag { cleared, steps }, _) => {
                    if *cleared {
                        old.iter().for_each(&mut value);
                    }
                    steps.iter().for_each(|step| value(step.record()));
                }
            }
        }
    }

    /// One look-up for deciding and changing.
    #[inline]
    fn change_one<S: Sink>(
        &self,
        latched: &mut Latched,
        key: &Key,
        sink: &mut S,
        decide: impl FnOnce(&[Record]) -> Option<Change>,
        deltas: &mut Deltas,
    ) {
        fn slice(rows: &Option<Rows>) -> &[Record] {
            rows.as_ref().map_or(&[], Rows::as_slice)
        }
        let kind = self.kind();
        latched.update(key, |before| {
            let Some(change) = decide(slice(&before)) else { return before };
            if self.images.any() {
                self.images.keep(self.store.part(key), key, self.store.is_hashed(), &before);
            }
            if S::TOLD {
                let old = before.clone();
                let after = change.apply(kind, before);
                if !sink.changed(self, slice(&old), slice(&after)) {
                    return old;
                }
                deltas.note(&key.bytes, slice(&old), slice(&after));
                return after;
            }
            match change {
                change if deltas.is_empty() => change.apply(kind, before),
                Change::Put(record) => {
                    let after = Rows::one(record);
                    deltas.note(&key.bytes, slice(&before), after.as_slice());
                    Some(after)
                }
                change => {
                    // The index needs the rows as they were after a bag has taken them apart.
                    let old = before.clone();
                    let after = change.apply(kind, before);
                    deltas.note(&key.bytes, slice(&old), slice(&after));
                    after
                }
            }
        });
    }

    /// Every invariant of the table: structure, counts, and that indexes and rows say the same.
    pub fn check(&self) -> Result<(), String> {
        let indexes = self.indexes.ready();
        let mut entries = vec![0usize; indexes.len()];
        self.store.check(|rows| {
            let key = self.key_of(&rows[0]);
            for record in rows {
                if record.fields() + 1 != self.definition.arity {
                    return Err(format!("a record of {} fields in a table of arity {}", record.fields(), self.definition.arity));
                }
                if self.key_of(record) != key {
                    return Err("rows of two keys in one place".into());
                }
            }
            for (index, count) in indexes.iter().zip(&mut entries) {
                let mut forms: Vec<_> = rows.iter().map(|r| index.value(r)).collect();
                forms.sort_unstable();
                forms.dedup();
                *count += forms.len();
                if !forms.iter().all(|form| index.contains(form, &key.bytes)) {
                    return Err(format!("a row is missing from the index on {:?}", index.fields()));
                }
            }
            Ok(())
        })?;
        for (index, count) in indexes.iter().zip(entries) {
            if index.len() != count {
                return Err(format!("the index on {:?} has {} entries, expected {count}", index.fields(), index.len()));
            }
            index.check()?;
        }
        if self.is_damaged() {
            Err("damaged by a panic".into())
        } else {
            Ok(())
        }
    }
}

/// Marks a table damaged if its change is cut off by a panic.
struct Damage<'a>(&'a Table);

impl Drop for Damage<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.damaged.store(true, Ordering::Relaxed);
        }
    }
}

/// A key and what becomes of it.
pub struct Step<'a> {
    pub table: &'a Table,
    pub key: &'a Key,
    /// Taken out when it is applied.
    pub change: &'a mut Change,
}

impl Step<'_> {
    fn take(&mut self) -> Option<Change> {
        Some(std::mem::replace(self.change, Change::Delete))
    }
}

/// Applies changes to keys as one step that nobody sees half done.
pub fn apply(steps: &mut [Step], sink: &mut impl Sink) {
    if let [step] = steps {
        return step.table.update(step.key, sink, |_| step.take());
    }
    steps.sort_by_key(|step| (step.table.id, step.table.store.part(step.key)));
    let _damage: SmallVec<[Damage; 2]> = {
        let mut tables: SmallVec<[&Table; 2]> = steps.iter().map(|step| step.table).collect();
        tables.dedup_by_key(|t| t.id);
        tables.into_iter().map(Damage).collect()
    };
    let same_part = |a: &Step, b: &Step| a.table.id == b.table.id && a.table.store.part(a.key) == b.table.store.part(b.key);
    // All latches before the first change.
    let parts = steps.chunk_by(same_part).filter_map(|part| part.first());
    let latches: SmallVec<[Latched; 8]> = parts.map(|step| step.table.store.latch(step.table.store.part(step.key))).collect();
    let mut deltas: SmallVec<[(&Table, Deltas); 2]> = SmallVec::new();
    let mut held: SmallVec<[Latched; 8]> = SmallVec::new();
    for (part, mut latched) in steps.chunk_by_mut(same_part).zip(latches) {
        let table = part[0].table;
        if deltas.last().is_none_or(|(t, _)| t.id != table.id) {
            deltas.push((table, Deltas::new(&table.indexes)));
        }
        let Some((_, deltas)) = deltas.last_mut() else { continue };
        for step in part {
            table.change_one(&mut latched, step.key, sink, |_| step.take(), deltas);
        }
        held.push(latched);
    }
    deltas.into_iter().for_each(|(_, deltas)| deltas.apply());
    sink.done();
}
