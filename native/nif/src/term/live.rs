//! Terms that must stay alive beside the bytes of a record: references, closures, large binaries.

use super::{Env, RawTerm};
use remnesia_engine::term::Attached;
use rustler::sys::*;
use smallvec::SmallVec;
use std::any::Any;
use std::mem::MaybeUninit;

/// Flat bytes of a living term and the term. The bytes of a reference fit without an allocation.
pub type Live = (SmallVec<[u8; 24]>, RawTerm);

/// What an environment with its first piece of heap takes: 2,500 bytes per record on OTP 25 (100,000 records, `erlang:memory`).
const ENV_BYTES: usize = 2_500;

/// Smaller large binaries are copied, so that a piece of a large file does not keep the whole file in memory.
const SHARE_MIN: usize = 64 * 1024;

/// The living terms of one record, in an environment of their own.
pub struct LiveTerms {
    env: Env,
    terms: Vec<Live>,
    bytes: usize,
}

// SAFETY: the environment belongs to no process. It is written only in `new`, before anyone else sees it; later it is read only:
// * `enif_make_copy` walks the term and writes into the environment of its reader. It raises the counts of binaries, funs and magic
//   references, which are atomic. (Of a binary that may be appended to in place it would also end that; a copy never is one.)
// * `enif_inspect_binary` only looks, as long as the binary begins at a byte. The encoder sees to that (`aligned`).
unsafe impl Send for LiveTerms {}
// SAFETY: as above.
unsafe impl Sync for LiveTerms {}

impl LiveTerms {
    /// Copies the terms into an environment of their own.
    pub fn new(mut terms: Vec<Live>) -> LiveTerms {
        sort(&mut terms);
        // SAFETY: a fresh environment is ours alone; the terms are alive in the caller's environment.
        let env = unsafe { enif_alloc_env() };
        let mut bytes = ENV_BYTES;
        let copies = terms.into_iter().map(|(identity, term)| {
            bytes += size_of::<Live>() + if identity.spilled() { identity.len() } else { 0 };
            let copy = match binary(env, term) {
                Some(content) => {
                    bytes += content.len();
                    if content.len() < SHARE_MIN {
                        new_binary(env, content)
                    } else {
                        copy(env, term)
                    }
                }
                None => {
                    bytes += 64;
                    copy(env, term)
                }
            };
            (identity, copy)
        });
        let terms = copies.collect();
        LiveTerms { env, terms, bytes }
    }
}

fn copy(env: Env, term: RawTerm) -> RawTerm {
    // SAFETY: `env` is valid for writing and `term` is alive.
    unsafe { enif_make_copy(env, term) }
}

pub(super) fn new_binary(env: Env, content: &[u8]) -> RawTerm {
    let mut term = MaybeUninit::uninit();
    // SAFETY: `enif_make_new_binary` answers writable memory of the size asked for and sets the term.
    unsafe {
        let data = enif_make_new_binary(env, content.len(), term.as_mut_ptr());
        std::ptr::copy_nonoverlapping(content.as_ptr(), data, content.len());
        term.assume_init()
    }
}

/// Content of a binary; `None` for other terms.
pub fn binary<'a>(env: Env, term: RawTerm) -> Option<&'a [u8]> {
    let mut b = MaybeUninit::<ErlNifBinary>::uninit();
    // SAFETY: the term is alive for as long as the caller keeps the slice; a true answer means that `b` is filled in.
    unsafe {
        if enif_inspect_binary(env, term, b.as_mut_ptr()) == 0 {
            return None;
        }
        let b = b.assume_init();
        Some(if b.size == 0 { &[] } else { std::slice::from_raw_parts(b.data, b.size) })
    }
}

impl Drop for LiveTerms {
    fn drop(&mut self) {
        // SAFETY: nobody else has the environment; any thread may free one that belongs to no process.
        unsafe { enif_free_env(self.env) };
    }
}

/// Is the content of the binary at a place of its own? If it begins inside a byte, every look at it makes another copy.
pub(super) fn aligned(env: Env, term: RawTerm, content: &[u8]) -> bool {
    binary(env, term).is_some_and(|again| again.as_ptr() == content.as_ptr())
}

/// Sorted by identity, each once.
fn sort(terms: &mut Vec<Live>) {
    if terms.len() > 1 {
        terms.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        terms.dedup_by(|a, b| a.0 == b.0);
    }
}

/// The terms are sorted.
fn find(terms: &[Live], identity: &[u8]) -> Option<RawTerm> {
    let at = terms.binary_search_by(|(i, _)| (**i).cmp(identity)).ok()?;
    terms.get(at).map(|(_, term)| *term)
}

impl Attached for LiveTerms {
    fn content(&self, identity: &[u8]) -> Option<&[u8]> {
        binary(self.env, find(&self.terms, identity)?)
    }
    fn bytes(&self) -> usize {
        self.bytes
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The same for a term that lives in the caller's environment during one call.
pub struct Transient {
    env: Env,
    terms: Vec<Live>,
}

// SAFETY: made and used within one NIF call, on one thread; the trait `Attached` asks for these.
unsafe impl Send for Transient {}
// SAFETY: as above.
unsafe impl Sync for Transient {}

impl Transient {
    pub fn new(env: Env, mut terms: Vec<Live>) -> Transient {
        sort(&mut terms);
        Transient { env, terms }
    }
}

impl Attached for Transient {
    fn content(&self, identity: &[u8]) -> Option<&[u8]> {
        binary(self.env, find(&self.terms, identity)?)
    }
    fn bytes(&self) -> usize {
        0
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The living term of these bytes, copied into `env`.
pub(super) fn revive(env: Env, attached: &dyn Attached, identity: &[u8]) -> Option<RawTerm> {
    let any = attached.as_any();
    let terms = match any.downcast_ref::<LiveTerms>() {
        Some(live) => &live.terms,
        None => &any.downcast_ref::<Transient>()?.terms,
    };
    find(terms, identity).map(|term| copy(env, term))
}
