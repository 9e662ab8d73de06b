//! Match specs of the caller: encoded, compiled or found again, and run.

use crate::atoms;
use crate::border::{Call, Fail, Scratch};
use crate::compiled::{self, Asks, Compiled};
use crate::session::{caller, pid_term};
use crate::term::{host, word, EncodeError, Encoder, RawTerm};
use remnesia_engine::matchspec::{self, BadSpec, Outcome, Program};
use remnesia_engine::table::Table;
use remnesia_engine::term::{atom, tag, Record, Writer};
use smallvec::SmallVec;
use std::sync::Arc;

/// A spec and what it takes to run it.
pub struct Spec {
    pub compiled: Arc<Compiled>,
    self_pid: SmallVec<[u8; 16]>,
    node: SmallVec<[u8; 16]>,
    scratch: matchspec::Scratch,
}

impl Spec {
    fn new(call: &Call, compiled: Arc<Compiled>) -> Spec {
        let mut own = SmallVec::new();
        if let Some(pid) = caller(call.env).filter(|_| compiled.asks.of_self) {
            let mut writer = Writer::new();
            writer.local_pid(word(pid_term(call.env, pid)));
            own = SmallVec::from_slice(&writer.buf);
        }
        let node = if compiled.asks.of_node { node(call) } else { SmallVec::from_slice(&[tag::NIL]) };
        Spec { compiled, self_pid: own, node, scratch: matchspec::Scratch::default() }
    }

    /// The same for another search.
    pub fn again(&self) -> Spec {
        Spec {
            compiled: self.compiled.clone(),
            self_pid: self.self_pid.clone(),
            node: self.node.clone(),
            scratch: matchspec::Scratch::default(),
        }
    }

    /// What was built last, see [`matchspec::Scratch::value`].
    pub fn built(&self) -> &[u8] {
        self.scratch.value()
    }

    #[inline]
    pub fn run(&mut self, record: &Record) -> Outcome {
        let env = matchspec::Env { self_pid: &self.self_pid, node: &self.node };
        self.compiled.program.run(record, &env, &mut self.scratch)
    }
}

/// Longer specs are refused: a term of a few words that shares its parts can be any length when it is written out, and `ets` would
/// write it out.
const LONGEST_SPEC: usize = 64 << 20;
/// Specs of more bytes are compiled and planned on a dirty scheduler: that takes a tenth of a millisecond per thousand.
pub const MAX_SPEC: usize = 8 * 1024;

/// A spec for a table, compiled or found again.
pub fn parse(call: &Call, scratch: &mut Scratch, spec: RawTerm, table: &Table, name: RawTerm) -> Result<Spec, Fail> {
    if let Some(found) = compiled::recent(table, spec) {
        return Ok(Spec::new(call, found));
    }
    let refused = || Fail::Reason(call.tuple(&[atoms::badarg(), call.list(&[name, spec])]));
    if !encode(call, scratch, spec)? {
        return Err(refused());
    }
    let generation = table.indexes.generation();
    if let Some(found) = compiled::find(table, scratch.encoder.bytes()) {
        compiled::remember(table.id, generation, spec, scratch.encoder.bytes(), &found);
        return Ok(Spec::new(call, found));
    }
    call.heavy(scratch.encoder.bytes().len() > MAX_SPEC)?;
    let definition = &table.definition;
    let parsed = compile(call, scratch, definition.arity, definition.record_name, false);
    let spec = parsed.map_err(|_| refused())?;
    compiled::keep(table.id, generation, scratch.encoder.bytes(), &spec.compiled);
    Ok(spec)
}

/// False if it is longer than a spec may be.
pub fn encode(call: &Call, scratch: &mut Scratch, spec: RawTerm) -> Result<bool, Fail> {
    scratch.encoder.begin(call.limit().min(LONGEST_SPEC));
    match scratch.encoder.term(call.env, spec) {
        Err(EncodeError::TooLong) if call.dirty => {
            scratch.encoder = Encoder::default();
            Ok(false)
        }
        done => Ok(done.map(|()| true)?),
    }
}

/// The spec that was encoded, for records of so many elements and this name, or why it is none. `lone`: for single tuples, not a table.
pub fn compile(call: &Call, scratch: &mut Scratch, arity: usize, record_name: u64, lone: bool) -> Result<Spec, BadSpec> {
    let encoder = &mut scratch.encoder;
    let attached = encoder.attached();
    let program = Program::parse(encoder.bytes(), arity, record_name, attached)?;
    let program = if lone { program.without_table() } else { program };
    let asks = Asks { of_node: mentions(encoder.bytes(), atoms::node()), of_self: mentions(encoder.bytes(), atoms::self_()) };
    Ok(Spec::new(call, Arc::new(Compiled::new(program, asks))))
}

/// Is this atom anywhere in the spec?
fn mentions(spec: &[u8], atom: RawTerm) -> bool {
    let mut form = Writer::new();
    form.atom(word(atom));
    spec.windows(form.len()).any(|w| w == &form.buf[..])
}

fn node(call: &Call) -> SmallVec<[u8; 16]> {
    let (text, _) = atom::host().this_node();
    let mut form = Writer::new();
    form.atom(word(host::atom(call.env, &String::from_utf8_lossy(&text))));
    SmallVec::from_slice(&form.buf)
}
