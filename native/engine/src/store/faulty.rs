//! Files in memory that fail, freeze and lie as a disc does, for tests.
//!
//! What is written is `live`; what a power cut leaves is `disc` and any of the sectors written since the last sync. A failed sync
//! may drop what was unwritten and call it clean, as Linux does.

use super::file::{Dir, File};
use super::StoreError;
use parking_lot::Mutex;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Unit in which unsynced bytes reach the disc or do not.
const SECTOR: usize = 512;

/// What happens at the write or sync it is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, an error is answered.
    Error,
    /// Half of a write is done, then an error; of a sync, the first half of what is unwritten.
    Short,
    /// A sync fails and forgets what was unwritten: the next one has nothing to do and succeeds.
    Drop,
    /// The power is cut: this and everything after it fails.
    Freeze,
}

/// How many writes (also of names) and syncs there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub writes: usize,
    pub syncs: usize,
}

#[derive(Clone, Default)]
struct Node {
    live: Vec<u8>,
    disc: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    disc_names: BTreeMap<String, usize>,
    counts: Counts,
    at_write: BTreeMap<usize, Fault>,
    at_sync: BTreeMap<usize, Fault>,
    every_write: bool,
    every_sync: bool,
    frozen: bool,
    quota: Option<u64>,
}

/// A directory in memory; clones are the same directory.
///
/// ```
/// use remnesia_engine::store::faulty::FaultyDir;
/// use remnesia_engine::store::file::Dir;
/// let dir = FaultyDir::default();
/// let file = dir.create("a", 4096).unwrap();
/// file.sync().unwrap();
/// dir.sync_names().unwrap();
/// file.write_at(0, b"unsynced").unwrap();
/// let mut now = [0; 8];
/// dir.killed().open("a").unwrap().read_at(0, &mut now).unwrap();
/// assert_eq!(&now, b"unsynced");
/// assert_eq!(dir.names_after_power_cut(), ["a"]);
/// ```
#[derive(Clone, Default)]
pub struct FaultyDir {
    state: Arc<Mutex<State>>,
    locked: Arc<AtomicBool>,
}

impl FaultyDir {
    /// Sets what happens at the `n`-th write from the beginning (0 is the first).
    pub fn at_write(&self, n: usize, fault: Fault) {
        self.state.lock().at_write.insert(n, fault);
    }

    pub fn at_sync(&self, n: usize, fault: Fault) {
        self.state.lock().at_sync.insert(n, fault);
    }

    /// Makes every write, every sync fail from now on, or no more.
    pub fn broken(&self, writes: bool, syncs: bool) {
        let mut state = self.state.lock();
        (state.every_write, state.every_sync) = (writes, syncs);
    }

    /// Bytes that all files together may have.
    pub fn quota(&self, bytes: Option<u64>) {
        self.state.lock().quota = bytes;
    }

    pub fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    pub fn is_frozen(&self) -> bool {
        self.state.lock().frozen
    }

    /// What the death of the process leaves: everything that was written.
    pub fn killed(&self) -> FaultyDir {
        let state = self.state.lock();
        self.with(|new| {
            new.nodes =
                state.nodes.iter().map(|n| Node { disc: n.live.clone(), live: n.live.clone(), ..Node::default() }).collect();
            new.names = state.names.clone();
            new.disc_names = state.names.clone();
        })
    }

    /// What a power cut leaves: all that was synced, and of the rest whatever `chance` picks, by sector. Names that were not synced
    /// come or not as well.
    pub fn power_cut(&self, chance: &mut dyn FnMut() -> bool) -> FaultyDir {
        let state = self.state.lock();
        self.with(|new| {
            for node in &state.nodes {
                let mut disc = node.disc.clone();
                for &sector in &node.dirty {
                    let from = sector * SECTOR;
                    let to = (from + SECTOR).min(node.live.len());
                    if from < to && chance() {
                        disc.resize(disc.len().max(to), 0);
                        disc[from..to].copy_from_slice(&node.live[from..to]);
                    }
                }
                new.nodes.push(Node { live: disc.clone(), disc, ..Node::default() });
            }
            new.names = if chance() { state.names.clone() } else { state.disc_names.clone() };
            new.disc_names = new.names.clone();
        })
    }

    fn with(&self, fill: impl FnOnce(&mut State)) -> FaultyDir {
        let mut state = State::default();
        fill(&mut state);
        FaultyDir { state: Arc::new(Mutex::new(state)), locked: Arc::default() }
    }

    pub fn names_after_power_cut(&self) -> Vec<String> {
        self.state.lock().disc_names.keys().cloned().collect()
    }

    /// Changes the bytes of a file behind everybody's back: bit rot.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.lock();
        if let Some(&node) = state.names.get(name) {
            let node = &mut state.nodes[node];
            change(&mut node.live);
            node.disc = node.live.clone();
        }
    }

    fn error(doing: &'static str, name: &str, kind: ErrorKind, code: i32) -> StoreError {
        StoreError::Io { doing, path: Path::new("faulty").join(name), kind, code: Some(code) }
    }

    fn broken_error(doing: &'static str, name: &str) -> StoreError {
        Self::error(doing, name, ErrorKind::Other, 5)
    }
}

