//! The rows of a table on disc alone, as the base store has them.

use crate::store::{Store, StoreError, Stored, Table as LogTable};
use crate::table::below::{limit, Below, Failure, TooLong};
use crate::table::{KeyBytes, Rows};
use crate::term::order::Beside;
use crate::term::Record;
use std::ops::Bound;
use std::sync::{Arc, Weak};

/// A table of the base store. Processes remember tables for long, and a store is closed when nobody has it any more: so it is not kept.
pub(super) struct Stratum {
    pub store: Weak<Store>,
    pub table: LogTable,
}

impl Stratum {
    fn store(&self) -> Result<Arc<Store>, StoreError> {
        self.store.upgrade().ok_or(StoreError::Closed)
    }
}

fn rows(stored: &Stored) -> Result<Option<Rows>, StoreError> {
    let mut first = None;
    let mut more: Vec<Record> = Vec::new();
    stored.each(&mut |record| match (&first, more.is_empty()) {
        (None, true) => first = Some(record),
        _ => {
            more.extend(first.take());
            more.push(record);
        }
    })?;
    Ok(first.map(Rows::one).or_else(|| Rows::new(more)))
}

impl Below for Stratum {
    fn key(&self, flat: &[u8], negative_zero: bool, beside: Beside) -> Result<KeyBytes, Failure> {
        let mut bytes = Vec::with_capacity(24);
        self.store()?.key_of(self.table, flat, negative_zero, beside, &mut bytes)?;
        Ok(KeyBytes::from_slice(&bytes))
    }

    fn rows(&self, key: &[u8]) -> Result<Option<Rows>, Failure> {
        let (mut found, mut long) = (None, false);
        self.store()?.stored(self.table.number, key, &mut |stored| {
            long = stored.size() > limit();
            if !long {
                found = rows(&stored)?;
            }
            Ok(())
        })?;
        if long {
            return Err(Box::new(TooLong));
        }
        Ok(found)
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        backward: bool,
        with_rows: bool,
        f: &mut dyn FnMut(&[u8], Option<Rows>) -> bool,
    ) -> Result<(), Failure> {
        let mut long = false;
        let most = limit();
        self.store()?.scan_stored(self.table.number, from, backward, &mut |key, stored| {
            if !with_rows {
                return Ok(f(key, None));
            }
            long = stored.size() > most;
            Ok(!long && f(key, rows(&stored)?))
        })?;
        if long {
            return Err(Box::new(TooLong));
        }
        Ok(())
    }

    fn count(&self, many: bool) -> Result<usize, Failure> {
        let store = self.store()?;
        if !many {
            return Ok(store.stored_keys(self.table.number) as usize);
        }
        let mut count = 0;
        store.scan_stored(self.table.number, Bound::Unbounded, false, &mut |_, stored| {
            count += stored.count();
            Ok(true)
        })?;
        Ok(count)
    }

    fn bytes(&self) -> usize {
        self.store().and_then(|store| store.stored_bytes(self.table.number)).map_or(0, |bytes| bytes as usize)
    }

    fn tail(&self) -> u64 {
        // Without a store nothing is written any more.
        self.store().map_or(0, |store| store.tail())
    }
}
