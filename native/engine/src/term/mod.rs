//! One flat byte form for every Erlang term.
//!
//! The form is *canonical* (terms that are `=:=` have equal bytes), *complete* and *skippable*: the length of a term is known
//! from its first bytes, so field `n` of a record, or the second key of a map, is reached without reading what is before it.
//!
//! * [`write`](Writer) makes the form, [`read`](Term) looks at it,
//! * [`order`] compares two terms as the BEAM does, [`key`] writes bytes whose own order is that order,
//! * [`atom`] asks the host for the little that is not in the bytes: the text of an atom, the numbers behind a pid,
//! * [`record`] is a reference-counted row of a table.
//!
//! No function here recurses on the depth of a term.

pub mod atom;
mod form;
pub mod key;
pub mod order;
pub mod range;
mod read;
pub mod record;
mod same;
pub mod tag;
mod write;

pub use form::len as form_len;
pub(crate) use read::size as form_size;
pub use read::{int, read, skip, Elements, Ident, Term};
pub use record::{Attached, Record};
pub use same::{canonical_zero, same};
pub(crate) use write::{map_is_sorted, sort_map};
pub use write::{Open, Writer, BLOB_MIN};
