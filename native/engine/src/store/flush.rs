//! The flush: what closed, synced segments say goes to the base store, the newest version of each key once, in key order, in large
//! transactions. The stored position moves with the last of them.
//!
//! It reads the segments' files, never memory, so that what it writes is what a replay would find. An interrupted flush leaves a
//! base store that is partly ahead of its position; since operations are absolute, a replay from that position comes to the same
//! end.

use super::base::{Base, Batch, Op};
use super::config::Config;
use super::file::Dir;
use super::log::frame::{self, Looked, SegmentHead, DATA, SEGMENT_HEAD};
use super::log::segment::{name, Closed};
use super::log::Log;
use super::newest::Newest;
use super::StoreError;
use crate::sync::{AtomicU64, Mutex, Ordering, RwLock};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names of small values in the base store.
pub mod meta {
    pub const FORMAT: &[u8] = b"format";
    pub const DATABASE: &[u8] = b"database";
    /// There is a log: one that is missing is lost.
    pub const LOG: &[u8] = b"log";
    /// The next table's number.
    pub const NEXT: &[u8] = b"next";
    /// Rules of the VM that keys were written under, see [`crate::store::disc_key::rules`].
    pub const RULES: &[u8] = b"rules";
    /// Before the number of a table, big endian.
    pub const TABLE: &[u8] = b"table:";
    /// Before the name of a note.
    pub const NOTE: &[u8] = b"note:";

    pub fn table(number: u32) -> Vec<u8> {
        [TABLE, &number.to_be_bytes()].concat()
    }
}

pub struct Flush {
    dir: Arc<dyn Dir>,
    base: Arc<dyn Base>,
    config: Config,
    /// Atoms that the base store has. Held by whoever flushes.
    atoms: Mutex<HashSet<u32>>,
    /// Held for reading by commits whose end must not be flushed before they are applied.
    pub held: RwLock<()>,
    pub position: AtomicU64,
    pub flushes: AtomicU64,
    /// Milliseconds after `begun` until which the thread leaves the processor to others.
    put_off: AtomicU64,
    begun: Instant,
}

/// So long a flush is put off at once.
const PUT_OFF: Duration = Duration::from_millis(250);

impl Flush {
    pub fn new(dir: Arc<dyn Dir>, base: Arc<dyn Base>, config: Config, atoms: HashSet<u32>) -> Result<Flush, StoreError> {
        let position = AtomicU64::new(base.position()?);
        Ok(Flush {
            dir,
            base,
            config,
            atoms: Mutex::new(atoms),
            held: RwLock::default(),
            position,
            flushes: AtomicU64::new(0),
            put_off: AtomicU64::new(0),
            begun: Instant::now(),
        })
    }

    /// Flushes some closed segments. False if there is nothing to flush now.
    pub fn step(&self, log: &Log) -> Result<bool, StoreError> {
        let mut atoms = self.atoms.lock();
        let mut most = self.config.flush_log_bytes;
        loop {
            let closed = {
                let _held = self.held.write();
                log.flushable(most)
            };
            let (Some(first), Some(last)) = (closed.first(), closed.last()) else { return Ok(false) };
            let mut newest = Newest::default();
            for segment in &closed {
                read_segment(&*self.dir, *segment, &mut newest)?;
            }
            // A transaction that is not whole yet is read again with its end.
            let position = newest.oldest_open().unwrap_or(last.end);
            if position <= first.first && last.end > first.first {
                if log.flushable(u64::MAX).len() > closed.len() {
                    most = most.saturating_mul(2);
                    continue;
                }
                return Ok(false);
            }
            newest.finish();
            write(&*self.base, &newest, Some(position), &mut atoms, &self.config)?;
            self.position.store(position, Ordering::Release);
            self.flushes.fetch_add(1, Ordering::Relaxed);
            log.flushed(position)?;
            return Ok(true);
        }
    }

    /// The thread flushes later: many rows are being written, and whoever writes them is waited for.
    pub fn put_off(&self) {
        self.put_off.store((self.begun.elapsed() + PUT_OFF).as_millis() as u64, Ordering::Relaxed);
    }

    /// Until when the thread waits, as long as the log has plenty of room.
    fn wait_until(&self, log: &Log) -> Option<Instant> {
        let until = self.begun + Duration::from_millis(self.put_off.load(Ordering::Relaxed));
        (until > Instant::now() && log.log_bytes() < self.config.log_bytes / 2).then_some(until)
    }

    /// The thread that flushes. `failed` hears of errors; the step is tried again.
    pub fn thread(&self, log: &Log, failed: &dyn Fn(&StoreError)) {
        let mut again = None;
        loop {
            log.flush_signal.wait(again);
            if log.is_closed() {
                return;
            }
            again = None;
            while !log.is_closed() {
                again = self.wait_until(log);
                if again.is_some() {
                    break;
                }
                match self.step(log) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        failed(&error);
                        again = Some(Instant::now() + self.config.retry_interval);
                        break;
                    }
                }
            }
        }
    }
}