impl State {
    fn writing(&mut self) -> Option<Fault> {
        let n = self.counts.writes;
        self.counts.writes += 1;
        let fault = self.at_write.get(&n).copied();
        self.struck(fault, self.every_write)
    }

    fn syncing(&mut self) -> Option<Fault> {
        let n = self.counts.syncs;
        self.counts.syncs += 1;
        let fault = self.at_sync.get(&n).copied();
        self.struck(fault, self.every_sync)
    }

    fn struck(&mut self, fault: Option<Fault>, always: bool) -> Option<Fault> {
        self.frozen |= fault == Some(Fault::Freeze);
        if self.frozen {
            return Some(Fault::Freeze);
        }
        fault.or(always.then_some(Fault::Error))
    }

    fn named(&self, name: &str) -> Result<usize, StoreError> {
        self.names.get(name).copied().ok_or_else(|| StoreError::Missing { path: Path::new("faulty").join(name) })
    }
}

impl Dir for FaultyDir {
    fn create(&self, name: &str, len: u64) -> Result<Box<dyn File>, StoreError> {
        let mut state = self.state.lock();
        if state.writing().is_some() {
            return Err(Self::broken_error("create", name));
        }
        let used: u64 = state.names.values().map(|&n| state.nodes[n].live.len() as u64).sum();
        if state.quota.is_some_and(|quota| used + len > quota) {
            return Err(Self::error("preallocate", name, ErrorKind::StorageFull, 28));
        }
        if state.names.contains_key(name) {
            return Err(Self::error("create", name, ErrorKind::AlreadyExists, 17));
        }
        let live = vec![0; len as usize];
        let dirty = (0..live.len().div_ceil(SECTOR)).collect();
        state.nodes.push(Node { live, disc: Vec::new(), dirty });
        let node = state.nodes.len() - 1;
        state.names.insert(name.into(), node);
        Ok(Box::new(FaultyFile { dir: self.clone(), name: name.into(), node }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>, StoreError> {
        let node = self.state.lock().named(name)?;
        Ok(Box::new(FaultyFile { dir: self.clone(), name: name.into(), node }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.writing().is_some() {
            return Err(Self::broken_error("rename", from));
        }
        let node = state.named(from)?;
        state.names.remove(from);
        state.names.insert(to.into(), node);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.writing().is_some() {
            return Err(Self::broken_error("remove", name));
        }
        state.named(name)?;
        state.names.remove(name);
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.state.lock().names.keys().cloned().collect())
    }

    fn sync_names(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.syncing().is_some() {
            return Err(Self::broken_error("sync directory", ""));
        }
        state.disc_names = state.names.clone();
        Ok(())
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, StoreError> {
        if self.locked.swap(true, Ordering::SeqCst) {
            return Err(StoreError::Locked { path: "faulty".into() });
        }
        Ok(Box::new(Unlock(self.locked.clone())))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("faulty").join(name)
    }
}

struct Unlock(Arc<AtomicBool>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

struct FaultyFile {
    dir: FaultyDir,
    name: String,
    node: usize,
}

impl File for FaultyFile {
    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<usize, StoreError> {
        let state = self.dir.state.lock();
        let live = &state.nodes[self.node].live;
        let from = live.len().min(at as usize);
        let n = into.len().min(live.len() - from);
        into[..n].copy_from_slice(&live[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let mut state = self.dir.state.lock();
        let fault = state.writing();
        let bytes = match fault {
            None => bytes,
            Some(Fault::Short) => &bytes[..bytes.len() / 2],
            Some(_) => &[],
        };
        let node = &mut state.nodes[self.node];
        let (from, to) = (at as usize, at as usize + bytes.len());
        if to > node.live.len() {
            return Err(StoreError::TooLarge { bytes: to as u64, most: node.live.len() as u64 });
        }
        node.live[from..to].copy_from_slice(bytes);
        node.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
        fault.map_or(Ok(()), |_| Err(FaultyDir::broken_error("write", &self.name)))
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.dir.state.lock();
        let fault = state.syncing();
        let node = &mut state.nodes[self.node];
        let written = match fault {
            None => node.dirty.len(),
            Some(Fault::Short) => node.dirty.len() / 2,
            Some(_) => 0,
        };
        if fault.is_none() {
            node.disc.resize(node.live.len(), 0);
        }
        for _ in 0..written {
            let Some(sector) = node.dirty.pop_first() else { break };
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(node.live.len());
            node.disc.resize(node.disc.len().max(to), 0);
            node.disc[from..to].copy_from_slice(&node.live[from..to]);
        }
        if fault == Some(Fault::Drop) {
            node.dirty.clear();
        }
        fault.map_or(Ok(()), |_| Err(FaultyDir::broken_error("sync", &self.name)))
    }

    fn len(&self) -> Result<u64, StoreError> {
        Ok(self.dir.state.lock().nodes[self.node].live.len() as u64)
    }
}
