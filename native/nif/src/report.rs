//! What transactions hold, wait for and have done, in terms that Elixir puts into Mnesia's shapes.

use crate::access::decode_key;
use crate::border::table_name;
use crate::border::Call;
use crate::session::{counts_of_the_gone, each_session};
use crate::term::{decode, Encoder, RawTerm};
use crate::{atoms, nif};
use parking_lot::Mutex;
use remnesia_engine::table::key::hash;
use remnesia_engine::term::Record;
use remnesia_engine::txn::report::{records_of, Item};
use remnesia_engine::txn::OpenTable;
use std::collections::HashMap;
use std::sync::Arc;

/// Names that were locked, by their hash: a lock keeps no more of them. And keys, of records that may not be there, with the table's
/// number: those that were locked as such, or waited for.
type Names = HashMap<(u64, u64), Box<[u8]>>;
static NAMES: Mutex<Option<Names>> = Mutex::new(None);
const REMEMBERED: usize = 4096;

fn keep(id: (u64, u64), name: &[u8]) {
    let mut names = NAMES.lock();
    let names = names.get_or_insert_with(HashMap::new);
    if names.len() >= REMEMBERED {
        names.clear();
    }
    names.insert(id, name.into());
}

fn kept(call: &Call, id: (u64, u64)) -> Option<RawTerm> {
    NAMES.lock().as_ref()?.get(&id).map(|name| decode(call.env, name, &[]))
}

pub fn remember(name: &[u8]) {
    keep((0, hash(name)), name);
}

/// Remembers a key of a table, unless it is a living term.
#[cold]
pub fn remember_key(call: &Call, open: &OpenTable, encoder: &mut Encoder, key: RawTerm) {
    encoder.begin(call.limit());
    if encoder.term(call.env, key).is_ok() && encoder.attached().is_none() {
        let hash = open.table.key(encoder.bytes(), encoder.writer.negative_zero, None).hash;
        keep((open.id(), hash), encoder.bytes());
    }
}

/// One lock of one transaction.
struct Line {
    pid: RawTerm,
    serial: u64,
    waits: bool,
    item: Item,
    exclusive: bool,
    written: Option<Record>,
}

/// Records whose keys are told, by the table's number and the hash.
type Known = HashMap<(u64, u64), Record>;

fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    each_session(|pid, txn| {
        if txn.depth() == 0 {
            return;
        }
        let held = txn.locks().into_iter().map(|lock| (lock, false));
        for ((item, exclusive), waits) in held.chain(txn.queued().map(|lock| (lock, true))) {
            let written = match &item {
                Item::Record(open, hash) => txn.written(open, *hash),
                _ => None,
            };
            lines.push(Line { pid, serial: txn.serial(), waits, item, exclusive, written });
        }
    });
    lines
}

/// The records behind the hashes, with one walk through each table.
fn known(lines: &[Line]) -> Known {
    let mut wanted: HashMap<u64, (&Arc<OpenTable>, Vec<u64>)> = HashMap::new();
    let mut known = Known::new();
    for line in lines {
        if let Item::Record(open, hash) = &line.item {
            match &line.written {
                Some(record) => {
                    known.insert((open.id(), *hash), record.clone());
                }
                None => wanted.entry(open.id()).or_insert_with(|| (open, Vec::new())).1.push(*hash),
            }
        }
    }
    for (id, (open, hashes)) in wanted {
        known.extend(records_of(open, &hashes).into_iter().map(|(hash, record)| ((id, hash), record)));
    }
    known
}

/// `{:table, name}`, `{:record, name, {:ok, key} | hash}`, `{:global, {:ok, name} | hash}`; without a key where there is no record.
fn item(call: &Call, item: &Item, known: &Known) -> RawTerm {
    let ok = |term| call.tuple(&[atoms::ok(), term]);
    match item {
        Item::Table(open) => call.tuple(&[atoms::table(), table_name(call, open)]),
        Item::Record(open, hash) => {
            let id = (open.id(), *hash);
            let key = known.get(&id).map(|record| decode_key(call, record)).or_else(|| kept(call, id)).map(ok);
            call.tuple(&[atoms::record(), table_name(call, open), key.unwrap_or_else(|| call.int((*hash >> 1) as i64))])
        }
        Item::Global(hash) => {
            let name = kept(call, (0, *hash)).map(ok);
            call.tuple(&[atoms::global(), name.unwrap_or_else(|| call.int((*hash >> 1) as i64))])
        }
    }
}

nif!(
    /// All locks: `[{item, exclusive, waits, serial, pid}]`. Work: a walk through tables with locked records, on a dirty scheduler.
    locks,
    |call, []| {
        call.heavy(true)?;
        let lines = lines();
        let known = known(&lines);
        let boolean = |is| if is { atoms::true_() } else { atoms::false_() };
        let terms: Vec<_> = lines
            .iter()
            .map(|line| {
                let item = item(call, &line.item, &known);
                call.tuple(&[item, boolean(line.exclusive), boolean(line.waits), call.int(line.serial as i64), line.pid])
            })
            .collect();
        Ok(call.list(&terms))
    }
);

nif!(
    /// Open transactions, and how others ended: `{[{serial, pid}], commits, failures, restarts}`.
    transactions,
    |call, []| {
        call.heavy(true)?;
        let (mut open, mut counts) = (Vec::new(), counts_of_the_gone());
        each_session(|pid, txn| {
            counts.add(txn.counts);
            if txn.depth() > 0 {
                open.push(call.tuple(&[call.int(txn.serial() as i64), pid]));
            }
        });
        let [commits, failures, restarts] = [counts.commits, counts.failures, counts.restarts].map(|n| call.int(n as i64));
        Ok(call.tuple(&[call.list(&open), commits, failures, restarts]))
    }
);
