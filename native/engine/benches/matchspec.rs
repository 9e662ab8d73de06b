//! Match specs over 100,000 rows of five fields, per row; `by hand` is the loop one would write for the same guard.

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use remnesia_engine::matchspec::{Env, Outcome, Program, Scratch};
use remnesia_engine::table::{Change, Definition, Kind, Table};
use remnesia_engine::term::atom::plain::intern;
use remnesia_engine::term::{read, Record, Term, Writer};
use remnesia_engine::txn::plan::{cheapest, paths};
use std::hint::black_box;

const ROWS: i64 = 100_000;

fn rows() -> Vec<Record> {
    let row = |i: i64| {
        let (mut starts, mut w) = (Vec::new(), Writer::new());
        let mut field = |w: &mut Writer| starts.push(w.len() as u32);
        field(&mut w);
        w.int(i);
        field(&mut w);
        w.binary(format!("title number {i}").as_bytes());
        field(&mut w);
        w.int(1900 + i % 120);
        field(&mut w);
        // One row in a hundred is below 10.
        w.int(i * 7919 % 1000);
        field(&mut w);
        w.atom(intern(["drama", "comedy", "noir"][(i % 3) as usize]));
        Record::build(&starts, &w.buf, false, None)
    };
    (0..ROWS).map(row).collect()
}

/// `{movie, '$1', .., '$5'}` with one guard and one body expression, which are written by these functions.
fn spec(guard: impl Fn(&mut Writer), body: impl Fn(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    let list = w.open();
    let clause = w.open();
    let head = w.open();
    w.atom(intern("movie"));
    for i in 1..=5 {
        w.atom(intern(&format!("${i}")));
    }
    w.close_tuple(head, 6);
    let guards = w.open();
    guard(&mut w);
    w.close_list(guards, 1);
    let bodies = w.open();
    body(&mut w);
    w.close_list(bodies, 1);
    w.close_tuple(clause, 3);
    w.close_list(list, 1);
    w.buf
}

fn call(w: &mut Writer, name: &str, arguments: &[&dyn Fn(&mut Writer)]) {
    let open = w.open();
    w.atom(intern(name));
    arguments.iter().for_each(|argument| argument(w));
    w.close_tuple(open, arguments.len() + 1);
}

fn atom(text: &'static str) -> impl Fn(&mut Writer) {
    let word = intern(text);
    move |w| w.atom(word)
}

fn int(i: i64) -> impl Fn(&mut Writer) {
    move |w| w.int(i)
}

fn benches(c: &mut Criterion) {
    let rows = rows();
    let mut pid = Writer::new();
    pid.local_pid(1);
    let mut node = Writer::new();
    node.atom(intern("nonode@nohost"));
    let env = Env { self_pid: &pid.buf, node: &node.buf };
    let below = |w: &mut Writer| call(w, "<", &[&atom("$4"), &int(10)]);
    let whole = atom("$_");
    let range = |w: &mut Writer| {
        call(w, "andalso", &[&|w| call(w, ">", &[&atom("$3"), &int(2000)]), &below]);
    };
    let either = |w: &mut Writer| {
        call(w, "orelse", &[&below, &|w| call(w, ">", &[&atom("$4"), &int(995)])]);
    };
    let sum = |w: &mut Writer| {
        call(w, "<", &[&|w| call(w, "+", &[&atom("$4"), &atom("$3")]), &int(1910)]);
    };
    let kind = |w: &mut Writer| call(w, "==", &[&atom("$5"), &atom("western")]);
    let title = |w: &mut Writer| call(w, "==", &[&atom("$2"), &|w| w.binary(b"title number 77")]);
    let element = |w: &mut Writer| call(w, "<", &[&|w| call(w, "element", &[&int(5), &atom("$_")]), &int(10)]);
    let all = |w: &mut Writer| call(w, "<", &[&atom("$4"), &int(1000)]);
    let pair = |w: &mut Writer| {
        let outer = w.open();
        let open = w.open();
        w.atom(intern("$1"));
        w.atom(intern("$5"));
        w.close_tuple(open, 2);
        w.close_tuple(outer, 1);
    };
    let specs = [
        ("{'<','$4',10}", spec(below, &whole)),
        ("{'==','$5',western}", spec(kind, &whole)),
        ("{'==','$2',<<..>>}", spec(title, &whole)),
        ("two conjuncts", spec(range, &whole)),
        ("orelse", spec(either, &whole)),
        ("{'<',{'+','$4','$3'},1910}", spec(sum, &whole)),
        ("{'<',{element,5,'$_'},10}", spec(element, &whole)),
        ("all match, {{'$1','$5'}}", spec(all, pair)),
    ];
    let mut group = c.benchmark_group("run");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("by hand {'<','$4',10}", |b| {
        b.iter(|| rows.iter().filter(|r| matches!(read(r.field(3)).0, Term::Int(i) if i < 10)).count())
    });
    for (name, spec) in &specs {
        let program = Program::parse(spec, 6, intern("movie"), None).expect("a good spec");
        let mut scratch = Scratch::default();
        group.bench_function(*name, |b| {
            b.iter(|| rows.iter().filter(|r| program.run(black_box(r), &env, &mut scratch) != Outcome::NoMatch).count())
        });
    }
    group.finish();
    planning(c, &rows, &specs[3].1);
}

/// From the bytes of a spec to a plan, and to a plan alone when the spec was compiled before.
fn planning(c: &mut Criterion, rows: &[Record], spec: &[u8]) {
    let name = intern("movie");
    let definition = Definition { kind: Kind::Set, arity: 6, record_name: name, indexes: vec![2.into(), 3.into()] };
    let table = Table::new(1, definition);
    rows.iter().for_each(|row| {
        table.update(&table.key_of(row), &mut remnesia_engine::table::Nowhere, |_| Some(Change::Put(row.clone())))
    });
    let mut group = c.benchmark_group("spec of two conjuncts");
    group.bench_function("compiled", |b| b.iter(|| Program::parse(black_box(spec), 6, name, None)));
    group.bench_function("compiled and planned", |b| {
        b.iter(|| Program::parse(black_box(spec), 6, name, None).map(|program| cheapest(&paths(&program, &table), &table)))
    });
    let key = self::spec(|w| call(w, "==", &[&atom("$1"), &int(77)]), atom("$_"));
    group.bench_function("key: compiled and planned", |b| {
        b.iter(|| Program::parse(black_box(&key), 6, name, None).map(|program| cheapest(&paths(&program, &table), &table)))
    });
    for (text, spec) in [("key: planned again", &key[..]), ("planned again, 1,000 rows counted", spec)] {
        let known = paths(&Program::parse(spec, 6, name, None).expect("a good spec"), &table);
        group.bench_function(text, |b| b.iter(|| cheapest(black_box(&known), &table)));
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
