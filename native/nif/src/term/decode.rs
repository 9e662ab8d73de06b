//! Flat bytes to BEAM terms.

use super::live::revive;
use super::shared::Shared;
use super::{external, from_word, no_term, Env, RawTerm};
use remnesia_engine::term::atom::text;
use remnesia_engine::term::{read, tag, Attached, Ident, Record, Term};
use rustler::sys::*;
use smallvec::SmallVec;

enum Kind {
    Tuple,
    List,
    Improper,
    Map,
}

/// A container being built: its elements are the terms from `start` on.
struct Frame<'a> {
    kind: Kind,
    rest: &'a [u8],
    left: usize,
    start: usize,
}

/// Terms that an idle vector may keep room for: a large term must not hold on to its memory for ever.
const KEEP: usize = 1 << 16;

/// Decodes a record as a tuple with the record name in front.
#[inline]
pub fn decode_record(env: Env, record: &Record, name: RawTerm, terms: &mut Vec<RawTerm>) -> RawTerm {
    terms.clear();
    terms.push(name);
    let beside = [record.attached().map(|a| &**a), None];
    let mut rest = record.body();
    let mut shared = Shared::new(rest);
    for _ in 0..record.fields() {
        let term;
        (term, rest) = first(env, rest, &beside, &mut shared, terms);
        terms.push(term);
    }
    // SAFETY: as many terms as the vector has, all alive in `env`.
    let tuple = unsafe { enif_make_tuple_from_array(env, terms.as_ptr(), terms.len() as u32) };
    if terms.capacity() > KEEP {
        *terms = Vec::new();
    }
    tuple
}

/// Decodes one term; `beside` are the places where its living terms may be.
pub fn decode(env: Env, bytes: &[u8], beside: &[Option<&dyn Attached>]) -> RawTerm {
    first(env, bytes, beside, &mut Shared::new(bytes), &mut Vec::new()).0
}

/// Decodes the first term; the elements of containers stand at the end of `terms` meanwhile.
#[inline]
fn first<'a>(
    env: Env,
    bytes: &'a [u8],
    beside: &[Option<&dyn Attached>],
    shared: &mut Shared,
    terms: &mut Vec<RawTerm>,
) -> (RawTerm, &'a [u8]) {
    if let Some(found) = frequent(env, bytes, shared) {
        return found;
    }
    let (term, rest) = read(bytes);
    match scalar(env, &term, &bytes[..bytes.len() - rest.len()], beside, shared) {
        Some(term) => (term, rest),
        None => (container(env, term, beside, shared, terms), rest),
    }
}

/// The terms that most fields hold, straight from their first byte: `read` has to carry every kind of term.
#[inline(always)]
fn frequent<'a>(env: Env, bytes: &'a [u8], shared: &mut Shared) -> Option<(RawTerm, &'a [u8])> {
    let (&tag, rest) = bytes.split_first()?;
    // SAFETY: makes new terms in `env`.
    unsafe {
        Some(match tag {
            0..=0x7f => (enif_make_int64(env, i64::from(tag)), rest),
            tag::ATOM3 => {
                let (&[a, b, c], rest) = rest.split_first_chunk()?;
                (from_word(u64::from(a) << 16 | u64::from(b) << 8 | u64::from(c)), rest)
            }
            tag::INT1 => {
                let (&i, rest) = rest.split_first()?;
                (enif_make_int64(env, i64::from(i as i8)), rest)
            }
            tag::INT2 => {
                let (i, rest) = rest.split_first_chunk()?;
                (enif_make_int64(env, i64::from(i16::from_le_bytes(*i))), rest)
            }
            tag::INT4 => {
                let (i, rest) = rest.split_first_chunk()?;
                (enif_make_int64(env, i64::from(i32::from_le_bytes(*i))), rest)
            }
            tag::INT8 => {
                let (i, rest) = rest.split_first_chunk()?;
                (enif_make_int64(env, i64::from_le_bytes(*i)), rest)
            }
            tag::FLOAT => {
                let (f, rest) = rest.split_first_chunk()?;
                (enif_make_double(env, f64::from_be_bytes(*f)), rest)
            }
            tag::BINARY => {
                let (&len, rest) = rest.split_first()?;
                let (content, rest) = rest.split_at_checked(usize::from(len))?;
                (shared.binary(env, content), rest)
            }
            _ => return None,
        })
    }
}

fn open<'a>(term: &Term<'a>, start: usize) -> Option<Frame<'a>> {
    let (kind, elements, left) = match term {
        Term::Tuple(e) => (Kind::Tuple, e, e.count as usize),
        Term::List(e) => (Kind::List, e, e.count as usize),
        Term::Improper(e) => (Kind::Improper, e, e.count as usize + 1),
        Term::Map(e) => (Kind::Map, e, 2 * e.count as usize),
        _ => return None,
    };
    Some(Frame { kind, rest: elements.body, left, start })
}

