//! A spec that asks for the records of one key and nothing else is a read: it is not compiled.
//!
//! Programs make such specs anew for each key, so that none is found among those that were compiled before.

use crate::access::{in_hand, look_now, Found};
use crate::arguments::elements;
use crate::atoms;
use crate::border::{record_name, Call, Fail, Scratch};
use crate::term::{word, RawTerm};
use remnesia_engine::matchspec::variable;
use remnesia_engine::term::atom::text;
use remnesia_engine::term::{read, same, Record, Term};
use rustler::sys::{enif_is_atom, enif_is_empty_list};
use smallvec::SmallVec;

fn is_nil(call: &Call, term: RawTerm) -> bool {
    // SAFETY: only looks at the term.
    unsafe { enif_is_empty_list(call.env, term) != 0 }
}

/// The only element of a list.
fn only(call: &Call, list: RawTerm) -> Option<RawTerm> {
    call.cell(list).filter(|(_, rest)| is_nil(call, *rest)).map(|(one, _)| one)
}

/// The key of `[{{Name, Key, ..}, [], ['$_']}]` where everything behind the key is a variable of its own. It may be a pattern itself.
#[inline]
fn key_of(call: &Call, spec: RawTerm, arity: usize, name: RawTerm) -> Option<RawTerm> {
    let &[head, guards, body] = elements(call, only(call, spec)?).ok()? else { return None };
    if !is_nil(call, guards) || only(call, body)? != atoms::whole() {
        return None;
    }
    let head = elements(call, head).ok().filter(|head| head.len() == arity && head[0] == name)?;
    let mut met: SmallVec<[i32; 8]> = SmallVec::new();
    for &element in head.get(2..)? {
        if element == atoms::any() {
            continue;
        }
        // SAFETY: only looks at the term.
        if unsafe { enif_is_atom(call.env, element) } == 0 {
            return None;
        }
        let number = variable(text(word(element)))?;
        if met.contains(&number) {
            return None;
        }
        met.push(number);
    }
    Some(head[1])
}

/// Does this key stand for itself alone? Floats, maps and living terms are left to those who know all about them.
#[inline]
fn is_constant(flat: &[u8]) -> bool {
    let mut work: SmallVec<[&[u8]; 16]> = SmallVec::from_slice(&[flat]);
    while let Some(term) = work.pop() {
        match read(term).0 {
            Term::Int(_) | Term::Big { .. } | Term::Binary(_) | Term::Nil => {}
            Term::Atom(word) => {
                if matches!(text(word).first(), Some(b'$' | b'_')) {
                    return false;
                }
            }
            Term::Tuple(e) | Term::List(e) | Term::Improper(e) => work.extend(e.iter()),
            _ => return false,
        }
    }
    true
}

/// The records, outside transactions, of the table at this place; None if the spec asks for something else.
#[inline]
pub fn read_by(call: &Call, scratch: &mut Scratch, at: usize, spec: RawTerm) -> Result<Option<RawTerm>, Fail> {
    let (encoder, terms, open) = scratch.parts(at);
    let name = record_name(open);
    let Some(key) = key_of(call, spec, open.table.definition.arity, name) else { return Ok(None) };
    encoder.begin(call.limit());
    encoder.term(call.env, key)?;
    let flat = encoder.bytes();
    if !is_constant(flat) {
        return Ok(None);
    }
    call.may_wait(&open.table)?;
    let key = open.table.key(flat, false, None);
    // An ordered_set finds what is equal to the key, a spec what is the same.
    let found = look_now(open, &key, |rows| {
        let other = |row: &Record| !same(row.key(), flat, row.negative_zero());
        if rows.first().is_some_and(other) {
            Found::Decoded(call.list(&[]))
        } else {
            in_hand(call, rows, name, terms)
        }
    });
    found.map(|found| found.term(call, name, terms)).transpose()
}
