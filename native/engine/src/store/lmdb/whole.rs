//! The file as a whole: its first transaction, what is remembered of it, a copy of it.

use super::super::StoreError;
use super::env::{number, translate, Opened};
use super::format::{info_number, kind, seal, tree_name, unseal, Place, State, FORMAT, INFO, SHARED};
use super::write::{Places, Writer};
use lmdb::{Cursor, DatabaseFlags, Environment, Transaction, WriteFlags};
use lmdb_sys::{MDB_NEXT, MDB_SET_RANGE};
use std::collections::BTreeSet;
use std::path::Path;

/// The first transaction of a new environment: its trees and the state record.
pub fn first(env: &Environment) -> lmdb::Result<()> {
    let mut txn = env.begin_rw_txn()?;
    // SAFETY: nobody else has the environment, so no other transaction opens trees.
    let open = |name: &str| unsafe { txn.create_db(Some(name), DatabaseFlags::empty()) };
    let info = open(INFO)?;
    for tree in 0..=SHARED {
        open(&tree_name(tree))?;
    }
    let state = State { format: FORMAT, txn: number(&txn), position: 0, next_prefix: 0 };
    let mut sealed = Vec::new();
    txn.put(info, &State::KEY, &seal(State::KEY, &state.write(), &mut sealed), WriteFlags::empty())?;
    txn.commit()
}

/// State, places and garbage as the file has them.
pub fn load(opened: &Opened, path: &Path) -> Result<(Places, Writer), StoreError> {
    let txn = opened.begin().map_err(|e| translate("reading", path, e))?;
    let damaged = |what| StoreError::corrupt(path, 0, what);
    let read = |key: &[u8], stored: &[u8]| unseal(key, stored).map(<[u8]>::to_vec).ok_or_else(|| damaged("a checksum"));
    let state = match txn.get(opened.trees.info, &State::KEY) {
        Ok(stored) => State::read(&read(State::KEY, stored)?).ok_or_else(|| damaged("the state record"))?,
        Err(e) => return Err(translate("reading the state of", path, e)),
    };
    if state.format > FORMAT {
        return Err(StoreError::NewerFormat { path: path.into(), found: state.format, known: FORMAT });
    }
    let (mut places, mut garbage) = (Places::default(), BTreeSet::new());
    let cursor = txn.open_ro_cursor(opened.trees.info).map_err(|e| translate("reading", path, e))?;
    let mut at = cursor.get(Some(&[kind::PLACE]), None, MDB_SET_RANGE);
    while let Ok((Some(key), stored)) = at {
        let value = read(key, stored)?;
        let id = info_number(key).ok_or_else(|| damaged("a key of the info tree"))?;
        match key[0] {
            kind::PLACE => drop(places.insert(id, Place::read(&value).ok_or_else(|| damaged("a table's place"))?)),
            kind::GARBAGE => drop(garbage.insert(id)),
            _ => return Err(damaged("a key of the info tree")),
        }
        at = cursor.get(None, None, MDB_NEXT);
    }
    match at {
        Ok(_) | Err(lmdb::Error::NotFound) => {
            let used = places.values().filter(|place| place.tree != SHARED).fold(0, |used, place| used | 1 << place.tree);
            Ok((places, Writer { state, garbage, used }))
        }
        Err(e) => Err(translate("reading", path, e)),
    }
}

/// Entries that one transaction of a copy writes.
const COPIED: usize = 100_000;

/// Copies all that is in `from` to a new environment, each tree in key order, so that its pages become full. Places stay as they are;
/// what is garbage is left out.
pub fn copy(from: &Opened, to: &Environment, path: &Path, writer: &Writer) -> Result<(), StoreError> {
    let failed = |e| translate("compacting", path, e);
    first(to).map_err(failed)?;
    let trees = super::env::trees(to).map_err(failed)?;
    let state = writer.state;
    let garbage = |key: &[u8]| key.first_chunk().is_some_and(|prefix| writer.garbage.contains(&u32::from_be_bytes(*prefix)));
    let reading = from.begin().map_err(failed)?;
    debug_assert_eq!(number(&*reading), state.txn, "the caller keeps writers out");
    let pairs = from.trees.tables.into_iter().zip(trees.tables).enumerate();
    for (tree, (source, target)) in pairs.chain([(usize::MAX, (from.trees.info, trees.info))]) {
        let mut cursor = reading.open_ro_cursor(source).map_err(failed)?;
        let mut entries = cursor.iter().peekable();
        while entries.peek().is_some() {
            let mut txn = to.begin_rw_txn().map_err(failed)?;
            for entry in entries.by_ref().take(COPIED) {
                let (key, sealed) = entry.map_err(failed)?;
                let info = tree == usize::MAX;
                let old =
                    if info { key == State::KEY || key[0] == kind::GARBAGE } else { tree == usize::from(SHARED) && garbage(key) };
                // Nothing damaged goes on.
                unseal(key, sealed)
                    .ok_or_else(|| StoreError::corrupt(path, 0, "a value has another checksum than it was written with"))?;
                if !old {
                    txn.put(target, &key, &sealed, WriteFlags::APPEND).map_err(failed)?;
                }
            }
            txn.commit().map_err(failed)?;
        }
    }
    let mut txn = to.begin_rw_txn().map_err(failed)?;
    let state = State { txn: number(&txn), ..state };
    let mut sealed = Vec::new();
    txn.put(trees.info, &State::KEY, &seal(State::KEY, &state.write(), &mut sealed), WriteFlags::empty()).map_err(failed)?;
    txn.commit().map_err(failed)
}