/// Reads a closed segment, which was sound when it was synced.
fn read_segment(dir: &dyn Dir, closed: Closed, newest: &mut Newest) -> Result<(), StoreError> {
    let path = dir.path(&name(closed.number));
    let file = dir.open(&name(closed.number))?;
    let end = (DATA + closed.end - closed.first) as usize;
    let mut bytes = vec![0; end];
    if file.read_at(0, &mut bytes)? < end {
        return Err(StoreError::corrupt(&path, end as u64, "the segment is cut off"));
    }
    let head = match SegmentHead::read(&bytes[..SegmentHead::LEN]) {
        Looked::Head(head) if head.number == closed.number && begins(&bytes, head.salt) == Some(closed.first) => head,
        _ => return Err(StoreError::corrupt(&path, 0, "a wrong header")),
    };
    let taken = newest.segment(bytes, end, head.salt, closed.first);
    taken.map_err(|at| StoreError::corrupt(&path, at as u64, "a frame that was sound is not any more"))
}

/// The position at which the segment with these contents begins, if anything does.
pub(super) fn begins(bytes: &[u8], salt: u64) -> Option<u64> {
    let begin = frame::read(bytes.get(SEGMENT_HEAD as usize..)?, salt, SEGMENT_HEAD)?;
    let first = begin.payload.first_chunk::<8>().filter(|_| begin.kind == frame::Kind::Begin)?;
    Some(u64::from_le_bytes(*first))
}

/// How much of the base store a transaction writes anew. A change writes the page that it is in, and room for these pages is needed beside the old
/// ones, which are free only after the next transaction: changes that lie far apart would make the file much longer than what it holds.
struct Touching {
    /// By table, bytes for each of its changes.
    tables: BTreeMap<u32, u64>,
    /// A transaction is not to touch more.
    most: u64,
}

impl Touching {
    /// What a change touches if it is alone.
    const PAGE: u64 = 4096;
    /// Syncs cost time, and a small file may well be twice as long.
    const LEAST: u64 = 1 << 20;

    fn new(base: &dyn Base, newest: &Newest) -> Result<Touching, StoreError> {
        let (mut tables, mut all) = (BTreeMap::new(), 0);
        for (table, changes) in newest.changes() {
            let bytes = if newest.is_cleared(table) { 0 } else { base.bytes(table)? };
            tables.insert(table, (bytes / changes.max(1) as u64).min(Touching::PAGE));
            all += bytes;
        }
        Ok(Touching { tables, most: Touching::LEAST.max(all / 32) })
    }

    fn each(&self, table: u32) -> u64 {
        self.tables.get(&table).copied().unwrap_or(0)
    }
}

/// Writes what a stretch of the log leaves. `position`: where the log was read up to. `atoms`: those the base store has.
pub fn write(
    base: &dyn Base,
    newest: &Newest,
    position: Option<u64>,
    atoms: &mut HashSet<u32>,
    config: &Config,
) -> Result<(), StoreError> {
    let dictionary: Vec<(u32, &[u8])> =
        newest.atoms.iter().filter(|(id, _)| !atoms.contains(id)).map(|(id, text)| (*id, &text[..])).collect();
    let cleared: Vec<u32> = newest.cleared().collect();
    let mut names: Vec<(Vec<u8>, Option<&[u8]>)> = Vec::new();
    for (table, definition) in &newest.definitions {
        names.push((meta::table(*table), definition.as_deref()));
    }
    for (name, value) in &newest.notes {
        names.push(([meta::NOTE, name].concat(), value.as_deref()));
    }
    let next = newest.next_table.to_le_bytes();
    if newest.next_table > next_table(base)? {
        names.push((meta::NEXT.to_vec(), Some(&next)));
    }
    let names: Vec<(&[u8], Option<&[u8]>)> = names.iter().map(|(name, value)| (&name[..], *value)).collect();

    let mut first = Batch { cleared: &cleared, dictionary: &dictionary, ..Batch::default() };
    let mut ops: Vec<Op> = Vec::new();
    let touching = Touching::new(base, newest)?;
    let (mut bytes, mut touched, mut each) = (0, 0, (0, 0));
    for state in newest.states() {
        if ops.len() >= config.flush_keys || bytes >= config.flush_bytes || touched >= touching.most {
            base.apply(&Batch { ops: &ops, ..std::mem::take(&mut first) })?;
            ops.clear();
            (bytes, touched) = (0, 0);
        }
        if each.0 != state.table {
            each = (state.table, touching.each(state.table));
        }
        touched += each.1;
        bytes += state.key.len() + state.value.map_or(0, <[u8]>::len);
        ops.push(Op { table: state.table, key: state.key, value: state.value });
    }
    base.apply(&Batch { ops: &ops, meta: &names, position, ..first })?;
    atoms.extend(dictionary.iter().map(|(id, _)| *id));
    Ok(())
}

/// The next number of a table that the base store knows of.
pub fn next_table(base: &dyn Base) -> Result<u32, StoreError> {
    let bytes = base.meta(meta::NEXT)?;
    Ok(bytes.and_then(|b| b.first_chunk::<4>().copied()).map_or(1, u32::from_le_bytes))
}
