//! Specs that were compiled and planned before: programs send the same ones again and again.
//!
//! Each thread keeps a few, by table and bytes. Atoms and local pids are the VM's words in these bytes, good for the life of the VM;
//! a spec with living terms beside its bytes is not kept, or it would keep them. What a spec leads to in a table depends on the type,
//! which a table has for life (its number is never used again), and on the indexes, which are known by their generation.

use remnesia_engine::matchspec::Program;
use remnesia_engine::table::key::hash;
use remnesia_engine::table::Table;
use remnesia_engine::txn::plan::{paths, Path};
use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

/// Specs kept by a thread.
const KEPT: usize = 64;
/// Longer ones are not kept.
const MAX_BYTES: usize = 1024;

/// A compiled spec.
pub struct Compiled {
    pub program: Program,
    /// It asks for the name of this node.
    pub needs_node: bool,
    paths: OnceLock<Vec<Path>>,
}

impl Compiled {
    pub fn new(program: Program, needs_node: bool) -> Compiled {
        Compiled { program, needs_node, paths: OnceLock::new() }
    }

    /// The ways to its rows in the table that it was compiled for.
    pub fn paths(&self, table: &Table) -> &[Path] {
        self.paths.get_or_init(|| paths(&self.program, table))
    }
}

struct Entry {
    table: u64,
    generation: u64,
    spec: Box<[u8]>,
    compiled: Arc<Compiled>,
}

thread_local! {
    static CACHE: RefCell<[Option<Entry>; KEPT]> = const { RefCell::new([const { None }; KEPT]) };
}

fn place(table: u64, spec: &[u8]) -> usize {
    ((hash(spec) ^ table) % KEPT as u64) as usize
}

pub fn find(table: &Table, spec: &[u8]) -> Option<Arc<Compiled>> {
    if spec.len() > MAX_BYTES {
        return None;
    }
    CACHE.with_borrow(|cache| {
        let entry = cache[place(table.id, spec)].as_ref()?;
        let same = entry.table == table.id && entry.generation == table.indexes.generation() && *entry.spec == *spec;
        same.then(|| entry.compiled.clone())
    })
}

/// `generation`: of the indexes before it was compiled.
pub fn keep(table: u64, generation: u64, spec: &[u8], compiled: &Arc<Compiled>) {
    if spec.len() > MAX_BYTES || compiled.program.attached().is_some() {
        return;
    }
    let entry = Entry { table, generation, spec: spec.into(), compiled: compiled.clone() };
    // What is pushed out is dropped after the borrow.
    let _old = CACHE.with_borrow_mut(|cache| cache[place(table, spec)].replace(entry));
}
