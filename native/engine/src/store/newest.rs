//! A stretch of the log, boiled down to what it leaves: for each key its last state. The flush writes it to the base store, a start
//! lays it over the base store.

use super::log::frame::{self, Frame, Kind};
use super::ops::{Op, Reader};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// A put or delete, where it was read.
#[derive(Clone, Copy)]
struct Entry {
    table: u32,
    arena: u32,
    key_at: usize,
    key_len: u32,
    /// None deletes.
    value_len: Option<u32>,
}

/// Pieces of a transaction whose last one was not seen yet.
struct Open {
    /// Position of the first frame of the segment in which it begins.
    from: u64,
    bytes: Vec<u8>,
}

#[derive(Default)]
pub struct Newest {
    arenas: Vec<Arc<Vec<u8>>>,
    entries: Vec<Entry>,
    /// By table that was emptied: what stands before this place in `entries` is void.
    cleared: BTreeMap<u32, usize>,
    /// Of tables that were made, changed or dropped.
    pub definitions: BTreeMap<u32, Option<Vec<u8>>>,
    pub notes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub atoms: BTreeMap<u32, Vec<u8>>,
    /// Greater than the number of any table that was defined.
    pub next_table: u32,
    open: HashMap<u64, Open>,
    /// Position of the first frame that was taken.
    from: Option<u64>,
}

/// A key and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State<'a> {
    pub table: u32,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// The first bytes of a key, so that what is less here is less there.
