//! What the targets do with the bytes they get: `cargo fuzz` looks for bytes that break them, and `native/engine/tests/fuzz_corpus.rs`
//! repeats what was found before with every `cargo test`.
//!
//! The engine reads terms that it wrote itself, so bytes are choices of a term, not the term; what it reads from disc is in `readers.rs`.

#[path = "choose.rs"]
mod choose;
#[path = "disc.rs"]
mod disc;
#[path = "program.rs"]
mod program;

pub use disc::{log, pages, value};
pub use program::program;

use choose::Choices;
use remnesia_engine::matchspec::{Env, Outcome, Program, Scratch};
use remnesia_engine::term::atom::plain::intern;
use remnesia_engine::term::{form_len, key, order, read, same, skip, Record, Term, Writer};
use std::cmp::Ordering;

/// A term is as long as it says, and so is each of its parts.
pub fn term(data: &[u8]) {
    let flat = Choices::new(data).term();
    assert!(skip(&flat).is_empty(), "a term and its end");
    let mut work = vec![&flat[..]];
    let mut parts = 0;
    while let Some(one) = work.pop() {
        parts += 1;
        let (term, rest) = read(one);
        assert!(rest.is_empty() && skip(one).is_empty());
        assert!(same(one, one, true));
        if let Term::Tuple(e) | Term::List(e) | Term::Improper(e) | Term::Map(e) = term {
            let elements: Vec<_> = e.iter().collect();
            assert_eq!(elements.iter().map(|e| e.len()).sum::<usize>(), e.body.len(), "the parts are the body");
            work.extend(elements);
        }
    }
    assert!(parts <= flat.len());
    let record = Record::build(&[0], &flat, false, None);
    assert_eq!((record.key(), record.fields()), (&flat[..], 1));
}

/// The order of ordered forms is the order of terms, no form begins another, and a form says where it ends.
pub fn order(data: &[u8]) {
    let mut choices = Choices::new(data);
    let terms = [choices.term(), choices.term(), choices.term()];
    let forms = terms.each_ref().map(|term| {
        let mut form = Vec::new();
        key::write(term, None, &mut form);
        assert_eq!(form_len(&[&form[..], &[0xff, 0]].concat()), form.len());
        form
    });
    for (a, form_a) in terms.iter().zip(&forms) {
        for (b, form_b) in terms.iter().zip(&forms) {
            let by_value = order::compare(a, b, None, None);
            assert_eq!(by_value, order::compare(b, a, None, None).reverse());
            assert_eq!(by_value, form_a.cmp(form_b), "{:?} {:?}", read(a).0, read(b).0);
            assert!(by_value == Ordering::Equal || !form_b.starts_with(form_a));
            assert!(a != b || by_value == Ordering::Equal);
        }
    }
}

/// A spec is refused or runs; what it matches is within its bounds; and it answers the same again.
pub fn spec(data: &[u8]) {
    let mut choices = Choices::new(data);
    let fields = 3;
    let spec = choices.spec(fields);
    let name = intern("r");
    let Ok(program) = Program::parse(&spec, fields + 1, name, None) else { return };
    let alternatives = program.alternatives();
    let bounds: Vec<_> = (0..fields).map(|field| program.ranges(&alternatives, field)).collect();
    for (field, ranges) in bounds.iter().enumerate() {
        let rising = ranges.as_ref().is_none_or(|all| all.is_sorted_by(|a, b| !a.range.below_end(&b.range.low)));
        assert!(rising, "bounds of field {field} are rising and disjoint");
    }
    let mut nil = Writer::new();
    nil.nil();
    let env = Env { self_pid: &nil.buf, node: &nil.buf };
    for _ in 0..4 {
        let (mut starts, mut body, mut zero) = (Vec::new(), Vec::new(), false);
        for _ in 0..fields {
            starts.push(body.len() as u32);
            let mut writer = Writer::new();
            choices.write_term(&mut writer, 3);
            zero |= writer.negative_zero;
            body.extend_from_slice(&writer.buf);
        }
        let record = Record::build(&starts, &body, zero, None);
        let (mut scratch, mut again) = (Scratch::default(), Scratch::default());
        let outcome = program.run(&record, &env, &mut scratch);
        assert_eq!(outcome, program.run(&record, &env, &mut again));
        if let Outcome::Built { .. } = outcome {
            assert_eq!(scratch.value(), again.value());
            assert!(skip(scratch.value()).is_empty(), "a whole term");
        }
        if outcome != Outcome::NoMatch {
            assert!(!alternatives.is_empty(), "what matches was possible");
            for (field, ranges) in bounds.iter().enumerate() {
                let mut form = Vec::new();
                key::write(record.field(field), None, &mut form);
                let within = ranges.as_ref().is_none_or(|all| all.iter().any(|one| one.range.contains(&form)));
                assert!(within, "field {field} is {:?}, bounds {ranges:?}, {program:?}", read(record.field(field)).0);
            }
        }
        if program.always() {
            assert_ne!(outcome, Outcome::NoMatch);
        }
    }
}