fn container(env: Env, term: Term, beside: &[Option<&dyn Attached>], shared: &mut Shared, terms: &mut Vec<RawTerm>) -> RawTerm {
    let Some(mut frame) = open(&term, terms.len()) else { return unknown(env) };
    let mut outer: SmallVec<[Frame; 6]> = SmallVec::new();
    loop {
        while frame.left > 0 {
            frame.left -= 1;
            if let Some((term, rest)) = frequent(env, frame.rest, shared) {
                terms.push(term);
                frame.rest = rest;
                continue;
            }
            let (term, rest) = read(frame.rest);
            let one = &frame.rest[..frame.rest.len() - rest.len()];
            frame.rest = rest;
            if let Some(term) = scalar(env, &term, one, beside, shared) {
                terms.push(term);
            } else if let Some(inner) = open(&term, terms.len()) {
                outer.push(std::mem::replace(&mut frame, inner));
            } else {
                terms.push(unknown(env));
            }
        }
        let built = build(env, &frame.kind, &terms[frame.start..]);
        terms.truncate(frame.start);
        match outer.pop() {
            None => return built,
            Some(parent) => frame = parent,
        }
        terms.push(built);
    }
}

fn build(env: Env, kind: &Kind, terms: &[RawTerm]) -> RawTerm {
    // SAFETY: every call gets as many terms as it is told, all alive in `env`.
    unsafe {
        match kind {
            Kind::Tuple => enif_make_tuple_from_array(env, terms.as_ptr(), terms.len() as u32),
            Kind::List => enif_make_list_from_array(env, terms.as_ptr(), terms.len() as u32),
            Kind::Improper => {
                let (tail, heads) = terms.split_last().map_or((no_term(), &[][..]), |(t, h)| (*t, h));
                heads.iter().rev().fold(tail, |list, head| enif_make_list_cell(env, *head, list))
            }
            Kind::Map => {
                // Maps of up to 32 pairs are flat in the VM and frequent here.
                let keys: SmallVec<[RawTerm; 32]> = terms.iter().step_by(2).copied().collect();
                let values: SmallVec<[RawTerm; 32]> = terms.iter().skip(1).step_by(2).copied().collect();
                let mut map = no_term();
                if enif_make_map_from_arrays(env, keys.as_ptr(), values.as_ptr(), keys.len(), &mut map) == 0 {
                    // Two keys are one term only if a `-0.0` met a `0.0`; the later wins, as in a map update.
                    map = enif_make_new_map(env);
                    for (k, v) in keys.iter().zip(&values) {
                        let mut next = no_term();
                        if enif_make_map_put(env, map, *k, *v, &mut next) != 0 {
                            map = next;
                        }
                    }
                }
                map
            }
        }
    }
}

/// Terms that are no container of terms.
#[inline]
fn scalar(env: Env, term: &Term, bytes: &[u8], beside: &[Option<&dyn Attached>], shared: &mut Shared) -> Option<RawTerm> {
    // SAFETY: makes new terms in `env`.
    Some(unsafe {
        match *term {
            Term::Int(i) => enif_make_int64(env, i),
            // Atoms, and pids and ports of this node, are their word.
            Term::Atom(word) | Term::Pid(word) | Term::Port(word) => from_word(word),
            Term::Binary(content) => shared.binary(env, content),
            Term::Float(f) => enif_make_double(env, f),
            Term::Nil => enif_make_list_from_array(env, std::ptr::null(), 0),
            Term::Big { negative, magnitude } => {
                let mut e = vec![111];
                e.extend_from_slice(&(magnitude.len() as u32).to_be_bytes());
                e.push(u8::from(negative));
                e.extend_from_slice(magnitude);
                external(env, &e)
            }
            Term::Bits { bytes, last_bits } => {
                let mut e = vec![77];
                e.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
                e.push(last_bits);
                e.extend_from_slice(bytes);
                external(env, &e)
            }
            Term::ExtPid(id) => named(env, 88, &id),
            Term::ExtPort(id) => named(env, if id.numbers.len() == 8 { 120 } else { 89 }, &id),
            Term::ExtRef(id) => named(env, 90, &id),
            Term::Export { module, function, arity } => {
                let mut e = vec![113];
                external::put_atom(text(module), &mut e);
                external::put_atom(text(function), &mut e);
                e.extend_from_slice(&[97, arity as u8]);
                external(env, &e)
            }
            Term::Ref(_) | Term::Fun(_) | Term::Blob { .. } => {
                let found = beside.iter().flatten().find_map(|attached| revive(env, *attached, bytes));
                found.unwrap_or_else(|| unknown(env))
            }
            Term::List(_) | Term::Improper(_) | Term::Tuple(_) | Term::Map(_) => return None,
        }
    })
}

fn external(env: Env, bytes: &[u8]) -> RawTerm {
    external::to_term(env, bytes).map_or_else(|| unknown(env), |(term, _)| term)
}

fn named(env: Env, tag: u8, id: &Ident) -> RawTerm {
    let mut e = vec![tag];
    let numbers = |e: &mut Vec<u8>| id.numbers.chunks_exact(4).for_each(|n| e.extend(n.iter().rev()));
    if tag == 90 {
        e.extend_from_slice(&((id.numbers.len() / 4) as u16).to_be_bytes());
    }
    external::put_atom(text(id.node), &mut e);
    if tag == 90 {
        e.extend_from_slice(&id.creation.to_be_bytes());
        numbers(&mut e);
    } else {
        numbers(&mut e);
        e.extend_from_slice(&id.creation.to_be_bytes());
    }
    external(env, &e)
}

/// Bytes that stand for nothing: a broken invariant. Loud, because a wrong term would be worse.
fn unknown(_env: Env) -> RawTerm {
    panic!("a living term is missing beside its record (first tags: {:#x}..)", tag::REF)
}
