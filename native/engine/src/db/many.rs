//! Writing many records at once, outside transactions.

use super::Db;
use crate::table::below;
use crate::table::{apply, Change, Key, Nowhere, Step};
use crate::term::Record;
use crate::txn::journal::Journal;
use crate::txn::{OpenTable, Stop};

impl Db {
    /// Writes records into a table that only one has to do with who knows of no transactions, such as a copy that comes in: nobody is
    /// told, and no unique index is asked. It is one commit, of a few hundred records at most, as the latches are held for its time.
    pub fn write_many(&self, open: &OpenTable, records: Vec<Record>) -> Result<(), Stop> {
        let table = &open.table;
        let keys: Vec<Key> = records.iter().map(|record| table.key_of(record)).collect();
        let mut changes: Vec<Change> = records.into_iter().map(|record| Change::write(open.kind(), record)).collect();
        let mut steps: Vec<Step> = keys.iter().zip(&mut changes).map(|(key, change)| Step { table, key, change }).collect();
        if table.logged().is_none() {
            apply(&mut steps, &mut Nowhere);
            return Ok(());
        }
        if let Some(disc) = table.disc() {
            // What cannot be read is found out before anything is changed; the host asks for the reason.
            for key in &keys {
                disc.rows(&key.bytes).map_or_else(below::fail, drop);
                if below::failed() {
                    return Err(Stop::Refused);
                }
            }
        }
        let store = self.durable()?;
        let mut journal = Journal::of(&store, &steps)?;
        apply(&mut steps, &mut journal);
        journal.finish()
    }
}
