//! Terms that have no direct access in the NIF interface, through the external term format.
//!
//! Rare terms: bignums, bit strings, references, closures, pids and ports of other nodes. The tags are those of the chapter
//! "External Term Format" of the ERTS User's Guide.

use super::{Env, RawTerm};
use rustler::sys::*;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// External form of a term, without the version byte.
pub struct External(ErlNifBinary);

impl External {
    pub fn of(env: Env, term: RawTerm) -> Option<External> {
        let mut b = MaybeUninit::<ErlNifBinary>::uninit();
        // SAFETY: a true answer means that `b` owns a binary, which `drop` releases.
        unsafe { (enif_term_to_binary(env, term, b.as_mut_ptr()) != 0).then(|| External(b.assume_init())) }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the binary is ours until it is released.
        unsafe { &std::slice::from_raw_parts(self.0.data, self.0.size)[1..] }
    }
}

impl Drop for External {
    fn drop(&mut self) {
        // SAFETY: made by `enif_term_to_binary`, released once.
        unsafe { enif_release_binary(&mut self.0) };
    }
}

/// The term of an external form (without version byte) and the number of bytes it took.
pub fn to_term(env: Env, bytes: &[u8]) -> Option<(RawTerm, usize)> {
    let mut whole: SmallVec<[u8; 256]> = SmallVec::with_capacity(bytes.len() + 1);
    whole.push(131);
    whole.extend_from_slice(bytes);
    let mut term = MaybeUninit::uninit();
    // SAFETY: reads at most the bytes given; sets the term when the answer is not 0.
    unsafe {
        let used = enif_binary_to_term(env, whole.as_ptr(), whole.len(), term.as_mut_ptr(), 0);
        (used != 0).then(|| (term.assume_init(), used - 1))
    }
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

/// Text of the atom that begins the bytes and what follows; Latin-1 forms are turned into UTF-8.
pub fn atom_text(b: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (start, len) = match b.first()? {
        100 | 118 => (3, usize::from(u16::from_be_bytes([*b.get(1)?, *b.get(2)?]))),
        115 | 119 => (2, usize::from(*b.get(1)?)),
        _ => return None,
    };
    let (text, rest) = b.get(start..)?.split_at_checked(len)?;
    let text = match b[0] {
        100 | 115 => text.iter().map(|&c| char::from(c)).collect::<String>().into_bytes(),
        _ => text.to_vec(),
    };
    Some((text, rest))
}

/// Gives the texts of all atoms of an external form to `f` until it answers false; false as well if the bytes are no such form.
pub fn atoms(mut b: &[u8], f: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    // Terms that are still to come.
    let mut left = 1u64;
    while left > 0 {
        let Some((more, rest)) = one(b, f) else { return false };
        left = left - 1 + more;
        b = rest;
    }
    b.is_empty()
}

/// How many terms the first one of the bytes holds, and what follows its own bytes.
fn one<'b>(b: &'b [u8], f: &mut dyn FnMut(&[u8]) -> bool) -> Option<(u64, &'b [u8])> {
    let long = || u32_at(b, 1).map(|n| n as usize);
    let short = || Some(usize::from(u16::from_be_bytes([*b.get(1)?, *b.get(2)?])));
    let skip = |n: usize| b.get(n..);
    let mut atom = |from: usize, after: usize| {
        let (text, rest) = atom_text(b.get(from..)?)?;
        f(&text).then_some(())?;
        Some((0, rest.get(after..)?))
    };
    match *b.first()? {
        97 => Some((0, skip(2)?)),
        98 => Some((0, skip(5)?)),
        70 => Some((0, skip(9)?)),
        99 => Some((0, skip(32)?)),
        106 => Some((0, skip(1)?)),
        100 | 115 | 118 | 119 => atom(0, 0),
        104 => Some((u64::from(*b.get(1)?), skip(2)?)),
        105 => Some((long()? as u64, skip(5)?)),
        108 => Some((long()? as u64 + 1, skip(5)?)),
        116 => Some((2 * long()? as u64, skip(5)?)),
        107 => Some((0, skip(3 + short()?)?)),
        109 => Some((0, skip(5 + long()?)?)),
        77 | 111 => Some((0, skip(6 + long()?)?)),
        110 => Some((0, skip(3 + usize::from(*b.get(1)?))?)),
        // Pids, ports and references: the atom of their node, then numbers.
        90 => atom(3, 4 * short()? + 4),
        114 => atom(3, 4 * short()? + 1),
        88 | 120 => atom(1, 12),
        89 => atom(1, 8),
        103 => atom(1, 9),
        101 | 102 => atom(1, 5),
        // A closure: its head, then module, old index, old identity, creator and free variables.
        112 => Some((4 + u64::from(u32_at(b, 26)?), skip(30)?)),
        113 => Some((3, skip(1)?)),
        _ => None,
    }
}

/// The atom that begins the bytes, as a term.
pub fn atom(env: Env, b: &[u8]) -> Option<(RawTerm, &[u8])> {
    let rest = atom_text(b)?.1;
    let (term, _) = to_term(env, &b[..b.len() - rest.len()])?;
    Some((term, rest))
}