fn begin(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = key.len().min(8);
    first[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(first)
}

impl Newest {
    /// Takes the frames of a segment that end at byte `to`; they are sound. `first` is the position of the
    /// segment's first frame. An error is the place of what is no operation, in the segment or in the transaction that began there.
    pub fn segment(&mut self, bytes: Vec<u8>, to: usize, salt: u64, first: u64) -> Result<(), usize> {
        let bytes = Arc::new(bytes);
        let arena = self.arenas.len() as u32;
        self.arenas.push(bytes.clone());
        self.from.get_or_insert(first);
        let mut at = frame::DATA as usize;
        while at < to {
            let frame = frame::read(&bytes[at..to], salt, at as u64).ok_or(at)?;
            self.frame(&frame, &bytes, arena, at + frame::HEAD, first)?;
            at += frame.size;
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame, bytes: &[u8], arena: u32, at: usize, segment: u64) -> Result<(), usize> {
        match frame.kind {
            Kind::Whole => self.transaction(bytes, arena, at..at + frame.payload.len())?,
            Kind::Part | Kind::Last => {
                let (name, piece) = frame.piece().ok_or(at)?;
                // It began before the first segment here, so it is in the base store, or was never whole.
                if self.from.is_some_and(|from| name < from) {
                    return Ok(());
                }
                let open = self.open.entry(name).or_insert_with(|| Open { from: segment, bytes: Vec::new() });
                open.bytes.extend_from_slice(piece);
                if frame.kind == Kind::Last {
                    if let Some(open) = self.open.remove(&name) {
                        let whole = Arc::new(open.bytes);
                        self.arenas.push(whole.clone());
                        self.transaction(&whole, self.arenas.len() as u32 - 1, 0..whole.len())?;
                    }
                }
            }
            Kind::Atoms => self.atoms(frame.payload).ok_or(at)?,
            Kind::Restart => self.open.clear(),
            Kind::Mark | Kind::Begin => {}
        }
        Ok(())
    }

    fn atoms(&mut self, mut payload: &[u8]) -> Option<()> {
        while !payload.is_empty() {
            let (id, rest) = payload.split_first_chunk::<4>()?;
            let (len, rest) = rest.split_first_chunk::<2>()?;
            let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            self.atoms.entry(u32::from_le_bytes(*id)).or_insert_with(|| text.to_vec());
            payload = rest;
        }
        Some(())
    }

    /// Where a replay has to begin that wants to see every transaction which is open here, if any is.
    pub fn oldest_open(&self) -> Option<u64> {
        self.open.values().map(|open| open.from).min()
    }

    fn key(&self, entry: &Entry) -> &[u8] {
        let bytes = &self.arenas[entry.arena as usize];
        &bytes[entry.key_at..entry.key_at + entry.key_len as usize]
    }

    fn state(&self, entry: &Entry) -> State<'_> {
        let bytes = &self.arenas[entry.arena as usize];
        let value_at = entry.key_at + entry.key_len as usize;
        State {
            table: entry.table,
            key: self.key(entry),
            value: entry.value_len.map(|len| &bytes[value_at..value_at + len as usize]),
        }
    }

    /// Sorts by table and key and keeps the last state of each; nothing may be taken after this.
    pub fn finish(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        let live = |i: &usize| self.cleared.get(&entries[*i].table).is_none_or(|from| i >= from);
        // With the begin of its key each: most comparisons end there, and a look at the keys themselves waits for memory.
        let of = |i: usize| (entries[i].table, begin(self.key(&entries[i])), i as u32);
        let mut order: Vec<(u32, u64, u32)> = (0..entries.len()).filter(live).map(of).collect();
        let key = |i: u32| self.key(&entries[i as usize]);
        // Of equal keys the last first, so that it is the one kept.
        order.sort_unstable_by(|a, b| {
            let begun = (a.0, a.1).cmp(&(b.0, b.1));
            begun.then_with(|| key(a.2).cmp(key(b.2))).then(b.2.cmp(&a.2))
        });
        order.dedup_by(|b, a| (a.0, a.1) == (b.0, b.1) && key(a.2) == key(b.2));
        self.entries = order.iter().map(|(_, _, i)| entries[*i as usize]).collect();
    }

    /// Tables that were emptied: what the base store has of them is void.
    pub fn cleared(&self) -> impl Iterator<Item = u32> + '_ {
        self.cleared.keys().copied()
    }

    pub fn is_cleared(&self, table: u32) -> bool {
        self.cleared.contains_key(&table)
    }

    /// All states, by table and key. After [`Newest::finish`].
    pub fn states(&self) -> impl Iterator<Item = State<'_>> {
        self.entries.iter().map(|entry| self.state(entry))
    }

    /// Tables with states, and how many each has. After [`Newest::finish`].
    pub fn changes(&self) -> impl Iterator<Item = (u32, usize)> + '_ {
        self.entries.chunk_by(|a, b| a.table == b.table).map(|some| (some[0].table, some.len()))
    }

    /// The states of one table, by key. After [`Newest::finish`].
    pub fn of_table(&self, table: u32) -> impl Iterator<Item = State<'_>> {
        self.entries(table).iter().map(|entry| self.state(entry))
    }

    /// The values of one table, up to `size` at a time.
    pub fn values(&self, table: u32, size: usize) -> impl Iterator<Item = Vec<&[u8]>> {
        let parts = self.entries(table).chunks(size);
        parts.map(|part| part.iter().filter_map(|entry| self.state(entry).value).collect())
    }

    /// The states of one table from a key on.
    pub fn starting_at(&self, table: u32, key: &[u8]) -> impl Iterator<Item = State<'_>> {
        let entries = self.entries(table);
        entries[entries.partition_point(|e| self.key(e) < key)..].iter().map(|entry| self.state(entry))
    }

    fn entries(&self, table: u32) -> &[Entry] {
        let from = self.entries.partition_point(|e| e.table < table);
        let to = self.entries.partition_point(|e| e.table <= table);
        &self.entries[from..to]
    }

    fn transaction(&mut self, bytes: &[u8], arena: u32, range: Range<usize>) -> Result<(), usize> {
        for op in (Reader { bytes, at: range.start, end: range.end }) {
            let mut entry = |table, key_at, key_len, value_len| {
                self.entries.push(Entry { table, arena, key_at, key_len, value_len });
            };
            match op? {
                Op::Put { table, key_at, key_len, value_len } => entry(table, key_at, key_len, Some(value_len)),
                Op::Delete { table, key_at, key_len } => entry(table, key_at, key_len, None),
                Op::Clear { table } => {
                    self.cleared.insert(table, self.entries.len());
                }
                Op::Define { table, definition } => {
                    self.next_table = self.next_table.max(table.saturating_add(1));
                    self.definitions.insert(table, Some(definition.to_vec()));
                }
                Op::Drop { table } => {
                    self.cleared.insert(table, self.entries.len());
                    self.definitions.insert(table, None);
                }
                Op::Note { name, value } => {
                    self.notes.insert(name.to_vec(), Some(value.to_vec()));
                }
                Op::Forget { name } => {
                    self.notes.insert(name.to_vec(), None);
                }
            }
        }
        Ok(())
    }
}
