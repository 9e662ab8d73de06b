mod ets;
mod text;

use super::{BadSpec, Env, Outcome, Program, Scratch};
use crate::term::atom::plain::intern;
use crate::term::{read, Record, Term, Writer};
use text::{flat, parse};

/// Compiles a spec for records named `r` with `arity` elements.
fn program(spec: &str, arity: usize) -> Result<Program, BadSpec> {
    Program::parse(&flat(spec), arity, intern("r"), None)
}

/// Flat bytes of what a spec answers for a record.
fn answer(program: &Program, tuple: &text::Value) -> Option<Vec<u8>> {
    let mut pid = Writer::new();
    pid.local_pid(7);
    let node = flat("nonode@nohost");
    let env = Env { self_pid: &pid.buf, node: &node };
    let mut scratch = Scratch::default();
    match program.run(&tuple.record(), &env, &mut scratch) {
        Outcome::NoMatch => None,
        Outcome::Whole => Some(tuple.flat()),
        Outcome::Built { attached } => {
            assert!(!attached);
            Some(scratch.value().to_vec())
        }
    }
}

fn run(spec: &str, tuple: &str) -> Option<Vec<u8>> {
    let tuple = parse(tuple);
    let text::Value::Tuple(parts) = &tuple else { panic!("a record is a tuple") };
    answer(&program(spec, parts.len()).expect("a good spec"), &tuple)
}
