//! Tables on their way to another node, in parcels that no Erlang term is made of.

use crate::arguments::{bytes, size};
use crate::border::{record_name, with_scratch, Fail, BUDGET, DB};
use crate::session::{get_rows, new_rows};
use crate::snapshot::{cursor, cursor_term};
use crate::term::decode_record;
use crate::{atoms, nif};
use remnesia_engine::store::parcel::{Packing, Parcel};
use remnesia_engine::store::StoreError;
use remnesia_engine::table::Cursor;
use remnesia_engine::term::Record;
use remnesia_engine::txn::journal::refuse;
use remnesia_engine::txn::Stop;

/// Bytes of a parcel.
const PARCEL: usize = 8 * BUDGET;
/// Keys visited under one latch.
const STEP: usize = 128;
/// Records of one commit, and their bytes.
const MANY: usize = 256;
const LARGE: usize = 4 * BUDGET;
/// A sender that says it has more has to be believed when they are there.
const MOST_EXPECTED: usize = 1 << 26;

fn refused(error: StoreError) -> Fail {
    Fail::Stop(refuse(error))
}

nif!(
    /// `{parcel, records, place}`: some rows of a table from a place on (`nil` at the start), and where to go on; `:done` at the end. `records` are
    /// those that have to go as terms. On a dirty scheduler.
    transfer_take,
    |call, [table, place]| {
        call.heavy(true)?;
        let mut cursor = cursor(call, *place)?;
        with_scratch(|scratch| {
            let open = scratch.open(call, *table)?;
            let (mut packing, mut others, mut beside) = (Packing::new(PARCEL), Vec::<Record>::new(), 0);
            while packing.size() + beside < PARCEL && cursor != Cursor::End {
                open.table.scan(&mut cursor, STEP, |rows| {
                    if !packing.add(rows) {
                        beside += rows.iter().map(|row| row.bytes().len()).sum::<usize>();
                        others.extend_from_slice(rows);
                    }
                });
            }
            let name = record_name(&open);
            let others: Vec<_> = others.iter().map(|row| decode_record(call.env, row, name, &mut scratch.terms)).collect();
            Ok(call.tuple(&[call.binary(&packing.finish()), call.list(&others), cursor_term(call, &cursor)]))
        })
    }
);

nif!(
    /// The rows of a parcel, made by one process while another one writes those of the parcel before. On a dirty scheduler.
    transfer_open,
    |call, [parcel]| {
        call.heavy(true)?;
        let bytes = bytes(call, *parcel)?;
        let parcel = Parcel::open(bytes).map_err(refused)?;
        let (mut rows, mut at) = (Vec::new(), parcel.first());
        while let Some(next) = parcel.rows(at, &mut |row| rows.push(row)).map_err(refused)? {
            at = next;
        }
        let count = call.int(rows.len() as i64);
        Ok(call.tuple(&[new_rows(call, rows), count]))
    }
);

nif!(
    /// Writes opened rows from a place on (0 at the start); answers the place that it has come to, their number at the end.
    /// `expected`: so many keys the table will have. On a dirty scheduler.
    transfer_put,
    |call, [table, opened, place, expected]| {
        call.heavy(true)?;
        let rows = get_rows(call, *opened)?;
        let (begun, expected) = (size(call, *place)?, size(call, *expected)?);
        let open = with_scratch(|scratch| scratch.open(call, *table))?;
        // On a machine with few processors it takes more of them than the rows do.
        DB.store().into_iter().for_each(|store| store.put_off_flush());
        if open.table.size() == 0 {
            open.table.make_room(expected.min(MOST_EXPECTED));
        }
        let mut at = begun;
        while at < rows.len() {
            let mut weight = 0;
            let few = rows[at..].iter().take(MANY).take_while(|row| {
                let fits = weight < LARGE;
                weight += row.bytes().len();
                fits
            });
            let records: Vec<Record> = few.cloned().collect();
            if records.iter().any(|row| row.fields() + 1 != open.table.definition.arity) {
                return Err(Fail::Reason(call.tuple(&[atoms::bad_type(), *table])));
            }
            let next = at + records.len();
            match DB.write_many(&open, records) {
                Ok(()) => at = next,
                // It goes on from here when there is room.
                Err(Stop::Room(_)) if at > begun => break,
                Err(stop) => return Err(stop.into()),
            }
        }
        Ok(call.int(at as i64))
    }
);
