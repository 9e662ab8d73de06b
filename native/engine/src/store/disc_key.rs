//! What a key is called in the base store: the same bytes in every VM that ever opens the database.
//!
//! The ordered form (`term::key`) of the key, with everything of this node under its node's name, as it is on disc: a pid that
//! was local when it was written is foreign when it is read by a later VM, and must be found under the same bytes. A hash table
//! tells `1` from `1.0`, which the ordered form does not: where there is a float in the key, its disc form (that of a closure
//! with what it is known by) follows as a tie-break. Without one, terms of equal forms are the same term.
//!
//! The form depends on two rules of the VM: whether pids are ordered by node, and whether `0.0` and `-0.0` are two terms. Both
//! changed once, with a release. [`rules`] says what they are; the store compares it with what the database was written under.

use super::disc::{identity, Atoms};
use super::disc_atoms::Dictionary;
use super::disc_walk::{named, rewrite};
use super::StoreError;
use crate::term::atom::host;
use crate::term::tag::*;
use crate::term::{canonical_zero, form_size, key, Attached, Record, Writer};

/// The rules of this VM that keys depend on, in one byte.
pub fn rules() -> u8 {
    u8::from(host().pids_by_node()) | u8::from(host().signed_zero()) << 1
}

/// Appends the base key of a record.
pub fn base_key(
    ordered: bool,
    record: &Record,
    dictionary: &Dictionary,
    atoms: &mut Atoms,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let attached = record.attached().map(|a| &**a);
    base_key_of(ordered, record.key(), record.negative_zero(), attached, dictionary, atoms, out)
}

/// Appends the base key of a flat key; `attached` holds the content of its large binaries.
pub fn base_key_of(
    ordered: bool,
    flat: &[u8],
    negative_zero: bool,
    attached: Option<&dyn Attached>,
    dictionary: &Dictionary,
    atoms: &mut Atoms,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let what = look(flat);
    if what == Looked::default() {
        key::write(flat, attached, out);
        return Ok(());
    }
    let canonical;
    let mut flat = flat;
    if negative_zero && !host().signed_zero() {
        canonical = canonical_zero(flat);
        flat = &canonical;
    }
    let foreign;
    let key_flat = if what.local {
        foreign = as_foreign(flat)?;
        &foreign
    } else {
        flat
    };
    key::write(key_flat, attached, out);
    if what.float && !ordered {
        identity(flat, dictionary, atoms, out)?;
    }
    Ok(())
}

#[derive(Default, PartialEq, Eq)]
struct Looked {
    float: bool,
    local: bool,
}

fn look(flat: &[u8]) -> Looked {
    let mut found = Looked::default();
    let mut at = 0;
    while at < flat.len() {
        at += match flat[at] {
            LIST | IMPROPER | TUPLE | MAP => 3,
            LIST_L | IMPROPER_L | TUPLE_L | MAP_L => 9,
            FLOAT => {
                found.float = true;
                9
            }
            FUN => {
                found.local = true;
                5 + form_size(&flat[at + 5..]) + 21
            }
            PID | PORT | REF => {
                found.local = true;
                form_size(&flat[at..])
            }
            _ => form_size(&flat[at..]),
        };
    }
    found
}

/// The flat key with terms of this node as those of another.
fn as_foreign(flat: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut writer = Writer::new();
    rewrite(flat, &mut writer, Some(&mut Ok), &mut |one, writer| {
        match named(one) {
            Some(named) => {
                let node = named.node.or_else(|text| host().atom_word(text).ok_or(StoreError::NotPortable))?;
                writer.external(named.tag, named.creation, &named.numbers, node);
            }
            None => writer.buf.extend_from_slice(one),
        }
        Ok(())
    })?;
    Ok(writer.buf)
}
