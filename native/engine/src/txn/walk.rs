//! From key to key: committed rows and write set seen as one table.

use super::open::OpenTable;
use super::overlay::Overlay;
use crate::table::{AbsentKey, Key};
use crate::term::key::class;
use crate::term::Record;

/// The row next to a key, or the first (last) one. In hash tables the committed keys come first, in slot order, then those that
/// only the write set has; there is no way backward, so `backward` changes nothing, as in Mnesia.
pub fn neighbour(
    open: &OpenTable,
    overlay: Option<&Overlay>,
    from: Option<Key>,
    backward: bool,
) -> Result<Option<Record>, AbsentKey> {
    let Some(overlay) = overlay.filter(|o| !o.untouched(open)) else {
        return open.table.neighbour(from.as_ref(), backward);
    };
    if open.table.is_ordered() {
        return Ok(ordered(open, overlay, from, backward));
    }
    let mut from = from;
    loop {
        if let Some(key) = &from {
            let committed = open.table.look(key, |rows| !rows.is_empty());
            if !committed {
                // A key of the write set alone, or none at all.
                let known = !overlay.over(open, key, &[]).is_empty();
                return if known { Ok(added(open, overlay, Some(key))) } else { Err(AbsentKey) };
            }
        }
        match open.table.neighbour(from.as_ref(), false)? {
            None => return Ok(added(open, overlay, None)),
            Some(record) => {
                let key = open.table.key_of(&record);
                if !overlay.touches(open, &key) {
                    return Ok(Some(record));
                }
                let visible = overlay.over(open, &key, &open.table.rows(&key));
                if let Some(record) = visible.into_iter().next() {
                    return Ok(Some(record));
                }
                from = Some(key);
            }
        }
    }
}

/// The next key that only the write set has.
fn added(open: &OpenTable, overlay: &Overlay, after: Option<&Key>) -> Option<Record> {
    let mut after = after.cloned();
    while let Some(key) = overlay.key_after(open, after.as_ref()) {
        let committed = open.table.rows(&key);
        if committed.is_empty() {
            if let Some(record) = overlay.over(open, &key, &committed).into_iter().next() {
                return Some(record);
            }
        }
        after = Some(key);
    }
    None
}

fn ordered(open: &OpenTable, overlay: &Overlay, mut from: Option<Key>, backward: bool) -> Option<Record> {
    loop {
        let base = open.table.neighbour(from.as_ref(), backward).ok().flatten();
        let changed = match backward {
            true => overlay.key_before(open, from.as_ref()),
            false => overlay.key_after(open, from.as_ref()),
        };
        let base_key = base.as_ref().map(|r| open.table.key_of(r));
        let changed_first = match (&base_key, &changed) {
            (None, None) => return None,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (Some(b), Some(c)) if backward => c.bytes >= b.bytes,
            (Some(b), Some(c)) => c.bytes <= b.bytes,
        };
        match changed.filter(|_| changed_first) {
            None => return base,
            Some(key) => {
                let visible = overlay.over(open, &key, &open.table.rows(&key));
                if let Some(record) = visible.into_iter().next() {
                    return Some(record);
                }
                from = Some(key);
            }
        }
    }
}

/// The row with the greatest numeric key of an ordered_set: all numbers sort before all atoms.
pub fn last_number(open: &OpenTable, overlay: Option<&Overlay>) -> Option<Record> {
    if !open.table.is_ordered() {
        return None;
    }
    let atoms = Key::of([class::ATOM][..].into());
    match overlay {
        Some(overlay) if !overlay.untouched(open) => ordered(open, overlay, Some(atoms), true),
        _ => open.table.last_below(&atoms.bytes),
    }
}
