//! A database that was written under other rules of the VM (see `disc_key`) gets its keys written again, once, before it is used.

use super::base::{Base, Batch, Op};
use super::config::Config;
use super::disc::Atoms;
use super::disc_atoms::Dictionary;
use super::disc_key::{base_key, rules};
use super::disc_read::rows_from_disc;
use super::flush::meta;
use super::{Recovered, StoreError};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Were the keys of the base store written under other rules? A new database has none.
pub(super) fn wanted(base: &dyn Base) -> Result<bool, StoreError> {
    Ok(base.meta(meta::RULES)?.is_some_and(|then| then != [rules()]))
}

/// Remembers the rules under which keys are written from now on.
pub(super) fn done(base: &dyn Base) -> Result<(), StoreError> {
    if base.meta(meta::RULES)?.as_deref() == Some(&[rules()]) {
        return Ok(());
    }
    base.apply(&Batch { meta: &[(meta::RULES, Some(&[rules()]))], ..Batch::default() })
}

/// Writes the keys of all tables again. The log must not hold any: it was flushed.
pub(super) fn rekey(base: &dyn Base, recovered: &Recovered, dictionary: &Dictionary, config: &Config) -> Result<(), StoreError> {
    for (&table, definition) in &recovered.tables {
        table_again(base, table, definition.ordered, dictionary, config)?;
    }
    Ok(())
}

/// Writes those keys of a table again that are others now.
fn table_again(base: &dyn Base, table: u32, ordered: bool, dictionary: &Dictionary, config: &Config) -> Result<(), StoreError> {
    let mut from: Option<Vec<u8>> = None;
    loop {
        let mut changed: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let (mut result, mut looked, mut last) = (Ok(()), 0, None);
        let bound = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        base.scan(table, bound, &mut |key, value| {
            let mut first = None;
            result = rows_from_disc(value, dictionary, &mut |row| {
                first.get_or_insert(row);
            });
            let mut new = Vec::new();
            if let (Ok(()), Some(row)) = (&result, &first) {
                result = base_key(ordered, row, dictionary, &mut Atoms::default(), &mut new);
            }
            if result.is_ok() && new != key {
                changed.entry(key.to_vec()).or_insert(None);
                changed.insert(new, Some(value.to_vec()));
            }
            looked += 1;
            last = Some(key.to_vec());
            result.is_ok() && looked < 100_000 && changed.len() < config.flush_keys
        })?;
        result?;
        let ops: Vec<Op> = changed.iter().map(|(key, value)| Op { table, key, value: value.as_deref() }).collect();
        if !ops.is_empty() {
            base.apply(&Batch { ops: &ops, ..Batch::default() })?;
        }
        match last {
            Some(last) => from = Some(last),
            None => return Ok(()),
        }
    }
}
