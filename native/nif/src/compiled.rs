//! Specs that were compiled and planned before: programs send the same ones again and again.
//!
//! Each thread keeps a few, by table and bytes, and of those the last as terms: to compare two terms takes a fraction of the time that it takes
//! to write one as bytes. Atoms and local pids are the VM's words in these bytes, good for the life of the VM;
//! a spec with living terms beside its bytes is not kept, or it would keep them. What a spec leads to in a table depends on the type,
//! which a table has for life (its number is never used again), and on the indexes, which are known by their generation.

use crate::term::{Env, RawTerm};
use remnesia_engine::matchspec::Program;
use remnesia_engine::table::key::hash;
use remnesia_engine::table::Table;
use remnesia_engine::term::{read, Term};
use remnesia_engine::txn::plan::{paths, Path};
use rustler::sys::{enif_alloc_env, enif_free_env, enif_is_identical, enif_make_copy};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

/// Specs kept by a thread.
const KEPT: usize = 64;
/// Longer ones are not kept.
const MAX_BYTES: usize = 1024;

/// What a spec may ask of the process that runs it.
#[derive(Clone, Copy)]
pub struct Asks {
    pub of_node: bool,
    pub of_self: bool,
}

/// A compiled spec.
pub struct Compiled {
    pub program: Program,
    pub asks: Asks,
    paths: OnceLock<Vec<Path>>,
}

impl Compiled {
    pub fn new(program: Program, asks: Asks) -> Compiled {
        Compiled { program, asks, paths: OnceLock::new() }
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

/// Specs kept as terms.
const RECENT: usize = 8;
/// One in so many that are found by their bytes takes a place: a program with more specs than places does not copy one each time.
const ADMITTED: u32 = 8;

/// A copy of a spec in an environment of its own.
struct Copy {
    table: u64,
    generation: u64,
    env: Env,
    spec: RawTerm,
    compiled: Arc<Compiled>,
}

impl Drop for Copy {
    fn drop(&mut self) {
        // SAFETY: made by `remember`, used by this copy alone.
        unsafe { enif_free_env(self.env) };
    }
}

#[derive(Default)]
struct Recent {
    copies: [Option<Copy>; RECENT],
    next: usize,
    misses: u32,
}

thread_local! {
    static LAST: RefCell<Recent> = RefCell::default();
}

/// A spec that was used before, by the term.
#[inline]
pub fn recent(table: &Table, spec: RawTerm) -> Option<Arc<Compiled>> {
    let (id, generation) = (table.id, table.indexes.generation());
    LAST.with_borrow_mut(|last| {
        let same = |copy: &Option<Copy>| {
            copy.as_ref().is_some_and(|copy| {
                let known = copy.table == id && copy.generation == generation;
                // SAFETY: both terms are alive: one in the environment of the call, one in that of the copy. Specs that are kept are small.
                known && unsafe { enif_is_identical(copy.spec, spec) } != 0
            })
        };
        let at = last.copies.iter().position(same)?;
        // The next time it is compared first: specs of one table differ near their end.
        last.copies.swap(0, at);
        last.copies[0].as_ref().map(|copy| copy.compiled.clone())
    })
}

/// May a copy stand for the spec? Not if there may be a float in it: a zero is identical to one of the other sign. And not a binary that
/// could be a part of a large one, which the copy would keep.
fn may_be_kept(bytes: &[u8]) -> bool {
    let mut work: SmallVec<[&[u8]; 32]> = SmallVec::from_slice(&[bytes]);
    while let Some(term) = work.pop() {
        match read(term).0 {
            Term::Float(_) | Term::Bits { .. } | Term::Blob { .. } => return false,
            Term::Binary(bytes) if bytes.len() > HEAP_BINARY => return false,
            Term::Tuple(e) | Term::List(e) | Term::Improper(e) | Term::Map(e) => work.extend(e.iter()),
            _ => {}
        }
    }
    true
}

/// Binaries up to here are copied by the VM, longer ones referred to.
const HEAP_BINARY: usize = 64;

/// Keeps a spec that was found by its bytes as a term too.
pub fn remember(table: u64, generation: u64, spec: RawTerm, bytes: &[u8], compiled: &Arc<Compiled>) {
    let due = LAST.with_borrow_mut(|last| {
        last.misses = last.misses.wrapping_add(1);
        last.misses % ADMITTED == 0
    });
    if !due || !may_be_kept(bytes) {
        return;
    }
    // SAFETY: a new environment and a copy in it, which `Copy` owns.
    let (env, spec) = unsafe {
        let env = enif_alloc_env();
        (env, enif_make_copy(env, spec))
    };
    let copy = Copy { table, generation, env, spec, compiled: compiled.clone() };
    let _old = LAST.with_borrow_mut(|last| {
        // Never the first, which is in use.
        last.next = last.next % (RECENT - 1) + 1;
        last.copies[last.next].replace(copy)
    });
}
