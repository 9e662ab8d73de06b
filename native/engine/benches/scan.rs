//! The scan of a table by a guard against the loop one would write by hand for the same comparison over the same table, per row. Rows have five
//! fields and lie all over the memory, in the order of their hash.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use remnesia_engine::matchspec::{Env, Outcome, Program, Scratch};
use remnesia_engine::table::{Change, Cursor, Definition, Kind, Nowhere, Table};
use remnesia_engine::term::atom::plain::intern;
use remnesia_engine::term::{read, Record, Term, Writer};
use remnesia_engine::txn::{OpenTable, Plan, Scan};
use std::hint::black_box;
use std::sync::Arc;

fn row(i: i64) -> Record {
    let (mut starts, mut w) = (Vec::new(), Writer::new());
    let mut field = |w: &mut Writer| starts.push(w.len() as u32);
    field(&mut w);
    w.int(i);
    field(&mut w);
    w.int(i / 10);
    field(&mut w);
    w.binary(format!("name {i}").as_bytes());
    field(&mut w);
    w.atom(intern("plain"));
    field(&mut w);
    w.float(i as f64 * 0.5);
    Record::build(&starts, &w.buf, false, None)
}

fn spec(limit: i64) -> Vec<u8> {
    let mut w = Writer::new();
    let (list, clause, head) = (w.open(), w.open(), w.open());
    w.atom(intern("row"));
    (1..=5).for_each(|i| w.atom(intern(&format!("${i}"))));
    w.close_tuple(head, 6);
    let (guards, guard) = (w.open(), w.open());
    w.atom(intern("<"));
    w.atom(intern("$2"));
    w.int(limit);
    w.close_tuple(guard, 3);
    w.close_list(guards, 1);
    let body = w.open();
    w.atom(intern("$_"));
    w.close_list(body, 1);
    w.close_tuple(clause, 3);
    w.close_list(list, 1);
    w.buf
}

fn benches(c: &mut Criterion) {
    let mut nil = Writer::new();
    nil.nil();
    let env = Env { self_pid: &nil.buf, node: &nil.buf };
    for kind in [Kind::Set, Kind::OrderedSet] {
        let mut group = c.benchmark_group(format!("guard scan, 10% of a {kind:?}"));
        for rows in [100_000, 1_000_000] {
            let open = open(kind, rows);
            let limit = rows / 100;
            group.throughput(Throughput::Elements(rows as u64));
            group.bench_function(BenchmarkId::new("by hand", rows), |b| {
                b.iter(|| {
                    let (mut cursor, mut found) = (Cursor::Start, 0);
                    while cursor != Cursor::End {
                        open.table.scan(&mut cursor, 1024, |rows| {
                            found += rows.iter().filter(|r| matches!(read(r.field(1)).0, Term::Int(i) if i < limit)).count();
                        });
                    }
                    assert_eq!(found, black_box(limit as usize) * 10 - 1);
                })
            });
            let program = Program::parse(&spec(limit), 6, intern("row"), None).expect("a good spec");
            let mut scratch = Scratch::default();
            group.bench_function(BenchmarkId::new("by spec", rows), |b| {
                b.iter(|| {
                    let (mut scan, mut found) = (Scan::new(open.clone(), Plan::All).expect("a scan of everything"), 0);
                    while !scan.is_done() {
                        scan.step(None, 1024, &mut |rows| {
                            found += rows.iter().filter(|r| program.run(r, &env, &mut scratch) != Outcome::NoMatch).count();
                        });
                    }
                    assert_eq!(found, black_box(limit as usize) * 10 - 1);
                })
            });
        }
        group.finish();
    }
}

fn open(kind: Kind, rows: i64) -> Arc<OpenTable> {
    let definition = Definition { kind, arity: 6, record_name: intern("row"), indexes: Vec::new() };
    let table = Table::new(1, definition);
    for i in 1..=rows {
        let row = row(i);
        table.update(&table.key_of(&row), &mut Nowhere, |_| Some(Change::Put(row)));
    }
    let mut name = Writer::new();
    name.atom(intern("row"));
    Arc::new(OpenTable::new(name.buf.into(), None, table))
}

criterion_group!(all, benches);
criterion_main!(all);
