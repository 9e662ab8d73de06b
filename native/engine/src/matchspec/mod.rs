//! Match specifications: the language of `ets:select`, run on flat term bytes.
//!
//! [`Program::parse`] reads the spec once and refuses what ETS refuses; [`Program::run`] then tells for one record whether a clause
//! matches and what it answers. Running allocates nothing unless a term must be built.
//!
//! * `parse` takes a spec apart into clauses, `head` and `expr` compile heads and expressions into
//! * `program`: operations for two small stack machines, so that nothing recurses on the depth of a spec or a term,
//! * `pattern` runs heads, `eval` runs guards and bodies, on
//! * `value`s that are slices of the record wherever possible, `construct`ed ones being in the [`Scratch`],
//! * `functions` are the guard functions, `number` their arithmetic,
//! * `bounds` are what head and guards say of the records that can match, as `interval`s; `access` makes of them what a table can
//!   be asked for, `composite` of those of several fields, and `variants` the other terms that are `==`.
//!
//! What a spec means is what ETS makes of it, seen on OTP 25 and kept by tests: a failing guard is false; a failing function in a
//! body answers `'EXIT'` and the rest goes on; literals of a head match bit by bit, maps in a head match maps that hold
//! more, except in a key that all clauses bind.

mod access;
mod bounds;
mod composite;
mod construct;
mod counter;
mod eval;
mod expr;
mod functions;
mod head;
mod interval;
mod number;
mod parse;
mod pattern;
mod program;
mod value;
mod variants;

#[cfg(test)]
mod tests;

pub use access::may_hold_zero;
pub use bounds::Alternative;
pub use composite::Spans;
pub use counter::count;
pub use interval::{End, Interval, Prefix};
pub use parse::variable;
pub use program::{BadSpec, Comparison, Env, Outcome, Program, Scratch};
