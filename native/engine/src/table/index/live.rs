//! The indexes of a table, which come and go while it is used.
//!
//! The list is changed under the latches of all shards. So who holds one of them (every writer) sees the list stay as it is; who holds none (a
//! planner) sees one list or the next, and finds out when it begins to read whether its index is still there. An index that was
//! dropped is kept by those who read it: they finish.

use super::{Index, IndexDefinition, IndexId};
use arc_swap::{ArcSwap, Guard};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

pub struct Indexes {
    list: ArcSwap<Vec<Arc<Index>>>,
    /// What the list says, for those who ask before they look at it.
    any: AtomicBool,
    unique: AtomicBool,
    /// Changes when an index may be used, or may not any more.
    generation: AtomicU64,
    next: AtomicU64,
}

impl Indexes {
    pub fn new(definitions: &[IndexDefinition]) -> Indexes {
        let of = |(id, definition): (usize, &IndexDefinition)| Arc::new(Index::new(IndexId(id as u32), definition.clone(), true));
        let list: Vec<_> = definitions.iter().enumerate().map(of).collect();
        let indexes = Indexes {
            list: ArcSwap::default(),
            any: AtomicBool::new(false),
            unique: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            next: AtomicU64::new(list.len() as u64),
        };
        indexes.publish(list);
        indexes
    }

    fn publish(&self, list: Vec<Arc<Index>>) {
        self.any.store(!list.is_empty(), Ordering::Release);
        self.unique.store(list.iter().any(|index| index.is_unique()), Ordering::Release);
        self.list.store(Arc::new(list));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// None of any kind, nor one that is being built.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    #[inline]
    pub fn any_unique(&self) -> bool {
        self.unique.load(Ordering::Acquire)
    }

    /// Those that writers keep, one that is being built among them.
    #[inline]
    pub fn load(&self) -> Guard<Arc<Vec<Arc<Index>>>> {
        self.list.load()
    }

    /// Those that may be read.
    pub fn ready(&self) -> Vec<Arc<Index>> {
        self.load().iter().filter(|index| index.is_ready()).cloned().collect()
    }

    pub fn find(&self, id: IndexId) -> Option<Arc<Index>> {
        self.load().iter().find(|index| index.id == id && index.is_ready()).cloned()
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Puts an empty one in, for writers to keep. The caller holds the latches of all shards.
    pub(in crate::table) fn add(&self, definition: IndexDefinition) -> Arc<Index> {
        let id = IndexId(self.next.fetch_add(1, Ordering::Relaxed) as u32);
        let index = Arc::new(Index::new(id, definition, false));
        let mut list = self.load().to_vec();
        list.push(index.clone());
        self.publish(list);
        index
    }

    /// All rows are in it. The caller holds the latches of all shards.
    pub(in crate::table) fn complete(&self, index: &Index) {
        index.ready.store(true, Ordering::Release);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Takes one out. The caller holds the latches of all shards.
    pub(in crate::table) fn remove(&self, id: IndexId) {
        let mut list = self.load().to_vec();
        list.retain(|index| index.id != id);
        self.publish(list);
    }
}