/// Sign and little-endian magnitude of a big integer.
pub fn big(b: &[u8]) -> Option<(bool, &[u8])> {
    match b.first()? {
        110 => Some((*b.get(2)? != 0, b.get(3..3 + usize::from(b[1]))?)),
        111 => Some((*b.get(5)? != 0, b.get(6..6 + u32_at(b, 1)? as usize)?)),
        _ => None,
    }
}

/// Bytes and used bits of the last one, of a bit string.
pub fn bits(b: &[u8]) -> Option<(&[u8], u8)> {
    (*b.first()? == 77).then_some(())?;
    Some((b.get(6..6 + u32_at(b, 1)? as usize)?, *b.get(5)?))
}

/// A pid, port or reference taken apart.
pub struct Named<'a> {
    /// External form of the node's atom.
    pub node: &'a [u8],
    pub creation: u32,
    pub numbers: SmallVec<[u32; 5]>,
    pub rest: &'a [u8],
}

impl Named<'_> {
    pub fn node_text(&self) -> Vec<u8> {
        atom_text(self.node).map_or_else(Vec::new, |(text, _)| text)
    }
}

/// Takes the pid, port or reference apart that begins the bytes.
pub fn named(b: &[u8]) -> Option<Named<'_>> {
    let tag = *b.first()?;
    let reference = matches!(tag, 90 | 114);
    let body = b.get(if reference { 3 } else { 1 }..)?;
    let rest = atom_text(body)?.1;
    let node = &body[..body.len() - rest.len()];
    // Numbers stand behind the creation in references, before it in pids and ports.
    let (count, wide_creation) = match tag {
        90 => (usize::from(u16::from_be_bytes([b[1], b[2]])), true),
        114 => (usize::from(u16::from_be_bytes([b[1], b[2]])), false),
        88 | 120 => (2, true),
        89 => (1, true),
        103 => (2, false),
        102 => (1, false),
        _ => return None,
    };
    let creation_len = if wide_creation { 4 } else { 1 };
    let creation_at = if reference { 0 } else { 4 * count };
    let numbers_at = if reference { creation_len } else { 0 };
    let creation = if wide_creation { u32_at(rest, creation_at)? } else { u32::from(*rest.get(creation_at)?) };
    let numbers = (0..count).map(|i| u32_at(rest, numbers_at + 4 * i)).collect::<Option<_>>()?;
    Some(Named { node, creation, numbers, rest: rest.get(creation_len + 4 * count..)? })
}

/// What a closure is, beside its free variables.
pub struct Closure {
    pub module: RawTerm,
    pub index: u32,
    pub uniq: [u8; 16],
    pub arity: u8,
}

impl External {
    /// Takes a closure apart; appends its free variables, as terms of the environment, to `free`. The pid of the creator is left
    /// out: it is no part of what the closure is.
    pub fn closure(&mut self, env: Env, free: &mut Vec<RawTerm>) -> Option<Closure> {
        let b = self.bytes();
        (*b.first()? == 112).then_some(())?;
        let arity = *b.get(5)?;
        let uniq = b.get(6..22)?.try_into().ok()?;
        let (index, count) = (u32_at(b, 22)?, u32_at(b, 26)?);
        let (module, rest) = atom(env, b.get(30..)?)?;
        let mut at = self.0.size - rest.len();
        // Old index, old uniq, creator.
        for _ in 0..3 {
            at += self.term_at(env, at)?.1;
        }
        for _ in 0..count {
            let (term, used) = self.term_at(env, at)?;
            free.push(term);
            at += used;
        }
        Some(Closure { module, index, uniq, arity })
    }

    /// The term that begins at `at` (counted with the version byte) and its length. The version byte that the VM wants in front is
    /// written over the byte before, which is read already: nothing is copied.
    fn term_at(&mut self, env: Env, at: usize) -> Option<(RawTerm, usize)> {
        let left = self.0.size.checked_sub(at)?;
        let mut term = MaybeUninit::uninit();
        // SAFETY: the binary is ours; `at - 1` is inside it, since `at` is at least 1 and at most its size. The call reads at most
        // the bytes given and sets the term when the answer is not 0.
        unsafe {
            let from = self.0.data.add(at.checked_sub(1)?);
            *from = 131;
            let used = enif_binary_to_term(env, from, left + 1, term.as_mut_ptr(), 0);
            (used != 0).then(|| (term.assume_init(), used - 1))
        }
    }
}

/// Module, function and arity of `fun M:F/A`.
pub fn export(env: Env, b: &[u8]) -> Option<(RawTerm, RawTerm, u8)> {
    (*b.first()? == 113).then_some(())?;
    let (module, rest) = atom(env, &b[1..])?;
    let (function, rest) = atom(env, rest)?;
    (*rest.first()? == 97).then_some(())?;
    Some((module, function, *rest.get(1)?))
}

/// External form of an atom, from its text.
pub fn put_atom(text: &[u8], out: &mut Vec<u8>) {
    out.push(118);
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text);
}
