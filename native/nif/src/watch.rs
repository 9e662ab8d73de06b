//! Transactions and tables that somebody is to be told of, and guests in a transaction.

use crate::access::decode_key;
use crate::border::{name, with_scratch, Fail, DB};
use crate::session::{join, with_txn};
use crate::{atoms, nif};
use remnesia_engine::txn::{journal, Stop};

/// Changed keys that are listed on a normal scheduler.
const FEW: usize = 256;

nif!(
    /// Changes of this table, or for `transactions` all that commit, are to be told, or not any more.
    watch,
    |call, [table, on]| {
        let on = *on == atoms::true_();
        if *table == atoms::transactions() {
            DB.set_watched(on);
            return Ok(atoms::ok());
        }
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        if DB.watch(&name, on) { Ok(atoms::ok()) } else { Err(Fail::Stop(Stop::NoTable)) }
    }
);

nif!(
    /// Applies a commit that `txn_commit` prepared; its locks stay. Was there anything? Work: as a commit.
    txn_publish,
    |call, [handle]| with_txn(call, *handle, |txn| {
        call.heavy(txn.weight() > FEW)?;
        let changes = txn.has_changes();
        journal::forget_position();
        let published = txn.publish(&DB);
        txn.position = journal::position();
        published?;
        Ok(if changes { atoms::true_() } else { atoms::false_() })
    })
);

nif!(txn_join, |call, [handle]| Ok(if join(call, *handle)? { atoms::true_() } else { atoms::false_() }));

nif!(
    /// Has the transaction changed nothing in this table?
    txn_untouched,
    |call, [handle, table]| with_scratch(|scratch| {
        with_txn(call, *handle, |txn| {
            let table = scratch.table_in(call, txn, *table)?;
            Ok(if txn.untouched(table) { atoms::true_() } else { atoms::false_() })
        })
    })
);

nif!(
    /// The keys of a table that the transaction wrote and that are there, in key order for an ordered_set.
    txn_written_keys,
    |call, [handle, table]| with_scratch(|scratch| {
        with_txn(call, *handle, |txn| {
            call.heavy(txn.weight() > FEW)?;
            let table = scratch.table_in(call, txn, *table)?;
            let keys: Vec<_> = txn.changed_keys(table).iter().filter_map(|key| txn.visible(table, key).first().cloned()).collect();
            Ok(call.list(&keys.iter().map(|record| decode_key(call, record)).collect::<Vec<_>>()))
        })
    })
);
