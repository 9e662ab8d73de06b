//! Tables as they were at one moment, by the number of a snapshot. It keeps what is changed since until it is ended, or the database stops;
//! whoever begins one sees to its end.

use crate::access::key;
use crate::arguments::{list, number};
use crate::border::{name, record_name, with_scratch, Answer, Call, Fail, BUDGET, DB};
use crate::term::{binary, decode_record, RawTerm};
use crate::{atoms, nif};
use parking_lot::Mutex;
use remnesia_engine::reaper;
use remnesia_engine::table::Cursor;
use remnesia_engine::term::Record;
use remnesia_engine::txn::{Snapshot, Stop};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

type Snapshots = HashMap<u64, Arc<Snapshot>>;

static SNAPSHOTS: Mutex<Option<Snapshots>> = Mutex::new(None);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Records of one answer.
const MANY: usize = 1_000;

/// Ends all of them.
pub fn stop() {
    reaper::drop_later(SNAPSHOTS.lock().take());
}

fn snapshot(call: &Call, id: RawTerm) -> Result<Arc<Snapshot>, Fail> {
    let id = number(call, id)?;
    let found = SNAPSHOTS.lock().as_ref().and_then(|all| all.get(&id).cloned());
    found.ok_or_else(|| Fail::Reason(call.atom("no_snapshot")))
}

nif!(
    /// `{:ok, number, nanoseconds}`: how long writers had to wait at most. `:"$more"`: a large commit is being applied, try again. Work: the
    /// latches of all these tables, on a dirty scheduler.
    snapshot_begin,
    |call, [names]| {
        call.heavy(true)?;
        let mut tables = Vec::new();
        for table in list(call, *names) {
            let name = with_scratch(|scratch| name(call, scratch, table))?;
            let gone = || Fail::Reason(call.tuple(&[atoms::no_exists(), table]));
            tables.push(DB.open(&name).ok_or_else(gone)?);
        }
        if tables.iter().any(|open| open.table.is_damaged()) {
            return Err(Fail::Stop(Stop::Damaged));
        }
        let Some(snapshot) = Snapshot::begin(tables) else { return Ok(atoms::more()) };
        let pause = snapshot.pause.as_nanos() as i64;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        SNAPSHOTS.lock().get_or_insert_with(HashMap::new).insert(id, Arc::new(snapshot));
        Ok(call.tuple(&[atoms::ok(), call.int(id as i64), call.int(pause)]))
    }
);

nif!(snapshot_end, |call, [id]| {
    let id = number(call, *id)?;
    let ended = SNAPSHOTS.lock().as_mut().and_then(|all| all.remove(&id));
    reaper::drop_later(ended);
    Ok(atoms::ok())
});

nif!(
    /// Keys that were changed since.
    snapshot_kept,
    |call, [id]| Ok(call.int(snapshot(call, *id)?.kept() as i64))
);

/// The place of a scan as a term: `nil` at the start, `{part, place}`, the bytes of a key, `:done`.
pub fn cursor_term(call: &Call, cursor: &Cursor) -> RawTerm {
    match cursor {
        Cursor::Start => atoms::nil(),
        Cursor::Place(part, place) => call.tuple(&[call.int(i64::from(*part)), call.int(i64::from(*place))]),
        Cursor::After(bytes) => call.binary(bytes),
        Cursor::End => atoms::done(),
    }
}

pub fn cursor(call: &Call, term: RawTerm) -> Result<Cursor, Fail> {
    if term == atoms::nil() {
        return Ok(Cursor::Start);
    }
    if term == atoms::done() {
        return Ok(Cursor::End);
    }
    if let Some(bytes) = binary(call.env, term) {
        return Ok(Cursor::After(bytes.into()));
    }
    let small = |term| number(call, term).and_then(|n| u32::try_from(n).map_err(|_| Fail::BadArg));
    match crate::arguments::elements(call, term)? {
        [part, place] => Ok(Cursor::Place(small(*part)?, small(*place)?)),
        _ => Err(Fail::BadArg),
    }
}

fn records(call: &Call, records: &[Record], record_name: RawTerm) -> RawTerm {
    with_scratch(|scratch| {
        let terms: Vec<_> = records.iter().map(|r| decode_record(call.env, r, record_name, &mut scratch.terms)).collect();
        call.list(&terms)
    })
}

nif!(
    /// `{records, place}`: about a thousand records, and where to go on; `:done` as the place at the end. On a dirty scheduler.
    snapshot_scan,
    |call, [id, table, place]| {
        call.heavy(true)?;
        let (snapshot, mut cursor) = (snapshot(call, *id)?, cursor(call, *place)?);
        let name = with_scratch(|scratch| name(call, scratch, *table))?;
        let open = snapshot.table(&name).ok_or_else(|| no_table(call, *table))?;
        let (mut rows, mut bytes): (Vec<Record>, usize) = (Vec::new(), 0);
        while rows.len() < MANY && bytes < 16 * BUDGET && cursor != Cursor::End {
            snapshot.scan(&name, &mut cursor, |found| {
                bytes += found.iter().map(|record| record.bytes().len()).sum::<usize>();
                rows.extend_from_slice(found);
            });
        }
        let answer = call.tuple(&[records(call, &rows, record_name(open)), cursor_term(call, &cursor)]);
        Ok(answer)
    }
);

fn no_table(call: &Call, table: RawTerm) -> Fail {
    Fail::Reason(call.tuple(&[atoms::no_exists(), table]))
}

nif!(
    /// The records of a key.
    snapshot_read,
    |call, [id, table, key_term]| read(call, *id, *table, *key_term)
);

fn read(call: &Call, id: RawTerm, table: RawTerm, key_term: RawTerm) -> Answer {
    let snapshot = snapshot(call, id)?;
    let name = with_scratch(|scratch| name(call, scratch, table))?;
    let open = snapshot.table(&name).ok_or_else(|| no_table(call, table))?;
    let key = with_scratch(|scratch| key(call, &mut scratch.encoder, key_term, &open.table))?;
    let rows = snapshot.read(&name, &key).unwrap_or_default();
    call.heavy(rows.iter().map(|row| row.bytes().len()).sum::<usize>() > BUDGET)?;
    Ok(records(call, &rows, record_name(open)))
}
